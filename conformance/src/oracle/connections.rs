//! What a trace says of each connection: who the client is, what it sent, what it got.
//!
//! Nothing here is guessed. Where the trace does not show what a client sent, it says so, and an
//! oracle then judges only what holds regardless.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, DecodeError, Fault, FixedHeader, Frame, Framer, Packet, PacketType,
    PropertyId, Publish, Side,
};

use super::sessions::{Session, sessions};
use crate::trace::{Ending, Event, What};

/// A payload of more bytes is large.
const LARGE: usize = 4096;

/// A trace, read once for all oracles.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) trace: &'a [Event],
    /// In the order of their first events.
    pub(super) connections: Vec<Connection<'a>>,
    /// What passed, in the order of the trace.
    order: Vec<Place>,
    sessions: OnceCell<Vec<Session>>,
}

/// Where something that passed is kept: by connection, and there among what it sent or received.
#[derive(Clone, Copy, Debug)]
enum Place {
    Sent(usize, usize),
    Received(usize, usize),
}

/// One network connection of a trace. Numbers are places in the trace.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) sent: Vec<(usize, Sent<'a>)>,
    pub(super) received: Vec<(usize, Received<'a>)>,
    /// Where the broker was seen to close, and how.
    pub(super) closed_by_broker: Option<(usize, Ending)>,
    /// Where either side closed.
    pub(super) closed: Option<usize>,
    /// From where on it is not known what the client sent: a broker may have taken what it ought to
    /// refuse.
    pub(super) unclear_from: Option<usize>,
    /// Whether the broker began with bytes that may be of another protocol: no more is read of it.
    is_foreign: bool,
    /// What was sent of a packet that is not whole yet.
    rest: Framer,
}

/// What a client sent.
#[derive(Debug)]
pub(super) enum Sent<'a> {
    /// A packet that keeps all rules that its bytes alone can break.
    Packet(Cow<'a, Packet>),
    /// One that does not: a broker may refuse it, or take it and read in it what it likes.
    Broken(PacketType, Option<Fault>),
    /// Bytes without a packet's boundary, and why.
    Noise(Fault),
}

impl Sent<'_> {
    /// The packet, if it keeps the rules.
    pub(super) fn packet(&self) -> Option<&Packet> {
        match self {
            Sent::Packet(packet) => Some(packet),
            Sent::Broken(..) | Sent::Noise(_) => None,
        }
    }

    /// Whether a probe sent it as a packet, and not as bytes.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Sent::Packet(Cow::Borrowed(_)))
    }
}

/// What a broker sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Received<'a> {
    Packet(&'a Packet),
    Broken(&'a Bytes, DecodeError),
}

/// A packet, or what stands for one, on its way. Several may be in the bytes of one event.
#[derive(Debug)]
pub(super) struct Step<'t, 'a> {
    pub(super) at: usize,
    /// The connection, by its place in the list.
    pub(super) place: usize,
    pub(super) connection: &'t Connection<'a>,
    pub(super) passed: Passed<'t, 'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Passed<'t, 'a> {
    Sent(&'t Sent<'a>),
    Received(Received<'a>),
}

impl<'a> Reading<'a> {
    pub(super) fn of(trace: &'a [Event]) -> Reading<'a> {
        let mut connections: Vec<Connection<'_>> = Vec::new();
        let mut places = BTreeMap::new();
        let mut order = Vec::with_capacity(trace.len());
        for (index, event) in trace.iter().enumerate() {
            if matches!(event.what, What::Waited(_)) {
                continue; // That is the stage, which has no connection.
            }
            let name = event.probe.as_str();
            let place = *places.entry(name).or_insert_with(|| {
                connections.push(Connection::new());
                connections.len() - 1
            });
            let connection = &mut connections[place];
            let (sent, received) = (connection.sent.len(), connection.received.len());
            connection.note(index, &event.what);
            order.extend((sent..connection.sent.len()).map(|it| Place::Sent(place, it)));
            order
                .extend((received..connection.received.len()).map(|it| Place::Received(place, it)));
        }
        Reading { trace, connections, order, sessions: OnceCell::new() }
    }

    /// All that passed, in the order of the trace.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'_, 'a>> {
        self.order.iter().map(|kept| match *kept {
            Place::Sent(place, number) => {
                let connection = &self.connections[place];
                let (at, sent) = &connection.sent[number];
                Step { at: *at, place, connection, passed: Passed::Sent(sent) }
            }
            Place::Received(place, number) => {
                let connection = &self.connections[place];
                let (at, received) = connection.received[number];
                Step { at, place, connection, passed: Passed::Received(received) }
            }
        })
    }

    /// The session of each connection, by its place in the list.
    pub(super) fn sessions(&self) -> &[Session] {
        self.sessions.get_or_init(|| sessions(self))
    }

    /// Where something was first sent that may have been taken for a CONNECT of any client.
    pub(super) fn stranger_from(&self) -> Option<usize> {
        self.connections.iter().filter_map(Connection::stranger_from).min()
    }

    /// When an event was.
    pub(super) fn time(&self, at: usize) -> Duration {
        self.trace.get(at).map(|event| event.at).unwrap_or_default()
    }
}

impl<'a> Connection<'a> {
    fn new() -> Self {
        Connection {
            sent: Vec::new(),
            received: Vec::new(),
            closed_by_broker: None,
            closed: None,
            unclear_from: None,
            is_foreign: false,
            rest: Framer::new(u32::MAX),
        }
    }

    fn note(&mut self, index: usize, what: &'a What) {
        match what {
            What::Sent(packet) if self.rest.pending() == 0 => {
                let sent = match recoded(packet, Side::Client) {
                    Recoded::Same(_) => Sent::Packet(Cow::Borrowed(packet)),
                    Recoded::Fault(fault) => Sent::Broken(packet.packet_type(), Some(fault)),
                    Recoded::Unwritable => Sent::Broken(packet.packet_type(), None),
                };
                self.note_sent(index, sent);
            }
            What::Sent(packet) => self.note_bytes(index, &packet.to_bytes().unwrap_or_default()),
            What::SentBytes(bytes) => self.note_bytes(index, bytes),
            What::Received(packet) => self.note_received(index, Received::Packet(packet)),
            What::ReceivedBroken(bytes, error) => {
                self.note_received(index, Received::Broken(bytes, *error));
            }
            What::ClosedByBroker(ending) => {
                self.closed_by_broker.get_or_insert((index, *ending));
                self.closed.get_or_insert(index);
            }
            What::ClosedByProbe => {
                self.closed.get_or_insert(index);
            }
            What::Opened
            | What::HalfClosed
            | What::Silence(_)
            | What::Waited(_)
            | What::WebSocket(_)
            | What::Restarted(_) => {}
        }
    }

    fn note_bytes(&mut self, index: usize, bytes: &[u8]) {
        self.rest.buffer().extend_from_slice(bytes);
        loop {
            match self.rest.next_frame() {
                Ok(Some(frame)) => self.note_sent(index, read(&frame)),
                Ok(None) => return,
                Err(error) => {
                    // A broker that does not mind may read on: with the next event, we try too.
                    self.note_sent(index, Sent::Noise(error.fault));
                    self.rest = Framer::new(u32::MAX);
                    return;
                }
            }
        }
    }

    fn note_sent(&mut self, index: usize, sent: Sent<'a>) {
        let is_clear = match sent.packet() {
            Some(Packet::Connect(_)) => self.sent.is_empty(),
            packet => packet.is_some(),
        };
        if !is_clear {
            self.unclear_from.get_or_insert(index);
        }
        self.sent.push((index, sent));
    }

    fn note_received(&mut self, index: usize, received: Received<'a>) {
        if !self.is_foreign {
            self.is_foreign = matches!(received, Received::Broken(..)) && self.accepted().is_none();
            self.received.push((index, received));
        }
    }

    /// Whether it is known what the client had sent by then.
    pub(super) fn is_clear(&self, event: usize) -> bool {
        self.unclear_from.is_none_or(|from| from > event)
    }

    /// The CONNECT, if it is the first thing that was sent, and valid.
    pub(super) fn connect(&self) -> Option<(usize, &Connect)> {
        let (at, sent) = self.sent.first()?;
        match sent.packet() {
            Some(Packet::Connect(connect)) => Some((*at, connect)),
            _ => None,
        }
    }

    /// Whether its CONNECT was sent as a packet, and not as bytes.
    pub(super) fn is_own(&self) -> bool {
        self.sent.first().is_some_and(|(_, sent)| sent.is_own())
    }

    /// The CONNACK that accepts.
    pub(super) fn accepted(&self) -> Option<(usize, &'a ConnAck)> {
        self.connacks().find(|(_, connack)| !connack.reason.is_error())
    }

    /// Every CONNACK.
    pub(super) fn connacks(&self) -> impl Iterator<Item = (usize, &'a ConnAck)> {
        self.received.iter().filter_map(|(at, received)| match received {
            Received::Packet(Packet::ConnAck(connack)) => Some((*at, connack)),
            _ => None,
        })
    }

    /// The Client Identifier, given or assigned, as far as the trace shows it.
    pub(super) fn client_id(&self) -> Option<&str> {
        let (_, connect) = self.connect()?;
        match connect.client_id.is_empty() {
            false => Some(&connect.client_id),
            true => {
                let (_, connack) = self.accepted()?;
                connack.properties.text(PropertyId::AssignedClientIdentifier).map(|id| &**id)
            }
        }
    }

    /// Whether the client asked for MQTT 5.0. A broker may serve earlier versions to who asks for
    /// them.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(
            self.sent.first(),
            Some((
                _,
                Sent::Noise(_)
                    | Sent::Broken(
                        PacketType::Connect,
                        Some(Fault::UnsupportedProtocolName | Fault::UnsupportedProtocolVersion(_))
                    )
            ))
        )
    }

    /// Where something was first sent that may have been taken for a CONNECT of any client.
    fn stranger_from(&self) -> Option<usize> {
        let is_connect = |sent: &Sent<'_>| match sent {
            Sent::Packet(packet) => packet.packet_type() == PacketType::Connect,
            Sent::Broken(packet_type, _) => *packet_type == PacketType::Connect,
            Sent::Noise(_) => true,
        };
        // Nor is it known who a client is whose assigned name was not read.
        let is_known = self.client_id().is_some() || self.connacks().next().is_some();
        let known = usize::from(self.connect().is_some() && is_known);
        let mut rest = self.sent.iter().skip(known);
        rest.find(|(_, sent)| is_connect(sent)).map(|(at, _)| *at)
    }
}

fn read<'a>(frame: &Frame) -> Sent<'a> {
    match Packet::decode(frame, Side::Client) {
        Ok(packet) => Sent::Packet(Cow::Owned(packet)),
        Err(error) => Sent::Broken(frame.header.packet_type, Some(error.fault)),
    }
}

/// What becomes of a packet that is written down and read back.
#[derive(Debug)]
pub(super) enum Recoded {
    /// The same; with its size in bytes, which is the smallest it can have had.
    Same(u64),
    /// It breaks a rule.
    Fault(Fault),
    /// It cannot be written down.
    Unwritable,
}

/// Holds a packet to every rule that its bytes alone can break.
pub(super) fn recoded(packet: &Packet, from: Side) -> Recoded {
    match packet {
        // No rule is about the bytes of a payload, of which there may be many.
        Packet::Publish(publish) if publish.payload.len() > LARGE => {
            let Ok(size) = packet.encoded_len() else { return Recoded::Unwritable };
            let empty = Publish { payload: Bytes::new(), ..publish.clone() };
            match written_and_read(&Packet::Publish(empty), from) {
                Recoded::Same(_) => Recoded::Same(size as u64),
                other => other,
            }
        }
        _ => written_and_read(packet, from),
    }
}

fn written_and_read(packet: &Packet, from: Side) -> Recoded {
    let Ok(bytes) = packet.to_bytes() else { return Recoded::Unwritable };
    let decoded = match FixedHeader::decode(&bytes) {
        Ok(Some(header)) => Packet::decode(&Frame { header, bytes }, from).map(|_| header),
        Ok(None) => return Recoded::Unwritable,
        Err(error) => Err(error),
    };
    match decoded {
        Ok(header) => Recoded::Same(header.packet_size()),
        Err(error) => Recoded::Fault(error.fault),
    }
}
