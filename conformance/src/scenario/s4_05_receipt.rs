//! Section 4.5: Message receipt.

use reference_broker::codec::QoS;

use super::copies::numbered;
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.5/every-connected-subscriber",
        every_connected_subscriber,
        "Each of three subscribers gets each of three messages at QoS 1 and 2",
        ["MQTT-4.5.0-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)])
    .plain(&[step::DELIVER, step::DELIVER_KEPT, step::DELIVER_SHARED, step::WILL]),
    scenario!(
        "4.5/every-matching-session",
        every_matching_session,
        "Every session with a matching subscription, connected or not, gets each message",
        ["MQTT-4.5.0-1", "U-4.1-6", "U-4.8.1-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.5/after-publisher-is-gone",
        after_publisher_is_gone,
        "A message that was acknowledged arrives although its publisher is gone for good",
        ["MQTT-4.5.0-1", "U-4.1-6"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
];

async fn every_connected_subscriber(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("plain{}", qos.value()));
        let mut subscribers = Vec::new();
        for name in ["alice", "carol", "dave"] {
            let mut probe = stage.connected(&format!("{name}{}", qos.value())).await?;
            probe.subscribe(&topic, qos).await?;
            subscribers.push(probe);
        }
        for payload in numbered(3) {
            bob.publish(&topic, &payload, qos).await?;
        }
        stage.claims();
        for probe in &mut subscribers {
            for payload in numbered(3) {
                probe.receives(&topic, &payload).await?;
            }
        }
        stage.means();
    }
    Ok(())
}

async fn every_matching_session(stage: &mut Stage) -> Outcome {
    const STORED: [&str; 3] = ["carol", "dave", "erin"];
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("all{}", qos.value()));
        for name in STORED {
            let mut probe = stage.with_session(name, 60).await?;
            probe.subscribe(&topic, qos).await?;
            probe.leave().await?;
        }
        let mut connected = Vec::new();
        for name in ["frank", "grace", "heidi"] {
            let mut probe = stage.connected(name).await?;
            probe.subscribe(&topic, qos).await?;
            connected.push(probe);
        }
        let mut bob = stage.connected("bob").await?;
        for payload in numbered(3) {
            bob.publish(&topic, &payload, qos).await?;
        }
        for name in STORED {
            connected.push(stage.resumed(name, 60).await?);
        }
        stage.claims();
        for probe in &mut connected {
            for payload in numbered(3) {
                probe.receives(&topic, &payload).await?;
            }
        }
        stage.means();
        bob.publish(&topic, "marker", qos).await?;
        for mut probe in connected {
            probe.receives(&topic, "marker").await?;
            probe.leave().await?;
        }
    }
    Ok(())
}

async fn after_publisher_is_gone(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("legacy{}", qos.value()));
        stage.means();
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&topic, qos).await?;
        alice.leave().await?;
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        bob.publish(&topic, "last words", qos).await?;
        bob.vanish().await?;
        stage.claims();
        carol.receives(&topic, "last words").await?;
        stage.means();
        let mut alice = stage.resumed("alice", 60).await?;
        stage.claims();
        alice.receives(&topic, "last words").await?;
        let mut bob = stage.connected("bob").await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}
