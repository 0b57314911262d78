//! Section 3.8: SUBSCRIBE, refused in part or as a whole.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{Packet, QoS, ReasonCode, Subscribe, SubscriptionOptions};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.8/refused-beside-granted",
        refused_beside_granted,
        "A filter that is refused takes nothing from the others of its SUBSCRIBE",
        ["MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-4.7.1-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-4.7.1-1"])
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.8/bad-options-subscribe-nothing",
        bad_options_subscribe_nothing,
        "A SUBSCRIBE with wrong options for one filter closes, and leaves no subscription",
        ["MQTT-3.8.3-5", "U-3.8.3.1-1", "U-3.8.3.1-5", "U-4.13.1-1"]
    )
    .breaks(&["U-7.1.2-1", "U-3.8.3.1-1", "U-3.8.3.1-5"])
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.8/ill-formed-filter-subscribes-nothing",
        ill_formed_filter_subscribes_nothing,
        "A SUBSCRIBE with one filter that is no UTF-8 closes, and leaves no subscription",
        ["MQTT-3.8.3-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-1.5.4-1"])
    .needs(UP_TO_1_KEPT),
    scenario!(
        "3.8/wrong-flags-subscribe-nothing",
        wrong_flags_subscribe_nothing,
        "A SUBSCRIBE with wrong flags in its fixed header closes, and leaves no subscription",
        ["MQTT-3.8.1-1", "U-4.13.1-1"]
    )
    .breaks(&["MQTT-3.8.1-1"])
    .needs(UP_TO_1_KEPT),
];

const UP_TO_1_KEPT: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Sessions];

async fn refused_beside_granted(stage: &mut Stage) -> Outcome {
    let (first, last) = (stage.topic("first"), stage.topic("last"));
    let mut alice = stage.with_session("alice", 60).await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    alice.ping().await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    // The control: as many filters, and none of them is refused.
    let request = Subscribe::new(alice.packet_id(), stage.topic("one"), QoS::AtLeastOnce)
        .and(stage.topic("two"), options)
        .and(stage.topic("three"), options);
    let id = request.packet_id;
    alice.send(request).await?;
    let suback = alice.suback(id).await?;
    alice.unlimited(Packet::SubAck(suback))?;

    stage.claims();
    let request = Subscribe::new(alice.packet_id(), &first, QoS::AtLeastOnce)
        .and(stage.topic("#/wrong"), options)
        .and(&last, options);
    let id = request.packet_id;
    alice.send(request).await?;
    if let Some(suback) = alice.ack_or_close(id).await? {
        let mut others = suback.clone();
        others.reasons.retain(|reason| *reason == ReasonCode::QuotaExceeded);
        alice.unlimited(Packet::SubAck(others))?;
        let codes: Vec<_> = suback.reasons.iter().map(|code| code.value()).collect();
        let fits = matches!(codes[..], [..=1, 0x80..=0xFF, ..=1]);
        let observed = packet_text(&Packet::SubAck(suback));
        stage.check(fits, "SUBACK that grants all but the second filter", observed)?;
        for topic in [&first, &last] {
            stage.means();
            bob.publish(topic, "granted", QoS::AtLeastOnce).await?;
            stage.claims();
            alice.receives(topic, "granted").await?;
        }
        return Ok(());
    }
    stage.means();
    // To close is as good an answer to a filter that is none.
    let mut alice = stage.resumed("alice", 60).await?;
    for topic in [&first, &last] {
        carol.subscribe(topic, QoS::AtLeastOnce).await?;
        if stage.subscribed(topic, &mut bob, &mut alice, &mut carol).await? {
            leftover(stage);
        }
    }
    Ok(())
}

async fn bad_options_subscribe_nothing(stage: &mut Stage) -> Outcome {
    let cases = [
        (0b0100_0000, "MQTT-3.8.3-5", ReasonCode::MalformedPacket),
        (0b1000_0000, "MQTT-3.8.3-5", ReasonCode::MalformedPacket),
        (0b0000_0011, "U-3.8.3.1-1", ReasonCode::ProtocolError),
        (0b0011_0000, "U-3.8.3.1-5", ReasonCode::ProtocolError),
    ];
    let topics = [stage.topic("first"), stage.topic("last")];
    for (options, requirement, reason) in cases {
        for wrong in &topics {
            stage.proving(requirement);
            let mut bytes = subscribe_bytes(&topics);
            let end = position(&bytes, wrong) + wrong.len();
            bytes.iter_mut().skip(end).take(1).for_each(|byte| *byte = options);
            subscribes_nothing(stage, &topics, bytes.freeze(), reason).await?;
        }
    }
    Ok(())
}

async fn ill_formed_filter_subscribes_nothing(stage: &mut Stage) -> Outcome {
    let topics = [stage.topic("first"), stage.topic("last")];
    for wrong in &topics {
        let mut bytes = subscribe_bytes(&topics);
        let end = position(&bytes, wrong) + wrong.len();
        bytes.iter_mut().take(end).skip(end - 1).for_each(|byte| *byte = 0xFF);
        let reason = ReasonCode::MalformedPacket;
        subscribes_nothing(stage, &topics, bytes.freeze(), reason).await?;
    }
    Ok(())
}

async fn wrong_flags_subscribe_nothing(stage: &mut Stage) -> Outcome {
    let topics = [stage.topic("first"), stage.topic("last")];
    for first_byte in [0x80, 0x83, 0x8A] {
        let mut bytes = subscribe_bytes(&topics);
        bytes.iter_mut().take(1).for_each(|byte| *byte = first_byte);
        let reason = ReasonCode::MalformedPacket;
        subscribes_nothing(stage, &topics, bytes.freeze(), reason).await?;
    }
    Ok(())
}

/// A SUBSCRIBE for these topics, to be damaged.
fn subscribe_bytes(topics: &[String]) -> BytesMut {
    let mut request = Subscribe::new(1, "", QoS::AtLeastOnce);
    request.subscriptions.clear();
    for topic in topics {
        request = request.and(topic, SubscriptionOptions::at(QoS::AtLeastOnce));
    }
    let bytes = Packet::from(request).to_bytes().unwrap_or_default();
    BytesMut::from(&*bytes)
}

/// Where the text begins in the bytes.
fn position(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap_or(0)
}

/// Sends a SUBSCRIBE that is wrong as a whole, and looks at what it left in the session.
async fn subscribes_nothing(
    stage: &mut Stage,
    topics: &[String],
    bytes: Bytes,
    reason: ReasonCode,
) -> Outcome {
    stage.means();
    let mut alice = stage.with_session("alice", 60).await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    alice.ping().await?;
    alice.send_bytes(bytes).await?;
    alice.closes_for(reason).await?;
    let mut alice = stage.resumed("alice", 60).await?;
    for topic in topics {
        carol.subscribe(topic, QoS::AtLeastOnce).await?;
        if stage.subscribed(topic, &mut bob, &mut alice, &mut carol).await? {
            leftover(stage);
        }
    }
    Ok(())
}

/// That a packet which ends its connection should do nothing else goes without saying, and so is
/// not said.
fn leftover(stage: &Stage) {
    let observed = "a filter of the SUBSCRIBE that closed the connection is subscribed to";
    stage.advise("U-4.13.1-1", "no subscription by a packet that is refused as a whole", observed);
}
