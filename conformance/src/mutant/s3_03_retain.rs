//! Retained messages: how they are kept, replaced and removed.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Connect, Packet, PropertyId, Publish, PublishAck, QoS, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::rules::messages::{
    Cause, delivered_for, published, remembers, removes_retained,
};
use crate::boundary::rules::{At, FORGED, answers_forged, through};
use crate::boundary::{Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    [kept(), replaced(), removed(), not_retained()].into_iter().flatten().collect()
}

fn is_retained(packet: &Packet) -> Option<&Publish> {
    match packet {
        Packet::Publish(publish) if publish.retain && !publish.topic.is_empty() => Some(publish),
        _ => None,
    }
}

/// Alters messages that are to be retained, given the one that came before on their topic, be it
/// empty.
pub(super) fn retaining(
    mut alter: impl FnMut(&mut Publish, Option<&Publish>) + Send + 'static,
) -> Box<dyn Rule> {
    let mut kept: BTreeMap<Text, Publish> = BTreeMap::new();
    published(move |publish, _| {
        if publish.retain && !publish.topic.is_empty() {
            let before = kept.insert(publish.topic.clone(), publish.clone());
            alter(publish, before.as_ref());
        }
    })
}

/// Has messages retained behind the clients' backs: those that `which` gives at a PUBLISH, once the
/// core has taken that in.
fn retains_behind(
    mut which: impl FnMut(&Publish, At<'_>) -> Option<Publish> + Send + 'static,
) -> Box<dyn Rule> {
    const SECRET: (&str, &str) = ("retained", "by the boundary");
    let is_secret = |publish: &Publish| publish.properties.user_properties().any(|it| it == SECRET);
    through(
        false,
        move |retaining, packet, at, act| {
            let kept = match &packet {
                Packet::Publish(publish) if !publish.topic.is_empty() => which(publish, at),
                _ => None,
            };
            *retaining = kept.is_some();
            act.receive(packet);
            if let Some(kept) = kept {
                let qos = kept.qos;
                let kept = Publish { packet_id: FORGED, dup: false, ..kept.retain() };
                act.receive(kept.with(PropertyId::UserProperty, SECRET));
                if qos == QoS::ExactlyOnce {
                    act.receive(Packet::PubRel(PublishAck::new(FORGED)));
                }
            }
        },
        move |retaining, packet, _, act| match packet {
            Packet::Publish(mut publish) if is_secret(&publish) => {
                // Nobody gets it but by a new subscription.
                if *retaining || !publish.retain {
                    return act.settle(&publish);
                }
                publish.properties.retain(|it| it.value != SECRET.into());
                act.send(publish);
            }
            packet if answers_forged(&packet) => {}
            packet => act.send(packet),
        },
    )
}

fn kept() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retained-without-retain-at-qos-2",
            "Retained messages that come at QoS 2 have RETAIN 0",
            &["U-3.3.1.3-2"],
            || {
                vec![delivered_for(Cause::Subscribe, |publish, _| {
                    publish.retain &= publish.qos < QoS::ExactlyOnce;
                })]
            },
        ),
        Mutant::new(
            "3.3/retained-below-qos-1",
            "Retained messages that should come at QoS 1 come at QoS 0",
            &["MQTT-3.8.4-8"],
            || {
                vec![remembers(
                    (),
                    |(), _, _| (),
                    |(), publish, cause, _, act| match cause == Cause::Subscribe
                        && publish.qos == QoS::AtLeastOnce
                    {
                        true => {
                            act.settle(&publish);
                            act.send(publish.qos(QoS::AtMostOnce, 0));
                        }
                        false => act.send(publish),
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/retain-at-qos-0-not-kept",
            "A message at QoS 0 is retained for nobody, and removes the one before it",
            &["U-3.3.1.3-3"],
            || {
                vec![removes_retained(|packet, _| {
                    let at_0 = is_retained(packet).filter(|it| it.qos == QoS::AtMostOnce);
                    at_0.map(|publish| publish.topic.clone()).into_iter().collect()
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-ends-with-session",
            "A clean start removes what its client had retained",
            &["U-4.1-10"],
            || {
                removed_by(|packet, _| match packet {
                    Packet::Connect(connect) => connect.clean_start,
                    _ => false,
                })
            },
        ),
        Mutant::new(
            "3.3/retain-ends-with-connection",
            "What a client had retained is removed when its session ends with its connection",
            &["U-4.1-10"],
            || {
                removed_by(|packet, connect| {
                    let expiry = connect.properties.number(PropertyId::SessionExpiryInterval);
                    matches!(packet, Packet::Disconnect(_)) && expiry.unwrap_or(0) == 0
                })
            },
        ),
    ]
}

/// Removes what a client had retained at packets of it for which `which` holds.
fn removed_by(which: fn(&Packet, &Connect) -> bool) -> Rules {
    let mut of_clients: BTreeMap<Text, Vec<Text>> = BTreeMap::new();
    vec![removes_retained(move |packet, at| {
        let Some(client) = at.client() else { return Vec::new() };
        if let Some(publish) = is_retained(packet) {
            of_clients.entry(client.id.clone()).or_default().push(publish.topic.clone());
        }
        match which(packet, &client.connect) {
            true => of_clients.remove(&client.id).unwrap_or_default(),
            false => Vec::new(),
        }
    })]
}

fn replaced() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retain-first-kept",
            "A topic that has a retained message keeps it",
            &["MQTT-3.3.1-5"],
            || {
                let mut first: BTreeMap<Text, Publish> = BTreeMap::new();
                vec![retains_behind(move |publish, _| {
                    match (publish.retain, publish.payload.len()) {
                        (false, _) => None,
                        (true, 0) => {
                            first.remove(&publish.topic);
                            None
                        }
                        (true, _) => {
                            let kept = first.get(&publish.topic).cloned();
                            first.entry(publish.topic.clone()).or_insert(publish.clone());
                            kept
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-at-qos-0-replaces-nothing",
            "A message at QoS 0 is retained only if its topic has none",
            &["MQTT-3.3.1-5"],
            || {
                vec![retaining(|publish, before| {
                    let has_one = before.is_some_and(|before| !before.payload.is_empty());
                    let at_0 = publish.qos == QoS::AtMostOnce && !publish.payload.is_empty();
                    publish.retain = !(at_0 && has_one);
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-keeps-properties",
            "A retained message takes over the Content Type of the one it replaces",
            &["MQTT-3.3.1-5"],
            || {
                let mut types: BTreeMap<Text, Text> = BTreeMap::new();
                vec![published(move |publish, _| {
                    let topic = publish.topic.clone();
                    match publish.properties.text(PropertyId::ContentType) {
                        Some(own) if publish.retain => drop(types.insert(topic, own.clone())),
                        None if publish.retain && !publish.payload.is_empty() => {
                            if let Some(before) = types.get(&topic) {
                                publish.properties.push(PropertyId::ContentType, before.clone());
                            }
                        }
                        _ => {}
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-keeps-both",
            "A subscription brings the retained message and the one that it replaced",
            &["MQTT-3.3.1-5"],
            brings_replaced,
        ),
        Mutant::new(
            "3.3/retain-ignores-case",
            "A retained message takes the place of one whose topic differs in case only",
            &["MQTT-3.3.1-5"],
            || taken_for_one(|topic| topic.to_lowercase()),
        ),
        Mutant::new(
            "3.3/retain-ignores-last-slash",
            "A retained message takes the place of one whose topic differs by a slash at its end",
            &["MQTT-3.3.1-5"],
            || taken_for_one(|topic| topic.trim_end_matches('/').to_owned()),
        ),
    ]
}

/// Keeps one retained message of all topics that have the same name to this broker.
pub(super) fn taken_for_one(name: fn(&str) -> String) -> Rules {
    let mut topics: BTreeMap<String, Text> = BTreeMap::new();
    vec![removes_retained(move |packet, _| {
        let Some(publish) = is_retained(packet) else { return Vec::new() };
        let before = topics.insert(name(&publish.topic), publish.topic.clone());
        before.filter(|before| *before != publish.topic).into_iter().collect()
    })]
}

#[derive(Default)]
struct Replaced {
    last: BTreeMap<Text, Publish>,
    before: BTreeMap<Text, Publish>,
}

fn brings_replaced() -> Rules {
    vec![remembers(
        Replaced::default(),
        |kept, packet, _| {
            let Some(publish) = is_retained(packet) else { return };
            let topic = &publish.topic;
            if publish.payload.is_empty() {
                kept.last.remove(topic);
                kept.before.remove(topic);
            } else if let Some(before) = kept.last.insert(topic.clone(), publish.clone()) {
                kept.before.insert(topic.clone(), before);
            }
        },
        |kept, publish, cause, _, act| {
            let before = kept.before.get(&publish.topic).filter(|_| cause == Cause::Subscribe);
            if let Some(before) = before {
                act.send(before.clone().qos(QoS::AtMostOnce, 0));
            }
            act.send(publish);
        },
    )]
}

fn removed() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retain-removal-at-qos-2-ignored",
            "An empty retained message at QoS 2 removes nothing",
            &["MQTT-3.3.1-6"],
            || {
                vec![retaining(|publish, _| {
                    let at_2 = publish.qos == QoS::ExactlyOnce;
                    publish.retain = !(at_2 && publish.payload.is_empty());
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-removal-not-delivered",
            "An empty retained message that removes one does not reach subscribers",
            &["MQTT-3.3.1-6"],
            || {
                vec![remembers(
                    BTreeSet::<Text>::new(),
                    |removed, packet, _| {
                        if let Some(publish) = is_retained(packet) {
                            match publish.payload.is_empty() {
                                true => drop(removed.insert(publish.topic.clone())),
                                false => drop(removed.remove(&publish.topic)),
                            }
                        }
                    },
                    |removed, publish, _, _, act| {
                        let removal =
                            publish.payload.is_empty() && removed.contains(&publish.topic);
                        match removal {
                            true => act.settle(&publish),
                            false => act.send(publish),
                        }
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/retain-removes-below",
            "An empty retained message removes those on all topics below its own too",
            &["MQTT-3.3.1-6"],
            || {
                let mut topics: BTreeSet<Text> = BTreeSet::new();
                vec![removes_retained(move |packet, _| {
                    let Some(publish) = is_retained(packet) else { return Vec::new() };
                    if !publish.payload.is_empty() {
                        topics.insert(publish.topic.clone());
                        return Vec::new();
                    }
                    let above = format!("{}/", &*publish.topic);
                    topics.iter().filter(|topic| topic.starts_with(&above)).cloned().collect()
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-removed-for-good",
            "A topic whose retained message was removed retains no other",
            &["MQTT-3.3.1-5"],
            || {
                vec![retaining(|publish, before| {
                    publish.retain = before.is_none_or(|before| !before.payload.is_empty());
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-empty-kept",
            "An empty retained message is retained itself on a topic that had none",
            &["MQTT-3.3.1-7"],
            brings_empty,
        ),
    ]
}

#[derive(Default)]
struct Empty {
    /// Topics, and whether all they ever had is an empty message.
    topics: BTreeMap<Text, bool>,
    asked: Vec<Text>,
}

fn brings_empty() -> Rules {
    vec![through(
        Empty::default(),
        |kept, packet, _, act| {
            if let Some(publish) = is_retained(&packet) {
                let is_empty = publish.payload.is_empty();
                *kept.topics.entry(publish.topic.clone()).or_insert(true) &= is_empty;
            }
            if let Packet::Subscribe(subscribe) = &packet {
                kept.asked = subscribe.subscriptions.iter().map(|it| it.filter.clone()).collect();
            }
            act.receive(packet);
        },
        |kept, packet, _, act| {
            let suback = matches!(packet, Packet::SubAck(_));
            act.send(packet);
            if suback {
                for topic in kept.asked.drain(..).filter(|it| kept.topics.get(it) == Some(&true)) {
                    act.send(Publish::new(topic, "").retain());
                }
            }
        },
    )]
}

fn not_retained() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/retain-0-kept-if-none",
            "The first message on a topic is retained despite RETAIN 0, if it is at QoS 2 and follows one at QoS 1",
            &["MQTT-3.3.1-8"],
            || {
                let mut topics: BTreeSet<Text> = BTreeSet::new();
                let mut at_1: BTreeSet<ConnectionId> = BTreeSet::new();
                vec![retains_behind(move |publish, at| {
                    let is_first = topics.insert(publish.topic.clone()) && !publish.retain;
                    match publish.qos {
                        QoS::AtMostOnce => None,
                        QoS::AtLeastOnce => {
                            at_1.insert(at.connection);
                            None
                        }
                        QoS::ExactlyOnce => {
                            (is_first && at_1.contains(&at.connection)).then(|| publish.clone())
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-0-replaces",
            "A message with RETAIN 0 at QoS 2 takes the place of a retained one",
            &["MQTT-3.3.1-8"],
            || {
                let mut topics: BTreeSet<Text> = BTreeSet::new();
                vec![retains_behind(move |publish, _| {
                    if publish.retain {
                        topics.insert(publish.topic.clone());
                    }
                    let replaces = !publish.retain
                        && publish.qos == QoS::ExactlyOnce
                        && !publish.payload.is_empty()
                        && topics.contains(&publish.topic);
                    replaces.then(|| publish.clone())
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-0-empty-removes",
            "An empty message with RETAIN 0 removes the retained one",
            &["MQTT-3.3.1-8"],
            || vec![published(|publish, _| publish.retain |= publish.payload.is_empty())],
        ),
    ]
}
