//! Publishers and subscribers that are not equally fast: what is acknowledged with success arrives.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::time::Duration;

use client::Client;
use reference_broker::actor::Server;
use reference_broker::codec::{Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode};
use reference_broker::core::Config;
use tokio::io::DuplexStream;
use tokio::time::Instant;

/// How many messages may wait for one client.
const LIMIT: usize = 20;

/// How many are published at once, as many as may be.
const MESSAGES: usize = 100;

/// A subscriber that gets one message at a time, and a publisher that has sent its messages.
async fn flooded(server: &Server) -> (Client<DuplexStream>, Client<DuplexStream>) {
    let mut subscriber = Client::memory(server).await;
    let one_at_a_time = Connect::new("subscriber").with(PropertyId::ReceiveMaximum, 1_u32);
    subscriber.connect(one_at_a_time).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::memory(server).await;
    publisher.connect(Connect::new("publisher")).await;
    for id in (1..).take(MESSAGES) {
        publisher.send(Publish::new("t", "m").qos(QoS::AtLeastOnce, id)).await;
    }
    (subscriber, publisher)
}

fn server() -> Server {
    Server::start(Config { queue_limit: LIMIT, ..Config::default() })
}

/// How many of its messages the publisher is told are accepted.
async fn accepted(publisher: &mut Client<DuplexStream>) -> usize {
    let mut accepted = 0;
    for _ in 0..MESSAGES {
        match publisher.expect().await {
            Packet::PubAck(ack) => accepted += usize::from(ack.reason == ReasonCode::Success),
            other => panic!("expected PUBACK, not {other:?}"),
        }
    }
    accepted
}

/// How many messages the subscriber gets, which acknowledges each.
async fn delivered(subscriber: &mut Client<DuplexStream>, count: usize) {
    for _ in 0..count {
        match subscriber.expect().await {
            Packet::Publish(publish) => {
                subscriber.send(Packet::PubAck(PublishAck::new(publish.packet_id))).await;
            }
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }
    subscriber.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn publishers_wait_for_a_subscriber_that_comes_on() {
    let server = server();
    let (mut subscriber, mut publisher) = flooded(&server).await;
    let ((), accepted) =
        tokio::join!(delivered(&mut subscriber, MESSAGES), accepted(&mut publisher));
    assert_eq!(accepted, MESSAGES);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long_for_one_that_is_stuck_and_all_that_is_accepted_arrives() {
    let server = server();
    let began = Instant::now();
    let (mut subscriber, mut publisher) = flooded(&server).await;
    let accepted = accepted(&mut publisher).await;
    let waited = began.elapsed();
    assert_eq!(accepted, 1 + LIMIT, "one on its way, and those that may wait");
    assert!((2..4).contains(&waited.as_secs()), "{waited:?}");
    publisher.send(Publish::new("t", "m").qos(QoS::AtLeastOnce, 1)).await;
    assert!(matches!(publisher.expect().await, Packet::PubAck(ack) if ack.reason.is_error()));
    assert!(began.elapsed() < waited + Duration::from_secs(1), "it is left alone");
    delivered(&mut subscriber, accepted).await;
}
