use reference_broker::codec::{Packet, PropertyId, ReasonCode};

use super::super::connections::{Connection, Passed, Reading, Sent, Step};
use super::super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-conversation",
    holds: "The suite begins with CONNECT, ends with DISCONNECT, and sends AUTH where it may",
    requirements: &[
        "MQTT-3.1.0-1",
        "U-3.1-1",
        "MQTT-3.1.2-30",
        "MQTT-4.12.0-3",
        "MQTT-4.12.0-7",
        "MQTT-4.12.0-5",
        "MQTT-4.12.1-1",
        "MQTT-3.14.4-1",
        "U-3.14.2.2.2-3",
    ],
    judge,
};

/// What a connection has come to.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    has_begun: bool,
    has_connected: bool,
    is_over: bool,
}

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let mut states = vec![State::default(); reading.connections.len()];
    for Step { at, place, connection, passed } in reading.steps() {
        let Passed::Sent(sent) = passed else { continue };
        let mut add = |requirement, expected: &str| {
            let observed = sent.packet().map_or_else(|| "other bytes".to_owned(), packet_text);
            findings.add(requirement, at, expected, observed);
        };
        let state = &mut states[place];
        let is_connect = is_connect(sent);
        if state.is_over {
            add("MQTT-3.14.4-1", "nothing after DISCONNECT"); // MQTT-3.14.4-1
        }
        if !state.has_begun && !is_connect {
            add("MQTT-3.1.0-1", "CONNECT as the first packet"); // MQTT-3.1.0-1
        }
        if state.has_connected && is_connect {
            add("U-3.1-1", "one CONNECT"); // U-3.1-1
        }
        state.has_begun = true;
        state.has_connected |= is_connect;
        if let (Some(packet), true) = (sent.packet(), connection.connect().is_some()) {
            if let Some((requirement, expected)) = fault_of(packet, connection, at) {
                add(requirement, expected);
            }
            state.is_over |= matches!(packet, Packet::Disconnect(_));
        }
    }
}

fn is_connect(sent: &Sent<'_>) -> bool {
    use reference_broker::codec::PacketType::Connect;
    match sent {
        Sent::Packet(packet) => packet.packet_type() == Connect,
        Sent::Broken(packet_type, _) => *packet_type == Connect,
        Sent::Noise(_) => false,
    }
}

/// What a packet breaks, as the client's CONNECT and the answer to it have it.
fn fault_of(
    packet: &Packet,
    connection: &Connection<'_>,
    at: usize,
) -> Option<(&'static str, &'static str)> {
    let (asked, connect) = connection.connect().filter(|(asked, _)| *asked != at)?;
    let method = connect.properties.text(PropertyId::AuthenticationMethod);
    let answer = connection.connacks().next().filter(|(answered, _)| *answered < at);
    let is_waiting = asked < at && answer.is_none();
    match packet {
        Packet::Auth(_) if method.is_none() => {
            Some(("MQTT-4.12.0-7", "no AUTH without a method in CONNECT")) // MQTT-4.12.0-7
        }
        Packet::Auth(auth) if auth.properties.text(PropertyId::AuthenticationMethod) != method => {
            match is_waiting {
                true => Some(("MQTT-4.12.0-5", "the Authentication Method of CONNECT")), // MQTT-4.12.0-5
                false => Some(("MQTT-4.12.1-1", "the Authentication Method of CONNECT")), // MQTT-4.12.1-1
            }
        }
        Packet::Auth(auth) if is_waiting && auth.reason != ReasonCode::ContinueAuthentication => {
            Some(("MQTT-4.12.0-3", "AUTH 0x18 in answer to AUTH")) // MQTT-4.12.0-3
        }
        Packet::Disconnect(disconnect) => {
            let expiry = PropertyId::SessionExpiryInterval;
            let asks = disconnect.properties.number(expiry).is_some_and(|seconds| seconds > 0);
            let asked = connect.properties.number(expiry).unwrap_or(0);
            // Where the server gave another value, that is the one in force (section 3.2.2.3.2).
            let granted = answer.and_then(|(_, connack)| connack.properties.number(expiry));
            let is_raised = asks && (asked == 0 || granted == Some(0));
            is_raised.then_some(("U-3.14.2.2.2-3", "no session expiry raised from 0")) // U-3.14.2.2.2-3
        }
        Packet::Auth(_) => None,
        _ if method.is_some() && is_waiting => {
            Some(("MQTT-3.1.2-30", "AUTH or DISCONNECT only, before CONNACK")) // MQTT-3.1.2-30
        }
        _ => None,
    }
}
