//! Which copies of a message come, to whom, when, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Packet, Property, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text,
};
use reference_broker::core::{Input, Output, Sharing};

use super::{Switch, fits};
use crate::boundary::rules::{Act, At};
use crate::boundary::{Boundary, Rule, rules};

/// How long messages stay behind other packets.
const LAG: Duration = Duration::from_millis(100);

/// How long they stay behind where a broker is slow: within the time that testers give a message.
const LONG_LAG: Duration = Duration::from_millis(1500);

/// How far apart the topics of one connection get, and how many times of that there are.
const APART: Duration = Duration::from_millis(20);
const TIMES: u32 = 8;

/// How much of what was published is remembered.
const REMEMBERED: usize = 10_000;

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "copies-for-each-subscription",
        "sends a client a copy for each of its subscriptions that match",
        &["U-3.3.4-1", "MQTT-3.3.4-5"],
    )
    .configured(|config| config.handling.copy_for_each_subscription = true),
    Switch::new(
        "hands-on-at-release",
        "hands a QoS 2 message on at PUBREL, not at PUBLISH",
        &["U-4.3.3-3"],
    )
    .one_of(&["order of qos 2"])
    .configured(|config| config.handling.hands_on_at_release = true),
    Switch::new(
        "hands-on-at-release-or-never",
        "hands a QoS 2 message on at PUBREL, and drops it when the session ends before that",
        &["U-4.3.3-3", "MQTT-4.1.0-2"],
    )
    .one_of(&["order of qos 2"])
    .configured(|config| {
        config.handling.hands_on_at_release = true;
        config.handling.drops_unreleased = true;
    }),
    Switch::new(
        "one-message-at-a-time",
        "sends a client its next QoS 1 or 2 message when the last is acknowledged",
        &["MQTT-4.9.0-1", "3.3.4"],
    )
    .one_of(&["slow wills"])
    .configured(|config| config.send_window = 1),
    Switch::new(
        "queues-qos-0",
        "keeps QoS 0 messages for clients that are not there, or have no quota left",
        &["U-4.1-7", "U-4.9-1"],
    )
    .configured(|config| config.handling.queues_qos0 = true),
    Switch::new("forgets-retained-qos-0", "retains no message at QoS 0", &["U-3.3.1.3-3"])
        .forgoes(&["U-3.3.1.3-3"])
        .configured(|config| config.handling.retains_qos0 = false),
    Switch::new(
        "sends-own-retained-despite-no-local",
        "sends a client's own retained messages to its new subscriptions with No Local",
        &["3.8.3.1"],
    )
    .configured(|config| config.handling.retained_despite_no_local = true),
    Switch::new(
        "clean-start-deletes-will",
        "deletes a Will that waits when its client comes back with a Clean Start",
        &["MQTT-3.1.2-8"],
    )
    .forgoes(&["U-3.1.3.2.2-4"])
    .configured(|config| config.handling.clean_start_deletes_will = true),
    Switch::new(
        "takeover-deletes-will",
        "deletes a Will at a takeover, but for one without a delay whose session ends",
        &["MQTT-3.1.2-8"],
    )
    .forgoes(&["U-3.1.3.2.2-4"])
    .configured(|config| config.handling.takeover_deletes_will = true),
    Switch::new(
        "shares-with-the-same-member",
        "gives the messages of a Shared Subscription to the same member always",
        &["U-4.8.2-7"],
    )
    .one_of(&["sharing"])
    .configured(|config| config.handling.sharing = Sharing::TheSame),
    Switch::new(
        "shares-with-absent-members",
        "gives the messages of a Shared Subscription to all members in turn, connected or not",
        &["U-4.8.2-7"],
    )
    .one_of(&["sharing"])
    .configured(|config| config.handling.sharing = Sharing::InTurnAbsentToo),
    Switch::new(
        "shares-again-at-a-loss",
        "gives what a lost member of a Shared Subscription has not acknowledged to another at once",
        &["U-4.8.2-8"],
    )
    .configured(|config| config.handling.shares_again_at_loss = true),
    Switch::new(
        "one-retained-copy-for-a-subscribe",
        "sends a retained message once for all the filters of one SUBSCRIBE that match",
        &["MQTT-3.3.1-9", "U-3.3.4-1"],
    )
    .configured(|config| config.handling.retained_once_for_subscribe = true),
    Switch::new(
        "retain-if-all-ask-for-it",
        "sets RETAIN in one copy for several subscriptions only if each of them asks for it",
        &["MQTT-3.3.1-12", "MQTT-3.3.1-13"],
    )
    .configured(|config| config.handling.retain_if_all = true),
    Switch::new(
        "drops-messages-without-lifetime",
        "hands a message with a Message Expiry Interval of 0 to nobody",
        &["3.3.2.3.3"],
    )
    .configured(|config| config.handling.drops_lifetime_0 = true),
    Switch::new(
        "repeats-publish-before-pubrel",
        "repeats PUBLISH before PUBREL on a new connection",
        &["MQTT-4.4.0-1", "MQTT-4.6.0-5"],
    )
    .configured(|config| config.handling.repeats_publish_first = true),
    Switch::new(
        "counts-begun-seconds",
        "takes begun seconds off the Message Expiry Interval of what it forwards",
        &["MQTT-3.3.2-6"],
    )
    .ruled(|| vec![rules::writes(|packet, _| count_begun_seconds(packet))]),
    Switch::new(
        "repeats-downgraded-messages",
        "sends a QoS 1 message twice to a subscription at QoS 0",
        &["U-3.8.4-6"],
    )
    .ruled(|| vec![Box::new(Repeats::default())]),
    Switch::new(
        "suback-after-messages",
        "sends SUBACK 60 ms late, behind the messages that the subscription brings",
        &["U-3.8.4-1"],
    )
    .ruled(|| {
        let late = Duration::from_millis(60);
        vec![rules::delays(late, |packet, _| matches!(packet, Packet::SubAck(_)))]
    }),
    Switch::new(
        "welcomes",
        "sends each client messages on a topic of its own, which it has subscribed it to",
        &["U-4.5-1"],
    )
    // Without a CONNACK before it this would be an error.
    .one_of(&["first packet"])
    .ruled(|| vec![welcomes("welcome")]),
    Switch::new(
        "welcomes-on-a-dollar-topic",
        "sends each client messages below $SYS, which it has subscribed it to",
        &["U-4.5-1"],
    )
    .one_of(&["first packet"])
    .ruled(|| vec![welcomes("$SYS/broker/welcome")]),
    Switch::new(
        "adds-user-properties",
        "adds User Properties of its own to messages, before those of the publisher and behind",
        &["MQTT-3.3.2-17", "MQTT-3.3.2-18", "U-3.3.2.3.7-1"],
    )
    .forgoes(&["U-3.3.2.3.7-1"])
    .ruled(|| vec![rules::outward(add_user_properties)]),
    Switch::new(
        "messages-lag",
        "sends messages 100 ms later than all other packets",
        &["4.6", "3.12"],
    )
    .one_of(&["lag"])
    .ruled(|| vec![rules::delays(LAG, |packet, _| matches!(packet, Packet::Publish(_)))]),
    Switch::new(
        "messages-to-the-impatient-lag",
        "sends messages 1.5 s later than all other packets to clients with a Keep Alive of some seconds",
        &["4.6", "3.12"],
    )
    .one_of(&["lag"])
    .ruled(|| {
        let is_impatient = |at: At<'_>| {
            let keep_alive = at.client().map_or(0, |client| client.connect.keep_alive);
            (1..=10).contains(&keep_alive)
        };
        vec![rules::delays(LONG_LAG, move |packet, at| {
            matches!(packet, Packet::Publish(_)) && is_impatient(at)
        })]
    }),
    Switch::new(
        "mixes-topics",
        "keeps the order of messages at the same QoS on the same topic only",
        &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
    )
    // What uses a Topic Alias must not overtake what sets it, and the core has set it by then.
    .one_of(&["order within the core"])
    .ruled(|| vec![Box::new(MixesTopics { reversed: false })]),
    Switch::new(
        "mixes-topics-the-other-way",
        "does that too, and what comes first there comes last here",
        &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
    )
    .one_of(&["order within the core"])
    .ruled(|| vec![Box::new(MixesTopics { reversed: true })]),
];

/// Sends messages after CONNACK: one at QoS 0, and one at QoS 1 to who has no session that it would
/// belong to, and room for it.
fn welcomes(topics: &'static str) -> Box<dyn Rule> {
    const ID: u16 = 60_000;
    let is_answer = |packet: &Packet| matches!(packet, Packet::PubAck(ack) if ack.packet_id == ID);
    let inward = move |(): &mut (), packet: Packet, _: At<'_>, act: &mut Act<'_, '_>| {
        if !is_answer(&packet) {
            act.receive(packet);
        }
    };
    let outward = move |(): &mut (), packet: Packet, at: At<'_>, act: &mut Act<'_, '_>| {
        let accepts = matches!(&packet, Packet::ConnAck(connack) if !connack.reason.is_error());
        act.send(packet);
        let Some(client) = at.client().filter(|_| accepts) else { return };
        let topic = format!("{topics}/{}", at.connection.0);
        let sets = |id| client.connect.properties.contains(id);
        let has_room =
            !sets(PropertyId::SessionExpiryInterval) && !sets(PropertyId::ReceiveMaximum);
        let mut welcome = vec![Publish::new(&topic, "hello")];
        if client.connect.clean_start && has_room {
            welcome.push(Publish::new(&topic, "news").qos(QoS::AtLeastOnce, ID));
        }
        for publish in welcome.into_iter().map(Packet::from).filter(|packet| fits(packet, at)) {
            act.send(publish);
        }
    };
    rules::through((), inward, outward)
}

/// What is too large with them is dropped, as if it was sent.
fn add_user_properties(packet: Packet, at: At<'_>, act: &mut Act<'_, '_>) {
    let Packet::Publish(publish) = packet else { return act.send(packet) };
    let own = |place| Property { id: PropertyId::UserProperty, value: ("broker", place).into() };
    let mut more = publish.clone();
    let published = publish.properties.iter().cloned();
    more.properties = [own("before")].into_iter().chain(published).chain([own("behind")]).collect();
    let more = Packet::from(more);
    let dropped = PublishAck::because(publish.packet_id, ReasonCode::UnspecifiedError);
    match publish.qos {
        // Nobody reads it where the client is gone.
        _ if at.client().is_none() || fits(&more, at) => act.send(more),
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => act.receive(Packet::PubAck(dropped)),
        QoS::ExactlyOnce => act.receive(Packet::PubRec(dropped)),
    }
}

fn count_begun_seconds(packet: &mut Packet) {
    let Packet::Publish(publish) = packet else { return };
    let id = PropertyId::MessageExpiryInterval;
    if let Some(seconds @ 1..) = publish.properties.number(id) {
        publish.properties.set(id, seconds - 1);
    }
}

/// Sends a message twice that was published at QoS 1 and is delivered at QoS 0.
#[derive(Default)]
struct Repeats {
    /// What was published, and whether always at QoS 1.
    published: BTreeMap<(Text, Bytes), bool>,
}

impl Rule for Repeats {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        if let Input::Received(_, Packet::Publish(publish)) = &input
            && self.published.len() < REMEMBERED
        {
            let key = (publish.topic.clone(), publish.payload.clone());
            let always = self.published.entry(key).or_insert(true);
            *always &= publish.qos == QoS::AtLeastOnce;
        }
        boundary.pass(input);
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        if let Output::Send(_, Packet::Publish(publish)) = &output
            && publish.qos == QoS::AtMostOnce
            && self.published.get(&(publish.topic.clone(), publish.payload.clone())) == Some(&true)
        {
            boundary.emit(output.clone());
        }
        boundary.emit(output);
    }
}

/// Holds messages back by a time of their topic's and QoS's own.
struct MixesTopics {
    reversed: bool,
}

impl Rule for MixesTopics {
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        let Output::Send(_, Packet::Publish(publish)) = &output else {
            return boundary.emit(output);
        };
        let sum: u32 = publish.topic.bytes().map(u32::from).sum();
        let times = (sum + u32::from(publish.qos.value())) % TIMES;
        match if self.reversed { TIMES - 1 - times } else { times } {
            0 => boundary.emit(output),
            times => boundary.emit_after(APART * times, output),
        }
    }
}
