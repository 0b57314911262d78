//! What a port speaks that does not speak MQTT 5.0: told in words, so that nobody has to guess.

use std::time::Duration;

use reference_broker::transport::url::Scheme;
use reference_broker::transport::write_out;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::Connector;

/// Enough of an answer to know it by.
const ENOUGH: usize = 16;

/// A ClientHello of TLS 1.2 that offers one cipher suite: whatever speaks TLS answers it, if only by
/// an alert.
const TLS_HELLO: [u8; 50] = {
    let mut hello = [0x5A; 50]; // What is not set below is the random part.
    let head = [0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    let tail = [0, 0, 2, 0xC0, 0x2F, 1, 0];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    let mut at = 0;
    while at < tail.len() {
        hello[hello.len() - tail.len() + at] = tail[at];
        at += 1;
    }
    hello
};

/// Asks for MQTT over WebSocket.
const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: bXF0dHNwZWMgYXNrcyBpdA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// A CONNECT of MQTT 3.1.1, with an empty Client Identifier and Clean Session.
const OLD_CONNECT: &[u8] = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00";

/// Something other than MQTT 5.0 that a port may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// TLS, of whatever is inside.
    Tls,
    /// WebSocket with MQTT in it.
    WebSocket,
    /// HTTP.
    Http,
    /// An earlier version of MQTT.
    OldMqtt,
}

impl Spoken {
    /// What it is, and what to do, where it was taken for one that speaks MQTT over this.
    pub(super) fn advice(self, over: Scheme) -> String {
        let (meant, other) = match over {
            Scheme::Mqtt => ("MQTT over plain TCP", Scheme::Ws),
            Scheme::Mqtts => ("MQTT over TLS alone", Scheme::Wss),
            Scheme::Ws => ("MQTT over WebSocket", Scheme::Ws),
            Scheme::Wss => ("MQTT over WebSocket and TLS", Scheme::Wss),
        };
        match self {
            Spoken::Tls => format!("speaks TLS, not {meant}: name it as mqtts:// or wss://"),
            Spoken::WebSocket => {
                format!("speaks WebSocket, not {meant}: name it as {other}://")
            }
            Spoken::Http => format!(
                "speaks HTTP, not {meant}: if it serves MQTT over WebSocket, name it as \
                 {other}://HOST:PORT/PATH"
            ),
            Spoken::OldMqtt => "speaks MQTT 3.1.1, not MQTT 5.0: let it take version 5".to_owned(),
        }
    }

    /// By the first bytes of an answer.
    pub(super) fn by(bytes: &[u8]) -> Option<Spoken> {
        match bytes {
            [0x15 | 0x16, 3, 0..=4, ..] => Some(Spoken::Tls),
            [b'H', b'T', b'T', b'P', b'/', ..] if bytes.get(8..12) == Some(b" 101") => {
                Some(Spoken::WebSocket)
            }
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Spoken::Http),
            // A CONNACK of MQTT 5.0 has a Property Length besides.
            [0x20, 0x02, 0..=1, 0..=5, ..] => Some(Spoken::OldMqtt),
            _ => None,
        }
    }
}

/// Tries what else a target might speak.
pub(super) async fn spoken(connector: &Connector, patience: Duration) -> Option<Spoken> {
    for question in [UPGRADE, &TLS_HELLO, OLD_CONNECT] {
        let answer = timeout(patience, ask(connector, question, patience)).await;
        let spoken = answer.ok().flatten().and_then(|answer| Spoken::by(&answer));
        if spoken.is_some() {
            return spoken;
        }
    }
    None
}

async fn ask(connector: &Connector, question: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let mut stream = connector.connect(patience).await.ok()?;
    write_out(&mut stream, question).await.ok()?;
    let mut answer = Vec::new();
    // Some say it byte by byte; what came before a close or reset counts.
    while answer.len() < ENOUGH && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_known_by_their_first_bytes() {
        for (bytes, spoken) in [
            (&b"\x15\x03\x01\x00\x02\x02\x46"[..], Some(Spoken::Tls)),
            (b"\x16\x03\x03\x00\x30", Some(Spoken::Tls)),
            (b"HTTP/1.1 101 Switching Protocols", Some(Spoken::WebSocket)),
            (b"HTTP/1.0 404 Not Found", Some(Spoken::Http)),
            (b"\x20\x02\x00\x01", Some(Spoken::OldMqtt)),
            (b"\x20\x02\x00\x00", Some(Spoken::OldMqtt)),
            (b"\x20\x03\x00\x00\x00", None),
            (b"\x20\x03\x00\x84\x00", None),
            (b"", None),
        ] {
            assert_eq!(Spoken::by(bytes), spoken, "{bytes:?}");
        }
    }

    #[test]
    fn a_hello_has_the_lengths_that_it_says() {
        let length = |at: usize| usize::from(TLS_HELLO[at]);
        assert_eq!(TLS_HELLO.len(), 5 + length(4));
        assert_eq!(TLS_HELLO.len(), 9 + length(8));
        assert_eq!(&TLS_HELLO[11..43], [0x5A; 32]);
        assert_eq!(OLD_CONNECT.len(), 2 + usize::from(OLD_CONNECT[1]));
    }
}
