//! Servers that are no brokers: what passes on one of them proves nothing.

use std::fmt;
use std::str::FromStr;

use reference_broker::codec::{
    ConnAck, Framer, Packet, PublishAck, QoS, ReasonCode, Side, SubscribeAck,
};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The largest packet a null target reads, in bytes.
const LIMIT: u32 = 1 << 28;

/// A server that is no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// Closes every connection at once.
    Closes,
    /// Answers the first bytes with a CONNACK that accepts, and closes at the next.
    ConnAck,
    /// Reads and says nothing.
    Silent,
    /// Answers every request with success, and delivers nothing.
    Yes,
    /// Sends back what it gets.
    Echo,
}

impl Null {
    /// All of them.
    pub const ALL: [Null; 5] = [Null::Closes, Null::ConnAck, Null::Silent, Null::Yes, Null::Echo];

    fn name(self) -> &'static str {
        match self {
            Null::Closes => "closes",
            Null::ConnAck => "connack",
            Null::Silent => "silent",
            Null::Yes => "yes",
            Null::Echo => "echo",
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self, mut stream: BoxStream) {
        // When the client is gone there is nobody left to serve.
        let _ = match self {
            Null::Closes => Ok(()),
            Null::ConnAck => connack_then_close(&mut stream).await,
            Null::Silent => echo(&mut stream, false).await,
            Null::Echo => echo(&mut stream, true).await,
            Null::Yes => say_yes(&mut stream).await,
        };
    }
}

impl fmt::Display for Null {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "null:{}", self.name())
    }
}

impl FromStr for Null {
    type Err = String;

    fn from_str(text: &str) -> Result<Null, String> {
        Null::ALL.into_iter().find(|null| null.name() == text).ok_or_else(|| {
            let names = Null::ALL.map(|null| null.to_string()).join(", ");
            format!("no target 'null:{text}': use one of {names}")
        })
    }
}

async fn connack_then_close(stream: &mut BoxStream) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    if stream.read(&mut bytes).await? > 0 {
        let connack = Packet::from(ConnAck::new(false, ReasonCode::Success));
        stream.write_all(&connack.to_bytes().unwrap_or_default()).await?;
        // Whatever comes next, and however much of it, is the last.
        let _ = stream.read(&mut bytes).await?;
    }
    Ok(())
}

async fn echo(stream: &mut BoxStream, aloud: bool) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            count if aloud => stream.write_all(&bytes[..count]).await?,
            _ => {}
        }
    }
}

/// Answers whatever can be read as a request; what cannot is passed over, or ends the stream's
/// sense, and nothing more is said.
async fn say_yes(stream: &mut BoxStream) -> std::io::Result<()> {
    let mut framer = Framer::new(LIMIT);
    loop {
        while let Ok(Some(frame)) = framer.next_frame() {
            let answer = Packet::decode(&frame, Side::Client).ok().and_then(|packet| yes(&packet));
            if let Some(bytes) = answer.and_then(|answer| answer.to_bytes().ok()) {
                stream.write_all(&bytes).await?;
            }
        }
        if stream.read_buf(framer.buffer()).await? == 0 {
            return Ok(());
        }
    }
}

fn yes(packet: &Packet) -> Option<Packet> {
    Some(match packet {
        Packet::Connect(connect) => ConnAck::new(!connect.clean_start, ReasonCode::Success).into(),
        Packet::Publish(publish) => match publish.qos {
            QoS::AtMostOnce => return None,
            QoS::AtLeastOnce => Packet::PubAck(PublishAck::new(publish.packet_id)),
            QoS::ExactlyOnce => Packet::PubRec(PublishAck::new(publish.packet_id)),
        },
        Packet::PubRel(ack) => Packet::PubComp(PublishAck::new(ack.packet_id)),
        Packet::Subscribe(subscribe) => {
            let granted = subscribe.subscriptions.iter().map(|subscription| {
                let qos = subscription.options.maximum_qos.value();
                ReasonCode::from_value(qos).unwrap_or(ReasonCode::Success)
            });
            Packet::SubAck(SubscribeAck::new(subscribe.packet_id, granted.collect()))
        }
        Packet::Unsubscribe(unsubscribe) => {
            let reasons = vec![ReasonCode::Success; unsubscribe.filters.len()];
            Packet::UnsubAck(SubscribeAck::new(unsubscribe.packet_id, reasons))
        }
        Packet::PingReq => Packet::PingResp,
        _ => return None,
    })
}
