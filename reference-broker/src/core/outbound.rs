//! Delivery to one client: what waits, what is on its way, and under which quota (section 4.9).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};

use super::connection::Connection;
use super::packet_id::PacketIds;
use super::route::{Message, Subscriber};
use super::session::Session;
use super::{Broker, ConnectionId, Handling, Moment, Output};

/// A message for one client.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    message: Arc<Message>,
    qos: QoS,
    retain: bool,
    identifiers: Vec<u32>,
    /// The full text of the Shared Subscription that brought it.
    share: Option<Text>,
}

impl Delivery {
    /// The message as a subscription asks for it.
    pub(super) fn new(message: Arc<Message>, subscriber: Subscriber) -> Delivery {
        let options = subscriber.options;
        Delivery {
            qos: message.qos.min(options.maximum_qos), // MQTT-3.8.4-8
            retain: message.retain && options.retain_as_published, // MQTT-3.3.1-12, MQTT-3.3.1-13
            identifiers: subscriber.identifier.into_iter().collect(), // MQTT-3.3.4-3
            message,
            share: None,
        }
    }

    /// The message as a new subscription brings it from the retained ones.
    pub(super) fn retained(message: Arc<Message>, subscriber: Subscriber) -> Delivery {
        Delivery { retain: true, ..Delivery::new(message, subscriber) } // U-3.3.1.3-2
    }

    /// Notes that it comes by a Shared Subscription.
    pub(super) fn shared(self, share: Text) -> Delivery {
        Delivery { share: Some(share), ..self }
    }

    /// Makes one copy of two for the same client.
    pub(super) fn merge(&mut self, other: Delivery, handling: Handling) {
        self.qos = self.qos.max(other.qos); // MQTT-3.3.4-2
        self.retain = match handling.retain_if_all {
            true => self.retain && other.retain,
            false => self.retain || other.retain,
        };
        self.identifiers.extend(other.identifiers); // MQTT-3.3.4-4, U-3.3.4-3
    }

    fn to_packet(&self, now: Moment, packet_id: u16, dup: bool) -> Packet {
        let message = &self.message;
        let mut publish =
            Publish::new(message.topic.as_str(), message.payload.clone()).qos(self.qos, packet_id);
        publish.dup = dup;
        publish.retain = self.retain;
        publish.properties = message.properties.clone();
        if let Some(seconds) = message.remaining_expiry(now) {
            publish.properties.push(PropertyId::MessageExpiryInterval, seconds); // MQTT-3.3.2-6
        }
        for identifier in &self.identifiers {
            publish.properties.push(PropertyId::SubscriptionIdentifier, *identifier);
        }
        publish.into()
    }
}

/// Messages of a session for its client.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Not sent yet, oldest first.
    waiting: VecDeque<Delivery>,
    /// None of those expires before this moment.
    next_expiry: Option<Moment>,
    /// Sent and not fully acknowledged, by Packet Identifier.
    in_flight: BTreeMap<u16, InFlight>,
    /// Packet Identifiers to be sent again on this connection, in the order of their first time.
    resend: VecDeque<u16>,
    ids: PacketIds,
    sent: u64,
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

impl Outbound {
    fn push(&mut self, delivery: Delivery) {
        let ends = [self.next_expiry, delivery.message.expires_at()];
        self.next_expiry = ends.into_iter().flatten().min();
        self.waiting.push_back(delivery);
    }

    /// Holds what waits to its limit: what has expired makes room before the newest has to go.
    fn trim(&mut self, now: Moment, limit: usize) {
        if self.waiting.len() > limit && self.next_expiry.is_some_and(|end| end <= now) {
            self.waiting.retain(|delivery| !delivery.message.is_expired(now)); // MQTT-3.3.2-5
            let ends = self.waiting.iter().filter_map(|delivery| delivery.message.expires_at());
            self.next_expiry = ends.min();
        }
        self.waiting.truncate(limit);
    }

    /// Begins anew on another connection: gives the PUBREL packets to be repeated, and notes the
    /// PUBLISH packets to be.
    fn resume(&mut self) -> Vec<u16> {
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

    /// The next PUBLISH of those that wait for quota to be sent over a connection: first what is to be repeated,
    /// then what waits.
    fn next(&mut self, now: Moment, connection: &Connection, handling: Handling) -> Option<Packet> {
        while let Some(id) = self.resend.pop_front() {
            let Some(exchange) = self.in_flight.get_mut(&id) else { continue };
            let Stage::Published(delivery) = &exchange.stage else { continue };
            let publish = delivery.to_packet(now, id, true); // MQTT-3.3.1-1
            if connection.takes(&publish) {
                exchange.counted = true; // MQTT-4.9.0-2
                return Some(publish);
            }
            self.finish(id); // MQTT-3.1.2-25
        }
        while let Some(delivery) = self.waiting.pop_front() {
            if delivery.message.is_expired(now) {
                continue; // MQTT-3.3.2-5
            }
            if delivery.qos == QoS::AtMostOnce {
                let publish = delivery.to_packet(now, 0, false); // MQTT-4.3.1-1
                match connection.takes(&publish) {
                    true => return Some(publish),
                    false => continue, // MQTT-3.1.2-25
                }
            }
            let Some(id) = self.ids.take(handling.lowest_packet_id_first) else {
                self.waiting.push_front(delivery);
                return None;
            };
            let publish = delivery.to_packet(now, id, false); // MQTT-4.3.2-2, MQTT-4.3.3-2
            if !connection.takes(&publish) {
                self.ids.put_back(id);
                continue; // MQTT-3.1.2-25
            }
            self.sent += 1;
            let stage = Stage::Published(delivery);
            self.in_flight.insert(id, InFlight { stage, order: self.sent, counted: true });
            return Some(publish);
        }
        None
    }

    /// What another member of a Shared Subscription may have in this client's place: all but messages
    /// at QoS 2 that are on their way.
    pub(super) fn into_shared(self) -> impl Iterator<Item = (Text, Arc<Message>)> {
        let mut sent: Vec<_> = self.in_flight.into_values().collect();
        // As they were sent first: no member is to see them mixed up, though section 4.6 allows it.
        sent.sort_unstable_by_key(|exchange| exchange.order);
        let sent = sent.into_iter().filter_map(|exchange| match exchange.stage {
            Stage::Published(delivery) if delivery.qos < QoS::ExactlyOnce => Some(delivery),
            _ => None, // MQTT-4.8.2-5
        });
        let open = sent.chain(self.waiting);
        open.filter_map(|delivery| Some((delivery.share?, delivery.message)))
    }

    /// Gives up what another member of a Shared Subscription is to have at once.
    pub(super) fn give_up_shared(&mut self) -> Vec<(Text, Arc<Message>)> {
        let is_open = |(id, exchange): (&u16, &InFlight)| match &exchange.stage {
            Stage::Published(delivery) if delivery.qos == QoS::AtLeastOnce => {
                delivery.share.is_some().then_some((exchange.order, *id))
            }
            _ => None, // MQTT-4.8.2-4
        };
        let mut open: Vec<_> = self.in_flight.iter().filter_map(is_open).collect();
        open.sort_unstable();
        let mut given_up = Vec::with_capacity(open.len());
        for (_, id) in open {
            if let Some(exchange) = self.in_flight.remove(&id)
                && let Stage::Published(delivery) = exchange.stage
            {
                self.ids.put_back(id);
                given_up.push(delivery);
            }
        }
        let (shared, own) = self.waiting.drain(..).partition(|waiting| waiting.share.is_some());
        self.waiting = own;
        given_up.extend::<VecDeque<_>>(shared);
        given_up.into_iter().filter_map(|it| Some((it.share?, it.message))).collect()
    }

    /// The QoS of an exchange whose PUBLISH waits for its first acknowledgement.
    fn published_qos(&self, id: u16) -> Option<QoS> {
        match &self.in_flight.get(&id)?.stage {
            Stage::Published(delivery) => Some(delivery.qos),
            Stage::Released => None,
        }
    }

    /// The client has the message; what is left is to release it.
    fn release(&mut self, id: u16) {
        if let Some(exchange) = self.in_flight.get_mut(&id) {
            exchange.stage = Stage::Released;
        }
    }

    /// Ends an exchange. Says whether that gives back quota.
    fn finish(&mut self, id: u16) -> bool {
        let Some(exchange) = self.in_flight.remove(&id) else { return false };
        self.ids.put_back(id); // U-4.3.3-1
        exchange.counted
    }
}

impl Broker {
    /// Gives a message to a session: sends it, or keeps it.
    pub(super) fn deliver(&mut self, client: &Text, delivery: Delivery) {
        let now = self.now;
        if delivery.qos == QoS::AtMostOnce && !self.config.handling.queues_qos0 {
            // Kept for nobody: a message at QoS 0 is for those who are there (U-4.1-7).
            let Some((id, _, connection)) = self.online(client) else { return };
            let publish = delivery.to_packet(now, 0, false); // MQTT-4.3.1-1
            if connection.takes(&publish) {
                self.outputs.push_back(Output::Send(id, publish)); // MQTT-3.1.2-25
            }
            return;
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.outbound.push(delivery); // U-4.1-6
        self.send_waiting(client);
        if let Some(session) = self.sessions.get_mut(client) {
            session.outbound.trim(now, self.config.queue_limit);
        }
    }

    /// Sends as much of what waits as the quota allows.
    pub(super) fn send_waiting(&mut self, client: &Text) {
        let (now, handling) = (self.now, self.config.handling);
        let Some((id, session, connection)) = self.online(client) else { return };
        let mut publishes = Vec::new();
        while connection.quota > 0 {
            let next = session.outbound.next(now, connection, handling);
            let Some(publish) = next else { break };
            if matches!(&publish, Packet::Publish(publish) if publish.qos > QoS::AtMostOnce) {
                connection.quota -= 1; // MQTT-4.9.0-2
            }
            publishes.push(Output::Send(id, publish));
        }
        self.outputs.extend(publishes);
    }

    /// Repeats on a new connection what the last one left open (section 4.4).
    pub(super) fn resume_outbound(&mut self, client: &Text) {
        let publish_first = self.config.handling.repeats_publish_first;
        let Some((id, session, _)) = self.online(client) else { return };
        let released = session.outbound.resume();
        if publish_first {
            self.send_waiting(client);
        }
        for packet_id in released {
            self.send(id, Packet::PubRel(PublishAck::new(packet_id))); // MQTT-4.4.0-1
        }
        self.send_waiting(client);
    }

    pub(super) fn receive_puback(&mut self, id: ConnectionId, client: &Text, ack: &PublishAck) {
        match self.published_qos(client, ack.packet_id) {
            Some(QoS::AtLeastOnce) => self.finish_delivery(client, ack.packet_id), // MQTT-4.3.2-3
            Some(_) => self.refuse(id, ReasonCode::ProtocolError, "PUBACK for a QoS 2 message"),
            None => {} // It may answer a message of an earlier connection.
        }
    }

    pub(super) fn receive_pubrec(&mut self, id: ConnectionId, client: &Text, ack: &PublishAck) {
        let packet_id = ack.packet_id;
        match self.published_qos(client, packet_id) {
            Some(QoS::ExactlyOnce) if ack.reason.is_error() => {
                self.finish_delivery(client, packet_id); // U-4.3.3-1, MQTT-4.4.0-2
            }
            Some(QoS::ExactlyOnce) => {
                if let Some((_, session, _)) = self.online(client) {
                    session.outbound.release(packet_id); // MQTT-4.3.3-6, MQTT-4.3.3-7
                }
                self.send(id, Packet::PubRel(PublishAck::new(packet_id))); // MQTT-4.3.3-4
            }
            Some(_) => self.refuse(id, ReasonCode::ProtocolError, "PUBREC for a QoS 1 message"),
            None if ack.reason.is_error() => {}
            None => {
                let is_open =
                    |session: &Session| session.outbound.in_flight.contains_key(&packet_id);
                let reason = match self.sessions.get(client).is_some_and(is_open) {
                    true => ReasonCode::Success,
                    false => ReasonCode::PacketIdentifierNotFound, // U-3.6.2.1-3
                };
                self.send(id, Packet::PubRel(PublishAck::because(packet_id, reason)));
            }
        }
    }

    pub(super) fn receive_pubcomp(&mut self, id: ConnectionId, client: &Text, ack: &PublishAck) {
        match self.published_qos(client, ack.packet_id) {
            Some(_) => self.refuse(id, ReasonCode::ProtocolError, "PUBCOMP before PUBREL"),
            None => self.finish_delivery(client, ack.packet_id), // U-4.9-2
        }
    }

    fn published_qos(&self, client: &Text, packet_id: u16) -> Option<QoS> {
        self.sessions.get(client)?.outbound.published_qos(packet_id)
    }

    /// Ends an exchange, whose Packet Identifier and part of the quota are free again.
    fn finish_delivery(&mut self, client: &Text, packet_id: u16) {
        let Some((_, session, connection)) = self.online(client) else { return };
        if session.outbound.finish(packet_id) {
            connection.quota += 1; // U-4.9-2, U-4.9-3
        }
        self.send_waiting(client);
    }

    /// The session of a client that is connected, and its connection.
    pub(super) fn online(
        &mut self,
        client: &Text,
    ) -> Option<(ConnectionId, &mut Session, &mut Connection)> {
        let session = self.sessions.get_mut(client)?;
        let id = session.connection?;
        Some((id, session, self.connections.get_mut(&id)?))
    }
}
