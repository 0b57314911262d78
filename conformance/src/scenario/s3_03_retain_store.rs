//! Section 3.3.1.3: retained messages, where those that keep them may lose, mix up or shorten them.

use reference_broker::codec::{
    Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions,
};
use std::time::Duration;

use super::s3_03_retain::{newcomer, retain, retains};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/retain-lasting-replaces-expiring",
        lasting_replaces_expiring,
        "A retained message without a lifetime stays, though the one that it replaced had one",
        ["U-3.3.2.3.3-1", "MQTT-3.3.1-5"]
    )
    .needs(UP_TO_1)
    .timed(3),
    scenario!(
        "3.3/retain-the-same-again",
        the_same_again,
        "A retained message that is published again just as it was reaches subscribers again",
        ["MQTT-4.5.0-1", "MQTT-3.3.1-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-by-unusual-topic",
        by_unusual_topic,
        "Topics that would be one as names of files, in a path or in a URL keep a message each",
        ["MQTT-3.3.1-5", "MQTT-4.7.3-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-large",
        large,
        "A retained message of 70,000 bytes comes whole with a later subscription",
        ["MQTT-3.3.1-9", "MQTT-3.3.1-5"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Retain, Need::PacketSize(71_000)]),
    scenario!(
        "3.3/retain-beside-refused-filter",
        beside_refused_filter,
        "The filters that are granted bring retained messages, though one of their SUBSCRIBE is not",
        ["MQTT-3.3.1-9", "MQTT-3.8.4-5"]
    )
    .breaks(&["MQTT-4.7.1-1"])
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];

async fn lasting_replaces_expiring(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("replaced");
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let short = Publish::new(topic.as_str(), "short")
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::MessageExpiryInterval, 2);
    alice.publish_with(short.retain()).await?;
    retain(&mut alice, &topic, "lasting", QoS::AtLeastOnce).await?;
    retains(stage, &mut alice).await?;
    stage.wait(Duration::from_secs(3)).await;
    let mut bob = newcomer(stage, &topic).await?;
    stage.claims();
    let publish = bob.receives(&topic, "lasting").await?;
    let has_expiry = publish.properties.contains(PropertyId::MessageExpiryInterval);
    stage.check(!has_expiry, "no message_expiry_interval", packet_text(&publish.into()))?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn the_same_again(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for _ in 0..3 {
        retain(&mut alice, &topic, "as before", QoS::AtLeastOnce).await?;
        bob.receives(&topic, "as before").await?;
        stage.claims();
    }
    let mut carol = newcomer(stage, &topic).await?;
    carol.receives(&topic, "as before").await?;
    stage.nothing_on(&topic, &mut alice, &mut carol).await
}

async fn by_unusual_topic(stage: &mut Stage) -> Outcome {
    const NAMES: [&str; 18] = [
        "a/b", "a//b", "a///b", "a.b", "a..b", "a/./b", "a/../b", "b", ".", "..", "a%2Fb", "a%2fb",
        "a\\b", "a:b", "a_b", "a b", "a%20b", "a*b",
    ];
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    for name in NAMES {
        retain(&mut alice, &stage.topic(name), name, QoS::AtLeastOnce).await?;
    }
    let mut bob = stage.connected("bob").await?;
    for name in NAMES {
        stage.means();
        let topic = stage.topic(name);
        bob.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.claims();
        bob.receives(&topic, name).await?;
        stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    }
    Ok(())
}

async fn large(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("large");
    let payload = "x".repeat(70_000);
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    retain(&mut alice, &topic, &payload, QoS::AtLeastOnce).await?;
    bob.receives(&topic, &payload).await?;
    let mut carol = newcomer(stage, &topic).await?;
    stage.claims();
    carol.receives(&topic, &payload).await?;
    stage.nothing_on(&topic, &mut alice, &mut carol).await
}

async fn beside_refused_filter(stage: &mut Stage) -> Outcome {
    let topics = [stage.topic("first"), stage.topic("last")];
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    for topic in &topics {
        retain(&mut alice, topic, "kept", QoS::AtLeastOnce).await?;
    }
    let mut bob = stage.connected("bob").await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let [first, last] = &topics;
    let request = Subscribe::new(bob.packet_id(), first, QoS::AtLeastOnce)
        .and(stage.topic("#/wrong"), options)
        .and(last, options);
    let id = request.packet_id;
    bob.send(request).await?;
    let Some(suback) = bob.ack_or_close(id).await? else {
        // As good an answer to a filter that is none: they come without it.
        let mut bob = newcomer(stage, first).await?;
        bob.receives(first, "kept").await?;
        bob.subscribe(last, QoS::AtLeastOnce).await?;
        return bob.receives(last, "kept").await.map(drop);
    };
    let mut others = suback.clone();
    others.reasons.retain(|reason| *reason == ReasonCode::QuotaExceeded);
    bob.unlimited(Packet::SubAck(others))?;
    let codes: Vec<_> = suback.reasons.iter().map(|code| code.value()).collect();
    let fits = matches!(codes[..], [..=1, 0x80..=0xFF, ..=1]);
    let expected = "SUBACK that grants all but the second filter";
    let observed = packet_text(&Packet::SubAck(suback));
    stage.stands_on("MQTT-3.8.4-7", fits, expected, observed)?;
    stage.claims();
    bob.receives_each(&topics.map(|topic| (topic, "kept".to_owned()))).await?;
    stage.means();
    bob.has_no_message().await
}
