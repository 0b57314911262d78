//! What limits the flow of messages: quotas, packet sizes, queues, packet identifiers, topic
//! aliases and expiry (sections 3.3.2 and 4.9).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, puback, pubcomp, pubrec, pubrel, text};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, ReasonCode, Subscribe,
};
use reference_broker::core::Config;

const REFUSED: ReasonCode = ReasonCode::UnspecifiedError;

fn windowed(name: &str, receive_maximum: u32) -> Connect {
    let connect = Connect::new(name).resume().session_expiry(NEVER);
    connect.with(PropertyId::ReceiveMaximum, receive_maximum)
}

/// A publisher `p`, and a subscriber `s` of everything that lets so many messages be on their way.
fn pair(receive_maximum: u32) -> Bench {
    let mut bench = Bench::new();
    bench.join("p");
    bench.connect("s", windowed("s", receive_maximum));
    bench.subscribe("s", "#", Q2);
    bench
}

#[test]
fn a_window_of_one_lets_one_message_be_on_its_way() {
    let mut bench = pair(1);
    for topic in ["1", "2", "3", "4"] {
        bench.send("p", message(topic).qos(Q2, 1));
        bench.send("p", pubrel(1));
    }
    let id = bench.expect_publish("s").packet_id;
    bench.expect_nothing("s");
    bench.send("s", pubrec(id));
    assert_eq!(bench.expect("s"), pubrel(id), "only PUBREL: PUBREC frees nothing");
    bench.expect_nothing("s");
    bench.send("s", pubcomp(id));
    let second = bench.expect_publish("s");
    assert_eq!(text(&second), "2");
    bench.send("s", Packet::PubRec(PublishAck::because(second.packet_id, REFUSED)));
    assert_eq!(text(&bench.expect_publish("s")), "3", "a refusal frees");
    bench.expect_nothing("s");
}

#[test]
fn what_needs_no_quota_flows_without_it() {
    let mut bench = pair(1);
    bench.send("p", message("1").qos(Q1, 1));
    bench.send("p", message("2").qos(Q1, 1));
    let id = bench.expect_publish("s").packet_id;
    bench.send("p", message("0"));
    assert_eq!(bench.payloads("s"), ["0"]);
    bench.expect_alive("s");
    bench.send("s", message("own").qos(Q2, 1));
    assert_eq!(bench.expect("s"), pubrec(1));
    bench.send("s", Packet::PubAck(PublishAck::because(id, REFUSED)));
    assert_eq!(bench.payloads("s"), ["2"], "an error in PUBACK frees as well");
}

#[test]
fn surplus_acknowledgements_free_nothing() {
    let mut bench = pair(2);
    for topic in ["1", "2", "3", "4"] {
        bench.send("p", message(topic).qos(Q1, 1));
    }
    let (one, _) = (bench.expect_publish("s"), bench.expect_publish("s"));
    bench.send("s", puback(one.packet_id));
    bench.send("s", puback(one.packet_id));
    bench.send("s", pubcomp(one.packet_id));
    assert_eq!(bench.payloads("s"), ["3"]);
}

#[test]
fn the_quota_begins_anew_with_each_connection() {
    let mut bench = pair(2);
    for topic in ["1", "2", "3"] {
        bench.send("p", message(topic).qos(Q2, 1));
        bench.send("p", pubrel(1));
    }
    let (one, two) = (bench.expect_publish("s"), bench.expect_publish("s"));
    bench.send("s", pubrec(one.packet_id));
    assert_eq!(bench.expect("s"), pubrel(one.packet_id));
    bench.expect_nothing("s");
    bench.cut("s");
    bench.connect("s", windowed("s", 1));
    assert_eq!(bench.expect("s"), pubrel(one.packet_id));
    assert_eq!(bench.expect_publish("s"), two.clone().dup());
    bench.expect_nothing("s");
    // PUBREL took no quota on this connection, so its PUBCOMP gives none.
    bench.send("s", pubcomp(one.packet_id));
    bench.expect_nothing("s");
    bench.send("s", Packet::PubRec(PublishAck::because(two.packet_id, REFUSED)));
    assert_eq!(bench.payloads("s"), ["3"]);
}

#[test]
fn a_smaller_window_holds_repetitions_back_too() {
    let mut bench = pair(3);
    for topic in ["1", "2", "3"] {
        bench.send("p", message(topic).qos(Q1, 1));
    }
    let first: Vec<_> = (0..3).map(|_| bench.expect_publish("s")).collect();
    bench.cut("s");
    bench.connect("s", windowed("s", 1));
    assert_eq!(bench.expect_publish("s"), first[0].clone().dup());
    bench.expect_nothing("s");
    bench.send("s", puback(first[1].packet_id)); // Acknowledged before it is repeated.
    bench.expect_nothing("s");
    bench.send("s", puback(first[0].packet_id));
    assert_eq!(bench.expect_publish("s"), first[2].clone().dup());
}

#[test]
fn more_from_a_client_than_the_receive_maximum_ends_its_connection() {
    let config = Config { receive_maximum: 2, ..Config::default() };
    for qos in [Q1, Q2] {
        let mut bench = Bench::with(config.clone());
        let connack = bench.connect("p", Connect::new("p"));
        assert_eq!(connack.properties.number(PropertyId::ReceiveMaximum), Some(2));
        let nobody = ReasonCode::NoMatchingSubscribers;
        for id in [1, 2] {
            bench.send("p", message("t").qos(Q2, id));
            assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck::because(id, nobody)));
        }
        bench.send("p", message("t").qos(Q2, 1).dup()); // Known: not one more.
        assert_eq!(bench.expect("p"), pubrec(1));
        bench.send("p", message("t")); // At QoS 0: never one more.
        bench.send("p", pubrel(1));
        assert_eq!(bench.expect("p"), pubcomp(1));
        bench.send("p", message("t").qos(Q1, 3));
        assert_eq!(bench.expect("p"), Packet::PubAck(PublishAck::because(3, nobody)));
        bench.send("p", message("t").qos(Q2, 3));
        bench.expect("p");
        bench.send("p", message("t").qos(qos, 4));
        bench.expect_disconnect("p", ReasonCode::ReceiveMaximumExceeded);
    }
}

#[test]
fn a_refused_message_takes_no_part_of_the_receive_maximum() {
    let mut bench = Bench::with(Config { receive_maximum: 1, ..Config::default() });
    bench.join("p");
    for id in 1..5 {
        bench.send("p", message("$x").qos(Q2, id));
        bench.expect("p");
    }
    bench.expect_alive("p");
}

#[test]
fn a_message_too_large_for_a_client_is_as_good_as_sent() {
    for qos in [Q0, Q1, Q2] {
        let mut bench = Bench::new();
        bench.join("p");
        let limit = Connect::new("s").with(PropertyId::MaximumPacketSize, 100);
        bench.connect("s", limit.with(PropertyId::ReceiveMaximum, 1));
        bench.subscribe("s", "t", qos);
        bench.join("other");
        bench.subscribe("other", "t", qos);
        // 1 type, 1 length, 3 topic, 2 identifier above QoS 0, 1 properties.
        let most = if qos == Q0 { 94 } else { 92 };
        for size in [most + 1, most, most + 1, 1] {
            bench.publish("p", Publish::new("t", vec![b'x'; size]));
        }
        bench.send("p", Publish::new("t", vec![b'x'; 95]));
        let mut sizes = Vec::new();
        while sizes.len() < 2 {
            let publish = bench.expect_publish("s");
            sizes.push(publish.payload.len());
            if publish.qos != Q0 {
                bench.send("s", puback(publish.packet_id));
            }
        }
        let expected = if qos == Q0 { [94, 1] } else { [92, 1] };
        assert_eq!(sizes, expected);
        bench.expect_alive("s");
        assert_eq!(bench.payloads("other").len(), 5, "others can take it");
    }
}

#[test]
fn a_repetition_that_has_become_too_large_is_given_up() {
    let mut bench = pair(10);
    bench.publish("p", Publish::new("t", vec![b'x'; 100]));
    bench.publish("p", message("t"));
    let _ = (bench.expect_publish("s"), bench.expect_publish("s"));
    bench.cut("s");
    bench.connect("s", windowed("s", 10).with(PropertyId::MaximumPacketSize, 50));
    assert_eq!(bench.payloads("s"), ["t"]);
    bench.cut("s");
    bench.connect("s", windowed("s", 10));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn answers_keep_to_the_maximum_packet_size() {
    let limited = |size| Connect::new("c").with(PropertyId::MaximumPacketSize, size);
    let mut bench = Bench::new();
    bench.start("c", limited(20).with(PropertyId::AuthenticationMethod, "m"));
    bench.expect_refusal("c", ReasonCode::BadAuthenticationMethod); // Without a reason string.
    bench.connect("c", limited(20));
    bench.send("c", Connect::new("c"));
    bench.expect_disconnect("c", ReasonCode::ProtocolError);
    let mut subscribe = Subscribe::new(1, "0", Q0);
    for n in 1..15 {
        subscribe = subscribe.and(n.to_string(), bench::options(Q0, |_| {}));
    }
    bench.connect("c", limited(20));
    bench.subscribe_with("c", subscribe.clone()); // A SUBACK of just 20 bytes.
    bench.send("c", subscribe.and("#", bench::options(Q0, |_| {})));
    bench.expect_disconnect("c", ReasonCode::PacketTooLarge);
}

#[test]
fn every_identifier_in_use_makes_messages_wait() {
    let mut bench = Bench::with(Config { send_window: u16::MAX, ..Config::default() });
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q2);
    for _ in 1..=u16::MAX {
        bench.send("p", message("t").qos(Q2, 1));
        bench.send("p", pubrel(1));
        let id = bench.expect_publish("s").packet_id;
        bench.send("s", pubrec(id));
        assert_eq!(bench.expect("s"), pubrel(id));
    }
    bench.cut("s");
    bench.resume("s"); // With a quota of its own, but no identifier.
    for id in 1..=u16::MAX {
        assert_eq!(bench.expect("s"), pubrel(id));
    }
    bench.publish("p", message("late"));
    bench.expect_nothing("s");
    bench.send("s", pubcomp(777));
    let publish = bench.expect_publish("s");
    assert_eq!((text(&publish).as_str(), publish.packet_id), ("late", 777));
}

#[test]
fn what_cannot_be_sent_uses_no_identifier_up() {
    let mut bench = Bench::new();
    bench.join("p");
    bench.connect("s", windowed("s", 1).with(PropertyId::MaximumPacketSize, 20));
    bench.subscribe("s", "#", Q1);
    let long = Publish::new("t", vec![0; 20]).qos(Q1, 1);
    for _ in 0..=u16::MAX {
        bench.send("p", long.clone());
        bench.expect("p");
    }
    bench.publish("p", message("t"));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn a_full_queue_drops_the_newest_but_expired_ones_first() {
    let mut bench = Bench::with(Config { queue_limit: 2, ..Config::default() });
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q1);
    bench.cut("s");
    let short = message("short").with(PropertyId::MessageExpiryInterval, 1);
    bench.publish("p", message("1"));
    bench.publish("p", short.clone());
    bench.publish_in_vain("p", message("too many"));
    bench.pass(1_000);
    bench.publish("p", message("2"));
    bench.publish_in_vain("p", message("too many"));
    bench.resume("s");
    assert_eq!(bench.payloads("s"), ["1", "2"]);
}

#[test]
fn a_message_expires_while_it_waits() {
    for (wait, left) in [(0, Some(10)), (999, Some(10)), (1_000, Some(9)), (9_999, Some(1))]
        .into_iter()
        .chain([(10_000, None), (10_001, None)])
    {
        let mut bench = pair(10);
        bench.cut("s");
        bench.publish("p", message("t").with(PropertyId::MessageExpiryInterval, 10));
        bench.publish("p", message("stays"));
        bench.pass(wait);
        bench.resume("s");
        if left.is_some() {
            let publish = bench.expect_publish("s");
            assert_eq!(publish.properties.number(PropertyId::MessageExpiryInterval), left);
        }
        let stays = bench.expect_publish("s");
        assert_eq!(text(&stays), "stays");
        assert!(!stays.properties.contains(PropertyId::MessageExpiryInterval));
    }
}

#[test]
fn a_message_expires_behind_the_window_too() {
    let mut bench = pair(1);
    bench.publish("p", message("first"));
    bench.publish("p", message("t").with(PropertyId::MessageExpiryInterval, 10));
    bench.publish("p", message("u").with(PropertyId::MessageExpiryInterval, 11));
    let id = bench.expect_publish("s").packet_id;
    bench.pass(10_000);
    bench.send("s", puback(id));
    let publish = bench.expect_publish("s");
    assert_eq!(text(&publish), "u");
    assert_eq!(publish.properties.number(PropertyId::MessageExpiryInterval), Some(1));
}

#[test]
fn a_message_that_was_sent_does_not_expire() {
    for qos in [Q1, Q2] {
        let mut bench = pair(1);
        let expiring = message("t").with(PropertyId::MessageExpiryInterval, 10);
        bench.send("p", expiring.qos(qos, 1));
        bench.expect_publish("s");
        bench.cut("s");
        bench.pass(60_000);
        bench.resume("s");
        let again = bench.expect_publish("s");
        assert!(again.dup);
        assert_eq!(again.properties.number(PropertyId::MessageExpiryInterval), Some(0));
    }
}

#[test]
fn any_expiry_lets_a_message_reach_who_is_there() {
    for seconds in [0, 1, 0x7FFF_FFFF, u32::MAX] {
        let mut bench = pair(1);
        bench.publish("p", message("t").with(PropertyId::MessageExpiryInterval, seconds));
        let publish = bench.expect_publish("s");
        assert_eq!(publish.properties.number(PropertyId::MessageExpiryInterval), Some(seconds));
    }
}

#[test]
fn an_alias_stands_for_the_topic_it_was_last_given() {
    let alias =
        |topic: &str, alias: u32| Publish::new(topic, "").with(PropertyId::TopicAlias, alias);
    let mut bench = pair(1);
    let connack = bench.connect("p", Connect::new("p"));
    let maximum = connack.properties.number(PropertyId::TopicAliasMaximum).unwrap();
    for (topic, number) in
        [("a", 1), ("", 1), ("b", maximum), ("", 1), ("c", 1), ("", 1), ("", maximum)]
    {
        bench.send("p", alias(topic, number));
    }
    let topics: Vec<_> = (0..7).map(|_| bench.expect_publish("s")).collect();
    assert!(topics.iter().all(|publish| !publish.properties.contains(PropertyId::TopicAlias)));
    let topics: Vec<_> = topics.iter().map(|publish| &*publish.topic).collect();
    assert_eq!(topics, ["a", "a", "b", "a", "c", "c", "b"]);
    for (packet, reason) in [
        (alias("a", maximum + 1), ReasonCode::TopicAliasInvalid),
        (alias("", maximum + 1), ReasonCode::TopicAliasInvalid),
        (alias("", 2), ReasonCode::ProtocolError),
        (alias("", 1), ReasonCode::ProtocolError), // Known on the last connection only.
    ] {
        bench.send("p", packet);
        bench.expect_disconnect("p", reason);
        bench.join("p");
    }
    bench.expect_nothing("s");
}
