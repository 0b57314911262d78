//! Chapter 2: the format of control packets, but for Packet Identifiers.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{
    Connect, Packet, Properties, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, Value,
};

use super::s1_05_data_representation::same_properties;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "2.1/remaining-length-boundaries",
        remaining_length_boundaries,
        "Messages whose remaining length is at the edge of one more byte arrive whole",
        ["U-2.1.4-1", "MQTT-1.5.5-1"]
    )
    .needs(&[Need::PacketSize(16_400)]),
    scenario!(
        "2.1/packet-size-counts-all-bytes",
        packet_size_counts_all_bytes,
        "A size limit counts the whole packet, fixed header and length field included",
        ["U-2.1.4-3", "MQTT-3.1.2-24"]
    ),
    scenario!(
        "2.1/wrong-flags-subscribe-nothing",
        wrong_flags_subscribe_nothing,
        "SUBSCRIBE with wrong fixed-header flags ends the connection and subscribes to nothing",
        ["U-2.1.3-1", "MQTT-3.8.1-1"]
    )
    .breaks(&["MQTT-3.8.1-1"])
    .needs(&[Need::Sessions]),
    scenario!(
        "2.2/property-order-means-nothing",
        property_order_means_nothing,
        "Properties of PUBLISH come through alike in any order",
        ["U-2.2.2.2-4"]
    ),
    scenario!(
        "2.2/connect-property-order-means-nothing",
        connect_property_order_means_nothing,
        "All properties of CONNECT together are taken in either order, and take effect",
        ["U-2.2.2.2-4"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "2.2/user-properties-keep-order",
        user_properties_keep_order,
        "User properties arrive complete and in their order, repeated names included",
        ["MQTT-3.3.2-18", "MQTT-3.3.2-17"]
    ),
    scenario!(
        "2.2/property-length-boundaries",
        property_length_boundaries,
        "Properties whose length is at the edge of one more byte leave the payload whole",
        ["U-2.2.2.1-1", "MQTT-2.2.2-1"]
    )
    .needs(&[Need::PacketSize(17_000)]),
    scenario!(
        "2.2/user-properties-of-requests-stay",
        user_properties_of_requests_stay,
        "User properties of SUBSCRIBE and of acknowledgements are no part of any message",
        ["MQTT-3.3.2-17", "MQTT-3.8.4-1", "U-3.4.2-1", "U-3.8.2.1.3-1", "U-3.4.2.2.3-1"]
    ),
    scenario!(
        "2.4/success-has-its-effect",
        success_has_its_effect,
        "What a reason code below 0x80 reports has happened",
        ["U-2.4-1"]
    ),
];

async fn remaining_length_boundaries(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("size");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let mut lengths = vec![127, 128, 129, 16_383, 16_384];
    // A target that names no limit may still have one (section 3.2.2.3.6).
    if stage.capabilities().limits_packet_size()
        && stage.capabilities().maximum_packet_size() > 2_200_000
    {
        lengths.extend([2_097_151, 2_097_152]);
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    stage.claims();
    for length in lengths {
        // Length of the topic, Packet Identifier, Property Length.
        let payload = Bytes::from(vec![b'.'; length - topic.len() - 2 - 2 - 1]);
        let publish = Publish::new(&topic, payload).qos(QoS::AtLeastOnce, bob.packet_id());
        bob.publish_with(publish.clone()).await?;
        let received = alice.message(&format!("the message of remaining length {length}")).await?;
        alice.acknowledge(&received).await?;
        let observed = format!("{} bytes", received.payload.len());
        stage.check(received.payload == publish.payload, "the payload as it was sent", observed)?;
    }
    Ok(())
}

async fn packet_size_counts_all_bytes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("size");
    let mut bob = stage.connected("bob").await?;
    let added = length_added(stage, &topic, &mut bob).await?;
    // A remaining length of 127 makes a packet of 129 bytes, one of 128 a packet of 131.
    for (limit, fits) in [(131, true), (130, false)] {
        stage.proving(if fits { "U-2.1.4-3" } else { "MQTT-3.1.2-24" });
        stage.means();
        let mut alice = stage
            .connected_with("alice", |connect| connect.with(PropertyId::MaximumPacketSize, limit))
            .await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        let besides = topic.len() + 2 + 2 + 1 + added;
        let payload = |length: usize| ".".repeat(length.saturating_sub(besides));
        bob.publish(&topic, &payload(127), QoS::AtLeastOnce).await?;
        alice.receives(&topic, &payload(127)).await?;
        bob.publish(&topic, &payload(128), QoS::AtLeastOnce).await?;
        if fits {
            stage.claims();
            alice.receives(&topic, &payload(128)).await?;
        }
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    Ok(())
}

/// By how much a target makes messages longer that it hands on.
async fn length_added(stage: &mut Stage, topic: &str, from: &mut Probe) -> Outcome<usize> {
    let length = |publish: Publish| Packet::from(publish).encoded_len().unwrap_or_default();
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(topic, QoS::AtLeastOnce).await?;
    from.publish(topic, ".", QoS::AtLeastOnce).await?;
    let received = carol.receives(topic, ".").await?;
    carol.leave().await?;
    let published = Publish::new(topic, ".").qos(QoS::AtLeastOnce, 1);
    Ok(length(received).saturating_sub(length(published)))
}

async fn wrong_flags_subscribe_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unheard");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.ping().await?;
    let subscribe = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce);
    alice.send_bytes(with_first_byte(&subscribe.into(), 0x80)).await?;
    alice.closes().await?;

    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.resumed("alice", 60).await?;
    bob.publish(&topic, "unheard", QoS::AtLeastOnce).await?;
    alice.has_no_message().await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

/// The bytes of a packet, with another first byte.
pub(super) fn with_first_byte(packet: &Packet, first: u8) -> Bytes {
    let mut bytes = BytesMut::from(packet.to_bytes().unwrap_or_default().as_ref());
    if let Some(byte) = bytes.first_mut() {
        *byte = first;
    }
    bytes.freeze()
}

async fn property_order_means_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("order");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let properties: [(PropertyId, Value); 4] = [
        (PropertyId::PayloadFormatIndicator, 1.into()),
        (PropertyId::ContentType, "text".into()),
        (PropertyId::CorrelationData, Bytes::from_static(b"\x00\x01").into()),
        (PropertyId::UserProperty, ("name", "value").into()),
    ];
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    stage.claims();
    let mut first = None;
    for order in orders_of_four() {
        let mut publish =
            Publish::new(&topic, format!("{order:?}")).qos(QoS::AtLeastOnce, bob.packet_id());
        for (id, value) in order.iter().filter_map(|place| properties.get(*place)) {
            publish.properties.push(*id, value.clone());
        }
        bob.publish_with(publish.clone()).await?;
        let received = alice.receives(&topic, &format!("{order:?}")).await?;
        let all = sorted_by_name(&received.properties, &publish.properties);
        let first = first.get_or_insert_with(|| all.clone());
        let expected = format!("the properties as in the first order: {}", first.said());
        stage.check(all == *first, &expected, all.said())?;
    }
    Ok(())
}

/// The properties that were published, in an order that says nothing of the one they came in.
fn sorted_by_name(received: &Properties, published: &Properties) -> Vec<String> {
    let known = received.iter().filter(|it| published.iter().any(|own| own == *it));
    let mut all: Vec<_> = known.map(|property| format!("{property:?}")).collect();
    all.sort();
    all
}

/// The 24 ways to put four things in a row.
fn orders_of_four() -> impl Iterator<Item = [usize; 4]> {
    let all = (0..256_usize).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    all.filter(|order| (0..4).all(|place| order.contains(&place)))
}

async fn connect_property_order_means_nothing(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let properties: [(PropertyId, Value); 8] = [
        (PropertyId::SessionExpiryInterval, 60.into()),
        (PropertyId::ReceiveMaximum, 1.into()),
        (PropertyId::MaximumPacketSize, 100_000.into()),
        (PropertyId::TopicAliasMaximum, 10.into()),
        (PropertyId::RequestResponseInformation, 1.into()),
        (PropertyId::RequestProblemInformation, 1.into()),
        (PropertyId::UserProperty, ("a", "b").into()),
        (PropertyId::UserProperty, ("a", "c").into()),
    ];
    let mut bob = stage.connected("bob").await?;
    for (name, backwards) in [("alice", false), ("carol", true)] {
        let mut order = properties.to_vec();
        if backwards {
            order.reverse();
        }
        let with_all = |mut connect: Connect| {
            for (id, value) in order {
                connect.properties.push(id, value);
            }
            connect
        };
        stage.claims();
        let mut probe = stage.connected_with(name, with_all.clone()).await?;
        stage.means();
        probe.subscribe(&topic, QoS::AtLeastOnce).await?;
        bob.publish(&topic, "one", QoS::AtLeastOnce).await?;
        bob.publish(&topic, "two", QoS::AtLeastOnce).await?;
        let one = probe.message("a message").await?;
        let more = probe.messages_now().await?;
        stage.check(more.is_empty(), "no second message above receive_maximum 1", more.said())?;
        probe.acknowledge(&one).await?;
        let two = probe.message("a message").await?;
        probe.acknowledge(&two).await?;
        probe.leave().await?;
        let mut probe = stage.open(name).await?;
        let connack = probe.connect(with_all(probe.connect_packet().resume())).await?;
        stage.is_resumed("U-2.2.2.2-4", name, &connack).await?;
        probe.leave().await?;
    }
    Ok(())
}

async fn user_properties_keep_order(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("order");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let mut publish = Publish::new(&topic, "hello").qos(QoS::AtLeastOnce, bob.packet_id());
    for number in 0..30 {
        let (name, value) = (format!("name {}", number * 7 % 5), format!("{}", number * 11 % 4));
        publish.properties.push(PropertyId::UserProperty, (name.as_str(), value.as_str()));
        if number == 15 {
            publish.properties.push(PropertyId::ContentType, "text"); // Between them.
        }
    }
    stage.claims();
    bob.publish_with(publish.clone()).await?;
    let received = alice.receives(&topic, "hello").await?;
    // Whether what stands between them is passed on is claimed elsewhere.
    publish.properties.retain(|property| property.id == PropertyId::UserProperty);
    same_properties(stage, &publish, &received, Stage::check_of)
}

async fn property_length_boundaries(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("properties");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let bare = Publish::new(&topic, "behind none").qos(QoS::AtLeastOnce, bob.packet_id());
    bob.publish_with(bare).await?;
    alice.receives(&topic, "behind none").await?;
    stage.claims();
    for length in [126, 127, 128, 129, 300, 16_383, 16_384] {
        // Identifier, two lengths and the name; a value cannot be that long alone.
        let value = "v".repeat(length - 1 - 2 - 1 - 2);
        let publish = Publish::new(&topic, format!("behind {length} bytes"))
            .qos(QoS::AtLeastOnce, bob.packet_id())
            .with(PropertyId::UserProperty, ("n", value.as_str()));
        bob.publish_with(publish.clone()).await?;
        let received = alice.receives(&topic, &format!("behind {length} bytes")).await?;
        let pairs = received.properties.user_properties();
        let kept = pairs.filter(|(name, _)| *name == "n").eq([("n", value.as_str())]);
        let expected = format!("the user property of {length} bytes as it was sent");
        stage.check(kept, &expected, "another one")?;
    }
    Ok(())
}

async fn user_properties_of_requests_stay(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("private");
    let private = ("private", "not for others");
    let mut alice = stage.connected("alice").await?;
    stage.serves(&mut alice).await?;
    let subscribe = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce)
        .with(PropertyId::UserProperty, private)
        .with(PropertyId::UserProperty, private);
    stage.proving("MQTT-3.8.4-1");
    let suback = alice.request(subscribe).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    let mut bob = stage.connected("bob").await?;
    for number in 0..2 {
        let text = format!("message {number}");
        let publish = Publish::new(&topic, text.clone())
            .qos(QoS::AtLeastOnce, bob.packet_id())
            .with(PropertyId::UserProperty, ("public", "for all"));
        stage.means();
        bob.publish_with(publish).await?;
        if number > 0 {
            stage.claims();
        }
        let received = alice.holds(&topic, &text).await?;
        let is_public = received.properties.user_properties().all(|pair| pair != private);
        let observed = packet_text(&received.clone().into());
        stage.check_of("MQTT-3.3.2-17", is_public, "no user property of a request", observed)?;
        let ack = PublishAck::new(received.packet_id)
            .with(PropertyId::UserProperty, private)
            .with(PropertyId::UserProperty, private);
        stage.proving("U-3.4.2-1");
        alice.send(Packet::PubAck(ack)).await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn success_has_its_effect(stage: &mut Stage) -> Outcome {
    let (kept, dropped) = (stage.topic("kept"), stage.topic("dropped"));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let plain = stage.topic("plain");
    alice.subscribe(&plain, QoS::AtLeastOnce).await?;
    stage.nothing_on(&plain, &mut bob, &mut alice).await?;
    let request = Subscribe::new(alice.packet_id(), &kept, QoS::AtLeastOnce)
        .and(&dropped, SubscriptionOptions::at(QoS::AtLeastOnce));
    let suback = alice.request(request).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce; 2])?;
    for topic in [&kept, &dropped] {
        stage.means();
        bob.publish(topic, "granted", QoS::AtLeastOnce).await?;
        stage.claims();
        alice.receives(topic, "granted").await?;
    }
    stage.means();
    let reason = alice.unsubscribe(&dropped).await?;
    let observed = format!("0x{:02X}", reason.value());
    let expected = "UNSUBACK 0x00 (success)";
    stage.stands_on("MQTT-3.11.3-1", reason == ReasonCode::Success, expected, observed)?;
    bob.publish(&dropped, "after UNSUBACK", QoS::AtLeastOnce).await?;
    stage.nothing_on(&kept, &mut bob, &mut alice).await?;
    alice.has_no_message().await
}
