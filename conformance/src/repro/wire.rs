//! The bytes of packets in a program: hex, and variables for what is known only when it runs. `{ ... }` has its length
//! before it, as a Variable Byte Integer.

use reference_broker::codec::{Connect, Kind, Packet, Properties, Property, PropertyId, Value};

use crate::trace::hex_row;

use super::people::{self, People};

/// What is known when a packet is written.
pub(super) struct Wire<'a> {
    pub(super) people: &'a People,
    /// The names of the broker's messages, by their Packet Identifiers.
    pub(super) message: &'a dyn Fn(u16) -> Option<&'a str>,
    /// The variable for what it says with SCRAM.
    pub(super) scram: Option<&'static str>,
}

impl Wire<'_> {
    /// A packet of a client.
    pub(super) fn of(&self, packet: &Packet) -> String {
        let bytes = packet.to_bytes().unwrap_or_default();
        let plain = || hex_row(&bytes).trim().to_owned();
        match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                match (self.message)(ack.packet_id) {
                    Some(name) => named(&bytes, name),
                    None => plain(),
                }
            }
            Packet::Connect(connect) => self.connect(connect).unwrap_or_else(plain),
            Packet::Auth(auth) => match self.properties(&auth.properties) {
                Some(properties) => format!("f0 {{ {:02x} {properties} }}", auth.reason.value()),
                None => plain(),
            },
            _ => plain(),
        }
    }

    /// A CONNECT of which something is known only when it runs.
    fn connect(&self, connect: &Connect) -> Option<String> {
        let user = connect.user_name.as_deref().map(|name| (name, people::user(name)));
        let password = connect.password.as_ref().map(|it| (it, people::password(it)));
        let identifier = self.people.identifier(&connect.client_id);
        let properties = self.properties(&connect.properties);
        let is_plain = user.as_ref().is_none_or(|(_, variable)| variable.is_none())
            && password.as_ref().is_none_or(|(_, variable)| variable.is_none())
            && identifier.is_none()
            && properties.is_none();
        if is_plain {
            return None;
        }
        // What stands before the properties, and the Will, are as in the same packet without the rest.
        let whole = Packet::from(connect.clone()).to_bytes().ok()?;
        let bare = Connect { user_name: None, password: None, ..connect.clone() };
        let without_will = Connect { will: None, ..bare.clone() };
        let (bare, without_will) = (body(bare), body(without_will));
        let head = body_of(&whole).get(..10)?;
        let will = bare.get(without_will.len()..)?;
        let mut words = vec!["10 {".to_owned(), hex_row(head).trim().to_owned()];
        words.push(properties.unwrap_or_else(|| words_of(connect.properties.iter(), None)));
        words.push(match identifier {
            Some(identifier) => format!("${identifier}"),
            None => with_length(connect.client_id.as_bytes()),
        });
        words.push(hex_row(will).trim().to_owned());
        for (text, variable) in user
            .map(|(name, variable)| (name.as_bytes(), variable))
            .into_iter()
            .chain(password.map(|(password, variable)| (&password[..], variable)))
        {
            words.push(match variable {
                Some(variable) => format!("${variable}"),
                None => with_length(text),
            });
        }
        words.push("}".to_owned());
        words.retain(|word| !word.is_empty());
        Some(words.join(" "))
    }

    /// Properties with what is said with SCRAM, if anything is.
    fn properties(&self, properties: &Properties) -> Option<String> {
        self.scram.map(|variable| words_of(properties.iter(), Some(variable)))
    }
}

/// An acknowledgement of the message with this name.
fn named(bytes: &[u8], name: &str) -> String {
    let head = bytes.len() - body_of(bytes).len();
    let (head, rest) = bytes.split_at(head);
    format!("{} ${name}{}", hex_row(head).trim(), hex_row(rest.get(2..).unwrap_or_default()))
}

/// A packet without its Fixed Header.
fn body_of(packet: &[u8]) -> &[u8] {
    let length = packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    packet.get(1 + length..).unwrap_or_default()
}

fn body(connect: Connect) -> Vec<u8> {
    let bytes = Packet::from(connect).to_bytes().unwrap_or_default();
    body_of(&bytes).to_vec()
}

fn with_length(text: &[u8]) -> String {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    hex_row(&[&length[..], text].concat()).trim().to_owned()
}

/// Properties with their length before them, and a variable as their Authentication Data.
fn words_of<'a>(properties: impl Iterator<Item = &'a Property>, data: Option<&str>) -> String {
    let mut words = vec!["{".to_owned()];
    for Property { id, value } in properties {
        words.push(format!("{:02x}", id.value()));
        words.push(match (value, data) {
            (Value::Binary(_), Some(data)) if *id == PropertyId::AuthenticationData => {
                format!("${data}")
            }
            (Value::Binary(bytes), _) => with_length(bytes),
            (Value::String(text), _) => with_length(text.as_bytes()),
            (Value::Pair(name, value), _) => {
                format!("{} {}", with_length(name.as_bytes()), with_length(value.as_bytes()))
            }
            (Value::Number(number), _) => number_words(*number, id.row().kind),
        });
    }
    words.push("}".to_owned());
    words.join(" ")
}

fn number_words(number: u32, kind: Kind) -> String {
    let bytes = number.to_be_bytes();
    let width = match kind {
        Kind::Byte => 1,
        Kind::TwoByte => 2,
        _ => 4,
    };
    hex_row(&bytes[4 - width..]).trim().to_owned()
}

/// What ends the session of a CONNECT, and takes back what was retained on these topics.
pub(super) fn clearing(wire: &Wire<'_>, connect: &Connect, topics: &[String]) -> Option<String> {
    if connect.properties.contains(PropertyId::AuthenticationMethod) {
        return None;
    }
    let cleared = Connect {
        clean_start: true,
        will: None,
        properties: Properties::default(),
        ..connect.clone()
    };
    let mut words = vec![wire.of(&cleared.into())];
    for topic in topics {
        let nothing = reference_broker::codec::Publish::new(topic.as_str(), "").retain();
        words.push(wire.of(&nothing.into()));
    }
    words.push("e0 00".to_owned());
    Some(words.join(" "))
}
