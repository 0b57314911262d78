//! Section 4.7.3 and what others have for it: clients that may not do all.
//!
//! That a broker knows rights at all is its choice, and so is how it refuses: by a code, by a close, or
//! by doing nothing. What it says it has refused has no effect, and the rest goes on.

use reference_broker::codec::{
    Connect, Packet, PacketType, Publish, QoS, ReasonCode, Subscribe, SubscribeAck,
    SubscriptionOptions, Will,
};

use super::stage::KEEP_ALIVE;
use super::{Scenario, Stage, scenario};
use crate::probe::{Answer, Probe, Reply};
use crate::target::{Need, UNREADABLE, UNWRITABLE};
use crate::trace::packet_text;
use crate::verdict::Outcome;

const RIGHTS: &[Need] = &[Need::Rights, Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::Rights, Need::QoS(QoS::ExactlyOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.7/publish-without-rights",
        publish_without_rights,
        "A message that its client may not publish reaches nobody, and what it may goes on",
        ["U-4.3.3-4", "U-4.7.3-7", "U-3.4.2.1-7", "U-3.5.2.1-7", "U-3.14.2.1-7", "U-4.13.2-1"]
    )
    .needs(UP_TO_2),
    scenario!(
        "4.7/refused-message-reaches-nobody",
        refused_message_reaches_nobody,
        "A QoS 2 message whose PUBREC refuses it is not handed on, and its identifier is free again",
        ["U-4.3.3-4", "MQTT-4.3.3-9", "U-3.5.2.1-7"]
    )
    .needs(UP_TO_2),
    scenario!(
        "4.7/retained-without-rights",
        retained_without_rights,
        "A retained message that its client may not publish is not retained, and deletes none",
        ["U-4.3.3-4", "U-4.7.3-7", "U-3.4.2.1-7", "U-3.14.2.1-7"]
    )
    .needs(&[Need::Rights, Need::QoS(QoS::AtLeastOnce), Need::Retain]),
    scenario!(
        "4.7/subscribe-without-rights",
        subscribe_without_rights,
        "A subscription that its client may not have brings nothing, be it refused or granted",
        ["MQTT-3.8.4-7", "U-4.7.3-7", "U-3.9.3-5", "U-3.14.2.1-7"]
    )
    .needs(&[Need::Rights, Need::QoS(QoS::AtLeastOnce), Need::Retain]),
    scenario!(
        "4.7/filters-with-and-without-rights",
        filters_with_and_without_rights,
        "One SUBSCRIBE for what its client may have and what it may not gets a code for each",
        ["MQTT-3.8.4-6", "MQTT-3.8.4-5", "MQTT-3.8.4-7", "U-3.9.3-5", "U-4.7.3-7"]
    )
    .needs(RIGHTS),
    scenario!(
        "4.7/wildcard-over-what-is-not-readable",
        wildcard_over_what_is_not_readable,
        "A filter with a wildcard brings nothing of what its client may not have",
        ["MQTT-3.8.4-7", "U-4.7.3-7"]
    )
    .needs(&[Need::Rights, Need::QoS(QoS::AtLeastOnce), Need::Wildcards]),
    scenario!(
        "4.7/share-without-rights",
        share_without_rights,
        "A Shared Subscription to what its client may not have takes nothing from other members",
        ["MQTT-3.8.4-7", "U-4.7.3-7"]
    )
    .needs(&[Need::Rights, Need::QoS(QoS::AtLeastOnce), Need::SharedSubscriptions]),
    scenario!(
        "4.7/will-without-rights",
        will_without_rights,
        "A Will that its client may not publish is not published, if its CONNECT is accepted at all",
        ["MQTT-3.1.4-2", "U-4.7.3-7", "U-3.2.2.2-10"]
    )
    .needs(RIGHTS),
];

/// A topic to which the second user may not publish.
fn unwritable(stage: &Stage, name: &str) -> String {
    stage.topic(&format!("{UNWRITABLE}/{name}"))
}

/// A topic of which the second user may not get messages.
fn unreadable(stage: &Stage, name: &str) -> String {
    stage.topic(&format!("{UNREADABLE}/{name}"))
}

impl Stage {
    /// Opens a connection of the second user, and gives a CONNECT of it: what it is refused is what a
    /// scenario is about.
    async fn restricted(&mut self, name: &str) -> Outcome<(Probe, Connect)> {
        self.expects_refusals();
        let probe = self.open(name).await?;
        let connect = Connect::new(probe.client_id()).keep_alive(KEEP_ALIVE);
        let other = self.setup().other.clone().unwrap_or_default();
        Ok((probe, other.complete(connect)))
    }

    /// Connects the second user.
    async fn second_user(&mut self, name: &str) -> Outcome<Probe> {
        let (mut probe, connect) = self.restricted(name).await?;
        probe.connect(connect).await?;
        Ok(probe)
    }
}

/// Asks for filters of which some are not allowed, which may close the connection.
async fn asks(probe: &mut Probe, subscribe: Subscribe) -> Outcome<Option<SubscribeAck>> {
    let id = subscribe.packet_id;
    probe.send(subscribe).await?;
    probe.ack_or_close(id).await
}

/// Whether the code of a SUBACK for one filter grants it.
fn is_granted(ack: &SubscribeAck, place: usize) -> bool {
    ack.reasons.get(place).is_some_and(|code| !code.is_error())
}

async fn publish_without_rights(stage: &mut Stage) -> Outcome {
    let (closed, open) = (unwritable(stage, "to all"), stage.topic("to all"));
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&closed, QoS::ExactlyOnce).await?;
    carol.subscribe(&open, QoS::ExactlyOnce).await?;
    // The control: the first user may publish there, and the second elsewhere.
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&closed, qos, &mut alice, &mut carol).await?;
    }
    let mut bob = stage.second_user("bob").await?;
    stage.nothing_on(&open, &mut bob, &mut carol).await?;
    for qos in QoS::ALL {
        let id = bob.packet_id();
        let answer = bob.offer(Publish::new(&*closed, "from bob").qos(qos, id)).await?;
        if answer == Answer::Closed {
            bob = stage.second_user("bob").await?;
        }
        stage.proving("U-4.7.3-7");
        // A broker may drop what is published at QoS 0, a marker too.
        let fence = qos.max(QoS::AtLeastOnce);
        stage.nothing_on_at(&closed, fence, &mut alice, &mut carol).await?;
        // One code is about one packet (section 4.13.2).
        stage.proving("U-4.13.2-1");
        if qos > QoS::AtMostOnce && bob.is_open().await? {
            bob.publish(&open, "allowed", qos).await?;
            carol.receives(&open, "allowed").await?;
        }
        stage.means();
    }
    Ok(())
}

async fn refused_message_reaches_nobody(stage: &mut Stage) -> Outcome {
    let (closed, open) = (unwritable(stage, "to all"), stage.topic("to all"));
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&closed, QoS::ExactlyOnce).await?;
    carol.subscribe(&open, QoS::ExactlyOnce).await?;
    stage.nothing_on_at(&closed, QoS::ExactlyOnce, &mut alice, &mut carol).await?;
    let mut bob = stage.second_user("bob").await?;
    stage.nothing_on_at(&open, QoS::ExactlyOnce, &mut bob, &mut carol).await?;
    let id = bob.packet_id();
    bob.send(Publish::new(&*closed, "from bob").qos(QoS::ExactlyOnce, id)).await?;
    let Some(pubrec) = bob.pubrec_or_close(id).await? else {
        return stage.not_applicable("the target closes for it, and so refuses no message");
    };
    if !pubrec.reason.is_error() {
        return stage.not_applicable("the target accepts the message, and drops it");
    }
    // What was refused is over: the identifier is that of another message now.
    let publish = Publish::new(&*open, "allowed").qos(QoS::ExactlyOnce, id);
    stage.proving("MQTT-4.3.3-9");
    bob.publish_with(publish).await?;
    carol.receives(&open, "allowed").await?;
    stage.proving("U-4.3.3-4");
    stage.nothing_on_at(&closed, QoS::ExactlyOnce, &mut alice, &mut carol).await
}

async fn retained_without_rights(stage: &mut Stage) -> Outcome {
    let (kept, never) = (unwritable(stage, "kept"), unwritable(stage, "never"));
    let mut alice = stage.connected("alice").await?;
    let publish = Publish::new(&*kept, "kept").qos(QoS::AtLeastOnce, alice.packet_id()).retain();
    alice.publish_with(publish).await?;
    for (topic, payload) in [(&never, "from bob"), (&kept, "from bob"), (&kept, "")] {
        let mut bob = stage.second_user("bob").await?;
        stage.serves_at(QoS::AtLeastOnce, &mut bob).await?;
        let id = bob.packet_id();
        let publish = Publish::new(&**topic, payload).qos(QoS::AtLeastOnce, id).retain();
        if bob.offer(publish).await? != Answer::Closed {
            bob.leave().await?;
        }
    }
    let mut carol = stage.connected("carol").await?;
    stage.proving("U-4.7.3-7");
    carol.subscribe(&never, QoS::AtLeastOnce).await?;
    stage.nothing_on(&never, &mut alice, &mut carol).await?;
    carol.subscribe(&kept, QoS::AtLeastOnce).await?;
    carol.receives(&kept, "kept").await?;
    stage.nothing_on(&kept, &mut alice, &mut carol).await
}

async fn subscribe_without_rights(stage: &mut Stage) -> Outcome {
    let (closed, open) = (unreadable(stage, "x"), stage.topic("x"));
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&closed, QoS::AtLeastOnce).await?;
    let retained = Publish::new(&*closed, "retained").qos(QoS::AtLeastOnce, alice.packet_id());
    alice.publish_with(retained.retain()).await?;
    carol.receives(&closed, "retained").await?;
    let mut bob = stage.second_user("bob").await?;
    bob.subscribe(&open, QoS::AtLeastOnce).await?;
    stage.nothing_on(&open, &mut alice, &mut bob).await?;
    let id = bob.packet_id();
    let asked = asks(&mut bob, Subscribe::new(id, &*closed, QoS::AtLeastOnce)).await?;
    let Some(suback) = asked else {
        // It closes for it: the client is served in another connection.
        let mut bob = stage.second_user("bob").await?;
        return stage.serves_at(QoS::AtLeastOnce, &mut bob).await;
    };
    stage.proving(about(&suback, 0));
    alice.publish(&closed, "not for bob", QoS::AtLeastOnce).await?;
    carol.receives(&closed, "not for bob").await?;
    stage.nothing_on(&open, &mut alice, &mut bob).await
}

/// What it breaks to deliver: a code that refuses is more than the rights that nobody sees.
fn about(suback: &SubscribeAck, place: usize) -> &'static str {
    if is_granted(suback, place) { "U-4.7.3-7" } else { "MQTT-3.8.4-7" }
}

async fn filters_with_and_without_rights(stage: &mut Stage) -> Outcome {
    let (closed, first, last) = (unreadable(stage, "x"), stage.topic("first"), stage.topic("last"));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.second_user("bob").await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let subscribe = |id, filters: [&String; 3]| {
        let [one, two, three] = filters;
        Subscribe::new(id, &**one, QoS::AtLeastOnce).and(&**two, options).and(&**three, options)
    };
    // The control: as many filters, all of them allowed.
    let (one, two, three) = (stage.topic("1"), stage.topic("2"), stage.topic("3"));
    let id = bob.packet_id();
    let suback = bob.request(subscribe(id, [&one, &two, &three])).await?;
    bob.granted(&suback, &[QoS::AtLeastOnce; 3])?;

    stage.claims();
    let id = bob.packet_id();
    let asked = asks(&mut bob, subscribe(id, [&first, &closed, &last])).await?;
    let Some(suback) = asked else {
        stage.means();
        let mut bob = stage.second_user("bob").await?;
        return stage.serves_at(QoS::AtLeastOnce, &mut bob).await;
    };
    let observed = packet_text(&Packet::SubAck(suback.clone()));
    stage.check(suback.reasons.len() == 3, "SUBACK with three codes", observed.clone())?;
    stage.proving("MQTT-3.8.4-5");
    let others = [0, 2].into_iter().all(|place| {
        let is_limit = suback.reasons.get(place) == Some(&ReasonCode::QuotaExceeded);
        is_granted(&suback, place) || is_limit
    });
    stage.check(others, "SUBACK that grants the first filter and the last", observed)?;
    let mut others = suback.clone();
    others.reasons.retain(|reason| *reason == ReasonCode::QuotaExceeded);
    bob.unlimited(Packet::SubAck(others))?;
    alice.publish(&closed, "not for bob", QoS::AtLeastOnce).await?;
    for topic in [&first, &last] {
        stage.proving("MQTT-3.8.4-5");
        alice.publish(topic, "for bob", QoS::AtLeastOnce).await?;
        stage.proving(about(&suback, 1));
        bob.receives(topic, "for bob").await?;
    }
    stage.nothing_on(&last, &mut alice, &mut bob).await
}

async fn wildcard_over_what_is_not_readable(stage: &mut Stage) -> Outcome {
    let (closed, open) = (unreadable(stage, "x"), stage.topic("readable/x"));
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&stage.topic("#"), QoS::AtLeastOnce).await?;
    stage.nothing_on(&closed, &mut alice, &mut carol).await?;
    for filter in [stage.topic("#"), stage.topic("+/x")] {
        stage.means();
        let mut bob = stage.second_user("bob").await?;
        let id = bob.packet_id();
        let asked = asks(&mut bob, Subscribe::new(id, &*filter, QoS::AtLeastOnce)).await?;
        let Some(suback) = asked else { continue };
        let probe = stage.topic("to bob");
        bob.subscribe(&probe, QoS::AtLeastOnce).await?;
        stage.proving(about(&suback, 0));
        alice.publish(&closed, "not for bob", QoS::AtLeastOnce).await?;
        alice.publish(&open, "for bob", QoS::AtLeastOnce).await?;
        alice.publish(&probe, "at last", QoS::AtLeastOnce).await?;
        for publish in bob.receives_until(&probe, "at last").await? {
            let is_own = *publish.topic == *open && is_granted(&suback, 0);
            let expected = "no message but those that the client may have";
            stage.check(is_own, expected, packet_text(&publish.into()))?;
        }
    }
    Ok(())
}

async fn share_without_rights(stage: &mut Stage) -> Outcome {
    let closed = unreadable(stage, "x");
    let filter = stage.shared(&closed);
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&filter, QoS::AtLeastOnce).await?;
    alice.publish(&closed, "to the group", QoS::AtLeastOnce).await?;
    carol.receives(&closed, "to the group").await?;
    let mut bob = stage.second_user("bob").await?;
    let id = bob.packet_id();
    let asked = asks(&mut bob, Subscribe::new(id, &*filter, QoS::AtLeastOnce)).await?;
    let is_refused = asked.as_ref().is_none_or(|suback| !is_granted(suback, 0));
    let count = 4;
    for number in 0..count {
        let payload = format!("message {number}");
        alice.publish(&closed, &payload, QoS::AtLeastOnce).await?;
    }
    let Some(suback) = asked else { return each_reaches(stage, &mut carol, &closed, count).await };
    stage.proving(about(&suback, 0));
    // Who may have it gets all of it where the other is no member; a member that gets nothing may
    // have some of it dropped.
    if is_refused {
        each_reaches(stage, &mut carol, &closed, count).await?;
    }
    bob.has_no(PacketType::Publish).await
}

async fn each_reaches(stage: &mut Stage, carol: &mut Probe, topic: &str, count: u32) -> Outcome {
    stage.proving("MQTT-3.8.4-7");
    for number in 0..count {
        carol.receives(topic, &format!("message {number}")).await?;
    }
    Ok(())
}

async fn will_without_rights(stage: &mut Stage) -> Outcome {
    let (closed, open) = (unwritable(stage, "will"), stage.topic("will"));
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&closed, QoS::AtLeastOnce).await?;
    carol.subscribe(&open, QoS::AtLeastOnce).await?;
    // The control: a Will that it may have.
    let (mut bob, connect) = stage.restricted("bob").await?;
    let will = |topic: &str| Will::new(topic, "will of bob").qos(QoS::AtLeastOnce);
    bob.connect(connect.will(will(&open))).await?;
    bob.vanish().await?;
    carol.receives_will(&open, "will of bob").await?;

    let (mut bob, connect) = stage.restricted("bob").await?;
    bob.send(connect.will(will(&closed))).await?;
    match bob.reply().await? {
        Reply::Accepted(_) => bob.vanish().await?,
        Reply::Refused(_) => bob.closes_after_refusal().await?,
        Reply::Closed => {}
        Reply::Challenge(auth) => {
            let observed = packet_text(&auth.into());
            stage.check_of("MQTT-4.12.0-6", false, "no AUTH without a method", observed)?;
        }
    }
    stage.proving("U-4.7.3-7");
    stage.no_will_on(&closed, &mut carol).await
}
