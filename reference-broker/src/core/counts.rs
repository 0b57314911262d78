//! What is there and what has happened, in numbers that are kept as things happen.

use std::collections::BTreeMap;

use crate::codec::{Packet, QoS, ReasonCode};

use super::Broker;

/// How much there is, and how much has happened since the broker was made. Asking costs next to
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Network connections, accepted or not.
    pub connections: usize,
    /// Sessions whose client is connected.
    pub sessions_connected: usize,
    /// Sessions that wait for their client.
    pub sessions_waiting: usize,
    /// Subscriptions of single sessions.
    pub subscriptions: usize,
    /// Shared Subscriptions, each once.
    pub shared_subscriptions: usize,
    /// Sessions in Shared Subscriptions, once for each they are in.
    pub shared_members: usize,
    /// Retained messages.
    pub retained: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Messages that wait to be sent to their clients.
    pub queued: usize,
    /// Messages that have been sent and are not fully acknowledged.
    pub in_flight: usize,
    /// Bytes of the last two, as far as the messages are still kept.
    pub queued_bytes: usize,
    /// Messages at QoS 2 from clients that wait for PUBREL.
    pub unreleased: usize,
    /// What has happened.
    pub totals: Totals,
}

/// What has happened since the broker was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Network connections opened.
    pub opened: u64,
    /// CONNECT packets accepted.
    pub accepted: u64,
    /// PUBLISH packets from clients, by QoS; repetitions too.
    pub received: [u64; 3],
    /// Bytes of their payloads.
    pub received_bytes: u64,
    /// PUBLISH packets to clients, by QoS; repetitions too.
    pub sent: [u64; 3],
    /// Bytes of their payloads.
    pub sent_bytes: u64,
    /// Messages that somebody did not get, or nobody.
    pub dropped: Dropped,
    /// Sessions of absent clients that ended to make room for others.
    pub sessions_given_up: u64,
    /// SUBSCRIBE packets for which the search for retained messages ended early.
    pub retained_searches_cut_short: u64,
    /// Connections refused at CONNECT, by the code of the CONNACK, whether or not it could be sent.
    pub refused: BTreeMap<ReasonCode, u64>,
    /// Connections ended with a DISCONNECT of the broker, by its code, whether or not it could be sent.
    pub disconnected: BTreeMap<ReasonCode, u64>,
    /// Connections ended with a DISCONNECT of the client, by its code.
    pub left: BTreeMap<ReasonCode, u64>,
}

/// Messages dropped, by cause; those for several clients count for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// As many messages wait for the client as may.
    pub queue_full: u64,
    /// The messages for the client, or for all, have as many bytes as may be.
    pub queue_bytes: u64,
    /// Their lifetime has passed.
    pub expired: u64,
    /// They are larger than the client's Maximum Packet Size.
    pub too_large: u64,
    /// They are at QoS 0 and the client was not there.
    pub offline: u64,
    /// The session they were for has ended.
    pub session_ended: u64,
    /// They were handed on but not retained, for want of room.
    pub not_retained: u64,
    /// They are retained, and a SUBSCRIBE matched too many.
    pub retained_per_subscribe: u64,
    /// The broker did not accept them from their publisher.
    pub refused: u64,
}

impl Dropped {
    /// Messages that a client was to have and there was no room for.
    pub(super) fn for_want_of_room(&self) -> u64 {
        self.queue_full + self.queue_bytes
    }
}

impl Totals {
    pub(super) fn note_received(&mut self, qos: QoS, payload: usize) {
        count(&mut self.received, qos);
        self.received_bytes += payload as u64;
    }

    pub(super) fn note_sent(&mut self, packet: &Packet) {
        if let Packet::Publish(publish) = packet {
            count(&mut self.sent, publish.qos);
            self.sent_bytes += publish.payload.len() as u64;
        }
    }

    /// Counts what ends a connection.
    pub(super) fn note_end(&mut self, packet: &Packet) {
        match packet {
            Packet::ConnAck(connack) if connack.reason.is_error() => {
                *self.refused.entry(connack.reason).or_default() += 1;
            }
            Packet::Disconnect(disconnect) => {
                *self.disconnected.entry(disconnect.reason).or_default() += 1;
            }
            _ => {}
        }
    }
}

fn count(by_qos: &mut [u64; 3], qos: QoS) {
    if let Some(count) = by_qos.get_mut(usize::from(qos.value())) {
        *count += 1;
    }
}

/// Messages for clients, of one session or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    pub(super) bytes: usize,
}

impl Held {
    /// Puts what a session holds now in place of what it held.
    pub(super) fn replace(&mut self, old: Held, new: Held) {
        self.waiting = self.waiting - old.waiting + new.waiting;
        self.in_flight = self.in_flight - old.in_flight + new.in_flight;
        self.bytes = self.bytes - old.bytes + new.bytes;
    }
}

impl Broker {
    /// How much there is, and how much has happened.
    pub fn counts(&self) -> Counts {
        let (shared_subscriptions, shared_members) = self.groups.len();
        Counts {
            connections: self.connections.len(),
            sessions_connected: self.connected,
            sessions_waiting: self.sessions.len() - self.connected,
            subscriptions: self.subscriptions.len(),
            shared_subscriptions,
            shared_members,
            retained: self.retained.messages().len(),
            retained_bytes: self.retained.bytes(),
            queued: self.held.waiting,
            in_flight: self.held.in_flight,
            queued_bytes: self.held.bytes,
            unreleased: self.unreleased,
            totals: self.totals.clone(),
        }
    }
}
