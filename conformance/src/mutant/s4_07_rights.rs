//! Clients that may not do all.

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, ReasonCode, SubscribeAck};
use reference_broker::core::{Action, Config, ConnectionId, Input, Rule, RuleFilter, Users};

use super::Mutant;
use super::s4_12::hands_on;
use crate::boundary::Client;
use crate::boundary::rules::{At, answers_and_counts, inward, published, through, writes};
use crate::target::{UNREADABLE, UNWRITABLE};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = publishing();
    all.extend(subscribing());
    all
}

/// Whether this is a client that may not do all.
fn is_second(client: &Client) -> bool {
    client.connect.user_name.as_ref().is_some_and(|name| **name == *"bob")
}

/// Whether a message is one that its client may not publish.
fn is_forbidden(publish: &Publish, at: At<'_>) -> bool {
    has_level(&publish.topic, UNWRITABLE) && at.client().is_some_and(is_second)
}

fn has_level(topic: &str, level: &str) -> bool {
    topic.split('/').any(|it| it == level)
}

/// Hands on what its client may not publish, whatever the core makes of it.
fn hands_on_forbidden(
    which: impl Fn(&Publish) -> bool + Send + 'static,
) -> Box<dyn crate::boundary::Rule> {
    inward(move |packet, at, act| {
        if let Packet::Publish(publish) = &packet
            && is_forbidden(publish, at)
            && which(publish)
        {
            hands_on(publish.clone(), at, act);
        }
        act.receive(packet);
    })
}

fn publishing() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/rights-not-looked-at-for-qos-0",
            "What a client may not publish is handed on at QoS 0",
            &["U-4.7.3-7"],
            || vec![hands_on_forbidden(|it| it.qos == QoS::AtMostOnce && !it.retain)],
        ),
        Mutant::new(
            "4.7/refused-at-qos-1-and-handed-on",
            "What a client may not publish at QoS 1 is refused, and handed on",
            &["U-4.7.3-7", "U-3.4.2.1-7"],
            || vec![hands_on_forbidden(|it| it.qos == QoS::AtLeastOnce && !it.retain)],
        ),
        Mutant::new(
            "4.7/refused-at-qos-2-and-handed-on",
            "What a client may not publish at QoS 2 is refused, and handed on",
            &["U-4.3.3-4"],
            || vec![hands_on_forbidden(|it| it.qos == QoS::ExactlyOnce)],
        ),
        Mutant::new(
            "4.7/refused-and-retained",
            "A retained message that its client may not publish is refused, and retained",
            &["U-4.7.3-7"],
            || vec![hands_on_forbidden(|it| it.retain)],
        ),
        Mutant::new(
            "4.7/refused-will-published",
            "A Will that its client may not publish is published",
            &["U-4.7.3-7"],
            || {
                vec![crate::boundary::rules::inputs(|input, boundary| {
                    if let Input::Closed(id) = &input
                        && let Some(client) = boundary.clients.get(*id)
                        && let Some(will) = &client.connect.will
                        && is_second(client)
                        && has_level(&will.topic, UNWRITABLE)
                        && let Some(other) = boundary.clients.other_than(*id)
                    {
                        let will = published(will).qos(QoS::AtMostOnce, 0);
                        boundary.pass(Input::Received(other, will.into()));
                    }
                    boundary.pass(input);
                })]
            },
        )
        .configured(|config| allows(config, Action::Publish, UNWRITABLE)),
        Mutant::new(
            "4.7/refused-identifier-stays-in-use",
            "A QoS 2 message with the identifier of one that was refused is taken for a copy of that",
            &["MQTT-4.3.3-9"],
            || vec![identifier_stays()],
        ),
        Mutant::new(
            "4.7/refusal-silences",
            "Who was refused a message is acknowledged all others, and they are lost",
            &["U-4.13.2-1"],
            || {
                let mut silenced = BTreeSet::<ConnectionId>::new();
                vec![answers_and_counts(move |packet, at| {
                    let Packet::Publish(publish) = packet else { return None };
                    if is_forbidden(publish, at) {
                        silenced.insert(at.connection);
                        return None;
                    }
                    let ack = PublishAck::new(publish.packet_id);
                    match publish.qos {
                        QoS::AtLeastOnce if silenced.contains(&at.connection) => {
                            Some(vec![Packet::PubAck(ack)])
                        }
                        _ => None,
                    }
                })]
            },
        ),
    ]
}

/// Lets the second user do what it may not.
fn allows(config: &mut Config, action: Action, level: &str) {
    // In scripts, topics begin with what stands for their place.
    for place in ["+/+/+", "~"] {
        let filter = RuleFilter::parse(&format!("{place}/{level}/#"));
        config.access.rules.extend(filter.ok().map(|filter| Rule {
            users: Users::Named("bob".into()),
            action,
            filter,
            allow: true,
        }));
    }
}

fn identifier_stays() -> Box<dyn crate::boundary::Rule> {
    through(
        BTreeSet::<(ConnectionId, u16)>::new(),
        |refused, packet, at, act| match &packet {
            Packet::Publish(publish)
                if publish.qos == QoS::ExactlyOnce
                    && refused.contains(&(at.connection, publish.packet_id)) =>
            {
                act.send(Packet::PubRec(PublishAck::new(publish.packet_id)));
            }
            _ => act.receive(packet),
        },
        |refused, packet, at, act| {
            if let Packet::PubRec(ack) = &packet
                && ack.reason == ReasonCode::NotAuthorized
            {
                refused.insert((at.connection, ack.packet_id));
            }
            act.send(packet);
        },
    )
}

fn subscribing() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/refused-filter-brings-messages",
            "A filter that a client may not have is refused in SUBACK, and brings messages",
            &["MQTT-3.8.4-7"],
            || vec![refuses_in_words()],
        )
        .configured(|config| allows(config, Action::Subscribe, UNREADABLE)),
        Mutant::new(
            "4.7/rights-not-looked-at-for-filters",
            "A client gets what it may not have",
            &["U-4.7.3-7"],
            || vec![writes(|_, _| ())],
        )
        .configured(|config| allows(config, Action::Subscribe, UNREADABLE)),
        Mutant::new(
            "4.7/wildcards-reach-everything",
            "A filter with a wildcard brings what its client may not have",
            &["U-4.7.3-7"],
            || vec![writes(|_, _| ())],
        )
        .configured(|config| {
            let filter = RuleFilter::parse("#");
            config.access.rules.extend(filter.ok().map(|filter| Rule {
                users: Users::Named("bob".into()),
                action: Action::Subscribe,
                filter,
                allow: true,
            }));
        }),
        Mutant::new(
            "4.7/one-filter-refuses-all",
            "A SUBSCRIBE with a filter that its client may not have is refused as a whole",
            &["MQTT-3.8.4-5"],
            || {
                vec![crate::boundary::rules::reads(|packet, at| {
                    let Packet::Subscribe(subscribe) = packet else { return };
                    let mut filters = subscribe.subscriptions.iter().map(|it| &it.filter);
                    let closed = filters.find(|filter| has_level(filter, UNREADABLE)).cloned();
                    if let (Some(closed), true) = (closed, at.client().is_some_and(is_second)) {
                        let subscriptions = subscribe.subscriptions.iter_mut();
                        subscriptions.for_each(|it| it.filter = closed.clone());
                    }
                })]
            },
        ),
        Mutant::new(
            "4.7/one-code-for-a-refusal",
            "SUBACK has one code only if a filter is refused for want of rights",
            &["MQTT-3.8.4-6"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::SubAck(ack) = packet
                        && ack.reasons.contains(&ReasonCode::NotAuthorized)
                    {
                        ack.reasons = vec![ReasonCode::NotAuthorized];
                    }
                })]
            },
        )
        .also(&["MQTT-3.8.4-5"]),
    ]
}

/// Says of what a client may not have that it is refused.
fn refuses_in_words() -> Box<dyn crate::boundary::Rule> {
    through(
        BTreeSet::<(ConnectionId, u16, usize)>::new(),
        |forbidden, packet, at, act| {
            if let (Packet::Subscribe(subscribe), true) =
                (&packet, at.client().is_some_and(is_second))
            {
                let places = subscribe.subscriptions.iter().enumerate();
                let places = places.filter(|(_, it)| has_level(&it.filter, UNREADABLE));
                forbidden.extend(
                    places.map(|(at_place, _)| (at.connection, subscribe.packet_id, at_place)),
                );
            }
            act.receive(packet);
        },
        |forbidden, mut packet, at, act| {
            if let Packet::SubAck(SubscribeAck { packet_id, reasons, .. }) = &mut packet {
                for (place, reason) in reasons.iter_mut().enumerate() {
                    if forbidden.remove(&(at.connection, *packet_id, place)) {
                        *reason = ReasonCode::NotAuthorized;
                    }
                }
            }
            act.send(packet);
        },
    )
}
