use std::collections::BTreeSet;

use reference_broker::codec::{ConnAck, Packet, PropertyId, Publish, Subscribe};
use reference_broker::topic::SubscriptionFilter;

use super::super::connections::{Passed, Reading, Sent, Step};
use super::super::{Findings, Oracle};
use crate::trace::{What, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-announced",
    holds: "The suite keeps within what a CONNACK says that the broker takes",
    requirements: &[
        "MQTT-3.2.2-15",
        "MQTT-3.2.2-11",
        "MQTT-3.2.2-14",
        "MQTT-3.2.2-17",
        "MQTT-3.2.2-18",
        "U-3.3.4-8",
        "U-3.2.2.3.11-2",
        "U-3.2.2.3.12-2",
        "U-3.2.2.3.13-2",
    ],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    // By connection: the Topic Aliases that stand for a topic.
    let mut aliases = vec![BTreeSet::new(); reading.connections.len()];
    for Step { at, place, connection, passed } in reading.steps() {
        let Passed::Sent(sent) = passed else { continue };
        let connack = connection.accepted().filter(|(answered, _)| *answered < at);
        let observed = || sent.packet().map_or_else(|| "other bytes".to_owned(), packet_text);
        if let Some((_, connack)) = connack {
            let limit = number(connack, PropertyId::MaximumPacketSize, u32::MAX);
            if size(sent, reading, at).is_some_and(|size| size > limit as usize) {
                let expected = format!("a packet of {limit} bytes at most");
                findings.add("MQTT-3.2.2-15", at, expected, observed()); // MQTT-3.2.2-15
            }
            for (requirement, expected) in
                sent.packet().map(|it| faults(it, connack)).unwrap_or_default()
            {
                findings.add(requirement, at, expected, observed());
            }
        }
        if let Some(Packet::Publish(publish)) = sent.packet()
            && let Some(alias) = publish.properties.number(PropertyId::TopicAlias)
        {
            if !publish.topic.is_empty() {
                aliases[place].insert(alias);
            } else if !aliases[place].contains(&alias) {
                findings.add("U-3.3.4-8", at, "a Topic Alias with a topic", observed()); // U-3.3.4-8
            }
        }
    }
}

fn number(connack: &ConnAck, id: PropertyId, default: u32) -> u32 {
    connack.properties.number(id).unwrap_or(default)
}

/// The size of what was sent, if it can be told.
fn size(sent: &Sent<'_>, reading: &Reading<'_>, at: usize) -> Option<usize> {
    match (sent, reading.trace.get(at).map(|event| &event.what)) {
        (Sent::Packet(packet), _) => packet.encoded_len().ok(),
        (Sent::Broken(..), Some(What::Sent(packet))) => packet.encoded_len().ok(),
        (Sent::Broken(..), Some(What::SentBytes(bytes))) => Some(bytes.len()),
        _ => None,
    }
}

type Fault = (&'static str, String);

/// What a packet asks of a broker that said it has it not.
fn faults(packet: &Packet, connack: &ConnAck) -> Vec<Fault> {
    match packet {
        Packet::Publish(publish) => of_publish(publish, connack),
        Packet::Subscribe(subscribe) => of_subscribe(subscribe, connack),
        _ => Vec::new(),
    }
}

fn of_publish(publish: &Publish, connack: &ConnAck) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |requirement, expected: String| faults.push((requirement, expected));
    let qos = number(connack, PropertyId::MaximumQoS, 2);
    if u32::from(publish.qos.value()) > qos {
        add("MQTT-3.2.2-11", format!("QoS {qos} at most")); // MQTT-3.2.2-11
    }
    if publish.retain && number(connack, PropertyId::RetainAvailable, 1) == 0 {
        add("MQTT-3.2.2-14", "no retained message".to_owned()); // MQTT-3.2.2-14
    }
    let most = number(connack, PropertyId::TopicAliasMaximum, 0);
    match publish.properties.number(PropertyId::TopicAlias) {
        Some(_) if most == 0 => add("MQTT-3.2.2-18", "no Topic Alias".to_owned()), // MQTT-3.2.2-18
        Some(alias) if alias > most => {
            add("MQTT-3.2.2-17", format!("a Topic Alias up to {most}")); // MQTT-3.2.2-17
        }
        _ => {}
    }
    faults
}

fn of_subscribe(subscribe: &Subscribe, connack: &ConnAck) -> Vec<Fault> {
    let lacks = |id| number(connack, id, 1) == 0;
    let filters = || {
        let texts = subscribe.subscriptions.iter();
        texts.filter_map(|it| SubscriptionFilter::parse(&it.filter).ok())
    };
    let mut faults = Vec::new();
    let mut add = |requirement, expected: &str| faults.push((requirement, expected.to_owned()));
    if lacks(PropertyId::WildcardSubscriptionAvailable)
        && filters().any(|filter| filter.filter().has_wildcard())
    {
        add("U-3.2.2.3.11-2", "no wildcard"); // U-3.2.2.3.11-2
    }
    if lacks(PropertyId::SubscriptionIdentifierAvailable)
        && subscribe.properties.contains(PropertyId::SubscriptionIdentifier)
    {
        add("U-3.2.2.3.12-2", "no Subscription Identifier"); // U-3.2.2.3.12-2
    }
    if lacks(PropertyId::SharedSubscriptionAvailable) && filters().any(|filter| filter.is_shared())
    {
        add("U-3.2.2.3.13-2", "no Shared Subscription"); // U-3.2.2.3.13-2
    }
    faults
}
