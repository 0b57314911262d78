//! Shared Subscriptions (section 4.8.2), and the choices that the standard leaves to a server there.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, Q0, Q1, Q2, identifiers, message, text};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, ReasonCode, Subscribe, Unsubscribe,
};
use reference_broker::core::{Config, Sharing};

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
        let mut subscribe = Subscribe::new(1, "$share/g/+/x", qos);
        if identifier > 0 {
            subscribe = subscribe.with(PropertyId::SubscriptionIdentifier, identifier);
        }
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
    assert!(
        matches!(bench.expect("s"), Packet::UnsubAck(ack) if ack.reasons == [ReasonCode::Success])
    );
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
fn what_a_dead_member_had_for_too_long_goes_to_nobody() {
    let mut bench = Bench::new();
    bench.resume("a");
    bench.subscribe("a", "$share/g/t", Q1);
    bench.join("p");
    let expiring = message("t").qos(Q1, 1).with(PropertyId::MessageExpiryInterval, 1);
    bench.publish("p", expiring);
    bench.expect_publish("a");
    bench.join("b");
    bench.subscribe("b", "$share/g/t", Q0);
    bench.pass(1_000);
    bench.join("a");
    bench.expect_nothing("b");
    assert_eq!(bench.counts().totals.dropped.expired, 1);
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

#[test]
fn a_share_may_go_to_the_same_one_or_to_absent_ones() {
    for (sharing, expected) in [
        (Sharing::InTurn, [2, 0, 2]),
        (Sharing::InTurnAbsentToo, [2, 1, 1]),
        (Sharing::TheSame, [4, 0, 0]),
    ] {
        let mut bench = Bench::handling(|it| it.sharing = sharing);
        for name in ["a", "b", "c"] {
            bench.resume(name);
            bench.subscribe(name, "$share/g/t", Q1);
        }
        bench.cut("b");
        bench.join("p");
        (0..4).for_each(|_| bench.publish("p", message("t")));
        bench.resume("b");
        let shares = ["a", "b", "c"].map(|name| bench.payloads(name).len());
        assert_eq!(shares, expected, "{sharing:?}");
    }
}

#[test]
fn what_is_shared_may_go_to_another_member_as_soon_as_one_is_lost() {
    for (at_loss, expected) in [(false, [&[][..], &["t", "t"]]), (true, [&["t"], &["t"]])] {
        let mut bench = Bench::handling(|it| it.shares_again_at_loss = at_loss);
        for name in ["a", "b"] {
            bench.resume(name);
            bench.subscribe(name, "$share/g/t", Q2);
        }
        bench.cut("b");
        bench.join("p");
        bench.send("p", message("t").qos(Q1, 1));
        bench.send("p", message("t").qos(Q2, 2));
        bench.resume("b");
        let held = [bench.expect_publish("a"), bench.expect_publish("a")].map(|it| it.qos);
        assert_eq!(held, [Q1, Q2]);
        bench.cut("a");
        assert_eq!(bench.payloads("b"), expected[0]);
        bench.resume("a");
        assert_eq!(bench.payloads("a"), expected[1]);
    }
}

#[test]
fn what_is_shared_stays_with_a_lost_member_where_nobody_else_is_connected() {
    for sharing in [Sharing::InTurn, Sharing::InTurnAbsentToo, Sharing::TheSame] {
        let mut bench = Bench::handling(|it| {
            it.shares_again_at_loss = true;
            it.sharing = sharing;
        });
        bench.resume("a");
        bench.subscribe("a", "$share/g/t", Q1);
        bench.join("p");
        for id in [1, 2] {
            bench.send("p", message("t").qos(Q1, id));
        }
        let held = [bench.expect_publish("a"), bench.expect_publish("a")];
        bench.cut("a");
        bench.resume("a");
        let again = [bench.expect_publish("a"), bench.expect_publish("a")];
        assert_eq!(again, held.map(Publish::dup), "{sharing:?}");
        // With another member connected all of it goes there, and nothing comes back.
        bench.resume("b");
        bench.subscribe("b", "$share/g/t", Q1);
        bench.cut("a");
        assert_eq!(bench.payloads("b"), ["t", "t"], "{sharing:?}");
        bench.resume("a");
        bench.expect_nothing("a");
    }
}
