use reference_broker::codec::{Fault, Packet, PacketType, QoS};

use super::connections::{Passed, Reading, Received, Step};
use super::exchange::Exchanges;
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "packet-ids",
    holds: "A message from the broker has a Packet Identifier that is not 0 and not in use",
    requirements: &["MQTT-2.2.1-4"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for Step { at, connection, passed, .. } in reading.steps() {
        let Passed::Received(received) = passed else { continue };
        let observed = match received {
            Received::Packet(packet @ Packet::Publish(publish))
                if publish.qos != QoS::AtMostOnce && publish.packet_id == 0 =>
            {
                packet_text(packet)
            }
            // Before CONNACK it may be of another protocol.
            Received::Broken(bytes, error)
                if error.fault == Fault::PacketIdentifierZero
                    && bytes.first().is_some_and(|byte| byte >> 4 == PacketType::Publish as u8)
                    && connection.accepted().is_some() =>
            {
                "PUBLISH id=0".to_owned()
            }
            _ => continue,
        };
        findings.add("MQTT-2.2.1-4", at, "an identifier above 0", observed); // MQTT-2.2.1-4
    }
    for delivery in Exchanges::of(reading).deliveries {
        if delivery.open.is_some_and(|open| !open.is_same_message) {
            let expected = "an identifier that no unacknowledged message has";
            let observed = packet_text(&delivery.publish.clone().into());
            findings.add("MQTT-2.2.1-4", delivery.at, expected, observed); // MQTT-2.2.1-4
        }
    }
}
