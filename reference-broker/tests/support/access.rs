//! Brokers that ask about their clients, and what is asked and answered.

#![allow(dead_code)] // Each file of tests uses a part of it.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Auth, ConnAck, Connect, Packet, PropertyId, ReasonCode, Text};
use reference_broker::core::{Access, Answer, Config, Question};

use crate::bench::Bench;

pub(crate) const METHOD: &str = "X";

/// A broker that asks about everybody and has the method `X`.
pub(crate) fn asking() -> Bench {
    with(Access { asks: true, methods: vec![METHOD.into()], ..Access::default() })
}

pub(crate) fn with(access: Access) -> Bench {
    let connect_timeout = Duration::from_secs(30);
    Bench::with(Config { access, connect_timeout, ..Config::default() })
}

pub(crate) fn accepted(user: &str) -> Answer {
    Answer::Accepted { user: Some(user.into()), data: None }
}

pub(crate) fn anonymous() -> Answer {
    Answer::Accepted { user: None, data: None }
}

pub(crate) fn go_on(data: &'static [u8]) -> Answer {
    Answer::GoesOn(Some(Bytes::from_static(data)))
}

/// CONNECT with the method `X`.
pub(crate) fn enhanced(client: &str) -> Connect {
    Connect::new(client).with(PropertyId::AuthenticationMethod, METHOD)
}

pub(crate) fn auth_of(method: &str, reason: ReasonCode) -> Auth {
    let mut auth = Auth::new(reason);
    auth.properties.push(PropertyId::AuthenticationMethod, method);
    auth
}

pub(crate) fn auth(reason: ReasonCode, data: &'static [u8]) -> Auth {
    let mut auth = auth_of(METHOD, reason);
    auth.properties.push(PropertyId::AuthenticationData, data);
    auth
}

pub(crate) fn step(data: &'static [u8]) -> Auth {
    auth(ReasonCode::ContinueAuthentication, data)
}

pub(crate) fn exchange(data: Option<&'static [u8]>, begins: bool) -> Question {
    Question::Exchange { method: METHOD.into(), data: data.map(Bytes::from_static), begins }
}

/// Connects a client whose password is accepted for this user.
pub(crate) fn login(
    bench: &mut Bench,
    name: &str,
    connect: Connect,
    user: Option<&str>,
) -> ConnAck {
    bench.start(name, connect);
    bench.expect_question(name);
    bench.answer(name, Answer::Accepted { user: user.map(Text::from), data: None });
    expect_accepted(bench, name)
}

/// Connects a client whose method accepts it for this user at once.
pub(crate) fn enter(bench: &mut Bench, name: &str, connect: Connect, user: &str) {
    bench.start(name, connect);
    bench.expect_question(name);
    bench.answer(name, accepted(user));
    expect_accepted(bench, name);
}

pub(crate) fn expect_accepted(bench: &mut Bench, name: &str) -> ConnAck {
    match bench.expect(name) {
        Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => connack,
        other => panic!("{name} expected to be accepted, not {other:?}"),
    }
}
