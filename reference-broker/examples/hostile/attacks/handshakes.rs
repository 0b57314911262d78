//! Connections that never become clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reference_broker::codec::{Connect, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::bytes::dripped;
use crate::client::{AT_ONCE, Over, PATIENCE, Site, crowd};

/// Long CONNECT packets, a byte every 100 ms.
pub(super) async fn slow_drip(site: Arc<Site>) -> Result<(), String> {
    let started = Instant::now();
    let connect = Packet::from(Connect::new("c".repeat(200)));
    let bytes = connect.to_bytes().map_err(|error| error.to_string())?;
    crowd(1_000, 1_000, |_| {
        let (site, bytes) = (Arc::clone(&site), bytes.clone());
        async move { dripped(&mut site.open(Over::Tcp).await?, &bytes).await }
    })
    .await?;
    in_time(started, Duration::from_secs(12))
}

/// Connections on which nothing is sent, more than there may be.
pub(super) async fn half_open(site: Arc<Site>) -> Result<(), String> {
    silent(&site, 12_000, Over::Tcp, b"").await
}

/// The first bytes of a TLS ClientHello.
pub(super) async fn half_tls(site: Arc<Site>) -> Result<(), String> {
    silent(&site, 4_000, Over::Tls, b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03").await
}

/// The first lines of a WebSocket handshake.
pub(super) async fn half_websocket(site: Arc<Site>) -> Result<(), String> {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nX: ";
    silent(&site, 4_000, Over::WebSocket, head).await
}

/// Opens connections, sends no more than this, and waits until the broker has closed all of them.
async fn silent(
    site: &Arc<Site>,
    count: usize,
    over: Over,
    first: &'static [u8],
) -> Result<(), String> {
    let opened = crowd(count.min(site.most), AT_ONCE, |_| {
        let site = Arc::clone(site);
        async move {
            let mut stream = site.bare(over).await?;
            let _ = stream.write_all(first).await; // It may be refused already.
            Ok(stream)
        }
    });
    let opened = Arc::new(
        opened.await?.into_iter().map(|it| tokio::sync::Mutex::new(Some(it))).collect::<Vec<_>>(),
    );
    let started = Instant::now();
    crowd(opened.len(), opened.len(), |number| {
        let (site, opened) = (Arc::clone(site), Arc::clone(&opened));
        async move {
            let Some(mut stream) = opened[number].lock().await.take() else { return Ok(()) };
            let mut bytes = [0; 64];
            let end = async { while let Ok(1..) = stream.read(&mut bytes).await {} };
            let ended = timeout(PATIENCE, end).await;
            ended.map_err(|_| format!("not closed within {PATIENCE:?}"))?;
            let at_once = started.elapsed() < Duration::from_millis(500);
            site.note(if at_once { "closed at once" } else { "closed in time" });
            Ok(())
        }
    })
    .await?;
    in_time(started, Duration::from_secs(12))
}

fn in_time(started: Instant, bound: Duration) -> Result<(), String> {
    match started.elapsed() {
        took if took > bound => Err(format!("the last was closed after {took:?}, not {bound:?}")),
        _ => Ok(()),
    }
}
