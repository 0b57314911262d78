//! Keep Alive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Disconnect, Packet, PropertyId, ReasonCode, Text};
use reference_broker::core::{ConnectionId, Input, Moment, Output};

use super::Mutant;
use crate::boundary::rules::{accepts, both, connects, inputs, outward, writes};
use crate::boundary::{Client, Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = intervals();
    all.extend(counting());
    all.extend(timeouts());
    all
}

fn intervals() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/keep-alive-cut-short",
            "A client is disconnected a second and a half too early",
            &["MQTT-3.1.2-22"],
            || vec![connects(|connect, _| connect.keep_alive = shorter(connect.keep_alive))],
        ),
        Mutant::new(
            "3.1/keep-alive-of-its-own",
            "A keep alive below 20 seconds is raised to that, and the client not told",
            &["MQTT-3.1.2-22", "MQTT-3.2.2-22"],
            || {
                vec![connects(|connect, _| {
                    if connect.keep_alive > 0 {
                        connect.keep_alive = connect.keep_alive.max(20);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/keep-alive-announced-not-kept",
            "CONNACK sets a keep alive of 4 seconds for clients that ask for less, which still counts",
            &["MQTT-3.1.2-22"],
            || {
                vec![accepts(|connack, at| {
                    let asked = at.client().map_or(0, |client| client.connect.keep_alive);
                    if (1..4).contains(&asked) && !connack.reason.is_error() {
                        connack.properties.set(PropertyId::ServerKeepAlive, 4);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/keep-alive-of-first-connection",
            "A session that goes on has the keep alive of its first connection",
            &["MQTT-3.1.2-22"],
            || {
                let mut first = BTreeMap::<Text, u16>::new();
                vec![connects(move |connect, _| {
                    let own = first.entry(connect.client_id.clone()).or_insert(connect.keep_alive);
                    match connect.clean_start {
                        true => *own = connect.keep_alive,
                        false => connect.keep_alive = *own,
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/keep-alive-overflows",
            "One and a half times the keep alive is held in two bytes",
            &["MQTT-3.1.2-22"],
            || {
                vec![connects(|connect, _| {
                    let allowed = u32::from(connect.keep_alive) * 3 / 2;
                    if allowed > 0 && allowed.is_multiple_of(1 << 16) {
                        connect.keep_alive = 1;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/keep-alive-zero-is-shortest",
            "A keep alive of 0 is taken for one of a second",
            &["U-3.1.2.10-5"],
            || vec![connects(|connect, _| connect.keep_alive = connect.keep_alive.max(1))],
        ),
    ]
}

fn counting() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/keep-alive-begins-with-first-packet",
            "A client that sends nothing after CONNECT is not held to its keep alive",
            &["U-3.1.4-6", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::Connect(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-ignores-acknowledgements",
            "Acknowledgements from a client do not count for its keep alive",
            &["U-3.1.2.10-3", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::PubAck(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-ignores-pubrec",
            "PUBREC does not count for a client's keep alive",
            &["U-3.1.2.10-3", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::PubRec(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-ignores-pubrel",
            "PUBREL does not count for a client's keep alive",
            &["U-3.1.2.10-3", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::PubRel(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-ignores-pubcomp",
            "PUBCOMP does not count for a client's keep alive",
            &["U-3.1.2.10-3", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::PubComp(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-ignores-unsubscribe",
            "UNSUBSCRIBE does not count for a client's keep alive",
            &["U-3.1.2.10-3", "MQTT-3.1.2-22"],
            || counts(|packet| !matches!(packet, Packet::Unsubscribe(_))),
        ),
        Mutant::new(
            "3.1/keep-alive-fed-by-deliveries",
            "What is sent to a client counts for its keep alive",
            &["MQTT-3.1.2-22"],
            || vec![deliveries_count()],
        ),
    ]
}

fn timeouts() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/keep-alive-timeout-misnamed",
            "A client that exceeded its keep alive is told that its session was taken over",
            &["U-3.14.2.1-9", "U-3.14.2.1-10"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::Disconnect(disconnect) = packet
                        && disconnect.reason == ReasonCode::KeepAliveTimeout
                    {
                        disconnect.reason = ReasonCode::SessionTakenOver;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/keep-alive-timeout-deletes-will",
            "The Will of a client that exceeded its keep alive is not published",
            &["U-3.1.2.5-1", "MQTT-3.1.2-8"],
            || vec![timeout_deletes_will()],
        ),
        Mutant::new(
            "3.1/keep-alive-timeout-ends-session",
            "The session of a client that exceeded its keep alive ends",
            &["MQTT-3.1.2-23"],
            || {
                vec![outward(|packet, at, act| {
                    let client = at.client().filter(|_| is_timeout(&packet));
                    act.send(packet);
                    if let Some(client) = client {
                        act.boundary.forget_session(&client.id);
                    }
                })]
            },
        ),
    ]
}

fn shorter(keep_alive: u16) -> u16 {
    match keep_alive {
        0 | 1 => keep_alive,
        seconds => seconds - 1,
    }
}

fn is_timeout(packet: &Packet) -> bool {
    matches!(packet, Packet::Disconnect(it) if it.reason == ReasonCode::KeepAliveTimeout)
}

/// Counts only these packets for Keep Alive, in the place of the core.
fn counts(which: fn(&Packet) -> bool) -> Rules {
    type Counted = BTreeMap<ConnectionId, Moment>;
    let counted = Arc::new(Mutex::new(Counted::new()));
    let noted = Arc::clone(&counted);
    let alarm = inputs(move |input, boundary| {
        if let Input::Received(connection, packet) = &input
            && which(packet)
            && let Some(client) = boundary.clients.get(*connection)
        {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.insert(*connection, boundary.now);
            boundary.pass_after(allowed(client), Input::Tick);
        }
        boundary.pass(input);
    });
    let check = inputs(move |input, boundary| {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|connection, last| {
            let Some(client) = boundary.clients.get(*connection) else { return false };
            let is_due =
                client.connect.keep_alive > 0 && last.after(allowed(client)) <= boundary.now;
            if is_due {
                let disconnect = Disconnect::because(ReasonCode::KeepAliveTimeout);
                boundary.emit(Output::Send(*connection, disconnect.into()));
                boundary.emit(Output::Close(*connection));
                boundary.pass(Input::Closed(*connection));
            }
            !is_due
        });
        drop(counted);
        boundary.pass(input);
    });
    let off = connects(|connect, _| connect.keep_alive = 0);
    vec![alarm, check, off]
}

fn allowed(client: &Client) -> Duration {
    Duration::from_millis(u64::from(client.connect.keep_alive) * 1500)
}

/// The core gets a PINGREQ for each delivery, whose answer nobody sees.
fn deliveries_count() -> Box<dyn Rule> {
    both(
        BTreeMap::<ConnectionId, u32>::new(),
        |_, packet, _, act| act.receive(packet),
        |hidden, packet, at, act| {
            let hidden = hidden.entry(at.connection).or_default();
            match &packet {
                Packet::PingResp if *hidden > 0 => *hidden -= 1,
                Packet::Publish(_) => {
                    act.send(packet);
                    *hidden += 1;
                    act.receive(Packet::PingReq);
                }
                _ => act.send(packet),
            }
        },
    )
}

fn timeout_deletes_will() -> Box<dyn Rule> {
    let mut deleted = BTreeSet::<(Text, Bytes)>::new();
    outward(move |packet, at, act| {
        if is_timeout(&packet)
            && let Some(will) = at.client().and_then(|client| client.connect.will.as_ref())
        {
            deleted.insert((will.topic.clone(), will.payload.clone()));
        }
        match &packet {
            Packet::Publish(publish)
                if deleted.contains(&(publish.topic.clone(), publish.payload.clone())) =>
            {
                act.settle(publish);
            }
            _ => act.send(packet),
        }
    })
}
