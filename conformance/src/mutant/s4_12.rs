//! Enhanced authentication.

use std::collections::BTreeSet;

use bytes::Bytes;
use reference_broker::codec::{
    Auth, Disconnect, Packet, PropertyId, Publish, QoS, ReasonCode, Text,
};
use reference_broker::core::{Answer, ConnectionId, Input, Output, Question};

use super::Mutant;
use crate::boundary::rules::{
    Act, At, accepts, connects, crossing, ignores, keeps_open, outward, reads, writes,
};
use crate::boundary::{Client, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = packets();
    all.extend(proofs());
    all.extend(without_method());
    all
}

pub(super) const METHOD: PropertyId = PropertyId::AuthenticationMethod;

/// The method of a client, if its CONNECT has one.
pub(super) fn method_of(at: At<'_>) -> Option<&Text> {
    at.client().and_then(|client| client.connect.properties.text(METHOD))
}

/// Whether the client of a connection is in the exchange that begins with its CONNECT.
pub(super) fn is_in_first(at: At<'_>) -> bool {
    method_of(at).is_some() && at.client().is_some_and(|client| !client.accepted)
}

/// Whether it has a method, and is accepted.
pub(super) fn is_past_first(at: At<'_>) -> bool {
    method_of(at).is_some() && at.client().is_some_and(|client| client.accepted)
}

/// Alters each AUTH that goes to a client.
pub(super) fn challenges(
    mut alter: impl FnMut(&mut Auth, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    writes(move |packet, at| {
        if let Packet::Auth(auth) = packet {
            alter(auth, at);
        }
    })
}

/// Alters each AUTH of a client.
pub(super) fn proves(mut alter: impl FnMut(&mut Auth, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Auth(auth) = packet {
            alter(auth, at);
        }
    })
}

/// Decides otherwise about clients than who is asked; given what was asked last.
pub(super) fn decides(
    mut decide: impl FnMut(&Question, Answer, bool) -> Answer + Send + 'static,
) -> Box<dyn Rule> {
    let asked = Vec::<(ConnectionId, Question)>::new();
    crossing(
        asked,
        move |asked, input, boundary| match input {
            Input::Answered(connection, answer) => {
                let place = asked.iter().position(|(id, _)| *id == connection);
                let question = place.map(|place| asked.swap_remove(place).1);
                let accepted =
                    boundary.clients.get(connection).is_some_and(|client| client.accepted);
                let answer = match question {
                    Some(question) => decide(&question, answer, accepted),
                    None => answer,
                };
                boundary.pass(Input::Answered(connection, answer));
            }
            input => boundary.pass(input),
        },
        |asked, output, boundary| {
            if let Output::Ask(connection, question) = &output {
                asked.push((*connection, question.clone()));
            }
            boundary.emit(output);
        },
    )
}

/// The embedded broker's first user.
pub(super) fn someone() -> Answer {
    Answer::Accepted { user: Some("ann".into()), data: None }
}

fn data_of(question: &Question) -> &[u8] {
    match question {
        Question::Exchange { data: Some(data), .. } => data,
        _ => &[],
    }
}

/// Whether this is asked about a proof.
fn is_about_proof(question: &Question) -> bool {
    data_of(question).starts_with(b"c=")
}

/// Hands on what the core is not to hand on, as if another client had published it.
pub(super) fn hands_on(publish: Publish, at: At<'_>, act: &mut Act<'_, '_>) {
    if let Some(other) = at.clients.other_than(at.connection) {
        let publish = publish.qos(QoS::AtMostOnce, 0);
        act.boundary.pass(Input::Received(other, publish.into()));
    }
}

fn packets() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.12/asks-with-success",
            "AUTH that asks for more says 0x00",
            &["MQTT-4.12.0-2"],
            || {
                vec![challenges(|auth, at| {
                    if is_in_first(at) {
                        auth.reason = ReasonCode::Success;
                    }
                })]
            },
        )
        .also(&["U-3.15.2.1-2"]),
        Mutant::new(
            "4.12/success-before-connack",
            "An AUTH 0x00 comes before the CONNACK that accepts",
            &["U-3.15.2.1-2", "MQTT-4.12.0-2"],
            || {
                vec![outward(|packet, at, act| {
                    let accepts = matches!(&packet, Packet::ConnAck(it) if !it.reason.is_error());
                    if let (true, Some(method)) = (accepts, method_of(at)) {
                        act.send(Auth::new(ReasonCode::Success).with(METHOD, method.clone()));
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.12/ends-with-auth",
            "AUTH 0x00 stands in the place of the CONNACK that accepts",
            &["U-4.12-2", "MQTT-4.12.0-2"],
            || {
                vec![outward(|packet, at, act| match (&packet, method_of(at)) {
                    (Packet::ConnAck(it), Some(method)) if !it.reason.is_error() => {
                        act.send(Auth::new(ReasonCode::Success).with(METHOD, method.clone()));
                    }
                    _ => act.send(packet),
                })]
            },
        )
        .also(&["U-3.15.2.1-2"]),
        Mutant::new(
            "4.12/properties-before-the-code",
            "AUTH has the first byte of its properties where its code should be",
            &["U-3.15.2-1"],
            || vec![challenges(|auth, _| auth.reason = ReasonCode::GrantedQoS1)],
        )
        .also(&["MQTT-3.15.2-1", "MQTT-4.12.0-2"]),
        Mutant::new(
            "4.12/connack-without-method",
            "The CONNACK that ends an exchange names no method",
            &["MQTT-4.12.0-5"],
            || vec![accepts(|connack, _| connack.properties.retain(|it| it.id != METHOD))],
        ),
        Mutant::new(
            "4.12/auth-names-a-family",
            "AUTH names the method without its hash",
            &["MQTT-4.12.0-5"],
            || vec![challenges(|auth, _| auth.properties.set(METHOD, "SCRAM"))],
        ),
        Mutant::new(
            "4.12/wrong-signature",
            "The data in CONNACK is not that of who knows the client",
            &["U-4.12-2"],
            || {
                vec![accepts(|connack, _| {
                    if connack.properties.contains(PropertyId::AuthenticationData) {
                        let wrong = Bytes::from_static(b"v=AAAA");
                        connack.properties.set(PropertyId::AuthenticationData, wrong);
                    }
                })]
            },
        ),
        Mutant::new(
            "4.12/explains-unasked",
            "AUTH has a Reason String, wanted or not",
            &["MQTT-3.1.2-29"],
            || vec![challenges(|auth, _| auth.properties.push(PropertyId::ReasonString, "more"))],
        ),
        Mutant::new(
            "3.15/long-reason-string",
            "AUTH has a long Reason String, whatever the client has room for",
            &["MQTT-3.15.2-2"],
            || vec![explains(PropertyId::ReasonString)],
        )
        .also(&["MQTT-3.1.2-24"]),
        Mutant::new(
            "3.15/long-user-property",
            "AUTH has a long User Property, whatever the client has room for",
            &["MQTT-3.15.2-3"],
            || vec![explains(PropertyId::UserProperty)],
        )
        .also(&["MQTT-3.1.2-24"]),
    ]
}

/// Explains each AUTH to who has not asked for no explanations.
fn explains(id: PropertyId) -> Box<dyn Rule> {
    challenges(move |auth, at| {
        let asked = |client: &Client| {
            client.connect.properties.number(PropertyId::RequestProblemInformation)
        };
        if at.client().and_then(asked) == Some(0) {
            return;
        }
        let text = "more is needed to be sure of you; ".repeat(6);
        match id {
            PropertyId::UserProperty => auth.properties.push(id, ("why", text.as_str())),
            _ => auth.properties.push(id, text.as_str()),
        }
    })
}

fn proofs() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.12/proof-not-checked",
            "A proof is as good as any other",
            &["MQTT-4.12.0-4"],
            || {
                vec![decides(|question, answer, accepted| match answer {
                    Answer::Refused(_) if is_about_proof(question) && !accepted => someone(),
                    answer => answer,
                })]
            },
        ),
        Mutant::new(
            "4.12/unknown-user-accepted",
            "A user that nobody knows is let in with any proof",
            &["MQTT-4.12.0-4"],
            || {
                let mut is_unknown = false;
                vec![decides(move |question, answer, accepted| {
                    if data_of(question).starts_with(b"n,,") {
                        is_unknown = !data_of(question).starts_with(b"n,,n=ann,");
                    }
                    match answer {
                        Answer::Refused(_)
                            if is_about_proof(question) && is_unknown && !accepted =>
                        {
                            someone()
                        }
                        answer => answer,
                    }
                })]
            },
        ),
        Mutant::new(
            "4.12/data-of-no-use-accepted",
            "A client with data that is no message of its method is let in",
            &["MQTT-4.12.0-4"],
            || {
                vec![decides(|question, answer, accepted| match answer {
                    Answer::Refused(_) if data_of(question) == b"garbage" && !accepted => someone(),
                    answer => answer,
                })]
            },
        ),
        Mutant::new(
            "4.12/refusal-leaves-open",
            "The connection stays open after a failed exchange",
            &["MQTT-4.12.0-4", "MQTT-3.2.2-7"],
            || vec![keeps_open(|at| is_in_first(at) && is_known_method(at))],
        )
        .also(&[
            "MQTT-3.1.2-30",
            "MQTT-3.15.1-1",
            "MQTT-4.12.0-3",
            "U-3.15-1",
            "U-3.15.2.1-1",
            "MQTT-3.15.2-1",
            "U-3.15.2.2.2-1",
            "U-3.15.2.2.3-1",
            "U-3.15.2.2.4-1",
            "U-2.2.2.2-15",
            "U-3.15.3-1",
            "MQTT-3.14.4-2",
        ]),
        Mutant::new(
            "4.12/refuses-with-disconnect",
            "A failed exchange ends with DISCONNECT in the place of CONNACK",
            &["MQTT-3.14.0-1"],
            || {
                vec![outward(|packet, at, act| match &packet {
                    Packet::ConnAck(it) if it.reason.is_error() && is_known_method(at) => {
                        act.send(Disconnect::because(ReasonCode::NotAuthorized));
                    }
                    _ => act.send(packet),
                })]
            },
        )
        .also(&["MQTT-3.2.0-1"]),
    ]
}

pub(super) fn is_known_method(at: At<'_>) -> bool {
    method_of(at).is_some_and(|method| **method == *"SCRAM-SHA-256")
}

fn without_method() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.12/plain-auth-overlooked",
            "An AUTH of a client without a method is overlooked",
            &["MQTT-4.12.0-7", "U-3.15-1"],
            || {
                vec![ignores(|packet, at| {
                    matches!(packet, Packet::Auth(_)) && method_of(at).is_none()
                })]
            },
        ),
        Mutant::new(
            "4.12/method-remembered",
            "Who comes after a client with a method is told of that in CONNACK",
            &["MQTT-4.12.0-6"],
            || {
                let mut last: Option<Text> = None;
                vec![accepts(move |connack, at| match method_of(at) {
                    Some(method) => last = Some(method.clone()),
                    None => {
                        if let Some(method) = last.take() {
                            connack.properties.push(METHOD, method);
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "4.12/plain-client-challenged",
            "Who comes again after a client with a method is asked to prove itself as well",
            &["MQTT-4.12.0-6", "U-3.1.2.11.9-2"],
            || {
                let (mut last, mut known) = (None, BTreeSet::new());
                vec![outward(move |packet, at, act| {
                    if let (Packet::ConnAck(_), Some(client)) = (&packet, at.client()) {
                        match (method_of(at), &last) {
                            (Some(method), _) => last = Some(method.clone()),
                            (None, Some(method)) if client.connect.will.is_none() => {
                                if !known.insert(client.id.clone()) {
                                    let reason = ReasonCode::ContinueAuthentication;
                                    act.send(Auth::new(reason).with(METHOD, method.clone()));
                                }
                            }
                            (None, _) => {}
                        }
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.12/nearest-method-taken",
            "A method that is not known is taken for the one that is most like it",
            &["MQTT-4.12.0-1"],
            || {
                vec![connects(|connect, _| {
                    if is_nearly(connect.properties.text(METHOD)) {
                        connect.properties.set(METHOD, "SCRAM-SHA-256");
                    }
                })]
            },
        ),
    ]
}

fn is_nearly(method: Option<&Text>) -> bool {
    method.is_some_and(|method| method.starts_with("SCRAM-SHA"))
}
