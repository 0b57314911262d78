//! From an open connection to a client (sections 3.1.4 and 4.12).

use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PropertyId, QoS, ReasonCode, Text, Will,
};
use reference_broker::core::{Answer, ConnectionId, DollarTopics};

use super::broker::{Model, Online, Session, Turn};
use super::delivery::{Channel, Expected};
use super::will::StoredWill;

/// Every broker is taken to let so much wait for its CONNACK.
const MUCH: usize = 32;

/// A connection without a client.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    pub(crate) id: ConnectionId,
    opened: u64,
    /// The CONNECT that is not accepted yet.
    connect: Option<Box<Connect>>,
    turn: Turn,
    /// What came after its CONNECT: packets, or bytes that are none.
    held: Vec<Option<Packet>>,
}

impl Stranger {
    fn method(&self) -> Option<&Text> {
        self.connect.as_ref()?.properties.text(PropertyId::AuthenticationMethod)
    }
}

impl Model {
    pub(crate) fn open(&mut self, id: ConnectionId) {
        let opened = self.now;
        let stranger = Stranger { id, opened, connect: None, turn: Turn::Nobody, held: Vec::new() };
        self.strangers.push(stranger);
    }

    /// A reasonable time for CONNECT (section 3.1.4).
    pub(crate) fn patience_ends(&self, stranger: &Stranger) -> u64 {
        let patience = u64::try_from(self.config.connect_timeout.as_millis());
        stranger.opened.saturating_add(patience.unwrap_or(u64::MAX))
    }

    pub(crate) fn send_late_strangers_away(&mut self) {
        let is_late = |it: &&Stranger| self.patience_ends(it) <= self.now;
        let late: Vec<_> = self.strangers.iter().filter(is_late).map(|it| it.id).collect();
        late.into_iter().for_each(|id| self.close_stranger(id));
    }

    /// Whether something waits that may acknowledge a message before it is known under which Packet Identifier the
    /// broker sends that.
    pub(crate) fn holds_acknowledgement(&self, id: ConnectionId) -> bool {
        let stranger = self.strangers.iter().find(|it| it.id == id);
        stranger.is_some_and(|stranger| {
            let mut held = stranger.held.iter().flatten();
            held.any(|packet| {
                matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
            })
        })
    }

    /// Whether so much waits that a broker may have had enough.
    pub(crate) fn holds_much(&self, id: ConnectionId) -> bool {
        self.strangers.iter().any(|it| it.id == id && it.held.len() >= MUCH)
    }

    pub(crate) fn is_stranger(&self, id: ConnectionId) -> bool {
        self.strangers.iter().any(|it| it.id == id)
    }

    pub(crate) fn forget_stranger(&mut self, id: ConnectionId) {
        self.strangers.retain(|it| it.id != id);
    }

    fn close_stranger(&mut self, id: ConnectionId) {
        self.forget_stranger(id);
        self.expected.push(Expected::Close(id));
    }

    fn refuse_stranger(&mut self, id: ConnectionId, reason: ReasonCode) {
        self.reply(id, ConnAck::new(false, reason));
        self.close_stranger(id);
    }

    /// A packet came in over a connection that has no client. `assigned` is the Client Identifier that
    /// the broker has chosen, if it has.
    pub(crate) fn receive_stranger(&mut self, id: ConnectionId, packet: &Packet, assigned: &str) {
        let Some(stranger) = self.strangers.iter_mut().find(|it| it.id == id) else { return };
        let has_connected = stranger.connect.is_some();
        match packet {
            Packet::Connect(connect) if !has_connected => self.meet(id, connect, assigned),
            _ if !has_connected => self.close_stranger(id),
            packet if stranger.method().is_none() => {
                stranger.held.push(Some(packet.clone()));
            }
            Packet::Auth(auth) => {
                let is_in_turn = stranger.turn == Turn::Client
                    && auth.reason == ReasonCode::ContinueAuthentication
                    && auth.properties.text(PropertyId::AuthenticationMethod) == stranger.method();
                if !is_in_turn {
                    return self.refuse_stranger(id, ReasonCode::ProtocolError);
                }
                stranger.turn = Turn::Server;
                self.expected.push(Expected::Question(id));
            }
            Packet::Disconnect(_) => self.close_stranger(id),
            _ => self.refuse_stranger(id, ReasonCode::ProtocolError),
        }
    }

    /// Bytes that are no packet end the connection (section 4.13), or wait as packets do.
    pub(crate) fn receive_bytes(&mut self, id: ConnectionId) {
        if let Some(client) = self.client_of(id) {
            self.expected.push(Expected::Refusal(id));
            return self.lose(&client);
        }
        let Some(stranger) = self.strangers.iter_mut().find(|it| it.id == id) else { return };
        if stranger.connect.is_some() && stranger.method().is_none() {
            stranger.held.push(None);
            return;
        }
        self.forget_stranger(id);
        self.expected.push(Expected::Refusal(id));
    }

    /// A first CONNECT: refused, asked about, or accepted.
    fn meet(&mut self, id: ConnectionId, connect: &Connect, assigned: &str) {
        if let Some(redirection) = &self.redirection {
            let reason = elsewhere(redirection.is_permanent);
            return self.refuse_stranger(id, reason);
        }
        let method = connect.properties.text(PropertyId::AuthenticationMethod);
        if method.is_some_and(|method| !self.config.access.methods.contains(method)) {
            return self.refuse_stranger(id, ReasonCode::BadAuthenticationMethod);
        }
        if let Some(reason) = connect.will.as_ref().and_then(|will| self.fault_of_will(will)) {
            return self.refuse_stranger(id, reason);
        }
        if method.is_none() && !self.config.access.asks {
            return self.accept(id, connect, None, assigned);
        }
        if let Some(stranger) = self.strangers.iter_mut().find(|it| it.id == id) {
            stranger.connect = Some(Box::new(connect.clone()));
            stranger.turn = Turn::Server;
        }
        self.expected.push(Expected::Question(id));
    }

    /// Sections 3.2.2.3.4, 3.2.2.3.5 and 4.7.2.
    fn fault_of_will(&self, will: &Will) -> Option<ReasonCode> {
        let is_servers = will.topic.starts_with('$');
        if will.qos > self.config.maximum_qos {
            Some(ReasonCode::QoSNotSupported)
        } else if will.retain && !self.config.features.retain {
            Some(ReasonCode::RetainNotSupported)
        } else if is_servers && self.config.handling.dollar_topics != DollarTopics::HandedOn {
            Some(ReasonCode::TopicNameInvalid)
        } else {
            None
        }
    }

    /// What was asked about a connection is decided.
    pub(crate) fn answered(&mut self, id: ConnectionId, answer: &Answer, assigned: &str) {
        let Some(place) = self.strangers.iter().position(|it| it.id == id) else {
            return self.answered_again(id, answer);
        };
        if self.strangers[place].turn != Turn::Server {
            return;
        }
        match answer {
            Answer::Accepted { user, .. } => {
                let Stranger { connect, held, .. } = self.strangers[place].clone();
                let Some(connect) = connect else { return };
                self.accept(id, &connect, user.clone(), assigned);
                for held in held {
                    match held {
                        Some(packet) => self.receive(id, &packet),
                        None => self.receive_bytes(id),
                    }
                }
            }
            Answer::GoesOn(data) => {
                let Some(method) = self.strangers[place].method().cloned() else {
                    return self.refuse_stranger(id, ReasonCode::UnspecifiedError);
                };
                self.strangers[place].turn = Turn::Client;
                self.reply(id, auth(ReasonCode::ContinueAuthentication, method, data.as_ref()));
            }
            Answer::Refused(reason) => self.refuse_stranger(id, *reason),
        }
    }

    /// Section 3.1.4, from where it is known who the client is.
    fn accept(&mut self, id: ConnectionId, connect: &Connect, user: Option<Text>, assigned: &str) {
        if let Some(redirection) = &self.redirection {
            let reason = elsewhere(redirection.is_permanent);
            return self.refuse_stranger(id, reason);
        }
        let client = match connect.client_id.is_empty() {
            true => assigned,
            false => &*connect.client_id,
        };
        let is_anothers = self.session(client).is_some_and(|session| session.user != user);
        let will = connect.will.as_ref().map(|will| &*will.topic);
        let may_have_will =
            will.is_none_or(|topic| self.may_publish(user.as_deref(), client, topic));
        if is_anothers || !may_have_will {
            return self.refuse_stranger(id, ReasonCode::NotAuthorized);
        }
        self.forget_stranger(id);
        self.end_old_connection(client, connect.clean_start);
        let is_present = self.session(client).is_some();
        let requested = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        let (least, most) = self.config.session_expiry;
        let expiry = requested.max(least).min(most);
        let mut connack = ConnAck::new(is_present, ReasonCode::Success);
        if expiry != requested {
            connack.properties.push(PropertyId::SessionExpiryInterval, expiry);
        }
        self.reply(id, connack);
        let online = self.online(id, connect, requested);
        if !is_present {
            self.sessions.push(Session::new(client));
        }
        let Some(session) = self.session(client) else { return };
        session.online = Some(online);
        session.expiry = expiry;
        session.ends = None;
        session.will = connect.will.as_ref().map(StoredWill::new);
        session.user = user;
        for packet in session.outbound.begin_again() {
            self.expected.push(Expected::Packet(id, packet));
        }
        self.send(client);
    }

    fn end_old_connection(&mut self, client: &str, clean_start: bool) {
        let Some(session) = self.session(client) else { return };
        let goes_on = !clean_start && session.expiry > 0;
        // Before the delay has passed a new connection keeps the Will from being published, if
        // the session goes on: section 3.1.3.2.2.
        if goes_on && session.will.as_ref().is_some_and(|will| will.delay > 0) {
            session.will = None;
        }
        if session.online.is_some() {
            self.refuse(client, ReasonCode::SessionTakenOver);
        }
        if clean_start {
            self.end_session(client);
        }
    }

    fn online(&self, id: ConnectionId, connect: &Connect, requested_expiry: u32) -> Online {
        let number = |property| connect.properties.number(property);
        let window = number(PropertyId::ReceiveMaximum).unwrap_or(65_535) as usize;
        let window = window.min(usize::from(self.config.send_window));
        let packet_size = number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX) as usize;
        let keep_alive = self.config.server_keep_alive.unwrap_or(connect.keep_alive);
        Online {
            channel: Channel { id, window, packet_size },
            keep_alive: u64::from(keep_alive),
            last_received: self.now,
            requested_expiry,
            unreleased: Vec::new(),
            aliases: Vec::new(),
            method: connect.properties.text(PropertyId::AuthenticationMethod).cloned(),
            turn: Turn::Nobody,
        }
    }

    /// AUTH from a client (section 4.12.1).
    pub(crate) fn receive_auth(&mut self, client: &str, id: ConnectionId, auth: &Auth) {
        let Some(online) = self.session(client).and_then(|it| it.online.as_mut()) else { return };
        let method = auth.properties.text(PropertyId::AuthenticationMethod);
        let is_in_turn = matches!(
            (auth.reason, online.turn),
            (ReasonCode::ReAuthenticate, Turn::Nobody)
                | (ReasonCode::ContinueAuthentication, Turn::Client)
        );
        if online.method.is_none() || method != online.method.as_ref() || !is_in_turn {
            return self.refuse(client, ReasonCode::ProtocolError);
        }
        online.turn = Turn::Server;
        self.expected.push(Expected::Question(id));
    }

    fn answered_again(&mut self, id: ConnectionId, answer: &Answer) {
        let Some(client) = self.client_of(id) else { return };
        let Some(session) = self.session(&client) else { return };
        let Some(online) = &mut session.online else { return };
        let Some(method) = online.method.clone().filter(|_| online.turn == Turn::Server) else {
            return;
        };
        match answer {
            Answer::Accepted { user, .. } if *user != session.user => {
                self.refuse(&client, ReasonCode::NotAuthorized);
            }
            Answer::Accepted { data, .. } => {
                online.turn = Turn::Nobody;
                self.reply(id, auth(ReasonCode::Success, method, data.as_ref()));
            }
            Answer::GoesOn(data) => {
                online.turn = Turn::Client;
                self.reply(id, auth(ReasonCode::ContinueAuthentication, method, data.as_ref()));
            }
            Answer::Refused(reason) => self.refuse(&client, *reason),
        }
    }

    /// The client that has this connection.
    pub(crate) fn client_of(&self, id: ConnectionId) -> Option<String> {
        let has_it = |online: &Online| online.channel.id == id;
        let session = self.sessions.iter().find(|it| it.online.as_ref().is_some_and(has_it));
        session.map(|session| session.client.clone())
    }

    /// Whether this QoS is too high for the broker (section 3.2.2.3.4).
    pub(crate) fn is_too_high(&self, qos: QoS) -> bool {
        qos > self.config.maximum_qos
    }
}

/// What clients are told that are to go elsewhere (section 4.11).
pub(crate) fn elsewhere(is_permanent: bool) -> ReasonCode {
    match is_permanent {
        true => ReasonCode::ServerMoved,
        false => ReasonCode::UseAnotherServer,
    }
}

fn auth(reason: ReasonCode, method: Text, data: Option<&bytes::Bytes>) -> Auth {
    let mut auth = Auth::new(reason);
    auth.properties.push(PropertyId::AuthenticationMethod, method);
    if let Some(data) = data {
        auth.properties.push(PropertyId::AuthenticationData, data.clone());
    }
    auth
}
