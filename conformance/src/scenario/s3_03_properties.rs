//! Section 3.3.2.3: the properties of a message on their way to its subscribers.

use reference_broker::codec::{Properties, PropertyId, Publish, QoS, Value};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/properties-live",
        properties_live,
        "All properties of a message reach its subscribers, whatever QoS it comes and goes at",
        [
            "MQTT-3.3.2-17",
            "MQTT-3.3.2-18",
            "MQTT-3.3.2-4",
            "MQTT-3.3.2-15",
            "MQTT-3.3.2-16",
            "MQTT-3.3.2-20",
            "MQTT-3.8.4-8"
        ]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/properties-queued",
        properties_queued,
        "A message that waited for its subscriber has all its properties",
        [
            "MQTT-3.3.2-17",
            "MQTT-3.3.2-18",
            "MQTT-3.3.2-4",
            "MQTT-3.3.2-15",
            "MQTT-3.3.2-16",
            "MQTT-3.3.2-20"
        ]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/properties-retained",
        properties_retained,
        "A retained message has all its properties when a later subscription brings it",
        [
            "MQTT-3.3.2-17",
            "MQTT-3.3.2-18",
            "MQTT-3.3.2-4",
            "MQTT-3.3.2-15",
            "MQTT-3.3.2-16",
            "MQTT-3.3.2-20"
        ]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Retain]),
    scenario!(
        "3.3/properties-resent",
        properties_resent,
        "A message that is sent again after a resume has all its properties again",
        [
            "MQTT-3.3.2-17",
            "MQTT-3.3.2-18",
            "MQTT-3.3.2-4",
            "MQTT-3.3.2-15",
            "MQTT-3.3.2-16",
            "MQTT-3.3.2-20"
        ]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/user-properties-without-problem-information",
        user_properties_without_problem_information,
        "Who asks for no problem information still gets the User Properties of messages",
        ["MQTT-3.3.2-17"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/no-properties-added",
        no_properties_added,
        "A message that was published without properties arrives without them",
        [
            "U-3.3.2.3.3-1",
            "MQTT-3.3.2-4",
            "MQTT-3.3.2-15",
            "MQTT-3.3.2-16",
            "MQTT-3.3.2-20",
            "U-3.3.4-4",
            "U-3.3.2.3.7-1"
        ]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// Every property that is passed on unaltered, with the requirement that says so.
const SINGLE: [(PropertyId, &str); 4] = [
    (PropertyId::PayloadFormatIndicator, "MQTT-3.3.2-4"),
    (PropertyId::ResponseTopic, "MQTT-3.3.2-15"),
    (PropertyId::CorrelationData, "MQTT-3.3.2-16"),
    (PropertyId::ContentType, "MQTT-3.3.2-20"),
];

/// A message with one of each, and with User Properties whose order can be seen.
pub(super) fn with_all(topic: &str, payload: &str) -> Publish {
    Publish::new(topic, payload.to_owned())
        .with(PropertyId::UserProperty, ("unit", "one"))
        .with(PropertyId::PayloadFormatIndicator, 1)
        .with(PropertyId::ContentType, "text/plain; charset=utf-8")
        .with(PropertyId::UserProperty, ("order", "z"))
        .with(PropertyId::ResponseTopic, "answers/to/me")
        .with(PropertyId::CorrelationData, &b"\x00\x01\xFE\xFF"[..])
        .with(PropertyId::UserProperty, ("order", "a"))
        .with(PropertyId::UserProperty, ("unit", "one"))
        .with(PropertyId::UserProperty, ("\u{e4}\u{1F600}", ""))
}

pub(super) fn value(properties: &Properties, id: PropertyId) -> Option<&Value> {
    properties.iter().find(|property| property.id == id).map(|property| &property.value)
}

/// Checks that a message has the properties that were published. What a broker adds of its own is no
/// matter here.
pub(super) fn same_properties(
    stage: &Stage,
    published: &Properties,
    received: &Publish,
) -> Outcome {
    for (id, requirement) in SINGLE {
        let expected = format!("the {} as it was published", id.row().name);
        let same = value(published, id) == value(&received.properties, id);
        stage.check_of(requirement, same, &expected, packet_text(&received.clone().into()))?;
    }
    same_pairs(stage, published, received)
}

/// Checks that a message has the User Properties that were published, in their order.
pub(super) fn same_pairs(stage: &Stage, published: &Properties, received: &Publish) -> Outcome {
    all_pairs(stage, published, received)?;
    let in_order = keeps_users_in_order(published, &received.properties);
    let expected = "the User Properties in the order they were published";
    let observed = packet_text(&received.clone().into());
    stage.check_of("MQTT-3.3.2-18", in_order, expected, observed)
}

/// As [`same_pairs`], in whatever order.
fn all_pairs(stage: &Stage, published: &Properties, received: &Publish) -> Outcome {
    let all = keeps_users(published, &received.properties);
    let expected = "the User Properties as they were published";
    stage.check_of("MQTT-3.3.2-17", all, expected, packet_text(&received.clone().into()))?;
    adds_no_users(stage, published, received);
    Ok(())
}

/// Whether a message has all the User Properties that were published, whatever else it has.
pub(super) fn keeps_users(published: &Properties, received: &Properties) -> bool {
    let mut received: Vec<_> = received.user_properties().collect();
    published.user_properties().all(|own| {
        let place = received.iter().position(|other| *other == own);
        place.map(|place| received.swap_remove(place)).is_some()
    })
}

/// As [`keeps_users`], and in their order.
pub(super) fn keeps_users_in_order(published: &Properties, received: &Properties) -> bool {
    let mut received = received.user_properties();
    published.user_properties().all(|own| received.any(|other| other == own))
}

/// Advises if a message has more User Properties than were published: of such nothing is said.
pub(super) fn adds_no_users(stage: &Stage, published: &Properties, received: &Publish) {
    let added = received.properties.user_properties().count();
    if added > published.user_properties().count() {
        let observed = packet_text(&received.clone().into());
        stage.advise("U-3.3.2.3.7-1", "no User Property that nobody published", observed);
    }
}

async fn properties_live(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("live");
    let mut subscribers = Vec::new();
    for (name, granted) in ["bob", "carol", "dave"].into_iter().zip(QoS::ALL) {
        let mut subscriber = stage.connected(name).await?;
        subscriber.subscribe(&topic, granted).await?;
        subscribers.push((granted, subscriber));
    }
    let mut alice = stage.connected("alice").await?;
    for qos in QoS::ALL {
        let id = alice.packet_id();
        let publish = with_all(&topic, "all").qos(qos, id);
        alice.publish_with(publish.clone()).await?;
        for (granted, subscriber) in &mut subscribers {
            let received = subscriber.receives(&topic, "all").await?;
            let expected = format!("QoS {}", qos.min(*granted).value());
            let observed = packet_text(&received.clone().into());
            let is_lower = received.qos == qos.min(*granted);
            stage.check_of("MQTT-3.8.4-8", is_lower, &expected, observed)?;
            same_properties(stage, &publish.properties, &received)?;
        }
    }
    Ok(())
}

async fn properties_queued(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    bob.leave().await?;
    let mut alice = stage.connected("alice").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let id = alice.packet_id();
        alice.publish_with(with_all(&topic, "while away").qos(qos, id)).await?;
    }
    let mut bob = stage.resumed("bob", 60).await?;
    for _ in 0..2 {
        let received = bob.receives(&topic, "while away").await?;
        same_properties(stage, &with_all(&topic, "").properties, &received)?;
    }
    Ok(())
}

async fn properties_retained(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("retained");
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let publish = with_all(&topic, "kept").qos(QoS::AtLeastOnce, id).retain();
    alice.publish_with(publish.clone()).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let received = bob.receives(&topic, "kept").await?;
    same_properties(stage, &publish.properties, &received)
}

async fn properties_resent(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("resent");
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let id = alice.packet_id();
        let publish = with_all(&topic, "held").qos(qos, id);
        alice.publish_with(publish.clone()).await?;
        bob.holds(&topic, "held").await?;
        bob.leave().await?;
        bob = stage.resumed("bob", 60).await?;
        let again = bob.receives(&topic, "held").await?;
        same_properties(stage, &publish.properties, &again)?;
    }
    Ok(())
}

async fn user_properties_without_problem_information(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("quiet");
    let quiet = PropertyId::RequestProblemInformation;
    let mut bob = stage.connected_with("bob", |connect| connect.with(quiet, 0)).await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let publish = with_all(&topic, "all").qos(QoS::AtLeastOnce, id);
    alice.publish_with(publish.clone()).await?;
    let received = bob.receives(&topic, "all").await?;
    all_pairs(stage, &publish.properties, &received)
}

async fn no_properties_added(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("plain");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    // Properties of an earlier message must not stick to the next.
    let id = alice.packet_id();
    let laden = with_all(&topic, "laden").with(PropertyId::MessageExpiryInterval, 600);
    alice.publish_with(laden.qos(QoS::AtLeastOnce, id)).await?;
    bob.receives(&topic, "laden").await?;
    alice.publish(&topic, "plain", QoS::AtLeastOnce).await?;
    let received = bob.receives(&topic, "plain").await?;
    for (id, requirement) in [
        (PropertyId::MessageExpiryInterval, "U-3.3.2.3.3-1"),
        (PropertyId::ResponseTopic, "MQTT-3.3.2-15"),
        (PropertyId::CorrelationData, "MQTT-3.3.2-16"),
        (PropertyId::ContentType, "MQTT-3.3.2-20"),
        (PropertyId::SubscriptionIdentifier, "U-3.3.4-4"),
    ] {
        stage.proving(requirement);
        let expected = format!("a message without {}", id.row().name);
        let observed = packet_text(&received.clone().into());
        stage.check(!received.properties.contains(id), &expected, observed)?;
    }
    adds_no_users(stage, &Properties::default(), &received);
    // 0 says what its absence says.
    stage.proving("MQTT-3.3.2-4");
    let indicator = received.properties.number(PropertyId::PayloadFormatIndicator);
    let expected = "a message without payload_format_indicator 1";
    stage.check(indicator != Some(1), expected, packet_text(&received.into()))
}
