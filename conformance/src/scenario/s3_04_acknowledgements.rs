//! Sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL and PUBCOMP as they should be.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.4/every-form-is-taken",
        puback_forms,
        "PUBACK ends a delivery in each of its forms: two, three or more bytes, with properties",
        ["U-3.4.2.1-1", "U-3.4.2.2.1-1", "U-3.4.2-1", "U-3.4.2.2.3-1", "U-4.9-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.4/accepted-means-delivered",
        puback_accepts,
        "A QoS 1 message with a subscriber is accepted as such and delivered",
        ["U-3.4.2.1-2", "U-3.4.2.1-3", "MQTT-4.5.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.4/without-subscribers",
        puback_without_subscribers,
        "A QoS 1 message that nobody subscribes to is accepted too",
        ["MQTT-4.3.2-4", "U-3.4.2.1-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.5/every-form-is-taken",
        pubrec_forms,
        "PUBREC is answered by PUBREL in each of its forms, short, long and with properties",
        ["U-3.5.2.1-1", "U-3.5.2.2.1-1", "U-3.5.2-1", "U-3.5.2.2.3-1", "MQTT-4.3.3-4"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.5/accepted-means-delivered",
        pubrec_accepts,
        "A QoS 2 message with a subscriber is accepted as such and delivered",
        ["U-3.5.2.1-2", "U-3.5.2.1-3", "MQTT-4.5.0-1"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.5/without-subscribers",
        pubrec_without_subscribers,
        "A QoS 2 message that nobody subscribes to is accepted too",
        ["MQTT-4.3.3-8", "U-3.5.2.1-3"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.6/every-form-is-taken",
        pubrel_forms,
        "PUBREL is answered by PUBCOMP in each of its forms, short, long and with properties",
        ["U-3.6.2.1-1", "U-3.6.2.2.1-1", "U-3.6.2-1", "U-3.6.2.2.3-1", "MQTT-4.3.3-11"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.7/every-form-is-taken",
        pubcomp_forms,
        "PUBCOMP ends a delivery in each of its forms, and with either of its codes",
        ["U-3.7.2.1-1", "U-3.7.2.2.1-1", "U-3.7.2-1", "U-3.7.2.2.3-1", "U-4.9-2"]
    )
    .needs(UP_TO_2),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

/// First bytes of acknowledgements, as section 2.1 lays them out.
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// How many forms of an acknowledgement there are to try.
const FORMS: usize = 6;

/// An acknowledgement of code 0x00 in each form that sections 3.4.2 to 3.7.2 allow: no code, no
/// properties, no property, and properties of either kind.
fn forms(first: u8, id: u16) -> [Vec<u8>; FORMS] {
    let with = |rest: &[u8]| {
        let [high, low] = id.to_be_bytes();
        let length = u8::try_from(2 + rest.len()).unwrap_or(u8::MAX);
        [&[first, length, high, low], rest].concat()
    };
    [
        with(&[]),
        with(&[0x00]),
        with(&[0x00, 0x00]),
        with(b"\x00\x05\x1F\x00\x02ok"),
        with(b"\x00\x0E\x26\x00\x01a\x00\x01b\x26\x00\x01a\x00\x01b"),
        with(b"\x00\x0C\x26\x00\x00\x00\x00\x1F\x00\x04fine"),
    ]
}

/// What each of those forms proves, of the requirements on short ones, on ones without a Property
/// Length, and on the whole form, which has room for User Properties; the others are right for what
/// they bring about.
fn proves([short, unlengthy, pairs, effect]: [&'static str; 4]) -> [&'static str; FORMS] {
    [short, unlengthy, effect, effect, pairs, pairs]
}

/// A subscriber with a session, that takes one message at a time.
pub(super) async fn one_by_one(
    stage: &mut Stage,
    name: &str,
    topic: &str,
    qos: QoS,
) -> Outcome<Probe> {
    let maximum = PropertyId::ReceiveMaximum;
    let connecting = stage.connected_with(name, |c| c.session_expiry(60).with(maximum, 1));
    let mut subscriber = connecting.await?;
    subscriber.subscribe(topic, qos).await?;
    Ok(subscriber)
}

/// Publishes a message for each number, and gives their payloads.
pub(super) async fn publish_numbered(
    from: &mut Probe,
    topic: &str,
    count: usize,
    qos: QoS,
) -> Outcome<Vec<String>> {
    let payloads: Vec<_> = (1..=count).map(|number| format!("message {number}")).collect();
    for payload in &payloads {
        from.publish(topic, payload, qos).await?;
    }
    Ok(payloads)
}

/// Leaves and resumes, and shows that nothing comes again.
pub(super) async fn nothing_again(
    stage: &mut Stage,
    topic: &str,
    qos: QoS,
    from: &mut Probe,
    to: Probe,
    name: &str,
) -> Outcome {
    stage.means();
    to.leave().await?;
    let mut to = stage.resumed(name, 60).await?;
    stage.nothing_on_at(topic, qos, from, &mut to).await
}

async fn puback_forms(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("forms");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let payloads = publish_numbered(&mut alice, &topic, FORMS, QoS::AtLeastOnce).await?;
    let proven = proves(["U-3.4.2.1-1", "U-3.4.2.2.1-1", "U-3.4.2-1", "U-4.9-2"]);
    // Each message comes because the one before it has been acknowledged.
    for (number, (payload, requirement)) in payloads.iter().zip(proven).enumerate() {
        let publish = bob.holds(&topic, payload).await?;
        stage.proving(requirement);
        if let Some(form) = forms(PUBACK, publish.packet_id).into_iter().nth(number) {
            bob.send_bytes(form).await?;
        }
    }
    bob.ping().await?;
    nothing_again(stage, &topic, QoS::AtLeastOnce, &mut alice, bob, "bob").await
}

async fn puback_accepts(stage: &mut Stage) -> Outcome {
    accepts(stage, QoS::AtLeastOnce, ["U-3.4.2.1-2", "U-3.4.2.1-3"]).await
}

async fn pubrec_accepts(stage: &mut Stage) -> Outcome {
    accepts(stage, QoS::ExactlyOnce, ["U-3.5.2.1-2", "U-3.5.2.1-3"]).await
}

/// Sends a message and waits for its first acknowledgement.
async fn first_answer(
    from: &mut Probe,
    topic: &str,
    payload: &str,
    qos: QoS,
) -> Outcome<PublishAck> {
    let id = from.packet_id();
    from.send(Publish::new(topic, payload.to_owned()).qos(qos, id)).await?;
    match qos {
        QoS::ExactlyOnce => {
            let answer = from.pubrec(id).await?;
            from.release(id).await?;
            Ok(answer)
        }
        _ => from.puback(id).await,
    }
}

async fn accepts(stage: &mut Stage, qos: QoS, requirements: [&'static str; 2]) -> Outcome {
    let [delivered, matched] = requirements;
    let topic = stage.topic("accepted");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, qos).await?;
    let mut alice = stage.connected("alice").await?;
    for payload in ["one", "two"] {
        stage.means();
        let answer = first_answer(&mut alice, &topic, payload, qos).await?;
        // The first shows that messages get to the subscriber at all.
        if payload == "two" {
            stage.proving(delivered);
        }
        bob.receives(&topic, payload).await?;
        if answer.reason != ReasonCode::Success {
            // It misinforms the publisher; what became of the message does not depend on it.
            let expected = "code 0x00, for there is a subscriber";
            stage.advise(matched, expected, answer.reason.row().name);
        }
    }
    Ok(())
}

async fn puback_without_subscribers(stage: &mut Stage) -> Outcome {
    without_subscribers(stage, QoS::AtLeastOnce).await
}

async fn pubrec_without_subscribers(stage: &mut Stage) -> Outcome {
    without_subscribers(stage, QoS::ExactlyOnce).await
}

async fn without_subscribers(stage: &mut Stage, qos: QoS) -> Outcome {
    let (nobodys, bobs) = (stage.topic("nobody"), stage.topic("bob"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&bobs, qos).await?;
    let mut alice = stage.connected("alice").await?;
    for topic in [&nobodys, &bobs, &nobodys, &bobs] {
        // Both 0x00 and 0x10 are right where nobody subscribes.
        stage.claims();
        first_answer(&mut alice, topic, "accepted", qos).await?;
        stage.means();
        if *topic == bobs {
            bob.receives(topic, "accepted").await?;
        }
    }
    Ok(())
}

async fn pubrec_forms(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("forms");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let payloads = publish_numbered(&mut alice, &topic, FORMS, QoS::ExactlyOnce).await?;
    let proven = proves(["U-3.5.2.1-1", "U-3.5.2.2.1-1", "U-3.5.2-1", "MQTT-4.3.3-4"]);
    for (number, (payload, requirement)) in payloads.iter().zip(proven).enumerate() {
        stage.means();
        let id = bob.holds(&topic, payload).await?.packet_id;
        stage.proving(requirement);
        if let Some(form) = forms(PUBREC, id).into_iter().nth(number) {
            bob.send_bytes(form).await?;
        }
        let pubrel = bob.pubrel(id).await?;
        let known = pubrel.reason == ReasonCode::Success;
        stage.check(known, "PUBREL 0x00", packet_text(&Packet::PubRel(pubrel)))?;
        stage.means();
        bob.send(Packet::PubComp(PublishAck::new(id))).await?;
    }
    bob.ping().await?;
    nothing_again(stage, &topic, QoS::ExactlyOnce, &mut alice, bob, "bob").await
}

async fn pubrel_forms(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("forms");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    // Always under one identifier: each release makes it free for the next message.
    let proven = proves(["U-3.6.2.1-1", "U-3.6.2.2.1-1", "U-3.6.2-1", "MQTT-4.3.3-11"]);
    for (number, (form, requirement)) in forms(PUBREL, id).into_iter().zip(proven).enumerate() {
        stage.means();
        let payload = format!("message {number}");
        let publish = Publish::new(topic.as_str(), payload.clone());
        alice.send(publish.qos(QoS::ExactlyOnce, id)).await?;
        alice.pubrec(id).await?;
        stage.proving(requirement);
        alice.send_bytes(form).await?;
        let pubcomp = alice.pubcomp(id).await?;
        let known = pubcomp.reason == ReasonCode::Success;
        stage.check(known, "PUBCOMP 0x00", packet_text(&Packet::PubComp(pubcomp)))?;
        // The first is in the form that most clients use.
        if number == 0 {
            stage.means();
        }
        bob.receives(&topic, &payload).await?;
    }
    Ok(())
}

async fn pubcomp_forms(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("forms");
    let mut bob = one_by_one(stage, "bob", &topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let payloads = publish_numbered(&mut alice, &topic, FORMS + 2, QoS::ExactlyOnce).await?;
    let proven = proves(["U-3.7.2.1-1", "U-3.7.2.2.1-1", "U-3.7.2-1", "U-4.9-2"]);
    // Each message comes because the one before it has been completed.
    for (number, payload) in payloads.iter().enumerate() {
        let id = bob.holds(&topic, payload).await?.packet_id;
        stage.means();
        bob.send(Packet::PubRec(PublishAck::new(id))).await?;
        bob.pubrel(id).await?;
        stage.proving(proven.get(number).copied().unwrap_or("U-4.9-2"));
        match forms(PUBCOMP, id).into_iter().nth(number) {
            Some(form) => bob.send_bytes(form).await?,
            None => {
                let reason = ReasonCode::PacketIdentifierNotFound;
                bob.send(Packet::PubComp(PublishAck::because(id, reason))).await?;
            }
        }
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await
}
