//! Section 3.14: DISCONNECT, its Session Expiry Interval.

use std::time::Duration;

use reference_broker::codec::{Disconnect, PropertyId, QoS, ReasonCode, Will};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.14/expiry-set-to-zero",
        expiry_set_to_zero,
        "A Session Expiry Interval of 0 in DISCONNECT ends the session at once",
        ["U-3.14.2.2.2-2", "MQTT-4.1.0-2"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
    scenario!(
        "3.14/expiry-shortened",
        expiry_shortened,
        "A shorter Session Expiry Interval in DISCONNECT counts instead of the one in CONNECT",
        ["U-3.14.2.2.2-2", "MQTT-4.1.0-2"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions])
    .timed(12),
    scenario!(
        "3.14/expiry-lengthened",
        expiry_lengthened,
        "A longer Session Expiry Interval in DISCONNECT counts instead of the one in CONNECT",
        ["U-3.14.2.2.2-2", "MQTT-3.1.2-23"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions])
    .timed(3),
    scenario!(
        "3.14/expiry-without-end",
        expiry_without_end,
        "DISCONNECT may have a session kept without an end: it is there when the old time is over",
        ["U-3.14.2.2.2-2", "U-3.1.2.11.2-3", "MQTT-3.1.2-23"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions])
    .timed(4),
    scenario!(
        "3.14/expiry-of-last-disconnect-is-past",
        expiry_of_last_disconnect_is_past,
        "Without a Session Expiry Interval in DISCONNECT the one in CONNECT counts, no older one",
        ["U-3.14.2.2.2-2", "MQTT-4.1.0-2"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions])
    .timed(12),
    scenario!(
        "3.14/expiry-raised-from-zero",
        expiry_raised_from_zero,
        "A DISCONNECT that raises the Session Expiry Interval from 0 is none: the Will is published",
        ["U-3.14.2.2.2-3", "MQTT-3.1.2-8"]
    )
    .breaks(&["U-3.14.2.2.2-3"])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.14/with-will-at-session-end",
        with_will_at_session_end,
        "DISCONNECT 0x04 that ends the session has its Will published without its delay",
        ["MQTT-3.1.2-8", "U-3.14.2.2.2-2"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
];

async fn expiry_set_to_zero(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("state");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave_with(expiring(0)).await?;
    session_is_gone(stage, &topic, &mut bob).await
}

async fn expiry_shortened(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("state");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    stage.is_kept_for(&alice, 15)?;
    alice.leave_with(expiring(1)).await?;
    stage.wait_past(1).await;
    session_is_gone(stage, &topic, &mut bob).await
}

async fn expiry_lengthened(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    // What it may have is seen from another.
    let other = stage.with_session("carol", 60).await?;
    stage.is_kept_for(&other, 6)?;
    other.leave().await?;
    let mut alice = stage.with_session("alice", 1).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave_with(expiring(60)).await?;
    stage.wait(Duration::from_secs(3)).await;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.back("alice", 1).await?;
    stage.claims();
    stage.receives_kept(&mut alice, &topic, "while away").await.map(drop)
}

async fn expiry_without_end(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    // What it may have is seen from another.
    let other = stage.with_session("carol", u32::MAX).await?;
    stage.is_kept_for(&other, 8)?;
    other.leave_with(expiring(0)).await?;
    let mut alice = stage.with_session("alice", 1).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave_with(expiring(u32::MAX)).await?;
    stage.wait(Duration::from_secs(4)).await;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.back("alice", 1).await?;
    stage.claims();
    stage.receives_kept(&mut alice, &topic, "while away").await.map(drop)
}

async fn expiry_of_last_disconnect_is_past(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("state");
    let mut bob = stage.connected("bob").await?;
    // What it may have is seen from another.
    let other = stage.with_session("carol", 60).await?;
    stage.is_kept_for(&other, 6)?;
    other.leave().await?;
    let mut alice = stage.with_session("alice", 1).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave_with(expiring(60)).await?;
    let mut alice = stage.resumed("alice", 1).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let kept = stage.is_worth_waiting(&alice)?;
    alice.leave().await?;
    stage.wait_past(kept.into()).await;
    session_is_gone(stage, &topic, &mut bob).await
}

async fn expiry_raised_from_zero(stage: &mut Stage) -> Outcome {
    let (topic, state) = (stage.topic("will"), stage.topic("state"));
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    for asked in [None, Some(0)] {
        stage.means();
        let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
        let mut alice = stage
            .connected_with("alice", |connect| match asked {
                Some(seconds) => connect.will(will).session_expiry(seconds),
                None => connect.will(will),
            })
            .await?;
        alice.subscribe(&state, QoS::AtLeastOnce).await?;
        stage.nothing_on(&state, &mut bob, &mut alice).await?;
        stage.proving("U-3.14.2.2.2-3");
        alice.send(expiring(60)).await?;
        alice.closes_for(ReasonCode::ProtocolError).await?;
        stage.proving("MQTT-3.1.2-8");
        carol.receives_will(&topic, "will").await?;
        stage.nothing_on(&topic, &mut bob, &mut carol).await?;
        // The target may have raised it, and what CONNECT says counts for DISCONNECT all the same.
        if alice.session_expiry() == 0 {
            stage.proving("U-3.14.2.2.2-3");
            session_is_gone(stage, &state, &mut bob).await?;
        }
    }
    Ok(())
}

async fn with_will_at_session_end(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let will =
        || Will::new(&topic, "will").qos(QoS::AtLeastOnce).with(PropertyId::WillDelayInterval, 60);
    let with_will = Disconnect::because(ReasonCode::DisconnectWithWill);
    let alice =
        stage.connected_with("alice", |connect| connect.session_expiry(60).will(will())).await?;
    stage.is_kept_for(&alice, 6)?;
    alice.leave_with(with_will.clone()).await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await?;

    let alice =
        stage.resumed_with("alice", |connect| connect.session_expiry(60).will(will())).await?;
    alice.leave_with(with_will.with(PropertyId::SessionExpiryInterval, 0)).await?;
    stage.claims();
    carol.receives_will(&topic, "will").await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await
}

fn expiring(seconds: u32) -> Disconnect {
    Disconnect::default().with(PropertyId::SessionExpiryInterval, seconds)
}

/// Looks for the subscription of alice's session by way of a connection that leaves none.
async fn session_is_gone(stage: &mut Stage, topic: &str, bob: &mut Probe) -> Outcome {
    stage.means();
    let mut witness = stage.connected("witness").await?;
    witness.subscribe(topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.not_resumed("alice").await?;
    stage.not_subscribed(topic, bob, &mut alice, &mut witness).await?;
    witness.leave().await?;
    alice.leave().await
}
