//! Section 4.4: Message delivery retry, of what the broker has sent.

use std::time::Duration;

use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};

use super::copies::{is_repeated, last_copies, numbered, text};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.4/unacknowledged-publish",
        unacknowledged_publish,
        "However the connection ended, PUBLISH is sent again on resume: same identifier, DUP 1",
        ["MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "U-4.1-5"]
    )
    .plain(&[step::DELIVER_KEPT])
    .needs(QOS1),
    scenario!(
        "4.4/unacknowledged-pubrel",
        unacknowledged_pubrel,
        "However the connection ended, PUBREL is sent again on resume, and PUBLISH is not",
        ["MQTT-4.4.0-1", "MQTT-4.3.3-5", "MQTT-4.3.3-6", "U-4.1-5"]
    )
    .plain(&[step::PUBREL])
    .needs(QOS2),
    scenario!(
        "4.4/acknowledgement-at-the-last-moment",
        acknowledgement_at_the_last_moment,
        "An acknowledgement right before the end of the connection counts, or the step is repeated",
        ["MQTT-4.4.0-1", "MQTT-3.3.1-1"]
    )
    .needs(QOS1),
    scenario!(
        "4.4/completed-not-again",
        completed_not_again,
        "What was acknowledged to its end does not come again on resume",
        ["MQTT-4.4.0-1"]
    )
    .needs(QOS1),
    scenario!(
        "4.4/error-acknowledgement-ends-delivery",
        error_acknowledgement_ends_delivery,
        "What was answered with an error does not come again on resume",
        ["MQTT-4.4.0-2"]
    )
    .needs(QOS1),
    scenario!(
        "4.4/not-on-live-connection",
        not_on_live_connection,
        "While the connection is open nothing is sent again, however long acknowledgements take",
        ["MQTT-4.4.0-1"]
    )
    .needs(QOS2)
    .timed(25),
    scenario!(
        "4.4/again-on-each-resume",
        again_on_each_resume,
        "An unacknowledged message comes once after each resume, under one identifier",
        ["MQTT-4.4.0-1", "MQTT-3.3.1-1"]
    )
    .needs(QOS1),
    scenario!(
        "4.4/several-in-order",
        several_in_order,
        "Several unacknowledged messages come again, and in order before those never sent",
        ["MQTT-4.4.0-1", "MQTT-4.6.0-5", "MQTT-3.3.1-1"]
    )
    .plain(&[step::DELIVER_KEPT])
    .needs(QOS1),
    scenario!(
        "4.4/stages-side-by-side",
        stages_side_by_side,
        "Messages at each stage of their exchange go on from there on resume",
        ["MQTT-4.4.0-1", "MQTT-4.3.3-6", "U-4.1-5", "U-4.1-6"]
    )
    .needs(QOS2),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// How a subscriber loses its connection.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Network,
    Disconnect,
    Takeover,
}

const LOSSES: [Loss; 3] = [Loss::Network, Loss::Disconnect, Loss::Takeover];

/// The subscriber on another connection, after it has lost this one.
async fn back_after(stage: &mut Stage, loss: Loss, alice: Probe) -> Outcome<Probe> {
    match loss {
        Loss::Network => alice.vanish().await?,
        Loss::Disconnect => alice.leave().await?,
        Loss::Takeover => {
            let resumed = stage.resumed("alice", 60).await?;
            // Whether the target closes it is another matter.
            alice.hang_up().await;
            return Ok(resumed);
        }
    }
    stage.resumed("alice", 60).await
}

/// A subscriber with a session at this QoS, and a publisher.
async fn pair(stage: &mut Stage, topic: &str, qos: QoS) -> Outcome<(Probe, Probe)> {
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(topic, qos).await?;
    Ok((alice, stage.connected("bob").await?))
}

async fn unacknowledged_publish(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        for loss in LOSSES {
            let topic = stage.topic(&format!("{loss:?}{}", qos.value()));
            stage.means();
            let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
            bob.publish(&topic, "unacknowledged", qos).await?;
            let publish = alice.holds(&topic, "unacknowledged").await?;
            let mut alice = back_after(stage, loss, alice).await?;
            stage.claims();
            let again = alice.receives(&topic, "unacknowledged").await?;
            is_repeated(stage, &publish, &again)?;
            stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
            alice.leave().await?;
        }
    }
    Ok(())
}

async fn unacknowledged_pubrel(stage: &mut Stage) -> Outcome {
    for loss in LOSSES {
        let topic = stage.topic(&format!("{loss:?}"));
        stage.means();
        let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
        bob.publish(&topic, "released", QoS::ExactlyOnce).await?;
        let publish = alice.holds(&topic, "released").await?;
        alice.takes_up_to_pubrel(&publish).await?;
        let mut alice = back_after(stage, loss, alice).await?;
        stage.claims();
        alice.pubrel(publish.packet_id).await?;
        alice.complete(publish.packet_id).await?;
        stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await?;
        alice.has_no(PacketType::PubRel).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn acknowledgement_at_the_last_moment(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("late{}", qos.value()));
        stage.means();
        let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
        bob.publish(&topic, "late", qos).await?;
        let publish = alice.holds(&topic, "late").await?;
        alice.answer_with(&publish, ReasonCode::Success).await?;
        alice.vanish().await?;

        let mut alice = stage.resumed("alice", 60).await?;
        bob.publish(&topic, "marker", qos).await?;
        let id = publish.packet_id;
        let marker = match message_or_release(&mut alice, id).await? {
            Some(again) if text(&again) == "late" => {
                is_repeated(stage, &publish, &again)?;
                alice.acknowledge(&again).await?;
                alice.message("PUBLISH \"marker\"").await?
            }
            Some(marker) if qos == QoS::ExactlyOnce => {
                stage.claims();
                alice.pubrel(id).await?;
                alice.complete(id).await?;
                marker
            }
            Some(marker) => marker,
            None => {
                alice.complete(id).await?;
                alice.message("PUBLISH \"marker\"").await?
            }
        };
        stage.check(text(&marker) == "marker", "PUBLISH \"marker\"", text(&marker))?;
        alice.acknowledge(&marker).await?;
        alice.leave().await?;
    }
    Ok(())
}

/// What comes first: the next message, or none if it is PUBREL of this exchange. With little room a
/// target sends no message until that is answered.
async fn message_or_release(alice: &mut Probe, id: u16) -> Outcome<Option<Publish>> {
    let expected = format!("PUBLISH, or PUBREL id={id}");
    let either = |packet: &Packet| match packet {
        Packet::Publish(publish) => Some(Some(publish.clone())),
        Packet::PubRel(ack) if ack.packet_id == id => Some(None),
        _ => None,
    };
    alice.find(&expected, either).await
}

async fn completed_not_again(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        for loss in LOSSES {
            let topic = stage.topic(&format!("{loss:?}{}", qos.value()));
            let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
            bob.publish(&topic, "completed", qos).await?;
            alice.receives(&topic, "completed").await?;
            alice.ping().await?;
            let mut alice = back_after(stage, loss, alice).await?;
            stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
            alice.has_no(PacketType::PubRel).await?;
            alice.leave().await?;
        }
    }
    Ok(())
}

async fn error_acknowledgement_ends_delivery(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("refused{}", qos.value()));
        let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
        for reason in [
            ReasonCode::UnspecifiedError,
            ReasonCode::ImplementationSpecificError,
            ReasonCode::NotAuthorized,
            ReasonCode::TopicNameInvalid,
            ReasonCode::PacketIdentifierInUse,
            ReasonCode::QuotaExceeded,
            ReasonCode::PayloadFormatInvalid,
        ] {
            bob.publish(&topic, "refused", qos).await?;
            let publish = alice.holds(&topic, "refused").await?;
            alice.answer_with(&publish, reason).await?;
            alice.ping().await?;
        }
        alice.vanish().await?;
        let mut alice = stage.resumed("alice", 60).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.has_no(PacketType::PubRel).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn not_on_live_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("patience");
    let mut bob = stage.connected("bob").await?;
    let mut first = stage.connected("first").await?;
    first.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut second = stage.connected("second").await?;
    second.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut third = stage.connected("third").await?;
    third.subscribe(&topic, QoS::ExactlyOnce).await?;
    bob.publish(&topic, "slowly", QoS::ExactlyOnce).await?;
    let puback = first.holds(&topic, "slowly").await?;
    let pubrec = second.holds(&topic, "slowly").await?;
    let pubcomp = third.holds(&topic, "slowly").await?;
    third.takes_up_to_pubrel(&pubcomp).await?;
    // Brokers of earlier versions of the protocol used to try again after about 20 s.
    for _ in 0..5 {
        stage.wait(Duration::from_secs(5)).await;
        for probe in [&mut first, &mut second, &mut third, &mut bob] {
            probe.has_no(PacketType::Publish).await?;
            probe.has_no(PacketType::PubRel).await?;
        }
    }
    first.acknowledge(&puback).await?;
    second.acknowledge(&pubrec).await?;
    third.complete(pubcomp.packet_id).await?;
    bob.publish(&topic, "marker", QoS::ExactlyOnce).await?;
    for probe in [&mut first, &mut second, &mut third] {
        probe.receives(&topic, "marker").await?;
    }
    Ok(())
}

async fn again_on_each_resume(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("each{}", qos.value()));
        stage.means();
        let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
        bob.publish(&topic, "stubborn", qos).await?;
        let publish = alice.holds(&topic, "stubborn").await?;
        for _ in 0..4 {
            stage.means();
            alice.vanish().await?;
            alice = stage.resumed("alice", 60).await?;
            stage.claims();
            let again = alice.holds(&topic, "stubborn").await?;
            is_repeated(stage, &publish, &again)?;
            alice.has_no_message().await?;
        }
        alice.acknowledge(&publish).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn several_in_order(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("several{}", qos.value()));
        stage.means();
        let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
        let payloads = numbered(6);
        for payload in payloads.iter().take(4) {
            bob.publish(&topic, payload, qos).await?;
        }
        let mut held = vec![alice.holds(&topic, "message 1").await?];
        // As many as the target cares to have on their way at once.
        held.append(&mut alice.messages_now().await?);
        alice.vanish().await?;
        for payload in payloads.iter().skip(4) {
            bob.publish(&topic, payload, qos).await?;
        }

        let mut alice = stage.resumed("alice", 60).await?;
        let mut came = Vec::new();
        stage.claims();
        for _ in &payloads {
            let publish = match alice.message("each message once").await {
                Err(stop) => return Err(stage.for_want_of_kept(stop).await?),
                received => received?,
            };
            alice.acknowledge(&publish).await?;
            came.push(publish);
        }
        for first in &held {
            let again = came.iter().find(|publish| publish.payload == first.payload);
            let missing = || stage.fail("each message once", format!("no {} again", text(first)));
            is_repeated(stage, first, again.map_or_else(missing, Ok)?)?;
        }
        stage.proving("MQTT-4.6.0-5");
        let order = last_copies(&came);
        stage.check(order == payloads, "the messages in order", order.said())?;
        stage.proving("MQTT-4.4.0-1");
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn stages_side_by_side(stage: &mut Stage) -> Outcome {
    let qos = QoS::ExactlyOnce;
    let topic = stage.topic("stages");
    let (mut alice, mut bob) = pair(stage, &topic, qos).await?;
    bob.publish(&topic, "released", qos).await?;
    let released = alice.holds(&topic, "released").await?;
    alice.takes_up_to_pubrel(&released).await?;
    bob.publish(&topic, "sent", qos).await?;
    // A target may have no more than one on its way at once.
    let sent: Option<Publish> = alice.messages_now().await?.into_iter().next();
    // A lost connection may be noticed later than it is closed, a DISCONNECT not.
    alice.leave().await?;
    bob.publish(&topic, "queued", qos).await?;

    let mut alice = stage.resumed("alice", 60).await?;
    stage.proving("MQTT-4.3.3-6");
    alice.pubrel(released.packet_id).await?;
    alice.send(Packet::PubComp(PublishAck::new(released.packet_id))).await?;
    stage.proving("MQTT-4.4.0-1");
    let again = alice.receives(&topic, "sent").await?;
    match sent {
        Some(sent) => is_repeated(stage, &sent, &again)?,
        None => alice.ping().await?,
    }
    stage.proving("U-4.1-6");
    let queued = alice.receives(&topic, "queued").await?;
    stage.check_of("MQTT-3.3.1-1", !queued.dup, "DUP 0 on a first copy", "DUP 1")?;
    stage.proving("MQTT-4.4.0-1");
    stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await
}
