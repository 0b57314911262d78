use bytes::BytesMut;
use reference_broker::transport::{BoxStream, write_out};
use tokio::io::AsyncReadExt;

/// No head of an answer has more bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// Any will do for a test: it keeps caches from answering.
const KEY: &str = "bXF0dHNwZWMgYXNrcyBpdA==";

/// What a server makes of that key (RFC 6455, section 4.2.2).
const ACCEPT: &str = "BbmzGQgYwMIl6GS6lt+SUaLFKVk=";

/// How a server answers a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It opens a WebSocket connection.
    Opened {
        /// The sub-protocol that it names, if it names any.
        protocol: Option<String>,
        /// What came right behind the answer.
        early: BytesMut,
    },
    /// It refuses with a status of HTTP.
    Refused(u16),
    /// It closes, or answers what is no answer: in words.
    Other(String),
}

impl Answer {
    /// In words.
    pub fn said(&self) -> String {
        match self {
            Answer::Opened { protocol: Some(protocol), .. } => {
                format!("a WebSocket connection with the sub-protocol {protocol:?}")
            }
            Answer::Opened { protocol: None, .. } => {
                "a WebSocket connection without a sub-protocol".to_owned()
            }
            Answer::Refused(status) => format!("the handshake refused with status {status}"),
            Answer::Other(what) => what.clone(),
        }
    }
}

/// Asks for a WebSocket connection with headers that offer sub-protocols, each as it is given.
pub async fn open(stream: &mut BoxStream, host: &str, path: &str, offers: &[&str]) -> Answer {
    let offers: String =
        offers.iter().map(|offer| format!("Sec-WebSocket-Protocol: {offer}\r\n")).collect();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offers}\r\n"
    );
    // What came before it was refused says more.
    let _ = write_out(stream, request.as_bytes()).await;
    let mut bytes = BytesMut::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = bytes.split_to(end + 4);
            return read(&String::from_utf8_lossy(&head), bytes);
        }
        if bytes.len() > LONGEST_HEAD {
            return Answer::Other(format!("more than {LONGEST_HEAD} bytes before an empty line"));
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return Answer::Other("the connection closed instead of an answer".to_owned());
        }
    }
}

fn read(head: &str, early: BytesMut) -> Answer {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(101) => {}
        Some(status) => return Answer::Refused(status),
        None => return Answer::Other(format!("{first:?}, which is no answer of HTTP/1.1")),
    }
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let value = |name: &str| {
        let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    if value("Sec-WebSocket-Accept") != Some(ACCEPT) {
        return Answer::Other("status 101 with a Sec-WebSocket-Accept of another key".to_owned());
    }
    Answer::Opened { protocol: value("Sec-WebSocket-Protocol").map(str::to_owned), early }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let opened = |protocol: Option<&str>| Answer::Opened {
            protocol: protocol.map(str::to_owned),
            early: BytesMut::new(),
        };
        let accept = format!("sec-websocket-accept: {ACCEPT}\r\n");
        for (head, answer) in [
            (
                format!("HTTP/1.1 101 Sure\r\n{accept}SEC-WEBSOCKET-PROTOCOL:mqtt\r\n\r\n"),
                opened(Some("mqtt")),
            ),
            (format!("HTTP/1.1 101 Sure\r\n{accept}\r\n"), opened(None)),
            ("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(), Answer::Refused(400)),
        ] {
            assert_eq!(read(&head, BytesMut::new()), answer);
        }
        for head in ["HTTP/1.0 101 X\r\n\r\n", "HTTP/1.1 101 X\r\n\r\n", "\r\n\r\n"] {
            assert!(matches!(read(head, BytesMut::new()), Answer::Other(_)), "{head}");
        }
    }
}
