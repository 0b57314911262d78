//! Section 4.3: Quality of Service, the broker as sender.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Packet, PacketType, PropertyId, Publish, PublishAck, QoS, ReasonCode,
};

use super::copies::{is_repeated, numbered};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.3/first-copies-without-dup",
        first_copies_without_dup,
        "A first copy has DUP 0 at every QoS, whatever DUP its publisher set",
        ["MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-3.3.1-3"]
    )
    .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"])
    .needs(QOS1),
    scenario!(
        "4.3/unused-identifiers",
        unused_identifiers,
        "Messages that are open towards a client at the same time have identifiers of their own",
        ["MQTT-4.3.2-1", "MQTT-4.3.3-1"]
    )
    .needs(QOS2),
    scenario!(
        "4.3/pubrel-follows-pubrec",
        pubrel_follows_pubrec,
        "PUBREC in each of its lengths is answered by PUBREL with the same identifier",
        ["MQTT-4.3.3-4"]
    )
    .plain(&[step::PUBREL])
    .needs(QOS2),
    scenario!(
        "4.3/error-pubrec-ends-exchange",
        error_pubrec_ends_exchange,
        "PUBREC with an error ends the exchange: no PUBREL follows, and the next message comes",
        ["MQTT-4.3.3-4", "U-4.3.3-1"]
    )
    .needs(QOS2),
    scenario!(
        "4.3/pubcomp-in-any-order",
        pubcomp_in_any_order,
        "Exchanges with a subscriber complete in whatever order it sends PUBCOMP",
        ["MQTT-4.3.3-5", "MQTT-4.4.0-1", "MQTT-4.3.3-4"]
    )
    .needs(QOS2),
    scenario!(
        "4.3/wrong-acknowledgement",
        wrong_acknowledgement,
        "An acknowledgement of the other QoS does not acknowledge a message",
        ["MQTT-4.3.2-3", "MQTT-4.3.3-3"]
    )
    .breaks(&["MQTT-3.3.4-1"])
    .needs(QOS1),
    scenario!(
        "4.3/qos2-sent-does-not-expire",
        qos2_sent_does_not_expire,
        "A QoS 2 message whose PUBLISH was sent is sent again on resume even after its expiry",
        ["MQTT-4.3.3-7", "MQTT-4.4.0-1"]
    )
    .needs(QOS2)
    .timed(3),
    scenario!(
        "4.3/subscribers-are-independent",
        subscribers_are_independent,
        "A subscriber that acknowledges nothing holds up no other, and gets the rest later",
        ["U-4.3-1"]
    )
    .needs(QOS1),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

async fn first_copies_without_dup(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let cases = [
        (QoS::AtMostOnce, "MQTT-4.3.1-1"),
        (QoS::AtLeastOnce, "MQTT-4.3.2-2"),
        (QoS::ExactlyOnce, "MQTT-4.3.3-2"),
    ];
    let levels = stage.acknowledged_levels();
    for (granted, requirement) in cases {
        if granted != QoS::AtMostOnce && !levels.contains(&granted) {
            continue;
        }
        stage.proving(requirement);
        stage.means();
        let topic = stage.topic(&format!("granted{}", granted.value()));
        alice.subscribe(&topic, granted).await?;
        for published in &levels {
            let id = bob.packet_id();
            let publish = Publish::new(topic.as_str(), "fresh").qos(*published, id).dup();
            bob.publish_with(publish).await?;
            let publish = alice.receives(&topic, "fresh").await?;
            let qos = granted.min(*published);
            let expected =
                format!("{} and DUP 0, published at {} with DUP 1", qos.said(), published.said());
            let observed = format!("QoS {} and DUP {}", publish.qos.value(), u8::from(publish.dup));
            let is_granted = publish.qos == qos;
            stage.stands_on("MQTT-3.8.4-8", is_granted, &expected, observed.as_str())?;
            stage.check(!publish.dup, &expected, observed)?;
        }
    }
    Ok(())
}

async fn unused_identifiers(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("open");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    // One exchange stays open while identifiers come and go.
    bob.publish(&topic, "held", QoS::ExactlyOnce).await?;
    let held = alice.holds(&topic, "held").await?;
    alice.takes_up_to_pubrel(&held).await?;
    for payload in numbered(10) {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
            bob.publish(&topic, &payload, qos).await?;
        }
        // As many as the target cares to have on their way at once.
        let open = alice.messages_now().await?;
        let ids = || open.iter().map(|publish| publish.packet_id).chain([held.packet_id]);
        let different: BTreeSet<u16> = ids().collect();
        let observed = ids().collect::<Vec<_>>().said();
        stage.check(different.len() == open.len() + 1, "identifiers all different", observed)?;
        for publish in &open {
            alice.acknowledge(publish).await?;
        }
    }
    alice.complete(held.packet_id).await
}

async fn pubrel_follows_pubrec(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("released");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    // Without a code, with a code, with a code and a length of properties, and with a property.
    let tails: [&[u8]; 4] = [&[], &[0], &[0, 0], &[0, 6, 0x1F, 0, 3, b'y', b'e', b's']];
    for tail in tails {
        bob.publish(&topic, "exactly once", QoS::ExactlyOnce).await?;
        let publish = alice.holds(&topic, "exactly once").await?;
        let [high, low] = publish.packet_id.to_be_bytes();
        let length = u8::try_from(2 + tail.len()).unwrap_or_default();
        let bytes: Bytes = [&[0x50, length, high, low], tail].concat().into();
        alice.send_bytes(bytes).await?;
        stage.claims();
        let pubrel = alice.pubrel(publish.packet_id).await?;
        stage.check(!pubrel.reason.is_error(), "PUBREL 0x00", pubrel.reason.said())?;
        stage.means();
        alice.complete(publish.packet_id).await?;
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn error_pubrec_ends_exchange(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("refused");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for reason in [
        ReasonCode::UnspecifiedError,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::TopicNameInvalid,
        ReasonCode::QuotaExceeded,
    ] {
        bob.publish(&topic, "unwanted", QoS::ExactlyOnce).await?;
        let publish = alice.holds(&topic, "unwanted").await?;
        alice.answer_with(&publish, reason).await?;
        alice.has_no(PacketType::PubRel).await?;
    }
    stage.proving("U-4.3.3-1");
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn pubcomp_in_any_order(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("completed");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for payload in ["1", "2", "3"] {
        bob.publish(&topic, payload, QoS::ExactlyOnce).await?;
    }
    let mut open = vec![alice.holds(&topic, "1").await?];
    open.append(&mut alice.messages_now().await?);
    stage.proving("MQTT-4.3.3-4");
    for publish in &open {
        alice.takes_up_to_pubrel(publish).await?;
    }
    stage.proving("MQTT-4.3.3-5");
    for publish in open.iter().rev() {
        alice.complete(publish.packet_id).await?;
    }
    stage.means();
    // A target that has fewer on their way at once sends the rest now.
    for payload in ["1", "2", "3"].iter().skip(open.len()) {
        alice.receives(&topic, payload).await?;
    }
    alice.ping().await?;
    alice.vanish().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.proving("MQTT-4.4.0-1");
    alice.has_no(PacketType::PubRel).await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn wrong_acknowledgement(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("wrong{}", qos.value()));
        stage.proving(match qos {
            QoS::ExactlyOnce => "MQTT-4.3.3-3",
            _ => "MQTT-4.3.2-3",
        });
        stage.means();
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&topic, qos).await?;
        bob.publish(&topic, "unacknowledged", qos).await?;
        let publish = alice.holds(&topic, "unacknowledged").await?;
        let ack = PublishAck::new(publish.packet_id);
        // Nothing is laid down for these: a broker may pass them over, or close.
        alice
            .send(match qos {
                QoS::ExactlyOnce => Packet::PubAck(ack),
                _ => Packet::PubRec(ack),
            })
            .await?;
        alice.vanish().await?;

        let mut alice = stage.resumed("alice", 60).await?;
        stage.claims();
        let again = alice.receives(&topic, "unacknowledged").await?;
        is_repeated(stage, &publish, &again)?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn qos2_sent_does_not_expire(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("lasting");
    let mut alice = stage.with_session("alice", 60).await?;
    stage.is_kept_for(&alice, 6)?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let id = bob.packet_id();
    let publish = Publish::new(topic.as_str(), "short-lived")
        .qos(QoS::ExactlyOnce, id)
        .with(PropertyId::MessageExpiryInterval, 3);
    bob.publish_with(publish).await?;
    let publish = alice.holds(&topic, "short-lived").await?;
    alice.vanish().await?;
    stage.wait(Duration::from_secs(4)).await;

    let mut alice = stage.resumed("alice", 60).await?;
    stage.claims();
    let again = alice.receives(&topic, "short-lived").await?;
    is_repeated(stage, &publish, &again)?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn subscribers_are_independent(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("crowd");
    let mut slow =
        stage.connected_with("slow", |connect| connect.with(PropertyId::ReceiveMaximum, 1)).await?;
    slow.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut quick = stage.connected("quick").await?;
    quick.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut light = stage.connected("light").await?;
    light.subscribe(&topic, QoS::AtMostOnce).await?;
    stage.serves(&mut quick).await?;
    let mut bob = stage.connected("bob").await?;
    let payloads = numbered(8);
    for payload in &payloads {
        bob.publish(&topic, payload, QoS::AtLeastOnce).await?;
        stage.claims();
        quick.receives(&topic, payload).await?;
        light.receives(&topic, payload).await?;
        stage.means();
    }
    stage.claims();
    for payload in &payloads {
        slow.receives(&topic, payload).await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut slow).await
}
