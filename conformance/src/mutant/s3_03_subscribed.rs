//! Retained messages towards subscriptions: Retain As Published and Retain Handling.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, QoS, RetainHandling, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::messages::{Cause, delivered, delivered_for, remembers};
use crate::boundary::rules::reads;
use crate::boundary::rules::subscriptions::{reads_knowing, subscribes};
use crate::boundary::subscriptions::{Held, Subscriptions};

pub(super) fn mutants() -> Vec<Mutant> {
    [as_published(), handling(), brought()].into_iter().flatten().collect()
}

fn as_published() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retain-as-published-not-at-qos-2",
            "Retain As Published is overlooked on subscriptions at QoS 2",
            &["MQTT-3.3.1-13", "U-3.8.3.1-2"],
            || {
                vec![subscribes(|options, _, _, _| {
                    options.retain_as_published &= options.maximum_qos < QoS::ExactlyOnce;
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-lost-in-queue",
            "Messages that waited have RETAIN 0",
            &["MQTT-3.3.1-13", "U-3.8.3.1-2"],
            || vec![delivered_for(Cause::Resume, |publish, _| publish.retain = false)],
        ),
        Mutant::new(
            "3.3/retain-lost-when-resent",
            "Messages that are sent again have RETAIN 0",
            &["MQTT-3.3.1-13", "U-3.3.1.3-2"],
            || vec![delivered(|publish, _| publish.retain &= !publish.dup)],
        ),
        Mutant::new(
            "3.3/retain-lost-when-resent-at-qos-2",
            "Messages at QoS 2 that are sent again have RETAIN 0",
            &["MQTT-3.3.1-13"],
            || {
                vec![delivered(|publish, _| {
                    publish.retain &= !publish.dup || publish.qos < QoS::ExactlyOnce;
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-set-in-queue",
            "Messages that waited have RETAIN 1",
            &["MQTT-3.3.1-12", "MQTT-3.3.1-13", "U-3.8.3.1-2"],
            || vec![delivered_for(Cause::Resume, |publish, _| publish.retain = true)],
        ),
        Mutant::new(
            "3.3/retain-as-published-at-qos-0",
            "RETAIN is passed on at QoS 0 whatever the subscription asks for",
            &["MQTT-3.3.1-12", "U-3.8.3.1-2"],
            || {
                vec![remembers(
                    None::<Text>,
                    |last, packet, _| {
                        if let Packet::Publish(publish) = packet {
                            *last = publish.retain.then(|| publish.topic.clone());
                        }
                    },
                    |last, mut publish, _, _, act| {
                        let live = last.as_ref() == Some(&publish.topic);
                        publish.retain |= live && publish.qos == QoS::AtMostOnce;
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/retain-as-published-of-first-subscription",
            "A subscription that is made again passes RETAIN on as it first asked for",
            &["MQTT-3.3.1-12", "MQTT-3.3.1-13", "MQTT-3.8.4-3", "U-3.8.3.1-2"],
            || {
                let mut first: BTreeMap<(Text, Text), bool> = BTreeMap::new();
                vec![subscribes(move |options, filter, held, at| {
                    let Some(client) = at.client() else { return };
                    let key = (client.id.clone(), filter.clone());
                    match (held, first.get(&key)) {
                        (Some(_), Some(before)) => options.retain_as_published = *before,
                        _ => drop(first.insert(key, options.retain_as_published)),
                    }
                })]
            },
        ),
    ]
}

/// Takes subscriptions with this Retain Handling to have another, where `which` holds of what the
/// client has of the filter.
fn handled(
    own: RetainHandling,
    as_if: RetainHandling,
    mut which: impl FnMut(&Held, &Held) -> bool + Send + 'static,
) -> Rules {
    vec![subscribes(move |options, _, held, _| {
        let new = Held { options: *options, identifier: None };
        if options.retain_handling == own && held.is_some_and(|held| which(held, &new)) {
            options.retain_handling = as_if;
        }
    })]
}

fn handling() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retain-handling-0-twice-only",
            "With Retain Handling 0 the third SUBSCRIBE to a filter brings nothing",
            &["MQTT-3.3.1-9", "MQTT-3.8.4-4"],
            || {
                let mut counts: BTreeMap<(Text, Text), u32> = BTreeMap::new();
                vec![subscribes(move |options, filter, held, at| {
                    let Some(client) = at.client() else { return };
                    let count = counts.entry((client.id.clone(), filter.clone())).or_default();
                    *count = if held.is_some() { *count + 1 } else { 1 };
                    if *count > 2 && options.retain_handling == RetainHandling::Send {
                        options.retain_handling = RetainHandling::DoNotSend;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-handling-0-not-after-resume",
            "Retain Handling 0 brings nothing for a subscription that the resumed session has",
            &["MQTT-3.8.4-4", "MQTT-3.3.1-9"],
            || {
                vec![subscribes(|options, _, held, at| {
                    let is_resumed = at.client().is_some_and(|client| client.resumed);
                    let is_asked = options.retain_handling == RetainHandling::Send;
                    if is_asked && is_resumed && held.is_some() {
                        options.retain_handling = RetainHandling::DoNotSend;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-handling-1-other-options",
            "With Retain Handling 1 another maximum QoS makes a subscription new",
            &["MQTT-3.3.1-10"],
            || {
                handled(RetainHandling::SendIfNew, RetainHandling::Send, |held, new| {
                    held.options.maximum_qos != new.options.maximum_qos
                })
            },
        ),
        Mutant::new(
            "3.3/retain-handling-1-never-again",
            "With Retain Handling 1 a filter brings nothing if its client ever subscribed to it",
            &["MQTT-3.3.1-10"],
            || {
                let mut known: BTreeSet<(Text, Text)> = BTreeSet::new();
                vec![subscribes(move |options, filter, _, at| {
                    let Some(client) = at.client() else { return };
                    let is_known = !known.insert((client.id.clone(), filter.clone()));
                    if is_known && options.retain_handling == RetainHandling::SendIfNew {
                        options.retain_handling = RetainHandling::DoNotSend;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-handling-1-new-connection",
            "With Retain Handling 1 a subscription of the resumed session counts as new",
            &["MQTT-3.3.1-10"],
            || {
                let mut known: BTreeSet<(ConnectionId, Text)> = BTreeSet::new();
                vec![subscribes(move |options, filter, _, at| {
                    let is_first = known.insert((at.connection, filter.clone()));
                    if is_first && options.retain_handling == RetainHandling::SendIfNew {
                        options.retain_handling = RetainHandling::Send;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-handling-1-any-subscription",
            "With Retain Handling 1 only the first subscription of a client counts as new",
            &["MQTT-3.3.1-10"],
            || {
                vec![reads_knowing(|packet, known, at| {
                    if let Packet::Subscribe(subscribe) = packet {
                        for subscription in &mut subscribe.subscriptions {
                            let handling = &mut subscription.options.retain_handling;
                            if *handling == RetainHandling::SendIfNew && !known.of(at).is_empty() {
                                *handling = RetainHandling::DoNotSend;
                            }
                        }
                    }
                    Vec::new()
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-handling-2-second-time",
            "With Retain Handling 2 the second SUBSCRIBE to a filter brings retained messages",
            &["MQTT-3.3.1-11"],
            || handled(RetainHandling::DoNotSend, RetainHandling::Send, |_, _| true),
        ),
        Mutant::new(
            "3.3/retain-handling-2-not-live",
            "Live messages with RETAIN 1 do not reach subscriptions with Retain Handling 2",
            &["U-3.8.3.1-4"],
            retain_handling_2_not_live,
        ),
        Mutant::new(
            "3.3/retain-handling-of-first-filter",
            "All filters of a SUBSCRIBE are taken to have the first one's Retain Handling",
            &["MQTT-3.3.1-9", "MQTT-3.8.4-5"],
            || {
                vec![reads(|packet, _| {
                    let Packet::Subscribe(subscribe) = packet else { return };
                    let Some(first) = subscribe.subscriptions.first() else { return };
                    let handling = first.options.retain_handling;
                    for subscription in &mut subscribe.subscriptions {
                        subscription.options.retain_handling = handling;
                    }
                })]
            },
        ),
    ]
}

fn retain_handling_2_not_live() -> Rules {
    vec![remembers(
        (Subscriptions::default(), None::<Text>),
        |(known, retained), packet, at| {
            known.note(packet, at);
            if let Packet::Publish(publish) = packet {
                *retained = publish.retain.then(|| publish.topic.clone());
            }
        },
        |(known, retained), publish, _, at, act| {
            let held = known.of(at).get(&publish.topic);
            let is_concerned = retained.as_ref() == Some(&publish.topic)
                && held.is_some_and(|it| it.options.retain_handling == RetainHandling::DoNotSend);
            match is_concerned {
                true => act.settle(&publish),
                false => act.send(publish),
            }
        },
    )]
}

/// Retained messages that a SUBSCRIBE has brought so far over each connection, and its filters.
#[derive(Default)]
struct Brought(BTreeMap<ConnectionId, (u32, Vec<Text>)>);

/// Loses retained messages for which `which` holds, given how many came before and the filters.
fn brings_less(which: fn(u32, &[Text], &str) -> bool) -> Rules {
    vec![remembers(
        Brought::default(),
        |brought, packet, at| {
            if let Packet::Subscribe(subscribe) = packet {
                let filters = subscribe.subscriptions.iter().map(|it| it.filter.clone());
                brought.0.insert(at.connection, (0, filters.collect()));
            }
        },
        move |brought, publish, _, at, act| {
            let Some((count, filters)) = brought.0.get_mut(&at.connection) else {
                return act.send(publish);
            };
            let is_lost = publish.retain && !publish.dup && which(*count, filters, &publish.topic);
            *count += u32::from(publish.retain);
            match is_lost {
                true => act.settle(&publish),
                false => act.send(publish),
            }
        },
    )]
}

fn brought() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retained-up-to-50",
            "A SUBSCRIBE brings no more than 50 retained messages",
            &["MQTT-3.3.1-9"],
            || brings_less(|count, _, _| count >= 50),
        ),
        Mutant::new(
            "3.3/retained-not-of-parent",
            "A filter that ends in /# does not bring the retained message of the level above",
            &["MQTT-3.3.1-9", "U-3.8.4-2"],
            || {
                brings_less(|_, filters, topic| {
                    filters.iter().any(|filter| filter.strip_suffix("/#") == Some(topic))
                })
            },
        ),
        Mutant::new(
            "3.3/retained-twice-by-wildcard",
            "A filter with + in it brings each retained message twice",
            &["U-3.8.4-2"],
            || {
                vec![remembers(
                    BTreeSet::<ConnectionId>::new(),
                    |wild, packet, at| {
                        let Packet::Subscribe(subscribe) = packet else { return };
                        match subscribe.subscriptions.iter().any(|it| it.filter.contains('+')) {
                            true => drop(wild.insert(at.connection)),
                            false => drop(wild.remove(&at.connection)),
                        }
                    },
                    |wild, publish, cause, at, act| {
                        if cause == Cause::Subscribe && wild.contains(&at.connection) {
                            act.send(publish.clone().qos(QoS::AtMostOnce, 0));
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/retained-without-identifier",
            "Retained messages come without the identifier of the subscription",
            &["MQTT-3.3.4-3"],
            || {
                vec![delivered_for(Cause::Subscribe, |publish, _| {
                    publish.properties.retain(|it| it.id != PropertyId::SubscriptionIdentifier);
                })]
            },
        ),
    ]
}
