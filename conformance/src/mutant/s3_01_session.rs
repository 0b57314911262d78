//! Which session a client gets, and what a takeover does to it.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Connect, Packet, QoS, ReasonCode, Text, Unsubscribe};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::subscriptions::resubscribes_noted;
use crate::boundary::rules::{
    At, FORGED, NOWHERE, accepts, answers_forged, both, connects, crossing, reads, refuses,
    session_expiry, swallows, through,
};
use crate::boundary::subscriptions::{Held, Subscriptions};

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
            "A resumed session loses its only subscription if a message was published meanwhile",
            &["MQTT-3.1.2-5", "U-4.1-4"],
            || vec![loses_only_subscription()],
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
            "A clean start with a Session Expiry Interval keeps the old subscriptions",
            &["MQTT-3.1.2-4"],
            || {
                vec![resubscribes_kept(
                    |at, present| !present && at.is_clean_start() && is_kept(at),
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
            "A clean start with a Session Expiry Interval goes on with the old session, and says it does not",
            &["MQTT-3.1.2-4"],
            || {
                vec![
                    untold(),
                    connects(|connect, _| connect.clean_start &= session_expiry(connect) == 0),
                ]
            },
        ),
    ]
}

fn takeover() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/second-takeover-leaves-old-open",
            "Only the first takeover of all closes the old connection",
            &["MQTT-3.1.4-3"],
            || vec![leaves_open(|count, _| count > 1)],
        ),
        Mutant::new(
            "3.1/resuming-takeover-leaves-old-open",
            "A takeover without a clean start leaves the old connection open",
            &["MQTT-3.1.4-3"],
            || vec![leaves_open(|_, clean_start| !clean_start)],
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
            "A takeover of a client without a Will begins with no session, whatever it asks for",
            &["MQTT-3.1.2-5", "MQTT-3.2.2-3"],
            || {
                vec![connects(|connect, at| {
                    let other = at.other_of(&connect.client_id).and_then(|it| at.clients.get(it));
                    connect.clean_start |= other.is_some_and(|it| it.connect.will.is_none());
                })]
            },
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
    resubscribes_noted(is_kept, when, alter)
}

/// Whether the session of a client outlasts its connection.
fn is_kept(at: At<'_>) -> bool {
    at.client().is_some_and(|it| session_expiry(&it.connect) > 0)
}

/// Ends the subscription of a session that has but one, when it is resumed and there were messages
/// since its client was last heard of.
fn loses_only_subscription() -> Box<dyn Rule> {
    #[derive(Default)]
    struct Known {
        subscriptions: Subscriptions,
        published: u32,
        /// How many messages there had been when a client was last heard of.
        heard: BTreeMap<Text, u32>,
        /// Who has come back, and had missed some.
        back: BTreeSet<ConnectionId>,
    }
    through(
        Known::default(),
        |known, packet, at, act| {
            known.subscriptions.note(&packet, at);
            known.published += u32::from(matches!(packet, Packet::Publish(_)));
            let before = known.heard.insert(at.id(), known.published);
            if matches!(packet, Packet::Connect(_)) && before.is_some_and(|it| it < known.published)
            {
                known.back.insert(at.connection);
            }
            act.receive(packet);
        },
        |known, packet, at, act| {
            let resumes = matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
            if !answers_forged(&packet) {
                act.send(packet);
            }
            let own = known.subscriptions.of(at);
            let loses = resumes && own.len() == 1 && known.back.contains(&at.connection);
            for filter in own.keys().filter(|_| loses) {
                act.receive(Unsubscribe::new(FORGED, filter.clone()));
            }
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

/// Leaves the old connection open at takeovers of which `which` is true, given the how-manieth of
/// all it is and whether it asks for a clean start. The core takes it for closed.
fn leaves_open(which: fn(u32, bool) -> bool) -> Box<dyn Rule> {
    #[derive(Default)]
    struct Takeovers {
        clean_start: bool,
        count: u32,
        kept: BTreeSet<ConnectionId>,
    }
    crossing(
        Takeovers::default(),
        |takeovers, input, boundary| {
            if let Input::Received(_, Packet::Connect(connect)) = &input {
                takeovers.clean_start = connect.clean_start;
            }
            boundary.pass(input);
        },
        move |takeovers, output, boundary| {
            match &output {
                Output::Send(connection, Packet::Disconnect(disconnect))
                    if disconnect.reason == ReasonCode::SessionTakenOver =>
                {
                    takeovers.count += 1;
                    if which(takeovers.count, takeovers.clean_start) {
                        takeovers.kept.insert(*connection);
                        return;
                    }
                }
                Output::Close(connection) if takeovers.kept.contains(connection) => return,
                _ => {}
            }
            boundary.emit(output);
        },
    )
}

/// Tells nobody who asked for a clean start of a session.
fn untold() -> Box<dyn Rule> {
    accepts(|connack, at| {
        let clean = at.client().is_some_and(|client| client.connect.clean_start);
        connack.session_present &= !clean;
    })
}
