//! Bounds of the messages the broker keeps: as much as allowed is accepted, one more is refused, and what the
//! client is told then.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, options, puback, pubcomp, pubrec, pubrel, text};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, SubscribeAck,
    Will,
};
use reference_broker::core::{Bounds, Config};

const FULL: ReasonCode = ReasonCode::QuotaExceeded;

fn bounded(change: impl Fn(&mut Bounds)) -> Bench {
    Bench::with(config(change))
}

fn config(change: impl Fn(&mut Bounds)) -> Config {
    let mut config = Config { reason_strings: false, ..Config::default() };
    change(&mut config.bounds);
    config
}

fn lasting(name: &str) -> Connect {
    Connect::new(name).resume().session_expiry(NEVER)
}

fn suback(reasons: &[ReasonCode]) -> Packet {
    Packet::SubAck(SubscribeAck::new(9, reasons.to_vec()))
}

fn filters(filters: &[&str]) -> Subscribe {
    let subscribe = Subscribe::new(9, filters[0], Q0);
    filters[1..].iter().fold(subscribe, |all, filter| all.and(*filter, options(Q0, |_| ())))
}

/// Publishes at QoS 1 or 2 and takes the code of the first acknowledgement.
fn publish(bench: &mut Bench, name: &str, message: Publish, qos: QoS) -> ReasonCode {
    bench.send(name, message.qos(qos, 5));
    match bench.expect(name) {
        Packet::PubAck(ack) | Packet::PubRec(ack) => ack.reason,
        other => panic!("an acknowledgement and not {other:?}"),
    }
}

/// Payloads of the messages that a new subscription of a new client brings.
fn retained(bench: &mut Bench) -> Vec<String> {
    bench.join("reader");
    bench.subscribe("reader", "#", Q0);
    let payloads = bench.payloads("reader");
    bench.cut("reader");
    payloads
}

#[test]
fn properties() {
    let mut bench = bounded(|bounds| bounds.properties = 2);
    bench.join("p");
    bench.subscribe("p", "t", Q0);
    let with = |count: usize| {
        let pair = || (PropertyId::UserProperty, ("a", "b"));
        (0..count).map(|_| pair()).fold(message("t"), |all, (id, value)| all.with(id, value))
    };
    bench.send("p", with(2).qos(Q1, 5));
    assert_eq!(bench.expect_publish("p").properties, with(2).properties);
    assert_eq!(bench.expect("p"), puback(5));
    for qos in [Q1, Q2] {
        assert_eq!(publish(&mut bench, "p", with(3), qos), FULL);
    }
    bench.send("p", with(3));
    bench.expect_alive("p");
    assert_eq!(bench.counts().totals.dropped.refused, 3);
}

#[test]
fn retained_messages() {
    let mut bench = bounded(|bounds| bounds.retained_messages = 2);
    bench.join("p");
    bench.join("s");
    bench.subscribe("s", "#", Q0);
    let none = ReasonCode::Success;
    assert_eq!(publish(&mut bench, "p", message("a").retain(), Q1), none);
    assert_eq!(publish(&mut bench, "p", message("b").retain(), Q1), none);
    for qos in [Q1, Q2] {
        assert_eq!(publish(&mut bench, "p", message("c").retain(), qos), FULL);
    }
    assert_eq!(bench.payloads("s"), ["a", "b"], "what is refused goes nowhere");
    assert_eq!(publish(&mut bench, "p", message("c"), Q1), none, "it is for those who are there");
    assert_eq!(publish(&mut bench, "p", Publish::new("b", "new").retain(), Q1), none);
    assert_eq!(bench.payloads("s"), ["c", "new"]);
    assert_eq!(retained(&mut bench), ["a", "new"]);

    // At QoS 0 it may be let go at any time.
    bench.send("p", message("c").retain());
    assert_eq!(bench.payloads("s"), ["c"]);
    assert_eq!(retained(&mut bench), ["a", "new"]);
    assert_eq!(bench.counts().totals.dropped.not_retained, 1);

    assert_eq!(publish(&mut bench, "p", Publish::new("d", "").retain(), Q1), none, "clears none");
    assert_eq!(publish(&mut bench, "p", Publish::new("a", "").retain(), Q1), none);
    assert_eq!(publish(&mut bench, "p", message("c").retain(), Q1), none);
    assert_eq!(retained(&mut bench), ["new", "c"]);
}

#[test]
fn bytes_of_retained_messages() {
    let mut bench = bounded(|bounds| bounds.retained_bytes = 10);
    bench.join("p");
    let sized =
        |topic: &str, bytes: usize| Publish::new(topic, "x".repeat(bytes - topic.len())).retain();
    let none = ReasonCode::NoMatchingSubscribers;
    assert_eq!(publish(&mut bench, "p", sized("a", 4), Q1), none);
    assert_eq!(publish(&mut bench, "p", sized("b", 7), Q1), FULL);
    assert_eq!(publish(&mut bench, "p", sized("b", 6), Q1), none);
    assert_eq!(bench.counts().retained_bytes, 10);
    assert_eq!(publish(&mut bench, "p", sized("b", 7), Q1), FULL);
    assert_eq!(publish(&mut bench, "p", sized("b", 2), Q1), none);
    assert_eq!(publish(&mut bench, "p", sized("a", 8), Q1), none);
    // A larger one in place of a retained one, at QoS 0: its topic has none then.
    bench.send("p", sized("b", 3));
    assert_eq!(retained(&mut bench), ["xxxxxxx"]);
    assert_eq!(bench.counts().retained_bytes, 8);

    for (bound, reason) in [(Bounds::LEVEL + 3, none), (Bounds::LEVEL + 2, FULL)] {
        let mut bench = bounded(|bounds| bounds.retained_bytes = bound);
        bench.join("p");
        assert_eq!(publish(&mut bench, "p", sized("c/", 3), Q1), reason, "levels count too");
    }
}

#[test]
fn a_will_beyond_the_retained_ones_is_published_all_the_same() {
    let mut bench = bounded(|bounds| bounds.retained_messages = 1);
    bench.join("s");
    bench.subscribe("s", "will", Q0);
    bench.publish_to_nobody("s", message("a").retain());
    bench.connect("w", Connect::new("w").will(Will::new("will", "gone").qos(Q1).retain()));
    bench.cut("w");
    assert_eq!(bench.payloads("s"), ["gone"]);
    assert_eq!(retained(&mut bench), ["a"]);
}

#[test]
fn retained_messages_of_one_subscribe() {
    let mut bench = bounded(|bounds| bounds.retained_per_subscribe = 3);
    bench.join("p");
    bench.publish_to_nobody("p", message("a").retain());
    bench.publish_to_nobody("p", message("b").retain());
    bench.send("p", filters(&["#", "+", "a"]));
    assert_eq!(bench.expect("p"), suback(&[ReasonCode::Success; 3]));
    assert_eq!(bench.payloads("p"), ["a", "b", "a"]);
    assert_eq!(bench.counts().totals.dropped.retained_per_subscribe, 2);
    bench.send("p", filters(&["#", "a"]));
    bench.expect("p");
    assert_eq!(bench.payloads("p"), ["a", "b", "a"], "each SUBSCRIBE has the same");
}

#[test]
fn search_of_one_subscribe_for_retained_messages() {
    // Two messages; the root of their tree and a place for each are looked at for each filter.
    let mut bench = bounded(|bounds| bounds.retained_search_per_subscribe = 7);
    bench.join("p");
    bench.publish_to_nobody("p", message("a").retain());
    bench.publish_to_nobody("p", message("b").retain());
    bench.send("p", filters(&["+", "#"]));
    bench.expect("p");
    assert_eq!(bench.payloads("p"), ["a", "b", "a", "b"]);
    assert_eq!(bench.counts().totals.retained_searches_cut_short, 0);
    bench.send("p", filters(&["+/x", "+", "#"]));
    bench.expect("p");
    assert_eq!(bench.payloads("p"), ["a", "b"]);
    assert_eq!(bench.counts().totals.retained_searches_cut_short, 1);
}

#[test]
fn many_filters_that_find_nothing_cost_no_more_than_allowed() {
    let mut bench = Bench::new();
    bench.join("p");
    (0..20_000).for_each(|n| bench.publish_to_nobody("p", message(&format!("{n}/x")).retain()));
    let all: Vec<_> = (0..10_000).map(|n| format!("+/y{n}")).collect();
    let all: Vec<_> = all.iter().map(|filter| &**filter).collect();
    bench.send("p", filters(&all));
    bench.expect("p");
    assert_eq!(bench.counts().totals.retained_searches_cut_short, 1);
}

/// What a message that waits counts beyond its own bytes.
const EACH: usize = Bounds::DELIVERY;

/// A publisher `p`, and a session `s` that waits.
fn waiting(change: impl Fn(&mut Bounds)) -> Bench {
    let mut bench = bounded(change);
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q2);
    bench.cut("s");
    bench
}

#[test]
fn bytes_that_wait_for_one_session() {
    let mut bench = waiting(|bounds| bounds.queued_bytes_per_session = 10 + 2 * EACH);
    let expiring = message("four").with(PropertyId::MessageExpiryInterval, 5);
    bench.publish("p", expiring); // 8 bytes
    bench.publish("p", message("t")); // 2 bytes
    bench.publish_in_vain("p", message("u"));
    let counts = bench.counts();
    assert_eq!((counts.queued, counts.queued_bytes), (2, 10 + 2 * EACH));
    assert_eq!(counts.totals.dropped.queue_bytes, 1);
    bench.pass(5_000);
    bench.publish("p", message("v"));
    bench.resume("s");
    assert_eq!(bench.payloads("s"), ["t", "v"], "what has expired makes room");
}

#[test]
fn bytes_on_their_way_to_one_session() {
    let mut bench = waiting(|bounds| bounds.queued_bytes_per_session = 4 + 2 * EACH);
    bench.resume("s");
    bench.publish("p", message("a"));
    bench.publish("p", message("b"));
    bench.publish_in_vain("p", message("c"));
    let first = bench.expect_publish("s").packet_id;
    assert_eq!(text(&bench.expect_publish("s")), "b");
    bench.expect_nothing("s");
    bench.send("s", puback(first));
    bench.publish("p", message("d"));
    let publish = bench.expect_publish("s");
    assert_eq!(text(&publish), "d", "c has been dropped");
    // A message at QoS 2 is kept until PUBREC.
    bench.send("s", puback(publish.packet_id));
    bench.send("p", message("e").qos(Q2, 7));
    let id = bench.expect_publish("s").packet_id;
    assert_eq!(bench.counts().queued_bytes, 4 + 2 * EACH);
    bench.send("s", pubrec(id));
    assert_eq!((bench.counts().queued_bytes, bench.counts().in_flight), (2 + EACH, 2));
    bench.send("s", pubcomp(id));
    assert_eq!(bench.counts().in_flight, 1);
}

#[test]
fn bytes_that_wait_for_all_sessions() {
    let mut bench = waiting(|bounds| bounds.queued_bytes = 5 + 2 * EACH);
    bench.connect("r", lasting("r"));
    bench.subscribe("r", "both", Q1);
    bench.cut("r");
    bench.publish("p", message("a"));
    bench.publish("p", message("b"));
    bench.publish_in_vain("p", message("c"));
    assert_eq!((bench.counts().queued, bench.counts().queued_bytes), (2, 4 + 2 * EACH));
    bench.resume("s");
    assert_eq!(bench.payloads("s"), ["a", "b"]);
    bench.join("s");
    assert_eq!(bench.counts().queued_bytes, 0, "they have gone with their session");
    bench.publish("p", Publish::new("both", "x"));
    bench.publish_in_vain("p", Publish::new("both", ""));
    bench.resume("r");
    assert_eq!(bench.payloads("r"), ["x"]);
}

#[test]
fn messages_that_wait_for_release() {
    let mut bench = bounded(|bounds| bounds.unreleased_per_session = 2);
    let none = PublishAck::because(1, ReasonCode::NoMatchingSubscribers);
    for id in [1, 2] {
        bench.resume("p");
        bench.send("p", message("a").qos(Q2, id));
        let none = PublishAck { packet_id: id, ..none.clone() };
        assert_eq!(bench.expect("p"), Packet::PubRec(none));
    }
    bench.send("p", message("a").qos(Q2, 3));
    assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck::because(3, FULL)));
    bench.send("p", message("a").qos(Q2, 2));
    assert_eq!(bench.expect("p"), pubrec(2), "one that is there may be repeated");
    assert_eq!(bench.counts().unreleased, 2);
    bench.send("p", pubrel(1));
    assert_eq!(bench.expect("p"), pubcomp(1));
    bench.send("p", message("a").qos(Q2, 3));
    assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck { packet_id: 3, ..none }));
}

#[test]
fn bytes_that_wait_for_release() {
    let mut config = config(|bounds| bounds.unreleased_bytes_per_session = 5);
    config.handling.hands_on_at_release = true;
    let mut bench = Bench::with(config);
    bench.join("p");
    let payload = |payload: &str, id: u16| Publish::new("t", payload.to_string()).qos(Q2, id);
    bench.send("p", payload("12", 1));
    assert_eq!(bench.expect("p"), pubrec(1));
    bench.send("p", payload("12", 2));
    assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck::because(2, FULL)));
    bench.send("p", payload("1", 2));
    assert_eq!(bench.expect("p"), pubrec(2));
    bench.send("p", pubrel(1));
    assert_eq!(bench.expect("p"), pubcomp(1));
    bench.send("p", payload("12", 3));
    assert_eq!(bench.expect("p"), pubrec(3));
}
