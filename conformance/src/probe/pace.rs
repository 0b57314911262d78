//! How a probe keeps within its Keep Alive: the clock of what it sends, and PINGREQ in the background
//! where a broker sets a Keep Alive that a scenario may be silent for longer than.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use reference_broker::codec::{FixedHeader, Framer, Packet, PropertyId};
use reference_broker::transport::{BoxStream, write_out};
use tokio::io::WriteHalf;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::trace::What;

use super::Context;

/// A Keep Alive that a broker sets is longer than any scenario is silent from here on, in seconds.
const LONG: u32 = 600;

/// How long a PINGREQ may take to be sent: where more is on its way the broker hears of us anyway.
const SEND: Duration = Duration::from_millis(500);

const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// The sending side of a connection.
pub(super) struct Line {
    name: String,
    pub(super) half: Mutex<WriteHalf<BoxStream>>,
    pace: Lock<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// When what was sent last began to be sent.
    last: Instant,
    /// How long the probe may be silent before it pings; none if it need not.
    interval: Option<Duration>,
    /// Whether it pings at all: not where silence is what a scenario is about.
    is_attended: bool,
    /// PINGREQ that are not answered yet: whether each was sent in the background.
    pings: VecDeque<bool>,
    /// What was sent of a packet that is not whole; none if that cannot be told any more.
    rest: Option<Framer>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line").field(&self.name).finish()
    }
}

impl Line {
    pub(super) fn new(name: &str, half: WriteHalf<BoxStream>) -> Line {
        let pace = Pace {
            last: Instant::now(),
            interval: None,
            is_attended: true,
            pings: VecDeque::new(),
            rest: Some(Framer::new(u32::MAX)),
        };
        Line { name: name.to_owned(), half: Mutex::new(half), pace: Lock::new(pace) }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Nothing is done by halves while it is held.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that bytes begin to be sent.
    pub(super) fn note_sent(&self, bytes: &[u8]) {
        let mut pace = self.pace();
        pace.last = Instant::now();
        if bytes == PINGREQ {
            pace.pings.push_back(false);
        }
        pace.rest = pace.rest.take().and_then(|rest| after(rest, bytes));
    }

    /// When what was sent last began to be sent.
    pub(super) fn last_sent(&self) -> Instant {
        self.pace().last
    }

    /// Leaves the connection silent where the scenario is.
    pub(super) fn leave_silent(&self) {
        let mut pace = self.pace();
        (pace.is_attended, pace.interval) = (false, None);
    }

    /// Pings within this Keep Alive.
    pub(super) fn attend(&self, keep_alive: Duration) {
        let mut pace = self.pace();
        (pace.is_attended, pace.interval) = (true, Some(keep_alive / 2));
    }

    /// Notes what comes, and goes: whether it answers a PINGREQ that no scenario knows of.
    pub(super) fn note_received(&self, packet: &Packet) -> bool {
        let mut pace = self.pace();
        match packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => {
                let set = connack.properties.number(PropertyId::ServerKeepAlive);
                pace.interval = set
                    .filter(|seconds| (1..LONG).contains(seconds) && pace.is_attended)
                    .map(|seconds| Duration::from_secs(u64::from(seconds)) / 2);
            }
            Packet::Disconnect(_) => pace.interval = None,
            Packet::PingResp => return pace.pings.pop_front().unwrap_or(false),
            _ => {}
        }
        false
    }

    /// Lets it be silent from here on: it takes its leave, or is gone.
    pub(super) fn rest(&self) {
        self.pace().interval = None;
    }

    /// When it has to ping, if it has to.
    pub(super) fn due(&self) -> Option<Instant> {
        let pace = self.pace();
        pace.interval.map(|interval| pace.last + interval)
    }

    /// Pings if it is time to.
    pub(super) async fn ping(&self, context: &Context) {
        // Who is sending is not silent.
        let Ok(mut half) = self.half.try_lock() else { return self.pace().last = Instant::now() };
        {
            let mut pace = self.pace();
            let is_due = pace.interval.is_some_and(|it| pace.last + it <= Instant::now());
            if !is_due {
                return;
            }
            // Within a packet there is no room for another.
            if pace.rest.as_ref().is_none_or(|rest| rest.pending() > 0) {
                return pace.interval = None;
            }
            pace.last = Instant::now();
            pace.pings.push_back(true);
        }
        context.record(&self.name, What::Sent(Packet::PingReq));
        // A connection that takes nothing more is for the next step to see.
        let _ = timeout(SEND, write_out(&mut *half, &PINGREQ)).await;
    }
}

/// What is left of a packet after these bytes; none if they have no packet's bounds.
fn after(mut rest: Framer, bytes: &[u8]) -> Option<Framer> {
    let size = FixedHeader::decode(bytes).ok().flatten().map(|header| header.packet_size());
    if rest.pending() == 0 && size == Some(bytes.len() as u64) {
        return Some(rest); // Not copied: it may be large.
    }
    rest.buffer().extend_from_slice(bytes);
    loop {
        match rest.next_frame() {
            Ok(Some(_)) => {}
            Ok(None) => return Some(rest),
            Err(_) => return None,
        }
    }
}

/// Pings for all probes of a scenario that have to, without an end.
pub(crate) async fn keep_alive(context: Context) -> Infallible {
    loop {
        let lines = context.lines();
        let Some(due) = lines.iter().filter_map(|line| line.due()).min() else {
            context.attended().await;
            continue;
        };
        drop(lines);
        if timeout(due.saturating_duration_since(Instant::now()), context.attended()).await.is_ok()
        {
            continue;
        }
        for line in context.lines() {
            line.ping(&context).await;
        }
    }
}

/// The lines that may have to ping.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<std::sync::Weak<Line>>,
}

impl Lines {
    pub(super) fn add(&mut self, line: &Arc<Line>) {
        self.lines.retain(|line| line.strong_count() > 0);
        self.lines.push(Arc::downgrade(line));
    }

    pub(super) fn open(&self) -> Vec<Arc<Line>> {
        self.lines.iter().filter_map(std::sync::Weak::upgrade).collect()
    }
}
