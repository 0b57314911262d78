use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use reference_broker::codec::{DecodeError, Fault, Packet, PropertyId, Publish, QoS};

use super::testing::events;
use super::*;

/// A line of every kind, as it is written.
const EVERY_KIND: &str = r#"   0.000  a     || opened
   0.000  a     -> CONNECT     client_id="a" clean_start keep_alive=300 user_name="me" password="\"pw\"" will.topic="w" will.payload=xff00 will.qos=1 will.retain will.will_delay_interval=5 will.user_property="k":"v" receive_maximum=100 user_property="k":"\u{a}"
   0.001  a     <- CONNACK     0x00 (success) session_present receive_maximum=100 maximum_qos=1
   0.002  alice -> CONNECT     client_id="" user_name="" password="" will.topic="" will.payload=""
   0.002  alice <- CONNACK     0x87 (not authorized)
   0.003  alice || closed by the broker (reset)
   1.234  a     -> PUBLISH     "topic/name" qos=1 id=7 dup retain topic_alias=3 payload="text"
   1.234  a     -> PUBLISH     "" topic_alias=3 payload="a"*65535
   1.234  a     -> PUBLISH     "é"*1000 correlation_data=x00*1000
   1.235  a     <- PUBACK      id=7 0x10 (no matching subscribers) reason_string=".."
   1.236  a     -> PUBREC      id=8
   1.237  a     <- PUBREL      id=8 0x92 (packet identifier not found)
   1.238  a     -> PUBCOMP     id=8 user_property="":""
   2.000  a     -> SUBSCRIBE   id=7 subscription_identifier=5 "a/b" qos=1 no_local retain_as_published retain_handling=2 "c/#" qos=0
   2.001  a     <- SUBACK      id=7 reason_string="no" 0x01 (granted QoS 1) 0x8f (topic filter invalid)
   3.000  a     -> UNSUBSCRIBE id=7 "a" "b"
   3.001  a     <- UNSUBACK    id=7 0x00 (success) 0x11 (no subscription existed)
  10.000  a     -> PINGREQ
  10.001  a     <- PINGRESP
  11.000  a     -> AUTH        0x19 (re-authenticate) authentication_method="m" authentication_data="d"
  12.000  a     -> BYTES 10 0e 00 04 61*65535
  12.000  a     -> BYTES
  12.001  a     <- BROKEN 30 ff ff ff ff  ! variable byte integer of more than four bytes at byte 1
  12.002  a     <- BROKEN 30 0a  ! packet of 12 bytes where 10 are allowed at byte 1 [PacketTooLarge 12 10]
  12.003  a     <- DISCONNECT  0x8e (session taken over) server_reference="x"
  12.004  a     -> DISCONNECT
 100.000  a     || closed by the broker (end of stream)
1000.000  a     || half closed
10000.000  a     || silent for 5.000 s
100000.123  a     || waited 2.000 s
100000.123  a     || closed
"#;

#[test]
fn every_kind_of_line_prints_back() {
    let events = parse(EVERY_KIND).unwrap();
    assert_eq!(events.len(), EVERY_KIND.lines().count());
    assert_eq!(to_text(&events), EVERY_KIND);
}

#[test]
fn a_long_name_makes_no_other_line_long() {
    let events = parse("0.000 \"ab\"*40000 || opened\n0.000 a || opened\n").unwrap();
    let text = to_text(&events);
    assert!(text.len() < 81_500, "{} bytes", text.len());
    assert_eq!(parse(&text), Ok(events));
}

#[test]
fn comments_and_blank_lines_are_skipped() {
    let events = parse("# one\n\n   \n  # two\n0.000 a || opened\r\n#\n").unwrap();
    let event = Event { at: Duration::ZERO, probe: "a".to_owned(), what: What::Opened };
    assert_eq!(events, [event]);
    assert_eq!(parse(""), Ok(Vec::new()));
    assert_eq!(to_text(&[]), "");
}

#[test]
fn lines_say_what_happened() {
    let events = parse(EVERY_KIND).unwrap();
    let fault = Fault::PacketTooLarge { size: 12, limit: 10 };
    let too_large = DecodeError { fault, offset: 1 };
    assert!(events.contains(&Event {
        at: Duration::from_millis(12_002),
        probe: "a".to_owned(),
        what: What::ReceivedBroken(Bytes::from_static(&[0x30, 0x0A]), too_large),
    }));
    let publish = Publish::new("topic/name", "text")
        .qos(QoS::AtLeastOnce, 7)
        .dup()
        .retain()
        .with(PropertyId::TopicAlias, 3);
    assert!(events.iter().any(|event| event.what == What::Sent(publish.clone().into())));
}

#[test]
fn packets_stand_in_findings_without_columns() {
    let publish = Publish::new("a/b", "x").qos(QoS::AtLeastOnce, 7);
    assert_eq!(packet_text(&publish.into()), r#"PUBLISH "a/b" qos=1 id=7 payload="x""#);
    assert_eq!(packet_text(&Packet::PingReq), "PINGREQ");
}

#[test]
fn names_that_are_not_one_word_are_quoted() {
    let named = |probe: &str| Event {
        at: Duration::from_millis(5),
        probe: probe.to_owned(),
        what: What::Opened,
    };
    let events = [named("a"), named("b c"), named("")];
    let text =
        "   0.005  a     || opened\n   0.005  \"b c\" || opened\n   0.005  \"\"    || opened\n";
    assert_eq!(to_text(&events), text);
    assert_eq!(parse(text).unwrap(), events);
}

#[test]
fn errors_name_line_and_problem() {
    let error = parse("# a trace\n0.000 a || opened\n0.001 a -> PUBLISH \"b\" colour=1\n");
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "line 3, column 24: PUBLISH has no 'colour'");
}

#[test]
fn long_lines_take_no_longer_than_their_length_asks_for() {
    // Whatever took a step per earlier byte or part would take hours here.
    let payload: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
    let text: String = (0..4_000_000_u32).map(|at| char::from(b' ' + (at % 90) as u8)).collect();
    let many = (0..100_000).fold(Publish::new("a", ""), |publish, _| {
        publish.with(PropertyId::UserProperty, ("k", "v"))
    });
    let packets = [Publish::new("a", payload.clone()), Publish::new("b", text), many];
    let mut events: Vec<Event> = packets
        .into_iter()
        .map(|packet| What::Sent(packet.into()))
        .map(|what| Event { at: Duration::ZERO, probe: "a".to_owned(), what })
        .collect();
    let what = What::SentBytes(Bytes::from(payload));
    events.push(Event { at: Duration::ZERO, probe: "a".to_owned(), what });
    let start = Instant::now();
    assert!(parse(&to_text(&events)).unwrap() == events, "the events differ");
    assert!(start.elapsed() < Duration::from_secs(60));
}

proptest! {
    #[test]
    fn events_round_trip(events in events()) {
        let text = to_text(&events);
        prop_assert_eq!(text.lines().count(), events.len(), "{}", &text);
        for line in text.lines() {
            prop_assert_eq!(line.trim_end(), line);
        }
        let parsed = parse(&text);
        prop_assert_eq!(parsed.as_ref().ok(), Some(&events), "{}\n{:?}", &text, &parsed);
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_ends_of_lines_do_not_panic(
        kind in prop::sample::select(EVERY_KIND.lines().collect::<Vec<_>>()),
        cut in any::<prop::sample::Index>(),
        end in r#"["\\ !()\[\]{}*=:xu0-9a-fé.]{0,12}"#,
        rest in any::<bool>(),
    ) {
        let mut at = cut.index(kind.len() + 1);
        while !kind.is_char_boundary(at) {
            at -= 1;
        }
        let (front, back) = kind.split_at(at);
        if let Ok(events) = parse(&format!("{front}{end}{}", if rest { back } else { "" })) {
            // What is read, however loose it was, is what is written.
            prop_assert_eq!(parse(&to_text(&events)), Ok(events));
        }
    }
}
