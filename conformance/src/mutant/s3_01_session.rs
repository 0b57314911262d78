//! Which session a client gets, and what a takeover does to it.

use std::collections::BTreeSet;

use reference_broker::codec::{Connect, Packet, QoS, ReasonCode, Text};
use reference_broker::core::{ConnectionId, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::subscriptions::resubscribes_noted;
use crate::boundary::rules::{
    At, NOWHERE, accepts, both, connects, outputs, reads, refuses, session_expiry, swallows,
};
use crate::boundary::subscriptions::Held;

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = resumption();
    all.extend(clean_start());
    all.extend(takeover());
    all
}

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
            || vec![resubscribes_kept(|_, present| present, |_, _| None)],
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
                vec![resubscribes_kept(
                    |at, present| !present && at.is_clean_start(),
                    |_, held| Some(Held { identifier: None, ..held }),
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
                    resubscribes_kept(|at, present| present && at.is_clean_start(), |_, _| None),
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
            &["MQTT-3.1.4-3", "U-4.13.1-5"],
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

/// Alters the subscriptions of sessions that are kept, when their clients get a CONNACK.
fn resubscribes_kept(
    when: fn(At<'_>, bool) -> bool,
    alter: fn(&str, Held) -> Option<Held>,
) -> Box<dyn Rule> {
    let kept = |at: At<'_>| at.client().is_some_and(|it| session_expiry(&it.connect) > 0);
    resubscribes_noted(kept, when, alter)
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
