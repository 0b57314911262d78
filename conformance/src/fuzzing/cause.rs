//! What is found, and what findings have in common.

use std::collections::BTreeSet;
use std::fmt;

use reference_broker::codec::Packet;

use crate::script::{Act, Script, Step};
use crate::trace::Event;
use crate::verdict::Finding;

use super::Input;

/// What is wrong with a broker.
#[derive(Clone, Debug)]
pub enum Symptom {
    /// It ended, or nobody is there any more.
    Crash(String),
    /// It serves nobody.
    Hang(String),
    /// It ended the connection of an innocent client.
    Cut(String),
    /// A message between innocent clients did not arrive, though it was acknowledged.
    Lost(String),
    /// One arrived as it was not sent.
    Corrupted(String),
    /// One took too long.
    Late(String),
    /// Memory grows with what is sent, and is not given back.
    Memory(String),
    /// It did not answer a PINGREQ on this connection.
    Unanswered(String),
    /// It breaks a requirement.
    Violation(Box<Finding>),
}

impl Symptom {
    /// The kind, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Symptom::Crash(_) => "crash",
            Symptom::Hang(_) => "hang",
            Symptom::Cut(_) => "cut",
            Symptom::Lost(_) => "lost",
            Symptom::Corrupted(_) => "corrupted",
            Symptom::Late(_) => "late",
            Symptom::Memory(_) => "memory",
            Symptom::Unanswered(_) => "unanswered",
            Symptom::Violation(_) => "violation",
        }
    }

    /// What it has in common with others that are alike.
    pub fn cause(&self) -> String {
        match self {
            Symptom::Violation(finding) => {
                format!("violation {}", finding.requirement.unwrap_or_default())
            }
            other => other.word().to_owned(),
        }
    }

    /// The requirement that is broken.
    pub fn requirement(&self) -> Option<&'static str> {
        match self {
            Symptom::Violation(finding) => finding.requirement,
            Symptom::Unanswered(_) => Some("MQTT-3.12.4-1"),
            _ => None,
        }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Symptom::Crash(what)
            | Symptom::Hang(what)
            | Symptom::Cut(what)
            | Symptom::Lost(what)
            | Symptom::Corrupted(what)
            | Symptom::Late(what)
            | Symptom::Memory(what) => f.write_str(what),
            Symptom::Unanswered(connection) => {
                write!(f, "a PINGREQ of {connection}, which is connected, has no answer")
            }
            Symptom::Violation(finding) => {
                write!(f, "expected {}, observed {}", finding.expected, finding.observed)
            }
        }
    }
}

/// What was found, once for all inputs that show it.
#[derive(Clone, Debug)]
pub struct Cause {
    /// A name for it: the kind and what brings it about.
    pub name: String,
    /// What is wrong.
    pub symptom: Symptom,
    /// The input that showed it first.
    pub input: Input,
    /// The smallest script found that shows it.
    pub script: Script,
    /// What came of that, as if it had been played in no place; empty if the broker did not live to tell.
    pub trace: Vec<Event>,
    /// What was sent then; or, if the broker did not live to tell, what the embedded broker is sent.
    pub sent: Vec<Event>,
    /// Whether that script alone shows it on a fresh start.
    pub reproduced: bool,
    /// How many inputs showed it.
    pub times: usize,
    /// The mutants of the reference broker that look the same.
    pub looks_like: Vec<&'static str>,
    /// How long after the start it was found, in seconds.
    pub after: f64,
}

/// What brings something about, as far as the script that was made small tells: its last step that is no
/// PINGREQ, by packet and altered field.
pub(super) fn trigger(script: &Script) -> String {
    let last = script.steps.iter().rposition(|step| matches!(step.act, Act::Alters(_)));
    if let Some((step, after)) = last.and_then(|at| script.steps[at..].split_first())
        && let Act::Alters(alteration) = &step.act
    {
        let mut sends = after.iter().filter(|it| it.connection == step.connection);
        let packet = sends.find_map(|it| packet_name(&it.act)).unwrap_or("packet");
        return format!("{packet}, \"{}\" altered", alteration.field);
    }
    let is_ask = |act: &Act| matches!(act, Act::Send(Packet::PingReq));
    let mut steps = script.steps.iter().rev().skip_while(|step| is_ask(&step.act));
    match steps.next().map(|step| &step.act) {
        Some(Act::SendBytes(bytes)) => match bytes.first() {
            Some(first) => format!("bytes from 0x{first:02X} on"),
            None => "no bytes".to_owned(),
        },
        Some(Act::Close | Act::HalfClose) => "an end of the connection".to_owned(),
        Some(act) => packet_name(act).unwrap_or("a session").to_owned(),
        None => "nothing".to_owned(),
    }
}

/// The fields that a script alters, each with its packet, as [`trigger`] names them.
pub(super) fn triggers(script: &Script) -> BTreeSet<String> {
    let alters = |step: &Step| matches!(step.act, Act::Alters(_));
    script.steps.iter().any(alters).then(|| trigger(script)).into_iter().collect()
}

fn packet_name(act: &Act) -> Option<&'static str> {
    match act {
        Act::Send(packet) => Some(packet.packet_type().name()),
        Act::Acknowledge(meant) => Some(meant.packet.name()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::parse;

    #[test]
    fn a_trigger_is_the_altered_field_or_the_last_packet() {
        for (script, expected) in [
            (
                "a || opened\na || alters \"Topic Alias\" xffff\na -> PUBLISH \"t\"\na -> PINGREQ",
                "PUBLISH, \"Topic Alias\" altered",
            ),
            ("a || opened\na -> BYTES 31 00\na -> PINGREQ", "bytes from 0x31 on"),
            ("a || opened\na -> DISCONNECT\na -> PINGREQ", "DISCONNECT"),
            ("a || opened\na || closed", "an end of the connection"),
            ("", "nothing"),
        ] {
            assert_eq!(trigger(&parse(script).unwrap()), expected);
        }
    }
}
