//! Errors, and whom they concern.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Fault, Packet, PacketType, PublishAck, QoS, Text, Unsubscribe};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::rules::{FORGED, answers_forged, crossing, endures, ignores, inputs, through};
use crate::boundary::{Boundary, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = bystanders();
    all.extend(own());
    all.extend(malformed());
    all
}

fn bystanders() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.13/error-closes-another",
            "Malformed bytes close the connection of another client as well",
            &["U-4.13.1-7"],
            || {
                on_error(|client, boundary, _| {
                    if let Some(other) = boundary.clients.other_than(client) {
                        boundary.emit(Output::Close(other));
                        boundary.pass(Input::Closed(other));
                    }
                })
            },
        ),
        Mutant::new(
            "4.13/error-ends-open-exchanges",
            "Malformed bytes end the open exchanges of other clients as well",
            &["U-4.13.1-7"],
            || error_forgets_received(|guilty, each| guilty != each),
        ),
        Mutant::new(
            "4.13/error-ends-stored-sessions",
            "An error of one client ends the stored sessions of others",
            &["U-4.13.1-7", "U-4.13.2-2"],
            || {
                on_error(|client, boundary, sessions| {
                    let connected = |id: &Text| boundary.clients.iter().any(|(_, it)| it.id == *id);
                    let own = boundary.clients.get(client).map(|it| it.id.clone());
                    let stored =
                        sessions.iter().filter(|id| !connected(id) && own.as_ref() != Some(*id));
                    let stored: Vec<Text> = stored.cloned().collect();
                    stored.iter().for_each(|id| boundary.forget_session(id));
                })
            },
        ),
    ]
}

fn own() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.13/error-ends-own-session",
            "The session of a client ends with the close for malformed bytes",
            &["MQTT-3.1.2-23", "U-4.1-4"],
            || ends_own_session(|input| matches!(input, Input::Malformed(..))),
        ),
        Mutant::new(
            "4.13/second-connect-ends-own-session",
            "The session of a client ends with the close for a second CONNECT",
            &["MQTT-3.1.2-23", "U-4.1-4"],
            || ends_own_session(|input| matches!(input, Input::Received(_, Packet::Connect(_)))),
        ),
        Mutant::new(
            "4.13/error-forgets-received",
            "What a client has half sent is forgotten with the close for malformed bytes",
            &["U-4.1-8"],
            || error_forgets_received(|guilty, each| guilty == each),
        ),
        Mutant::new(
            "4.13/refusal-ends-subscription",
            "A client that refuses a message loses the subscription that brought it",
            &["U-4.13.2-1"],
            refusal_ends_subscription,
        ),
        Mutant::new(
            "4.13/unknown-pubrel-ends-all",
            "PUBREL for an unknown exchange ends all that the client has open",
            &["U-4.13.2-1"],
            unknown_pubrel_ends_all,
        ),
    ]
}

fn malformed() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.13/malformed-publish-delivers-last",
            "A PUBLISH at QoS 3 closes the connection, but what it would say is delivered",
            &["MQTT-4.13.1-1"],
            malformed_publish_delivers_last,
        ),
        Mutant::new(
            "4.13/malformed-unsubscribe-overlooked",
            "A malformed UNSUBSCRIBE is overlooked",
            &["MQTT-4.13.1-1", "U-1.2-1"],
            || vec![endures(|kind, _| kind == Some(PacketType::Unsubscribe))],
        )
        .also(&[
            "MQTT-3.10.1-1",
            "MQTT-3.10.3-1",
            "U-1.5.7-1",
            "U-2.2.2.2-1",
            "U-2.2.2.2-12",
            "U-3.10.3-1",
        ]),
        Mutant::new(
            "4.13/second-malformed-overlooked",
            "A PUBLISH with too large a Property Length is overlooked if a malformed one came before",
            &["MQTT-4.13.1-1", "U-1.2-1"],
            || {
                let mut count = 0_u32;
                vec![endures(move |kind, error| {
                    count += u32::from(kind == Some(PacketType::Publish));
                    count > 1 && error.fault == Fault::PropertyLengthOverrun
                })]
            },
        ),
        Mutant::new(
            "4.13/second-connect-overlooked",
            "A second CONNECT is overlooked",
            &["MQTT-4.13.1-1", "MQTT-3.1.0-2", "U-3.1-1"],
            || {
                let mut connected = BTreeSet::new();
                vec![ignores(move |packet, at| {
                    matches!(packet, Packet::Connect(_)) && !connected.insert(at.connection)
                })]
            },
        ),
    ]
}

/// After what one client has done wrong, does something to others. It is told all Client
/// Identifiers that there ever were.
fn on_error(then: fn(ConnectionId, &mut Boundary<'_>, &BTreeSet<Text>)) -> Rules {
    let mut sessions = BTreeSet::new();
    vec![inputs(move |input, boundary| {
        if let Input::Received(_, Packet::Connect(connect)) = &input {
            sessions.insert(connect.client_id.clone());
        }
        let guilty = match &input {
            Input::Malformed(connection, ..) => Some(*connection),
            _ => None,
        };
        boundary.pass(input);
        if let Some(guilty) = guilty {
            then(guilty, boundary, &sessions);
        }
    })]
}

/// Ends the session of a client after an input that closes its connection.
fn ends_own_session(which: fn(&Input) -> bool) -> Rules {
    let mut connected = BTreeSet::new();
    vec![inputs(move |input, boundary| {
        let guilty = match &input {
            Input::Malformed(connection, ..) | Input::Received(connection, _)
                if which(&input) && connected.contains(connection) =>
            {
                boundary.clients.get(*connection).map(|client| client.id.clone())
            }
            _ => None,
        };
        if let Input::Received(connection, Packet::Connect(_)) = &input {
            connected.insert(*connection);
        }
        boundary.pass(input);
        if let Some(id) = guilty {
            boundary.forget_session(&id);
        }
    })]
}

/// QoS 2 messages that clients have half sent, and how many PUBCOMPs are to be hidden.
#[derive(Debug, Default)]
struct Received {
    open: BTreeSet<(ConnectionId, u16)>,
    hidden: usize,
}

impl Received {
    fn note(&mut self, input: &Input) {
        match input {
            Input::Received(connection, Packet::Publish(publish))
                if publish.qos == QoS::ExactlyOnce =>
            {
                self.open.insert((*connection, publish.packet_id));
            }
            Input::Received(connection, Packet::PubRel(ack)) => {
                self.open.remove(&(*connection, ack.packet_id));
            }
            _ => {}
        }
    }

    /// Releases what these connections have open, secretly.
    fn forget(&mut self, of: impl Fn(ConnectionId) -> bool, boundary: &mut Boundary<'_>) {
        for (connection, id) in self.open.extract_if(.., |(connection, _)| of(*connection)) {
            self.hidden += 1;
            let release = Packet::PubRel(PublishAck::new(id));
            boundary.pass(Input::Received(connection, release));
        }
    }

    fn emit(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match &output {
            Output::Send(_, Packet::PubComp(_)) if self.hidden > 0 => self.hidden -= 1,
            _ => boundary.emit(output),
        }
    }
}

/// Forgets on malformed bytes what connections have half sent; `whose` is given the one that is to
/// blame, and each.
fn error_forgets_received(whose: fn(ConnectionId, ConnectionId) -> bool) -> Rules {
    vec![crossing(
        Received::default(),
        move |received, input, boundary| {
            received.note(&input);
            if let Input::Malformed(guilty, ..) = &input {
                received.forget(|connection| whose(*guilty, connection), boundary);
            }
            boundary.pass(input);
        },
        Received::emit,
    )]
}

fn unknown_pubrel_ends_all() -> Rules {
    vec![crossing(
        Received::default(),
        |received, input, boundary| {
            if let Input::Received(client, Packet::PubRel(ack)) = &input
                && !received.open.contains(&(*client, ack.packet_id))
            {
                received.forget(|connection| connection == *client, boundary);
            }
            received.note(&input);
            boundary.pass(input);
        },
        Received::emit,
    )]
}

fn refusal_ends_subscription() -> Rules {
    vec![through(
        BTreeMap::<(ConnectionId, u16), Text>::new(),
        |topics, packet, at, act| {
            let refused = match &packet {
                Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason.is_error() => {
                    topics.get(&(at.connection, ack.packet_id)).cloned()
                }
                _ => None,
            };
            act.receive(packet);
            if let Some(topic) = refused {
                act.receive(Unsubscribe::new(FORGED, topic));
            }
        },
        |topics, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                topics.insert((at.connection, publish.packet_id), publish.topic.clone());
            }
            if !answers_forged(&packet) {
                act.send(packet);
            }
        },
    )]
}

fn malformed_publish_delivers_last() -> Rules {
    let mut last: BTreeMap<ConnectionId, Packet> = BTreeMap::new();
    vec![crossing(
        (),
        move |(), input, boundary| {
            match &input {
                Input::Received(connection, packet @ Packet::Publish(_)) => {
                    last.insert(*connection, packet.clone());
                }
                Input::Malformed(connection, _, error) if error.fault == Fault::PublishQoS3 => {
                    let again = last.remove(connection).into_iter();
                    again.for_each(|it| boundary.pass(Input::Received(*connection, it)));
                }
                _ => {}
            }
            boundary.pass(input);
        },
        |(), output, boundary| boundary.emit(output),
    )]
}
