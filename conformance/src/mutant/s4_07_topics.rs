//! Topic Names and Topic Filters.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, Subscription, Text};
use reference_broker::core::ConnectionId;
use reference_broker::topic::{TopicError, TopicFilter, is_shared};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::subscriptions::{
    claims_to_grant, delivers_knowing, matches_by, takes_filters_for,
};
use crate::boundary::rules::{loses_publish, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = levels();
    all.extend(wildcards());
    all.extend(characters());
    all.extend(validity());
    all
}

/// Takes a filter for what `rename` makes of its text, shared ones apart.
fn takes_for(rename: fn(&str) -> String) -> Rules {
    vec![takes_filters_for(move |subscription: &Subscription, _| {
        let text = &*subscription.filter;
        let other = rename(text);
        (!is_shared(text) && other != text).then_some(other)
    })]
}

fn levels() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/trailing-separator-dropped",
            "A filter that ends with a separator is taken for the one without",
            &["U-4.7.3-3", "U-4.7.1.1-1", "U-4.7.3-5"],
            || takes_for(|text| text.strip_suffix('/').unwrap_or(text).to_owned()),
        )
        .also(&["MQTT-3.3.2-3"]),
        Mutant::new(
            "4.7/empty-levels-dropped",
            "Empty levels within a filter are left out",
            &["U-4.7.1.1-1", "U-4.7.3-5"],
            || takes_for(|text| text.replace("//", "/")),
        )
        .also(&["MQTT-3.3.2-3"]),
        Mutant::new(
            "4.7/many-levels-lost",
            "Messages on topics of more than a hundred levels get lost",
            &["U-4.7.3-4", "U-4.7.3-5"],
            || vec![loses_publish(|publish, _| publish.topic.split('/').count() > 100)],
        ),
        Mutant::new(
            "4.7/sixteen-wildcards",
            "A filter with more than sixteen wildcards brings nothing",
            &["U-4.7.3-4", "U-4.7.3-5"],
            || {
                takes_for(|text| match text.matches('+').count() > 16 {
                    true => text.replace('+', "nothing"),
                    false => text.to_owned(),
                })
            },
        ),
        Mutant::new(
            "4.7/long-names-alike",
            "Of topics of more than 255 bytes only so many count",
            &["MQTT-4.7.3-4"],
            || {
                let widen = |text: &str| {
                    let is_it = text.len() > 255 && !text.contains(['+', '#']);
                    is_it.then(|| widened(text))
                };
                matches_by(widen, |filter, topic| filter.get(..255) == topic.get(..255))
            },
        ),
        Mutant::new(
            "4.7/long-names-lost",
            "Messages on topics of more than 32,767 bytes get lost",
            &["U-4.7.3-5"],
            || vec![loses_publish(|publish, _| publish.topic.len() > 32_767)],
        ),
    ]
}

fn wildcards() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/plus-not-for-empty-levels",
            "The single-level wildcard does not match an empty level",
            &["U-4.7.1.3-1", "U-4.7.3-5"],
            || plus_not_for(|level, _| level.is_empty()),
        ),
        Mutant::new(
            "4.7/leading-plus-not-for-empty-level",
            "A single-level wildcard that begins a filter does not match an empty level",
            &["U-4.7.1.3-1", "U-4.7.3-5"],
            || plus_not_for(|level, at| level.is_empty() && at == 0),
        ),
        Mutant::new(
            "4.7/last-plus-matches-more",
            "A single-level wildcard that ends a filter matches all levels that follow",
            &["U-4.7.1.3-1"],
            || {
                takes_for(|text| match text.strip_suffix("/+") {
                    Some(parent) => format!("{parent}/#"),
                    None => text.to_owned(),
                })
            },
        )
        .also(&["MQTT-3.3.2-3"]),
        Mutant::new(
            "4.7/hash-not-for-parent",
            "The multi-level wildcard does not match the level it stands below",
            &["U-4.7.1.2-1", "U-4.7.3-5"],
            || hash_not_for_parent(|_| true),
        ),
        Mutant::new(
            "4.7/hash-after-plus-not-for-parent",
            "The multi-level wildcard does not match the level it stands below if that is a wildcard",
            &["U-4.7.1.2-1", "U-4.7.3-5"],
            || hash_not_for_parent(|parent| parent.ends_with("/+")),
        ),
        Mutant::new(
            "4.7/leading-plus-hash-not-for-parent",
            "In a filter with both wildcards, the single-level one first, the parent is not matched",
            &["U-4.7.1.2-1"],
            || hash_not_for_parent(|parent| parent.starts_with("+/")),
        ),
        Mutant::new(
            "4.7/dollar-by-leading-plus",
            "A single-level wildcard that begins a filter matches a level that begins with $",
            &["MQTT-4.7.2-1"],
            || dollar_as_any(|filter| filter.starts_with('+')),
        ),
        Mutant::new(
            "4.7/dollar-by-leading-hash",
            "A filter of one multi-level wildcard matches topics that begin with $",
            &["MQTT-4.7.2-1"],
            || dollar_as_any(|filter| filter == "#"),
        ),
        Mutant::new(
            "4.7/dollar-between-clients",
            "A client that subscribes to a topic that begins with $ gets messages of other clients",
            &["U-4.7.2-1"],
            || dollar_as_any(|filter| filter.starts_with('$')),
        ),
    ]
}

fn characters() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/ascii-case-folded",
            "Topics are one whose levels of more than six bytes differ only in the case of ASCII letters",
            &["U-4.7.3-1"],
            || {
                normalizes(|text| {
                    let folded = |level: &str| match level.len() > 6 {
                        true => level.to_ascii_lowercase(),
                        false => level.to_owned(),
                    };
                    text.split('/').map(folded).collect::<Vec<_>>().join("/")
                })
            },
        )
        .also(&["MQTT-3.3.2-3"]),
        Mutant::new(
            "4.7/other-case-folded",
            "Topics that differ in the case of letters beyond ASCII are one",
            &["U-4.7.3-1", "MQTT-4.7.3-4"],
            || {
                normalizes(|text| {
                    let fold =
                        |c: char| if c.is_ascii() { vec![c] } else { c.to_lowercase().collect() };
                    text.chars().flat_map(fold).collect()
                })
            },
        ),
        Mutant::new(
            "4.7/spaces-trimmed",
            "Spaces at the end of a topic do not count",
            &["U-4.7.3-2"],
            || normalizes(|text| text.trim_end_matches(' ').to_owned()),
        )
        .also(&["MQTT-3.3.2-3", "MQTT-3.3.1-5"]),
        Mutant::new(
            "4.7/composed",
            "Combining characters are composed before topics are compared",
            &["MQTT-4.7.3-4"],
            || normalizes(|text| text.replace("e\u{301}", "\u{E9}")),
        ),
        Mutant::new(
            "4.7/byte-order-mark-skipped",
            "U+FEFF does not count in topics",
            &["MQTT-4.7.3-4", "MQTT-1.5.4-3"],
            || normalizes(|text| text.replace('\u{FEFF}', "")),
        ),
        Mutant::new(
            "4.7/percent-decoded",
            "%2F in a filter is taken for a separator",
            &["MQTT-4.7.3-4"],
            || takes_for(|text| text.replace("%2F", "/")),
        ),
        Mutant::new(
            "4.7/star-is-a-wildcard",
            "A level of one * in a filter matches any level",
            &["MQTT-4.7.3-4"],
            || {
                takes_for(|text| {
                    text.strip_suffix("/*").map_or(text.into(), |it| format!("{it}/+"))
                })
            },
        ),
        Mutant::new(
            "4.7/question-mark-is-a-wildcard",
            "A ? in a filter matches any one character",
            &["MQTT-4.7.3-4"],
            || {
                let like = |filter: &str, topic: &str| {
                    filter.chars().count() == topic.chars().count()
                        && filter.chars().zip(topic.chars()).all(|(f, t)| f == t || f == '?')
                };
                matches_by(|text| text.contains('?').then(|| widened(text)), like)
            },
        ),
    ]
}

fn validity() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/hash-before-a-separator-granted",
            "A filter with # before its last level is granted",
            &["MQTT-4.7.1-1"],
            || vec![claims_to_grant(|text| is_wrong(text, TopicError::MultiLevelNotLast))],
        ),
        Mutant::new(
            "4.7/hash-beside-others-granted",
            "A filter with # beside other characters is granted",
            &["MQTT-4.7.1-1"],
            || vec![claims_to_grant(|text| is_wrong(text, TopicError::MultiLevelNotAlone))],
        ),
        Mutant::new(
            "4.7/plus-before-others-granted",
            "A filter in which a level begins with + and goes on is granted",
            &["MQTT-4.7.1-2"],
            || {
                vec![claims_to_grant(|text| {
                    is_wrong(text, TopicError::SingleLevelNotAlone)
                        && text.split('/').any(|level| level.len() > 1 && level.starts_with('+'))
                })]
            },
        ),
        Mutant::new(
            "4.7/empty-filter-granted",
            "An empty filter is granted",
            &["MQTT-4.7.3-1"],
            || vec![claims_to_grant(str::is_empty)],
        ),
    ]
}

fn is_wrong(text: &str, error: TopicError) -> bool {
    TopicFilter::parse(text).err() == Some(error)
}

/// The filter with its last level a wildcard.
fn widened(text: &str) -> String {
    text.rsplit_once('/').map_or("+".to_owned(), |(parent, _)| format!("{parent}/+"))
}

/// Takes topics, and filters without wildcards, of which `normal` makes the same for one: the first of
/// them that it was given.
fn normalizes(normal: fn(&str) -> String) -> Rules {
    let first = move |known: &mut BTreeMap<String, Text>, text: &mut Text| {
        let is_plain = !text.contains(['+', '#']) && !text.starts_with('$');
        if is_plain && !text.is_empty() {
            *text = known.entry(normal(text)).or_insert_with(|| text.clone()).clone();
        }
    };
    vec![through(
        BTreeMap::new(),
        move |known, mut packet, _, act| {
            match &mut packet {
                Packet::Publish(publish) => first(known, &mut publish.topic),
                Packet::Subscribe(subscribe) => {
                    let filters = subscribe.subscriptions.iter_mut().map(|it| &mut it.filter);
                    filters.for_each(|filter| first(known, filter));
                }
                Packet::Unsubscribe(unsubscribe) => {
                    unsubscribe.filters.iter_mut().for_each(|filter| first(known, filter));
                }
                _ => {}
            }
            act.receive(packet);
        },
        |_, packet, _, act| act.send(packet),
    )]
}

/// Takes `PARENT/#` for `PARENT/+/#`.
fn hash_not_for_parent(which: fn(&str) -> bool) -> Rules {
    vec![takes_filters_for(move |subscription: &Subscription, _| {
        let parent = subscription.filter.strip_suffix("/#")?;
        (!parent.starts_with("$share") && which(parent)).then(|| format!("{parent}/+/#"))
    })]
}

/// Loses messages that come by a filter whose `+` stands for a level that `which` is true of; it is
/// told which one it is.
fn plus_not_for(which: fn(&str, usize) -> bool) -> Rules {
    vec![delivers_knowing(move |known, publish, at, act| {
        let fails = |filter: &Text| {
            let levels = filter.split('/').zip(publish.topic.split('/')).enumerate();
            let mut levels = levels.map(|(at, (wild, level))| (wild, level, at));
            levels.any(|(wild, level, at)| wild == "+" && which(level, at))
        };
        let own = known.of(at);
        if own.is_empty() || !own.keys().all(fails) {
            act.send(publish);
        }
    })]
}

/// What stands for a leading `$` within the core.
const DOLLAR: &str = "\u{1F4B2}";

/// Hands on messages on topics that begin with `$` like any others, to clients with such a filter.
fn dollar_as_any(filter: fn(&str) -> bool) -> Rules {
    let stand_in = |text: &Text| text.strip_prefix('$').map(|rest| format!("{DOLLAR}{rest}"));
    vec![through(
        BTreeSet::<ConnectionId>::new(),
        move |concerned, mut packet, at, act| {
            match &mut packet {
                Packet::Publish(publish) => {
                    if let Some(other) = stand_in(&publish.topic) {
                        publish.topic = other.into();
                    }
                }
                Packet::Subscribe(subscribe) => {
                    for subscription in &mut subscribe.subscriptions {
                        if !is_shared(&subscription.filter) && filter(&subscription.filter) {
                            concerned.insert(at.connection);
                            if let Some(other) = stand_in(&subscription.filter) {
                                subscription.filter = other.into();
                            }
                        }
                    }
                }
                _ => {}
            }
            act.receive(packet);
        },
        |concerned, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some(rest) = publish.topic.strip_prefix(DOLLAR)
            {
                if !concerned.contains(&at.connection) {
                    return;
                }
                publish.topic = format!("${rest}").into();
            }
            act.send(packet);
        },
    )]
}
