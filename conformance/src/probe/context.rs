use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PacketType, PropertyId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::runner::TOPIC_PREFIX;
use crate::trace::{Event, What, packet_text};
use crate::verdict::step::{self, Step};
use crate::verdict::{Finding, Outcome, Stop, general};

use super::pace::{Line, Lines};
use super::{Leftover, leftovers};

/// How many events a trace has at most.
const MOST_EVENTS: usize = 20_000;

/// How many bytes the target sends in a trace at most, but for the packet that goes beyond it.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How long a scenario waits for what the standard gives no time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a packet that must come.
    pub reply: Duration,
    /// For the end of a connection that must end.
    pub close: Duration,
}

impl Patience {
    /// The usual times, multiplied.
    pub fn scaled(scale: f64) -> Patience {
        let seconds = |seconds: f64| Duration::from_secs_f64(seconds * scale);
        Patience { reply: seconds(5.0), close: seconds(5.0) }
    }
}

/// What the steps to come are to a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What it stands on: a failure is told by the requirement of the step, and blocks the scenario.
    Means,
    /// What it is about: a failure is the scenario's.
    Claim,
}

/// What was observed in the place of what a step expects.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// In words, with all that is known.
    pub(crate) text: String,
    /// What kind of thing it is: see [`Finding::seen`].
    pub(crate) seen: String,
    /// The event that shows it.
    pub(crate) event: usize,
}

/// What all probes of one run of one scenario share.
#[derive(Clone, Debug)]
pub(crate) struct Context(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    patience: Patience,
    /// What is recorded outlives a scenario that is cut off, hence not in the scenario.
    record: Mutex<Record>,
    /// Connections that are not to be silent for long.
    lines: Mutex<Lines>,
    attended: Notify,
    /// Told when the record is full.
    full: Notify,
    /// What the topics of all scenarios begin with, but for the few whose first level matters.
    own: String,
}

#[derive(Debug)]
struct Record {
    events: Vec<Event>,
    /// The bytes of received packets, by their events. Payloads share them.
    raw: BTreeMap<usize, Bytes>,
    /// What the scenario is about.
    cited: &'static [&'static str],
    /// How many bytes of them the target has sent.
    bytes: usize,
    is_full: bool,
    /// The requirement that the steps to come are about.
    requirement: &'static str,
    /// Whether they are the claim itself, or only what it stands on.
    phase: Phase,
    advisories: Vec<Finding>,
    sessions: BTreeSet<String>,
    retained: BTreeSet<String>,
    /// How many connections were opened under each name.
    connections: BTreeMap<String, u32>,
    /// Connections that never came about.
    forgotten: BTreeSet<String>,
    /// Whether the broker was seen not to close after a DISCONNECT.
    leaves_closing: bool,
    /// Whether a step has failed.
    has_failed: bool,
    /// Why that may say nothing of conformance.
    excuse: Option<String>,
}

impl Record {
    /// Notes a session whose name the target chose.
    fn note_assigned(&mut self, what: &What) {
        if let What::Received(Packet::ConnAck(connack)) = what {
            let name = connack.properties.text(PropertyId::AssignedClientIdentifier);
            self.sessions.extend(name.map(|name| name.to_string()));
        }
    }
}

/// How many bytes an event stands for that the target has sent, about.
fn size(what: &What) -> usize {
    match what {
        What::Received(packet) => packet.encoded_len().unwrap_or(0),
        What::ReceivedBroken(bytes, _) => bytes.len(),
        _ => 0,
    }
}

impl Context {
    /// For a scenario that cites these requirements.
    pub(crate) fn new(cited: &'static [&'static str], patience: Patience) -> Context {
        Context::below(TOPIC_PREFIX, cited, patience)
    }

    /// As [`Context::new`], where topics begin with this.
    pub(crate) fn below(
        prefix: &str,
        cited: &'static [&'static str],
        patience: Patience,
    ) -> Context {
        let record = Record {
            events: Vec::new(),
            raw: BTreeMap::new(),
            cited,
            requirement: cited.first().copied().unwrap_or_default(),
            phase: Phase::Means,
            bytes: 0,
            is_full: false,
            advisories: Vec::new(),
            sessions: BTreeSet::new(),
            retained: BTreeSet::new(),
            connections: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            leaves_closing: false,
            has_failed: false,
            excuse: None,
        };
        let start = Instant::now();
        Context(Arc::new(Shared {
            start,
            patience,
            record: Mutex::new(record),
            lines: Mutex::default(),
            attended: Notify::new(),
            full: Notify::new(),
            own: format!("{prefix}/"),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // A panic elsewhere leaves the record as it was: nothing here is done by halves.
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn patience(&self) -> Patience {
        self.0.patience
    }

    /// From here on a connection is not to be silent for long.
    pub(super) fn attend(&self, line: &Arc<Line>) {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).add(line);
        self.0.attended.notify_one();
    }

    /// Waits until another connection is not to be silent for long.
    pub(super) async fn attended(&self) {
        self.0.attended.notified().await;
    }

    /// The connections that are not to be silent for long.
    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).open()
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Appends an event and gives its place. What no longer has room is left out.
    pub(crate) fn record(&self, probe: &str, what: What) -> usize {
        let at = Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX));
        let mut record = self.lock();
        if record.events.len() >= MOST_EVENTS || record.bytes >= MOST_BYTES {
            record.is_full = true;
            self.0.full.notify_one();
            return record.events.len() - 1;
        }
        record.note_assigned(&what);
        record.bytes += size(&what);
        record.events.push(Event { at, probe: probe.to_owned(), what });
        record.events.len() - 1
    }

    /// Whether a topic is one of the suite's own.
    pub(super) fn is_own(&self, topic: &str) -> bool {
        topic.starts_with(&self.0.own)
    }

    /// Takes a connection out of what happened.
    pub(super) fn forget(&self, connection: &str) {
        self.lock().forgotten.insert(connection.to_owned());
    }

    /// Resolves when there is more to be recorded than there is room for.
    pub(crate) async fn filled(&self) {
        self.0.full.notified().await;
    }

    /// Whether it has come to that.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// Names a new connection: the first `alice`, the next `alice.2`, so that a name in the trace is
    /// one connection.
    pub(crate) fn connection(&self, name: &str) -> String {
        let mut record = self.lock();
        let count = record.connections.entry(name.to_owned()).or_default();
        *count += 1;
        match *count {
            1 => name.to_owned(),
            count => format!("{name}.{count}"),
        }
    }

    /// Whether the event is a CONNACK of an earlier protocol version that refuses.
    pub(super) fn is_old_refusal(&self, event: usize) -> bool {
        let record = self.lock();
        let Some(What::ReceivedBroken(bytes, _)) =
            record.events.get(event).map(|event| &event.what)
        else {
            return false;
        };
        matches!(bytes[..], [0x20, 0x02, 0x00, 1..=5])
    }

    /// Whether there is an event like this.
    pub(crate) fn any(&self, is_it: impl FnMut(&Event) -> bool) -> bool {
        self.lock().events.iter().any(is_it)
    }

    /// Goes through what happened so far.
    pub(super) fn each(&self, see: impl FnMut(&Event)) {
        self.lock().events.iter().for_each(see);
    }

    pub(crate) fn remember(&self, packet: &Packet) {
        for leftover in leftovers(packet) {
            match leftover {
                Leftover::Session(client) => self.lock().sessions.insert(client.to_owned()),
                Leftover::Retained(topic) => self.lock().retained.insert(topic.to_owned()),
            };
        }
    }

    /// Notes that the broker did not close after a DISCONNECT.
    pub(super) fn note_left_closing(&self) {
        self.lock().leaves_closing = true;
    }

    /// Whether the broker was seen not to close after a DISCONNECT.
    pub(super) fn leaves_closing_to_us(&self) -> bool {
        self.lock().leaves_closing
    }

    /// Whether a step has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Notes why a failure may say nothing of conformance.
    pub(super) fn excuse(&self, excuse: String) {
        self.lock().excuse.get_or_insert(excuse);
    }

    pub(super) fn excuses(&self) -> Option<String> {
        self.lock().excuse.clone()
    }

    /// From here on, steps are the claim, and it is about this requirement.
    pub(crate) fn proving(&self, requirement: &'static str) {
        let mut record = self.lock();
        record.requirement = requirement;
        record.phase = Phase::Claim;
    }

    /// Says what the steps to come are; gives what those before were.
    pub(crate) fn enter(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut self.lock().phase, phase)
    }

    /// What the steps to come are.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Goes through steps that the scenario stands on, whatever it is about at the moment.
    pub(crate) async fn as_means<T>(&self, steps: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let before = self.enter(Phase::Means);
        let outcome = steps.await;
        self.enter(before);
        outcome
    }

    /// A step was not answered as the standard has it: the scenario's failure if it is about that,
    /// else what blocks it.
    pub(crate) fn stop(&self, step: Step, expected: &str, observed: Observed) -> Stop {
        let Record { requirement, phase, .. } = *self.lock();
        match phase {
            Phase::Claim => Stop::Fail(self.found(step.name, requirement, expected, observed)),
            Phase::Means => self.stop_of(step.requirement, step.name, expected, observed),
        }
    }

    /// The target broke this requirement: the scenario's failure if it cites it, else what blocks
    /// it.
    pub(crate) fn stop_of(
        &self,
        requirement: &'static str,
        step: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Stop {
        let is_cited = self.lock().cited.contains(&requirement);
        let found = self.found(step, requirement, expected, observed);
        match is_cited {
            true => Stop::Fail(found),
            false => Stop::Blocked(found),
        }
    }

    /// A step came to nothing for what may be the network's doing, or ours: the scenario's failure
    /// if it is about that, else inconclusive.
    pub(crate) fn lost(&self, step: Step, expected: &str, observed: Observed) -> Stop {
        match self.phase() {
            Phase::Claim => self.stop(step, expected, observed),
            Phase::Means => Stop::Inconclusive(Finding {
                requirement: None,
                ..self.found(step.name, step.requirement, expected, observed)
            }),
        }
    }

    /// The scenario's failure: what it is about does not hold.
    pub(crate) fn failure(&self, expected: &str, observed: Observed) -> Stop {
        let requirement = self.lock().requirement;
        Stop::Fail(self.found(step::CHECK, requirement, expected, observed))
    }

    /// As [`Context::failure`], about this requirement.
    pub(crate) fn failure_of(
        &self,
        requirement: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Stop {
        Stop::Fail(self.found(step::CHECK, requirement, expected, observed))
    }

    /// What a step that fails has found.
    fn found(
        &self,
        step: &'static str,
        requirement: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Finding {
        self.lock().has_failed = true;
        finding(step, requirement, expected, observed)
    }

    /// What a scenario has observed itself, shown by the packet whose text that has, else by what came
    /// last from the broker.
    pub(crate) fn observed(&self, text: impl Into<String>) -> Observed {
        let text = text.into();
        let event = place_of(&text, &self.lock().events);
        Observed { seen: general(&text), text, event }
    }

    pub(crate) fn trouble(&self, expected: &str, observed: String) -> Stop {
        let last = self.lock().events.len().saturating_sub(1);
        self.trouble_at(expected, observed, last)
    }

    pub(crate) fn trouble_at(&self, expected: &str, observed: String, event: usize) -> Stop {
        let observed = Observed { seen: general(&observed), text: observed, event };
        Stop::Inconclusive(Finding {
            requirement: None,
            ..finding(step::CHECK, "", expected, observed)
        })
    }

    /// Notes that a SHOULD is not followed; the scenario goes on.
    pub(crate) fn advise(&self, requirement: &'static str, expected: &str, observed: String) {
        let observed = self.observed(observed);
        self.lock().advisories.push(finding(step::ADVICE, requirement, expected, observed));
    }

    /// Keeps the bytes of a received packet.
    pub(super) fn keep(&self, event: usize, bytes: Bytes) {
        let mut record = self.lock();
        // What is not recorded for want of room has no place.
        if !record.is_full {
            record.raw.insert(event, bytes);
        }
    }

    /// The bytes of received packets, by their events.
    pub(crate) fn bytes_taken(&self) -> BTreeMap<usize, Bytes> {
        std::mem::take(&mut self.lock().raw)
    }

    /// What was recorded: events and advisories. Connections that never came about are left out, and
    /// findings, those of the outcome included, point to where their events are then.
    pub(crate) fn taken(&self, outcome: &mut Outcome) -> (Vec<Event>, Vec<Finding>) {
        let mut record = self.lock();
        let events = std::mem::take(&mut record.events);
        let mut advisories = std::mem::take(&mut record.advisories);
        if record.forgotten.is_empty() {
            return (events, advisories);
        }
        let (mut places, mut left) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let is_left = !record.forgotten.contains(&event.probe);
            places.push(if is_left { left.len() } else { left.len().saturating_sub(1) });
            left.extend(is_left.then_some(event));
        }
        let own = match outcome {
            Err(Stop::Fail(own) | Stop::Blocked(own) | Stop::Inconclusive(own)) => Some(own),
            Ok(()) | Err(Stop::NotApplicable(_)) => None,
        };
        let raw = std::mem::take(&mut record.raw).into_iter();
        record.raw = raw.filter_map(|(event, bytes)| Some((*places.get(event)?, bytes))).collect();
        for finding in advisories.iter_mut().chain(own) {
            finding.event = finding.event.and_then(|event| places.get(event).copied());
        }
        (left, advisories)
    }

    /// What the scenario may have left on the target: Client Identifiers with sessions, and topics
    /// with retained messages.
    pub(crate) fn leftovers(&self) -> (Vec<String>, Vec<String>) {
        let record = self.lock();
        (record.sessions.iter().cloned().collect(), record.retained.iter().cloned().collect())
    }
}

/// How far back a packet is looked for that was observed.
const REACH: usize = 1000;

/// The event that shows what was observed.
fn place_of(text: &str, events: &[Event]) -> usize {
    let latest = || events.iter().enumerate().rev().take(REACH);
    let is_it = |event: &Event| match &event.what {
        What::Received(packet) => {
            text.contains(packet.packet_type().name()) && text.contains(&packet_text(packet))
        }
        _ => false,
    };
    let is_of_broker = |event: &Event| {
        matches!(
            &event.what,
            What::Received(_)
                | What::ReceivedBroken(..)
                | What::ClosedByBroker(_)
                | What::Silence(_)
        )
    };
    // What only answers, or asks whether all has come, is not what is judged.
    let is_aside = |event: &Event| match &event.what {
        What::Received(packet) => packet.packet_type() == PacketType::PingResp,
        What::Sent(packet) => matches!(
            packet.packet_type(),
            PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::PingReq
        ),
        What::HalfClosed | What::ClosedByProbe | What::Waited(_) => true,
        _ => false,
    };
    let place = latest().find(|(_, event)| is_it(event));
    let place = place.or_else(|| {
        latest().find(|(_, event)| !is_aside(event)).filter(|(_, event)| is_of_broker(event))
    });
    place.map_or(events.len().saturating_sub(1), |(place, _)| place)
}

fn finding(
    step: &'static str,
    requirement: &'static str,
    expected: &str,
    observed: Observed,
) -> Finding {
    let Observed { text, seen, event } = observed;
    Finding {
        requirement: Some(requirement),
        oracle: None,
        step,
        expected: expected.to_owned(),
        observed: text,
        seen,
        event: Some(event),
        known: None,
    }
}
