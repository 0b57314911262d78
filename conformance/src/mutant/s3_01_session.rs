//! Which session a client gets, how long it is kept, and what a takeover does to it.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Connect, Packet, PropertyId, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, Text,
    Unsubscribe,
};
use reference_broker::core::{ConnectionId, Moment, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{
    At, NOWHERE, accepts, both, connects, leaves, outputs, reads, refuses, session_expiry, swallows,
};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = resumption();
    all.extend(clean_start());
    all.extend(expiry());
    all.extend(takeover());
    all
}

/// The Packet Identifier of requests that no client made.
const FORGED: u16 = u16::MAX;

fn resumption() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/resume-loses-queue",
            "What was queued for a client while it was away is not sent to it",
            &["MQTT-3.1.2-5", "U-4.1-6"],
            || {
                vec![loses_on_connack(
                    |connect, _| !connect.clean_start,
                    |packet| matches!(packet, Packet::Publish(publish) if !publish.dup),
                )]
            },
        ),
        Mutant::new(
            "3.1/resume-loses-subscriptions",
            "A session goes on with its queue and without its subscriptions",
            &["MQTT-3.1.2-5", "U-4.1-4"],
            || vec![remembers_subscriptions(|resumed, _| resumed, true)],
        ),
        Mutant::new(
            "3.1/no-session-to-resume-refused",
            "A client that asks for a session there is not is refused",
            &["MQTT-3.1.2-6"],
            || {
                let mut known = BTreeSet::<Text>::new();
                vec![refuses(move |connect, _| {
                    let is_new = known.insert(connect.client_id.clone());
                    let refused = is_new && !connect.clean_start && !connect.client_id.is_empty();
                    refused.then_some(ReasonCode::ClientIdentifierNotValid)
                })]
            },
        ),
    ]
}

fn clean_start() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/clean-start-keeps-subscriptions",
            "A clean start leaves a session its subscriptions",
            &["MQTT-3.1.2-4"],
            || {
                vec![remembers_subscriptions(
                    |resumed, connect| !resumed && connect.clean_start,
                    false,
                )]
            },
        ),
        Mutant::new(
            "3.1/clean-start-keeps-queue",
            "A clean start leaves a session its queue",
            &["MQTT-3.1.2-4"],
            || {
                vec![
                    untold(),
                    remembers_subscriptions(
                        |resumed, connect| resumed && connect.clean_start,
                        true,
                    ),
                    connects(|connect, _| connect.clean_start = false),
                ]
            },
        ),
        Mutant::new(
            "3.1/clean-start-keeps-exchanges",
            "A clean start leaves the QoS 2 messages open that were not released",
            &["MQTT-3.1.2-4"],
            || vec![remembers_exchanges()],
        ),
        Mutant::new(
            "3.1/clean-start-keeps-session-untold",
            "A clean start goes on with the session there is, and says it does not",
            &["MQTT-3.1.2-4"],
            || vec![untold(), connects(|connect, _| connect.clean_start = false)],
        ),
    ]
}

fn expiry() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/session-expiry-defaults-to-a-minute",
            "Without a session expiry interval a session is kept for a minute",
            &["U-3.1.2.11.2-2"],
            || {
                vec![connects(|connect, _| {
                    if !connect.properties.contains(PropertyId::SessionExpiryInterval) {
                        connect.properties.push(PropertyId::SessionExpiryInterval, 60);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/lost-connection-keeps-session",
            "A session without an expiry interval is kept when its connection is lost",
            &["U-3.1.2.11.2-2"],
            || {
                vec![
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

fn takeover() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/second-takeover-leaves-old-open",
            "Only the first takeover of all closes the old connection",
            &["MQTT-3.1.4-3"],
            || vec![leaves_open_from_second()],
        ),
        Mutant::new(
            "3.1/resuming-takeover-leaves-old-open",
            "A takeover without a clean start leaves the old connection open",
            &["MQTT-3.1.4-3"],
            || {
                vec![connects(|connect, at| {
                    // Another client for the core, with nothing to go on with.
                    if !connect.clean_start && at.other_of(&connect.client_id).is_some() {
                        connect.client_id = format!("{}2", connect.client_id).into();
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/takeover-without-a-word",
            "A takeover closes the old connection without a DISCONNECT",
            &["MQTT-3.1.4-3"],
            || {
                vec![swallows(|packet, _| {
                    let reason = ReasonCode::SessionTakenOver;
                    matches!(packet, Packet::Disconnect(it) if it.reason == reason)
                })]
            },
        ),
        Mutant::new(
            "3.1/takeover-gets-no-connack",
            "A takeover is not acknowledged",
            &["MQTT-3.1.4-5"],
            || {
                vec![swallows(|packet, at| {
                    let taken = at.client().and_then(|client| at.other_of(&client.id));
                    matches!(packet, Packet::ConnAck(_)) && taken.is_some()
                })]
            },
        ),
        Mutant::new(
            "3.1/takeover-loses-what-is-in-flight",
            "A takeover goes on with the session, but for the messages that were on their way",
            &["MQTT-4.4.0-1"],
            || {
                vec![loses_on_connack(
                    |connect, at| at.other_of(&connect.client_id).is_some(),
                    |packet| matches!(packet, Packet::Publish(publish) if publish.dup),
                )]
            },
        ),
        Mutant::new(
            "3.1/takeover-ends-session",
            "A takeover begins with no session, whatever it asks for",
            &["MQTT-3.1.2-5", "MQTT-3.2.2-3"],
            || vec![at_takeover(|connect| connect.clean_start = true)],
        ),
        Mutant::new(
            "3.1/takeover-ignores-clean-start",
            "A takeover goes on with the session, whatever it asks for",
            &["MQTT-3.1.4-4", "MQTT-3.1.2-4", "MQTT-3.2.2-2"],
            || vec![at_takeover(|connect| connect.clean_start = false)],
        ),
        Mutant::new(
            "3.1/takeover-keeps-session-untold",
            "A takeover with a clean start goes on with the session, and says it does not",
            &["MQTT-3.1.4-4", "MQTT-3.1.2-4"],
            || vec![untold(), at_takeover(|connect| connect.clean_start = false)],
        ),
        Mutant::new(
            "3.1/takeover-finds-ended-session",
            "Who takes over a client whose session ends is told that it goes on",
            &["U-3.1.2.11.2-2"],
            || {
                vec![accepts(|connack, at| {
                    let Some(client) = at.client().filter(|it| !it.connect.clean_start) else {
                        return;
                    };
                    connack.session_present |= at.other_of(&client.id).is_some();
                })]
            },
        ),
    ]
}

fn with_expiry(alter: fn(u32) -> u32) -> Box<dyn Rule> {
    connects(move |connect, _| {
        let (own, altered) = (session_expiry(connect), alter(session_expiry(connect)));
        if own != altered {
            connect.properties.set(PropertyId::SessionExpiryInterval, altered);
        }
    })
}

fn at_takeover(alter: fn(&mut Connect)) -> Box<dyn Rule> {
    connects(move |connect, at| {
        if at.other_of(&connect.client_id).is_some() {
            alter(connect);
        }
    })
}

/// Loses packets that come right behind CONNACK, and settles their exchanges.
fn loses_on_connack(
    when: fn(&Connect, At<'_>) -> bool,
    which: fn(&Packet) -> bool,
) -> Box<dyn Rule> {
    both(
        None::<ConnectionId>,
        move |loser, packet, at, act| {
            *loser = match &packet {
                Packet::Connect(connect) if when(connect, at) => Some(at.connection),
                _ => None,
            };
            act.receive(packet);
        },
        move |loser, packet, at, act| match &packet {
            Packet::Publish(publish) if *loser == Some(at.connection) && which(&packet) => {
                act.settle(publish);
            }
            _ => act.send(packet),
        },
    )
}

/// Remembers the subscriptions of kept sessions; after a CONNACK of this kind it takes them away, or
/// makes them again.
fn remembers_subscriptions(when: fn(bool, &Connect) -> bool, takes_away: bool) -> Box<dyn Rule> {
    type Sessions = BTreeMap<Text, BTreeMap<Text, Subscription>>;
    both(
        Sessions::new(),
        |sessions, packet, at, act| {
            if let Some(client) = at.client().filter(|it| session_expiry(&it.connect) > 0) {
                let session = sessions.entry(client.id.clone()).or_default();
                match &packet {
                    Packet::Subscribe(subscribe) => {
                        let all = subscribe.subscriptions.iter().cloned();
                        session.extend(all.map(|it| (it.filter.clone(), it)));
                    }
                    Packet::Unsubscribe(unsubscribe) => {
                        session.retain(|filter, _| !unsubscribe.filters.contains(filter));
                    }
                    _ => {}
                }
            }
            act.receive(packet);
        },
        move |sessions, packet, at, act| match &packet {
            Packet::SubAck(ack) | Packet::UnsubAck(ack) if ack.packet_id == FORGED => {}
            Packet::ConnAck(connack) => {
                let resumed = connack.session_present;
                act.send(packet);
                let Some(client) = at.client().filter(|it| when(resumed, &it.connect)) else {
                    return;
                };
                for (filter, mut subscription) in sessions.remove(&client.id).unwrap_or_default() {
                    subscription.options.retain_handling = RetainHandling::DoNotSend;
                    let request = Subscribe::new(FORGED, filter.clone(), QoS::AtMostOnce);
                    match takes_away {
                        true => act.receive(Unsubscribe::new(FORGED, filter)),
                        false => {
                            act.receive(Subscribe { subscriptions: vec![subscription], ..request })
                        }
                    }
                }
            }
            _ => act.send(packet),
        },
    )
}

/// Takes a new message for the repetition of one that an earlier session had open.
fn remembers_exchanges() -> Box<dyn Rule> {
    let mut open = BTreeSet::<(Text, u16)>::new();
    let mut stale = BTreeSet::<(Text, u16)>::new();
    reads(move |packet, at| {
        let Some(client) = at.client() else { return };
        match packet {
            Packet::Connect(connect) if connect.clean_start => {
                let own = |id: &(Text, u16)| id.0 == connect.client_id;
                stale.extend(open.iter().filter(|id| own(id)).cloned());
                open.retain(|id| !own(id));
            }
            Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                let id = (client.id.clone(), publish.packet_id);
                if stale.remove(&id) {
                    publish.topic = NOWHERE.into();
                } else {
                    open.insert(id);
                }
            }
            Packet::PubRel(ack) => {
                open.remove(&(client.id.clone(), ack.packet_id));
            }
            _ => {}
        }
    })
}

fn leaves_open_from_second() -> Box<dyn Rule> {
    let mut count = 0;
    let mut kept = BTreeSet::new();
    outputs(move |output, boundary| {
        match &output {
            Output::Send(connection, Packet::Disconnect(disconnect))
                if disconnect.reason == ReasonCode::SessionTakenOver =>
            {
                count += 1;
                if count > 1 {
                    kept.insert(*connection);
                    return;
                }
            }
            Output::Close(connection) if kept.contains(connection) => return,
            _ => {}
        }
        boundary.emit(output);
    })
}

/// Tells nobody who asked for a clean start of a session.
fn untold() -> Box<dyn Rule> {
    accepts(|connack, at| {
        let clean = at.client().is_some_and(|client| client.connect.clean_start);
        connack.session_present &= !clean;
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
