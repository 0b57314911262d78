use std::collections::BTreeSet;
use std::time::Duration;

use crate::codec::Text;
use crate::topic::TopicName;

use super::{ConnectionId, Moment};

/// What is to be looked at when a moment has come. That it is still due is checked then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A retained message expires.
    Retained(TopicName),
    /// No CONNECT has come over this connection.
    Connect(ConnectionId),
    /// The client may have been silent for too long.
    KeepAlive(ConnectionId),
    /// A delayed Will is to be published. Sorts before the end of its session at the same moment.
    Will(Text),
    /// A session expires.
    Session(Text),
}

/// All timers, earliest first.
#[derive(Debug)]
pub(super) struct Timers {
    timers: BTreeSet<(Moment, Timer)>,
    /// Milliseconds between the moments at which they are looked at.
    grain: u64,
}

impl Timers {
    pub(super) fn new(grain: Duration) -> Timers {
        let grain = u64::try_from(grain.as_millis()).unwrap_or(u64::MAX).max(1);
        Timers { timers: BTreeSet::new(), grain }
    }

    pub(super) fn add(&mut self, at: Moment, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(super) fn remove(&mut self, at: Moment, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    /// When to look at them next, which is not before the first is due.
    pub(super) fn next(&self) -> Option<Moment> {
        let Moment(due) = self.timers.first()?.0;
        Some(Moment(due.div_ceil(self.grain).saturating_mul(self.grain)))
    }

    pub(super) fn pop_due(&mut self, now: Moment) -> Option<(Moment, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.timers.pop_first()
    }
}
