//! Connections to a broker, over any transport.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::tls::ClientTls;
use super::url::Endpoint;
use super::{BoxStream, Stream, tcp, websocket, within};

/// Opens a connection, within a time for all of it. The server's certificate has to be for the host
/// as it is written in the endpoint.
///
/// # Errors
///
/// What the system or the server says; or that TLS is asked for, but there is none.
pub async fn connect(
    endpoint: &Endpoint,
    tls: Option<&ClientTls>,
    patience: Duration,
) -> io::Result<BoxStream> {
    let started = Instant::now();
    let host = endpoint.host.to_string();
    let stream = within(patience, "connection", tcp::connect((&*host, endpoint.port))).await?;
    if !endpoint.scheme.is_tls() {
        return wrap(stream, endpoint, patience.saturating_sub(started.elapsed())).await;
    }
    let tls = tls.ok_or_else(|| {
        let what = format!("{endpoint} needs to know whom to trust");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })?;
    let left = patience.saturating_sub(started.elapsed());
    let stream = tls.connect(stream, &host, left).await?;
    wrap(stream, endpoint, patience.saturating_sub(started.elapsed())).await
}

async fn wrap(
    stream: impl Stream,
    endpoint: &Endpoint,
    patience: Duration,
) -> io::Result<BoxStream> {
    if !endpoint.scheme.is_websocket() {
        return Ok(Box::new(stream));
    }
    let host = endpoint.authority();
    Ok(Box::new(websocket::connect(stream, &host, &endpoint.path, patience).await?))
}
