//! What the broker tells of itself: how much there is and has happened, and what there is by name.

#[path = "support/bench.rs"]
mod bench;

use std::collections::BTreeMap;

use bench::{Bench, NEVER, Q0, Q1, Q2, disconnect, message, options, puback, pubrec, pubrel, will};
use reference_broker::codec::{
    Connect, PropertyId, Publish, ReasonCode, Subscribe, SubscriptionOptions, Text, Unsubscribe,
    Will,
};
use reference_broker::core::{
    Bounds, Config, Counts, Dropped, Moment, RetainedState, SessionState, SharedState,
    SubscriptionState,
};

fn names(sessions: &[SessionState]) -> Vec<&str> {
    sessions.iter().map(|session| &*session.client_id).collect()
}

#[test]
fn what_there_is_is_counted() {
    let mut bench = Bench::new();
    assert_eq!(bench.counts(), Counts::default());
    bench.open("stranger");
    bench.join("p");
    bench.resume("s");
    bench.subscribe_with("s", Subscribe::new(9, "a", Q2).and("$share/g/x", options(Q0, |_| ())));
    bench.subscribe("p", "$share/g/x", Q0);
    bench.subscribe("p", "$share/h/x", Q0);
    bench.cut("s");
    bench.publish_to_nobody("p", Publish::new("kept", "12").retain());
    bench.publish("p", message("a"));
    let mut expected = Counts {
        connections: 2,
        sessions_connected: 1,
        sessions_waiting: 1,
        subscriptions: 1,
        shared_subscriptions: 2,
        shared_members: 3,
        retained: 1,
        retained_bytes: 6,
        queued: 1,
        queued_bytes: 2 + Bounds::DELIVERY,
        ..Counts::default()
    };
    let is = |bench: &Bench| Counts { totals: Default::default(), ..bench.counts() };
    assert_eq!(is(&bench), expected);

    bench.resume("s");
    (expected.connections, expected.sessions_connected, expected.sessions_waiting) = (3, 2, 0);
    (expected.queued, expected.in_flight) = (0, 1);
    assert_eq!(is(&bench), expected);
    let id = bench.expect_publish("s").packet_id;
    bench.send("s", puback(id));
    (expected.in_flight, expected.queued_bytes) = (0, 0);
    assert_eq!(is(&bench), expected);

    bench.send("p", message("a").qos(Q2, 1));
    (expected.in_flight, expected.queued_bytes, expected.unreleased) = (1, 2 + Bounds::DELIVERY, 1);
    assert_eq!(is(&bench), expected);
    let id = bench.expect_publish("s").packet_id;
    bench.send("s", pubrec(id));
    bench.send("p", pubrel(1));
    (expected.queued_bytes, expected.unreleased) = (0, 0);
    assert_eq!(is(&bench), expected);

    bench.send("p", Unsubscribe::new(9, "$share/h/x"));
    bench.send("p", Publish::new("kept", "").retain());
    (expected.shared_subscriptions, expected.shared_members) = (1, 2);
    (expected.retained, expected.retained_bytes) = (0, 0);
    assert_eq!(is(&bench), expected);
    bench.join("s");
    (expected.subscriptions, expected.shared_members, expected.in_flight) = (0, 1, 0);
    assert_eq!(is(&bench), expected);
    bench.cut("p");
    bench.cut("s");
    bench.cut("stranger");
    assert_eq!(is(&bench), Counts::default());
}

#[test]
fn what_waits_for_release_goes_with_its_session() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.send("p", message("a").qos(Q2, 1));
    assert_eq!(bench.counts().unreleased, 1);
    bench.cut("p");
    assert_eq!(bench.counts(), Counts { totals: bench.counts().totals, ..Counts::default() });
}

#[test]
fn messages_are_counted_by_their_qos() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.subscribe_with("s", Subscribe::new(9, "one", Q1).and("two", options(Q2, |_| ())));
    bench.send("p", message("one"));
    bench.send("p", message("one").qos(Q1, 1));
    bench.send("p", message("one").qos(Q2, 2));
    bench.send("p", message("two").qos(Q2, 3));
    bench.send("p", message("two").qos(Q2, 3));
    let totals = bench.counts().totals;
    assert_eq!((totals.received, totals.received_bytes), ([1, 1, 3], 15));
    assert_eq!((totals.sent, totals.sent_bytes), ([1, 2, 1], 12));
    bench.cut("s");
    bench.resume("s");
    assert_eq!(bench.counts().totals.sent, [1, 4, 2], "repetitions too");
    assert_eq!((bench.counts().totals.opened, bench.counts().totals.accepted), (3, 3));
    assert_eq!(bench.counts().totals.dropped, Dropped::default());
}

#[test]
fn dropped_messages_are_counted_by_cause() {
    let mut bench = Bench::with(Config { queue_limit: 2, ..Config::default() });
    bench.join("p");
    let connect = || Connect::new("s").resume().session_expiry(NEVER);
    bench.connect("s", connect());
    bench.subscribe("s", "#", Q1);
    bench.cut("s");
    let mut expected = Dropped::default();
    bench.send("p", message("a"));
    expected.offline = 1;
    assert_eq!(bench.counts().totals.dropped, expected);
    bench.publish("p", message("a").with(PropertyId::MessageExpiryInterval, 1));
    bench.publish("p", message("b"));
    bench.publish_in_vain("p", message("c"));
    expected.queue_full = 1;
    assert_eq!(bench.counts().totals.dropped, expected);
    bench.pass(1_000);
    bench.publish("p", message("d"));
    expected.expired = 1;
    assert_eq!(bench.counts().totals.dropped, expected);
    bench.send("p", message("$a"));
    expected.refused = 1;
    bench.connect("s", connect().with(PropertyId::MaximumPacketSize, 20_u32));
    assert_eq!(bench.payloads("s"), ["b", "d"]);
    let large = Publish::new("t", "x".repeat(20));
    bench.publish("p", large.clone());
    bench.send("p", large);
    expected.too_large = 2;
    assert_eq!(bench.counts().totals.dropped, expected);
    bench.publish("p", message("e"));
    bench.expect_publish("s");
    bench.cut("s");
    bench.publish("p", message("f"));
    bench.join("s");
    expected.session_ended = 4;
    assert_eq!(bench.counts().totals.dropped, expected, "b, d and e are not acknowledged either");
}

#[test]
fn expired_messages_are_counted_as_they_are_found() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q1);
    bench.cut("s");
    bench.publish("p", message("a").with(PropertyId::MessageExpiryInterval, 1));
    bench.pass(1_000);
    bench.resume("s");
    bench.expect_nothing("s");
    assert_eq!(bench.counts().totals.dropped.expired, 1);
    assert_eq!(bench.counts().queued_bytes, 0);
}

#[test]
fn ends_are_counted_by_their_codes() {
    let mut bench = Bench::new();
    bench.join("a");
    bench.join("a");
    bench.send("a", Connect::new("a"));
    bench.start("b", Connect::new("b").with(PropertyId::AuthenticationMethod, "x"));
    // It could not be told.
    let tiny = Connect::new("b").with(PropertyId::MaximumPacketSize, 1_u32);
    bench.start("b", tiny.with(PropertyId::AuthenticationMethod, "x"));
    for reason in [ReasonCode::Success, ReasonCode::DisconnectWithWill, ReasonCode::Success] {
        bench.join("c");
        bench.send("c", disconnect(reason));
    }
    let totals = bench.counts().totals;
    assert_eq!(totals.refused, BTreeMap::from([(ReasonCode::BadAuthenticationMethod, 2)]));
    let ended = [(ReasonCode::ProtocolError, 1), (ReasonCode::SessionTakenOver, 1)];
    assert_eq!(totals.disconnected, BTreeMap::from(ended));
    let left = [(ReasonCode::Success, 2), (ReasonCode::DisconnectWithWill, 1)];
    assert_eq!(totals.left, BTreeMap::from(left));
    assert_eq!((totals.opened, totals.accepted), (7, 5));
}

#[test]
fn what_there_is_is_told_by_name() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.pass(7);
    let secret = Will::new("will", "secret").with(PropertyId::UserProperty, ("secret", "secret"));
    bench.connect("s", Connect::new("s").session_expiry(5).will(secret));
    let wild = options(Q1, |options| options.retain_as_published = true);
    let subscribe = Subscribe::new(9, "$share/g/#", Q2).and("a/+", wild);
    bench.subscribe_with("s", subscribe.with(PropertyId::SubscriptionIdentifier, 3));
    bench.subscribe("p", "$share/g/#", Q0);
    bench.send("s", message("a/b").qos(Q2, 1));
    bench.send("s", disconnect(ReasonCode::DisconnectWithWill));
    bench.publish("p", Publish::new("a/b", "secret").retain());

    let state = bench.broker().state(10);
    assert_eq!(names(&state.sessions), ["p", "s"]);
    let text = |text: &str| Text::from(text);
    let subscription = |filter: &str, options| SubscriptionState {
        filter: text(filter),
        options,
        identifier: Some(3),
    };
    let expected = SessionState {
        client_id: text("s"),
        is_connected: false,
        expiry: 5,
        expires_at: Some(Moment(5_007)),
        subscriptions: vec![
            subscription("$share/g/#", SubscriptionOptions::at(Q2)),
            subscription("a/+", wild),
        ],
        subscription_count: 2,
        queued: 1,
        in_flight: 1,
        queued_bytes: 3 + 6 + 4 + 3 + 3 + 4 + 2 * Bounds::DELIVERY,
        unreleased: 1,
        has_will: false,
    };
    assert_eq!(state.sessions[1], expected);
    assert_eq!(state.retained, [RetainedState { topic: text("a/b"), bytes: 9 + Bounds::LEVEL }]);
    let group = SharedState {
        filter: text("$share/g/#"),
        members: vec![text("p"), text("s")],
        member_count: 2,
    };
    assert_eq!(state.shared, [group]);
    assert!(!format!("{state:?}").contains("secret"));

    bench.connect("w", Connect::new("w").will(will(0)));
    let session = &bench.broker().sessions_after("s", 1)[0];
    assert_eq!((&*session.client_id, session.has_will, session.expires_at), ("w", true, None));
}

#[test]
fn no_more_is_told_than_asked_for() {
    let mut bench = Bench::new();
    for client in ["a", "b", "c"] {
        bench.join(client);
        bench.subscribe_with(
            client,
            Subscribe::new(9, "x", Q0).and("$share/g/y", options(Q0, |_| ())),
        );
        bench.subscribe(client, &format!("$share/{client}/y"), Q0);
        bench.publish_to_nobody(client, message(client).retain());
    }
    let state = bench.broker().state(2);
    assert_eq!(names(&state.sessions), ["a", "b"]);
    assert_eq!(
        (state.sessions[0].subscriptions.len(), state.sessions[0].subscription_count),
        (2, 3)
    );
    let second = &state.sessions[1];
    assert_eq!((second.subscriptions.len(), second.subscription_count), (0, 3), "two of all");
    let topics: Vec<_> = state.retained.iter().map(|retained| &*retained.topic).collect();
    assert_eq!(topics, ["a", "b"]);
    let shared: Vec<_> = state.shared.iter().map(|shared| &*shared.filter).collect();
    assert_eq!(shared, ["$share/a/y", "$share/b/y"]);
    let all = bench.broker().state(6).shared;
    assert_eq!((all[3].members.len(), all[3].member_count), (3, 3));
    let few = bench.broker().state(4).shared;
    assert_eq!((few[3].members.len(), few[3].member_count), (1, 3), "four of all");
    assert_eq!(bench.broker().state(0), Default::default());

    // Page by page.
    let broker = bench.broker();
    assert_eq!(names(&broker.sessions_after("", 2)), ["a", "b"]);
    assert_eq!(names(&broker.sessions_after("b", 2)), ["c"]);
    assert_eq!(names(&broker.sessions_after("bb", 2)), ["c"], "though it is not there");
    assert_eq!(names(&broker.sessions_after("c", 2)), [""; 0]);
}
