//! CONNACK.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Disconnect, Packet, PropertyId, QoS, ReasonCode, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::rules::messages::removes_retained;
use crate::boundary::rules::{
    accepts, both, closes, inward, keeps_open, only, outward, repeats, session_expiry, swallows,
};
use crate::boundary::{Client, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = acceptance();
    all.extend(sessions());
    all.extend(properties());
    all.extend(capabilities());
    all
}

fn acceptance() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/connack-after-first-ping",
            "The first PINGRESP that a client gets behind a message comes with another CONNACK",
            &["MQTT-3.2.0-2"],
            || {
                let mut served = BTreeSet::new();
                let mut first = only(1, move |packet, at| match packet {
                    Packet::Publish(_) => {
                        served.insert(at.connection);
                        false
                    }
                    packet => *packet == Packet::PingResp && served.contains(&at.connection),
                });
                vec![outward(move |packet, at, act| {
                    if first(&packet, at) {
                        act.send(reference_broker::codec::ConnAck::new(false, ReasonCode::Success));
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "3.2/connack-of-resumption-twice",
            "CONNACK with session present comes twice",
            &["MQTT-3.2.0-2"],
            || {
                vec![repeats(
                    |packet, _| matches!(packet, Packet::ConnAck(connack) if connack.session_present),
                )]
            },
        ),
        Mutant::new(
            "3.2/accepted-without-keep-alive-not-served",
            "A client with no keep alive and no clean start is accepted, and closed at SUBSCRIBE",
            &["U-3.2.2.2-2"],
            || {
                vec![closes(|packet, at| {
                    let is_one = |client: &Client| {
                        client.connect.keep_alive == 0 && !client.connect.clean_start
                    };
                    matches!(packet, Packet::Subscribe(_)) && at.client().is_some_and(is_one)
                })]
            },
        ),
        Mutant::new(
            "3.2/connack-lost-without-keep-alive",
            "CONNECT without a keep alive and without a clean start is not acknowledged",
            &["MQTT-3.1.4-5"],
            || {
                vec![swallows(|packet, at| {
                    let is_one = |client: &Client| {
                        client.connect.keep_alive == 0 && !client.connect.clean_start
                    };
                    matches!(packet, Packet::ConnAck(_)) && at.client().is_some_and(is_one)
                })]
            },
        ),
        Mutant::new(
            "3.2/queue-waits-for-first-packet",
            "A PUBREL waits until its client sends something, if messages were published while it was away",
            &["U-3.1.4-6"],
            || vec![waits_for_first_packet()],
        )
        .also(&["MQTT-4.4.0-1"]),
        Mutant::new(
            "3.2/refusal-leaves-connection-open",
            "The connection stays open after a CONNACK that refuses an authentication method",
            &["MQTT-4.12.0-1", "MQTT-3.2.2-7"],
            || {
                vec![keeps_open(|at| {
                    let method = PropertyId::AuthenticationMethod;
                    at.client().is_some_and(|it| it.connect.properties.contains(method))
                })]
            },
        ),
    ]
}

fn sessions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/session-without-subscriptions-not-present",
            "A session without subscriptions is not told of",
            &["MQTT-3.2.2-3"],
            || {
                vec![both(
                    BTreeSet::<Text>::new(),
                    |subscribed, packet, at, act| {
                        if let (Packet::Subscribe(_), Some(client)) = (&packet, at.client()) {
                            subscribed.insert(client.id.clone());
                        }
                        act.receive(packet);
                    },
                    |subscribed, mut packet, at, act| {
                        if let (Packet::ConnAck(connack), Some(client)) = (&mut packet, at.client())
                        {
                            match connack.session_present {
                                true => connack.session_present = subscribed.contains(&client.id),
                                false => _ = subscribed.remove(&client.id),
                            }
                        }
                        act.send(packet);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.2/discarded-session-present",
            "A clean start that ends a session is told of it",
            &["MQTT-3.2.2-2", "U-3.1.2.4-1"],
            || {
                let mut kept = BTreeSet::<Text>::new();
                vec![accepts(move |connack, at| {
                    let Some(client) = at.client() else { return };
                    let was_kept = kept.remove(&client.id) && client.connect.clean_start;
                    connack.session_present |= was_kept && !connack.reason.is_error();
                    if session_expiry(&client.connect) > 0 {
                        kept.insert(client.id.clone());
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/session-always-present",
            "Who asks for a session and comes for the first time is told of one",
            &["MQTT-3.2.2-3"],
            || {
                let mut known = BTreeSet::<Text>::new();
                vec![accepts(move |connack, at| {
                    let Some(client) = at.client() else { return };
                    let asks = known.insert(client.id.clone()) && !client.connect.clean_start;
                    connack.session_present |= asks && !connack.reason.is_error();
                })]
            },
        ),
        Mutant::new(
            "3.2/refusal-has-session-present",
            "A CONNACK that refuses who asks for a session is told that there is one",
            &["MQTT-3.2.2-6"],
            || {
                vec![accepts(|connack, at| {
                    // Of a malformed CONNECT nothing is known here.
                    let asks = at.client().is_none_or(|client| !client.connect.clean_start);
                    connack.session_present |= asks && connack.reason.is_error();
                })]
            },
        ),
    ]
}

fn properties() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/reason-string-beyond-size-limit",
            "A CONNACK that refuses says why, whatever the client's maximum packet size",
            &["MQTT-3.2.2-19", "MQTT-3.1.2-24"],
            || {
                vec![accepts(|connack, _| {
                    if connack.reason.is_error() {
                        let why = "no authentication method is supported here";
                        connack.properties.set(PropertyId::ReasonString, why);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/user-property-beyond-size-limit",
            "A CONNACK that accepts has a user property, whatever the client's maximum packet size",
            &["MQTT-3.2.2-20", "MQTT-3.1.2-24"],
            || {
                vec![accepts(|connack, _| {
                    if !connack.reason.is_error() {
                        let property = ("server", "one of many that serve this address");
                        connack.properties.push(PropertyId::UserProperty, property);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/given-id-assigned",
            "A client that has an identifier is assigned it",
            &["U-3.2.2.3.7-2"],
            || {
                vec![accepts(|connack, at| {
                    let id = PropertyId::AssignedClientIdentifier;
                    if let Some(client) = at.client()
                        && !connack.properties.contains(id)
                    {
                        connack.properties.push(id, client.id.clone());
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/method-without-request",
            "CONNACK names an authentication method to who asks for a session without one",
            &["MQTT-4.12.0-6"],
            || {
                vec![accepts(|connack, at| {
                    if at.client().is_some_and(|client| !client.connect.clean_start) {
                        connack.properties.push(PropertyId::AuthenticationMethod, "none");
                    }
                })]
            },
        ),
    ]
}

fn capabilities() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/qos-2-refused-unannounced",
            "Messages at QoS 0, 1 and 2 right behind CONNECT close with 0x9B, though CONNACK has no maximum QoS",
            &["MQTT-3.2.2-9"],
            || {
                let mut levels: BTreeMap<ConnectionId, Vec<Option<QoS>>> = BTreeMap::new();
                vec![inward(move |packet, at, act| {
                    let level = match &packet {
                        Packet::Connect(_) => return act.receive(packet),
                        Packet::Publish(publish) => Some(publish.qos),
                        _ => None,
                    };
                    let levels = levels.entry(at.connection).or_default();
                    levels.push(level);
                    match levels[..] == QoS::ALL.map(Some) {
                        true => {
                            act.send(Disconnect::because(ReasonCode::QoSNotSupported));
                            act.close();
                        }
                        false => act.receive(packet),
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/retained-messages-not-kept",
            "Nothing is retained on topics that had other messages, though CONNACK does not say so",
            &["U-3.2.2.3.5-2"],
            || {
                let mut others = BTreeSet::<Text>::new();
                vec![removes_retained(move |packet, _| match packet {
                    Packet::Publish(publish) if !publish.retain => {
                        others.insert(publish.topic.clone());
                        Vec::new()
                    }
                    Packet::Publish(publish) if others.contains(&publish.topic) => {
                        vec![publish.topic.clone()]
                    }
                    _ => Vec::new(),
                })]
            },
        ),
        Mutant::new(
            "3.2/size-limit-above-announced",
            "A packet one byte above the announced limit is taken",
            &["U-3.2.2.3.6-2"],
            Vec::new,
        )
        .configured(|config| config.maximum_packet_size += 1),
        Mutant::new(
            "3.2/size-limit-below-announced",
            "A packet just as large as the announced limit is too large",
            &["U-3.2.2.3.6-2"],
            || {
                vec![accepts(|connack, _| {
                    let limit = PropertyId::MaximumPacketSize;
                    if let Some(enforced) = connack.properties.number(limit) {
                        connack.properties.set(limit, enforced + 1);
                    }
                })]
            },
        )
        .configured(|config| config.maximum_packet_size -= 1),
    ]
}

fn waits_for_first_packet() -> Box<dyn Rule> {
    #[derive(Default)]
    struct Waiting {
        published: u32,
        /// How many messages there had been when a client was last heard of.
        heard: BTreeMap<Text, u32>,
        /// What waits for each client that has sent nothing but CONNECT.
        packets: BTreeMap<ConnectionId, Vec<Packet>>,
    }
    both(
        Waiting::default(),
        |waiting, packet, at, act| {
            waiting.published += u32::from(matches!(packet, Packet::Publish(_)));
            let before = waiting.heard.insert(at.id(), waiting.published);
            match packet {
                Packet::Connect(_) if before.is_some_and(|it| it < waiting.published) => {
                    waiting.packets.insert(at.connection, Vec::new());
                }
                _ => {
                    let packets = waiting.packets.remove(&at.connection).unwrap_or_default();
                    packets.into_iter().for_each(|packet| act.send(packet));
                }
            }
            act.receive(packet);
        },
        |waiting, packet, at, act| match waiting.packets.get_mut(&at.connection) {
            Some(packets) if matches!(packet, Packet::PubRel(_)) => packets.push(packet),
            _ => act.send(packet),
        },
    )
}
