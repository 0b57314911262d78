//! Ordered, lossless byte streams that carry MQTT (section 4.2).

pub mod browser;
pub mod connector;
pub mod listener;
pub mod memory;
pub mod tcp;
pub mod tls;
pub mod url;
pub mod websocket;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of any transport.
pub type BoxStream = Box<dyn Stream>;

/// Writes bytes out to the last: a stream over TLS or WebSocket keeps what its own stream does not take at once, until
/// it is flushed.
///
/// # Errors
///
/// When the stream takes nothing more.
pub async fn write_out(
    stream: &mut (impl AsyncWrite + Unpin + ?Sized),
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Runs a step of opening a connection, for so long at the most.
async fn within<T>(
    patience: Duration,
    what: &str,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(patience, step).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no {what} within {} ms", patience.as_millis()),
        )),
    }
}
