//! Whether a broker serves.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);

/// A CONNECT of MQTT 5 with Clean Start, a Keep Alive of 10 s, no properties and no Client
/// Identifier.
const CONNECT: [u8; 15] = *b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00";
/// A DISCONNECT with everything left out.
const DISCONNECT: [u8; 2] = [0xE0, 0x00];
/// The first byte of a CONNACK.
const CONNACK: u8 = 0x20;

/// Connects as a client would, and wants a CONNACK. That a connection opens is not enough: the
/// engine accepts one before the broker listens.
pub(crate) async fn serves_mqtt(host: &str, port: u16) -> io::Result<()> {
    let visit = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(&CONNECT).await?;
        let first = stream.read_u8().await?;
        if first != CONNACK {
            return Err(io::Error::other(format!("0x{first:02X} in answer to a CONNECT")));
        }
        // It has answered; how it takes the goodbye does not matter.
        let _ = stream.write_all(&DISCONNECT).await;
        Ok(())
    };
    timeout(TRY, visit).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a visit comes to at a server that answers with these bytes and closes.
    async fn visited(answer: &'static [u8]) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let serve = async {
            let (mut stream, _) = listener.accept().await?;
            stream.read_exact(&mut [0; CONNECT.len()]).await?;
            stream.write_all(answer).await
        };
        let (served, visited) = tokio::join!(serve, serves_mqtt("127.0.0.1", port));
        served.and(visited)
    }

    #[tokio::test]
    async fn only_a_connack_counts() {
        visited(&[0x20, 0x03, 0x00, 0x00, 0x00]).await.unwrap();
        assert_eq!(visited(b"").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(visited(b"HTTP").await.unwrap_err().to_string(), "0x48 in answer to a CONNECT");
    }
}
