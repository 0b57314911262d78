//! Section 4.1: what outlives a restart of the broker, if whoever runs it claims that. The standard asks it of
//! nobody; it says what a session is, and a session that is there after a restart is a whole one.

use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Will,
};

use super::copies::numbered;
use super::{Scenario, Stage};
use crate::probe::Probe;
use crate::target::{Need, Restart, Survivor};
use crate::trace::Said;
use crate::verdict::Outcome;

/// For how many seconds sessions are to last: longer than any restart.
const LASTING: u32 = 600;

/// The scenarios of one way to restart: their ids end in its word.
macro_rules! through {
    ($restart:ident, $word:literal, $said:literal) => {{
        use Need::Survives;
        use Restart::$restart;
        &[
            Scenario::new(
                concat!("4.1/sessions-through-", $word),
                concat!("A session and its subscriptions survive ", $said),
                &["U-4.1-1", "U-4.1-3", "U-4.1-4"],
                |stage| Box::pin(sessions(stage, $restart)),
            )
            .needs(&[Survives($restart, Survivor::Sessions)]),
            Scenario::new(
                concat!("4.1/queued-through-", $word),
                concat!("Messages that wait for a session survive ", $said),
                &["U-4.1-6"],
                |stage| Box::pin(queued(stage, $restart)),
            )
            .needs(&[
                Survives($restart, Survivor::Queued),
                Survives($restart, Survivor::Sessions),
                Need::QoS(QoS::AtLeastOnce),
            ]),
            Scenario::new(
                concat!("4.1/sent-through-", $word),
                concat!("Messages that were sent and not acknowledged come again after ", $said),
                &["U-4.1-5", "MQTT-4.4.0-1"],
                |stage| Box::pin(sent(stage, $restart)),
            )
            .needs(&[
                Survives($restart, Survivor::InFlight),
                Survives($restart, Survivor::Sessions),
                Need::QoS(QoS::ExactlyOnce),
            ]),
            Scenario::new(
                concat!("4.1/received-through-", $word),
                concat!("A QoS 2 message received and not released is known after ", $said),
                &["U-4.1-8", "MQTT-4.3.3-11"],
                |stage| Box::pin(received(stage, $restart)),
            )
            .needs(&[
                Survives($restart, Survivor::InFlight),
                Survives($restart, Survivor::Sessions),
                Need::QoS(QoS::ExactlyOnce),
            ]),
            Scenario::new(
                concat!("4.1/retained-through-", $word),
                concat!("Retained messages survive ", $said),
                &["U-4.1-10", "MQTT-3.3.1-5"],
                |stage| Box::pin(retained(stage, $restart)),
            )
            .needs(&[
                Survives($restart, Survivor::Retained),
                Need::QoS(QoS::AtLeastOnce),
                Need::Retain,
            ]),
            Scenario::new(
                concat!("4.1/wills-through-", $word),
                concat!("Wills are published before or after ", $said),
                &["MQTT-3.1.2-8", "U-3.1.2.5-3"],
                |stage| Box::pin(wills(stage, $restart)),
            )
            .needs(&[
                Need::QoS(QoS::AtLeastOnce),
                Survives($restart, Survivor::Wills),
                Survives($restart, Survivor::Sessions),
            ])
            .timed(4),
        ]
    }};
}

pub(super) const STOP: &[Scenario] =
    through!(Stop, "stop", "an orderly restart, for a broker that claims so");

pub(super) const KILL: &[Scenario] =
    through!(Kill, "kill", "a violent restart, for a broker that claims so");

/// Some more clients, so that a restart is not only the loss of one connection.
async fn bystanders(stage: &mut Stage) -> Outcome<Vec<Probe>> {
    Ok(vec![stage.connected("carol").await?, stage.connected("dave").await?])
}

/// Connects a client whose session lasts, begun with Clean Start 0, after which some keep what they do not
/// keep after Clean Start 1: of the two only the scenario about sessions alone asks for the latter.
async fn begun(stage: &mut Stage, name: &str) -> Outcome<Probe> {
    stage.connected_with(name, |connect| connect.resume().session_expiry(LASTING)).await
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
        let mut alice = begun(stage, "alice").await?;
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

async fn sent(stage: &mut Stage, restart: Restart) -> Outcome {
    for qos in stage.acknowledged_levels() {
        stage.means();
        let topic = stage.topic(&format!("sent{}", qos.value()));
        let mut alice = begun(stage, "alice").await?;
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

async fn received(stage: &mut Stage, restart: Restart) -> Outcome {
    let topic = stage.topic("received");
    let mut bob = begun(stage, "bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = begun(stage, "alice").await?;
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
    let mut bob = stage.connected("bob").await?;
    let id = bob.packet_id();
    // One at QoS 0 may be discarded at any time. U-3.3.1.3-3
    let publish = Publish::new(topic.as_str(), "kept").qos(QoS::AtLeastOnce, id);
    bob.publish_with(publish.retain()).await?;
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
    let mut alice = begun(stage, "alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let will = Will::new(topic.as_str(), "gone")
        .qos(QoS::AtLeastOnce)
        .with(PropertyId::WillDelayInterval, 1);
    let make = |connect: Connect| connect.resume().will(will).session_expiry(LASTING);
    let bob = stage.connected_with("bob", make).await?;
    let mut open = bystanders(stage).await?;
    open.extend([alice, bob]);
    stage.restart(restart, open).await?;

    let mut alice = stage.resumed("alice", LASTING).await?;
    stage.claims();
    alice.receives_will(&topic, "gone").await.map(drop)
}
