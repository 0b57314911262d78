//! Takeovers that overlap: of a connection that has sent nothing yet but its CONNECT.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, PublishAck, QoS, ReasonCode, Text,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::rules::{crossing, inputs, published};
use crate::boundary::{Boundary, Client, Clients, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = sessions();
    all.extend(wills());
    all.extend(messages());
    all
}

fn sessions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/overlapping-takeover-leaves-old-open",
            "A connection that has sent nothing but its CONNECT is not closed when it is taken over",
            &["MQTT-3.1.4-3"],
            || vec![leaves_open()],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-gets-no-connack",
            "Who takes over a connection that has sent nothing but its CONNECT gets no CONNACK",
            &["MQTT-3.1.4-5"],
            || vec![gives_no_connack()],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-closes-both",
            "Of two connections of which the other has sent nothing yet both are closed",
            &["U-3.2.2.2-2", "MQTT-3.1.4-5"],
            || vec![closes_both()],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-ends-session",
            "Who takes over a connection that has sent nothing but its CONNECT gets a new session",
            &["MQTT-3.1.2-5", "MQTT-3.2.2-3"],
            || vec![at_overlap(|connect, _, _, _| connect.clean_start = true)],
        ),
        Mutant::new(
            "3.1/overlapping-clean-start-ignored",
            "Who takes over a connection that has sent nothing but its CONNECT gets its session",
            &["MQTT-3.1.4-4", "MQTT-3.1.2-4", "MQTT-3.2.2-2"],
            || vec![at_overlap(|connect, _, _, _| connect.clean_start = false)],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-session-not-kept",
            "The session of who takes over a connection that has sent nothing ends with its connection",
            &["MQTT-3.1.2-23"],
            || {
                vec![at_overlap(|connect, _, _, _| {
                    connect.properties.retain(|it| it.id != PropertyId::SessionExpiryInterval);
                })]
            },
        )
        .also(&["MQTT-3.1.2-5", "MQTT-3.2.2-3", "MQTT-4.4.0-1", "U-4.1-6"]),
    ]
}

fn wills() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/overlapping-takeover-publishes-will-twice",
            "The Will of a connection that has sent nothing else is published twice at a takeover",
            &["MQTT-3.1.2-10", "MQTT-3.1.2-8"],
            || {
                vec![at_overlap(|_, _, old, boundary| {
                    if let Some(will) = &old.connect.will {
                        boundary.publish_after(std::time::Duration::ZERO, published(will));
                    }
                })]
            },
        )
        .also(&["U-3.1.4-5"]),
        Mutant::new(
            "3.1/overlapping-takeover-deletes-will",
            "The Will of a connection that has sent nothing else is lost at a takeover",
            &["U-3.1.4-5", "MQTT-3.1.2-8"],
            || {
                vec![at_overlap(|_, old, _, boundary| {
                    boundary.pass(Input::Received(old, Disconnect::default().into()));
                })]
            },
        ),
        Mutant::new(
            "3.1/overlapping-takeover-publishes-new-will",
            "With the Will of a connection that has sent nothing that of who takes it over is published",
            &["MQTT-3.1.2-8"],
            || {
                vec![at_overlap(|connect, _, _, boundary| {
                    if let Some(will) = &connect.will {
                        boundary.publish_after(std::time::Duration::ZERO, published(will));
                    }
                })]
            },
        ),
    ]
}

fn messages() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/overlapping-takeover-loses-messages",
            "What went to a connection that has sent nothing is taken for received at a takeover",
            &["MQTT-4.5.0-1", "MQTT-4.4.0-1"],
            || vec![settles_at_overlap(|qos| qos == Some(QoS::AtLeastOnce))],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-loses-qos-2",
            "QoS 2 messages that went to a connection that has sent nothing are lost at a takeover",
            &["MQTT-4.4.0-1"],
            || vec![settles_at_overlap(|qos| qos == Some(QoS::ExactlyOnce))],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-forgets-release",
            "PUBREL that went to a connection that has sent nothing is not sent again at a takeover",
            &["MQTT-4.4.0-1"],
            || vec![settles_at_overlap(|qos| qos.is_none())],
        ),
        Mutant::new(
            "3.1/overlapping-takeover-forgets-received",
            "Identifiers of QoS 2 messages are free after a takeover of who has sent nothing",
            &["MQTT-4.3.3-10"],
            || vec![forgets_received()],
        ),
    ]
}

/// The connection that a CONNECT takes over.
fn taken_over<'a>(
    connect: &Connect,
    by: ConnectionId,
    clients: &'a Clients,
) -> Option<(ConnectionId, &'a Client)> {
    let is_old = |(id, client): &(ConnectionId, &Client)| {
        *id != by && client.accepted && client.id == connect.client_id
    };
    clients.iter().filter(is_old).last()
}

/// Which connections have sent more than a CONNECT.
#[derive(Default)]
struct Spoken(BTreeSet<ConnectionId>);

impl Spoken {
    /// Takes note of an input; gives the connection that it takes over, if that has sent nothing more.
    fn overlap(&mut self, input: &Input, clients: &Clients) -> Option<ConnectionId> {
        match input {
            Input::Received(by, Packet::Connect(connect)) => {
                let (old, _) = taken_over(connect, *by, clients)?;
                (!self.0.contains(&old)).then_some(old)
            }
            Input::Received(by, _) => {
                self.0.insert(*by);
                None
            }
            _ => None,
        }
    }
}

/// Does something before a CONNECT that takes over a connection which has sent nothing else.
fn at_overlap(act: fn(&mut Connect, ConnectionId, &Client, &mut Boundary<'_>)) -> Box<dyn Rule> {
    let mut spoken = Spoken::default();
    inputs(move |mut input, boundary| {
        let clients = boundary.clients;
        let old = spoken.overlap(&input, clients);
        if let Some((id, old)) = old.and_then(|id| Some((id, clients.get(id)?)))
            && let Input::Received(_, Packet::Connect(connect)) = &mut input
        {
            act(connect, id, old, boundary);
        }
        boundary.pass(input);
    })
}

fn leaves_open() -> Box<dyn Rule> {
    crossing(
        (Spoken::default(), BTreeSet::new()),
        |(spoken, kept), input, boundary| {
            kept.extend(spoken.overlap(&input, boundary.clients));
            boundary.pass(input);
        },
        |(_, kept), output, boundary| match &output {
            Output::Send(id, Packet::Disconnect(_)) | Output::Close(id) if kept.contains(id) => {}
            _ => boundary.emit(output),
        },
    )
}

fn gives_no_connack() -> Box<dyn Rule> {
    crossing(
        (Spoken::default(), BTreeSet::new()),
        |(spoken, without), input, boundary| {
            if spoken.overlap(&input, boundary.clients).is_some()
                && let Input::Received(by, _) = &input
            {
                without.insert(*by);
            }
            boundary.pass(input);
        },
        |(_, without), output, boundary| match &output {
            Output::Send(id, Packet::ConnAck(_) | Packet::Disconnect(_))
                if without.contains(id) => {}
            _ => boundary.emit(output),
        },
    )
}

/// Closes who takes over, once it has its CONNACK, as if it had been taken over itself.
fn closes_both() -> Box<dyn Rule> {
    crossing(
        (Spoken::default(), BTreeSet::new()),
        |(spoken, both), input, boundary| {
            if spoken.overlap(&input, boundary.clients).is_some()
                && let Input::Received(by, _) = &input
            {
                both.insert(*by);
            }
            boundary.pass(input);
        },
        |(_, both), output, boundary| {
            let closed = match &output {
                Output::Send(id, Packet::ConnAck(_)) if both.remove(id) => Some(*id),
                _ => None,
            };
            boundary.emit(output);
            if let Some(id) = closed {
                let why = Disconnect::because(ReasonCode::SessionTakenOver);
                boundary.emit(Output::Send(id, why.into()));
                boundary.emit(Output::Close(id));
                boundary.pass(Input::Closed(id));
            }
        },
    )
}

/// Takes what is on its way to a connection that has sent nothing for settled when it is taken over:
/// messages of the levels that `which` is true of, and with none PUBREL.
fn settles_at_overlap(which: fn(Option<QoS>) -> bool) -> Box<dyn Rule> {
    crossing(
        (Spoken::default(), BTreeMap::<ConnectionId, Vec<Packet>>::new()),
        |(spoken, open), input, boundary| {
            if let Some(old) = spoken.overlap(&input, boundary.clients) {
                for settled in open.remove(&old).unwrap_or_default() {
                    boundary.pass(Input::Received(old, settled));
                }
            }
            boundary.pass(input);
        },
        move |(_, open), output, boundary| {
            let settled = match &output {
                Output::Send(id, Packet::Publish(publish)) if which(Some(publish.qos)) => {
                    let error = ReasonCode::UnspecifiedError;
                    let ack = PublishAck::because(publish.packet_id, error);
                    match publish.qos {
                        QoS::AtMostOnce => None,
                        QoS::AtLeastOnce => Some((*id, Packet::PubAck(ack))),
                        QoS::ExactlyOnce => Some((*id, Packet::PubRec(ack))),
                    }
                }
                Output::Send(id, Packet::PubRel(ack)) if which(None) => {
                    Some((*id, Packet::PubComp(PublishAck::new(ack.packet_id))))
                }
                _ => None,
            };
            if let Some((id, settled)) = settled {
                open.entry(id).or_default().push(settled);
            }
            boundary.emit(output);
        },
    )
}

fn forgets_received() -> Box<dyn Rule> {
    #[derive(Default)]
    struct Received {
        spoken: Spoken,
        /// QoS 2 messages that were not released, by their clients.
        open: BTreeMap<Text, BTreeSet<u16>>,
        /// Connections that get no PUBCOMP.
        forged: BTreeSet<ConnectionId>,
    }
    crossing(
        Received::default(),
        |received, input, boundary| {
            let clients = boundary.clients;
            if let Some(old) = received.spoken.overlap(&input, clients) {
                let client = clients.get(old).map(|client| client.id.clone()).unwrap_or_default();
                received.forged.insert(old);
                for id in received.open.remove(&client).unwrap_or_default() {
                    let release = Packet::PubRel(PublishAck::new(id));
                    boundary.pass(Input::Received(old, release));
                }
            }
            if let Input::Received(by, packet) = &input
                && let Some(client) = clients.get(*by)
            {
                let open = received.open.entry(client.id.clone()).or_default();
                match packet {
                    Packet::Publish(it) if it.qos == QoS::ExactlyOnce => {
                        open.insert(it.packet_id);
                    }
                    Packet::PubRel(it) => {
                        open.remove(&it.packet_id);
                    }
                    _ => {}
                }
            }
            boundary.pass(input);
        },
        |received, output, boundary| match &output {
            Output::Send(id, Packet::PubComp(_)) if received.forged.contains(id) => {}
            _ => boundary.emit(output),
        },
    )
}
