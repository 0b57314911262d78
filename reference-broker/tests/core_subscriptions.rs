//! Subscriptions: overlapping, shared, replaced and given up (sections 3.8, 3.10 and 4.8).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, Q0, Q1, Q2, identifiers, message, options, text};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, Unsubscribe,
};
use reference_broker::core::Config;

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

/// Members of the Shared Subscription `$share/g/t` and a publisher `p`.
fn group(members: &[&str]) -> Bench {
    let mut bench = Bench::with(Config { queue_limit: 100, ..Config::default() });
    bench.join("p");
    for member in members {
        bench.resume(member);
        bench.subscribe(member, "$share/g/t", Q2);
    }
    bench
}

fn shares(bench: &mut Bench, members: &[&str]) -> Vec<usize> {
    members.iter().map(|member| bench.payloads(member).len()).collect()
}

#[test]
fn a_group_gets_each_message_once_and_others_get_their_own() {
    let members = ["a", "b", "c"];
    let mut bench = group(&members);
    bench.join("other");
    bench.subscribe("other", "t", Q0);
    bench.subscribe("other", "$share/second/+", Q0);
    bench.subscribe("a", "$share/g/t", Q2); // Once more is no second share.
    for _ in 0..9 {
        bench.publish("p", message("t"));
    }
    assert_eq!(shares(&mut bench, &members), [3, 3, 3]);
    assert_eq!(bench.payloads("other").len(), 18);
}

#[test]
fn a_group_serves_each_member_at_its_qos_with_its_identifier_and_flags() {
    let mut bench = Bench::new();
    bench.join("p");
    for (name, qos, identifier) in [("a", Q0, 1), ("b", Q1, 2), ("c", Q2, 0)] {
        bench.join(name);
        let mut subscribe = with_identifier("$share/g/+/x", qos, identifier);
        subscribe.subscriptions[0].options.retain_as_published = name == "b";
        bench.subscribe_with(name, subscribe);
    }
    for id in 1..4 {
        bench.send("p", message("t/x").qos(Q2, id).retain());
    }
    for (name, qos, expected) in [("a", Q0, vec![1]), ("b", Q1, vec![2]), ("c", Q2, vec![])] {
        let publish = bench.expect_publish(name);
        assert_eq!((publish.qos, identifiers(&publish)), (qos, expected));
        assert_eq!(publish.retain, name == "b");
    }
}

#[test]
fn a_group_prefers_members_who_are_there_and_else_waits_for_one() {
    let members = ["a", "b"];
    let mut bench = group(&members);
    bench.cut("a");
    for _ in 0..4 {
        bench.publish("p", message("t"));
    }
    assert_eq!(bench.payloads("b").len(), 4);
    bench.send("b", bench::disconnect(ReasonCode::Success));
    bench.expect_close("b");
    for _ in 0..4 {
        bench.publish("p", message("t"));
    }
    bench.resume("a");
    bench.resume("b");
    let first = bench.payloads("a").len();
    assert_eq!(first + bench.payloads("b").len(), 8, "four of them once more");
    assert_eq!(first, 2);
}

#[test]
fn a_group_lives_as_long_as_it_has_a_member() {
    let mut bench = group(&["a", "b", "c"]);
    bench.send("a", Unsubscribe::new(1, "$share/g/t"));
    bench.expect("a");
    bench.connect("b", Connect::new("b")); // Its session ends.
    for _ in 0..3 {
        bench.publish("p", message("t"));
    }
    assert_eq!(shares(&mut bench, &["a", "b", "c"]), [0, 0, 3]);
    bench.send("c", Unsubscribe::new(1, "$share/g/t"));
    bench.expect("c");
    bench.publish_to_nobody("p", message("t"));
}

#[test]
fn plain_and_shared_filters_do_not_touch_each_other() {
    let mut bench = Bench::new();
    bench.join("s");
    bench.subscribe("s", "$share/g/t", Q0);
    bench.subscribe("s", "t", Q0);
    bench.send("s", message("t"));
    assert_eq!(bench.payloads("s").len(), 2);
    bench.send("s", Unsubscribe::new(1, "t"));
    assert_eq!(codes(&mut bench, "s"), [ReasonCode::Success]);
    bench.send("s", message("t"));
    assert_eq!(bench.payloads("s").len(), 1);
}

#[test]
fn what_a_dead_member_had_goes_to_another() {
    let mut bench = group(&["a"]);
    bench.connect(
        "a",
        Connect::new("a").resume().session_expiry(10).with(PropertyId::ReceiveMaximum, 2),
    );
    for (topic, qos) in [("t", Q1), ("t", Q2), ("t", Q2)] {
        bench.send("p", message(topic).qos(qos, 1));
        bench.send("p", bench::pubrel(1));
    }
    let (one, two) = (bench.expect_publish("a"), bench.expect_publish("a"));
    assert_eq!((one.qos, two.qos), (Q1, Q2));
    bench.resume("b");
    bench.subscribe("b", "$share/g/t", Q1);
    bench.cut("a");
    bench.pass(9_999);
    bench.expect_nothing("b");
    bench.pass(1);
    // The one at QoS 2 that was on its way must not go anywhere else.
    let seen = [bench.expect_publish("b"), bench.expect_publish("b")];
    assert!(seen.iter().all(|publish| publish.qos == Q1 && !publish.dup));
    bench.expect_nothing("b");
    bench.cut("b");
    bench.resume("b");
    assert_eq!(bench.payloads("b").len(), 2);
}

#[test]
fn what_a_dead_member_had_keeps_its_order() {
    let mut config = Config::default();
    config.handling.lowest_packet_id_first = true;
    let mut bench = Bench::with(config);
    bench.join("p");
    bench.resume("a");
    bench.subscribe("a", "$share/g/t", Q1);
    for payload in ["one", "two"] {
        bench.publish("p", Publish::new("t", payload));
    }
    let first = bench.expect_publish("a").packet_id;
    bench.send("a", bench::puback(first));
    bench.publish("p", Publish::new("t", "three")); // With the identifier of the first.
    bench.resume("b");
    bench.subscribe("b", "$share/g/t", Q1);
    bench.connect("a", Connect::new("a")); // Its session ends.
    assert_eq!(bench.payloads("b"), ["two", "three"]);
}

#[test]
fn what_a_dropped_member_has_on_its_way_stays_with_it() {
    for qos in [Q1, Q2] {
        let mut bench = group(&["a", "b"]);
        bench.send("p", message("t").qos(qos, 1));
        let first = bench.expect_publish("a");
        bench.cut("a");
        bench.expect_nothing("b");
        bench.resume("a");
        assert_eq!(bench.expect_publish("a"), first.dup());
    }
}

#[test]
fn what_a_member_refuses_is_over_for_the_group() {
    let mut bench = group(&["a", "b"]);
    bench.publish("p", message("t"));
    let publish = bench.expect_publish("a");
    let refused = PublishAck::because(publish.packet_id, ReasonCode::UnspecifiedError);
    bench.send("a", Packet::PubAck(refused));
    bench.expect_nothing("b");
    bench.connect("a", Connect::new("a")); // Its session ends.
    bench.expect_nothing("b");
}

#[test]
fn the_will_of_a_dead_member_goes_to_a_living_one() {
    let mut bench = Bench::new();
    bench.connect("a", Connect::new("a").will(bench::will(0).qos(Q1)));
    bench.subscribe("a", "$share/g/will", Q1);
    bench.resume("b");
    bench.subscribe("b", "$share/g/will", Q1);
    bench.cut("b"); // Neither is there when the Will is published.
    bench.cut("a");
    bench.resume("b");
    assert_eq!(text(&bench.expect_publish("b")), "gone");
}

#[test]
fn what_a_dead_member_has_published_is_not_for_it() {
    let mut config = Config { queue_limit: 100, ..Config::default() };
    config.handling.hands_on_at_release = true;
    let mut bench = Bench::with(config);
    for member in ["a", "b"] {
        bench.resume(member);
        bench.subscribe(member, "$share/g/t", Q2);
    }
    bench.send("a", message("t").qos(Q2, 1));
    bench.expect("a");
    bench.cut("b");
    bench.cut("a");
    bench.join("a"); // Its session ends, and with it the wait for PUBREL.
    bench.resume("b");
    assert_eq!(bench.payloads("b"), ["t"]);
}

#[test]
fn what_was_for_a_group_that_has_ended_is_for_no_later_one() {
    let mut bench = group(&["a"]);
    bench.cut("a");
    bench.publish("p", message("t"));
    bench.resume("a");
    assert_eq!(bench.payloads("a").len(), 1);
    bench.send("a", Unsubscribe::new(1, "$share/g/t"));
    bench.expect("a");
    bench.resume("b");
    bench.subscribe("b", "$share/g/t", Q2);
    bench.join("a"); // Its session ends.
    assert!(bench.payloads("b").is_empty()); // U-4.8.2-6

    // It is another matter if somebody has been in the group all the time.
    let mut bench = group(&["a", "b"]);
    bench.cut("b");
    bench.publish("p", message("t"));
    assert_eq!(bench.payloads("a").len(), 1);
    bench.send("a", Unsubscribe::new(1, "$share/g/t"));
    bench.expect("a");
    bench.resume("b");
    bench.join("a");
    assert_eq!(bench.payloads("b").len(), 1); // U-4.8.2-9
}
