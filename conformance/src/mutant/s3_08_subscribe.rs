//! SUBSCRIBE and the subscriptions it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use reference_broker::codec::{
    Packet, PacketType, PropertyId, PublishAck, QoS, ReasonCode, Side, Subscribe, Text,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::rules::{At, endures, ignores, inward, reads, repeats, writes};
use crate::boundary::{Boundary, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.8/one-level-per-subscribe",
            "All filters of a SUBSCRIBE get the options of its first",
            &["MQTT-3.8.4-5", "MQTT-3.8.4-8"],
            || vec![as_asked(), reads_subscribe(|subscribe, _| same_options(subscribe))],
        ),
        Mutant::new(
            "3.8/first-of-same-filter",
            "Of a filter that stands twice in one SUBSCRIBE the first options count",
            &["MQTT-3.8.4-5"],
            || vec![as_asked(), reads_subscribe(|subscribe, _| first_counts(subscribe))],
        ),
        Mutant::new(
            "3.8/resubscribe-ignored",
            "A subscription made again keeps the options it first had",
            &["MQTT-3.8.4-3"],
            || {
                let mut first = BTreeMap::new();
                vec![reads_subscribe(move |subscribe, at| {
                    for subscription in &mut subscribe.subscriptions {
                        let key = (at.id(), subscription.filter.clone());
                        subscription.options = *first.entry(key).or_insert(subscription.options);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/resubscribe-drops-a-message",
            "The first message after a subscription was made again is lost",
            &["MQTT-3.8.4-4"],
            || {
                let mut seen = BTreeSet::new();
                let mut lost = false;
                vec![inward(move |packet, at, act| {
                    if let Packet::Subscribe(subscribe) = &packet {
                        let filters = subscribe.subscriptions.iter();
                        let mut keys = filters.map(|it| (at.id(), it.filter.clone()));
                        lost |= keys.any(|key| !seen.insert(key));
                    }
                    match &packet {
                        Packet::Publish(publish) if lost && publish.qos == QoS::AtLeastOnce => {
                            lost = false;
                            let ack = PublishAck::new(publish.packet_id);
                            act.send(Packet::PubAck(ack));
                        }
                        _ => act.receive(packet),
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/resubscribe-adds",
            "A filter subscribed to again brings each message once more",
            &["MQTT-3.8.4-3", "U-4.8.1-2"],
            || {
                let mut once = BTreeSet::new();
                let twice = Arc::new(Mutex::new(BTreeSet::new()));
                let noted = Arc::clone(&twice);
                vec![
                    reads_subscribe(move |subscribe, at| {
                        for it in &subscribe.subscriptions {
                            let key = (at.id(), it.filter.clone());
                            if !once.insert(key.clone()) {
                                noted.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
                            }
                        }
                    }),
                    repeats(move |packet, at| {
                        let Packet::Publish(publish) = packet else { return false };
                        let twice = twice.lock().unwrap_or_else(PoisonError::into_inner);
                        twice.contains(&(at.id(), publish.topic.clone()))
                    }),
                ]
            },
        ),
        Mutant::new(
            "3.8/one-bad-filter-refuses-all",
            "One filter that is refused takes the others of its SUBSCRIBE along",
            &["MQTT-3.8.4-5"],
            || {
                let is_bad = |filter: &Text| filter.contains("#/");
                vec![reads_subscribe(move |subscribe, _| {
                    if subscribe.subscriptions.iter().any(|it| is_bad(&it.filter)) {
                        subscribe.subscriptions.iter_mut().for_each(|it| it.filter = "#/".into());
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/ill-formed-filter-overlooked",
            "A SUBSCRIBE with a filter that is no UTF-8 is overlooked",
            &["MQTT-3.8.3-1"],
            || {
                vec![endures(|kind, error| {
                    let forbids = error.fault.requirement(Side::Client);
                    kind == Some(PacketType::Subscribe) && forbids == "MQTT-1.5.4-1"
                })]
            },
        ),
        Mutant::new(
            "3.8/qos-as-published",
            "Messages at QoS 1 go out at QoS 1 to subscriptions at QoS 0 and 2 alike",
            &["MQTT-3.8.4-8"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::Publish(publish) = packet
                        && publish.qos == QoS::ExactlyOnce
                    {
                        publish.qos = QoS::AtLeastOnce;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/qos-lost-while-away",
            "Messages for a client that is away wait at QoS 1 even if published at QoS 2",
            &["MQTT-3.8.4-8"],
            || {
                vec![writes(|packet, at| {
                    let resumed = at.client().is_some_and(|client| client.resumed);
                    if let (true, Packet::Publish(publish)) = (resumed, packet) {
                        publish.qos = publish.qos.min(QoS::AtLeastOnce);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.8/user-properties-forwarded",
            "User Properties of a SUBSCRIBE are put on the messages it brings",
            &["U-3.8.2.1.3-1"],
            || {
                let mut pairs = Vec::new();
                let collect = inward(move |packet, _, act| {
                    if let Packet::Subscribe(subscribe) = &packet {
                        let found = subscribe.properties.user_properties();
                        pairs
                            .extend(found.map(|(name, value)| (name.to_owned(), value.to_owned())));
                    }
                    match packet {
                        Packet::Publish(mut publish) => {
                            for (name, value) in &pairs {
                                let pair = (name.as_str(), value.as_str());
                                publish.properties.push(PropertyId::UserProperty, pair);
                            }
                            act.receive(publish);
                        }
                        packet => act.receive(packet),
                    }
                });
                vec![collect]
            },
        ),
        Mutant::new(
            "3.8/user-properties-ignore-request",
            "A SUBSCRIBE or UNSUBSCRIBE with ten or more User Properties is not answered",
            &["U-3.8.2.1.3-1", "U-3.10.2.1.2-1"],
            || {
                vec![ignores(|packet, _| match packet {
                    Packet::Subscribe(it) => it.properties.user_properties().count() >= 10,
                    Packet::Unsubscribe(it) => it.properties.user_properties().count() >= 10,
                    _ => false,
                })]
            },
        ),
    ]
}

/// Alters SUBSCRIBE packets.
pub(super) fn reads_subscribe(
    mut alter: impl FnMut(&mut Subscribe, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Subscribe(subscribe) = packet {
            alter(subscribe, at);
        }
    })
}

/// SUBACK says that each filter was granted what was asked for, whatever became of it.
#[derive(Default)]
struct AsAsked {
    asked: BTreeMap<(ConnectionId, u16), Vec<QoS>>,
}

fn as_asked() -> Box<dyn Rule> {
    Box::new(AsAsked::default())
}

impl Rule for AsAsked {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        if let Input::Received(id, Packet::Subscribe(it)) = &input {
            let levels = it.subscriptions.iter().map(|it| it.options.maximum_qos);
            self.asked.insert((*id, it.packet_id), levels.collect());
        }
        boundary.pass(input);
    }

    fn outward(&mut self, mut output: Output, boundary: &mut Boundary<'_>) {
        if let Output::Send(id, Packet::SubAck(it)) = &mut output
            && let Some(asked) = self.asked.remove(&(*id, it.packet_id))
        {
            for (code, asked) in it.reasons.iter_mut().zip(asked).filter(|it| !it.0.is_error()) {
                *code = match asked {
                    QoS::AtMostOnce => ReasonCode::Success,
                    QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                    QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                };
            }
        }
        boundary.emit(output);
    }
}

fn same_options(subscribe: &mut Subscribe) {
    let Some(first) = subscribe.subscriptions.first().map(|it| it.options) else { return };
    subscribe.subscriptions.iter_mut().for_each(|it| it.options = first);
}

fn first_counts(subscribe: &mut Subscribe) {
    let mut first = BTreeMap::new();
    for it in &mut subscribe.subscriptions {
        it.options = *first.entry(it.filter.clone()).or_insert(it.options);
    }
}
