//! Sessions: Session Present, takeover, expiry, Keep Alive (sections 3.1 and 4.1).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, disconnect, message};
use reference_broker::codec::{Connect, PropertyId, ReasonCode};

/// Session Present upon this CONNECT.
fn present(bench: &mut Bench, connect: Connect) -> bool {
    bench.connect("c", connect).session_present
}

#[test]
fn session_present_says_whether_there_was_one() {
    let clean = || Connect::new("c").session_expiry(100);
    let resume = || clean().resume();
    let mut bench = Bench::new();
    assert!(!present(&mut bench, resume()), "none yet");
    bench.cut("c");
    assert!(present(&mut bench, resume()), "one with nothing in it");
    bench.cut("c");
    assert!(!present(&mut bench, clean()), "discarded");
    bench.cut("c");
    bench.pass(100_000);
    assert!(!present(&mut bench, resume()), "expired");
    bench.start("c", Connect::new("c").resume().with(PropertyId::AuthenticationMethod, "m"));
    bench.expect_refusal("c", ReasonCode::BadAuthenticationMethod); // Never in a refusal.
}

#[test]
fn a_clean_start_discards_subscriptions_and_messages() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("c");
    bench.subscribe("c", "t", Q1);
    bench.cut("c");
    bench.publish("p", message("t"));
    bench.connect("c", Connect::new("c").session_expiry(NEVER));
    bench.publish("p", message("t"));
    bench.expect_nothing("c");
}

#[test]
fn a_session_keeps_subscriptions_and_messages() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("c");
    bench.subscribe("c", "t", Q1);
    bench.cut("c");
    bench.publish("p", message("t"));
    assert!(bench.resume("c"));
    assert!(!bench.expect_publish("c").dup);
    bench.send("p", message("t"));
    assert_eq!(bench.expect_publish("c").qos, Q0);
    bench.expect_nothing("c");
}

#[test]
fn messages_at_qos_0_are_for_those_who_are_there() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("c");
    bench.subscribe("c", "t", Q1);
    bench.cut("c");
    bench.send("p", message("t"));
    bench.resume("c");
    bench.expect_nothing("c");
}

#[test]
fn a_takeover_closes_the_old_connection_and_goes_on_with_the_session() {
    for (old_expiry, clean, expected) in
        [(100, false, true), (100, true, false), (0, false, false), (0, true, false)]
    {
        let mut bench = Bench::new();
        bench.connect("old", Connect::new("c").session_expiry(old_expiry));
        bench.subscribe("old", "t", Q1);
        let connect = Connect { clean_start: clean, ..Connect::new("c") };
        let connack = bench.connect("new", connect);
        assert_eq!(connack.session_present, expected, "{old_expiry} {clean}");
        bench.expect_disconnect("old", ReasonCode::SessionTakenOver);
        bench.publish("new", message("t"));
        let messages = bench.payloads("new").len();
        assert_eq!(messages, usize::from(expected), "the subscription goes with the session");
        // What the old connection still had on its way has no effect.
        bench.send("old", message("t"));
        bench.cut("old");
        bench.expect_nothing("old");
        bench.expect_alive("new");
    }
}

#[test]
fn a_takeover_repeats_what_the_old_connection_left_open() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("c");
    bench.subscribe("c", "t", Q1);
    bench.publish("p", message("t"));
    let first = bench.expect_publish("c");
    bench.resume("c");
    let again = bench.expect_publish("c");
    assert_eq!((again.packet_id, again.dup), (first.packet_id, true));
}

#[test]
fn a_session_ends_at_its_expiry() {
    for (wait, expected) in [(9_999, true), (10_000, false), (10_001, false)] {
        let mut bench = Bench::new();
        bench.connect("c", Connect::new("c").session_expiry(10));
        bench.pass(60_000); // It does not run while the connection is open.
        bench.cut("c");
        bench.pass(wait);
        assert_eq!(present(&mut bench, Connect::new("c").resume()), expected, "{wait}");
    }
}

#[test]
fn a_resumed_session_does_not_end_at_its_old_expiry() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").session_expiry(10));
    bench.cut("c");
    bench.pass(5_000);
    assert!(present(&mut bench, Connect::new("c").resume().session_expiry(20)));
    bench.pass(60_000);
    bench.expect_alive("c");
    bench.cut("c");
    bench.pass(19_999);
    assert!(present(&mut bench, Connect::new("c").resume()));
}

#[test]
fn an_expiry_of_zero_or_none_ends_the_session_with_the_connection() {
    for connect in [Connect::new("c"), Connect::new("c").session_expiry(0)] {
        let mut bench = Bench::new();
        bench.connect("c", connect);
        bench.cut("c");
        assert!(!present(&mut bench, Connect::new("c").resume()));
    }
}

#[test]
fn the_largest_expiry_never_comes() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").session_expiry(NEVER));
    bench.cut("c");
    bench.tick_to(u64::MAX - 1);
    assert!(bench.resume("c"));
}

#[test]
fn disconnect_sets_another_expiry() {
    for (at_connect, at_disconnect, wait, expected) in [
        (10, Some(20), 19_999, true),
        (10, Some(20), 20_000, false),
        (10, Some(0), 0, false),
        (10, None, 9_999, true),
        (10, None, 10_000, false),
        (0, Some(0), 0, false),
        (NEVER, Some(1), 1_000, false),
        (1, Some(NEVER), u64::MAX / 2, true),
    ] {
        let mut bench = Bench::new();
        bench.connect("c", Connect::new("c").session_expiry(at_connect));
        let mut packet = disconnect(ReasonCode::Success);
        if let Some(seconds) = at_disconnect {
            packet = packet.with(PropertyId::SessionExpiryInterval, seconds);
        }
        bench.send("c", packet);
        bench.expect_close("c");
        bench.pass(wait);
        let found = present(&mut bench, Connect::new("c").resume());
        assert_eq!(found, expected, "{at_connect} {at_disconnect:?} {wait}");
    }
}

#[test]
fn disconnect_may_not_raise_an_expiry_of_zero() {
    let mut bench = Bench::new();
    bench.join("c");
    let packet = disconnect(ReasonCode::Success).with(PropertyId::SessionExpiryInterval, 1);
    bench.send("c", packet);
    bench.expect_disconnect("c", ReasonCode::ProtocolError);
    assert!(!bench.resume("c"));
}

#[test]
fn keep_alive_ends_at_one_and_a_half() {
    for seconds in [1, 5, u16::MAX] {
        let end = 500 + u64::from(seconds) * 1_500;
        let mut bench = Bench::new();
        bench.tick_to(500);
        bench.connect("c", Connect::new("c").keep_alive(seconds));
        bench.tick_to(end - 1);
        bench.expect_nothing("c");
        bench.tick_to(end);
        bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
    }
}

#[test]
fn every_packet_counts_for_keep_alive() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").keep_alive(5));
    for packet in [message("t").into(), bench::puback(1), bench::pubcomp(1)] {
        bench.pass(7_499);
        bench.send("c", packet);
        bench.expect_nothing("c");
    }
    bench.pass(7_499);
    bench.expect_alive("c");
    bench.pass(7_499);
    bench.expect_nothing("c");
    bench.pass(1);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
}

#[test]
fn what_the_broker_sends_does_not_count_for_keep_alive() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.connect("c", Connect::new("c").keep_alive(5));
    bench.subscribe("c", "t", Q0);
    bench.pass(7_000);
    bench.publish("p", message("t"));
    bench.expect_publish("c");
    bench.pass(500);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
}

#[test]
fn without_keep_alive_silence_is_free() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").keep_alive(0));
    bench.tick_to(u64::MAX - 1);
    bench.expect_alive("c");
}

#[test]
fn no_timer_outlives_what_it_is_for() {
    let connect = || Connect::new("c").resume().session_expiry(20).will(bench::will(5));
    let mut bench = Bench::new();
    bench.open("c");
    assert_eq!(bench.deadline(), Some(30_000), "for a CONNECT");
    bench.send("c", connect());
    assert_eq!(bench.deadline(), None);
    for _ in 0..2 {
        bench.cut("c");
        assert_eq!(bench.deadline(), Some(5_000), "for the Will");
        bench.start("c", connect());
        assert_eq!(bench.deadline(), None);
    }
    bench.start("c", Connect::new("c").resume().keep_alive(2).session_expiry(20));
    assert_eq!(bench.deadline(), Some(3_000), "for silence");
    bench.send("c", disconnect(ReasonCode::Success));
    assert_eq!(bench.deadline(), Some(20_000), "for the session");
    bench.connect("c", Connect::new("c"));
    assert_eq!(bench.deadline(), None);
    bench.publish("c", message("t").retain().with(PropertyId::MessageExpiryInterval, 3));
    assert_eq!(bench.deadline(), Some(3_000), "for the retained message");
    bench.publish("c", message("t").retain().with(PropertyId::MessageExpiryInterval, 9));
    assert_eq!(bench.deadline(), Some(9_000));
    bench.publish("c", message("t").retain());
    assert_eq!(bench.deadline(), None);
    bench.publish("c", message("u").retain().with(PropertyId::MessageExpiryInterval, 0));
    bench.tick_to(1);
    assert_eq!(bench.deadline(), None);
}

#[test]
fn a_client_without_an_identifier_is_given_one_of_its_own() {
    let mut bench = Bench::new();
    bench.resume("assigned1"); // The name that the first would get.
    let mut given = Vec::new();
    for name in ["x", "y"] {
        let connack = bench.connect(name, Connect::new(""));
        given.push(connack.properties.text(PropertyId::AssignedClientIdentifier).cloned());
        assert!(!connack.session_present);
    }
    assert!(given.iter().all(Option::is_some) && given[0] != given[1], "{given:?}");
    assert_ne!(given[0].as_deref(), Some("assigned1"));
    let connack = bench.connect("z", Connect::new("own"));
    assert!(!connack.properties.contains(PropertyId::AssignedClientIdentifier));
    bench.expect_alive("assigned1");
}
