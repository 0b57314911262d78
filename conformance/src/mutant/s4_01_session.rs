//! Session State.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, Publish, QoS, Text};
use reference_broker::core::{ConnectionId, Input, Moment, Output};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::resume::on_resume;
use crate::boundary::rules::subscriptions::resubscribes;
use crate::boundary::rules::{At, crossing, keeps_open, reads, reads_connect, swallows, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = kept_state();
    all.extend(lifetime());
    all
}

fn kept_state() -> Vec<Mutant> {
    let on_resume_alone = |_: At<'_>, present: bool| present;
    vec![
        Mutant::new(
            "4.1/empty-session-lost",
            "A session in which nobody has subscribed yet is not kept",
            &["U-4.1-3"],
            empty_sessions_lost,
        )
        .also(&["MQTT-3.2.2-3", "MQTT-3.1.3-9"]),
        Mutant::new(
            "4.1/empty-session-not-announced",
            "Session Present is 0 for a session in which nobody has subscribed yet",
            &["MQTT-3.2.2-3"],
            empty_sessions_not_announced,
        ),
        Mutant::new(
            "4.1/no-local-lost-on-resume",
            "A resumed session has its subscriptions without No Local",
            &["U-4.1-4"],
            move || {
                vec![resubscribes(on_resume_alone, |_, mut held| {
                    held.options.no_local = false;
                    Some(held)
                })]
            },
        ),
        Mutant::new(
            "4.1/qos-raised-on-resume",
            "A resumed session has its QoS 0 subscriptions at QoS 1",
            &["U-4.1-4"],
            move || {
                vec![resubscribes(on_resume_alone, |_, mut held| {
                    held.options.maximum_qos = held.options.maximum_qos.max(QoS::AtLeastOnce);
                    Some(held)
                })]
            },
        ),
        Mutant::new(
            "4.1/retain-as-published-lost-on-resume",
            "A resumed session has its subscriptions without Retain As Published",
            &["U-4.1-4"],
            move || {
                vec![resubscribes(on_resume_alone, |_, mut held| {
                    held.options.retain_as_published = false;
                    Some(held)
                })]
            },
        ),
        Mutant::new(
            "4.1/subscription-identifier-cut-on-resume",
            "A resumed session has its Subscription Identifiers in one byte",
            &["U-4.1-4"],
            move || {
                vec![resubscribes(on_resume_alone, |_, mut held| {
                    held.identifier = held.identifier.map(|number| number & 0xFF);
                    Some(held)
                })]
            },
        ),
        Mutant::new(
            "4.1/queue-lost-at-qos-2",
            "Of the messages that wait for a session those at QoS 2 are lost",
            &["U-4.1-6", "MQTT-4.5.0-1"],
            || {
                vec![on_resume(|packet, _, act, _| match packet {
                    Packet::Publish(publish) if !publish.dup && publish.qos == QoS::ExactlyOnce => {
                    }
                    packet => act.send(packet),
                })]
            },
        ),
        Mutant::new(
            "4.1/queue-of-four",
            "The fifth message that waits for a session is lost",
            &["U-4.1-6", "MQTT-4.5.0-1"],
            || {
                let mut came: BTreeMap<ConnectionId, u32> = BTreeMap::new();
                vec![on_resume(move |packet, at, act, _| match &packet {
                    Packet::Publish(publish) if !publish.dup => {
                        let came = came.entry(at.connection).or_default();
                        *came += 1;
                        match *came == 5 {
                            true => act.settle(publish),
                            false => act.send(packet),
                        }
                    }
                    _ => act.send(packet),
                })]
            },
        ),
        Mutant::new(
            "4.1/queue-marked-dup",
            "Messages that have waited for a session are marked as repeated",
            &["MQTT-3.3.1-1"],
            || {
                vec![on_resume(|mut packet, _, act, _| {
                    if let Packet::Publish(publish) = &mut packet {
                        publish.dup = publish.qos > QoS::AtMostOnce;
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.1/subscriptions-lost-on-takeover",
            "A session that goes from one connection straight to the next loses its subscriptions",
            &["U-4.1-4", "U-4.1-1", "MQTT-4.1.0-1"],
            || vec![resubscribes(|at, present| present && at.is_takeover(), |_, _| None)],
        ),
        Mutant::new(
            "4.1/old-connection-left-open",
            "A connection whose client has another now is left open",
            &["MQTT-3.1.4-3"],
            old_connection_left_open,
        ),
        Mutant::new(
            "4.1/client-ids-without-case",
            "Client Identifiers that differ in upper and lower case are one",
            &["MQTT-3.1.3-2"],
            || {
                vec![reads_connect(|connect, _| {
                    connect.client_id = connect.client_id.to_ascii_lowercase().into();
                })]
            },
        ),
        Mutant::new(
            "4.1/retained-lost-on-clean-start",
            "A clean start clears the retained messages that the client has published",
            &["U-4.1-10"],
            retained_lost_on_clean_start,
        ),
    ]
}

fn lifetime() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.1/session-kept-unasked",
            "Without a Session Expiry Interval a session is kept for a minute",
            &["U-4.1-1", "U-3.1.2.11.2-2"],
            || {
                vec![reads_connect(|connect, _| {
                    if !connect.properties.contains(PropertyId::SessionExpiryInterval) {
                        connect.properties.push(PropertyId::SessionExpiryInterval, 60_u32);
                    }
                })]
            },
        )
        .also(&["MQTT-4.1.0-2"]),
        Mutant::new(
            "4.1/first-expiry-kept",
            "The Session Expiry Interval of the first connection holds for the later ones",
            &["U-4.1-1", "MQTT-4.1.0-2"],
            first_expiry_kept,
        ),
        Mutant::new(
            "4.1/expired-but-for-the-flag",
            "An expired session is said to be gone, but its subscriptions and messages are not",
            &["MQTT-4.1.0-2", "U-4.1-1"],
            expired_but_for_the_flag,
        ),
        Mutant::new(
            "4.1/expiry-from-first-close",
            "The Session Expiry Interval runs from the first close of a connection on",
            &["U-4.1-1", "MQTT-3.1.2-23"],
            expiry_from_first_close,
        ),
        Mutant::new(
            "4.1/expires-while-connected",
            "The Session Expiry Interval runs from CONNECT, and the next connection finds nothing",
            &["MQTT-4.1.0-1", "U-4.1-1"],
            expires_while_connected,
        )
        .also(&["MQTT-3.2.2-3", "MQTT-3.1.2-23"]),
    ]
}

fn empty_sessions_lost() -> Rules {
    let mut used = BTreeSet::new();
    vec![reads(move |packet, at| match packet {
        Packet::Subscribe(_) => {
            used.insert(at.id());
        }
        Packet::Connect(connect) => connect.clean_start |= !used.contains(&connect.client_id),
        _ => {}
    })]
}

fn empty_sessions_not_announced() -> Rules {
    vec![through(
        BTreeSet::<Text>::new(),
        |used, packet, at, act| {
            if matches!(packet, Packet::Subscribe(_)) {
                used.insert(at.id());
            }
            act.receive(packet);
        },
        |used, mut packet, at, act| {
            if let Packet::ConnAck(connack) = &mut packet {
                connack.session_present &= used.contains(&at.id());
            }
            act.send(packet);
        },
    )]
}

fn retained_lost_on_clean_start() -> Rules {
    let retained: BTreeMap<Text, Vec<Text>> = BTreeMap::new();
    vec![through(
        retained,
        |retained, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.retain
            {
                retained.entry(at.id()).or_default().push(publish.topic.clone());
            }
            act.receive(packet);
        },
        |retained, packet, at, act| {
            let is_new = matches!(packet, Packet::ConnAck(_)) && at.is_clean_start();
            act.send(packet);
            if is_new {
                for topic in retained.remove(&at.id()).into_iter().flatten() {
                    act.receive(Publish::new(topic, "").retain());
                }
            }
        },
    )]
}

fn old_connection_left_open() -> Rules {
    let has_another = |at: At<'_>| {
        let id = at.id();
        at.clients.iter().any(|(it, client)| it != at.connection && client.id == id)
    };
    vec![
        keeps_open(has_another),
        swallows(move |packet, at| matches!(packet, Packet::Disconnect(_)) && has_another(at)),
    ]
}

fn first_expiry_kept() -> Rules {
    let mut first: BTreeMap<Text, u32> = BTreeMap::new();
    vec![reads_connect(move |connect, _| {
        let expiry = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        let kept = *first.entry(connect.client_id.clone()).or_insert(expiry);
        connect.properties.set(PropertyId::SessionExpiryInterval, kept);
    })]
}

/// What a session was given, and when its connection was lost.
#[derive(Debug, Default)]
struct Life {
    expiry: u32,
    closed: Option<Moment>,
}

fn expired_but_for_the_flag() -> Rules {
    vec![crossing(
        BTreeMap::<Text, Life>::new(),
        |lives, mut input, boundary| {
            match &mut input {
                Input::Closed(connection) => {
                    let life =
                        boundary.clients.get(*connection).and_then(|it| lives.get_mut(&it.id));
                    if let Some(life) = life {
                        life.closed = Some(boundary.now);
                    }
                }
                Input::Received(_, Packet::Connect(connect)) => {
                    let id = PropertyId::SessionExpiryInterval;
                    if let Some(expiry @ 1..600) = connect.properties.number(id) {
                        lives.entry(connect.client_id.clone()).or_default().expiry = expiry;
                        connect.properties.set(id, 100 * expiry);
                    }
                }
                _ => {}
            }
            boundary.pass(input);
        },
        |lives, mut output, boundary| {
            if let Output::Send(connection, Packet::ConnAck(connack)) = &mut output
                && let Some(client) = boundary.clients.get(*connection)
                && let Some(life) = lives.get_mut(&client.id)
                && let Some(closed) = life.closed.take()
            {
                let waited = boundary.now.0.saturating_sub(closed.0);
                connack.session_present &= waited < u64::from(life.expiry) * 1000;
            }
            boundary.emit(output);
        },
    )]
}

/// Makes a clean start of a CONNECT that comes after this moment and the expiry that it asks for.
fn starts_anew_after(begin: fn(&Input) -> bool) -> Rules {
    vec![crossing(
        BTreeMap::<Text, Moment>::new(),
        move |begins, mut input, boundary| {
            if let Input::Received(_, Packet::Connect(connect)) = &mut input {
                let expiry = connect.properties.number(PropertyId::SessionExpiryInterval);
                let expiry = u64::from(expiry.unwrap_or(0)) * 1000;
                let begun = begins.get(&connect.client_id);
                connect.clean_start |= begun.is_some_and(|it| it.0 + expiry < boundary.now.0);
            }
            if let Input::Received(connection, _) | Input::Closed(connection) = &input
                && begin(&input)
                && let Some(client) = boundary.clients.get(*connection)
            {
                begins.entry(client.id.clone()).or_insert(boundary.now);
            }
            boundary.pass(input);
        },
        |_, output, boundary| boundary.emit(output),
    )]
}

fn expiry_from_first_close() -> Rules {
    starts_anew_after(|input| matches!(input, Input::Closed(_)))
}

fn expires_while_connected() -> Rules {
    starts_anew_after(|input| matches!(input, Input::Received(_, Packet::Connect(_))))
}
