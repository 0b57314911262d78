//! Section 3.3.1.3: retained messages, how they are kept, replaced and removed.

use reference_broker::codec::{PropertyId, Publish, QoS, RetainHandling, SubscriptionOptions};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/retain-at-subscribe",
        retain_at_subscribe,
        "A retained message comes with a new subscription, with RETAIN 1 and at the lower QoS",
        ["MQTT-3.3.1-5", "U-3.3.1.3-2", "MQTT-3.8.4-8"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-at-qos-0",
        retain_at_qos_0,
        "A retained message at QoS 0 is kept too",
        ["U-3.3.1.3-2", "U-3.3.1.3-3"]
    )
    .needs(&[Need::Retain]),
    scenario!(
        "3.3/retain-replaces",
        retain_replaces,
        "A retained message takes the place of the one before it on its topic",
        ["MQTT-3.3.1-5"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-replaces-at-qos-0",
        retain_replaces_at_qos_0,
        "A retained message at QoS 0 takes the place of one at QoS 1, be it kept itself or not",
        ["MQTT-3.3.1-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-by-topic",
        retain_by_topic,
        "Topics that differ in a letter or a slash keep a message each",
        ["MQTT-3.3.1-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-outlives-publisher",
        retain_outlives_publisher,
        "A retained message stays when the session of its publisher ends, in one way or the other",
        ["U-4.1-10", "MQTT-3.3.1-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-empty-removes",
        retain_empty_removes,
        "An empty retained message removes the one on its topic, at every QoS",
        ["MQTT-3.3.1-6"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-empty-is-delivered",
        retain_empty_is_delivered,
        "An empty retained message reaches the subscribers of its topic like any other",
        ["MQTT-3.3.1-6", "MQTT-3.3.1-12", "MQTT-3.3.1-13"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-empty-is-not-kept",
        retain_empty_is_not_kept,
        "An empty retained message is not retained itself",
        ["MQTT-3.3.1-7"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-empty-removes-one",
        retain_empty_removes_one,
        "An empty retained message leaves the topics above, below and beside its own as they are",
        ["MQTT-3.3.1-6"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-after-removal",
        retain_after_removal,
        "A topic whose retained message was removed can have another",
        ["MQTT-3.3.1-5", "MQTT-3.3.1-6"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-0-keeps-nothing",
        retain_0_keeps_nothing,
        "A message with RETAIN 0 is not retained",
        ["MQTT-3.3.1-8"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-0-changes-nothing",
        retain_0_changes_nothing,
        "Messages with RETAIN 0, empty or not, leave the retained one as it is",
        ["MQTT-3.3.1-8"]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce), Need::Retain];

/// Publishes a message to be retained, which its acknowledgement shows to be taken in.
pub(super) async fn retain(from: &mut Probe, topic: &str, payload: &str, qos: QoS) -> Outcome {
    let id = from.packet_id();
    let publish = Publish::new(topic, payload.to_owned()).qos(qos, id).retain();
    from.publish_with(publish).await
}

/// As [`retain`], at QoS 0: only that it reaches a subscriber shows that it was taken in, for no answer
/// to another packet does (section 4.6).
async fn retain_at_0(stage: &mut Stage, from: &mut Probe, topic: &str, payload: &str) -> Outcome {
    let mut watcher = stage.connected("watcher").await?;
    let retain_handling = RetainHandling::DoNotSend;
    let live = SubscriptionOptions { retain_handling, ..SubscriptionOptions::at(QoS::AtMostOnce) };
    watcher.subscribe_with(topic, live).await?;
    retain(from, topic, payload, QoS::AtMostOnce).await?;
    watcher.receives(topic, payload).await?;
    watcher.leave().await
}

/// Shows that a message is retained and comes with a new subscription: a control for claims about
/// special ones.
pub(super) async fn retains(stage: &mut Stage, from: &mut Probe) -> Outcome {
    let topic = stage.topic("plain");
    retain(from, &topic, "plain", QoS::AtLeastOnce).await?;
    let mut control = newcomer(stage, &topic).await?;
    control.receives(&topic, "plain").await?;
    control.leave().await
}

/// Shows that a message is delivered to who is there.
pub(super) async fn delivers(stage: &mut Stage, from: &mut Probe) -> Outcome {
    let topic = stage.topic("delivered");
    let mut control = newcomer(stage, &topic).await?;
    stage.nothing_on(&topic, from, &mut control).await?;
    control.leave().await
}

/// A client that has just subscribed to this topic at QoS 1.
pub(super) async fn newcomer(stage: &mut Stage, topic: &str) -> Outcome<Probe> {
    let mut newcomer = stage.connected("newcomer").await?;
    newcomer.subscribe(topic, QoS::AtLeastOnce).await?;
    Ok(newcomer)
}

/// Options of a subscription at QoS 1 that passes RETAIN on, or does not.
pub(super) fn passing_on(retain_as_published: bool) -> SubscriptionOptions {
    SubscriptionOptions { retain_as_published, ..SubscriptionOptions::at(QoS::AtLeastOnce) }
}

pub(super) fn has_retain(stage: &Stage, publish: &Publish, retain: bool) -> Outcome {
    let expected = format!("RETAIN {}", u8::from(retain));
    stage.check(publish.retain == retain, &expected, packet_text(&publish.clone().into()))
}

async fn retain_at_subscribe(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    delivers(stage, &mut alice).await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.means();
        let topic = stage.topic(&format!("kept/{}", qos.value()));
        retain(&mut alice, &topic, "kept", qos).await?;
        for granted in QoS::ALL {
            for retain_as_published in [false, true] {
                stage.means();
                let options =
                    SubscriptionOptions { maximum_qos: granted, ..passing_on(retain_as_published) };
                let mut bob = stage.connected("bob").await?;
                bob.subscribe_with(&topic, options).await?;
                stage.proving("MQTT-3.3.1-5");
                let publish = bob.receives(&topic, "kept").await?;
                stage.proving("U-3.3.1.3-2");
                has_retain(stage, &publish, true)?;
                stage.proving("MQTT-3.8.4-8");
                let expected = format!("QoS {}", qos.min(granted).value());
                let observed = packet_text(&publish.clone().into());
                stage.check(publish.qos == qos.min(granted), &expected, observed)?;
            }
        }
    }
    Ok(())
}

async fn retain_at_qos_0(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.connected("alice").await?;
    retain_at_0(stage, &mut alice, &topic, "kept").await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtMostOnce).await?;
    alice.publish(&topic, "marker", QoS::AtMostOnce).await?;
    match &bob.receives_until(&topic, "marker").await?[..] {
        [kept] if *kept.payload == *b"kept" => has_retain(stage, kept, true),
        // It may be discarded at any time, even at once.
        [] => {
            stage.advise("U-3.3.1.3-3", "the retained message", "nothing of it");
            Ok(())
        }
        others => stage.fail("the retained message, once", format!("{} messages", others.len())),
    }
}

async fn retain_replaces(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("replaced");
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let first = Publish::new(topic.as_str(), "first")
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::ContentType, "first")
        .retain();
    alice.publish_with(first).await?;
    let mut bob = newcomer(stage, &topic).await?;
    bob.receives(&topic, "first").await?;
    retain(&mut alice, &topic, "second", QoS::ExactlyOnce).await?;
    retain(&mut alice, &topic, "third", QoS::AtLeastOnce).await?;
    let mut carol = newcomer(stage, &topic).await?;
    stage.claims();
    let third = carol.receives(&topic, "third").await?;
    stage.means();
    let whole = !third.properties.contains(PropertyId::ContentType);
    let expected = "the third message with its own properties";
    stage.check(whole, expected, packet_text(&third.into()))?;
    stage.nothing_on(&topic, &mut alice, &mut carol).await
}

async fn retain_replaces_at_qos_0(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("replaced");
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "first", QoS::AtLeastOnce).await?;
    let mut bob = newcomer(stage, &topic).await?;
    bob.receives(&topic, "first").await?;
    retain_at_0(stage, &mut alice, &topic, "second").await?;
    let mut carol = newcomer(stage, &topic).await?;
    alice.publish(&topic, "marker", QoS::AtLeastOnce).await?;
    for publish in carol.receives_until(&topic, "marker").await? {
        let observed = packet_text(&publish.clone().into());
        stage.check(*publish.payload == *b"second", "the second message, or none", observed)?;
    }
    Ok(())
}

async fn retain_by_topic(stage: &mut Stage) -> Outcome {
    let names = ["a", "A", "a/", "/a", "a/a", "a "];
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    for name in names {
        retain(&mut alice, &stage.topic(name), name, QoS::AtLeastOnce).await?;
    }
    for name in names {
        stage.means();
        let topic = stage.topic(name);
        let mut bob = newcomer(stage, &topic).await?;
        stage.claims();
        bob.receives(&topic, name).await?;
        stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    }
    Ok(())
}

async fn retain_outlives_publisher(stage: &mut Stage) -> Outcome {
    let (topic, other) = (stage.topic("kept"), stage.topic("kept/too"));
    let mut alice = stage.with_session("alice", 60).await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut carol = newcomer(stage, &topic).await?;
    carol.receives(&topic, "kept").await?;
    alice.leave().await?;
    // A clean start ends the session; the next one ends with its connection.
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &other, "kept too", QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut bob = newcomer(stage, &topic).await?;
    stage.claims();
    bob.receives(&topic, "kept").await?;
    bob.subscribe(&other, QoS::AtLeastOnce).await?;
    bob.receives(&other, "kept too").await.map(drop)
}

async fn retain_empty_removes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("removed");
    let mut alice = stage.connected("alice").await?;
    for qos in QoS::ALL {
        retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
        let mut bob = newcomer(stage, &topic).await?;
        bob.receives(&topic, "kept").await?;
        match qos {
            QoS::AtMostOnce => retain_at_0(stage, &mut alice, &topic, "").await?,
            _ => retain(&mut alice, &topic, "", qos).await?,
        }
        let mut carol = newcomer(stage, &topic).await?;
        stage.nothing_on(&topic, &mut alice, &mut carol).await?;
    }
    Ok(())
}

async fn retain_empty_is_delivered(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("removed");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_with(&topic, passing_on(false)).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_with(&topic, passing_on(true)).await?;
    let mut alice = stage.connected("alice").await?;
    for payload in ["kept", ""] {
        stage.means();
        retain(&mut alice, &topic, payload, QoS::AtLeastOnce).await?;
        if payload.is_empty() {
            stage.proving("MQTT-3.3.1-6");
        }
        let to_bob = bob.receives(&topic, payload).await?;
        let to_carol = carol.receives(&topic, payload).await?;
        stage.proving("MQTT-3.3.1-12");
        has_retain(stage, &to_bob, false)?;
        stage.proving("MQTT-3.3.1-13");
        has_retain(stage, &to_carol, true)?;
    }
    Ok(())
}

async fn retain_empty_is_not_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("fresh");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "").await?;
    let mut carol = newcomer(stage, &topic).await?;
    stage.nothing_on(&topic, &mut alice, &mut carol).await
}

async fn retain_empty_removes_one(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    for name in ["a", "a/b", "a/b/c", "a/d"] {
        retain(&mut alice, &stage.topic(name), name, QoS::AtLeastOnce).await?;
    }
    retains(stage, &mut alice).await?;
    let removed = stage.topic("a/b");
    retain(&mut alice, &removed, "", QoS::AtLeastOnce).await?;
    let mut bob = newcomer(stage, &removed).await?;
    stage.nothing_on(&removed, &mut alice, &mut bob).await?;
    for name in ["a", "a/b/c", "a/d"] {
        stage.means();
        let topic = stage.topic(name);
        let mut carol = newcomer(stage, &topic).await?;
        stage.claims();
        carol.receives(&topic, name).await?;
    }
    Ok(())
}

async fn retain_after_removal(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let mut alice = stage.connected("alice").await?;
    for payload in ["one", "two", "three"] {
        stage.proving("MQTT-3.3.1-5");
        stage.means();
        retain(&mut alice, &topic, payload, QoS::AtLeastOnce).await?;
        let mut bob = newcomer(stage, &topic).await?;
        if payload != "one" {
            stage.claims();
        }
        bob.receives(&topic, payload).await?;
        stage.nothing_on(&topic, &mut alice, &mut bob).await?;
        stage.proving("MQTT-3.3.1-6");
        stage.means();
        retain(&mut alice, &topic, "", QoS::AtLeastOnce).await?;
        let mut carol = newcomer(stage, &topic).await?;
        stage.nothing_on(&topic, &mut alice, &mut carol).await?;
    }
    Ok(())
}

async fn retain_0_keeps_nothing(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("fleeting-{}", qos.value()));
        let mut bob = stage.connected("bob").await?;
        bob.subscribe(&topic, QoS::AtLeastOnce).await?;
        alice.publish(&topic, "fleeting", qos).await?;
        bob.receives(&topic, "fleeting").await?;
        let mut carol = newcomer(stage, &topic).await?;
        stage.nothing_on(&topic, &mut alice, &mut carol).await?;
    }
    Ok(())
}

async fn retain_0_changes_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    for qos in stage.acknowledged_levels() {
        for fleeting in ["fleeting", ""] {
            stage.means();
            let mut bob = newcomer(stage, &topic).await?;
            bob.receives(&topic, "kept").await?;
            alice.publish(&topic, fleeting, qos).await?;
            bob.receives(&topic, fleeting).await?;
            let mut carol = newcomer(stage, &topic).await?;
            stage.claims();
            carol.receives(&topic, "kept").await?;
            stage.nothing_on(&topic, &mut alice, &mut carol).await?;
        }
    }
    Ok(())
}
