//! What a broker may refuse, and how.

use std::collections::BTreeSet;
use std::str::from_utf8;

use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Packet, Properties, PropertyId, PublishAck, QoS, ReasonCode,
    SubscribeAck, Text, Value,
};
use reference_broker::core::DollarTopics;
use reference_broker::topic::SubscriptionFilter;

use super::{Switch, is_accepted};
use crate::boundary::Rule;
use crate::boundary::rules::{self, Act, At};

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "refuses-clients-that-take-little",
        "refuses a Maximum Packet Size below 128 with 0x80, and a Receive Maximum below 4 with 0x83",
        &["3.2.2.2"],
    )
    .one_of(&["first packet", "last words", "no connack"])
    .bounds()
    .ruled(|| vec![rules::refuses(|connect, _| takes_little(connect))]),
    Switch::new(
        "closes-for-a-connect-of-100-bytes",
        "closes without a word for a CONNECT of more than 100 bytes",
        &["3.1.4", "3.2.2.2"],
    )
    .one_of(&["first packet"])
    .bounds()
    .ruled(|| {
        vec![rules::closes(|packet, at| {
            matches!(packet, Packet::Connect(_))
                && !is_accepted(at)
                && packet.encoded_len().is_ok_and(|size| size > 100)
        })]
    }),
    Switch::new(
        "answers-a-first-packet-that-is-no-connect",
        "answers a first packet other than CONNECT with CONNACK 0x82, and closes",
        &["4.13.1"],
    )
    .one_of(&["first packet"])
    .forgoes(&["U-3.2-2"])
    .ruled(|| {
        vec![rules::inward(|packet, at, act| match (&packet, at.client()) {
            (Packet::Connect(_), _) | (_, Some(_)) => act.receive(packet),
            (_, None) => {
                act.send(ConnAck::new(false, ReasonCode::ProtocolError));
                act.close();
            }
        })]
    }),
    Switch::new(
        "closes-for-bad-filters",
        "closes for a SUBSCRIBE or UNSUBSCRIBE with a malformed filter",
        &["U-3.14.2.1-11", "MQTT-4.7.1-1"],
    )
    .ruled(|| vec![for_filters(|filter| SubscriptionFilter::parse(filter).is_err())]),
    Switch::new(
        "closes-for-filters-of-everything",
        "closes for a SUBSCRIBE with a filter that begins with a wildcard",
        &["U-3.14.2.1-11"],
    )
    .bounds()
    .leaves_out(&["4.7/dollar-not-by-leading-wildcard", "4.7/wildcard-at-the-start"])
    .ruled(|| vec![for_filters(|filter| filter.starts_with(['#', '+']))]),
    Switch::new(
        "refuses-disallowed-code-points",
        "takes a packet with control characters or non-characters for malformed",
        &["U-1.5.4-4"],
    )
    .ruled(|| vec![for_code_points()]),
    Switch::new(
        "checks-payload-formats",
        "refuses a message whose payload is not the text that it is said to be",
        &["U-3.3.2.3.2-2", "U-3.1.3.2.3-3", "U-3.4.2.1-11", "U-3.5.2.1-11", "U-3.14.2.1-17", "U-3.2.2.2-16"],
    )
    .ruled(|| vec![for_payload_formats()]),
    Switch::new(
        "drops-dollar-topics",
        "acknowledges messages from clients on topics that begin with $, and hands them to nobody",
        &["U-4.7.2-1"],
    )
    .one_of(&["dollar topics"])
    .configured(|config| config.handling.dollar_topics = DollarTopics::Dropped),
    Switch::new(
        "hands-dollar-topics-on",
        "hands messages from clients on topics that begin with $ on as others",
        &["U-4.7.2-1"],
    )
    .one_of(&["dollar topics"])
    .forgoes(&["U-4.7.2-1"])
    .configured(|config| config.handling.dollar_topics = DollarTopics::HandedOn),
    Switch::new(
        "drops-qos-0-of-users",
        "hands QoS 0 messages of clients with a User Name to nobody, as its rules have it",
        &["3.1.4", "U-4.7.3-7"],
    )
    .ruled(|| {
        let is_users = |at: At<'_>| at.client().is_some_and(|it| it.connect.user_name.is_some());
        vec![rules::answers_and_counts(move |packet, at| {
            let is_dropped =
                matches!(packet, Packet::Publish(publish) if publish.qos == QoS::AtMostOnce);
            (is_dropped && is_users(at)).then(Vec::new)
        })]
    }),
    Switch::new(
        "refuses-every-second-unsubscribe",
        "answers every second UNSUBSCRIBE with 0x80, and ends nothing",
        &["U-3.11.3-3"],
    )
    .bounds()
    .ruled(|| vec![refuses_unsubscribe()]),
    Switch::new(
        "refuses-every-fourth-subscribe",
        "answers every fourth SUBSCRIBE with 0x97",
        &["U-3.9.3-8"],
    )
    .bounds()
    // It may be a SUBSCRIBE with many levels.
    .forgoes(&["U-4.7.3-4"])
    .ruled(|| {
        let mut seen = 0_u32;
        vec![rules::answers_and_counts(move |packet, at| match packet {
            Packet::Subscribe(subscribe) if is_accepted(at) => {
                seen += 1;
                let reasons = vec![ReasonCode::QuotaExceeded; subscribe.subscriptions.len()];
                let ack = SubscribeAck::new(subscribe.packet_id, reasons);
                seen.is_multiple_of(4).then(|| vec![Packet::SubAck(ack)])
            }
            _ => None,
        })]
    }),
    Switch::new(
        "closes-for-refused-topics",
        "closes where it could refuse a topic in an acknowledgement",
        &["U-3.14.2.1-12"],
    )
    .one_of(&["dollar topics"])
    .ruled(|| {
        vec![rules::outward(|packet, _, act| match &packet {
            Packet::PubAck(ack) | Packet::PubRec(ack)
                if ack.reason == ReasonCode::TopicNameInvalid =>
            {
                end(act, ReasonCode::TopicNameInvalid);
            }
            _ => act.send(packet),
        })]
    }),
];

/// The core gets an UNSUBSCRIBE of as many filters that nobody has, and its answer is another.
fn refuses_unsubscribe() -> Box<dyn Rule> {
    let refused = (0_u32, BTreeSet::new());
    rules::through(
        refused,
        |(seen, refused), mut packet, at, act| {
            if let Packet::Unsubscribe(unsubscribe) = &mut packet
                && is_accepted(at)
            {
                *seen += 1;
                if *seen % 2 == 0 {
                    refused.insert((at.connection, unsubscribe.packet_id));
                    unsubscribe.filters.iter_mut().for_each(|filter| *filter = "refused".into());
                }
            }
            act.receive(packet);
        },
        |(_, refused), mut packet, at: At<'_>, act| {
            if let Packet::UnsubAck(ack) = &mut packet
                && refused.remove(&(at.connection, ack.packet_id))
            {
                ack.reasons.iter_mut().for_each(|code| *code = ReasonCode::UnspecifiedError);
            }
            act.send(packet);
        },
    )
}

fn end(act: &mut Act<'_, '_>, reason: ReasonCode) {
    act.send(Disconnect::because(reason));
    act.close();
}

fn for_filters(is_bad: fn(&Text) -> bool) -> Box<dyn Rule> {
    rules::inward(move |packet, at, act| {
        let is_bad = match &packet {
            Packet::Subscribe(subscribe) => {
                subscribe.subscriptions.iter().any(|subscription| is_bad(&subscription.filter))
            }
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().any(is_bad),
            _ => false,
        };
        match is_bad && is_accepted(at) {
            true => end(act, ReasonCode::TopicFilterInvalid),
            false => act.receive(packet),
        }
    })
}

fn for_code_points() -> Box<dyn Rule> {
    rules::inward(|packet, at, act| match (&packet, holds_disallowed(&packet)) {
        (Packet::Connect(_), true) if !is_accepted(at) => {
            act.send(ConnAck::new(false, ReasonCode::MalformedPacket));
            act.close();
        }
        (_, true) if is_accepted(at) => end(act, ReasonCode::MalformedPacket),
        _ => act.receive(packet),
    })
}

fn holds_disallowed(packet: &Packet) -> bool {
    let in_properties = |properties: &Properties| {
        properties.iter().any(|property| match &property.value {
            Value::String(text) => is_disallowed(text),
            Value::Pair(name, value) => is_disallowed(name) || is_disallowed(value),
            Value::Number(_) | Value::Binary(_) => false,
        })
    };
    let in_fields = match packet {
        Packet::Connect(connect) => {
            is_disallowed(&connect.client_id)
                || connect.user_name.as_ref().is_some_and(|name| is_disallowed(name))
                || connect.will.as_ref().is_some_and(|will| {
                    is_disallowed(&will.topic) || in_properties(&will.properties)
                })
        }
        Packet::Publish(publish) => is_disallowed(&publish.topic),
        Packet::Subscribe(subscribe) => {
            subscribe.subscriptions.iter().any(|it| is_disallowed(&it.filter))
        }
        Packet::Unsubscribe(unsubscribe) => {
            unsubscribe.filters.iter().any(|filter| is_disallowed(filter))
        }
        _ => false,
    };
    in_fields || packet.properties().is_some_and(in_properties)
}

/// Why a client is not wanted that takes as little as this.
fn takes_little(connect: &Connect) -> Option<ReasonCode> {
    let is_below = |id, least| connect.properties.number(id).is_some_and(|number| number < least);
    if is_below(PropertyId::MaximumPacketSize, 128) {
        Some(ReasonCode::UnspecifiedError)
    } else if is_below(PropertyId::ReceiveMaximum, 4) && !is_below(PropertyId::ReceiveMaximum, 1) {
        Some(ReasonCode::ImplementationSpecificError)
    } else {
        None
    }
}

/// Whether a text holds a code point that section 1.5.4 lets a receiver refuse.
fn is_disallowed(text: &str) -> bool {
    text.chars().any(|point| {
        let number = u32::from(point);
        point.is_control() || (0xFDD0..=0xFDEF).contains(&number) || number & 0xFFFE == 0xFFFE
    })
}

fn for_payload_formats() -> Box<dyn Rule> {
    let lies = |properties: &Properties, payload: &[u8]| {
        properties.number(PropertyId::PayloadFormatIndicator) == Some(1)
            && from_utf8(payload).is_err()
    };
    const REASON: ReasonCode = ReasonCode::PayloadFormatInvalid;
    rules::inward(move |packet, at: At<'_>, act| match &packet {
        Packet::Connect(connect)
            if !is_accepted(at)
                && connect.will.as_ref().is_some_and(|it| lies(&it.properties, &it.payload)) =>
        {
            act.send(ConnAck::new(false, REASON));
            act.close();
        }
        Packet::Publish(publish)
            if is_accepted(at) && lies(&publish.properties, &publish.payload) =>
        {
            let ack = PublishAck::because(publish.packet_id, REASON);
            match publish.qos {
                QoS::AtMostOnce => end(act, REASON),
                QoS::AtLeastOnce => act.send(Packet::PubAck(ack)),
                QoS::ExactlyOnce => act.send(Packet::PubRec(ack)),
            }
        }
        _ => act.receive(packet),
    })
}
