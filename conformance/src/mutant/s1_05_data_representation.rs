//! Data representation: strings, binary data, integers.

use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{Packet, Property, PropertyId, Publish, Text, Value};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{both, connects, delivers, each_property, reads};

const BYTE_ORDER_MARK: char = '\u{FEFF}';

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = topics();
    all.extend(properties());
    all.extend(lengths());
    all.extend(integers());
    all
}

fn topics() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "1.5/topic-characters-replaced",
            "Characters above U+FFFF in the topic name of a delivery become U+FFFD",
            &["MQTT-4.7.3-4"],
            || {
                vec![delivers(|publish, _| {
                    publish.topic = replaced(&publish.topic, |c| c > '\u{FFFF}').into();
                })]
            },
        ),
        Mutant::new(
            "1.5/topic-spaces-trimmed",
            "Topic names and filters lose trailing white space other than that of ASCII",
            &["MQTT-4.7.3-4"],
            || {
                let is_space = |c: char| c.is_whitespace() && !c.is_ascii();
                vec![in_topics(move |topic| topic.trim_end_matches(is_space).to_owned())]
            },
        ),
        Mutant::new(
            "1.5/byte-order-mark-stripped-from-topics",
            "Topic names and filters lose a U+FEFF at their beginning",
            &["MQTT-1.5.4-3", "MQTT-4.7.3-4"],
            || vec![in_topics(|topic| topic.trim_start_matches(BYTE_ORDER_MARK).to_owned())],
        ),
        Mutant::new(
            "1.5/byte-order-mark-stripped-from-client-id",
            "A client identifier loses a U+FEFF at its beginning",
            &["MQTT-1.5.4-3", "MQTT-3.1.3-2"],
            || {
                vec![connects(|connect, _| {
                    let bare = connect.client_id.trim_start_matches(BYTE_ORDER_MARK);
                    connect.client_id = bare.into();
                })]
            },
        ),
        Mutant::new(
            "1.5/topics-fold-case",
            "Topic names match filters whose letters beyond ASCII are in another case",
            &["MQTT-4.7.3-4"],
            || vec![folds(lower_but_ascii)],
        ),
        Mutant::new(
            "1.5/accents-composed",
            "A letter with a combining accent matches the composed letter",
            &["MQTT-4.7.3-4"],
            || vec![folds(|topic| topic.replace("e\u{301}", "\u{E9}"))],
        ),
        Mutant::new(
            "1.5/final-sigma-folded",
            "A sigma at the end of a word matches one elsewhere",
            &["MQTT-4.7.3-4"],
            || vec![folds(|topic| topic.replace('\u{3C2}', "\u{3C3}"))],
        ),
    ]
}

fn properties() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "1.5/property-characters-replaced",
            "Characters above U+FFFF in strings of a delivered message become U+FFFD",
            &["MQTT-3.3.2-15", "MQTT-3.3.2-17", "MQTT-3.3.2-20"],
            || {
                vec![delivers(|publish, _| {
                    in_strings(publish, |it| replaced(it, |c| c > '\u{FFFF}'))
                })]
            },
        ),
        Mutant::new(
            "1.5/no-break-spaces-folded",
            "U+00A0 in a user property arrives as a space",
            &["MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    in_pairs(publish, |name, value| {
                        Some((name, value.replace('\u{A0}', " ").into()))
                    });
                })]
            },
        ),
        Mutant::new(
            "1.5/byte-order-mark-stripped-from-values",
            "The value of a user property loses a U+FEFF at its beginning",
            &["MQTT-1.5.4-3", "MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    in_pairs(publish, |name, value| {
                        Some((name, value.trim_start_matches(BYTE_ORDER_MARK).into()))
                    });
                })]
            },
        ),
        Mutant::new(
            "1.5/control-characters-dropped",
            "Strings of a delivered message lose the control characters from U+0080 on",
            &["U-1.5.4-4", "MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    in_strings(publish, |text| {
                        text.replace(|c| ('\u{80}'..='\u{9F}').contains(&c), "")
                    });
                })]
            },
        ),
        Mutant::new(
            "1.5/non-characters-replaced",
            "Non-characters in strings of a delivered message become U+FFFD",
            &["U-1.5.4-4", "MQTT-3.3.2-17"],
            || {
                let is_one = |c: char| u32::from(c) & 0xFFFE == 0xFFFE || c == '\u{FDD0}';
                vec![delivers(move |publish, _| in_strings(publish, |text| replaced(text, is_one)))]
            },
        ),
        Mutant::new(
            "1.5/empty-content-type-lost",
            "An empty content type is not forwarded",
            &["U-1.5.4-5", "MQTT-3.3.2-20"],
            || vec![loses_empty(PropertyId::ContentType)],
        ),
        Mutant::new(
            "1.5/empty-correlation-data-lost",
            "Correlation data of no bytes are not forwarded",
            &["U-1.5.6-1", "MQTT-3.3.2-16"],
            || vec![loses_empty(PropertyId::CorrelationData)],
        ),
        Mutant::new(
            "1.5/nameless-user-property-lost",
            "A user property with a value and no name is not forwarded",
            &["U-1.5.4-5", "MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    in_pairs(publish, |name, value| {
                        let is_nameless = name.is_empty() && !value.is_empty();
                        (!is_nameless).then_some((name, value))
                    });
                })]
            },
        ),
    ]
}

fn lengths() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "1.5/strings-cut-at-32767",
            "The value of a user property is cut at 32,767 bytes",
            &["U-1.5.4-5", "MQTT-3.3.2-17"],
            || {
                vec![delivers(|publish, _| {
                    in_pairs(publish, |name, value| {
                        Some((name, value.get(..0x7FFF).map_or(value.clone(), Text::from)))
                    });
                })]
            },
        ),
        Mutant::new(
            "1.5/binary-cut-at-65534",
            "Correlation data lose the last byte of the most they can have",
            &["U-1.5.6-1", "MQTT-3.3.2-16"],
            || vec![in_correlation_data(|data| data.slice(..data.len().min(65_534)))],
        ),
        Mutant::new(
            "1.5/correlation-data-end-at-zero",
            "Correlation data end before their first zero byte",
            &["U-1.5.6-1", "MQTT-3.3.2-16"],
            || {
                vec![in_correlation_data(|data| {
                    let zero = data.iter().position(|byte| *byte == 0);
                    data.slice(..zero.unwrap_or(data.len()))
                })]
            },
        ),
        Mutant::new(
            "1.5/payload-read-as-text",
            "Bytes of a payload that are no UTF-8 become U+FFFD",
            &["U-1.5.6-1"],
            || {
                vec![delivers(|publish, _| {
                    let text = String::from_utf8_lossy(&publish.payload).into_owned();
                    publish.payload = text.into();
                })]
            },
        )
        .also(&["U-3.3.3-1"]),
    ]
}

fn integers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "1.5/expiry-bytes-swapped",
            "A message expiry interval is forwarded with its bytes in reverse order",
            &["U-1.5.3-1", "MQTT-3.3.2-6"],
            || vec![in_expiry(u32::swap_bytes)],
        ),
        Mutant::new(
            "1.5/expiry-of-three-bytes",
            "A message expiry interval loses its most significant byte",
            &["U-1.5.3-1", "MQTT-3.3.2-6"],
            || vec![in_expiry(|expiry| expiry & 0x00FF_FFFF)],
        ),
    ]
}

/// In lower case, but for the letters that ASCII has.
fn lower_but_ascii(text: &str) -> String {
    let lower = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.to_lowercase().to_string(),
    };
    text.chars().map(lower).collect()
}

fn replaced(text: &str, which: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if which(c) { '\u{FFFD}' } else { c }).collect()
}

/// Alters topic names and filters on their way in.
fn in_topics(alter: impl Fn(&str) -> String + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, _| in_topics_of(packet, &alter))
}

fn in_topics_of(packet: &mut Packet, alter: impl Fn(&str) -> String) {
    match packet {
        Packet::Publish(publish) => publish.topic = alter(&publish.topic).into(),
        Packet::Subscribe(subscribe) => {
            for subscription in &mut subscribe.subscriptions {
                subscription.filter = alter(&subscription.filter).into();
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            for filter in &mut unsubscribe.filters {
                *filter = alter(filter).into();
            }
        }
        _ => {}
    }
}

/// Lets topics match that are alike when folded. A delivery has its topic as it was published last.
fn folds(fold: fn(&str) -> String) -> Box<dyn Rule> {
    both(
        BTreeMap::<Text, Text>::new(),
        move |written, mut packet, _, act| {
            if let Packet::Publish(publish) = &packet {
                written.insert(fold(&publish.topic).into(), publish.topic.clone());
            }
            in_topics_of(&mut packet, fold);
            act.receive(packet);
        },
        |written, mut packet, _, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some(topic) = written.get(&publish.topic)
            {
                publish.topic = topic.clone();
            }
            act.send(packet);
        },
    )
}

/// Alters all strings in the properties of a message.
fn in_strings(publish: &mut Publish, alter: impl Fn(&str) -> String) {
    each_property(&mut publish.properties, |property| {
        let value = match property.value {
            Value::String(text) => Value::String(alter(&text).into()),
            Value::Pair(name, value) => Value::Pair(alter(&name).into(), alter(&value).into()),
            value => value,
        };
        Some(Property { value, ..property })
    });
}

/// Alters or drops the user properties of a message.
fn in_pairs(publish: &mut Publish, alter: impl Fn(Text, Text) -> Option<(Text, Text)>) {
    each_property(&mut publish.properties, |property| match property.value {
        Value::Pair(name, value) => {
            let (name, value) = alter(name, value)?;
            Some(Property { id: property.id, value: Value::Pair(name, value) })
        }
        value => Some(Property { id: property.id, value }),
    });
}

fn in_correlation_data(alter: fn(Bytes) -> Bytes) -> Box<dyn Rule> {
    delivers(move |publish, _| {
        if let Some(data) = publish.properties.binary(PropertyId::CorrelationData).cloned() {
            publish.properties.set(PropertyId::CorrelationData, alter(data));
        }
    })
}

fn in_expiry(alter: fn(u32) -> u32) -> Box<dyn Rule> {
    delivers(move |publish, _| {
        if let Some(expiry) = publish.properties.number(PropertyId::MessageExpiryInterval) {
            publish.properties.set(PropertyId::MessageExpiryInterval, alter(expiry));
        }
    })
}

/// Does not forward a property whose value has no bytes.
fn loses_empty(id: PropertyId) -> Box<dyn Rule> {
    delivers(move |publish, _| {
        publish.properties.retain(|property| {
            let is_empty = match &property.value {
                Value::String(text) => text.is_empty(),
                Value::Binary(bytes) => bytes.is_empty(),
                _ => false,
            };
            property.id != id || !is_empty
        });
    })
}
