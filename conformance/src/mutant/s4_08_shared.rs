//! Shared Subscriptions: which there are.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, Publish, QoS, Subscription, Text};
use reference_broker::topic::{SubscriptionFilter, TopicError, is_shared};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::messages::{Key, key};
use crate::boundary::rules::subscriptions::{claims_to_grant, delivers_knowing, takes_filters_for};
use crate::boundary::rules::{At, NOWHERE, reads_publish, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = groups();
    all.extend(filters());
    all
}

/// The name and the filter of a shared filter.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("$share/")?.split_once('/')
}

/// Takes a shared filter for another.
fn takes_for(rename: fn(&str, &str) -> Option<String>) -> Rules {
    vec![takes_filters_for(move |subscription: &Subscription, _| {
        let (name, filter) = parts(&subscription.filter)?;
        rename(name, filter)
    })]
}

fn groups() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.8/every-third-lost",
            "Every third message for a shared subscription is lost",
            &["U-4.8.2-4"],
            || {
                let mut count = 0_u32;
                shared_messages(move |_, _, _| {
                    count += 1;
                    !count.is_multiple_of(3)
                })
            },
        )
        .also(&["U-4.8.2-1"]),
        Mutant::new(
            "4.8/qos0-to-all-members",
            "At QoS 0 every member of a shared subscription gets each message",
            &["U-4.8.2-1"],
            || {
                vec![takes_filters_for(|subscription: &Subscription, _| {
                    let (_, filter) = parts(&subscription.filter)?;
                    let is_it = subscription.options.maximum_qos == QoS::AtMostOnce;
                    is_it.then(|| filter.to_owned())
                })]
            },
        ),
        Mutant::new(
            "4.8/third-member-apart",
            "The third member of a shared subscription gets copies of its own",
            &["U-4.8.2-1"],
            || {
                let mut joined: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
                vec![takes_filters_for(move |subscription: &Subscription, at| {
                    let (name, filter) = parts(&subscription.filter)?;
                    let members = joined.entry(subscription.filter.clone()).or_default();
                    members.insert(at.id());
                    (members.len() > 2).then(|| format!("$share/{name} too/{filter}"))
                })]
            },
        ),
        Mutant::new(
            "4.8/names-without-case",
            "Share names that differ in upper and lower case are one",
            &["U-4.8.2-3"],
            || {
                takes_for(|name, filter| {
                    Some(format!("$share/{}/{filter}", name.to_ascii_lowercase()))
                })
            },
        ),
        Mutant::new(
            "4.8/one-copy-for-a-name",
            "Of shared subscriptions of one name only one gets a message, whatever their filters",
            &["U-4.8.2-3"],
            || {
                let mut served: BTreeMap<(Text, Vec<u8>), BTreeSet<String>> = BTreeMap::new();
                shared_messages(move |publish, filter, _| {
                    let message = (publish.topic.clone(), publish.payload.to_vec());
                    let name = filter.share().map(|it| it.as_str().to_owned());
                    served.entry(message).or_default().insert(name.unwrap_or_default())
                })
            },
        ),
        Mutant::new(
            "4.8/one-copy-for-a-client",
            "A client that gets a message by a subscription of its own is left out of the group's",
            &["U-4.8.2-11"],
            one_copy_for_a_client,
        ),
    ]
}

fn filters() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.8/name-takes-part",
            "The share name is matched as the first level of the filter",
            &["U-4.8.2-2"],
            || takes_for(|name, filter| Some(format!("$share/{name}/{name}/{filter}"))),
        )
        .also(&["U-4.8.2-1", "U-4.8.2-3", "U-4.8.2-4", "U-4.8.2-11"]),
        Mutant::new(
            "4.8/wildcards-taken-literally",
            "A single-level wildcard in a shared filter matches nothing",
            &["U-4.8.2-2"],
            || {
                takes_for(|name, filter| {
                    let is_it = filter.contains('+');
                    is_it.then(|| format!("$share/{name}/{}", filter.replace('+', "plus")))
                })
            },
        ),
        Mutant::new(
            "4.8/hash-not-for-parent",
            "The multi-level wildcard in a shared filter does not match the level it stands below",
            &["U-4.8.2-2"],
            || {
                takes_for(|name, filter| {
                    let parent = filter.strip_suffix("/#")?;
                    Some(format!("$share/{name}/{parent}/+/#"))
                })
            },
        ),
        Mutant::new(
            "4.8/leading-slash-dropped",
            "A slash that begins the filter after the share name is dropped",
            &["U-4.8.2-2"],
            || {
                takes_for(|name, filter| {
                    Some(format!("$share/{name}/{}", filter.strip_prefix('/')?))
                })
            },
        ),
        Mutant::new(
            "4.8/wildcard-in-name-granted",
            "A share name with a wildcard in it is granted",
            &["MQTT-4.8.2-2"],
            || vec![claims_to_grant(|text| is_wrong(text, TopicError::WildcardInShareName))],
        ),
        Mutant::new(
            "4.8/empty-name-granted",
            "An empty share name is granted",
            &["MQTT-4.8.2-1"],
            || vec![claims_to_grant(|text| is_wrong(text, TopicError::EmptyShareName))],
        ),
        Mutant::new(
            "4.8/wildcard-for-name-works",
            "A share name of + is one like any other",
            &["MQTT-4.8.2-2"],
            || takes_for(|name, filter| (name == "+").then(|| format!("$share/plus/{filter}"))),
        ),
        Mutant::new(
            "4.8/empty-name-works",
            "An empty share name is one like any other",
            &["MQTT-4.8.2-1"],
            || takes_for(|name, filter| name.is_empty().then(|| format!("$share/none/{filter}"))),
        ),
        Mutant::new(
            "4.8/no-filter-granted",
            "A share name without a filter behind it is granted",
            &["MQTT-4.8.2-2"],
            || {
                vec![takes_filters_for(|subscription: &Subscription, _| {
                    let rest = subscription.filter.strip_prefix("$share/")?;
                    let name = rest.strip_suffix('/').unwrap_or(rest);
                    let is_it = !name.is_empty() && !name.contains('/');
                    // A name that is none may be granted as well.
                    is_it.then(|| format!("$share/{}/{NOWHERE}", name.replace(['+', '#'], "name")))
                })]
            },
        ),
        Mutant::new(
            "4.8/filter-is-a-topic",
            "A message published to the text of a shared filter reaches its members",
            &["U-4.8.2-2"],
            || {
                vec![reads_publish(|publish, _| {
                    if let Some((_, topic)) = parts(&publish.topic) {
                        publish.topic = topic.into();
                    }
                })]
            },
        ),
    ]
}

fn is_wrong(text: &str, error: TopicError) -> bool {
    SubscriptionFilter::parse(text).err() == Some(error)
}

/// Keeps those messages for members of a shared subscription that `keep` is true of, where the
/// client has no other subscription that brings them.
fn shared_messages(
    mut keep: impl FnMut(&Publish, &SubscriptionFilter, At<'_>) -> bool + Send + 'static,
) -> Rules {
    vec![delivers_knowing(move |known, publish, at, act| {
        if known.of(at).keys().all(|text| is_shared(text))
            && let Some(filter) = known.shared(&at.id(), &publish.topic).first()
            && !keep(&publish, filter, at)
        {
            return;
        }
        act.send(publish);
    })]
}

fn one_copy_for_a_client() -> Rules {
    vec![through(
        (None::<Key>, BTreeSet::new()),
        |(published, served), packet, _, act| {
            *published = match &packet {
                Packet::Publish(publish) => Some(key(publish)),
                _ => None,
            };
            served.clear();
            act.receive(packet);
        },
        |(published, served), packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && published.as_ref() == Some(&key(publish))
                && !served.insert(at.connection)
            {
                return;
            }
            act.send(packet);
        },
    )]
}
