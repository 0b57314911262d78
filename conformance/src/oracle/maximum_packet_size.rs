use reference_broker::codec::{FixedHeader, Packet, PropertyId, Side};

use super::connections::{Connection, Reading, Received, Recoded, recoded};
use super::{Findings, Oracle};

pub(super) const ORACLE: Oracle = Oracle {
    name: "maximum-packet-size",
    holds: "No packet of the broker is larger than the client's Maximum Packet Size",
    requirements: &[
        "MQTT-3.1.2-24",
        "MQTT-3.2.2-19",
        "MQTT-3.2.2-20",
        "MQTT-3.4.2-2",
        "MQTT-3.4.2-3",
        "MQTT-3.5.2-2",
        "MQTT-3.5.2-3",
        "MQTT-3.6.2-2",
        "MQTT-3.6.2-3",
        "MQTT-3.7.2-2",
        "MQTT-3.7.2-3",
        "MQTT-3.9.2-1",
        "MQTT-3.9.2-2",
        "MQTT-3.11.2-1",
        "MQTT-3.11.2-2",
        "MQTT-3.14.2-3",
        "MQTT-3.14.2-4",
    ],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for connection in &reading.connections {
        let Some(limit) = limit(connection) else { continue };
        for (at, received) in &connection.received {
            let size = size(*received);
            if size > u64::from(limit) {
                let expected = format!("no packet of more than {limit} bytes");
                let requirement = explanation(*received).unwrap_or("MQTT-3.1.2-24"); // MQTT-3.1.2-24
                findings.add(requirement, *at, expected, format!("one of {size} bytes"));
            }
        }
    }
}

/// The requirement on what a packet explains beside its Reason Code: that is to be left out of one that is
/// too large with it.
fn explanation(received: Received<'_>) -> Option<&'static str> {
    let Received::Packet(packet) = received else { return None };
    let (properties, [on_reason, on_property]) = match packet {
        Packet::ConnAck(it) => (&it.properties, ["MQTT-3.2.2-19", "MQTT-3.2.2-20"]),
        Packet::PubAck(it) => (&it.properties, ["MQTT-3.4.2-2", "MQTT-3.4.2-3"]),
        Packet::PubRec(it) => (&it.properties, ["MQTT-3.5.2-2", "MQTT-3.5.2-3"]),
        Packet::PubRel(it) => (&it.properties, ["MQTT-3.6.2-2", "MQTT-3.6.2-3"]),
        Packet::PubComp(it) => (&it.properties, ["MQTT-3.7.2-2", "MQTT-3.7.2-3"]),
        Packet::SubAck(it) => (&it.properties, ["MQTT-3.9.2-1", "MQTT-3.9.2-2"]),
        Packet::UnsubAck(it) => (&it.properties, ["MQTT-3.11.2-1", "MQTT-3.11.2-2"]),
        Packet::Disconnect(it) => (&it.properties, ["MQTT-3.14.2-3", "MQTT-3.14.2-4"]),
        _ => return None,
    };
    match properties {
        it if it.contains(PropertyId::ReasonString) => Some(on_reason),
        it if it.contains(PropertyId::UserProperty) => Some(on_property),
        _ => None,
    }
}

fn limit(connection: &Connection<'_>) -> Option<u32> {
    let (_, connect) = connection.connect()?;
    connect.properties.number(PropertyId::MaximumPacketSize)
}

/// The size of a packet, as far as it is certain: packets are kept without the bytes they came in,
/// and some have a longer form than the shortest.
fn size(received: Received<'_>) -> u64 {
    match received {
        Received::Packet(packet) => match recoded(packet, Side::Server) {
            Recoded::Same(size) => size,
            Recoded::Fault(_) | Recoded::Unwritable => 0,
        },
        Received::Broken(bytes, _) => match FixedHeader::decode(bytes) {
            Ok(Some(header)) => header.packet_size(),
            Ok(None) | Err(_) => 0,
        },
    }
}
