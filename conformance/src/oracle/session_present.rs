use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_broker::codec::{ConnAck, Connect, Packet, PacketType, Properties, PropertyId};

use super::connections::{Connection, Reading, Received, Sent};
use super::{Findings, Oracle};
use crate::trace::{Ending, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "session-present",
    holds: "Session Present says what the client's earlier connections left",
    requirements: &["MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.2.2-16", "MQTT-4.1.0-2"],
    judge,
};

/// A Session Expiry Interval that never passes.
const NEVER: u32 = u32::MAX;

/// How long after its interval a session may be found: a broker notices late that a connection is
/// gone, and need not delete its state at once.
const LATE: Duration = Duration::from_secs(10);

/// How much sooner than its interval a session may be gone for want of equal clocks.
const EARLY: Duration = Duration::from_secs(1);

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let stranger = reading.stranger_from();
    let granted = reading.connections.iter().filter_map(granted).max().unwrap_or(0);
    let mut clients: BTreeMap<&str, Vec<Visit<'_>>> = BTreeMap::new();
    for connection in &reading.connections {
        if let Some((client, visit)) = Visit::of(connection, reading, granted) {
            clients.entry(client).or_default().push(visit);
        }
    }
    for visits in clients.values_mut() {
        visits.sort_by_key(|visit| visit.asked_at);
        settle(visits);
        let mut others = Others::default();
        for (index, visit) in visits.iter().enumerate() {
            if let Some((at, connack)) = visit.accepted {
                let later = visits.iter().skip(index + 1).take_while(|other| other.asked_at < at);
                let others = others.of(visit, later);
                let is_certain = stranger.is_none_or(|stranger| stranger > at);
                if let Some((requirement, expected)) = visit.fault(connack, &others, is_certain) {
                    let observed = packet_text(&Packet::ConnAck(connack.clone()));
                    findings.add(requirement, at, expected, observed);
                }
            }
            others.add(visit);
        }
    }
}

/// With more visits than this that may decide what session there is, nothing is certain.
const CROWD: usize = 64;

/// The visits of a client before, or beside, another one.
#[derive(Clone, Default)]
struct Others<'v, 'a> {
    has_any: bool,
    /// Whether one of them was not refused.
    has_unrefused: bool,
    /// Those that may decide what session there is.
    deciding: Vec<&'v Visit<'a>>,
    is_crowded: bool,
}

impl<'v, 'a> Others<'v, 'a> {
    fn add(&mut self, visit: &'v Visit<'a>) {
        self.has_any = true;
        if visit.is_refused {
            return;
        }
        self.has_unrefused = true;
        match self.deciding.len() < CROWD {
            true => self.deciding.push(visit),
            false => self.is_crowded = true,
        }
    }

    /// All of them for one visit: those before it, less those that were over, or were there
    /// already, when a later one asked that was accepted; and those that asked `beside` it.
    fn of(
        &mut self,
        visit: &Visit<'_>,
        beside: impl Iterator<Item = &'v Visit<'a>>,
    ) -> Others<'v, 'a> {
        let accepted = self.deciding.iter().filter(|other| other.accepted_before(visit.asked_at));
        if let Some(last) = accepted.map(|other| other.asked_at).max() {
            self.deciding.retain(|other| {
                let is_over = other.closed_by_broker.is_some_and(|closed| closed < last);
                !is_over && !other.accepted_before(last)
            });
        }
        let mut all = self.clone();
        beside.take(CROWD + 1).for_each(|other| all.add(other));
        all
    }
}

/// Lets the last word of each visit count, where no other visit came before its end.
fn settle(visits: &mut [Visit<'_>]) {
    let asked_at: BTreeSet<usize> = visits.iter().map(|visit| visit.asked_at).collect();
    for visit in visits {
        let (Some(last), Some(closed)) = (visit.expiry_at_end, visit.closed_by_broker) else {
            continue;
        };
        if asked_at.range(visit.asked_at + 1..closed.max(visit.asked_at + 1)).next().is_none() {
            visit.expiry = (last, last);
        }
    }
}

/// One connection of a client.
struct Visit<'a> {
    connect: &'a Connect,
    /// Whether the CONNECT is one that a probe made, under a Client Identifier of its own.
    is_own: bool,
    /// The event of the CONNECT, and when that was.
    asked_at: usize,
    asked: Duration,
    /// The CONNACK that accepts.
    accepted: Option<(usize, &'a ConnAck)>,
    /// When that was read.
    answered: Duration,
    is_refused: bool,
    /// The bounds of the Session Expiry Interval with which it ends.
    expiry: (u32, u32),
    /// The one of its DISCONNECT, which counts unless another visit ended this one.
    expiry_at_end: Option<u32>,
    /// The event of the end, and when that was.
    closed: Option<(usize, Duration)>,
    closed_by_broker: Option<usize>,
}

impl<'a> Visit<'a> {
    fn of(
        connection: &'a Connection<'_>,
        reading: &Reading<'_>,
        granted: u32,
    ) -> Option<(&'a str, Visit<'a>)> {
        let client = connection.client_id()?;
        let (asked_at, connect) = connection.connect()?;
        let accepted = connection.accepted();
        let time = |at| reading.time(at);
        let visit = Visit {
            connect,
            is_own: connection.is_own(),
            asked_at,
            asked: time(asked_at),
            accepted,
            answered: accepted.map(|(at, _)| time(at)).unwrap_or_default(),
            is_refused: accepted.is_none() && connection.connacks().next().is_some(),
            expiry: expiry(connection),
            expiry_at_end: expiry_at_end(connection, reading, granted),
            closed: connection.closed.map(|at| (at, time(at))),
            closed_by_broker: connection.closed_by_broker.map(|(at, _)| at),
        };
        Some((client, visit))
    }

    /// What is wrong with the CONNACK of this visit, after (or beside) these other visits.
    fn fault(
        &self,
        connack: &ConnAck,
        others: &Others<'_, '_>,
        is_certain: bool,
    ) -> Option<(&'static str, &'static str)> {
        let is_assigned = self.connect.client_id.is_empty();
        let is_certain = is_certain && !others.is_crowded;
        match connack.session_present {
            true if self.connect.clean_start => {
                Some(("MQTT-3.2.2-2", "session_present 0 after Clean Start 1")) // MQTT-3.2.2-2
            }
            true if is_assigned => {
                Some(("MQTT-3.2.2-3", "session_present 0 under a new Client Identifier")) // MQTT-3.2.2-3
            }
            // Who sends bytes may have them from elsewhere, and the client's name with them.
            true if !is_certain || !self.is_own => None,
            true if !others.has_any => {
                Some(("MQTT-3.2.2-3", "session_present 0 on a client's first connection")) // MQTT-3.2.2-3
            }
            true if !others.has_unrefused => {
                Some(("MQTT-3.2.2-3", "session_present 0, as nothing was accepted before")) // MQTT-3.2.2-3
            }
            true if others.deciding.iter().all(|other| other.has_left_nothing_to(self)) => {
                Some(("MQTT-4.1.0-2", "session_present 0 after the session has ended")) // MQTT-4.1.0-2
            }
            false if is_certain && self.has_session(&others.deciding) => match is_assigned {
                true => Some(("MQTT-3.2.2-16", "a Client Identifier that is not in use")), // MQTT-3.2.2-16
                false if self.connect.clean_start => None,
                false => Some(("MQTT-3.2.2-3", "session_present 1, as the session has not ended")), // MQTT-3.2.2-3
            },
            _ => None,
        }
    }

    /// Whether there is certainly no session of this visit when `next` connects.
    fn has_left_nothing_to(&self, next: &Visit<'_>) -> bool {
        let (_, longest) = self.expiry;
        let is_gone = self.closed_by_broker.is_some_and(|closed| closed < next.asked_at);
        (longest == 0 && is_gone)
            || self.closed.is_some_and(|(at, time)| {
                let expiry = Duration::from_secs(longest.into());
                longest != NEVER && at < next.asked_at && next.asked > time + expiry + LATE
            })
    }

    /// Whether there is certainly a session when this visit begins.
    fn has_session(&self, deciding: &[&Visit<'_>]) -> bool {
        let is_sure = |other: &&Visit<'_>| {
            other.accepted.is_some() && other.leaves_session_until(self.answered)
        };
        deciding.iter().all(is_sure)
            && deciding.iter().any(|other| other.accepted_before(self.asked_at))
    }

    /// Whether the CONNACK that accepts was read before this event.
    fn accepted_before(&self, event: usize) -> bool {
        self.accepted.is_some_and(|(at, _)| at < event)
    }

    /// Whether the session of this visit certainly lasts until then. Its interval begins when the
    /// broker notices the end of the connection, which cannot be before the CONNECT.
    fn leaves_session_until(&self, time: Duration) -> bool {
        match self.expiry {
            (NEVER, _) => true,
            (shortest, _) => time + EARLY < self.asked + Duration::from_secs(shortest.into()),
        }
    }
}

fn expiry_of(properties: &Properties) -> Option<u32> {
    properties.number(PropertyId::SessionExpiryInterval)
}

/// The Session Expiry Interval that a client asked for in CONNECT and got.
fn granted(connection: &Connection<'_>) -> Option<u32> {
    let asked = expiry_of(&connection.connect()?.1.properties).unwrap_or(0);
    let replaced = expiry_of(&connection.accepted()?.1.properties);
    replaced.is_none_or(|agreed| agreed == asked).then_some(asked)
}

/// The shortest and the longest Session Expiry Interval that a connection can have ended with.
fn expiry(connection: &Connection<'_>) -> (u32, u32) {
    let (Some((_, connect)), Some((_, connack))) = (connection.connect(), connection.accepted())
    else {
        return (0, NEVER);
    };
    let asked = expiry_of(&connect.properties).unwrap_or(0);
    let agreed = expiry_of(&connack.properties).unwrap_or(asked);
    if connection.unclear_from.is_some() {
        return (0, NEVER);
    }
    let mut bounds = (agreed, agreed);
    for (_, sent) in &connection.sent {
        let Some(Packet::Disconnect(disconnect)) = sent.packet() else { continue };
        // Without a value that of CONNECT is said to hold, though CONNACK may have replaced it.
        match expiry_of(&disconnect.properties).unwrap_or(asked) {
            // Raised from 0: not a valid DISCONNECT (section 3.14.2.2.2).
            1.. if asked == 0 && agreed == 0 => {}
            last => bounds = (bounds.0.min(last), bounds.1.max(last)),
        }
    }
    bounds
}

/// The Session Expiry Interval of the DISCONNECT that ended a connection, if the broker certainly
/// acted on it: it had answered what was sent before, and closed then, for no reason of its own. The
/// longest that the broker has `granted` in this trace shows that it is below any bound of its own.
fn expiry_at_end(connection: &Connection<'_>, reading: &Reading<'_>, granted: u32) -> Option<u32> {
    let [.., (before_at, Sent::Packet(before)), (at, Sent::Packet(last))] = &connection.sent[..]
    else {
        return None;
    };
    let Packet::Disconnect(disconnect) = &**last else { return None };
    let answer = match before.packet_type() {
        PacketType::Connect => PacketType::ConnAck,
        PacketType::Subscribe => PacketType::SubAck,
        PacketType::Unsubscribe => PacketType::UnsubAck,
        PacketType::PingReq => PacketType::PingResp,
        _ => return None,
    };
    let is_packet = |received: &Received<'_>, of: PacketType| match received {
        Received::Packet(packet) => packet.packet_type() == of,
        Received::Broken(..) => false,
    };
    let is_answer = |(received_at, received): &&(usize, Received<'_>)| {
        (*before_at..*at).contains(received_at) && is_packet(received, answer)
    };
    let (answered, _) = connection.received.iter().rfind(is_answer)?;
    // Longer silence may have ended the connection for Keep Alive.
    let is_prompt = reading.time(*at) < reading.time(*answered) + EARLY;
    let (_, ending) = connection.closed_by_broker.filter(|(closed, _)| closed > at)?;
    let says_why = |(_, received): &(usize, Received<'_>)| {
        matches!(received, Received::Broken(..)) || is_packet(received, PacketType::Disconnect)
    };
    let is_plain = ending == Ending::EndOfStream && !connection.received.iter().any(says_why);
    let (_, connect) = connection.connect()?;
    let (_, connack) = connection.accepted()?;
    let asked = expiry_of(&connect.properties).unwrap_or(0);
    let agreed = expiry_of(&connack.properties).unwrap_or(asked);
    let last = expiry_of(&disconnect.properties)?;
    // A bound that CONNACK shows, or would show if asked for more, may hold for DISCONNECT as well;
    // nothing could tell the client.
    let is_in_bounds = match agreed.cmp(&asked) {
        Ordering::Less => last <= agreed,
        Ordering::Equal => last <= granted,
        Ordering::Greater => last >= agreed,
    };
    (is_prompt && is_plain && is_in_bounds && asked != 0).then_some(last)
}
