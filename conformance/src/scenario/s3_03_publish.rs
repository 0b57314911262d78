//! Section 3.3: PUBLISH, its flags, its topic, its payload and its answers.

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, Publish, QoS, ReasonCode};

use super::{Scenario, Stage, scenario};
use crate::probe::{Answer, Probe};
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/answers-by-qos",
        answers_by_qos,
        "A message is answered as its QoS demands, once: by nothing, PUBACK, or PUBREC",
        ["MQTT-3.3.4-1", "U-4.3.1-1"]
    )
    .needs(ALL_QOS),
    scenario!(
        "3.3/answers-to-many",
        answers_to_many,
        "Messages sent without waiting are each answered under their own identifier",
        ["MQTT-3.3.4-1", "MQTT-2.2.1-5"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(2, u16::MAX)]),
    scenario!(
        "3.3/first-dup-is-new",
        first_dup_is_new,
        "A message whose first copy has DUP 1 is delivered once, with DUP 0",
        ["MQTT-3.3.1-3", "U-3.3.1.1-1"]
    )
    .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"])
    .needs(ALL_QOS),
    scenario!(
        "3.3/resent-has-dup",
        resent_has_dup,
        "What is sent again after a resume has DUP 1 and its old identifier",
        ["MQTT-3.3.1-1", "MQTT-4.4.0-1"]
    )
    .needs(ALL_QOS),
    scenario!(
        "3.3/queued-has-no-dup",
        queued_has_no_dup,
        "The first copy of a message that waited for its subscriber has DUP 0",
        ["MQTT-3.3.1-3"]
    )
    .needs(ALL_QOS),
    scenario!(
        "3.3/no-dup-at-qos-0",
        no_dup_at_qos_0,
        "A QoS 0 message that comes with DUP 1 is never passed on with it",
        ["MQTT-3.3.1-2"]
    )
    .breaks(&["MQTT-3.3.1-2"]),
    scenario!(
        "3.3/payload-unchanged",
        payload_unchanged,
        "A payload of any length, also zero, and of any bytes arrives as it was sent",
        ["U-3.3.3-1"]
    )
    .needs(ALL_QOS),
    scenario!(
        "3.3/topic-not-filter",
        topic_not_filter,
        "A message comes under its own topic, which the filter of the subscription matches",
        ["MQTT-3.3.2-3"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Wildcards]),
    scenario!(
        "3.3/wildcard-topic-goes-nowhere",
        wildcard_topic_goes_nowhere,
        "A message to a topic with a wildcard in it reaches nobody",
        ["MQTT-3.3.2-2", "U-4.13.1-1", "MQTT-4.7.0-1"]
    )
    .breaks(&["MQTT-3.3.2-2"])
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Wildcards]),
    scenario!(
        "3.3/subscription-identifier-from-client",
        subscription_identifier_from_client,
        "A client that publishes with a Subscription Identifier is cut off and reaches nobody",
        ["MQTT-3.3.4-6"]
    )
    .breaks(&["MQTT-3.3.4-6"])
    .needs(ALL_QOS),
];

const ALL_QOS: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

async fn answers_by_qos(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("answers");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in QoS::ALL {
        let payload = format!("at QoS {}", qos.value());
        stage.proving("MQTT-3.3.4-1");
        alice.publish(&topic, &payload, qos).await?;
        stage.proving("U-4.3.1-1");
        stage.means();
        bob.receives_marker(&topic, &payload).await?;
        alice.ping().await?;
        let is_answer = |packet: &&Packet| **packet != Packet::PingResp;
        let surplus = alice.unread().find(is_answer).map(packet_text);
        let expected = format!("no further answer to a message {payload}");
        let observed = surplus.clone().unwrap_or_default();
        stage.check_of("MQTT-3.3.4-1", surplus.is_none(), &expected, observed)?;
    }
    Ok(())
}

async fn answers_to_many(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("many");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut alice = stage.connected("alice").await?;
    // The control, by another client: its identifiers are not to be taken for these.
    let mut carol = stage.connected("carol").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&topic, qos, &mut carol, &mut bob).await?;
    }
    // No more than the target wants unacknowledged (section 4.9).
    let rounds = (stage.capabilities().receive_maximum() / 2).min(5);
    let mut packets = Vec::new();
    let mut ids = Vec::new();
    for round in 0..rounds {
        // Identifiers need not be in any order (section 2.2.1).
        let (one, two) = (60_000 - round, 7 + 256 * round);
        packets.push(Publish::new(topic.as_str(), "0").into());
        packets.push(Publish::new(topic.as_str(), "1").qos(QoS::AtLeastOnce, one).into());
        packets.push(Publish::new(topic.as_str(), "2").qos(QoS::ExactlyOnce, two).into());
        ids.push((one, two));
    }
    alice.send_together(&packets).await?;
    stage.claims();
    for (one, two) in &ids {
        let answers = match alice.puback(*one).await {
            Ok(_) => alice.pubrec(*two).await,
            missing => missing,
        };
        if answers.is_err() && stage.saw("alice", |packet| is_astray(packet, &ids)) {
            stage.proving("MQTT-2.2.1-5");
            stage.fail::<()>("answers under the identifiers of the messages", "another one")?;
        }
        answers?;
    }
    stage.means();
    for (_, two) in &ids {
        alice.release(*two).await?;
    }
    for number in 1..=packets.len() {
        bob.message(&format!("message {number} of {}", packets.len())).await?;
    }
    Ok(())
}

/// Whether a packet answers a message under an identifier that none of these has.
fn is_astray(packet: &Packet, ids: &[(u16, u16)]) -> bool {
    match packet {
        Packet::PubAck(ack) => ids.iter().all(|(one, _)| *one != ack.packet_id),
        Packet::PubRec(ack) => ids.iter().all(|(_, two)| *two != ack.packet_id),
        _ => false,
    }
}

async fn first_dup_is_new(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("dup");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.means();
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
        let payload = format!("at QoS {}", qos.value());
        let id = alice.packet_id();
        stage.proving("U-3.3.1.1-1");
        let first = Publish::new(topic.as_str(), payload.clone()).qos(qos, id).dup();
        alice.publish_with(first).await?;
        let publish = bob.receives(&topic, &payload).await?;
        stage.proving("MQTT-3.3.1-3");
        stage.check(!publish.dup, "DUP 0 on a first copy", packet_text(&publish.into()))?;
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
    }
    Ok(())
}

async fn resent_has_dup(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("resent");
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let payload = format!("at QoS {}", qos.value());
        stage.means();
        alice.publish(&topic, &payload, qos).await?;
        let first = bob.holds(&topic, &payload).await?;
        bob.leave().await?;
        bob = stage.resumed("bob", 60).await?;
        stage.proving("MQTT-4.4.0-1");
        let again = bob.receives(&topic, &payload).await?;
        let observed = packet_text(&again.clone().into());
        let expected = format!("PUBLISH id={} again", first.packet_id);
        stage.check(again.packet_id == first.packet_id, &expected, observed.clone())?;
        stage.proving("MQTT-3.3.1-1");
        stage.check(again.dup, "DUP 1 on what is sent again", observed)?;
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
    }
    Ok(())
}

async fn queued_has_no_dup(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    bob.leave().await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "one", QoS::AtLeastOnce).await?;
    alice.publish(&topic, "two", QoS::ExactlyOnce).await?;
    let mut bob = stage.resumed("bob", 60).await?;
    for number in 1..=2 {
        let publish = bob.message(&format!("message {number} of the two that wait")).await?;
        bob.acknowledge(&publish).await?;
        stage.check(!publish.dup, "DUP 0 on a first copy", packet_text(&publish.into()))?;
    }
    Ok(())
}

async fn no_dup_at_qos_0(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("dup");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "before", QoS::AtMostOnce).await?;
    bob.receives(&topic, "before").await?;
    // The rule binds senders; how a server takes a client that breaks it is nowhere said.
    stage.claims();
    let answer = alice.offer(Publish::new(topic.as_str(), "with DUP").dup()).await?;
    stage.means();
    for publish in before_after(stage, answer, alice, (&topic, QoS::AtMostOnce), &mut bob).await? {
        let expected = "the message with DUP 0, or not at all";
        stage.check(!publish.dup, expected, packet_text(&publish.into()))?;
    }
    Ok(())
}

/// The messages that come before one that is published "after" what was offered, by the same client or,
/// if it was cut off, by another. A message at QoS 0 has no answer, so that may be at any time.
pub(super) async fn before_after(
    stage: &mut Stage,
    answer: Answer,
    mut from: Probe,
    (topic, qos): (&str, QoS),
    to: &mut Probe,
) -> Outcome<Vec<Publish>> {
    let mut before = Vec::new();
    if answer != Answer::Closed {
        from.publish(topic, "after", qos).await?;
        while let Some(publish) = to.message_or_silence().await? {
            to.acknowledge(&publish).await?;
            if *publish.payload == *b"after" {
                return Ok(before);
            }
            before.push(publish);
        }
        if from.is_open().await? {
            return stage.fail("PUBLISH payload=\"after\"", "nothing, and its client is connected");
        }
    }
    let mut carol = stage.connected("carol").await?;
    carol.publish(topic, "after", qos).await?;
    before.append(&mut to.receives_until(topic, "after").await?);
    Ok(before)
}

async fn payload_unchanged(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("payload");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in QoS::ALL {
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
    }
    stage.claims();
    let limit = stage.capabilities().maximum_packet_size();
    let affordable = |size: &u32| size + 1000 <= limit;
    // About where the Remaining Length takes another byte, and every byte there is.
    for size in [0, 1, 100, 128, 256, 16_200, 16_384, 100_000].into_iter().filter(affordable) {
        // Long ones are of one byte, which a trace says in a word.
        let byte = |at: u32| if size > 256 { b'm' } else { at.to_le_bytes()[0] };
        let payload: Bytes = (0..size).map(byte).collect();
        // One that is acknowledged first: that shows who takes none as large.
        for qos in QoS::ALL.into_iter().rev() {
            let id = alice.packet_id();
            let publish = Publish::new(topic.as_str(), payload.clone()).qos(qos, id);
            alice.publish_with(publish).await?;
            let expected = format!("the {size} bytes that were published at QoS {}", qos.value());
            let received = bob.message(&expected).await?;
            bob.acknowledge(&received).await?;
            let observed = format!("{} bytes that are not those", received.payload.len());
            stage.check(received.payload == payload, &expected, observed)?;
        }
    }
    Ok(())
}

async fn topic_not_filter(stage: &mut Stage) -> Outcome {
    let (inside, outside) = (stage.topic("a/b/c"), stage.topic("a/b/d"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&stage.topic("a/+/c"), QoS::AtLeastOnce).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&stage.topic("a/#"), QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let plain = stage.topic("plain");
    bob.subscribe(&plain, QoS::AtLeastOnce).await?;
    stage.nothing_on(&plain, &mut alice, &mut bob).await?;
    alice.publish(&inside, "inside", QoS::AtLeastOnce).await?;
    alice.publish(&outside, "outside", QoS::AtLeastOnce).await?;
    stage.claims();
    bob.receives(&inside, "inside").await?;
    stage.means();
    stage.nothing_on(&inside, &mut alice, &mut bob).await?;
    bob.has_no_message().await?;
    // Across topics there is no order (section 4.6), and the marker comes to her as well.
    let mut seen = Vec::new();
    for _ in 0..3 {
        let publish = carol.message("one of the three messages").await?;
        carol.acknowledge(&publish).await?;
        seen.push(publish.topic.to_string());
    }
    seen.sort_unstable();
    let expected = [inside.clone(), inside, outside];
    stage.check(seen == expected, "all under their own topics", seen.said())
}

async fn wildcard_topic_goes_nowhere(stage: &mut Stage) -> Outcome {
    let plain = stage.topic("wild/plain");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&stage.topic("wild/#"), QoS::ExactlyOnce).await?;
    let mut carol = stage.connected("carol").await?;
    for topic in ["wild/+", "wild/#", "wild/a+"] {
        for qos in QoS::ALL {
            let case = format!("a message to \"{topic}\" at QoS {} refused", qos.value());
            stage.means();
            let mut alice = stage.connected("alice").await?;
            alice.publish(&plain, &case, qos).await?;
            bob.receives(&plain, &case).await?;
            let id = alice.packet_id();
            let publish = Publish::new(stage.topic(topic), "wild").qos(qos, id);
            stage.claims();
            let answer = alice.offer(publish).await?;
            if answer == Answer::Taken && qos != QoS::AtMostOnce {
                stage.advise("U-4.13.1-1", &case, "acknowledged as a success");
            }
            stage.means();
            stage.nothing_on_at(&plain, qos, &mut carol, &mut bob).await?;
            bob.has_no_message().await?;
        }
    }
    Ok(())
}

async fn subscription_identifier_from_client(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("identifier");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut carol = stage.connected("carol").await?;
    for qos in QoS::ALL {
        let mut alice = stage.connected("alice").await?;
        alice.publish(&topic, "without", qos).await?;
        bob.receives(&topic, "without").await?;
        let id = alice.packet_id();
        let mut publish = Publish::new(topic.as_str(), "with").qos(qos, id);
        publish.properties.push(PropertyId::SubscriptionIdentifier, 1);
        alice.send(Packet::from(publish)).await?;
        alice.closes_for(ReasonCode::ProtocolError).await?;
        stage.nothing_on_at(&topic, qos, &mut carol, &mut bob).await?;
    }
    Ok(())
}
