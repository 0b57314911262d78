//! Section 3.10: UNSUBSCRIBE.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{Packet, PacketType, PublishAck, QoS, ReasonCode, Unsubscribe};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.10/ends-delivery",
        ends_delivery,
        "After UNSUBACK its client gets nothing more for the filter, and other clients still do",
        ["MQTT-3.10.4-2", "MQTT-3.10.4-1", "U-3.11.3-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.10/exact-filter-only",
        exact_filter_only,
        "UNSUBSCRIBE ends only the subscription whose filter is the same character by character",
        ["MQTT-3.10.4-1"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "3.10/overlapping-filter-goes-on",
        overlapping_filter_goes_on,
        "Of two filters that match the same topic the other one goes on",
        ["MQTT-3.10.4-1", "MQTT-3.10.4-2"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "3.10/stays-ended-after-resume",
        stays_ended_after_resume,
        "A session that goes on does not have a subscription again that UNSUBSCRIBE ended",
        ["MQTT-3.10.4-1", "U-4.1-4"]
    )
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.10/qos1-in-flight-completes",
        qos1_in_flight_completes,
        "A QoS 1 message that was on its way is sent again on resumption in spite of UNSUBSCRIBE",
        ["MQTT-3.10.4-3"]
    )
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.10/qos2-in-flight-completes",
        qos2_in_flight_completes,
        "QoS 2 exchanges that were under way are completed in spite of UNSUBSCRIBE",
        ["MQTT-3.10.4-3"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Sessions]),
    scenario!(
        "3.10/ill-formed-filter-ends-nothing",
        ill_formed_filter_ends_nothing,
        "An UNSUBSCRIBE with one filter that is no UTF-8 closes, and ends no subscription",
        ["MQTT-3.10.3-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-1.5.4-1"])
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.10/wrong-flags-end-nothing",
        wrong_flags_end_nothing,
        "An UNSUBSCRIBE with wrong flags in its fixed header closes, and ends no subscription",
        ["MQTT-3.10.1-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-3.10.1-1"])
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.10/shared-and-plain-apart",
        shared_and_plain_apart,
        "A shared subscription and a plain one to the same filter end each for itself",
        ["U-3.10.4-2", "MQTT-3.10.4-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::SharedSubscriptions]),
];

const UP_TO_1_KEPT: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Sessions];
const UP_TO_1_WILD: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Wildcards];

async fn ends_delivery(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ended");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for probe in [&mut alice, &mut carol] {
        probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    }
    bob.publish(&topic, "for both", QoS::AtLeastOnce).await?;
    for probe in [&mut alice, &mut carol] {
        probe.receives(&topic, "for both").await?;
    }
    let reason = alice.unsubscribe(&topic).await?;
    let observed = format!("0x{:02X}", reason.value());
    stage.check(reason == ReasonCode::Success, "UNSUBACK 0x00 (success)", observed)?;
    bob.publish(&topic, "for the other", QoS::AtLeastOnce).await?;
    stage.proving("MQTT-3.10.4-1");
    carol.receives(&topic, "for the other").await?;
    stage.proving("MQTT-3.10.4-2");
    stage.not_subscribed(&topic, &mut bob, &mut alice, &mut carol).await
}

async fn exact_filter_only(stage: &mut Stage) -> Outcome {
    let (exact, wild) = (stage.topic("exact/b"), stage.topic("wild/+"));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    alice.subscribe(&exact, QoS::AtLeastOnce).await?;
    alice.subscribe(&wild, QoS::AtLeastOnce).await?;
    carol.subscribe(&exact, QoS::AtLeastOnce).await?;
    for other in ["exact/+", "exact/#", "exact/B", "exact/b/", "exact/b ", "wild/b", "wild/#", "#"]
    {
        alice.unsubscribe(&stage.topic(other)).await?;
        for topic in [&exact, &stage.topic("wild/b")] {
            bob.publish(topic, other, QoS::AtLeastOnce).await?;
        }
        carol.receives(&exact, other).await?;
        stage.claims();
        let both = [exact.clone(), stage.topic("wild/b")].map(|topic| (topic, other.to_owned()));
        alice.receives_each(&both).await?;
        stage.means();
    }
    alice.unsubscribe(&exact).await?;
    stage.not_subscribed(&exact, &mut bob, &mut alice, &mut carol).await?;
    bob.publish(&stage.topic("wild/b"), "still", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&stage.topic("wild/b"), "still").await.map(drop)
}

async fn overlapping_filter_goes_on(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("both");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.subscribe(&stage.topic("+"), QoS::AtLeastOnce).await?;
    alice.unsubscribe(&topic).await?;
    bob.publish(&topic, "by the wildcard", QoS::AtLeastOnce).await?;
    carol.receives(&topic, "by the wildcard").await?;
    stage.claims();
    alice.receives(&topic, "by the wildcard").await?;
    stage.means();
    alice.unsubscribe(&stage.topic("+")).await?;
    stage.not_subscribed(&topic, &mut bob, &mut alice, &mut carol).await
}

async fn stays_ended_after_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ended");
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.unsubscribe(&topic).await?;
    alice.leave().await?;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    carol.receives(&topic, "while away").await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.not_subscribed(&topic, &mut bob, &mut alice, &mut carol).await
}

async fn qos1_in_flight_completes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("in-flight");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "unfinished", QoS::AtLeastOnce).await?;
    let first = alice.holds(&topic, "unfinished").await?;
    alice.unsubscribe(&topic).await?;
    alice.vanish().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.claims();
    let again = alice.receives(&topic, "unfinished").await?;
    let is_same = again.dup && again.packet_id == first.packet_id;
    let expected = format!("PUBLISH again with DUP 1 and id={}", first.packet_id);
    stage.stands_on("MQTT-4.4.0-1", is_same, &expected, packet_text(&again.into()))?;
    stage.means();
    alice.ping().await
}

async fn qos2_in_flight_completes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("in-flight");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    for released in [false, true] {
        alice.subscribe(&topic, QoS::ExactlyOnce).await?;
        bob.publish(&topic, "unfinished", QoS::ExactlyOnce).await?;
        let id = alice.holds(&topic, "unfinished").await?.packet_id;
        if released {
            alice.send(Packet::PubRec(PublishAck::new(id))).await?;
            alice.pubrel(id).await?;
            alice.unsubscribe(&topic).await?;
            alice.vanish().await?;
            alice = stage.resumed("alice", 60).await?;
        } else {
            alice.unsubscribe(&topic).await?;
            alice.send(Packet::PubRec(PublishAck::new(id))).await?;
        }
        stage.claims();
        alice.step(PacketType::PubRel, id).await?;
        stage.means();
        alice.send(Packet::PubComp(PublishAck::new(id))).await?;
        alice.ping().await?;
    }
    Ok(())
}

async fn ill_formed_filter_ends_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("good");
    let request = Unsubscribe::new(1, &topic).and(stage.topic("wrong"));
    let bytes = Packet::from(request).to_bytes().unwrap_or_default();
    let mut bytes = BytesMut::from(&*bytes);
    bytes.iter_mut().rev().take(1).for_each(|byte| *byte = 0xFF);
    ends_nothing(stage, &topic, bytes.freeze()).await
}

async fn wrong_flags_end_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("good");
    for first_byte in [0xA0, 0xA3, 0xAA] {
        let bytes = Packet::from(Unsubscribe::new(1, &topic)).to_bytes().unwrap_or_default();
        let mut bytes = BytesMut::from(&*bytes);
        bytes.iter_mut().take(1).for_each(|byte| *byte = first_byte);
        ends_nothing(stage, &topic, bytes.freeze()).await?;
    }
    Ok(())
}

async fn shared_and_plain_apart(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for plain_first in [true, false] {
        let plain = stage.topic(if plain_first { "plain-first" } else { "shared-first" });
        let shared = stage.shared(&plain);
        carol.subscribe(&plain, QoS::AtLeastOnce).await?;
        alice.subscribe(&plain, QoS::AtLeastOnce).await?;
        alice.subscribe(&shared, QoS::AtLeastOnce).await?;
        let [first, second] = match plain_first {
            true => [&plain, &shared],
            false => [&shared, &plain],
        };
        alice.unsubscribe(first).await?;
        for payload in ["by the other", "by the other again"] {
            bob.publish(&plain, payload, QoS::AtLeastOnce).await?;
            carol.receives(&plain, payload).await?;
            stage.claims();
            alice.receives(&plain, payload).await?;
            stage.means();
        }
        alice.unsubscribe(second).await?;
        stage.not_subscribed(&plain, &mut bob, &mut alice, &mut carol).await?;
    }
    Ok(())
}

/// Sends an UNSUBSCRIBE for the topic that is wrong as a whole, and looks at what it ended.
async fn ends_nothing(stage: &mut Stage, topic: &str, bytes: Bytes) -> Outcome {
    let mut alice = stage.with_session("alice", 60).await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    alice.subscribe(topic, QoS::AtLeastOnce).await?;
    carol.subscribe(topic, QoS::AtLeastOnce).await?;
    alice.send_bytes(bytes).await?;
    alice.closes_for(ReasonCode::MalformedPacket).await?;
    let mut alice = stage.resumed("alice", 60).await?;
    if !stage.subscribed(topic, &mut bob, &mut alice, &mut carol).await? {
        // That a packet which ends its connection should do nothing else goes without saying, and
        // so is not said.
        let observed = "the UNSUBSCRIBE that closed the connection has ended a subscription";
        let expected = "nothing ended by a packet that is refused as a whole";
        stage.advise("U-4.13.1-1", expected, observed);
    }
    Ok(())
}
