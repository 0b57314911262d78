//! Who may connect (section 3.1.4): questions, answers, and what comes meanwhile.

#[path = "support/access.rs"]
mod access;
#[path = "support/bench.rs"]
mod bench;

use access::*;
use bench::{Bench, NEVER, Q0, Q1, disconnect, message, will};
use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, PropertyId, Publish, ReasonCode, Subscribe, Will};
use reference_broker::core::{
    Access, Answer, Broker, Config, ConnectionId, Input, Moment, Question,
};

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

    // Five bytes each on the wire, but far more as they are kept.
    let property = |it: Publish, _| it.with(PropertyId::UserProperty, ("", ""));
    bench.start("dear", Connect::new("dear"));
    bench.expect_question("dear");
    bench.send("dear", (0..1_000).fold(message("t"), property));
    bench.expect_nothing("dear");
    bench.send("dear", (0..1_000).fold(message("t"), property));
    bench.expect_refusal("dear", ReasonCode::QuotaExceeded);

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
fn nothing_secret_is_printed() {
    let secret = Bytes::from_static(b"hunter2");
    let texts = [
        format!("{:?}", Question::Password { user_name: None, password: Some(secret.clone()) }),
        format!("{:?}", exchange(Some(b"hunter2"), true)),
        format!("{:?}", go_on(b"hunter2")),
        format!("{:?}", Answer::Accepted { user: None, data: Some(secret.clone()) }),
        format!(
            "{:?}",
            Packet::from(Connect { password: Some(secret.clone()), ..Connect::new("c") })
        ),
        format!("{:?}", Packet::from(step(b"hunter2"))),
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

#[test]
fn what_is_kept_of_a_connect_is_what_is_needed_yet() {
    let mut broker = Broker::new(Config {
        access: Access { asks: true, ..Access::default() },
        ..Config::default()
    });
    let will = Will::new("will", "farewell").with(PropertyId::UserProperty, ("padding", "w"));
    let connect = Connect::new("c").will(will).with(PropertyId::UserProperty, ("ballast", "b"));
    broker.handle(Moment(0), Input::Opened(ConnectionId(1)));
    broker.handle(Moment(0), Input::Received(ConnectionId(1), connect.into()));
    let kept = format!("{broker:?}");
    assert!(!kept.contains("ballast"), "nobody reads it any more: {kept}");
    assert_eq!(kept.matches("padding").count(), 1, "the Will is kept once: {kept}");
}
