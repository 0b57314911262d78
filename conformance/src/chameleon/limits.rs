//! What a broker may be without, and how little it may take. It says so, and holds clients to it.

use reference_broker::codec::{ConnAck, Disconnect, Packet, PropertyId, QoS, ReasonCode};
use reference_broker::core::{Action, Rule, RuleFilter, Users};

use super::{Switch, fits, is_accepted};
use crate::boundary::rules::At;
use crate::boundary::{self, rules};

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "maximum-qos-1",
        "takes messages up to QoS 1",
        &["MQTT-3.2.2-9", "MQTT-3.2.2-12"],
    )
    .one_of(&["maximum qos"])
    .limits()
    .configured(|config| config.maximum_qos = QoS::AtLeastOnce),
    Switch::new(
        "maximum-qos-0",
        "takes messages at QoS 0 only",
        &["MQTT-3.2.2-9", "MQTT-3.2.2-12"],
    )
    .one_of(&["maximum qos"])
    .limits()
    .configured(|config| config.maximum_qos = QoS::AtMostOnce),
    Switch::new("grants-qos-1", "grants subscriptions QoS 1 at most", &["U-3.8.4-5"])
        .one_of(&["granted qos"])
        .limits()
        .configured(|config| config.granted_qos = QoS::AtLeastOnce),
    Switch::new("grants-qos-0", "grants subscriptions QoS 0 only", &["U-3.8.4-5"])
        .one_of(&["granted qos"])
        .limits()
        .configured(|config| config.granted_qos = QoS::AtMostOnce),
    Switch::new("no-retained-messages", "has no retained messages", &["3.2.2.3.5", "MQTT-3.2.2-13"])
        .limits()
        .configured(|config| config.features.retain = false),
    Switch::new(
        "no-wildcards",
        "has no wildcard subscriptions, and closes for one",
        &["3.2.2.3.11"],
    )
    .limits()
    .configured(|config| config.features.wildcards = false),
    Switch::new(
        "no-subscription-identifiers",
        "has no Subscription Identifiers, and closes for one",
        &["3.2.2.3.12"],
    )
    .limits()
    .configured(|config| config.features.subscription_identifiers = false),
    Switch::new(
        "no-shared-subscriptions",
        "has no Shared Subscriptions, and closes for one",
        &["3.2.2.3.13"],
    )
    .limits()
    .configured(|config| config.features.shared_subscriptions = false),
    Switch::new(
        "refuses-unavailable-subscriptions-in-suback",
        "has neither wildcards nor Subscription Identifiers nor Shared Subscriptions, and says so in SUBACK",
        &["U-3.9.3-9"],
    )
    .limits()
    .configured(|config| {
        config.features.wildcards = false;
        config.features.subscription_identifiers = false;
        config.features.shared_subscriptions = false;
        config.features.refused_in_suback = true;
    }),
    Switch::new(
        "receive-maximum-1",
        "takes one QoS 1 or 2 message at a time",
        &["3.2.2.3.3"],
    )
    .one_of(&["receive maximum"])
    .limits()
    .configured(|config| config.receive_maximum = 1),
    Switch::new(
        "receive-maximum-unsaid",
        "takes 65,535 QoS 1 and 2 messages at a time, and does not say so",
        &["U-3.2.2.3.3-2"],
    )
    .one_of(&["receive maximum"])
    .limits()
    .configured(|config| config.receive_maximum = u16::MAX),
    Switch::new(
        "packets-of-300-bytes",
        "takes packets of 300 bytes at most",
        &["3.2.2.3.6"],
    )
    .one_of(&["packet size"])
    .limits()
    .configured(|config| config.maximum_packet_size = 300),
    Switch::new(
        "packets-of-100-bytes",
        "takes packets of 100 bytes at most",
        &["3.2.2.3.6"],
    )
    .one_of(&["packet size"])
    .limits()
    .configured(|config| config.maximum_packet_size = 100),
    Switch::new("packets-of-64-bytes", "takes packets of 64 bytes at most", &["3.2.2.3.6"])
        .one_of(&["packet size"])
        .limits()
        .configured(|config| config.maximum_packet_size = 64),
    Switch::new(
        "packet-size-unsaid",
        "takes packets of any size, and does not say so",
        &["U-3.2.2.3.6-3"],
    )
    .one_of(&["packet size"])
    .limits()
    .configured(|config| config.maximum_packet_size = u32::MAX),
    Switch::new(
        "packet-limit-unsaid",
        "takes packets of 4 KiB at most, and says by a quota, or 0x95 to CONNECT, that one is larger",
        &["U-3.2.2.2-14", "U-3.14.2.1-16"],
    )
    .one_of(&["packet size", "last words"])
    .bounds()
    // As with few levels: by its letter section 4.7.3 knows no shorter topics.
    .forgoes(&["U-4.7.3-4"])
    .leaves_out(&["3.2/size-limit-of-broker"])
    .configured(|config| config.maximum_packet_size = u32::MAX)
    .ruled(|| vec![small_packets()]),
    Switch::new("no-topic-aliases", "takes no Topic Aliases", &["3.2.2.3.8"])
        .one_of(&["topic aliases"])
        .limits()
        .configured(|config| config.topic_alias_maximum = 0),
    Switch::new("all-topic-aliases", "takes every Topic Alias", &["3.2.2.3.8"])
        .one_of(&["topic aliases"])
        .limits()
        .configured(|config| config.topic_alias_maximum = u16::MAX),
    Switch::new(
        "few-filters-at-once",
        "takes two filters of a SUBSCRIBE or UNSUBSCRIBE, and refuses those beyond",
        &["U-3.9.3-8", "U-3.11.3-3"],
    )
    .bounds()
    .configured(|config| config.bounds.filters = 2),
    Switch::new(
        "few-subscriptions",
        "lets a session have two subscriptions, and refuses those beyond",
        &["U-3.9.3-8"],
    )
    .bounds()
    .configured(|config| config.bounds.subscriptions_per_session = 2),
    Switch::new(
        "few-topic-levels",
        "refuses topics and filters of more than 10 levels",
        &["U-3.4.2.1-8", "U-3.5.2.1-8", "U-3.9.3-6", "U-3.2.2.2-13"],
    )
    // By its letter section 4.7.3 knows no such limit, but every one of these codes.
    .forgoes(&["U-4.7.3-4"])
    .configured(|config| config.bounds.topic_levels = 10),
    Switch::new(
        "few-response-topic-levels",
        "closes for a message whose Response Topic has more than 10 levels",
        &["U-3.14.2.1-12", "4.7.3"],
    )
    .forgoes(&["U-4.7.3-4"])
    .ruled(|| vec![shallow_response_topics()]),
    Switch::new(
        "receive-maximum-not-enforced",
        "says that it takes 5 QoS 1 and 2 messages at a time, and takes more",
        &["3.3.4", "U-3.3.4-9"],
    )
    .one_of(&["receive maximum"])
    .limits()
    .forgoes(&["U-3.3.4-9"])
    .configured(|config| config.receive_maximum = u16::MAX)
    .ruled(|| vec![rules::writes(|packet, at| say_receive_maximum(packet, at, 5))]),
    Switch::new(
        "one-retained-message",
        "retains one message, and refuses those beyond",
        &["U-3.4.2.1-10", "U-3.5.2.1-10", "U-3.3.1.3-3"],
    )
    .forgoes(&["U-3.3.1.3-3"])
    .bounds()
    .configured(|config| config.bounds.retained_messages = 1),
    Switch::new(
        "refuses-unexplained",
        "lets a session have two subscriptions and retains one message, and says 0x80 or 0x83 to more",
        &["U-3.9.3-3", "U-3.9.3-4", "U-3.4.2.1-5", "U-3.4.2.1-6", "U-3.5.2.1-5", "U-3.5.2.1-6"],
    )
    .forgoes(&["U-3.3.1.3-3"])
    .bounds()
    .configured(|config| {
        config.bounds.subscriptions_per_session = 2;
        config.bounds.retained_messages = 1;
    })
    .ruled(|| vec![rules::writes(|packet, _| explain_no_limit(packet))]),
    Switch::new(
        "queues-of-few-messages",
        "keeps 100 messages for a client that cannot take them yet, and drops those beyond",
        &["4.1.1"],
    )
    .configured(|config| {
        config.queue_limit = 100;
        config.handling.tells_full_queues = false;
    }),
    Switch::new(
        "queues-of-few-bytes",
        "takes packets of 4 KiB, and keeps 64 KiB of messages for a client",
        &["4.1.1", "3.2.2.3.6"],
    )
    .one_of(&["packet size"])
    .limits()
    .configured(|config| {
        config.maximum_packet_size = 4 * 1024;
        config.bounds.queued_bytes_per_session = 64 * 1024;
    }),
    Switch::new(
        "one-topic-tree",
        "lets clients publish and subscribe to what is below `mqttspec` only",
        &["U-3.4.2.1-7", "U-3.5.2.1-7", "U-3.9.3-5", "U-3.2.2.2-10"],
    )
    .bounds()
    .configured(|config| {
        config.access.default_allow = false;
        config.access.rules = one_tree().into_iter().collect();
    }),
];

/// Closes for what a client asks to be answered on, far down.
fn shallow_response_topics() -> Box<dyn boundary::Rule> {
    const LEVELS: usize = 10;
    rules::inward(|packet, at, act| {
        let topic = match &packet {
            Packet::Publish(publish) => publish.properties.text(PropertyId::ResponseTopic),
            _ => None,
        };
        let is_deep = topic.is_some_and(|topic| topic.matches('/').count() >= LEVELS);
        if !is_deep || !is_accepted(at) {
            return act.receive(packet);
        }
        act.send(Disconnect::because(ReasonCode::ProtocolError));
        act.close();
    })
}

fn say_receive_maximum(packet: &mut Packet, at: At<'_>, maximum: u32) {
    let mut more = packet.clone();
    let Packet::ConnAck(connack) = &mut more else { return };
    connack.properties.set(PropertyId::ReceiveMaximum, maximum);
    if !connack.reason.is_error() && fits(&more, at) {
        *packet = more;
    }
}

/// Lets everybody do everything in one part of the topics.
fn one_tree() -> Option<Rule> {
    let filter = RuleFilter::parse("mqttspec/#").ok()?;
    Some(Rule { users: Users::Any, action: Action::Both, filter, allow: true })
}

/// Refuses packets that are large. Without a Maximum Packet Size in CONNACK there is none that 0x95 could
/// name.
fn small_packets() -> Box<dyn boundary::Rule> {
    const MOST: usize = 4 * 1024;
    rules::inward(|packet, at, act| {
        if packet.encoded_len().is_ok_and(|size| size <= MOST) {
            return act.receive(packet);
        }
        match is_accepted(at) {
            true => act.send(Disconnect::because(ReasonCode::QuotaExceeded)),
            false => act.send(ConnAck::new(false, ReasonCode::PacketTooLarge)),
        }
        act.close();
    })
}

fn explain_no_limit(packet: &mut Packet) {
    match packet {
        Packet::SubAck(ack) => {
            let reasons = ack.reasons.iter_mut();
            reasons.filter(|it| **it == ReasonCode::QuotaExceeded).for_each(|reason| {
                *reason = ReasonCode::UnspecifiedError;
            });
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason == ReasonCode::QuotaExceeded => {
            ack.reason = ReasonCode::ImplementationSpecificError;
        }
        _ => {}
    }
}
