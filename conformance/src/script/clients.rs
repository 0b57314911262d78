//! The clients of a script, without their connections: what they hold, and what they do next.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    DecodeError, Framer, Packet, PacketType, PropertyId, Publish, PublishAck, QoS, Side, Text,
};

use crate::trace::{Ending, Event, What};

use super::logins::Logins;
use super::{Acknowledgement, Act, Alteration, Step, client_of};
use crate::target::hide_exchange;

/// What stands in scripts and traces for the identifiers that a broker assigns: this and their number.
pub(super) const ASSIGNED: &str = "assigned";

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
    /// A packet, cut behind these bytes.
    SendCut(Packet, Vec<usize>),
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

#[derive(Clone, Debug, Default)]
struct Line {
    is_open: bool,
    acknowledges: bool,
    /// Where the next packet is cut.
    cuts: Vec<usize>,
    /// How many packets go out together still, and those that wait for it.
    joins: usize,
    joined: Vec<Packet>,
    /// How the next packet is altered.
    alters: Option<Alteration>,
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
    /// The Client Identifiers that the broker assigned, in their order.
    assigned: Vec<Text>,
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
                let packet = self.with_assigned(packet.clone());
                if let Some(alteration) = self.alteration(name) {
                    // Credentials are sent, and not told.
                    self.tells_bytes(name, at, alteration.of(&packet));
                    let packet = self.logins.fill(name, &packet);
                    return Doing::SendBytes(alteration.of(&packet));
                }
                self.sends(name, at, &packet);
                let packet = self.logins.fill(name, &packet);
                self.going_out(name, packet)
            }
            Act::Cuts(places) => {
                self.lines.entry(name.to_owned()).or_default().cuts.clone_from(places);
                Doing::Nothing
            }
            Act::Joins(count) => {
                self.lines.entry(name.to_owned()).or_default().joins = *count;
                Doing::Nothing
            }
            Act::Alters(alteration) => {
                self.lines.entry(name.to_owned()).or_default().alters = Some(alteration.clone());
                Doing::Nothing
            }
            Act::SendBytes(bytes) => {
                self.tells_bytes(name, at, bytes.clone());
                Doing::SendBytes(bytes.clone())
            }
            Act::Acknowledge(meant) => match self.acknowledgement(name, meant) {
                Some(packet) => match self.alteration(name) {
                    Some(alteration) => {
                        let bytes = alteration.of(&packet);
                        self.tells_bytes(name, at, bytes.clone());
                        Doing::SendBytes(bytes)
                    }
                    None => {
                        self.sends(name, at, &packet);
                        Doing::Send(vec![packet])
                    }
                },
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
        self.assigned.extend(assigned(&packet).cloned());
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

    /// How the next packet is altered.
    fn alteration(&mut self, name: &str) -> Option<Alteration> {
        self.lines.get_mut(name)?.alters.take()
    }

    /// How a packet goes out: in parts, with others, or as it is.
    fn going_out(&mut self, name: &str, packet: Packet) -> Doing {
        let line = self.lines.entry(name.to_owned()).or_default();
        if line.joins > 0 {
            line.joins -= 1;
            line.joined.push(packet);
            return match line.joins {
                0 => Doing::Send(std::mem::take(&mut line.joined)),
                _ => Doing::Nothing,
            };
        }
        match std::mem::take(&mut line.cuts) {
            cuts if cuts.is_empty() => Doing::Send(vec![packet]),
            cuts => Doing::SendCut(packet, cuts),
        }
    }

    /// A CONNECT with the identifier that is meant by `assigned1`, and so on: the broker's to choose. As long as
    /// it has not, it is one as any other, and has the beginning of its place before it.
    fn with_assigned(&self, mut packet: Packet) -> Packet {
        if let Packet::Connect(connect) = &mut packet
            && let Some((_, number)) = connect.client_id.rsplit_once(ASSIGNED)
            && let Ok(number @ 1..) = number.parse::<usize>()
            && let Some(id) = self.assigned.get(number - 1)
        {
            connect.client_id = id.clone();
        }
        packet
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

    /// Bytes that are a packet are told as one, so that what follows from it can be judged.
    fn tells_bytes(&mut self, name: &str, at: Duration, bytes: Bytes) {
        match whole_packet(&bytes) {
            Some(packet) => self.sends(name, at, &packet),
            None => self.note(name, at, What::SentBytes(bytes)),
        }
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

/// The packet that these bytes are, if they are one and nothing more.
fn whole_packet(bytes: &Bytes) -> Option<Packet> {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(bytes);
    let frame = framer.next_frame().ok().flatten().filter(|_| framer.pending() == 0)?;
    Packet::decode(&frame, Side::Client).ok()
}

/// A packet in its parts; none that cannot be written.
pub(crate) fn parts(packet: &Packet, cuts: &[usize]) -> Vec<Bytes> {
    let mut rest = packet.to_bytes().unwrap_or_default();
    let mut parts = Vec::new();
    let mut cut = 0;
    for place in cuts {
        if let Some(len) = place.checked_sub(cut).filter(|len| (1..rest.len()).contains(len)) {
            parts.push(rest.split_to(len));
            cut = *place;
        }
    }
    parts.push(rest);
    parts
}

/// The Client Identifier that a broker assigns.
fn assigned(packet: &Packet) -> Option<&Text> {
    match packet {
        Packet::ConnAck(it) => it.properties.text(PropertyId::AssignedClientIdentifier),
        _ => None,
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

#[cfg(test)]
mod tests {
    use reference_broker::codec::{ConnAck, Connect, ReasonCode};

    use super::*;

    #[test]
    fn an_assigned_identifier_is_the_one_that_the_broker_chose() {
        let mut clients = Clients::default();
        let connects = Step::new("a.2", Act::Send(Connect::new("assigned1").into()));
        clients.begin(&Step::new("a", Act::Open), Duration::ZERO);
        let mut connack = ConnAck::new(false, ReasonCode::Success);
        connack.properties.push(PropertyId::AssignedClientIdentifier, Text::from("x7"));
        clients.receive("a", Duration::ZERO, connack.into());
        clients.begin(&Step::new("a.2", Act::Open), Duration::ZERO);
        let doing = clients.begin(&connects, Duration::ZERO);
        assert_eq!(doing, Doing::Send(vec![Connect::new("x7").into()]));
    }
}
