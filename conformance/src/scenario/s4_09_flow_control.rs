//! Section 4.9: Flow control, of what the broker sends.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode};

use super::copies::{numbered, sorted, texts};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.9/window-kept",
        window_kept,
        "No more messages are unacknowledged than the client's Receive Maximum, and all come",
        ["MQTT-4.9.0-2", "MQTT-4.9.0-1", "MQTT-3.3.4-9", "U-4.9-2"]
    )
    .needs(QOS1),
    scenario!(
        "4.9/window-of-both-levels",
        window_of_both_levels,
        "QoS 1 and QoS 2 messages share one Receive Maximum",
        ["MQTT-4.9.0-2", "MQTT-3.3.4-9"]
    )
    .needs(QOS2),
    scenario!(
        "4.9/puback-frees-a-place",
        puback_frees_a_place,
        "PUBACK makes room for one more message, also with an error",
        ["U-4.9-2"]
    )
    .needs(QOS1),
    scenario!(
        "4.9/pubrec-frees-none",
        pubrec_frees_none,
        "A message takes its place from PUBLISH to PUBCOMP: PUBREC makes no room",
        ["MQTT-4.9.0-2", "U-4.9-2"]
    )
    .needs(QOS2),
    scenario!(
        "4.9/error-pubrec-frees-a-place",
        error_pubrec_frees_a_place,
        "PUBREC with an error makes room for one more message",
        ["U-4.9-2"]
    )
    .needs(QOS2),
    scenario!(
        "4.9/error-pubcomp-frees-a-place",
        error_pubcomp_frees_a_place,
        "PUBCOMP makes room for one more message, also with an error",
        ["U-4.9-2"]
    )
    .needs(QOS2),
    scenario!(
        "4.9/other-packets-go-on",
        other_packets_go_on,
        "With no room for messages every other packet is still answered",
        ["MQTT-4.9.0-3", "MQTT-3.3.4-10"]
    )
    .needs(QOS2),
    scenario!(
        "4.9/anew-on-each-connection",
        anew_on_each_connection,
        "Each connection has its own Receive Maximum, for repeated messages too",
        ["U-4.9-4", "MQTT-4.9.0-2"]
    )
    .needs(QOS1),
    scenario!(
        "4.9/full-window-left-behind",
        full_window_left_behind,
        "Messages that filled one connection's window do not narrow that of the next",
        ["U-4.9-4", "MQTT-4.9.0-1"]
    )
    .needs(QOS1),
    scenario!(
        "4.9/pubcomp-of-earlier-connection",
        pubcomp_of_earlier_connection,
        "PUBCOMP for exchanges of an earlier connection does not widen the window",
        ["U-4.9-3", "MQTT-4.9.0-2"]
    )
    .needs(QOS2),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// A subscriber with this Receive Maximum.
async fn subscriber(stage: &mut Stage, window: u32, topic: &str, qos: QoS) -> Outcome<Probe> {
    let mut alice = stage
        .connected_with("alice", |connect| {
            connect.session_expiry(60).with(PropertyId::ReceiveMaximum, window)
        })
        .await?;
    alice.subscribe(topic, qos).await?;
    Ok(alice)
}

/// The same subscriber on another connection, with another Receive Maximum.
async fn resumed(stage: &mut Stage, window: u32) -> Outcome<Probe> {
    stage
        .resumed_with("alice", |connect| {
            connect.session_expiry(60).with(PropertyId::ReceiveMaximum, window)
        })
        .await
}

/// Takes messages until all with these payloads have come, and acknowledges the oldest whenever no
/// more come by themselves; `open` are those not acknowledged yet. Never may more than `window` be
/// open.
async fn drain(
    stage: &Stage,
    alice: &mut Probe,
    mut open: Vec<Publish>,
    window: usize,
    payloads: &[String],
) -> Outcome<Vec<Publish>> {
    let mut came = open.clone();
    loop {
        let mut more = alice.messages_now().await?;
        if open.is_empty() && more.is_empty() {
            if !came.is_empty() {
                stage.claims();
            }
            more.push(alice.message("one more PUBLISH, for nothing is unacknowledged").await?);
        }
        came.extend(more.iter().cloned());
        open.append(&mut more);
        let expected = format!("no more than {window} unacknowledged");
        stage.check(open.len() <= window, &expected, texts(&open).said())?;
        let came = texts(&came);
        if payloads.iter().all(|payload| came.contains(payload)) {
            break;
        }
        let oldest = open.remove(0);
        alice.acknowledge(&oldest).await?;
    }
    stage.means();
    for publish in &open {
        alice.acknowledge(publish).await?;
    }
    Ok(came)
}

/// What a subscriber waits for that has room for one message; in which order they come is not asked here.
const NEXT: &str = "a message, as there is room for one";

async fn window_kept(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        for window in [1_u32, 2, 5] {
            let topic = stage.topic(&format!("window{window}{}", qos.value()));
            let mut alice = subscriber(stage, window, &topic, qos).await?;
            let mut bob = stage.connected("bob").await?;
            let payloads = numbered(8);
            for payload in &payloads {
                bob.publish(&topic, payload, qos).await?;
            }
            let came = drain(stage, &mut alice, Vec::new(), window as usize, &payloads).await?;
            let observed = texts(&came).said();
            stage.check(sorted(&[came]) == payloads, "each message once", observed)?;
            stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
            alice.leave().await?;
        }
    }
    Ok(())
}

async fn window_of_both_levels(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("mixed");
    let mut alice = subscriber(stage, 3, &topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let levels = [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().cycle();
    for (payload, qos) in numbered(10).iter().zip(levels) {
        bob.publish(&topic, payload, qos).await?;
    }
    bob.publish(&topic, "last at QoS 1", QoS::AtLeastOnce).await?;
    let last = ["last at QoS 1".to_owned()];
    let open = drain(stage, &mut alice, Vec::new(), 3, &last).await?;
    // Order holds for each QoS, so the last of the other may be still to come.
    let rest = 11_usize.saturating_sub(open.len());
    stage.claims();
    for _ in 0..rest {
        let publish = alice.message("each message once").await?;
        alice.acknowledge(&publish).await?;
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn puback_frees_a_place(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("freed");
    let mut alice = subscriber(stage, 1, &topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let codes = [
        ReasonCode::Success,
        ReasonCode::UnspecifiedError,
        ReasonCode::NotAuthorized,
        ReasonCode::QuotaExceeded,
        ReasonCode::Success,
    ];
    for payload in numbered(codes.len()) {
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
    }
    for reason in codes {
        let publish = alice.message(NEXT).await?;
        alice.has_full_window().await?;
        alice.answer_with(&publish, reason).await?;
        stage.claims();
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn pubrec_frees_none(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = subscriber(stage, 1, &topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(3) {
        bob.publish(&topic, &payload, QoS::ExactlyOnce).await?;
    }
    for _ in 0..3 {
        let publish = alice.message(NEXT).await?;
        stage.proving("MQTT-4.9.0-2");
        stage.means();
        alice.has_no_message().await?;
        alice.takes_up_to_pubrel(&publish).await?;
        alice.has_no_message().await?;
        alice.complete(publish.packet_id).await?;
        stage.proving("U-4.9-2");
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn error_pubrec_frees_a_place(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("refused");
    let mut alice = subscriber(stage, 1, &topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(3) {
        bob.publish(&topic, &payload, QoS::ExactlyOnce).await?;
    }
    for _ in 0..3 {
        let publish = alice.message(NEXT).await?;
        alice.has_full_window().await?;
        alice.answer_with(&publish, ReasonCode::QuotaExceeded).await?;
        stage.claims();
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn error_pubcomp_frees_a_place(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unknown");
    let mut alice = subscriber(stage, 1, &topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(3) {
        bob.publish(&topic, &payload, QoS::ExactlyOnce).await?;
    }
    for _ in 0..3 {
        let publish = alice.message(NEXT).await?;
        stage.means();
        alice.takes_up_to_pubrel(&publish).await?;
        alice.has_full_window().await?;
        let reason = ReasonCode::PacketIdentifierNotFound;
        alice.send(Packet::PubComp(PublishAck::because(publish.packet_id, reason))).await?;
        stage.claims();
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn other_packets_go_on(stage: &mut Stage) -> Outcome {
    let (full, inbound) = (stage.topic("full"), stage.topic("inbound"));
    let mut alice = subscriber(stage, 1, &full, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&inbound, QoS::ExactlyOnce).await?;
    for payload in numbered(3) {
        bob.publish(&full, &payload, QoS::ExactlyOnce).await?;
    }
    let publish = alice.holds(&full, "message 1").await?;
    alice.has_full_window().await?;
    let other = stage.topic("other");
    stage.claims();
    alice.subscribe(&other, QoS::AtLeastOnce).await?;
    alice.unsubscribe(&other).await?;
    for qos in QoS::ALL {
        stage.claims();
        alice.publish(&inbound, "while full", qos).await?;
        stage.means();
        bob.receives(&inbound, "while full").await?;
    }
    alice.has_full_window().await?;
    alice.takes_up_to_pubrel(&publish).await?;
    alice.complete(publish.packet_id).await?;
    alice.receives(&full, "message 2").await?;
    alice.receives(&full, "message 3").await?;
    stage.nothing_on_at(&full, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn anew_on_each_connection(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("anew{}", qos.value()));
        let mut alice = subscriber(stage, 10, &topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        let payloads = numbered(8);
        for payload in &payloads {
            bob.publish(&topic, payload, qos).await?;
        }
        alice.holds(&topic, "message 1").await?;
        alice.ping().await?;
        alice.vanish().await?;
        let mut alice = resumed(stage, 2).await?;
        stage.claims();
        let came = drain(stage, &mut alice, Vec::new(), 2, &payloads).await?;
        let observed = texts(&came).said();
        stage.check(sorted(&[came]) == payloads, "each message once", observed)?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn full_window_left_behind(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("left{}", qos.value()));
        let mut alice = subscriber(stage, 2, &topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        let payloads = numbered(6);
        for payload in &payloads {
            bob.publish(&topic, payload, qos).await?;
        }
        for _ in 0..3 {
            alice.holds(&topic, "message 1").await?;
            stage.means();
            alice.ping().await?;
            alice.vanish().await?;
            alice = resumed(stage, 2).await?;
            stage.claims();
        }
        let came = drain(stage, &mut alice, Vec::new(), 2, &payloads).await?;
        let observed = texts(&came).said();
        stage.check(sorted(&[came]) == payloads, "each message once", observed)?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn pubcomp_of_earlier_connection(stage: &mut Stage) -> Outcome {
    let qos = QoS::ExactlyOnce;
    let topic = stage.topic("earlier");
    let mut alice = subscriber(stage, 10, &topic, qos).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "released 1", qos).await?;
    bob.publish(&topic, "released 2", qos).await?;
    let mut released = vec![alice.holds(&topic, "released 1").await?];
    released.append(&mut alice.messages_now().await?);
    for publish in &released {
        alice.takes_up_to_pubrel(publish).await?;
    }
    alice.vanish().await?;
    let payloads = numbered(5);
    for payload in &payloads {
        bob.publish(&topic, payload, qos).await?;
    }

    let mut alice = resumed(stage, 1).await?;
    for publish in &released {
        alice.pubrel(publish.packet_id).await?;
    }
    let open = alice.messages_now().await?;
    for publish in &released {
        alice.complete(publish.packet_id).await?;
    }
    let came = drain(stage, &mut alice, open, 1, &payloads).await?;
    let observed = texts(&came).said();
    let holds = sorted(&[came]).starts_with(&payloads);
    stage.check(holds, "each message once", observed)?;
    stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await
}
