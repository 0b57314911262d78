//! Answers that explain more than the client's Maximum Packet Size leaves room for.

use reference_broker::codec::{Packet, PacketType, Properties, PropertyId};

use super::Mutant;
use crate::boundary::rules::writes;

/// The id of a mutant, and the requirement that it breaks.
type Named = (&'static str, &'static [&'static str; 1]);

/// The packets, and the requirements on Reason Strings and User Properties in them.
const PACKETS: [(PacketType, [Named; 2]); 8] = [
    (
        PacketType::ConnAck,
        [
            ("3.2/long-reason-string-beyond-size-limit", &["MQTT-3.2.2-19"]),
            ("3.2/long-user-property-beyond-size-limit", &["MQTT-3.2.2-20"]),
        ],
    ),
    (
        PacketType::PubAck,
        [
            ("3.4/reason-string-beyond-size-limit", &["MQTT-3.4.2-2"]),
            ("3.4/user-property-beyond-size-limit", &["MQTT-3.4.2-3"]),
        ],
    ),
    (
        PacketType::PubRec,
        [
            ("3.5/reason-string-beyond-size-limit", &["MQTT-3.5.2-2"]),
            ("3.5/user-property-beyond-size-limit", &["MQTT-3.5.2-3"]),
        ],
    ),
    (
        PacketType::PubRel,
        [
            ("3.6/reason-string-beyond-size-limit", &["MQTT-3.6.2-2"]),
            ("3.6/user-property-beyond-size-limit", &["MQTT-3.6.2-3"]),
        ],
    ),
    (
        PacketType::PubComp,
        [
            ("3.7/reason-string-beyond-size-limit", &["MQTT-3.7.2-2"]),
            ("3.7/user-property-beyond-size-limit", &["MQTT-3.7.2-3"]),
        ],
    ),
    (
        PacketType::SubAck,
        [
            ("3.9/reason-string-beyond-size-limit", &["MQTT-3.9.2-1"]),
            ("3.9/user-property-beyond-size-limit", &["MQTT-3.9.2-2"]),
        ],
    ),
    (
        PacketType::UnsubAck,
        [
            ("3.11/reason-string-beyond-size-limit", &["MQTT-3.11.2-1"]),
            ("3.11/user-property-beyond-size-limit", &["MQTT-3.11.2-2"]),
        ],
    ),
    (
        PacketType::Disconnect,
        [
            ("3.14/reason-string-beyond-size-limit", &["MQTT-3.14.2-3"]),
            ("3.14/user-property-beyond-size-limit", &["MQTT-3.14.2-4"]),
        ],
    ),
];

/// More than any of the limits leave room for that are lower.
const LONG: usize = 200;

pub(super) fn mutants() -> Vec<Mutant> {
    let of_packet = |(packet_type, [reason, property]): (PacketType, [Named; 2])| {
        [(reason, PropertyId::ReasonString), (property, PropertyId::UserProperty)]
            .map(|((id, requirement), which)| explains(id, requirement, packet_type, which))
    };
    PACKETS.into_iter().flat_map(of_packet).collect()
}

fn explains(
    id: &'static str,
    requirement: &'static [&'static str; 1],
    packet_type: PacketType,
    which: PropertyId,
) -> Mutant {
    let breaks = "It is explained at length to a client that takes small packets alone";
    Mutant::new(id, breaks, requirement, move || {
        vec![writes(move |packet, at| {
            let client = at.client();
            let limit = client
                .and_then(|it| it.connect.properties.number(PropertyId::MaximumPacketSize))
                .unwrap_or(u32::MAX);
            if packet.packet_type() != packet_type || limit as usize > LONG {
                return;
            }
            let Some(properties) = properties_of(packet) else { return };
            let text = "why ".repeat(LONG / 4);
            match which {
                PropertyId::ReasonString => properties.set(which, text),
                _ => properties.push(which, ("reason", text.as_str())),
            }
        })]
    })
    .also(&["MQTT-3.1.2-24"])
}

fn properties_of(packet: &mut Packet) -> Option<&mut Properties> {
    match packet {
        Packet::ConnAck(it) => Some(&mut it.properties),
        Packet::PubAck(it) | Packet::PubRec(it) | Packet::PubRel(it) | Packet::PubComp(it) => {
            Some(&mut it.properties)
        }
        Packet::SubAck(it) | Packet::UnsubAck(it) => Some(&mut it.properties),
        Packet::Disconnect(it) => Some(&mut it.properties),
        _ => None,
    }
}
