use std::collections::BTreeSet;

use reference_broker::codec::Packet;

use super::connections::Reading;
use super::{Findings, Oracle};
use crate::trace::{What, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "after-disconnect",
    holds: "The broker sends nothing after its DISCONNECT, and no DISCONNECT before its CONNACK",
    requirements: &["MQTT-3.14.4-1", "MQTT-3.14.0-1"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let (mut accepted, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for (index, event) in reading.trace.iter().enumerate() {
        let name = event.probe.as_str();
        let What::Received(packet) = &event.what else { continue };
        if gone.contains(name) {
            let expected = "nothing after DISCONNECT";
            findings.add("MQTT-3.14.4-1", index, expected, packet_text(packet)); // MQTT-3.14.4-1
        }
        match packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => {
                accepted.insert(name);
            }
            Packet::Disconnect(_) => {
                gone.insert(name);
                if !accepted.contains(name) {
                    let expected = "no DISCONNECT before a CONNACK that accepts";
                    findings.add("MQTT-3.14.0-1", index, expected, packet_text(packet)); // MQTT-3.14.0-1
                }
            }
            _ => {}
        }
    }
}
