//! What a slow tap costs everybody else: taps in tasks of their own, against taps in the broker's loop.
//!
//! `cargo bench -p reference-broker --bench taps` prints a Markdown table, in half a minute.
//!
//! One publisher and one subscriber at QoS 0, over streams in memory, in real time. The loop is
//! closed: the publisher keeps a fixed number of messages under way and sends the next one when the
//! subscriber has got one. So what is measured is the rate that the broker sustains, and the time from
//! before a message is written to after it is read, with that many ahead of it. The one tap sleeps
//! for its delay at every message; a timer of the runtime adds up to a millisecond to that. Coverage
//! is how many of the messages for the tap came to it; the others were dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use reference_broker::actor::{
    Bound, Server, ServerSettings, TapCounts, TapHandle, TapMode, TapOptions,
};
use reference_broker::codec::{Connect, Framer, Packet, Publish, QoS, Side, Subscribe};
use reference_broker::core::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Semaphore;

/// How many messages are under way.
const WINDOW: usize = 32;

/// How many messages wait for the tap.
const QUEUE: usize = 256;

/// How long each line is measured, and how long it runs before that.
const MEASURED: Duration = Duration::from_millis(2_500);
const WARM_UP: Duration = Duration::from_millis(300);

/// How large a payload is.
const PAYLOAD: usize = 64;

const DELAYS: [u64; 4] = [0, 1, 5, 25];

/// The reading side of a client.
struct Reader {
    stream: ReadHalf<DuplexStream>,
    framer: Framer,
}

impl Reader {
    async fn next(&mut self) -> Packet {
        loop {
            if let Some(frame) = self.framer.next_frame().expect("a packet") {
                return Packet::decode(&frame, Side::Server).expect("a valid packet");
            }
            let read = self.stream.read_buf(self.framer.buffer()).await.expect("bytes");
            assert_ne!(read, 0, "the broker closed the connection");
        }
    }
}

async fn client(server: &Server, name: &str) -> (Reader, WriteHalf<DuplexStream>) {
    let (stream, mut sink) = tokio::io::split(server.connect().await.expect("a broker"));
    let mut reader = Reader { stream, framer: Framer::new(u32::MAX) };
    sink.write_all(&Packet::from(Connect::new(name)).to_bytes().expect("a packet")).await.unwrap();
    assert!(matches!(reader.next().await, Packet::ConnAck(_)));
    (reader, sink)
}

/// Publishes for as long as it may, each message with the time at which it was written.
async fn publish(mut sink: WriteHalf<DuplexStream>, origin: Instant, window: Arc<Semaphore>) {
    loop {
        let Ok(permit) = window.acquire().await else { return };
        permit.forget();
        let mut payload = BytesMut::with_capacity(PAYLOAD);
        payload.put_u64(nanoseconds(origin));
        payload.resize(PAYLOAD, 0);
        let packet = Packet::from(Publish::new("sensors/kitchen/temperature", payload));
        if sink.write_all(&packet.to_bytes().expect("a packet")).await.is_err() {
            return;
        }
    }
}

fn nanoseconds(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What came out of one line.
struct Measured {
    /// Of each message, in nanoseconds, in ascending order.
    latencies: Vec<u64>,
    elapsed: Duration,
    tap: TapCounts,
}

async fn measure(mode: Option<TapMode>, delay: Duration) -> Measured {
    let config = Config { reports_published: mode.is_some(), ..Config::default() };
    let settings =
        ServerSettings { tap_mode: mode.unwrap_or_default(), ..ServerSettings::default() };
    let server = Server::start_with_settings(config, settings);
    let tap = match mode {
        Some(_) => Some(tap(&server, delay).await),
        None => None,
    };
    let (mut reader, mut subscriber) = client(&server, "subscriber").await;
    let subscribe = Packet::from(Subscribe::new(1, "sensors/#", QoS::AtMostOnce));
    subscriber.write_all(&subscribe.to_bytes().expect("a packet")).await.unwrap();
    assert!(matches!(reader.next().await, Packet::SubAck(_)));
    let (_answers, sink) = client(&server, "publisher").await;

    let origin = Instant::now();
    let window = Arc::new(Semaphore::new(WINDOW));
    let publishing = tokio::spawn(publish(sink, origin, Arc::clone(&window)));
    let counts = || tap.as_ref().map(TapHandle::counts).unwrap_or_default();
    let mut latencies = Vec::new();
    let mut before = counts();
    let mut begun = None;
    let elapsed = loop {
        let Packet::Publish(message) = reader.next().await else { continue };
        let now = nanoseconds(origin);
        window.add_permits(1);
        match begun {
            None if origin.elapsed() < WARM_UP => {}
            None => {
                begun = Some(Instant::now());
                before = counts();
            }
            Some(begun) => {
                let sent =
                    message.payload.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                latencies.push(now - sent);
                if begun.elapsed() >= MEASURED {
                    break begun.elapsed();
                }
            }
        }
    };
    let after = counts();
    let tap = TapCounts {
        taken: after.taken - before.taken,
        dropped: after.dropped - before.dropped,
        ..TapCounts::default()
    };
    publishing.abort();
    drop(server);
    latencies.sort_unstable();
    Measured { latencies, elapsed, tap }
}

async fn tap(server: &Server, delay: Duration) -> TapHandle {
    let options = TapOptions { queue: Bound { items: QUEUE, ..TapOptions::default().queue } };
    let tap = move |message| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        drop(message);
    };
    server.tap_with("sensors/{room}/temperature", options, tap).await.expect("a tap")
}

fn line(name: &str, delay: &str, measured: &Measured) {
    let Measured { latencies, elapsed, tap } = measured;
    let at = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies.get(place.min(latencies.len() - 1)).copied().unwrap_or(0) as f64 / 1e6
    };
    let rate = latencies.len() as f64 / elapsed.as_secs_f64();
    let coverage = match tap.taken + tap.dropped {
        0 => "-".to_owned(),
        all => format!("{:.2} %", 100.0 * tap.taken as f64 / all as f64),
    };
    let (p50, p99) = (at(0.5), at(0.99));
    let (taken, dropped) = (tap.taken, tap.dropped);
    println!(
        "| {name} | {delay} | {rate:.0} | {p50:.3} ms | {p99:.3} ms | {taken} | {dropped} | {coverage} |"
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    println!("| tap | delay | msg/s | p50 | p99 | tapped | dropped | coverage |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    line("none", "-", &runtime.block_on(measure(None, Duration::ZERO)));
    for (name, mode) in [("actor", TapMode::Actor), ("inline", TapMode::Inline)] {
        for delay in DELAYS {
            let measured = runtime.block_on(measure(Some(mode), Duration::from_millis(delay)));
            line(name, &format!("{delay} ms"), &measured);
        }
    }
}
