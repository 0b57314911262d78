//! What the log tells of packets: no payload, no property, and nothing by which clients show who they are.

use crate::codec::Packet;
use crate::core::ConnectionId;

/// Tells of a packet that a client sent.
pub(super) fn received(id: ConnectionId, packet: &Packet) {
    let connection = id.0;
    match packet {
        // As text in quotes, so that no name is taken for a line of the log.
        Packet::Connect(connect) => {
            tracing::debug!(connection, client_id = ?&*connect.client_id, "CONNECT");
        }
        Packet::Disconnect(disconnect) => {
            tracing::debug!(connection, reason = ?disconnect.reason, "DISCONNECT from the client");
        }
        packet => tracing::trace!(connection, packet = ?packet.packet_type(), "received"),
    }
}

/// Tells of a packet that a client is to get.
pub(super) fn sent(id: ConnectionId, packet: &Packet) {
    let connection = id.0;
    match packet {
        Packet::ConnAck(connack) => {
            tracing::debug!(connection, reason = ?connack.reason, "CONNACK");
        }
        Packet::Disconnect(disconnect) => {
            tracing::debug!(connection, reason = ?disconnect.reason, "DISCONNECT from the broker");
        }
        packet => tracing::trace!(connection, packet = ?packet.packet_type(), "to be sent"),
    }
}
