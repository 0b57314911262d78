//! What several oracles need to know of a trace: its connections, the sessions that they belong to,
//! and the packets within the bytes that probes sent.
//!
//! Nothing here is guessed. Where the trace does not show how a session went on, or what a client
//! sent, it says so, and an oracle then judges only what holds regardless.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, Fault, Framer, Packet, PropertyId, Side, Subscribe, Text,
};

use crate::trace::{Event, What};

/// The packets of a trace in order, each on its connection.
#[derive(Debug, Default)]
pub(super) struct History<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) connections: Vec<Connection>,
    /// By session: whether it ever asked for a Shared Subscription. Such a message may come from,
    /// or go to, another session (section 4.8.2).
    shares: Vec<bool>,
}

/// One packet.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Its event in the trace. Several packets may be in the bytes of one.
    pub(super) index: usize,
    pub(super) connection: usize,
    pub(super) act: Act<'a>,
}

#[derive(Debug)]
pub(super) enum Act<'a> {
    /// The client sent it, whole or as bytes.
    Sent(Cow<'a, Packet>),
    /// The broker sent it.
    Received(&'a Packet),
    /// The broker sent these bytes, which are no packet.
    Broken(&'a Bytes, Fault),
}

/// How a connection's session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With this connection: Session Present was 0.
    Fresh,
    /// On an earlier connection, and the trace shows all of them.
    Resumed,
    /// The trace does not show it.
    Unknown,
}

/// One network connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The CONNECT that it began with, if it began with one.
    pub(super) connect: Option<Connect>,
    /// Connections of one session have the same number.
    pub(super) session: usize,
    pub(super) start: Start,
    /// The event from which on it is not known what the client sent.
    unclear_from: usize,
    /// The event that shows that another connection has its session.
    superseded_from: usize,
    has_accepted: bool,
    is_answered: bool,
    has_sent: bool,
    /// Whether the broker spoke another protocol than MQTT 5.0.
    is_foreign: bool,
    shares: bool,
    /// How many clients with this Client Identifier had been seen when it began.
    turn: usize,
    /// Whether no other one with its Client Identifier was waiting for CONNACK then.
    is_alone: bool,
}

impl Connection {
    /// Whether it is known what the client had sent by then.
    pub(super) fn is_clear(&self, index: usize) -> bool {
        index < self.unclear_from
    }

    /// Whether the session may have gone on elsewhere: packets may have been read long after.
    pub(super) fn is_superseded(&self, index: usize) -> bool {
        index >= self.superseded_from
    }

    /// The only value of a property of its CONNECT; none if there are several.
    pub(super) fn asked_for(&self, id: PropertyId) -> Option<u32> {
        let mut values = self.connect.as_ref()?.properties.numbers(id);
        values.next().filter(|_| values.next().is_none())
    }
}

impl History<'_> {
    /// Whether the connection's session ever asked for a Shared Subscription.
    pub(super) fn shares(&self, connection: usize) -> bool {
        self.shares[self.connections[connection].session]
    }

    pub(super) fn of(trace: &[Event]) -> History<'_> {
        let mut reader = Reader::default();
        for (index, event) in trace.iter().enumerate() {
            reader.event(index, event);
        }
        let mut history = reader.history;
        for connection in &history.connections {
            history.shares[connection.session] |= connection.shares;
        }
        history
    }
}

/// What is known of a Client Identifier.
#[derive(Debug, Default)]
struct Client {
    turns: usize,
    waiting: usize,
    /// The last connection that was accepted.
    last: Option<usize>,
}

#[derive(Default)]
struct Reader<'a> {
    history: History<'a>,
    names: BTreeMap<&'a str, usize>,
    clients: BTreeMap<Text, Client>,
    /// What was sent as bytes, by connection.
    framers: Vec<Framer>,
    /// By session: whether something has happened to it that the trace does not show.
    doubtful: Vec<bool>,
    /// Whether a connection may have had any Client Identifier.
    has_stranger: bool,
    /// How many wait for CONNACK, and maybe for any Client Identifier that it assigns.
    nameless: usize,
}

impl<'a> Reader<'a> {
    fn event(&mut self, index: usize, event: &'a Event) {
        if matches!(event.what, What::Waited(_)) {
            return;
        }
        let connection = self.connection(&event.probe);
        match &event.what {
            What::Sent(packet) if self.framers[connection].pending() == 0 => {
                self.sent(index, connection, Cow::Borrowed(packet));
            }
            What::Sent(packet) => match packet.to_bytes() {
                Ok(bytes) => self.sent_bytes(index, connection, &bytes),
                Err(_) => self.unclear(index, connection),
            },
            What::SentBytes(bytes) => self.sent_bytes(index, connection, bytes),
            What::Received(packet) => self.received(index, connection, packet),
            What::ReceivedBroken(bytes, error) => {
                let known = &mut self.history.connections[connection];
                known.is_foreign |= !known.has_accepted;
                if !known.is_foreign {
                    let act = Act::Broken(bytes, error.fault);
                    self.history.steps.push(Step { index, connection, act });
                }
            }
            _ => {}
        }
    }

    fn connection(&mut self, name: &'a str) -> usize {
        if let Some(connection) = self.names.get(name) {
            return *connection;
        }
        let number = self.history.connections.len();
        self.history.connections.push(Connection {
            connect: None,
            session: number,
            start: Start::Unknown,
            unclear_from: usize::MAX,
            superseded_from: usize::MAX,
            has_accepted: false,
            is_answered: false,
            has_sent: false,
            is_foreign: false,
            shares: false,
            turn: 0,
            is_alone: false,
        });
        self.history.shares.push(false);
        self.framers.push(Framer::new(u32::MAX));
        self.doubtful.push(false);
        self.names.insert(name, number);
        number
    }

    fn sent_bytes(&mut self, index: usize, connection: usize, bytes: &[u8]) {
        if self.history.connections[connection].is_clear(index) {
            self.framers[connection].buffer().extend_from_slice(bytes);
        }
        while self.history.connections[connection].is_clear(index) {
            let decoded = match self.framers[connection].next_frame() {
                Ok(Some(frame)) => Packet::decode(&frame, Side::Client),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match decoded {
                Ok(packet) => self.sent(index, connection, Cow::Owned(packet)),
                Err(_) => self.unclear(index, connection),
            }
        }
    }

    /// The client's side is not known any more: a broker may have taken what it ought to refuse.
    fn unclear(&mut self, index: usize, connection: usize) {
        let known = &mut self.history.connections[connection];
        known.unclear_from = known.unclear_from.min(index);
        self.has_stranger |= !known.has_sent;
        known.has_sent = true;
        self.doubtful[known.session] = true;
        self.framers[connection] = Framer::new(u32::MAX);
    }

    fn sent(&mut self, index: usize, connection: usize, packet: Cow<'a, Packet>) {
        let known = &mut self.history.connections[connection];
        let is_first = !known.has_sent;
        known.has_sent = true;
        match packet.as_ref() {
            Packet::Connect(connect) if is_first => self.connect(connection, connect),
            Packet::Connect(_) => {
                self.unclear(index, connection);
                self.has_stranger = true;
            }
            Packet::Subscribe(Subscribe { subscriptions, .. }) => {
                let mut filters = subscriptions.iter().map(|subscription| &subscription.filter);
                known.shares |= filters.any(|filter| filter.starts_with("$share/"));
            }
            _ => {}
        }
        self.history.steps.push(Step { index, connection, act: Act::Sent(packet) });
    }

    fn connect(&mut self, connection: usize, connect: &Connect) {
        let known = &mut self.history.connections[connection];
        known.connect = Some(connect.clone());
        self.nameless += usize::from(connect.client_id.is_empty());
        if !connect.client_id.is_empty() {
            let client = self.clients.entry(connect.client_id.clone()).or_default();
            client.turns += 1;
            known.turn = client.turns;
            known.is_alone = client.waiting == 0;
            client.waiting += 1;
        }
    }

    fn received(&mut self, index: usize, connection: usize, packet: &'a Packet) {
        if self.history.connections[connection].is_foreign {
            return;
        }
        if let Packet::ConnAck(connack) = packet {
            self.connack(index, connection, connack);
        }
        self.history.steps.push(Step { index, connection, act: Act::Received(packet) });
    }

    fn connack(&mut self, index: usize, connection: usize, connack: &ConnAck) {
        let is_first = !self.history.connections[connection].is_answered;
        self.answered(connection);
        if !is_first || connack.reason.is_error() {
            return;
        }
        let known = &mut self.history.connections[connection];
        known.has_accepted = true;
        if !connack.session_present {
            known.start = Start::Fresh;
        }
        let Some(connect) = &known.connect else { return };
        let assigned = connack.properties.text(PropertyId::AssignedClientIdentifier);
        let name = match connect.client_id.is_empty() {
            true => assigned.cloned().unwrap_or_default(),
            false => connect.client_id.clone(),
        };
        if name.is_empty() {
            return;
        }
        let is_assigned = connect.client_id.is_empty();
        let client = self.clients.entry(name).or_default();
        let is_alone = !self.has_stranger
            && self.nameless == 0
            && (is_assigned || (known.is_alone && known.turn == client.turns));
        let last = client.last.replace(connection);
        if let (true, Some(last)) = (connack.session_present && is_alone, last) {
            self.resumed(index, connection, last);
        }
        let session = self.history.connections[connection].session;
        // Which of two that came at once was the later one cannot be seen.
        self.doubtful[session] |= !is_alone;
    }

    fn resumed(&mut self, index: usize, connection: usize, last: usize) {
        let earlier = &mut self.history.connections[last];
        earlier.superseded_from = index;
        let (session, start) = (earlier.session, earlier.start);
        if !self.doubtful[session] && start != Start::Unknown {
            let is_doubtful = self.doubtful[connection];
            let known = &mut self.history.connections[connection];
            known.session = session;
            known.start = Start::Resumed;
            self.doubtful[session] |= is_doubtful;
        }
    }

    /// The CONNECT waits no more. One that is never answered waits forever: the broker may still
    /// have taken it.
    fn answered(&mut self, connection: usize) {
        let known = &mut self.history.connections[connection];
        if std::mem::replace(&mut known.is_answered, true) {
            return;
        }
        let Some(connect) = &known.connect else { return };
        match self.clients.get_mut(&connect.client_id) {
            Some(client) => client.waiting = client.waiting.saturating_sub(1),
            None => self.nameless = self.nameless.saturating_sub(1),
        }
    }
}
