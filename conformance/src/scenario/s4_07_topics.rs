//! Section 4.7: Topic Names and Topic Filters, which there are and which there are not.

use reference_broker::codec::{Packet, Publish, QoS, Subscribe, Unsubscribe};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.7/hash-only-alone-at-the-end",
        hash_only_alone_at_the_end,
        "A filter with a multi-level wildcard anywhere but alone at its end is not granted",
        ["MQTT-4.7.1-1"]
    )
    .breaks(&["MQTT-4.7.1-1"])
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/plus-only-alone",
        plus_only_alone,
        "A filter with a single-level wildcard beside other characters is not granted",
        ["MQTT-4.7.1-2"]
    )
    .breaks(&["MQTT-4.7.1-2"])
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/no-empty-filter",
        no_empty_filter,
        "An empty filter is not granted, nor does UNSUBSCRIBE end one",
        ["MQTT-4.7.3-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-4.7.3-1"])
    .needs(UP_TO_1),
    scenario!(
        "4.7/dollar-not-by-leading-wildcard",
        dollar_not_by_leading_wildcard,
        "Filters that begin with a wildcard bring no message of a topic that begins with $",
        ["MQTT-4.7.2-1"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/dollar-not-between-clients",
        dollar_not_between_clients,
        "Clients cannot send each other messages on topics that begin with $",
        ["U-4.7.3-5", "U-4.7.2-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.7/many-levels",
        many_levels,
        "Topics and filters may have any number of levels",
        ["U-4.7.3-5", "U-4.7.3-4"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/long-level",
        long_level,
        "Topics and filters may be as long as a string can be, and count to their last character",
        ["MQTT-4.7.3-4", "U-4.7.3-5", "U-4.7.3-4", "MQTT-4.7.3-3"]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_1_WILD: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Wildcards];

async fn hash_only_alone_at_the_end(stage: &mut Stage) -> Outcome {
    const WRONG: [&str; 9] = ["a#", "#a", "a/#/b", "#/a", "a/b#", "##", "a/##", "#/", "+#"];
    not_granted(stage, "a/#", &WRONG).await
}

async fn plus_only_alone(stage: &mut Stage) -> Outcome {
    const WRONG: [&str; 8] = ["a+", "+a", "a/b+", "a/+b", "a/+b/c", "++", "a/++/b", "+a/#"];
    not_granted(stage, "a/+", &WRONG).await
}

async fn no_empty_filter(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("control");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let request = Unsubscribe::new(alice.packet_id(), "");
    let id = request.packet_id;
    alice.send(request).await?;
    match alice.ack_or_close(id).await? {
        Some(unsuback) if unsuback.reasons.iter().all(|code| code.value() == 0) => {
            let observed = packet_text(&Packet::UnsubAck(unsuback));
            stage.advise("U-4.13.1-1", "no success for an empty filter", observed);
        }
        _ => {}
    }
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let request = Subscribe::new(alice.packet_id(), "", QoS::AtLeastOnce);
    if refuses(stage, &mut alice, request).await? {
        alice = stage.connected("alice").await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    }
    alice.publish(&topic, "control", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "control").await.map(drop)
}

async fn dollar_not_by_leading_wildcard(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("dollar");
    let rest = topic.split_once('/').map_or(topic.as_str(), |(_, rest)| rest);
    let mut bob = stage.connected("bob").await?;
    let mut plus = stage.connected("plus").await?;
    let mut hash = stage.connected("hash").await?;
    if !plus.subscribe_or_close(&format!("+/{rest}"), QoS::AtLeastOnce).await? {
        return stage.not_applicable("the target closes for a filter that begins with a wildcard");
    }
    let everything = Subscribe::new(hash.packet_id(), "#", QoS::AtMostOnce);
    let id = everything.packet_id;
    hash.send(everything).await?;
    let suback = hash.ack_or_close(id).await?;
    if suback.is_none_or(|suback| suback.reasons.iter().any(|code| code.is_error())) {
        return stage.not_applicable("the target does not let a client have all messages");
    }
    try_dollar(stage, &topic).await?;
    bob.publish(&topic, "marker", QoS::AtLeastOnce).await?;
    plus.receives_marker(&topic, "marker").await?;
    // Others may publish too, and the broker on topics of its own: what it sends without being asked it
    // has subscribed its clients to (section 4.5).
    let is_on_dollar =
        |packet: &Packet| matches!(packet, Packet::Publish(it) if it.topic.starts_with('$'));
    let sends_unasked = stage.saw("bob", is_on_dollar);
    loop {
        let message = hash.message("messages of others, then the marker").await?;
        let is_ours = message.topic.strip_prefix('$') == Some(&*topic);
        if message.topic.starts_with('$') && (is_ours || !sends_unasked) {
            let observed = packet_text(&message.into());
            return stage.fail("no message on a topic that begins with $", observed);
        }
        if *message.topic == *topic {
            return Ok(());
        }
    }
}

async fn dollar_not_between_clients(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("dollar");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let dollar = Subscribe::new(alice.packet_id(), format!("${topic}"), QoS::AtLeastOnce);
    let id = dollar.packet_id;
    alice.send(dollar).await?;
    if alice.ack_or_close(id).await?.is_none() {
        // Refused as a subscription already.
        alice = stage.connected("alice").await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    }
    try_dollar(stage, &topic).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "marker", QoS::AtLeastOnce).await?;
    let first = alice.message("PUBLISH payload=\"marker\"").await?;
    alice.acknowledge(&first).await?;
    if *first.payload == *b"marker" {
        return Ok(());
    }
    let observed = packet_text(&first.into());
    stage.advise("U-4.7.2-1", "no message from another client on a topic with $", observed);
    alice.receives(&topic, "marker").await.map(drop)
}

async fn many_levels(stage: &mut Stage) -> Outcome {
    let mut scout = stage.connected("scout").await?;
    stage.serves(&mut scout).await?;
    for levels in [2, 20, 100, 1_000] {
        if !stage.capabilities().meet(Need::PacketSize(2 * levels + BESIDES)) {
            break;
        }
        let levels = levels as usize;
        let deep = stage.topic(&vec!["a"; levels].join("/"));
        let wild = stage.topic(&vec!["+"; levels].join("/"));
        for filter in [&deep, &wild] {
            let Err(why) = carries(stage, filter, &deep, None).await? else { continue };
            let expected = format!("{levels} levels more than the first ones in a topic");
            if levels == 2 {
                return stage.fail(&expected, why);
            }
            stage.advise("U-4.7.3-4", &expected, why);
            return Ok(());
        }
    }
    Ok(())
}

async fn long_level(stage: &mut Stage) -> Outcome {
    let mut scout = stage.connected("scout").await?;
    stage.serves(&mut scout).await?;
    for length in [100, 1_000, u16::MAX] {
        if !stage.capabilities().meet(Need::PacketSize(u32::from(length) + BESIDES)) {
            break;
        }
        let mut topic = stage.topic("");
        let missing = usize::from(length).saturating_sub(topic.len());
        topic.push_str(&"a".repeat(missing));
        let other = format!("{}b", topic.strip_suffix('a').unwrap_or(&topic));
        let Err(why) = carries(stage, &topic, &topic, Some(&other)).await? else { continue };
        let expected = format!("a topic of {length} bytes");
        match length {
            100 => return stage.fail(&expected, why),
            _ => stage.advise("U-4.7.3-4", &expected, why),
        }
        break;
    }
    Ok(())
}

/// More bytes than a packet with one topic has besides its lower levels.
const BESIDES: u32 = 500;

/// Asks for each of the wrong filters, and before that for the right one.
async fn not_granted(stage: &mut Stage, right: &str, wrong: &[&str]) -> Outcome {
    let right = stage.topic(right);
    let topic = stage.topic("a/topic");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&right, QoS::AtLeastOnce).await?;
    for filter in wrong {
        let request = Subscribe::new(alice.packet_id(), stage.topic(filter), QoS::AtLeastOnce);
        if refuses(stage, &mut alice, request).await? {
            alice = stage.connected("alice").await?;
            alice.subscribe(&right, QoS::AtLeastOnce).await?;
        }
        bob.publish(&topic, filter, QoS::AtLeastOnce).await?;
        alice.receives(&topic, filter).await?;
    }
    Ok(())
}

/// Expects that the one filter is not granted. Says whether that closed the connection.
async fn refuses(stage: &Stage, probe: &mut Probe, request: Subscribe) -> Outcome<bool> {
    let id = request.packet_id;
    probe.send(request).await?;
    let Some(suback) = probe.ack_or_close(id).await? else { return Ok(true) };
    let is_refused = suback.reasons.len() == 1 && suback.reasons.iter().all(|code| code.is_error());
    let observed = packet_text(&Packet::SubAck(suback));
    stage.check(is_refused, "SUBACK that refuses the filter, or a close", observed)?;
    Ok(false)
}

/// Publishes on a topic that begins with `$`, whatever comes of that.
async fn try_dollar(stage: &mut Stage, topic: &str) -> Outcome {
    let mut dave = stage.connected("dave").await?;
    let id = dave.packet_id();
    dave.send(Publish::new(format!("${topic}"), "dollar").qos(QoS::AtLeastOnce, id)).await?;
    // It may be acknowledged, refused, or answered by a close; by then it has been read.
    match dave.ping().await {
        Ok(()) => dave.leave().await,
        Err(_) => Ok(()),
    }
}

/// Brings a message from one client to another, and none on the `other` topic; tells how the target
/// says no, if it does.
async fn carries(
    stage: &mut Stage,
    filter: &str,
    topic: &str,
    other: Option<&str>,
) -> Outcome<Result<(), String>> {
    stage.means();
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let request = Subscribe::new(alice.packet_id(), filter, QoS::AtLeastOnce);
    let id = request.packet_id;
    alice.send(request).await?;
    match alice.ack_or_close(id).await? {
        None => return Ok(Err("a close in answer to SUBSCRIBE".to_owned())),
        Some(suback) if suback.reasons.iter().any(|code| code.is_error()) => {
            return Ok(Err(packet_text(&Packet::SubAck(suback))));
        }
        Some(_) => {}
    }
    stage.claims();
    let mut published = Ok(());
    for (topic, payload) in other.map(|it| (it, "other")).into_iter().chain([(topic, "carried")]) {
        if published.is_ok() {
            published = bob.publish(topic, payload, QoS::AtLeastOnce).await;
        }
    }
    match published {
        Ok(()) => alice.receives(topic, "carried").await.map(|_| Ok(())),
        Err(Stop::Fail(finding) | Stop::Blocked(finding)) => Ok(Err(finding.observed)),
        Err(stop) => Err(stop),
    }
}
