use reference_broker::codec::{Packet, PropertyId, QoS};

use super::connections::{Passed, Reading, Received, Sent, Step};
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "receive-maximum",
    holds: "The broker has no more messages unacknowledged than the client's Receive Maximum",
    requirements: &["MQTT-3.3.4-9"],
    judge,
};

/// Without the property (section 3.1.2.11.3).
const DEFAULT: u32 = 65_535;

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    // By connection: what may come before the next acknowledgement. An acknowledgement counts from
    // when it was sent, whatever it is for: section 4.9 gives quota back for any.
    let mut quota: Vec<Option<u32>> = vec![None; reading.connections.len()];
    for Step { at, place, connection, passed } in reading.steps() {
        let Some((_, connect)) = connection.connect() else { continue };
        let limit = connect.properties.number(PropertyId::ReceiveMaximum).unwrap_or(DEFAULT);
        let left = quota[place].get_or_insert(limit);
        match passed {
            Passed::Sent(Sent::Packet(packet)) if gives_back(packet) => {
                *left = left.saturating_add(1)
            }
            Passed::Received(Received::Packet(packet @ Packet::Publish(publish)))
                if publish.qos != QoS::AtMostOnce && connection.is_clear(at) =>
            {
                if *left == 0 {
                    let expected = format!("at most {limit} messages unacknowledged");
                    findings.add("MQTT-3.3.4-9", at, expected, packet_text(packet)); // MQTT-3.3.4-9
                }
                *left = left.saturating_sub(1);
            }
            _ => {}
        }
    }
}

/// Whether an acknowledgement makes room for a message (section 4.9).
pub(super) fn gives_back(packet: &Packet) -> bool {
    match packet {
        Packet::PubAck(_) | Packet::PubComp(_) => true,
        Packet::PubRec(ack) => ack.reason.is_error(),
        _ => false,
    }
}
