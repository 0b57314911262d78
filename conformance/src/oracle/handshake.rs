use reference_broker::codec::{Packet, PropertyId};

use super::connections::{Connection, Passed, Reading, Received, Step};
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "handshake",
    holds: "The broker sends one CONNACK, and but for AUTH nothing before it accepts",
    requirements: &["MQTT-3.2.0-1", "MQTT-3.2.0-2", "MQTT-4.12.0-6"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let count = reading.connections.len();
    let (mut answered, mut accepted) = (vec![false; count], vec![false; count]);
    for Step { at, place, connection, passed } in reading.steps() {
        let Passed::Received(Received::Packet(packet)) = passed else { continue };
        let (requirement, expected) = match packet {
            Packet::ConnAck(connack) => {
                accepted[place] |= !connack.reason.is_error();
                if !std::mem::replace(&mut answered[place], true) {
                    continue;
                }
                ("MQTT-3.2.0-2", "one CONNACK on a connection") // MQTT-3.2.0-2
            }
            Packet::Auth(_) if has_no_method(connection) => {
                ("MQTT-4.12.0-6", "no AUTH without an Authentication Method in CONNECT") // MQTT-4.12.0-6
            }
            // Section 3.14.0-1 has a rule of its own for DISCONNECT.
            Packet::Auth(_) | Packet::Disconnect(_) => continue,
            _ if accepted[place] => continue,
            _ => ("MQTT-3.2.0-1", "CONNACK 0x00 before any other packet"), // MQTT-3.2.0-1
        };
        findings.add(requirement, at, expected, packet_text(packet));
    }
}

fn has_no_method(connection: &Connection<'_>) -> bool {
    connection
        .connect()
        .is_some_and(|(_, connect)| !connect.properties.contains(PropertyId::AuthenticationMethod))
}
