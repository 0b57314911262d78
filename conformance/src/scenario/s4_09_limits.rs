//! Section 4.9: Flow control, where it meets other limits, and of what the broker receives.

use std::time::Duration;

use reference_broker::codec::{Packet, PacketType, PropertyId, Publish, QoS, ReasonCode};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.9/expired-behind-window",
        expired_behind_window,
        "A message that expires while it waits for room is left out, and the next one comes",
        ["MQTT-3.3.2-5", "U-4.9-2"]
    )
    .needs(QOS1)
    .timed(3),
    scenario!(
        "4.9/too-large-behind-window",
        too_large_behind_window,
        "A message too large for the client takes no place in its window",
        ["MQTT-3.1.2-25", "U-4.9-2"]
    )
    .needs(QOS1),
    scenario!(
        "4.9/server-maximum-reached",
        server_maximum_reached,
        "As many open QoS 2 messages as the server's Receive Maximum are taken, again and again",
        ["MQTT-4.3.3-8", "U-3.3.4-9"]
    )
    .needs(FEW),
    scenario!(
        "4.9/server-maximum-exceeded",
        server_maximum_exceeded,
        "One open message more than the server's Receive Maximum closes the connection, 0x93",
        ["MQTT-4.13.1-1", "U-3.3.4-9", "U-3.14.2.1-13"]
    )
    .breaks(&["MQTT-3.3.4-7"])
    .needs(FEW),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const FEW: &[Need] = &[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(1, 1000)];

async fn expired_behind_window(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("expiring");
    let mut alice = stage
        .connected_with("alice", |connect| connect.with(PropertyId::ReceiveMaximum, 1))
        .await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "first", QoS::AtLeastOnce).await?;
    let first = alice.holds(&topic, "first").await?;
    for _ in 0..3 {
        let id = bob.packet_id();
        let publish = Publish::new(topic.as_str(), "short-lived")
            .qos(QoS::AtLeastOnce, id)
            .with(PropertyId::MessageExpiryInterval, 1);
        bob.publish_with(publish).await?;
    }
    stage.wait(Duration::from_secs(3)).await;
    alice.has_full_window().await?;
    alice.acknowledge(&first).await?;
    bob.publish(&topic, "next", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "next").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn too_large_behind_window(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("sizes");
    let mut alice = stage
        .connected_with("alice", |connect| {
            connect.with(PropertyId::ReceiveMaximum, 1).with(PropertyId::MaximumPacketSize, 300)
        })
        .await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "first", QoS::AtLeastOnce).await?;
    let first = alice.holds(&topic, "first").await?;
    for _ in 0..3 {
        bob.publish(&topic, &"too large ".repeat(50), QoS::AtLeastOnce).await?;
    }
    bob.publish(&topic, "second", QoS::AtLeastOnce).await?;
    alice.acknowledge(&first).await?;
    stage.claims();
    alice.receives(&topic, "second").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

/// A Packet Identifier that [`filled`] leaves free.
const FIRST: u16 = 30_000;

/// Opens QoS 2 exchanges, as many as the server's Receive Maximum, as far as PUBREC.
async fn filled(stage: &Stage, alice: &mut Probe, topic: &str) -> Outcome<Vec<u16>> {
    // Above the identifiers that the probe gives to other messages.
    let ids: Vec<u16> = (1..=stage.capabilities().receive_maximum()).map(|n| FIRST + n).collect();
    for id in &ids {
        alice.send(Publish::new(topic, "open").qos(QoS::ExactlyOnce, *id)).await?;
        alice.pubrec(*id).await?;
    }
    alice.ping().await?;
    Ok(ids)
}

async fn server_maximum_reached(stage: &mut Stage) -> Outcome {
    let (open, topic) = (stage.topic("open"), stage.topic("other"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    stage.claims();
    let ids = filled(stage, &mut alice, &open).await?;
    // Each that completes makes room for another, at QoS 1 and at QoS 2. PUBREL come in the order of
    // PUBREC: what is opened anew stays open.
    for id in ids.into_iter().take(4) {
        alice.release(id).await?;
        alice.publish(&topic, "one more", QoS::AtLeastOnce).await?;
        stage.means();
        bob.receives(&topic, "one more").await?;
        stage.claims();
        alice.publish(&topic, "and more", QoS::AtLeastOnce).await?;
        stage.means();
        bob.receives(&topic, "and more").await?;
        stage.claims();
        alice.send(Publish::new(open.as_str(), "open again").qos(QoS::ExactlyOnce, id)).await?;
        alice.pubrec(id).await?;
    }
    alice.has_no(PacketType::Disconnect).await
}

async fn server_maximum_exceeded(stage: &mut Stage) -> Outcome {
    let (open, topic) = (stage.topic("open"), stage.topic("other"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "before", QoS::ExactlyOnce).await?;
    bob.receives(&topic, "before").await?;
    filled(stage, &mut alice, &open).await?;
    alice.send(Publish::new(open.as_str(), "too many").qos(QoS::ExactlyOnce, FIRST)).await?;
    // What a server uses to enforce its maximum is told; that it has to is not.
    stage.claims();
    let Some(ack) = alice.pubrec_or_close(FIRST).await? else {
        return alice.closes_for(ReasonCode::ReceiveMaximumExceeded).await;
    };
    if alice.is_open().await? {
        let expected = "DISCONNECT 0x93 and the connection closed";
        stage.advise("U-3.3.4-9", expected, packet_text(&Packet::PubRec(ack)));
    }
    Ok(())
}
