//! Section 4.4: Message delivery retry, of what a client has sent.

use reference_broker::codec::{Packet, Publish, PublishAck, QoS};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.4/client-repeats-qos1-publish",
        client_repeats_qos1_publish,
        "A QoS 1 PUBLISH repeated on resume is acknowledged, and arrives once or twice",
        ["MQTT-4.3.2-4", "MQTT-4.5.0-1"]
    )
    .plain(&[step::PUBACK])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.4/client-repeats-unread-qos2-publish",
        client_repeats_unread_qos2_publish,
        "A QoS 2 PUBLISH repeated on resume, its PUBREC never read, arrives once",
        ["MQTT-4.3.3-10", "U-4.1-8"]
    )
    .needs(QOS2),
    scenario!(
        "4.4/client-repeats-qos2-publish",
        client_repeats_qos2_publish,
        "A QoS 2 PUBLISH repeated on resume although PUBREC was read arrives once",
        ["MQTT-4.3.3-10", "U-4.1-8"]
    )
    .breaks(&["MQTT-4.4.0-1"])
    .needs(QOS2),
    scenario!(
        "4.4/client-releases-on-resume",
        client_releases_on_resume,
        "PUBREL first sent on resume completes the exchange with PUBCOMP 0x00",
        ["U-4.1-8", "MQTT-4.3.3-11"]
    )
    .needs(QOS2),
    scenario!(
        "4.4/client-repeats-pubrel",
        client_repeats_pubrel,
        "PUBREL repeated on resume is answered by PUBCOMP, and the message arrives once",
        ["MQTT-4.3.3-11", "MQTT-4.3.3-12"]
    )
    .breaks(&["MQTT-4.3.3-2"])
    .needs(QOS2),
    scenario!(
        "4.4/client-releases-without-session",
        client_releases_without_session,
        "PUBREL for an exchange of a session that is gone is answered by PUBCOMP",
        ["MQTT-4.3.3-11"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(QOS2),
];

const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// The Packet Identifier of the message that is repeated.
const ID: u16 = 2000;

/// A publisher with a session, and a subscriber.
async fn pair(stage: &mut Stage, topic: &str, qos: QoS) -> Outcome<(Probe, Probe)> {
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(topic, qos).await?;
    Ok((stage.with_session("alice", 60).await?, bob))
}

fn message(topic: &str, qos: QoS) -> Publish {
    Publish::new(topic, "important").qos(qos, ID)
}

async fn release(alice: &mut Probe) -> Outcome {
    alice.send(Packet::PubRel(PublishAck::new(ID))).await?;
    // 0x92 is no error during recovery (section 3.7.2.1).
    alice.pubcomp(ID).await.map(drop)
}

async fn client_repeats_qos1_publish(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::AtLeastOnce).await?;
    alice.send(message(&topic, QoS::AtLeastOnce)).await?;
    alice.vanish_unread().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.claims();
    alice.publish_with(message(&topic, QoS::AtLeastOnce).dup()).await?;
    stage.means();
    bob.receives(&topic, "important").await?;
    alice.publish(&topic, "marker", QoS::AtLeastOnce).await?;
    let mut next = bob.message("PUBLISH \"marker\"").await?;
    bob.acknowledge(&next).await?;
    if *next.payload == *b"important" {
        next = bob.message("PUBLISH \"marker\"").await?;
        bob.acknowledge(&next).await?;
    }
    let observed = super::copies::text(&next);
    stage.check(observed == "marker", "at most two copies, then the marker", observed)
}

async fn client_repeats_unread_qos2_publish(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
    alice.send(message(&topic, QoS::ExactlyOnce)).await?;
    alice.vanish_unread().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    alice.send(message(&topic, QoS::ExactlyOnce).dup()).await?;
    stage.claims();
    alice.pubrec_again(ID).await?;
    release(&mut alice).await?;
    stage.means();
    bob.receives(&topic, "important").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn client_repeats_qos2_publish(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
    alice.send(message(&topic, QoS::ExactlyOnce)).await?;
    alice.pubrec(ID).await?;
    for _ in 0..2 {
        stage.means();
        alice.vanish().await?;
        alice = stage.resumed("alice", 60).await?;
        alice.send(message(&topic, QoS::ExactlyOnce).dup()).await?;
        stage.claims();
        alice.pubrec_again(ID).await?;
    }
    release(&mut alice).await?;
    stage.means();
    bob.receives(&topic, "important").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn client_releases_on_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
    alice.send(message(&topic, QoS::ExactlyOnce)).await?;
    alice.pubrec(ID).await?;
    alice.vanish().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.claims();
    alice.release(ID).await?;
    stage.means();
    bob.receives(&topic, "important").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn client_repeats_pubrel(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
    alice.send(message(&topic, QoS::ExactlyOnce)).await?;
    alice.pubrec(ID).await?;
    for _ in 0..2 {
        alice.send(Packet::PubRel(PublishAck::new(ID))).await?;
        alice.vanish_unread().await?;
        alice = stage.resumed("alice", 60).await?;
    }
    stage.claims();
    release(&mut alice).await?;
    stage.means();
    bob.receives(&topic, "important").await?;
    stage.proving("MQTT-4.3.3-12");
    alice.publish_with(message(&topic, QoS::ExactlyOnce).dup()).await?;
    bob.receives(&topic, "important").await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}

async fn client_releases_without_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("important");
    let (mut alice, mut bob) = pair(stage, &topic, QoS::ExactlyOnce).await?;
    alice.publish_with(message(&topic, QoS::ExactlyOnce)).await?;
    bob.receives(&topic, "important").await?;
    alice.send(message(&topic, QoS::ExactlyOnce)).await?;
    alice.pubrec(ID).await?;
    alice.vanish().await?;
    let mut alice = stage.with_session("alice", 60).await?;
    stage.claims();
    release(&mut alice).await?;
    stage.means();
    alice.publish(&topic, "last", QoS::ExactlyOnce).await?;
    // Whether the second message was handed on before its PUBREL is the broker's choice.
    let mut next = bob.message("PUBLISH \"last\"").await?;
    bob.acknowledge(&next).await?;
    if *next.payload == *b"important" {
        next = bob.message("PUBLISH \"last\"").await?;
        bob.acknowledge(&next).await?;
    }
    let observed = super::copies::text(&next);
    stage.check(observed == "last", "PUBLISH \"last\"", observed)
}
