//! Subscription Options and Subscription Identifiers.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, QoS, Subscribe, SubscriptionOptions, Text};
use reference_broker::topic::is_shared;

use super::Mutant;
use super::s3_08_subscribe::reads_subscribe;
use crate::boundary::rules::{inward, reads, writes};

/// Appended to a filter, it makes the filter match no topic of a scenario.
const NOWHERE: &str = "/no/such/topic";

pub(super) fn mutants() -> Vec<Mutant> {
    [options(), identifiers()].into_iter().flatten().collect()
}

fn options() -> Vec<Mutant> {
    let no_local = |id, breaks, set: fn(&SubscriptionOptions) -> bool| {
        Mutant::new(id, breaks, &["MQTT-3.8.3-3"], move || {
            vec![reads_subscribe(move |subscribe, _| {
                for it in subscribe.subscriptions.iter_mut().filter(|it| is_plain(&it.filter)) {
                    it.options.no_local = set(&it.options);
                }
            })]
        })
    };
    vec![
        no_local("3.8/no-local-ignored", "No Local is ignored", |_| false),
        no_local(
            "3.8/no-local-always",
            "A client never gets its own messages by a subscription at QoS 2",
            |options| options.no_local || options.maximum_qos == QoS::ExactlyOnce,
        ),
        Mutant::new(
            "3.8/no-local-with-retain-as-published-lost",
            "A filter with both No Local and Retain As Published is granted and gets nothing",
            &["MQTT-3.8.4-7"],
            || {
                vec![reads_subscribe(|subscribe, _| {
                    for it in &mut subscribe.subscriptions {
                        if it.options.no_local && it.options.retain_as_published {
                            it.filter = format!("{}{NOWHERE}", &*it.filter).into();
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/no-local-kept-when-replaced",
            "A subscription made again keeps the No Local it first had",
            &["MQTT-3.8.4-3"],
            || {
                let mut first = BTreeMap::new();
                vec![reads_subscribe(move |subscribe, at| {
                    for it in &mut subscribe.subscriptions {
                        let key = (at.id(), it.filter.clone());
                        let kept = first.entry(key).or_insert(it.options.no_local);
                        it.options.no_local = *kept;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/no-local-of-the-connection",
            "No Local holds for the connection that asked for it only",
            &["MQTT-3.8.3-3"],
            || {
                let mut withheld: BTreeMap<Text, Vec<Text>> = BTreeMap::new();
                vec![inward(move |packet, at, act| {
                    let resumed = at.client().is_some_and(|client| client.resumed);
                    if let Packet::Subscribe(subscribe) = &packet {
                        let filters = subscribe.subscriptions.iter();
                        let quiet = filters.filter(|it| it.options.no_local);
                        let entry = withheld.entry(at.id()).or_default();
                        entry.extend(quiet.map(|it| it.filter.clone()));
                    }
                    let topics = withheld.get(&at.id());
                    let echo = match &packet {
                        Packet::Publish(publish) if resumed => topics
                            .is_some_and(|topics| topics.contains(&publish.topic))
                            .then(|| publish.clone()),
                        _ => None,
                    };
                    act.receive(packet);
                    if let Some(mut echo) = echo {
                        (echo.qos, echo.packet_id) = (QoS::AtMostOnce, 0);
                        act.send(echo);
                    }
                })]
            },
        ),
    ]
}

fn identifiers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.8/identifier-of-two-bytes",
            "Subscription Identifiers come back without what needs more than two bytes",
            &["U-3.8.2.1.2-3"],
            || vec![reads_subscribe(|subscribe, _| alter_identifier(subscribe, |id| id % 16_384))],
        ),
        Mutant::new(
            "3.8/identifier-of-first-filter",
            "The Subscription Identifier belongs to the first filter of its SUBSCRIBE only",
            &["U-3.8.2.1.2-4"],
            || {
                let mut later = BTreeSet::new();
                vec![
                    inward(move |packet, _, act| match packet {
                        Packet::Subscribe(subscribe) => {
                            let others = subscribe.subscriptions.iter().skip(1);
                            later.extend(others.map(|it| it.filter.clone()));
                            act.receive(subscribe);
                        }
                        // A topic that no filter names is the next best thing to a message without.
                        Packet::Publish(mut publish) if later.contains(&publish.topic) => {
                            publish.properties.push(PropertyId::UserProperty, ("later", "filter"));
                            act.receive(publish);
                        }
                        packet => act.receive(packet),
                    }),
                    writes(|packet, _| {
                        if let Packet::Publish(publish) = packet
                            && publish.properties.user_properties().any(|pair| pair.0 == "later")
                        {
                            publish.properties.retain(|it| {
                                ![PropertyId::SubscriptionIdentifier, PropertyId::UserProperty]
                                    .contains(&it.id)
                            });
                        }
                    }),
                ]
            },
        ),
        Mutant::new(
            "3.8/identifier-kept-when-replaced",
            "A subscription made again keeps the Subscription Identifier it first had",
            &["U-3.8.2.1.2-5"],
            || {
                let mut first = BTreeMap::new();
                vec![reads_subscribe(move |subscribe, at| {
                    let Some(it) = subscribe.subscriptions.first() else { return };
                    let id = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
                    let kept = *first.entry((at.id(), it.filter.clone())).or_insert(id);
                    set_identifier(subscribe, kept);
                })]
            },
        ),
        Mutant::new(
            "3.8/identifier-outlives-unsubscribe",
            "A subscription made anew without a Subscription Identifier has the one it once had",
            &["U-3.8.4-8"],
            || {
                let mut last = BTreeMap::new();
                let mut ended = BTreeSet::new();
                vec![reads(move |packet, at| match packet {
                    Packet::Unsubscribe(unsubscribe) => {
                        let filters = unsubscribe.filters.iter().cloned();
                        ended.extend(filters.map(|filter| (at.id(), filter)));
                    }
                    Packet::Subscribe(subscribe) => {
                        let Some(it) = subscribe.subscriptions.first() else { return };
                        let key = (at.id(), it.filter.clone());
                        let id = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
                        match (id, ended.contains(&key)) {
                            (None, true) => set_identifier(subscribe, last.get(&key).copied()),
                            (Some(id), _) => drop(last.insert(key, id)),
                            (None, false) => {}
                        }
                    }
                    _ => {}
                })]
            },
        ),
    ]
}

pub(super) fn is_plain(filter: &str) -> bool {
    !is_shared(filter)
}

fn alter_identifier(subscribe: &mut Subscribe, alter: impl Fn(u32) -> u32) {
    let id = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
    set_identifier(subscribe, id.map(|id| alter(id).max(1)));
}

fn set_identifier(subscribe: &mut Subscribe, identifier: Option<u32>) {
    subscribe.properties.retain(|it| it.id != PropertyId::SubscriptionIdentifier);
    if let Some(identifier) = identifier {
        subscribe.properties.push(PropertyId::SubscriptionIdentifier, identifier);
    }
}
