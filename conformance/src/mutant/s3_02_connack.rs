//! CONNACK.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Disconnect, Packet, PropertyId, QoS, ReasonCode, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::rules::{
    accepts, both, closes, inward, keeps_open, only, outward, publishes, repeats, session_expiry,
    swallows,
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
            "The first PINGRESP comes with another CONNACK",
            &["MQTT-3.2.0-2"],
            || {
                let mut first = only(1, |packet, _| matches!(packet, Packet::PingResp));
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
            "What waits for a client is sent when it has sent something after CONNECT",
            &["U-3.1.4-6"],
            || vec![waits_for_first_packet()],
        ),
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
                    let was_kept = kept.remove(&client.id);
                    connack.session_present |= was_kept && !connack.reason.is_error();
                    if session_expiry(&client.connect) > 0 {
                        kept.insert(client.id.clone());
                    }
                })]
            },
        ),
        Mutant::new(
            "3.2/session-always-present",
            "Who asks for a session is told of one, though there is none",
            &["MQTT-3.2.2-3"],
            || {
                vec![accepts(|connack, at| {
                    let asks = at.client().is_some_and(|client| !client.connect.clean_start);
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
            "A message at QoS 2 closes with 0x9B, though CONNACK has no maximum QoS",
            &["MQTT-3.2.2-9"],
            || {
                vec![inward(|packet, _, act| match packet {
                    Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                        act.send(Disconnect::because(ReasonCode::QoSNotSupported));
                        act.close();
                    }
                    packet => act.receive(packet),
                })]
            },
        ),
        Mutant::new(
            "3.2/retained-messages-not-kept",
            "Messages are not retained, though CONNACK does not say so",
            &["U-3.2.2.3.5-2"],
            || vec![publishes(|publish, _| publish.retain = false)],
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
    /// What waits for each client that has sent nothing but CONNECT.
    type Waiting = BTreeMap<ConnectionId, Vec<Packet>>;
    both(
        Waiting::new(),
        |waiting, packet, at, act| {
            match packet {
                Packet::Connect(_) => _ = waiting.insert(at.connection, Vec::new()),
                _ => {
                    let packets = waiting.remove(&at.connection).unwrap_or_default();
                    packets.into_iter().for_each(|packet| act.send(packet));
                }
            }
            act.receive(packet);
        },
        |waiting, packet, at, act| match waiting.get_mut(&at.connection) {
            Some(packets) if matches!(packet, Packet::Publish(_) | Packet::PubRel(_)) => {
                packets.push(packet);
            }
            _ => act.send(packet),
        },
    )
}
