//! What the shell survives: engines and connections that panic, and its own end.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use client::{Client, PATIENCE, until};
use reference_broker::actor::{Engine, Server, ServerSettings, TapMessage};
use reference_broker::codec::{Connect, Packet, Publish, QoS, ReasonCode, Will};
use reference_broker::core::{Broker, Config, Input, Moment, Output};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// A core that panics on a payload.
struct Fragile(Broker);

const POISON: &str = "poison";

impl Engine for Fragile {
    fn handle(&mut self, now: Moment, input: Input) {
        if let Input::Received(_, Packet::Publish(publish)) = &input {
            assert_ne!(publish.payload, POISON, "the engine took poison");
        }
        self.0.handle(now, input);
    }

    fn next_output(&mut self) -> Option<Output> {
        self.0.next_output()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.0.next_deadline()
    }

    fn broker(&self) -> Option<&Broker> {
        Some(&self.0)
    }
}

/// A server with such engines, and how many there have been.
fn fragile() -> (Server, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let engines = move || -> Box<dyn Engine> {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::new(Fragile(Broker::new(Config::default())))
    };
    (Server::start_engines(engines, 1 << 20, ServerSettings::default(), None), count)
}

/// Publishes until the connection ends.
async fn flood(address: SocketAddr, name: String, begun: Arc<AtomicU32>) {
    let mut client = Client::tcp(address).await;
    client.connect(Connect::new(name).session_expiry(1_000)).await;
    client.subscribe("#", QoS::AtMostOnce).await;
    begun.fetch_add(1, Ordering::SeqCst);
    let publish = Packet::from(Publish::new("t", vec![b'x'; 100])).to_bytes().unwrap();
    let (mut source, mut sink) = tokio::io::split(client.stream);
    let reading = async { while matches!(source.read(&mut [0; 4096]).await, Ok(1..)) {} };
    let writing =
        async { while tokio::io::AsyncWriteExt::write_all(&mut sink, &publish).await.is_ok() {} };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_broker_is_replaced_under_load_on_the_same_port() {
    let before = Handle::current().metrics().num_alive_tasks();
    let (server, engines) = fragile();
    let address = server.listen(("127.0.0.1", 0)).await.unwrap();
    for round in 1..=7_u32 {
        let begun = Arc::new(AtomicU32::new(0));
        let flood = |n| tokio::spawn(flood(address, format!("flood{n}"), Arc::clone(&begun)));
        let floods: Vec<_> = (0..20).map(flood).collect();
        until(|| begun.load(Ordering::SeqCst) == 20).await;
        let mut killer = Client::tcp(address).await;
        killer.connect(Connect::new("killer")).await;
        killer.send(Publish::new("t", POISON)).await;
        while killer.next().await.is_some() {}
        // From the sixth time on there is a pause, in which more of them come than the supervisor
        // takes: the others wait in the accept queue.
        let mut waiting = Vec::new();
        for n in 0..50 {
            let mut client = Client::tcp(address).await;
            let connect = Connect::new(format!("flood{n}")).resume().session_expiry(1_000);
            client.send(connect).await;
            waiting.push(client);
        }
        for flood in floods {
            timeout(PATIENCE, flood).await.expect("closed").unwrap();
        }
        for client in &mut waiting {
            match client.expect().await {
                Packet::ConnAck(connack) => {
                    assert_eq!(connack.reason, ReasonCode::Success);
                    assert!(!connack.session_present, "its session is lost");
                }
                other => panic!("no CONNACK: {other:?}"),
            }
        }
        assert_eq!(server.counts().restarts, u64::from(round));
        assert_eq!(engines.load(Ordering::SeqCst), round + 1);
        drop(waiting);
        until(|| server.counts().connections == 0).await;
    }
    server.stop().await;
    until(|| Handle::current().metrics().num_alive_tasks() == before).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_dies_again_and_again_is_given_pauses_and_serves_those_who_waited() {
    let (server, engines) = fragile();
    let started = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let died = Instant::now();
        let mut client = Client::memory(&server).await;
        client.connect(Connect::new("c")).await;
        pauses.push(died.elapsed().as_millis());
        client.send(Publish::new("t", POISON)).await;
        client.expect_end().await;
    }
    assert_eq!(pauses, [0, 0, 0, 0, 0, 0, 100, 200]);
    assert_eq!(engines.load(Ordering::SeqCst), 8, "and no busy loop");
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("c")).await;
    assert_eq!(started.elapsed().as_millis(), 700);
    assert_eq!(server.counts().restarts, 8);
}

#[tokio::test(start_paused = true)]
async fn engines_that_cannot_even_be_made_are_given_pauses_too() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let engines = move || -> Box<dyn Engine> {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0..7 => panic!("no engine"),
            _ => Box::new(Broker::new(Config::default())),
        }
    };
    let server = Server::start_engines(engines, 1 << 20, ServerSettings::default(), None);
    let started = Instant::now();
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("c")).await;
    assert_eq!(started.elapsed().as_millis(), 300);
    assert_eq!(tries.load(Ordering::SeqCst), 8);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_a_broker_can_be_stopped() {
    let engines = || -> Box<dyn Engine> { panic!("no engine") };
    let server = Server::start_engines(engines, 1 << 20, ServerSettings::default(), None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = server.counts().restarts;
    assert!((10..=20).contains(&tries), "{tries}");
    let started = Instant::now();
    server.stop().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(server.connect().await.is_err());
}

#[tokio::test]
async fn a_server_with_one_engine_ends_with_it() {
    let engine = Box::new(Fragile(Broker::new(Config::default())));
    let server = Server::start_engine(engine, 1 << 20, None);
    let address = server.listen(("127.0.0.1", 0)).await.unwrap();
    let mut client = Client::tcp(address).await;
    client.connect(Connect::new("c")).await;
    client.send(Publish::new("t", POISON)).await;
    client.expect_end().await;
    let mut late = match tokio::net::TcpStream::connect(address).await {
        Ok(stream) => Client::over(stream),
        Err(_) => return,
    };
    late.expect_end().await;
}

/// A stream that panics when it is read, once so many bytes have come.
struct Cursed<S>(S, usize);

impl<S: AsyncRead + Unpin> AsyncRead for Cursed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.0).poll_read(context, buffer);
        self.1 = self.1.saturating_sub(buffer.filled().len() - before);
        assert_ne!(self.1, 0, "the stream is cursed");
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cursed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_panics_harms_only_itself() {
    let server = Server::start(Config::default());
    let mut watcher = Client::memory(&server).await;
    watcher.connect(Connect::new("watcher")).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    server.serve(Box::new(Cursed(theirs, 1_000))).await.unwrap();
    let mut cursed = Client::over(ours);
    cursed.connect(Connect::new("cursed").will(Will::new("will", "gone"))).await;
    cursed.send(Publish::new("t", vec![0; 1_000])).await;
    assert_eq!(watcher.expect_publish().await.payload, "gone", "the broker is told of its end");
    cursed.expect_end().await;
    watcher.expect_alive().await;
    let counts = server.counts();
    assert_eq!((counts.panicked, counts.restarts, counts.connections), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_takes_leave_of_its_clients() {
    let server = Arc::new(Server::start(Config::default()));
    let mut client = Client::memory(&server).await;
    let mut silent = Client::memory(&server).await;
    client.connect(Connect::new("c")).await;
    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop_within(Duration::MAX).await }
    });
    let started = Instant::now();
    client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    client.expect_end().await;
    silent.expect_end().await;
    drop((client, silent));
    stopping.await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO, "there is nobody to wait for");
    assert!(server.connect().await.is_err());
    assert_eq!(server.counts().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_publishes_the_wills_of_its_clients() {
    let server = Server::start(Config { reports_published: true, ..Config::default() });
    let (tell, mut told) = mpsc::unbounded_channel();
    let tap = move |message: TapMessage| {
        let tell = tell.clone();
        async move { tell.send(message.payload().clone()).unwrap() }
    };
    server.tap("will", tap).await.unwrap();
    let mut dying = Client::memory(&server).await;
    dying.connect(Connect::new("dying").will(Will::new("will", "gone"))).await;
    // Leave is taken of one after the other: of this one later, so it sees the Will.
    let mut watcher = Client::memory(&server).await;
    watcher.connect(Connect::new("watcher")).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let clients = async {
        dying.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        dying.expect_end().await;
        assert_eq!(watcher.expect_publish().await.payload, "gone");
        watcher.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        watcher.expect_end().await;
        drop((dying, watcher));
    };
    tokio::join!(server.stop(), clients);
    assert_eq!(told.try_recv().unwrap(), "gone");
    assert!(told.try_recv().is_err(), "once");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_slow_clients_until_its_deadline() {
    let server = Arc::new(Server::start(Config::default()));
    let mut slow = Client::memory(&server).await;
    let mut deaf = Client::memory(&server).await;
    let mut publisher = Client::memory(&server).await;
    for (client, name) in [(&mut slow, "slow"), (&mut deaf, "deaf")] {
        client.connect(Connect::new(name)).await;
        client.subscribe("t", QoS::AtMostOnce).await;
    }
    publisher.connect(Connect::new("publisher")).await;
    // More than the stream holds, so that what comes behind has to wait.
    publisher.send(Publish::new("t", vec![b'x'; 300 * 1024])).await;
    publisher.expect_alive().await;
    let started = Instant::now();
    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop_within(Duration::from_secs(5)).await }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!stopping.is_finished());
    assert_eq!(slow.expect_publish().await.payload.len(), 300 * 1024);
    slow.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    slow.expect_end().await;
    drop(slow);
    stopping.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 5);
    let counts = server.counts();
    assert_eq!((counts.connections, counts.cut_off), (0, 1), "{counts:?}");
}

#[tokio::test]
async fn the_core_can_be_looked_at() {
    let config = Config { receive_maximum: 7, ..Config::default() };
    let server = Server::start(config);
    assert_eq!(server.inspect(|broker| broker.config().receive_maximum).await.unwrap(), 7);
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("c")).await;
    let failed = server.inspect(|_| -> u16 { panic!("looked too closely") }).await;
    assert!(failed.is_err());
    client.expect_alive().await;
    assert_eq!(server.counts().restarts, 0);
    server.stop().await;
    assert!(server.inspect(|broker| broker.config().receive_maximum).await.is_err());
}
