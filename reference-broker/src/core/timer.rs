use std::collections::BTreeSet;

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
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Moment, Timer)>);

impl Timers {
    pub(super) fn add(&mut self, at: Moment, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn remove(&mut self, at: Moment, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Moment) -> Option<(Moment, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first()
    }
}
