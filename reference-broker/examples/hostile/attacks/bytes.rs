//! Bytes that are no packets, or never become whole ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::vector::{self, Vector};
use reference_broker::codec::{Connect, Framer, Packet, Side};
use tokio::time::interval;

use crate::client::{Client, Over, Site, crowd};

/// How many do it at once.
const CROWD: usize = 1_000;

/// Every malformed packet of the fixtures, of clients and of servers, in place of the CONNECT and
/// behind it.
pub(super) async fn malformed(site: Arc<Site>) -> Result<(), String> {
    let vectors: Vec<Vector> = load("malformed")?.into_iter().filter(is_malformed).collect();
    let vectors = Arc::new(vectors);
    crowd(4 * vectors.len(), 100, |number| {
        let (site, vectors) = (Arc::clone(&site), Arc::clone(&vectors));
        async move {
            let vector = &vectors[number / 4];
            let over = if number % 4 < 2 { Over::Tcp } else { Over::WebSocket };
            let mut client = site.open(over).await?;
            if number % 2 == 1 {
                client.connect(Connect::new(format!("hostile-{number}"))).await?;
            }
            // It may be closed before all of it is sent.
            let _ = client.send_bytes(&vector.bytes).await;
            client.ends().await.map_err(|error| format!("{}: {error}", vector.name))
        }
    })
    .await?;
    Ok(())
}

fn load(kind: &str) -> Result<Vec<Vector>, String> {
    let packets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/packets");
    let directory = packets.join(kind);
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(told)? {
        let text = std::fs::read_to_string(entry.map_err(told)?.path()).map_err(told)?;
        let read = vector::parse(&text).map_err(|error| error.to_string())?;
        vectors.extend(read);
    }
    match vectors.len() {
        0 => Err(format!("no vectors in {}", directory.display())),
        _ => Ok(vectors),
    }
}

/// Whether it is malformed if a client sends it, whoever may be meant to.
fn is_malformed(vector: &Vector) -> bool {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(&vector.bytes);
    match framer.next_frame() {
        Ok(Some(frame)) => Packet::decode(&frame, Side::Client).is_err(),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Good packets of which some bytes are changed, some of them behind a good CONNECT.
pub(super) async fn mangled(site: Arc<Site>) -> Result<(), String> {
    let mut vectors = load("valid")?;
    vectors.sort_by(|one, other| one.name.cmp(&other.name)); // The seed is to decide.
    vectors.retain(|vector| vector.bytes.len() < 10_000);
    let vectors = Arc::new(vectors);
    crowd(5_000, 100, |number| {
        let (site, vectors) = (Arc::clone(&site), Arc::clone(&vectors));
        async move {
            let mut dice = Dice::new(site.seed, number);
            let mut bytes = Vec::new();
            for _ in 0..6 {
                bytes.extend_from_slice(&vectors[dice.below(vectors.len())].bytes);
            }
            for _ in 0..dice.below(6) {
                let place = dice.below(bytes.len());
                bytes[place] = dice.below(256) as u8;
            }
            let mut client = site.open(Over::Tcp).await?;
            if number % 4 > 0 {
                client.connect(Connect::new(format!("hostile-{number}"))).await?;
            }
            let _ = client.send_bytes(&bytes).await; // It may be closed before all of it is sent.
            client.says_no_more().await;
            client.ends().await
        }
    })
    .await?;
    Ok(())
}

/// Random numbers, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, number: usize) -> Dice {
        Dice((seed << 32 ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most
    }
}

/// The largest Remaining Length, which is refused at once; and one that is just allowed, of which a
/// byte comes now and then.
pub(super) async fn announced(site: Arc<Site>) -> Result<(), String> {
    crowd(3 * CROWD, 3 * CROWD, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.open(Over::Tcp).await?;
            if number % 3 > 0 {
                client.connect(Connect::new(format!("hostile-{number}"))).await?;
            }
            if number % 3 < 2 {
                let _ = client.send_bytes(b"\x30\xFF\xFF\xFF\x7F").await;
                return client.ends().await;
            }
            // 16 MiB less the fixed header.
            client.send_bytes(b"\x30\xFB\xFF\xFF\x07").await?;
            dripped(&mut client, &[0; 100]).await
        }
    })
    .await?;
    match site.noted("DISCONNECT 0x95") >= CROWD as u64 {
        true => Ok(()),
        false => Err(format!("{CROWD} x DISCONNECT 0x95 expected, not {}", site.told())),
    }
}

/// Sends byte by byte until the broker closes; an error if it does not.
pub(super) async fn dripped(client: &mut Client, bytes: &[u8]) -> Result<(), String> {
    let mut ticks = interval(Duration::from_millis(100));
    for byte in bytes {
        tokio::select! {
            _ = ticks.tick() => if client.send_bytes(&[*byte]).await.is_err() {
                break;
            },
            ended = client.ends() => return ended,
        }
    }
    client.ends().await
}

/// 50 large packets without their last byte: 750 MiB.
pub(super) async fn unfinished(site: Arc<Site>) -> Result<(), String> {
    let part = Bytes::from(vec![0; 1 << 20]);
    crowd(50, 50, |number| {
        let (site, part) = (Arc::clone(&site), part.clone());
        async move {
            let mut client = site.open(Over::Tcp).await?;
            client.connect(Connect::new(format!("hostile-{number}"))).await?;
            client.send_bytes(b"\x30\xFB\xFF\xFF\x07").await?;
            for _ in 0..15 {
                if client.send_bytes(&part).await.is_err() {
                    break;
                }
            }
            client.ends().await
        }
    })
    .await?;
    Ok(())
}
