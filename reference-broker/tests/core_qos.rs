//! Exchanges at QoS 1 and 2, in both directions and across every interruption (sections 4.3, 4.4
//! and 4.6).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, puback, pubcomp, pubrec, pubrel, text};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
};
use reference_broker::core::Config;

const REFUSED: ReasonCode = ReasonCode::UnspecifiedError;

/// A publisher `p`, and a subscriber `s` of everything whose session stays.
fn pair() -> Bench {
    let mut bench = Bench::new();
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q2);
    bench
}

/// Publishes at this QoS and goes through with it.
fn publish(bench: &mut Bench, topic: &str, qos: QoS) {
    bench.send("p", message(topic).qos(qos, 5));
    match (qos, bench.expect("p")) {
        (Q1, Packet::PubAck(ack)) => assert_eq!((ack.packet_id, ack.reason.is_error()), (5, false)),
        (_, Packet::PubRec(ack)) => {
            assert_eq!((ack.packet_id, ack.reason.is_error()), (5, false));
            bench.send("p", pubrel(5));
            assert_eq!(bench.expect("p"), pubcomp(5));
        }
        (_, other) => panic!("no acknowledgement: {other:?}"),
    }
}

fn reconnect(bench: &mut Bench, name: &str) {
    bench.cut(name);
    assert!(bench.resume(name));
}

/// What repeats `publish`.
fn repeated(publish: &Publish) -> Publish {
    publish.clone().dup()
}

#[test]
fn outbound_interrupted_while_queued_is_sent_for_the_first_time() {
    for qos in [Q1, Q2] {
        let mut bench = pair();
        bench.cut("s");
        publish(&mut bench, "t", qos);
        bench.resume("s");
        let first = bench.expect_publish("s");
        assert_eq!((first.dup, first.qos), (false, qos));
    }
}

#[test]
fn outbound_interrupted_after_publish_is_repeated_as_often_as_it_takes() {
    for qos in [Q1, Q2] {
        let mut bench = pair();
        publish(&mut bench, "t", qos);
        let first = bench.expect_publish("s");
        assert_eq!((first.dup, first.qos), (false, qos));
        for _ in 0..3 {
            reconnect(&mut bench, "s");
            assert_eq!(bench.expect_publish("s"), repeated(&first));
            bench.expect_nothing("s");
        }
    }
}

#[test]
fn outbound_refused_by_the_client_is_over() {
    for (qos, answer) in [
        (Q1, Packet::PubAck(PublishAck::because(1, REFUSED))),
        (Q2, Packet::PubRec(PublishAck::because(1, REFUSED))),
    ] {
        let mut bench = pair();
        publish(&mut bench, "t", qos);
        assert_eq!(bench.expect_publish("s").packet_id, 1);
        bench.send("s", answer);
        bench.expect_nothing("s");
        reconnect(&mut bench, "s");
        bench.expect_nothing("s");
    }
}

#[test]
fn outbound_interrupted_after_pubrec_goes_on_with_pubrel() {
    let mut bench = pair();
    publish(&mut bench, "t", Q2);
    let id = bench.expect_publish("s").packet_id;
    bench.send("s", pubrec(id));
    assert_eq!(bench.expect("s"), pubrel(id));
    for _ in 0..2 {
        reconnect(&mut bench, "s");
        assert_eq!(bench.expect("s"), pubrel(id));
        bench.expect_nothing("s");
    }
    bench.send("s", pubrec(id)); // Its own repetition.
    assert_eq!(bench.expect("s"), pubrel(id));
    bench.send("s", pubcomp(id));
    bench.expect_nothing("s");
}

#[test]
fn outbound_that_is_complete_is_not_repeated() {
    let mut bench = pair();
    publish(&mut bench, "one", Q1);
    publish(&mut bench, "two", Q2);
    let (one, two) = (bench.expect_publish("s"), bench.expect_publish("s"));
    bench.send("s", puback(one.packet_id));
    bench.send("s", pubrec(two.packet_id));
    assert_eq!(bench.expect("s"), pubrel(two.packet_id));
    bench.send("s", pubcomp(two.packet_id));
    reconnect(&mut bench, "s");
    bench.expect_nothing("s");
}

#[test]
fn outbound_is_repeated_in_the_order_of_its_first_time() {
    let mut bench = pair();
    for (n, qos) in [Q1, Q2, Q1, Q2, Q1].into_iter().enumerate() {
        publish(&mut bench, &n.to_string(), qos);
    }
    let first: Vec<_> = (0..5).map(|_| bench.expect_publish("s")).collect();
    bench.send("s", puback(first[0].packet_id));
    bench.send("s", pubrec(first[1].packet_id));
    assert_eq!(bench.expect("s"), pubrel(first[1].packet_id));
    for _ in 0..2 {
        bench.cut("s");
        publish(&mut bench, "late", Q1);
        bench.resume("s");
        assert_eq!(bench.expect("s"), pubrel(first[1].packet_id));
        for publish in &first[2..] {
            assert_eq!(bench.expect_publish("s"), repeated(publish));
        }
        assert_eq!(text(&bench.expect_publish("s")), "late");
        bench.payloads("s");
    }
}

#[test]
fn identifiers_that_come_round_do_not_disturb_the_order() {
    let mut bench = Bench::with(Config { send_window: u16::MAX, ..Config::default() });
    bench.join("p");
    bench.resume("s");
    bench.subscribe("s", "#", Q1);
    for _ in 0..65_533 {
        bench.send("p", message("t").qos(Q1, 5));
        let id = bench.expect_publish("s").packet_id;
        bench.send("s", puback(id));
    }
    for topic in ["1", "2", "3", "4"] {
        bench.send("p", message(topic).qos(Q1, 5));
    }
    let ids: Vec<_> = (0..4).map(|_| bench.expect_publish("s").packet_id).collect();
    assert_eq!(ids, [65_534, 65_535, 1, 2]);
    reconnect(&mut bench, "s");
    assert_eq!(bench.payloads("s"), ["1", "2", "3", "4"]);
}

#[test]
fn nothing_is_repeated_while_the_connection_lasts() {
    let mut bench = pair();
    publish(&mut bench, "one", Q1);
    publish(&mut bench, "two", Q2);
    let (_, two) = (bench.expect_publish("s"), bench.expect_publish("s"));
    bench.send("s", pubrec(two.packet_id));
    assert_eq!(bench.expect("s"), pubrel(two.packet_id));
    bench.pass(1_000_000_000);
    bench.expect_nothing("s");
}

#[test]
fn inbound_at_qos_1_is_new_each_time() {
    let mut bench = pair();
    bench.connect("p", Connect::new("p").session_expiry(NEVER));
    publish(&mut bench, "t", Q1);
    reconnect(&mut bench, "p");
    bench.send("p", message("t").qos(Q1, 5).dup());
    assert_eq!(bench.expect("p"), puback(5));
    for _ in 0..2 {
        assert!(!bench.expect_publish("s").dup, "DUP is not passed on");
    }
}

/// Sends a QoS 2 message, interrupts after so many packets from the client (of PUBLISH, PUBREL) and
/// gives the publisher `p` another connection.
fn interrupted_inbound(packets: usize) -> Bench {
    let mut bench = pair();
    bench.resume("p");
    bench.send("p", message("t").qos(Q2, 5));
    if packets > 1 {
        bench.send("p", pubrel(5));
    }
    reconnect(&mut bench, "p");
    bench
}

fn not_found(packet_id: u16) -> Packet {
    Packet::PubComp(PublishAck::because(packet_id, ReasonCode::PacketIdentifierNotFound))
}

#[test]
fn inbound_at_qos_2_is_delivered_once_however_often_it_is_repeated() {
    let mut bench = interrupted_inbound(1);
    for _ in 0..2 {
        // As after a lost PUBREC, and then as after one that was read.
        bench.send("p", message("t").qos(Q2, 5).dup());
        assert_eq!(bench.expect("p"), pubrec(5));
    }
    bench.send("p", message("other").qos(Q2, 5));
    assert_eq!(bench.expect("p"), pubrec(5), "the identifier decides, not the content");
    bench.send("p", pubrel(5));
    assert_eq!(bench.expect("p"), pubcomp(5));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn inbound_interrupted_after_pubrec_goes_on_with_pubrel() {
    let mut bench = interrupted_inbound(1);
    bench.send("p", pubrel(5));
    assert_eq!(bench.expect("p"), pubcomp(5));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn inbound_interrupted_after_pubrel_is_complete() {
    let mut bench = interrupted_inbound(2);
    bench.send("p", pubrel(5));
    assert_eq!(bench.expect("p"), not_found(5));
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn inbound_identifiers_go_with_the_session() {
    let mut bench = interrupted_inbound(1);
    bench.connect("p", Connect::new("p"));
    bench.send("p", pubrel(5));
    assert_eq!(bench.expect("p"), not_found(5));
    publish(&mut bench, "t", Q2);
    assert_eq!(bench.payloads("s"), ["t", "t"], "a new message");
}

#[test]
fn inbound_identifiers_are_free_after_the_exchange() {
    let mut bench = pair();
    for topic in ["1", "2"] {
        publish(&mut bench, topic, Q2);
    }
    bench.send("p", message("3").qos(Q2, 5).dup());
    assert_eq!(bench.payloads("s"), ["1", "2", "3"], "new, even with DUP");
}

#[test]
fn a_refused_message_at_qos_2_leaves_its_identifier_free() {
    let mut bench = pair();
    bench.send("p", message("$x").qos(Q2, 5));
    let refusal = PublishAck::because(5, ReasonCode::TopicNameInvalid);
    assert_eq!(bench.expect("p"), Packet::PubRec(refusal));
    publish(&mut bench, "t", Q2);
    assert_eq!(bench.payloads("s"), ["t"]);
}

#[test]
fn acknowledgements_say_when_nobody_subscribes() {
    let mut bench = Bench::new();
    bench.join("p");
    let nobody = ReasonCode::NoMatchingSubscribers;
    bench.send("p", message("t").qos(Q1, 5));
    assert_eq!(bench.expect("p"), Packet::PubAck(PublishAck::because(5, nobody)));
    bench.send("p", message("t").qos(Q2, 6));
    assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck::because(6, nobody)));
    bench.send("p", message("t"));
    bench.expect_nothing("p");
}

#[test]
fn acknowledgements_of_unknown_identifiers_are_answered_or_ignored() {
    let mut bench = pair();
    bench.send("s", puback(7));
    bench.send("s", pubcomp(7));
    bench.send("s", Packet::PubRec(PublishAck::because(7, REFUSED)));
    bench.expect_nothing("s");
    bench.send("s", pubrec(7));
    let unknown = PublishAck::because(7, ReasonCode::PacketIdentifierNotFound);
    assert_eq!(bench.expect("s"), Packet::PubRel(unknown));
    bench.send("s", pubrel(7));
    assert_eq!(bench.expect("s"), not_found(7));
    bench.expect_alive("s");
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_ends_the_connection_and_acknowledges_nothing() {
    for (qos, answer) in [(Q1, pubrec(1)), (Q1, pubcomp(1)), (Q2, puback(1)), (Q2, pubcomp(1))] {
        let mut bench = pair();
        publish(&mut bench, "t", qos);
        let first = bench.expect_publish("s");
        bench.send("s", answer);
        bench.expect_disconnect("s", ReasonCode::ProtocolError);
        bench.resume("s");
        assert_eq!(bench.expect_publish("s"), repeated(&first));
    }
}

#[test]
fn equal_identifiers_of_both_directions_do_not_meet() {
    let mut bench = Bench::new();
    bench.join("c");
    bench.subscribe("c", "t", Q2);
    bench.send("c", message("t").qos(Q2, 1));
    let publish = bench.expect_publish("c");
    assert_eq!((bench.expect("c"), publish.packet_id), (pubrec(1), 1));
    bench.send("c", pubrel(1));
    assert_eq!(bench.expect("c"), pubcomp(1));
    bench.send("c", pubrec(1));
    assert_eq!(bench.expect("c"), pubrel(1));
}

#[test]
fn messages_of_one_topic_and_qos_keep_their_order() {
    for qos in QoS::ALL {
        let mut bench = pair();
        bench.connect("s", Connect::new("s").with(PropertyId::ReceiveMaximum, 3));
        bench.subscribe_with("s", Subscribe::new(1, "t", qos));
        for n in 0..10 {
            bench.send("p", Publish::new("t", n.to_string()).qos(Q2, n + 1));
        }
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let publish = bench.expect_publish("s");
            seen.push(text(&publish));
            match publish.qos {
                Q0 => {}
                Q1 => bench.send("s", puback(publish.packet_id)),
                _ => {
                    bench.send("s", Packet::PubRec(PublishAck::because(publish.packet_id, REFUSED)))
                }
            }
        }
        assert_eq!(seen, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
