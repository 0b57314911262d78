//! Sending clients elsewhere.

use std::time::Duration;

use reference_broker::codec::{
    Disconnect, Packet, PropertyId, PublishAck, ReasonCode, SubscribeAck,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{At, accepts, crossing, keeps_open, outward};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.11/stays-open",
            "The connection of a client that is sent elsewhere stays open",
            &["MQTT-3.2.2-7", "MQTT-4.13.2-1"],
            || vec![keeps_open(is_sent_elsewhere)],
        ),
        Mutant::new(
            "4.11/disconnect-in-place-of-connack",
            "A client is sent elsewhere by DISCONNECT before it has a CONNACK",
            &["MQTT-3.14.0-1"],
            || {
                vec![outward(|packet, _, act| match packet {
                    Packet::ConnAck(connack) if is_redirection(connack.reason) => {
                        let disconnect = Disconnect::because(connack.reason);
                        act.send(Disconnect { properties: connack.properties, ..disconnect });
                    }
                    packet => act.send(packet),
                })]
            },
        ),
        Mutant::new(
            "4.11/accepts-and-stays-silent",
            "A client that is sent elsewhere is told that it is accepted, and closed",
            &["U-3.2.2.3.16-2"],
            || {
                vec![accepts(|connack, _| {
                    if is_redirection(connack.reason) {
                        connack.reason = ReasonCode::Success;
                    }
                })]
            },
        )
        .also(&["U-3.2.2.2-2", "MQTT-4.13.2-1"]),
        Mutant::new(
            "4.11/reference-with-another-code",
            "A client is told another server by 0x88 (server unavailable)",
            &["U-3.2.2.3.16-2"],
            || {
                vec![accepts(|connack, _| {
                    if is_redirection(connack.reason) {
                        connack.reason = ReasonCode::ServerUnavailable;
                    }
                })]
            },
        ),
        Mutant::new(
            "4.11/references-in-lines",
            "The references of a list stand in lines",
            &["U-4.11-4"],
            || vec![references("one.example:1883\nother.example:1883")],
        ),
        Mutant::new("4.11/no-reference", "A list has no references", &["U-4.11-4"], || {
            vec![references(" ")]
        }),
        Mutant::new(
            "4.11/serves-what-came-along",
            "What came with a CONNECT is answered before the client that is sent elsewhere is closed",
            &["MQTT-3.1.4-6", "MQTT-3.2.0-1"],
            || vec![serves()],
        ),
    ]
}

fn is_redirection(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
}

fn is_sent_elsewhere(at: At<'_>) -> bool {
    at.client().is_some_and(|client| !client.accepted)
}

fn references(list: &'static str) -> Box<dyn Rule> {
    accepts(move |connack, _| {
        if is_redirection(connack.reason) {
            connack.properties.set(PropertyId::ServerReference, list);
        }
    })
}

/// Closes a moment later, and answers what comes until then.
fn serves() -> Box<dyn Rule> {
    const MOMENT: Duration = Duration::from_millis(1);
    crossing(
        None::<ConnectionId>,
        |sent_elsewhere, input, boundary| {
            let answer = match &input {
                Input::Received(from, packet) if *sent_elsewhere == Some(*from) => match packet {
                    Packet::Publish(it) => Some(Packet::PubAck(PublishAck::new(it.packet_id))),
                    Packet::Subscribe(it) => {
                        let granted = vec![ReasonCode::GrantedQoS1; it.subscriptions.len()];
                        Some(Packet::SubAck(SubscribeAck::new(it.packet_id, granted)))
                    }
                    _ => None,
                },
                _ => None,
            };
            match (answer, &input) {
                (Some(answer), Input::Received(from, _)) => {
                    boundary.emit(Output::Send(*from, answer));
                }
                _ => boundary.pass(input),
            }
        },
        |sent_elsewhere, output, boundary| match output {
            Output::Close(id) if *sent_elsewhere == Some(id) => {
                boundary.emit_after(MOMENT, Output::Close(id));
            }
            output => {
                if let Output::Send(id, Packet::ConnAck(connack)) = &output
                    && is_redirection(connack.reason)
                {
                    *sent_elsewhere = Some(*id);
                }
                boundary.emit(output);
            }
        },
    )
}
