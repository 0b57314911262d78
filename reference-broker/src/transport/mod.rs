//! Ordered, lossless byte streams that carry MQTT (section 4.2).

pub mod memory;
pub mod tcp;
pub mod url;

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of any transport.
pub type BoxStream = Box<dyn Stream>;
