//! Subscriptions: overlapping, replaced and given up (sections 3.8 and 3.10).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, Q0, Q1, Q2, identifiers, message, options};
use reference_broker::codec::{
    Connect, Packet, PropertyId, PublishAck, QoS, ReasonCode, Subscribe, SubscriptionOptions,
    Unsubscribe,
};

/// A SUBSCRIBE for one filter, with a Subscription Identifier unless that is 0.
fn with_identifier(filter: &str, qos: QoS, identifier: u32) -> Subscribe {
    let subscribe = Subscribe::new(1, filter, qos);
    match identifier {
        0 => subscribe,
        _ => subscribe.with(PropertyId::SubscriptionIdentifier, identifier),
    }
}

fn no_local(filter: &str, identifier: u32) -> Subscribe {
    let mut subscribe = with_identifier(filter, Q0, identifier);
    subscribe.subscriptions[0].options.no_local = true;
    subscribe
}

fn codes(bench: &mut Bench, name: &str) -> Vec<ReasonCode> {
    match bench.expect(name) {
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.reasons,
        other => panic!("no SUBACK or UNSUBACK: {other:?}"),
    }
}

#[test]
fn overlapping_subscriptions_make_one_copy_at_the_highest_qos_with_all_identifiers() {
    let qos = QoS::ALL;
    for (published, first, second) in
        qos.iter().flat_map(|p| qos.iter().flat_map(move |f| qos.map(|s| (*p, *f, s))))
    {
        for (one, two) in [(0, 0), (1, 0), (0, 2), (1, 2), (3, 3)] {
            let mut bench = Bench::new();
            bench.join("p");
            bench.join("s");
            bench.subscribe_with("s", with_identifier("t/#", first, one));
            bench.subscribe_with("s", with_identifier("t/+", second, two));
            bench.subscribe_with("s", with_identifier("u", Q2, 9)); // Does not match.
            bench.send("p", message("t/x").qos(published, 1));
            let publish = bench.expect_publish("s");
            assert_eq!(publish.qos, published.min(first.max(second)));
            let mut seen = identifiers(&publish);
            seen.sort_unstable();
            let expected: Vec<_> = [one, two].into_iter().filter(|id| *id > 0).collect();
            assert_eq!(seen, expected, "repeats are kept");
            bench.expect_nothing("s");
        }
    }
}

#[test]
fn one_copy_for_several_is_marked_retained_if_one_of_them_asks() {
    let mut bench = Bench::new();
    bench.join("s");
    let kept = options(Q0, |options| options.retain_as_published = true);
    for subscribe in
        [Subscribe::new(1, "+", Q0).and("t", kept), Subscribe::new(1, "t", Q0).and("+", kept)]
    {
        bench.subscribe_with("s", subscribe);
        bench.payloads("s");
        bench.send("s", message("t").retain());
        assert!(bench.expect_publish("s").retain);
    }
}

#[test]
fn each_client_sees_its_own_identifiers() {
    let mut bench = Bench::new();
    for (name, identifier) in [("a", 1), ("b", 268_435_455), ("c", 0)] {
        bench.join(name);
        bench.subscribe_with(name, with_identifier("t", Q0, identifier));
    }
    bench.send("a", message("t"));
    for (name, expected) in [("a", vec![1]), ("b", vec![268_435_455]), ("c", vec![])] {
        assert_eq!(identifiers(&bench.expect_publish(name)), expected);
    }
}

#[test]
fn a_subscription_is_replaced_by_one_with_the_same_filter() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.subscribe_with("s", with_identifier("t", Q2, 1));
    for (qos, identifier) in [(Q1, 2), (Q0, 0), (Q2, 3)] {
        bench.subscribe_with("s", with_identifier("t", qos, identifier));
        bench.send("p", message("t").qos(Q2, 1));
        bench.send("p", bench::pubrel(1));
        let publish = bench.expect_publish("s");
        let expected: Vec<_> = (identifier > 0).then_some(identifier).into_iter().collect();
        assert_eq!((publish.qos, identifiers(&publish)), (qos, expected));
        bench.expect_nothing("s");
    }
    bench.resume("s");
    while bench.payloads("s").len() > 1 {}
    bench.send("p", message("t"));
    assert_eq!(identifiers(&bench.expect_publish("s")), [3], "it is part of the session");
}

#[test]
fn the_same_filter_twice_in_a_subscribe_is_two_subscribes() {
    let mut bench = Bench::new();
    bench.join("s");
    let again = options(Q2, |options| options.retain_as_published = true);
    bench.send("s", Subscribe::new(1, "t", Q0).and("t", again));
    assert_eq!(codes(&mut bench, "s"), [ReasonCode::Success, ReasonCode::GrantedQoS2]);
    bench.send("s", message("t").retain());
    assert!(bench.expect_publish("s").retain);
    bench.expect_nothing("s");
}

#[test]
fn suback_has_a_code_for_each_filter_in_order() {
    let mut bench = Bench::new();
    bench.join("s");
    let at = SubscriptionOptions::at;
    let subscribe = Subscribe::new(77, "a", Q2)
        .and("a/#/b", at(Q0))
        .and("b", at(Q0))
        .and("$share/g", at(Q1))
        .and("$share//t", at(Q1))
        .and("", at(Q1))
        .and("$share/g/t", at(Q1));
    bench.send("s", subscribe);
    let invalid = ReasonCode::TopicFilterInvalid;
    let (q0, q1, q2) = (ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2);
    assert_eq!(codes(&mut bench, "s"), [q2, invalid, q0, invalid, invalid, invalid, q1]);
    bench.send("s", message("b"));
    bench.expect_publish("s");
}

#[test]
fn unsuback_has_a_code_for_each_filter_in_order() {
    let mut bench = Bench::new();
    bench.join("s");
    for filter in ["a/b", "$share/g/t"] {
        bench.subscribe("s", filter, Q0);
    }
    let unsubscribe = Unsubscribe::new(77, "#").and("a/b").and("a/b").and("$share/g/t").and("t");
    bench.send("s", unsubscribe);
    let (gone, none) = (ReasonCode::Success, ReasonCode::NoSubscriptionExisted);
    assert_eq!(codes(&mut bench, "s"), [none, gone, none, gone, none]);
    for topic in ["a/b", "t"] {
        bench.send("s", message(topic));
    }
    bench.expect_nothing("s");
}

#[test]
fn unsubscribing_leaves_what_is_on_its_way() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.connect("s", Connect::new("s").session_expiry(100).with(PropertyId::ReceiveMaximum, 1));
    bench.subscribe("s", "t", Q1);
    bench.publish("p", message("t"));
    let first = bench.expect_publish("s");
    bench.send("s", Unsubscribe::new(2, "t"));
    assert_eq!(codes(&mut bench, "s"), [ReasonCode::Success]);
    bench.publish_to_nobody("p", message("t"));
    bench.connect("s", Connect::new("s").resume());
    assert_eq!(bench.expect_publish("s"), first.dup());
    bench.expect_nothing("s");
}

#[test]
fn no_local_keeps_a_client_from_its_own_messages_only() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.subscribe_with("s", no_local("t", 1));
    bench.send("s", message("t"));
    bench.expect_nothing("s");
    bench.send("p", message("t"));
    assert_eq!(identifiers(&bench.expect_publish("s")), [1]);
    bench.subscribe_with("s", with_identifier("+", Q0, 2));
    bench.send("s", message("t"));
    assert_eq!(identifiers(&bench.expect_publish("s")), [2], "only the other one matches");
    bench.subscribe_with("s", with_identifier("t", Q0, 0));
    bench.send("s", message("t"));
    assert_eq!(identifiers(&bench.expect_publish("s")), [2], "one copy for both");
}

#[test]
fn no_local_goes_by_the_client_and_not_by_the_connection() {
    let mut bench = Bench::new();
    bench.resume("s");
    let mut subscribe = no_local("t", 0);
    subscribe.subscriptions[0].options.maximum_qos = Q1;
    bench.subscribe_with("s", subscribe);
    bench.connect("other", Connect::new("s").resume()); // Takes the session over.
    bench.publish_to_nobody("other", message("t"));
    bench.expect_nothing("other");
}

#[test]
fn topics_with_a_dollar_sign_are_not_for_clients() {
    let mut bench = Bench::new();
    bench.join("s");
    for filter in ["#", "$x/#", "$share/g/#", "$share/g"] {
        bench.send("s", Subscribe::new(1, filter, Q0));
        bench.expect("s");
    }
    for topic in ["$x", "$x/y", "$", "$SYS/x", "$share/g/t"] {
        bench.send("s", message(topic));
        bench.send("s", message(topic).qos(Q1, 3));
        let refusal = PublishAck::because(3, ReasonCode::TopicNameInvalid);
        assert_eq!(bench.expect("s"), Packet::PubAck(refusal));
    }
    bench.expect_nothing("s");
}
