//! Whose turn it is: what clients did waits by connection, and the connection that has cost the least so far is next.
//!
//! A turn is charged in [units of work](crate::core::Broker::effort) that the core counts, so that equal inputs have
//! equal turns. Whoever sends what is costly waits for those who do not, however much of it there is; who was idle has
//! saved up nothing. Those whose costs are about the same have their turns as they come, each for all that waits of it.
//! Besides:
//!
//! - every other turn is an acknowledgement's, if there is one: it makes room, and would else come no sooner than the
//!   messages of all publishers;
//! - the ends of connections have one turn among them, as if one client did all that: however many Wills there are,
//!   those who stay have their turns between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::codec::Packet;
use crate::core::{ConnectionId, Input};

use super::inbox::Message;
use super::queue::Room;

/// The line of the connections that have ended. No connection has this number.
const ENDED: ConnectionId = ConnectionId(0);

/// Less than this makes no difference, in units of work: about a millisecond.
const GRAIN: u64 = 1024;

/// What waits for the broker.
#[derive(Default)]
pub(super) struct Turns {
    lines: BTreeMap<ConnectionId, Line>,
    /// Those whose first message is an acknowledgement, and the others; the next one first.
    acknowledging: BTreeSet<Place>,
    others: BTreeSet<Place>,
    /// What the connection had cost whose turn came last: who was idle begins with that.
    now: u64,
    /// How many have come to stand somewhere.
    arrivals: u64,
    len: usize,
    /// Whether the last turn was that of an acknowledgement.
    was_acknowledgement: bool,
}

/// What a connection has cost, in grains, when it came to stand there, and which it is.
type Place = (u64, u64, ConnectionId);

#[derive(Default)]
struct Line {
    waiting: VecDeque<(Message, Room)>,
    cost: u64,
    /// Since when it has stood where it does, as long as anything waits.
    arrival: Option<u64>,
    /// Where it stands, while there is something that may be taken.
    place: Option<Place>,
    is_held: bool,
}

impl Turns {
    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts what a connection did behind all that it did before.
    pub(super) fn push(&mut self, message: Message, room: Room) {
        let id = connection(&message);
        self.len += 1;
        self.lines.entry(id).or_default().waiting.push_back((message, room));
        self.stand(id);
    }

    /// Takes nothing more of a connection, whose last message comes again when it is [let go](Turns::let_go).
    pub(super) fn hold(&mut self, message: Message, room: Room) {
        let id = connection(&message);
        self.len += 1;
        self.leave(id);
        let line = self.lines.entry(id).or_default();
        line.waiting.push_front((message, room));
        line.is_held = true;
    }

    /// Takes nothing more of a connection until it is [let go](Turns::let_go).
    pub(super) fn pause(&mut self, id: ConnectionId) {
        self.leave(id);
        if let Some(line) = self.lines.get_mut(&id) {
            line.is_held = true;
        }
    }

    /// Goes on with a connection that was held.
    pub(super) fn let_go(&mut self, id: ConnectionId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.is_held = false;
            self.stand(id);
        }
    }

    /// Whom the next turn is charged to, and the message.
    pub(super) fn next(&mut self) -> Option<(ConnectionId, Message, Room)> {
        loop {
            let goes_before = !self.was_acknowledgement || self.others.is_empty();
            let (_, _, id) = match self.acknowledging.first() {
                Some(first) if goes_before => *first,
                _ => *self.others.first()?,
            };
            self.leave(id);
            let line = self.lines.get_mut(&id)?;
            let (message, room) = line.waiting.pop_front()?;
            let cost = line.cost;
            if line.waiting.is_empty() {
                line.arrival = None;
            }
            self.len -= 1;
            self.stand(id);
            let ends = matches!(&message, Message::Happened(Input::Closed(_)));
            if ends && id != ENDED {
                self.lines.remove(&id);
                self.len += 1;
                self.lines.entry(ENDED).or_default().waiting.push_back((message, room));
                self.stand(ENDED);
                continue;
            }
            self.was_acknowledgement = is_acknowledgement(&message);
            self.now = self.now.max(cost);
            return Some((id, message, room));
        }
    }

    /// Charges a turn. A connection that is not open any more is forgotten when all is dealt with that it wanted before.
    pub(super) fn charge(&mut self, id: ConnectionId, cost: u64, is_open: bool) {
        self.leave(id);
        if let Some(line) = self.lines.get_mut(&id) {
            let before = line.cost.max(self.now);
            line.cost = before + cost;
            if line.cost / GRAIN > before / GRAIN {
                line.arrival = None;
            }
            self.stand(id);
        }
        if !is_open && id != ENDED {
            self.closed(id);
        }
    }

    /// Waits no longer for anything that a connection wants: it is closed.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.let_go(id);
        if self.lines.get(&id).is_some_and(|line| line.waiting.is_empty()) {
            self.lines.remove(&id);
        }
    }

    fn leave(&mut self, id: ConnectionId) {
        if let Some(place) = self.lines.get_mut(&id).and_then(|line| line.place.take()) {
            let _ = self.acknowledging.remove(&place) || self.others.remove(&place);
        }
    }

    fn stand(&mut self, id: ConnectionId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some((first, _)) = line.waiting.front() else { return };
        if line.place.is_some() || line.is_held {
            return;
        }
        let arrival = *line.arrival.get_or_insert_with(|| {
            self.arrivals += 1;
            self.arrivals
        });
        let place = (line.cost.max(self.now) / GRAIN, arrival, id);
        line.place = Some(place);
        match is_acknowledgement(first) {
            true => self.acknowledging.insert(place),
            false => self.others.insert(place),
        };
    }
}

/// The connection of which a message tells.
fn connection(message: &Message) -> ConnectionId {
    match message {
        Message::Opened(id, _) | Message::Settled(id) => *id,
        Message::Happened(input) => input.connection().unwrap_or(ENDED),
    }
}

fn is_acknowledgement(message: &Message) -> bool {
    use Packet::{PubAck, PubComp, PubRec};
    matches!(message, Message::Happened(Input::Received(_, PubAck(_) | PubRec(_) | PubComp(_))))
}

#[cfg(test)]
mod tests {
    use crate::codec::PublishAck;

    use super::super::Bound;
    use super::super::queue::queue;
    use super::*;

    /// A message with the room that it takes.
    fn with_room(message: Message) -> (Message, Room) {
        let (sender, mut receiver) = queue(Bound { items: 1, bytes: 1 });
        sender.try_send(message, 0).unwrap();
        receiver.try_recv().unwrap()
    }

    fn pings(turns: &mut Turns, id: u64, count: usize) {
        for _ in 0..count {
            push(turns, Input::Received(ConnectionId(id), Packet::PingReq));
        }
    }

    fn acknowledges(turns: &mut Turns, id: u64, count: usize) {
        for _ in 0..count {
            push(turns, Input::Received(ConnectionId(id), Packet::PubAck(PublishAck::new(1))));
        }
    }

    fn push(turns: &mut Turns, input: Input) {
        let (message, room) = with_room(Message::Happened(input));
        turns.push(message, room);
    }

    /// Whose turns they are, each of which costs what is said of its connection.
    fn order(turns: &mut Turns, count: usize, cost: impl Fn(u64) -> u64) -> Vec<u64> {
        let next = |_| {
            let (id, message, _room) = turns.next()?;
            turns.charge(id, cost(id.0), true);
            Some(connection(&message).0)
        };
        (0..count).map_while(next).collect()
    }

    #[test]
    fn whoever_is_costly_waits_for_those_who_are_not() {
        let mut turns = Turns::default();
        pings(&mut turns, 1, 4);
        pings(&mut turns, 2, 8);
        let cost = |id| if id == 1 { 100 * GRAIN } else { 1 };
        assert_eq!(order(&mut turns, 9, cost), [1, 2, 2, 2, 2, 2, 2, 2, 2]);
        pings(&mut turns, 3, 2);
        assert_eq!(
            order(&mut turns, 4, cost),
            [3, 3, 1, 1],
            "a newcomer need not wait for its debts"
        );
        assert_eq!(turns.len(), 1);
    }

    #[test]
    fn who_was_idle_has_saved_up_nothing() {
        let mut turns = Turns::default();
        pings(&mut turns, 1, 100);
        assert_eq!(order(&mut turns, 50, |_| GRAIN).len(), 50);
        pings(&mut turns, 2, 100);
        let shared = order(&mut turns, 20, |_| GRAIN);
        assert_eq!(shared.iter().filter(|id| **id == 1).count(), 10, "{shared:?}");
    }

    #[test]
    fn every_other_turn_is_an_acknowledgements() {
        let mut turns = Turns::default();
        (1..=5).for_each(|id| pings(&mut turns, id, 2));
        acknowledges(&mut turns, 9, 3);
        assert_eq!(order(&mut turns, 7, |_| 1), [9, 1, 9, 1, 9, 2, 2]);
    }

    #[test]
    fn the_ends_of_connections_have_one_turn_among_them_after_all_that_came_before() {
        let mut turns = Turns::default();
        for id in 1..=3 {
            pings(&mut turns, id, 1);
            push(&mut turns, Input::Closed(ConnectionId(id)));
        }
        pings(&mut turns, 4, 3);
        let ends_are_costly = |id| if id == ENDED.0 { GRAIN } else { 1 };
        assert_eq!(order(&mut turns, 20, ends_are_costly), [1, 2, 3, 4, 4, 4, 1, 2, 3]);
        assert_eq!(turns.len(), 0);
    }

    #[test]
    fn who_is_held_has_no_turn_until_it_is_let_go_and_loses_nothing() {
        let mut turns = Turns::default();
        pings(&mut turns, 1, 1);
        push(&mut turns, Input::Closed(ConnectionId(1)));
        pings(&mut turns, 2, 2);
        let (id, message, room) = turns.next().unwrap();
        assert_eq!(id, ConnectionId(1));
        turns.hold(message, room);
        assert_eq!(order(&mut turns, 9, |_| 1), [2, 2]);
        turns.let_go(id);
        assert_eq!(order(&mut turns, 9, |_| 1), [1, 1]);
        pings(&mut turns, 2, 2);
        for left in [1, 0] {
            let (id, ..) = turns.next().unwrap();
            turns.charge(id, 1, false);
            assert_eq!(turns.len(), left, "what it wanted before is dealt with");
        }
        assert!(turns.lines.keys().eq([&ENDED]), "nothing is kept of what is closed");
    }
}
