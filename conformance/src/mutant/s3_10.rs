//! UNSUBSCRIBE and UNSUBACK.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, PacketType, PropertyId, PublishAck, QoS, ReasonCode, Side, Subscribe, SubscribeAck,
    Text, Unsubscribe,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use super::s3_01_limits::is_oversized;
use crate::boundary::rules::{FORGED, closes, endures, forges, reads, swallows, through, writes};
use crate::boundary::{Boundary, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    [unsubscribe(), unsuback()].into_iter().flatten().collect()
}

fn unsubscribe() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.10/ends-nothing",
            "UNSUBSCRIBE succeeds and ends nothing on a topic where its client and another have had one message",
            &["MQTT-3.10.4-2", "U-3.11.3-1"],
            || vec![keeps_used_topics()],
        )
        .also(&["MQTT-3.10.4-1", "U-2.4-1"]),
        Mutant::new(
            "3.10/ends-for-all-clients",
            "UNSUBSCRIBE ends the subscriptions of all clients to the filter",
            &["MQTT-3.10.4-1"],
            || vec![ends_also(|_, given, held| given == held)],
        ),
        Mutant::new(
            "3.10/ends-what-matches",
            "UNSUBSCRIBE with a wildcard ends the subscriptions that its filter matches too",
            &["MQTT-3.10.4-1"],
            || vec![ends_also(|own, given, held| own && matches_last_level(given, held))],
        ),
        Mutant::new(
            "3.10/case-ignored",
            "UNSUBSCRIBE ends the subscriptions whose filters differ in case too",
            &["MQTT-3.10.4-1"],
            || vec![ends_also(|own, given, held| own && given.eq_ignore_ascii_case(held))],
        ),
        Mutant::new(
            "3.10/overlapping-filter-goes-too",
            "UNSUBSCRIBE from a topic ends the subscriptions by wildcard that match it too",
            &["MQTT-3.10.4-1"],
            || vec![ends_also(|own, given, held| own && matches_last_level(held, given))],
        ),
        Mutant::new(
            "3.10/plain-ends-shared",
            "UNSUBSCRIBE ends plain and shared subscriptions to the same filter alike",
            &["U-3.10.4-2", "MQTT-3.10.4-1"],
            || vec![ends_also(|own, given, held| own && unshared(given) == unshared(held))],
        ),
        Mutant::new(
            "3.10/back-after-resume",
            "What UNSUBSCRIBE ended is back when the session is resumed",
            &["MQTT-3.10.4-1", "U-4.1-4"],
            || vec![back_after_resume()],
        ),
        Mutant::new(
            "3.10/deliveries-cut-short",
            "UNSUBSCRIBE ends the deliveries under way: what is not acknowledged counts as if it were",
            &["MQTT-3.10.4-3"],
            || vec![Box::new(CutShort::default())],
        ),
        Mutant::new(
            "3.10/ill-formed-filter-overlooked",
            "An UNSUBSCRIBE with a filter that is no UTF-8 is overlooked",
            &["MQTT-3.10.3-1"],
            || {
                vec![endures(|kind, error| {
                    let forbids = error.fault.requirement(Side::Client);
                    kind == Some(PacketType::Unsubscribe) && forbids == "MQTT-1.5.4-1"
                })]
            },
        )
        .also(&["MQTT-4.13.1-1"]),
    ]
}

fn unsuback() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.11/codes-reversed",
            "The codes of an UNSUBACK are in reverse order",
            &["MQTT-3.11.3-1"],
            || vec![writes_unsuback(|unsuback| unsuback.reasons.reverse())],
        ),
        Mutant::new(
            "3.11/one-code",
            "An UNSUBACK has one code whatever the number of filters",
            &["MQTT-3.10.4-6"],
            || vec![writes_unsuback(|unsuback| unsuback.reasons.truncate(1))],
        ),
        Mutant::new(
            "3.11/at-most-64-codes",
            "An UNSUBACK has 64 codes at most",
            &["MQTT-3.10.4-6"],
            || vec![writes_unsuback(|unsuback| unsuback.reasons.truncate(64))],
        ),
        Mutant::new(
            "3.11/first-filter-only",
            "Of the filters of an UNSUBSCRIBE only the first is ended, and all are said to be",
            &["MQTT-3.10.4-6", "U-3.11.3-1"],
            || {
                vec![
                    reads_unsubscribe(|it| {
                        it.filters.iter_mut().skip(1).for_each(|it| *it = "no/such".into());
                    }),
                    writes_unsuback(|it| it.reasons.fill(ReasonCode::Success)),
                ]
            },
        ),
        Mutant::new(
            "3.11/unknown-filter-unanswered",
            "An UNSUBSCRIBE from one filter that is not subscribed to is not answered",
            &["MQTT-3.10.4-5"],
            || {
                vec![swallows(|packet, _| match packet {
                    Packet::UnsubAck(it) => it.reasons == [ReasonCode::NoSubscriptionExisted],
                    _ => false,
                })]
            },
        ),
        Mutant::new(
            "3.11/unknown-filter-closes",
            "An UNSUBSCRIBE whose first filter is not subscribed to closes the connection",
            &["MQTT-3.10.4-5"],
            || {
                let mut held = BTreeSet::new();
                vec![closes(move |packet, _| match packet {
                    Packet::Subscribe(it) => {
                        held.extend(it.subscriptions.iter().map(|it| it.filter.clone()));
                        false
                    }
                    Packet::Unsubscribe(it) => {
                        it.filters.first().is_some_and(|it| !held.contains(it))
                    }
                    _ => false,
                })]
            },
        ),
        Mutant::new(
            "3.11/identifier-swapped",
            "The Packet Identifier of an UNSUBACK has its bytes swapped if it is above 255",
            &["MQTT-3.10.4-5"],
            || {
                vec![writes_unsuback(|it| {
                    if it.packet_id > 0xFF {
                        it.packet_id = it.packet_id.swap_bytes();
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-6"]),
        Mutant::new(
            "3.11/unanswered-at-once",
            "Of consecutive UNSUBSCRIBE packets that end something only the first is answered",
            &["MQTT-3.10.4-4"],
            || vec![answers_first_of_row()],
        ),
        Mutant::new(
            "3.11/property-beyond-limit",
            "An UNSUBACK has a User Property if that makes it larger than its client takes",
            &["MQTT-3.11.2-2"],
            || {
                vec![outgrows(|it| {
                    it.properties.push(PropertyId::UserProperty, ("name", "value"));
                })]
            },
        ),
        Mutant::new(
            "3.11/reason-beyond-limit",
            "An UNSUBACK has a Reason String if that makes it larger than its client takes",
            &["MQTT-3.11.2-1"],
            || vec![outgrows(|it| it.properties.set(PropertyId::ReasonString, "ended"))],
        ),
    ]
}

/// Says of topics that their client has had one message on, and others too, that they were ended.
fn keeps_used_topics() -> Box<dyn Rule> {
    through(
        BTreeMap::<Text, BTreeMap<ConnectionId, u32>>::new(),
        |used, packet, at, act| {
            let is_one = |counts: &BTreeMap<ConnectionId, u32>| {
                counts.len() > 1 && counts.get(&at.connection) == Some(&1)
            };
            match &packet {
                Packet::Unsubscribe(it)
                    if it.filters.iter().any(|it| used.get(it).is_some_and(is_one)) =>
                {
                    let reasons = vec![ReasonCode::Success; it.filters.len()];
                    act.send(Packet::UnsubAck(SubscribeAck::new(it.packet_id, reasons)));
                }
                _ => act.receive(packet),
            }
        },
        |used, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                let counts = used.entry(publish.topic.clone()).or_default();
                *counts.entry(at.connection).or_default() += 1;
            }
            act.send(packet);
        },
    )
}

fn reads_unsubscribe(alter: impl Fn(&mut Unsubscribe) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, _| {
        if let Packet::Unsubscribe(unsubscribe) = packet {
            alter(unsubscribe);
        }
    })
}

fn writes_unsuback(alter: impl Fn(&mut SubscribeAck) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, _| {
        if let Packet::UnsubAck(unsuback) = packet {
            alter(unsuback);
        }
    })
}

/// Alters UNSUBACK packets that are too large for their clients then, and were not before.
fn outgrows(alter: impl Fn(&mut SubscribeAck) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, at| {
        let mut larger = packet.clone();
        if let Packet::UnsubAck(unsuback) = &mut larger {
            alter(unsuback);
        }
        if !is_oversized(packet, at) && is_oversized(&larger, at) {
            *packet = larger;
        }
    })
}

/// Carries UNSUBSCRIBE out and does not say so, if the client has sent nothing since the last one.
fn answers_first_of_row() -> Box<dyn Rule> {
    through(
        (BTreeSet::<ConnectionId>::new(), BTreeSet::<(ConnectionId, u16)>::new()),
        |(last, again), packet, at, act| {
            match &packet {
                Packet::Unsubscribe(it) if !last.insert(at.connection) => {
                    again.insert((at.connection, it.packet_id));
                }
                Packet::Unsubscribe(_) => {}
                _ => _ = last.remove(&at.connection),
            }
            act.receive(packet);
        },
        |(_, again), packet, at, act| match &packet {
            Packet::UnsubAck(it)
                if again.remove(&(at.connection, it.packet_id))
                    && it.reasons.contains(&ReasonCode::Success) => {}
            _ => act.send(packet),
        },
    )
}

/// The filter of a shared subscription, or a plain filter as it is.
fn unshared(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |it| it.1)
}

/// Whether a filter whose last level is a wildcard matches a topic, level by level.
fn matches_last_level(filter: &str, topic: &str) -> bool {
    let parents = filter.strip_suffix(['+', '#']).and_then(|parent| topic.strip_prefix(parent));
    parents.is_some_and(|last| filter.ends_with('#') || !last.contains('/')) && filter != topic
}

/// UNSUBSCRIBE ends more subscriptions than it names: those of which `which` is true, given whether
/// they are its client's own, the filter named and the filter held.
fn ends_also(which: fn(bool, &str, &str) -> bool) -> Box<dyn Rule> {
    let mut held: BTreeMap<ConnectionId, BTreeSet<Text>> = BTreeMap::new();
    forges(move |packet, at, act| {
        match &packet {
            Packet::Subscribe(it) => {
                let filters = it.subscriptions.iter().map(|it| it.filter.clone());
                held.entry(at.connection).or_default().extend(filters);
            }
            Packet::Unsubscribe(it) => {
                for (holder, held) in &held {
                    let own = *holder == at.connection;
                    let is_meant = |filter: &&Text| {
                        it.filters.iter().any(|given| which(own, given, filter))
                            && !(own && it.filters.contains(filter))
                    };
                    for filter in held.iter().filter(is_meant) {
                        let more = Unsubscribe::new(FORGED, filter.clone());
                        act.boundary.pass(Input::Received(*holder, more.into()));
                    }
                }
            }
            _ => {}
        }
        act.receive(packet);
    })
}

/// What UNSUBSCRIBE ended is subscribed to again when its client resumes.
fn back_after_resume() -> Box<dyn Rule> {
    let mut ended: BTreeMap<Text, Vec<Text>> = BTreeMap::new();
    forges(move |packet, at, act| {
        let again = match &packet {
            Packet::Unsubscribe(it) => {
                ended.insert(at.id(), it.filters.clone());
                None
            }
            Packet::Connect(it) if !it.clean_start => ended.remove(&it.client_id),
            _ => None,
        };
        act.receive(packet);
        for filter in again.into_iter().flatten() {
            act.receive(Subscribe::new(FORGED, filter, QoS::AtLeastOnce));
        }
    })
}

/// At UNSUBSCRIBE the broker takes what it has under way to the client for acknowledged.
#[derive(Default)]
struct CutShort {
    /// Identifiers of what was sent and is not settled, and the packet that would settle it.
    under_way: BTreeMap<(ConnectionId, u16), PacketType>,
}

impl CutShort {
    fn settle(&mut self, id: ConnectionId, boundary: &mut Boundary<'_>) {
        let (own, others) =
            std::mem::take(&mut self.under_way).into_iter().partition(|it| it.0.0 == id);
        self.under_way = others;
        let own: BTreeMap<_, _> = own;
        for ((_, packet_id), settles) in own {
            let ack = PublishAck::new(packet_id);
            let ack = match settles {
                PacketType::PubRec => {
                    Packet::PubRec(PublishAck { reason: ReasonCode::UnspecifiedError, ..ack })
                }
                PacketType::PubComp => Packet::PubComp(ack),
                _ => Packet::PubAck(ack),
            };
            boundary.pass(Input::Received(id, ack));
        }
    }
}

impl Rule for CutShort {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        if let Input::Received(id, packet) = &input {
            match packet {
                Packet::Unsubscribe(_) => self.settle(*id, boundary),
                Packet::PubAck(it) | Packet::PubComp(it) => {
                    self.under_way.remove(&(*id, it.packet_id));
                }
                Packet::PubRec(it) => {
                    if let Some(settles) = self.under_way.get_mut(&(*id, it.packet_id)) {
                        *settles = PacketType::PubComp;
                    }
                }
                _ => {}
            }
        }
        boundary.pass(input);
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        if let Output::Send(id, Packet::Publish(publish)) = &output {
            let settles = match publish.qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some(PacketType::PubAck),
                QoS::ExactlyOnce => Some(PacketType::PubRec),
            };
            self.under_way.extend(settles.map(|it| ((*id, publish.packet_id), it)));
        }
        boundary.emit(output);
    }
}
