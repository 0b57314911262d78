//! Retained messages (sections 3.3.1.3 and 3.8.3.1).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, options, text};
use reference_broker::codec::{
    Connect, PropertyId, Publish, QoS, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe,
};

fn retained(topic: &str) -> Publish {
    message(topic).retain()
}

fn handling(handling: RetainHandling) -> SubscriptionOptions {
    options(Q1, |options| options.retain_handling = handling)
}

/// A broker with a retained message on `t`, a publisher `p` and a subscriber `s`.
fn bench_with_one() -> Bench {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.publish("p", retained("t"));
    bench
}

fn subscribe(bench: &mut Bench, filter: &str, options: SubscriptionOptions) {
    let mut subscribe = Subscribe::new(1, filter, Q0);
    subscribe.subscriptions[0].options = options;
    bench.subscribe_with("s", subscribe);
}

#[test]
fn retain_handling_decides_what_a_subscription_brings() {
    use RetainHandling::{DoNotSend, Send, SendIfNew};
    for (retain_handling, new, existing) in [(Send, 1, 1), (SendIfNew, 1, 0), (DoNotSend, 0, 0)] {
        let options = handling(retain_handling);
        for filter in ["t", "+", "#"] {
            let mut bench = bench_with_one();
            subscribe(&mut bench, filter, options);
            assert_eq!(bench.payloads("s").len(), new, "{retain_handling:?} {filter} new");
            let other =
                SubscriptionOptions { maximum_qos: Q2, retain_as_published: true, ..options };
            subscribe(&mut bench, filter, other);
            assert_eq!(bench.payloads("s").len(), existing, "{retain_handling:?} {filter} again");
            bench.connect("s", Connect::new("s").resume());
            bench.payloads("s");
            subscribe(&mut bench, filter, options);
            assert_eq!(bench.payloads("s").len(), existing, "{retain_handling:?} {filter} resumed");
            bench.send("s", Unsubscribe::new(2, filter));
            bench.expect("s");
            subscribe(&mut bench, filter, options);
            assert_eq!(bench.payloads("s").len(), new, "{retain_handling:?} {filter} new again");
        }
        let mut bench = bench_with_one();
        for _ in 0..2 {
            subscribe(&mut bench, "$share/g/t", options);
            assert_eq!(bench.payloads("s").len(), 0, "{retain_handling:?} shared");
        }
    }
}

#[test]
fn retained_copies_are_marked_and_have_the_lower_qos() {
    for (published, granted) in QoS::ALL.iter().flat_map(|p| QoS::ALL.map(|g| (*p, g))) {
        for as_published in [false, true] {
            let mut bench = Bench::new();
            bench.join("p");
            bench.join("s");
            bench.send("p", retained("t").qos(published, 1));
            let options = options(granted, |options| options.retain_as_published = as_published);
            subscribe(&mut bench, "t", options);
            let publish = bench.expect_publish("s");
            let expected = (true, false, published.min(granted));
            assert_eq!((publish.retain, publish.dup, publish.qos), expected);
        }
    }
}

#[test]
fn live_copies_are_marked_as_the_subscription_asks() {
    for (as_published, is_retained) in [(false, false), (false, true), (true, false), (true, true)]
    {
        for payload in ["x", ""] {
            let mut bench = Bench::new();
            bench.join("p");
            bench.join("s");
            let options = options(Q0, |options| options.retain_as_published = as_published);
            subscribe(&mut bench, "t", options);
            bench.send("p", Publish { retain: is_retained, ..Publish::new("t", payload) });
            let publish = bench.expect_publish("s");
            assert_eq!(publish.retain, as_published && is_retained);
            assert_eq!(text(&publish), payload, "a clearing message arrives as well");
        }
    }
}

#[test]
fn a_topic_has_one_retained_message_the_last() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.join("s");
    for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q0)] {
        bench.send("p", Publish::new("t", payload).qos(qos, 1).retain());
    }
    bench.send("p", Publish::new("t", "live")); // RETAIN 0 replaces nothing,
    bench.send("p", Publish::new("t", "")); // and clears nothing.
    bench.subscribe("s", "t", Q0);
    assert_eq!(bench.payloads("s"), ["3"]);
}

#[test]
fn an_empty_message_clears_its_topic_alone() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.join("s");
    for topic in ["a", "a/b", "a/b/c", "a/d", "/a", "a/"] {
        bench.publish("p", retained(topic));
    }
    bench.publish("p", Publish::new("a/b", "").retain());
    bench.publish("p", Publish::new("none", "").retain());
    bench.subscribe("s", "#", Q0);
    let mut left = bench.payloads("s");
    left.sort();
    assert_eq!(left, ["/a", "a", "a/", "a/b/c", "a/d"]);
}

#[test]
fn a_retained_message_expires() {
    for (wait, left) in [(0, Some(10)), (9_001, Some(1)), (9_999, Some(1)), (10_000, None)] {
        let mut bench = Bench::new();
        bench.join("p");
        bench.join("s");
        bench.publish("p", retained("t").with(PropertyId::MessageExpiryInterval, 10));
        bench.pass(wait);
        bench.subscribe("s", "t", Q1);
        match left {
            None => bench.expect_nothing("s"),
            Some(seconds) => {
                let publish = bench.expect_publish("s");
                let expiry = publish.properties.number(PropertyId::MessageExpiryInterval);
                assert_eq!(expiry, Some(seconds), "{wait}");
            }
        }
    }
}

#[test]
fn expiry_brings_no_older_message_back_and_takes_no_newer_one_away() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.join("s");
    let expiring = |seconds| retained("t").with(PropertyId::MessageExpiryInterval, seconds);
    bench.publish("p", retained("t"));
    bench.publish("p", expiring(5));
    bench.pass(5_000);
    bench.subscribe("s", "t", Q0);
    bench.expect_nothing("s");
    bench.publish("p", expiring(5));
    bench.pass(1_000);
    bench.publish("p", expiring(5));
    bench.pass(4_999);
    bench.payloads("s");
    bench.subscribe("s", "t", Q0);
    assert_eq!(bench.payloads("s"), ["t"]);
    bench.publish("p", retained("t")); // Without one.
    bench.pass(1_000_000);
    bench.payloads("s");
    bench.subscribe("s", "t", Q0);
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn retained_messages_outlive_their_publisher() {
    let mut bench = Bench::new();
    bench.connect("p", Connect::new("p").session_expiry(1));
    bench.publish("p", retained("t"));
    bench.cut("p");
    bench.pass(1_000_000);
    bench.join("s");
    bench.subscribe("s", "t", Q0);
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn each_filter_of_a_subscribe_brings_its_own() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.join("s");
    for topic in ["a", "b", "c", "d"] {
        bench.publish("p", retained(topic));
    }
    let each = SubscriptionOptions::at(Q1);
    let subscribe = Subscribe::new(1, "a", Q1).and("b", each).and("c", each);
    bench.subscribe_with("s", subscribe.with(PropertyId::SubscriptionIdentifier, 7));
    for topic in ["a", "b", "c"] {
        let publish = bench.expect_publish("s");
        assert_eq!((text(&publish), bench::identifiers(&publish)), (topic.to_string(), vec![7]));
    }
    bench.expect_nothing("s");
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    let mut bench = bench_with_one();
    bench.publish("s", retained("own"));
    subscribe(&mut bench, "#", options(Q1, |options| options.no_local = true));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn a_refused_filter_brings_nothing() {
    let mut bench = bench_with_one();
    bench.send("s", Subscribe::new(1, "#/t", Q1));
    bench.expect("s");
    bench.expect_nothing("s");
}

#[test]
fn all_of_very_many_arrive_however_small_the_window() {
    let mut bench = Bench::new();
    bench.join("p");
    let connect = Connect::new("s").session_expiry(NEVER);
    bench.connect("s", connect.with(PropertyId::ReceiveMaximum, 1));
    for n in 0..2_000 {
        bench.publish("p", Publish::new(format!("t/{n}"), "x").retain());
    }
    bench.subscribe("s", "t/+", Q1);
    for _ in 0..2_000 {
        let id = bench.expect_publish("s").packet_id;
        bench.send("s", bench::puback(id));
    }
    bench.expect_nothing("s");
}
