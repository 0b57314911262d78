use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::Text;
use crate::topic::SubscriptionFilter;

use super::outbound::Outbound;
use super::route::Message;
use super::will::StoredWill;
use super::{ConnectionId, Moment};

/// A Session Expiry Interval that never ends (section 3.1.2.11.2).
pub(super) const NEVER: u32 = u32::MAX;

/// A QoS 2 message that was received and is not released.
#[derive(Debug)]
pub(super) struct Unreleased {
    /// Its place in the order of arrival.
    pub(super) order: u64,
    /// The message, if it is still to be handed on.
    pub(super) message: Option<Arc<Message>>,
}

/// Session State of one client (section 4.1).
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The connection it is in use on.
    pub(super) connection: Option<ConnectionId>,
    /// The user it is of.
    pub(super) user: Option<Text>,
    /// Its place among those whose client has left, if it has.
    pub(super) left: Option<u64>,
    /// Session Expiry Interval in force, in seconds.
    pub(super) expiry: u32,
    /// When it ends, if nobody connects.
    pub(super) expires_at: Option<Moment>,
    /// Its subscriptions, by the text of their filters; options are in the trees.
    pub(super) subscriptions: BTreeMap<Text, SubscriptionFilter>, // U-4.1-4
    /// Bytes of those texts.
    pub(super) filter_bytes: usize,
    /// QoS 2 messages received and not released, by their Packet Identifiers.
    pub(super) inbound: BTreeMap<u16, Unreleased>, // U-4.1-8
    /// How many there have been.
    pub(super) received: u64,
    /// Bytes of those messages.
    pub(super) inbound_bytes: usize,
    /// Messages for the client.
    pub(super) outbound: Outbound, // U-4.1-5, U-4.1-6
    /// Its Will.
    pub(super) will: Option<StoredWill>, // U-4.1-9
}

impl Session {
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }
}
