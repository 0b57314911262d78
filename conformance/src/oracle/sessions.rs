//! Which connections of a trace belong to one session, and how it began.
//!
//! Where the trace does not show how a session went on, each connection is held for one of its own
//! whose beginning is unknown.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::Packet;
use reference_broker::topic::is_shared;

use super::connections::{Connection, Reading};

/// The session of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Connections of one session have the same number.
    pub(super) number: usize,
    pub(super) start: Start,
    /// Whether it ever asked for a Shared Subscription. Such a message may come from, or go to,
    /// another session (section 4.8.2).
    pub(super) shares: bool,
    /// The event that shows that another connection has the session.
    superseded_from: Option<usize>,
}

/// How a connection's session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With this connection: Session Present was 0.
    Fresh,
    /// On an earlier connection, and the trace shows all of them.
    Resumed,
    /// The trace does not show it.
    Unknown,
}

impl Session {
    /// Whether it may have gone on elsewhere: packets may have been read long after.
    pub(super) fn is_superseded(&self, event: usize) -> bool {
        self.superseded_from.is_some_and(|from| from <= event)
    }
}

/// The session of each connection, by its place in the list.
pub(super) fn sessions(reading: &Reading<'_>) -> Vec<Session> {
    let connections = &reading.connections;
    let session =
        |number| Session { number, start: Start::Unknown, shares: false, superseded_from: None };
    let mut sessions: Vec<Session> = (0..connections.len()).map(session).collect();
    // By session: from where on something may have happened to it that the trace does not show.
    let mut doubtful_from: Vec<usize> =
        connections.iter().map(|it| it.unclear_from.unwrap_or(usize::MAX)).collect();
    let stranger_from = reading.stranger_from();
    let mut last = BTreeMap::new();
    for (at, place, is_present) in accepted(connections) {
        if !is_present {
            sessions[place].start = Start::Fresh;
        }
        let Some(client) = connections[place].client_id() else { continue };
        let earlier = last.insert(client, place);
        // Which of two that came at once was the later one cannot be seen.
        if stranger_from.is_some_and(|from| from < at) || !is_alone(connections, place, at) {
            doubtful_from[place] = 0;
        } else if let (true, Some(earlier)) = (is_present, earlier) {
            sessions[earlier].superseded_from = Some(at);
            let Session { number, start, .. } = sessions[earlier];
            if start != Start::Unknown && doubtful_from[number] > at {
                sessions[place].number = number;
                sessions[place].start = Start::Resumed;
                doubtful_from[number] = doubtful_from[number].min(doubtful_from[place]);
            }
        }
    }
    let shared: BTreeSet<usize> = sessions
        .iter()
        .zip(connections)
        .filter(|(_, connection)| shares(connection))
        .map(|(session, _)| session.number)
        .collect();
    sessions.iter_mut().for_each(|it| it.shares = shared.contains(&it.number));
    sessions
}

/// The connections whose first CONNACK accepts, in the order of these: where that is, the
/// connection's place in the list, and Session Present.
fn accepted(connections: &[Connection<'_>]) -> Vec<(usize, usize, bool)> {
    let of = |(place, connection): (usize, &Connection<'_>)| {
        let (at, connack) = connection.connacks().next()?;
        (!connack.reason.is_error()).then_some((at, place, connack.session_present))
    };
    let mut accepted: Vec<_> = connections.iter().enumerate().filter_map(of).collect();
    accepted.sort_unstable();
    accepted
}

/// Whether no other connection of the client waited for its CONNACK while this one did.
fn is_alone(connections: &[Connection<'_>], place: usize, answered: usize) -> bool {
    let own = &connections[place];
    let Some((asked, _)) = own.connect() else { return false };
    asked < answered
        && !connections.iter().enumerate().any(|(other, connection)| {
            other != place
                && connection.client_id() == own.client_id()
                && connection.connect().is_some_and(|(at, _)| at < answered)
                && answer(connection).is_none_or(|at| at > asked)
        })
}

/// Where CONNECT had its answer.
fn answer(connection: &Connection<'_>) -> Option<usize> {
    let (asked, _) = connection.connect()?;
    connection.connacks().next().map(|(at, _)| at).filter(|at| *at > asked)
}

fn shares(connection: &Connection<'_>) -> bool {
    let mut packets = connection.sent.iter().filter_map(|(_, sent)| sent.packet());
    packets.any(|packet| match packet {
        Packet::Subscribe(subscribe) => {
            subscribe.subscriptions.iter().any(|one| is_shared(&one.filter))
        }
        _ => false,
    })
}
