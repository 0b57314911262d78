//! What a Will carries, and to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Packet, Property, PropertyId, Publish, QoS, ReasonCode, Text, Value, Will,
};
use reference_broker::core::{Input, Moment};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{At, both, connects, inputs, published, will_delay};
use crate::chameleon::wills_late;

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = flags();
    all.extend(content());
    all.extend(audience());
    all.extend(lifetime());
    all
}

fn flags() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/wills-late",
            "Every Will is published some seconds late",
            &["U-3.1.2.5-2"],
            || vec![wills_late()],
        ),
        Mutant::new(
            "3.1/will-at-qos-1-at-most",
            "A Will at QoS 2 is published at QoS 1",
            &["MQTT-3.1.2-8"],
            || vec![in_will(|will, _| will.qos = will.qos.min(QoS::AtLeastOnce))],
        ),
        Mutant::new(
            "3.1/will-at-qos-0-not-kept",
            "A Will at QoS 0 is not stored",
            &["MQTT-3.1.2-7", "MQTT-3.1.2-8"],
            || {
                vec![connects(|connect, _| {
                    _ = connect.will.take_if(|will| will.qos == QoS::AtMostOnce)
                })]
            },
        ),
        Mutant::new(
            "3.1/will-granted-more",
            "A Will is delivered at its own QoS, whatever the subscriber was granted",
            &["MQTT-3.8.4-8"],
            || {
                vec![delivers_wills(|will, publish| {
                    // An identifier above those that the core gives out so soon.
                    if publish.qos == QoS::AtMostOnce && will.qos > QoS::AtMostOnce {
                        (publish.qos, publish.packet_id) = (will.qos, 30_000);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/will-not-retained-again",
            "A retained Will does not take the place of a message that is retained already",
            &["MQTT-3.1.2-15", "MQTT-3.3.1-5"],
            || vec![with_retained_topics(|is_retained, will| will.retain &= !is_retained)],
        ),
        Mutant::new(
            "3.1/will-replaces-retained",
            "A Will that is not retained takes the place of the retained message on its topic",
            &["MQTT-3.1.2-14", "MQTT-3.3.1-8"],
            || vec![with_retained_topics(|is_retained, will| will.retain |= is_retained)],
        ),
        Mutant::new(
            "3.1/empty-will-not-retained",
            "A retained Will without payload leaves the retained message on its topic alone",
            &["MQTT-3.1.2-15", "MQTT-3.3.1-6"],
            || vec![in_will(|will, _| will.retain &= !will.payload.is_empty())],
        ),
    ]
}

fn content() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/will-payload-cut",
            "The payload of a Will loses the last byte of the most it can have",
            &["U-3.1.3.4-1", "U-1.5.6-1"],
            || vec![in_will(|will, _| will.payload.truncate(65_534))],
        ),
        Mutant::new(
            "3.1/empty-will-not-published",
            "A Will without payload is not published",
            &["U-3.1.3.4-1", "MQTT-3.1.2-8"],
            || {
                vec![connects(|connect, _| {
                    connect.will.take_if(|will| will.payload.is_empty());
                })]
            },
        ),
        Mutant::new(
            "3.1/will-user-properties-grouped",
            "The user properties of a Will arrive in the order of their names",
            &["MQTT-3.1.3-10"],
            || {
                vec![in_will(|will, _| {
                    let mut list: Vec<Property> = will.properties.iter().cloned().collect();
                    list.sort_by_key(|property| match &property.value {
                        Value::Pair(name, _) => name.to_string(),
                        _ => String::new(),
                    });
                    will.properties = list.into_iter().collect();
                })]
            },
        ),
        Mutant::new(
            "3.1/will-user-properties-once",
            "Of equal user properties of a Will only the first arrives",
            &["MQTT-3.1.3-10", "U-3.1.3.2.8-1"],
            || {
                vec![in_will(|will, _| {
                    let mut seen = BTreeSet::new();
                    will.properties.retain(|property| match &property.value {
                        Value::Pair(name, value) => seen.insert((name.clone(), value.clone())),
                        _ => true,
                    });
                })]
            },
        ),
        Mutant::new(
            "3.1/will-without-response-topic",
            "A Will arrives without its response topic",
            &["U-3.1.3.2.7-2"],
            || {
                vec![in_will(|will, _| {
                    will.properties.retain(|property| property.id != PropertyId::ResponseTopic);
                })]
            },
        ),
    ]
}

fn audience() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/will-for-first-subscriber",
            "A Will reaches one subscriber only",
            &["MQTT-3.1.2-8", "MQTT-4.5.0-1"],
            || vec![for_first_only()],
        ),
        Mutant::new(
            "3.1/will-twice-through-wildcards",
            "A Will reaches a client that subscribes through a wildcard twice",
            &["MQTT-3.1.2-8"],
            || vec![twice_through_wildcards()],
        ),
        Mutant::new(
            "3.1/will-not-queued",
            "A Will reaches those who are there, and is not queued for who is away",
            &["MQTT-4.5.0-1", "U-4.1-6"],
            || vec![not_queued(|_, _| true)],
        ),
        Mutant::new(
            "3.1/own-will-not-queued",
            "A Will is not queued for the session of its own client",
            &["MQTT-3.1.2-8", "U-4.1-6"],
            || vec![not_queued(|publisher, subscriber| publisher == subscriber)],
        ),
    ]
}

fn lifetime() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/will-expiry-from-connect",
            "The lifetime of a Will begins when its client connects",
            &["U-3.1.3.2.4-2"],
            || vec![ages_from_connect()],
        ),
        Mutant::new(
            "3.1/will-gets-an-expiry",
            "A Will without a lifetime is published with one of an hour",
            &["U-3.1.3.2.4-3"],
            || {
                vec![in_will(|will, _| {
                    if !will.properties.contains(PropertyId::MessageExpiryInterval) {
                        will.properties.push(PropertyId::MessageExpiryInterval, 3600);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/first-will-stays",
            "Each connection of a session has the Will of the first",
            &["MQTT-3.1.2-7", "U-4.1-9"],
            || {
                let mut first = BTreeMap::<Text, Will>::new();
                vec![connects(move |connect, _| {
                    if let Some(will) = &mut connect.will {
                        let kept = first.entry(connect.client_id.clone()).or_insert(will.clone());
                        match connect.clean_start {
                            true => *kept = will.clone(),
                            false => *will = kept.clone(),
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/will-outlives-publication",
            "A Will that was published without a delay is published again when the client comes back",
            &["MQTT-3.1.2-10"],
            || vec![published_again_on_return()],
        ),
    ]
}

/// Alters the Will of a CONNECT.
pub(super) fn in_will(mut alter: impl FnMut(&mut Will, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    connects(move |connect, at| {
        if let Some(will) = &mut connect.will {
            alter(will, at);
        }
    })
}

/// Alters Wills by whether there is a retained message on their topic.
fn with_retained_topics(alter: fn(bool, &mut Will)) -> Box<dyn Rule> {
    let mut retained = BTreeSet::<Text>::new();
    crate::boundary::rules::reads(move |packet, _| match packet {
        Packet::Publish(publish) if publish.retain => {
            retained.insert(publish.topic.clone());
        }
        Packet::Connect(connect) => {
            if let Some(will) = &mut connect.will {
                alter(retained.contains(&will.topic), will);
            }
        }
        _ => {}
    })
}

/// Wills as they are told from other messages: by topic and payload.
type Wills = BTreeMap<(Text, Bytes), (Text, Will, Moment)>;

fn noted(wills: &mut Wills, packet: &Packet, at: At<'_>) {
    if let Packet::Connect(connect) = packet
        && let Some(will) = &connect.will
    {
        let id = (will.topic.clone(), will.payload.clone());
        wills.insert(id, (connect.client_id.clone(), will.clone(), at.now));
    }
}

fn will_of<'a>(wills: &'a Wills, publish: &Publish) -> Option<&'a (Text, Will, Moment)> {
    wills.get(&(publish.topic.clone(), publish.payload.clone()))
}

/// Alters the deliveries of Wills.
fn delivers_wills(alter: fn(&Will, &mut Publish)) -> Box<dyn Rule> {
    both(
        Wills::new(),
        |wills, packet, at, act| {
            noted(wills, &packet, at);
            act.receive(packet);
        },
        move |wills, mut packet, _, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some((_, will, _)) = will_of(wills, publish)
            {
                alter(will, publish);
            }
            act.send(packet);
        },
    )
}

fn ages_from_connect() -> Box<dyn Rule> {
    both(
        Wills::new(),
        |wills, packet, at, act| {
            noted(wills, &packet, at);
            act.receive(packet);
        },
        |wills, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some((_, _, connected)) = will_of(wills, publish)
                && let Some(expiry) = publish.properties.number(PropertyId::MessageExpiryInterval)
            {
                let seconds = at.now.0.saturating_sub(connected.0) / 1000;
                let aged = expiry.saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
                publish.properties.set(PropertyId::MessageExpiryInterval, aged);
            }
            act.send(packet);
        },
    )
}

fn for_first_only() -> Box<dyn Rule> {
    both(
        (Wills::new(), BTreeSet::new()),
        |(wills, _), packet, at, act| {
            noted(wills, &packet, at);
            act.receive(packet);
        },
        |(wills, sent), packet, _, act| match &packet {
            Packet::Publish(publish)
                if will_of(wills, publish).is_some()
                    && !sent.insert((publish.topic.clone(), publish.payload.clone())) =>
            {
                act.settle(publish);
            }
            _ => act.send(packet),
        },
    )
}

/// Loses Wills, by publisher and subscriber, that come right behind a CONNACK.
fn not_queued(between: fn(&str, &str) -> bool) -> Box<dyn Rule> {
    both(
        (Wills::new(), None),
        |(wills, resuming), packet, at, act| {
            noted(wills, &packet, at);
            *resuming = matches!(packet, Packet::Connect(_)).then_some(at.connection);
            act.receive(packet);
        },
        move |(wills, resuming), packet, at, act| match (&packet, at.client()) {
            (Packet::Publish(publish), Some(client))
                if *resuming == Some(at.connection)
                    && will_of(wills, publish).is_some_and(|it| between(&it.0, &client.id)) =>
            {
                act.settle(publish);
            }
            _ => act.send(packet),
        },
    )
}

fn published_again_on_return() -> Box<dyn Rule> {
    let mut last = BTreeMap::<Text, Will>::new();
    let mut left = BTreeSet::new();
    inputs(move |input, boundary| {
        match &input {
            Input::Closed(connection) => {
                if let Some(client) = boundary.clients.get(*connection)
                    && let Some(will) = &client.connect.will
                    && !left.remove(connection)
                    && will_delay(&client.connect) == Some(0)
                {
                    last.insert(client.id.clone(), will.clone());
                }
            }
            Input::Received(connection, Packet::Disconnect(it))
                if it.reason == ReasonCode::Success =>
            {
                left.insert(*connection);
            }
            Input::Received(_, Packet::Connect(connect)) if !connect.clean_start => {
                if let Some(will) = last.remove(&connect.client_id) {
                    boundary.publish_after(Duration::ZERO, published(&will));
                }
            }
            _ => {}
        }
        boundary.pass(input);
    })
}

fn twice_through_wildcards() -> Box<dyn Rule> {
    both(
        (Wills::new(), BTreeSet::new()),
        |(wills, through), packet, at, act| {
            noted(wills, &packet, at);
            if let Packet::Subscribe(subscribe) = &packet
                && subscribe.subscriptions.iter().any(|it| it.filter.contains(['+', '#']))
            {
                through.insert(at.connection);
            }
            act.receive(packet);
        },
        |(wills, through), packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && through.contains(&at.connection)
                && will_of(wills, publish).is_some()
            {
                act.send(packet.clone());
            }
            act.send(packet);
        },
    )
}
