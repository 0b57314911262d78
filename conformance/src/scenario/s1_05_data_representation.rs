//! Section 1.5: data representation.

use bytes::Bytes;
use reference_broker::codec::{PacketType, Properties, Property, PropertyId, Publish, QoS, Will};

use super::s3_03_properties::{adds_no_users, keeps_users, keeps_users_in_order};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "1.5/topic-characters-kept",
        topic_characters_kept,
        "Topic names of characters from all over Unicode match themselves and arrive unchanged",
        ["MQTT-4.7.3-4", "MQTT-1.5.4-1"]
    ),
    scenario!(
        "1.5/property-characters-kept",
        property_characters_kept,
        "Strings in properties arrive unchanged, whatever characters they are made of",
        ["MQTT-1.5.4-1", "MQTT-3.3.2-15", "MQTT-3.3.2-17", "MQTT-3.3.2-20"]
    ),
    scenario!(
        "1.5/byte-order-mark-kept",
        byte_order_mark_kept,
        "U+FEFF is a character like others: no topic, property or payload loses it",
        ["MQTT-1.5.4-3", "MQTT-4.7.3-4"]
    ),
    scenario!(
        "1.5/byte-order-mark-in-client-id",
        byte_order_mark_in_client_id,
        "Client identifiers that differ in U+FEFF alone belong to two clients",
        ["MQTT-1.5.4-3", "MQTT-3.1.3-2"]
    ),
    scenario!(
        "1.5/no-normalisation",
        no_normalisation,
        "Topic names that look alike are different: nothing is normalised or folded",
        ["MQTT-4.7.3-4"]
    ),
    scenario!(
        "1.5/control-characters-kept-or-refused",
        control_characters_kept_or_refused,
        "Control characters and non-characters are refused or arrive unchanged, nothing between",
        ["MQTT-3.3.2-17", "U-1.5.4-4"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "1.5/empty-values-kept",
        empty_values_kept,
        "Strings and binary data of no bytes are values: they arrive, empty",
        ["U-1.5.4-5", "U-1.5.6-1", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-20"]
    ),
    scenario!(
        "1.5/longest-values-kept",
        longest_values_kept,
        "Strings and binary data of 65,535 bytes arrive whole",
        ["U-1.5.4-5", "U-1.5.6-1", "MQTT-3.3.2-16", "MQTT-3.3.2-17"]
    )
    .needs(&[Need::PacketSize(140_000)]),
    scenario!(
        "1.5/binary-kept",
        binary_kept,
        "Correlation data and payload of all byte values arrive unchanged",
        ["U-1.5.6-1", "MQTT-3.3.2-16"]
    ),
    scenario!(
        "1.5/four-byte-integer-order",
        four_byte_integer_order,
        "A message expiry interval keeps its value, most significant byte first",
        ["U-1.5.3-1", "MQTT-3.3.2-6"]
    ),
];

/// The first and last characters of each length and of each side of the surrogates, and some
/// between.
const CHARACTERS: [char; 10] = [
    ' ',
    '~',
    '\u{A0}',
    '\u{7FF}',
    '\u{800}',
    '\u{D7FF}',
    '\u{E000}',
    '\u{FFFD}',
    '\u{2A6D4}',
    '\u{10FFFD}',
];

async fn topic_characters_kept(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    // The control: the same with plain characters.
    let plain = stage.topic("plain");
    alice.subscribe(&plain, QoS::AtLeastOnce).await?;
    stage.nothing_on(&plain, &mut bob, &mut alice).await?;
    stage.claims();
    for (number, character) in CHARACTERS.iter().enumerate() {
        let topic = stage.topic(&format!("{number}/{character}x/a{character}"));
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        let payload = format!("payload {character}");
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
        alice.receives(&topic, &payload).await?;
    }
    Ok(())
}

async fn property_characters_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("characters");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    stage.claims();
    for character in CHARACTERS {
        let text = format!("{character}a{character}");
        let response = stage.topic(&text);
        let publish = Publish::new(&topic, "hello")
            .qos(QoS::AtLeastOnce, bob.packet_id())
            .with(PropertyId::ContentType, text.as_str())
            .with(PropertyId::ResponseTopic, response.as_str())
            .with(PropertyId::UserProperty, (text.as_str(), text.as_str()));
        bob.publish_with(publish.clone()).await?;
        let received = alice.receives(&topic, "hello").await?;
        same_properties(stage, &publish, &received, Stage::check_of)?;
    }
    Ok(())
}

async fn byte_order_mark_kept(stage: &mut Stage) -> Outcome {
    let plain = stage.topic("a");
    let marked = [format!("\u{FEFF}{plain}"), stage.topic("\u{FEFF}a"), stage.topic("a\u{FEFF}")];
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&plain, QoS::AtLeastOnce).await?;
    let mut carol = stage.connected("carol").await?;
    let mut bob = stage.connected("bob").await?;
    // The control: the same with plain characters.
    let publish = with_text(&plain, "b", bob.packet_id());
    bob.publish_with(publish.clone()).await?;
    let received = alice.receives(&plain, "b").await?;
    same_properties(stage, &publish, &received, Stage::stands_on)?;
    stage.claims();
    for topic in &marked {
        carol.subscribe(topic, QoS::AtLeastOnce).await?;
        let text = "\u{FEFF}b\u{FEFF}";
        let publish = with_text(topic, text, bob.packet_id());
        bob.publish_with(publish.clone()).await?;
        let received = carol.receives(topic, text).await?;
        same_properties(stage, &publish, &received, |stage, _, same, expected, observed| {
            stage.check(same, expected, observed)
        })?;
    }
    stage.nothing_on(&plain, &mut bob, &mut alice).await?;
    carol.has_no_message().await
}

/// A message of this text, in its properties too.
fn with_text(topic: &str, text: &str, id: u16) -> Publish {
    Publish::new(topic, text.to_owned())
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::ContentType, text)
        .with(PropertyId::UserProperty, (text, text))
}

async fn byte_order_mark_in_client_id(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("mine");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let mut other = stage.open("other").await?;
    let connect = other.connect_packet_as(format!("\u{FEFF}{}", alice.client_id()));
    other.send(connect).await?;
    match other.answer().await? {
        Some(connack) if !connack.reason.is_error() => {}
        _ => return stage.not_applicable("the target does not take such client identifiers"),
    }
    other.publish(&topic, "from the other", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "from the other").await.map(drop)
}

async fn no_normalisation(stage: &mut Stage) -> Outcome {
    let pairs = [
        ("\u{E9}", "e\u{301}"),           // composed and decomposed
        ("A", "\u{FF21}"),                // wide
        ("fi", "\u{FB01}"),               // ligature
        ("K", "\u{212A}"),                // the sign for kelvin
        ("i", "\u{131}"),                 // dotless
        ("\u{3C3}", "\u{3C2}"),           // sigma, and at the end of a word
        ("b", "B"),                       // case
        ("\u{F6}", "\u{D6}"),             // case, beyond ASCII
        ("\u{1100}\u{1161}", "\u{AC00}"), // syllable
    ];
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    let mut bob = stage.connected("bob").await?;
    let plain = stage.topic("plain");
    for probe in [&mut alice, &mut carol] {
        probe.subscribe(&plain, QoS::AtLeastOnce).await?;
        stage.nothing_on(&plain, &mut bob, probe).await?;
        probe.unsubscribe(&plain).await?;
    }
    for (one, other) in pairs {
        let (one, other) = (stage.topic(one), stage.topic(other));
        stage.means();
        alice.subscribe(&one, QoS::AtLeastOnce).await?;
        carol.subscribe(&other, QoS::AtLeastOnce).await?;
        bob.publish(&other, "for carol", QoS::AtLeastOnce).await?;
        bob.publish(&one, "for alice", QoS::AtLeastOnce).await?;
        stage.claims();
        carol.receives(&other, "for carol").await?;
        alice.receives(&one, "for alice").await?;
        stage.nothing_on(&other, &mut bob, &mut carol).await?;
    }
    alice.has_no_message().await
}

async fn control_characters_kept_or_refused(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("controls");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    for odd in
        ['x', '\u{1}', '\u{1F}', '\u{7F}', '\u{85}', '\u{9F}', '\u{FDD0}', '\u{FFFF}', '\u{1FFFE}']
    {
        stage.means();
        let mut bob = stage.connected("bob").await?;
        let (id, text) = (bob.packet_id(), format!("{odd}b"));
        let publish = Publish::new(&topic, format!("with U+{:04X}", u32::from(odd)))
            .qos(QoS::AtLeastOnce, id)
            .with(PropertyId::UserProperty, (text.as_str(), text.as_str()));
        // Only an 'x' has to be taken.
        if odd != 'x' {
            stage.claims();
        }
        bob.send(publish.clone()).await?;
        match bob.step(PacketType::PubAck, id).await {
            Ok(ack) if !ack.reason.is_error() => {
                let received = alice.message("the message, or a refusal of it").await?;
                alice.acknowledge(&received).await?;
                same_properties(stage, &publish, &received, Stage::check_of)?;
            }
            Ok(_) => stage.nothing_on(&topic, &mut bob, &mut alice).await?,
            Err(Stop::Fail(_) | Stop::Blocked(_)) if odd != 'x' => {
                bob.closes().await?;
                alice.has_no_message().await?;
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}

async fn empty_values_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("empty");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    stage.claims();
    let publish = Publish::new(&topic, "hello")
        .qos(QoS::AtLeastOnce, bob.packet_id())
        .with(PropertyId::ContentType, "")
        .with(PropertyId::CorrelationData, Bytes::new())
        .with(PropertyId::UserProperty, ("", ""))
        .with(PropertyId::UserProperty, ("name", ""))
        .with(PropertyId::UserProperty, ("", "value"));
    bob.publish_with(publish.clone()).await?;
    let received = alice.receives(&topic, "hello").await?;
    same_properties(stage, &publish, &received, Stage::check_of)
}

async fn longest_values_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("long");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let longest = "mqttspec+".repeat(65_535 / 9) + "longer";
    let pair = Publish::new(&topic, "pair")
        .with(PropertyId::UserProperty, (longest.as_str(), longest.as_str()));
    let bytes: Bytes = (0..65_535_u32).map(|at| at.to_le_bytes()[0]).collect();
    let binary = Publish::new(&topic, "binary").with(PropertyId::CorrelationData, bytes);
    for (publish, requirement) in [(pair, "MQTT-3.3.2-17"), (binary, "MQTT-3.3.2-16")] {
        stage.proving(requirement);
        let publish = publish.qos(QoS::AtLeastOnce, bob.packet_id());
        bob.publish_with(publish.clone()).await?;
        let received = alice.message("the message with a value of 65,535 bytes").await?;
        alice.acknowledge(&received).await?;
        let has = |own| received.properties.iter().any(|property| property == own);
        let kept = publish.properties.iter().all(has);
        stage.check(kept, "the value of 65,535 bytes as it was sent", "another value")?;
    }
    Ok(())
}

async fn binary_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("binary");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let bytes: Bytes = (0..=u8::MAX).rev().collect();
    let publish = Publish::new(&topic, bytes.clone())
        .qos(QoS::AtLeastOnce, bob.packet_id())
        .with(PropertyId::CorrelationData, bytes);
    stage.claims();
    bob.publish_with(publish.clone()).await?;
    let received = alice.message("the message of all byte values").await?;
    let observed = format!("payload {}", received.payload.said());
    stage.check(received.payload == publish.payload, "the payload as it was sent", observed)?;
    same_properties(stage, &publish, &received, Stage::check_of)
}

async fn four_byte_integer_order(stage: &mut Stage) -> Outcome {
    const EXPIRY: u32 = 0x0102_0304;
    let topic = stage.topic("expiry");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let publish = Publish::new(&topic, "hello")
        .qos(QoS::AtLeastOnce, bob.packet_id())
        .with(PropertyId::MessageExpiryInterval, EXPIRY);
    bob.publish_with(publish).await?;
    let received = alice.receives(&topic, "hello").await?;
    let expiry = received.properties.number(PropertyId::MessageExpiryInterval);
    // What time the message has spent in the broker is taken off; far less than a minute.
    let close = expiry.is_some_and(|expiry| (EXPIRY - 60..=EXPIRY).contains(&expiry));
    stage.check(close, "message_expiry_interval 16909060, or a little less", expiry.said())
}

/// How a comparison is judged: [`Stage::check_of`] where it is the claim, [`Stage::stands_on`] where it
/// is a control.
pub(super) type Judge = fn(&Stage, &'static str, bool, &str, String) -> Outcome;

/// Checks that what a message says of itself came unchanged: of each property that was sent the same
/// values in the same order; which property comes first means nothing. What a broker adds of its own
/// is no matter here.
pub(super) fn same_properties(
    stage: &Stage,
    sent: &Publish,
    received: &Publish,
    judge: Judge,
) -> Outcome {
    same_by(stage, &sent.properties, received, judge, |id, complete| match id {
        PropertyId::PayloadFormatIndicator => "MQTT-3.3.2-4",
        PropertyId::ContentType => "MQTT-3.3.2-20",
        PropertyId::ResponseTopic => "MQTT-3.3.2-15",
        PropertyId::CorrelationData => "MQTT-3.3.2-16",
        _ if complete => "MQTT-3.3.2-18",
        _ => "MQTT-3.3.2-17",
    })
}

/// As [`same_properties`], for a Will.
pub(super) fn same_will_properties(stage: &Stage, will: &Will, received: &Publish) -> Outcome {
    same_by(stage, &will.properties, received, Stage::check_of, |id, _| match id {
        PropertyId::UserProperty => "MQTT-3.1.3-10",
        _ => "U-3.1.3.2.7-2",
    })
}

/// Compares property by property. `requirement` is what a difference breaks, by the property and by
/// whether it lies in the order alone.
fn same_by(
    stage: &Stage,
    sent: &Properties,
    received: &Publish,
    judge: Judge,
    requirement: fn(PropertyId, bool) -> &'static str,
) -> Outcome {
    const FORWARDED: [PropertyId; 4] = [
        PropertyId::PayloadFormatIndicator,
        PropertyId::ContentType,
        PropertyId::ResponseTopic,
        PropertyId::CorrelationData,
    ];
    for id in FORWARDED.into_iter().filter(|id| sent.contains(*id)) {
        let of = |properties: &Properties| -> Vec<Property> {
            properties.iter().filter(|property| property.id == id).cloned().collect()
        };
        let expected = format!("{} as it was sent", id.row().key);
        let observed = packet_text(&received.clone().into());
        let same = of(sent) == of(&received.properties);
        judge(stage, requirement(id, true), same, &expected, observed)?;
    }
    let complete = keeps_users(sent, &received.properties);
    let in_order = keeps_users_in_order(sent, &received.properties);
    let observed = packet_text(&received.clone().into());
    let requirement = requirement(PropertyId::UserProperty, complete);
    judge(stage, requirement, in_order, "the User Properties as they were sent", observed)?;
    adds_no_users(stage, sent, received);
    Ok(())
}
