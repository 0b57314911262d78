//! What came of a broker, field by field, so that two brokers can be compared in it and a program can look for it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Packet, Properties, Property, PropertyId, Publish, QoS, ReasonCode, Value,
};

use crate::script::client_of;
use crate::trace::{Event, What};

/// What is known, or wanted, of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Flag(bool),
    Number(u32),
    Numbers(Vec<u32>),
    Text(String),
    Bytes(Bytes),
    Pairs(Vec<(String, String)>),
    /// Whether it is there at all.
    Given(bool),
    /// Any number below this.
    Below(u32),
    /// Any number above this.
    Above(u32),
    /// Bytes that begin so.
    Begins(Bytes),
    /// Whether there are more bytes than this.
    Longer(u32, bool),
    /// The Packet Identifier of a message that came before.
    IdOf(String),
    /// Any other.
    NotIdOf(String),
}

/// What a program calls the Packet Identifier of what came.
pub(super) fn label(sight: usize) -> String {
    format!("m{}", sight + 1)
}

/// Fields by their names.
pub(super) type Fields = BTreeMap<&'static str, Field>;

/// The name of what a connection ends with.
pub(super) const CLOSED: &str = "closed";
/// The name of bytes that are no packet.
pub(super) const BROKEN: &str = "BROKEN";

/// Something that came over a connection.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// Its place in the trace.
    pub(super) event: usize,
    /// How many steps of the script had been begun.
    pub(super) step: usize,
    pub(super) at: Duration,
    pub(super) connection: String,
    /// The type of the packet, or what it is instead.
    pub(super) name: &'static str,
    /// What it is known by.
    pub(super) key: Fields,
    /// What else counts of it.
    pub(super) fields: Fields,
    /// What brokers may do as they like in most cases.
    pub(super) details: Fields,
    /// Its bytes, if they are known.
    raw: Bytes,
    /// The Packet Identifier, where the broker chose it.
    pub(super) id: Option<u16>,
    /// The place among all that came of the message that has the same Packet Identifier and is not done with.
    pub(super) same_id_as: Option<usize>,
}

impl Sight {
    /// Whether it says that something went wrong.
    pub(super) fn is_error(&self) -> bool {
        self.fields.get("error") == Some(&Field::Flag(true))
    }

    /// Whether it is the same, whatever it is like.
    pub(super) fn is_same(&self, other: &Sight) -> bool {
        self.name == other.name && self.key == other.key
    }

    /// Whether the two have to come in the order in which the reference sends them.
    pub(super) fn is_in_order_with(&self, other: &Sight) -> bool {
        let path = |it: &Sight| (it.key.get("topic").cloned(), it.fields.get("qos").cloned());
        match self.name {
            "CONNACK" => true,
            "PUBLISH" => other.name == self.name && path(other) == path(self),
            "PUBACK" | "PUBREC" | "PUBREL" => other.name == self.name,
            _ => false,
        }
    }

    /// Whether the two are of the many that have to come in one order.
    pub(super) fn is_one_of_many_with(&self, other: &Sight) -> bool {
        self.name == other.name && self.is_in_order_with(other)
    }

    /// Whether it is what a program looks for with these fields.
    pub(super) fn fits(&self, wanted: &Fields) -> bool {
        wanted.iter().all(|(name, wanted)| {
            let have =
                [&self.key, &self.fields, &self.details].into_iter().find_map(|it| it.get(name));
            match (have, wanted) {
                _ if *name == "packet" => *wanted == Field::Text(self.name.to_owned()),
                (have, Field::Given(is)) => have.is_some() == *is,
                (Some(Field::Number(have)), Field::Below(than)) => have < than,
                (Some(Field::Number(have)), Field::Above(than)) => have > than,
                (_, Field::Begins(start)) => self.raw.starts_with(start),
                // Which identifier a broker takes is told by what came before.
                (_, Field::IdOf(_) | Field::NotIdOf(_)) => true,
                (have, wanted) => have == Some(wanted),
            }
        })
    }

    /// What a program looks for to find it, where the reference sends the same and it comes to the same.
    pub(super) fn outcome_in_common(&self, other: &Sight) -> Fields {
        let mut wanted = self.wanted();
        for name in ["error", "session_present", "reasons"] {
            let (one, other) = (self.fields.get(name), other.fields.get(name));
            wanted.extend(one.filter(|_| one == other).map(|field| (name, field.clone())));
        }
        wanted
    }

    /// What a program looks for to find it.
    pub(super) fn wanted(&self) -> Fields {
        let mut wanted = self.key.clone();
        // How a program reads what is no valid packet makes no difference.
        if self.name != BROKEN {
            wanted.insert("packet", Field::Text(self.name.to_owned()));
        }
        wanted
    }
}

/// All that came in a trace, with the count of steps at each of its events.
pub(super) fn sights(trace: &[Event], steps: &[usize]) -> Vec<Sight> {
    let mut watch = Watch::default();
    let mut sights: Vec<Sight> = Vec::new();
    for (place, event) in trace.iter().enumerate() {
        let client = client_of(&event.probe).to_owned();
        if let What::Sent(packet) = &event.what {
            watch.sent(event, packet);
        }
        let Some((name, parts)) = watch.parts(event) else { continue };
        let mut sight = Sight {
            event: place,
            step: steps.get(place).copied().unwrap_or_default(),
            at: event.at,
            connection: event.probe.clone(),
            name,
            key: parts.key,
            fields: parts.fields,
            details: parts.details,
            raw: raw(&event.what),
            id: None,
            same_id_as: None,
        };
        if let What::Received(Packet::Publish(publish)) = &event.what
            && publish.qos != QoS::AtMostOnce
        {
            let of = (client.clone(), publish.packet_id);
            sight.id = Some(publish.packet_id);
            sight.same_id_as = watch.held.get(&of).copied();
            watch.held.insert(of, sights.len());
        }
        if let What::Received(Packet::PubRel(ack)) = &event.what {
            sight.id = Some(ack.packet_id);
            sight.same_id_as = watch.held.get(&(client, ack.packet_id)).copied();
        }
        sights.push(sight);
    }
    sights
}

fn raw(what: &What) -> Bytes {
    match what {
        What::Received(packet) => packet.to_bytes().unwrap_or_default(),
        What::ReceivedBroken(bytes, _) => bytes.clone(),
        _ => Bytes::new(),
    }
}

#[derive(Debug, Default)]
struct Parts {
    key: Fields,
    fields: Fields,
    details: Fields,
}

/// How a program finds the bytes of a packet.
const BYTES: &str = "bytes";

#[derive(Debug, Default)]
struct Watch {
    /// How long packets may be that clients take, by connection.
    limits: BTreeMap<String, u32>,
    /// What Topic Aliases stand for, by connection.
    aliases: BTreeMap<(String, u32), String>,
    /// By client and Packet Identifier: the places of the broker's messages that are not done with.
    held: BTreeMap<(String, u16), usize>,
}

impl Watch {
    fn sent(&mut self, event: &Event, packet: &Packet) {
        let id = match packet {
            Packet::Connect(connect) => {
                let limit = connect.properties.number(PropertyId::MaximumPacketSize);
                self.limits.extend(limit.map(|limit| (event.probe.clone(), limit)));
                return;
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => ack.packet_id,
            Packet::PubRec(ack) if ack.reason.is_error() => ack.packet_id,
            _ => return,
        };
        self.held.remove(&(client_of(&event.probe).to_owned(), id));
    }

    fn parts(&mut self, event: &Event) -> Option<(&'static str, Parts)> {
        match &event.what {
            What::Received(packet) => {
                Some((packet.packet_type().name(), self.packet(&event.probe, packet)))
            }
            What::ReceivedBroken(bytes, _) => {
                let mut parts = Parts::default();
                parts.key.insert(BYTES, Field::Begins(bytes.clone()));
                Some((BROKEN, parts))
            }
            What::ClosedByBroker(_) => Some((CLOSED, Parts::default())),
            _ => None,
        }
    }

    fn packet(&mut self, connection: &str, packet: &Packet) -> Parts {
        let mut parts = Parts::default();
        match packet {
            Packet::ConnAck(connack) => {
                parts.reason(connack.reason);
                parts.fields.insert("session_present", Field::Flag(connack.session_present));
            }
            Packet::Publish(publish) => self.publish(&mut parts, connection, publish),
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                parts.key.insert("id", Field::Number(ack.packet_id.into()));
                parts.reason(ack.reason);
            }
            Packet::PubRel(ack) => parts.reason(ack.reason),
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
                parts.key.insert("id", Field::Number(ack.packet_id.into()));
                let codes = ack.reasons.iter().map(|code| code.value().into());
                parts.fields.insert("reasons", Field::Numbers(codes.collect()));
            }
            Packet::Disconnect(disconnect) => parts.reason(disconnect.reason),
            Packet::Auth(auth) => parts.reason(auth.reason),
            _ => {}
        }
        if let Some(properties) = packet.properties() {
            parts.properties(packet, properties);
        }
        if let Some(limit) = self.limits.get(connection) {
            let is_longer = packet.encoded_len().is_ok_and(|length| length > *limit as usize);
            parts.details.insert(BYTES, Field::Longer(*limit, is_longer));
        }
        parts
    }

    fn publish(&mut self, parts: &mut Parts, connection: &str, publish: &Publish) {
        let mut topic = publish.topic.to_string();
        if let Some(alias) = publish.properties.number(PropertyId::TopicAlias) {
            let known = self.aliases.entry((connection.to_owned(), alias)).or_default();
            match topic.is_empty() {
                true => topic.clone_from(known),
                false => known.clone_from(&topic),
            }
        }
        parts.key.insert("topic", Field::Text(topic));
        parts.key.insert("payload", Field::Bytes(publish.payload.clone()));
        parts.fields.insert("qos", Field::Number(publish.qos.value().into()));
        parts.fields.insert("retain", Field::Flag(publish.retain));
        parts.fields.insert("dup", Field::Flag(publish.dup));
    }
}

impl Parts {
    fn reason(&mut self, reason: ReasonCode) {
        self.fields.insert("reason", Field::Number(reason.value().into()));
        self.fields.insert("error", Field::Flag(reason.is_error()));
    }

    fn properties(&mut self, packet: &Packet, properties: &Properties) {
        let mut pairs = Vec::new();
        let mut identifiers = Vec::new();
        for Property { id, value } in properties.iter() {
            let key = id.row().key;
            match (id, value) {
                (PropertyId::UserProperty, Value::Pair(name, value)) => {
                    pairs.push((name.to_string(), value.to_string()));
                }
                (PropertyId::SubscriptionIdentifier, Value::Number(number)) => {
                    identifiers.push(*number);
                }
                (
                    PropertyId::ReasonString
                    | PropertyId::AuthenticationData
                    | PropertyId::AssignedClientIdentifier,
                    _,
                ) => drop(self.details.insert(key, Field::Given(true))),
                (PropertyId::TopicAlias, Value::Number(number)) => {
                    self.details.insert(key, Field::Number(*number));
                }
                (_, Value::Number(number)) => drop(self.fields.insert(key, Field::Number(*number))),
                (_, Value::String(text)) => {
                    self.fields.insert(key, Field::Text(text.to_string()));
                }
                (_, Value::Binary(bytes)) => {
                    self.fields.insert(key, Field::Bytes(bytes.clone()));
                }
                (_, Value::Pair(..)) => {}
            }
        }
        if !identifiers.is_empty() {
            identifiers.sort_unstable();
            let key = PropertyId::SubscriptionIdentifier.row().key;
            self.fields.insert(key, Field::Numbers(identifiers));
        }
        if !pairs.is_empty() {
            let key = PropertyId::UserProperty.row().key;
            let is_message = matches!(packet, Packet::Publish(_));
            let fields = if is_message { &mut self.fields } else { &mut self.details };
            fields.insert(key, Field::Pairs(pairs));
        }
    }
}
