//! Client Identifiers.

use std::collections::BTreeSet;

use reference_broker::codec::{ConnAck, Connect, Packet, PropertyId, ReasonCode, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{accepts, both, connects, inward, refuses, session_expiry, swallows};

/// The longest Client Identifier that every broker takes.
const LONGEST: usize = 23;

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = given();
    all.extend(assigned());
    all
}

fn given() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/client-ids-of-23-refused",
            "A client identifier of just 23 bytes is refused",
            &["MQTT-3.1.3-5"],
            || vec![refuses(|connect, _| not_valid(connect.client_id.len() == LONGEST))],
        ),
        Mutant::new(
            "3.1/client-ids-of-22-unwanted",
            "A client identifier of just 22 bytes is not accepted, for reasons of the broker's own",
            &["MQTT-3.1.3-5"],
            || {
                vec![refuses(|connect, _| {
                    let reason = ReasonCode::ImplementationSpecificError;
                    (connect.client_id.len() == LONGEST - 1).then_some(reason)
                })]
            },
        ),
        Mutant::new(
            "3.1/client-ids-with-capital-z-refused",
            "A client identifier with a Z is refused",
            &["MQTT-3.1.3-5"],
            || vec![refuses(|connect, _| not_valid(connect.client_id.contains('Z')))],
        ),
        Mutant::new(
            "3.1/shortest-client-id-gets-no-connack",
            "CONNECT under a client identifier of one character is not acknowledged",
            &["MQTT-3.1.3-5", "MQTT-3.1.4-5"],
            || {
                vec![swallows(|packet, at| {
                    let is_short = at.client().is_some_and(|client| client.id.len() == 1);
                    matches!(packet, Packet::ConnAck(_)) && is_short
                })]
            },
        ),
        Mutant::new(
            "3.1/client-ids-fold-case",
            "Client identifiers that differ in case belong to one client",
            &["MQTT-3.1.3-2"],
            || {
                vec![connects(|connect, _| {
                    connect.client_id = connect.client_id.to_lowercase().into()
                })]
            },
        ),
        Mutant::new(
            "3.1/client-ids-cut-at-23",
            "Of a client identifier only the first 23 characters count",
            &["MQTT-3.1.3-2"],
            || {
                vec![connects(|connect, _| {
                    let short: String = connect.client_id.chars().take(LONGEST).collect();
                    connect.client_id = short.into();
                })]
            },
        ),
        Mutant::new(
            "3.1/client-ids-end-at-slash",
            "A client identifier ends before its first slash",
            &["MQTT-3.1.3-2"],
            || {
                vec![connects(|connect, _| {
                    let end = connect.client_id.find('/').unwrap_or(connect.client_id.len());
                    connect.client_id = connect.client_id[..end].into();
                })]
            },
        ),
        Mutant::new(
            "3.1/refused-client-id-left-open",
            "A client identifier of more than 23 bytes is refused, and the connection left open",
            &["MQTT-3.1.3-8"],
            || {
                vec![inward(|packet, _, act| match &packet {
                    Packet::Connect(connect) if connect.client_id.len() > LONGEST => {
                        act.send(ConnAck::new(false, ReasonCode::ClientIdentifierNotValid));
                    }
                    _ => act.receive(packet),
                })]
            },
        ),
    ]
}

fn assigned() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/assigned-id-untold-without-clean-start",
            "A client that asks for a session is not told the identifier it gets",
            &["MQTT-3.1.3-7", "MQTT-3.2.2-16"],
            || {
                vec![accepts(|connack, at| {
                    if at.client().is_some_and(|client| !client.connect.clean_start) {
                        connack
                            .properties
                            .retain(|property| property.id != PropertyId::AssignedClientIdentifier);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/all-assigned-one-id",
            "Whoever has no identifier is assigned the same one",
            &["MQTT-3.1.3-6", "MQTT-3.2.2-16"],
            || {
                vec![
                    accepts(|connack, at| {
                        if at.client().is_some_and(|client| client.id.is_empty()) {
                            let id = PropertyId::AssignedClientIdentifier;
                            connack.properties.push(id, "anonymous");
                        }
                    }),
                    connects(|connect, _| {
                        if connect.client_id.is_empty() {
                            connect.client_id = "anonymous".into();
                        }
                    }),
                ]
            },
        ),
        Mutant::new(
            "3.1/id-of-kept-session-assigned",
            "Who asks for a session without an identifier gets that of one that is kept",
            &["MQTT-3.1.3-6", "MQTT-3.2.2-16"],
            || vec![assigns_that_of_kept_session()],
        ),
        Mutant::new(
            "3.1/assigned-id-keeps-no-session",
            "The session of a client with an assigned identifier ends with its connection",
            &["MQTT-3.1.3-7"],
            || {
                vec![connects(|connect, _| {
                    if connect.client_id.is_empty() {
                        connect
                            .properties
                            .retain(|property| property.id != PropertyId::SessionExpiryInterval);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/assigned-id-not-taken-over",
            "Who connects under an assigned identifier does not take its connection over",
            &["MQTT-3.1.3-7", "MQTT-3.1.4-3"],
            || vec![connects_beside_assigned()],
        ),
    ]
}

fn not_valid(refused: bool) -> Option<ReasonCode> {
    refused.then_some(ReasonCode::ClientIdentifierNotValid)
}

fn assigns_that_of_kept_session() -> Box<dyn Rule> {
    #[derive(Default)]
    struct State {
        kept: Option<Text>,
        given: BTreeSet<ConnectionId>,
    }
    both(
        State::default(),
        |state, mut packet, at, act| {
            if let Packet::Connect(connect) = &mut packet
                && connect.client_id.is_empty()
                && !connect.clean_start
                && let Some(kept) = &state.kept
            {
                connect.client_id = kept.clone();
                state.given.insert(at.connection);
            }
            act.receive(packet);
        },
        |state, mut packet, at, act| {
            if let Packet::ConnAck(connack) = &mut packet {
                let own = connack.properties.text(PropertyId::AssignedClientIdentifier);
                match (own, &state.kept) {
                    (Some(own), None) if at.client().is_some_and(is_kept) => {
                        state.kept = Some(own.clone());
                    }
                    (None, Some(kept)) if state.given.contains(&at.connection) => {
                        connack.properties.push(PropertyId::AssignedClientIdentifier, kept.clone());
                    }
                    _ => {}
                }
            }
            act.send(packet);
        },
    )
}

fn is_kept(client: &crate::boundary::Client) -> bool {
    session_expiry(&client.connect) > 0
}

fn connects_beside_assigned() -> Box<dyn Rule> {
    both(
        BTreeSet::<Text>::new(),
        |assigned, mut packet, _, act| {
            if let Packet::Connect(connect) = &mut packet
                && connect.clean_start
                && assigned.contains(&connect.client_id)
            {
                let Connect { client_id, .. } = &mut **connect;
                *client_id = format!("{client_id}2").into();
            }
            act.receive(packet);
        },
        |assigned, packet, _, act| {
            if let Packet::ConnAck(connack) = &packet {
                let id = connack.properties.text(PropertyId::AssignedClientIdentifier);
                assigned.extend(id.cloned());
            }
            act.send(packet);
        },
    )
}
