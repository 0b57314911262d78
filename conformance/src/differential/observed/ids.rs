//! Packet Identifiers, by what they stand for.

use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{Packet, Publish, QoS};

/// Packet Identifiers of messages to clients, by what they stand for.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// By client and identifier: the message that has it.
    open: BTreeMap<(String, u16), Bytes>,
}

impl Ids {
    /// What the identifier of a message says: whether it is that of the same message before, or of
    /// another one.
    pub(super) fn received(&mut self, client: &str, publish: &Publish) -> &'static str {
        if publish.qos == QoS::AtMostOnce {
            return "";
        }
        let key = (client.to_owned(), publish.packet_id);
        match self.open.insert(key, publish.payload.clone()) {
            Some(payload) if payload == publish.payload => "as before",
            Some(_) => "of another message",
            None => "new",
        }
    }

    pub(super) fn payload(&self, client: &str, id: u16) -> Option<Bytes> {
        self.open.get(&(client.to_owned(), id)).cloned()
    }

    pub(super) fn sent(&mut self, client: &str, packet: &Packet) {
        let id = match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => ack.packet_id,
            Packet::PubRec(ack) if ack.reason.is_error() => ack.packet_id,
            _ => return,
        };
        self.open.remove(&(client.to_owned(), id));
    }
}
