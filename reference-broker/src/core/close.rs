//! Every way a connection ends: by the client, by the network, by an error, by time.

use crate::codec::{
    ConnAck, DecodeError, Disconnect, Packet, PacketType, PropertyId, ReasonCode, Side,
};

use super::connection::State;
use super::{Broker, ConnectionId, Moment, Output, Timer};

/// The size of a CONNACK without properties, in bytes.
const SHORTEST_CONNACK: u32 = 5;

impl Broker {
    pub(super) fn receive_disconnect(&mut self, id: ConnectionId, disconnect: &Disconnect) {
        let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
        let Some(connection) = self.connections.get(&id) else { return };
        let State::Connected(client) = &connection.state else { return };
        let client = client.clone();
        *self.totals.left.entry(disconnect.reason).or_default() += 1;
        if connection.requested_expiry == 0 && expiry.is_some_and(|expiry| expiry > 0) {
            let why = "session expiry interval raised from 0";
            return self.refuse(id, ReasonCode::ProtocolError, why); // U-3.14.2.2.2-3
        }
        if let Some(session) = self.sessions.get_mut(&client) {
            let (_, most) = self.config.session_expiry;
            session.expiry = expiry.unwrap_or(session.expiry).min(most); // U-3.14.2.2.2-2
        }
        if disconnect.reason == ReasonCode::Success {
            self.take_will(&client); // MQTT-3.14.4-3, U-3.14.2.1-3
        }
        self.close(id); // U-3.14.4-1, U-3.14.2.1-4
    }

    /// Takes leave of all clients. Their sessions and Wills end as with any other close; who has no
    /// Will leaves last, and so hears of those of the others.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        let mut ids: Vec<_> = self.connections.keys().copied().collect();
        ids.sort_by_key(|id| !self.has_will(*id));
        for id in ids {
            match self.connections.get(&id).map(|connection| &connection.state) {
                Some(State::Connected(_)) => {
                    self.refuse(id, ReasonCode::ServerShuttingDown, "server is shutting down");
                }
                Some(State::Opened | State::Connecting(_)) => self.close(id), // MQTT-3.14.0-1
                None => {}
            }
        }
    }

    fn has_will(&self, id: ConnectionId) -> bool {
        match self.connections.get(&id).map(|connection| &connection.state) {
            Some(State::Connected(client)) => {
                self.sessions.get(client).is_some_and(|session| session.will.is_some())
            }
            _ => false,
        }
    }

    pub(super) fn network_closed(&mut self, id: ConnectionId) {
        self.leave(id); // U-3.1.2.5-1
    }

    pub(super) fn connect_timed_out(&mut self, id: ConnectionId) {
        let state = self.connections.get(&id).map(|connection| &connection.state);
        if let Some(State::Opened | State::Connecting(_)) = state {
            self.close(id); // U-3.1.4-2, MQTT-4.12.0-4
        }
    }

    /// Closes a connection that has been silent for too long, or looks again when it may be.
    pub(super) fn check_keep_alive(&mut self, id: ConnectionId) {
        let deadline = self.connections.get(&id).and_then(|open| open.keep_alive_deadline());
        match deadline {
            Some(deadline) if deadline > self.now => {
                self.set_timer(id, Some((deadline, Timer::KeepAlive(id)))); // U-3.1.2.10-3
            }
            Some(_) => {
                self.refuse(id, ReasonCode::KeepAliveTimeout, "keep alive exceeded"); // MQTT-3.1.2-22
            }
            None => {}
        }
    }

    /// Answers bytes that are no valid packet: with the fault's code, and a close (section 4.13).
    pub(super) fn malformed(
        &mut self,
        id: ConnectionId,
        packet_type: Option<PacketType>,
        error: DecodeError,
    ) {
        let reason = error.fault.reason_code();
        match self.connections.get(&id).map(|connection| &connection.state) {
            Some(State::Connected(_)) if packet_type == Some(PacketType::Connect) => {
                // Whatever else is wrong with it; some of its codes are for CONNACK only.
                self.refuse(id, ReasonCode::ProtocolError, "second CONNECT"); // MQTT-3.1.0-2
            }
            Some(State::Connected(_)) => self.refuse(id, reason, &error.to_string()), // MQTT-4.13.1-1
            Some(State::Opened) if packet_type == Some(PacketType::Connect) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    // What its client takes was not read, or not all of it: as little as can be.
                    connection.packet_limit = SHORTEST_CONNACK; // MQTT-3.1.2-24, MQTT-3.2.2-19
                }
                self.refuse_connect(id, reason, &error.to_string()); // MQTT-3.1.4-1
            }
            Some(State::Opened) => self.close(id), // MQTT-3.14.0-1
            Some(State::Connecting(_)) => self.malformed_connecting(id, packet_type, error),
            None => {}
        }
    }

    /// Refuses a CONNECT with a CONNACK and a close.
    pub(super) fn refuse_connect(&mut self, id: ConnectionId, reason: ReasonCode, why: &str) {
        let reason = or_protocol_error(reason, PacketType::ConnAck); // MQTT-3.2.2-8
        let mut connack = ConnAck::new(false, reason); // MQTT-3.2.2-6
        self.explain(&mut connack.properties, why);
        self.send(id, Packet::ConnAck(connack)); // U-3.1.4-3
        self.close(id); // MQTT-3.2.2-7, MQTT-3.1.4-2
    }

    /// Ends a connection for what its client did: with a DISCONNECT, and a close.
    pub(super) fn refuse(&mut self, id: ConnectionId, reason: ReasonCode, why: &str) {
        let reason = or_protocol_error(reason, PacketType::Disconnect); // MQTT-3.14.2-1
        let mut disconnect = Disconnect::because(reason);
        self.explain(&mut disconnect.properties, why);
        self.send(id, disconnect.into()); // U-4.13.1-5
        self.close(id); // MQTT-4.13.1-1, MQTT-4.13.2-1
    }

    /// Closes a connection without another word, and lets its session wait, or end.
    pub(super) fn close(&mut self, id: ConnectionId) {
        if self.connections.contains_key(&id) {
            self.outputs.push_back(Output::Close(id)); // MQTT-3.14.4-2
            self.leave(id); // MQTT-3.14.4-1
        }
    }

    fn leave(&mut self, id: ConnectionId) {
        self.set_timer(id, None);
        let Some(connection) = self.connections.remove(&id) else { return };
        self.alias_bytes -= connection.aliases.bytes();
        match connection.state {
            State::Connected(client) => {
                self.connected -= 1;
                self.park_session(&client); // U-3.14-2
            }
            State::Connecting(connecting) => self.unaccepted_bytes -= connecting.bytes(),
            State::Opened => {}
        }
    }

    /// Replaces the timer of a connection.
    pub(super) fn set_timer(&mut self, id: ConnectionId, timer: Option<(Moment, Timer)>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some((due, old)) = std::mem::replace(&mut connection.timer, timer.clone()) {
            self.timers.remove(due, old);
        }
        if let Some((due, timer)) = timer {
            self.timers.add(due, timer);
        }
    }
}

/// The code, if the packet may carry it.
fn or_protocol_error(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    match reason.is_allowed(packet, Side::Server) {
        true => reason,
        false => ReasonCode::ProtocolError,
    }
}
