//! Handshakes before a connection speaks MQTT: they hold up nobody, and not the end.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::future::pending;
use std::io;
use std::time::Duration;

use client::{Client, until};
use reference_broker::actor::{Accept, Arrival, Arrived, Server, ServerSettings};
use reference_broker::codec::Connect;
use reference_broker::core::Config;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep};

async fn start(settings: ServerSettings) -> (Server, Client<DuplexStream>) {
    let server = Server::start_with_settings(Config::default(), settings);
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("publisher")).await;
    (server, client)
}

/// A listener in memory, whose connections have a handshake: they become streams as the test says.
struct Handshakes(Mutex<mpsc::Receiver<Arrival>>);

impl Accept for Handshakes {
    async fn accept(&self) -> io::Result<Arrival> {
        match self.0.lock().await.recv().await {
            Some(arrival) => Ok(arrival),
            None => pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_holds_up_nobody_else_and_has_to_end_in_time() {
    let (server, _publisher) = start(ServerSettings::default()).await;
    let (arrive, arrivals) = mpsc::channel(10);
    server.listen_on(Handshakes(Mutex::new(arrivals))).await.unwrap();
    let (mut ours, theirs) = tokio::io::duplex(100);
    let never = Arrival::new(async move {
        pending::<()>().await;
        Ok(Arrived { stream: Box::new(theirs), is_local: true })
    });
    let panics = Arrival::new(async { panic!("a bad handshake") });
    let fails = Arrival::new(async { Err(io::ErrorKind::InvalidData.into()) });
    let (good, theirs) = tokio::io::duplex(100);
    let shakes = Arrival::new(async move {
        sleep(Duration::from_secs(1)).await;
        Ok(Arrived { stream: Box::new(theirs), is_local: true })
    });
    let started = Instant::now();
    for arrival in [never, panics, fails, shakes] {
        arrive.send(arrival).await.unwrap();
    }
    let mut good = Client::over(good);
    good.connect(Connect::new("good")).await;
    assert_eq!(started.elapsed().as_secs(), 1);
    assert_eq!(server.counts().failed_handshakes, 2);
    assert_eq!(ours.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(server.counts().failed_handshakes, 3);
}

#[tokio::test(start_paused = true)]
async fn who_is_ready_when_the_server_has_taken_leave_is_not_opened() {
    let (server, publisher) = start(ServerSettings::default()).await;
    drop(publisher);
    let (arrive, arrivals) = mpsc::channel(10);
    server.listen_on(Handshakes(Mutex::new(arrivals))).await.unwrap();
    let (late, theirs) = tokio::io::duplex(100);
    let shakes = Arrival::new(async move {
        sleep(Duration::from_secs(1)).await;
        Ok(Arrived { stream: Box::new(theirs), is_local: true })
    });
    arrive.send(shakes).await.unwrap();
    until(|| (server.counts().accepted, server.counts().connections) == (2, 1)).await;
    let mut late = Client::over(late);
    late.send(Connect::new("late")).await;
    let started = Instant::now();
    let (_, ()) = tokio::join!(server.stop_within(Duration::from_secs(20)), async {
        late.expect_end().await;
        assert_eq!(started.elapsed().as_secs(), 0, "within the second, less what was waited");
        drop(late);
    });
    assert_eq!(server.counts().cut_off, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_has_not_ended_does_not_hold_up_the_end() {
    let (server, publisher) = start(ServerSettings::default()).await;
    drop(publisher);
    let (arrive, arrivals) = mpsc::channel(10);
    server.listen_on(Handshakes(Mutex::new(arrivals))).await.unwrap();
    arrive.send(Arrival::new(pending())).await.unwrap();
    until(|| (server.counts().accepted, server.counts().connections) == (2, 1)).await;
    let started = Instant::now();
    server.stop().await;
    assert_eq!(started.elapsed().as_secs(), 0);
    assert_eq!(server.counts().cut_off, 0);
}
