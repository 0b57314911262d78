//! Section 4.2: Network Connections.

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, Subscribe};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.2/byte-by-byte",
        byte_by_byte,
        "Packets that come in single bytes are the same packets",
        ["U-4.2-2", "MQTT-4.2-1"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "4.2/cut-anywhere",
        cut_anywhere,
        "A packet may be cut in two at any byte",
        ["U-4.2-2", "MQTT-4.2-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.2/many-in-one",
        many_in_one,
        "Packets that come together, CONNECT first, are each served",
        ["U-4.2-2", "MQTT-4.2-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::ReceiveMaximum(2, u16::MAX)]),
    scenario!(
        "4.2/large-message",
        large_message,
        "A message of many segments arrives whole, and so does what follows it",
        ["U-4.2-2", "MQTT-4.2-1"]
    )
    .needs(&[Need::PacketSize(LARGE + 1000)]),
];

/// The size of a large payload in bytes.
const LARGE: u32 = 200_000;

async fn byte_by_byte(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("bytes");
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    let mut alice = stage.open("alice").await?;
    stage.claims();
    alice.send_in_pieces(alice.connect_packet().keep_alive(3600), 1).await?;
    alice.connack().await?;
    alice.send_in_pieces(Subscribe::new(1, topic.as_str(), QoS::AtLeastOnce), 1).await?;
    let suback = alice.suback(1).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    let publish = Publish::new(topic.as_str(), "in pieces").qos(QoS::ExactlyOnce, 2);
    alice.send_in_pieces(publish, 1).await?;
    alice.pubrec(2).await?;
    alice.send_in_pieces(Packet::PubRel(PublishAck::new(2)), 1).await?;
    alice.pubcomp(2).await?;
    let publish = alice.holds(&topic, "in pieces").await?;
    alice.send_in_pieces(Packet::PubAck(PublishAck::new(publish.packet_id)), 1).await?;
    alice.send_in_pieces(Packet::PingReq, 1).await?;
    alice.pingresp().await?;
    stage.means();
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn cut_anywhere(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("cut");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let publish = |id| Publish::new(topic.as_str(), "cut in two").qos(QoS::AtLeastOnce, id);
    let length = Packet::from(publish(1)).encoded_len().unwrap_or_default();
    stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    stage.claims();
    for first in 1..length {
        let id = alice.packet_id();
        // Pieces of this size; from the middle on these are two.
        alice.send_in_pieces(publish(id), first).await?;
        alice.puback(id).await?;
        bob.receives(&topic, "cut in two").await?;
    }
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn many_in_one(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("together");
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    let mut alice = stage.open("alice").await?;
    let publish = |payload| Publish::new(topic.as_str(), payload);
    alice
        .send_together(&[
            alice.connect_packet().keep_alive(3600).into(),
            Subscribe::new(1, topic.as_str(), QoS::AtLeastOnce).into(),
            publish("first").qos(QoS::AtLeastOnce, 2).into(),
            Packet::PingReq,
            publish("second").qos(QoS::AtLeastOnce, 3).into(),
            Packet::PingReq,
        ])
        .await?;
    stage.claims();
    alice.connack().await?;
    let suback = alice.suback(1).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    for (id, payload) in [(2, "first"), (3, "second")] {
        alice.puback(id).await?;
        alice.receives(&topic, payload).await?;
        alice.pingresp().await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn large_message(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("large");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let payload: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    stage.claims();
    bob.publish_with(Publish::new(topic.as_str(), payload.clone()).qos(QoS::AtLeastOnce, 1))
        .await?;
    let publish = alice.message("PUBLISH with a large payload").await?;
    let observed = format!("{} bytes, or others", publish.payload.len());
    stage.check(publish.payload == payload, "the payload as published", observed)?;
    alice.acknowledge(&publish).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}
