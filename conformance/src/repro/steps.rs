//! What the clients of a trace did before the fault, as steps of a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::program;
use crate::script::{PAUSE, client_of};
use crate::trace::{Event, What, hex_row, packet_text};

use super::beside::PATIENCE;
use super::check::Check;
use super::people::People;
use super::sight::{Field, Fields, Sight, label, sights};
use super::wire::Wire;

/// What the reference does not send is waited for so long, if it came.
const PERHAPS: Duration = Duration::from_millis(700);

/// More letters of a packet in words are not shown: its bytes are there too.
const LONGEST: usize = 200;

/// The steps of a program, and how long they take at most, but for answers.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) text: String,
    pub(super) takes: Duration,
}

impl Steps {
    /// The steps before the place of a check, where a broker has to announce these limits.
    pub(super) fn of(trace: &[Event], check: &Check, people: &People, limits: &Fields) -> Steps {
        let said = people.said(trace);
        let messages = BTreeMap::new();
        let mut writer = Writer { people, check, limits, said, messages, steps: Steps::default() };
        let mut last = Duration::ZERO;
        let sights = sights(trace, &vec![0; trace.len()]);
        let mut came = sights.iter().enumerate().peekable();
        for (place, event) in trace.iter().enumerate().take(check.event) {
            let gap = event.at.saturating_sub(last);
            last = event.at;
            match came.next_if(|(_, sight)| sight.event == place) {
                Some((at, sight)) => writer.awaits(event, at, sight, gap),
                None => {
                    if gap >= PAUSE {
                        writer.waits(event, gap);
                    }
                    writer.acts(event, place);
                }
            }
        }
        writer.steps
    }
}

/// Writes steps one by one.
struct Writer<'a> {
    people: &'a People,
    check: &'a Check,
    limits: &'a Fields,
    /// What is said with SCRAM, by the place in the trace.
    said: BTreeMap<usize, Option<&'static str>>,
    /// By client and Packet Identifier: what messages of the broker are called.
    messages: BTreeMap<(&'a str, u16), String>,
    steps: Steps,
}

impl<'a> Writer<'a> {
    fn add(&mut self, on: &str, act: &str, said: &str, more: &[String]) {
        let (on, said) = (program::text(on), program::text(&clipped(said)));
        let _ = write!(self.steps.text, "    ({on}, \"{act}\", {said}");
        for word in more {
            let _ = write!(self.steps.text, ", {word}");
        }
        self.steps.text.push_str("),\n");
    }

    fn waits(&mut self, event: &Event, time: Duration) {
        self.steps.takes += time;
        self.add(&event.probe, "wait", "", &[seconds(time)]);
    }

    /// What a client does by this.
    fn acts(&mut self, event: &'a Event, place: usize) {
        let on = event.probe.as_str();
        match &event.what {
            What::Opened => self.add(on, "open", "", &[]),
            What::HalfClosed => self.add(on, "half close", "", &[]),
            What::ClosedByProbe => self.add(on, "close", "", &[]),
            What::Sent(packet) => {
                let message = |id| self.messages.get(&(client_of(on), id)).map(String::as_str);
                let scram = self.said.get(&place).copied().flatten();
                let data = Wire { people: self.people, message: &message, scram }.of(packet);
                self.add(on, "send", &packet_text(packet), &[program::text(&data)]);
            }
            What::SentBytes(bytes) => {
                self.add(on, "send", "bytes", &[program::text(hex_row(bytes).trim())]);
            }
            _ => {}
        }
    }

    /// Waits for what came after so much time, at this place among all that came.
    fn awaits(&mut self, event: &'a Event, at: usize, sight: &Sight, gap: Duration) {
        let is_message = sight.name == "PUBLISH" && sight.id.is_some();
        let label_of = is_message.then(|| label(at));
        if let (Some(name), Some(id)) = (&label_of, sight.id) {
            self.messages.insert((client_of(&event.probe), id), name.clone());
        }
        let common = self.check.common.get(at).cloned().flatten();
        let (act, patience) = match &common {
            Some(_) => ("await", gap + PATIENCE),
            None => ("perhaps", gap + PERHAPS),
        };
        self.steps.takes += if common.is_some() { gap } else { patience };
        let mut wanted = common.unwrap_or_else(|| sight.wanted());
        if let ("PUBREL", Some(message)) = (sight.name, sight.same_id_as) {
            wanted.insert("id", Field::IdOf(label(message)));
        }
        if sight.name == "CONNACK" && !sight.is_error() {
            wanted.extend(self.limits.clone());
        }
        let said = match &event.what {
            What::Received(packet) => packet_text(packet),
            What::ReceivedBroken(..) => "bytes that are no packet".to_owned(),
            _ => "closed".to_owned(),
        };
        let label = label_of.map_or("None".to_owned(), |label| program::text(&label));
        let more = [dictionary(&wanted), seconds(patience), label];
        self.add(&event.probe, act, &said, &more);
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time as Python has it.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Fields as Python has them.
pub(super) fn dictionary(fields: &Fields) -> String {
    let mut names: Vec<_> = fields.iter().collect();
    // What it is comes first.
    names.sort_by_key(|(name, _)| **name != "packet");
    let entries = names.into_iter().map(|(name, field)| format!("\"{name}\": {}", value(field)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn value(field: &Field) -> String {
    let flag = |is| if is { "True" } else { "False" }.to_owned();
    match field {
        Field::Flag(is) => flag(*is),
        Field::Number(number) => number.to_string(),
        Field::Numbers(numbers) => format!("{numbers:?}"),
        Field::Text(text) => program::text(text),
        Field::Bytes(bytes) => program::bytes(bytes),
        Field::Pairs(pairs) => {
            let pair = |(name, value): &(String, String)| {
                format!("({}, {})", program::text(name), program::text(value))
            };
            format!("[{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Field::Given(is) => format!("(\"given\", {})", flag(*is)),
        Field::Below(number) => format!("(\"below\", {number})"),
        Field::Above(number) => format!("(\"above\", {number})"),
        Field::Begins(bytes) => format!("(\"begins\", {})", program::bytes(bytes)),
        Field::Longer(than, true) => format!("(\"longer than\", {than})"),
        Field::Longer(than, false) => format!("(\"no longer than\", {than})"),
        Field::IdOf(label) => format!("(\"identifier of\", \"{label}\")"),
        Field::NotIdOf(label) => format!("(\"not the identifier of\", \"{label}\")"),
    }
}
