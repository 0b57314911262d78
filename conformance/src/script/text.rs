//! Scripts as text.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{ConnAck, Packet, PacketType, Properties, ReasonCode};
use thiserror::Error;

use crate::trace::{self, Event, ParseError, What};

use super::conditions::{need_of, word_of};
use super::from_trace::{act_of, from_trace};
use super::{Acknowledgement, Act, Script, Step};

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
    let mut script = Script::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = step(line).map_err(|problem| ScriptError { line: index + 1, problem })?;
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
fn step(line: &str) -> Result<Option<Step>, String> {
    let line = without_time(line);
    let (connection, rest) = split(line);
    let (mark, rest) = split(rest);
    let own = match (mark, rest) {
        ("||", "acknowledges") => Some(Act::Acknowledges),
        ("||", "withholds") => Some(Act::Withholds),
        ("||", rest) if rest.starts_with("needs ") => Some(Act::Needs(need_of(split(rest).1)?)),
        ("||", rest) if rest.starts_with("announces ") => Some(announced(split(rest).1)?),
        ("->", rest) => acknowledgement(rest)?,
        _ => None,
    };
    if let Some(act) = own {
        return Ok(Some(Step::new(connection, act)));
    }
    let event = event(line)?;
    Ok(act_of(&event.what).map(|act| Step { connection: event.probe, act }))
}

/// What a broker has to announce.
fn announced(properties: &str) -> Result<Act, String> {
    match event(&format!("x <- CONNACK 0x00 {properties}"))?.what {
        What::Received(Packet::ConnAck(connack)) => Ok(Act::Announces(connack.properties)),
        _ => Err(format!("'{properties}' is nothing that CONNACK announces")),
    }
}

/// The event that a line without its time tells.
fn event(line: &str) -> Result<Event, String> {
    let events = trace::parse(&format!("0.000 {line}")).map_err(|error| {
        let ParseError { column, problem, .. } = error;
        format!("column {}: {problem}", column.saturating_sub("0.000 ".len()))
    })?;
    events.into_iter().next().ok_or_else(|| "nothing".to_owned())
}

fn without_time(line: &str) -> &str {
    let (first, rest) = split(line);
    let is_time =
        first.contains('.') && first.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    if is_time { rest } else { line }
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// An acknowledgement by the message meant; none where the packet is another one.
fn acknowledgement(text: &str) -> Result<Option<Act>, String> {
    let (name, rest) = split(text);
    let packet = ACKNOWLEDGEMENTS.into_iter().find(|packet| packet.name() == name);
    let (Some(packet), Some(rest)) = (packet, rest.strip_prefix('@')) else { return Ok(None) };
    let (payload, rest) = message(rest)?;
    let line = format!("x -> {name} id=1 {rest}");
    match event(&line)?.what {
        What::Sent(Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) => {
            let (reason, properties) = (ack.reason, ack.properties);
            Ok(Some(Act::Acknowledge(Acknowledgement { packet, payload, reason, properties })))
        }
        _ => Err(format!("'{text}' is no acknowledgement")),
    }
}

/// The payload that names a message, and what follows it.
fn message(text: &str) -> Result<(Bytes, &str), String> {
    if text.starts_with('"') || text.starts_with('x') && is_hex(&split(text).0[1..]) {
        return trace::bytes_at_start(text);
    }
    let (word, rest) = split(text);
    match is_word(word.as_bytes()) {
        true => Ok((Bytes::copy_from_slice(word.as_bytes()), rest)),
        false => Err(format!("'@{word}' names no message: it is @ and a payload")),
    }
}

fn is_hex(digits: &str) -> bool {
    let digits = digits.split('*').next().unwrap_or_default();
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
    let width = script.steps.iter().map(|step| step.connection.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Step { connection, act } in &script.steps {
        let _ = writeln!(text, "{connection:<width$} {}", act_text(act));
    }
    text
}

/// What is done, with its mark.
pub(crate) fn act_text(act: &Act) -> String {
    let what = match act {
        Act::Acknowledges => return "|| acknowledges".to_owned(),
        Act::Withholds => return "|| withholds".to_owned(),
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
        assert_eq!(script.steps[13].client(), "alice");
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
    fn mistakes_are_named() {
        for (text, expected) in [
            ("a || opened\na || exploded", "line 2: column 6: 'exploded' is nothing that happens"),
            ("a -> PUBACK @", "line 1: '@' names no message: it is @ and a payload"),
            ("a -> PUBACK @m1 x", "line 1: column 18: PUBACK has no 'x'"),
            (
                "a || needs love",
                "line 1: unknown need 'love': expected one of users, SCRAM, redirection",
            ),
            ("a -> PUBREL @m1", "line 1: column 13: PUBREL has no '@m1'"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
