//! Writes acknowledgements.

use reference_broker::codec::{
    Packet, PacketType, Properties, PropertyId, PublishAck, QoS, ReasonCode,
};

use crate::script::{Acknowledgement, Act};

use super::moves::Said;
use super::writer::{Writer, name};

/// A Packet Identifier that no client of these uses for anything else.
const STRAY: u16 = 60_000;

impl Writer {
    /// Releases a message that may have been released before.
    pub(super) fn release(&mut self, client: usize, which: usize, twice: bool, said: Said) {
        let sent = &self.clients[client].sent;
        let open: Vec<_> = sent.iter().filter(|publish| publish.qos == QoS::ExactlyOnce).collect();
        let Some(place) = which.checked_rem(open.len()) else { return };
        let packet_id = open[open.len() - 1 - place].packet_id;
        for _ in 0..=usize::from(twice) {
            let (reason, properties) = ack_of(PacketType::PubRel, said);
            self.send(client, Packet::PubRel(PublishAck { packet_id, reason, properties }));
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        client: usize,
        which: usize,
        said: Said,
        wrong: bool,
        twice: bool,
    ) {
        let held = self.bench.clients.held(name(client));
        let held: Vec<_> = held.map(|(payload, packet)| (payload.clone(), packet)).collect();
        let Some(place) = which.checked_rem(held.len()) else { return };
        let (payload, packet) = held[place].clone();
        let packet = match packet {
            PacketType::PubAck if wrong => PacketType::PubRec,
            PacketType::PubRec if wrong => {
                if which.is_multiple_of(2) {
                    PacketType::PubAck
                } else {
                    PacketType::PubComp
                }
            }
            packet => packet,
        };
        let (reason, properties) = ack_of(packet, said);
        let acknowledgement = Acknowledgement { packet, payload, reason, properties };
        for _ in 0..=usize::from(twice) {
            self.act(client, Act::Acknowledge(acknowledgement.clone()));
        }
    }
}

/// The code and the properties of an acknowledgement.
pub(super) fn ack_of(packet: PacketType, said: Said) -> (ReasonCode, Properties) {
    use ReasonCode::*;
    let errors = [
        UnspecifiedError,
        QuotaExceeded,
        ImplementationSpecificError,
        NotAuthorized,
        TopicNameInvalid,
        PacketIdentifierInUse,
        PayloadFormatInvalid,
    ];
    let reason = match (packet, said.code) {
        (_, 0) => Success,
        (PacketType::PubAck | PacketType::PubRec, code) => errors[code % errors.len()],
        (_, code) if code.is_multiple_of(3) => PacketIdentifierNotFound,
        _ => Success,
    };
    let mut properties = Properties::default();
    if said.reason_string {
        properties.push(PropertyId::ReasonString, "because");
    }
    add_users(&mut properties, said.users.0, said.users.1);
    (reason, properties)
}

pub(super) fn add_users(properties: &mut Properties, count: usize, alike: bool) {
    for number in 0..count {
        let value = if alike { 0 } else { number };
        properties.push(PropertyId::UserProperty, ("name", &*format!("value {value}")));
    }
}

pub(super) fn stray(kind: usize) -> Packet {
    let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubComp, Packet::PubRel];
    kinds[kind % kinds.len()](PublishAck::new(STRAY))
}
