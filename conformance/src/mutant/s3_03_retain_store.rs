//! Retained messages, lost, mixed up or shortened by those that keep them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, Text};
use reference_broker::core::ConnectionId;

use super::Mutant;
use super::s3_03_retain::{retaining, taken_for_one};
use crate::boundary::Rules;
use crate::boundary::rules::messages::{Cause, Key, delivered_for, key, remembers};

pub(super) fn mutants() -> Vec<Mutant> {
    let expiry = PropertyId::MessageExpiryInterval;
    vec![
        Mutant::new(
            "3.3/retain-keeps-lifetime",
            "A retained message takes over the lifetime of the one it replaces, if it has none",
            &["U-3.3.2.3.3-1", "MQTT-3.3.1-5"],
            move || {
                vec![retaining(move |publish, before| {
                    let before = before.and_then(|before| before.properties.number(expiry));
                    if let Some(before) = before.filter(|_| !publish.properties.contains(expiry)) {
                        publish.properties.push(expiry, before);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-unchanged-goes-nowhere",
            "A retained message that is the one there is already reaches no subscriber",
            &["MQTT-4.5.0-1"],
            unchanged_goes_nowhere,
        ),
        Mutant::new(
            "3.3/retain-dots-for-slashes",
            "A retained message takes the place of one whose topic has slashes for its dots",
            &["MQTT-3.3.1-5", "MQTT-4.7.3-4"],
            || taken_for_one(|topic| topic.replace('/', ".")),
        ),
        Mutant::new(
            "3.3/retain-decodes-slashes",
            "A retained message takes the place of one whose topic has a slash for its %2F",
            &["MQTT-3.3.1-5", "MQTT-4.7.3-4"],
            || taken_for_one(|topic| topic.replace("%2F", "/")),
        ),
        Mutant::new(
            "3.3/retain-by-path",
            "Of the topics of retained messages a level of dots goes as it does in a path",
            &["MQTT-3.3.1-5", "MQTT-4.7.3-4"],
            || taken_for_one(path),
        ),
        Mutant::new(
            "3.3/retain-of-64-kib",
            "Retained messages are kept up to 65,535 bytes, and cut there",
            &["MQTT-3.3.1-9", "MQTT-3.3.1-5"],
            || {
                vec![delivered_for(Cause::Subscribe, |publish, _| {
                    publish.payload.truncate(usize::from(u16::MAX));
                })]
            },
        ),
        Mutant::new(
            "3.3/retain-lost-beside-refused-filter",
            "A SUBSCRIBE of which a filter is refused brings no retained message",
            &["MQTT-3.3.1-9", "MQTT-3.8.4-5"],
            lost_beside_refused_filter,
        ),
    ]
}

fn unchanged_goes_nowhere() -> Rules {
    #[derive(Default)]
    struct State {
        kept: BTreeMap<Text, Bytes>,
        unchanged: BTreeSet<Key>,
    }
    vec![remembers(
        State::default(),
        |state, packet, _| {
            let Packet::Publish(publish) = packet else { return };
            let kept = state.kept.get(&publish.topic);
            let is_unchanged = publish.retain && kept == Some(&publish.payload);
            match is_unchanged {
                true => drop(state.unchanged.insert(key(publish))),
                false => drop(state.unchanged.remove(&key(publish))),
            }
            if publish.retain {
                match publish.payload.is_empty() {
                    true => state.kept.remove(&publish.topic),
                    false => state.kept.insert(publish.topic.clone(), publish.payload.clone()),
                };
            }
        },
        |state, publish, cause, _, act| match cause == Cause::Publish
            && state.unchanged.contains(&key(&publish))
        {
            true => act.settle(&publish),
            false => act.send(publish),
        },
    )]
}

/// A topic without levels that a path does not have.
fn path(topic: &str) -> String {
    let mut levels: Vec<&str> = Vec::new();
    for level in topic.split('/') {
        match level {
            "." => {}
            ".." => drop(levels.pop()),
            level => levels.push(level),
        }
    }
    levels.join("/")
}

fn lost_beside_refused_filter() -> Rules {
    vec![remembers(
        BTreeSet::<ConnectionId>::new(),
        |refused, packet, at| {
            let Packet::Subscribe(subscribe) = packet else { return };
            match subscribe.subscriptions.iter().any(|it| it.filter.contains("#/")) {
                true => refused.insert(at.connection),
                false => refused.remove(&at.connection),
            };
        },
        |refused, publish, cause, at, act| match cause == Cause::Subscribe
            && refused.contains(&at.connection)
        {
            true => act.settle(&publish),
            false => act.send(publish),
        },
    )]
}
