//! Section 4.1: Session State, as it is found by those who come back: after another interval, and with
//! many messages that wait.

use std::time::Duration;

use reference_broker::codec::{Publish, QoS};

use super::copies::{numbered, texts};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.1/earlier-interval-is-past",
        earlier_interval_is_past,
        "Who comes back, or takes over, with a longer interval is not held to the one before",
        ["U-4.1-1", "MQTT-4.1.0-1", "MQTT-3.1.2-23"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::SessionsFor(8)])
    .timed(4),
    scenario!(
        "4.1/long-queue-in-order",
        long_queue_in_order,
        "Of 150 messages that waited all come that were kept, in their order and once",
        ["MQTT-4.6.0-5", "U-4.1-6"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
];

/// The interval that is over soon, in seconds.
const SHORT: u32 = 2;

/// A subscriber whose session is kept for a short time.
async fn subscribed(stage: &mut Stage, name: &str, topic: &str, bob: &mut Probe) -> Outcome<Probe> {
    let mut probe = stage.with_session(name, SHORT).await?;
    probe.subscribe(topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(topic, bob, &mut probe).await?;
    probe.ping().await?; // What it acknowledged is not to come again.
    Ok(probe)
}

async fn earlier_interval_is_past(stage: &mut Stage) -> Outcome {
    let topics = ["alice", "carol", "dave", "erin"].map(|name| stage.topic(name));
    let [alices, carols, daves, erins] = &topics;
    let mut bob = stage.connected("bob").await?;
    // Two come back, and two take over; of each two one stays.
    subscribed(stage, "alice", alices, &mut bob).await?.leave().await?;
    let mut alice = stage.back("alice", 60).await?;
    stage.is_kept_for(&alice, 8)?;
    subscribed(stage, "carol", carols, &mut bob).await?.vanish().await?;
    stage.back("carol", 60).await?.leave().await?;
    let old = subscribed(stage, "dave", daves, &mut bob).await?;
    let mut dave = stage.back("dave", 60).await?;
    old.hang_up().await;
    let old = subscribed(stage, "erin", erins, &mut bob).await?;
    let erin = stage.back("erin", 60).await?;
    old.hang_up().await;
    erin.leave().await?;

    stage.wait(Duration::from_secs(4)).await;
    for topic in &topics {
        bob.publish(topic, "still there", QoS::AtLeastOnce).await?;
    }
    stage.claims();
    alice.receives(alices, "still there").await?;
    dave.receives(daves, "still there").await?;
    for (name, topic) in [("carol", carols), ("erin", erins)] {
        stage.means();
        let mut probe = stage.back(name, 60).await?;
        stage.claims();
        stage.receives_kept(&mut probe, topic, "still there").await?;
    }
    Ok(())
}

async fn long_queue_in_order(stage: &mut Stage) -> Outcome {
    const MESSAGES: usize = 150;
    let topic = stage.topic("many");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut bob = stage.connected("bob").await?;
    let payloads = numbered(MESSAGES);
    let together = usize::from(stage.capabilities().receive_maximum().clamp(1, 25));
    for batch in payloads.chunks(together) {
        bob.publish_together(&topic, batch, QoS::AtLeastOnce).await?;
    }

    let mut alice = stage.resumed("alice", 60).await?;
    let mut came: Vec<Publish> = Vec::new();
    while came.len() < MESSAGES {
        let Some(publish) = alice.message_or_silence().await? else { break };
        alice.acknowledge(&publish).await?;
        came.push(publish);
    }
    let came = texts(&came);
    let mut rest = payloads.iter();
    let is_in_order = came.iter().all(|text| rest.any(|payload| payload == text));
    stage.check(is_in_order, "what was kept in its order, and once", came.said())?;
    // How many are kept is for the broker to say (section 4.1).
    if came.is_empty() {
        stage.keeps_messages().await?;
        return stage.inconclusive("some of 150 messages kept for a client that is away", "none");
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}
