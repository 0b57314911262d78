//! Sections 3.12 and 3.13: PINGREQ and PINGRESP.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.12/answers-each",
        answers_each,
        "Each of a hundred PINGREQ in one write is answered by one PINGRESP",
        ["MQTT-3.12.4-1", "U-3.1.2.10-2"]
    )
    .plain(&[step::PING])
    .needs(UP_TO_1),
    scenario!(
        "3.12/answers-with-full-window",
        answers_with_full_window,
        "PINGREQ is answered while no more messages may be sent to the client",
        ["MQTT-3.12.4-1", "MQTT-4.9.0-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.12/answers-between-qos2-steps",
        answers_between_qos2_steps,
        "PINGREQ is answered between the steps of QoS 2 exchanges, which go on undisturbed",
        ["MQTT-3.12.4-1"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

async fn answers_each(stage: &mut Stage) -> Outcome {
    const COUNT: usize = 100;
    let topic = stage.topic("alive");
    let mut alice = stage.connected("alice").await?;
    stage.claims();
    alice.ping().await?;
    stage.means();
    alice.send_together(&vec![Packet::PingReq; COUNT]).await?;
    let is_answer = |packet: &Packet| (*packet == Packet::PingResp).then_some(());
    stage.claims();
    for number in 1..=COUNT {
        alice.find(&format!("PINGRESP {number} of {COUNT}"), is_answer).await?;
    }
    stage.means();
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.publish(&topic, "alive", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "alive").await?;
    let surplus = alice.unread().filter(|packet| **packet == Packet::PingResp).count();
    stage.check(surplus == 0, "one PINGRESP for each PINGREQ", format!("{surplus} too many"))
}

async fn answers_with_full_window(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("window");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage
        .connected_with("alice", |connect| connect.with(PropertyId::ReceiveMaximum, 1))
        .await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    for payload in ["first", "second"] {
        bob.publish(&topic, payload, QoS::AtLeastOnce).await?;
    }
    let first = alice.holds(&topic, "first").await?;
    stage.claims();
    alice.ping().await?;
    stage.means();
    alice.acknowledge(&first).await?;
    alice.receives(&topic, "second").await.map(drop)
}

async fn answers_between_qos2_steps(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("steps");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    let id = bob.packet_id();
    bob.send(Publish::new(&topic, "in steps").qos(QoS::ExactlyOnce, id)).await?;
    bob.ping().await?;
    bob.pubrec(id).await?;
    bob.ping().await?;
    bob.release(id).await?;

    let message = alice.holds(&topic, "in steps").await?;
    alice.ping().await?;
    let ack = PublishAck::new(message.packet_id);
    alice.send(Packet::PubRec(ack.clone())).await?;
    alice.ping().await?;
    alice.pubrel(message.packet_id).await?;
    alice.ping().await?;
    alice.send(Packet::PubComp(ack)).await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}
