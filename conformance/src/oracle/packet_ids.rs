use reference_broker::codec::{Fault, Packet, PacketType, QoS};

use super::exchange::Exchanges;
use super::history::{Act, History};
use super::{Findings, Oracle};
use crate::trace::{Event, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "packet-ids",
    holds: "A message from the broker has a Packet Identifier that is not 0 and not in use",
    requirements: &["MQTT-2.2.1-4"],
    judge,
};

fn judge(trace: &[Event], findings: &mut Findings) {
    let history = History::of(trace);
    for step in &history.steps {
        let observed = match &step.act {
            Act::Received(packet @ Packet::Publish(publish))
                if publish.qos != QoS::AtMostOnce && publish.packet_id == 0 =>
            {
                packet_text(packet)
            }
            Act::Broken(bytes, Fault::PacketIdentifierZero)
                if bytes.first().is_some_and(|byte| byte >> 4 == PacketType::Publish as u8) =>
            {
                "PUBLISH id=0".to_owned()
            }
            _ => continue,
        };
        findings.add("MQTT-2.2.1-4", step.index, "an identifier above 0", observed); // MQTT-2.2.1-4
    }
    for delivery in Exchanges::of(&history).deliveries {
        if delivery.open.is_some_and(|open| !open.is_same_message) {
            let expected = "an identifier that no unacknowledged message has";
            let observed = packet_text(&delivery.publish.clone().into());
            findings.add("MQTT-2.2.1-4", delivery.index, expected, observed); // MQTT-2.2.1-4
        }
    }
}
