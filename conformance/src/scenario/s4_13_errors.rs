//! Section 4.13: Handling errors, and whom they concern.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{
    Packet, Publish, PublishAck, QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe,
};

use super::copies::{is_repeated, text};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.13/connected-bystanders",
        connected_bystanders,
        "An error closes its own connection, and others and their exchanges go on",
        ["U-4.13.1-7", "MQTT-4.13.1-1"]
    )
    .breaks(&["U-3.1-1", "U-7.1.2-1", "MQTT-3.8.1-1", "MQTT-3.3.1-4"])
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "4.13/stored-bystanders",
        stored_bystanders,
        "An error on one connection leaves the stored sessions of others as they are",
        ["U-4.13.1-7", "U-4.13.2-2", "MQTT-4.13.1-1"]
    )
    .breaks(&["U-3.1-1", "U-7.1.2-1", "MQTT-3.8.1-1", "MQTT-3.3.1-4"]),
    scenario!(
        "4.13/own-session-survives",
        own_session_survives,
        "A session outlives the close for its client's error, with its open exchanges",
        ["MQTT-3.1.2-23", "MQTT-4.13.1-1", "U-4.1-4", "MQTT-4.4.0-1", "U-4.1-8"]
    )
    .breaks(&["U-7.1.2-1", "MQTT-3.8.1-1", "MQTT-3.3.1-4"])
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "4.13/own-session-survives-second-connect",
        own_session_survives_second_connect,
        "A session outlives the close for a second CONNECT, with its open exchanges",
        ["MQTT-3.1.2-23", "MQTT-4.13.1-1", "U-4.1-4", "MQTT-4.4.0-1", "U-4.1-8"]
    )
    .breaks(&["U-3.1-1"])
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "4.13/error-acknowledgements-stand-alone",
        error_acknowledgements_stand_alone,
        "An acknowledgement with an error concerns its own packet: all else on the session goes on",
        ["U-4.13.2-1", "MQTT-4.3.3-11"]
    )
    .breaks(&["MQTT-2.2.1-5"])
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::ReceiveMaximum(2, u16::MAX)]),
    scenario!(
        "4.13/malformed-publish-not-delivered",
        malformed_publish_not_delivered,
        "A malformed PUBLISH closes its connection, and no subscriber gets it",
        ["MQTT-4.13.1-1", "U-1.2-1"]
    )
    .breaks(&["U-2.2.2.1-1", "MQTT-3.3.1-4"]),
    scenario!(
        "4.13/malformed-requests-without-effect",
        malformed_requests_without_effect,
        "A malformed SUBSCRIBE or UNSUBSCRIBE closes the connection and changes no subscription",
        ["MQTT-4.13.1-1", "U-4.13.1-1", "U-1.2-1"]
    )
    .breaks(&["U-7.1.2-1", "MQTT-1.5.4-1"]),
];

/// Errors that must be noticed: the standard leaves no room to overlook them.
#[derive(Clone, Copy, Debug)]
enum Offence {
    SecondConnect,
    SubscribeFlags,
    SubscriptionOptions,
    PublishQoS3,
}

const OFFENCES: [Offence; 4] = [
    Offence::SecondConnect,
    Offence::SubscribeFlags,
    Offence::SubscriptionOptions,
    Offence::PublishQoS3,
];

/// Writes a packet down, to be changed byte by byte.
fn written(packet: impl Into<Packet>) -> BytesMut {
    // A packet that cannot be written gives none, which no broker closes for.
    BytesMut::from(&packet.into().to_bytes().unwrap_or_default()[..])
}

fn with_first(mut bytes: BytesMut, bits: impl Fn(u8) -> u8) -> Bytes {
    if let Some(first) = bytes.first_mut() {
        *first = bits(*first);
    }
    bytes.freeze()
}

fn with_last(mut bytes: BytesMut, bits: impl Fn(u8) -> u8) -> Bytes {
    if let Some(last) = bytes.last_mut() {
        *last = bits(*last);
    }
    bytes.freeze()
}

impl Offence {
    fn bytes(self, probe: &Probe, topic: &str) -> Bytes {
        let subscribe = Subscribe::new(9000, topic, QoS::AtLeastOnce);
        match self {
            // Nothing in it asks for the session to end.
            Offence::SecondConnect => {
                written(probe.connect_packet().resume().session_expiry(60)).freeze()
            }
            Offence::SubscribeFlags => with_first(written(subscribe), |first| first & 0xF0),
            Offence::SubscriptionOptions => with_last(written(subscribe), |last| last | 0xC0),
            Offence::PublishQoS3 => {
                let publish = Publish::new(topic, "malformed").qos(QoS::ExactlyOnce, 9000);
                with_first(written(publish), |first| first | 0x06)
            }
        }
    }
}

/// Commits an offence, for which the connection must be closed.
async fn offend(stage: &Stage, probe: &mut Probe, offence: Offence, topic: &str) -> Outcome {
    stage.proving("MQTT-4.13.1-1");
    stage.means();
    let bytes = offence.bytes(probe, topic);
    probe.send_bytes(bytes).await?;
    probe.closes().await
}

/// What a broker noticed. An offence that it overlooks is for the scenarios of its own to tell, as long
/// as another shows what this one is about.
#[derive(Default)]
struct Noticed {
    any: bool,
    overlooked: Option<Stop>,
}

impl Noticed {
    /// Whether an offence was noticed: by the close of its connection.
    fn by(&mut self, close: Outcome) -> Outcome<bool> {
        match close {
            Ok(()) => {
                self.any = true;
                Ok(true)
            }
            Err(overlooked @ Stop::Fail(_)) => {
                self.overlooked.get_or_insert(overlooked);
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    /// Ends the scenario if nothing was noticed.
    fn something(self) -> Outcome {
        match self.overlooked {
            Some(overlooked) if !self.any => Err(overlooked),
            _ => Ok(()),
        }
    }
}

async fn connected_bystanders(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("calm");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "held", QoS::ExactlyOnce).await?;
    alice.receives(&topic, "held").await?;
    let held = carol.holds(&topic, "held").await?;
    carol.takes_up_to_pubrel(&held).await?;
    carol.send(Publish::new(stage.topic("own"), "own").qos(QoS::ExactlyOnce, 500)).await?;
    carol.pubrec(500).await?;
    let mut noticed = Noticed::default();
    for offence in OFFENCES {
        stage.means();
        let mut mallory = stage.connected("mallory").await?;
        mallory.ping().await?;
        noticed.by(offend(stage, &mut mallory, offence, &stage.topic("trouble")).await)?;
        stage.proving("U-4.13.1-7");
        let payload = format!("after {offence:?}");
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
        alice.receives(&topic, &payload).await?;
        carol.ping().await?;
    }
    noticed.something()?;
    carol.complete(held.packet_id).await?;
    carol.release(500).await?;
    for offence in OFFENCES {
        carol.receives(&topic, &format!("after {offence:?}")).await?;
    }
    Ok(())
}

async fn stored_bystanders(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("calm");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "held", QoS::AtLeastOnce).await?;
    let held = alice.holds(&topic, "held").await?;
    alice.leave().await?;
    bob.publish(&topic, "queued", QoS::AtLeastOnce).await?;
    let mut noticed = Noticed::default();
    for offence in OFFENCES {
        let mut mallory = stage.with_session("mallory", 60).await?;
        mallory.subscribe(&topic, QoS::AtLeastOnce).await?;
        noticed.by(offend(stage, &mut mallory, offence, &stage.topic("trouble")).await)?;
    }
    noticed.something()?;
    let mut alice = stage.back("alice", 60).await?;
    stage.proving("U-4.13.1-7");
    let again = alice.receives(&topic, "held").await?;
    is_repeated(stage, &held, &again)?;
    stage.receives_kept(&mut alice, &topic, "queued").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn own_session_survives(stage: &mut Stage) -> Outcome {
    let mut noticed = Noticed::default();
    for offence in [Offence::SubscribeFlags, Offence::SubscriptionOptions, Offence::PublishQoS3] {
        survives(stage, offence, &mut noticed).await?;
    }
    noticed.something()
}

async fn own_session_survives_second_connect(stage: &mut Stage) -> Outcome {
    let mut noticed = Noticed::default();
    survives(stage, Offence::SecondConnect, &mut noticed).await?;
    noticed.something()
}

/// Commits an offence with exchanges open both ways, and goes on with them on resume.
async fn survives(stage: &mut Stage, offence: Offence, noticed: &mut Noticed) -> Outcome {
    stage.means();
    let topic = stage.topic(&format!("{offence:?}"));
    let own = format!("{topic}/own");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&own, QoS::ExactlyOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "held", QoS::AtLeastOnce).await?;
    let held = alice.holds(&topic, "held").await?;
    alice.send(Publish::new(own.as_str(), "own").qos(QoS::ExactlyOnce, 500)).await?;
    alice.pubrec(500).await?;
    if !noticed.by(offend(stage, &mut alice, offence, &stage.topic("trouble")).await)? {
        return Ok(());
    }

    let mut alice = stage.back("alice", 60).await?;
    stage.proving("MQTT-3.1.2-23");
    let again = alice.receives(&topic, "held").await?;
    stage.proving("MQTT-4.4.0-1");
    is_repeated(stage, &held, &again)?;
    stage.proving("U-4.1-8");
    alice.release(500).await?;
    stage.means();
    bob.receives(&own, "own").await?;
    bob.publish(&topic, "later", QoS::AtLeastOnce).await?;
    stage.proving("U-4.1-4");
    alice.receives(&topic, "later").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await
}

async fn error_acknowledgements_stand_alone(stage: &mut Stage) -> Outcome {
    let (topic, own) = (stage.topic("mine"), stage.topic("own"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&own, QoS::ExactlyOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    alice.send(Publish::new(own.as_str(), "open").qos(QoS::ExactlyOnce, 500)).await?;
    alice.pubrec(500).await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.means();
        // Errors of the client's about one message, of the broker's about one PUBREL.
        bob.publish(&topic, "unwanted", qos).await?;
        let publish = alice.holds(&topic, "unwanted").await?;
        alice.answer_with(&publish, ReasonCode::ImplementationSpecificError).await?;
        stage.claims();
        alice.send(Packet::PubRel(PublishAck::new(501))).await?;
        alice.pubcomp(501).await?;
        alice.unsubscribe(&stage.topic("never subscribed")).await?;
        stage.means();
        bob.publish(&topic, "wanted", qos).await?;
        stage.claims();
        alice.receives(&topic, "wanted").await?;
        alice.publish(&own, "another", QoS::AtLeastOnce).await?;
    }
    alice.release(500).await?;
    stage.means();
    let mut came = Vec::new();
    for _ in 0..3 {
        let publish = bob.message("each message once").await?;
        bob.acknowledge(&publish).await?;
        came.push(text(&publish));
    }
    came.sort();
    let holds = came == ["another", "another", "open"];
    stage.check(holds, "each message once", came.said())
}

async fn malformed_publish_not_delivered(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("clean");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let publish = Publish::new(topic.as_str(), "malformed").qos(QoS::AtLeastOnce, 9000);
    let qos_3 = with_first(written(publish.clone()), |first| first | 0x06);
    // Properties that claim to be longer than the packet.
    let mut overrun = written(publish.clone());
    let length_at = overrun.len().saturating_sub(publish.payload.len() + 1);
    if let Some(length) = overrun.get_mut(length_at) {
        *length = 127;
    }
    for bytes in [qos_3, overrun.freeze()] {
        // The same packet without a fault is served.
        let mut mallory = stage.connected("mallory").await?;
        mallory.publish_with(publish.clone()).await?;
        alice.receives(&topic, "malformed").await?;
        mallory.send_bytes(bytes).await?;
        mallory.closes().await?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    Ok(())
}

async fn malformed_requests_without_effect(stage: &mut Stage) -> Outcome {
    let (kept, refused) = (stage.topic("kept"), stage.topic("refused"));
    let at = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&kept, QoS::AtLeastOnce).await?;
    stage.nothing_on(&kept, &mut bob, &mut alice).await?;
    // The first filter is well-formed in both; the fault is in the last byte.
    let subscribe = Subscribe::new(9000, &*refused, QoS::AtLeastOnce).and(&*stage.topic("x"), at);
    alice.send_bytes(with_last(written(subscribe), |last| last | 0xC0)).await?;
    // That it overlooks just this is for others to tell.
    let subscribe_noticed = Noticed::default().by(alice.closes().await)?;
    let mut alice = stage.resumed("alice", 60).await?;
    let mut unsubscribe = Unsubscribe::new(9001, kept.as_str());
    unsubscribe.filters.push(stage.topic("x").into());
    alice.send_bytes(with_last(written(unsubscribe), |_| 0xFF)).await?;
    alice.closes().await?;

    let mut alice = stage.resumed("alice", 60).await?;
    // What is done with the part before the fault is not laid down in so many words.
    if subscribe_noticed && is_subscribed(&mut alice, &mut bob, &refused).await? {
        stage.advise("U-4.13.1-1", "no subscription by a malformed SUBSCRIBE", "there is one");
    }
    if !is_subscribed(&mut alice, &mut bob, &kept).await? {
        stage.advise("U-4.13.1-1", "the subscription, after a malformed UNSUBSCRIBE", "gone");
    }
    Ok(())
}

/// Whether a client was subscribed to this topic before it is now.
async fn is_subscribed(alice: &mut Probe, bob: &mut Probe, topic: &str) -> Outcome<bool> {
    bob.publish(topic, "before", QoS::AtLeastOnce).await?;
    alice.subscribe(topic, QoS::AtLeastOnce).await?;
    bob.publish(topic, "after", QoS::AtLeastOnce).await?;
    let first = alice.message("PUBLISH \"after\"").await?;
    alice.acknowledge(&first).await?;
    if text(&first) == "after" {
        return Ok(false);
    }
    alice.receives(topic, "after").await?;
    Ok(true)
}
