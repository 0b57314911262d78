//! Section 3.1: CONNECT.

use reference_broker::codec::{QoS, ReasonCode};

use super::{Scenario, Stage, scenario};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/second-connect-closes",
        second_connect_closes,
        "A second CONNECT on a connection is a protocol error: the broker closes it",
        ["MQTT-3.1.0-2"]
    ),
    scenario!(
        "3.1/resume-finds-subscription",
        resume_finds_subscription,
        "A session is found again with its subscription and what was queued for it",
        ["MQTT-3.1.2-5", "U-4.1-4", "U-4.1-6"]
    ),
];

async fn second_connect_closes(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    alice.ping().await?;
    alice.send(alice.connect_packet()).await?;
    alice.closes_for(ReasonCode::ProtocolError).await
}

async fn resume_finds_subscription(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;

    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;

    let mut alice = stage.resumed("alice", 60).await?;
    alice.receives(&topic, "while away").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}
