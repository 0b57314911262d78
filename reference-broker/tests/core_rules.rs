//! What a user may publish and subscribe to (section 4.7.3).

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, Q0, Q1, Q2, message, will};
use reference_broker::codec::{
    Connect, Packet, PublishAck, ReasonCode, Subscribe, SubscribeAck, Text,
};
use reference_broker::core::{
    Access, Action, Answer, Config, DollarTopics, Handling, Rule, RuleFilter, Users,
};

/// Connects a client that is taken for this user.
fn login(bench: &mut Bench, name: &str, connect: Connect, user: Option<&str>) {
    bench.start(name, connect);
    bench.expect_question(name);
    bench.answer(name, Answer::Accepted { user: user.map(Text::from), data: None });
    match bench.expect(name) {
        Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {}
        other => panic!("{name} expected to be accepted, not {other:?}"),
    }
}

fn rule(users: Users, action: Action, filter: &str, allow: bool) -> Rule {
    Rule { users, action, filter: RuleFilter::parse(filter).unwrap(), allow }
}

fn ruled(rules: Vec<Rule>, default_allow: bool) -> Bench {
    let access = Access { asks: true, rules, default_allow, ..Access::default() };
    let handling = Handling { dollar_topics: DollarTopics::HandedOn, ..Handling::default() };
    Bench::with(Config { access, handling, ..Config::default() })
}

/// Whether the client may publish there: its PUBACK tells.
fn may_publish(bench: &mut Bench, name: &str, topic: &str) -> bool {
    bench.send(name, message(topic).qos(Q1, 7));
    match bench.expect(name) {
        Packet::PubAck(ack) => ack.reason != ReasonCode::NotAuthorized,
        other => panic!("no PUBACK: {other:?}"),
    }
}

/// Whether the client may subscribe to it: its SUBACK tells.
fn may_subscribe(bench: &mut Bench, name: &str, filter: &str) -> bool {
    bench.send(name, Subscribe::new(7, filter, Q0));
    match bench.expect(name) {
        Packet::SubAck(ack) => !ack.reasons[0].is_error(),
        other => panic!("no SUBACK: {other:?}"),
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        rule(Users::Named("u".into()), Action::Publish, "a/secret", false),
        rule(Users::Any, Action::Publish, "a/#", true),
        rule(Users::Anonymous, Action::Both, "open", true),
        rule(Users::Named("u".into()), Action::Both, "b", true),
    ];
    let mut bench = ruled(rules, false);
    login(&mut bench, "u", Connect::new("u"), Some("u"));
    login(&mut bench, "n", Connect::new("n"), None);
    for (name, topic, allowed) in [
        ("u", "a/x", true),
        ("u", "a", true),
        ("u", "a/secret", false),
        ("n", "a/secret", true),
        ("u", "open", false),
        ("n", "open", true),
        ("u", "b", true),
        ("n", "b", false),
        ("u", "c", false),
    ] {
        assert_eq!(may_publish(&mut bench, name, topic), allowed, "{name} {topic}");
    }
    assert!(!may_subscribe(&mut bench, "u", "a/x"), "only to publish");
    assert!(may_subscribe(&mut bench, "u", "b"));
    assert!(!may_subscribe(&mut bench, "n", "b"));
    assert!(may_subscribe(&mut bench, "n", "$share/g/open"));
}

#[test]
fn a_subscription_is_judged_by_all_that_it_could_bring() {
    let deny = |filter| rule(Users::Any, Action::Both, filter, false);
    let allow = |filter| rule(Users::Any, Action::Both, filter, true);
    let mut bench =
        ruled(vec![deny("a/secret/#"), allow("a/#"), allow("+"), allow("$SYS/load")], false);
    login(&mut bench, "c", Connect::new("c"), None);
    for (filter, allowed) in [
        ("a/x", true),
        ("a/x/#", true),
        ("a", true),
        ("a/secret", false),
        ("a/secret/x", false),
        ("a/#", false),
        ("a/+", false),
        ("a/+/x", false),
        ("+/secret", false),
        ("#", false),
        ("b/x", false),
        ("+", true),
        ("+/x", false),
        ("$SYS/load", true),
        ("$SYS/#", false),
        ("$share/g/a/x", true),
        ("$share/g/a/#", false),
        ("$share/g/$SYS/load", true),
    ] {
        assert_eq!(may_subscribe(&mut bench, "c", filter), allowed, "{filter}");
    }
    let mut bench = ruled(vec![deny("a/secret")], true);
    login(&mut bench, "c", Connect::new("c"), None);
    for (filter, allowed) in [("a/+", false), ("#", false), ("a/x", true), ("$SYS/#", true)] {
        assert_eq!(may_subscribe(&mut bench, "c", filter), allowed, "{filter}");
    }
}

#[test]
fn placeholders_stand_for_one_level_of_the_right_name() {
    let filters = ["{user}/#", "u/{user}/+", "c/{client}", "x{user}"];
    let rules = filters.map(|filter| rule(Users::Any, Action::Both, filter, true));
    for (client, user, wanted) in [
        ("c1", Some("alice"), [true, true, true]),
        ("c2", None, [false, false, true]),
        ("$SYS", Some("$SYS"), [false, true, true]),
        ("+", Some("+"), [false; 3]),
        ("#", Some("#"), [false; 3]),
        ("v/t", Some("v/t"), [false; 3]),
    ] {
        let mut bench = ruled(rules.to_vec(), false);
        login(&mut bench, "c", Connect::new(client), user);
        let name = user.unwrap_or("anyone");
        let filters = [format!("{name}/#"), format!("u/{name}/t"), format!("c/{client}")];
        for (filter, wanted) in filters.iter().zip(wanted) {
            assert_eq!(may_subscribe(&mut bench, "c", filter), wanted, "{filter}");
        }
        for open in ["#", "+/t", "u/+/t", "u/#", "c/+", "c/#", "$SYS/#", "v/t", "xv"] {
            assert!(!may_subscribe(&mut bench, "c", open), "{open} to {client}");
        }
        for topic in ["v/t", "u/v/t", "c/v", "$SYS/x", "v/t/x"] {
            assert!(!may_publish(&mut bench, "c", topic), "{topic} by {client}");
        }
    }
}

#[test]
fn a_rule_that_denies_holds_for_names_that_are_no_level() {
    let rules = vec![
        rule(Users::Any, Action::Both, "secret/{user}", false),
        rule(Users::Any, Action::Both, "{user}/x", false),
    ];
    let mut bench = ruled(rules, true);
    login(&mut bench, "c", Connect::new("c"), Some("alice"));
    for (topic, allowed) in
        [("secret/alice", false), ("secret/bob", true), ("alice/x", false), ("bob/x", true)]
    {
        assert_eq!(may_publish(&mut bench, "c", topic), allowed, "{topic}");
    }
    let mut bench = ruled(vec![rule(Users::Any, Action::Both, "secret/{user}", false)], true);
    for user in ["+", "#", "a/b"] {
        login(&mut bench, "c", Connect::new(user), Some(user));
        assert!(!may_publish(&mut bench, "c", "secret/a/b"), "{user}");
        assert!(!may_subscribe(&mut bench, "c", "secret/a"), "{user}");
        assert!(may_publish(&mut bench, "c", "other"), "{user}");
    }
}

#[test]
fn a_publish_that_is_denied_reaches_nobody() {
    let rules = vec![rule(Users::Any, Action::Publish, "no/#", false)];
    for disconnects_at_qos0 in [false, true] {
        let access = Access { rules: rules.clone(), disconnects_at_qos0, ..Access::default() };
        let mut bench = Bench::with(Config { access, ..Config::default() });
        bench.join("watcher");
        bench.subscribe("watcher", "#", Q2);
        bench.join("c");
        let mut retained = message("no/t");
        retained.retain = true;
        bench.send("c", retained.clone().qos(Q1, 1));
        let denied = PublishAck::because(1, ReasonCode::NotAuthorized);
        assert_eq!(bench.expect("c"), Packet::PubAck(denied.clone())); // U-3.4.2.1-7
        bench.send("c", retained.clone().qos(Q2, 1));
        assert_eq!(bench.expect("c"), Packet::PubRec(denied)); // U-3.5.2.1-7, U-4.3.3-4
        bench.send("c", retained);
        match disconnects_at_qos0 {
            true => bench.expect_disconnect("c", ReasonCode::NotAuthorized), // U-3.14.2.1-7
            false => bench.expect_alive("c"),
        }
        bench.expect_nothing("watcher");
        bench.subscribe("watcher", "no/t", Q0);
        bench.expect_nothing("watcher");
    }
}

#[test]
fn a_subscription_that_is_denied_brings_nothing() {
    let rules = vec![rule(Users::Any, Action::Subscribe, "no/#", false)];
    let access = Access { rules, ..Access::default() };
    let mut bench = Bench::with(Config { access, ..Config::default() });
    bench.join("p");
    let mut retained = message("no/t");
    retained.retain = true;
    bench.publish_to_nobody("p", retained);
    bench.join("c");
    let options = bench::options(Q1, |_| ());
    bench.send("c", Subscribe::new(1, "no/t", Q1).and("yes", options).and("+/t", options));
    let denied = ReasonCode::NotAuthorized;
    let suback = SubscribeAck::new(1, vec![denied, ReasonCode::GrantedQoS1, denied]);
    assert_eq!(bench.expect("c"), Packet::SubAck(suback)); // U-3.9.3-5
    bench.publish_to_nobody("p", message("no/t"));
    bench.publish("p", message("yes"));
    assert_eq!(bench.payloads("c"), ["yes"]);
}

#[test]
fn a_will_that_may_not_be_published_refuses_its_connect() {
    let rules = vec![rule(Users::Named("u".into()), Action::Publish, "will", true)];
    let mut bench = ruled(rules, false);
    bench.start("c", Connect::new("c").will(will(0)));
    bench.expect_question("c");
    bench.answer("c", Answer::Accepted { user: Some("v".into()), data: None });
    bench.expect_refusal("c", ReasonCode::NotAuthorized); // MQTT-3.1.4-2
    login(&mut bench, "c", Connect::new("c").will(will(0)), Some("u"));
}
