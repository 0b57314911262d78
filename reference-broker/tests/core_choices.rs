//! What the standard leaves to a server, chosen otherwise than by default.

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bench::{
    Bench, NEVER, Q0, Q1, Q2, identifiers, message, options, puback, pubcomp, pubrec, pubrel, text,
    will,
};
use reference_broker::codec::{
    ConnAck, Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, RetainHandling,
    Subscribe, SubscribeAck, Will,
};
use reference_broker::core::{Config, DollarTopics, Features};

fn with_features(change: impl Fn(&mut Features)) -> Bench {
    let mut config = Config::default();
    change(&mut config.features);
    Bench::with(config)
}

fn declared(connack: &ConnAck, id: PropertyId) -> Option<u32> {
    connack.properties.number(id)
}

fn suback(reasons: &[ReasonCode]) -> Packet {
    Packet::SubAck(SubscribeAck::new(9, reasons.to_vec()))
}

#[test]
fn a_lower_maximum_qos_is_declared_and_enforced() {
    let mut bench = Bench::with(Config { maximum_qos: Q1, ..Config::default() });
    let connack = bench.connect("p", Connect::new("p"));
    assert_eq!(declared(&connack, PropertyId::MaximumQoS), Some(1));
    bench.subscribe("p", "a", Q2);
    bench.send("p", message("a").qos(Q1, 1));
    assert_eq!(bench.expect_publish("p").qos, Q1);
    assert_eq!(bench.expect("p"), puback(1));
    bench.send("p", message("a").qos(Q2, 1));
    bench.expect_disconnect("p", ReasonCode::QoSNotSupported);
    bench.start("q", Connect::new("q").will(Will::new("w", "x").qos(Q2)));
    bench.expect_refusal("q", ReasonCode::QoSNotSupported);
    bench.connect("q", Connect::new("q").will(Will::new("w", "x").qos(Q1)));
}

#[test]
fn a_lower_qos_than_asked_for_may_be_granted() {
    let mut bench = Bench::with(Config { granted_qos: Q1, ..Config::default() });
    bench.join("p");
    let subscribe = Subscribe::new(9, "a", Q2).and("b", options(Q0, |_| ()));
    bench.send("p", subscribe);
    assert_eq!(bench.expect("p"), suback(&[ReasonCode::GrantedQoS1, ReasonCode::Success]));
    bench.send("p", message("a").qos(Q2, 1));
    assert_eq!(bench.expect_publish("p").qos, Q1);
}

#[test]
fn without_retained_messages_retain_is_an_error() {
    let mut bench = with_features(|features| features.retain = false);
    let connack = bench.connect("p", Connect::new("p"));
    assert_eq!(declared(&connack, PropertyId::RetainAvailable), Some(0));
    bench.publish_to_nobody("p", message("a"));
    bench.send("p", message("a").retain());
    bench.expect_disconnect("p", ReasonCode::RetainNotSupported);
    bench.start("q", Connect::new("q").will(Will::new("w", "x").retain()));
    bench.expect_refusal("q", ReasonCode::RetainNotSupported);
}

#[test]
fn subscriptions_of_kinds_that_are_not_there_are_refused() {
    let identified = Subscribe::new(9, "a", Q0).with(PropertyId::SubscriptionIdentifier, 1);
    for (lack, property, subscribe, code) in [
        (
            (|features| features.wildcards = false) as fn(&mut Features),
            PropertyId::WildcardSubscriptionAvailable,
            Subscribe::new(9, "a/+", Q0),
            ReasonCode::WildcardSubscriptionsNotSupported,
        ),
        (
            |features| features.shared_subscriptions = false,
            PropertyId::SharedSubscriptionAvailable,
            Subscribe::new(9, "$share/g/a", Q0),
            ReasonCode::SharedSubscriptionsNotSupported,
        ),
        (
            |features| features.subscription_identifiers = false,
            PropertyId::SubscriptionIdentifierAvailable,
            identified,
            ReasonCode::SubscriptionIdentifiersNotSupported,
        ),
    ] {
        let mut bench = with_features(lack);
        let connack = bench.connect("s", Connect::new("s").resume().session_expiry(NEVER));
        assert_eq!(declared(&connack, property), Some(0));
        bench.subscribe("s", "b", Q0);
        bench.send("s", subscribe.clone().and("c", options(Q0, |_| ())));
        bench.expect_disconnect("s", code);
        bench.join("p");
        bench.publish_to_nobody("p", message("a"));
        bench.publish_to_nobody("p", message("c"));

        let mut bench = with_features(|features| {
            lack(features);
            features.refused_in_suback = true;
        });
        bench.join("s");
        bench.send("s", subscribe);
        assert_eq!(bench.expect("s"), suback(&[code]));
        bench.publish_to_nobody("s", message("a"));
        bench.subscribe("s", "c", Q0);
    }
}

#[test]
fn a_session_is_kept_for_as_long_as_the_server_says() {
    let mut bench = Bench::with(Config { session_expiry: (5, 10), ..Config::default() });
    let ask = |seconds| Connect::new("s").resume().session_expiry(seconds);
    let expiry = |connack: &ConnAck| declared(connack, PropertyId::SessionExpiryInterval);
    assert_eq!(expiry(&bench.connect("s", ask(7))), None);
    assert_eq!(expiry(&bench.connect("s", ask(NEVER))), Some(10));
    bench.cut("s");
    bench.pass(9_999);
    let connack = bench.connect("s", ask(0));
    assert_eq!((connack.session_present, expiry(&connack)), (true, Some(5)));
    bench.cut("s");
    bench.pass(4_999);
    assert!(bench.connect("s", ask(0)).session_present);
    bench.cut("s");
    bench.pass(5_000);
    assert!(!bench.connect("s", ask(0)).session_present);
}

#[test]
fn the_server_may_choose_the_keep_alive() {
    let mut bench = Bench::with(Config { server_keep_alive: Some(2), ..Config::default() });
    let connack = bench.connect("s", Connect::new("s").keep_alive(100));
    assert_eq!(declared(&connack, PropertyId::ServerKeepAlive), Some(2));
    bench.pass(2_999);
    bench.expect_nothing("s");
    bench.pass(1);
    bench.expect_disconnect("s", ReasonCode::KeepAliveTimeout);
    let mut bench = Bench::with(Config { server_keep_alive: Some(0), ..Config::default() });
    bench.connect("s", Connect::new("s").keep_alive(1));
    bench.pass(100_000);
    bench.expect_alive("s");
}

#[test]
fn timers_may_be_looked_at_now_and_then() {
    let grain = Duration::from_secs(1);
    let mut bench = Bench::with(Config { timer_grain: grain, ..Config::default() });
    bench.join("w");
    bench.subscribe("w", "will", Q0);
    bench.pass(300);
    let connect = Connect::new("s").session_expiry(NEVER).will(will(1));
    bench.connect("s", connect);
    bench.cut("s");
    assert_eq!(bench.deadline(), Some(2_000));
    bench.pass(1_699);
    bench.expect_nothing("w");
    bench.pass(1);
    assert_eq!(bench.payloads("w"), ["gone"]);
}

#[test]
fn an_expired_retained_message_is_not_sent_even_before_its_timer() {
    let grain = Duration::from_secs(10);
    let mut bench = Bench::with(Config { timer_grain: grain, ..Config::default() });
    bench.join("s");
    let expiring = message("a").retain().with(PropertyId::MessageExpiryInterval, 2);
    bench.publish_to_nobody("s", expiring);
    bench.pass(1_999);
    bench.subscribe("s", "a", Q0);
    assert_eq!(bench.payloads("s"), ["a"]);
    bench.pass(1);
    bench.subscribe("s", "a", Q0);
    bench.expect_nothing("s");
}

#[test]
fn each_matching_subscription_may_bring_a_copy_of_its_own() {
    let mut bench = Bench::handling(|it| it.copy_for_each_subscription = true);
    bench.join("s");
    for (filter, qos, identifier) in [("a/+", Q1, 1), ("a/#", Q0, 2)] {
        let subscribe = Subscribe::new(9, filter, qos);
        bench.subscribe_with("s", subscribe.with(PropertyId::SubscriptionIdentifier, identifier));
    }
    bench.subscribe("s", "a/b", Q2);
    bench.join("p");
    bench.publish("p", message("a/b"));
    let mut copies: Vec<_> = (0..3).map(|_| bench.expect_publish("s")).collect();
    copies.sort_by_key(identifiers);
    let shown: Vec<_> = copies.iter().map(|copy| (identifiers(copy), copy.qos)).collect();
    assert_eq!(shown, [(vec![], Q1), (vec![1], Q1), (vec![2], Q0)]);
    bench.expect_nothing("s");
}

#[test]
fn a_qos_2_message_that_waits_for_its_release_may_end_with_the_session() {
    let mut bench = Bench::handling(|it| {
        it.hands_on_at_release = true;
        it.drops_unreleased = true;
    });
    bench.join("s");
    bench.subscribe("s", "a", Q0);
    bench.resume("p");
    bench.send("p", Publish::new("a", "1").qos(Q2, 1));
    assert_eq!(bench.expect("p"), pubrec(1));
    bench.connect("p", Connect::new("p"));
    bench.expect_nothing("s");
}

#[test]
fn a_qos_2_message_may_be_handed_on_when_it_is_released() {
    let mut bench = Bench::handling(|it| it.hands_on_at_release = true);
    bench.join("s");
    bench.subscribe("s", "a", Q0);
    bench.resume("p");
    bench.send("p", Publish::new("a", "1").qos(Q2, 1));
    bench.send("p", Publish::new("a", "another").qos(Q2, 1).dup());
    assert_eq!([bench.expect("p"), bench.expect("p")], [pubrec(1), pubrec(1)]);
    bench.expect_nothing("s");
    bench.cut("p");
    assert!(bench.resume("p"));
    bench.send("p", pubrel(1));
    assert_eq!(bench.expect("p"), pubcomp(1));
    assert_eq!(bench.payloads("s"), ["1"]);
    bench.send("p", pubrel(1));
    assert_ne!(bench.expect("p"), pubcomp(1));
    // Waiting counts against its lifetime.
    let expiring = Publish::new("a", "1").qos(Q2, 1).retain();
    bench.send("p", expiring.with(PropertyId::MessageExpiryInterval, 1));
    assert_eq!(bench.expect("p"), pubrec(1));
    bench.pass(1_000);
    bench.send("p", pubrel(1));
    assert_eq!(bench.expect("p"), pubcomp(1));
    bench.expect_nothing("s");
    // What it owns is not lost with the publisher's session, nor out of order.
    for (id, payload) in [(65_535, "2"), (1, "3")] {
        bench.send("p", Publish::new("a", payload).qos(Q2, id));
    }
    bench.connect("p", Connect::new("p"));
    assert_eq!(bench.payloads("s"), ["2", "3"]);
}

#[test]
fn qos_0_messages_may_wait_as_others_do() {
    let mut bench = Bench::handling(|it| it.queues_qos0 = true);
    let windowed = || {
        let connect = Connect::new("s").resume().session_expiry(NEVER);
        connect.with(PropertyId::ReceiveMaximum, 1)
    };
    bench.connect("s", windowed());
    bench.subscribe("s", "a", Q1);
    bench.join("p");
    let publish = |bench: &mut Bench, payload: &'static str, qos: QoS| {
        bench.send("p", Publish::new("a", payload).qos(qos, 1));
    };
    publish(&mut bench, "1", Q1);
    publish(&mut bench, "0", Q0);
    let first = bench.expect_publish("s");
    bench.expect_nothing("s");
    bench.send("s", puback(first.packet_id));
    assert_eq!(bench.payloads("s"), ["0"]);
    bench.cut("s");
    for (payload, qos) in [("a", Q0), ("b", Q0), ("c", Q1), ("d", Q0)] {
        publish(&mut bench, payload, qos);
    }
    bench.connect("s", windowed());
    let came: Vec<_> = (0..3).map(|_| bench.expect_publish("s")).collect();
    assert_eq!(came.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    bench.expect_nothing("s");
    bench.send("s", puback(came[2].packet_id));
    assert_eq!(bench.payloads("s"), ["d"]);
}

#[test]
fn qos_0_messages_need_not_be_retained_but_replace() {
    let mut bench = Bench::handling(|it| it.retains_qos0 = false);
    bench.join("p");
    bench.publish_to_nobody("p", message("a").retain());
    bench.subscribe("p", "a", Q1);
    assert_eq!(bench.payloads("p"), ["a"]);
    bench.send("p", message("a").retain());
    assert_eq!(bench.payloads("p"), ["a"]);
    bench.subscribe("p", "a", Q1);
    bench.expect_nothing("p");
}

#[test]
fn own_retained_messages_may_come_despite_no_local() {
    let mut bench = Bench::handling(|it| it.retained_despite_no_local = true);
    bench.join("p");
    bench.publish_to_nobody("p", message("a").retain());
    let mut subscribe = Subscribe::new(9, "a", Q1);
    subscribe.subscriptions[0].options = options(Q1, |options| {
        options.no_local = true;
        options.retain_handling = RetainHandling::Send;
    });
    bench.subscribe_with("p", subscribe);
    assert_eq!(bench.payloads("p"), ["a"]);
    bench.publish_to_nobody("p", message("a"));
}

#[test]
fn a_clean_start_may_delete_a_will_that_waits() {
    for (deletes, expected) in [(false, &["gone"][..]), (true, &[])] {
        let mut bench = Bench::handling(|it| it.clean_start_deletes_will = deletes);
        bench.join("w");
        bench.subscribe("w", "will", Q0);
        bench.connect("s", Connect::new("s").session_expiry(NEVER).will(will(5)));
        bench.cut("s");
        bench.connect("s", Connect::new("s"));
        bench.pass(6_000);
        assert_eq!(bench.payloads("w"), expected);
    }
}

#[test]
fn a_takeover_may_delete_a_will_unless_its_session_ends_and_it_has_no_delay() {
    let seen = |deletes: bool, delay: u32, expiry: u32, clean_start: bool| {
        let mut bench = Bench::handling(|it| it.takeover_deletes_will = deletes);
        bench.join("w");
        bench.subscribe("w", "will", Q0);
        bench.connect("s", Connect::new("s").session_expiry(expiry).will(will(delay)));
        let mut again = Connect::new("s").session_expiry(expiry);
        again.clean_start = clean_start;
        bench.start("t", again);
        bench.pass(6_000);
        bench.payloads("w")
    };
    for (delay, expiry, clean_start) in [(0, NEVER, false), (5, 0, false), (5, NEVER, true)] {
        assert_eq!(seen(false, delay, expiry, clean_start), ["gone"], "{delay} {expiry}");
        assert_eq!(seen(true, delay, expiry, clean_start), [""; 0], "{delay} {expiry}");
    }
    assert_eq!(seen(true, 0, 0, false), ["gone"]);
    assert_eq!(seen(true, 0, NEVER, true), ["gone"]);
}

#[test]
fn dollar_topics_may_be_dropped_or_handed_on() {
    for (choice, expected) in [(DollarTopics::Dropped, &[][..]), (DollarTopics::HandedOn, &["$x"])]
    {
        let mut bench = Bench::handling(|it| it.dollar_topics = choice);
        bench.join("s");
        bench.subscribe("s", "$x", Q0);
        bench.subscribe("s", "#", Q0);
        bench.join("p");
        bench.publish("p", message("$x"));
        assert_eq!(bench.payloads("s"), expected);
        bench.start("w", Connect::new("w").will(Will::new("$x", "gone")));
        match choice {
            DollarTopics::HandedOn => assert!(matches!(bench.expect("w"), Packet::ConnAck(_))),
            _ => bench.expect_refusal("w", ReasonCode::TopicNameInvalid),
        }
    }
}

#[test]
fn a_packet_identifier_may_be_used_again_at_once() {
    for (lowest_first, expected) in [(false, [1, 2]), (true, [1, 1])] {
        let mut bench = Bench::handling(|it| it.lowest_packet_id_first = lowest_first);
        bench.join("s");
        bench.subscribe("s", "a", Q1);
        let ids = [0; 2].map(|_| {
            bench.send("s", message("a").qos(Q1, 7));
            let id = bench.expect_publish("s").packet_id;
            assert_eq!(bench.expect("s"), puback(7));
            bench.send("s", Packet::PubAck(PublishAck::new(id)));
            id
        });
        assert_eq!(ids, expected);
    }
}

#[test]
fn a_retained_message_may_come_once_for_all_filters_of_a_subscribe() {
    for (once, expected) in [(false, vec![vec![7], vec![7]]), (true, vec![vec![7, 7]])] {
        let mut bench = Bench::handling(|it| it.retained_once_for_subscribe = once);
        bench.join("p");
        bench.publish_to_nobody("p", message("a/b").retain());
        let subscribe = Subscribe::new(9, "a/+", Q0).and("a/#", options(Q1, |_| ()));
        let subscribe = subscribe.with(PropertyId::SubscriptionIdentifier, 7);
        bench.subscribe_with("p", subscribe.clone());
        let copies: Vec<_> = expected.iter().map(|_| bench.expect_publish("p")).collect();
        assert_eq!(copies.iter().map(identifiers).collect::<Vec<_>>(), expected);
        assert!(copies.iter().all(|copy| copy.retain) && copies.iter().any(|copy| copy.qos == Q1));
        bench.expect_nothing("p");
    }
}

#[test]
fn one_copy_may_have_retain_only_if_all_its_subscriptions_ask_for_it() {
    for (all, expected) in [(false, true), (true, false)] {
        let mut bench = Bench::handling(|it| it.retain_if_all = all);
        bench.join("p");
        bench.subscribe("p", "a/+", Q0);
        let mut subscribe = Subscribe::new(9, "a/#", Q0);
        subscribe.subscriptions[0].options = options(Q0, |it| it.retain_as_published = true);
        bench.subscribe_with("p", subscribe);
        bench.send("p", message("a/b").retain());
        assert_eq!(bench.expect_publish("p").retain, expected);
    }
}

#[test]
fn a_message_without_a_lifetime_may_be_dropped() {
    for (drops, expected) in [(false, &["a"][..]), (true, &[])] {
        let mut bench = Bench::handling(|it| it.drops_lifetime_0 = drops);
        bench.join("p");
        bench.subscribe("p", "a", Q0);
        bench.send("p", message("a").with(PropertyId::MessageExpiryInterval, 0));
        assert_eq!(bench.payloads("p"), expected);
    }
}

#[test]
fn to_drop_a_message_is_not_to_have_no_subscribers() {
    let mut bench = Bench::handling(|it| it.drops_lifetime_0 = true);
    bench.join("p");
    bench.subscribe("p", "a", Q0);
    bench.send("p", message("a").qos(Q1, 1).with(PropertyId::MessageExpiryInterval, 0));
    assert_eq!(bench.expect("p"), puback(1));
    bench.expect_nothing("p");
}

#[test]
fn a_wrong_acknowledgement_may_give_back_quota_and_no_more() {
    for wrong in [puback, pubcomp] {
        let mut bench = Bench::handling(|it| it.counts_wrong_acknowledgements = true);
        let connect = Connect::new("s").session_expiry(60);
        bench.connect("s", connect.with(PropertyId::ReceiveMaximum, 1));
        bench.subscribe("s", "a", Q2);
        bench.join("p");
        for id in [1, 2, 3] {
            bench.send("p", message("a").qos(Q2, id));
        }
        let first = bench.expect_publish("s");
        bench.expect_nothing("s");
        bench.send("s", wrong(first.packet_id));
        let second = bench.expect_publish("s");
        bench.send("s", wrong(first.packet_id));
        bench.expect_nothing("s");
        bench.cut("s");
        bench.resume("s");
        assert_eq!(bench.expect_publish("s"), first.dup());
        assert_eq!(bench.expect_publish("s"), second.dup());
    }
}

#[test]
fn publish_may_be_repeated_before_pubrel() {
    for publish_first in [false, true] {
        let mut bench = Bench::handling(|it| it.repeats_publish_first = publish_first);
        bench.resume("s");
        bench.subscribe("s", "a", Q2);
        bench.join("p");
        for id in [1, 2] {
            bench.send("p", message("a").qos(Q2, id));
        }
        let [first, second] = [0; 2].map(|_| bench.expect_publish("s"));
        bench.send("s", pubrec(first.packet_id));
        assert_eq!(bench.expect("s"), pubrel(first.packet_id));
        bench.cut("s");
        bench.resume("s");
        let mut expected = [pubrel(first.packet_id), Packet::Publish(second.dup())];
        if publish_first {
            expected.reverse();
        }
        assert_eq!([bench.expect("s"), bench.expect("s")], expected);
        bench.expect_nothing("s");
    }
}
