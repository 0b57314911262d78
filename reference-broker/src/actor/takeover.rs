//! A client's old connection is read to the end before its CONNECT over a new one is handled.
//!
//! A client that takes its leave and comes back at once has its CONNECT read by another task than its DISCONNECT, and
//! the two may come to the broker in any order. So a CONNECT for a session whose connection is still there waits until
//! the reader of that one has handed on all that had come by then, or the connection has ended: not for long, and
//! what is sent behind the CONNECT waits with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::{ConnectionId, Input};

use super::queue::Room;

/// How long a CONNECT waits at the most.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many bytes wait with a CONNECT at the most; if there come more, it waits no longer.
const MOST_HELD: usize = 64 * 1024;

/// How many bytes are handed on of what came before a CONNECT at the most: more than that is not a leave that is
/// taken, but a flood.
const MOST_READ: usize = 1 << 20;

/// The clients that wait until what they did before is handled.
#[derive(Default)]
pub(super) struct Takeovers {
    /// Those that wait for the end of a connection, by that.
    crowds: BTreeMap<ConnectionId, Crowd>,
    /// Whom each of them waits for.
    old_of: BTreeMap<ConnectionId, ConnectionId>,
    /// Until when they wait for which connection, the earliest first.
    deadlines: VecDeque<(Instant, ConnectionId)>,
}

struct Crowd {
    until: Instant,
    newcomers: BTreeMap<ConnectionId, Newcomer>,
}

/// A client that waits: its CONNECT, and what came after it.
#[derive(Default)]
pub(super) struct Newcomer {
    pub(super) inputs: Vec<(Input, Room)>,
    bytes: usize,
}

impl Newcomer {
    fn push(&mut self, input: Input, room: Room) {
        self.bytes += room.bytes();
        self.inputs.push((input, room));
    }
}

impl Takeovers {
    /// Lets a CONNECT over a new connection wait for the old one.
    pub(super) fn begin(
        &mut self,
        new: ConnectionId,
        old: ConnectionId,
        connect: Input,
        room: Room,
    ) {
        let crowd = self.crowds.entry(old).or_insert_with(|| {
            let until = Instant::now() + PATIENCE;
            self.deadlines.push_back((until, old));
            Crowd { until, newcomers: BTreeMap::new() }
        });
        crowd.newcomers.entry(new).or_default().push(connect, room);
        self.old_of.insert(new, old);
    }

    /// Lets what comes after a CONNECT that waits do so too; gives back what need not wait.
    pub(super) fn hold(&mut self, input: Input, room: Room) -> Option<(Input, Room)> {
        let Some((new, old)) = of(&input).and_then(|new| Some((new, *self.old_of.get(&new)?)))
        else {
            return Some((input, room));
        };
        let Some(crowd) = self.crowds.get_mut(&old) else { return Some((input, room)) };
        let newcomer = crowd.newcomers.entry(new).or_default();
        newcomer.push(input, room);
        if newcomer.bytes > MOST_HELD {
            crowd.until = Instant::now();
            self.deadlines.push_front((crowd.until, old));
        }
        None
    }

    /// Those who wait for this connection, in the order of theirs; they wait no longer.
    pub(super) fn release(&mut self, old: ConnectionId) -> BTreeMap<ConnectionId, Newcomer> {
        let newcomers = self.crowds.remove(&old).map(|crowd| crowd.newcomers).unwrap_or_default();
        for new in newcomers.keys() {
            self.old_of.remove(new);
        }
        newcomers
    }

    /// A connection whose newcomers have waited long enough.
    pub(super) fn overdue(&mut self) -> Option<ConnectionId> {
        while let Some((until, old)) = self.deadlines.front().copied() {
            let is_awaited = self.crowds.get(&old).is_some_and(|crowd| crowd.until == until);
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

    /// Forgets who waits over a connection that is no more.
    pub(super) fn forget(&mut self, new: ConnectionId) {
        let crowd = self.old_of.remove(&new).and_then(|old| self.crowds.get_mut(&old));
        if let Some(crowd) = crowd {
            crowd.newcomers.remove(&new);
        }
    }
}

/// The connection of a client that did something.
fn of(input: &Input) -> Option<ConnectionId> {
    match input {
        Input::Received(id, _) | Input::Malformed(id, ..) | Input::Closed(id) => Some(*id),
        _ => None,
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
