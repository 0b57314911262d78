//! Section 4.1: what outlives a restart of the broker, if whoever runs it claims that. The standard asks it of
//! nobody; it says what a session is, and a session that is there after a restart is a whole one.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Will};

use super::copies::numbered;
use super::{Scenario, Stage, scenario};
use crate::target::{Need, Restart, Survivor};
use crate::trace::Said;
use crate::verdict::Outcome;

/// For how many seconds sessions are to last: longer than any restart.
const LASTING: u32 = 600;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.1/sessions-through-stop",
        sessions_through_stop,
        "A session and its subscriptions survive an orderly restart, for a broker that claims so",
        ["U-4.1-1", "U-4.1-3", "U-4.1-4"]
    )
    .needs(&[
        Need::Survives(Restart::Stop, Survivor::Sessions),
    ]),
    scenario!(
        "4.1/queued-through-stop",
        queued_through_stop,
        "Messages that wait for a session survive an orderly restart, for a broker that claims so",
        ["U-4.1-6"]
    )
    .needs(&[
        Need::Survives(Restart::Stop, Survivor::Queued),
        Need::Survives(Restart::Stop, Survivor::Sessions),
        Need::QoS(QoS::AtLeastOnce),
    ]),
    scenario!(
        "4.1/sent-through-stop",
        in_flight_out_through_stop,
        "Messages that were sent and not acknowledged come again after an orderly restart, for a broker that claims so",
        ["U-4.1-5", "MQTT-4.4.0-1"]
    )
    .needs(&[
        Need::Survives(Restart::Stop, Survivor::InFlight),
        Need::Survives(Restart::Stop, Survivor::Sessions),
        Need::QoS(QoS::ExactlyOnce),
    ]),
    scenario!(
        "4.1/received-through-stop",
        in_flight_in_through_stop,
        "A QoS 2 message that was received and not released is known after an orderly restart, for a broker that claims so",
        ["U-4.1-8", "MQTT-4.3.3-11"]
    )
    .needs(&[
        Need::Survives(Restart::Stop, Survivor::InFlight),
        Need::Survives(Restart::Stop, Survivor::Sessions),
        Need::QoS(QoS::ExactlyOnce),
    ]),
    scenario!(
        "4.1/retained-through-stop",
        retained_through_stop,
        "Retained messages survive an orderly restart, for a broker that claims so",
        ["U-4.1-10", "MQTT-3.3.1-5"]
    )
    .needs(&[
        Need::Survives(Restart::Stop, Survivor::Retained),
        Need::Retain,
    ]),
    scenario!(
        "4.1/wills-through-stop",
        wills_through_stop,
        "Wills are published before or after an orderly restart, for a broker that claims so",
        ["MQTT-3.1.2-8", "U-3.1.2.5-3"]
    )
    .needs(&[
        Need::QoS(QoS::AtLeastOnce),
        Need::Survives(Restart::Stop, Survivor::Wills),
        Need::Survives(Restart::Stop, Survivor::Sessions),
    ])
    .timed(4),
    scenario!(
        "4.1/sessions-through-kill",
        sessions_through_kill,
        "A session and its subscriptions survive a violent restart, for a broker that claims so",
        ["U-4.1-1", "U-4.1-3", "U-4.1-4"]
    )
    .needs(&[
        Need::Survives(Restart::Kill, Survivor::Sessions),
    ]),
    scenario!(
        "4.1/queued-through-kill",
        queued_through_kill,
        "Messages that wait for a session survive a violent restart, for a broker that claims so",
        ["U-4.1-6"]
    )
    .needs(&[
        Need::Survives(Restart::Kill, Survivor::Queued),
        Need::Survives(Restart::Kill, Survivor::Sessions),
        Need::QoS(QoS::AtLeastOnce),
    ]),
    scenario!(
        "4.1/sent-through-kill",
        in_flight_out_through_kill,
        "Messages that were sent and not acknowledged come again after a violent restart, for a broker that claims so",
        ["U-4.1-5", "MQTT-4.4.0-1"]
    )
    .needs(&[
        Need::Survives(Restart::Kill, Survivor::InFlight),
        Need::Survives(Restart::Kill, Survivor::Sessions),
        Need::QoS(QoS::ExactlyOnce),
    ]),
    scenario!(
        "4.1/received-through-kill",
        in_flight_in_through_kill,
        "A QoS 2 message that was received and not released is known after a violent restart, for a broker that claims so",
        ["U-4.1-8", "MQTT-4.3.3-11"]
    )
    .needs(&[
        Need::Survives(Restart::Kill, Survivor::InFlight),
        Need::Survives(Restart::Kill, Survivor::Sessions),
        Need::QoS(QoS::ExactlyOnce),
    ]),
    scenario!(
        "4.1/retained-through-kill",
        retained_through_kill,
        "Retained messages survive a violent restart, for a broker that claims so",
        ["U-4.1-10", "MQTT-3.3.1-5"]
    )
    .needs(&[
        Need::Survives(Restart::Kill, Survivor::Retained),
        Need::Retain,
    ]),
    scenario!(
        "4.1/wills-through-kill",
        wills_through_kill,
        "Wills are published before or after a violent restart, for a broker that claims so",
        ["MQTT-3.1.2-8", "U-3.1.2.5-3"]
    )
    .needs(&[
        Need::QoS(QoS::AtLeastOnce),
        Need::Survives(Restart::Kill, Survivor::Wills),
        Need::Survives(Restart::Kill, Survivor::Sessions),
    ])
    .timed(4),
];

async fn sessions_through_stop(stage: &mut Stage) -> Outcome {
    sessions(stage, Restart::Stop).await
}

async fn queued_through_stop(stage: &mut Stage) -> Outcome {
    queued(stage, Restart::Stop).await
}

async fn in_flight_out_through_stop(stage: &mut Stage) -> Outcome {
    in_flight_out(stage, Restart::Stop).await
}

async fn in_flight_in_through_stop(stage: &mut Stage) -> Outcome {
    in_flight_in(stage, Restart::Stop).await
}

async fn retained_through_stop(stage: &mut Stage) -> Outcome {
    retained(stage, Restart::Stop).await
}

async fn wills_through_stop(stage: &mut Stage) -> Outcome {
    wills(stage, Restart::Stop).await
}

async fn sessions_through_kill(stage: &mut Stage) -> Outcome {
    sessions(stage, Restart::Kill).await
}

async fn queued_through_kill(stage: &mut Stage) -> Outcome {
    queued(stage, Restart::Kill).await
}

async fn in_flight_out_through_kill(stage: &mut Stage) -> Outcome {
    in_flight_out(stage, Restart::Kill).await
}

async fn in_flight_in_through_kill(stage: &mut Stage) -> Outcome {
    in_flight_in(stage, Restart::Kill).await
}

async fn retained_through_kill(stage: &mut Stage) -> Outcome {
    retained(stage, Restart::Kill).await
}

async fn wills_through_kill(stage: &mut Stage) -> Outcome {
    wills(stage, Restart::Kill).await
}

/// Some more clients, so that a restart is not only the loss of one connection.
async fn bystanders(stage: &mut Stage) -> Outcome<Vec<crate::probe::Probe>> {
    Ok(vec![stage.connected("carol").await?, stage.connected("dave").await?])
}

async fn sessions(stage: &mut Stage, restart: Restart) -> Outcome {
    let topic = stage.topic("kept");
    let mut alice = stage.with_session("alice", LASTING).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut open = bystanders(stage).await?;
    open.push(alice);
    stage.restart(restart, open).await?;

    stage.claims();
    let mut alice = stage.resumed("alice", LASTING).await?;
    stage.means();
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "after", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "after").await.map(drop)
}

async fn queued(stage: &mut Stage, restart: Restart) -> Outcome {
    for qos in stage.acknowledged_levels() {
        stage.means();
        let topic = stage.topic(&format!("queue{}", qos.value()));
        let mut alice = stage.with_session("alice", LASTING).await?;
        alice.subscribe(&topic, qos).await?;
        alice.leave().await?;
        let mut bob = stage.connected("bob").await?;
        for payload in numbered(3) {
            bob.publish(&topic, &payload, qos).await?;
        }
        let mut open = bystanders(stage).await?;
        open.push(bob);
        stage.restart(restart, open).await?;

        let mut alice = stage.resumed("alice", LASTING).await?;
        stage.claims();
        for payload in numbered(3) {
            alice.receives(&topic, &payload).await?;
        }
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn in_flight_out(stage: &mut Stage, restart: Restart) -> Outcome {
    for qos in stage.acknowledged_levels() {
        stage.means();
        let topic = stage.topic(&format!("sent{}", qos.value()));
        let mut alice = stage.with_session("alice", LASTING).await?;
        alice.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        bob.publish(&topic, "on its way", qos).await?;
        let before = alice.holds(&topic, "on its way").await?.packet_id;
        let mut open = bystanders(stage).await?;
        open.extend([alice, bob]);
        stage.restart(restart, open).await?;

        let mut alice = stage.resumed("alice", LASTING).await?;
        stage.claims();
        let again = alice.holds(&topic, "on its way").await?;
        let id = again.packet_id;
        stage.check(id == before, &format!("packet_id={} again", before.said()), id.said())?;
        stage.means();
        alice.acknowledge(&again).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn in_flight_in(stage: &mut Stage, restart: Restart) -> Outcome {
    let topic = stage.topic("received");
    let mut bob = stage.with_session("bob", LASTING).await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.with_session("alice", LASTING).await?;
    let id = alice.packet_id();
    alice.send(Publish::new(topic.as_str(), "once").qos(QoS::ExactlyOnce, id)).await?;
    alice.pubrec(id).await?;
    let mut open = bystanders(stage).await?;
    open.extend([alice, bob]);
    stage.restart(restart, open).await?;

    let mut bob = stage.resumed("bob", LASTING).await?;
    let mut alice = stage.resumed("alice", LASTING).await?;
    stage.claims();
    alice.send(Packet::PubRel(PublishAck::new(id))).await?;
    let pubcomp = alice.pubcomp(id).await?;
    let is_known = pubcomp.reason == ReasonCode::Success;
    stage.check(is_known, "PUBCOMP 0x00, as the message is known", pubcomp.reason.said())?;
    bob.receives(&topic, "once").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn retained(stage: &mut Stage, restart: Restart) -> Outcome {
    let topic = stage.topic("kept");
    let qos = stage.acknowledged_levels().into_iter().next().unwrap_or(QoS::AtMostOnce);
    let mut bob = stage.connected("bob").await?;
    let id = bob.packet_id();
    bob.publish_with(Publish::new(topic.as_str(), "kept").qos(qos, id).retain()).await?;
    // It is stored by now, whatever its QoS.
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.receives(&topic, "kept").await?;
    let mut open = bystanders(stage).await?;
    open.push(bob);
    stage.restart(restart, open).await?;

    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.claims();
    let publish = alice.receives(&topic, "kept").await?;
    stage.check(publish.retain, "RETAIN 1", "RETAIN 0")
}

async fn wills(stage: &mut Stage, restart: Restart) -> Outcome {
    let topic = stage.topic("will");
    let mut alice = stage.with_session("alice", LASTING).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let will = Will::new(topic.as_str(), "gone")
        .qos(QoS::AtLeastOnce)
        .with(PropertyId::WillDelayInterval, 1);
    let bob =
        stage.connected_with("bob", |connect| connect.will(will).session_expiry(LASTING)).await?;
    let mut open = bystanders(stage).await?;
    open.extend([alice, bob]);
    stage.restart(restart, open).await?;

    let mut alice = stage.resumed("alice", LASTING).await?;
    stage.claims();
    alice.receives_will(&topic, "gone").await.map(drop)
}
