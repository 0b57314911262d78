//! Faults that touch everything: one cause each, which is to be told once and not by all that stands
//! on it. A test holds the suite to that.

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, PropertyId, PublishAck, QoS, ReasonCode};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::rules::{accepts, crossing, delivers, through, writes};
use crate::boundary::{Boundary, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = messages();
    all.extend(answers());
    all.extend(endings());
    all.into_iter().map(Mutant::systemic).collect()
}

fn messages() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/expiry-added-to-all",
            "Every message without a lifetime is delivered with one, even if that makes it too large",
            &["U-3.3.2.3.3-1"],
            || {
                vec![delivers(|publish, _| {
                    let expiry = PropertyId::MessageExpiryInterval;
                    if !publish.properties.contains(expiry) {
                        publish.properties.push(expiry, 3600);
                    }
                })]
            },
        )
.also(&["MQTT-3.1.2-24"]),
        Mutant::new(
            "3.3/user-property-added-to-all",
            "Every message is delivered with one more User Property, even if that makes it too large",
            &["MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    publish.properties.push(PropertyId::UserProperty, ("from", "broker"));
                })]
            },
        )
.also(&["MQTT-3.1.2-24"]),
        Mutant::new(
            "3.3/dup-always",
            "Every message above QoS 0 is delivered with DUP 1",
            &["MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
            || vec![delivers(|publish, _| publish.dup = publish.qos > QoS::AtMostOnce)],
        ),
        Mutant::new(
            "3.3/retain-always",
            "Every message is delivered with RETAIN 1",
            &["MQTT-3.3.1-12", "MQTT-3.3.1-13"],
            || vec![delivers(|publish, _| publish.retain = true)],
        ),
        Mutant::new(
            "2.2/identifiers-of-one-pool",
            "A Packet Identifier that the broker has in use towards a client is refused from it",
            &["U-2.2.1-4"],
            || vec![one_pool()],
        ),
    ]
}

fn answers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/session-present-always",
            "Session Present is 1 in every CONNACK that accepts",
            &["MQTT-3.2.2-2", "MQTT-3.2.2-3"],
            || vec![accepts(|connack, _| connack.session_present = !connack.reason.is_error())],
        )
        .also(&["MQTT-4.1.0-2"]),
        Mutant::new(
            "3.9/one-code-too-few",
            "SUBACK lacks the code of the last filter",
            &["MQTT-3.8.4-6", "MQTT-3.9.3-1"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::SubAck(suback) = packet {
                        suback.reasons.pop();
                    }
                })]
            },
        )
        .also(&["U-2.3-1"]),
        Mutant::new(
            "3.9/says-qos-0-always",
            "SUBACK says QoS 0 whatever was granted, and messages come at what was asked for",
            &["MQTT-3.8.4-7", "MQTT-3.8.4-8", "U-3.9.3-1"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::SubAck(suback) = packet {
                        let granted = suback.reasons.iter_mut().filter(|code| !code.is_error());
                        granted.for_each(|code| *code = ReasonCode::Success);
                    }
                })]
            },
        ),
    ]
}

fn endings() -> Vec<Mutant> {
    vec![Mutant::new(
        "3.14/says-goodbye-and-stays",
        "After its DISCONNECT, or a CONNACK that refuses, the broker does not close",
        &["MQTT-3.14.4-2", "MQTT-3.2.2-7", "MQTT-4.13.2-1"],
        || vec![stays()],
    )]
}

/// Refuses messages whose identifiers are in use the other way.
fn one_pool() -> Box<dyn Rule> {
    through(
        BTreeSet::<(ConnectionId, u16)>::new(),
        |used, packet, at, act| {
            let answer = match &packet {
                Packet::Publish(publish) if used.contains(&(at.connection, publish.packet_id)) => {
                    let refusal =
                        PublishAck::because(publish.packet_id, ReasonCode::PacketIdentifierInUse);
                    match publish.qos {
                        QoS::AtMostOnce => None,
                        QoS::AtLeastOnce => Some(Packet::PubAck(refusal)),
                        QoS::ExactlyOnce => Some(Packet::PubRec(refusal)),
                    }
                }
                Packet::PubAck(ack) | Packet::PubComp(ack) => {
                    used.remove(&(at.connection, ack.packet_id));
                    None
                }
                _ => None,
            };
            match answer {
                Some(answer) => act.send(answer),
                None => act.receive(packet),
            }
        },
        |used, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos > QoS::AtMostOnce
            {
                used.insert((at.connection, publish.packet_id));
            }
            act.send(packet);
        },
    )
}

/// Does not close what it has said goodbye on; the client may.
fn stays() -> Box<dyn Rule> {
    crossing(
        BTreeSet::<ConnectionId>::new(),
        |said, input, boundary: &mut Boundary<'_>| match &input {
            Input::Received(connection, _) if said.contains(connection) => {}
            _ => boundary.pass(input),
        },
        |said, output, boundary| {
            match &output {
                Output::Send(connection, Packet::Disconnect(_)) => {
                    said.insert(*connection);
                }
                Output::Send(connection, Packet::ConnAck(connack)) if connack.reason.is_error() => {
                    said.insert(*connection);
                }
                Output::Close(connection) if said.contains(connection) => return,
                _ => {}
            }
            boundary.emit(output);
        },
    )
}
