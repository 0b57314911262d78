//! Section 3.1.2.11: what a client's CONNECT allows the broker to send.

use std::collections::BTreeSet;

use reference_broker::codec::{
    Connect, Packet, PacketType, PropertyId, Publish, PublishAck, QoS, Subscribe, Unsubscribe,
};

use super::s1_05_data_representation::same_properties;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/receive-maximum-holds",
        receive_maximum_holds,
        "Never more messages are on their way to a client than its receive maximum, at QoS 1 and 2",
        ["MQTT-3.3.4-9", "MQTT-4.9.0-1", "U-1.5.2-1"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/receive-maximum-of-each-connection",
        receive_maximum_of_each_connection,
        "The receive maximum of one connection says nothing for the next of the same session",
        ["U-3.1.2.11.3-3", "MQTT-3.3.4-9", "MQTT-4.9.0-1"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "3.1/packet-size-limit-holds",
        packet_size_limit_holds,
        "A client gets messages up to its maximum packet size, to the byte, and nothing above it",
        ["MQTT-3.1.2-24", "MQTT-3.1.2-25", "U-2.1.4-3"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/oversized-message-frees-its-place",
        oversized_message_frees_its_place,
        "A message that is too large for its client takes no place from those that come after it",
        ["MQTT-3.1.2-25"]
    ),
    scenario!(
        "3.1/oversized-message-is-gone",
        oversized_message_is_gone,
        "A message dropped for its size does not come back when a later connection could take it",
        ["MQTT-3.1.2-25", "MQTT-3.1.2-24"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "3.1/oversized-for-one-only",
        oversized_for_one_only,
        "A message too large for one subscriber reaches the others",
        ["U-3.1.2.11.4-3", "MQTT-3.1.2-24"]
    ),
    scenario!(
        "3.1/no-topic-alias-unasked",
        no_topic_alias_unasked,
        "A client that did not ask for topic aliases gets topic names, also from who uses aliases",
        ["MQTT-3.1.2-27"]
    )
    .needs(&[Need::TopicAliases(1)]),
    scenario!(
        "3.1/problem-information-switched-off",
        problem_information_switched_off,
        "Acknowledgements have no reason string or user property for a client that wants none",
        ["MQTT-3.1.2-29"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/problem-information-off-keeps-messages-whole",
        problem_information_off_keeps_messages_whole,
        "Messages keep their user properties for a client that wants no problem information",
        ["MQTT-3.3.2-17"]
    ),
];

/// Reads what the broker sends of its own accord, and checks that it is no more than `most`.
async fn hold_at_most(stage: &Stage, most: usize, probe: &mut Probe) -> Outcome<Vec<Publish>> {
    let mut held = vec![probe.message("a message").await?];
    held.extend(probe.messages_now().await?);
    held.extend(probe.messages_now().await?);
    let expected = format!("at most {most} messages without an acknowledgement");
    stage.check(held.len() <= most, &expected, format!("{}", held.len()))?;
    Ok(held)
}

async fn receive_maximum_holds(stage: &mut Stage) -> Outcome {
    const MESSAGES: usize = 8;
    let topic = stage.topic("many");
    let mut bob = stage.connected("bob").await?;
    for most in [1_u8, 2, 3] {
        stage.means();
        let limit = |connect: Connect| connect.with(PropertyId::ReceiveMaximum, u32::from(most));
        let mut alice = stage.connected_with("alice", limit).await?;
        alice.subscribe(&topic, QoS::ExactlyOnce).await?;
        for number in 0..MESSAGES {
            let qos = if number % 3 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            bob.publish(&topic, &format!("message {number}"), qos).await?;
        }
        let mut arrived = 0;
        while arrived < MESSAGES {
            let held = hold_at_most(stage, usize::from(most), &mut alice).await?;
            for publish in &held {
                alice.acknowledge(publish).await?;
            }
            // Room is made again.
            stage.claims();
            arrived += held.len();
        }
        alice.leave().await?;
    }
    Ok(())
}

async fn receive_maximum_of_each_connection(stage: &mut Stage) -> Outcome {
    const MESSAGES: usize = 6;
    let topic = stage.topic("many");
    let limited = |most: u32| {
        move |connect: Connect| connect.session_expiry(60).with(PropertyId::ReceiveMaximum, most)
    };
    let mut alice = stage.connected_with("alice", limited(3)).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for number in 0..MESSAGES {
        bob.publish(&topic, &format!("message {number}"), QoS::AtLeastOnce).await?;
    }
    stage.proving("MQTT-3.3.4-9");
    stage.means();
    hold_at_most(stage, 3, &mut alice).await?;
    alice.vanish().await?;
    stage.proving("U-3.1.2.11.3-3");
    stage.means();
    let mut alice = stage.resumed_with("alice", limited(1)).await?;
    stage.claims();
    hold_at_most(stage, 1, &mut alice).await?;
    stage.means();
    alice.vanish().await?;
    let mut alice = stage.resumed_with("alice", limited(2)).await?;
    stage.claims();
    let mut arrived = BTreeSet::new();
    while arrived.len() < MESSAGES {
        for publish in hold_at_most(stage, 2, &mut alice).await? {
            alice.acknowledge(&publish).await?;
            arrived.insert(publish.payload);
        }
    }
    Ok(())
}

/// A payload with which a message on this topic, as this client gets it, has `more` bytes more than
/// the one that came.
fn longer(received: &Publish, more: usize) -> String {
    "m".repeat(received.payload.len() + more)
}

fn size_of(packet: &Packet) -> u32 {
    packet.encoded_len().ok().and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::MAX)
}

/// Finds out how large a message of 250 bytes is for a subscriber.
async fn measured(stage: &mut Stage, topic: &str, qos: QoS) -> Outcome<(Publish, u32)> {
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(topic, qos).await?;
    let payload = "m".repeat(250);
    alice.publish(topic, &payload, qos).await?;
    let received = alice.receives(topic, &payload).await?;
    alice.leave().await?;
    let size = size_of(&received.clone().into());
    Ok((received, size))
}

async fn packet_size_limit_holds(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for qos in QoS::ALL {
        stage.means();
        let topic = stage.topic(&format!("at QoS {}", qos.value()));
        let (sample, size) = measured(stage, &topic, qos).await?;
        let limit = |connect: Connect| connect.with(PropertyId::MaximumPacketSize, size);
        let mut alice = stage.connected_with("alice", limit).await?;
        alice.subscribe(&topic, qos).await?;
        bob.publish(&topic, &longer(&sample, 0), qos).await?;
        stage.proving("U-2.1.4-3");
        alice.receives(&topic, &longer(&sample, 0)).await?;
        stage.proving("MQTT-3.1.2-24");
        stage.means();
        for more in [1, 2, 1000] {
            bob.publish(&topic, &longer(&sample, more), qos).await?;
        }
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn oversized_message_frees_its_place(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("sizes");
    let (sample, size) = measured(stage, &topic, QoS::AtLeastOnce).await?;
    let small = |connect: Connect| {
        connect.with(PropertyId::MaximumPacketSize, size).with(PropertyId::ReceiveMaximum, 1)
    };
    let mut alice = stage.connected_with("alice", small).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "held", QoS::AtLeastOnce).await?;
    let held = alice.holds(&topic, "held").await?;
    for _ in 0..3 {
        bob.publish(&topic, &longer(&sample, 100), QoS::AtLeastOnce).await?;
    }
    bob.publish(&topic, "small enough", QoS::AtLeastOnce).await?;
    alice.acknowledge(&held).await?;
    stage.claims();
    alice.receives(&topic, "small enough").await?;
    for _ in 0..3 {
        stage.means();
        bob.publish(&topic, &longer(&sample, 100), QoS::AtLeastOnce).await?;
        bob.publish(&topic, "the next", QoS::AtLeastOnce).await?;
        stage.claims();
        alice.receives(&topic, "the next").await?;
    }
    Ok(())
}

async fn oversized_message_is_gone(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("sizes");
    let (sample, size) = measured(stage, &topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "first", QoS::AtLeastOnce).await?;
    bob.publish(&topic, &longer(&sample, 100), QoS::AtLeastOnce).await?;
    bob.publish(&topic, "small enough", QoS::AtLeastOnce).await?;

    let limit =
        |connect: Connect| connect.session_expiry(60).with(PropertyId::MaximumPacketSize, size);
    let mut alice = stage.resumed_with("alice", limit).await?;
    alice.receives(&topic, "first").await?;
    stage.proving("MQTT-3.1.2-24");
    alice.receives(&topic, "small enough").await?;
    stage.proving("MQTT-3.1.2-25");
    stage.means();
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    // Without the limit it would have come.
    bob.publish(&topic, &longer(&sample, 100), QoS::AtLeastOnce).await?;
    alice.receives(&topic, &longer(&sample, 100)).await.map(drop)
}

async fn oversized_for_one_only(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("sizes");
    let (sample, size) = measured(stage, &topic, QoS::AtLeastOnce).await?;
    let limit = |connect: Connect| connect.with(PropertyId::MaximumPacketSize, size);
    let mut alice = stage.connected_with("alice", limit).await?;
    let mut carol = stage.connected("carol").await?;
    let mut bob = stage.connected("bob").await?;
    for probe in [&mut alice, &mut carol] {
        probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    }
    // The control: both get what is small enough.
    bob.publish(&topic, "small", QoS::AtLeastOnce).await?;
    for probe in [&mut alice, &mut carol] {
        probe.receives(&topic, "small").await?;
    }
    for more in [100, 20_000] {
        stage.means();
        bob.publish(&topic, &longer(&sample, more), QoS::AtLeastOnce).await?;
        stage.proving("U-3.1.2.11.4-3");
        carol.receives(&topic, &longer(&sample, more)).await?;
        stage.means();
        bob.publish(&topic, "for both", QoS::AtLeastOnce).await?;
        stage.proving("MQTT-3.1.2-24");
        alice.receives(&topic, "for both").await?;
        stage.means();
        carol.receives(&topic, "for both").await?;
    }
    Ok(())
}

async fn no_topic_alias_unasked(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("alias");
    let mut bob = stage.connected("bob").await?;
    for asked in [None, Some(0)] {
        let ask = |connect: Connect| match asked {
            Some(maximum) => connect.with(PropertyId::TopicAliasMaximum, maximum),
            None => connect,
        };
        let mut alice = stage.connected_with("alice", ask).await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        for name in [topic.as_str(), "", ""] {
            let publish = Publish::new(name, "hello")
                .qos(QoS::AtLeastOnce, bob.packet_id())
                .with(PropertyId::TopicAlias, 1);
            bob.publish_with(publish).await?;
            let received = alice.message("the message, with its topic").await?;
            alice.acknowledge(&received).await?;
            let alias = received.properties.number(PropertyId::TopicAlias);
            stage.check(alias.is_none(), "no topic_alias", alias.said())?;
        }
        alice.leave().await?;
    }
    Ok(())
}

async fn problem_information_switched_off(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("off");
    let off = |connect: Connect| connect.with(PropertyId::RequestProblemInformation, 0);
    let mut alice = stage.connected_with("alice", off).await?;
    stage.serves(&mut alice).await?;
    // Successes and, as far as every broker knows them, failures.
    let (subscribe, unsubscribe) = (alice.packet_id(), alice.packet_id());
    let mut acks: Vec<Packet> = Vec::new();
    let request = Subscribe::new(subscribe, &topic, QoS::AtMostOnce);
    acks.push(Packet::SubAck(alice.request(request).await?));
    for filter in [&topic, &stage.topic("never subscribed")] {
        alice.send(Unsubscribe::new(unsubscribe, filter)).await?;
        acks.push(Packet::UnsubAck(alice.unsuback(unsubscribe).await?));
    }
    let (one, two) = (alice.packet_id(), alice.packet_id());
    alice.send(Publish::new(&topic, "for nobody").qos(QoS::AtLeastOnce, one)).await?;
    acks.push(Packet::PubAck(alice.step(PacketType::PubAck, one).await?));
    alice.send(Publish::new(&topic, "for nobody").qos(QoS::ExactlyOnce, two)).await?;
    acks.push(Packet::PubRec(alice.step(PacketType::PubRec, two).await?));
    for _ in 0..2 {
        // The second time the identifier is not known any more.
        alice.send(Packet::PubRel(PublishAck::new(two))).await?;
        acks.push(Packet::PubComp(alice.pubcomp(two).await?));
    }
    for ack in &acks {
        let properties = ack.properties().into_iter().flat_map(|properties| properties.iter());
        let has_any = properties.count() > 0;
        let expected = "no reason_string and no user_property";
        stage.check(!has_any, expected, packet_text(ack))?;
    }
    alice.ping().await
}

async fn problem_information_off_keeps_messages_whole(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("whole");
    let off = |connect: Connect| connect.with(PropertyId::RequestProblemInformation, 0);
    let mut alice = stage.connected_with("alice", off).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let publish = Publish::new(&topic, "hello")
        .qos(QoS::AtLeastOnce, bob.packet_id())
        .with(PropertyId::UserProperty, ("one", "1"))
        .with(PropertyId::UserProperty, ("two", "2"));
    bob.publish_with(publish.clone()).await?;
    let received = alice.receives(&topic, "hello").await?;
    same_properties(stage, &publish, &received, Stage::check_of)
}
