use crate::trace::{Event, parse};

use super::check::{Check, Kind};
use super::difference::Seen;
use super::people::People;
use super::sight::{Field, Fields};

/// Two clients, of which alice has subscribed.
const BEGINNING: &str = r#"0.000 alice || opened
0.000 alice -> CONNECT client_id="alice" clean_start
0.000 alice <- CONNACK 0x00 receive_maximum=100 maximum_packet_size=16777216 topic_alias_maximum=100
0.000 alice -> SUBSCRIBE id=1 "t" qos=1
0.000 alice <- SUBACK id=1 0x01
0.000 bob || opened
0.000 bob -> CONNECT client_id="bob" clean_start
0.000 bob <- CONNACK 0x00 receive_maximum=100 maximum_packet_size=16777216 topic_alias_maximum=100
"#;

fn trace(rest: &str) -> Vec<Event> {
    parse(&format!("{BEGINNING}{rest}")).unwrap()
}

/// What shows the fault that was found at the last event of a trace.
fn check(rest: &str, expected: &str) -> Option<Check> {
    let trace = trace(rest);
    let people = People::of(&trace, &[], Vec::new());
    let seen = Seen { trace: &trace, needs: &[], people: &people, expected };
    seen.check(Some(trace.len() - 1))
}

fn fields<const N: usize>(packet: &str, fields: [(&'static str, Field); N]) -> Fields {
    let mut all = Fields::from(fields);
    all.insert("packet", Field::Text(packet.to_owned()));
    all
}

fn message<const N: usize>(payload: &'static str, more: [(&'static str, Field); N]) -> Fields {
    let mut all = fields("PUBLISH", more);
    all.insert("topic", Field::Text("t".to_owned()));
    all.insert("payload", Field::Bytes(payload.into()));
    all
}

#[test]
fn a_field_that_is_wrong_is_looked_for_and_the_right_one() {
    let check = check(
        "0.000 bob -> PUBLISH \"t\" payload=\"m\"\n0.000 alice <- PUBLISH \"t\" retain payload=\"m\"\n",
        "RETAIN 0",
    )
    .unwrap();
    assert_eq!((check.kind, &*check.on, check.is_elsewhere), (Kind::Comes, "alice", false));
    assert_eq!(check.wrong, [message("m", [("retain", Field::Flag(true))])]);
    assert_eq!(check.right, [message("m", [("retain", Field::Flag(false))])]);
}

#[test]
fn what_does_not_come_is_looked_for() {
    let check = check(
        "0.000 bob -> PUBLISH \"t\" payload=\"m\"\n5.000 alice || silent for 5.000 s\n",
        "PUBLISH \"t\" payload=\"m\"",
    )
    .unwrap();
    assert_eq!((check.kind, check.wrong.len()), (Kind::Lacks, 0));
    assert_eq!(check.right, [message("m", [])]);
    assert_eq!(check.within.as_secs(), 5);
}

#[test]
fn what_comes_though_nothing_should_is_looked_for() {
    let check = check("0.000 alice <- PINGRESP\n", "no more packets").unwrap();
    assert_eq!((check.kind, check.right.len()), (Kind::Comes, 0));
    assert_eq!(check.wrong, [fields("PINGRESP", [])]);
}

#[test]
fn a_connection_that_is_open_and_has_to_end_may_end_in_any_way() {
    let check = check(
        "0.000 bob -> BYTES c1 00\n0.000 bob <- PINGRESP\n5.000 bob || silent for 5.000 s\n",
        "the connection closed",
    )
    .unwrap();
    assert_eq!(check.kind, Kind::Lacks);
    assert_eq!(check.right.len(), 3);
    assert_eq!(check.right[0], fields("closed", []));
    // The reference sends no PINGRESP, so none has to come.
    assert_eq!(check.common.iter().filter(|it| it.is_none()).count(), 1);
}

#[test]
fn messages_in_the_wrong_order_are_looked_for_whichever_they_are() {
    let sent = "0.000 bob -> PUBLISH \"t\" payload=\"1\"\n0.000 bob -> PUBLISH \"t\" payload=\"2\"\n\
                0.000 bob -> PUBLISH \"t\" payload=\"3\"\n";
    let came = |order: &str| {
        let line = |payload: char| format!("0.000 alice <- PUBLISH \"t\" payload=\"{payload}\"\n");
        let came: String = order.chars().map(line).collect();
        check(&format!("{sent}{came}"), "the messages in order")
    };
    let all = came("132").unwrap();
    assert_eq!((all.kind, all.right.len()), (Kind::Order, 3));
    // Of these, one has not come: only that it was to come first can be told.
    let two = came("13").unwrap();
    assert_eq!(two.kind, Kind::Order);
    assert_eq!(two.right, [message("2", []), message("3", [])]);
    assert!(came("123").is_none());
}

#[test]
fn what_comes_too_early_is_so_before_the_reference_sends_it() {
    let will = "0.000 carol || opened\n\
                0.000 carol -> CONNECT client_id=\"carol\" clean_start session_expiry_interval=60 \
                will.topic=\"t\" will.payload=\"w\" will.will_delay_interval=4\n\
                0.000 carol <- CONNACK 0x00\n0.000 carol || closed\n";
    let early = format!("{will}1.000 alice <- PUBLISH \"t\" payload=\"w\"\n");
    let check = check(&early, "no Will before its delay").unwrap();
    assert_eq!(check.kind, Kind::Comes);
    let before = check.before.unwrap().as_secs_f64();
    assert!((2.0..3.0).contains(&before), "{before}");
    assert!(check.within > std::time::Duration::from_secs(4));
}

#[test]
fn what_comes_a_little_before_the_reference_sends_it_is_not_early() {
    let kept = "0.000 carol || opened\n0.000 carol -> CONNECT client_id=\"carol\" clean_start keep_alive=2\n\
                0.000 carol <- CONNACK 0x00\n";
    let ended = |code: &str| {
        format!(
            "{kept}2.990 carol <- DISCONNECT {code}\n2.990 carol || closed by the broker (end of stream)\n"
        )
    };
    assert!(check(&ended("0x8d"), "the connection closed").is_none());
    // Nor is the end that follows what is wrong.
    let wrong = check(&ended("0x8e"), "DISCONNECT 0x8D").unwrap();
    assert_eq!(wrong.wrong[0]["packet"], Field::Text("DISCONNECT".to_owned()));
}

#[test]
fn an_identifier_that_is_in_use_is_looked_for_whatever_it_is() {
    let publish = |payload: &str, id: u16| {
        format!(
            "0.000 bob -> PUBLISH \"t\" qos=1 id={id} payload=\"{payload}\"\n0.000 bob <- PUBACK id={id}\n\
             0.000 alice <- PUBLISH \"t\" qos=1 id=7 payload=\"{payload}\"\n"
        )
    };
    let check = check(&(publish("1", 1) + &publish("2", 2)), "an unused identifier").unwrap();
    let [wrong] = &*check.wrong else { panic!("{check:?}") };
    assert!(matches!(&wrong["id"], Field::IdOf(label) if *label == "m5"), "{wrong:?}");
    assert!(matches!(&check.right[0]["id"], Field::NotIdOf(label) if *label == "m5"));
}

#[test]
fn a_trace_as_the_reference_has_it_shows_no_fault() {
    let rest = "0.000 bob -> PUBLISH \"t\" payload=\"m\"\n0.000 alice <- PUBLISH \"t\" payload=\"m\"\n\
                0.000 alice -> PINGREQ\n0.000 alice <- PINGRESP\n";
    assert!(check(rest, "anything").is_none());
}

#[test]
fn where_the_place_shows_nothing_the_first_difference_does() {
    let rest = "0.000 bob -> PUBLISH \"t\" payload=\"m\"\n0.000 alice <- PUBLISH \"t\" dup retain payload=\"m\"\n\
                0.000 alice -> PINGREQ\n0.000 alice <- PINGRESP\n";
    assert!(check(rest, "anything").unwrap().is_elsewhere);
}

#[test]
fn a_limit_that_the_broker_announces_is_needed_where_it_makes_the_difference() {
    let connack = "0.000 carol || opened\n0.000 carol -> CONNECT client_id=\"carol\" clean_start\n\
                   0.000 carol <- CONNACK 0x00 maximum_qos=0\n";
    let publish =
        "0.000 carol -> PUBLISH \"t\" qos=1 id=1 payload=\"m\"\n0.000 carol <- PUBACK id=1\n";
    let trace = parse(&format!("{connack}{publish}")).unwrap();
    let people = People::of(&trace, &[], Vec::new());
    let expected = "the connection closed";
    let seen = Seen { trace: &trace, needs: &[], people: &people, expected };
    let check = seen.check(None).unwrap();
    assert_eq!(check.wrong, [fields("PUBACK", [("id", Field::Number(1))])]);
    assert_eq!(seen.limits(&check)["maximum_qos"], Field::Number(0));
    assert_eq!(seen.limits(&check)["receive_maximum"], Field::Given(false));
}
