//! What time brings, at its edges: a millisecond before, at the moment, and after it; two at one
//! moment; and with a broker that looks at its timers now and then.

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bench::{Bench, NEVER, Q0, Q1, Q2, disconnect, message, puback, text, will};
use reference_broker::codec::{Connect, Packet, PropertyId, Publish, QoS, ReasonCode, Will};
use reference_broker::core::{Answer, Config};

fn with(change: impl Fn(&mut Config)) -> Bench {
    let mut config = Config::default();
    change(&mut config);
    Bench::with(config)
}

/// A broker that looks at its timers every so many milliseconds.
fn grained(milliseconds: u64) -> Bench {
    with(|config| config.timer_grain = Duration::from_millis(milliseconds))
}

/// With a client `w` that subscribes to everything.
fn watched(mut bench: Bench) -> Bench {
    bench.join("w");
    bench.subscribe("w", "#", Q2);
    bench
}

fn expiring(seconds: u32) -> Publish {
    message("t").with(PropertyId::MessageExpiryInterval, seconds)
}

fn left(publish: &Publish) -> Option<u32> {
    publish.properties.number(PropertyId::MessageExpiryInterval)
}

#[test]
fn connect_comes_in_time_until_the_last_millisecond() {
    for timeout in [1_u64, 1_500, 30_000] {
        for (wait, is_in_time) in [(timeout - 1, true), (timeout, false), (timeout + 1, false)] {
            let mut bench = with(|it| it.connect_timeout = Duration::from_millis(timeout));
            bench.pass(700);
            bench.open("c");
            // The CONNECT and the end at the same moment: nobody has woken the broker before.
            bench.skip_to(700 + wait);
            bench.send("c", Connect::new("c"));
            match is_in_time {
                true => {
                    assert!(matches!(bench.expect("c"), Packet::ConnAck(_)), "{timeout} {wait}");
                    bench.pass(1_000_000);
                    bench.expect_alive("c");
                }
                false => bench.expect_close("c"),
            }
        }
    }
}

#[test]
fn a_packet_at_the_end_of_the_keep_alive_is_too_late() {
    for (wait, is_in_time) in [(2_999, true), (3_000, false), (3_001, false)] {
        let mut bench = Bench::new();
        bench.connect("c", Connect::new("c").keep_alive(2));
        bench.skip_to(wait);
        match is_in_time {
            true => bench.expect_alive("c"),
            false => {
                bench.send("c", Packet::PingReq);
                bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
            }
        }
    }
}

#[test]
fn keep_alive_is_of_the_connection_and_begins_with_it() {
    let connect = || Connect::new("c").resume().session_expiry(NEVER);
    let mut bench = Bench::new();
    bench.connect("c", connect().keep_alive(2));
    bench.pass(2_000);
    bench.connect("c", connect().keep_alive(4));
    bench.pass(5_999);
    bench.expect_nothing("c");
    bench.pass(1);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
    bench.connect("c", connect());
    bench.pass(1_000_000);
    bench.expect_alive("c");
}

#[test]
fn a_server_keep_alive_is_kept_up_by_traffic_too() {
    let mut bench = with(|config| config.server_keep_alive = Some(2));
    for asked in [0, 1, 60] {
        bench.connect("c", Connect::new("c").keep_alive(asked));
        for _ in 0..3 {
            bench.pass(2_999);
            bench.expect_alive("c");
        }
        bench.pass(3_000);
        bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
    }
}

#[test]
fn session_expiry_and_will_delay_begin_when_silence_has_ended_the_connection() {
    let mut bench = watched(Bench::new());
    let connect = Connect::new("c").keep_alive(2).session_expiry(10).will(will(4));
    bench.connect("c", connect);
    bench.tick_to(3_000);
    bench.expect_disconnect("c", ReasonCode::KeepAliveTimeout);
    bench.tick_to(6_999);
    bench.expect_nothing("w");
    bench.tick_to(7_000);
    assert_eq!(bench.payloads("w"), ["gone"]);
    assert_eq!(bench.deadline(), Some(13_000));
    bench.tick_to(12_999);
    assert!(bench.resume("c"));
}

#[test]
fn a_resumed_session_has_all_or_nothing() {
    for (wait, is_there) in [(9_999, true), (10_000, false), (10_001, false)] {
        let mut bench = Bench::new();
        bench.join("p");
        bench.connect("c", Connect::new("c").session_expiry(10));
        bench.subscribe("c", "t", Q1);
        bench.cut("c");
        bench.publish("p", message("t"));
        bench.skip_to(wait);
        assert_eq!(bench.resume("c"), is_there, "{wait}");
        assert_eq!(bench.payloads("c").len(), usize::from(is_there), "{wait}");
        match is_there {
            true => bench.publish("p", message("t")),
            false => bench.publish_to_nobody("p", message("t")),
        }
        assert_eq!(bench.payloads("c").len(), usize::from(is_there), "{wait}");
    }
}

#[test]
fn each_end_of_a_connection_begins_the_interval_of_that_connection() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").session_expiry(2));
    for (expiry, ends) in [(5, 1_999), (1, 4_999), (3, 999)] {
        bench.cut("c");
        bench.pass(ends);
        let connect = Connect::new("c").resume().session_expiry(expiry);
        assert!(bench.connect("c", connect).session_present, "{expiry}");
    }
    let to_two = disconnect(ReasonCode::Success).with(PropertyId::SessionExpiryInterval, 2);
    bench.send("c", to_two);
    bench.expect_close("c");
    bench.pass(2_000);
    assert!(!bench.resume("c"));
}

#[test]
fn a_capped_session_ends_at_the_cap_even_if_disconnect_asks_for_more() {
    for asked in [None, Some(5), Some(NEVER)] {
        for (wait, is_there) in [(3_999, true), (4_000, false)] {
            let mut bench = with(|config| config.session_expiry = (0, 4));
            bench.connect("c", Connect::new("c").session_expiry(100));
            let mut packet = disconnect(ReasonCode::Success);
            if let Some(seconds) = asked {
                packet = packet.with(PropertyId::SessionExpiryInterval, seconds);
            }
            bench.send("c", packet);
            bench.expect_close("c");
            bench.pass(wait);
            assert_eq!(bench.resume("c"), is_there, "{asked:?} {wait}");
        }
    }
}

#[test]
fn a_connection_at_the_moment_of_the_will_comes_too_late_for_it() {
    for (expiry, delay) in [(NEVER, 3), (9, 3), (3, 3), (3, 9)] {
        for (wait, wills) in [(2_999, 0), (3_000, 1), (3_001, 1)] {
            let mut bench = watched(Bench::new());
            bench.connect("c", Connect::new("c").session_expiry(expiry).will(will(delay)));
            bench.cut("c");
            bench.skip_to(wait);
            let found = bench.resume("c");
            let case = format!("{expiry} {delay} {wait}");
            assert_eq!(found, wait < 3_000 || expiry > 3, "{case}");
            assert_eq!(bench.payloads("w"), vec!["gone"; wills], "{case}");
            bench.pass(100_000);
            bench.expect_nothing("w");
        }
    }
}

#[test]
fn a_new_will_has_its_own_delay() {
    let mut bench = watched(Bench::new());
    let connect = |payload: &str, delay: u32| {
        let will = Will::new("will", payload.to_string());
        let will = will.with(PropertyId::WillDelayInterval, delay);
        Connect::new("c").resume().session_expiry(NEVER).will(will)
    };
    bench.connect("c", connect("one", 5));
    bench.cut("c");
    bench.pass(4_999);
    bench.connect("c", connect("two", 3));
    bench.cut("c");
    bench.pass(2_999);
    bench.expect_nothing("w");
    bench.pass(1);
    assert_eq!(bench.payloads("w"), ["two"]);
    assert_eq!(bench.deadline(), None);
}

/// What is left of a Message Expiry Interval of three seconds, around each second.
const LEFT: [(u64, Option<u32>); 8] = [
    (0, Some(3)),
    (999, Some(3)),
    (1_000, Some(2)),
    (1_999, Some(2)),
    (2_000, Some(1)),
    (2_999, Some(1)),
    (3_000, None),
    (3_001, None),
];

#[test]
fn the_lifetime_that_is_left_goes_down_with_each_second() {
    for qos in [Q1, Q2] {
        for (wait, expected) in LEFT {
            // It waits for the client; behind a window; among the retained ones.
            let mut bench = Bench::new();
            bench.join("p");
            bench.resume("away");
            bench.subscribe("away", "t", qos);
            bench.cut("away");
            bench.connect("slow", Connect::new("slow").with(PropertyId::ReceiveMaximum, 1));
            bench.subscribe("slow", "+", qos);
            bench.publish("p", message("first"));
            let first = bench.expect_publish("slow").packet_id;
            bench.send("p", expiring(3).retain().qos(qos, 1));
            bench.join("new");
            bench.skip_to(wait);
            bench.resume("away");
            bench.send("slow", puback(first));
            bench.subscribe("new", "t", qos);
            for name in ["away", "slow", "new"] {
                match expected {
                    None => bench.expect_nothing(name),
                    Some(_) => {
                        let publish = bench.expect_publish(name);
                        assert_eq!(left(&publish), expected, "{name} {qos:?} {wait}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_repetition_tells_what_is_left_now_and_is_sent_even_if_that_is_nothing() {
    for qos in [Q1, Q2] {
        for (wait, expected) in LEFT {
            let mut bench = Bench::new();
            bench.join("p");
            bench.resume("c");
            bench.subscribe("c", "t", qos);
            bench.send("p", expiring(3).qos(qos, 1));
            assert_eq!(left(&bench.expect_publish("c")), Some(3));
            bench.cut("c");
            bench.skip_to(wait);
            bench.resume("c");
            let again = bench.expect_publish("c");
            let expected = Some(expected.unwrap_or(0));
            assert_eq!((again.dup, left(&again)), (true, expected), "{qos:?} {wait}");
        }
    }
}

#[test]
fn the_lifetime_of_a_will_begins_when_it_is_published() {
    let mut bench = Bench::new();
    let words = will(4).retain().with(PropertyId::MessageExpiryInterval, 3);
    bench.connect("c", Connect::new("c").session_expiry(NEVER).will(words));
    bench.cut("c");
    for (moment, expected) in LEFT.map(|(wait, left)| (4_000 + wait, left)) {
        bench.tick_to(moment);
        bench.join("new");
        bench.subscribe("new", "will", Q0);
        match expected {
            None => bench.expect_nothing("new"),
            Some(_) => assert_eq!(left(&bench.expect_publish("new")), expected, "{moment}"),
        }
    }
}

#[test]
fn all_that_is_due_at_one_moment_happens_once() {
    let mut bench = watched(Bench::new());
    for name in ["a", "b"] {
        let words = Will::new("will", name).with(PropertyId::WillDelayInterval, 3);
        bench.connect(name, Connect::new(name).session_expiry(3).will(words));
    }
    bench.connect("k", Connect::new("k").keep_alive(2)); // Silent until 3,000 as well.
    bench.open("o"); // No CONNECT until 30,000.
    bench.cut("a");
    bench.cut("b");
    bench.skip_to(3_000);
    bench.pass(0);
    let mut wills = bench.payloads("w");
    wills.sort();
    assert_eq!(wills, ["a", "b"]);
    bench.expect_disconnect("k", ReasonCode::KeepAliveTimeout);
    assert_eq!(bench.deadline(), Some(30_000));
    assert!(!bench.resume("a") && !bench.resume("b"));
}

#[test]
fn a_will_takes_the_place_of_the_retained_message_that_expires_with_it() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.publish_to_nobody("p", expiring(3).retain());
    let words = Will::new("t", "gone").retain().with(PropertyId::WillDelayInterval, 3);
    bench.connect("c", Connect::new("c").session_expiry(NEVER).will(words));
    bench.cut("c");
    bench.skip_to(3_000);
    bench.pass(100_000);
    bench.subscribe("p", "t", Q0);
    assert_eq!(bench.payloads("p"), ["gone"]);
}

#[test]
fn a_coarse_clock_is_late_by_less_than_its_grain_and_never_early() {
    for grain in [2, 7, 250, 1_000, 4_096] {
        let on_grain = |due: u64| due.div_ceil(grain) * grain;
        let mut bench = watched(grained(grain));
        bench.skip_to(333);
        bench.connect("s", Connect::new("s").session_expiry(2).will(will(9)));
        bench.cut("s");
        bench.tick_to(on_grain(2_333) - 1);
        bench.expect_nothing("w");
        bench.pass(1);
        assert_eq!(bench.payloads("w"), ["gone"], "{grain}");
        let begin = bench.now();
        bench.connect("k", Connect::new("k").keep_alive(2));
        bench.open("o");
        bench.tick_to(on_grain(begin + 3_000) - 1);
        bench.expect_nothing("k");
        bench.pass(1);
        bench.expect_disconnect("k", ReasonCode::KeepAliveTimeout);
        bench.tick_to(on_grain(begin + 30_000) - 1);
        bench.expect_nothing("o");
        bench.pass(1);
        bench.expect_close("o");
    }
}

#[test]
fn a_coarse_clock_measures_lifetimes_exactly() {
    for (wait, expected) in LEFT {
        let mut bench = grained(10_000);
        bench.join("p");
        bench.resume("c");
        bench.subscribe("c", "t", Q1);
        bench.cut("c");
        bench.publish("p", expiring(3).retain());
        bench.skip_to(wait);
        bench.resume("c");
        bench.join("new");
        bench.subscribe("new", "t", QoS::AtMostOnce);
        for name in ["c", "new"] {
            match expected {
                None => bench.expect_nothing(name),
                Some(_) => assert_eq!(left(&bench.expect_publish(name)), expected, "{wait}"),
            }
        }
    }
}

/// A client that comes back finds what is due, whether the broker has looked or not.
#[test]
fn a_coarse_clock_gives_nobody_back_what_is_over() {
    for (wait, is_there) in [(2_999, true), (3_000, false), (9_999, false)] {
        for clean in [false, true] {
            let mut bench = grained(10_000);
            bench.connect("c", Connect::new("c").session_expiry(3));
            bench.cut("c");
            bench.skip_to(wait);
            let connect = Connect { clean_start: clean, ..Connect::new("c") };
            let connack = bench.connect("c", connect);
            assert_eq!(connack.session_present, is_there && !clean, "{wait}");

            let mut bench = watched(grained(10_000));
            bench.connect("c", Connect::new("c").session_expiry(NEVER).will(will(3)));
            bench.cut("c");
            bench.skip_to(wait);
            assert!(bench.resume("c"));
            assert_eq!(bench.payloads("w").len(), usize::from(!is_there), "{wait}");
            bench.pass(100_000);
            bench.expect_nothing("w");
            bench.expect_alive("c");
        }
    }
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut bench = Bench::new();
    bench.pass(10_000);
    bench.join("p");
    bench.publish_to_nobody("p", expiring(3).retain());
    bench.pass(2_000);
    bench.skip_to(10_500);
    bench.subscribe("p", "t", Q0);
    let publish = bench.expect_publish("p");
    assert_eq!((text(&publish), left(&publish)), ("t".to_string(), Some(1)));
}

#[test]
fn a_session_that_is_over_is_in_nobodys_way() {
    let mut bench = with(|config| {
        config.timer_grain = Duration::from_secs(60);
        config.access.methods = vec!["X".into()];
    });
    let connect = || Connect::new("c").with(PropertyId::AuthenticationMethod, "X");
    let mut enter = |connect: Connect, user: &str| {
        bench.start("c", connect);
        bench.expect_question("c");
        bench.answer("c", Answer::Accepted { user: Some(user.into()), data: None });
        let accepted = bench.expect("c");
        assert!(matches!(accepted, Packet::ConnAck(it) if it.reason == ReasonCode::Success));
        bench.cut("c");
        bench.skip_to(1_000); // Nobody has looked for what is due by then.
    };
    enter(connect().session_expiry(1), "one");
    enter(connect(), "another");
}
