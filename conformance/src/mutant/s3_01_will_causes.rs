//! Which ends of a connection publish its Will.

use std::collections::BTreeSet;
use std::time::Duration;

use reference_broker::codec::{
    Connect, Disconnect, Packet, PacketType, PropertyId, ReasonCode, Side,
};
use reference_broker::core::Input;

use super::Mutant;
use crate::boundary::rules::{inputs, leaves, published, session_expiry, will_delay};
use crate::boundary::{Client, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = errors();
    all.extend(disconnects());
    all.extend(takeovers());
    all
}

fn errors() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/lost-connection-deletes-will",
            "The Will of a client that keeps its session is deleted when the connection is lost",
            &["MQTT-3.1.2-8", "U-3.1.2.5-1"],
            || {
                vec![inputs(|input, boundary| {
                    if let Input::Closed(connection) = &input
                        && boundary.clients.get(*connection).is_some_and(is_kept)
                    {
                        let disconnect = Disconnect::default();
                        boundary.pass(Input::Received(*connection, disconnect.into()));
                    }
                    boundary.pass(input);
                })]
            },
        ),
        Mutant::new(
            "3.1/error-deletes-will",
            "The Will of a client that sends a malformed UNSUBSCRIBE is deleted",
            &["MQTT-3.1.2-8", "U-3.1.2.5-1"],
            || vec![forgives(|kind, _| kind == PacketType::Unsubscribe)],
        ),
        Mutant::new(
            "3.1/error-publishes-will-twice",
            "The Will of a client that sends a malformed SUBSCRIBE is published twice",
            &["MQTT-3.1.2-8"],
            || {
                vec![inputs(|input, boundary| {
                    if let Input::Malformed(connection, Some(PacketType::Subscribe), _) = &input
                        && let Some(client) = boundary.clients.get(*connection)
                        && let Some(will) = &client.connect.will
                    {
                        boundary.publish_after(Duration::ZERO, published(will));
                    }
                    boundary.pass(input);
                })]
            },
        ),
    ]
}

fn disconnects() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/disconnect-with-late-code-deletes-will",
            "DISCONNECT with a code from 0x97 on deletes the Will",
            &["MQTT-3.1.2-8", "U-3.1.2.5-1"],
            || {
                vec![leaves(|disconnect, _| {
                    if disconnect.reason >= ReasonCode::QuotaExceeded {
                        disconnect.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-with-will-deletes-it",
            "DISCONNECT 0x04 deletes the Will",
            &["MQTT-3.1.2-8", "U-3.1.2.5-1"],
            || {
                vec![leaves(|disconnect, _| {
                    if disconnect.reason == ReasonCode::DisconnectWithWill {
                        disconnect.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-with-wrong-flags-deletes-will",
            "DISCONNECT with wrong flags deletes the Will",
            &["MQTT-3.1.2-8"],
            || vec![forgives(|_, requirement| requirement == "MQTT-3.14.1-1")],
        ),
        Mutant::new(
            "3.1/disconnect-that-raises-expiry-deletes-will",
            "DISCONNECT that raises a session expiry interval from 0 deletes the Will",
            &["MQTT-3.1.2-8", "U-3.14.2.2.2-3"],
            || {
                vec![leaves(|disconnect, at| {
                    if at.client().is_some_and(|client| !is_kept(client)) {
                        disconnect
                            .properties
                            .retain(|property| property.id != PropertyId::SessionExpiryInterval);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-with-property-publishes-will",
            "DISCONNECT 0x00 with a session expiry interval does not delete the Will",
            &["MQTT-3.14.4-3", "MQTT-3.1.2-10"],
            || {
                vec![leaves(|disconnect, _| {
                    if disconnect.properties.contains(PropertyId::SessionExpiryInterval) {
                        disconnect.reason = ReasonCode::DisconnectWithWill;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-leaves-delayed-will",
            "DISCONNECT 0x00 does not delete a Will with a delay",
            &["MQTT-3.14.4-3", "MQTT-3.1.2-10"],
            || {
                vec![leaves(|disconnect, at| {
                    let delay = at.client().and_then(|client| will_delay(&client.connect));
                    if delay > Some(0) {
                        disconnect.reason = ReasonCode::DisconnectWithWill;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-as-first-packet-leaves-will",
            "DISCONNECT 0x00 as the first packet of a client does not delete the Will",
            &["MQTT-3.14.4-3", "MQTT-3.1.2-10"],
            || {
                let mut seen = BTreeSet::new();
                vec![crate::boundary::rules::reads(move |packet, at| match packet {
                    Packet::Disconnect(disconnect) if !seen.contains(&at.connection) => {
                        disconnect.reason = ReasonCode::DisconnectWithWill;
                    }
                    Packet::Connect(_) => {}
                    _ => _ = seen.insert(at.connection),
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-that-ends-session-deletes-will",
            "DISCONNECT 0x04 that ends the session deletes the Will with it",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || {
                vec![leaves(|disconnect, _| {
                    let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
                    if expiry == Some(0) {
                        disconnect.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/disconnect-with-will-ends-no-session",
            "DISCONNECT 0x04 leaves the session expiry interval as it was",
            &["U-3.14.2.2.2-2"],
            || {
                vec![leaves(|disconnect, _| {
                    if disconnect.reason == ReasonCode::DisconnectWithWill {
                        disconnect
                            .properties
                            .retain(|property| property.id != PropertyId::SessionExpiryInterval);
                    }
                })]
            },
        ),
    ]
}

fn takeovers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/clean-takeover-deletes-will",
            "A takeover with a clean start deletes the Will of a kept session",
            &["U-3.1.4-5", "U-3.1.3.2.2-4"],
            || vec![takeover_deletes_will(|older, newer| newer.clean_start && is_kept(older))],
        ),
        Mutant::new(
            "3.1/takeover-deletes-will-of-kept-session",
            "A takeover that goes on with the session deletes the Will",
            &["U-3.1.3.2.2-4"],
            || vec![takeover_deletes_will(|older, newer| !newer.clean_start && is_kept(older))],
        ),
        Mutant::new(
            "3.1/takeover-deletes-delayed-will",
            "A takeover that ends the session deletes a Will with a delay",
            &["U-3.1.3.2.2-4"],
            || {
                vec![takeover_deletes_will(|older, newer| {
                    let ends = newer.clean_start || !is_kept(older);
                    ends && will_delay(&older.connect) > Some(0)
                })]
            },
        ),
        Mutant::new(
            "3.1/takeover-publishes-delayed-will",
            "A takeover that goes on with the session publishes a Will with a delay",
            &["MQTT-3.1.3-9", "U-3.1.3.2.2-4"],
            || vec![takeover_publishes_delayed_will()],
        ),
    ]
}

pub(super) fn is_kept(client: &Client) -> bool {
    session_expiry(&client.connect) > 0
}

/// Takes malformed packets, by their type and the requirement they break, for DISCONNECT 0x00.
fn forgives(which: fn(PacketType, &str) -> bool) -> Box<dyn Rule> {
    inputs(move |input, boundary| match input {
        Input::Malformed(connection, Some(kind), error)
            if which(kind, error.fault.requirement(Side::Client))
                && boundary.clients.get(connection).is_some() =>
        {
            boundary.pass(Input::Received(connection, Disconnect::default().into()));
        }
        _ => boundary.pass(input),
    })
}

/// Lets the core find the older connection of a client left in peace before the newer one comes.
fn takeover_deletes_will(when: fn(&Client, &Connect) -> bool) -> Box<dyn Rule> {
    crate::boundary::rules::inward(move |packet, at, act| {
        if let Packet::Connect(connect) = &packet
            && let Some(other) = at.other_of(&connect.client_id)
            && at.clients.get(other).is_some_and(|older| when(older, connect))
        {
            act.boundary.pass(Input::Received(other, Disconnect::default().into()));
        }
        act.receive(packet);
    })
}

fn takeover_publishes_delayed_will() -> Box<dyn Rule> {
    crate::boundary::rules::inward(move |packet, at, act| {
        if let Packet::Connect(connect) = &packet
            && !connect.clean_start
            && let Some(other) = at.other_of(&connect.client_id)
            && let Some(older) = at.clients.get(other).filter(|older| is_kept(older))
            && let Some(will) = &older.connect.will
            && will_delay(&older.connect) > Some(0)
        {
            act.boundary.publish_after(Duration::ZERO, published(will));
        }
        act.receive(packet);
    })
}
