//! Topic Aliases, from clients and towards them.

use std::collections::BTreeMap;

use reference_broker::codec::{Packet, PropertyId, Publish, QoS, Text};
use reference_broker::core::{Config, ConnectionId};

use super::Mutant;
use crate::boundary::rules::messages::{Cause, delivered_for, published, remembers};
use crate::boundary::rules::{At, closes, reads, through, writes};
use crate::boundary::{Client, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    [given(), ended(), passed_on(), towards_clients()].into_iter().flatten().collect()
}

const ALIAS: PropertyId = PropertyId::TopicAlias;

fn alias(publish: &Publish) -> Option<u32> {
    publish.properties.number(ALIAS)
}

/// Makes a message one without an alias.
fn without_alias(publish: &mut Publish) {
    publish.properties.retain(|property| property.id != ALIAS);
}

fn given() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/alias-not-at-qos-2",
            "A message at QoS 2 by an alias alone ends the connection",
            &["U-3.3.2.3.4-2", "U-3.3.4-7"],
            || {
                vec![closes(|packet, _| match packet {
                    Packet::Publish(publish) => {
                        publish.topic.is_empty() && publish.qos == QoS::ExactlyOnce
                    }
                    _ => false,
                })]
            },
        ),
        Mutant::new(
            "3.3/alias-first-kept",
            "An alias stands for the first topic that it was given",
            &["U-3.3.2.3.4-3", "U-3.3.4-7"],
            || {
                let mut given: BTreeMap<(ConnectionId, u32), Text> = BTreeMap::new();
                vec![published(move |publish, at| {
                    let Some(alias) = alias(publish).filter(|_| !publish.topic.is_empty()) else {
                        return;
                    };
                    let first = given.entry((at.connection, alias));
                    if *first.or_insert_with(|| publish.topic.clone()) != publish.topic {
                        without_alias(publish);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/alias-not-given-at-qos-0",
            "A message at QoS 0 gives no alias to its topic",
            &["U-3.3.2.3.4-2", "U-3.3.4-7"],
            || not_given_at(QoS::AtMostOnce),
        ),
        Mutant::new(
            "3.3/alias-not-given-at-qos-2",
            "A message at QoS 2 gives no alias to its topic",
            &["U-3.3.2.3.4-2", "U-3.3.4-7"],
            || not_given_at(QoS::ExactlyOnce),
        ),
        Mutant::new(
            "3.3/alias-not-given-by-repetition",
            "A message with DUP 1 gives no alias to its topic",
            &["U-3.3.2.3.4-2", "U-3.3.4-7"],
            || {
                vec![published(|publish, _| {
                    if publish.dup && !publish.topic.is_empty() {
                        without_alias(publish);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/alias-below-maximum-only",
            "The alias that is the maximum itself ends the connection",
            &["MQTT-3.3.2-12"],
            || {
                vec![closes(|packet, _| {
                    let is_last = |publish: &Publish| {
                        alias(publish) == Some(u32::from(Config::default().topic_alias_maximum))
                    };
                    matches!(packet, Packet::Publish(publish) if is_last(publish))
                })]
            },
        ),
        Mutant::new(
            "3.3/alias-64-kept",
            "Of the aliases of a connection the 64 that were given last are kept",
            &["MQTT-3.3.2-12", "U-3.3.2.3.4-2"],
            sixty_four_kept,
        ),
        Mutant::new(
            "3.3/alias-one-too-high",
            "The alias one above the maximum that was announced is taken",
            &["MQTT-3.3.2-9", "U-3.3.4-6"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::ConnAck(connack) = packet
                        && let Some(maximum) =
                            connack.properties.number(PropertyId::TopicAliasMaximum)
                    {
                        connack.properties.set(PropertyId::TopicAliasMaximum, maximum - 1);
                    }
                })]
            },
        )
        .configured(|config| config.topic_alias_maximum += 1),
        Mutant::new(
            "3.3/alias-unknown-means-last-topic",
            "An alias that was never given stands for the topic of the message before",
            &["U-3.3.4-8"],
            || {
                let mut last: BTreeMap<ConnectionId, Text> = BTreeMap::new();
                let mut given: BTreeMap<ConnectionId, Vec<u32>> = BTreeMap::new();
                vec![published(move |publish, at| {
                    let given = given.entry(at.connection).or_default();
                    if !publish.topic.is_empty() {
                        given.extend(alias(publish));
                        last.insert(at.connection, publish.topic.clone());
                    } else if alias(publish).is_some_and(|alias| !given.contains(&alias))
                        && let Some(topic) = last.get(&at.connection)
                    {
                        publish.topic = topic.clone();
                    }
                })]
            },
        ),
    ]
}

/// Overlooks the alias that a message at this QoS gives to its topic.
fn not_given_at(qos: QoS) -> Rules {
    vec![published(move |publish, _| {
        if publish.qos == qos && !publish.topic.is_empty() {
            without_alias(publish);
        }
    })]
}

fn sixty_four_kept() -> Rules {
    let mut given: BTreeMap<ConnectionId, Vec<u32>> = BTreeMap::new();
    vec![closes(move |packet, at| {
        let Packet::Publish(publish) = packet else { return false };
        let Some(alias) = alias(publish) else { return false };
        let given = given.entry(at.connection).or_default();
        if publish.topic.is_empty() {
            return !given.iter().rev().take(64).any(|it| *it == alias);
        }
        given.retain(|it| *it != alias);
        given.push(alias);
        false
    })]
}

/// What an alias alone stands for, by the connections of one client.
#[derive(Default)]
struct OfClient {
    connection: Option<ConnectionId>,
    topics: BTreeMap<u32, Text>,
}

/// Keeps the aliases of a client for its next connection, if `which` holds there.
fn outlive(which: fn(takes_over: bool, resumes: bool) -> bool) -> Rules {
    let mut clients: BTreeMap<Text, OfClient> = BTreeMap::new();
    vec![reads(move |packet, at| {
        let Some(client) = at.client() else { return };
        let known = clients.entry(client.id.clone()).or_default();
        match packet {
            Packet::Connect(connect) => {
                let open = known.connection.is_some_and(|it| at.clients.get(it).is_some());
                if !which(open, !connect.clean_start) {
                    known.topics.clear();
                }
                known.connection = Some(at.connection);
            }
            Packet::Publish(publish) => match alias(publish) {
                Some(alias) if publish.topic.is_empty() => {
                    if let Some(topic) = known.topics.get(&alias) {
                        publish.topic = topic.clone();
                    }
                }
                Some(alias) => drop(known.topics.insert(alias, publish.topic.clone())),
                None => {}
            },
            _ => {}
        }
    })]
}

fn ended() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/alias-outlives-connection",
            "The aliases of a client are those of its last connection if it resumes its session",
            &["MQTT-3.3.2-7", "U-3.3.4-8"],
            || outlive(|takes_over, resumes| resumes && !takes_over),
        ),
        Mutant::new(
            "3.3/alias-outlives-session",
            "The aliases of a client are those of its last connection if it starts clean",
            &["MQTT-3.3.2-7", "U-3.3.4-8"],
            || outlive(|takes_over, resumes| !resumes && !takes_over),
        ),
        Mutant::new(
            "3.3/alias-taken-over",
            "The aliases of a connection are those of the one that it took over from",
            &["MQTT-3.3.2-7", "U-3.3.4-8"],
            || outlive(|takes_over, _| takes_over),
        ),
        Mutant::new(
            "3.3/alias-of-all-clients",
            "An alias that a client has not given stands for what another client gave it",
            &["MQTT-3.3.2-7", "U-3.3.4-8"],
            || {
                let mut given: BTreeMap<u32, (ConnectionId, Text)> = BTreeMap::new();
                let mut own: BTreeMap<(ConnectionId, u32), ()> = BTreeMap::new();
                vec![published(move |publish, at| {
                    let Some(alias) = alias(publish) else { return };
                    let other = given.get(&alias).filter(|(giver, _)| *giver != at.connection);
                    if !publish.topic.is_empty() {
                        given.insert(alias, (at.connection, publish.topic.clone()));
                        own.insert((at.connection, alias), ());
                    } else if let Some((_, topic)) = other
                        && !own.contains_key(&(at.connection, alias))
                    {
                        publish.topic = topic.clone();
                    }
                })]
            },
        ),
    ]
}

fn passed_on() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/alias-alone-not-retained",
            "A message that is published by its alias alone is not retained",
            &["U-3.3.2.3.4-2"],
            || vec![published(|publish, _| publish.retain &= !publish.topic.is_empty())],
        ),
        Mutant::new(
            "3.3/alias-with-retained",
            "Retained messages come with an alias, whether or not the client takes any",
            &["MQTT-3.1.2-27"],
            || {
                vec![delivered_for(Cause::Subscribe, |publish, _| {
                    publish.properties.push(ALIAS, 1);
                })]
            },
        ),
        Mutant::new(
            "3.3/alias-passed-on-from-queue",
            "Messages that waited come with the alias that their publisher used",
            &["MQTT-3.1.2-27"],
            || {
                vec![remembers(
                    None::<u32>,
                    |last, packet, _| {
                        if let Packet::Publish(publish) = packet {
                            *last = alias(publish);
                        }
                    },
                    |last, mut publish, cause, _, act| {
                        if let Some(alias) = last.filter(|_| cause == Cause::Resume) {
                            publish.properties.push(ALIAS, alias);
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
    ]
}

/// The highest alias that a client takes.
fn maximum(client: &Client) -> u32 {
    client.connect.properties.number(PropertyId::TopicAliasMaximum).unwrap_or(0)
}

/// Aliases that the broker has given to topics.
type Given = BTreeMap<Text, u32>;

/// Gives an alias to the topic of a message, or uses the one it has.
fn use_alias(given: &mut Given, publish: &mut Publish, maximum: u32) {
    let count = u32::try_from(given.len()).unwrap_or(u32::MAX);
    match given.get(&publish.topic) {
        Some(alias) => {
            publish.properties.push(ALIAS, *alias);
            publish.topic = Text::default();
        }
        None if count < maximum => {
            publish.properties.push(ALIAS, count + 1);
            given.insert(publish.topic.clone(), count + 1);
        }
        None => {}
    }
}

/// Uses aliases towards clients: up to which one, and for how long they stand.
fn aliases<K: Ord + Send + 'static>(
    mut maximum: impl FnMut(&Client) -> u32 + Send + 'static,
    scope: fn(&At<'_>, &Client) -> K,
) -> Rules {
    let mut given: BTreeMap<K, Given> = BTreeMap::new();
    vec![writes(move |packet, at| {
        if let (Packet::Publish(publish), Some(client)) = (packet, at.client()) {
            let given = given.entry(scope(&at, client)).or_default();
            use_alias(given, publish, maximum(client));
        }
    })]
}

/// Uses aliases towards clients that have a maximum, for as long as their sessions last.
fn aliases_kept() -> Rules {
    let mut given: BTreeMap<Text, Given> = BTreeMap::new();
    vec![writes(move |packet, at| {
        let Some(client) = at.client() else { return };
        match packet {
            Packet::ConnAck(connack) if !connack.session_present => _ = given.remove(&client.id),
            Packet::Publish(publish) if maximum(client) > 0 => {
                let given = given.entry(client.id.clone()).or_default();
                use_alias(given, publish, maximum(client));
            }
            _ => {}
        }
    })]
}

fn towards_clients() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/alias-to-client-one-too-high",
            "The highest alias towards a client is one above its maximum",
            &["MQTT-3.3.2-11", "MQTT-3.1.2-26"],
            || {
                let one_more = |client: &Client| match maximum(client) {
                    0 => 0,
                    maximum => maximum + 1,
                };
                aliases(one_more, |at, _| at.connection)
            },
        ),
        Mutant::new(
            "3.3/alias-to-client-unasked",
            "A client that sets a Topic Alias Maximum of 0 is sent an alias",
            &["MQTT-3.1.2-27"],
            || {
                let unasked = |client: &Client| {
                    let own = client.connect.properties.number(PropertyId::TopicAliasMaximum);
                    u32::from(own == Some(0))
                };
                aliases(unasked, |at, _| at.connection)
            },
        ),
        Mutant::new(
            "3.3/alias-to-client-outlives-connection",
            "Aliases towards a client stand for their topics on its next connection too",
            &["MQTT-3.3.2-7"],
            aliases_kept,
        ),
        Mutant::new(
            "3.3/alias-to-client-maximum-kept",
            "The Topic Alias Maximum of a client is that of its first connection",
            &["MQTT-3.1.2-27"],
            || {
                let mut first: BTreeMap<Text, u32> = BTreeMap::new();
                let of_first = move |client: &Client| {
                    *first.entry(client.id.clone()).or_insert_with(|| maximum(client))
                };
                aliases(of_first, |at, _| at.connection)
            },
        ),
        Mutant::new(
            "3.3/alias-both-ways-mixed",
            "An alias from a client stands for the topic that the broker gave it, if it did",
            &["U-3.3.2.3.4-4"],
            both_ways_mixed,
        ),
    ]
}

fn both_ways_mixed() -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, Given>::new(),
        |given, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet
                && publish.topic.is_empty()
                && let Some(given) = given.get(&at.connection)
                && let Some((topic, _)) = given.iter().find(|(_, it)| Some(**it) == alias(publish))
            {
                publish.topic = topic.clone();
            }
            act.receive(packet);
        },
        |given, mut packet, at, act| {
            if let (Packet::Publish(publish), Some(client)) = (&mut packet, at.client()) {
                use_alias(given.entry(at.connection).or_default(), publish, maximum(client));
            }
            act.send(packet);
        },
    )]
}
