//! Section 4.3: Quality of Service, the broker as receiver.

use std::time::Duration;

use reference_broker::codec::{Packet, PacketType, PropertyId, Publish, PublishAck, QoS};

use super::copies::{numbered, text};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.3/qos0-unanswered",
        qos0_unanswered,
        "A QoS 0 message arrives once, at QoS 0, and is not acknowledged",
        ["U-4.3.1-1", "MQTT-4.3.1-1"]
    ),
    scenario!(
        "4.3/qos1-acknowledged",
        qos1_acknowledged,
        "Each QoS 1 message is acknowledged once, with its Packet Identifier, and arrives",
        ["MQTT-4.3.2-4"]
    )
    .plain(&[step::PUBACK])
    .needs(QOS1),
    scenario!(
        "4.3/qos1-identifier-free-after-puback",
        qos1_identifier_free_after_puback,
        "After PUBACK the same Packet Identifier means a new message, whatever DUP says",
        ["MQTT-4.3.2-5", "MQTT-3.3.1-3"]
    )
    .breaks(&["MQTT-4.3.2-2"])
    .needs(QOS1),
    scenario!(
        "4.3/qos1-without-waiting",
        qos1_without_waiting,
        "QoS 1 messages sent without waiting for PUBACK are all acknowledged, and arrive",
        ["MQTT-4.3.2-4", "U-4.3.2-1"]
    )
    .plain(&[step::PUBACK])
    .needs(QOS1),
    scenario!(
        "4.3/qos2-exchange",
        qos2_exchange,
        "PUBLISH is answered by PUBREC and PUBREL by PUBCOMP, and the message arrives once",
        ["MQTT-4.3.3-8", "MQTT-4.3.3-11"]
    )
    .plain(&[step::PUBREC, step::PUBCOMP])
    .needs(QOS2),
    scenario!(
        "4.3/qos2-repeated-before-pubrel",
        qos2_repeated_before_pubrel,
        "A QoS 2 PUBLISH repeated before PUBREL gets PUBREC each time and arrives once",
        ["MQTT-4.3.3-10"]
    )
    .breaks(&["MQTT-4.4.0-1"])
    // A target may count packets, not messages.
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(5, u16::MAX)]),
    scenario!(
        "4.3/qos2-other-content-before-pubrel",
        qos2_other_content_before_pubrel,
        "Until PUBREL a PUBLISH under the same identifier is a repetition, whatever it holds",
        ["MQTT-4.3.3-10", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-2.2.1-3"])
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(2, u16::MAX)]),
    scenario!(
        "4.3/qos2-identifier-free-after-pubcomp",
        qos2_identifier_free_after_pubcomp,
        "After PUBCOMP the same Packet Identifier means a new message, whatever DUP says",
        ["MQTT-4.3.3-12", "MQTT-3.3.1-3"]
    )
    .breaks(&["MQTT-4.3.3-2"])
    .needs(QOS2),
    scenario!(
        "4.3/qos2-pubrel-repeated",
        qos2_pubrel_repeated,
        "PUBREL is answered by PUBCOMP each time, also when the exchange is over",
        ["MQTT-4.3.3-11"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(QOS2),
    scenario!(
        "4.3/qos2-exchanges-interleaved",
        qos2_exchanges_interleaved,
        "QoS 2 exchanges may be open at the same time, and beside QoS 1; each completes",
        ["MQTT-4.3.3-8", "U-4.3.3-2", "MQTT-4.3.3-11"]
    )
    .needs(QOS2),
    scenario!(
        "4.3/qos2-completes-after-expiry",
        qos2_completes_after_expiry,
        "The exchange of a QoS 2 message goes on although the message has expired",
        ["MQTT-4.3.3-13"]
    )
    .needs(QOS2)
    .timed(3),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// A publisher, and a subscriber to the topic at QoS 2, or what the target has.
async fn pair(stage: &mut Stage, topic: &str) -> Outcome<(Probe, Probe)> {
    let alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let levels = stage.acknowledged_levels();
    bob.subscribe(topic, levels.last().copied().unwrap_or_default()).await?;
    Ok((alice, bob))
}

async fn qos0_unanswered(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("once");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    alice.publish(&topic, "fire and forget", QoS::AtMostOnce).await?;
    let publish = bob.receives(&topic, "fire and forget").await?;
    stage.proving("MQTT-4.3.1-1");
    stage.check(publish.qos == QoS::AtMostOnce && !publish.dup, "QoS 0, DUP 0", "another")?;
    stage.proving("U-4.3.1-1");
    alice.has_no(PacketType::PubAck).await?;
    alice.has_no(PacketType::PubRec).await?;
    stage.nothing_on_at(&topic, QoS::AtMostOnce, &mut alice, &mut bob).await
}

async fn qos1_acknowledged(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("acknowledged");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    for id in [1, 0x0102, 0x7FFF, 0xFFFF] {
        let publish = Publish::new(topic.as_str(), "at least once").qos(QoS::AtLeastOnce, id);
        stage.claims();
        alice.publish_with(publish).await?;
        stage.means();
        bob.receives(&topic, "at least once").await?;
        alice.has_no(PacketType::PubAck).await?;
    }
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn qos1_identifier_free_after_puback(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    for (payload, dup) in [("same", false), ("same", true), ("other", false), ("another", true)] {
        let publish = Publish::new(topic.as_str(), payload).qos(QoS::AtLeastOnce, 77);
        alice.publish_with(Publish { dup, ..publish }).await?;
        let publish = bob.receives(&topic, payload).await?;
        let expected = "DUP 0: the subscriber's first copy";
        stage.check_of("MQTT-3.3.1-3", !publish.dup, expected, "DUP 1")?;
        // The identifier has been used.
        stage.claims();
    }
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn qos1_without_waiting(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("stream");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    let payloads = numbered(usize::from(stage.capabilities().receive_maximum().min(40)));
    stage.claims();
    alice.publish_together(&topic, &payloads, QoS::AtLeastOnce).await?;
    stage.means();
    for payload in &payloads {
        bob.receives(&topic, payload).await?;
    }
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn qos2_exchange(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("exactly");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    for id in [1, 0x0102, 0x7FFF, 0xFFFF] {
        let publish = Publish::new(topic.as_str(), "exactly once").qos(QoS::ExactlyOnce, id);
        stage.claims();
        alice.publish_with(publish).await?;
        stage.means();
        bob.receives(&topic, "exactly once").await?;
        alice.has_no(PacketType::PubRec).await?;
        alice.has_no(PacketType::PubComp).await?;
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_repeated_before_pubrel(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("repeated");
    let (alice, mut bob) = pair(stage, &topic).await?;
    alice.leave().await?;
    let mut alice = stage.with_session("alice", 60).await?;
    let publish = Publish::new(topic.as_str(), "exactly once").qos(QoS::ExactlyOnce, 5);
    alice.send(publish.clone()).await?;
    // Over new connections, as is right: PUBREC is lost with the old ones.
    for _ in 0..2 {
        alice.vanish_unread().await?;
        alice = stage.resumed("alice", 60).await?;
        alice.send(publish.clone().dup()).await?;
    }
    stage.claims();
    alice.pubrec_again(5).await?;
    // Over one, which a client must not do: a broker may close for it.
    for _ in 0..2 {
        alice.send(publish.clone().dup()).await?;
        match alice.pubrec_or_close(5).await? {
            Some(pubrec) => alice.unlimited(Packet::PubRec(pubrec))?,
            None => {
                alice.closes().await?;
                stage.means();
                alice = stage.resumed("alice", 60).await?;
                stage.claims();
            }
        }
    }
    stage.means();
    alice.send(Packet::PubRel(PublishAck::new(5))).await?;
    alice.pubcomp(5).await?;
    bob.receives(&topic, "exactly once").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_other_content_before_pubrel(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("content");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await?;
    let publish = |payload| Publish::new(topic.as_str(), payload).qos(QoS::ExactlyOnce, 600);
    alice.send(publish("first")).await?;
    alice.pubrec(600).await?;
    alice.send(publish("second")).await?;
    stage.claims();
    // An identifier in use is the client's error, for which a broker may close as well.
    if alice.pubrec_or_close(600).await?.is_none() {
        return alice.closes().await;
    }
    stage.means();
    alice.send(Packet::PubRel(PublishAck::new(600))).await?;
    alice.pubcomp(600).await?;
    let expected = "PUBLISH payload=\"first\"";
    let delivered = bob.message(expected).await?;
    bob.acknowledge(&delivered).await?;
    if *delivered.payload != *b"first" {
        // A client must not do this, so which of the two it gets is not held against the broker.
        stage.advise("U-4.13.1-1", expected, packet_text(&delivered.into()));
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_identifier_free_after_pubcomp(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("renewed");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    for (payload, dup) in [("same", false), ("same", true), ("other", false), ("another", true)] {
        let publish = Publish::new(topic.as_str(), payload).qos(QoS::ExactlyOnce, 88);
        alice.publish_with(Publish { dup, ..publish }).await?;
        let publish = bob.receives(&topic, payload).await?;
        let expected = "DUP 0: the subscriber's first copy";
        stage.check_of("MQTT-3.3.1-3", !publish.dup, expected, "DUP 1")?;
        // The identifier has been used.
        stage.claims();
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_pubrel_repeated(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("released");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    alice.publish_with(Publish::new(topic.as_str(), "once").qos(QoS::ExactlyOnce, 9)).await?;
    bob.receives(&topic, "once").await?;
    // The exchange is over, and 1000 never was one: 0x92 fits, 0x00 is tolerated.
    stage.claims();
    for id in [9, 9, 1000] {
        alice.send(Packet::PubRel(PublishAck::new(id))).await?;
        alice.pubcomp(id).await?;
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_exchanges_interleaved(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("interleaved");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    // One place of the target's Receive Maximum is left for QoS 1.
    let places = stage.capabilities().receive_maximum().saturating_sub(1);
    let ids = [3000, 1000, 65535, 2, 500, 499];
    let ids = ids.get(..usize::from(places.clamp(1, 6))).unwrap_or(&ids);
    stage.claims();
    for id in ids {
        let publish = Publish::new(topic.as_str(), id.to_string()).qos(QoS::ExactlyOnce, *id);
        alice.send(publish).await?;
        alice.pubrec(*id).await?;
    }
    stage.means();
    if places > 0 {
        alice.publish(&stage.topic("aside"), "between", QoS::AtLeastOnce).await?;
    }
    // PUBREL in the order of PUBREC, as section 4.6 asks of clients.
    stage.proving("MQTT-4.3.3-11");
    for id in ids {
        alice.release(*id).await?;
    }
    stage.means();
    let mut arrived = Vec::new();
    for _ in ids {
        let publish = bob.message("each message once").await?;
        bob.acknowledge(&publish).await?;
        arrived.push(text(&publish));
    }
    let all = ids.iter().all(|id| arrived.contains(&id.to_string()));
    stage.check(all, "each message once", arrived.said())?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn qos2_completes_after_expiry(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("short");
    let (mut alice, mut bob) = pair(stage, &topic).await?;
    let publish = Publish::new(topic.as_str(), "short-lived")
        .qos(QoS::ExactlyOnce, 11)
        .with(PropertyId::MessageExpiryInterval, 1);
    alice.send(publish).await?;
    alice.pubrec(11).await?;
    stage.wait(Duration::from_secs(3)).await;
    stage.claims();
    alice.release(11).await?;
    stage.means();
    alice.publish(&topic, "next", QoS::ExactlyOnce).await?;
    // A broker that hands messages on at PUBREL may have dropped the first one.
    let mut next = bob.message("PUBLISH \"next\"").await?;
    bob.acknowledge(&next).await?;
    if text(&next) == "short-lived" {
        next = bob.message("PUBLISH \"next\"").await?;
        bob.acknowledge(&next).await?;
    }
    let observed = text(&next);
    stage.check(observed == "next", "PUBLISH \"next\"", observed)
}
