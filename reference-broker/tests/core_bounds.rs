//! Bounds of what the broker keeps: as much as allowed is accepted, one more is refused, and what the
//! client is told then.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, options, will};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, SubscribeAck,
    Unsubscribe, Will,
};
use reference_broker::core::{Answer, Bounds, Config};

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

#[test]
fn connections_without_connect() {
    let mut bench = bounded(|bounds| bounds.unaccepted_connections = 2);
    bench.open("a");
    bench.open("b");
    bench.open("c");
    bench.expect_close("c");
    bench.send("a", Connect::new("a"));
    bench.expect("a");
    bench.open("c");
    bench.expect_nothing("c");
    bench.open("d");
    bench.expect_close("d");
    bench.cut("b");
    bench.open("d");
    bench.expect_nothing("d");
}

#[test]
fn bytes_of_clients_that_are_asked_about() {
    let mut config = config(|bounds| bounds.unaccepted_bytes = 100);
    config.access.asks = true;
    let mut bench = Bench::with(config);
    let start = |bench: &mut Bench, name: &str| {
        bench.start(name, Connect::new(name).will(Will::new("w", vec![0; 48]))); // 50 bytes with `name`.
    };
    start(&mut bench, "a");
    bench.expect_question("a");
    start(&mut bench, "b");
    bench.expect_question("b");
    start(&mut bench, "c");
    bench.expect_refusal("c", ReasonCode::ServerBusy);
    bench.send("a", Packet::PingReq);
    bench.expect_refusal("a", FULL);
    start(&mut bench, "c"); // What `a` took is free again, as is what one takes who is accepted.
    bench.expect_question("c");
    bench.answer("c", Answer::Accepted { user: None, data: None });
    bench.expect("c");
    (0..25).for_each(|_| bench.send("b", Packet::PingReq));
    bench.expect_nothing("b");
    bench.send("b", Packet::PingReq);
    bench.expect_refusal("b", FULL);
    start(&mut bench, "d");
    bench.expect_question("d");
    bench.cut("d");
    start(&mut bench, "e");
    bench.expect_question("e");
    start(&mut bench, "f");
    bench.expect_question("f");
}

#[test]
fn clients() {
    let mut bench = bounded(|bounds| bounds.connections = 2);
    bench.resume("a");
    bench.connect("b", lasting("b"));
    bench.start("c", lasting("c"));
    bench.expect_refusal("c", ReasonCode::ServerBusy);
    bench.start("b again", lasting("b"));
    bench.expect_disconnect("b", ReasonCode::SessionTakenOver);
    assert!(matches!(bench.expect("b again"), Packet::ConnAck(it) if it.session_present));
    bench.cut("a");
    bench.join("c");
    bench.start("a", lasting("a"));
    bench.expect_refusal("a", ReasonCode::ServerBusy);
}

#[test]
fn sessions_that_were_left_make_room_the_first_one_first() {
    let mut bench = bounded(|bounds| bounds.sessions = 3);
    for client in ["a", "b", "c"] {
        bench.resume(client);
    }
    for client in ["d", ""] {
        bench.start(client, Connect::new(client));
        bench.expect_refusal(client, FULL);
    }
    assert!(bench.resume("a"), "who has a session goes on with it");
    bench.cut("b");
    bench.cut("a");
    bench.join("d");
    assert_eq!(bench.counts().totals.sessions_given_up, 1);
    assert!(bench.resume("a"), "that of b was left first");
    bench.start("b", Connect::new("b"));
    bench.expect_refusal("b", FULL);
    bench.cut("d");
    assert!(!bench.resume("b"), "what has ended by itself is room as well");
    assert_eq!(bench.counts().totals.sessions_given_up, 1);
}

#[test]
fn nobody_has_all_that_is_for_all() {
    let mut bench = bounded(|bounds| bounds.subscriptions = 90);
    bench.join("greedy");
    let names: Vec<_> = (0..90).map(|n| n.to_string()).collect();
    let all: Vec<_> = names.iter().map(|name| &**name).collect();
    bench.send("greedy", filters(&all));
    let granted = (0..90).map(|n| if n < 80 { ReasonCode::Success } else { FULL });
    assert_eq!(bench.expect("greedy"), suback(&granted.collect::<Vec<_>>()));
    bench.join("modest");
    bench.subscribe("modest", "x", Q0);
}

#[test]
fn client_identifiers() {
    let mut bench = bounded(|bounds| bounds.client_id_bytes = 4);
    bench.join("four");
    bench.start("fiver", Connect::new("fiver"));
    bench.expect_refusal("fiver", ReasonCode::ClientIdentifierNotValid);
    let connack = bench.connect("none", Connect::new(""));
    assert!(connack.properties.contains(PropertyId::AssignedClientIdentifier));
}

#[test]
fn wills_of_all_sessions() {
    let mut bench = bounded(|bounds| bounds.all_will_bytes = 10);
    let with =
        |name: &str, payload: &str| lasting(name).will(Will::new("will", payload.to_string()));
    bench.connect("a", with("a", "1"));
    bench.start("b", with("b", "12"));
    bench.expect_refusal("b", FULL);
    bench.connect("b", with("b", "1"));
    bench.start("b again", with("b", "12"));
    bench.expect_refusal("b again", FULL);
    bench.expect_alive("b");
    bench.connect("c", lasting("c"));
    bench.cut("a"); // Its Will is published, and gone.
    bench.start("b again", with("b", "123456"));
    bench.expect_disconnect("b", ReasonCode::SessionTakenOver);
    assert!(matches!(bench.expect("b again"), Packet::ConnAck(it) if it.session_present));
}

#[test]
fn wills() {
    let mut bench = bounded(|bounds| {
        bounds.will_bytes = 8 + Bounds::PROPERTY;
        bounds.properties = 1;
    });
    let large = |payload: &str| Will::new("will", payload.to_string());
    let with = |will: Will| will.with(PropertyId::PayloadFormatIndicator, 1_u32);
    bench.connect("a", Connect::new("a").will(with(large("1234"))));
    bench.start("b", Connect::new("b").will(with(large("12345"))));
    bench.expect_refusal("b", FULL);
    bench.connect("b", Connect::new("b").will(will(7)));

    let mut bench = bounded(|bounds| bounds.properties = 1);
    let two = with(large("")).with(PropertyId::ContentType, "");
    bench.start("a", Connect::new("a").will(two));
    bench.expect_refusal("a", FULL);
    bench.connect("a", Connect::new("a").will(with(large(""))));
}

#[test]
fn filters_of_one_packet() {
    let mut bench = bounded(|bounds| bounds.filters = 2);
    bench.join("s");
    bench.send("s", filters(&["a", "b", "c", "d#"]));
    assert_eq!(bench.expect("s"), suback(&[ReasonCode::Success, ReasonCode::Success, FULL, FULL]));
    bench.publish_to_nobody("s", message("c"));
    bench.send("s", filters(&["c", "d"]));
    assert_eq!(bench.expect("s"), suback(&[ReasonCode::Success; 2]));

    bench.send("s", Unsubscribe::new(9, "a").and("x").and("b"));
    let reasons = [
        ReasonCode::Success,
        ReasonCode::NoSubscriptionExisted,
        ReasonCode::ImplementationSpecificError,
    ];
    assert_eq!(bench.expect("s"), Packet::UnsubAck(SubscribeAck::new(9, reasons.to_vec())));
    bench.publish_to_nobody("s", message("a"));
    bench.publish("s", message("b"));
    assert_eq!(bench.payloads("s"), ["b"], "it is still there");
}

#[test]
fn subscriptions_of_one_session() {
    let mut bench = bounded(|bounds| bounds.subscriptions_per_session = 2);
    bench.join("s");
    bench.send("s", filters(&["a", "$share/g/a", "b", "a", "$share/g/b", "$share/g/a"]));
    let ok = ReasonCode::Success;
    assert_eq!(bench.expect("s"), suback(&[ok, ok, FULL, ok, FULL, ok]));
    bench.join("other");
    bench.subscribe("other", "b", Q0);
    bench.send("s", Unsubscribe::new(9, "$share/g/a"));
    bench.expect("s");
    bench.subscribe("s", "b", Q0);
    bench.send("s", filters(&["c"]));
    assert_eq!(bench.expect("s"), suback(&[FULL]));
}

#[test]
fn bytes_of_filters_of_one_session() {
    let mut bench = bounded(|bounds| bounds.filter_bytes_per_session = 6);
    bench.join("s");
    bench.send("s", filters(&["aaa", "bbbb", "ccc", "d", "aaa"]));
    let ok = ReasonCode::Success;
    assert_eq!(bench.expect("s"), suback(&[ok, FULL, ok, FULL, ok]));
    bench.send("s", Unsubscribe::new(9, "aaa"));
    bench.expect("s");
    bench.send("s", filters(&["bbbb", "ddd"]));
    assert_eq!(bench.expect("s"), suback(&[FULL, ok]));

    let mut bench = bounded(|bounds| bounds.filter_bytes_per_session = 10 + Bounds::LEVEL);
    bench.join("s");
    bench.send("s", filters(&["a/b/c", "$share/g/a", "$share/g/a/b"]));
    assert_eq!(bench.expect("s"), suback(&[FULL, ok, FULL]), "levels count too");
    bench.send("s", Unsubscribe::new(9, "$share/g/a"));
    bench.expect("s");
    bench.send("s", filters(&["sevenof/10"]));
    assert_eq!(bench.expect("s"), suback(&[ok]));
    bench.send("s", Unsubscribe::new(9, "sevenof/10"));
    bench.expect("s");
    bench.send("s", filters(&["another/10"]));
    assert_eq!(bench.expect("s"), suback(&[ok]), "levels make room too");
}

#[test]
fn bytes_of_filters_of_all_sessions() {
    let mut bench = bounded(|bounds| bounds.filter_bytes = 6);
    let ok = ReasonCode::Success;
    bench.join("a");
    bench.join("b");
    bench.send("a", filters(&["aaaa"]));
    assert_eq!(bench.expect("a"), suback(&[ok]));
    bench.send("b", filters(&["bbb", "bb", "$share/g/b"]));
    assert_eq!(bench.expect("b"), suback(&[FULL, ok, FULL]));
    bench.send("a", filters(&["aaaa"]));
    assert_eq!(bench.expect("a"), suback(&[ok]), "what is there stays");
    bench.cut("a");
    bench.send("b", filters(&["cccc", "d"]));
    assert_eq!(bench.expect("b"), suback(&[ok, FULL]), "a session that ends makes room");
    bench.send("b", Unsubscribe::new(9, "bb"));
    bench.expect("b");
    bench.send("b", filters(&["ee"]));
    assert_eq!(bench.expect("b"), suback(&[ok]));
}

#[test]
fn subscriptions_of_all() {
    let mut bench = bounded(|bounds| bounds.subscriptions = 2);
    bench.join("a");
    bench.join("b");
    bench.subscribe("a", "x", Q0);
    bench.subscribe("b", "$share/g/x", Q0);
    bench.send("b", filters(&["x", "$share/g/x"]));
    assert_eq!(bench.expect("b"), suback(&[FULL, ReasonCode::Success]));
    bench.cut("a");
    bench.subscribe("b", "x", Q0);
    bench.send("b", filters(&["y"]));
    assert_eq!(bench.expect("b"), suback(&[FULL]));
}

#[test]
fn levels() {
    let mut bench = bounded(|bounds| bounds.topic_levels = 2);
    bench.join("s");
    bench.send("s", filters(&["a/#", "a/+/#", "$share/g/a/b", "$share/g/a/b/c", "#"]));
    let (ok, invalid) = (ReasonCode::Success, ReasonCode::TopicFilterInvalid);
    assert_eq!(bench.expect("s"), suback(&[ok, invalid, ok, invalid, ok]));
    bench.join("p");
    for qos in [Q1, Q2] {
        assert_eq!(publish(&mut bench, "p", message("x/y/z"), qos), ReasonCode::TopicNameInvalid);
        assert_eq!(publish(&mut bench, "p", message("x/y"), qos), ReasonCode::Success);
    }
    bench.send("p", message("x/y/z"));
    bench.expect_alive("p");
    assert_eq!(bench.payloads("s"), ["x/y", "x/y"]);
    bench.start("w", Connect::new("w").will(Will::new("x/y/z", "")));
    bench.expect_refusal("w", ReasonCode::TopicNameInvalid);
    bench.connect("w", Connect::new("w").will(Will::new("x/y", "")));
}

#[test]
fn bytes_of_topic_aliases() {
    let mut bench = bounded(|bounds| bounds.alias_bytes = 5);
    bench.join("p");
    let alias = |topic: &str, alias: u32| message(topic).with(PropertyId::TopicAlias, alias);
    bench.send("p", alias("abcd", 1));
    bench.send("p", alias("e", 2));
    bench.send("p", alias("f", 2));
    bench.send("p", alias("ab", 1));
    bench.send("p", alias("cd", 3));
    bench.expect_alive("p");
    bench.send("p", alias("g", 4));
    bench.expect_disconnect("p", FULL);
    bench.join("p");
    bench.send("p", alias("abcde", 1));
    bench.expect_alive("p");
}

#[test]
fn bytes_of_topic_aliases_of_all_connections() {
    let mut bench = bounded(|bounds| bounds.all_alias_bytes = 5);
    let alias = |topic: &str, alias: u32| message(topic).with(PropertyId::TopicAlias, alias);
    bench.join("p");
    bench.join("q");
    bench.send("p", alias("abc", 1));
    bench.send("q", alias("de", 1));
    bench.send("q", alias("fg", 1));
    bench.expect_alive("q");
    bench.send("q", alias("h", 2));
    bench.expect_disconnect("q", FULL);
    bench.join("q");
    bench.cut("p");
    bench.send("q", alias("abcde", 1));
    bench.expect_alive("q");
}

#[test]
fn a_refusal_says_why_if_the_client_wants_to_know() {
    let reads = |packet: &Packet| {
        packet.properties().is_some_and(|all| all.contains(PropertyId::ReasonString))
    };
    for (asks, tells) in [(None, true), (Some(1_u32), true), (Some(0), false)] {
        let mut bench = Bench::new();
        let mut config = bench.broker().config().clone();
        config.bounds.filters = 1;
        config.bounds.retained_messages = 0;
        bench = Bench::with(config);
        let connect = Connect::new("c");
        bench.connect(
            "c",
            match asks {
                Some(value) => connect.with(PropertyId::RequestProblemInformation, value),
                None => connect,
            },
        );
        bench.send("c", filters(&["a", "b"]));
        bench.send("c", Unsubscribe::new(9, "a").and("b"));
        bench.send("c", message("a").retain().qos(Q1, 1));
        bench.send("c", message("a").retain().qos(Q2, 1));
        for _ in 0..4 {
            let packet = bench.expect("c");
            assert_eq!(reads(&packet), tells, "{packet:?}");
        }
        bench.send("c", Packet::PubAck(PublishAck::new(1)));
        bench.send("c", Connect::new("c"));
        let disconnect = bench.expect("c");
        assert!(reads(&disconnect), "always allowed here: {disconnect:?}");
    }
}

#[test]
fn a_refusal_that_is_too_large_says_less() {
    let mut bench = Bench::with(Config {
        bounds: Bounds { filters: 1, retained_messages: 0, ..Bounds::default() },
        topic_alias_maximum: 0,
        receive_maximum: u16::MAX,
        maximum_packet_size: u32::MAX,
        ..Config::default()
    });
    bench.connect("c", Connect::new("c").with(PropertyId::MaximumPacketSize, 10_u32));
    bench.send("c", filters(&["a", "b"]));
    assert_eq!(bench.expect("c"), suback(&[ReasonCode::Success, FULL]));
    bench.send("c", message("a").retain().qos(Q1, 1));
    assert_eq!(bench.expect("c"), Packet::PubAck(PublishAck::because(1, FULL)));
    bench.send("c", message("a").retain().qos(Q2, 1));
    assert_eq!(bench.expect("c"), Packet::PubRec(PublishAck::because(1, FULL)));
}
