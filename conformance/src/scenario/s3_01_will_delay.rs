//! Section 3.1.3.2.2: Will Delay Interval.

use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, PropertyId, QoS, ReasonCode, Will};
use tokio::time::Instant;

use super::s3_01_takeover::just_kept_for;
use super::s3_01_will_causes::will_or_advice;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::{Finding, Outcome, Stop};

/// A delay, in seconds, that is not over before the next steps are done, and that one twice as long
/// is told from.
const DELAY: u32 = 12;

/// A delay, in seconds, within which a client is sure to be back.
const BRIEF: u32 = 5;

const SESSION: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Sessions];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/will-waits-for-delay",
        will_waits_for_delay,
        "A Will with a delay is published when that has passed, not before",
        ["U-3.1.3.2.2-3", "MQTT-3.1.2-8"]
    )
    .needs(SESSION)
    .timed(12),
    scenario!(
        "3.1/will-comes-with-end-of-session",
        will_comes_with_end_of_session,
        "A Will is published when its session expires, however long its delay",
        ["U-3.1.3.2.2-3", "MQTT-3.1.2-8"]
    )
    .needs(SESSION)
    .timed(3),
    scenario!(
        "3.1/will-delay-needs-session",
        will_delay_needs_session,
        "A Will whose session ends with the connection is published at once, whatever its delay",
        ["U-3.1.3.2.2-3", "MQTT-3.1.2-8"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/disconnect-ends-will-delay",
        disconnect_ends_will_delay,
        "DISCONNECT 0x04 that also ends the session publishes the Will at once",
        ["U-3.14.2.2.2-2", "U-3.1.3.2.2-3"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/resume-cancels-will",
        resume_cancels_will,
        "A client that comes back to its session within the delay has no Will published",
        ["MQTT-3.1.3-9"]
    )
    .needs(SESSION)
    .timed(7),
    scenario!(
        "3.1/takeover-cancels-delayed-will",
        takeover_cancels_delayed_will,
        "A takeover that goes on with the session lets no delayed Will be published",
        ["MQTT-3.1.3-9", "U-3.1.3.2.2-4"]
    )
    .needs(SESSION)
    .timed(7),
    scenario!(
        "3.1/resume-brings-new-will",
        resume_brings_new_will,
        "The Will of the connection that came back counts, not the one that was waiting",
        ["MQTT-3.1.3-9", "MQTT-3.1.2-7"]
    )
    .needs(SESSION)
    .timed(7),
    scenario!(
        "3.1/clean-start-publishes-waiting-will",
        clean_start_publishes_waiting_will,
        "A clean start ends the session, and with it the wait of its Will",
        ["U-3.1.3.2.2-3", "U-3.1.3.2.2-4"]
    )
    .needs(SESSION),
];

/// Sets a Will that waits.
fn delayed(topic: &str, delay: u32) -> impl FnOnce(Connect) -> Connect + use<> {
    let will = Will::new(topic, "will").qos(QoS::AtLeastOnce);
    let will = will.with(PropertyId::WillDelayInterval, delay);
    move |connect| connect.will(will)
}

/// As [`delayed`], and how long the session is kept.
fn delayed_and_kept(
    topic: &str,
    delay: u32,
    expiry: u32,
) -> impl FnOnce(Connect) -> Connect + use<> {
    let delayed = delayed(topic, delay);
    move |connect| delayed(connect).session_expiry(expiry)
}

/// A client that watches a topic.
async fn watcher(stage: &mut Stage, topic: &str) -> Outcome<Probe> {
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(topic, QoS::AtLeastOnce).await?;
    Ok(bob)
}

/// Shows that the Will has not come before it was due, so many seconds after the loss of its
/// connection.
async fn no_will_before(
    stage: &mut Stage,
    topic: &str,
    bob: &mut Probe,
    lost: Instant,
    seconds: u32,
) -> Outcome {
    // Brokers count in whole seconds, so it may come a second early.
    let early = Duration::from_secs(u64::from(seconds.saturating_sub(1)));
    match stage.no_will_on(topic, bob).await {
        Err(Stop::Fail(finding) | Stop::Blocked(finding)) if lost.elapsed() >= early => {
            let observed = format!("{}, when it may have been due", finding.observed);
            Err(Stop::Inconclusive(Finding { requirement: None, observed, ..finding }))
        }
        shown => shown,
    }
}

async fn will_waits_for_delay(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let alice = stage.connected_with("alice", delayed_and_kept(&topic, DELAY, 60)).await?;
    stage.is_kept_for(&alice, 2 * DELAY)?;
    let lost = Instant::now();
    alice.vanish().await?;
    no_will_before(stage, &topic, &mut bob, lost, DELAY).await?;
    // Most of it.
    stage.wait_until(lost + Duration::from_secs(8)).await;
    no_will_before(stage, &topic, &mut bob, lost, DELAY).await?;
    stage.wait_until(lost + Duration::from_secs(DELAY.into())).await;
    bob.receives_will(&topic, "will").await?;
    stage.resumed("alice", 60).await?.vanish().await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn will_comes_with_end_of_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let alice = just_kept_for(stage, "alice", 3, delayed(&topic, 60)).await?;
    let kept = alice.session_expiry();
    let lost = Instant::now();
    alice.vanish().await?;
    no_will_before(stage, &topic, &mut bob, lost, kept).await?;
    stage.wait_until(lost + Duration::from_secs(kept.into())).await;
    bob.receives_will(&topic, "will").await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn will_delay_needs_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let alice = stage.connected_with("alice", delayed_and_kept(&topic, 60, 0)).await?;
    // The target may keep it for longer than it was asked to.
    let kept = stage.is_worth_waiting(&alice)?;
    alice.vanish().await?;
    if kept > 0 {
        stage.wait(Duration::from_secs(kept.into())).await;
    }
    bob.receives_will(&topic, "will").await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn disconnect_ends_will_delay(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let alice = stage.connected_with("alice", delayed_and_kept(&topic, 60, 60)).await?;
    let disconnect = Disconnect::because(ReasonCode::DisconnectWithWill)
        .with(PropertyId::SessionExpiryInterval, 0);
    alice.leave_with(disconnect).await?;
    bob.receives_will(&topic, "will").await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn resume_cancels_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.connected_with("alice", delayed_and_kept(&topic, BRIEF, 60)).await?.vanish().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    // The same delay, and nobody comes back.
    stage.connected_with("carol", delayed_and_kept(&topic, BRIEF, 60)).await?.vanish().await?;
    stage.wait(Duration::from_secs(7)).await;
    alice.ping().await?;
    bob.receives_will(&topic, "will").await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn takeover_cancels_delayed_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let mut older = stage.connected_with("alice", delayed_and_kept(&topic, BRIEF, 60)).await?;
    let mut newer = stage.resumed("alice", 60).await?;
    older.closes().await?;
    stage.no_will_on(&topic, &mut bob).await?;
    stage.wait(Duration::from_secs(7)).await;
    newer.ping().await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn resume_brings_new_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.connected_with("alice", delayed_and_kept(&topic, BRIEF, 60)).await?.vanish().await?;
    let newer = Will::new(&topic, "newer").qos(QoS::AtLeastOnce);
    let change = |connect: Connect| connect.session_expiry(60).will(newer);
    stage.resumed_with("alice", change).await?.vanish().await?;
    bob.receives_will(&topic, "newer").await?;
    stage.wait(Duration::from_secs(7)).await;
    stage.no_will_on(&topic, &mut bob).await
}

async fn clean_start_publishes_waiting_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let alice = stage.connected_with("alice", delayed_and_kept(&topic, 60, 60)).await?;
    let (kept, lost) = (alice.session_expiry(), Instant::now());
    alice.vanish().await?;
    no_will_before(stage, &topic, &mut bob, lost, kept.min(60)).await?;
    stage.connected("alice").await?.ping().await?;
    will_or_advice(stage, &topic, &mut bob).await
}
