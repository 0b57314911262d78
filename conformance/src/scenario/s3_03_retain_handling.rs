//! Sections 3.3.1.3 and 3.8.3.1: which retained messages a subscription brings, and when.

use std::collections::BTreeSet;

use reference_broker::codec::{
    PropertyId, QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions,
};

use super::s3_03_retain::{delivers, newcomer, retain, retains};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/retain-handling-0",
        retain_handling_0,
        "Retain Handling 0 brings retained messages, with every SUBSCRIBE again",
        ["MQTT-3.3.1-9", "MQTT-3.8.4-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-handling-0-after-resume",
        retain_handling_0_after_resume,
        "Retain Handling 0 brings retained messages for a subscription of the resumed session too",
        ["MQTT-3.8.4-4", "MQTT-3.3.1-9"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-handling-1",
        retain_handling_1,
        "Retain Handling 1 brings retained messages if there was no such subscription, only then",
        ["MQTT-3.3.1-10"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-handling-1-after-resume",
        retain_handling_1_after_resume,
        "For Retain Handling 1 a subscription of the resumed session exists, not one before it",
        ["MQTT-3.3.1-10"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-handling-1-other-filter",
        retain_handling_1_other_filter,
        "For Retain Handling 1 only the same filter is the same subscription",
        ["MQTT-3.3.1-10"]
    )
    .needs(WILD),
    scenario!(
        "3.3/retain-handling-2",
        retain_handling_2,
        "Retain Handling 2 brings no retained messages, and live ones all the same",
        ["MQTT-3.3.1-11", "U-3.8.3.1-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-matching",
        retain_matching,
        "A subscription brings all retained messages that its filter matches, once, and no others",
        ["MQTT-3.3.1-9", "U-3.8.4-2"]
    )
    .needs(WILD),
    scenario!(
        "3.3/retain-many",
        retain_many,
        "Many more retained messages than a client takes at once all come",
        ["MQTT-3.3.1-9"]
    )
    .needs(WILD),
    scenario!(
        "3.3/retain-several-filters",
        retain_several_filters,
        "Each filter of one SUBSCRIBE brings retained messages as its own options say",
        ["MQTT-3.3.1-9", "MQTT-3.8.4-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-with-identifier",
        retain_with_identifier,
        "A retained message has the identifier of the subscription that brings it",
        ["MQTT-3.3.4-3"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Retain, Need::SubscriptionIdentifiers]),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce), Need::Retain];
const WILD: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain, Need::Wildcards];

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..SubscriptionOptions::at(QoS::AtLeastOnce) }
}

async fn retain_handling_0(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    delivers(stage, &mut alice).await?;
    for requirement in ["MQTT-3.3.1-9", "MQTT-3.8.4-4", "MQTT-3.8.4-4"] {
        stage.proving(requirement);
        stage.means();
        bob.subscribe_with(&topic, handling(RetainHandling::Send)).await?;
        stage.claims();
        bob.receives(&topic, "kept").await?;
        stage.means();
        alice.publish(&topic, "the next", QoS::AtLeastOnce).await?;
        stage.claims();
        bob.receives(&topic, "the next").await?;
    }
    Ok(())
}

async fn retain_handling_0_after_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let always = handling(RetainHandling::Send);
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe_with(&topic, always).await?;
    bob.receives(&topic, "kept").await?;
    // That the acknowledgement has been read.
    bob.ping().await?;
    bob.leave().await?;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.subscribe_with(&topic, always).await?;
    stage.claims();
    bob.receives(&topic, "kept").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn retain_handling_1(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let if_new = handling(RetainHandling::SendIfNew);
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    retains(stage, &mut alice).await?;
    for _ in 0..2 {
        bob.subscribe_with(&topic, if_new).await?;
        stage.claims();
        bob.receives(&topic, "kept").await?;
        stage.means();
        stage.nothing_on(&topic, &mut alice, &mut bob).await?;
        // Other options do not make it another subscription.
        let at_2 = SubscriptionOptions { maximum_qos: QoS::ExactlyOnce, ..if_new };
        let as_published = SubscriptionOptions { retain_as_published: true, ..if_new };
        for options in [if_new, at_2, as_published] {
            bob.subscribe_with(&topic, options).await?;
            stage.nothing_on(&topic, &mut alice, &mut bob).await?;
        }
        let reason = bob.unsubscribe(&topic).await?;
        let removed = reason == ReasonCode::Success;
        stage.stands_on("MQTT-3.11.3-1", removed, "UNSUBACK 0x00", reason.row().name)?;
    }
    Ok(())
}

async fn retain_handling_1_after_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let if_new = handling(RetainHandling::SendIfNew);
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe_with(&topic, if_new).await?;
    bob.receives(&topic, "kept").await?;
    // That the acknowledgement has been read.
    bob.ping().await?;
    bob.leave().await?;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.subscribe_with(&topic, if_new).await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    bob.leave().await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_with(&topic, if_new).await?;
    stage.claims();
    bob.receives(&topic, "kept").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn retain_handling_1_other_filter(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("other/kept");
    let if_new = handling(RetainHandling::SendIfNew);
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    retains(stage, &mut alice).await?;
    for filter in ["other/+", "other/kept", "other/#"] {
        stage.means();
        bob.subscribe_with(&stage.topic(filter), if_new).await?;
        stage.claims();
        bob.receives(&topic, "kept").await?;
    }
    bob.has_no_message().await
}

async fn retain_handling_2(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut control = newcomer(stage, &topic).await?;
    control.receives(&topic, "kept").await?;
    let mut bob = stage.connected("bob").await?;
    for _ in 0..2 {
        bob.subscribe_with(&topic, handling(RetainHandling::DoNotSend)).await?;
        stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    }
    retain(&mut alice, &topic, "live", QoS::AtLeastOnce).await?;
    stage.proving("U-3.8.3.1-4");
    bob.receives(&topic, "live").await.map(drop)
}

/// Takes messages until each of these topics has had one, and shows that no other comes.
async fn brings(stage: &Stage, to: &mut Probe, filter: &str, topics: &[String]) -> Outcome {
    stage.claims();
    let mut missing: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    while let Some(next) = missing.first() {
        let expected = format!("\"{filter}\" to bring the message of \"{next}\"");
        let publish = to.message(&expected).await?;
        to.acknowledge(&publish).await?;
        let expected = format!("\"{filter}\" to bring each matching message once");
        let fits = missing.remove(&*publish.topic);
        if !fits && topics.iter().any(|topic| **topic == *publish.topic) {
            stage.proving("U-3.8.4-2");
        }
        stage.check(fits, &expected, packet_text(&publish.into()))?;
    }
    stage.means();
    to.has_no_message().await
}

async fn retain_matching(stage: &mut Stage) -> Outcome {
    const KEPT: [&str; 8] = ["a", "a/b", "a/c", "a/b/c", "a/b/", "b", "b/b", "/"];
    const FILTERS: [(&str, &[&str]); 7] = [
        ("a/b", &["a/b"]),
        ("a/+", &["a/b", "a/c"]),
        ("a/#", &["a", "a/b", "a/c", "a/b/c", "a/b/"]),
        ("+/b", &["a/b", "b/b"]),
        ("a/+/c", &["a/b/c"]),
        ("+", &["a", "b"]),
        ("#", &KEPT),
    ];
    let mut alice = stage.connected("alice").await?;
    delivers(stage, &mut alice).await?;
    for name in KEPT {
        retain(&mut alice, &stage.topic(name), "kept", QoS::AtLeastOnce).await?;
    }
    for (filter, names) in FILTERS {
        let filter = stage.topic(filter);
        let topics: Vec<_> = names.iter().map(|name| stage.topic(name)).collect();
        let mut bob = newcomer(stage, &filter).await?;
        brings(stage, &mut bob, &filter, &topics).await?;
        if let Some(topic) = topics.first() {
            stage.nothing_on(topic, &mut alice, &mut bob).await?;
        }
    }
    Ok(())
}

async fn retain_many(stage: &mut Stage) -> Outcome {
    let topics: Vec<_> = (0..60).map(|number| stage.topic(&format!("many/{number}"))).collect();
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    for topic in &topics {
        retain(&mut alice, topic, "kept", QoS::AtLeastOnce).await?;
    }
    let maximum = PropertyId::ReceiveMaximum;
    let mut bob = stage.connected_with("bob", |connect| connect.with(maximum, 3)).await?;
    let filter = stage.topic("many/#");
    bob.subscribe(&filter, QoS::AtLeastOnce).await?;
    brings(stage, &mut bob, &filter, &topics).await
}

async fn retain_several_filters(stage: &mut Stage) -> Outcome {
    let topics = ["one", "two", "three", "four"].map(|name| stage.topic(name));
    let mut alice = stage.connected("alice").await?;
    retains(stage, &mut alice).await?;
    for topic in &topics {
        retain(&mut alice, topic, "kept", QoS::AtLeastOnce).await?;
    }
    let mut bob = stage.connected("bob").await?;
    let [one, two, three, four] = &topics;
    let mut request = Subscribe::new(bob.packet_id(), one.as_str(), QoS::AtLeastOnce)
        .and(two.as_str(), handling(RetainHandling::SendIfNew))
        .and(three.as_str(), handling(RetainHandling::DoNotSend));
    request = request.and(four.as_str(), handling(RetainHandling::Send));
    let suback = bob.request(request).await?;
    stage.proving("MQTT-3.8.4-5");
    stage.means();
    bob.granted(&suback, &[QoS::AtLeastOnce; 4])?;
    let wanted = [one.clone(), two.clone(), four.clone()];
    brings(stage, &mut bob, "the SUBSCRIBE", &wanted).await?;
    stage.nothing_on(three, &mut alice, &mut bob).await
}

async fn retain_with_identifier(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "kept", QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    for identifier in [7, 200] {
        bob.subscribe_identified(&topic, options, identifier).await?;
        let publish = bob.receives(&topic, "kept").await?;
        let found: Vec<_> =
            publish.properties.numbers(PropertyId::SubscriptionIdentifier).collect();
        let expected = format!("the identifier {identifier}");
        stage.check(found == [identifier], &expected, packet_text(&publish.into()))?;
    }
    Ok(())
}
