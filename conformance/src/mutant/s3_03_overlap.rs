//! One message, several subscriptions of one client, and their identifiers.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, Publish, QoS, SubscriptionOptions, Text};
use reference_broker::topic::is_shared;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::messages::{Cause, delivered, delivered_for, remembers};
use crate::boundary::rules::reads;
use crate::boundary::rules::subscriptions::{delivers_knowing, reads_knowing};
use crate::boundary::subscriptions::{Held, Own, Subscriptions, matches, overlap};

pub(super) fn mutants() -> Vec<Mutant> {
    [levels(), removed(), several(), owners()].into_iter().flatten().collect()
}

const IDENTIFIER: PropertyId = PropertyId::SubscriptionIdentifier;

/// The identifiers of a message, in their order.
fn identifiers(publish: &Publish) -> Vec<u32> {
    publish.properties.numbers(IDENTIFIER).collect()
}

/// Puts other identifiers in the place of a message's own.
fn identify(publish: &mut Publish, identifiers: impl IntoIterator<Item = u32>) {
    publish.properties.retain(|property| property.id != IDENTIFIER);
    identifiers.into_iter().for_each(|it| publish.properties.push(IDENTIFIER, it));
}

/// The subscriptions that share topics with this filter, apart from itself.
fn overlapping<'a>(own: &'a Own, filter: &'a str) -> impl Iterator<Item = (&'a Text, &'a Held)> {
    own.iter().filter(move |(other, _)| ***other != *filter && overlap(other, filter))
}

/// The same subscription at another QoS.
fn at_qos(held: &Held, maximum_qos: QoS) -> Held {
    Held { options: SubscriptionOptions { maximum_qos, ..held.options }, ..*held }
}

fn levels() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/overlap-last-subscription-decides",
            "Of overlapping subscriptions the QoS of the last one holds for all",
            &["MQTT-3.3.4-2"],
            || {
                vec![reads_knowing(|packet, known, at| {
                    let Packet::Subscribe(subscribe) = packet else { return Vec::new() };
                    let Some(last) = subscribe.subscriptions.last() else { return Vec::new() };
                    let level = last.options.maximum_qos;
                    let others = overlapping(known.of(at), &last.filter);
                    others.map(|(filter, held)| (filter.clone(), at_qos(held, level))).collect()
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-first-subscription-decides",
            "Of overlapping subscriptions the QoS of the first one holds for all",
            &["MQTT-3.3.4-2"],
            || {
                let mut first: BTreeMap<Text, QoS> = BTreeMap::new();
                vec![reads_knowing(move |packet, known, at| {
                    let (Packet::Subscribe(subscribe), Some(client)) = (packet, at.client()) else {
                        return Vec::new();
                    };
                    let Some(new) = subscribe.subscriptions.last() else { return Vec::new() };
                    if overlapping(known.of(at), &new.filter).next().is_none() {
                        first.insert(client.id.clone(), new.options.maximum_qos);
                        return Vec::new();
                    }
                    let identifier = subscribe.properties.number(IDENTIFIER);
                    let held = Held { options: new.options, identifier };
                    let level = first.get(&client.id).copied().unwrap_or_default();
                    vec![(new.filter.clone(), at_qos(&held, level))]
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-lowest-decides-in-queue",
            "Of overlapping subscriptions the lowest QoS holds while their client is away",
            &["MQTT-3.3.4-2"],
            || {
                vec![reads_knowing(|packet, known, at| {
                    let own = known.of(at);
                    if !matches!(packet, Packet::Disconnect(_)) {
                        return Vec::new();
                    }
                    let lowest = |filter: &Text| {
                        overlapping(own, filter).map(|(_, held)| held.options.maximum_qos).min()
                    };
                    let lowered = own.iter().filter_map(|(filter, held)| {
                        let lowest = lowest(filter)?.min(held.options.maximum_qos);
                        Some((filter.clone(), at_qos(held, lowest)))
                    });
                    lowered.collect()
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-copy-too-many",
            "A QoS 0 message that several subscriptions match comes once more than they are",
            &["U-3.3.4-1"],
            || {
                vec![delivers_knowing(|known, publish, at, act| {
                    let filters = known.of(at).keys();
                    let matching = filters.filter(|it| matches(it, &publish.topic)).count();
                    if matching > 1 && publish.qos == QoS::AtMostOnce {
                        (0..matching).for_each(|_| act.send(publish.clone()));
                    }
                    act.send(publish);
                })]
            },
        ),
    ]
}

/// Identifiers of subscriptions that were removed, by client and filter.
type Removed = BTreeMap<Text, BTreeMap<Text, u32>>;

fn removed() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/unsubscribe-leaves-identifier",
            "Messages still come with the identifier of a subscription that was removed",
            &["U-3.8.4-8"],
            || {
                vec![remembers(
                    (Subscriptions::default(), Removed::new()),
                    |(known, removed), packet, at| {
                        if let (Packet::Unsubscribe(it), Some(client)) = (&*packet, at.client()) {
                            let of_client = removed.entry(client.id.clone()).or_default();
                            for filter in &it.filters {
                                let held = known.of(at).get(filter);
                                if let Some(identifier) = held.and_then(|held| held.identifier) {
                                    of_client.insert(filter.clone(), identifier);
                                }
                            }
                        }
                        known.note(packet, at);
                    },
                    |(_, removed), mut publish, _, at, act| {
                        let of_client = at.client().and_then(|client| removed.get(&client.id));
                        for (filter, identifier) in of_client.into_iter().flatten() {
                            if matches(filter, &publish.topic) {
                                publish.properties.push(IDENTIFIER, *identifier);
                            }
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/unsubscribe-leaves-qos",
            "The QoS of a subscription that was removed goes over to those that overlap with it",
            &["MQTT-3.8.4-8"],
            || {
                vec![reads_knowing(|packet, known, at| {
                    let Packet::Unsubscribe(unsubscribe) = packet else { return Vec::new() };
                    let own = known.of(at);
                    let raised = unsubscribe.filters.iter().filter_map(|filter| {
                        let level = own.get(filter)?.options.maximum_qos;
                        Some(overlapping(own, filter).map(move |(other, held)| {
                            let level = level.max(held.options.maximum_qos);
                            (other.clone(), at_qos(held, level))
                        }))
                    });
                    raised.flatten().collect()
                })]
            },
        ),
    ]
}

fn several() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/overlap-one-identifier",
            "A message that several subscriptions match has the identifier of one of them",
            &["MQTT-3.3.4-3", "MQTT-3.3.4-4", "U-3.3.2.3.8-2"],
            || {
                vec![delivered(|publish, _| {
                    let first = identifiers(publish).into_iter().take(1);
                    identify(publish, first);
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-copies-alike",
            "Of several copies of a message each has the identifiers of all subscriptions",
            &["MQTT-3.3.4-5"],
            || {
                vec![remembers(
                    (),
                    |(), _, _| (),
                    |(), publish, _, _, act| {
                        let mut different = identifiers(&publish);
                        different.sort_unstable();
                        different.dedup();
                        if different.len() > 1 {
                            act.send(publish.clone().qos(QoS::AtMostOnce, 0));
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/overlap-same-identifier-once",
            "An identifier that several matching subscriptions have comes once",
            &["U-3.3.4-3"],
            || {
                vec![delivered(|publish, _| {
                    let own: BTreeSet<_> = identifiers(publish).into_iter().collect();
                    identify(publish, own);
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-same-identifier-lost",
            "An identifier that several matching subscriptions have does not come at all",
            &["MQTT-3.3.4-3", "U-3.3.4-3"],
            || {
                vec![delivered(|publish, _| {
                    let all = identifiers(publish);
                    let is_single = |it: &u32| all.iter().filter(|other| *other == it).count() == 1;
                    let single: Vec<_> = all.iter().copied().filter(is_single).collect();
                    identify(publish, single);
                })]
            },
        ),
        Mutant::new(
            "3.3/overlap-no-local-lost",
            "No Local is given up by a subscription that another one overlaps with",
            &["MQTT-3.8.3-3"],
            || {
                vec![reads_knowing(|packet, known, at| {
                    let Packet::Subscribe(subscribe) = packet else { return Vec::new() };
                    let Some(last) = subscribe.subscriptions.last() else { return Vec::new() };
                    let others = overlapping(known.of(at), &last.filter);
                    let others = others.map(|(filter, held)| {
                        let options = SubscriptionOptions { no_local: false, ..held.options };
                        (filter.clone(), Held { options, ..*held })
                    });
                    others.collect()
                })]
            },
        ),
    ]
}

/// Alters the identifier in SUBSCRIBE.
fn identified_as(mut alter: impl FnMut(&str, u32) -> u32 + Send + 'static) -> Rules {
    vec![reads(move |packet, _| {
        if let Packet::Subscribe(subscribe) = packet
            && let Some(subscription) = subscribe.subscriptions.first()
            && let Some(identifier) = subscribe.properties.number(IDENTIFIER)
        {
            let altered = alter(&subscription.filter, identifier);
            subscribe.properties.set(IDENTIFIER, altered);
        }
    })]
}

fn owners() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/identifier-cut-to-21-bits",
            "Subscription Identifiers are kept in 21 bits",
            &["MQTT-3.3.4-3", "MQTT-3.3.4-4"],
            || identified_as(|_, identifier| (identifier & 0x001F_FFFF).max(1)),
        ),
        Mutant::new(
            "3.3/identifier-lost-in-queue",
            "Messages that waited come without identifiers",
            &["MQTT-3.3.4-3"],
            || {
                vec![delivered_for(Cause::Resume, |publish, _| {
                    if !publish.dup {
                        identify(publish, []);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/identifier-lost-when-resent",
            "Messages that are sent again come without identifiers",
            &["MQTT-3.3.4-3"],
            || {
                vec![delivered(|publish, _| {
                    if publish.dup {
                        identify(publish, []);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/identifier-of-first-subscribe",
            "A subscription that is made again keeps its first identifier",
            &["MQTT-3.3.4-3", "MQTT-3.8.4-3", "U-3.8.4-8"],
            || {
                let mut first: BTreeMap<(Text, Text), u32> = BTreeMap::new();
                vec![reads_knowing(move |packet, known, at| {
                    if let (Packet::Subscribe(subscribe), Some(client)) = (packet, at.client())
                        && let Some(subscription) = subscribe.subscriptions.first()
                        && let Some(own) = subscribe.properties.number(IDENTIFIER)
                    {
                        let filter = &subscription.filter;
                        let key = (client.id.clone(), filter.clone());
                        match (known.of(at).contains_key(filter), first.get(&key)) {
                            (true, Some(first)) => subscribe.properties.set(IDENTIFIER, *first),
                            _ => drop(first.insert(key, own)),
                        }
                    }
                    Vec::new()
                })]
            },
        ),
        Mutant::new(
            "3.3/identifier-of-what-does-not-match",
            "A message has the identifiers of all subscriptions of its receiver",
            &["U-3.3.4-4"],
            || {
                vec![delivers_knowing(|known, mut publish, at, act| {
                    let all = known.of(at).values().filter_map(|held| held.identifier);
                    identify(&mut publish, all);
                    act.send(publish);
                })]
            },
        ),
        Mutant::new(
            "3.3/identifier-of-another-client",
            "A message comes with the identifier that another client gave the same filter",
            &["U-3.3.4-4"],
            || {
                vec![remembers(
                    BTreeMap::<Text, u32>::new(),
                    |given, packet, _| {
                        if let Packet::Subscribe(subscribe) = packet
                            && let Some(identifier) = subscribe.properties.number(IDENTIFIER)
                        {
                            for subscription in &subscribe.subscriptions {
                                given.insert(subscription.filter.clone(), identifier);
                            }
                        }
                    },
                    |given, mut publish, _, _, act| {
                        if let Some(identifier) = given.get(&publish.topic)
                            && !publish.properties.contains(IDENTIFIER)
                        {
                            publish.properties.push(IDENTIFIER, *identifier);
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/identifier-of-first-member",
            "All members of a Shared Subscription have the identifier of the first one",
            &["U-3.3.4-5"],
            || {
                let mut first: BTreeMap<String, u32> = BTreeMap::new();
                identified_as(move |filter, own| match is_shared(filter) {
                    true => *first.entry(filter.to_owned()).or_insert(own),
                    false => own,
                })
            },
        ),
    ]
}
