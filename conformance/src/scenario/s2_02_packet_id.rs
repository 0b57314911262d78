//! Section 2.2.1: Packet Identifier.

use std::collections::{BTreeSet, VecDeque};

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, Subscribe, Unsubscribe};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::{Outcome, Stop};

const QOS_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "2.2/publish-acks-echo-ids",
        publish_acks_echo_ids,
        "Every step of a QoS 1 or 2 exchange has the packet identifier of its PUBLISH",
        ["MQTT-2.2.1-5", "U-1.5.2-1", "MQTT-4.3.2-4"]
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
        "QoS 2 exchanges that overlap are completed one by one, whatever their identifiers",
        ["MQTT-2.2.1-5", "MQTT-4.3.3-11"]
    )
    .breaks(&["MQTT-4.6.0-4"])
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
    .needs(&[Need::Sessions]),
    scenario!(
        "2.2/ids-can-be-used-again",
        ids_can_be_used_again,
        "Once its exchange is over, a packet identifier stands for a new message",
        ["U-2.2.1-2", "MQTT-4.3.2-5", "MQTT-4.3.3-12"]
    )
    .breaks(&["MQTT-4.3.3-2", "MQTT-4.3.2-2"])
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
    .breaks(&["MQTT-2.2.1-3"])
    .needs(QOS_2),
];

/// Whether a packet answers another, and is no PINGRESP: those are claimed elsewhere.
fn answers(packet: &&Packet) -> bool {
    !matches!(packet, Packet::PingResp | Packet::Publish(_))
}

/// Packet Identifiers that show how their bytes are read.
const IDS: [u16; 6] = [1, 0x00FF, 0x0100, 0x0102, 0x8000, 0xFFFF];

async fn publish_acks_echo_ids(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ids");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
    }
    for id in IDS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let text = format!("{id} at QoS {}", qos.value());
            stage.claims();
            bob.publish_with(Publish::new(&topic, text.clone()).qos(qos, id)).await?;
            stage.means();
            alice.receives(&topic, &text).await?;
        }
    }
    bob.ping().await?;
    let strays: Vec<_> = bob.unread().filter(answers).map(packet_text).collect();
    stage.check(strays.is_empty(), "one acknowledgement for each step", strays.join("; "))
}

async fn subscribe_acks_echo_ids(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    stage.serves(&mut alice).await?;
    let mut packets = Vec::new();
    for id in IDS {
        packets.push(Packet::Subscribe(Subscribe::new(id, stage.topic("ids"), QoS::AtMostOnce)));
    }
    alice.send_together(&packets).await?;
    stage.claims();
    for id in IDS.iter().rev() {
        alice.suback(*id).await?;
    }
    let unsubscribes = IDS.map(|id| Packet::Unsubscribe(Unsubscribe::new(id, stage.topic("ids"))));
    alice.send_together(&unsubscribes).await?;
    for id in IDS.iter().rev() {
        alice.unsuback(*id).await?;
    }
    stage.means();
    alice.ping().await?;
    let strays: Vec<_> = alice.unread().filter(answers).map(packet_text).collect();
    stage.check(strays.is_empty(), "one acknowledgement a request", strays.join("; "))
}

/// Sends PUBREL and waits for PUBCOMP; false where the broker closes instead.
async fn releases(probe: &mut Probe, id: u16) -> Outcome<bool> {
    probe.send(Packet::PubRel(PublishAck::new(id))).await?;
    match probe.is_open().await? {
        true => probe.pubcomp(id).await.map(|_| true),
        false => Ok(false),
    }
}

async fn releases_in_any_order(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("released");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await?;
    // PUBREL follow PUBREC in their order (section 4.6), which is not that of the identifiers.
    let ids = [500, 7, 4_000, 8, 60_000];
    let mut open = VecDeque::new();
    stage.claims();
    for id in ids {
        bob.send(Publish::new(&topic, id.to_string()).qos(QoS::ExactlyOnce, id)).await?;
        bob.pubrec(id).await?;
        open.push_back(id);
        // The first one is over before the last ones begin.
        if open.len() == 3 {
            let first = open.pop_front().unwrap_or(id);
            bob.release(first).await?;
        }
    }
    for id in open {
        bob.release(id).await?;
    }
    // Against that order, which a client must not do: a broker may close for it.
    for id in [1, 2] {
        bob.send(Publish::new(&topic, id.to_string()).qos(QoS::ExactlyOnce, id)).await?;
        bob.pubrec(id).await?;
    }
    let closed = !releases(&mut bob, 2).await? || !releases(&mut bob, 1).await?;
    if closed {
        return Ok(());
    }
    stage.means();
    // Both the PUBLISH and the PUBREL may be what a broker hands a message on at.
    let mut arrived = BTreeSet::new();
    let count = ids.len() + 2;
    for _ in 0..count {
        let publish = alice.message("a message for each exchange").await?;
        alice.acknowledge(&publish).await?;
        arrived.insert(publish.payload);
    }
    let observed = arrived.said();
    stage.check(arrived.len() == count, "every message once", observed)?;
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
        let observed = held.iter().map(|p| p.packet_id).collect::<Vec<_>>().said();
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
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
    }
    stage.claims();
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

    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&back, qos, &mut alice, &mut bob).await?;
    }
    bob.publish(&there, "to alice", QoS::ExactlyOnce).await?;
    let id = alice.holds(&there, "to alice").await?.packet_id;
    stage.claims();
    // A whole exchange under the identifier that the broker waits for an answer to, ...
    alice.publish_with(Publish::new(&back, "one").qos(QoS::AtLeastOnce, id)).await?;
    bob.receives(&back, "one").await?;
    // ... and one that goes side by side with the broker's.
    alice.send(Publish::new(&back, "two").qos(QoS::ExactlyOnce, id)).await?;
    alice.pubrec(id).await?;
    alice.send(Packet::PubRec(PublishAck::new(id))).await?;
    let pubrel = alice.pubrel(id).await?;
    let observed = format!("0x{:02X}", pubrel.reason.value());
    stage.check(!pubrel.reason.is_error(), "PUBREL 0x00 (success)", observed)?;
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
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await?;
    bob.send(Publish::new(&topic, "open").qos(QoS::ExactlyOnce, ID)).await?;
    bob.pubrec(ID).await?;
    stage.claims();
    bob.send(Subscribe::new(ID, stage.topic("other"), QoS::AtMostOnce)).await?;
    match bob.suback(ID).await {
        // Granted or refused, the exchange goes on.
        Ok(_) => {
            bob.release(ID).await?;
            alice.receives(&topic, "open").await?;
            stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
        }
        Err(Stop::Fail(_) | Stop::Blocked(_)) => bob.closes().await, // The client has broken a rule.
        Err(stop) => Err(stop),
    }
}
