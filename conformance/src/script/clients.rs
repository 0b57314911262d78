//! The clients of a script, without their connections: what they hold, and what they do next.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{DecodeError, Packet, PacketType, Publish, PublishAck, QoS};

use crate::trace::{Ending, Event, What};

use super::logins::Logins;
use super::{Acknowledgement, Act, Step, client_of};
use crate::target::hide_exchange;

/// What came of playing a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// All that happened, in order.
    pub trace: Vec<Event>,
    /// For each event, how many steps had been begun by then.
    pub steps: Vec<usize>,
}

/// What has to be done on a connection for a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doing {
    Open,
    Send(Vec<Packet>),
    SendBytes(Bytes),
    HalfClose,
    Close,
    Wait(Duration),
    /// Nothing: the connection is not there, or the message has not come.
    Nothing,
}

/// A message of the broker's that a client has, and has not done with.
#[derive(Clone, Debug)]
struct Held {
    packet_id: u16,
    qos: QoS,
    payload: Bytes,
    /// The connection over which it came last.
    connection: String,
    has_pubrec: bool,
    is_released: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    is_open: bool,
    acknowledges: bool,
}

/// All clients of a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    lines: BTreeMap<String, Line>,
    /// By client.
    held: BTreeMap<String, Vec<Held>>,
    played: Played,
    begun: usize,
    logins: Logins,
}

impl Clients {
    /// Those of a target with these users.
    pub(crate) fn of(logins: Logins) -> Clients {
        Clients { logins, ..Clients::default() }
    }

    /// What is to be done for a step; it is in the trace then.
    pub(crate) fn begin(&mut self, step: &Step, at: Duration) -> Doing {
        self.begun += 1;
        let name = step.connection.as_str();
        let line = self.lines.entry(name.to_owned()).or_default();
        match &step.act {
            Act::Wait(_) => {}
            Act::Needs(_) | Act::Announces(_) => return Doing::Nothing,
            Act::Open if line.is_open => return Doing::Nothing,
            Act::Open => line.is_open = true,
            _ if !line.is_open => return Doing::Nothing,
            _ => {}
        }
        match &step.act {
            Act::Open => {
                self.note(name, at, What::Opened);
                Doing::Open
            }
            Act::Send(packet) => {
                self.sends(name, at, packet);
                Doing::Send(vec![self.logins.fill(name, packet)])
            }
            Act::SendBytes(bytes) => {
                self.note(name, at, What::SentBytes(bytes.clone()));
                Doing::SendBytes(bytes.clone())
            }
            Act::Acknowledge(meant) => match self.acknowledgement(name, meant) {
                Some(packet) => {
                    self.sends(name, at, &packet);
                    Doing::Send(vec![packet])
                }
                None => Doing::Nothing,
            },
            Act::Acknowledges => {
                self.set_acknowledges(name, true);
                let packets = self.due(name);
                packets.iter().for_each(|packet| self.sends(name, at, packet));
                Doing::Send(packets)
            }
            Act::Withholds => {
                self.set_acknowledges(name, false);
                Doing::Nothing
            }
            Act::HalfClose => {
                self.note(name, at, What::HalfClosed);
                Doing::HalfClose
            }
            Act::Close => {
                self.note(name, at, What::ClosedByProbe);
                self.shut(name);
                Doing::Close
            }
            Act::Wait(time) => Doing::Wait(*time),
            Act::Needs(_) | Act::Announces(_) => Doing::Nothing,
        }
    }

    /// Takes a packet of the broker, and gives what the client answers at once.
    pub(crate) fn receive(&mut self, name: &str, at: Duration, packet: Packet) -> Vec<Packet> {
        let held = self.held.entry(client_of(name).to_owned()).or_default();
        match &packet {
            Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => hold(held, name, publish),
            Packet::PubRel(ack) => {
                let released = held.iter_mut().find(|it| it.packet_id == ack.packet_id);
                if let Some(released) = released {
                    released.is_released = true;
                    name.clone_into(&mut released.connection);
                }
            }
            _ => {}
        }
        let acknowledges = self.lines.get(name).is_some_and(|line| line.acknowledges);
        let answer = acknowledges.then(|| answer_to(&packet)).flatten();
        self.logins.hear(name, &packet);
        self.note(name, at, hide_exchange(What::Received(packet)));
        if let Some(answer) = &answer {
            self.sends(name, at, answer);
        }
        answer.into_iter().collect()
    }

    /// Takes bytes of the broker that are no packet.
    pub(crate) fn receive_broken(
        &mut self,
        name: &str,
        at: Duration,
        bytes: Bytes,
        error: DecodeError,
    ) {
        self.note(name, at, What::ReceivedBroken(bytes, error));
    }

    /// The broker has ended a connection.
    pub(crate) fn end(&mut self, name: &str, at: Duration, ending: Ending) {
        if self.is_open(name) {
            self.note(name, at, What::ClosedByBroker(ending));
            self.shut(name);
        }
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.lines.get(name).is_some_and(|line| line.is_open)
    }

    /// The messages that a client holds: its payload, whether at QoS 2, and how far it has come.
    pub(crate) fn held(&self, client: &str) -> impl Iterator<Item = (&Bytes, PacketType)> {
        let held = self.held.get(client).into_iter().flatten();
        held.filter_map(|it| Some((&it.payload, it.next()?)))
    }

    pub(crate) fn into_played(self) -> Played {
        self.played
    }

    fn shut(&mut self, name: &str) {
        self.lines.entry(name.to_owned()).or_default().is_open = false;
    }

    fn set_acknowledges(&mut self, name: &str, acknowledges: bool) {
        self.lines.entry(name.to_owned()).or_default().acknowledges = acknowledges;
    }

    /// What a client that begins to acknowledge has not acknowledged of what came over this
    /// connection.
    fn due(&self, name: &str) -> Vec<Packet> {
        let held = self.held.get(client_of(name)).into_iter().flatten();
        let here = held.filter(|it| it.connection == name);
        here.filter_map(|it| Some(packet(it.next()?, PublishAck::new(it.packet_id)))).collect()
    }

    /// The packet that acknowledges the message meant: that of this connection rather than of
    /// earlier ones, and one for which it is time rather than another.
    fn acknowledgement(&self, name: &str, meant: &Acknowledgement) -> Option<Packet> {
        let held = self.held.get(client_of(name))?;
        let is_meant = |it: &&Held| it.payload == meant.payload;
        let found = held
            .iter()
            .filter(is_meant)
            .max_by_key(|it| (it.next() == Some(meant.packet), it.connection == name))?;
        let ack = PublishAck {
            packet_id: found.packet_id,
            reason: meant.reason,
            properties: meant.properties.clone(),
        };
        Some(packet(meant.packet, ack))
    }

    /// Notes what a client sends, and what that does to what it holds.
    fn sends(&mut self, name: &str, at: Duration, packet: &Packet) {
        if let Some(held) = self.held.get_mut(client_of(name)) {
            let is = |ack: &PublishAck, it: &Held| it.packet_id == ack.packet_id;
            match packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) => held.retain(|it| !is(ack, it)),
                Packet::PubRec(ack) if ack.reason.is_error() => held.retain(|it| !is(ack, it)),
                Packet::PubRec(ack) => {
                    held.iter_mut().filter(|it| is(ack, it)).for_each(|it| it.has_pubrec = true);
                }
                _ => {}
            }
        }
        self.note(name, at, What::Sent(packet.clone()));
    }

    fn note(&mut self, name: &str, at: Duration, what: What) {
        self.played.trace.push(Event { at, probe: name.to_owned(), what });
        self.played.steps.push(self.begun);
    }
}

impl Held {
    /// What the client is to send next; none while the broker's PUBREL is to come.
    fn next(&self) -> Option<PacketType> {
        match (self.qos, self.has_pubrec, self.is_released) {
            (QoS::AtLeastOnce, _, _) => Some(PacketType::PubAck),
            (_, _, true) => Some(PacketType::PubComp),
            (_, false, false) => Some(PacketType::PubRec),
            (_, true, false) => None,
        }
    }
}

/// Takes in a message: again, if it was there.
fn hold(held: &mut Vec<Held>, name: &str, publish: &Publish) {
    let new = Held {
        packet_id: publish.packet_id,
        qos: publish.qos,
        payload: publish.payload.clone(),
        connection: name.to_owned(),
        has_pubrec: false,
        is_released: false,
    };
    match held.iter_mut().find(|it| it.packet_id == publish.packet_id) {
        Some(old) => *old = new,
        None => held.push(new),
    }
}

/// What a client that acknowledges says to a packet.
fn answer_to(received: &Packet) -> Option<Packet> {
    let (answer, packet_id) = match received {
        Packet::Publish(publish) => match publish.qos {
            QoS::AtMostOnce => return None,
            QoS::AtLeastOnce => (PacketType::PubAck, publish.packet_id),
            QoS::ExactlyOnce => (PacketType::PubRec, publish.packet_id),
        },
        Packet::PubRel(ack) => (PacketType::PubComp, ack.packet_id),
        _ => return None,
    };
    Some(packet(answer, PublishAck::new(packet_id)))
}

fn packet(packet_type: PacketType, ack: PublishAck) -> Packet {
    match packet_type {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        _ => Packet::PubComp(ack),
    }
}
