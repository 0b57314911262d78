//! What a client's CONNECT allows the broker to send.

use std::collections::BTreeMap;

use reference_broker::codec::{ConnAck, Disconnect, Packet, PropertyId, Publish, QoS, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use super::s2_packet_format::with_size_limit;
use crate::boundary::rules::{At, both, connects, delivers, outward, writes};
use crate::boundary::{Client, Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = receive_maximum();
    all.extend(packet_size());
    all.extend(requests());
    all
}

fn receive_maximum() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/receive-maximum-one-more",
            "One message more than its receive maximum is on its way to a client that takes more than one",
            &["MQTT-3.3.4-9", "MQTT-4.9.0-1"],
            || {
                vec![with_receive_maximum(|maximum| match maximum {
                    2..0xFFFF => maximum + 1,
                    _ => maximum,
                })]
            },
        )
        .also(&["MQTT-4.9.0-2"]),
        Mutant::new(
            "3.1/receive-maximum-bytes-swapped",
            "The bytes of a receive maximum are read in reverse order where it is the first property",
            &["U-1.5.2-1"],
            || {
                vec![connects(|connect, _| {
                    let maximum = PropertyId::ReceiveMaximum;
                    let is_first = connect.properties.iter().next().map(|it| it.id) == Some(maximum);
                    let given = connect.properties.number(maximum).filter(|_| is_first);
                    if let Some(given) = given {
                        connect.properties.set(maximum, given >> 8 | (given & 0xFF) << 8);
                    }
                })]
            },
        )
        .also(&["MQTT-3.3.4-9", "MQTT-4.9.0-2"]),
        Mutant::new(
            "3.1/receive-maximum-of-first-connection",
            "The receive maximum of a session's first connection holds for all of them",
            &["U-3.1.2.11.3-3", "MQTT-3.3.4-9"],
            || {
                let mut first = BTreeMap::<Text, u32>::new();
                vec![connects(move |connect, _| {
                    let own = connect.properties.number(PropertyId::ReceiveMaximum);
                    let own = own.unwrap_or(0xFFFF);
                    let kept = first.entry(connect.client_id.clone()).or_insert(own);
                    match connect.clean_start {
                        true => *kept = own,
                        false => connect.properties.set(PropertyId::ReceiveMaximum, *kept),
                    }
                })]
            },
        ),
    ]
}

fn packet_size() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/packet-size-one-more",
            "A packet may be one byte larger than a client's maximum packet size",
            &["MQTT-3.1.2-24"],
            || vec![with_size_limit(|limit| limit.saturating_add(1))],
        ),
        Mutant::new(
            "3.1/packet-size-not-for-qos-2",
            "Messages at QoS 2 are not held to a client's maximum packet size",
            &["MQTT-3.1.2-24", "MQTT-3.1.2-25"],
            || {
                vec![
                    outward(|packet, at, act| match &packet {
                        Packet::Publish(publish)
                            if publish.qos < QoS::ExactlyOnce && is_oversized(&packet, at) =>
                        {
                            act.settle(publish);
                        }
                        _ => act.send(packet),
                    }),
                    with_size_limit(|_| u32::MAX),
                ]
            },
        ),
        Mutant::new(
            "3.1/packet-size-not-for-large-messages",
            "Messages of more than 16,384 bytes are not held to a client's maximum packet size",
            &["MQTT-3.1.2-24"],
            || {
                vec![
                    outward(|packet, at, act| match &packet {
                        Packet::Publish(publish)
                            if size(&packet) <= 16_384 && is_oversized(&packet, at) =>
                        {
                            act.settle(publish);
                        }
                        _ => act.send(packet),
                    }),
                    with_size_limit(|_| u32::MAX),
                ]
            },
        ),
        Mutant::new(
            "3.1/packet-size-not-for-queue",
            "What is sent right behind CONNACK is not held to a client's maximum packet size",
            &["MQTT-3.1.2-24"],
            || vec![queue_of_any_size(), with_size_limit(|_| u32::MAX)],
        ),
        Mutant::new(
            "3.1/oversized-message-stays-in-flight",
            "A message too large for its client is not sent, and waits for its acknowledgement",
            &["MQTT-3.1.2-25"],
            || {
                vec![
                    outward(|packet, at, act| {
                        let is_message = matches!(packet, Packet::Publish(_));
                        if !is_message || !is_oversized(&packet, at) {
                            act.send(packet);
                        }
                    }),
                    as_short_as_asked(),
                    with_size_limit(|_| u32::MAX),
                ]
            },
        ),
        Mutant::new(
            "3.1/oversized-message-kept-for-later",
            "A message too large for its client is sent when a later connection can take it",
            &["MQTT-3.1.2-25"],
            keeps_oversized,
        ),
        Mutant::new(
            "3.1/smallest-packet-size-for-all",
            "A message too large for one client who is connected is sent to nobody",
            &["U-3.1.2.11.4-3"],
            || {
                vec![outward(|packet, at, act| {
                    let limits = at.clients.iter().filter_map(|(_, client)| limit_of(client));
                    let smallest = limits.min().unwrap_or(u32::MAX);
                    match &packet {
                        Packet::Publish(publish) if size(&packet) > smallest => act.settle(publish),
                        _ => act.send(packet),
                    }
                })]
            },
        ),
    ]
}

fn requests() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/topic-alias-forwarded",
            "The topic alias of a message goes on to its subscribers",
            &["MQTT-3.1.2-27"],
            || vec![forwards_alias(|_| true)],
        ),
        Mutant::new(
            "3.1/topic-alias-maximum-zero-asks",
            "A client with a topic alias maximum, be it 0, is sent topic aliases",
            &["MQTT-3.1.2-27"],
            || {
                vec![forwards_alias(|client| {
                    client.connect.properties.contains(PropertyId::TopicAliasMaximum)
                })]
            },
        ),
        Mutant::new(
            "3.1/reason-string-for-unknown-release",
            "PUBCOMP 0x92 says why, whatever its client asked for",
            &["MQTT-3.1.2-29"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubComp(ack) = packet
                        && ack.reason.is_error()
                    {
                        ack.properties.push(PropertyId::ReasonString, "nothing to release");
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/unsuback-has-user-property",
            "UNSUBACK has a user property, whatever its client asked for",
            &["MQTT-3.1.2-29"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::UnsubAck(ack) = packet {
                        ack.properties.push(PropertyId::UserProperty, ("server", "a"));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/problem-information-off-strips-messages",
            "Messages lose their user properties for a client that wants no problem information",
            &["MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, at| {
                    let wants = |client: &Client| {
                        client.connect.properties.number(PropertyId::RequestProblemInformation)
                            != Some(0)
                    };
                    let wants = at.client().is_some_and(wants);
                    publish
                        .properties
                        .retain(|property| wants || property.id != PropertyId::UserProperty);
                })]
            },
        ),
    ]
}

fn with_receive_maximum(alter: fn(u32) -> u32) -> Box<dyn Rule> {
    connects(move |connect, _| {
        if let Some(maximum) = connect.properties.number(PropertyId::ReceiveMaximum) {
            connect.properties.set(PropertyId::ReceiveMaximum, alter(maximum));
        }
    })
}

fn size(packet: &Packet) -> u32 {
    packet.encoded_len().ok().and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::MAX)
}

fn limit_of(client: &Client) -> Option<u32> {
    client.connect.properties.number(PropertyId::MaximumPacketSize)
}

pub(super) fn is_oversized(packet: &Packet, at: At<'_>) -> bool {
    at.client().and_then(limit_of).is_some_and(|limit| size(packet) > limit)
}

/// Drops what is too large as the core does, and hands it over on the next connection of the client
/// that has no limit.
fn keeps_oversized() -> Rules {
    let drops = both(
        BTreeMap::<Text, Vec<Publish>>::new(),
        |_, packet, _, act| act.receive(packet),
        |kept, packet, at, act| {
            let Some(client) = at.client() else { return act.send(packet) };
            match &packet {
                Packet::Publish(publish) if is_oversized(&packet, at) => {
                    kept.entry(client.id.clone()).or_default().push(publish.clone());
                    act.settle(publish);
                }
                Packet::ConnAck(connack) if limit_of(client).is_none() => {
                    let resumed = connack.session_present;
                    act.send(packet);
                    let mine = kept.remove(&client.id).unwrap_or_default();
                    for publish in mine.into_iter().filter(|_| resumed) {
                        act.send(Publish { qos: QoS::AtMostOnce, packet_id: 0, ..publish });
                    }
                }
                _ => act.send(packet),
            }
        },
    );
    vec![drops, as_short_as_asked(), with_size_limit(|_| u32::MAX)]
}

/// What is no message goes out without what would make it too large, as the core leaves it out if
/// it knows the limit.
fn as_short_as_asked() -> Box<dyn Rule> {
    writes(|packet, at| {
        let is_too_long = is_oversized(packet, at);
        match packet {
            Packet::ConnAck(ConnAck { properties, .. })
            | Packet::Disconnect(Disconnect { properties, .. })
                if is_too_long =>
            {
                let optional = [PropertyId::ReasonString, PropertyId::UserProperty];
                properties.retain(|it| !optional.contains(&it.id));
            }
            _ => {}
        }
    })
}

/// Forwards the alias of the last message that came in to these clients.
fn forwards_alias(to: fn(&Client) -> bool) -> Box<dyn Rule> {
    both(
        None::<(ConnectionId, u32)>,
        |last, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                let alias = publish.properties.number(PropertyId::TopicAlias);
                *last = alias.map(|alias| (at.connection, alias));
            }
            act.receive(packet);
        },
        move |last, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some((publisher, alias)) = *last
                && publisher != at.connection
                && at.client().is_some_and(to)
            {
                publish.properties.push(PropertyId::TopicAlias, alias);
            }
            act.send(packet);
        },
    )
}

/// Holds messages to the limit, but for those that come while CONNECT is handled.
fn queue_of_any_size() -> Box<dyn Rule> {
    both(
        None::<ConnectionId>,
        |connecting, packet, at, act| {
            *connecting = matches!(packet, Packet::Connect(_)).then_some(at.connection);
            act.receive(packet);
        },
        |connecting, packet, at, act| match &packet {
            Packet::Publish(publish)
                if *connecting != Some(at.connection) && is_oversized(&packet, at) =>
            {
                act.settle(publish);
            }
            _ => act.send(packet),
        },
    )
}
