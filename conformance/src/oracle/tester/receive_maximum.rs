use reference_broker::codec::{Packet, PropertyId, QoS};

use super::super::connections::{Passed, Reading, Received, Step};
use super::super::receive_maximum::gives_back;
use super::super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-receive-maximum",
    holds: "The suite has no more messages unacknowledged than the broker's Receive Maximum",
    requirements: &["MQTT-3.3.4-7"],
    judge,
};

/// Without the property (section 3.2.2.3.3).
const DEFAULT: u32 = 65_535;

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    // By connection: messages that nothing has made room for again (section 4.9).
    let mut taken = vec![0_u32; reading.connections.len()];
    for Step { at, place, connection, passed } in reading.steps() {
        let taken = &mut taken[place];
        match passed {
            Passed::Sent(sent) => {
                let Some(packet @ Packet::Publish(publish)) = sent.packet() else { continue };
                if publish.qos == QoS::AtMostOnce {
                    continue;
                }
                *taken += 1;
                let connack = connection.accepted().filter(|(answered, _)| *answered < at);
                let Some((_, connack)) = connack else { continue };
                let limit = connack.properties.number(PropertyId::ReceiveMaximum);
                let limit = limit.unwrap_or(DEFAULT);
                if *taken > limit {
                    let expected = format!("at most {limit} messages unacknowledged");
                    findings.add("MQTT-3.3.4-7", at, expected, packet_text(packet)); // MQTT-3.3.4-7
                }
            }
            Passed::Received(Received::Packet(packet)) if gives_back(packet) => {
                *taken = taken.saturating_sub(1);
            }
            Passed::Received(_) => {}
        }
    }
}
