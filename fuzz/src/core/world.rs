//! The shell around the core: bytes in, packets out, a trace of both, and what holds for each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use conformance::trace::{Ending, Event, What};
use reference_broker::codec::{
    DecodeError, Framer, Packet, PacketType, QoS, ReasonCode, Side, Text,
};
use reference_broker::core::{Broker, Config, ConnectionId, Input, Moment, Output};

use super::client::Client;
use super::rules::{Owed, is_cause, owed_to, packet_id_of};
use crate::decode::decode_one;

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
    /// The QoS 2 exchanges that clients left open when their connections ended.
    left: BTreeMap<Text, BTreeMap<u16, QoS>>,
    /// The payloads of Wills that were deleted.
    deleted: BTreeSet<Bytes>,
    /// Whether no other message has the payload of a Will.
    are_wills_unique: bool,
    census: Census,
    opened: u64,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) probe: String,
    pub(super) client: Client,
    framer: Framer,
}

/// What the broker was ever told, for a bound of what it may answer.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Client Identifiers.
    pub(super) clients: BTreeSet<Text>,
    /// Topics of messages and Wills.
    pub(super) topics: BTreeSet<Text>,
    filters: BTreeSet<Text>,
    messages: usize,
}

impl World {
    pub(super) fn new(config: Config, are_wills_unique: bool) -> World {
        World {
            broker: Broker::new(config),
            now: Moment(0),
            wires: BTreeMap::new(),
            trace: Vec::new(),
            left: BTreeMap::new(),
            deleted: BTreeSet::new(),
            are_wills_unique,
            census: Census::default(),
            opened: 0,
        }
    }

    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Opens a connection.
    pub(super) fn open(&mut self) -> ConnectionId {
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let probe = format!("c{}", self.opened);
        let framer = Framer::new(self.broker.config().maximum_packet_size);
        self.wires.insert(id, Wire { probe, client: Client::new(self.now), framer });
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

    /// Sends a packet, unless it cannot be written down.
    pub(super) fn send(&mut self, id: ConnectionId, packet: impl Into<Packet>) {
        if let Ok(bytes) = packet.into().to_bytes() {
            self.send_bytes(id, &bytes);
        }
    }

    /// Sends bytes, which may be packets or not.
    pub(super) fn send_bytes(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
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
                    assert!(!self.wires.contains_key(&id), "left open after {error}");
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
        let owed = owed_to(&packet, wire.client.is_connected());
        self.census.note(&packet);
        let outputs = self.input(Input::Received(id, packet.clone()));
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.client.last_sent = self.now;
        match owed {
            Owed::Nothing => {}
            Owed::Close => panic!("left open after {packet:?}"),
            Owed::Answer(packet_type, packet_id) => {
                let is_answer = |output: &&Output| {
                    let Output::Send(to, packet) = output else { return false };
                    let about = packet_id_of(packet);
                    *to == id && packet.packet_type() == packet_type && about == packet_id
                };
                let count = outputs.iter().filter(is_answer).count();
                assert_eq!(count, 1, "answers of type {packet_type} to {packet:?}");
            }
        }
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

    /// Tells the core what happened, and carries out what it says.
    fn input(&mut self, input: Input) -> Vec<Output> {
        let bound = self.bound(&input);
        let is_gone = |id| matches!(&input, Input::Closed(gone) if *gone == id);
        self.broker.handle(self.now, input.clone());
        let mut outputs = Vec::new();
        while let Some(output) = self.broker.next_output() {
            outputs.push(output);
            assert!(outputs.len() <= bound, "more than {bound} outputs for {input:?}");
        }
        for output in &outputs {
            match output {
                // What was due before the broker heard that the client had gone.
                Output::Send(id, _) | Output::Close(id) if is_gone(*id) => {}
                Output::Send(id, packet) => self.receive(*id, packet),
                Output::Close(id) => self.close(*id, &input),
                Output::Ask(..) | Output::Published(_) => {
                    panic!("{output:?}, which the configuration does not ask for");
                }
            }
        }
        for output in &outputs {
            if let Output::Close(id) = output {
                self.check_is_gone(*id);
            }
        }
        outputs
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

    fn receive(&mut self, id: ConnectionId, packet: &Packet) {
        self.record(id, What::Received(packet.clone()));
        let wire = self.wires.get_mut(&id).expect("packets are sent to open connections only");
        let bytes = packet.to_bytes().expect("what is to be sent can be written");
        assert_eq!(decode_one(&bytes, Side::Server).as_ref(), Ok(packet), "sent and not valid");
        assert!(
            bytes.len() <= wire.client.packet_limit(),
            "{packet:?} is too large for the client"
        );
        let is_connack = packet.packet_type() == PacketType::ConnAck;
        assert_eq!(
            is_connack,
            wire.client.connack.is_none(),
            "one CONNACK comes first: {packet:?}"
        );
        if let Packet::Publish(publish) = packet {
            let is_deleted = self.deleted.contains(&publish.payload);
            assert!(!is_deleted, "a Will that was deleted is published: {publish:?}");
        }
        wire.client.receives(packet);
        if let (Packet::ConnAck(connack), Some(client)) = (packet, wire.client.id()) {
            let left = self.left.remove(&client).unwrap_or_default();
            if connack.session_present {
                wire.client.open = left;
            }
            self.census.clients.insert(client);
        }
    }

    fn close(&mut self, id: ConnectionId, cause: &Input) {
        self.record(id, What::ClosedByBroker(Ending::EndOfStream));
        let wire = self.wires.remove(&id).expect("open connections only are closed");
        let silence = self.now.0 - wire.client.last_sent.0;
        let is_known = !wire.client.is_honest
            || wire.client.packet_limit() < SMALL
            || is_cause(id, &wire.client, cause, silence, self.broker.config());
        assert!(is_known, "{} was closed after {silence} ms for no reason: {cause:?}", wire.probe);
        self.leave(&wire);
    }

    fn leave(&mut self, wire: &Wire) {
        if let (Some(client), true) = (wire.client.id(), wire.client.is_connected()) {
            self.left.insert(client, wire.client.open.clone());
        }
    }

    /// What comes late from a closed connection has no effect.
    fn check_is_gone(&mut self, id: ConnectionId) {
        for input in [Input::Received(id, Packet::PingReq), Input::Closed(id)] {
            self.broker.handle(self.now, input.clone());
            assert_eq!(self.broker.next_output(), None, "for {input:?} after the close");
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

impl Census {
    fn note(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) => {
                self.clients.insert(connect.client_id.clone());
                if let Some(will) = &connect.will {
                    self.messages += 1;
                    self.topics.insert(will.topic.clone());
                }
            }
            Packet::Publish(publish) => {
                self.messages += 1;
                self.topics.insert(publish.topic.clone());
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.subscriptions.iter().map(|each| &each.filter);
                self.filters.extend(filters.cloned());
            }
            _ => {}
        }
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
