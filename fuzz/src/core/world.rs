//! The shell around the core: bytes in, packets out, a trace of both, and what holds for each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use conformance::trace::{Ending, Event, What, to_text};
use reference_broker::codec::{
    DecodeError, Framer, Packet, PacketType, Publish, ReasonCode, Side, Text,
};
use reference_broker::core::{Broker, Config, ConnectionId, Input, Moment, Output, Redirection};

use super::census::Census;
use super::client::Client;
use super::rules::{Owed, is_cause, owed_to, packet_id_of};
use crate::model::Follower;

/// A client that takes less than this may find its connection closed for an answer too large.
const SMALL: usize = 256;

/// A broker with its connections.
#[derive(Debug)]
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Moment,
    /// Open connections.
    pub(super) wires: BTreeMap<ConnectionId, Wire>,
    pub(super) trace: Vec<Event>,
    /// The model, if it knows what the configuration chooses.
    pub(super) follower: Option<Follower>,
    /// Connections that the broker has asked about, and whose CONNACK is still to come.
    asked: BTreeSet<ConnectionId>,
    /// Questions in the order in which they were asked, and those that the script answers later.
    pub(super) questions: VecDeque<ConnectionId>,
    pub(super) unanswered: Vec<ConnectionId>,
    /// The exchanges that clients left open when their connections ended.
    left: BTreeMap<Text, BTreeMap<u16, Publish>>,
    /// The payloads of Wills that were deleted.
    deleted: BTreeSet<Bytes>,
    /// Whether no other message has the payload of a Will.
    pub(super) are_wills_unique: bool,
    pub(super) census: Census,
    /// Whether clients are sent elsewhere.
    pub(super) is_redirected: bool,
    opened: u64,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) probe: String,
    pub(super) client: Client,
    framer: Framer,
    /// Whether bytes came that are no packet, after which nothing is read.
    is_lost: bool,
}

impl World {
    pub(super) fn new(config: Config) -> World {
        World {
            follower: Follower::new(&config),
            broker: Broker::new(config),
            now: Moment(0),
            wires: BTreeMap::new(),
            trace: Vec::new(),
            asked: BTreeSet::new(),
            questions: VecDeque::new(),
            unanswered: Vec::new(),
            left: BTreeMap::new(),
            deleted: BTreeSet::new(),
            are_wills_unique: true,
            census: Census::default(),
            is_redirected: false,
            opened: 0,
        }
    }

    /// Opens a connection.
    pub(super) fn open(&mut self) -> ConnectionId {
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let probe = format!("c{}", self.opened);
        let framer = Framer::new(self.broker.config().maximum_packet_size);
        self.wires
            .insert(id, Wire { probe, client: Client::new(self.now), framer, is_lost: false });
        self.record(id, What::Opened);
        self.input(Input::Opened(id));
        id
    }

    /// Closes a connection without a word.
    pub(super) fn drop_wire(&mut self, id: ConnectionId) {
        self.record(id, What::ClosedByProbe);
        if let Some(wire) = self.wires.remove(&id) {
            self.leave(&wire);
            self.input(Input::Closed(id));
        }
    }

    /// Sends a packet of which any part may be wrong, unless it cannot be written down.
    pub(super) fn send_wild(&mut self, id: ConnectionId, packet: impl Into<Packet>) {
        if let Ok(bytes) = packet.into().to_bytes() {
            self.send_bytes(id, &bytes);
        }
    }

    /// Sends a packet that is as it should be, which reaches the broker without a detour by its bytes if it is
    /// not too large and none before it was cut short.
    pub(super) fn send(&mut self, id: ConnectionId, packet: impl Into<Packet>) {
        let packet = packet.into();
        let limit = self.broker.config().maximum_packet_size as usize;
        let is_small = packet.encoded_len().is_ok_and(|size| size <= limit);
        match self.wires.get(&id) {
            Some(wire) if is_small && !wire.is_lost && !wire.is_amid_packet() => {
                self.send_packet(id, packet, false);
            }
            _ => self.send_wild(id, packet),
        }
    }

    /// Sends bytes, which may be packets or not.
    pub(super) fn send_bytes(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(wire) = self.wires.get_mut(&id).filter(|wire| !wire.is_lost) else { return };
        let continues = wire.framer.pending() > 0;
        wire.framer.buffer().extend_from_slice(bytes);
        if continues {
            self.record(id, What::SentBytes(Bytes::copy_from_slice(bytes)));
        }
        while let Some(wire) = self.wires.get_mut(&id) {
            let is_empty = wire.framer.pending() == 0;
            let pending = match continues {
                true => Bytes::new(),
                false => Bytes::copy_from_slice(wire.framer.pending_bytes()),
            };
            let next = next_packet(&mut wire.framer);
            wire.client.is_honest &= is_empty || matches!(next, Ok(Some(_)));
            match next {
                Ok(Some(packet)) => self.send_packet(id, packet, continues),
                Ok(None) => {
                    if !continues && !pending.is_empty() {
                        self.record(id, What::SentBytes(pending));
                    }
                    return;
                }
                Err((packet_type, error)) => {
                    if !continues {
                        self.record(id, What::SentBytes(pending));
                    }
                    self.input(Input::Malformed(id, packet_type, error));
                    let Some(wire) = self.wires.get_mut(&id) else { return };
                    if !self.asked.contains(&id) {
                        self.fail("left open after bytes that are no packet");
                    }
                    wire.is_lost = true;
                    return;
                }
            }
        }
    }

    fn send_packet(&mut self, id: ConnectionId, packet: Packet, is_recorded: bool) {
        if !is_recorded {
            self.record(id, What::Sent(packet.clone()));
        }
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.client.sends(&packet);
        if let (Packet::Disconnect(disconnect), Some(will)) = (&packet, wire.client.will())
            && disconnect.reason == ReasonCode::Success
            && wire.client.is_honest
            && self.are_wills_unique
        {
            self.deleted.insert(will.clone());
        }
        let owed = owed_to(&packet, &wire.client, self.asked.contains(&id));
        self.census.note(&packet);
        let before = self.trace.len();
        self.input(Input::Received(id, packet));
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.client.last_sent = self.now;
            self.check_answer(id, owed, before);
        }
        self.answer_questions();
    }

    /// A packet has had the answer that it is owed.
    fn check_answer(&self, id: ConnectionId, owed: Owed, before: usize) {
        match owed {
            Owed::Nothing => {}
            Owed::Close => self.fail(&format!("{id:?} is left open")),
            Owed::Answer(PacketType::ConnAck, _) if self.asked.contains(&id) => {}
            Owed::Answer(packet_type, packet_id) => {
                let Some(Wire { probe, .. }) = self.wires.get(&id) else { return };
                let is_answer = |event: &&Event| {
                    let What::Received(packet) = &event.what else { return false };
                    let about = packet_id_of(packet);
                    event.probe == *probe
                        && packet.packet_type() == packet_type
                        && about == packet_id
                };
                let count = self.trace[before..].iter().filter(is_answer).count();
                if count != 1 {
                    self.fail(&format!("{count} answers of type {packet_type}"));
                }
            }
        }
    }

    /// Panics, and says what led to it.
    pub(super) fn fail(&self, problem: &str) -> ! {
        panic!("{problem}\nafter:\n{}", to_text(&self.trace));
    }

    /// Lets time pass to this moment, the broker being told whenever it wants to be.
    pub(super) fn pass_time(&mut self, to: Moment) {
        while let Some(due) = self.broker.next_deadline().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
            let next = self.broker.next_deadline();
            assert!(next.is_none_or(|next| next > due), "{next:?} after a tick at {due:?}");
        }
        self.now = self.now.max(to);
    }

    /// Tells the core what happened, compares what it does with what the model expects, and carries it out.
    pub(super) fn input(&mut self, input: Input) {
        let bound = self.bound(&input);
        self.broker.handle(self.now, input.clone());
        let mut outputs = Vec::new();
        while let Some(output) = self.broker.next_output() {
            outputs.push(output);
            assert!(outputs.len() <= bound, "more than {bound} outputs for {input:?}");
        }
        let due = self.broker.next_deadline();
        if let Some(follower) = &mut self.follower
            && let Err(difference) = follower.step(self.now, &input, &outputs, due)
        {
            self.fail(&difference);
        }
        let is_gone = |id| matches!(&input, Input::Closed(gone) if *gone == id);
        let mut closed = Vec::new();
        for output in outputs {
            match output {
                // What was due before the broker heard that the client had gone.
                Output::Send(id, _) | Output::Close(id) if is_gone(id) => {}
                Output::Send(id, packet) => self.receive(id, packet),
                Output::Close(id) => {
                    self.close(id, &input);
                    closed.push(id);
                }
                Output::Ask(id, _) => {
                    self.asked.insert(id);
                    self.questions.push_back(id);
                }
                Output::Published(_) => {
                    self.fail("a report that the configuration does not ask for")
                }
            }
        }
        closed.into_iter().for_each(|id| self.check_is_gone(id));
    }

    /// How many outputs one input may have at the most.
    fn bound(&self, input: &Input) -> usize {
        let Census { clients, filters, messages, .. } = &self.census;
        let asked = match input {
            Input::Received(_, Packet::Subscribe(subscribe)) => subscribe.subscriptions.len(),
            _ => 0,
        };
        let copies = 1 + filters.len();
        let wires = 1 + self.wires.len();
        let window = usize::from(self.broker.config().send_window);
        // A word and a close for each, a message or a Will of each client to each, what waits,
        // what retained messages bring, and what the sessions that end have to hand on.
        wires * (4 + window + (2 + clients.len() + messages) * copies)
            + (asked + clients.len() * copies) * messages
    }

    fn receive(&mut self, id: ConnectionId, packet: Packet) {
        let Some(wire) = self.wires.get_mut(&id) else {
            self.fail(&format!("{packet:?} after a close"))
        };
        let is_connack = packet.packet_type() == PacketType::ConnAck;
        let comes_first = is_connack || packet.packet_type() == PacketType::Auth;
        assert!(
            wire.client.connack.is_none() && comes_first
                || wire.client.connack.is_some() && !is_connack,
            "one CONNACK comes first: {packet:?}"
        );
        if let Packet::Publish(publish) = &packet {
            let is_deleted = self.deleted.contains(&publish.payload);
            assert!(!is_deleted, "a Will that was deleted is published: {publish:?}");
        }
        wire.client.receives(&packet);
        if let (Packet::ConnAck(connack), Some(client)) = (&packet, wire.client.id()) {
            self.asked.remove(&id);
            if connack.reason == ReasonCode::Success {
                let left = self.left.remove(&client).unwrap_or_default();
                if connack.session_present {
                    wire.client.open = left;
                }
                self.census.clients.insert(client, wire.client.user.clone());
            }
        }
        self.record(id, What::Received(packet));
    }

    fn close(&mut self, id: ConnectionId, cause: &Input) {
        self.record(id, What::ClosedByBroker(Ending::EndOfStream));
        let wire = self.wires.remove(&id).expect("open connections only are closed");
        let silence = self.now.0 - wire.client.last_sent.0;
        let is_judged = self.follower.as_ref().is_some_and(Follower::follows);
        let is_known = is_judged
            || self.is_redirected
            || !wire.client.is_honest
            || wire.client.packet_limit() < SMALL
            || is_cause(id, &wire.client, cause, self.now, self.broker.config());
        if !is_known {
            let probe = &wire.probe;
            self.fail(&format!("{probe} was closed after {silence} ms for no reason: {cause:?}"));
        }
        self.leave(&wire);
    }

    /// Sends all clients elsewhere, or none any more.
    pub(super) fn redirect(&mut self, redirection: Option<Redirection>) {
        self.is_redirected = redirection.is_some();
        self.input(Input::Redirect(redirection));
    }

    fn leave(&mut self, wire: &Wire) {
        if let (Some(client), true) = (wire.client.id(), wire.client.is_connected()) {
            self.left.insert(client, wire.client.open.clone());
        }
    }

    /// What comes late from a closed connection has no effect.
    fn check_is_gone(&mut self, id: ConnectionId) {
        for input in [Input::Received(id, Packet::PingReq), Input::Closed(id)] {
            self.broker.handle(self.now, input);
            assert_eq!(self.broker.next_output(), None, "after the close of {id:?}");
        }
    }

    fn record(&mut self, id: ConnectionId, what: What) {
        if let Some(wire) = self.wires.get(&id) {
            let probe = wire.probe.clone();
            self.trace.push(Event { at: Duration::from_millis(self.now.0), probe, what });
        }
    }
}

impl Wire {
    /// Whether the last packet was not sent to its end, so that whatever follows is taken for it.
    pub(super) fn is_amid_packet(&self) -> bool {
        self.framer.pending() > 0
    }
}

/// The next packet of a stream, or what is wrong and of which type the packet would be.
fn next_packet(framer: &mut Framer) -> Result<Option<Packet>, (Option<PacketType>, DecodeError)> {
    let first = framer.pending_bytes().first().copied();
    let packet_type = first.and_then(|first| PacketType::from_value(first >> 4));
    let packet = framer.next_frame().and_then(|frame| match frame {
        Some(frame) => Packet::decode(&frame, Side::Client).map(Some),
        None => Ok(None),
    });
    packet.map_err(|error| (packet_type, error))
}
