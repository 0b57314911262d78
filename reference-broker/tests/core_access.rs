//! Who may connect (sections 3.1.4, 3.15 and 4.12).

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bench::{Bench, NEVER, Q0, Q1, disconnect, message, will};
use bytes::Bytes;
use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PropertyId, Publish, ReasonCode, Subscribe, Text,
};
use reference_broker::core::{
    Access, Answer, Broker, Config, ConnectionId, Input, Moment, Question,
};

const METHOD: &str = "X";

/// A broker that asks about everybody and has the method `X`.
fn asking() -> Bench {
    with(Access { asks: true, methods: vec![METHOD.into()], ..Access::default() })
}

fn with(access: Access) -> Bench {
    let connect_timeout = Duration::from_secs(30);
    Bench::with(Config { access, connect_timeout, ..Config::default() })
}

fn accepted(user: &str) -> Answer {
    Answer::Accepted { user: Some(user.into()), data: None }
}

fn anonymous() -> Answer {
    Answer::Accepted { user: None, data: None }
}

fn go_on(data: &'static [u8]) -> Answer {
    Answer::GoesOn(Some(Bytes::from_static(data)))
}

/// CONNECT with the method `X`.
fn enhanced(client: &str) -> Connect {
    Connect::new(client).with(PropertyId::AuthenticationMethod, METHOD)
}

fn auth_of(method: &str, reason: ReasonCode) -> Auth {
    let mut auth = Auth::new(reason);
    auth.properties.push(PropertyId::AuthenticationMethod, method);
    auth
}

fn auth(reason: ReasonCode, data: &'static [u8]) -> Auth {
    let mut auth = auth_of(METHOD, reason);
    auth.properties.push(PropertyId::AuthenticationData, data);
    auth
}

fn step(data: &'static [u8]) -> Auth {
    auth(ReasonCode::ContinueAuthentication, data)
}

fn exchange(data: Option<&'static [u8]>, begins: bool) -> Question {
    Question::Exchange { method: METHOD.into(), data: data.map(Bytes::from_static), begins }
}

/// Connects a client whose password is accepted for this user.
fn login(bench: &mut Bench, name: &str, connect: Connect, user: Option<&str>) -> ConnAck {
    bench.start(name, connect);
    bench.expect_question(name);
    bench.answer(name, Answer::Accepted { user: user.map(Text::from), data: None });
    expect_accepted(bench, name)
}

/// Connects a client whose method accepts it for this user at once.
fn enter(bench: &mut Bench, name: &str, connect: Connect, user: &str) {
    bench.start(name, connect);
    bench.expect_question(name);
    bench.answer(name, accepted(user));
    expect_accepted(bench, name);
}

fn expect_accepted(bench: &mut Bench, name: &str) -> ConnAck {
    match bench.expect(name) {
        Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => connack,
        other => panic!("{name} expected to be accepted, not {other:?}"),
    }
}

#[test]
fn nobody_is_asked_about_by_default() {
    let mut bench = Bench::new();
    let connect = Connect {
        user_name: Some("u".into()),
        password: Some(Bytes::from_static(b"p")),
        ..Connect::new("c")
    };
    bench.connect("c", connect);
    bench.expect_nothing("c");
    bench.start("d", enhanced("d"));
    bench.expect_refusal("d", ReasonCode::BadAuthenticationMethod); // MQTT-4.12.0-1
}

#[test]
fn a_password_is_asked_about_before_connack() {
    let mut bench = asking();
    let (user_name, password) = (Some("u".into()), Some(Bytes::from_static(b"p")));
    let connect =
        Connect { user_name: user_name.clone(), password: password.clone(), ..Connect::new("c") };
    bench.start("c", connect);
    assert_eq!(bench.expect_question("c"), Question::Password { user_name, password });
    bench.expect_nothing("c");
    bench.answer("c", accepted("u"));
    let connack = expect_accepted(&mut bench, "c");
    assert!(!connack.properties.contains(PropertyId::AuthenticationMethod)); // MQTT-4.12.0-6
    bench.expect_alive("c");
    // The same answer again is one to no question.
    bench.answer("c", Answer::Refused(ReasonCode::NotAuthorized));
    bench.expect_alive("c");

    bench.start("d", Connect::new("d"));
    let nobody = Question::Password { user_name: None, password: None };
    assert_eq!(bench.expect_question("d"), nobody);
    bench.answer("d", anonymous());
    expect_accepted(&mut bench, "d");
}

#[test]
fn a_refusal_is_told_in_connack_with_a_code_that_refuses() {
    for (given, told) in [
        (ReasonCode::BadUserNameOrPassword, ReasonCode::BadUserNameOrPassword),
        (ReasonCode::NotAuthorized, ReasonCode::NotAuthorized),
        (ReasonCode::Banned, ReasonCode::Banned),
        (ReasonCode::Success, ReasonCode::NotAuthorized),
        (ReasonCode::ContinueAuthentication, ReasonCode::NotAuthorized),
        (ReasonCode::SessionTakenOver, ReasonCode::NotAuthorized),
    ] {
        let mut bench = asking();
        for connect in [Connect::new("c"), enhanced("c")] {
            bench.start("c", connect);
            bench.expect_question("c");
            bench.answer("c", Answer::Refused(given));
            bench.expect_refusal("c", told); // MQTT-3.1.4-2, MQTT-4.12.0-4
        }
    }
    let mut bench = asking();
    bench.start("c", Connect::new("c"));
    bench.expect_question("c");
    bench.answer("c", go_on(b"?"));
    bench.expect_refusal("c", ReasonCode::UnspecifiedError);
}

#[test]
fn the_connect_timeout_bounds_the_whole_exchange() {
    let mut bench = asking();
    bench.start("asked", enhanced("asked"));
    bench.expect_question("asked");
    bench.start("told", enhanced("told"));
    bench.expect_question("told");
    bench.pass(29_000);
    bench.answer("told", go_on(b"1"));
    bench.expect("told");
    bench.start("late", enhanced("late"));
    bench.expect_question("late");
    bench.tick_to(29_999);
    bench.expect_nothing("asked");
    bench.expect_nothing("told");
    bench.tick_to(30_000);
    bench.expect_close("asked"); // U-3.1.4-2
    bench.expect_close("told"); // MQTT-3.14.0-1
    bench.answer("asked", accepted("u"));
    bench.expect_nothing("asked");
    bench.expect_nothing("late");
    bench.tick_to(59_000);
    bench.expect_close("late");
    assert_eq!(bench.deadline(), None);
}

#[test]
fn keep_alive_counts_from_connack() {
    let mut bench = asking();
    bench.start("c", Connect::new("c").keep_alive(10));
    bench.expect_question("c");
    bench.pass(20_000);
    bench.answer("c", anonymous());
    expect_accepted(&mut bench, "c"); // U-3.1.4-6
    bench.tick_to(34_999);
    bench.expect_nothing("c");
    bench.tick_to(35_000);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
}

#[test]
fn a_client_that_leaves_meanwhile_is_forgotten() {
    let mut bench = asking();
    bench.start("c", Connect::new("c").will(will(0)).session_expiry(NEVER));
    bench.expect_question("c");
    bench.cut("c");
    bench.answer("c", accepted("u"));
    bench.expect_nothing("c");
    assert_eq!(bench.deadline(), None);
    let connack = login(&mut bench, "d", Connect::new("c").resume(), Some("other"));
    assert!(!connack.session_present);

    bench.start("e", enhanced("e").will(will(0)));
    bench.expect_question("e");
    bench.send("e", disconnect(ReasonCode::Success));
    bench.expect_close("e"); // MQTT-3.14.4-2
    bench.answer("e", accepted("u"));
    bench.expect_nothing("e");
}

#[test]
fn a_broker_that_ends_says_nothing_before_connack() {
    let mut bench = asking();
    bench.start("c", Connect::new("c"));
    bench.expect_question("c");
    bench.stop();
    bench.expect_close("c"); // MQTT-3.14.0-1
}

#[test]
fn packets_before_connack_wait_for_it_in_order() {
    let mut bench = asking();
    bench.start("c", Connect::new("c"));
    bench.expect_question("c");
    bench.send("c", Subscribe::new(1, "t", Q1));
    bench.send("c", message("t").qos(Q1, 2));
    bench.send("c", Packet::PingReq);
    bench.send_bytes("c", &[0xC1, 0x00]);
    bench.expect_nothing("c");
    bench.answer("c", anonymous());
    expect_accepted(&mut bench, "c"); // MQTT-3.2.0-1
    assert!(matches!(bench.expect("c"), Packet::SubAck(_)));
    assert_eq!(bench.expect_publish("c").payload, "t");
    assert!(matches!(bench.expect("c"), Packet::PubAck(_)));
    assert_eq!(bench.expect("c"), Packet::PingResp);
    bench.expect_disconnect("c", ReasonCode::MalformedPacket);
}

#[test]
fn packets_before_a_refusal_have_no_effect() {
    let mut bench = asking();
    login(&mut bench, "watcher", Connect::new("watcher"), None);
    bench.subscribe("watcher", "#", Q0);
    bench.start("c", Connect::new("c").will(will(0)));
    bench.expect_question("c");
    let mut retained = message("t");
    retained.retain = true;
    bench.send("c", retained);
    bench.answer("c", Answer::Refused(ReasonCode::BadUserNameOrPassword));
    bench.expect_refusal("c", ReasonCode::BadUserNameOrPassword);
    bench.expect_nothing("watcher"); // MQTT-3.1.4-6
    bench.subscribe("watcher", "t", Q0);
    bench.expect_nothing("watcher");
}

#[test]
fn what_ends_a_connection_ends_what_waited_behind_it() {
    let mut bench = asking();
    login(&mut bench, "watcher", Connect::new("watcher"), None);
    bench.subscribe("watcher", "#", Q0);
    bench.start("c", Connect::new("c"));
    bench.expect_question("c");
    bench.send("c", disconnect(ReasonCode::Success));
    bench.send("c", message("t"));
    bench.answer("c", anonymous());
    expect_accepted(&mut bench, "c");
    bench.expect_close("c");
    bench.expect_nothing("watcher");
}

#[test]
fn only_so_much_waits_for_connack() {
    let mut bench = asking();
    bench.start("many", Connect::new("many"));
    bench.expect_question("many");
    (0..64).for_each(|_| bench.send("many", Packet::PingReq));
    bench.expect_nothing("many");
    bench.send("many", Packet::PingReq);
    bench.expect_refusal("many", ReasonCode::QuotaExceeded); // U-3.1.4-8

    // A PUBLISH of 9 bytes around its payload: 1 and 3 for the header, 2 and 1 for `t`, 1, and 1.
    let whole = |size: usize| Publish::new("t", vec![0; size - 8]);
    bench.start("big", Connect::new("big"));
    bench.expect_question("big");
    bench.send("big", whole(256 * 1024));
    bench.expect_nothing("big");
    bench.send("big", Packet::PingReq);
    bench.expect_refusal("big", ReasonCode::QuotaExceeded);

    bench.start("full", Connect::new("full"));
    bench.expect_question("full");
    (0..64).for_each(|_| bench.send("full", Packet::PingReq));
    bench.answer("full", anonymous());
    expect_accepted(&mut bench, "full");
    (0..64).for_each(|_| assert_eq!(bench.expect("full"), Packet::PingResp));
}

#[test]
fn a_client_takes_nothing_over_before_it_is_accepted() {
    let mut bench = asking();
    login(&mut bench, "old", Connect::new("c").session_expiry(NEVER), Some("u"));
    bench.start("new", Connect::new("c"));
    bench.expect_question("new");
    bench.start("newer", Connect::new("c").resume());
    bench.expect_question("newer");
    bench.expect_alive("old");
    bench.answer("newer", accepted("u"));
    bench.expect_disconnect("old", ReasonCode::SessionTakenOver); // MQTT-3.1.4-3
    assert!(expect_accepted(&mut bench, "newer").session_present);
    bench.expect_nothing("new");
    bench.answer("new", Answer::Refused(ReasonCode::BadUserNameOrPassword));
    bench.expect_refusal("new", ReasonCode::BadUserNameOrPassword);
    bench.expect_alive("newer");
}

#[test]
fn a_session_is_for_the_user_that_has_it() {
    let mut bench = asking();
    login(&mut bench, "owner", Connect::new("c").session_expiry(5), Some("u"));
    bench.subscribe("owner", "t", Q1);
    for connect in [Connect::new("c"), Connect::new("c").resume()] {
        for user in [accepted("v"), anonymous()] {
            bench.start("thief", connect.clone());
            bench.expect_question("thief");
            bench.answer("thief", user);
            bench.expect_refusal("thief", ReasonCode::NotAuthorized);
        }
    }
    bench.expect_alive("owner");
    bench.cut("owner");
    bench.pass(5_000);
    login(&mut bench, "heir", Connect::new("c").resume(), Some("v"));
}

#[test]
fn an_exchange_goes_by_auth_packets_to_connack() {
    let mut bench = asking();
    bench.start("c", enhanced("c").with(PropertyId::AuthenticationData, &b"first"[..]));
    assert_eq!(bench.expect_question("c"), exchange(Some(b"first"), true));
    bench.answer("c", go_on(b"challenge"));
    assert_eq!(bench.expect("c"), step(b"challenge").into()); // MQTT-4.12.0-2, MQTT-4.12.0-5
    bench.send("c", step(b"response"));
    assert_eq!(bench.expect_question("c"), exchange(Some(b"response"), false));
    bench.answer("c", Answer::GoesOn(None));
    let bare = auth_of(METHOD, ReasonCode::ContinueAuthentication);
    assert_eq!(bench.expect("c"), bare.clone().into());
    bench.send("c", bare);
    assert_eq!(bench.expect_question("c"), exchange(None, false));
    let data = Some(Bytes::from_static(b"final"));
    bench.answer("c", Answer::Accepted { user: Some("u".into()), data: data.clone() });
    let connack = expect_accepted(&mut bench, "c"); // U-4.12-2
    let properties = &connack.properties;
    assert_eq!(properties.text(PropertyId::AuthenticationMethod), Some(&METHOD.into()));
    assert_eq!(properties.binary(PropertyId::AuthenticationData), data.as_ref());
    bench.expect_alive("c");
}

#[test]
fn before_connack_a_method_allows_only_auth_in_turn() {
    let continued = ReasonCode::ContinueAuthentication;
    let wrong: [Packet; 6] = [
        Packet::PingReq,
        message("t").into(),
        enhanced("c").into(),
        auth_of("Y", continued).into(),
        auth_of("", continued).into(),
        auth(ReasonCode::ReAuthenticate, b"").into(),
    ];
    for packet in wrong {
        let mut bench = asking();
        bench.start("c", enhanced("c"));
        bench.expect_question("c");
        bench.answer("c", go_on(b"?"));
        bench.expect("c");
        bench.send("c", packet.clone());
        bench.expect_refusal("c", ReasonCode::ProtocolError); // MQTT-3.1.2-30, U-3.15-1

        bench.start("d", enhanced("d"));
        bench.expect_question("d");
        bench.send("d", packet);
        bench.expect_refusal("d", ReasonCode::ProtocolError);
    }
    let mut bench = asking();
    bench.start("c", enhanced("c"));
    bench.expect_question("c");
    bench.send("c", step(b"nobody asked"));
    bench.expect_refusal("c", ReasonCode::ProtocolError);
    bench.start("d", enhanced("d"));
    bench.expect_question("d");
    bench.send_bytes("d", &[0xF1, 0x00]);
    bench.expect_refusal("d", ReasonCode::MalformedPacket); // MQTT-3.15.1-1
}

#[test]
fn an_answer_while_the_client_is_awaited_has_no_effect() {
    let mut bench = asking();
    bench.start("c", enhanced("c"));
    bench.expect_question("c");
    bench.answer("c", go_on(b"?"));
    bench.expect("c");
    bench.answer("c", accepted("u"));
    bench.expect_nothing("c");
}

#[test]
fn an_answer_to_no_re_authentication_has_no_effect() {
    let mut bench = asking();
    enter(&mut bench, "c", enhanced("c"), "u");
    for answer in [accepted("u"), go_on(b"?"), Answer::Refused(ReasonCode::NotAuthorized)] {
        bench.answer("c", answer.clone());
        bench.expect_nothing("c");
        bench.send("c", auth(ReasonCode::ReAuthenticate, b""));
        bench.expect_question("c");
        bench.answer("c", go_on(b"?"));
        bench.expect("c");
        bench.answer("c", answer);
        bench.expect_nothing("c");
        bench.send("c", step(b"!"));
        bench.expect_question("c");
        bench.answer("c", accepted("u"));
        bench.expect("c");
    }
}

#[test]
fn a_method_that_there_is_not_is_refused_unasked() {
    let mut bench = asking();
    for method in ["Y", "x", ""] {
        let connect = Connect::new("c").with(PropertyId::AuthenticationMethod, method);
        bench.start("c", connect);
        bench.expect_refusal("c", ReasonCode::BadAuthenticationMethod); // MQTT-4.12.0-1
    }
}

#[test]
fn what_a_client_cannot_take_ends_the_exchange() {
    let mut bench = asking();
    let small = |client: &str| enhanced(client).with(PropertyId::MaximumPacketSize, 20);
    bench.start("c", small("c"));
    bench.expect_question("c");
    bench.answer("c", go_on(b"more than 20 bytes of it"));
    bench.expect_close("c"); // MQTT-3.1.2-24
    bench.start("d", small("d").will(will(0)));
    bench.expect_question("d");
    let data = Some(Bytes::from_static(b"more than 20 bytes of it"));
    bench.answer("d", Answer::Accepted { user: None, data });
    bench.expect_close("d");
}

#[test]
fn re_authentication_ends_with_auth_0_while_messages_flow() {
    let mut bench = asking();
    enter(&mut bench, "c", enhanced("c"), "u");
    for round in 0..2 {
        bench.send("c", auth(ReasonCode::ReAuthenticate, b"first"));
        assert_eq!(bench.expect_question("c"), exchange(Some(b"first"), true), "{round}");
        bench.subscribe("c", "t", Q1);
        bench.answer("c", go_on(b"?"));
        assert_eq!(bench.expect("c"), step(b"?").into()); // U-4.12.1-1
        bench.publish("c", message("t"));
        assert_eq!(bench.expect_publish("c").payload, "t"); // U-4.12.1-2
        bench.send("c", step(b"!"));
        assert_eq!(bench.expect_question("c"), exchange(Some(b"!"), false));
        bench.expect_alive("c");
        let data = Some(Bytes::from_static(b"done"));
        bench.answer("c", Answer::Accepted { user: Some("u".into()), data });
        assert_eq!(bench.expect("c"), auth(ReasonCode::Success, b"done").into());
    }
    bench.expect_alive("c");
}

#[test]
fn failed_re_authentication_closes_and_publishes_the_will() {
    for (given, told) in [
        (Answer::Refused(ReasonCode::NotAuthorized), ReasonCode::NotAuthorized),
        (Answer::Refused(ReasonCode::BadUserNameOrPassword), ReasonCode::NotAuthorized),
        (Answer::Refused(ReasonCode::DisconnectWithWill), ReasonCode::NotAuthorized),
        (Answer::Refused(ReasonCode::QuotaExceeded), ReasonCode::QuotaExceeded),
        (accepted("other"), ReasonCode::NotAuthorized),
        (anonymous(), ReasonCode::NotAuthorized),
    ] {
        let mut bench = asking();
        login(&mut bench, "watcher", Connect::new("watcher"), None);
        bench.subscribe("watcher", "will", Q0);
        enter(&mut bench, "c", enhanced("c").will(will(0)), "u");
        bench.send("c", auth(ReasonCode::ReAuthenticate, b""));
        bench.expect_question("c");
        bench.answer("c", given);
        bench.expect_disconnect("c", told); // MQTT-4.12.1-2
        assert_eq!(bench.payloads("watcher"), ["gone"]);
    }
}

#[test]
fn auth_out_of_turn_or_of_another_method_is_a_protocol_error() {
    let (again, continued) = (ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication);
    let mut bench = asking();
    for packet in [auth_of("Y", again), auth_of("Y", continued), step(b"nothing under way")] {
        enter(&mut bench, "c", enhanced("c"), "u");
        bench.send("c", packet);
        bench.expect_disconnect("c", ReasonCode::ProtocolError); // MQTT-4.12.1-1, U-3.15-1
    }
    for packet in [auth_of("Y", continued), auth(again, b"twice")] {
        enter(&mut bench, "c", enhanced("c"), "u");
        bench.send("c", auth(again, b""));
        bench.expect_question("c");
        bench.send("c", packet.clone());
        bench.expect_disconnect("c", ReasonCode::ProtocolError);
        bench.answer("c", accepted("u"));
        bench.expect_nothing("c");

        enter(&mut bench, "c", enhanced("c"), "u");
        bench.send("c", auth(again, b""));
        bench.expect_question("c");
        bench.answer("c", go_on(b"?"));
        bench.expect("c");
        bench.send("c", packet);
        bench.expect_disconnect("c", ReasonCode::ProtocolError);
    }
    for packet in [step(b""), auth(again, b"")] {
        login(&mut bench, "c", Connect::new("c"), None);
        bench.send("c", packet.clone());
        bench.expect_disconnect("c", ReasonCode::ProtocolError); // MQTT-4.12.0-7
        // Before CONNACK it waits, and is wrong then.
        bench.start("c", Connect::new("c"));
        bench.expect_question("c");
        bench.send("c", packet);
        bench.answer("c", anonymous());
        expect_accepted(&mut bench, "c");
        bench.expect_disconnect("c", ReasonCode::ProtocolError);
    }
}

#[test]
fn a_re_authentication_may_take_its_time() {
    let mut bench = asking();
    enter(&mut bench, "c", enhanced("c").keep_alive(60), "u");
    bench.send("c", auth(ReasonCode::ReAuthenticate, b""));
    bench.expect_question("c");
    bench.pass(89_999);
    bench.expect_nothing("c");
    bench.answer("c", accepted("u"));
    bench.expect("c");
    bench.pass(1);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
}

#[test]
fn nothing_secret_is_printed() {
    let secret = Bytes::from_static(b"hunter2");
    let texts = [
        format!("{:?}", Question::Password { user_name: None, password: Some(secret.clone()) }),
        format!("{:?}", exchange(Some(b"hunter2"), true)),
        format!("{:?}", go_on(b"hunter2")),
        format!("{:?}", Answer::Accepted { user: None, data: Some(secret.clone()) }),
    ];
    let mut broker = Broker::new(Config {
        access: Access { asks: true, methods: vec![METHOD.into()], ..Access::default() },
        ..Config::default()
    });
    let connects = [
        Connect { password: Some(secret.clone()), ..Connect::new("c") },
        Connect { password: Some(secret), ..enhanced("e") },
        enhanced("d").with(PropertyId::AuthenticationData, &b"hunter2"[..]),
    ];
    for (number, connect) in connects.into_iter().enumerate() {
        let id = ConnectionId(number as u64);
        broker.handle(Moment(0), Input::Opened(id));
        broker.handle(Moment(0), Input::Received(id, connect.into()));
    }
    let texts = texts.into_iter().chain([format!("{broker:?}")]);
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
