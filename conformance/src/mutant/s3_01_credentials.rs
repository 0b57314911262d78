//! User Name and Password.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, PropertyId, ReasonCode, Text};
use reference_broker::core::{Answer, Input, Output, Question};

use super::Mutant;
use super::s4_12::{decides, hands_on};
use crate::boundary::rules::{
    accepts, closes, ignores, inward, keeps_open, outward, published, refuses, writes,
};
use crate::boundary::{Client, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = decisions();
    all.extend(leftovers());
    all
}

fn accepted(name: &Text) -> Answer {
    Answer::Accepted { user: Some(name.clone()), data: None }
}

/// Whether it is one of the embedded broker's users.
fn is_known(name: &Text) -> bool {
    matches!(&**name, "ann" | "bob")
}

/// Whether a CONNECT is one with credentials, or without where they are wanted.
fn is_plain(client: &Client) -> bool {
    !client.connect.properties.contains(PropertyId::AuthenticationMethod)
}

fn decisions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/password-not-checked",
            "A user that is known is let in with any password",
            &["MQTT-3.1.4-2"],
            || {
                vec![decides(|question, answer, _| match (question, &answer) {
                    (
                        Question::Password { user_name: Some(name), password: Some(_) },
                        Answer::Refused(_),
                    ) if is_known(name) => accepted(name),
                    _ => answer,
                })]
            },
        ),
        Mutant::new(
            "3.1/rest-of-password-not-checked",
            "A password need only begin with the right one",
            &["MQTT-3.1.4-2"],
            || {
                let mut known = BTreeMap::<Text, Bytes>::new();
                vec![decides(move |question, answer, _| {
                    let Question::Password { user_name: Some(name), password: Some(password) } =
                        question
                    else {
                        return answer;
                    };
                    match (&answer, known.get(name)) {
                        (Answer::Accepted { .. }, _) => {
                            known.insert(name.clone(), password.clone());
                            answer
                        }
                        (_, Some(right)) if password.starts_with(right) => accepted(name),
                        _ => answer,
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/password-of-another-accepted",
            "A password is right if any user has it",
            &["MQTT-3.1.4-2"],
            || {
                let mut known = BTreeSet::<Bytes>::new();
                known.extend([Bytes::from_static(b"apple"), Bytes::from_static(b"banana")]);
                vec![decides(move |question, answer, _| match question {
                    Question::Password { user_name: Some(name), password: Some(password) }
                        if known.contains(password) =>
                    {
                        accepted(name)
                    }
                    _ => answer,
                })]
            },
        ),
        Mutant::new(
            "3.1/unknown-user-accepted",
            "A user that is not known is let in",
            &["MQTT-3.1.4-2"],
            || {
                vec![decides(|question, answer, _| match (question, &answer) {
                    (Question::Password { user_name: Some(name), .. }, Answer::Refused(_))
                        if !is_known(name) && !name.is_empty() =>
                    {
                        Answer::Accepted { user: None, data: None }
                    }
                    _ => answer,
                })]
            },
        ),
        Mutant::new(
            "3.1/empty-password-accepted",
            "A user that is known is let in with a password of no length",
            &["MQTT-3.1.4-2"],
            || {
                vec![decides(|question, answer, _| match question {
                    Question::Password { user_name: Some(name), password: Some(password) }
                        if password.is_empty() && **name == *"ann" =>
                    {
                        accepted(name)
                    }
                    _ => answer,
                })]
            },
        ),
        Mutant::new(
            "3.1/nobody-let-in",
            "Who has no User Name and no Password is let in, where others need theirs",
            &["MQTT-3.1.4-2"],
            || {
                vec![decides(|question, answer, _| match question {
                    Question::Password { user_name: None, password: None } => {
                        Answer::Accepted { user: None, data: None }
                    }
                    _ => answer,
                })]
            },
        ),
        Mutant::new(
            "3.1/password-alone-malformed",
            "A Password without a User Name is called malformed where it is refused",
            &["U-3.1.2.9-1"],
            || {
                vec![refuses(|connect, _| {
                    let is_alone = connect.user_name.is_none() && connect.password.is_some();
                    is_alone.then_some(ReasonCode::MalformedPacket)
                })]
            },
        ),
        Mutant::new(
            "3.1/wrong-password-of-bytes-malformed",
            "A Password that is no text is called malformed",
            &["U-3.1.3.6-1"],
            || {
                vec![refuses(|connect, _| {
                    let password = connect.password.as_deref().unwrap_or_default();
                    std::str::from_utf8(password).is_err().then_some(ReasonCode::MalformedPacket)
                })]
            },
        ),
        Mutant::new(
            "3.1/second-user-closed",
            "A user other than the first that came is closed",
            &["MQTT-3.1.4-5"],
            || {
                let mut first: Option<Text> = None;
                vec![closes(move |packet, _| match packet {
                    Packet::Connect(connect) => match &connect.user_name {
                        Some(name) => first.get_or_insert_with(|| name.clone()) != name,
                        None => false,
                    },
                    _ => false,
                })]
            },
        ),
        Mutant::new(
            "3.1/wrong-password-leaves-open",
            "The connection stays open after a CONNACK that refuses a password",
            &["MQTT-3.2.2-7"],
            || {
                vec![keeps_open(|at| {
                    let is_it = |client: &Client| {
                        !client.accepted && client.connect.password.is_some() && is_plain(client)
                    };
                    at.client().is_some_and(is_it)
                })]
            },
        )
        .also(&["MQTT-3.1.4-2"]),
        Mutant::new(
            "3.1/wrong-password-told-success",
            "CONNACK that refuses a password says 0x00",
            &["MQTT-3.1.4-2"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::ConnAck(connack) = packet
                        && connack.reason == ReasonCode::BadUserNameOrPassword
                    {
                        connack.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
    ]
}

fn leftovers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/will-of-wrong-password",
            "The Will of a CONNECT with a wrong password is published",
            &["MQTT-3.1.4-6"],
            || {
                vec![outward(|packet, at, act| {
                    let client = at.client().filter(|client| is_plain(client));
                    let will = client.and_then(|client| client.connect.will.as_ref());
                    if let (Packet::ConnAck(it), Some(will)) = (&packet, will)
                        && it.reason == ReasonCode::BadUserNameOrPassword
                    {
                        hands_on(published(will), at, act);
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "3.1/early-publish-of-wrong-password",
            "What is published right behind a CONNECT is handed on before the password is looked at",
            &["MQTT-3.1.4-6"],
            || {
                vec![inward(|packet, at, act| match packet {
                    Packet::Publish(publish)
                        if at.client().is_some_and(|it| {
                            !it.accepted && it.connect.password.is_some() && is_plain(it)
                        }) =>
                    {
                        hands_on(publish, at, act);
                    }
                    packet => act.receive(packet),
                })]
            },
        ),
        Mutant::new(
            "3.1/early-packets-lost-with-a-password",
            "What comes right behind a CONNECT with a password is lost",
            &["U-3.1.4-7"],
            || {
                vec![ignores(|packet, at| {
                    let waits = |it: &Client| !it.accepted && it.connect.password.is_some();
                    !matches!(packet, Packet::Connect(_)) && at.client().is_some_and(waits)
                })]
            },
        ),
        Mutant::new(
            "3.1/session-of-wrong-password",
            "A CONNECT with a wrong password makes a session",
            &["MQTT-3.2.2-3"],
            || {
                let mut refused = BTreeSet::<Text>::new();
                vec![accepts(move |connack, at| {
                    let Some(client) = at.client() else { return };
                    match connack.reason {
                        ReasonCode::BadUserNameOrPassword => {
                            refused.insert(client.id.clone());
                        }
                        ReasonCode::Success if !client.connect.clean_start => {
                            connack.session_present |= refused.remove(&client.id);
                        }
                        _ => {}
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/wrong-password-takes-over",
            "A CONNECT closes the connection of its client before the password is looked at",
            &["U-4.13.2-2"],
            || vec![takes_over_at_once(|connect| connect.password.is_some())],
        ),
        Mutant::new(
            "3.1/wrong-password-ends-session",
            "A wrong password ends the session of its client while that is away",
            &["U-4.13.2-2"],
            || {
                let mut ended = BTreeSet::<Text>::new();
                vec![accepts(move |connack, at| {
                    let Some(client) = at.client() else { return };
                    let is_wrong = connack.reason == ReasonCode::BadUserNameOrPassword;
                    if is_wrong && at.other_of(&client.id).is_none() {
                        ended.insert(client.id.clone());
                    } else if !connack.reason.is_error() && ended.remove(&client.id) {
                        connack.session_present = false;
                    }
                })]
            },
        ),
    ]
}

/// Closes the other connection of a client at a CONNECT like this, before it is known who sent it.
pub(super) fn takes_over_at_once(
    is_it: impl Fn(&Connect) -> bool + Send + 'static,
) -> Box<dyn Rule> {
    inward(move |packet, at, act| {
        if let (Packet::Connect(connect), Some(other)) = (&packet, at.other_of(&at.id()))
            && is_it(connect)
        {
            act.boundary.emit(Output::Close(other));
            act.boundary.pass(Input::Closed(other));
        }
        act.receive(packet);
    })
}
