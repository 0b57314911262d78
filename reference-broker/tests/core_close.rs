//! How connections end: by errors before and after CONNACK, by DISCONNECT, by silence (sections
//! 3.1.4, 3.14 and 4.13).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, Q0, Q1, disconnect, message};
use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PacketType, PropertyId, Publish, ReasonCode, Side, Subscribe,
    SubscribeAck, Will,
};
use reference_broker::core::Config;

#[test]
fn silence_before_connect_ends_at_the_timeout() {
    let mut bench = Bench::new();
    bench.tick_to(123);
    bench.open("c");
    bench.tick_to(30_122);
    bench.expect_nothing("c");
    bench.tick_to(30_123);
    bench.expect_close("c");
    bench.join("c");
    bench.pass(1_000_000);
    bench.expect_alive("c");
}

#[test]
fn anything_but_connect_first_ends_without_a_word() {
    let packets: [Packet; 8] = [
        message("t").into(),
        message("t").qos(Q1, 1).into(),
        Subscribe::new(1, "t", Q0).into(),
        Packet::PingReq,
        bench::pubrel(1),
        disconnect(ReasonCode::Success).into(),
        Auth::new(ReasonCode::ContinueAuthentication)
            .with(PropertyId::AuthenticationMethod, "m")
            .into(),
        ConnAck::new(false, ReasonCode::Success).into(),
    ];
    for packet in packets {
        let mut bench = Bench::new();
        bench.open("c");
        bench.send("c", packet);
        bench.expect_close("c");
        bench.send("c", Connect::new("c")); // Too late.
        bench.expect_nothing("c");
    }
}

#[test]
fn malformed_bytes_before_connect_end_without_a_word() {
    for bytes in [&[0x00, 0x00][..], &[0x30, 0x00], &[0xE0, 0x01, 0x03], &[0x60, 0x02, 0x00, 0x01]]
    {
        let mut bench = Bench::new();
        bench.open("c");
        bench.send_bytes("c", bytes);
        bench.expect_close("c");
    }
}

#[test]
fn a_malformed_connect_is_refused_with_its_code() {
    let connect = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Packet::from(Connect::new("c")).to_bytes().unwrap().to_vec();
        change(&mut bytes);
        bytes
    };
    let cases: [(Vec<u8>, ReasonCode); 8] = [
        (connect(&|bytes| bytes[0] = 0x11), ReasonCode::MalformedPacket),
        (connect(&|bytes| bytes[4] = b'X'), ReasonCode::UnsupportedProtocolVersion),
        (connect(&|bytes| bytes[8] = 4), ReasonCode::UnsupportedProtocolVersion),
        (connect(&|bytes| bytes[9] = 0x03), ReasonCode::MalformedPacket),
        (connect(&|bytes| bytes[14] = 0xFF), ReasonCode::MalformedPacket),
        // Receive Maximum 0, and an Authentication Data without a method.
        (with_property(&[0x21, 0, 0]), ReasonCode::ProtocolError),
        (with_property(&[0x16, 0, 0]), ReasonCode::ProtocolError),
        // The same, of a client that takes packets of 20 bytes.
        (with_property(&[0x27, 0, 0, 0, 20, 0x21, 0, 0]), ReasonCode::ProtocolError),
    ];
    for (bytes, reason) in cases {
        let mut bench = Bench::new();
        bench.open("c");
        bench.send_bytes("c", &bytes);
        // Its client may take no more than this: what it says was not read, or not all of it.
        assert_eq!(bench.expect("c"), Packet::ConnAck(ConnAck::new(false, reason)));
        bench.expect_close("c");
        bench.send("c", message("t")); // What comes after a refused CONNECT has no effect.
        bench.expect_nothing("c");
    }
    let mut bench = Bench::with(Config { maximum_packet_size: 20, ..Config::default() });
    bench.open("c");
    bench.send_bytes("c", &[0x10, 0x80, 0x01]);
    // Its client may take no more than this: nobody has read what it says.
    let shortest = ConnAck::new(false, ReasonCode::PacketTooLarge);
    assert_eq!(bench.expect("c"), Packet::ConnAck(shortest));
    bench.expect_close("c");
}

/// A CONNECT with these bytes as its properties.
fn with_property(property: &[u8]) -> Vec<u8> {
    let mut bytes = Packet::from(Connect::new("c")).to_bytes().unwrap().to_vec();
    let at = 13; // Of the properties, whose length is before them.
    bytes[1] += u8::try_from(property.len()).unwrap();
    bytes[12] = u8::try_from(property.len()).unwrap();
    bytes.splice(at..at, property.iter().copied());
    bytes
}

#[test]
fn a_refused_connect_leaves_the_old_connection_alone() {
    let mut bench = Bench::new();
    bench.join("c");
    bench.subscribe("c", "#", Q0);
    for connect in [
        Connect::new("c").with(PropertyId::AuthenticationMethod, "m"),
        Connect::new("c").will(Will::new("$x", "")),
    ] {
        bench.start("new", connect);
        bench.send("new", message("t").retain());
        assert!(
            matches!(bench.expect("new"), Packet::ConnAck(connack) if connack.reason.is_error())
        );
        bench.expect_close("new");
    }
    bench.expect_alive("c");
}

#[test]
fn what_only_others_may_send_is_a_protocol_error() {
    let packets: [Packet; 8] = [
        Connect::new("c").into(),
        ConnAck::new(false, ReasonCode::Success).into(),
        Packet::SubAck(SubscribeAck::new(1, vec![ReasonCode::Success])),
        Packet::UnsubAck(SubscribeAck::new(1, vec![ReasonCode::Success])),
        Packet::PingResp,
        Auth::new(ReasonCode::ReAuthenticate).with(PropertyId::AuthenticationMethod, "m").into(),
        Publish::new("", "").into(),
        Publish::new("a/+", "").into(),
    ];
    for packet in packets {
        let mut bench = Bench::new();
        bench.join("other");
        bench.join("c");
        let wildcard = matches!(&packet, Packet::Publish(publish) if !publish.topic.is_empty());
        bench.send("c", packet);
        bench.expect_disconnect(
            "c",
            if wildcard { ReasonCode::TopicNameInvalid } else { ReasonCode::ProtocolError },
        );
        bench.send("c", Packet::PingReq);
        bench.expect_nothing("c");
        bench.expect_alive("other");
    }
}

#[test]
fn malformed_bytes_after_connack_end_with_their_code() {
    for (bytes, reason) in [
        (&[0x00, 0x00][..], ReasonCode::MalformedPacket),
        (&[0x36, 0x04, 0x00, 0x01, b't', 0x00], ReasonCode::MalformedPacket),
        (&[0x82, 0x03, 0x00, 0x01, 0x00], ReasonCode::ProtocolError),
        (&[0x40, 0x02, 0x00, 0x00], ReasonCode::ProtocolError),
        (&[0x30, 0x07, 0x00, 0x01, b't', 0x03, 0x23, 0x00, 0x00], ReasonCode::TopicAliasInvalid),
        (&[0x30, 0x05, 0x00, 0x02, b'a', b'#', 0x00], ReasonCode::TopicNameInvalid),
        (&[0x30, 0x80, 0x80, 0x80, 0x10], ReasonCode::PacketTooLarge),
        (&[0x10, 0x00], ReasonCode::ProtocolError), // A second CONNECT, malformed as well.
        (&[0x10, 0x07, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04], ReasonCode::ProtocolError),
    ] {
        let mut bench = Bench::new();
        bench.join("c");
        bench.send_bytes("c", bytes);
        bench.expect_disconnect("c", reason);
    }
}

#[test]
fn every_disconnect_of_a_client_ends_quietly() {
    let codes = ReasonCode::ALL.iter();
    for code in codes.filter(|code| code.is_allowed(PacketType::Disconnect, Side::Client)) {
        let mut bench = Bench::new();
        bench.join("c");
        bench.send("c", disconnect(*code));
        bench.expect_close("c");
        bench.send("c", message("t"));
        bench.expect_nothing("c");
    }
}

#[test]
fn what_follows_the_end_in_the_same_breath_has_no_effect() {
    let mut bench = Bench::new();
    bench.join("watcher");
    bench.subscribe("watcher", "#", Q0);
    bench.join("c");
    bench.send("c", disconnect(ReasonCode::Success));
    bench.send("c", message("t"));
    bench.send_bytes("c", &[0x00, 0x00]);
    bench.cut("c");
    bench.expect_close("c");
    bench.expect_nothing("c");
    bench.expect_nothing("watcher");
}

#[test]
fn a_session_outlives_the_error_of_its_connection() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("c");
    bench.subscribe("c", "t", Q1);
    bench.send("c", Connect::new("c"));
    bench.expect_disconnect("c", ReasonCode::ProtocolError);
    bench.publish("p", message("t"));
    assert!(bench.resume("c"));
    assert_eq!(bench.payloads("c"), ["t"]);
}

#[test]
fn a_broker_that_ends_takes_leave_of_its_clients() {
    let mut bench = Bench::new();
    bench.open("unknown");
    bench.connect("client", Connect::new("client"));
    bench.connect("watcher", Connect::new("watcher"));
    bench.subscribe("watcher", "gone", Q1);
    bench.stop();
    bench.expect_close("unknown");
    bench.expect_disconnect("client", ReasonCode::ServerShuttingDown);
    bench.expect_disconnect("watcher", ReasonCode::ServerShuttingDown);
    bench.send("client", Packet::PingReq);
    bench.expect_nothing("client");
}
