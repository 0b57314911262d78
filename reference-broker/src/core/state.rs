//! What is there, by name: for those who look after a broker.

use std::ops::Bound;

use crate::codec::{SubscriptionOptions, Text};
use crate::topic::SubscriptionFilter;

use super::session::Session;
use super::{Broker, ConnectionId, Moment};

/// What is there: no payloads, no properties, nothing by which a client shows who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Sessions, by Client Identifier.
    pub sessions: Vec<SessionState>,
    /// Retained messages, by the levels of their topics.
    pub retained: Vec<RetainedState>,
    /// Shared Subscriptions, by the text of their filters.
    pub shared: Vec<SharedState>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Its Client Identifier.
    pub client_id: Text,
    /// Whether its client is connected.
    pub is_connected: bool,
    /// Session Expiry Interval in force, in seconds.
    pub expiry: u32,
    /// When it ends, if it waits for its client and does end.
    pub expires_at: Option<Moment>,
    /// Its subscriptions, by the text of their filters, but with those of the sessions before it no more
    /// than asked for.
    pub subscriptions: Vec<SubscriptionState>,
    /// How many it has.
    pub subscription_count: usize,
    /// Messages that wait to be sent to the client.
    pub queued: usize,
    /// Messages that have been sent and are not fully acknowledged.
    pub in_flight: usize,
    /// Bytes of the last two, as far as the messages are still kept.
    pub queued_bytes: usize,
    /// Messages at QoS 2 from the client that wait for PUBREL.
    pub unreleased: usize,
    /// Whether there is a Will to be published.
    pub has_will: bool,
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// The whole text of its filter.
    pub filter: Text,
    /// Its options, with the QoS it was granted.
    pub options: SubscriptionOptions,
    /// Its Subscription Identifier.
    pub identifier: Option<u32>,
}

/// One retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedState {
    /// Its topic.
    pub topic: Text,
    /// Its bytes, as [`Bounds`](super::Bounds) has them.
    pub bytes: usize,
}

/// One Shared Subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedState {
    /// The whole text of its filter.
    pub filter: Text,
    /// Client Identifiers of its members, but with those of the ones before it no more than asked for.
    pub members: Vec<Text>,
    /// How many it has.
    pub member_count: usize,
}

impl Broker {
    /// The connection of a client that is connected.
    #[must_use]
    pub fn connection_of(&self, client_id: &Text) -> Option<ConnectionId> {
        self.sessions.get(client_id)?.connection
    }

    /// The first `limit` of everything. A broker may have very many sessions: [`Broker::counts`] tells
    /// how many there are, [`Broker::sessions_after`] gives the next ones.
    pub fn state(&self, limit: usize) -> State {
        let retained = self.retained.messages().iter().take(limit).map(|(topic, message)| {
            RetainedState { topic: Text::from(topic.as_str()), bytes: message.retained_size() }
        });
        let mut left = limit;
        let shared = self.groups.iter().take(limit).map(|(filter, members)| {
            let member_count = members.len();
            let members: Vec<_> = members.take(left).cloned().collect();
            left -= members.len();
            SharedState { filter: filter.clone(), members, member_count }
        });
        State {
            sessions: self.sessions_from(Bound::Unbounded, limit),
            retained: retained.collect(),
            shared: shared.collect(),
        }
    }

    /// The first `limit` sessions whose Client Identifiers come after this one.
    pub fn sessions_after(&self, client_id: &str, limit: usize) -> Vec<SessionState> {
        self.sessions_from(Bound::Excluded(&Text::from(client_id)), limit)
    }

    fn sessions_from(&self, after: Bound<&Text>, limit: usize) -> Vec<SessionState> {
        let sessions = self.sessions.range((after, Bound::Unbounded)).take(limit);
        let mut left = limit;
        let states = sessions.map(|(client, session)| {
            let state = self.session_state(client, session, left);
            left -= state.subscriptions.len();
            state
        });
        states.collect()
    }

    fn session_state(&self, client: &Text, session: &Session, limit: usize) -> SessionState {
        let subscriptions = session.subscriptions.values().take(limit);
        let subscriptions = subscriptions.filter_map(|it| self.subscription_state(client, it));
        let held = session.outbound.held();
        SessionState {
            client_id: client.clone(),
            is_connected: session.is_connected(),
            expiry: session.expiry,
            expires_at: session.expires_at,
            subscriptions: subscriptions.collect(),
            subscription_count: session.subscriptions.len(),
            queued: held.waiting,
            in_flight: held.in_flight,
            queued_bytes: held.bytes,
            unreleased: session.inbound.len(),
            has_will: session.will.is_some(),
        }
    }

    fn subscription_state(
        &self,
        client: &Text,
        filter: &SubscriptionFilter,
    ) -> Option<SubscriptionState> {
        let subscriber = match filter.is_shared() {
            true => self.groups.get(filter, client),
            false => self.subscriptions.get(filter.filter(), client),
        }?;
        Some(SubscriptionState {
            filter: Text::from(filter.as_str()),
            options: subscriber.options,
            identifier: subscriber.identifier,
        })
    }
}
