//! What a client sent over its old connection, or did to it, counts before what it sends over a new one.
//!
//! A client that takes its leave and comes back at once has its CONNECT read by another task than its DISCONNECT, and
//! the two may come to the broker in any order. So a CONNECT for a session whose connection is still there waits until
//! the reader of that one has handed on all that had come by then, or the connection has ended: not for long, and
//! what is sent behind the CONNECT waits with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub(super) inputs: VecDeque<(Input, Room)>,
    bytes: usize,
}

impl Newcomer {
    fn push(&mut self, input: Input, room: Room) {
        self.bytes += room.bytes();
        self.inputs.push_back((input, room));
    }
}

impl Takeovers {
    /// Lets a CONNECT over a new connection wait for the old one.
    pub(super) fn begin(
        &mut self,
        new: ConnectionId,
        old: ConnectionId,
        (connect, room): (Input, Room),
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

    /// A connection that has been waited for for long enough.
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

    /// When a connection has been waited for for long enough.
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

/// By which the reader of a connection is asked to say when it has handed on all that had come by then.
#[derive(Debug, Default)]
pub(super) struct Question {
    is_open: AtomicBool,
    asked: Notify,
}

impl Question {
    /// Asks.
    pub(super) fn ask(&self) {
        self.is_open.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// Waits until it is asked.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether it is asked, and so many bytes have been handed on since then that it is time for an answer.
    pub(super) fn is_overdue(&self, handed_on: &mut usize, bytes: usize) -> bool {
        if !self.is_open.load(Ordering::Acquire) {
            return false;
        }
        *handed_on += bytes;
        let is_overdue = *handed_on > MOST_READ;
        if is_overdue {
            *handed_on = 0;
        }
        is_overdue
    }

    /// Says whether there is somebody to be answered, once.
    pub(super) fn close(&self) -> bool {
        self.is_open.swap(false, Ordering::AcqRel)
    }
}
