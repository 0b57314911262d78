//! Ordered, lossless byte streams that carry MQTT (section 4.2).

pub mod connector;
pub mod listener;
pub mod memory;
pub mod tcp;
pub mod tls;
pub mod url;
pub mod websocket;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of any transport.
pub type BoxStream = Box<dyn Stream>;

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
