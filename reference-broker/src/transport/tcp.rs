//! Streams over TCP.

use std::io;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

/// Opens a connection; small packets are sent at once.
///
/// # Errors
///
/// What the system says.
pub async fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Accepts a connection; small packets are sent at once.
///
/// # Errors
///
/// What the system says.
pub async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
