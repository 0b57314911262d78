//! The properties of messages on their way to subscribers, and their payload.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{
    Packet, Properties, Property, PropertyId, Publish, QoS, Text, Value,
};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::rules::messages::{Cause, delivered, delivered_for, loses, remembers};
use crate::boundary::{Client, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    [single(), lost(), user_properties(), payload()].into_iter().flatten().collect()
}

const FORMAT: PropertyId = PropertyId::PayloadFormatIndicator;
const CONTENT_TYPE: PropertyId = PropertyId::ContentType;
const RESPONSE_TOPIC: PropertyId = PropertyId::ResponseTopic;
const CORRELATION_DATA: PropertyId = PropertyId::CorrelationData;
const USER_PROPERTY: PropertyId = PropertyId::UserProperty;

/// Delivers messages without a property where `which` holds.
fn without(id: PropertyId, which: fn(&Publish) -> bool) -> Rules {
    vec![delivered(move |publish, _| {
        if which(publish) {
            publish.properties.retain(|property| property.id != id);
        }
    })]
}

/// As [`without`], for messages that go out for this cause.
fn without_for(cause: Cause, id: PropertyId) -> Rules {
    vec![delivered_for(cause, move |publish, _| {
        publish.properties.retain(|property| publish.dup || property.id != id);
    })]
}

/// Delivers Correlation Data altered.
fn correlated_as(alter: fn(&Bytes) -> Bytes) -> Rules {
    vec![delivered(move |publish, _| {
        if let Some(data) = publish.properties.binary(CORRELATION_DATA).map(alter) {
            publish.properties.set(CORRELATION_DATA, data);
        }
    })]
}

fn single() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/payload-format-0-becomes-1",
            "A Payload Format Indicator of 0 is passed on as 1",
            &["MQTT-3.3.2-4"],
            || {
                vec![delivered(|publish, _| {
                    if publish.properties.contains(FORMAT) {
                        publish.properties.set(FORMAT, 1);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/payload-format-cleared-on-mismatch",
            "A payload that is not the text it says it is loses the Payload Format Indicator",
            &["MQTT-3.3.2-4"],
            || without(FORMAT, |publish| std::str::from_utf8(&publish.payload).is_err()),
        ),
        Mutant::new(
            "3.3/content-type-lost-at-qos-0",
            "Messages at QoS 0 come without their Content Type",
            &["MQTT-3.3.2-20"],
            || without(CONTENT_TYPE, |publish| publish.qos == QoS::AtMostOnce),
        ),
        Mutant::new(
            "3.3/content-type-for-first-subscriber-only",
            "Of several subscribers only the first one gets the Content Type of a message",
            &["MQTT-3.3.2-20"],
            || {
                vec![remembers(
                    None::<ConnectionId>,
                    |first, packet, _| {
                        if matches!(packet, Packet::Publish(_)) {
                            *first = None;
                        }
                    },
                    |first, mut publish, _, at, act| {
                        if *first.get_or_insert(at.connection) != at.connection {
                            publish.properties.retain(|property| property.id != CONTENT_TYPE);
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/content-type-empty-lost",
            "An empty Content Type is not passed on",
            &["MQTT-3.3.2-20"],
            || {
                without(CONTENT_TYPE, |publish| {
                    publish.properties.text(CONTENT_TYPE).is_some_and(|it| it.is_empty())
                })
            },
        ),
        Mutant::new(
            "3.3/response-topic-without-last-slash",
            "A Response Topic loses a slash at its end",
            &["MQTT-3.3.2-15", "U-4.10-1"],
            || {
                vec![delivered(|publish, _| {
                    if let Some(topic) = publish.properties.text(RESPONSE_TOPIC)
                        && let Some(shorter) = topic.strip_suffix('/')
                    {
                        let shorter = Text::from(shorter);
                        publish.properties.set(RESPONSE_TOPIC, shorter);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/correlation-data-cut-at-zero",
            "Correlation Data ends before its first zero byte",
            &["MQTT-3.3.2-16", "U-4.10-1"],
            || {
                correlated_as(|data| {
                    data.slice(..data.iter().position(|byte| *byte == 0).unwrap_or(data.len()))
                })
            },
        ),
        Mutant::new(
            "3.3/correlation-data-up-to-65534",
            "Correlation Data is cut to 65,534 bytes",
            &["MQTT-3.3.2-16", "U-4.10-1"],
            || correlated_as(|data| data.slice(..data.len().min(65_534))),
        ),
        Mutant::new(
            "3.3/correlation-data-needs-response-topic",
            "Correlation Data without a Response Topic is not passed on",
            &["MQTT-3.3.2-16", "U-4.10-1"],
            || without(CORRELATION_DATA, |publish| !publish.properties.contains(RESPONSE_TOPIC)),
        ),
    ]
}

fn lost() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/response-topic-lost-in-queue",
            "Messages that waited come without their Response Topic",
            &["MQTT-3.3.2-15"],
            || without_for(Cause::Resume, RESPONSE_TOPIC),
        ),
        Mutant::new(
            "3.3/payload-format-lost-in-retained",
            "Retained messages come without their Payload Format Indicator",
            &["MQTT-3.3.2-4"],
            || without_for(Cause::Subscribe, FORMAT),
        ),
        Mutant::new(
            "3.3/correlation-data-lost-when-resent",
            "QoS 2 messages that are sent again come without their Correlation Data",
            &["MQTT-3.3.2-16"],
            || without(CORRELATION_DATA, |publish| publish.dup && publish.qos == QoS::ExactlyOnce),
        ),
        Mutant::new(
            "3.3/properties-stick",
            "A message comes with the Content Type of the one before it if it has none",
            &["MQTT-3.3.2-20"],
            || {
                let mut last: BTreeMap<ConnectionId, Text> = BTreeMap::new();
                vec![delivered(move |publish, at| {
                    let own = publish.properties.text(CONTENT_TYPE).cloned();
                    match (own, last.get(&at.connection)) {
                        (Some(own), _) => drop(last.insert(at.connection, own)),
                        (None, Some(last)) => publish.properties.push(CONTENT_TYPE, last.clone()),
                        (None, None) => {}
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/payload-format-sticks",
            "A message after one whose payload is text is said to be text too",
            &["MQTT-3.3.2-4"],
            || {
                let mut texts: BTreeSet<ConnectionId> = BTreeSet::new();
                vec![delivered(move |publish, at| {
                    if publish.properties.number(FORMAT) == Some(1) {
                        texts.insert(at.connection);
                    } else if texts.contains(&at.connection) {
                        publish.properties.set(FORMAT, 1);
                    }
                })]
            },
        ),
    ]
}

/// Delivers User Properties altered, at the end of the properties.
fn paired_as(alter: fn(Vec<Property>) -> Vec<Property>) -> Rules {
    vec![delivered(move |publish, _| {
        let (pairs, others): (Vec<Property>, Vec<Property>) =
            publish.properties.iter().cloned().partition(|it| it.id == USER_PROPERTY);
        publish.properties = others.into_iter().chain(alter(pairs)).collect::<Properties>();
    })]
}

fn name(property: &Property) -> &str {
    match &property.value {
        Value::Pair(name, _) => name,
        _ => "",
    }
}

/// Whether a client asks for no problem information.
fn is_quiet(client: &Client) -> bool {
    client.connect.properties.number(PropertyId::RequestProblemInformation) == Some(0)
}

fn user_properties() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/user-properties-grouped",
            "User Properties are passed on grouped by their names",
            &["MQTT-3.3.2-18"],
            || {
                paired_as(|mut pairs| {
                    pairs.sort_by(|one, other| name(one).cmp(name(other)));
                    pairs
                })
            },
        ),
        Mutant::new(
            "3.3/user-properties-last-first",
            "User Properties are passed on in reverse where they repeat a name",
            &["MQTT-3.3.2-18"],
            || {
                paired_as(|mut pairs| {
                    let names: BTreeSet<_> = pairs.iter().map(name).collect();
                    if names.len() < pairs.len() {
                        pairs.reverse();
                    }
                    pairs
                })
            },
        ),
        Mutant::new(
            "3.3/user-properties-once",
            "Of equal User Properties only the first is passed on",
            &["MQTT-3.3.2-17"],
            || {
                paired_as(|pairs| {
                    let mut kept: Vec<Property> = Vec::new();
                    for pair in pairs {
                        if !kept.contains(&pair) {
                            kept.push(pair);
                        }
                    }
                    kept
                })
            },
        ),
        Mutant::new(
            "3.3/user-properties-up-to-100",
            "No more than 100 User Properties are passed on",
            &["MQTT-3.3.2-17"],
            || {
                paired_as(|mut pairs| {
                    pairs.truncate(100);
                    pairs
                })
            },
        ),
        Mutant::new(
            "3.3/user-properties-of-retained-lost",
            "Retained messages come without their User Properties",
            &["MQTT-3.3.2-17"],
            || without_for(Cause::Subscribe, USER_PROPERTY),
        ),
        Mutant::new(
            "3.3/user-properties-are-problem-information",
            "Who asks for no problem information gets messages without their User Properties",
            &["MQTT-3.3.2-17"],
            || {
                vec![delivered(|publish, at| {
                    if at.client().is_some_and(is_quiet) {
                        publish.properties.retain(|property| property.id != USER_PROPERTY);
                    }
                })]
            },
        ),
    ]
}

fn payload() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/payload-mended",
            "What is no UTF-8 in a payload that says it is text is replaced",
            &["U-3.3.2.3.2-2", "U-3.3.3-1"],
            || {
                vec![delivered(|publish, _| {
                    if publish.properties.number(FORMAT) == Some(1) {
                        let text = String::from_utf8_lossy(&publish.payload).into_owned();
                        publish.payload = text.into();
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/payload-up-to-65535",
            "Payloads are cut to 65,535 bytes",
            &["U-3.3.3-1"],
            || {
                vec![delivered(|publish, _| {
                    publish.payload = publish.payload.slice(..publish.payload.len().min(65_535));
                })]
            },
        ),
        Mutant::new(
            "3.3/payload-empty-lost",
            "Messages with an empty payload at QoS 0 are lost",
            &["U-3.3.3-1"],
            || {
                vec![loses(|publish, _| {
                    publish.payload.is_empty() && publish.qos == QoS::AtMostOnce
                })]
            },
        ),
    ]
}
