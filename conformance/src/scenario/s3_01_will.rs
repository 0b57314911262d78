//! Sections 3.1.2.5 to 3.1.2.7 and 3.1.3.2 to 3.1.3.4: what a Will carries, and to whom.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Properties, PropertyId, Publish, QoS, SubscriptionOptions, Will,
};
use tokio::time::Instant;

use super::s1_05_data_representation::same_will_properties;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

const QOS_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const RETAIN: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/will-comes-promptly",
        will_comes_promptly,
        "A Will is published promptly after the end of its connection",
        ["MQTT-3.1.2-8", "U-3.1.2.5-2"]
    )
    .needs(QOS_1),
    scenario!(
        "3.1/will-has-its-qos",
        will_has_its_qos,
        "A Will is delivered at its QoS, or at what the subscriber was granted if that is less",
        ["MQTT-3.1.2-8", "MQTT-3.1.2-7", "MQTT-3.8.4-8"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/will-retained",
        will_retained,
        "A retained Will takes the place of the retained message on its topic",
        ["MQTT-3.1.2-15", "MQTT-3.3.1-5"]
    )
    .needs(RETAIN),
    scenario!(
        "3.1/will-not-retained",
        will_not_retained,
        "A Will that is not retained leaves the retained message on its topic alone",
        ["MQTT-3.1.2-14", "MQTT-3.3.1-8"]
    )
    .needs(RETAIN),
    scenario!(
        "3.1/empty-retained-will-clears",
        empty_retained_will_clears,
        "A retained Will without payload removes the retained message on its topic",
        ["MQTT-3.1.2-15", "MQTT-3.3.1-6"]
    )
    .needs(RETAIN),
    scenario!(
        "3.1/will-payload-kept",
        will_payload_kept,
        "The payload of a Will arrives as it was given, of any bytes, or of none",
        ["U-3.1.3.4-1", "U-1.5.6-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(70_000)]),
    scenario!(
        "3.1/will-properties-kept",
        will_properties_kept,
        "A Will arrives with its properties, user properties in their order",
        ["U-3.1.3.2.7-2", "MQTT-3.1.3-10", "U-3.1.3.2.8-1"]
    )
    .needs(QOS_1),
    scenario!(
        "3.1/will-expiry-from-publication",
        will_expiry_from_publication,
        "The lifetime of a Will begins when it is published, and without one none is sent",
        ["U-3.1.3.2.4-2", "U-3.1.3.2.4-3"]
    )
    .needs(QOS_1)
    .timed(3),
    scenario!(
        "3.1/will-reaches-all",
        will_reaches_all,
        "Every subscriber to the topic of a Will gets it once, also who is away",
        ["MQTT-3.1.2-8", "MQTT-4.5.0-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Wildcards, Need::Sessions]),
    scenario!(
        "3.1/will-queued-for-own-session",
        will_queued_for_own_session,
        "A client whose own session subscribes to its Will finds it there when it comes back",
        ["MQTT-3.1.2-8", "U-4.1-6"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
    scenario!(
        "3.1/will-of-each-connection",
        will_of_each_connection,
        "A Will belongs to one connection: the next one of the session has its own, or none",
        ["MQTT-3.1.2-7", "MQTT-3.1.2-10", "U-4.1-9"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
];

/// A Will that takes longer than this to come is late. The standard names no time; a broker that looks for
/// what is due now and then should look this often.
const PROMPT: Duration = Duration::from_secs(3);

async fn will_comes_promptly(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
    let alice = stage.connected_with("alice", |connect| connect.will(will)).await?;
    alice.vanish().await?;
    let gone = Instant::now();
    bob.receives_will(&topic, "will").await?;
    let took = gone.elapsed();
    if took > PROMPT {
        let expected = format!("the Will within {} s", PROMPT.as_secs());
        stage.advise("U-3.1.2.5-2", &expected, format!("it after {:.1} s", took.as_secs_f64()));
    }
    Ok(())
}

async fn will_has_its_qos(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut watchers = Vec::new();
    for granted in QoS::ALL {
        let mut bob = stage.connected(&format!("bob{}", granted.value())).await?;
        bob.subscribe(&topic, granted).await?;
        watchers.push((granted, bob));
    }
    let mut carol = stage.connected("carol").await?;
    carol.publish(&topic, "before", QoS::ExactlyOnce).await?;
    for (_, bob) in &mut watchers {
        bob.receives(&topic, "before").await?;
    }
    for qos in QoS::ALL {
        stage.means();
        let text = format!("at QoS {}", qos.value());
        let will = Will::new(&topic, text.clone()).qos(qos);
        stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
        stage.claims();
        for (granted, bob) in &mut watchers {
            let received = bob.receives_will(&topic, &text).await?;
            let expected = format!("QoS {}", qos.min(*granted).value());
            let observed = format!("QoS {}", received.qos.value());
            let requirement = if received.qos > *granted { "MQTT-3.8.4-8" } else { "MQTT-3.1.2-8" };
            stage.check_of(requirement, expected == observed, &expected, observed)?;
        }
    }
    Ok(())
}

/// Subscription Options that show the RETAIN flag of what was published.
fn as_published() -> SubscriptionOptions {
    SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::at(QoS::AtLeastOnce) }
}

async fn will_retained(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    let older = Publish::new(&topic, "older").qos(QoS::AtLeastOnce, bob.packet_id()).retain();
    bob.publish_with(older).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_with(&topic, as_published()).await?;
    carol.receives(&topic, "older").await?;
    let id = bob.packet_id();
    bob.publish_with(Publish::new(&topic, "newer").qos(QoS::AtLeastOnce, id).retain()).await?;
    let newer = carol.receives(&topic, "newer").await?;
    stage.stands_on("MQTT-3.3.1-13", newer.retain, "RETAIN 1 as published", "RETAIN 0")?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce).retain();
    stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
    let live = carol.receives_will(&topic, "will").await?;
    stage.check(live.retain, "RETAIN 1 as the Will was published", "RETAIN 0")?;

    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.claims();
    bob.receives_will(&topic, "will").await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await
}

async fn will_not_retained(stage: &mut Stage) -> Outcome {
    let (topic, bare) = (stage.topic("will"), stage.topic("bare"));
    let mut bob = stage.connected("bob").await?;
    let older = Publish::new(&topic, "older").qos(QoS::AtLeastOnce, bob.packet_id()).retain();
    bob.publish_with(older).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_with(&topic, as_published()).await?;
    carol.receives(&topic, "older").await?;
    carol.subscribe_with(&bare, as_published()).await?;
    bob.publish(&bare, "live", QoS::AtLeastOnce).await?;
    let live = carol.receives(&bare, "live").await?;
    stage.stands_on("MQTT-3.3.1-13", !live.retain, "RETAIN 0 as published", "RETAIN 1")?;
    for topic in [&topic, &bare] {
        let will = Will::new(topic, "will").qos(QoS::AtLeastOnce);
        stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
        let live = carol.receives_will(topic, "will").await?;
        stage.check(!live.retain, "RETAIN 0 as the Will was published", "RETAIN 1")?;
    }
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.claims();
    bob.receives(&topic, "older").await?;
    stage.means();
    bob.subscribe(&bare, QoS::AtLeastOnce).await?;
    stage.nothing_on(&bare, &mut carol, &mut bob).await
}

async fn empty_retained_will_clears(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    let older = Publish::new(&topic, "older").qos(QoS::AtLeastOnce, bob.packet_id()).retain();
    bob.publish_with(older).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    carol.receives(&topic, "older").await?;
    let will = Will::new(&topic, "").qos(QoS::AtLeastOnce).retain();
    stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
    carol.receives_will(&topic, "").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await
}

async fn will_payload_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    stage.claims();
    let bytes = |count: u32| -> Bytes { (0..count).map(|at| at.to_le_bytes()[0]).collect() };
    for payload in [bytes(0), bytes(1), bytes(256), bytes(65_535)] {
        let length = payload.len();
        let will = Will::new(&topic, payload.clone()).qos(QoS::AtLeastOnce);
        let mut alice = stage.open("alice").await?;
        alice.send(alice.connect_packet().keep_alive(3600).will(will)).await?;
        if length <= 256 {
            alice.connack().await?;
        } else if !is_taken(&mut alice).await? {
            continue;
        }
        alice.vanish().await?;
        let received = bob.will(&format!("the Will of {length} bytes")).await?;
        bob.acknowledge(&received).await?;
        let observed = format!("{} bytes", received.payload.len());
        stage.check(received.payload == payload, "the payload as it was given", observed)?;
    }
    Ok(())
}

/// Whether a large CONNECT is accepted. Its size may be more than a target takes of who has not been
/// let in: no CONNACK has told of a limit.
async fn is_taken(probe: &mut Probe) -> Outcome<bool> {
    let Some(connack) = probe.answer().await? else { return Ok(false) };
    // A broker that names errors generally gives any code.
    match connack.reason.is_error() {
        true => probe.closes_after_refusal().await.map(|()| false),
        false => Ok(true),
    }
}

async fn will_properties_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let mut properties = Properties::default();
    properties.push(PropertyId::UserProperty, ("b", "1"));
    properties.push(PropertyId::WillDelayInterval, 0);
    properties.push(PropertyId::PayloadFormatIndicator, 1);
    properties.push(PropertyId::UserProperty, ("a", "2"));
    properties.push(PropertyId::ContentType, "text");
    properties.push(PropertyId::ResponseTopic, stage.topic("response"));
    properties.push(PropertyId::UserProperty, ("b", "3"));
    properties.push(PropertyId::CorrelationData, Bytes::from_static(b"\x00\xFF"));
    properties.push(PropertyId::MessageExpiryInterval, 600);
    properties.push(PropertyId::UserProperty, ("b", "1"));
    let will = Will { properties, ..Will::new(&topic, "will").qos(QoS::AtLeastOnce) };
    let sent = will.clone();
    stage.claims();
    stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
    let received = bob.receives_will(&topic, "will").await?;
    same_will_properties(stage, &sent, &received)
}

async fn will_expiry_from_publication(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "plain", QoS::AtLeastOnce).await?;
    let plain = bob.receives(&topic, "plain").await?;
    let has_none = !plain.properties.contains(PropertyId::MessageExpiryInterval);
    let expected = "no message_expiry_interval on a message without one";
    stage.stands_on("U-3.3.2.3.3-1", has_none, expected, "one")?;
    for (expiry, requirement) in [(None, "U-3.1.3.2.4-3"), (Some(100), "U-3.1.3.2.4-2")] {
        stage.proving(requirement);
        stage.means();
        let mut will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
        if let Some(expiry) = expiry {
            will.properties.push(PropertyId::MessageExpiryInterval, expiry);
        }
        let alice = stage.connected_with("alice", |connect| connect.will(will)).await?;
        if expiry.is_some() {
            stage.wait(Duration::from_secs(3)).await;
        }
        alice.vanish().await?;
        let received = bob.receives_will(&topic, "will").await?;
        let given = received.properties.number(PropertyId::MessageExpiryInterval);
        // One second may go by on the way.
        let fits = match expiry {
            None => given.is_none(),
            Some(expiry) => given.is_some_and(|given| (expiry - 1..=expiry).contains(&given)),
        };
        let expected = format!("message_expiry_interval {}, or a second less", expiry.said());
        stage.check(fits, &expected, given.said())?;
    }
    Ok(())
}

async fn will_reaches_all(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut away = stage.with_session("away", 60).await?;
    away.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut watchers = Vec::new();
    for (name, filter) in [("bob", "will"), ("carol", "+"), ("dave", "will/#"), ("erin", "#")] {
        let mut watcher = stage.connected(name).await?;
        watcher.subscribe(&stage.topic(filter), QoS::AtLeastOnce).await?;
        watchers.push(watcher);
    }
    let mut publisher = stage.connected("publisher").await?;
    publisher.publish(&topic, "before", QoS::AtLeastOnce).await?;
    for subscriber in watchers.iter_mut().chain([&mut away]) {
        subscriber.receives(&topic, "before").await?;
    }
    away.leave().await?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
    stage.connected_with("alice", |connect| connect.will(will)).await?.vanish().await?;
    stage.claims();
    for watcher in &mut watchers {
        watcher.receives_will(&topic, "will").await?;
    }
    stage.proving("MQTT-4.5.0-1");
    stage.means();
    watchers.push({
        let mut away = stage.resumed("away", 60).await?;
        stage.claims();
        away.receives_will(&topic, "will").await?;
        away
    });
    stage.proving("MQTT-3.1.2-8"); // Each of them once.
    stage.means();
    publisher.publish(&topic, "the end", QoS::AtLeastOnce).await?;
    for watcher in &mut watchers {
        watcher.receives_marker(&topic, "the end").await?;
    }
    Ok(())
}

async fn will_queued_for_own_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
    let change = |connect: Connect| connect.session_expiry(60).will(will);
    let mut alice = stage.connected_with("alice", change).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.vanish().await?;
    stage.claims();
    bob.receives_will(&topic, "will").await?;
    stage.proving("U-4.1-6");
    stage.means();
    let mut alice = stage.resumed("alice", 60).await?;
    stage.claims();
    alice.receives_will(&topic, "will").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn will_of_each_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let will = |payload: &'static str| Will::new(&topic, payload).qos(QoS::AtLeastOnce);
    let first = |connect: Connect| connect.session_expiry(60).will(will("first"));
    stage.connected_with("alice", first).await?.vanish().await?;
    stage.claims();
    bob.receives_will(&topic, "first").await?;
    // Without a Will; what was published is gone.
    stage.proving("MQTT-3.1.2-10");
    stage.means();
    stage.resumed("alice", 60).await?.vanish().await?;
    stage.no_will_on(&topic, &mut bob).await?;
    stage.proving("MQTT-3.1.2-7");
    stage.means();
    let second = |connect: Connect| connect.session_expiry(60).will(will("second"));
    stage.resumed_with("alice", second).await?.vanish().await?;
    stage.claims();
    bob.receives_will(&topic, "second").await?;
    stage.no_will_on(&topic, &mut bob).await
}
