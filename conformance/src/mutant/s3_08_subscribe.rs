//! SUBSCRIBE and the subscriptions it makes.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, PacketType, PropertyId, PublishAck, QoS, ReasonCode, Side, Subscribe, Text,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use super::s3_08_options::is_plain;
use crate::boundary::rules::subscriptions::subscribes;
use crate::boundary::rules::{At, endures, ignores, inward, reads, through};
use crate::boundary::subscriptions::Subscriptions;
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
            "A subscription made again keeps the QoS it first had",
            &["MQTT-3.8.4-3"],
            || {
                let mut first = BTreeMap::new();
                let keeps = subscribes(move |options, filter, held, at| {
                    let key = (at.id(), filter.clone());
                    if held.is_none() {
                        first.remove(&key);
                    }
                    options.maximum_qos = *first.entry(key).or_insert(options.maximum_qos);
                });
                vec![as_asked(), keeps]
            },
        ),
        Mutant::new(
            "3.8/resubscribe-drops-a-message",
            "The first message after a subscription was made again is lost",
            &["MQTT-3.8.4-4"],
            || {
                let mut known = Subscriptions::default();
                let mut lost = false;
                vec![inward(move |packet, at, act| {
                    if let Packet::Subscribe(subscribe) = &packet {
                        let mut filters = subscribe.subscriptions.iter();
                        lost |= filters.any(|it| known.of(at).contains_key(&it.filter));
                    }
                    known.note(&packet, at);
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
            "A filter subscribed to again brings each message at QoS 2 once more",
            &["MQTT-3.8.4-3", "U-4.8.1-2"],
            || vec![again_brings_twice()],
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
            "Messages above QoS 0 go out at QoS 1 to subscriptions at QoS 0 and 1 alike",
            &["MQTT-3.8.4-8"],
            || vec![as_asked(), grants_more(QoS::AtLeastOnce)],
        ),
        Mutant::new(
            "3.8/qos-lost-while-away",
            "Messages that are queued behind one at QoS 1 are delivered at QoS 1",
            &["MQTT-3.8.4-8"],
            || vec![queue_of_one_level()],
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

/// Takes subscriptions at QoS 0 for some at this.
pub(super) fn grants_more(qos: QoS) -> Box<dyn Rule> {
    reads_subscribe(move |subscribe, _| {
        for it in subscribe.subscriptions.iter_mut().filter(|it| is_plain(&it.filter)) {
            if it.options.maximum_qos == QoS::AtMostOnce {
                it.options.maximum_qos = qos;
            }
        }
    })
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

/// Topics whose filters their clients have subscribed to again, by connection.
#[derive(Default)]
struct Again {
    known: Subscriptions,
    twice: BTreeSet<(ConnectionId, Text)>,
}

/// Sends messages at QoS 2 once more, at QoS 0, where their topic was subscribed to again.
fn again_brings_twice() -> Box<dyn Rule> {
    through(
        Again::default(),
        |again, packet, at, act| {
            match &packet {
                Packet::Subscribe(subscribe) => {
                    let filters = subscribe.subscriptions.iter().map(|it| &it.filter);
                    let held = filters.filter(|it| again.known.of(at).contains_key(*it));
                    again.twice.extend(held.map(|it| (at.connection, it.clone())));
                }
                Packet::Unsubscribe(unsubscribe) => {
                    let ended = unsubscribe.filters.iter().cloned();
                    ended.for_each(|it| _ = again.twice.remove(&(at.connection, it)));
                }
                _ => {}
            }
            again.known.note(&packet, at);
            act.receive(packet);
        },
        |again, packet, at, act| {
            let more = match &packet {
                Packet::Publish(publish)
                    if publish.qos == QoS::ExactlyOnce
                        && again.twice.contains(&(at.connection, publish.topic.clone())) =>
                {
                    Some(publish.clone().qos(QoS::AtMostOnce, 0))
                }
                _ => None,
            };
            act.send(packet);
            more.into_iter().for_each(|publish| act.send(publish));
        },
    )
}

/// What a resumed client is sent at once, and what it was sent at a lower QoS than the core thinks.
#[derive(Default)]
struct Lowered {
    /// The connection that is being given what waits, and whether a message at QoS 1 was among it.
    current: Option<(ConnectionId, bool)>,
    open: BTreeSet<(ConnectionId, u16)>,
}

/// On a resume, messages at QoS 2 go out at QoS 1 once one at QoS 1 has gone before them.
fn queue_of_one_level() -> Box<dyn Rule> {
    through(
        Lowered::default(),
        |lowered, packet, at, act| {
            lowered.current = None;
            match packet {
                Packet::PubAck(ack) if lowered.open.remove(&(at.connection, ack.packet_id)) => {
                    // An error ends the exchange without a PUBREL.
                    let error = ReasonCode::UnspecifiedError;
                    act.receive(Packet::PubRec(PublishAck::because(ack.packet_id, error)));
                }
                packet => act.receive(packet),
            }
        },
        |lowered, mut packet, at, act| {
            match (&mut packet, &mut lowered.current) {
                (Packet::ConnAck(connack), current) if connack.session_present => {
                    *current = Some((at.connection, false));
                }
                (Packet::Publish(publish), Some((connection, behind)))
                    if *connection == at.connection && !publish.dup =>
                {
                    if *behind && publish.qos == QoS::ExactlyOnce {
                        publish.qos = QoS::AtLeastOnce;
                        lowered.open.insert((at.connection, publish.packet_id));
                    }
                    *behind |= publish.qos == QoS::AtLeastOnce;
                }
                _ => {}
            }
            act.send(packet);
        },
    )
}

/// SUBACK says that each filter was granted what was asked for, whatever became of it.
#[derive(Default)]
struct AsAsked {
    asked: BTreeMap<(ConnectionId, u16), Vec<QoS>>,
}

pub(super) fn as_asked() -> Box<dyn Rule> {
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
