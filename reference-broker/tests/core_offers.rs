//! What a broker may offer to its clients, and what it may keep from them: aliases of its own, Client
//! Identifiers, Response Information, other servers, explanations.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, NEVER, Q0, Q1, Q2, message, options, puback, text};
use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Packet, PropertyId, Publish, PublishAck, ReasonCode, Subscribe,
    Text,
};
use reference_broker::core::{Config, Redirection, ResponseInformation};

/// A publisher `p`, and a subscriber `s` to everything.
fn pair(config: Config, connect: Connect) -> Bench {
    let mut bench = Bench::with(config);
    bench.join("p");
    bench.connect("s", connect);
    bench.subscribe("s", "#", Q2);
    bench
}

fn aliasing(maximum: u16) -> Config {
    Config { outbound_alias_maximum: maximum, ..Config::default() }
}

fn lasting(aliases: u32) -> Connect {
    let connect = Connect::new("s").resume().session_expiry(NEVER);
    connect.with(PropertyId::TopicAliasMaximum, aliases)
}

/// Topic Name and Topic Alias of the next message.
fn named(bench: &mut Bench) -> (String, Option<u32>) {
    let publish = bench.expect_publish("s");
    (publish.topic.to_string(), publish.properties.number(PropertyId::TopicAlias))
}

fn name(topic: &str, alias: Option<u32>) -> (String, Option<u32>) {
    (topic.to_string(), alias)
}

#[test]
fn the_first_topics_have_an_alias() {
    for (broker, client) in [(2, 9), (9, 2)] {
        let mut bench = pair(aliasing(broker), lasting(client));
        for topic in ["first", "second", "third", "first", "second", "third"] {
            bench.publish("p", message(topic));
        }
        assert_eq!(named(&mut bench), name("first", Some(1)));
        assert_eq!(named(&mut bench), name("second", Some(2)));
        assert_eq!(named(&mut bench), name("third", None));
        assert_eq!(named(&mut bench), name("", Some(1)));
        assert_eq!(named(&mut bench), name("", Some(2)));
        assert_eq!(named(&mut bench), name("third", None));
    }
}

#[test]
fn no_alias_is_sent_to_who_takes_none() {
    let plain = Connect::new("s");
    let zero = Connect::new("s").with(PropertyId::TopicAliasMaximum, 0_u32);
    for (broker, connect) in [(9, plain), (9, zero), (0, lasting(9))] {
        let mut bench = pair(aliasing(broker), connect);
        for _ in 0..2 {
            bench.publish("p", message("topic"));
            assert_eq!(named(&mut bench), name("topic", None));
        }
    }
}

#[test]
fn an_alias_ends_with_its_connection() {
    let mut bench = pair(aliasing(5), lasting(5));
    bench.publish("p", message("topic"));
    bench.publish("p", message("topic"));
    assert_eq!(named(&mut bench), name("topic", Some(1)));
    assert_eq!(named(&mut bench), name("", Some(1)));
    bench.cut("s");
    bench.connect("s", lasting(5));
    let again = bench.expect_publish("s");
    assert!(again.dup);
    assert_eq!(&*again.topic, "topic");
    assert_eq!(named(&mut bench), name("", Some(1)), "the repetition has set it");
    bench.cut("s");
    bench.connect("s", lasting(0));
    assert_eq!(named(&mut bench), name("topic", None));
}

#[test]
fn an_alias_is_worth_more_than_it_costs() {
    let mut bench = pair(aliasing(5), lasting(5));
    for topic in ["abc", "abc", "abcd"] {
        bench.publish("p", message(topic));
    }
    assert_eq!(named(&mut bench), name("abc", None));
    assert_eq!(named(&mut bench), name("abc", None));
    assert_eq!(named(&mut bench), name("abcd", Some(1)));
}

#[test]
fn a_message_that_may_get_lost_sets_no_alias() {
    let mut bench = pair(aliasing(5), lasting(5));
    bench.send("p", message("topic"));
    assert_eq!(named(&mut bench), name("topic", None));
    bench.publish("p", message("topic"));
    assert_eq!(named(&mut bench), name("topic", Some(1)));
    bench.send("p", message("topic"));
    assert_eq!(named(&mut bench), name("", Some(1)), "but it may use one");
}

#[test]
fn a_message_that_is_not_sent_sets_no_alias() {
    let limited = |size: u32| lasting(5).with(PropertyId::MaximumPacketSize, size);
    let large = || Publish::new("topic", "x".repeat(20));
    // Fixed header 2, topic 7, Packet Identifier 2, no properties 1, payload 20; an alias 3 more.
    for (size, first) in [(31, None), (32, Some(None)), (34, Some(None)), (35, Some(Some(1)))] {
        let mut bench = pair(aliasing(5), limited(size));
        bench.publish("p", large());
        if let Some(alias) = first {
            assert_eq!(named(&mut bench), name("topic", alias), "{size}");
        }
        bench.publish("p", Publish::new("topic", ""));
        let second = if first == Some(Some(1)) { "" } else { "topic" };
        assert_eq!(named(&mut bench), name(second, Some(1)), "{size}");
        bench.publish("p", large());
        assert_eq!(named(&mut bench), name("", Some(1)), "{size}: it is smaller so");
        bench.expect_nothing("s");
    }
}

#[test]
fn a_broker_need_not_assign_client_identifiers() {
    let mut bench = Bench::with(Config { assigns_client_ids: false, ..Config::default() });
    bench.start("a", Connect::new(""));
    bench.expect_refusal("a", ReasonCode::ClientIdentifierNotValid);
    bench.start("a", Connect::new("").resume());
    bench.expect_refusal("a", ReasonCode::ClientIdentifierNotValid);
    bench.join("a");
}

#[test]
fn a_broker_need_not_tell_that_nobody_subscribes() {
    let mut bench = Bench::with(Config { tells_no_subscribers: false, ..Config::default() });
    bench.join("p");
    bench.send("p", message("t").qos(Q1, 1));
    assert_eq!(bench.expect("p"), puback(1));
    bench.send("p", message("t").qos(Q2, 1));
    assert_eq!(bench.expect("p"), Packet::PubRec(PublishAck::new(1)));
}

fn informing(for_each_client: bool) -> Bench {
    let information = ResponseInformation { prefix: Text::from("answers/"), for_each_client };
    Bench::with(Config { response_information: Some(information), ..Config::default() })
}

fn information(connack: &ConnAck) -> Option<&str> {
    connack.properties.text(PropertyId::ResponseInformation).map(|text| &**text)
}

fn asking(name: &str) -> Connect {
    Connect::new(name).with(PropertyId::RequestResponseInformation, 1_u32)
}

#[test]
fn response_information_is_for_those_who_ask() {
    let mut bench = informing(false);
    assert_eq!(information(&bench.connect("a", asking("a"))), Some("answers/"));
    assert_eq!(information(&bench.connect("a", Connect::new("a"))), None);
    let zero = Connect::new("a").with(PropertyId::RequestResponseInformation, 0_u32);
    assert_eq!(information(&bench.connect("a", zero)), None);
    let mut silent = Bench::new();
    assert_eq!(information(&silent.connect("a", asking("a"))), None);
}

#[test]
fn response_information_may_be_for_one_client() {
    let mut bench = informing(true);
    assert_eq!(information(&bench.connect("a", asking("a"))), Some("answers/a"));
    let connack = bench.connect("b", asking(""));
    let id = connack.properties.text(PropertyId::AssignedClientIdentifier).unwrap();
    assert_eq!(information(&connack), Some(format!("answers/{id}").as_str()));
    assert_eq!(information(&bench.connect("c", asking("a/+"))), None, "no topic can have that");
    let long = "x".repeat(65_535);
    assert_eq!(information(&bench.connect("d", asking(&long))), None, "no string can be so long");
}

#[test]
fn response_information_that_does_not_fit_is_left_out() {
    let mut bench = informing(false);
    let limited = |size: u32| asking("a").with(PropertyId::MaximumPacketSize, size);
    let whole = bench.connect("a", asking("a"));
    let size = u32::try_from(Packet::from(whole).encoded_len().unwrap()).unwrap();
    assert_eq!(information(&bench.connect("a", limited(size))), Some("answers/"));
    assert_eq!(information(&bench.connect("a", limited(size - 1))), None);
}

fn elsewhere(is_permanent: bool) -> Redirection {
    Redirection { is_permanent, reference: Some(Text::from("there:1883")) }
}

fn reference(packet: &Packet) -> Option<&str> {
    packet.properties()?.text(PropertyId::ServerReference).map(|text| &**text)
}

#[test]
fn a_broker_may_send_all_clients_elsewhere_at_connect() {
    let (for_now, for_good) = (ReasonCode::UseAnotherServer, ReasonCode::ServerMoved);
    for (is_permanent, reason) in [(false, for_now), (true, for_good)] {
        let redirection = Some(elsewhere(is_permanent));
        let mut bench = Bench::with(Config { redirection, ..Config::default() });
        bench.start("a", Connect::new("a"));
        let packet = bench.expect("a");
        assert!(matches!(&packet, Packet::ConnAck(it) if it.reason == reason), "{packet:?}");
        assert_eq!(reference(&packet), Some("there:1883"));
        bench.expect_close("a");
        assert_eq!(bench.counts().totals.refused.get(&reason), Some(&1));
        bench.redirect(None);
        bench.join("a");
    }
}

#[test]
fn a_broker_may_send_its_clients_elsewhere_later() {
    let mut bench = Bench::new();
    bench.join("w");
    bench.subscribe("w", "will", Q0);
    bench.connect("a", Connect::new("a").session_expiry(NEVER).will(bench::will(0)));
    bench.subscribe("a", "t", Q1);
    bench.open("late");
    bench.redirect(Some(elsewhere(true)));
    for name in ["w", "a"] {
        let packet = bench.expect(name);
        assert_eq!(reference(&packet), Some("there:1883"));
        let Packet::Disconnect(Disconnect { reason, .. }) = packet else { panic!("{packet:?}") };
        assert_eq!(reason, ReasonCode::ServerMoved);
        bench.expect_close(name);
    }
    bench.send("late", Connect::new("late"));
    bench.expect_refusal("late", ReasonCode::ServerMoved);
    bench.redirect(None);
    assert!(bench.resume("a"), "its session has stayed");
}

#[test]
fn a_redirection_need_not_say_where() {
    let redirection = Redirection { is_permanent: false, reference: None };
    let mut bench = Bench::new();
    bench.join("a");
    bench.redirect(Some(redirection));
    assert_eq!(bench.expect("a"), Disconnect::because(ReasonCode::UseAnotherServer).into());
    bench.expect_close("a");
    // And cannot where the client takes no packet that would.
    let mut bench = Bench::new();
    bench.connect("b", Connect::new("b").with(PropertyId::MaximumPacketSize, 16_u32));
    bench.connect("c", Connect::new("c").with(PropertyId::MaximumPacketSize, 17_u32));
    bench.redirect(Some(elsewhere(false)));
    assert_eq!(reference(&bench.expect("b")), None);
    assert_eq!(reference(&bench.expect("c")), Some("there:1883"));
    bench.start("d", Connect::new("d").with(PropertyId::MaximumPacketSize, 17_u32));
    bench.expect_refusal("d", ReasonCode::UseAnotherServer);
}

#[test]
fn a_broker_may_keep_its_reasons_to_itself() {
    let reads = |packet: &Packet| {
        packet.properties().is_some_and(|all| all.contains(PropertyId::ReasonString))
    };
    for reason_strings in [true, false] {
        let mut bench = Bench::with(Config { reason_strings, ..Config::default() });
        bench.join("a");
        bench.send("a", Connect::new("a"));
        assert_eq!(reads(&bench.expect("a")), reason_strings);
        bench.start("b", Connect::new("b").with(PropertyId::AuthenticationMethod, "x"));
        assert_eq!(reads(&bench.expect("b")), reason_strings);
    }
}

#[test]
fn nothing_is_announced_or_granted_that_cannot_be() {
    let none =
        Config { receive_maximum: 0, maximum_packet_size: 0, send_window: 0, ..Config::default() };
    let mut bench = Bench::with(none);
    let connack = bench.connect("a", Connect::new("a"));
    assert_eq!(connack.properties.number(PropertyId::ReceiveMaximum), Some(1));
    assert_eq!(connack.properties.number(PropertyId::MaximumPacketSize), Some(1));
    bench.subscribe_with("a", Subscribe::new(9, "a", Q1).and("b", options(Q0, |_| ())));
    bench.publish("a", message("a"));
    assert_eq!(text(&bench.expect_publish("a")), "a");
}

#[test]
fn a_broker_that_ends_opens_nothing_more() {
    let mut bench = Bench::new();
    bench.join("a");
    bench.stop();
    bench.expect_disconnect("a", ReasonCode::ServerShuttingDown);
    bench.open("b");
    bench.expect_close("b");
}
