//! How packets look, and how their bytes come.

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{Packet, PropertyId, QoS, Text};
use reference_broker::core::ConnectionId;

use super::{Switch, fits};
use crate::boundary::rules::{self, At};
use crate::boundary::{Rule, Rules};
use crate::target::Form;

/// More than enough for several packets to meet.
const GATHERED: Duration = Duration::from_millis(30);

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new("sends-byte-by-byte", "sends every byte by itself", &["U-4.2-2"])
        .one_of(&["pieces"])
        .wired(|wire| wire.byte_by_byte = true),
    Switch::new("gathers-packets", "sends what comes within 30 ms together", &["U-4.2-2"])
        .one_of(&["pieces"])
        .wired(|wire| wire.gathers = Some(GATHERED)),
    Switch::new(
        "writes-reason-codes-out",
        "writes a Reason Code of 0x00 where it could be left out, and no Property Length",
        &["U-3.4.2.1-12", "U-3.5.2.1-12", "U-3.6.2.1-4", "U-3.7.2.1-4", "U-3.14.2.1-21"],
    )
    .one_of(&["form"])
    .wired(|wire| wire.form = Form::WithReasonCode),
    Switch::new(
        "writes-property-lengths-out",
        "writes a Reason Code of 0x00 and a Property Length of 0 where they could be left out",
        &["U-3.4.2.1-12", "U-3.5.2.1-12", "U-3.6.2.1-4", "U-3.7.2.1-4", "U-3.14.2.1-21"],
    )
    .one_of(&["form"])
    .wired(|wire| wire.form = Form::WithPropertyLength),
    Switch::new(
        "reverses-properties",
        "sends properties in the reverse order, User Properties among themselves in theirs",
        &["U-2.2.2.2-4"],
    )
    .ruled(|| vec![rules::writes(|packet, _| reverse(packet))]),
    Switch::new(
        "is-talkative",
        "adds a Reason String and User Properties to every packet that may have them",
        &["U-3.1.2.11.7-4", "3.2.2.3.10", "U-3.9.2.1.3-1", "U-3.11.2.1.3-1"],
    )
    .one_of(&["reason strings"])
    .ruled(|| vec![rules::writes(talk)]),
    Switch::new(
        "gives-no-reason-strings",
        "sends no Reason String",
        &["U-3.1.2.11.7-4", "3.2.2.3.9", "3.14.2.2.3"],
    )
    .one_of(&["reason strings"])
    .configured(|config| config.reason_strings = false),
    Switch::new(
        "uses-topic-aliases",
        "gives the first topics sent at QoS 1 and 2 Topic Aliases, as many as the client allows",
        &["3.3.2.3.4", "U-3.3.2.3.4-2", "U-3.3.2.3.4-3"],
    )
    .one_of(&["aliases to clients", "order within the core"])
    .configured(|config| config.outbound_alias_maximum = u16::MAX),
    Switch::new(
        "moves-topic-aliases",
        "gives every topic a Topic Alias, and a new one the oldest if the client allows no more",
        &["3.3.2.3.4", "U-3.3.2.3.4-2", "U-3.3.2.3.4-3"],
    )
    .one_of(&["aliases to clients"])
    .ruled(|| vec![aliases()]),
    Switch::new(
        "counts-packet-identifiers-down",
        "gives messages Packet Identifiers from 65,535 downwards",
        &["2.2.1", "U-2.2.1-4"],
    )
    .one_of(&["packet identifiers"])
    .ruled(|| renamed(|id| u16::MAX - id + 1, |id| u16::MAX - id + 1)),
    Switch::new(
        "scatters-packet-identifiers",
        "gives messages Packet Identifiers that lie far apart",
        &["2.2.1", "U-2.2.1-4"],
    )
    .one_of(&["packet identifiers"])
    .ruled(|| renamed(scattered, gathered)),
    Switch::new(
        "uses-the-lowest-packet-identifier",
        "gives a message the lowest Packet Identifier that is free, such as the one just given back",
        &["2.2.1", "U-2.2.1-2"],
    )
    .configured(|config| config.handling.lowest_packet_id_first = true),
];

fn reverse(packet: &mut Packet) {
    let Some(properties) = packet.properties_mut() else { return };
    let user = |id: PropertyId| id == PropertyId::UserProperty;
    let mut all: Vec<_> = properties.iter().filter(|it| !user(it.id)).cloned().collect();
    all.reverse();
    let mut reversed: Vec<_> = properties.iter().filter(|it| user(it.id)).cloned().collect();
    reversed.extend(all);
    *properties = reversed.into_iter().collect();
}

fn talk(packet: &mut Packet, at: At<'_>) {
    let always = matches!(packet, Packet::ConnAck(_) | Packet::Disconnect(_));
    let on_request = matches!(
        packet,
        Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
    );
    let Some(client) = at.client() else { return };
    let request = client.connect.properties.number(PropertyId::RequestProblemInformation);
    if !(always || on_request && request != Some(0)) {
        return;
    }
    let mut more = packet.clone();
    let Some(properties) = more.properties_mut() else { return };
    properties.set(PropertyId::ReasonString, "as the chameleon says");
    for pair in [("colour", "green"), ("colour", "brown"), ("", "")] {
        properties.push(PropertyId::UserProperty, pair);
    }
    if fits(&more, at) {
        *packet = more;
    }
}

/// Aliases of one connection: all that the client allows, the oldest given to a new topic when
/// there is no other.
#[derive(Default)]
struct Aliases {
    by_topic: BTreeMap<Text, u16>,
    topics: BTreeMap<u16, Text>,
    last: u16,
}

fn aliases() -> Box<dyn Rule> {
    let mut connections: BTreeMap<ConnectionId, Aliases> = BTreeMap::new();
    rules::writes(move |packet, at| {
        let maximum = at
            .client()
            .and_then(|client| client.connect.properties.number(PropertyId::TopicAliasMaximum));
        let (Some(maximum @ 1..), Packet::Publish(publish)) = (maximum, &*packet) else { return };
        let maximum = u16::try_from(maximum).unwrap_or(u16::MAX);
        let own = connections.entry(at.connection).or_default();
        let known = own.by_topic.get(&publish.topic).copied();
        let alias = known.unwrap_or(if own.last < maximum { own.last + 1 } else { 1 });
        let mut short = publish.clone();
        short.properties.push(PropertyId::TopicAlias, u32::from(alias));
        if known.is_some() {
            short.topic = Text::default();
        }
        let short = Packet::from(short);
        if !fits(&short, at) {
            return;
        }
        if known.is_none() {
            own.last = alias;
            if let Some(old) = own.topics.insert(alias, publish.topic.clone()) {
                own.by_topic.remove(&old);
            }
            own.by_topic.insert(publish.topic.clone(), alias);
        }
        *packet = short;
    })
}

/// Gives the messages to clients other Packet Identifiers, each one its own.
fn renamed(to: fn(u16) -> u16, back: fn(u16) -> u16) -> Rules {
    let outward = rules::writes(move |packet, _| match packet {
        Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
            publish.packet_id = to(publish.packet_id);
        }
        Packet::PubRel(ack) => ack.packet_id = to(ack.packet_id),
        _ => {}
    });
    let inward = rules::reads(move |packet, _| match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
            ack.packet_id = back(ack.packet_id);
        }
        _ => {}
    });
    vec![outward, inward]
}

/// All Packet Identifiers, 512 apart from their neighbours.
fn scattered(id: u16) -> u16 {
    turned((u32::from(id) - 1) * 512 + 12_345)
}

fn gathered(id: u16) -> u16 {
    // 512 * 128 is 1 more than 65,535.
    turned((u32::from(id) - 1 + 65_535 - 12_345) * 128)
}

fn turned(number: u32) -> u16 {
    u16::try_from(number % 65_535 + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_identifiers_come_back() {
        let mut seen = std::collections::BTreeSet::new();
        for id in 1..=u16::MAX {
            assert!(seen.insert(scattered(id)) && scattered(id) > 0);
            assert_eq!(gathered(scattered(id)), id);
        }
    }
}
