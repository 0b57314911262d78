//! Wills: when they are published, and as what (section 3.1.2.5).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, disconnect, options, text, will};
use reference_broker::codec::{Connect, PropertyId, QoS, ReasonCode, Subscribe, Will};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Normal,
    With(ReasonCode),
    Cut,
    KeepAlive,
    ProtocolError,
    Malformed,
    MalformedDisconnect,
    TakenOver { clean: bool },
}

/// Session Expiry Interval and Will Delay Interval, in seconds: the columns of the table.
const SESSIONS: [(u32, u32); 7] =
    [(0, 0), (0, 5), (20, 0), (20, 5), (20, 20), (20, 30), (NEVER, 5)];

/// When the Will is published, in seconds after the end; `None` for never.
fn due(end: End, expiry: u32, delay: u32) -> Option<u64> {
    match end {
        End::Normal => None,
        End::TakenOver { clean: false } if expiry > 0 && delay > 0 => None,
        End::TakenOver { .. } => Some(0),
        _ => Some(u64::from(delay.min(expiry))),
    }
}

/// A broker with a watcher of Wills and a client that has one.
fn bench_with(expiry: u32, delay: u32, keep_alive: u16) -> Bench {
    let mut bench = Bench::new();
    bench.join("watcher");
    bench.subscribe("watcher", "will", Q0);
    let connect = Connect::new("c").session_expiry(expiry).keep_alive(keep_alive);
    bench.connect("c", connect.will(will(delay)));
    bench
}

fn finish(bench: &mut Bench, end: End) {
    match end {
        End::Normal => bench.send("c", disconnect(ReasonCode::Success)),
        End::With(reason) => bench.send("c", disconnect(reason)),
        End::Cut => bench.cut("c"),
        End::KeepAlive => bench.pass(15_000),
        End::ProtocolError => bench.send("c", Connect::new("c")),
        End::Malformed => bench.send_bytes("c", &[0x36, 0x04, 0x00, 0x01, b't', 0x00]),
        End::MalformedDisconnect => bench.send_bytes("c", &[0xE0, 0x01, 0x03]),
        End::TakenOver { clean } => {
            bench.start("new", Connect { clean_start: clean, ..Connect::new("c") });
        }
    }
}

#[test]
fn a_will_is_published_at_its_moment_and_not_before() {
    let ends = [
        End::Normal,
        End::With(ReasonCode::DisconnectWithWill),
        End::With(ReasonCode::UnspecifiedError),
        End::Cut,
        End::KeepAlive,
        End::ProtocolError,
        End::Malformed,
        End::MalformedDisconnect,
        End::TakenOver { clean: false },
        End::TakenOver { clean: true },
    ];
    for end in ends {
        for (expiry, delay) in SESSIONS {
            let case = format!("{end:?} {expiry} {delay}");
            let mut bench = bench_with(expiry, delay, if end == End::KeepAlive { 10 } else { 0 });
            finish(&mut bench, end);
            let expected = due(end, expiry, delay);
            if let Some(seconds @ 1..) = expected {
                bench.pass(seconds * 1000 - 1);
                assert_eq!(bench.payloads("watcher"), [""; 0], "{case}: too early");
                bench.pass(1);
            }
            let wills = usize::from(expected.is_some());
            assert_eq!(bench.payloads("watcher"), vec!["gone"; wills], "{case}");
            bench.pass(100_000_000);
            assert_eq!(bench.payloads("watcher"), [""; 0], "{case}: once");
        }
    }
}

#[test]
fn a_will_is_published_when_the_server_stops() {
    for (expiry, delay) in SESSIONS {
        let mut bench = bench_with(expiry, delay, 0);
        bench.stop();
        bench.expect_disconnect("c", ReasonCode::ServerShuttingDown);
        if due(End::Cut, expiry, delay) == Some(0) {
            assert_eq!(text(&bench.expect_publish("watcher")), "gone", "{expiry} {delay}");
        }
        bench.expect_disconnect("watcher", ReasonCode::ServerShuttingDown);
    }
}

#[test]
fn a_connection_before_the_delay_has_passed_decides() {
    for (expiry, delay) in SESSIONS {
        for clean in [false, true] {
            let case = format!("{expiry} {delay} {clean}");
            let mut bench = bench_with(expiry, delay, 0);
            bench.cut("c");
            let wait = due(End::Cut, expiry, delay).unwrap_or(0) * 1000;
            bench.pass(wait.saturating_sub(1));
            let at_once = usize::from(wait == 0);
            assert_eq!(bench.payloads("watcher"), vec!["gone"; at_once], "{case}");
            bench.connect("c", Connect { clean_start: clean, ..Connect::new("c") });
            // A clean start ends the session, and with it the wait.
            let now = usize::from(wait > 0 && clean);
            assert_eq!(bench.payloads("watcher"), vec!["gone"; now], "{case}");
            bench.pass(100_000_000);
            assert_eq!(bench.payloads("watcher"), [""; 0], "{case}");
        }
    }
}

#[test]
fn disconnect_with_will_goes_by_the_expiry_that_it_sets() {
    for (delay, expiry, moment) in [(5, 0, 0), (5, 3, 3), (5, 20, 5), (0, 20, 0)] {
        let mut bench = bench_with(10, delay, 0);
        let packet = disconnect(ReasonCode::DisconnectWithWill);
        bench.send("c", packet.with(PropertyId::SessionExpiryInterval, expiry));
        if moment > 0 {
            bench.pass(moment * 1000 - 1);
            bench.expect_nothing("watcher");
            bench.pass(1);
        }
        assert_eq!(bench.payloads("watcher"), ["gone"], "{delay} {expiry}");
    }
}

#[test]
fn a_disconnect_that_raises_the_expiry_from_zero_is_none() {
    let mut bench = bench_with(0, 0, 0);
    let packet = disconnect(ReasonCode::Success);
    bench.send("c", packet.with(PropertyId::SessionExpiryInterval, 5));
    assert_eq!(bench.payloads("watcher"), ["gone"]);
}

#[test]
fn a_refused_connect_leaves_no_will() {
    let mut bench = Bench::new();
    bench.join("watcher");
    bench.subscribe("watcher", "#", Q0);
    let connect = || Connect::new("c").will(will(0));
    bench.start("c", connect().with(PropertyId::AuthenticationMethod, "m"));
    bench.expect_refusal("c", ReasonCode::BadAuthenticationMethod);
    bench.start("c", connect().with(PropertyId::MaximumPacketSize, 10));
    bench.expect_close("c"); // No CONNACK is that short.
    bench.start("c", Connect::new("c").will(Will::new("$SYS/x", "gone")));
    bench.expect_refusal("c", ReasonCode::TopicNameInvalid);
    bench.expect_nothing("watcher");
}

#[test]
fn a_connection_that_cannot_be_accepted_leaves_the_old_one_alone() {
    let mut bench = bench_with(100, 0, 0);
    bench.start("new", Connect::new("c").with(PropertyId::MaximumPacketSize, 10));
    bench.expect_close("new");
    bench.expect_alive("c");
    bench.expect_nothing("watcher");
}

#[test]
fn a_connection_without_a_will_forgets_the_one_before() {
    let mut bench = bench_with(100, 5, 0);
    bench.cut("c");
    bench.connect("c", Connect::new("c").resume().session_expiry(100));
    bench.cut("c");
    bench.pass(100_000_000);
    bench.expect_nothing("watcher");
}

#[test]
fn a_will_has_its_properties_and_its_expiry_begins_with_it() {
    let mut bench = Bench::new();
    bench.join("watcher");
    bench.subscribe("watcher", "will", Q2);
    let will = Will::new("will", (0..=255).collect::<Vec<u8>>())
        .qos(Q1)
        .with(PropertyId::WillDelayInterval, 5)
        .with(PropertyId::PayloadFormatIndicator, 0)
        .with(PropertyId::MessageExpiryInterval, 60)
        .with(PropertyId::ContentType, "type")
        .with(PropertyId::ResponseTopic, "answer")
        .with(PropertyId::CorrelationData, bytes::Bytes::from_static(&[0, 255]))
        .with(PropertyId::UserProperty, ("b", "1"))
        .with(PropertyId::UserProperty, ("a", "2"));
    bench.connect("c", Connect::new("c").session_expiry(100).will(will.clone()));
    bench.pass(50_000);
    bench.cut("c");
    bench.pass(5_000);
    let publish = bench.expect_publish("watcher");
    assert_eq!((publish.qos, publish.retain, &publish.payload), (Q1, false, &will.payload));
    let mut expected: Vec<_> = will.properties.iter().cloned().collect();
    expected.retain(|property| property.id != PropertyId::WillDelayInterval);
    let mut seen: Vec<_> = publish.properties.iter().cloned().collect();
    expected.sort_by_key(|property| property.id); // Stable: user properties keep their order.
    seen.sort_by_key(|property| property.id);
    assert_eq!(seen, expected);
}

#[test]
fn a_will_may_be_retained_and_may_clear() {
    let mut bench = Bench::new();
    bench.join("watcher");
    bench.connect("c", Connect::new("c").will(Will::new("will", "gone").retain()));
    bench.cut("c");
    bench.subscribe("watcher", "will", Q0);
    assert!(bench.expect_publish("watcher").retain);
    bench.connect("c", Connect::new("c").will(Will::new("will", "").retain()));
    bench.cut("c");
    let cleared = bench.expect_publish("watcher");
    assert_eq!((text(&cleared).as_str(), cleared.retain), ("", false));
    bench.subscribe("watcher", "will", Q0);
    bench.expect_nothing("watcher");
}

#[test]
fn a_will_is_delivered_at_the_lower_qos_with_retain_as_asked() {
    for (published, granted) in QoS::ALL.iter().flat_map(|p| QoS::ALL.map(|g| (*p, g))) {
        let mut bench = Bench::new();
        bench.join("watcher");
        let kept = options(granted, |options| options.retain_as_published = true);
        bench.subscribe_with("watcher", Subscribe::new(1, "x", Q0).and("will", kept));
        bench.connect("c", Connect::new("c").will(Will::new("will", "").qos(published).retain()));
        bench.cut("c");
        let publish = bench.expect_publish("watcher");
        assert_eq!((publish.qos, publish.retain), (published.min(granted), true));
    }
}

#[test]
fn a_will_waits_for_its_own_client() {
    let mut bench = Bench::new();
    bench.connect("c", Connect::new("c").session_expiry(100).will(will(0).qos(Q1)));
    bench.subscribe("c", "will", Q1);
    bench.cut("c");
    bench.connect("c", Connect::new("c").resume());
    assert_eq!(bench.payloads("c"), ["gone"]);
}
