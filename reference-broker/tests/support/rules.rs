//! What must always hold of a broker's outputs, whatever its inputs.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    DecodeError, Packet, Properties, PropertyId, Publish, QoS, ReasonCode, Side, Text,
};
use reference_broker::core::{Broker, ConnectionId, Input, Moment, Output};

use super::frame;

/// One input and all its outputs, held to the rules.
pub(crate) fn step(
    broker: &mut Broker,
    rules: &mut Rules,
    now: Moment,
    input: Input,
) -> Vec<Output> {
    rules.check_input(&input);
    broker.handle(now, input);
    let outputs: Vec<_> = std::iter::from_fn(|| broker.next_output()).collect();
    outputs.iter().for_each(|output| rules.check_output(output));
    check_bounds(broker);
    let due = broker.next_deadline();
    assert!(due.is_none_or(|due| due >= now), "{due:?} is in the past at {now:?}");
    outputs
}

/// A broker never keeps more than it may.
fn check_bounds(broker: &Broker) {
    let (bounds, counts) = (&broker.config().bounds, broker.counts());
    let unaccepted = counts.connections - counts.sessions_connected;
    let sessions = counts.sessions_connected + counts.sessions_waiting;
    for (what, count, most) in [
        ("unaccepted connections", unaccepted, bounds.unaccepted_connections),
        ("connections", counts.sessions_connected, bounds.connections),
        ("sessions", sessions, bounds.sessions),
        ("subscriptions", counts.subscriptions + counts.shared_members, bounds.subscriptions),
        ("retained messages", counts.retained, bounds.retained_messages),
        ("retained bytes", counts.retained_bytes, bounds.retained_bytes),
        ("queued bytes", counts.queued_bytes, bounds.queued_bytes),
    ] {
        assert!(count <= most, "{count} {what} where {most} may be");
    }
}

/// What must hold whatever happens: a broker only speaks on open connections, only in valid packets,
/// within the limits that the client gave, and with no more on its way than the client allows. Its Topic
/// Aliases stand for the topics of messages that were published, if it reports those.
#[derive(Default)]
pub(crate) struct Rules {
    open: BTreeMap<ConnectionId, Limits>,
    published: BTreeSet<(String, Vec<u8>)>,
}

#[derive(Default)]
struct Limits {
    /// From the CONNECT: Receive Maximum and Maximum Packet Size.
    given: Option<(usize, usize)>,
    /// The Authentication Method of the CONNECT.
    method: Option<Text>,
    /// From the CONNECT: Topic Alias Maximum, Request Problem Information.
    aliases: u32,
    wants_no_problems: bool,
    /// Topics by the aliases that the broker has set.
    topics: BTreeMap<u32, String>,
    /// Whether a CONNACK has accepted it.
    is_accepted: bool,
    /// Whether a CONNACK or DISCONNECT has announced the end.
    is_over: bool,
    /// Packet Identifiers of messages on their way, and whether they have been released.
    at_qos1: BTreeSet<u16>,
    at_qos2: BTreeMap<u16, bool>,
    /// Those open that have had a wrong acknowledgement, which makes room (section 4.9).
    made_room: BTreeSet<u16>,
}

impl Rules {
    fn check_input(&mut self, input: &Input) {
        match input {
            Input::Opened(id) => {
                self.open.insert(*id, Limits::default());
            }
            Input::Received(id, packet) => {
                if let Some(limits) = self.open.get_mut(id) {
                    limits.take(packet);
                }
            }
            Input::Closed(id) => {
                self.open.remove(id);
            }
            Input::Malformed(..)
            | Input::Answered(..)
            | Input::Stop
            | Input::Redirect(_)
            | Input::Tick => {}
        }
    }

    fn check_output(&mut self, output: &Output) {
        match output {
            Output::Send(id, packet) => {
                let limits = self.open.get_mut(id).expect("a packet to an open connection");
                limits.check(packet);
                if let Packet::Publish(publish) = packet {
                    let topic = limits.topic(publish);
                    let message = (topic, publish.payload.to_vec());
                    let is_known = self.published.is_empty() || self.published.contains(&message);
                    assert!(is_known, "{message:?} has never been published");
                }
            }
            Output::Close(id) => {
                assert!(self.open.remove(id).is_some(), "{id:?} is closed once");
            }
            Output::Ask(id, _) => assert!(self.open.contains_key(id), "{id:?} is open"),
            Output::Published(message) => {
                let topic = message.topic.as_str().to_string();
                self.published.insert((topic, message.payload.to_vec()));
            }
        }
    }
}

impl Limits {
    fn take(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) if self.given.is_none() => {
                let number = |id| connect.properties.number(id).map(|number| number as usize);
                let window = number(PropertyId::ReceiveMaximum).unwrap_or(65_535);
                let size = number(PropertyId::MaximumPacketSize).unwrap_or(usize::MAX);
                self.given = Some((window, size));
                let number = |id| connect.properties.number(id);
                self.aliases = number(PropertyId::TopicAliasMaximum).unwrap_or(0);
                self.wants_no_problems = number(PropertyId::RequestProblemInformation) == Some(0);
                self.method = method(&connect.properties);
            }
            Packet::PubAck(ack) if self.at_qos1.remove(&ack.packet_id) => {}
            Packet::PubRec(ack) if self.at_qos2.get(&ack.packet_id) == Some(&false) => {
                match ack.reason.is_error() {
                    true => self.at_qos2.remove(&ack.packet_id),
                    false => self.at_qos2.insert(ack.packet_id, true),
                };
            }
            Packet::PubComp(ack) if self.at_qos2.get(&ack.packet_id) == Some(&true) => {
                self.at_qos2.remove(&ack.packet_id);
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.made_room.insert(ack.packet_id);
            }
            _ => {}
        }
    }

    /// The topic of a message, by its name or by an alias that the client allows.
    fn topic(&mut self, publish: &Publish) -> String {
        let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else {
            return publish.topic.to_string();
        };
        assert!(0 < alias && alias <= self.aliases, "alias {alias} of {}", self.aliases);
        if !publish.topic.is_empty() {
            self.topics.insert(alias, publish.topic.to_string());
        }
        self.topics.get(&alias).expect("an alias that was set").clone()
    }

    fn check(&mut self, packet: &Packet) {
        assert!(!self.is_over, "{packet:?} after the announced end");
        let bytes = packet.to_bytes().expect("a packet that can be written");
        assert_eq!(decode(&bytes).as_ref(), Ok(packet), "a packet that a server may send");
        let (window, size) = self.given.unwrap_or((0, usize::MAX));
        assert!(bytes.len() <= size, "{} bytes where {size} are allowed", bytes.len());
        match packet {
            Packet::ConnAck(connack) => {
                assert!(!self.is_accepted, "one CONNACK");
                self.is_accepted = connack.reason == ReasonCode::Success;
                self.is_over = !self.is_accepted;
                let has_it = method(&connack.properties);
                assert_eq!(has_it, self.method.clone().filter(|_| self.is_accepted));
            }
            Packet::Auth(auth) => {
                assert!(self.method.is_some(), "{packet:?} without a method in CONNECT");
                assert_eq!(method(&auth.properties), self.method);
                let goes_on = auth.reason == ReasonCode::ContinueAuthentication;
                assert!(self.is_accepted || goes_on, "{packet:?} before CONNACK");
            }
            _ => assert!(self.is_accepted, "{packet:?} before CONNACK"),
        }
        let explains = packet.properties().is_some_and(|properties| {
            [PropertyId::ReasonString, PropertyId::UserProperty]
                .into_iter()
                .any(|id| properties.contains(id))
        });
        let may = matches!(packet, Packet::Publish(_) | Packet::ConnAck(_) | Packet::Disconnect(_));
        assert!(may || !explains || !self.wants_no_problems, "{packet:?} explains itself");
        match packet {
            Packet::Disconnect(_) => self.is_over = true,
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                let id = publish.packet_id;
                let is_open = self.at_qos1.contains(&id) || self.at_qos2.contains_key(&id);
                assert!(!is_open, "packet identifier {id} is in use");
                self.made_room.remove(&id);
                match publish.qos {
                    QoS::AtLeastOnce => assert!(self.at_qos1.insert(id)),
                    _ => assert_eq!(self.at_qos2.insert(id, false), None),
                }
                let open = self.at_qos1.iter().chain(self.at_qos2.keys());
                let count = open.filter(|id| !self.made_room.contains(id)).count();
                assert!(count <= window, "{count} messages on their way where {window} may be");
            }
            _ => {}
        }
    }
}

fn method(properties: &Properties) -> Option<Text> {
    properties.text(PropertyId::AuthenticationMethod).cloned()
}

fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    Packet::decode(&frame(bytes, u32::MAX)?, Side::Server)
}
