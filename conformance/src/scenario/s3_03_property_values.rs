//! Section 3.3.2.3: what each property of a message may hold on its way to a subscriber.

use bytes::Bytes;
use reference_broker::codec::{Packet, Properties, Property, PropertyId, Publish, QoS, Value};

use super::s3_03_properties::{same_pairs, value, with_all};
use super::s3_03_publish::before_after;
use super::{Scenario, Stage, scenario};
use crate::probe::Answer;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/payload-format-indicator",
        payload_format_indicator,
        "The Payload Format Indicator is passed on as it was sent",
        ["MQTT-3.3.2-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/payload-format-mismatch",
        payload_format_mismatch,
        "A payload that is not the text it says it is is refused, or passed on as it is",
        ["MQTT-3.3.2-4", "U-3.3.3-1", "U-3.3.2.3.2-2"]
    )
    .breaks(&["U-3.3.2.3.2-1"])
    .needs(UP_TO_2),
    scenario!(
        "3.3/expiry-zero",
        expiry_zero,
        "A Message Expiry Interval of 0 is taken: the message comes with it or not at all, others do",
        ["MQTT-3.3.2-6", "MQTT-4.3.2-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/content-type",
        content_type,
        "Any Content Type is passed on as it was sent: empty, long, or no MIME type",
        ["MQTT-3.3.2-20"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/response-topic",
        response_topic,
        "Any Response Topic is passed on as it was sent",
        ["MQTT-3.3.2-15", "U-4.7.3-4", "U-4.10-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/response-topic-with-wildcard",
        response_topic_with_wildcard,
        "A Response Topic with a wildcard is not passed on",
        ["MQTT-3.3.2-14", "MQTT-3.3.2-15", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-3.3.2-14"])
    .needs(UP_TO_1),
    scenario!(
        "3.3/correlation-data",
        correlation_data,
        "Correlation Data of any length and content is passed on, also without a Response Topic",
        ["MQTT-3.3.2-16", "U-4.10-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/user-properties-many",
        user_properties_many,
        "Many User Properties, equal and empty ones among them, are passed on in their order",
        ["MQTT-3.3.2-17", "MQTT-3.3.2-18", "U-3.3.2.3.7-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/user-properties-between-others",
        user_properties_between_others,
        "User Properties between other properties keep their order",
        ["MQTT-3.3.2-18", "MQTT-3.3.2-17"]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

async fn payload_format_indicator(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("format");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for published in [None, Some(0), Some(1)] {
        let id = alice.packet_id();
        let mut publish = Publish::new(topic.as_str(), "text").qos(QoS::AtLeastOnce, id);
        if let Some(value) = published {
            publish.properties.push(PropertyId::PayloadFormatIndicator, value);
        }
        alice.publish_with(publish.clone()).await?;
        let received = bob.receives(&topic, "text").await?;
        let indicator = received.properties.number(PropertyId::PayloadFormatIndicator);
        let observed = packet_text(&received.into());
        let expected = format!("{} as it was published", packet_text(&publish.into()));
        // None and 0 mean the same.
        let is_text = |indicator: Option<u32>| indicator == Some(1);
        stage.check(is_text(indicator) == is_text(published), &expected, observed)?;
    }
    Ok(())
}

async fn payload_format_mismatch(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("mismatch");
    let ill_formed = Bytes::from_static(b"\xC3\x28\xFF");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    for qos in QoS::ALL {
        stage.means();
        let mut alice = stage.connected("alice").await?;
        let id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), ill_formed.clone()).qos(qos, id);
        alice.publish_with(publish).await?;
        let binary = bob.message("the bytes without an indicator").await?;
        bob.acknowledge(&binary).await?;
        let id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), ill_formed.clone())
            .qos(qos, id)
            .with(PropertyId::PayloadFormatIndicator, 1);
        // To look is allowed, and then to refuse; to mend is not.
        stage.claims();
        let answer = alice.offer(publish).await?;
        stage.means();
        for received in before_after(stage, answer, alice, (&topic, qos), &mut bob).await? {
            let expected = "the message unaltered, or not at all";
            let indicator = received.properties.number(PropertyId::PayloadFormatIndicator);
            let same_payload = received.payload == ill_formed;
            let observed = packet_text(&received.into());
            stage.proving("U-3.3.3-1");
            stage.check(same_payload, expected, observed.clone())?;
            stage.proving("MQTT-3.3.2-4");
            stage.check(indicator == Some(1), expected, observed)?;
        }
    }
    Ok(())
}

/// Publishes a message for each of these values and checks that it arrives with just that one.
async fn passes_on(
    stage: &mut Stage,
    id: PropertyId,
    values: impl IntoIterator<Item = Value>,
) -> Outcome {
    let topic = stage.topic("values");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    stage.claims();
    let limit = stage.capabilities().maximum_packet_size() as usize;
    for (number, given) in values.into_iter().enumerate() {
        let payload = format!("value {number}");
        let packet_id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), payload.clone())
            .qos(QoS::AtLeastOnce, packet_id)
            .with(id, given.clone());
        if Packet::from(publish.clone()).encoded_len().is_ok_and(|length| length > limit) {
            continue;
        }
        alice.publish_with(publish).await?;
        let received = bob.receives(&topic, &payload).await?;
        let expected = format!("the {} of {payload} as it was published", id.row().name);
        let same = value(&received.properties, id) == Some(&given);
        stage.check(same, &expected, packet_text(&received.into()))?;
    }
    Ok(())
}

async fn expiry_zero(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("at once");
    let mut away = stage.with_session("away", 60).await?;
    away.subscribe(&topic, QoS::AtLeastOnce).await?;
    away.leave().await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for seconds in [60, 0] {
        let id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), format!("for {seconds} s"))
            .qos(QoS::AtLeastOnce, id)
            .with(PropertyId::MessageExpiryInterval, seconds);
        alice.publish_with(publish).await?;
        stage.claims();
    }
    stage.means();
    alice.publish(&topic, "the next", QoS::AtLeastOnce).await?;
    let mut away = stage.resumed("away", 60).await?;
    for to in [&mut bob, &mut away] {
        stage.means();
        to.receives(&topic, "for 60 s").await?;
        stage.claims();
        // Whether a message without a lifetime is delivered is not said.
        for publish in to.receives_until(&topic, "the next").await? {
            let left = publish.properties.number(PropertyId::MessageExpiryInterval);
            let observed = packet_text(&publish.into());
            stage.check(
                left.is_none_or(|left| left == 0),
                "message_expiry_interval=0",
                observed,
            )?;
        }
    }
    Ok(())
}

async fn content_type(stage: &mut Stage) -> Outcome {
    let long = "x".repeat(20_000);
    let values = ["application/json", "", "no type at all", "\u{e4}/\u{1F600}\u{FEFF}", &long];
    passes_on(stage, PropertyId::ContentType, values.map(Value::from)).await
}

async fn response_topic(stage: &mut Stage) -> Outcome {
    let long = "a".repeat(1_000);
    let values = ["answers", "/answers//to/me/", "$weird/\u{e4}\u{1F600} x", &long];
    passes_on(stage, PropertyId::ResponseTopic, values.map(Value::from)).await?;
    response_topic_of_many_levels(stage).await
}

/// A target that takes no topic of as many levels, here as elsewhere, does less than it should.
async fn response_topic_of_many_levels(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("levels");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let given = Value::from("a/".repeat(500).as_str());
    let publish = Publish::new(topic.as_str(), "levels")
        .qos(QoS::AtLeastOnce, alice.packet_id())
        .with(PropertyId::ResponseTopic, given.clone());
    if !stage.capabilities().meet(Need::PacketSize(1_500)) {
        return Ok(());
    }
    match alice.offer(publish).await? {
        Answer::Taken => {}
        answer => {
            let expected = "a Response Topic of 500 levels";
            stage.advise("U-4.7.3-4", expected, format!("the message {}", answer.name()));
            return Ok(());
        }
    }
    let received = bob.receives(&topic, "levels").await?;
    let same = value(&received.properties, PropertyId::ResponseTopic) == Some(&given);
    let expected = "the response_topic of 500 levels as it was published";
    stage.check(same, expected, packet_text(&received.into()))
}

async fn response_topic_with_wildcard(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("request");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    for response_topic in ["answers/+", "answers/#", "#"] {
        stage.means();
        let mut alice = stage.connected("alice").await?;
        let request = |response_topic: &str, id: u16| {
            Publish::new(topic.as_str(), response_topic.to_owned())
                .qos(QoS::AtLeastOnce, id)
                .with(PropertyId::ResponseTopic, response_topic)
        };
        let id = alice.packet_id();
        alice.publish_with(request("answers/x", id)).await?;
        bob.receives(&topic, "answers/x").await?;
        let id = alice.packet_id();
        stage.claims();
        let mut after = match alice.offer(request(response_topic, id)).await? {
            Answer::Closed => stage.connected("carol").await?,
            Answer::Taken | Answer::Refused => alice,
        };
        stage.means();
        after.publish(&topic, "after", QoS::AtLeastOnce).await?;
        let received = match bob.receives_until(&topic, "after").await {
            // It is no valid packet, but passing things on unaltered is a server's duty too.
            Err(Stop::Fail(finding) | Stop::Blocked(finding))
                if finding.requirement == Some("MQTT-3.3.2-14") =>
            {
                let observed = format!("passed on: {}", finding.observed);
                stage.advise("U-4.13.1-1", "the message refused", observed);
                return Ok(());
            }
            received => received?,
        };
        for altered in received {
            stage.proving("MQTT-3.3.2-15");
            let observed = packet_text(&altered.into());
            stage.fail::<()>("no message, or its Response Topic unaltered", observed)?;
        }
    }
    Ok(())
}

async fn correlation_data(stage: &mut Stage) -> Outcome {
    let every_byte: Bytes = (0..=u8::MAX).collect();
    let longest: Bytes = (0..u16::MAX).map(|at| (at % 255) as u8).collect();
    let values = [Bytes::new(), Bytes::from_static(b"\0"), every_byte, longest];
    passes_on(stage, PropertyId::CorrelationData, values.map(Value::from)).await
}

/// Publishes a message with these User Properties and checks that it arrives with them.
async fn passes_on_pairs(stage: &mut Stage, properties: Properties) -> Outcome {
    let topic = stage.topic("pairs");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await?;
    stage.claims();
    let id = alice.packet_id();
    let mut publish = Publish::new(topic.as_str(), "pairs").qos(QoS::AtLeastOnce, id);
    publish.properties = properties;
    alice.publish_with(publish.clone()).await?;
    let received = bob.receives(&topic, "pairs").await?;
    same_pairs(stage, &publish.properties, &received)
}

fn pair(name: &str, value: &str) -> Property {
    Property { id: PropertyId::UserProperty, value: (name, value).into() }
}

async fn user_properties_many(stage: &mut Stage) -> Outcome {
    let numbered = |number: u32| {
        let (name, value) = (format!("name {}", number % 7), format!("value {}", number % 11));
        pair(&name, &value)
    };
    let odd =
        [pair("", ""), pair("", "x"), pair("x", ""), pair("x", ""), pair("\u{e4}", "\u{1F600}")];
    passes_on_pairs(stage, (0..100).map(numbered).chain(odd).collect()).await
}

async fn user_properties_between_others(stage: &mut Stage) -> Outcome {
    let properties = with_all(&stage.topic("between"), "").properties;
    passes_on_pairs(stage, properties).await
}
