//! The bounds of the shell, each at its edge, and what the client is told there.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Client, PATIENCE, until};
use reference_broker::actor::{Bound, Engine, Server, ServerSettings, ShellCounts};
use reference_broker::codec::{Connect, Packet, Publish, QoS, Will};
use reference_broker::core::{Broker, Config, Input, Moment, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

async fn start(settings: ServerSettings) -> (Server, Client<DuplexStream>) {
    let server = Server::start_with_settings(Config::default(), settings);
    let client = connected(&server, Connect::new("publisher")).await;
    (server, client)
}

async fn connected(server: &Server, connect: Connect) -> Client<DuplexStream> {
    let mut client = Client::memory(server).await;
    client.connect(connect).await;
    client
}

async fn subscribed(server: &Server, name: &str, qos: QoS) -> Client<DuplexStream> {
    let mut client = connected(server, Connect::new(name)).await;
    client.subscribe("t", qos).await;
    client
}

/// How many bytes the streams in memory hold in one direction.
const STREAM: usize = 256 * 1024;

/// A message that fills the stream of a client that does not read, and its writer.
fn plug() -> Publish {
    Publish::new("t", vec![b'x'; STREAM])
}

/// A message at QoS 0 of 1,000 bytes, as it is sent.
fn kilo() -> Publish {
    let publish = Publish::new("t", vec![b'x'; 993]);
    assert_eq!(Packet::from(publish.clone()).encoded_len(), Ok(1_000));
    publish
}

fn outbox(items: usize, bytes: usize) -> ServerSettings {
    ServerSettings { outbox: Bound { items, bytes }, ..ServerSettings::default() }
}

/// What a packet counts of all outboxes together.
fn counted(publish: &Publish) -> usize {
    Packet::from(publish.clone()).encoded_len().unwrap() - publish.payload.len() + 256
}

/// Publishes `count` small messages to a client that reads none of them, and says what became of
/// it, and how many of them it then reads.
async fn flood(settings: ServerSettings, count: usize) -> (ShellCounts, usize) {
    let (server, mut publisher) = start(settings).await;
    let mut deaf = subscribed(&server, "deaf", QoS::AtMostOnce).await;
    publisher.send(plug()).await;
    publisher.expect_alive().await;
    for _ in 0..count {
        publisher.send(kilo()).await;
        publisher.expect_alive().await;
    }
    let counts = server.counts();
    assert_eq!(deaf.expect_publish().await, plug());
    deaf.send(Packet::PingReq).await;
    let mut read = 0;
    while let Packet::Publish(publish) = deaf.expect().await {
        assert_eq!(publish, kilo());
        read += 1;
    }
    (counts, read)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_misses_the_newest_qos_0_messages() {
    // The message that is being written takes its room until it is written.
    let size = Packet::from(plug()).encoded_len().unwrap();
    let (counts, read) = flood(outbox(100, size + 5_000), 5).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (0, 0, 5));
    let (counts, read) = flood(outbox(100, size + 4_999), 5).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (1, 0, 4));
    let (counts, read) = flood(outbox(5, 10 * size), 6).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (1, 0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answers_is_cut_off_without_a_word() {
    let (server, _) = start(outbox(100, 1_000)).await;
    let mut watcher = connected(&server, Connect::new("watcher")).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let connect = Connect::new("deaf").will(Will::new("will", "gone"));
    let mut deaf = connected(&server, connect).await;
    let started = Instant::now();
    let pings = Packet::PingReq.to_bytes().unwrap().repeat(1_000);
    // As many answers as the stream and one batch hold; more wait in the outbox, 50 at the most.
    while deaf.stream.write_all(&pings).await.is_ok() {}
    assert_eq!(watcher.expect_publish().await.payload, "gone");
    assert_eq!(started.elapsed(), Duration::ZERO, "it was not the time to write that ran out");
    while deaf.next().await.is_some_and(|packet| packet == Packet::PingResp) {}
    deaf.expect_end().await;
    assert_eq!(server.counts().cut_off, 1);
}

/// Settings under which so many bytes may wait for all clients, and one client has all it wants of that.
fn outboxes(outbox_total_bytes: usize) -> ServerSettings {
    ServerSettings { outbox_total_bytes, ..outbox(100_000, 1 << 30) }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_all_clients_is_bounded_and_the_newest_is_missed() {
    let room = counted(&plug()) + 300 * counted(&kilo());
    let (counts, read) = flood(outboxes(room), 300).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (0, 0, 300));
    assert_eq!(counts.outbox_bytes, room);
    let (counts, read) = flood(outboxes(room), 301).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (1, 0, 300));
    let (counts, read) = flood(outboxes(room - 1), 300).await;
    assert_eq!((counts.dropped, counts.cut_off, read), (1, 0, 299));
}

#[tokio::test(start_paused = true)]
async fn who_has_little_waiting_misses_nothing_for_what_waits_for_others() {
    let (server, mut publisher) = start(outboxes(0)).await;
    let mut deaf = subscribed(&server, "deaf", QoS::AtMostOnce).await;
    publisher.send(plug()).await;
    let little = (64 * 1024 - counted(&plug())) / counted(&kilo());
    for _ in 0..=little {
        publisher.send(kilo()).await;
        publisher.expect_alive().await;
    }
    assert_eq!(server.counts().dropped, 1, "64 KiB are for each");
    let mut reader = subscribed(&server, "reader", QoS::AtMostOnce).await;
    for _ in 0..10 {
        publisher.send(kilo()).await;
        assert_eq!(reader.expect_publish().await, kilo());
    }
    assert_eq!(server.counts().dropped, 11, "of the other's");
    assert_eq!(deaf.expect_publish().await, plug());
    for _ in 0..little {
        assert_eq!(deaf.expect_publish().await, kilo());
    }
    deaf.expect_alive().await;
    assert_eq!((server.counts().outbox_bytes, server.counts().cut_off), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_answers_is_cut_off_where_all_outboxes_are_full() {
    let (server, mut publisher) = start(outboxes(0)).await;
    publisher.subscribe("will", QoS::AtMostOnce).await;
    let connect = Connect::new("deaf").will(Will::new("will", "gone"));
    let mut deaf = connected(&server, connect).await;
    deaf.subscribe("t", QoS::AtMostOnce).await;
    publisher.send(plug()).await;
    publisher.expect_alive().await;
    // Two bytes each, and what they take in memory.
    for _ in 0..(64 * 1024 - counted(&plug())) / (2 + 256) {
        deaf.send(Packet::PingReq).await;
        publisher.expect_alive().await;
    }
    assert_eq!(server.counts().cut_off, 0);
    deaf.send(Packet::PingReq).await;
    assert_eq!(publisher.expect_publish().await.payload, "gone");
    assert_eq!(server.counts().cut_off, 1);
    // What is in its stream already comes, part of a message, and nothing behind it.
    let mut rest = Vec::new();
    deaf.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), STREAM);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_gets_its_whole_backlog_however_large() {
    let (server, mut publisher) = start(outbox(100, 10_000)).await;
    let mut away = subscribed(&server, "reader", QoS::AtLeastOnce).await;
    for n in 1..=50 {
        let publish = Publish::new("t", vec![b'x'; 100_000]).qos(QoS::AtLeastOnce, n);
        publisher.send(publish).await;
        assert!(matches!(publisher.expect().await, Packet::PubAck(_)));
    }
    for _ in 0..50 {
        assert_eq!(away.expect_publish().await.payload.len(), 100_000);
    }
    assert_eq!(server.counts().cut_off, 0);
}

/// A core that can be held up.
struct Halting(Broker, Arc<AtomicBool>);

impl Engine for Halting {
    fn handle(&mut self, now: Moment, input: Input) {
        while self.1.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.0.handle(now, input);
    }

    fn next_output(&mut self) -> Option<Output> {
        self.0.next_output()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.0.next_deadline()
    }
}

/// What waits for a broker that is held up while clients send this many messages of this size.
async fn held_up(inbox: Bound, clients: usize, messages: usize, payload: usize) -> ShellCounts {
    let halted = Arc::new(AtomicBool::new(false));
    let halt = Arc::clone(&halted);
    let engines = move || -> Box<dyn Engine> {
        Box::new(Halting(Broker::new(Config::default()), Arc::clone(&halt)))
    };
    let settings = ServerSettings { inbox, ..ServerSettings::default() };
    let server = Server::start_engines(engines, 1 << 24, settings, None);
    let mut senders = Vec::new();
    for n in 0..clients {
        senders.push(connected(&server, Connect::new(format!("c{n}"))).await);
    }
    halted.store(true, Ordering::SeqCst);
    let bytes = Packet::from(Publish::new("t", vec![0; payload])).to_bytes().unwrap();
    let bytes = bytes.repeat(messages);
    let mut sending = tokio::task::JoinSet::new();
    for mut client in senders {
        let bytes = bytes.clone();
        sending.spawn(async move {
            client.write(&bytes).await;
            client.expect_alive().await;
        });
    }
    // Nothing moves any more once as much waits as may; twice the same is taken for that.
    let mut before = server.counts();
    let counts = loop {
        sleep(Duration::from_millis(50)).await;
        let now = server.counts();
        if now.inbox > 0 && now == before {
            break now;
        }
        before = now;
    };
    halted.store(false, Ordering::SeqCst);
    while let Some(done) = timeout(PATIENCE, sending.join_next()).await.unwrap() {
        done.unwrap();
    }
    assert_eq!(server.counts().cut_off, 0, "they only waited");
    ShellCounts { inbox_high_water: server.counts().inbox_high_water, ..counts }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_wait_for_a_broker_that_is_behind() {
    // One reader may have been given its place, and sit behind the broker on a thread.
    let counts = held_up(Bound { items: 50, bytes: 1 << 24 }, 4, 100, 10).await;
    assert!((49..=50).contains(&counts.inbox), "{counts:?}");
    assert!((49..=51).contains(&counts.inbox_high_water), "{counts:?}");
    let counts = held_up(Bound { items: 1_000, bytes: 10_000 }, 4, 100, 993).await;
    // Besides those of all, each of the four has 4 KiB of its own.
    assert!((4 * 4 + 9..=4 * 4 + 10).contains(&counts.inbox), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_is_closed_at_once() {
    let settings = ServerSettings { maximum_connections: 3, ..ServerSettings::default() };
    let (server, _first) = start(settings).await;
    let second = connected(&server, Connect::new("second")).await;
    let mut third = Client::memory(&server).await; // Says nothing, and counts.
    let started = Instant::now();
    let mut fourth = Client::memory(&server).await;
    fourth.expect_end().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    let counts = server.counts();
    assert_eq!((counts.connections, counts.accepted, counts.refused), (3, 3, 1));
    drop(second);
    until(|| server.counts().connections < 3).await;
    let _fifth = connected(&server, Connect::new("fifth")).await;
    third.connect(Connect::new("third")).await;
    assert_eq!(server.counts().refused, 1);
}

/// The fixed header of a PUBLISH of 16 MiB, and its first bytes.
fn announced(bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x30, 0xFB, 0xFF, 0xFF, 0x07];
    packet.resize(bytes, 0);
    packet
}

#[tokio::test(start_paused = true)]
async fn packets_that_never_become_whole_are_bounded_over_all_connections() {
    let settings = ServerSettings { partial_bytes: 100_000, ..ServerSettings::default() };
    let (server, mut publisher) = start(settings).await;
    // 8 KiB of each are free.
    let mut clients = Vec::new();
    for n in 0..16 {
        let mut client = connected(&server, Connect::new(format!("c{n}"))).await;
        client.write(&announced(8 * 1024)).await;
        clients.push(client);
    }
    publisher.expect_alive().await;
    assert_eq!(server.counts().partial_bytes, 0, "256 MiB announced");
    clients[0].write(&[0; 60_000]).await;
    clients[1].write(&[0; 40_000]).await;
    until(|| server.counts().partial_bytes == 100_000).await;
    clients[2].write(&[0]).await;
    clients[2].expect_end().await;
    assert_eq!((server.counts().crowded_out, server.counts().partial_bytes), (1, 100_000));
    drop(clients);
    until(|| server.counts().partial_bytes == 0).await;
    publisher.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn a_packet_has_to_become_whole_in_time() {
    let (server, mut publisher) = start(ServerSettings::default()).await;
    let mut client = connected(&server, Connect::new("c").keep_alive(0)).await;
    // Nothing begun: it may be silent for as long as it likes.
    sleep(Duration::from_secs(1_000)).await;
    client.expect_alive().await;
    let begun = Instant::now();
    client.write(&announced(100)).await;
    sleep(Duration::from_secs(59)).await;
    client.write(&[0; 2 * 1024]).await;
    client.expect_end().await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    // What came at once gives no time for the rest.
    let mut large = connected(&server, Connect::new("large").keep_alive(0)).await;
    let begun = Instant::now();
    large.write(&announced(1_000_000)).await;
    large.expect_end().await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(server.counts().stalled, 2);
    // One that is slow, and fast enough.
    let mut slow = connected(&server, Connect::new("slow").keep_alive(0)).await;
    let bytes = Packet::from(Publish::new("t", vec![0; 200_000])).to_bytes().unwrap();
    for chunk in bytes.chunks(1_024) {
        slow.write(chunk).await;
        sleep(Duration::from_secs(1)).await;
    }
    slow.expect_alive().await;
    publisher.expect_alive().await;
    assert_eq!(server.counts().stalled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_does_not_wait_for_its_client_for_ever() {
    let (server, mut publisher) = start(ServerSettings::default()).await;
    let _deaf = subscribed(&server, "deaf", QoS::AtMostOnce).await;
    // To write that much could take minutes.
    publisher.send(Publish::new("t", vec![b'x'; 4 * 1024 * 1024])).await;
    publisher.expect_alive().await;
    let closed = Instant::now();
    let _other = connected(&server, Connect::new("deaf")).await;
    assert_eq!(server.counts().connections, 3);
    until(|| server.counts().connections == 2).await;
    assert_eq!(closed.elapsed().as_secs(), 60);
    assert_eq!(server.counts().cut_off, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_cut_off_leaves_nothing_behind() {
    let (server, mut publisher) = start(ServerSettings::default()).await;
    for _ in 0..3 {
        let deaf = subscribed(&server, "deaf", QoS::AtMostOnce).await;
        publisher.send(Publish::new("t", vec![b'x'; STREAM + 64 * 1024])).await;
        until(|| server.counts().connections == 1).await;
        drop(deaf);
    }
    assert_eq!(server.counts().cut_off, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_at_once_is_only_counted() -> io::Result<()> {
    let (server, mut publisher) = start(ServerSettings::default()).await;
    for _ in 0..100 {
        let mut stream = server.connect().await?;
        stream.shutdown().await?;
        assert_eq!(stream.read(&mut [0]).await?, 0);
    }
    publisher.expect_alive().await;
    let counts = server.counts();
    assert_eq!((counts.accepted, counts.connections), (101, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_gets_all_retained_messages_at_qos_0_too() {
    const MESSAGES: usize = 20_000;
    let (_server, mut publisher) = start(outbox(100, 10_000)).await;
    for number in 0..MESSAGES {
        publisher.send(Publish::new(format!("r/{number}"), "m").retain()).await;
    }
    publisher.expect_alive().await;
    publisher.subscribe("r/#", QoS::AtMostOnce).await;
    for _ in 0..MESSAGES {
        publisher.expect_publish().await;
    }
    publisher.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn retained_messages_leave_half_of_what_is_for_all() {
    let total = 1 << 20;
    let settings = ServerSettings { outbox_total_bytes: total, ..ServerSettings::default() };
    let (server, mut publisher) = start(settings).await;
    for number in 0..20_000 {
        publisher.send(Publish::new(format!("r/{number}"), "m").retain()).await;
    }
    publisher.expect_alive().await;
    let mut deaf = connected(&server, Connect::new("deaf")).await;
    deaf.send(reference_broker::codec::Subscribe::new(1, "r/#", QoS::AtMostOnce)).await;
    publisher.expect_alive().await;
    let counts = server.counts();
    // Each counts 256 bytes and its header.
    let kept = (20_000 - counts.dropped) * 265;
    assert!((total / 2 - 16_384..=total / 2 + 16_384).contains(&usize::try_from(kept).unwrap()));
}
