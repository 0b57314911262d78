//! What clients have seen of a broker, without what it may do as it likes.

mod ids;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Disconnect, Packet, Properties, Property, PropertyId, Publish, QoS, ReasonCode, Text,
    Value,
};

use crate::probe::is_old_refusal;
use crate::script::{Played, client_of};
use crate::trace::{self, What, packet_text};

use ids::Ids;
use wanted::Wanted;

/// What a broker says of its own limits and features, as far as the embedded one takes it over.
pub(crate) const TAKEN_OVER: &[PropertyId] = &[
    PropertyId::ReceiveMaximum,
    PropertyId::MaximumQoS,
    PropertyId::RetainAvailable,
    PropertyId::MaximumPacketSize,
    PropertyId::TopicAliasMaximum,
    PropertyId::WildcardSubscriptionAvailable,
    PropertyId::SubscriptionIdentifierAvailable,
    PropertyId::SharedSubscriptionAvailable,
];

/// What of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    All,
    /// All but what a broker announces of itself.
    Unannounced,
    /// All of these by what they come to: whether a broker says why it refuses or closes, and with which
    /// code, is left to it.
    ByClass,
    /// All, and what is else of no meaning: each property of CONNACK is a part of its own, and so are
    /// the order of properties, Packet Identifiers, and whether there are texts for people.
    InDetail,
}

/// What one connection has seen, part by part: each part under its name, in words.
pub(super) type Parts = BTreeMap<String, String>;

/// What clients have seen, by connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// By the name of the connection.
    pub(super) connections: BTreeMap<String, Parts>,
}

impl Observed {
    /// What is seen in a trace. Left out are times, the order of what nothing puts in order, Packet
    /// Identifiers but for their being the same, texts for people, and identifiers that were given.
    pub fn of(played: &Played) -> Observed {
        Observed::with(played, View::All)
    }

    /// The same without what a broker announces of itself, by which two may differ as they like.
    pub fn unannounced(played: &Played) -> Observed {
        Observed::with(played, View::Unannounced)
    }

    /// The same with the reasons of refusals and ends left out: a broker may close without a word, and
    /// several codes fit most errors. Where the standard wants one, it is kept.
    pub fn by_class(played: &Played) -> Observed {
        Observed::with(played, View::ByClass)
    }

    /// The same in more and smaller parts, with all that two brokers may differ in as they like.
    pub fn in_detail(played: &Played) -> Observed {
        Observed::with(played, View::InDetail)
    }

    fn with(played: &Played, view: View) -> Observed {
        let mut observed = Observed::default();
        let mut messages = BTreeMap::<(String, String), Vec<(Bytes, String)>>::new();
        let mut ids = Ids::default();
        let mut wanted = BTreeMap::<&str, Wanted>::new();
        let mut has_connack = BTreeSet::<&str>::new();
        for event in &played.trace {
            let parts = observed.connections.entry(event.probe.clone()).or_default();
            let client = client_of(&event.probe);
            if let What::Received(packet) = &event.what
                && !matches!(packet, Packet::ConnAck(_) | Packet::Auth(_) | Packet::Disconnect(_))
                && !has_connack.contains(event.probe.as_str())
            {
                add(parts, "before CONNACK", packet.packet_type().name());
            }
            if let What::Received(Packet::ConnAck(_)) = &event.what {
                has_connack.insert(event.probe.as_str());
            }
            match &event.what {
                What::Received(Packet::Publish(publish)) if view != View::InDetail => {
                    let id = ids.received(client, publish);
                    let copy = (publish.payload.clone(), message_text(publish, id));
                    let of = (event.probe.clone(), messages_part(publish));
                    messages.entry(of).or_default().push(copy);
                    let wants = wanted.entry(event.probe.as_str()).or_default();
                    for beyond in wants.misses(&Packet::Publish(publish.clone())) {
                        add(parts, &format!("PUBLISH {beyond}"), "1");
                    }
                }
                What::Received(packet) => {
                    parts_of(parts, client, &mut ids, packet, view);
                    let wants = wanted.entry(event.probe.as_str()).or_default();
                    for beyond in wants.misses(packet) {
                        add(parts, &format!("{} {beyond}", packet.packet_type()), "1");
                    }
                }
                What::Sent(packet) => {
                    ids.sent(client, packet);
                    if let Packet::Connect(connect) = packet {
                        wanted.insert(&event.probe, Wanted::of(connect));
                    }
                }
                // A CONNECT of another version may be refused as that version has it.
                What::ReceivedBroken(bytes, _)
                    if view == View::ByClass && is_old_refusal(bytes) =>
                {
                    add_end(parts, CLOSED, view);
                }
                // Where it is broken depends on how long a topic is in its place.
                What::ReceivedBroken(_, error) if view == View::ByClass => {
                    add(parts, "no packet", &error.fault.to_string());
                }
                What::ReceivedBroken(bytes, error) => {
                    add(parts, "no packet", &format!("{error}: {}", trace::bytes_literal(bytes)));
                }
                What::ClosedByBroker(_) => add_end(parts, CLOSED, view),
                _ => {}
            }
        }
        for ((connection, part), mut copies) in messages {
            let parts = observed.connections.entry(connection).or_default();
            // A message may come for each subscription that it matches: in any order.
            copies.chunk_by_mut(|(one, _), (other, _)| one == other).for_each(<[_]>::sort);
            copies.iter().for_each(|(_, text)| add(parts, &part, text));
        }
        observed
    }
}

/// The part to which a message belongs.
fn messages_part(publish: &Publish) -> String {
    format!("messages on {:?} at QoS {}", &*publish.topic, publish.qos.value())
}

/// What is seen of a connection that the broker ends.
const CLOSED: &str = "closed by the broker";

/// Adds to what has been seen of the end of a connection.
fn add_end(parts: &mut Parts, how: &str, view: View) {
    let is_said = parts.get("end").is_some_and(|said| said.ends_with(how));
    if view != View::ByClass || !is_said {
        add(parts, "end", how);
    }
}

/// Adds to what has been seen of a part.
fn add(parts: &mut Parts, part: &str, what: &str) {
    let text = parts.entry(part.to_owned()).or_default();
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(what);
}

fn parts_of(parts: &mut Parts, client: &str, ids: &mut Ids, packet: &Packet, view: View) {
    if view == View::InDetail {
        add_details(parts, packet);
    }
    let reason = |code| reason(code, view);
    match packet {
        Packet::ConnAck(connack) if view == View::ByClass && is_any_error(connack.reason) => {
            add_end(parts, CLOSED, view);
        }
        Packet::ConnAck(connack) => add(parts, "CONNACK", &connack_text(connack, view)),
        Packet::Publish(publish) => {
            let id = ids.received(client, publish);
            add(parts, &messages_part(publish), &message_text(publish, id));
        }
        // Answers with the same identifier are in their order; others come in any.
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
            let name = packet.packet_type().name();
            add(parts, &format!("{name} {}", ack.packet_id), &reason(ack.reason));
        }
        Packet::PubRel(ack) => {
            let of = ids.payload(client, ack.packet_id);
            let of = of.map_or("no message".to_owned(), |it| trace::bytes_literal(&it));
            add(parts, &format!("PUBREL of {of}"), &reason(ack.reason));
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
            let name = packet.packet_type().name();
            // Which QoS is granted is no mere success.
            let granted = |code: &ReasonCode| format!("0x{:02x}", code.value());
            let code = |code: &ReasonCode| match packet {
                Packet::SubAck(_) if !code.is_error() => granted(code),
                _ => reason(*code),
            };
            let codes: Vec<_> = ack.reasons.iter().map(code).collect();
            add(parts, &format!("{name} {}", ack.packet_id), &codes.join(" "));
        }
        Packet::PingResp => add(parts, "PINGRESP", "1"),
        Packet::Disconnect(disconnect)
            if view == View::ByClass && is_any_error(disconnect.reason) =>
        {
            add_end(parts, CLOSED, view);
        }
        Packet::Disconnect(disconnect) => add(parts, "end", &disconnect_text(disconnect)),
        Packet::Auth(auth) => {
            let mut auth = auth.clone();
            auth.properties = in_order(&auth.properties);
            add(parts, "AUTH", &packet_text(&auth.into()));
        }
        other => add(parts, other.packet_type().name(), &packet_text(other)),
    }
}

/// Whether it is an error in the place of which others will do, or none at all.
fn is_any_error(code: ReasonCode) -> bool {
    use ReasonCode::{ServerMoved, SessionTakenOver, UseAnotherServer};
    code.is_error() && ![SessionTakenOver, ServerMoved, UseAnotherServer].contains(&code)
}

fn reason(code: ReasonCode, view: View) -> String {
    match view {
        View::ByClass => if code.is_error() { "an error" } else { "success" }.to_owned(),
        _ => format!("0x{:02x}", code.value()),
    }
}

/// What is else of no meaning, or only so with other parts.
fn add_details(parts: &mut Parts, packet: &Packet) {
    let name = packet.packet_type().name();
    if let Packet::Publish(Publish { packet_id: id @ 1.., .. }) = packet {
        add(parts, "PUBLISH identifiers", &id.to_string());
    }
    if matches!(packet, Packet::Publish(Publish { dup: true, .. }) | Packet::PubRel(_)) {
        add(parts, "order of what is sent again", name);
    }
    let Some(properties) = packet.properties() else { return };
    if properties.contains(PropertyId::ReasonString) {
        add(parts, &format!("{name} reason string"), "given");
    }
    let keys: Vec<_> = properties.iter().map(|it| it.id.row().key).collect();
    // Of CONNACK each server has its own.
    if keys.len() > 1 && !matches!(packet, Packet::ConnAck(_)) {
        add(parts, &format!("{name} order of properties"), &keys.join(" "));
    }
    if let Packet::ConnAck(connack) = packet {
        let said = |it: &&Property| it.id != PropertyId::ReasonString;
        for property in connack.properties.iter().filter(said) {
            let mut one = ConnAck::new(connack.session_present, connack.reason);
            one.properties.push(property.id, property.value.clone());
            let of = format!("CONNACK {}", property.id.row().key);
            let text = match connack.properties.text(PropertyId::AssignedClientIdentifier) {
                Some(assigned) if property.id == PropertyId::AssignedClientIdentifier => {
                    form_of(assigned).to_owned()
                }
                _ => connack_text(&one, View::All),
            };
            let value = text.split_once('=').map_or(text.as_str(), |(_, value)| value);
            add(parts, &of, value);
        }
    }
}

/// What a Client Identifier looks like: a server has to take no longer ones than these, and no other
/// characters.
fn form_of(client_id: &str) -> &'static str {
    match (client_id.len() > 23, client_id.is_ascii()) {
        (false, true) => "23 bytes or fewer",
        (true, true) => "more than 23 bytes",
        (false, false) => "characters beyond ASCII",
        (true, false) => "more than 23 bytes, with characters beyond ASCII",
    }
}

fn connack_text(connack: &ConnAck, view: View) -> String {
    let mut connack = connack.clone();
    connack.properties.retain(|property| match view {
        View::All => true,
        View::Unannounced | View::ByClass => {
            property.id != PropertyId::ServerKeepAlive && !TAKEN_OVER.contains(&property.id)
        }
        View::InDetail => false,
    });
    for property in [PropertyId::AssignedClientIdentifier, PropertyId::ResponseInformation] {
        if connack.properties.contains(property) {
            connack.properties.set(property, Text::from("..."));
        }
    }
    connack.properties = in_order(&connack.properties);
    packet_text(&connack.into())
}

fn disconnect_text(disconnect: &Disconnect) -> String {
    let mut disconnect = disconnect.clone();
    disconnect.properties = in_order(&disconnect.properties);
    packet_text(&disconnect.into())
}

/// The properties in one order, which carries no meaning, without texts for people.
fn in_order(properties: &Properties) -> Properties {
    let mut all: Vec<Property> = properties.iter().cloned().collect();
    all.retain(|it| it.id != PropertyId::ReasonString);
    // That of User Properties is kept: the sort is stable.
    all.sort_by_key(|it| it.id);
    let numbers = |it: &Property| it.id == PropertyId::SubscriptionIdentifier;
    let mut identifiers: Vec<u32> =
        properties.numbers(PropertyId::SubscriptionIdentifier).collect();
    identifiers.sort_unstable();
    let mut ordered = Properties::default();
    for property in all.into_iter().filter(|it| !numbers(it)) {
        let value = match property.value {
            Value::Binary(data) if property.id == PropertyId::AuthenticationData => {
                Value::Binary(attributes(&data))
            }
            value => value,
        };
        ordered.push(property.id, value);
    }
    for identifier in identifiers {
        ordered.push(PropertyId::SubscriptionIdentifier, identifier);
    }
    ordered
}

/// A message of SCRAM with what each of its attributes is called: what they say is by chance.
fn attributes(data: &[u8]) -> Bytes {
    let parts: Vec<_> = data.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
    if !parts.iter().all(|part| part.len() > 2 && part[0].is_ascii_lowercase() && part[1] == b'=') {
        return Bytes::copy_from_slice(data);
    }
    let names: Vec<_> = parts.iter().map(|part| [&part[..2], b"..."].concat()).collect();
    names.join(&b","[..]).into()
}

fn message_text(publish: &Publish, id: &str) -> String {
    let mut shown = publish.clone();
    shown.packet_id = 0;
    shown.qos = QoS::AtMostOnce;
    shown.properties = in_order(&publish.properties);
    let text = packet_text(&shown.into());
    // The topic stands in the name of the part.
    let start = packet_text(&Publish::new(publish.topic.clone(), "").into()).len();
    let mut text = text.get(start..).unwrap_or(&text).trim_start().to_owned();
    if !id.is_empty() {
        let _ = write!(text, " id {id}");
    }
    text
}
