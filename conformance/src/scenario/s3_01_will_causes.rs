//! Section 3.1.2.5: which ends of a connection publish its Will.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, Unsubscribe,
    Value, Will,
};

use super::s2_packet_format::with_first_byte;
use super::s3_01_takeover::just_kept_for;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, Stop, step};

const QOS_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const SESSION: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Sessions];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/will-after-lost-connection",
        will_after_lost_connection,
        "A connection that is lost publishes its Will, once, whether or not its session stays",
        ["MQTT-3.1.2-8", "U-3.1.2.5-1", "U-3.1.3.2.2-2"]
    )
    .plain(&[step::WILL])
    .needs(SESSION),
    scenario!(
        "3.1/will-after-error-of-client",
        will_after_error_of_client,
        "A connection that the broker closes for an error publishes its Will",
        ["MQTT-3.1.2-8", "U-3.1.2.5-1"]
    )
    .breaks(&["U-3.8.3-2", "MQTT-3.3.1-4", "MQTT-3.8.1-1", "MQTT-3.10.1-1"])
    .needs(QOS_1),
    scenario!(
        "3.1/will-after-disconnect-with-code",
        will_after_disconnect_with_code,
        "DISCONNECT with any code but 0x00 publishes the Will",
        ["MQTT-3.1.2-8", "U-3.1.2.5-1"]
    )
    .needs(QOS_1),
    scenario!(
        "3.1/will-after-invalid-disconnect",
        will_after_invalid_disconnect,
        "DISCONNECT that breaks a rule is no normal one: the Will is published",
        ["MQTT-3.1.2-8", "U-3.14.2.2.2-3", "MQTT-3.14.1-1"]
    )
    .breaks(&["U-3.14.2.2.2-3", "MQTT-3.14.1-1"])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/no-will-after-normal-disconnect",
        no_will_after_normal_disconnect,
        "DISCONNECT 0x00 in each of its forms deletes the Will",
        ["MQTT-3.14.4-3", "MQTT-3.1.2-10"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/no-will-when-left-session-expires",
        no_will_when_left_session_expires,
        "After DISCONNECT 0x00 there is no Will when the session expires either",
        ["MQTT-3.14.4-3", "MQTT-3.1.2-10"]
    )
    .needs(SESSION)
    .timed(4),
    scenario!(
        "3.1/will-at-takeover",
        will_at_takeover,
        "A takeover that ends the session publishes a Will that has no delay",
        ["U-3.1.4-5", "U-3.1.3.2.2-4"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/will-at-takeover-of-kept-session",
        will_at_takeover_of_kept_session,
        "A takeover that goes on with the session publishes a Will that has no delay",
        ["MQTT-3.1.2-8", "U-3.1.3.2.2-4"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/will-at-takeover-ending-session",
        will_at_takeover_ending_session,
        "A takeover that ends the session publishes the old Will, whatever its delay",
        ["MQTT-3.1.2-8", "U-3.1.3.2.2-4"]
    )
    .needs(SESSION),
];

/// The Will of these scenarios.
fn will(topic: &str) -> Will {
    Will::new(topic, "will").qos(QoS::AtLeastOnce)
}

/// A client that watches a topic.
async fn watcher(stage: &mut Stage, topic: &str) -> Outcome<Probe> {
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(topic, QoS::AtLeastOnce).await?;
    Ok(bob)
}

async fn will_after_lost_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let mut clients = Vec::new();
    for (name, expiry) in [("none", None), ("zero", Some(0)), ("minute", Some(60))] {
        let own = Will::new(&topic, name).qos(QoS::AtLeastOnce);
        let change = |connect: Connect| match expiry {
            Some(seconds) => connect.session_expiry(seconds).will(own),
            None => connect.will(own),
        };
        let mut alice = stage.connected_with(name, change).await?;
        alice.ping().await?;
        clients.push((name, alice));
    }
    // Not before.
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await?;
    for (name, alice) in clients {
        stage.means();
        alice.vanish().await?;
        stage.claims();
        bob.receives_will(&topic, name).await?;
    }
    stage.no_will_on(&topic, &mut bob).await
}

async fn will_after_error_of_client(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let other = stage.topic("other");
    let publish = Publish::new(&*other, "").qos(QoS::ExactlyOnce, 1);
    // PUBLISH with QoS 3; SUBSCRIBE and UNSUBSCRIBE with wrong flags; SUBSCRIBE of nothing.
    for bytes in [
        with_first_byte(&publish.into(), 0x36),
        with_first_byte(&Subscribe::new(1, &*other, QoS::AtMostOnce).into(), 0x80),
        with_first_byte(&Unsubscribe::new(1, &*other).into(), 0xA0),
        Bytes::from_static(b"\x82\x03\x00\x01\x00"),
    ] {
        stage.means();
        let mut alice = stage.connected_with("alice", |c| c.will(will(&topic))).await?;
        alice.ping().await?;
        alice.send_bytes(bytes).await?;
        alice.closes().await?;
        stage.claims();
        bob.receives_will(&topic, "will").await?;
    }
    stage.no_will_on(&topic, &mut bob).await
}

fn bytes_of(packet: Packet) -> Bytes {
    packet.to_bytes().unwrap_or_default()
}

async fn will_after_disconnect_with_code(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let reasons = [
        ReasonCode::DisconnectWithWill,
        ReasonCode::UnspecifiedError,
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::TopicNameInvalid,
        ReasonCode::ReceiveMaximumExceeded,
        ReasonCode::TopicAliasInvalid,
        ReasonCode::PacketTooLarge,
        ReasonCode::MessageRateTooHigh,
        ReasonCode::QuotaExceeded,
        ReasonCode::AdministrativeAction,
        ReasonCode::PayloadFormatInvalid,
    ];
    let name = |reason: ReasonCode| format!("0x{:02X}", reason.value());
    for reason in reasons {
        let own = Will::new(&topic, name(reason)).qos(QoS::AtLeastOnce);
        let alice = stage.connected_with("alice", |connect| connect.will(own)).await?;
        alice.leave_with(Disconnect::because(reason)).await?;
    }
    stage.claims();
    all_wills(stage, &mut bob, reasons.into_iter().map(name)).await?;
    stage.no_will_on(&topic, &mut bob).await
}

/// Takes the Wills with these payloads, in any order, each once: they may all be late.
pub(super) async fn all_wills(
    stage: &mut Stage,
    bob: &mut Probe,
    payloads: impl IntoIterator<Item = String>,
) -> Outcome {
    let mut missing: BTreeSet<String> = payloads.into_iter().collect();
    while !missing.is_empty() {
        let names = missing.iter().cloned().collect::<Vec<_>>().join(", ");
        let published = bob.will(&format!("the Wills of those who left with {names}")).await?;
        bob.acknowledge(&published).await?;
        let name = String::from_utf8_lossy(&published.payload).into_owned();
        let is_due = missing.remove(&name);
        stage.check(is_due, "the Will of each of them once", format!("that of {name} again"))?;
    }
    Ok(())
}

async fn will_after_invalid_disconnect(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let raising = Disconnect::default().with(PropertyId::SessionExpiryInterval, 60);
    for (bytes, requirement) in [
        (bytes_of(raising.into()), "U-3.14.2.2.2-3"),
        (Bytes::from_static(b"\xE1\x00"), "MQTT-3.14.1-1"),
    ] {
        stage.proving(requirement);
        stage.means();
        let mut alice = stage.connected_with("alice", |c| c.will(will(&topic))).await?;
        alice.ping().await?;
        alice.send_bytes(bytes).await?;
        alice.closes().await?;
        stage.proving("MQTT-3.1.2-8");
        bob.receives_will(&topic, "will").await?;
    }
    stage.no_will_on(&topic, &mut bob).await
}

async fn no_will_after_normal_disconnect(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let with =
        |id: PropertyId, value: Value| bytes_of(Disconnect::default().with(id, value).into());
    for disconnect in [
        Bytes::from_static(b"\xE0\x00"),
        Bytes::from_static(b"\xE0\x01\x00"),
        Bytes::from_static(b"\xE0\x02\x00\x00"),
        with(PropertyId::UserProperty, ("a", "b").into()),
        with(PropertyId::ReasonString, "done".into()),
        with(PropertyId::SessionExpiryInterval, 0.into()),
    ] {
        let change = |connect: Connect| connect.session_expiry(60).will(will(&topic));
        let mut alice = stage.connected_with("alice", change).await?;
        alice.send_bytes(disconnect).await?;
        alice.hang_up().await;
    }
    stage.no_will_on(&topic, &mut bob).await
}

async fn no_will_when_left_session_expires(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let delayed = |payload: &'static str| {
        Will::new(&topic, payload).qos(QoS::AtLeastOnce).with(PropertyId::WillDelayInterval, 1)
    };
    let alice = just_kept_for(stage, "alice", 1, |c| c.will(delayed("will"))).await?;
    let kept = u64::from(alice.session_expiry());
    alice.leave().await?;
    // The same without DISCONNECT.
    let lost = |connect: Connect| connect.will(delayed("of who was lost"));
    just_kept_for(stage, "carol", 1, lost).await?.vanish().await?;
    stage.wait(Duration::from_secs(kept + 2)).await;
    bob.receives_will_marker(&topic, "of who was lost").await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn will_at_takeover(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    for (clean_start, expiry) in [(true, 0), (true, 60), (false, 0)] {
        stage.means();
        taken_over(stage, clean_start, |connect| connect.session_expiry(expiry).will(will(&topic)))
            .await?;
        stage.claims();
        bob.receives_will(&topic, "will").await?;
    }
    stage.no_will_on(&topic, &mut bob).await
}

/// Connects a client, and again under the same Client Identifier; gives for how many seconds the target
/// would have kept its session.
async fn taken_over(
    stage: &mut Stage,
    clean_start: bool,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<u32> {
    let older = stage.connected_with("alice", change).await?;
    let mut newer =
        stage.connected_with("alice", |connect| Connect { clean_start, ..connect }).await?;
    let kept = older.session_expiry();
    older.hang_up().await;
    newer.ping().await?;
    newer.leave().await?;
    Ok(kept)
}

async fn will_at_takeover_of_kept_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    taken_over(stage, false, |connect| connect.session_expiry(60).will(will(&topic))).await?;
    will_or_advice(stage, &topic, &mut bob).await
}

async fn will_at_takeover_ending_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let delayed = will(&topic).with(PropertyId::WillDelayInterval, 3600);
    taken_over(stage, true, |connect| connect.session_expiry(60).will(delayed.clone())).await?;
    will_or_advice(stage, &topic, &mut bob).await?;
    let kept = taken_over(stage, false, |c| c.session_expiry(0).will(delayed)).await?;
    if kept > 0 {
        return stage.no_will_on(&topic, &mut bob).await; // It goes on: the target raised that.
    }
    will_or_advice(stage, &topic, &mut bob).await
}

/// Looks for a Will that is published because its session ends, as notes in sections 3.1.3.2.2 and
/// 3.1.4 say. By the letter of MQTT-3.1.2-8 a new connection prevents a Will whose delay has not
/// passed: none is no failure. Then no Will may come later either.
pub(super) async fn will_or_advice(stage: &mut Stage, topic: &str, bob: &mut Probe) -> Outcome {
    let expected = "the Will of the connection before";
    match bob.will(expected).await {
        Ok(publish) => {
            bob.acknowledge(&publish).await?;
            let observed = publish.payload.said();
            stage.check(*publish.payload == *b"will", expected, observed)?;
        }
        Err(Stop::Fail(finding) | Stop::Blocked(finding)) if finding.seen == "nothing" => {
            stage.advise("U-3.1.3.2.2-4", expected, finding.observed)
        }
        Err(stop) => return Err(stop),
    }
    stage.no_will_on(topic, bob).await
}
