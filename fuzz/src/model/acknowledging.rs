//! What the client answers to messages (sections 4.3, 4.9 and 4.13.1).

use reference_broker::codec::{Packet, PublishAck, QoS, ReasonCode};
use reference_broker::core::ConnectionId;

use super::broker::Model;

impl Model {
    /// The QoS of a message that waits for its first acknowledgement.
    fn published_qos(&mut self, client: &str, packet_id: u16) -> Option<QoS> {
        let exchange = self.session(client)?.outbound.find(packet_id)?;
        (!exchange.is_released).then_some(exchange.delivery.qos)
    }

    pub(crate) fn receive_puback(&mut self, client: &str, packet_id: u16) {
        match self.published_qos(client, packet_id) {
            Some(QoS::AtLeastOnce) => self.finish(client, packet_id),
            Some(_) => self.refuse(client, ReasonCode::ProtocolError),
            None => {}
        }
    }

    pub(crate) fn receive_pubcomp(&mut self, client: &str, packet_id: u16) {
        match self.published_qos(client, packet_id) {
            Some(_) => self.refuse(client, ReasonCode::ProtocolError),
            None => self.finish(client, packet_id),
        }
    }

    pub(crate) fn receive_pubrec(&mut self, client: &str, id: ConnectionId, ack: &PublishAck) {
        let packet_id = ack.packet_id;
        match self.published_qos(client, packet_id) {
            Some(QoS::ExactlyOnce) if ack.reason.is_error() => {
                return self.finish(client, packet_id);
            }
            Some(QoS::ExactlyOnce) => {}
            Some(_) => return self.refuse(client, ReasonCode::ProtocolError),
            None if ack.reason.is_error() => return,
            None => {}
        }
        let exchange = self.session(client).and_then(|it| it.outbound.find(packet_id));
        let reason = match exchange {
            Some(exchange) => {
                exchange.is_released = true;
                exchange.is_to_repeat = false;
                ReasonCode::Success
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.reply(id, Packet::PubRel(PublishAck::because(packet_id, reason)));
    }

    /// An exchange is over: its Packet Identifier and its part of the quota are free (section 4.9).
    fn finish(&mut self, client: &str, packet_id: u16) {
        if let Some(session) = self.session(client) {
            session.outbound.finish(packet_id);
        }
        self.send(client);
    }
}
