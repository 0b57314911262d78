//! Section 3.11: UNSUBACK.

use reference_broker::codec::{
    Connect, Packet, PropertyId, QoS, ReasonCode, SubscribeAck, Unsubscribe,
};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.11/codes-in-order",
        codes_in_order,
        "An UNSUBACK has a code for each filter in order: 0x00 if it was subscribed to, else 0x11",
        ["MQTT-3.11.3-1", "MQTT-3.10.4-6", "MQTT-3.11.3-2", "U-3.11.3-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.11/unknown-filter-is-answered",
        unknown_filter_is_answered,
        "An UNSUBSCRIBE that ends nothing is answered too, and says so",
        ["MQTT-3.10.4-5", "U-3.11.3-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.11/unsuback-identifier",
        unsuback_identifier,
        "Each UNSUBSCRIBE is answered by an UNSUBACK with its Packet Identifier",
        ["MQTT-3.10.4-5", "MQTT-3.10.4-4"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.11/fits-packet-limit",
        fits_packet_limit,
        "An UNSUBACK has no property that would make it larger than the client takes",
        ["MQTT-3.11.2-1", "MQTT-3.11.2-2", "MQTT-3.10.4-6"]
    )
    .needs(&[Need::Unproven, Need::QoS(QoS::AtLeastOnce), Need::PacketSize(4000)]),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

async fn codes_in_order(stage: &mut Stage) -> Outcome {
    let [first, unknown, last] = ["first", "unknown", "last"].map(|name| stage.topic(name));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for topic in [&first, &last] {
        alice.subscribe(topic, QoS::AtLeastOnce).await?;
        carol.subscribe(topic, QoS::AtLeastOnce).await?;
    }
    let id = alice.packet_id();
    let request = Unsubscribe::new(id, &first).and(&unknown).and(&last).and(&first);
    alice.send(request).await?;
    let unsuback = alice.unsuback(id).await?;
    alice.unlimited(Packet::UnsubAck(unsuback.clone()))?;
    has_codes(stage, &unsuback, &[true, false, true, false])?;
    for topic in [&first, &last] {
        stage.not_subscribed(topic, &mut bob, &mut alice, &mut carol).await?;
    }
    Ok(())
}

async fn unknown_filter_is_answered(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unknown");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&stage.topic("known"), QoS::AtLeastOnce).await?;
    // One that ends something is answered.
    alice.subscribe(&stage.topic("left"), QoS::AtLeastOnce).await?;
    alice.unsubscribe(&stage.topic("left")).await?;
    let id = alice.packet_id();
    alice.send(Unsubscribe::new(id, &topic)).await?;
    stage.claims();
    let unsuback = alice.unsuback(id).await?;
    stage.means();
    alice.unlimited(Packet::UnsubAck(unsuback.clone()))?;
    has_codes(stage, &unsuback, &[false])?;
    alice.publish(&stage.topic("known"), "still", QoS::AtLeastOnce).await?;
    alice.receives(&stage.topic("known"), "still").await.map(drop)
}

async fn unsuback_identifier(stage: &mut Stage) -> Outcome {
    const IDS: [u16; 3] = [1, 0x0102, u16::MAX];
    let topics = IDS.map(|id| (id, stage.topic(&id.to_string())));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for (_, topic) in &topics {
        alice.subscribe(topic, QoS::AtLeastOnce).await?;
        carol.subscribe(topic, QoS::AtLeastOnce).await?;
    }
    let requests = topics.iter().map(|(id, topic)| Unsubscribe::new(*id, topic));
    alice.send_together(&requests.map(Packet::from).collect::<Vec<_>>()).await?;
    for (id, topic) in &topics {
        stage.claims();
        let unsuback = alice.unsuback(*id).await?;
        stage.means();
        alice.unlimited(Packet::UnsubAck(unsuback.clone()))?;
        has_codes(stage, &unsuback, &[true])?;
        stage.not_subscribed(topic, &mut bob, &mut alice, &mut carol).await?;
    }
    Ok(())
}

async fn fits_packet_limit(stage: &mut Stage) -> Outcome {
    // An UNSUBACK without properties has five bytes besides its codes: there is no room for any.
    const LIMIT: u32 = 100;
    const FILTERS: usize = 95;
    let topic = stage.topic("known");
    let limited = |connect: Connect| connect.with(PropertyId::MaximumPacketSize, LIMIT);
    let mut alice = stage.connected_with("alice", limited).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    // One that has little to answer is answered.
    alice.subscribe(&stage.topic("left"), QoS::AtLeastOnce).await?;
    alice.unsubscribe(&stage.topic("left")).await?;
    let mut request = Unsubscribe::new(alice.packet_id(), stage.topic("unknown"));
    for n in 1..FILTERS {
        request = request.and(stage.topic(&format!("unknown-{n}")));
    }
    let id = request.packet_id;
    alice.send(request).await?;
    stage.claims();
    let unsuback = alice.unsuback(id).await?;
    let codes = unsuback.reasons.len();
    let unsuback = Packet::UnsubAck(unsuback);
    let fits = unsuback.encoded_len().is_ok_and(|size| size <= LIMIT as usize);
    stage.check(fits, "UNSUBACK of at most 100 bytes", packet_text(&unsuback))?;
    stage.proving("MQTT-3.10.4-6");
    stage.check(codes == FILTERS, "UNSUBACK with 95 codes", packet_text(&unsuback))?;
    stage.means();
    alice.publish(&topic, "still", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "still").await.map(drop)
}

/// Checks that the codes say which filters were subscribed to.
fn has_codes(stage: &Stage, unsuback: &SubscribeAck, known: &[bool]) -> Outcome {
    let code = |known: bool| match known {
        true => ReasonCode::Success,
        false => ReasonCode::NoSubscriptionExisted,
    };
    let right: Vec<_> = known.iter().map(|known| code(*known)).collect();
    let observed = packet_text(&Packet::UnsubAck(unsuback.clone()));
    let expected = format!("UNSUBACK with {}", right.said());
    let codes = &unsuback.reasons;
    let fits = codes.len() == known.len()
        && codes.iter().zip(known).all(|(code, known)| match known {
            true => *code == ReasonCode::Success,
            false => !code.is_error(),
        });
    stage.check(fits, &expected, observed.as_str())?;
    if *codes != right {
        // The table of section 3.11.3 gives the meaning of the codes; no rule asks for this one.
        stage.advise("U-3.11.3-2", &expected, observed);
    }
    Ok(())
}
