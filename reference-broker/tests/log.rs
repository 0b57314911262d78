//! What the log tells of losses and deaths. Alone in its file: what is logged is decided for a whole
//! process.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Client;
use reference_broker::actor::{Bound, Engine, Server, TapOptions};
use reference_broker::codec::{Connect, Publish};
use reference_broker::core::{Config, Input, Moment, Output};
use tokio::sync::Semaphore;
use tracing::field::{Field, Visit};
use tracing::span;

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_of_losses_when_they_begin_seldom_and_when_they_end() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let server = Server::start(Config { reports_published: true, ..Config::default() });
    let mut publisher = Client::memory(&server).await;
    publisher.connect(Connect::new("publisher")).await;
    let gate = Arc::new(Semaphore::new(0));
    let options = TapOptions { queue: Bound { items: 5, ..TapOptions::default().queue } };
    let tap = {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move { gate.acquire().await.unwrap().forget() }
        }
    };
    let tap = server.tap_with("t", options, tap).await.unwrap();
    for _ in 0..106 {
        publisher.send(Publish::new("t", "")).await;
    }
    publisher.expect_alive().await;
    assert_eq!(tap.counts().dropped, 100);
    let totals = |log: &Log| {
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        let total = |line: &String| {
            let (_, rest) = line.split_once("total=")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        };
        lines.iter().filter_map(total).collect::<Vec<_>>()
    };
    assert_eq!(totals(&log), [1, 2, 4, 8, 16, 32, 64]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.add_permits(6);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(totals(&log), [100], "it has caught up");
    // It falls behind once more, and does not catch up.
    for _ in 0..10 {
        publisher.send(Publish::new("t", "")).await;
    }
    publisher.expect_alive().await;
    assert_eq!(totals(&log), [0; 0]);
    drop(publisher);
    server.stop().await;
    assert_eq!(tap.counts().dropped, 100 + 4 + 5, "those that waited, too");
    assert_eq!(totals(&log), [109]);
}

/// An engine that dies of the first client.
struct Dying;

impl Engine for Dying {
    fn handle(&mut self, _: Moment, input: Input) {
        panic!("cannot bear {input:?}");
    }

    fn next_output(&mut self) -> Option<Output> {
        None
    }

    fn next_deadline(&self) -> Option<Moment> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_what_a_broker_died_of() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let server = Server::start_engine(Box::new(Dying), 1_000, None);
    let mut client = Client::memory(&server).await;
    client.expect_end().await;
    let lines = log.0.lock().unwrap().clone();
    let told = |line: &&String| line.contains("the broker died");
    let line = lines.iter().find(told).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(line.contains("panic=\"cannot bear Opened(ConnectionId(1))\""), "{line}");
    let end = lines.iter().any(|line| line.contains("there is no other"));
    assert!(end, "{lines:?}");
}
