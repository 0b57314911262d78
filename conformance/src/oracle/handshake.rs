use reference_broker::codec::{Packet, PropertyId};

use super::history::{Act, History};
use super::{Findings, Oracle};
use crate::trace::{Event, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "handshake",
    holds: "The broker sends one CONNACK, and but for AUTH nothing before it accepts",
    requirements: &["MQTT-3.2.0-1", "MQTT-3.2.0-2", "MQTT-4.12.0-6"],
    judge,
};

fn judge(trace: &[Event], findings: &mut Findings) {
    let history = History::of(trace);
    let count = history.connections.len();
    let (mut answered, mut accepted) = (vec![false; count], vec![false; count]);
    for step in &history.steps {
        let Act::Received(packet) = &step.act else { continue };
        let known = &history.connections[step.connection];
        let has_method = known
            .connect
            .as_ref()
            .is_some_and(|connect| connect.properties.contains(PropertyId::AuthenticationMethod));
        let (requirement, expected) = match packet {
            Packet::ConnAck(connack) => {
                accepted[step.connection] |= !connack.reason.is_error();
                if !std::mem::replace(&mut answered[step.connection], true) {
                    continue;
                }
                ("MQTT-3.2.0-2", "one CONNACK on a connection") // MQTT-3.2.0-2
            }
            Packet::Auth(_) if known.connect.is_some() && !has_method => {
                ("MQTT-4.12.0-6", "no AUTH without an Authentication Method in CONNECT") // MQTT-4.12.0-6
            }
            // Section 3.14.0-1 has a rule of its own for DISCONNECT.
            Packet::Auth(_) | Packet::Disconnect(_) => continue,
            _ if accepted[step.connection] => continue,
            _ => ("MQTT-3.2.0-1", "CONNACK 0x00 before any other packet"), // MQTT-3.2.0-1
        };
        findings.add(requirement, step.index, expected, packet_text(packet));
    }
}
