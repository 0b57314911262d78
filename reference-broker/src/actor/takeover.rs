//! A client's old connection is read to the end before its CONNECT over a new one is handled.
//!
//! A client that takes its leave and comes back at once has its CONNECT read by another task than its DISCONNECT, and
//! the two may come to the broker in any order. So a CONNECT for a session whose connection is still there waits until
//! the reader of that one has handed on all that had come by then, or the connection has ended: not for long. What is
//! sent behind the CONNECT waits with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::ConnectionId;

/// How long a CONNECT waits at the most.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many bytes are handed on of what came before a CONNECT at the most: more than that is not a leave that is
/// taken, but a flood.
const MOST_READ: usize = 1 << 20;

/// The connections that wait until what their client did before is handled.
#[derive(Default)]
pub(super) struct Takeovers {
    /// Until when who waits for a connection, by that.
    newcomers: BTreeMap<ConnectionId, (Instant, Vec<ConnectionId>)>,
    /// For whom they have waited last.
    awaited: BTreeMap<ConnectionId, ConnectionId>,
    /// The same, the earliest first; some are out of date.
    deadlines: VecDeque<(Instant, ConnectionId)>,
}

impl Takeovers {
    /// Has a new connection wait for an old one. Says no if it has done so already.
    pub(super) fn begin(&mut self, new: ConnectionId, old: ConnectionId) -> bool {
        if self.awaited.insert(new, old) == Some(old) {
            return false;
        }
        let (_, newcomers) = self.newcomers.entry(old).or_insert_with(|| {
            let until = Instant::now() + PATIENCE;
            self.deadlines.push_back((until, old));
            (until, Vec::new())
        });
        newcomers.push(new);
        true
    }

    /// Those who wait for this connection; they wait no longer.
    pub(super) fn release(&mut self, old: ConnectionId) -> Vec<ConnectionId> {
        self.newcomers.remove(&old).map(|(_, newcomers)| newcomers).unwrap_or_default()
    }

    /// A connection whose newcomers have waited long enough.
    pub(super) fn overdue(&mut self) -> Option<ConnectionId> {
        while let Some((until, old)) = self.deadlines.front().copied() {
            let is_awaited = self.newcomers.get(&old).is_some_and(|(at, _)| *at == until);
            if is_awaited && until > Instant::now() {
                return None;
            }
            self.deadlines.pop_front();
            if is_awaited {
                return Some(old);
            }
        }
        None
    }

    /// When the first of those is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(until, _)| *until)
    }

    /// Forgets a connection that is accepted, or no more.
    pub(super) fn forget(&mut self, new: ConnectionId) {
        self.awaited.remove(&new);
    }
}

/// Asks the reader of a connection to say when it has handed on all that had come by then.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// How many more bytes are handed on before the answer, at the most; 0 while there is no question.
    left: AtomicUsize,
    asked: Notify,
}

impl Question {
    /// Asks.
    pub(super) fn ask(&self) {
        self.left.store(MOST_READ, Ordering::Release);
        self.asked.notify_one();
    }

    /// Waits until it is asked.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Counts bytes that were handed on; says whether an answer is due for so many since it was asked.
    pub(super) fn count(&self, bytes: usize) -> bool {
        let left = self.left.load(Ordering::Acquire);
        if left == 0 {
            return false;
        }
        self.left.store(left.saturating_sub(bytes).max(1), Ordering::Release); // Open until it is answered.
        left <= bytes
    }

    /// Says whether there is somebody to be answered, once.
    pub(super) fn close(&self) -> bool {
        self.left.swap(0, Ordering::AcqRel) > 0
    }
}
