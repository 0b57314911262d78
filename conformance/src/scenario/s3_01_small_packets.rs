//! Section 3.1.2.11.4: answers to a client that takes small packets alone. What explains an answer is
//! left out where it has no room; the oracle `maximum-packet-size` looks at each.

use reference_broker::codec::{Packet, PropertyId, QoS};

use super::stage::KEEP_ALIVE;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/answers-within-size-limit",
        answers_within_size_limit,
        "Reason Strings and User Properties are left out of answers too large for the client with them",
        [
            "MQTT-3.1.2-24",
            "MQTT-3.4.2-2",
            "MQTT-3.4.2-3",
            "MQTT-3.5.2-2",
            "MQTT-3.5.2-3",
            "MQTT-3.7.2-2",
            "MQTT-3.7.2-3",
            "MQTT-3.9.2-1",
            "MQTT-3.9.2-2",
            "MQTT-3.11.2-1",
            "MQTT-3.11.2-2",
            "MQTT-3.14.2-3",
            "MQTT-3.14.2-4"
        ]
    )
    .breaks(&["U-3.1-1"]),
    scenario!(
        "3.1/pubrel-within-size-limit",
        pubrel_within_size_limit,
        "Reason Strings and User Properties are left out of a PUBREL too large for the client with them",
        ["MQTT-3.1.2-24", "MQTT-3.6.2-2", "MQTT-3.6.2-3"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
];

/// Connects a client that takes packets of no more bytes than this: none where a server wants clients that
/// take more, or has no CONNACK as small.
async fn limited(stage: &mut Stage, name: &str, limit: u32) -> Outcome<Option<Probe>> {
    let mut alice = stage.open(name).await?;
    let connect = alice.connect_packet().keep_alive(KEEP_ALIVE);
    alice.send(connect.with(PropertyId::MaximumPacketSize, limit)).await?;
    let answer = alice.answer_or_silence().await?.flatten();
    Ok(answer.filter(|connack| !connack.reason.is_error()).map(|_| alice))
}

async fn answers_within_size_limit(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("small");
    for (name, limit) in [("alice", 128), ("bella", 40)] {
        let Some(mut alice) = limited(stage, name, limit).await? else { continue };
        for qos in stage.acknowledged_levels() {
            alice.publish(&topic, "for nobody", qos).await?;
        }
        alice.subscribe_up_to(&topic, QoS::ExactlyOnce).await?;
        alice.unsubscribe(&topic).await?;
        alice.unsubscribe(&topic).await?;
        // An error: what the DISCONNECT may say of it has to fit too.
        alice.send(alice.connect_packet()).await?;
        alice.closes().await?;
        keeps_within(stage, name, limit)?;
    }
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await
}

async fn pubrel_within_size_limit(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("small");
    let Some(mut alice) = limited(stage, "alice", 128).await? else {
        return stage.not_applicable("the target wants clients that take packets of 128 bytes");
    };
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "small", QoS::ExactlyOnce).await?;
    alice.receives(&topic, "small").await?;
    keeps_within(stage, "alice", 128)
}

/// Shows that nothing came to a client that is larger than it takes.
fn keeps_within(stage: &Stage, name: &str, limit: u32) -> Outcome {
    let is_larger = |packet: &Packet| {
        let size = packet.encoded_len().unwrap_or_default();
        size > usize::try_from(limit).unwrap_or(usize::MAX)
    };
    let expected = format!("no packet of more than {limit} bytes");
    stage.check(!stage.saw(name, is_larger), &expected, "a larger one")
}
