//! Scripts as text.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{ConnAck, Packet, PacketType, Properties, ReasonCode};
use thiserror::Error;

use crate::trace::{self, Budget, Event, ParseError, What};

use super::conditions::{need_of, word_of};
use super::from_trace::{act_of, from_trace};
use super::{Acknowledgement, Act, Alteration, Change, Script, Step};

/// The packets that acknowledge messages of the broker.
const ACKNOWLEDGEMENTS: [PacketType; 3] =
    [PacketType::PubAck, PacketType::PubRec, PacketType::PubComp];

/// Why a text is no script.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a script. Times are passed over, and so is what the broker did.
///
/// # Errors
///
/// The first line that is no step, and why.
pub fn parse(text: &str) -> Result<Script, ScriptError> {
    parse_with(text, Budget::default())
}

/// As [`parse`], where runs may stand for `limit` bytes in all.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_within(text: &str, limit: usize) -> Result<Script, ScriptError> {
    parse_with(text, Budget::new(limit))
}

fn parse_with(text: &str, mut budget: Budget) -> Result<Script, ScriptError> {
    let mut script = Script::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = step(line, &mut budget);
        let step = step.map_err(|problem| ScriptError { line: index + 1, problem })?;
        script.steps.extend(step);
    }
    Ok(script)
}

/// Reads a script or a trace, be it a kept one with a heading between lines of `---`. In a trace
/// acknowledgements name the messages that they were for, and what time passed does so again.
///
/// # Errors
///
/// The first line that is no step, and why.
pub fn read(text: &str) -> Result<Script, ScriptError> {
    let (skipped, rest) = without_heading(text);
    match trace::parse(rest) {
        Ok(events) if !events.is_empty() => Ok(from_trace(&events)),
        _ => parse(rest).map_err(|error| ScriptError { line: error.line + skipped, ..error }),
    }
}

/// How many lines of a heading there are, and what follows them.
fn without_heading(text: &str) -> (usize, &str) {
    let heading = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    heading.map_or((0, text), |(heading, rest)| (heading.lines().count() + 2, rest))
}

/// One step; none where the line tells what the broker did.
fn step(line: &str, budget: &mut Budget) -> Result<Option<Step>, String> {
    let line = without_time(line);
    let mut left = *budget;
    let (connection, rest) = name(line, &mut left)?;
    let (mark, rest) = split(rest);
    let own = match (mark, rest) {
        ("||", "acknowledges") => Some(Act::Acknowledges),
        ("||", "withholds") => Some(Act::Withholds),
        ("||", rest) if rest.starts_with("cuts ") => Some(Act::Cuts(numbers(split(rest).1)?)),
        ("||", rest) if rest.starts_with("joins ") => Some(joins(split(rest).1)?),
        ("||", rest) if rest.starts_with("alters ") => Some(alters(split(rest).1, &mut left)?),
        ("||", rest) if rest.starts_with("needs ") => Some(Act::Needs(need_of(split(rest).1)?)),
        ("||", rest) if rest.starts_with("announces ") => {
            Some(announced(split(rest).1, &mut left)?)
        }
        ("->", rest) => acknowledgement(rest, &mut left)?,
        _ => None,
    };
    if let Some(act) = own {
        *budget = left;
        return Ok(Some(Step::new(&connection, act)));
    }
    let event = event(line, budget)?;
    Ok(act_of(&event.what).map(|act| Step { connection: event.probe, act }))
}

fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let number =
        |word: &str| word.parse().map_err(|_| format!("'{word}' is not a number of bytes"));
    text.split_whitespace().map(number).collect()
}

fn joins(count: &str) -> Result<Act, String> {
    let count = count.parse().ok().filter(|count| *count > 0);
    count
        .map(Act::Joins)
        .ok_or_else(|| "'joins' takes a number of packets, such as 'joins 3'".to_owned())
}

/// A change to one field of a packet.
fn alters(text: &str, budget: &mut Budget) -> Result<Act, String> {
    let (field, rest) = trace::text_at_start(text, budget)?;
    let (word, after) = split(rest);
    let (number, rest) = match word.parse() {
        Ok(number @ 1..) if word.bytes().all(|byte| byte.is_ascii_digit()) => (number, after),
        _ => (1, rest),
    };
    let signed = rest.starts_with(['+', '-']).then(|| rest.parse().ok()).flatten();
    let change = match (rest, signed) {
        ("gone", _) => Change::Gone,
        ("twice", _) => Change::Twice,
        (_, Some(more)) => Change::More(more),
        _ => match trace::bytes_at_start(rest, budget) {
            Ok((bytes, "")) => Change::Bytes(bytes),
            _ => return Err(format!("'{rest}' is no change: a value, +1, -1, gone or twice")),
        },
    };
    Ok(Act::Alters(Alteration { field, number, change }))
}

/// What a broker has to announce.
fn announced(properties: &str, budget: &mut Budget) -> Result<Act, String> {
    match event(&format!("x <- CONNACK 0x00 {properties}"), budget)?.what {
        What::Received(Packet::ConnAck(connack)) => Ok(Act::Announces(connack.properties)),
        _ => Err(format!("'{properties}' is nothing that CONNACK announces")),
    }
}

/// The event that a line without its time tells.
fn event(line: &str, budget: &mut Budget) -> Result<Event, String> {
    trace::parse_line(&format!("0.000 {line}"), budget).map_err(|error| {
        let ParseError { column, problem, .. } = error;
        format!("column {}: {problem}", column.saturating_sub("0.000 ".len()))
    })
}

/// The connection that a line begins with, and what follows it.
fn name<'a>(line: &'a str, budget: &mut Budget) -> Result<(Cow<'a, str>, &'a str), String> {
    if !line.starts_with('"') {
        let (name, rest) = split(line);
        return Ok((name.into(), rest));
    }
    let (name, rest) = trace::text_at_start(line, budget)?;
    Ok((name.into(), rest))
}

/// A connection as it is written: quoted where it would be taken for something else.
fn name_text(name: &str) -> String {
    let bare = trace::bare_name(name).filter(|name| !name.starts_with('#') && !is_time(name));
    bare.map_or_else(|| trace::quoted_name(name), str::to_owned)
}

fn without_time(line: &str) -> &str {
    let (first, rest) = split(line);
    if is_time(first) { rest } else { line }
}

fn is_time(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// An acknowledgement by the message meant; none where the packet is another one.
fn acknowledgement(text: &str, budget: &mut Budget) -> Result<Option<Act>, String> {
    let (name, rest) = split(text);
    let packet = ACKNOWLEDGEMENTS.into_iter().find(|packet| packet.name() == name);
    let (Some(packet), Some(rest)) = (packet, rest.strip_prefix('@')) else { return Ok(None) };
    let (payload, rest) = message(rest, budget)?;
    let line = format!("x -> {name} id=1 {rest}");
    match event(&line, budget)?.what {
        What::Sent(Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) => {
            let (reason, properties) = (ack.reason, ack.properties);
            Ok(Some(Act::Acknowledge(Acknowledgement { packet, payload, reason, properties })))
        }
        _ => Err(format!("'{text}' is no acknowledgement")),
    }
}

/// The payload that names a message, and what follows it.
fn message<'a>(text: &'a str, budget: &mut Budget) -> Result<(Bytes, &'a str), String> {
    if text.starts_with('"') || text.starts_with('x') && is_hex(&split(text).0[1..]) {
        return trace::bytes_at_start(text, budget);
    }
    let (word, rest) = split(text);
    match is_word(word.as_bytes()) {
        true => Ok((Bytes::copy_from_slice(word.as_bytes()), rest)),
        false => Err(format!("'@{word}' names no message: it is @ and a payload")),
    }
}

fn is_hex(digits: &str) -> bool {
    // Those of the first part: others may follow.
    let digits = digits.split(['*', '+']).next().unwrap_or_default();
    digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a payload can stand without quotes: letters and digits, which cannot be taken for hex.
fn is_word(payload: &[u8]) -> bool {
    !payload.is_empty()
        && payload.first() != Some(&b'x')
        && payload.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A script as text, a line a step; [`parse`] gives it back.
pub fn to_text(script: &Script) -> String {
    let width = trace::column_width(script.steps.iter().map(|step| name_text(&step.connection)));
    let mut text = String::new();
    for Step { connection, act } in &script.steps {
        let _ = writeln!(text, "{:<width$} {}", name_text(connection), act_text(act));
    }
    text
}

/// What is done, with its mark.
pub(crate) fn act_text(act: &Act) -> String {
    let what = match act {
        Act::Acknowledges => return "|| acknowledges".to_owned(),
        Act::Withholds => return "|| withholds".to_owned(),
        Act::Cuts(places) => {
            let places: Vec<_> = places.iter().map(ToString::to_string).collect();
            return format!("|| cuts {}", places.join(" "));
        }
        Act::Joins(count) => return format!("|| joins {count}"),
        Act::Alters(alteration) => return format!("|| alters {alteration}"),
        Act::Needs(need) => return format!("|| needs {}", word_of(*need)),
        Act::Announces(properties) => {
            return format!("|| announces {}", announced_text(properties));
        }
        Act::Acknowledge(acknowledgement) => return acknowledgement_text(acknowledgement),
        Act::Open => What::Opened,
        Act::Send(packet) => What::Sent(packet.clone()),
        Act::SendBytes(bytes) => What::SentBytes(bytes.clone()),
        Act::HalfClose => What::HalfClosed,
        Act::Close => What::ClosedByProbe,
        Act::Wait(time) => What::Waited(*time),
    };
    let event = Event { at: Duration::ZERO, probe: "x".to_owned(), what };
    let line = trace::event_line(&event, 1);
    line.split_once("x ").map_or(line.clone(), |(_, act)| act.to_owned())
}

fn announced_text(properties: &Properties) -> String {
    let mut connack = ConnAck::new(false, ReasonCode::Success);
    let bare = trace::packet_text(&connack.clone().into());
    connack.properties = properties.clone();
    let text = trace::packet_text(&connack.into());
    text.strip_prefix(&bare).unwrap_or(&text).trim_start().to_owned()
}

fn acknowledgement_text(acknowledgement: &Acknowledgement) -> String {
    let Acknowledgement { packet, payload, reason, properties } = acknowledgement;
    let ack = reference_broker::codec::PublishAck {
        packet_id: 1,
        reason: *reason,
        properties: properties.clone(),
    };
    let whole = match packet {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        _ => Packet::PubComp(ack),
    };
    let text = trace::packet_text(&whole);
    let rest = text.split_once(" id=1").map_or("", |(_, rest)| rest);
    let named = match is_word(payload) {
        true => String::from_utf8_lossy(payload).into_owned(),
        false => trace::bytes_literal(payload),
    };
    format!("-> {} @{named}{rest}", packet.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"broker  || needs users
broker  || announces receive_maximum=2 server_keep_alive=5
alice   || opened
alice   -> CONNECT     client_id="~alice" clean_start session_expiry_interval=60
alice   || acknowledges
alice   -> SUBSCRIBE   id=1 "~/a/#" qos=2
alice   || withholds
alice   -> PUBACK @m1
alice   -> PUBREC @"of several words" 0x80 (unspecified error) reason_string="no"
alice   -> PUBCOMP @x00ff
alice   || alters "Topic Alias" xffff
alice   || alters "User Property" 2 gone
alice   || alters "Remaining Length" -1
alice   || alters "Topic Name" "/"*70000
alice   -> BYTES 10 00
alice   || waited 1.500 s
alice   || half closed
alice.2 || opened
alice.2 || closed
"#;

    #[test]
    fn what_is_written_is_read_back() {
        let script = parse(SCRIPT).unwrap();
        assert_eq!(to_text(&script), SCRIPT);
        assert_eq!(parse(&to_text(&script)).unwrap(), script);
        assert_eq!(script.steps.len(), SCRIPT.lines().count());
        assert_eq!(script.steps[17].client(), "alice");
    }

    #[test]
    fn times_and_what_the_broker_did_are_passed_over() {
        let text = "# a comment\n\n  0.000 a || opened\n 0.001 a <- CONNACK 0x00 (success)\n";
        let script = parse(text).unwrap();
        assert_eq!(script.steps, [Step::new("a", Act::Open)]);
    }

    #[test]
    fn kept_traces_are_scripts() {
        let kept = "---\nsource: a.rs\n---\n  0.000 a || opened\n  0.000 a <- PUBLISH \"t\" qos=1 id=7 \
                    payload=\"m1\"\n  0.000 a -> PUBACK id=7\n";
        assert_eq!(to_text(&read(kept).unwrap()), "a || opened\na -> PUBACK @m1\n");
        assert_eq!(to_text(&read("a -> PUBACK @m1\n").unwrap()), "a -> PUBACK @m1\n");
        assert_eq!(read("---\nsource: a.rs\n---\na || exploded").unwrap_err().line, 4);
    }

    #[test]
    fn names_that_look_like_something_else_are_quoted() {
        let text = concat!(
            "\"1.5\"   || opened\n",
            "\"#a\"    || opened\n",
            "\"a b\"   || acknowledges\n",
            "\"a b\"   -> PUBACK @m1\n",
            "\"\\u{a}\" || closed\n",
            "\"\"      || cuts 1\n",
            "||      || opened\n",
        );
        let script = parse(text).unwrap();
        let names: Vec<&str> = script.steps.iter().map(|step| &*step.connection).collect();
        assert_eq!(names, ["1.5", "#a", "a b", "a b", "\n", "", "||"]);
        assert_eq!(to_text(&script), text);
    }

    #[test]
    fn a_message_may_be_named_in_parts() {
        let text = "a -> PUBACK @x6f+x00*104+x6f\n";
        let script = parse(text).unwrap();
        assert_eq!(to_text(&script), text);
    }

    #[test]
    fn a_long_name_makes_no_other_line_long() {
        let script = parse("\"ab\"*40000 || opened\na || opened\n").unwrap();
        let text = to_text(&script);
        assert!(text.len() < 81_500, "{} bytes", text.len());
        assert_eq!(parse(&text), Ok(script));
    }

    #[test]
    fn runs_of_all_lines_are_counted_together() {
        let text = "a -> BYTES 00*10\na -> PUBACK @x00*10\na -> PUBLISH \"a\"*10\n";
        assert!(parse_within(text, 30).is_ok());
        let problem = "column 20: the runs of this text stand for more than 29 bytes";
        let error = parse_within(text, 29).unwrap_err();
        assert_eq!(error, ScriptError { line: 3, problem: problem.to_owned() });
        assert_eq!(parse_within(text, 19).unwrap_err().line, 2);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("a || opened\na || exploded", "line 2: column 6: 'exploded' is nothing that happens"),
            ("a -> PUBACK @", "line 1: '@' names no message: it is @ and a payload"),
            ("a -> PUBACK @m1 x", "line 1: column 18: PUBACK has no 'x'"),
            (
                "a || needs love",
                "line 1: unknown need 'love': expected one of users, SCRAM, redirection",
            ),
            (
                "a || alters \"Topic Alias\" 0 gone",
                "line 1: '0 gone' is no change: a value, +1, -1, gone or twice",
            ),
            ("a -> PUBREL @m1", "line 1: column 13: PUBREL has no '@m1'"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
