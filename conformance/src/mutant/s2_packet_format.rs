//! The format of control packets, but for Packet Identifiers.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, PacketType, Properties, Property, PropertyId, Publish, QoS, ReasonCode, Side,
    Subscribe, SubscribeAck, Text,
};
use reference_broker::core::{ConnectionId, Input};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{answers, both, closes, connects, delivers, inputs, publishes};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = sizes();
    all.extend(properties());
    all.extend(effects());
    all
}

fn sizes() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.1/remaining-length-one-short",
            "A message loses its last byte if its remaining length is 16,384",
            &["U-2.1.4-1"],
            || {
                vec![delivers(|publish, _| {
                    if size(publish) == 4 + 16_384 {
                        publish.payload.truncate(publish.payload.len().saturating_sub(1));
                    }
                })]
            },
        ),
        Mutant::new(
            "2.1/size-limit-without-fixed-header",
            "A client's maximum packet size is held against the remaining length",
            &["U-2.1.4-3", "MQTT-3.1.2-24"],
            || vec![with_size_limit(|limit| limit.saturating_add(2))],
        ),
        Mutant::new(
            "2.1/size-limit-itself-too-large",
            "A message as large as a client's maximum packet size is not sent to it",
            &["U-2.1.4-3"],
            || vec![with_size_limit(|limit| limit.saturating_sub(1).max(1))],
        ),
        Mutant::new(
            "2.1/wrong-flags-subscribe-all-the-same",
            "SUBSCRIBE with wrong flags closes the connection, and yet subscribes",
            &["U-2.1.3-1", "MQTT-3.8.1-1"],
            || vec![subscribes_in_spite_of_flags()],
        ),
    ]
}

fn properties() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.2/properties-behind-user-property-lost",
            "Of a message's properties none is read behind a user property, but user properties",
            &["U-2.2.2.2-4"],
            || vec![publishes(|publish, _| until_user_property(&mut publish.properties))],
        )
        .also(&["MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-20"]),
        Mutant::new(
            "2.2/connect-properties-behind-user-property-lost",
            "Of CONNECT's properties none is read behind a user property",
            &["U-2.2.2.2-4"],
            || vec![connects(|connect, _| until_user_property(&mut connect.properties))],
        ),
        Mutant::new(
            "2.2/user-properties-grouped-by-name",
            "User properties are forwarded in the order of their names",
            &["MQTT-3.3.2-18"],
            || {
                vec![delivers(|publish, _| {
                    let mut list: Vec<Property> = publish.properties.iter().cloned().collect();
                    list.sort_by_key(|property| match &property.value {
                        reference_broker::codec::Value::Pair(name, _) => name.to_string(),
                        _ => String::new(),
                    });
                    publish.properties = list.into_iter().collect();
                })]
            },
        ),
        Mutant::new(
            "2.2/sixteen-user-properties-at-most",
            "Of more than 16 user properties only the first 16 are forwarded",
            &["MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    let mut count = 0;
                    publish.properties.retain(|property| {
                        count += u32::from(property.id == PropertyId::UserProperty);
                        property.id != PropertyId::UserProperty || count <= 16
                    });
                })]
            },
        ),
        Mutant::new(
            "2.2/long-properties-eat-payload",
            "Behind properties of 128 bytes a message loses the first byte of its payload",
            &["U-2.2.2.1-1"],
            || {
                vec![delivers(|publish, _| {
                    // Without them it is shorter by them and by a byte of their length.
                    let bare = Publish { properties: Properties::default(), ..publish.clone() };
                    let more = remaining(publish).saturating_sub(remaining(&bare));
                    if more == 128 + 1 && !publish.payload.is_empty() {
                        publish.payload = publish.payload.slice(1..);
                    }
                })]
            },
        ),
        Mutant::new(
            "2.2/subscribe-user-properties-forwarded",
            "The user properties of a SUBSCRIBE are added to the messages for its client",
            &["MQTT-3.3.2-17"],
            || vec![forwards_user_properties_of(PacketType::Subscribe)],
        ),
        Mutant::new(
            "2.2/subscribe-user-property-twice-refused",
            "SUBSCRIBE with the same user property twice closes the connection",
            &["U-3.8.2.1.3-1"],
            || vec![closes(|packet, _| is_repeating(PacketType::Subscribe, packet))],
        ),
        Mutant::new(
            "2.2/puback-user-property-twice-refused",
            "PUBACK with the same user property twice closes the connection",
            &["U-3.4.2.2.3-1"],
            || vec![closes(|packet, _| is_repeating(PacketType::PubAck, packet))],
        ),
        Mutant::new(
            "2.2/puback-user-properties-forwarded",
            "The user properties of a PUBACK are added to the messages for its client",
            &["MQTT-3.3.2-17"],
            || vec![forwards_user_properties_of(PacketType::PubAck)],
        ),
    ]
}

fn effects() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.4/second-filter-granted-only",
            "Of two filters of a SUBSCRIBE with the same options the second is granted and not subscribed to",
            &["U-2.4-1"],
            || vec![subscribes_to_first_only()],
        ),
        Mutant::new(
            "2.4/unsubscribe-without-effect",
            "UNSUBSCRIBE succeeds without effect for filters that were not the first of their SUBSCRIBE",
            &["U-2.4-1"],
            || vec![keeps_later_filters()],
        ),
    ]
}

fn size(publish: &Publish) -> usize {
    Packet::from(publish.clone()).encoded_len().unwrap_or(0)
}

/// The remaining length of a message.
fn remaining(publish: &Publish) -> usize {
    let size = size(publish);
    // A byte of fixed header, and of the length as many as it needs.
    let header = |bytes: &usize| size - 1 - bytes < 1 << (7 * bytes);
    size - 1 - (1..=4).find(header).unwrap_or(4)
}

/// Takes another Maximum Packet Size for the client's.
pub(super) fn with_size_limit(alter: fn(u32) -> u32) -> Box<dyn Rule> {
    connects(move |connect, _| {
        if let Some(limit) = connect.properties.number(PropertyId::MaximumPacketSize) {
            connect.properties.set(PropertyId::MaximumPacketSize, alter(limit));
        }
    })
}

/// The bytes are gone at the boundary, so it subscribes to everything.
fn subscribes_in_spite_of_flags() -> Box<dyn Rule> {
    inputs(|input, boundary| {
        if let Input::Malformed(connection, Some(PacketType::Subscribe), error) = &input
            && error.fault.requirement(Side::Client) == "MQTT-3.8.1-1"
        {
            let subscribe = Subscribe::new(1, "#", QoS::AtLeastOnce);
            boundary.pass(Input::Received(*connection, subscribe.into()));
        }
        boundary.pass(input);
    })
}

fn until_user_property(properties: &mut Properties) {
    let mut behind = false;
    properties.retain(|property| {
        behind |= property.id == PropertyId::UserProperty;
        !behind || property.id == PropertyId::UserProperty
    });
}

fn forwards_user_properties_of(packet_type: PacketType) -> Box<dyn Rule> {
    both(
        BTreeMap::<ConnectionId, Vec<Property>>::new(),
        move |known, packet, at, act| {
            if packet.packet_type() == packet_type {
                let all = packet.properties().into_iter().flat_map(Properties::iter);
                let own = all.filter(|property| property.id == PropertyId::UserProperty);
                known.entry(at.connection).or_default().extend(own.cloned());
            }
            act.receive(packet);
        },
        |known, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet {
                for property in known.get(&at.connection).into_iter().flatten() {
                    publish.properties.push(property.id, property.value.clone());
                }
            }
            act.send(packet);
        },
    )
}

fn subscribes_to_first_only() -> Box<dyn Rule> {
    both(
        BTreeMap::<(ConnectionId, u16), Vec<ReasonCode>>::new(),
        |granted, mut packet, at, act| {
            if let Packet::Subscribe(subscribe) = &mut packet
                && let [first, second] = &subscribe.subscriptions[..]
                && first.options == second.options
            {
                let rest = subscribe.subscriptions.split_off(1);
                let codes =
                    rest.iter().map(|subscription| match subscription.options.maximum_qos {
                        QoS::AtMostOnce => ReasonCode::Success,
                        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                    });
                granted.insert((at.connection, subscribe.packet_id), codes.collect());
            }
            act.receive(packet);
        },
        |granted, mut packet, at, act| {
            if let Packet::SubAck(ack) = &mut packet {
                ack.reasons
                    .extend(granted.remove(&(at.connection, ack.packet_id)).unwrap_or_default());
            }
            act.send(packet);
        },
    )
}

/// Says of filters that stood behind another in their SUBSCRIBE that they were ended.
fn keeps_later_filters() -> Box<dyn Rule> {
    let mut later = BTreeSet::<(ConnectionId, Text)>::new();
    answers(move |packet, at| match packet {
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.subscriptions.iter().skip(1).map(|it| it.filter.clone());
            later.extend(filters.map(|filter| (at.connection, filter)));
            None
        }
        Packet::Unsubscribe(request) => {
            let is_later = |filter: &Text| later.contains(&(at.connection, filter.clone()));
            request.filters.iter().all(is_later).then(|| {
                let reasons = vec![ReasonCode::Success; request.filters.len()];
                vec![Packet::UnsubAck(SubscribeAck::new(request.packet_id, reasons))]
            })
        }
        _ => None,
    })
}

/// Whether it is a packet of this type with a user property that it has already.
fn is_repeating(packet_type: PacketType, packet: &Packet) -> bool {
    let mut seen = BTreeSet::new();
    let mut all = packet.properties().into_iter().flat_map(Properties::user_properties);
    packet.packet_type() == packet_type && !all.all(|property| seen.insert(property))
}
