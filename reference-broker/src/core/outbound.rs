//! What there is for one client: what waits, and what is on its way (section 4.1).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::codec::{Packet, QoS};

use super::connection::Connection;
use super::counts::{Dropped, Held};
use super::delivery::Delivery;
use super::packet_id::PacketIds;
use super::route::{Message, Share};
use super::{Handling, Moment};

/// Messages of a session for its client.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Not sent yet, oldest first.
    waiting: VecDeque<Delivery>, // MQTT-4.6.0-6
    /// None of those expires before this moment.
    next_expiry: Option<Moment>,
    /// Sent and not fully acknowledged, by Packet Identifier.
    in_flight: BTreeMap<u16, InFlight>,
    /// Packet Identifiers to be sent again on this connection, in the order of their first time.
    resend: VecDeque<u16>,
    ids: PacketIds,
    sent: u64,
    /// Of the messages that wait or may have to be sent again.
    bytes: usize,
    /// What the sum over all sessions has for this one.
    settled: Held,
}

#[derive(Debug)]
struct InFlight {
    stage: Stage,
    /// Its place in the order of first sending.
    order: u64,
    /// Whether it takes part of this connection's quota.
    counted: bool,
}

#[derive(Debug)]
enum Stage {
    /// PUBLISH waits for PUBACK or PUBREC.
    Published(Delivery),
    /// PUBREL waits for PUBCOMP.
    Released,
}

impl InFlight {
    /// The Shared Subscription that has brought it, if another member may have it at once.
    fn shared(&self) -> Option<&Share> {
        match &self.stage {
            Stage::Published(delivery) if delivery.qos == QoS::AtLeastOnce => delivery.share(),
            _ => None, // MQTT-4.8.2-4
        }
    }
}

impl Outbound {
    pub(super) fn push(&mut self, delivery: Delivery) {
        let ends = [self.next_expiry, delivery.message.expires_at()];
        self.next_expiry = ends.into_iter().flatten().min();
        self.bytes += delivery.size();
        self.waiting.push_back(delivery);
    }

    /// Drops what has expired.
    pub(super) fn drop_expired(&mut self, now: Moment, dropped: &mut Dropped) {
        if self.next_expiry.is_none_or(|end| end > now) {
            return;
        }
        let bytes = &mut self.bytes;
        self.waiting.retain(|delivery| {
            let is_expired = delivery.message.is_expired(now);
            if is_expired {
                *bytes -= delivery.size();
                dropped.expired += 1;
            }
            !is_expired // MQTT-3.3.2-5
        });
        let ends = self.waiting.iter().filter_map(|delivery| delivery.message.expires_at());
        self.next_expiry = ends.min();
    }

    /// Holds what waits to its limit: what has expired makes room before the newest has to go.
    pub(super) fn trim(&mut self, now: Moment, limit: usize, dropped: &mut Dropped) {
        if self.waiting.len() > limit {
            self.drop_expired(now, dropped);
        }
        while self.waiting.len() > limit
            && let Some(newest) = self.waiting.pop_back()
        {
            self.bytes -= newest.size();
            dropped.queue_full += 1;
        }
    }

    /// What there is for the client.
    pub(super) fn held(&self) -> Held {
        let (waiting, in_flight) = (self.waiting.len(), self.in_flight.len());
        Held { waiting, in_flight, bytes: self.bytes }
    }

    /// How many messages the client does not have yet, as far as is known.
    pub(super) fn message_count(&self) -> usize {
        let is_open = |exchange: &&InFlight| matches!(exchange.stage, Stage::Published(_));
        self.waiting.len() + self.in_flight.values().filter(is_open).count()
    }

    /// Brings the sum over all sessions up to date.
    pub(super) fn settle(&mut self, sum: &mut Held) {
        let held = self.held();
        sum.replace(std::mem::replace(&mut self.settled, held), held);
    }

    /// Takes what it has out of the sum over all sessions, as it is to go.
    pub(super) fn settle_end(&mut self, sum: &mut Held) {
        sum.replace(std::mem::take(&mut self.settled), Held::default());
    }

    /// Begins anew on another connection: gives the PUBREL packets to be repeated, and notes the
    /// PUBLISH packets to be.
    pub(super) fn resume(&mut self) -> Vec<u16> {
        let mut open: Vec<(u64, u16, bool)> = Vec::with_capacity(self.in_flight.len());
        for (id, exchange) in &mut self.in_flight {
            exchange.counted = false; // U-4.9-4
            open.push((exchange.order, *id, matches!(exchange.stage, Stage::Released)));
        }
        open.sort_unstable(); // MQTT-4.6.0-5
        let ids = |released: bool| {
            open.iter().filter(move |(_, _, is)| *is == released).map(|(_, id, _)| *id)
        };
        self.resend = ids(false).collect(); // MQTT-4.4.0-1
        ids(true).collect() // MQTT-4.3.3-5
    }

    /// The next PUBLISH of those that wait for quota to be sent over a connection: first what is to be
    /// repeated, then what waits.
    pub(super) fn next(
        &mut self,
        now: Moment,
        connection: &mut Connection,
        handling: Handling,
        dropped: &mut Dropped,
    ) -> Option<Packet> {
        while let Some(id) = self.resend.pop_front() {
            let Some(exchange) = self.in_flight.get_mut(&id) else { continue };
            let Stage::Published(delivery) = &exchange.stage else { continue };
            let publish = connection.prepare(delivery.to_publish(now, id, true)); // MQTT-3.3.1-1
            if publish.is_some() {
                exchange.counted = true; // MQTT-4.9.0-2
                return publish;
            }
            dropped.too_large += 1;
            self.finish(id); // MQTT-3.1.2-25
        }
        while let Some(delivery) = self.waiting.pop_front() {
            let size = delivery.size();
            if delivery.message.is_expired(now) {
                self.bytes -= size;
                dropped.expired += 1;
                continue; // MQTT-3.3.2-5
            }
            let id = match delivery.qos {
                QoS::AtMostOnce => 0, // MQTT-4.3.1-1
                _ => match self.ids.take(handling.lowest_packet_id_first) {
                    Some(id) => id, // MQTT-4.3.2-1, MQTT-4.3.3-1
                    None => {
                        self.waiting.push_front(delivery);
                        return None;
                    }
                },
            };
            let publish = connection.prepare(delivery.to_publish(now, id, false)); // MQTT-4.3.2-2, MQTT-4.3.3-2
            match (&publish, id) {
                (Some(_), 1..) => {
                    self.sent += 1;
                    let stage = Stage::Published(delivery); // MQTT-4.3.3-3
                    self.in_flight.insert(id, InFlight { stage, order: self.sent, counted: true });
                    return publish;
                }
                (None, 1..) => self.ids.put_back(id),
                (_, 0) => {}
            }
            self.bytes -= size;
            match publish {
                Some(publish) => return Some(publish),
                None => dropped.too_large += 1, // MQTT-3.1.2-25
            }
        }
        None
    }

    /// What another member of a Shared Subscription may have in this client's place: all but messages
    /// at QoS 2 that are on their way.
    pub(super) fn into_shared(self) -> impl Iterator<Item = (Share, Arc<Message>)> {
        let mut sent: Vec<_> = self.in_flight.into_values().collect();
        // As they were sent first: no member is to see them mixed up, though section 4.6 allows it.
        sent.sort_unstable_by_key(|exchange| exchange.order);
        let sent = sent.into_iter().filter_map(|exchange| match exchange.stage {
            Stage::Published(delivery) if delivery.qos < QoS::ExactlyOnce => Some(delivery),
            _ => None, // MQTT-4.8.2-5
        });
        let open = sent.chain(self.waiting);
        open.filter_map(Delivery::into_shared)
    }

    /// The Shared Subscriptions that have brought something another member may have at once.
    pub(super) fn shares(&self) -> BTreeSet<Share> {
        let open = self.in_flight.values().filter_map(InFlight::shared);
        let waiting = self.waiting.iter().filter_map(Delivery::share);
        open.chain(waiting).cloned().collect()
    }

    /// Gives up what another member of these Shared Subscriptions is to have at once.
    pub(super) fn give_up(&mut self, shares: &BTreeSet<Share>) -> Vec<(Share, Arc<Message>)> {
        let is_given_up = |share: Option<&Share>| share.is_some_and(|share| shares.contains(share));
        let is_open = |(id, exchange): (&u16, &InFlight)| {
            is_given_up(exchange.shared()).then_some((exchange.order, *id))
        };
        let mut open: Vec<_> = self.in_flight.iter().filter_map(is_open).collect();
        open.sort_unstable();
        let mut given_up = Vec::with_capacity(open.len());
        for (_, id) in open {
            if let Some(exchange) = self.in_flight.remove(&id)
                && let Stage::Published(delivery) = exchange.stage
            {
                self.ids.put_back(id);
                self.bytes -= delivery.size();
                given_up.push(delivery);
            }
        }
        let is_shared = |waiting: &Delivery| is_given_up(waiting.share());
        let (shared, own) = self.waiting.drain(..).partition(is_shared);
        self.waiting = own;
        let shared: VecDeque<Delivery> = shared;
        self.bytes -= shared.iter().map(Delivery::size).sum::<usize>();
        given_up.extend(shared);
        given_up.into_iter().filter_map(Delivery::into_shared).collect()
    }

    /// Whether an exchange with this Packet Identifier is open.
    pub(super) fn is_open(&self, id: u16) -> bool {
        self.in_flight.contains_key(&id)
    }

    /// The QoS of an exchange whose PUBLISH waits for its first acknowledgement.
    pub(super) fn published_qos(&self, id: u16) -> Option<QoS> {
        match &self.in_flight.get(&id)?.stage {
            Stage::Published(delivery) => Some(delivery.qos),
            Stage::Released => None,
        }
    }

    /// The client has the message; what is left is to release it.
    pub(super) fn release(&mut self, id: u16) {
        if let Some(exchange) = self.in_flight.get_mut(&id)
            && let Stage::Published(delivery) =
                std::mem::replace(&mut exchange.stage, Stage::Released)
        {
            self.bytes -= delivery.size();
        }
    }

    /// Has an exchange take no part of the quota any longer. Says whether it did.
    pub(super) fn uncount(&mut self, id: u16) -> bool {
        let exchange = self.in_flight.get_mut(&id);
        exchange.is_some_and(|exchange| std::mem::replace(&mut exchange.counted, false))
    }

    /// Ends an exchange. Says whether that gives back quota.
    pub(super) fn finish(&mut self, id: u16) -> bool {
        let Some(exchange) = self.in_flight.remove(&id) else { return false };
        if let Stage::Published(delivery) = &exchange.stage {
            self.bytes -= delivery.size();
        }
        self.ids.put_back(id); // U-4.3.3-1, U-2.2.1-2
        exchange.counted
    }
}
