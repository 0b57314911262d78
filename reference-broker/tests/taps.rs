//! Taps: functions in the process that get what is published.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, PATIENCE};
use reference_broker::actor::{
    Bound, Engine, Server, ServerSettings, TapCounts, TapError, TapMessage, TapMode, TapOptions,
};
use reference_broker::codec::{Connect, PropertyId, Publish, QoS, Will};
use reference_broker::core::{Broker, Config, Input, Moment, Output, Published};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

fn config() -> Config {
    Config { reports_published: true, ..Config::default() }
}

/// A server, and a client called `publisher`.
async fn server() -> (Server, Client<DuplexStream>) {
    let server = Server::start(config());
    let publisher = publisher(&server).await;
    (server, publisher)
}

async fn publisher(server: &Server) -> Client<DuplexStream> {
    let mut publisher = Client::memory(server).await;
    publisher.connect(Connect::new("publisher")).await;
    publisher
}

fn queue(items: usize) -> TapOptions {
    TapOptions { queue: Bound { items, ..TapOptions::default().queue } }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(PATIENCE, receiver.recv()).await.expect("a call").expect("a tap")
}

#[tokio::test(start_paused = true)]
async fn a_tap_gets_what_was_published_with_its_captures() {
    let (server, mut publisher) = server().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let tap = move |message| {
        let tell = tell.clone();
        async move { tell.send(message).unwrap() }
    };
    server.tap("sensors/{room}/{rest...}", tap).await.unwrap();
    publisher.send(Publish::new("other/kitchen/t", "no")).await;
    let publish = Publish::new("sensors/kitchen/air/humidity", "40 %").retain();
    let publish = publish.qos(QoS::AtLeastOnce, 1).with(PropertyId::ContentType, "text/plain");
    publisher.send(publish).await;
    let message = next(&mut told).await;
    assert_eq!(message.topic().as_str(), "sensors/kitchen/air/humidity");
    assert_eq!(message.get("room"), Some("kitchen"));
    assert_eq!(message.get("rest"), Some("air/humidity"));
    assert_eq!(message.get("floor"), None);
    assert_eq!(message.payload(), "40 %");
    assert_eq!((message.qos(), message.retain()), (QoS::AtLeastOnce, true));
    assert_eq!(&**message.properties().text(PropertyId::ContentType).unwrap(), "text/plain");
    assert_eq!(&**message.publisher(), "publisher");
    assert!(told.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_to_all_taps_concerned_in_order_wills_too() {
    let (server, mut publisher) = server().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    for pattern in ["t/#", "t/{n}", "will"] {
        let tell = tell.clone();
        let tap = move |message: TapMessage| {
            let tell = tell.clone();
            async move { tell.send((pattern, message.topic().to_string())).unwrap() }
        };
        server.tap(pattern, tap).await.unwrap();
    }
    for n in 0..100 {
        publisher.send(Publish::new(format!("t/{n}"), "")).await;
    }
    let mut calls = Vec::new();
    for _ in 0..200 {
        calls.push(next(&mut told).await);
    }
    for pattern in ["t/#", "t/{n}"] {
        let own = calls.iter().filter(|(tap, _)| *tap == pattern).map(|(_, topic)| topic.clone());
        assert_eq!(own.collect::<Vec<_>>(), (0..100).map(|n| format!("t/{n}")).collect::<Vec<_>>());
    }
    let mut dying = Client::memory(&server).await;
    dying.connect(Connect::new("dying").will(Will::new("will", ""))).await;
    drop(dying);
    assert_eq!(next(&mut told).await, ("will", "will".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_hangs_harms_nobody_and_misses_the_newest() {
    let (server, mut publisher) = server().await;
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    let hanging = {
        let (gate, tell) = (Arc::clone(&gate), tell.clone());
        move |message: TapMessage| {
            let (gate, tell) = (Arc::clone(&gate), tell.clone());
            async move {
                gate.acquire().await.unwrap().forget();
                tell.send(message.payload().clone()).unwrap();
            }
        }
    };
    let (tell_other, mut told_other) = mpsc::unbounded_channel();
    let other = move |message: TapMessage| {
        let tell = tell_other.clone();
        async move { tell.send(message.payload().clone()).unwrap() }
    };
    let hanging = server.tap_with("t", queue(10), hanging).await.unwrap();
    let other = server.tap_with("t", queue(10), other).await.unwrap();
    for n in 0..100 {
        publisher.send(Publish::new("t", n.to_string())).await;
        assert_eq!(next(&mut told_other).await, n.to_string());
    }
    publisher.expect_alive().await;
    let counts = TapCounts { taken: 1, finished: 0, panicked: 0, dropped: 89 };
    assert_eq!(hanging.counts(), counts);
    assert_eq!(server.counts().tap_queued, 10);
    gate.add_permits(11);
    for n in 0..11 {
        assert_eq!(next(&mut told).await, n.to_string(), "the oldest are kept");
    }
    publisher.send(Publish::new("t", "later")).await;
    gate.add_permits(1);
    assert_eq!(next(&mut told).await, "later");
    assert_eq!((other.counts().dropped, server.counts().tap_dropped), (0, 89));
    assert_eq!(server.counts().tap_queued, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_tap_is_bounded_in_bytes_too() {
    let (server, mut publisher) = server().await;
    let options = TapOptions { queue: Bound { items: 100, bytes: 1_000 } };
    let tap = server.tap_with("t", options, |_| pending()).await.unwrap();
    for _ in 0..5 {
        publisher.send(Publish::new("t", vec![0; 499])).await; // 500 bytes, with the topic.
        publisher.expect_alive().await;
    }
    assert_eq!((tap.counts().taken, tap.counts().dropped), (1, 3), "one in hand, and one waits");
}

/// A core that tells of every message so many times, numbered in all bytes of the payload, before anybody
/// else has a turn.
struct Bursting {
    core: Broker,
    times: u8,
    outputs: VecDeque<Output>,
    begun: Arc<Notify>,
}

impl Engine for Bursting {
    fn handle(&mut self, now: Moment, input: Input) {
        self.core.handle(now, input);
        while let Some(output) = self.core.next_output() {
            match output {
                Output::Published(message) => {
                    self.begun.notify_one();
                    let payload = |n| vec![n; message.payload.len()].into();
                    let numbered = |n| Published { payload: payload(n), ..message.clone() };
                    self.outputs.extend((0..self.times).map(numbered).map(Output::Published));
                }
                output => self.outputs.push_back(output),
            }
        }
    }

    fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.core.next_deadline()
    }
}

/// A server with such cores, and what is told when one bursts.
fn bursting(times: u8, settings: ServerSettings) -> (Server, Arc<Notify>) {
    let begun = Arc::new(Notify::new());
    let tell = Arc::clone(&begun);
    let engines = move || -> Box<dyn Engine> {
        let (core, outputs, begun) = (Broker::new(config()), VecDeque::new(), Arc::clone(&tell));
        Box::new(Bursting { core, times, outputs, begun })
    };
    (Server::start_engines(engines, 1 << 20, settings, None), begun)
}

/// Which of a burst of so many messages of 100 bytes a tap gets through an inbox of this size. What it
/// does not get is counted.
async fn through(tap_inbox: Bound, times: u8) -> Vec<u8> {
    let settings = ServerSettings { tap_inbox, ..ServerSettings::default() };
    let (server, _) = bursting(times, settings);
    let (tell, mut told) = mpsc::unbounded_channel();
    let tap = move |message: TapMessage| {
        let tell = tell.clone();
        async move { tell.send(message.payload()[0]).unwrap() }
    };
    let tap = server.tap("t", tap).await.unwrap();
    let mut publisher = publisher(&server).await;
    publisher.send(Publish::new("t", vec![b'x'; 99])).await;
    publisher.expect_alive().await;
    drop(publisher);
    server.stop().await;
    let mut got = Vec::new();
    while let Ok(number) = told.try_recv() {
        got.push(number);
    }
    let lost = u64::from(times) - got.len() as u64;
    assert_eq!((tap.counts().taken, tap.counts().dropped), (got.len() as u64, lost));
    assert_eq!((server.counts().tap_dropped, server.counts().tap_inbox), (lost, 0));
    got
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_all_taps_is_bounded_in_messages_and_bytes() {
    let messages = Bound { items: 4, bytes: 1 << 20 };
    assert_eq!(through(messages, 4).await, [0, 1, 2, 3]);
    assert_eq!(through(messages, 5).await, [0, 1, 2, 3], "the newest is dropped");
    let bytes = |bytes| Bound { items: 100, bytes };
    assert_eq!(through(bytes(400), 4).await, [0, 1, 2, 3]);
    assert_eq!(through(bytes(400), 5).await, [0, 1, 2, 3], "the newest is dropped");
    assert_eq!(through(bytes(399), 4).await, [0, 1, 2]);
}

#[test]
fn what_waits_for_all_taps_when_everything_ends_is_counted() {
    // The test has its turn after that of each task, so before that of the TapActor.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).event_interval(1).build().unwrap();
    let (server, tap) = runtime.block_on(async {
        let (server, begun) = bursting(10, ServerSettings::default());
        let tap = server.tap("t", |_| async {}).await.unwrap();
        let mut publisher = publisher(&server).await;
        publisher.send(Publish::new("t", "x")).await;
        begun.notified().await;
        (server, tap)
    });
    assert_eq!((server.counts().tap_inbox, tap.counts()), (10, TapCounts::default()));
    drop(runtime);
    assert_eq!(tap.counts(), TapCounts { dropped: 10, ..TapCounts::default() });
    assert_eq!((server.counts().tap_inbox, server.counts().tap_dropped), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_brokers_loop_when_it_ends_is_counted() {
    let settings = ServerSettings { tap_mode: TapMode::Inline, ..ServerSettings::default() };
    let (server, begun) = bursting(10, settings);
    let tap = server.tap("t", |_| pending()).await.unwrap();
    let mut publisher = publisher(&server).await;
    publisher.send(Publish::new("t", "x")).await;
    begun.notified().await;
    server.stop_within(Duration::from_secs(1)).await;
    assert_eq!(tap.counts(), TapCounts { taken: 1, dropped: 9, ..TapCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_panics_goes_on_with_the_next_message() {
    let (server, mut publisher) = server().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let tap = move |message: TapMessage| {
        assert_ne!(message.payload(), "before", "panics before there is a future");
        let tell = tell.clone();
        async move {
            assert_ne!(message.payload(), "within", "panics within");
            tell.send(message.payload().clone()).unwrap();
        }
    };
    let tap = server.tap("t", tap).await.unwrap();
    for payload in ["1", "before", "2", "within", "3"] {
        publisher.send(Publish::new("t", payload)).await;
    }
    for payload in ["1", "2", "3"] {
        assert_eq!(next(&mut told).await, payload);
    }
    publisher.expect_alive().await;
    let counts = TapCounts { taken: 5, finished: 5, panicked: 2, dropped: 0 };
    assert_eq!(tap.counts(), counts);
    assert_eq!((server.counts().tap_panicked, server.counts().restarts), (2, 0));
}

/// A core that panics on a payload.
struct Fragile(Broker);

impl Engine for Fragile {
    fn handle(&mut self, now: Moment, input: Input) {
        if let Input::Received(_, reference_broker::codec::Packet::Publish(publish)) = &input {
            assert_ne!(publish.payload, "poison", "the engine took poison");
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

#[tokio::test(start_paused = true)]
async fn taps_and_their_counts_outlive_a_broker() {
    let engines = || -> Box<dyn Engine> { Box::new(Fragile(Broker::new(config()))) };
    let server = Server::start_engines(engines, 1 << 20, ServerSettings::default(), None);
    let tap = server.tap_with("t", queue(3), |_| pending()).await.unwrap();
    for round in 1..=3 {
        let mut publisher = publisher(&server).await;
        for _ in 0..10 {
            publisher.send(Publish::new("t", "")).await;
            publisher.expect_alive().await;
        }
        assert_eq!((tap.counts().taken, tap.counts().dropped), (1, round * 10 - 4));
        publisher.send(Publish::new("t", "poison")).await;
        publisher.expect_end().await;
    }
    assert_eq!((server.counts().restarts, server.counts().tap_dropped), (3, 26));
}

#[tokio::test(start_paused = true)]
async fn a_tap_may_be_taken_away() {
    let (server, mut publisher) = server().await;
    let tap = server.tap("t", |_| async {}).await.unwrap();
    publisher.send(Publish::new("t", "")).await;
    publisher.expect_alive().await;
    server.untap(&tap).await;
    publisher.send(Publish::new("t", "")).await;
    publisher.expect_alive().await;
    assert_eq!((tap.counts().finished, tap.counts().dropped), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tap_may_take_what_waits_until_the_server_has_stopped() {
    let (server, mut publisher) = server().await;
    let slow = |_| tokio::time::sleep(Duration::from_secs(1));
    let slow = server.tap("t", slow).await.unwrap();
    let hanging = server.tap("t", |_| pending()).await.unwrap();
    for _ in 0..4 {
        publisher.send(Publish::new("t", "")).await;
    }
    publisher.expect_alive().await;
    let started = Instant::now();
    drop(publisher);
    server.stop_within(Duration::from_secs(10)).await;
    assert_eq!(started.elapsed().as_secs(), 10);
    let counts = TapCounts { taken: 4, finished: 4, panicked: 0, dropped: 0 };
    assert_eq!(slow.counts(), counts);
    let counts = TapCounts { taken: 1, finished: 0, panicked: 0, dropped: 3 };
    assert_eq!(hanging.counts(), counts, "what it never got is counted");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_tap_is_refused_with_the_reason() {
    let (server, _publisher) = server().await;
    let error = server.tap("a/{b", |_| async {}).await.unwrap_err();
    assert!(matches!(error, TapError::Pattern(_)));
    assert_eq!(error.to_string(), "level '{b': a capture such as {name} takes a whole level");
    let silent = Server::start(Config::default());
    let error = silent.tap("a", |_| async {}).await.unwrap_err();
    assert!(matches!(error, TapError::NotReported));
    for _ in 0..1024 {
        server.tap("a", |_| async {}).await.unwrap();
    }
    let error = server.tap("a", |_| async {}).await.unwrap_err();
    assert!(matches!(error, TapError::TooMany));
    server.stop().await;
    let error = server.tap("a", |_| async {}).await.unwrap_err();
    assert!(matches!(error, TapError::Stopped(_)));
}

#[tokio::test(start_paused = true)]
async fn a_tap_in_the_brokers_loop_holds_everybody_up() {
    for (mode, waited) in [(TapMode::Inline, 10), (TapMode::Actor, 0)] {
        let settings = ServerSettings { tap_mode: mode, ..ServerSettings::default() };
        let server = Server::start_with_settings(config(), settings);
        let mut publisher = publisher(&server).await;
        let mut other = Client::memory(&server).await;
        other.connect(Connect::new("other")).await;
        let tap = server.tap("t", |_| tokio::time::sleep(Duration::from_secs(1))).await.unwrap();
        let started = Instant::now();
        for _ in 0..10 {
            publisher.send(Publish::new("t", "")).await;
        }
        publisher.expect_alive().await;
        other.expect_alive().await;
        assert_eq!(started.elapsed().as_secs(), waited, "{mode:?}");
        assert_eq!(tap.counts().finished, waited, "{mode:?}");
    }
}
