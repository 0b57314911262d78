//! Clients that do not read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reference_broker::codec::{Connect, Packet, PropertyId, Publish, PublishAck, QoS};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::client::{AT_ONCE, Client, Over, PATIENCE, Site, bytes_of, crowd};

/// How long messages flow.
const FLOW: Duration = Duration::from_secs(5);

/// 1,000 clients that subscribe to a busy topic at QoS 0 or 1 and do not read.
pub(super) async fn subscribers(site: Arc<Site>) -> Result<(), String> {
    let publish = Publish::new("busy", vec![b'x'; 2048]);
    flow(&site, 1_000, publish).await
}

/// The same, with 1,000 User Properties a message: many times as much in memory as on the wire.
pub(super) async fn with_properties(site: Arc<Site>) -> Result<(), String> {
    let mut publish = Publish::new("busy", "x");
    for _ in 0..1_000 {
        publish.properties.push(PropertyId::UserProperty, ("", ""));
    }
    flow(&site, 200, publish).await
}

async fn flow(site: &Arc<Site>, count: usize, publish: Publish) -> Result<(), String> {
    let deaf: Vec<Client> = crowd(count, AT_ONCE, |number| {
        let site = Arc::clone(site);
        async move {
            let mut client = site.join(Connect::new(format!("deaf-{number}"))).await?;
            let qos = if number % 2 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            client.subscribe_to("busy", qos).await?;
            Ok(client)
        }
    })
    .await?;
    let publisher = site.join(Connect::new("busy-publisher")).await?;
    let (mut sink, reading) = publisher.drain();
    let started = Instant::now();
    let mut number = 0_u16;
    while started.elapsed() < FLOW {
        let batch = (0..10).map(|_| {
            number = number % 1_000 + 1;
            let qos = if number.is_multiple_of(2) { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let id = if qos == QoS::AtMostOnce { 0 } else { number };
            Packet::Publish(publish.clone().qos(qos, id))
        });
        let bytes = bytes_of(batch)?;
        site.sent.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        // Receive Maximum is no concern: who publishes at QoS 1 is answered at once.
        let written = timeout(PATIENCE, sink.write_all(&bytes)).await;
        written.map_err(|_| "the publisher is not read".to_owned())?.map_err(|e| e.to_string())?;
    }
    drop(deaf);
    drop(sink);
    reading.abort();
    Ok(())
}

/// PUBREL for what was never published, whose answers are longer, without reading them.
pub(super) async fn answers(site: Arc<Site>) -> Result<(), String> {
    crowd(200, 200, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.open(Over::Tcp).await?;
            client.connect(Connect::new(format!("deaf-{number}"))).await?;
            let batch = bytes_of((1..=2_000).map(|id| Packet::PubRel(PublishAck::new(id))))?;
            for _ in 0..20 {
                if client.send_bytes(&batch).await.is_err() {
                    site.note("cut off");
                    break;
                }
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}
