use reference_broker::codec::{FixedHeader, PropertyId, Side};

use super::connections::{Connection, Reading, Received, Recoded, recoded};
use super::{Findings, Oracle};

pub(super) const ORACLE: Oracle = Oracle {
    name: "maximum-packet-size",
    holds: "No packet of the broker is larger than the client's Maximum Packet Size",
    requirements: &["MQTT-3.1.2-24"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for connection in &reading.connections {
        let Some(limit) = limit(connection) else { continue };
        for (at, received) in &connection.received {
            let size = size(*received);
            if size > u64::from(limit) {
                let expected = format!("no packet of more than {limit} bytes");
                findings.add("MQTT-3.1.2-24", *at, expected, format!("one of {size} bytes")); // MQTT-3.1.2-24
            }
        }
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
