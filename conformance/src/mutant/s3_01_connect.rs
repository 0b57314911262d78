//! CONNECT, and what is sent around it.

use std::collections::BTreeSet;
use std::time::Duration;

use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Packet, PacketType, PropertyId, QoS, ReasonCode,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{
    At, accepts, both, delays, ignores, inputs, inward, outward, published, refuses,
};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = second();
    all.extend(around());
    all.extend(refused());
    all.extend(valid());
    all
}

fn second() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/second-connect-overheard",
            "A second CONNECT under the same client identifier has no effect",
            &["MQTT-3.1.0-2"],
            || {
                vec![ignores(|packet, at| {
                    is_second(packet, at).is_some_and(|connect| {
                        at.client().is_some_and(|client| client.id == connect.client_id)
                    })
                })]
            },
        ),
        Mutant::new(
            "3.1/second-connect-opens-session",
            "A second CONNECT closes the connection, and yet opens the session it names",
            &["MQTT-3.1.0-2"],
            || {
                vec![at_second_connect(|connect, act| {
                    let connect = Connect { will: None, ..connect.clone() };
                    act.boundary.visit([connect.into(), Disconnect::default().into()]);
                })]
            },
        ),
        Mutant::new(
            "3.1/second-connect-publishes-its-will",
            "A second CONNECT closes the connection, and its own Will is published",
            &["MQTT-3.1.0-2"],
            || {
                vec![at_second_connect(|connect, act| {
                    if let Some(will) = &connect.will {
                        act.boundary.publish_after(Duration::ZERO, published(will));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/second-connect-deletes-will",
            "A second CONNECT closes the connection as DISCONNECT 0x00 would",
            &["MQTT-3.1.2-8"],
            || {
                vec![at_second_connect(|_, act| {
                    act.send(Disconnect::because(ReasonCode::ProtocolError));
                    act.receive(Disconnect::default());
                })]
            },
        ),
        Mutant::new(
            "3.1/second-connect-deletes-will-and-session",
            "A second CONNECT closes the connection as DISCONNECT 0x00 would that ends the session",
            &["MQTT-3.1.2-8", "MQTT-3.1.2-23"],
            || {
                vec![at_second_connect(|_, act| {
                    act.send(Disconnect::because(ReasonCode::ProtocolError));
                    let mut disconnect = Disconnect::default();
                    disconnect.properties.push(PropertyId::SessionExpiryInterval, 0_u32);
                    act.receive(disconnect);
                })]
            },
        ),
        Mutant::new(
            "3.1/second-connect-gets-connack",
            "A second CONNECT is answered by another CONNACK before the close",
            &["MQTT-3.2.0-2"],
            || {
                vec![at_second_connect(|_, act| {
                    act.send(ConnAck::new(false, ReasonCode::Success));
                })]
            },
        ),
    ]
}

fn around() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/publish-before-connect-heard",
            "PUBLISH before CONNECT closes the connection, and yet the message is delivered",
            &["MQTT-3.1.0-1"],
            || {
                vec![inward(|packet, at, act| {
                    if let (Packet::Publish(publish), None) = (&packet, at.client()) {
                        act.boundary.publish_after(Duration::ZERO, publish.clone());
                    }
                    act.receive(packet);
                })]
            },
        ),
        Mutant::new(
            "3.1/packets-before-connack-lost",
            "What a client sends before it has its CONNACK is lost",
            &["U-3.1.4-7"],
            || {
                let is_early = |packet: &Packet, at: At<'_>| {
                    let is_connect = matches!(packet, Packet::Connect(_));
                    !is_connect && at.client().is_some_and(|client| !client.accepted)
                };
                // What comes right behind CONNACK waits with it.
                let is_late = |packet: &Packet, at: At<'_>| {
                    is_connack(packet, at) || at.client().is_some_and(|client| !client.accepted)
                };
                vec![ignores(is_early), delays(Duration::from_millis(1), is_late)]
            },
        ),
        Mutant::new(
            "3.1/connack-overtaken",
            "Other packets overtake CONNACK",
            &["MQTT-3.2.0-1"],
            || vec![delays(Duration::from_millis(1), is_connack)],
        ),
        Mutant::new(
            "3.1/connack-behind-first-delivery",
            "On a session that goes on, a delivery comes before CONNACK",
            &["MQTT-3.2.0-1"],
            || {
                let is_resumed = |packet: &Packet, _: At<'_>| matches!(packet, Packet::ConnAck(connack) if connack.session_present);
                vec![delays(Duration::from_millis(1), is_resumed)]
            },
        ),
    ]
}

fn refused() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/malformed-connect-left-open",
            "A malformed CONNECT is refused, and its connection left open",
            &["MQTT-3.1.4-1", "MQTT-3.2.2-7"],
            || {
                vec![inputs(|input, boundary| match input {
                    Input::Malformed(connection, Some(PacketType::Connect), _) => {
                        let refusal = ConnAck::new(false, ReasonCode::MalformedPacket);
                        boundary.emit(Output::Send(connection, refusal.into()));
                    }
                    _ => boundary.pass(input),
                })]
            },
        ),
        Mutant::new(
            "3.1/malformed-connect-closes-another",
            "A malformed CONNECT also closes the connection of the client that came before it",
            &["U-4.13.1-7"],
            || {
                vec![inputs(|input, boundary| {
                    let other = boundary.clients.iter().last().map(|(connection, _)| connection);
                    if let (Input::Malformed(_, Some(PacketType::Connect), _), Some(other)) =
                        (&input, other)
                    {
                        boundary.emit(Output::Close(other));
                        boundary.pass(Input::Closed(other));
                    }
                    boundary.pass(input);
                })]
            },
        ),
        Mutant::new(
            "3.1/messages-behind-refused-connect-heard",
            "A message that comes behind a refused CONNECT is delivered",
            &["MQTT-3.1.4-6"],
            || vec![hears_behind_refusal()],
        ),
        Mutant::new(
            "3.1/will-of-refused-connect-published",
            "The Will of a CONNECT that is refused is published when its connection is closed",
            &["MQTT-3.1.4-2"],
            || {
                vec![at_refusal(|connect, _, act| {
                    if let Some(will) = &connect.will {
                        act.boundary.publish_after(Duration::ZERO, published(will));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/refused-connect-takes-over",
            "A CONNECT that is refused closes the connection of its client all the same",
            &["U-4.13.2-2"],
            || {
                vec![at_refusal(|connect, at, act| {
                    if let Some(other) = at.other_of(&connect.client_id) {
                        act.boundary.emit(Output::Close(other));
                        act.boundary.pass(Input::Closed(other));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/refused-clean-start-ends-session",
            "A CONNECT with a clean start ends the session of its client, though it is refused",
            &["U-4.13.2-2"],
            || {
                vec![at_refusal(|connect, at, act| {
                    if connect.clean_start && at.other_of(&connect.client_id).is_none() {
                        act.boundary.forget_session(&connect.client_id);
                    }
                })]
            },
        ),
    ]
}

fn valid() -> Vec<Mutant> {
    let refused = |refused: bool, reason| refused.then_some(reason);
    vec![
        Mutant::new(
            "3.1/retained-will-needs-clean-start",
            "CONNECT with a retained Will at QoS 2 is refused without a clean start",
            &["MQTT-3.1.4-5"],
            move || {
                vec![refuses(move |connect, _| {
                    let is_one = |will: &reference_broker::codec::Will| {
                        will.retain && will.qos == QoS::ExactlyOnce
                    };
                    let has_one = connect.will.as_ref().is_some_and(is_one);
                    refused(!connect.clean_start && has_one, ReasonCode::ProtocolError)
                })]
            },
        ),
        Mutant::new(
            "3.1/will-at-qos-2-malformed",
            "CONNECT with a Will at QoS 2 is malformed unless it is retained",
            &["MQTT-3.1.2-12"],
            move || {
                vec![refuses(move |connect, _| {
                    let is_one = |will: &reference_broker::codec::Will| {
                        !will.retain && will.qos == QoS::ExactlyOnce
                    };
                    let has_one = connect.will.as_ref().is_some_and(is_one);
                    refused(has_one, ReasonCode::MalformedPacket)
                })]
            },
        ),
        Mutant::new(
            "3.1/password-needs-user-name",
            "A password without a user name is a protocol error",
            &["U-3.1.2.9-1"],
            move || {
                vec![refuses(move |connect, _| {
                    let alone = connect.password.is_some() && connect.user_name.is_none();
                    refused(alone, ReasonCode::ProtocolError)
                })]
            },
        ),
        Mutant::new(
            "3.1/password-must-be-text",
            "A password that is no UTF-8 is malformed",
            &["U-3.1.3.6-1"],
            move || {
                vec![refuses(move |connect, _| {
                    let password = connect.password.as_deref().unwrap_or_default();
                    refused(std::str::from_utf8(password).is_err(), ReasonCode::MalformedPacket)
                })]
            },
        ),
        Mutant::new(
            "3.1/empty-user-name-malformed",
            "A user name of no bytes is malformed",
            &["U-1.5.4-5"],
            move || {
                vec![refuses(move |connect, _| {
                    let is_empty = connect.user_name.as_ref().is_some_and(|name| name.is_empty());
                    refused(is_empty, ReasonCode::MalformedPacket)
                })]
            },
        ),
        Mutant::new(
            "3.1/repeated-user-property-refused",
            "CONNECT with two user properties of the same name is refused",
            &["U-3.1.2.11.8-1"],
            move || {
                vec![refuses(move |connect, _| {
                    let mut names = BTreeSet::new();
                    let mut all = connect.properties.user_properties();
                    refused(!all.all(|(name, _)| names.insert(name)), ReasonCode::ProtocolError)
                })]
            },
        ),
        Mutant::new(
            "3.1/longest-session-expiry-refused",
            "CONNECT that asks for a session without an end is refused",
            &["MQTT-3.1.4-5"],
            move || {
                vec![refuses(move |connect, _| {
                    let expiry = connect.properties.number(PropertyId::SessionExpiryInterval);
                    refused(expiry == Some(u32::MAX), ReasonCode::ProtocolError)
                })]
            },
        ),
        Mutant::new(
            "3.1/response-information-for-any-request",
            "CONNACK has response information also if CONNECT asked for none with a 0",
            &["MQTT-3.1.2-28"],
            || {
                vec![accepts(|connack, at| {
                    let asks = PropertyId::RequestResponseInformation;
                    if at.client().is_some_and(|client| client.connect.properties.contains(asks)) {
                        connack.properties.push(PropertyId::ResponseInformation, "responses");
                    }
                })]
            },
        ),
    ]
}

fn is_connack(packet: &Packet, _: At<'_>) -> bool {
    matches!(packet, Packet::ConnAck(_))
}

/// The CONNECT of a client that is connected already.
fn is_second<'a>(packet: &'a Packet, at: At<'_>) -> Option<&'a Connect> {
    match packet {
        Packet::Connect(connect) if at.client().is_some_and(|client| client.accepted) => {
            Some(connect)
        }
        _ => None,
    }
}

/// Does something at a second CONNECT before the core gets it.
fn at_second_connect(
    act_on: impl Fn(&Connect, &mut crate::boundary::rules::Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    inward(move |packet, at, act| {
        if let Some(connect) = is_second(&packet, at) {
            act_on(connect, act);
        }
        act.receive(packet);
    })
}

/// Does something when the core refuses a CONNECT that is a valid packet.
fn at_refusal(
    act_on: impl Fn(&Connect, At<'_>, &mut crate::boundary::rules::Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    outward(move |packet, at, act| {
        let refused = matches!(&packet, Packet::ConnAck(connack) if connack.reason.is_error());
        act.send(packet);
        if let Some(client) = at.client().filter(|_| refused) {
            act_on(&client.connect, at, act);
        }
    })
}

fn hears_behind_refusal() -> Box<dyn Rule> {
    both(
        BTreeSet::<ConnectionId>::new(),
        |refused, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && refused.contains(&at.connection)
            {
                act.boundary.publish_after(Duration::ZERO, publish.clone());
            }
            act.receive(packet);
        },
        |refused, packet, at, act| {
            if matches!(&packet, Packet::ConnAck(connack) if connack.reason.is_error()) {
                refused.insert(at.connection);
            }
            act.send(packet);
        },
    )
}
