//! Enhanced authentication (sections 3.15 and 4.12).

#[path = "support/access.rs"]
mod access;
#[path = "support/bench.rs"]
mod bench;

use access::*;
use bench::{Q0, Q1, message, will};
use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, PropertyId, ReasonCode};
use reference_broker::core::Answer;

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
