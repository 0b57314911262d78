//! What a trace says of each connection: who the client is, what it sent, what it got.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, DecodeError, Fault, Frame, Framer, Packet, PacketType, PropertyId, Side,
};

use crate::trace::{Ending, Event, What};

/// One network connection of a trace. Numbers are places in the trace.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) sent: Vec<(usize, Sent<'a>)>,
    pub(super) received: Vec<(usize, Received<'a>)>,
    /// Where the broker was seen to close, and how.
    pub(super) closed_by_broker: Option<(usize, Ending)>,
    /// Where either side closed.
    pub(super) closed: Option<usize>,
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
    /// Bytes without a packet's boundary.
    Noise,
}

impl Sent<'_> {
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

/// Something sent or received, on a connection of [`connections`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Passed<'t, 'a> {
    Sent(&'t Sent<'a>),
    Received(Received<'a>),
}

/// The connections of a trace, in the order of their first events.
pub(super) fn connections(trace: &[Event]) -> Vec<Connection<'_>> {
    let mut connections: Vec<Connection<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for (index, event) in trace.iter().enumerate() {
        if matches!(event.what, What::Waited(_)) {
            continue; // That is the stage, which has no connection.
        }
        let name = event.probe.as_str();
        let place = *places.entry(name).or_insert_with(|| {
            connections.push(Connection::new());
            connections.len() - 1
        });
        connections[place].note(index, &event.what);
    }
    connections
}

/// All that passed over these connections, each with its place in the trace and its connection's
/// place in the list, in the order of the trace.
pub(super) fn passed<'t, 'a>(
    connections: &'t [Connection<'a>],
) -> Vec<(usize, usize, Passed<'t, 'a>)> {
    let mut passed = Vec::new();
    for (place, connection) in connections.iter().enumerate() {
        passed.extend(connection.sent.iter().map(|(at, sent)| (*at, place, Passed::Sent(sent))));
        let received = connection.received.iter();
        passed.extend(received.map(|(at, received)| (*at, place, Passed::Received(*received))));
    }
    passed.sort_by_key(|(at, ..)| *at); // Stable: several packets of one event keep their order.
    passed
}

impl<'a> Connection<'a> {
    fn new() -> Self {
        Connection {
            sent: Vec::new(),
            received: Vec::new(),
            closed_by_broker: None,
            closed: None,
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
                self.sent.push((index, sent));
            }
            What::Sent(packet) => self.note_bytes(index, &packet.to_bytes().unwrap_or_default()),
            What::SentBytes(bytes) => self.note_bytes(index, bytes),
            What::Received(packet) => self.received.push((index, Received::Packet(packet))),
            What::ReceivedBroken(bytes, error) => {
                self.received.push((index, Received::Broken(bytes, *error)));
            }
            What::ClosedByBroker(ending) => {
                self.closed_by_broker.get_or_insert((index, *ending));
                self.closed.get_or_insert(index);
            }
            What::ClosedByProbe => {
                self.closed.get_or_insert(index);
            }
            What::Opened | What::HalfClosed | What::Silence(_) | What::Waited(_) => {}
        }
    }

    fn note_bytes(&mut self, index: usize, bytes: &[u8]) {
        self.rest.buffer().extend_from_slice(bytes);
        loop {
            match self.rest.next_frame() {
                Ok(Some(frame)) => self.sent.push((index, read(&frame))),
                Ok(None) => return,
                Err(_) => {
                    // A broker that does not mind may read on: with the next event, we try too.
                    self.sent.push((index, Sent::Noise));
                    self.rest = Framer::new(u32::MAX);
                    return;
                }
            }
        }
    }

    /// The CONNECT, if it is the first thing that was sent, and valid.
    pub(super) fn connect(&self) -> Option<(usize, &Connect)> {
        match self.sent.first()? {
            (at, Sent::Packet(packet)) => match &**packet {
                Packet::Connect(connect) => Some((*at, connect)),
                _ => None,
            },
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

    /// Whether MQTT 5.0 is spoken here. A broker may serve earlier versions to who asks for them.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(
            self.sent.first(),
            Some((
                _,
                Sent::Noise
                    | Sent::Broken(
                        PacketType::Connect,
                        Some(Fault::UnsupportedProtocolName | Fault::UnsupportedProtocolVersion(_))
                    )
            ))
        )
    }

    /// Where something was first sent that may have been taken for a CONNECT of any client.
    pub(super) fn stranger_from(&self) -> Option<usize> {
        let is_connect = |sent: &Sent<'_>| match sent {
            Sent::Packet(packet) => matches!(&**packet, Packet::Connect(_)),
            Sent::Broken(packet_type, _) => *packet_type == PacketType::Connect,
            Sent::Noise => true,
        };
        // Nor is it known who a client is whose assigned name was not read.
        let is_known = self.client_id().is_some() || self.connacks().next().is_some();
        let known = usize::from(self.connect().is_some() && is_known);
        let mut rest = self.sent.iter().skip(known);
        rest.find(|(_, sent)| is_connect(sent)).map(|(at, _)| *at)
    }

    /// Whether all that was sent is valid, and only its first packet is a CONNECT.
    pub(super) fn is_well_behaved(&self) -> bool {
        self.connect().is_some()
            && self.sent.iter().skip(1).all(|(_, sent)| match sent {
                Sent::Packet(packet) => !matches!(&**packet, Packet::Connect(_)),
                Sent::Broken(..) | Sent::Noise => false,
            })
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
    let Ok(bytes) = packet.to_bytes() else { return Recoded::Unwritable };
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(&bytes);
    let decoded = match framer.next_frame() {
        Ok(Some(frame)) => Packet::decode(&frame, from).map(|_| frame.header.packet_size()),
        Ok(None) => return Recoded::Unwritable,
        Err(error) => Err(error),
    };
    match decoded {
        Ok(size) => Recoded::Same(size),
        Err(error) => Recoded::Fault(error.fault),
    }
}
