//! Messages on their way to clients, under the quota of each (section 4.9), and what they answer.

use crate::codec::{Packet, PublishAck, QoS, ReasonCode, Text};

use super::connection::Connection;
use super::counts::Held;
use super::delivery::Delivery;
use super::outbound::Outbound;
use super::session::Session;
use super::{Bounds, Broker, Config, ConnectionId, Output, Sharing};

impl Broker {
    /// Gives a message to a session: sends it, or keeps it.
    pub(super) fn deliver(&mut self, client: &Text, delivery: Delivery) {
        let now = self.now;
        if delivery.message.is_expired(now) {
            self.totals.dropped.expired += 1; // It may have waited for another client: MQTT-3.3.2-5
            return;
        }
        if delivery.qos == QoS::AtMostOnce && !self.config.handling.queues_qos0 {
            // Kept for nobody: a message at QoS 0 is for those who are there (U-4.1-7).
            let Some((id, _, connection)) = self.online(client) else {
                self.totals.dropped.offline += 1;
                return;
            };
            match connection.prepare(delivery.to_publish(now, 0, false)) {
                Some(publish) => self.send_publish(id, publish), // MQTT-4.3.1-1
                None => self.totals.dropped.too_large += 1,      // MQTT-3.1.2-25
            }
            return;
        }
        if !self.has_bytes_for(client, delivery.size()) {
            self.totals.dropped.queue_bytes += 1;
            return;
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.outbound.push(delivery); // U-4.1-6
        self.send_waiting(client);
        if let Some(session) = self.sessions.get_mut(client) {
            session.outbound.trim(now, self.config.queue_limit, &mut self.totals.dropped);
            session.outbound.settle(&mut self.held);
            if is_crowded(session, &self.config) {
                self.crowded = Some(client.clone());
            }
        }
    }

    /// A connected client that the last input has brought something and that has more than half as much waiting as may:
    /// better let nobody publish until it is [not crowded](Broker::is_crowded) any more, if it comes on.
    pub fn crowded_client(&self) -> Option<&Text> {
        self.crowded.as_ref()
    }

    /// Whether this client is connected and has more than half as much waiting as may.
    pub fn is_crowded(&self, client: &Text) -> bool {
        self.sessions.get(client).is_some_and(|session| is_crowded(session, &self.config))
    }

    /// Whether so many more bytes may be kept for a client, now or without what has expired.
    fn has_bytes_for(&mut self, client: &Text, size: usize) -> bool {
        let bounds = &self.config.bounds;
        let Some(Session { outbound, .. }) = self.sessions.get_mut(client) else { return false };
        let has_room = |outbound: &Outbound, all: &Held| {
            outbound.held().bytes.saturating_add(size) <= bounds.queued_bytes_per_session
                && Bounds::allow(outbound.held().bytes, all.bytes, size, bounds.queued_bytes)
        };
        if !has_room(outbound, &self.held) {
            outbound.drop_expired(self.now, &mut self.totals.dropped);
            outbound.settle(&mut self.held);
        }
        has_room(outbound, &self.held)
    }

    fn send_publish(&mut self, id: ConnectionId, publish: Packet) {
        self.totals.note_sent(&publish);
        self.outputs.push_back(Output::Send(id, publish));
    }

    /// Sends as much of what waits as the quota allows.
    pub(super) fn send_waiting(&mut self, client: &Text) {
        let (now, handling) = (self.now, self.config.handling);
        let Some(Session { connection: Some(id), outbound, .. }) = self.sessions.get_mut(client)
        else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else { return };
        while connection.quota > 0 {
            let next = outbound.next(now, connection, handling, &mut self.totals.dropped);
            let Some(publish) = next else { break };
            if matches!(&publish, Packet::Publish(publish) if publish.qos > QoS::AtMostOnce) {
                connection.quota -= 1; // MQTT-4.9.0-2, MQTT-3.3.4-9
            }
            self.totals.note_sent(&publish);
            self.outputs.push_back(Output::Send(*id, publish));
        }
        outbound.settle(&mut self.held);
    }

    /// Takes from a session that has lost its connection what another member of a Shared Subscription
    /// is to have. Where none is connected the session keeps it, with its Packet Identifiers.
    pub(super) fn share_again(&mut self, client: &Text) {
        let Some(session) = self.sessions.get(client) else { return };
        let is_connected = |it: &Text| self.sessions.get(it).is_some_and(Session::is_connected);
        let mut shares = session.outbound.shares();
        shares.retain(|share| self.groups.is_served(share, is_connected));
        let sharing = match self.config.handling.sharing {
            Sharing::InTurnAbsentToo => Sharing::InTurn,
            sharing => sharing,
        };
        let Some(session) = self.sessions.get_mut(client) else { return };
        let shared = session.outbound.give_up(&shares);
        session.outbound.settle(&mut self.held);
        for (share, message) in shared {
            self.deliver_shared_by(sharing, &share, message); // U-4.8.2-8
        }
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
            Some(QoS::AtLeastOnce) => self.finish_delivery(client, ack.packet_id), // MQTT-4.3.2-3, MQTT-4.8.2-6
            Some(_) => self.receive_wrong(id, client, ack, "PUBACK for a QoS 2 message"),
            None => {} // It may answer a message of an earlier connection.
        }
    }

    pub(super) fn receive_pubrec(&mut self, id: ConnectionId, client: &Text, ack: &PublishAck) {
        let packet_id = ack.packet_id;
        match self.published_qos(client, packet_id) {
            Some(QoS::ExactlyOnce) if ack.reason.is_error() => {
                self.finish_delivery(client, packet_id); // U-4.3.3-1, MQTT-4.4.0-2, MQTT-4.8.2-6
            }
            Some(QoS::ExactlyOnce) => {
                if let Some(session) = self.sessions.get_mut(client) {
                    session.outbound.release(packet_id); // MQTT-4.3.3-6, MQTT-4.3.3-7
                    session.outbound.settle(&mut self.held);
                }
                self.send(id, Packet::PubRel(PublishAck::new(packet_id))); // MQTT-4.3.3-4
            }
            Some(_) => self.refuse(id, ReasonCode::ProtocolError, "PUBREC for a QoS 1 message"),
            None if ack.reason.is_error() => {}
            None => {
                let is_open = |session: &Session| session.outbound.is_open(packet_id);
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
            Some(_) => self.receive_wrong(id, client, ack, "PUBCOMP before PUBREL"),
            None => self.finish_delivery(client, ack.packet_id), // U-4.9-2
        }
    }

    /// Takes an acknowledgement that ends nothing: the message is as unacknowledged as before.
    fn receive_wrong(
        &mut self,
        id: ConnectionId,
        client: &Text,
        ack: &PublishAck,
        why: &'static str,
    ) {
        if !self.config.handling.counts_wrong_acknowledgements {
            return self.refuse(id, ReasonCode::ProtocolError, why);
        }
        let Some((_, session, connection)) = self.online(client) else { return };
        if session.outbound.uncount(ack.packet_id) {
            connection.quota += 1; // U-4.9-2, U-4.9-3
        }
        self.send_waiting(client);
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

fn is_crowded(session: &Session, config: &Config) -> bool {
    let held = session.outbound.held();
    session.is_connected()
        && (held.waiting > config.queue_limit / 2
            || held.bytes > config.bounds.queued_bytes_per_session / 2)
}
