//! A first look at a target: is there a broker at all, and what does it declare?

use std::fmt;
use std::io;
use std::time::Duration;

use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Framer, Packet, PropertyId, ReasonCode, Side,
};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::capabilities::ASKED_EXPIRY;
use super::{Capabilities, Connector};

/// More than any answer to a CONNECT: what sends on without end is no broker.
const MOST: u32 = 1 << 20;

/// How many bytes of a wrong answer are shown.
const SHOWN: usize = 24;

/// Why a target cannot be tested.
#[derive(Debug)]
pub enum Unusable {
    /// No connection can be opened.
    Unreachable(io::Error),
    /// It took a CONNECT and said nothing.
    Silent(Duration),
    /// It closed the connection instead of answering.
    Closed,
    /// It refused a plain client.
    Refused(ReasonCode),
    /// What it answered is no CONNACK of MQTT 5.
    NotMqtt {
        /// What is wrong with it.
        problem: String,
        /// Its first bytes.
        bytes: Vec<u8>,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreachable(error) => write!(f, "cannot be reached: {error}"),
            Unusable::Silent(patience) => {
                write!(f, "accepts connections but did not answer a CONNECT within {patience:?}")
            }
            Unusable::Closed => f.write_str("closed the connection instead of answering a CONNECT"),
            Unusable::Refused(reason) => write!(
                f,
                "refused a client without credentials: 0x{:02X} ({})",
                reason.value(),
                reason.row().name
            ),
            Unusable::NotMqtt { problem, bytes } if bytes.starts_with(b"HTTP/") => {
                write!(f, "speaks HTTP, not MQTT ({problem})")
            }
            Unusable::NotMqtt { problem, bytes } => write!(
                f,
                "does not speak MQTT 5: {problem} (first bytes: {})",
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
            ),
        }
    }
}

impl std::error::Error for Unusable {}

/// Connects as a plain client and reads what the target declares.
///
/// # Errors
///
/// Why no scenario could be run.
pub async fn preflight(
    connector: &Connector,
    client_id: &str,
    patience: Duration,
) -> Result<Capabilities, Unusable> {
    let mut stream = connector.connect(patience).await.map_err(Unusable::Unreachable)?;
    let connect = Connect::new(client_id).session_expiry(ASKED_EXPIRY);
    let connect = Packet::from(connect).to_bytes().unwrap_or_default();
    if stream.write_all(&connect).await.is_err() {
        return Err(Unusable::Closed);
    }
    let connack = match timeout(patience, answer(&mut stream)).await {
        Ok(connack) => connack?,
        Err(_) => return Err(Unusable::Silent(patience)),
    };
    if connack.reason.is_error() {
        return Err(Unusable::Refused(connack.reason));
    }
    let mut goodbye = Disconnect::default();
    goodbye.properties.push(PropertyId::SessionExpiryInterval, 0);
    let goodbye = Packet::from(goodbye).to_bytes().unwrap_or_default();
    // It has answered; how it takes the goodbye is for scenarios to judge.
    let _ = stream.write_all(&goodbye).await;
    Ok(Capabilities::of(&connack))
}

async fn answer(stream: &mut BoxStream) -> Result<ConnAck, Unusable> {
    let mut framer = Framer::new(MOST);
    let mut first = Vec::new();
    loop {
        let packet = framer.next_frame().and_then(|frame| match frame {
            Some(frame) => {
                Packet::decode_leniently(&frame, Side::Server).map(|(packet, _)| Some(packet))
            }
            None => Ok(None),
        });
        match packet {
            Ok(Some(Packet::ConnAck(connack))) => return Ok(connack),
            Ok(Some(packet)) => {
                let problem = format!("{} in answer to a CONNECT", packet.packet_type());
                return Err(Unusable::NotMqtt { problem, bytes: first });
            }
            Ok(None) => match stream.read_buf(framer.buffer()).await {
                Ok(0) | Err(_) => return Err(Unusable::Closed),
                Ok(_) => first = framer.pending_bytes().iter().take(SHOWN).copied().collect(),
            },
            Err(error) => {
                return Err(Unusable::NotMqtt { problem: error.to_string(), bytes: first });
            }
        }
    }
}
