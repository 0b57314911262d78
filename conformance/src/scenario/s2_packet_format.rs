//! Chapter 2: the format of control packets.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, Unsubscribe, Value,
};

use super::s1_05_data_representation::same_properties;
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::{Outcome, Stop};

const QOS_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

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
    .needs(&[Need::SessionExpiry(60)]),
    scenario!(
        "2.2/publish-acks-echo-ids",
        publish_acks_echo_ids,
        "Every step of a QoS 1 or 2 exchange has the packet identifier of its PUBLISH",
        ["MQTT-2.2.1-5", "U-1.5.2-1"]
    )
    .needs(QOS_2),
    scenario!(
        "2.2/subscribe-acks-echo-ids",
        subscribe_acks_echo_ids,
        "SUBACK and UNSUBACK have the packet identifier of their request, one for each",
        ["MQTT-2.2.1-6", "U-1.5.2-1"]
    ),
    scenario!(
        "2.2/releases-in-any-order",
        releases_in_any_order,
        "QoS 2 exchanges are completed one by one, in whatever order they are released",
        ["MQTT-2.2.1-5", "MQTT-4.3.3-11"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(5, u16::MAX)]),
    scenario!(
        "2.2/ids-of-deliveries-differ",
        ids_of_deliveries_differ,
        "Messages on their way to a client at the same time have different packet identifiers",
        ["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"]
    )
    .needs(QOS_2),
    scenario!(
        "2.2/ids-after-resume-differ",
        ids_after_resume_differ,
        "A new message on a resumed session does not take the packet identifier of an open one",
        ["MQTT-2.2.1-4"]
    )
    .needs(&[Need::SessionExpiry(60)]),
    scenario!(
        "2.2/ids-can-be-used-again",
        ids_can_be_used_again,
        "Once its exchange is over, a packet identifier stands for a new message",
        ["U-2.2.1-2", "MQTT-4.3.2-5", "MQTT-4.3.3-12"]
    )
    .needs(QOS_2),
    scenario!(
        "2.2/ids-of-both-sides-independent",
        ids_of_both_sides_independent,
        "One packet identifier serves an exchange in each direction at the same time",
        ["U-2.2.1-4"]
    )
    .needs(QOS_2),
    scenario!(
        "2.2/id-shared-with-subscribe",
        id_shared_with_subscribe,
        "SUBSCRIBE under the packet identifier of an open PUBLISH does not harm that message",
        ["U-2.2.1-3"]
    )
    .needs(QOS_2),
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
        ["U-2.2.2.2-4", "U-2.2.2.2-6"]
    )
    .needs(&[Need::SessionExpiry(60)]),
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
        ["MQTT-3.3.2-17", "U-3.8.2.1.3-1", "U-3.4.2.2.3-1"]
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
    // A remaining length of 127 makes a packet of 129 bytes, one of 128 a packet of 131.
    for (limit, fits) in [(131, true), (130, false)] {
        stage.proving(if fits { "U-2.1.4-3" } else { "MQTT-3.1.2-24" });
        let mut alice = stage
            .connected_with("alice", |connect| connect.with(PropertyId::MaximumPacketSize, limit))
            .await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        let payload = |length: usize| ".".repeat(length - topic.len() - 2 - 2 - 1);
        bob.publish(&topic, &payload(127), QoS::AtLeastOnce).await?;
        alice.receives(&topic, &payload(127)).await?;
        bob.publish(&topic, &payload(128), QoS::AtLeastOnce).await?;
        if fits {
            alice.receives(&topic, &payload(128)).await?;
        }
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    Ok(())
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
fn with_first_byte(packet: &Packet, first: u8) -> Bytes {
    let mut bytes = BytesMut::from(packet.to_bytes().unwrap_or_default().as_ref());
    if let Some(byte) = bytes.first_mut() {
        *byte = first;
    }
    bytes.freeze()
}

/// Packet Identifiers that show how their bytes are read.
const IDS: [u16; 6] = [1, 0x00FF, 0x0100, 0x0102, 0x8000, 0xFFFF];

async fn publish_acks_echo_ids(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ids");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for id in IDS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let text = format!("{id} at QoS {}", qos.value());
            bob.publish_with(Publish::new(&topic, text.clone()).qos(qos, id)).await?;
            alice.receives(&topic, &text).await?;
        }
    }
    bob.ping().await?;
    let strays: Vec<_> = bob.unread().map(packet_text).collect();
    stage.check(strays.is_empty(), "one acknowledgement for each step", format!("{strays:?}"))
}

async fn subscribe_acks_echo_ids(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut packets = Vec::new();
    for id in IDS {
        packets.push(Packet::Subscribe(Subscribe::new(id, stage.topic("ids"), QoS::AtMostOnce)));
    }
    alice.send_together(&packets).await?;
    for id in IDS.iter().rev() {
        let suback = alice.suback(*id).await?;
        alice.granted(&suback, &[QoS::AtMostOnce])?;
    }
    let unsubscribes = IDS.map(|id| Packet::Unsubscribe(Unsubscribe::new(id, stage.topic("ids"))));
    alice.send_together(&unsubscribes).await?;
    for id in IDS.iter().rev() {
        alice.unsuback(*id).await?;
    }
    alice.ping().await?;
    let strays: Vec<_> = alice.unread().map(packet_text).collect();
    stage.check(strays.is_empty(), "one acknowledgement a request", format!("{strays:?}"))
}

async fn releases_in_any_order(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("released");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let ids = [500, 7, 4_000, 8, 60_000];
    for id in ids {
        bob.send(Publish::new(&topic, id.to_string()).qos(QoS::ExactlyOnce, id)).await?;
        bob.pubrec(id).await?;
    }
    for id in [8, 60_000, 500, 4_000, 7] {
        bob.release(id).await?;
    }
    // Both the PUBLISH and the PUBREL may be what a broker hands a message on at.
    let mut arrived = BTreeSet::new();
    for _ in ids {
        let publish = alice.message("a message for each exchange").await?;
        alice.acknowledge(&publish).await?;
        arrived.insert(publish.payload);
    }
    let observed = format!("{arrived:?}");
    stage.check(arrived.len() == ids.len(), "every message once", observed)?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn ids_of_deliveries_differ(stage: &mut Stage) -> Outcome {
    const MESSAGES: usize = 12;
    let topic = stage.topic("held");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for number in 0..MESSAGES {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        bob.publish(&topic, &format!("message {number}"), qos).await?;
    }
    let mut arrived = 0;
    while arrived < MESSAGES {
        // How many a broker sends before the first is acknowledged is its own affair.
        let mut held = vec![alice.message("the next of 12 messages").await?];
        held.extend(alice.messages_now().await?);
        let ids: BTreeSet<u16> = held.iter().map(|publish| publish.packet_id).collect();
        let observed = format!("{:?}", held.iter().map(|p| p.packet_id).collect::<Vec<_>>());
        let differ = ids.len() == held.len() && !ids.contains(&0);
        stage.check(differ, "different packet identifiers other than 0", observed)?;
        for publish in &held {
            alice.acknowledge(publish).await?;
        }
        arrived += held.len();
    }
    Ok(())
}

async fn ids_after_resume_differ(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("open");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "open", QoS::AtLeastOnce).await?;
    alice.holds(&topic, "open").await?;
    alice.vanish().await?;

    let mut alice = stage.resumed("alice", 60).await?;
    let open = alice.holds(&topic, "open").await?;
    bob.publish(&topic, "new", QoS::AtLeastOnce).await?;
    // A broker may keep the new message until the open one is acknowledged.
    let news = alice.messages_now().await?;
    alice.acknowledge(&open).await?;
    if news.is_empty() {
        alice.receives(&topic, "new").await?;
    }
    for new in news {
        let observed = packet_text(&new.clone().into());
        let differs = new.packet_id != open.packet_id;
        stage.check(differs, "another packet identifier than that of the open one", observed)?;
        alice.acknowledge(&new).await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn ids_can_be_used_again(stage: &mut Stage) -> Outcome {
    const ID: u16 = 77;
    let topic = stage.topic("again");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for number in 0..12 {
        let qos = if number % 3 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        // The same text every time, and DUP now and then: the exchange before it is over.
        let mut publish = Publish::new(&topic, "again").qos(qos, ID);
        publish.dup = number % 4 == 1;
        bob.publish_with(publish).await?;
        alice.receives(&topic, "again").await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn ids_of_both_sides_independent(stage: &mut Stage) -> Outcome {
    let (there, back) = (stage.topic("there"), stage.topic("back"));
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&there, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&back, QoS::ExactlyOnce).await?;

    bob.publish(&there, "to alice", QoS::ExactlyOnce).await?;
    let id = alice.holds(&there, "to alice").await?.packet_id;
    // A whole exchange under the identifier that the broker waits for an answer to, ...
    alice.publish_with(Publish::new(&back, "one").qos(QoS::AtLeastOnce, id)).await?;
    bob.receives(&back, "one").await?;
    // ... and one that goes side by side with the broker's.
    alice.send(Publish::new(&back, "two").qos(QoS::ExactlyOnce, id)).await?;
    alice.pubrec(id).await?;
    alice.send(Packet::PubRec(PublishAck::new(id))).await?;
    alice.pubrel(id).await?;
    alice.release(id).await?;
    alice.send(Packet::PubComp(PublishAck::new(id))).await?;
    bob.receives(&back, "two").await?;

    stage.nothing_on_at(&back, QoS::ExactlyOnce, &mut alice, &mut bob).await?;
    stage.nothing_on_at(&there, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn id_shared_with_subscribe(stage: &mut Stage) -> Outcome {
    const ID: u16 = 300;
    let topic = stage.topic("open");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.send(Publish::new(&topic, "open").qos(QoS::ExactlyOnce, ID)).await?;
    bob.pubrec(ID).await?;
    bob.send(Subscribe::new(ID, stage.topic("other"), QoS::AtMostOnce)).await?;
    match bob.suback(ID).await {
        // Granted or refused, the exchange goes on.
        Ok(_) => {
            bob.release(ID).await?;
            alice.receives(&topic, "open").await?;
            stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
        }
        Err(Stop::Fail(_)) => bob.closes().await, // The client has broken a rule.
        Err(stop) => Err(stop),
    }
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
    for order in orders_of_four() {
        let mut publish =
            Publish::new(&topic, format!("{order:?}")).qos(QoS::AtLeastOnce, bob.packet_id());
        for (id, value) in order.iter().filter_map(|place| properties.get(*place)) {
            publish.properties.push(*id, value.clone());
        }
        bob.publish_with(publish.clone()).await?;
        let received = alice.receives(&topic, &format!("{order:?}")).await?;
        same_properties(stage, &publish, &received)?;
    }
    Ok(())
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
        let mut probe = stage.connected_with(name, with_all.clone()).await?;
        probe.subscribe(&topic, QoS::AtLeastOnce).await?;
        bob.publish(&topic, "one", QoS::AtLeastOnce).await?;
        bob.publish(&topic, "two", QoS::AtLeastOnce).await?;
        let one = probe.message("a message").await?;
        let more = probe.messages_now().await?;
        stage.check(
            more.is_empty(),
            "no second message above receive_maximum 1",
            format!("{more:?}"),
        )?;
        probe.acknowledge(&one).await?;
        let two = probe.message("a message").await?;
        probe.acknowledge(&two).await?;
        probe.leave().await?;
        stage.resumed_with(name, with_all).await?.leave().await?;
    }
    Ok(())
}

async fn user_properties_keep_order(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("order");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let mut publish = Publish::new(&topic, "hello").qos(QoS::AtLeastOnce, bob.packet_id());
    for number in 0..30 {
        let (name, value) = (format!("name {}", number * 7 % 5), format!("{}", number * 11 % 4));
        publish.properties.push(PropertyId::UserProperty, (name.as_str(), value.as_str()));
        if number == 15 {
            publish.properties.push(PropertyId::ContentType, "text"); // Between them.
        }
    }
    bob.publish_with(publish.clone()).await?;
    let received = alice.receives(&topic, "hello").await?;
    same_properties(stage, &publish, &received)
}

async fn property_length_boundaries(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("properties");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for length in [126, 127, 128, 129, 300, 16_383, 16_384] {
        // Identifier, two lengths and the name; a value cannot be that long alone.
        let value = "v".repeat(length - 1 - 2 - 1 - 2);
        let publish = Publish::new(&topic, format!("behind {length} bytes"))
            .qos(QoS::AtLeastOnce, bob.packet_id())
            .with(PropertyId::UserProperty, ("n", value.as_str()));
        bob.publish_with(publish.clone()).await?;
        let received = alice.receives(&topic, &format!("behind {length} bytes")).await?;
        same_properties(stage, &publish, &received)?;
    }
    Ok(())
}

async fn user_properties_of_requests_stay(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("private");
    let private = ("private", "not for others");
    let mut alice = stage.connected("alice").await?;
    let subscribe = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce)
        .with(PropertyId::UserProperty, private);
    let suback = alice.request(subscribe).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    let mut bob = stage.connected("bob").await?;
    for number in 0..2 {
        let text = format!("message {number}");
        let publish = Publish::new(&topic, text.clone())
            .qos(QoS::AtLeastOnce, bob.packet_id())
            .with(PropertyId::UserProperty, ("public", "for all"));
        bob.publish_with(publish.clone()).await?;
        let received = alice.holds(&topic, &text).await?;
        same_properties(stage, &publish, &received)?;
        let ack = PublishAck::new(received.packet_id).with(PropertyId::UserProperty, private);
        alice.send(Packet::PubAck(ack)).await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn success_has_its_effect(stage: &mut Stage) -> Outcome {
    let (kept, dropped) = (stage.topic("kept"), stage.topic("dropped"));
    let mut alice = stage.connected("alice").await?;
    let request = Subscribe::new(alice.packet_id(), &kept, QoS::AtLeastOnce)
        .and(&dropped, SubscriptionOptions::at(QoS::AtLeastOnce));
    let suback = alice.request(request).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce; 2])?;
    let mut bob = stage.connected("bob").await?;
    for topic in [&kept, &dropped] {
        bob.publish(topic, "granted", QoS::AtLeastOnce).await?;
        alice.receives(topic, "granted").await?;
    }
    let reason = alice.unsubscribe(&dropped).await?;
    let observed = format!("0x{:02X}", reason.value());
    stage.check(reason == ReasonCode::Success, "UNSUBACK 0x00 (success)", observed)?;
    bob.publish(&dropped, "after UNSUBACK", QoS::AtLeastOnce).await?;
    stage.nothing_on(&kept, &mut bob, &mut alice).await?;
    alice.has_no_message().await?;
    bob.ping().await
}
