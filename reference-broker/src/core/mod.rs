//! The broker as a pure state machine: no I/O, no clock, no randomness, no hash order.
//!
//! The shell around it tells what happened ([`Broker::handle`], with the time), drains what is to
//! be done ([`Broker::next_output`]) after each input, and comes back at
//! [`Broker::next_deadline`] with [`Input::Tick`]. Equal inputs give equal outputs, byte for byte.
//!
//! A file a concern: `connect` (CONNECT, takeover), `access` (who may do what), `close` (every way a
//! connection ends), `admission` (room for a client, redirection), `publish` (from clients), `route` (to
//! subscribers), `delivery` (a message for one client), `outbound` (all of them), `send` (their way),
//! `alias`, `subscribe`, `retained` (and their `retained_store`), `will`, `timer`, `absent` (sessions that make room).
//! What a session remembers is in `session`, what a connection knows in `connection`. What is kept has [`Bounds`], and is told in [`Counts`] and by name
//! in [`State`].

mod absent;
mod access;
mod admission;
mod alias;
mod bounds;
mod close;
mod config;
mod connect;
mod connection;
mod counts;
mod delivery;
mod outbound;
mod packet_id;
mod publish;
mod retained;
mod retained_store;
mod route;
mod send;
mod session;
mod state;
mod subscribe;
mod timer;
mod will;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::codec::{DecodeError, Packet, PacketType, Properties, PropertyId, ReasonCode, Text};
use crate::topic::FilterTree;

pub use access::{Access, Action, Answer, Question, Rule, RuleFilter, Users};
pub use bounds::Bounds;
pub use config::{
    Config, DollarTopics, Features, Handling, Redirection, ResponseInformation, Sharing,
};
pub use counts::{Counts, Dropped, Totals};
pub use state::{RetainedState, SessionState, SharedState, State, SubscriptionState};

use absent::Absent;
use connection::Connection;
use connection::State as ConnectionState;
use counts::Held;
use retained_store::RetainedStore;
pub use route::Published;
use route::{Groups, Subscriber};
use session::Session;
use timer::{Timer, Timers};

/// A point on the shell's clock: milliseconds since an origin of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `duration` later, at millisecond grain.
    #[must_use]
    pub fn after(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whole seconds from `earlier` to this moment.
    fn seconds_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// One network connection, as the shell numbers it; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A network connection was opened.
    Opened(ConnectionId),
    /// A packet came in.
    Received(ConnectionId, Packet),
    /// Bytes came in that are no valid packet; of which type, if they show it.
    Malformed(ConnectionId, Option<PacketType>, DecodeError),
    /// The network connection ended without the broker's doing.
    Closed(ConnectionId),
    /// What was asked with [`Output::Ask`] of this connection is decided.
    Answered(ConnectionId, Answer),
    /// The broker is to end: it takes leave of all clients (section 3.14.2.1), and opens nothing more.
    Stop,
    /// All clients are to go elsewhere from now on (section 4.11), or none any more.
    Redirect(Option<Redirection>),
    /// Time passed.
    Tick,
}

impl Input {
    /// The connection of which this tells.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Input::Opened(id)
            | Input::Received(id, _)
            | Input::Malformed(id, ..)
            | Input::Closed(id)
            | Input::Answered(id, _) => Some(*id),
            Input::Stop | Input::Redirect(_) | Input::Tick => None,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a packet.
    Send(ConnectionId, Packet),
    /// Close the network connection after all that was sent before.
    Close(ConnectionId),
    /// Find out who a client is, and say so with [`Input::Answered`]. There is one question at a time
    /// for a connection; what else comes before its CONNACK waits in the core.
    Ask(ConnectionId, Question),
    /// A message has been published; told only if [`Config::reports_published`] says so.
    Published(Published),
}

/// The whole state of a broker.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    now: Moment,
    connections: BTreeMap<ConnectionId, Connection>,
    sessions: BTreeMap<Text, Session>, // MQTT-3.1.3-2
    subscriptions: FilterTree<Text, Subscriber>,
    groups: Groups,
    retained: RetainedStore,
    absent: Absent,
    timers: Timers,
    outputs: VecDeque<Output>,
    assigned_ids: u64,
    /// Where clients are sent instead.
    redirection: Option<Redirection>,
    is_stopped: bool,
    /// How many connections have a client.
    connected: usize,
    /// Bytes kept for those that have sent CONNECT and have no client yet.
    unaccepted_bytes: usize,
    /// Bytes of the Wills of all sessions.
    will_bytes: usize,
    /// Bytes of the filters of all sessions.
    filter_bytes: usize,
    /// Bytes of the topics that have Topic Aliases, of all connections.
    alias_bytes: usize,
    /// Messages for all clients.
    held: Held,
    /// Messages from all clients that wait for PUBREL.
    unreleased: usize,
    /// Units of work done.
    effort: u64,
    /// A connected client that got something by the last input and has more than half of what may wait for it.
    crowded: Option<Text>,
    totals: Totals,
}

impl Broker {
    /// A broker without sessions or messages.
    pub fn new(config: Config) -> Broker {
        let config = config.made_valid();
        let timers = Timers::new(config.timer_grain);
        Broker {
            redirection: config.redirection.clone(),
            config,
            now: Moment::default(),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            subscriptions: FilterTree::new(),
            groups: Groups::default(),
            retained: RetainedStore::new(),
            absent: Absent::default(),
            timers,
            outputs: VecDeque::new(),
            assigned_ids: 0,
            is_stopped: false,
            connected: 0,
            unaccepted_bytes: 0,
            will_bytes: 0,
            filter_bytes: 0,
            alias_bytes: 0,
            held: Held::default(),
            unreleased: 0,
            effort: 0,
            crowded: None,
            totals: Totals::default(),
        }
    }

    /// What the broker was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in what happened at `now`. Drain [`Broker::next_output`] before the next call.
    ///
    /// Timers that were due by then run first. A `now` before an earlier one counts as that one.
    pub fn handle(&mut self, now: Moment, input: Input) {
        self.now = self.now.max(now);
        self.crowded = None;
        self.run_timers();
        match input {
            Input::Opened(id) => self.open(id),
            Input::Received(id, packet) => self.receive(id, packet),
            Input::Malformed(id, packet_type, error) => self.malformed(id, packet_type, error),
            Input::Closed(id) => self.network_closed(id),
            Input::Answered(id, answer) => self.answered(id, answer),
            Input::Stop => self.stop(),
            Input::Redirect(redirection) => self.redirect(redirection),
            Input::Tick => {}
        }
        self.effort += 1 + self.outputs.len() as u64;
    }

    /// How much work there has been so far, in units of about a microsecond: one for each input, output, copy of a
    /// message and filter, and for ten places of a tree. Equal inputs take equally many.
    pub fn effort(&self) -> u64 {
        self.effort
    }

    /// The next thing to be done, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.next()
    }

    fn open(&mut self, id: ConnectionId) {
        self.totals.opened += 1;
        if self.is_full_of_strangers() {
            self.outputs.push_back(Output::Close(id)); // MQTT-3.14.0-1
            return;
        }
        let deadline = self.now.after(self.config.connect_timeout);
        self.connections.insert(id, Connection::new(self.now));
        self.set_timer(id, Some((deadline, Timer::Connect(id)))); // U-3.1.4-2
    }

    fn receive(&mut self, id: ConnectionId, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&id) else {
            // The broker has closed it; what was still on its way has no effect: MQTT-3.1.4-6
            return;
        };
        connection.last_received = self.now; // U-3.1.2.10-3
        match (&connection.state, packet) {
            (ConnectionState::Opened, Packet::Connect(connect)) => self.connect(id, *connect),
            (ConnectionState::Opened, _) => self.close(id), // MQTT-3.1.0-1, MQTT-3.14.0-1
            (ConnectionState::Connecting(_), packet) => self.receive_connecting(id, packet),
            (ConnectionState::Connected(client), packet) => {
                let client = client.clone();
                self.receive_connected(id, &client, packet);
            }
        }
    }

    fn receive_connected(&mut self, id: ConnectionId, client: &Text, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.receive_publish(id, client, publish),
            Packet::PubRel(ack) => self.receive_pubrel(id, client, &ack),
            Packet::PubAck(ack) => self.receive_puback(id, client, &ack),
            Packet::PubRec(ack) => self.receive_pubrec(id, client, &ack),
            Packet::PubComp(ack) => self.receive_pubcomp(id, client, &ack),
            Packet::Subscribe(subscribe) => self.subscribe(id, client, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(id, client, &unsubscribe),
            Packet::PingReq => self.send(id, Packet::PingResp), // MQTT-3.12.4-1, U-3.1.2.10-2
            Packet::Disconnect(disconnect) => self.receive_disconnect(id, &disconnect),
            Packet::Auth(auth) => self.receive_auth(id, &auth),
            // A second CONNECT (MQTT-3.1.0-2), and what only servers send (U-2.1.2-2).
            _ => self.refuse(id, ReasonCode::ProtocolError, "unexpected packet"),
        }
    }

    fn run_timers(&mut self) {
        while let Some((due, timer)) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Retained(topic) => self.retained_due(&topic, due),
                Timer::Connect(id) => self.connect_timed_out(id),
                Timer::KeepAlive(id) => self.check_keep_alive(id),
                Timer::Will(client) => self.will_due(&client, due),
                Timer::Session(client) => self.session_due(&client, due),
            }
        }
    }

    /// Queues a packet other than PUBLISH, whatever quota is left (MQTT-3.3.4-10, MQTT-4.9.0-3),
    /// unless the client could not take it: then optional properties are left out, and if that is not
    /// enough the connection is closed instead.
    fn send(&mut self, id: ConnectionId, mut packet: Packet) {
        let Some(connection) = self.connections.get(&id) else { return };
        self.totals.note_end(&packet);
        for optional in [
            // MQTT-3.2.2-19, MQTT-3.2.2-20, MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3,
            // MQTT-3.6.2-2, MQTT-3.6.2-3, MQTT-3.7.2-2, MQTT-3.7.2-3, MQTT-3.9.2-1, MQTT-3.9.2-2, MQTT-3.11.2-1, MQTT-3.11.2-2, MQTT-3.14.2-3, MQTT-3.14.2-4,
            // MQTT-3.15.2-2, MQTT-3.15.2-3
            &[PropertyId::ReasonString, PropertyId::UserProperty][..],
            &[PropertyId::ServerReference],
        ] {
            if !connection.may_explain(&packet) || !connection.takes(&packet) {
                leave_out(&mut packet, optional);
            }
        }
        match connection.takes(&packet) {
            true => self.outputs.push_back(Output::Send(id, packet)),
            false => self.close(id), // MQTT-3.1.2-24
        }
    }

    /// Adds a Reason String, if the broker gives any.
    fn explain(&self, properties: &mut Properties, why: &str) {
        if self.config.reason_strings {
            properties.push(PropertyId::ReasonString, why);
        }
    }

    /// Whether a packet can be sent over the connection as it is.
    fn can_send(&self, id: ConnectionId, packet: &Packet) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.takes(packet))
    }
}

fn leave_out(packet: &mut Packet, ids: &[PropertyId]) {
    if let Some(properties) = packet.properties_mut() {
        properties.retain(|property| !ids.contains(&property.id));
    }
}
