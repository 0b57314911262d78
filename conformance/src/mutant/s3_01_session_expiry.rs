//! How long a session is kept.

use std::collections::BTreeMap;

use reference_broker::codec::{Disconnect, Packet, PropertyId, ReasonCode};
use reference_broker::core::{ConnectionId, Moment};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{connects, inward, leaves, reads, session_expiry};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/session-expiry-defaults-to-a-minute",
            "Without a session expiry interval a session is kept for a minute",
            &["U-3.1.2.11.2-2"],
            || {
                let default = connects(|connect, _| {
                    if !connect.properties.contains(PropertyId::SessionExpiryInterval) {
                        connect.properties.push(PropertyId::SessionExpiryInterval, 60);
                    }
                });
                vec![raises_none(), default]
            },
        ),
        Mutant::new(
            "3.1/lost-connection-keeps-session",
            "A session without an expiry interval is kept when its connection is lost",
            &["U-3.1.2.11.2-2"],
            || {
                vec![
                    raises_none(),
                    leaves(|disconnect, at| {
                        let ends = at.client().is_some_and(|it| session_expiry(&it.connect) == 0);
                        if ends && disconnect.properties.is_empty() {
                            disconnect.properties.push(PropertyId::SessionExpiryInterval, 0);
                        }
                    }),
                    with_expiry(|expiry| if expiry == 0 { 60 } else { expiry }),
                ]
            },
        ),
        Mutant::new(
            "3.1/session-expiry-in-minutes",
            "A session is kept for as many minutes as it should be for seconds",
            &["MQTT-4.1.0-2", "U-3.1.2.11.2-2"],
            || vec![with_expiry(|expiry| expiry.saturating_mul(60))],
        ),
        Mutant::new(
            "3.1/session-expiry-bytes-swapped",
            "The bytes of a session expiry interval are read in reverse order",
            &["U-1.5.3-1", "MQTT-4.1.0-2"],
            || vec![with_expiry(u32::swap_bytes)],
        ),
        Mutant::new(
            "3.1/session-kept-too-short",
            "A session is gone after a twentieth of its expiry interval",
            &["MQTT-3.1.2-23"],
            || vec![with_expiry(|expiry| expiry.div_ceil(20))],
        ),
        Mutant::new(
            "3.1/session-expiry-overflows",
            "The milliseconds of a session expiry interval are held in four bytes",
            &["MQTT-3.1.2-23"],
            || vec![with_expiry(|expiry| expiry.wrapping_mul(1000) / 1000)],
        ),
        Mutant::new(
            "3.1/session-expiry-signed",
            "A session expiry interval from 0x80000000 on is negative: it has passed at once",
            &["MQTT-3.1.2-23", "U-3.1.2.11.2-3"],
            || vec![with_expiry(|expiry| if expiry >> 31 == 1 { 0 } else { expiry })],
        ),
        Mutant::new(
            "3.1/session-expiry-runs-while-connected",
            "A session expiry interval begins with the connection, not with its end",
            &["MQTT-3.1.2-23"],
            || vec![expires_from_connect()],
        ),
        Mutant::new(
            "3.1/session-never-expires-means-none",
            "The session expiry interval that never passes is taken for none",
            &["U-3.1.2.11.2-3"],
            || vec![with_expiry(|expiry| if expiry == u32::MAX { 1 } else { expiry })],
        ),
    ]
}

/// Refuses a DISCONNECT that raises an interval of 0, which the core does not know of: to it this
/// ends the session and has the Will published.
fn raises_none() -> Box<dyn Rule> {
    const INTERVAL: PropertyId = PropertyId::SessionExpiryInterval;
    inward(|mut packet, at, act| {
        let none = at.client().is_some_and(|client| session_expiry(&client.connect) == 0);
        if let Packet::Disconnect(disconnect) = &mut packet
            && none
            && disconnect.properties.number(INTERVAL).unwrap_or(0) > 0
        {
            act.send(Disconnect::because(ReasonCode::ProtocolError));
            disconnect.reason = ReasonCode::DisconnectWithWill;
            disconnect.properties.set(INTERVAL, 0);
        }
        act.receive(packet);
    })
}

fn with_expiry(alter: fn(u32) -> u32) -> Box<dyn Rule> {
    connects(move |connect, _| {
        let (own, altered) = (session_expiry(connect), alter(session_expiry(connect)));
        if own != altered {
            connect.properties.set(PropertyId::SessionExpiryInterval, altered);
        }
    })
}

/// A DISCONNECT leaves the session what is left of its interval.
fn expires_from_connect() -> Box<dyn Rule> {
    let mut since = BTreeMap::<ConnectionId, Moment>::new();
    reads(move |packet, at| match packet {
        Packet::Connect(_) => _ = since.insert(at.connection, at.now),
        Packet::Disconnect(disconnect) if disconnect.properties.is_empty() => {
            let begun = since.get(&at.connection).map_or(at.now.0, |moment| moment.0);
            let seconds = u32::try_from(at.now.0.saturating_sub(begun) / 1000).unwrap_or(u32::MAX);
            let expiry = at.client().map_or(0, |client| session_expiry(&client.connect));
            let left = expiry.saturating_sub(seconds);
            if left < expiry {
                disconnect.properties.push(PropertyId::SessionExpiryInterval, left);
            }
        }
        _ => {}
    })
}
