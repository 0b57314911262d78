use reference_broker::codec::{PublishAck, ReasonCode};
use reference_broker::core::Config;

use super::super::super::Observed;
use super::*;
use crate::script::parse;
use crate::trace::Ending;

const SCRIPT: &str = r#"a || opened
a -> CONNECT client_id="a" clean_start
a -> PUBLISH "t" qos=2 id=1 payload="m1"
a -> PUBLISH "t" qos=2 id=1 dup payload="m1"
"#;

/// What is told of a broker that is seen to do otherwise than the embedded one as `change` has it.
fn told(change: impl Fn(&mut Played)) -> Option<String> {
    told_of(SCRIPT, change)
}

fn told_of(script: &str, change: impl Fn(&mut Played)) -> Option<String> {
    told_besides("", script, change)
}

/// The same beside an embedded broker that takes these choices.
fn told_besides(choices: &str, script: &str, change: impl Fn(&mut Played)) -> Option<String> {
    let script = parse(script).unwrap();
    let (config, whole): (_, Variant) = (Config::default(), choices.parse().unwrap());
    let seeing = Seeing { config: &config, view: Observed::by_class, place: None };
    let mut other = seeing.played(&script, &whole);
    change(&mut other);
    left_open(&script, &whole, seeing, &other).map(|it| it.name)
}

fn ends(played: &mut Played, step: usize) {
    let keep = played.steps.iter().take_while(|at| **at < step).count() + 1;
    played.trace.truncate(keep);
    played.steps.truncate(keep);
    let mut event = played.trace[keep - 1].clone();
    event.what = What::ClosedByBroker(Ending::EndOfStream);
    played.trace.push(event);
    played.steps.push(step);
}

#[test]
fn who_breaks_a_rule_may_be_closed_upon_and_who_breaks_none_may_not() {
    assert_eq!(told(|_| ()), None);
    assert_eq!(told(|played| ends(played, 4)).as_deref(), Some("closes-for-MQTT-4.4.0-1"));
    assert_eq!(told(|played| ends(played, 3)), None);
}

#[test]
fn a_refusal_is_left_to_the_broker_if_its_code_says_so() {
    let refused = |reason| {
        told(move |played| {
            let acks = played.trace.iter_mut().filter_map(|event| match &mut event.what {
                What::Received(Packet::PubRec(ack)) => Some(ack),
                _ => None,
            });
            acks.for_each(|ack| *ack = PublishAck { reason, ..PublishAck::new(1) });
        })
    };
    assert_eq!(refused(ReasonCode::NotAuthorized).as_deref(), Some("refuses-by-PUBREC"));
    assert_eq!(refused(ReasonCode::PacketIdentifierInUse), None);
}
/// Leaves out what a connection gets with this payload.
fn without(played: &mut Played, connection: &str, payload: &str) {
    let is_it = |event: &Event| match &event.what {
        What::Received(Packet::Publish(publish)) => {
            event.probe == connection && publish.payload == payload.as_bytes()
        }
        _ => false,
    };
    let events = played.trace.drain(..).zip(played.steps.drain(..));
    let kept: Vec<_> = events.filter(|(event, _)| !is_it(event)).collect();
    (played.trace, played.steps) = kept.into_iter().unzip();
}

#[test]
fn a_close_may_be_seen_later_than_what_it_is_for() {
    let script = format!("{SCRIPT}b || opened\n");
    let late = |played: &mut Played| {
        ends(played, 4);
        played.steps.last_mut().into_iter().for_each(|step| *step = 5);
    };
    assert_eq!(told_of(&script, late).as_deref(), Some("closes-for-MQTT-4.4.0-1"));
}

#[test]
fn what_a_member_had_need_not_go_to_another() {
    let script = |filter: &str| {
        format!(
            r#"p || opened
p -> CONNECT client_id="p" clean_start
a || opened
a -> CONNECT client_id="a" clean_start
a -> SUBSCRIBE id=1 "$share/g/t" qos=1
p -> PUBLISH "t" qos=1 id=1 payload="m1"
b || opened
b -> CONNECT client_id="b" clean_start
b -> SUBSCRIBE id=1 "{filter}" qos=1
a || half closed
p -> PUBLISH "t" retain payload="m2"
"#
        )
    };
    let lost = |played: &mut Played| without(played, "b", "m1");
    let name = told_of(&script("$share/g/t"), lost);
    assert_eq!(name.as_deref(), Some("keeps-what-a-lost-member-had"));
    let lost = |played: &mut Played| without(played, "b", "m2");
    assert_eq!(told_of(&script("t"), lost), None);
}

#[test]
fn a_client_that_takes_an_identifier_twice_may_get_either_message() {
    let script = r#"a || opened
a -> CONNECT client_id="a" clean_start
a -> SUBSCRIBE id=1 "t" qos=0
a -> PUBLISH "t" qos=2 id=1 payload="m1"
a -> PUBLISH "t" qos=2 id=1 payload="m2"
a -> PUBREL id=1
"#;
    let says = |payload: &'static str| {
        move |played: &mut Played| {
            for event in &mut played.trace {
                if let What::Received(Packet::Publish(publish)) = &mut event.what {
                    publish.payload = payload.into();
                }
            }
        }
    };
    let told = |payload| told_besides("?hands-on-at-release", script, says(payload));
    assert_eq!(told("m2").as_deref(), Some("takes-the-later-message"));
    assert_eq!(told("m3"), None);
}

#[test]
fn a_message_without_lifetime_may_come_or_not() {
    let script = |lifetime: u32| {
        format!(
            "a || opened\na -> CONNECT client_id=\"a\" clean_start\n\
             a -> SUBSCRIBE id=1 \"t\" qos=0\n\
             a -> PUBLISH \"t\" message_expiry_interval={lifetime} payload=\"m1\"\n"
        )
    };
    let lost = |played: &mut Played| without(played, "a", "m1");
    assert_eq!(told_of(&script(0), lost).as_deref(), Some("hands-on-without-lifetime"));
    assert_eq!(told_of(&script(60), lost), None);
    let without_lifetime = |played: &mut Played| {
        for event in &mut played.trace {
            if let What::Received(Packet::Publish(publish)) = &mut event.what {
                publish.properties.retain(|it| it.id != PropertyId::MessageExpiryInterval);
            }
        }
    };
    let told = told_of(&script(0), without_lifetime);
    assert_eq!(told.as_deref(), Some("leaves-out-no-lifetime"));
    assert_eq!(told_of(&script(60), without_lifetime), None);
}

#[test]
fn what_stands_before_a_wrong_filter_may_be_taken() {
    let script = r#"a || opened
a -> CONNECT client_id="a" session_expiry_interval=60
a -> SUBSCRIBE id=1 "t" qos=0 "t#" qos=0
a.2 || opened
a.2 -> CONNECT client_id="a" session_expiry_interval=60
b || opened
b -> CONNECT client_id="b" clean_start
b -> PUBLISH "t" payload="m1"
"#;
    let gets = |played: &mut Played| {
        let mut event = played.trace[played.trace.len() - 1].clone();
        "a.2".clone_into(&mut event.probe);
        event.what = What::Received(Publish::new("t", "m1").into());
        played.trace.push(event);
        played.steps.push(8);
    };
    let told = |script: &str| told_besides("?closes-for-bad-filters", script, gets);
    assert_eq!(told(script).as_deref(), Some("takes-what-came-before"));
    assert_eq!(told(&script.replace("t#", "u/#")), None);
}

#[test]
fn who_names_very_many_levels_may_be_closed_upon() {
    let script = |levels: usize| {
        let topic = "/".repeat(levels);
        format!(
            "a || opened\na -> CONNECT client_id=\"a\" clean_start\n\
             a -> SUBSCRIBE id=1 \"{topic}\" qos=0\n"
        )
    };
    let closes = |played: &mut Played| ends(played, 3);
    assert_eq!(told_of(&script(200), closes).as_deref(), Some("limits-levels"));
    assert_eq!(told_of(&script(20), closes), None);
}

#[test]
fn topics_that_begin_with_a_dollar_are_the_brokers_own() {
    let script = r#"a || opened
a -> CONNECT client_id="a" clean_start
a -> SUBSCRIBE id=1 "TOPIC" qos=0
a -> PUBLISH "TOPIC" payload="m1"
"#;
    let drops = |played: &mut Played| {
        let is_kept = |event: &Event| !matches!(event.what, What::Received(Packet::Publish(_)));
        let kept: Vec<_> = played.trace.iter().map(is_kept).collect();
        let (mut events, mut steps) = (kept.iter(), kept.iter());
        played.trace.retain(|_| *events.next().unwrap());
        played.steps.retain(|_| *steps.next().unwrap());
    };
    let choice = "?hands-dollar-topics-on";
    let own = told_besides(choice, &script.replace("TOPIC", "$SYS/a"), drops);
    assert_eq!(own.as_deref(), Some("keeps-dollar-topics-to-itself"));
    assert_eq!(told_besides(choice, &script.replace("TOPIC", "a"), drops), None);
}

#[test]
fn a_will_that_waits_after_its_session_is_known_by_that() {
    let script = r#"a || opened
a -> CONNECT client_id="a" clean_start
a -> SUBSCRIBE id=1 "w" qos=0
b || opened
b -> CONNECT client_id="b" clean_start will.topic="w" will.payload="m1" will.will_delay_interval=2
b || closed
"#;
    let told = |text: &str| {
        let (script, config) = (parse(text).unwrap(), Config::default());
        let seeing = Seeing { config: &config, view: Observed::by_class, place: None };
        let whole = Variant::default();
        let mut other = seeing.played(&script, &whole);
        let is_will = |event: &Event| matches!(&event.what, What::Received(Packet::Publish(_)));
        let at = other.trace.iter().position(is_will).unwrap();
        other.trace.remove(at);
        other.steps.remove(at);
        hidden(&script, &whole, seeing, &other).map(|it| it.id)
    };
    assert_eq!(told(script), Some("3.1/will-waits-though-session-ends"));
    assert_eq!(told(&script.replace("will.will_delay_interval=2", "")), None);
}

#[test]
fn a_client_that_takes_too_little_for_a_connack_may_be_closed_on() {
    let script = |limit: u32| {
        format!(
            "a || opened\na -> CONNECT client_id=\"\" clean_start maximum_packet_size={limit}\n"
        )
    };
    let closes = |played: &mut Played| {
        played.trace.retain(|event| !matches!(event.what, What::Received(_)));
        played.steps.truncate(played.trace.len());
        let mut end = played.trace.last().unwrap().clone();
        end.what = What::ClosedByBroker(Ending::EndOfStream);
        played.trace.push(end);
        played.steps.push(2);
    };
    let told = |limit| told_of(&script(limit), closes);
    assert_eq!(told(60).as_deref(), Some("closes-where-connack-is-too-large"));
    assert_eq!(told(1_000), None);
}
