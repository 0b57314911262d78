//! From a question about a client to its CONNACK, and from AUTH to AUTH (section 4.12).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::{
    Auth, Connect, DecodeError, Packet, PacketType, PropertyId, ReasonCode, Side, Text,
};

use super::super::connection::State;
use super::super::route::{own, own_property, size_of_properties};
use super::super::will::StoredWill;
use super::super::{Bounds, Broker, ConnectionId, Output};
use super::{Answer, Question};

/// How much of what a client sends before its CONNACK waits for that: packets, and bytes of them.
const HELD: usize = 64;
const HELD_BYTES: usize = 256 * 1024;

/// A CONNECT that is not accepted yet.
#[derive(Debug)]
pub(in super::super) struct Connecting {
    /// Only what is needed yet; Password and Authentication Data are kept nowhere.
    connect: Box<Connect>,
    will: Option<StoredWill>,
    /// Its bytes, with those of the Will.
    bytes: usize,
    turn: Turn,
    /// What came after it and waits for the CONNACK (section 3.1.4), and its size.
    held: VecDeque<Held>,
    held_bytes: usize,
}

/// Whose turn it is in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The broker's: an answer is awaited.
    Answer,
    /// The client's: it has got AUTH 0x18.
    Client,
}

#[derive(Debug)]
enum Held {
    Packet(Packet),
    Malformed(Option<PacketType>, DecodeError),
}

/// The enhanced authentication of an accepted client (section 4.12.1).
#[derive(Debug)]
pub(in super::super) struct ReAuthentication {
    /// The Authentication Method of its CONNECT.
    method: Text,
    /// Whose turn it is, if a re-authentication is under way.
    turn: Option<Turn>,
}

/// What an exchange has shown of a client.
#[derive(Default)]
pub(in super::super) struct Credentials {
    /// The user it is.
    pub(in super::super) user: Option<Text>,
    /// Its Authentication Method.
    pub(in super::super) method: Option<Text>,
    /// What the exchange ends with.
    pub(in super::super) data: Option<Bytes>,
}

impl ReAuthentication {
    pub(in super::super) fn new(method: Text) -> ReAuthentication {
        ReAuthentication { method, turn: None }
    }
}

impl Connecting {
    /// Takes over a CONNECT that an answer is awaited about.
    fn new(connect: Connect, will: Option<StoredWill>) -> Connecting {
        let is_needed =
            |id| ![PropertyId::AuthenticationData, PropertyId::UserProperty].contains(&id);
        let properties = connect.properties.iter().filter(|property| is_needed(property.id));
        let properties = properties.cloned().collect();
        let bytes = connect.client_id.len()
            + size_of_properties(&properties)
            + will.as_ref().map_or(0, |will| will.message().size());
        let connect =
            Connect { will: None, user_name: None, password: None, properties, ..connect };
        let (connect, turn, held) = (Box::new(connect), Turn::Answer, VecDeque::new());
        Connecting { connect, will, bytes, turn, held, held_bytes: 0 }
    }

    /// What is kept for it, in bytes.
    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes + self.held_bytes
    }

    fn method(&self) -> Option<&Text> {
        self.connect.properties.text(PropertyId::AuthenticationMethod)
    }
}

impl Broker {
    /// Goes on with a CONNECT that is in order: finds out who the client is, if that is to be known.
    pub(in super::super) fn identify(
        &mut self,
        id: ConnectionId,
        mut connect: Connect,
        will: Option<StoredWill>,
    ) {
        let question = match connect.properties.text(PropertyId::AuthenticationMethod) {
            Some(method) => Question::Exchange {
                method: method.clone(),
                data: connect.properties.binary(PropertyId::AuthenticationData).map(own),
                begins: true,
            },
            None if self.config.access.asks => Question::Password {
                user_name: connect.user_name.take(),
                password: connect.password.as_ref().map(own),
            }, // U-3.1.4-4, U-4.12-5
            None => return self.accept_connect(id, &connect, will, Credentials::default()),
        };
        let connecting = Connecting::new(connect, will);
        if !self.has_unaccepted_bytes_for(connecting.bytes()) {
            return self.refuse_connect(id, ReasonCode::ServerBusy, "too many clients at once");
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.unaccepted_bytes += connecting.bytes();
        connection.state = State::Connecting(Box::new(connecting));
        self.outputs.push_back(Output::Ask(id, question));
    }

    /// Takes a packet of a client that has no CONNACK yet.
    pub(in super::super) fn receive_connecting(&mut self, id: ConnectionId, packet: Packet) {
        let Some(connecting) = self.connecting(id) else { return };
        let has_method = connecting.method().is_some();
        match packet {
            packet if !has_method => {
                let size = packet.encoded_len().unwrap_or(usize::MAX);
                let size = size.saturating_add(packet.part_count() * Bounds::PROPERTY);
                self.hold(id, Held::Packet(packet), size);
            }
            Packet::Auth(auth) => self.receive_first_auth(id, &auth),
            Packet::Disconnect(_) => self.close(id), // MQTT-3.14.4-2
            _ => {
                let why = "only AUTH or DISCONNECT before CONNACK";
                self.refuse_connect(id, ReasonCode::ProtocolError, why); // MQTT-3.1.2-30
            }
        }
    }

    /// Takes bytes that are no packet from a client that has no CONNACK yet.
    pub(in super::super) fn malformed_connecting(
        &mut self,
        id: ConnectionId,
        packet_type: Option<PacketType>,
        error: DecodeError,
    ) {
        let Some(connecting) = self.connecting(id) else { return };
        match connecting.method() {
            Some(_) => {
                let reason = error.fault.reason_code();
                self.refuse_connect(id, reason, &error.to_string()); // MQTT-4.12.0-4
            }
            None => self.hold(id, Held::Malformed(packet_type, error), 0),
        }
    }

    fn connecting(&mut self, id: ConnectionId) -> Option<&mut Connecting> {
        match &mut self.connections.get_mut(&id)?.state {
            State::Connecting(connecting) => Some(connecting),
            _ => None,
        }
    }

    /// Lets what came wait for the CONNACK, if it is not too much.
    fn hold(&mut self, id: ConnectionId, held: Held, size: usize) {
        let has_room = self.has_unaccepted_bytes_for(size);
        let Some(connecting) = self.connecting(id) else { return };
        let held_bytes = connecting.held_bytes.saturating_add(size);
        if has_room && connecting.held.len() < HELD && held_bytes <= HELD_BYTES {
            connecting.held_bytes = held_bytes;
            connecting.held.push_back(held.in_memory_of_its_own());
            self.unaccepted_bytes += size;
            return;
        }
        let why = "too much before CONNACK";
        self.refuse_connect(id, ReasonCode::QuotaExceeded, why); // U-3.1.4-8
    }

    /// Whether so many more bytes may be kept for clients that have no CONNACK yet.
    fn has_unaccepted_bytes_for(&self, bytes: usize) -> bool {
        self.unaccepted_bytes.saturating_add(bytes) <= self.config.bounds.unaccepted_bytes
    }

    /// Takes the AUTH with which a client answers before its CONNACK.
    fn receive_first_auth(&mut self, id: ConnectionId, auth: &Auth) {
        let Some(connecting) = self.connecting(id) else { return };
        let is_expected = connecting.turn == Turn::Client
            && auth.reason == ReasonCode::ContinueAuthentication // MQTT-4.12.0-3
            && auth.properties.text(PropertyId::AuthenticationMethod) == connecting.method();
        if !is_expected {
            let why = "AUTH out of turn, or of another method";
            return self.refuse_connect(id, ReasonCode::ProtocolError, why); // U-3.15-1
        }
        connecting.turn = Turn::Answer;
        self.ask_next(id, auth, false);
    }

    fn ask_next(&mut self, id: ConnectionId, auth: &Auth, begins: bool) {
        let method = auth.properties.text(PropertyId::AuthenticationMethod).cloned();
        let data = auth.properties.binary(PropertyId::AuthenticationData).map(own);
        let method = method.unwrap_or_default();
        self.outputs.push_back(Output::Ask(id, Question::Exchange { method, data, begins }));
    }

    /// Goes on with a connection that something was asked about. An answer that nobody waits for has
    /// no effect.
    pub(in super::super) fn answered(&mut self, id: ConnectionId, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match &mut connection.state {
            State::Connecting(connecting) if connecting.turn == Turn::Answer => {
                self.answered_connecting(id, answer);
            }
            State::Connected(client) => {
                let client = client.clone();
                self.answered_connected(id, &client, answer);
            }
            State::Connecting(_) | State::Opened => {}
        }
    }

    fn answered_connecting(&mut self, id: ConnectionId, answer: Answer) {
        match answer {
            Answer::Accepted { user, data } => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                let opened = std::mem::replace(&mut connection.state, State::Opened);
                let State::Connecting(connecting) = opened else { return };
                self.unaccepted_bytes -= connecting.bytes();
                let method = connecting.method().cloned();
                let credentials = Credentials { user, method, data };
                self.accept_connect(id, &connecting.connect, connecting.will, credentials); // U-4.12-2
                self.take_held(id, connecting.held);
            }
            Answer::GoesOn(data) => {
                let Some(connecting) = self.connecting(id) else { return };
                let Some(method) = connecting.method().cloned() else {
                    // A password is right or wrong: MQTT-4.12.0-6
                    let why = "no decision";
                    return self.refuse_connect(id, ReasonCode::UnspecifiedError, why);
                };
                connecting.turn = Turn::Client;
                self.send_auth(id, ReasonCode::ContinueAuthentication, method, data); // MQTT-4.12.0-2
            }
            Answer::Refused(reason) => {
                let reason = as_refusal(reason, PacketType::ConnAck);
                self.refuse_connect(id, reason, "not accepted"); // MQTT-3.1.4-2, MQTT-4.12.0-4
            }
        }
    }

    /// Handles what came before the CONNACK as if it came now.
    fn take_held(&mut self, id: ConnectionId, held: VecDeque<Held>) {
        let accepted = self.connections.get(&id).map(|connection| &connection.state);
        if !matches!(accepted, Some(State::Connected(_))) {
            return; // MQTT-3.1.4-6
        }
        for held in held {
            match held {
                Held::Packet(packet) => self.receive(id, packet),
                Held::Malformed(packet_type, error) => self.malformed(id, packet_type, error),
            }
        }
    }

    /// Takes an AUTH of an accepted client (section 4.12.1). Other packets go on meanwhile with what
    /// the client was before.
    pub(in super::super) fn receive_auth(&mut self, id: ConnectionId, auth: &Auth) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let method = auth.properties.text(PropertyId::AuthenticationMethod);
        let Some(current) = &mut connection.re_authentication else {
            let why = "AUTH without an authentication method in CONNECT";
            return self.refuse(id, ReasonCode::ProtocolError, why); // MQTT-4.12.0-7, U-3.15-1
        };
        if method != Some(&current.method) {
            let why = "AUTH of another method than CONNECT";
            return self.refuse(id, ReasonCode::ProtocolError, why); // MQTT-4.12.1-1, U-3.15-1
        }
        let begins = match (auth.reason, current.turn) {
            (ReasonCode::ReAuthenticate, None) => true,
            (ReasonCode::ContinueAuthentication, Some(Turn::Client)) => false, // MQTT-4.12.0-3
            _ => return self.refuse(id, ReasonCode::ProtocolError, "AUTH out of turn"),
        };
        current.turn = Some(Turn::Answer);
        self.ask_next(id, auth, begins);
    }

    fn answered_connected(&mut self, id: ConnectionId, client: &Text, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(current) = &mut connection.re_authentication else { return };
        if current.turn != Some(Turn::Answer) {
            return;
        }
        let method = current.method.clone();
        match answer {
            Answer::Accepted { user, data } => {
                current.turn = None;
                // The session, its subscriptions and what waits in it were had with the rights of
                // the user it is of. Another one would have them without being asked for any.
                let is_same = self.sessions.get(client).is_some_and(|it| it.user == user);
                match is_same {
                    true => self.send_auth(id, ReasonCode::Success, method, data), // U-4.12.1-1, U-3.15.2.1-2
                    false => self.refuse(id, ReasonCode::NotAuthorized, "another user"),
                }
            }
            Answer::GoesOn(data) => {
                current.turn = Some(Turn::Client);
                self.send_auth(id, ReasonCode::ContinueAuthentication, method, data); // U-4.12.1-1
            }
            Answer::Refused(reason) => {
                let reason = as_refusal(reason, PacketType::Disconnect);
                self.refuse(id, reason, "re-authentication failed"); // MQTT-4.12.1-2
            }
        }
    }

    fn send_auth(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        method: Text,
        data: Option<Bytes>,
    ) {
        let mut auth = Auth::new(reason); // Without a Reason String: MQTT-3.1.2-29
        auth.properties.push(PropertyId::AuthenticationMethod, method); // MQTT-4.12.0-5
        if let Some(data) = data {
            auth.properties.push(PropertyId::AuthenticationData, data);
        }
        self.send(id, auth.into());
    }
}

impl Held {
    /// The same, apart from the buffer it was read into, which may be far larger.
    fn in_memory_of_its_own(self) -> Held {
        let Held::Packet(Packet::Publish(mut publish)) = self else { return self };
        publish.payload = own(&publish.payload);
        publish.properties = publish.properties.iter().map(own_property).collect();
        Held::Packet(Packet::Publish(publish))
    }
}

/// The code, if it is a failure that the packet may tell of.
fn as_refusal(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    match reason.is_error() && reason.is_allowed(packet, Side::Server) {
        true => reason,
        false => ReasonCode::NotAuthorized,
    }
}
