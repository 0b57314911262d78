//! Sections 3.4 to 3.7: acknowledgements that refuse, that answer nothing, or that are of the wrong
//! kind.

use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};

use super::s3_04_acknowledgements::{nothing_again, one_by_one, publish_numbered};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.4/error-ends-delivery",
        puback_error,
        "PUBACK with an error ends a delivery: the next message comes, and that one not again",
        ["MQTT-4.4.0-2", "U-4.9-2", "U-4.13.2-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.4/unknown-changes-nothing",
        puback_unknown,
        "PUBACK and PUBCOMP for nothing that was sent leave deliveries and their number alone",
        ["U-4.9-3", "MQTT-4.3.2-3"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_1),
    scenario!(
        "3.4/not-for-qos-2",
        puback_for_qos2,
        "PUBACK does not stand for the PUBREC of a QoS 2 delivery",
        ["MQTT-4.3.3-3"]
    )
    .breaks(&["MQTT-3.3.4-1"])
    .needs(UP_TO_2),
    scenario!(
        "3.5/error-ends-delivery",
        pubrec_error,
        "PUBREC with an error ends a delivery: no PUBREL, the next message comes, that one not again",
        ["MQTT-4.4.0-2", "U-4.3.3-1", "MQTT-4.3.3-4", "U-4.9-2"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.5/unknown-is-answered",
        pubrec_unknown,
        "PUBREC for nothing that was sent is answered by a PUBREL that says so",
        ["MQTT-4.5.0-1", "U-3.6.2.1-3"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_2),
    scenario!(
        "3.5/twice-sends-no-message-twice",
        pubrec_twice,
        "After a second PUBREC no message comes again, and the delivery can be completed",
        ["MQTT-4.3.3-6", "MQTT-4.3.3-4", "U-4.9-2"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_2),
    scenario!(
        "3.5/not-for-qos-1",
        pubrec_for_qos1,
        "PUBREC does not stand for the PUBACK of a QoS 1 delivery",
        ["MQTT-4.3.2-3"]
    )
    .breaks(&["MQTT-3.3.4-1"])
    .needs(UP_TO_1),
    scenario!(
        "3.6/unknown-is-answered",
        pubrel_unknown,
        "PUBREL for an identifier that is not open is answered by PUBCOMP, which says so",
        ["MQTT-4.3.3-11", "U-3.7.2.1-3"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_2),
    scenario!(
        "3.6/repeated-is-answered",
        pubrel_repeated,
        "PUBREL that comes again after PUBCOMP is answered again, and delivers nothing again",
        ["MQTT-4.3.3-11", "MQTT-4.3.3-10"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_2),
    scenario!(
        "3.7/not-before-pubrel",
        pubcomp_before_pubrel,
        "PUBCOMP does not stand for the PUBREC of a QoS 2 delivery",
        ["MQTT-4.3.3-3"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(UP_TO_2),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// Codes that a receiver may refuse any message with.
const ERRORS: [ReasonCode; 3] = [
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::QuotaExceeded,
];

async fn puback_error(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("refused");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let count = ERRORS.len() + 1;
    let payloads = publish_numbered(&mut alice, &topic, count, QoS::AtLeastOnce).await?;
    for (payload, error) in payloads.iter().zip(ERRORS) {
        let publish = bob.holds(&topic, payload).await?;
        stage.proving("U-4.9-2");
        let refusal = PublishAck::because(publish.packet_id, error);
        bob.send(Packet::PubAck(refusal)).await?;
    }
    stage.proving("U-4.13.2-1");
    bob.receives(&topic, &format!("message {count}")).await?;
    bob.ping().await?;
    stage.proving("MQTT-4.4.0-2");
    nothing_again(stage, &topic, QoS::AtLeastOnce, &mut alice, bob, "bob").await
}

async fn puback_unknown(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unknown");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    publish_numbered(&mut alice, &topic, 2, QoS::AtLeastOnce).await?;
    let mut held = bob.holds(&topic, "message 1").await?;
    for distance in 1000..1003 {
        let unknown = PublishAck::new(held.packet_id.wrapping_add(distance).max(1));
        bob.send(Packet::PubAck(unknown.clone())).await?;
        bob.send(Packet::PubComp(unknown)).await?;
    }
    // How a server takes them is nowhere said; that they acknowledge nothing is.
    match bob.is_open().await? {
        true => bob.has_no_message().await?,
        false => {
            bob = stage.resumed("bob", 60).await?;
            stage.proving("MQTT-4.3.2-3");
            held = bob.holds(&topic, "message 1").await?;
        }
    }
    stage.means();
    bob.acknowledge(&held).await?;
    bob.receives(&topic, "message 2").await.map(drop)
}

async fn puback_for_qos2(stage: &mut Stage) -> Outcome {
    does_not_acknowledge(stage, QoS::ExactlyOnce, Packet::PubAck).await
}

async fn pubrec_for_qos1(stage: &mut Stage) -> Outcome {
    does_not_acknowledge(stage, QoS::AtLeastOnce, Packet::PubRec).await
}

async fn pubcomp_before_pubrel(stage: &mut Stage) -> Outcome {
    does_not_acknowledge(stage, QoS::ExactlyOnce, Packet::PubComp).await
}

/// Answers a delivery with the wrong kind of acknowledgement. A server may ignore that or close, but
/// the delivery is as open as before. That it gives a place of the Receive Maximum back is no fault
/// of PUBACK and PUBCOMP: section 4.9 counts all of them, whatever they answer.
async fn does_not_acknowledge(
    stage: &mut Stage,
    qos: QoS,
    wrong: impl Fn(PublishAck) -> Packet,
) -> Outcome {
    let topic = stage.topic("wrong");
    let mut bob = one_by_one(stage, "bob", &topic, qos).await?;
    let mut alice = stage.connected("alice").await?;
    publish_numbered(&mut alice, &topic, 2, qos).await?;
    let first = bob.holds(&topic, "message 1").await?;
    let wrong = wrong(PublishAck::new(first.packet_id));
    let gives_no_place = wrong.packet_type() == PacketType::PubRec;
    bob.send(wrong).await?;
    if bob.is_open().await? && gives_no_place {
        bob.has_no_message().await?;
    }
    bob.leave().await?;
    let mut bob = stage.resumed("bob", 60).await?;
    stage.claims();
    let again = bob.receives_sometime(&topic, "message 1").await?;
    let expected = format!("PUBLISH id={} again", first.packet_id);
    let same = again.packet_id == first.packet_id;
    stage.stands_on("MQTT-4.4.0-1", same, &expected, packet_text(&again.into()))
}

fn has_pubrel(probe: &Probe) -> bool {
    probe.unread().any(|packet| packet.packet_type() == PacketType::PubRel)
}

async fn pubrec_error(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("refused");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let count = ERRORS.len() + 1;
    let payloads = publish_numbered(&mut alice, &topic, count, QoS::ExactlyOnce).await?;
    for (payload, error) in payloads.iter().zip(ERRORS) {
        let publish = bob.holds(&topic, payload).await?;
        stage.proving("U-4.9-2");
        let refusal = PublishAck::because(publish.packet_id, error);
        bob.send(Packet::PubRec(refusal)).await?;
        bob.ping().await?;
        stage.check_of("U-4.3.3-1", !has_pubrel(&bob), "no PUBREL after an error", "PUBREL")?;
    }
    bob.receives(&topic, &format!("message {count}")).await?;
    bob.ping().await?;
    stage.proving("MQTT-4.4.0-2");
    nothing_again(stage, &topic, QoS::ExactlyOnce, &mut alice, bob, "bob").await
}

async fn pubrec_unknown(stage: &mut Stage) -> Outcome {
    const UNKNOWN: u16 = 31_000;
    let topic = stage.topic("unknown");
    let expected = "PUBREL 0x92 (packet identifier not found)";
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "before", QoS::ExactlyOnce).await?;
    bob.receives(&topic, "before").await?;
    bob.send(Packet::PubRec(PublishAck::new(UNKNOWN))).await?;
    if !bob.is_open().await? {
        stage.advise("U-3.6.2.1-3", expected, "the connection closed");
        return Ok(());
    }
    if has_pubrel(&bob) {
        let pubrel = bob.pubrel(UNKNOWN).await?;
        if pubrel.reason == ReasonCode::Success {
            let observed = packet_text(&Packet::PubRel(pubrel));
            stage.advise("U-3.6.2.1-3", expected, observed);
        }
        let reason = ReasonCode::PacketIdentifierNotFound;
        bob.send(Packet::PubComp(PublishAck::because(UNKNOWN, reason))).await?;
    } else {
        stage.advise("U-3.6.2.1-3", expected, "nothing");
    }
    alice.publish(&topic, "after", QoS::ExactlyOnce).await?;
    stage.claims();
    bob.receives(&topic, "after").await.map(drop)
}

async fn pubrec_twice(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("twice");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    publish_numbered(&mut alice, &topic, 2, QoS::ExactlyOnce).await?;
    let id = bob.holds(&topic, "message 1").await?.packet_id;
    stage.proving("MQTT-4.3.3-4");
    bob.send(Packet::PubRec(PublishAck::new(id))).await?;
    bob.pubrel(id).await?;
    bob.send(Packet::PubRec(PublishAck::new(id))).await?;
    stage.proving("MQTT-4.3.3-6");
    stage.means();
    if bob.is_open().await? {
        bob.has_full_window().await?;
    } else {
        bob = stage.resumed("bob", 60).await?;
        bob.pubrel(id).await?;
    }
    // It may be answered by another PUBREL or not.
    if has_pubrel(&bob) {
        bob.pubrel(id).await?;
    }
    stage.proving("U-4.9-2");
    bob.send(Packet::PubComp(PublishAck::new(id))).await?;
    bob.receives(&topic, "message 2").await?;
    stage.proving("MQTT-4.3.3-6");
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn pubrel_unknown(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unknown");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let finished = alice.packet_id();
    let publish = Publish::new(topic.as_str(), "before").qos(QoS::AtLeastOnce, finished);
    alice.publish_with(publish).await?;
    bob.receives(&topic, "before").await?;
    stage.claims();
    for id in [finished, u16::MAX] {
        alice.send(Packet::PubRel(PublishAck::new(id))).await?;
        let pubcomp = alice.pubcomp(id).await?;
        if pubcomp.reason != ReasonCode::PacketIdentifierNotFound {
            let expected = "PUBCOMP 0x92 (packet identifier not found)";
            let observed = packet_text(&Packet::PubComp(pubcomp));
            stage.advise("U-3.7.2.1-3", expected, observed);
        }
    }
    stage.means();
    alice.publish(&topic, "after", QoS::ExactlyOnce).await?;
    bob.receives(&topic, "after").await.map(drop)
}

async fn pubrel_repeated(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("repeated");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let publish = Publish::new(topic.as_str(), "once").qos(QoS::ExactlyOnce, id);
    alice.publish_with(publish).await?;
    bob.receives(&topic, "once").await?;
    stage.claims();
    for _ in 0..2 {
        alice.send(Packet::PubRel(PublishAck::new(id))).await?;
        alice.pubcomp(id).await?;
    }
    stage.proving("MQTT-4.3.3-10");
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}
