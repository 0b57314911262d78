use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::target::{Credentials, hide_exchange};
use crate::trace::{Event, What};
use crate::verdict::{Finding, Outcome, Stop};

use super::pace::{Line, Lines};
use super::{Leftover, Phase, leftovers};

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
    /// How long was waited for packets that came.
    waited: Mutex<Duration>,
    /// What the topics of all scenarios begin with, but for the few whose first level matters.
    own: String,
    /// Who the clients are to the target.
    credentials: Credentials,
    /// What no trace is to show.
    secrets: Vec<Credentials>,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) events: Vec<Event>,
    /// How many bytes of them the target has sent.
    bytes: usize,
    is_full: bool,
    /// The bytes of received packets, by their events. Payloads share them.
    raw: BTreeMap<usize, Bytes>,
    /// What the scenario is about.
    pub(super) cited: &'static [&'static str],
    /// The requirement that the steps to come are about.
    pub(super) requirement: &'static str,
    /// Whether they are the claim itself, or only what it stands on.
    pub(super) phase: Phase,
    pub(super) advisories: Vec<Finding>,
    sessions: BTreeSet<String>,
    retained: BTreeSet<String>,
    /// How many connections were opened under each name.
    connections: BTreeMap<String, u32>,
    /// Connections that never came about.
    forgotten: BTreeSet<String>,
    /// Whether the broker was seen not to close after a DISCONNECT.
    leaves_closing: bool,
    /// Whether a step has failed.
    pub(super) has_failed: bool,
    /// Why that may say nothing of conformance.
    excuse: Option<String>,
    /// Whether clients are refused for want of rights because that is what the scenario is about.
    expects_refusals: bool,
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
    /// For a scenario that cites these requirements, whose topics begin with this.
    pub(crate) fn new(
        prefix: &str,
        cited: &'static [&'static str],
        patience: Patience,
        credentials: Credentials,
        secrets: Vec<Credentials>,
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
            expects_refusals: false,
        };
        let start = Instant::now();
        Context(Arc::new(Shared {
            start,
            patience,
            record: Mutex::new(record),
            lines: Mutex::default(),
            attended: Notify::new(),
            full: Notify::new(),
            waited: Mutex::default(),
            own: format!("{prefix}/"),
            credentials,
            secrets,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Record> {
        // A panic elsewhere leaves the record as it was: nothing here is done by halves.
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who the clients are to the target.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.credentials
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

    /// Notes that what was waited for came: a packet, or the end.
    pub(super) fn note_waited(&self, time: Duration) {
        *self.0.waited.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// How long was waited for what came: a target or a network that is slow takes it, and not the
    /// scenario.
    pub(crate) fn waited(&self) -> Duration {
        *self.0.waited.lock().unwrap_or_else(PoisonError::into_inner)
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
        let hide = |what, secret: &Credentials| secret.hide(what);
        let what = if self.0.secrets.is_empty() { what } else { hide_exchange(what) };
        let what = self.0.secrets.iter().fold(what, hide);
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
        is_old_refusal(bytes)
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

    /// Takes refusals for want of rights for what the scenario is about.
    pub(crate) fn expect_refusals(&self) {
        self.lock().expects_refusals = true;
    }

    /// Whether they are.
    pub(super) fn expects_refusals(&self) -> bool {
        self.lock().expects_refusals
    }

    /// Notes why a failure may say nothing of conformance.
    pub(super) fn excuse(&self, excuse: String) {
        self.lock().excuse.get_or_insert(excuse);
    }

    pub(super) fn excuses(&self) -> Option<String> {
        self.lock().excuse.clone()
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

/// Whether these bytes are a CONNACK of version 3.1 or 3.1.1 that refuses.
pub(crate) fn is_old_refusal(bytes: &[u8]) -> bool {
    matches!(bytes, [0x20, 0x02, 0x00, 1..=5])
}
