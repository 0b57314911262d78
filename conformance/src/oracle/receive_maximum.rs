use reference_broker::codec::{Packet, PropertyId, QoS};

use super::history::{Act, History};
use super::{Findings, Oracle};
use crate::trace::{Event, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "receive-maximum",
    holds: "The broker has no more messages unacknowledged than the client's Receive Maximum",
    requirements: &["MQTT-3.3.4-9"],
    judge,
};

/// Without the property (section 3.1.2.11.3).
const DEFAULT: u32 = 65_535;

fn judge(trace: &[Event], findings: &mut Findings) {
    let history = History::of(trace);
    // By connection: what may come before the next acknowledgement. An acknowledgement counts from
    // when it was sent, whatever it is for: section 4.9 gives quota back for any.
    let mut quota: Vec<Option<u32>> = vec![None; history.connections.len()];
    for step in &history.steps {
        let known = &history.connections[step.connection];
        let Some(connect) = &known.connect else { continue };
        let is_set = connect.properties.contains(PropertyId::ReceiveMaximum);
        let limit = match known.asked_for(PropertyId::ReceiveMaximum) {
            None if is_set => continue,
            Some(0) => continue,
            limit => limit.unwrap_or(DEFAULT),
        };
        let left = quota[step.connection].get_or_insert(limit);
        match &step.act {
            Act::Sent(packet) if gives_back(packet) => *left = left.saturating_add(1),
            Act::Received(packet @ Packet::Publish(publish))
                if publish.qos != QoS::AtMostOnce && known.is_clear(step.index) =>
            {
                if *left == 0 {
                    let expected = format!("at most {limit} messages unacknowledged");
                    findings.add("MQTT-3.3.4-9", step.index, expected, packet_text(packet)); // MQTT-3.3.4-9
                }
                *left = left.saturating_sub(1);
            }
            _ => {}
        }
    }
}

fn gives_back(packet: &Packet) -> bool {
    match packet {
        Packet::PubAck(_) | Packet::PubComp(_) => true,
        Packet::PubRec(ack) => ack.reason.is_error(),
        _ => false,
    }
}
