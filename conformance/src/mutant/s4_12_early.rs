//! What comes before the CONNACK that ends an exchange.

use std::collections::BTreeSet;

use reference_broker::codec::{Auth, ConnAck, Fault, Packet, PacketType, ReasonCode, Text};
use reference_broker::core::{Input, Output};

use super::Mutant;
use super::s3_01_credentials::takes_over_at_once;
use super::s4_12::{METHOD, hands_on, is_in_first, is_known_method, method_of, proves};
use crate::boundary::rules::{At, answers, crossing, endures, inward, outward, published, reads};
use crate::boundary::{Client, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.12/answer-code-overlooked",
            "AUTH 0x19 before CONNACK is as good as 0x18",
            &["MQTT-4.12.0-3"],
            || {
                vec![proves(|auth, at| {
                    if is_in_first(at) {
                        auth.reason = ReasonCode::ContinueAuthentication;
                    }
                })]
            },
        ),
        Mutant::new(
            "4.12/method-of-auth-overlooked",
            "The method of an AUTH before CONNACK is not looked at",
            &["U-3.15-1", "MQTT-4.12.0-5"],
            || vec![proves(|auth, at| overlooks_method(auth, at, is_in_first(at)))],
        ),
        Mutant::new(
            "4.12/early-publish-handed-on",
            "What a client publishes before its CONNACK is handed on, and the exchange goes on",
            &["MQTT-3.1.2-30", "MQTT-3.1.4-6"],
            || {
                vec![inward(|packet, at, act| match packet {
                    Packet::Publish(publish) if is_in_first(at) => {
                        hands_on(publish, at, act);
                    }
                    packet => act.receive(packet),
                })]
            },
        ),
        Mutant::new(
            "4.12/early-ping-answered",
            "PINGREQ before CONNACK is answered",
            &["MQTT-3.1.2-30", "MQTT-3.2.0-1"],
            || {
                vec![answers(|packet, at| {
                    let is_early = *packet == Packet::PingReq && is_in_first(at);
                    is_early.then(|| vec![Packet::PingResp])
                })]
            },
        ),
        Mutant::new(
            "4.12/failed-exchange-publishes-will",
            "The Will of a client that fails to prove itself is published",
            &["MQTT-3.1.4-6"],
            || {
                vec![outward(|packet, at, act| {
                    let client = at.client().filter(|_| is_known_method(at));
                    let will = client.and_then(|client| client.connect.will.as_ref());
                    if let (Packet::ConnAck(it), Some(will)) = (&packet, will)
                        && it.reason.is_error()
                    {
                        hands_on(published(will), at, act);
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.12/exchange-takes-over-at-once",
            "The CONNECT of an exchange closes the connection of its client before it is through",
            &["U-4.13.2-2"],
            || vec![takes_over_at_once(|connect| connect.properties.contains(METHOD))],
        ),
        Mutant::new(
            "4.12/who-left-is-locked-out",
            "Who leaves in the middle of an exchange is not let in again",
            &["U-4.12-3"],
            locks_out,
        ),
        Mutant::new(
            "4.12/session-of-exchange-new",
            "A client that proves itself begins a new session",
            &["MQTT-3.2.2-3"],
            || {
                vec![reads(|packet, _| {
                    if let Packet::Connect(connect) = packet {
                        connect.clean_start |= connect.properties.contains(METHOD);
                    }
                })]
            },
        )
        .also(&["MQTT-3.1.2-5"]),
        Mutant::new(
            "3.15/bytes-behind-properties-overlooked",
            "An AUTH with bytes behind its properties is overlooked",
            &["U-3.15.3-1"],
            || {
                vec![endures(|kind, error| {
                    kind == Some(PacketType::Auth) && error.fault == Fault::TrailingBytes
                })]
            },
        )
        .also(&["MQTT-4.13.1-1", "U-2.1.4-2", "U-2.3-1"]),
        Mutant::new(
            "3.15/second-user-property",
            "AUTH with more than one User Property ends the exchange",
            &["U-3.15.2.2.5-1"],
            || {
                vec![inward(|packet, at, act| match &packet {
                    Packet::Auth(auth)
                        if is_in_first(at) && auth.properties.user_properties().count() > 1 =>
                    {
                        act.send(ConnAck::new(false, ReasonCode::ProtocolError));
                        act.close();
                    }
                    _ => act.receive(packet),
                })]
            },
        ),
    ]
}

/// Takes an AUTH for one of the method of its CONNECT.
pub(super) fn overlooks_method(auth: &mut Auth, at: At<'_>, holds: bool) {
    if let (true, Some(method)) = (holds, method_of(at)) {
        auth.properties.set(METHOD, method.clone());
    }
}

fn locks_out() -> Rules {
    let left = BTreeSet::<Text>::new();
    vec![crossing(
        left,
        |left, input, boundary| {
            let ends = match &input {
                Input::Closed(id) => Some(*id),
                Input::Received(id, Packet::Disconnect(_)) => Some(*id),
                _ => None,
            };
            let client = ends.and_then(|id| boundary.clients.get(id));
            let has_method = |client: &Client| client.connect.properties.contains(METHOD);
            if let Some(client) = client.filter(|client| !client.accepted && has_method(client)) {
                left.insert(client.id.clone());
            }
            match &input {
                Input::Received(id, Packet::Connect(connect))
                    if left.contains(&connect.client_id) =>
                {
                    boundary.emit(Output::Close(*id));
                    boundary.pass(Input::Closed(*id));
                }
                _ => boundary.pass(input),
            }
        },
        |_, output, boundary| boundary.emit(output),
    )]
}
