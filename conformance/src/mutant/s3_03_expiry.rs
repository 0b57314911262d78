//! Message Expiry Interval.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, Text,
};
use reference_broker::core::{ConnectionId, Moment};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::messages::{
    Cause, Key, delivered_for, key, loses, published, remembers,
};
use crate::boundary::rules::{answers, through};

pub(super) fn mutants() -> Vec<Mutant> {
    [interval(), expired(), exchanges()].into_iter().flatten().collect()
}

const INTERVAL: PropertyId = PropertyId::MessageExpiryInterval;

fn interval_of(publish: &Publish) -> Option<u32> {
    publish.properties.number(INTERVAL)
}

/// Alters intervals as they come in.
fn taken_as(alter: fn(u32) -> u32) -> Rules {
    vec![published(move |publish, _| {
        if let Some(interval) = interval_of(publish) {
            publish.properties.set(INTERVAL, alter(interval));
        }
    })]
}

/// Sends messages that waited for this cause with the interval they came with.
fn not_counted_down(waited: Cause) -> Rules {
    vec![remembers(
        BTreeMap::<Key, u32>::new(),
        |intervals, packet, _| {
            if let Packet::Publish(publish) = packet
                && let Some(interval) = interval_of(publish)
            {
                intervals.insert(key(publish), interval);
            }
        },
        move |intervals, mut publish, cause, _, act| {
            let interval = intervals.get(&key(&publish)).filter(|_| cause == waited);
            if let Some(interval) = interval {
                publish.properties.set(INTERVAL, *interval);
            }
            act.send(publish);
        },
    )]
}

fn interval() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/expiry-signed",
            "Message Expiry Intervals are cut at the largest signed number",
            &["MQTT-3.3.2-6"],
            || taken_as(|interval| interval.min(i32::MAX as u32)),
        ),
        Mutant::new(
            "3.3/expiry-in-milliseconds",
            "Message Expiry Intervals are kept in milliseconds, in 32 bits",
            &["MQTT-3.3.2-6"],
            || taken_as(|interval| interval.wrapping_mul(1000) / 1000),
        ),
        Mutant::new(
            "3.3/expiry-zero-for-ever",
            "A Message Expiry Interval of 0 is taken for the longest",
            &["MQTT-3.3.2-6"],
            || taken_as(|interval| if interval == 0 { u32::MAX } else { interval }),
        ),
        Mutant::new(
            "3.3/expiry-not-counted-down",
            "Messages that waited come with the Message Expiry Interval they were published with",
            &["MQTT-3.3.2-6"],
            || not_counted_down(Cause::Resume),
        ),
        Mutant::new(
            "3.3/expiry-of-retained-not-counted-down",
            "Retained messages come with the Message Expiry Interval they were published with",
            &["MQTT-3.3.2-6"],
            || not_counted_down(Cause::Subscribe),
        ),
        Mutant::new(
            "3.3/expiry-nearly-over-left-out",
            "Messages that waited until their last second come without Message Expiry Interval",
            &["MQTT-3.3.2-6"],
            || {
                vec![delivered_for(Cause::Resume, |publish, _| {
                    if interval_of(publish).is_some_and(|left| left <= 1) {
                        publish.properties.retain(|property| property.id != INTERVAL);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/expiry-by-default",
            "A message without Message Expiry Interval expires after two seconds",
            &["U-3.3.2.3.3-1"],
            || {
                vec![published(|publish, _| {
                    if !publish.retain && interval_of(publish).is_none() {
                        publish.properties.push(INTERVAL, 2);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/expiry-sticks",
            "A message without Message Expiry Interval comes with that of the one before",
            &["U-3.3.2.3.3-1"],
            || {
                vec![remembers(
                    BTreeMap::<ConnectionId, u32>::new(),
                    |_, _, _| (),
                    |last, mut publish, _, at, act| {
                        match (interval_of(&publish), last.get(&at.connection)) {
                            (Some(own), _) => drop(last.insert(at.connection, own)),
                            (None, Some(before)) => publish.properties.push(INTERVAL, *before),
                            (None, None) => {}
                        }
                        act.send(publish);
                    },
                )]
            },
        ),
    ]
}

/// How much longer some messages live than they should.
const LONGER: u32 = 10;

/// Lets messages live longer than they say, if `which` holds.
fn live_longer(which: fn(&Publish) -> bool) -> Rules {
    vec![through(
        BTreeSet::<Key>::new(),
        move |longer, mut packet, _, act| {
            if let Packet::Publish(publish) = &mut packet
                && let Some(interval) = interval_of(publish)
                && which(publish)
            {
                publish.properties.set(INTERVAL, interval.saturating_add(LONGER));
                longer.insert(key(publish));
            }
            act.receive(packet);
        },
        |longer, mut packet, _, act| {
            if let Packet::Publish(publish) = &mut packet
                && longer.contains(&key(publish))
                && let Some(left) = interval_of(publish)
            {
                publish.properties.set(INTERVAL, left.saturating_sub(LONGER));
            }
            act.send(packet);
        },
    )]
}

/// What a queue that is only looked at from its head knows of messages: when they end.
#[derive(Default)]
struct Head {
    ends: BTreeMap<Key, (Moment, u32)>,
    /// Clients whose head has not expired.
    passed: BTreeSet<ConnectionId>,
}

/// Drops expired messages only up to the first one that has not expired.
fn dropped_at_head() -> Rules {
    vec![remembers(
        Head::default(),
        |head, packet, at| {
            if let Packet::Publish(publish) = packet
                && let Some(interval) = interval_of(publish).filter(|_| !publish.retain)
            {
                head.ends.insert(key(publish), (at.now, interval));
                publish.properties.retain(|property| property.id != INTERVAL);
            }
        },
        |head, mut publish, cause, at, act| {
            let Some((since, interval)) = head.ends.get(&key(&publish)).copied() else {
                return act.send(publish);
            };
            let waited = u32::try_from((at.now.0 - since.0) / 1000).unwrap_or(u32::MAX);
            let is_expired = waited >= interval.max(1) && !publish.dup;
            if is_expired && !(cause == Cause::Resume && head.passed.contains(&at.connection)) {
                return act.settle(&publish);
            }
            head.passed.insert(at.connection);
            publish.properties.push(INTERVAL, interval.saturating_sub(waited));
            act.send(publish);
        },
    )]
}

fn expired() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/expiry-late",
            "Messages expire ten seconds after their time, unless they are retained",
            &["MQTT-3.3.2-5"],
            || live_longer(|publish| !publish.retain),
        ),
        Mutant::new(
            "3.3/expiry-late-at-qos-2",
            "Messages at QoS 2 expire ten seconds after their time",
            &["MQTT-3.3.2-5"],
            || live_longer(|publish| !publish.retain && publish.qos == QoS::ExactlyOnce),
        ),
        Mutant::new(
            "3.3/expiry-at-head-only",
            "Messages that expire behind one that has not expired are delivered",
            &["MQTT-3.3.2-5"],
            dropped_at_head,
        ),
        Mutant::new(
            "3.3/expiry-of-retained-late",
            "Retained messages expire ten seconds after their time",
            &["U-3.3.1.3-4"],
            || live_longer(|publish| publish.retain),
        ),
        Mutant::new(
            "3.3/expiry-brings-back-replaced",
            "When a retained message expires, the one that it replaced is back",
            &["U-3.3.1.3-4"],
            brings_back,
        ),
    ]
}

/// A retained message, when it ends, and what it replaced.
struct Kept {
    publish: Publish,
    end: Moment,
    replaced: Option<Publish>,
}

fn brings_back() -> Rules {
    vec![through(
        (BTreeMap::<Text, Kept>::new(), Vec::<Text>::new()),
        |(kept, asked), packet, at, act| {
            match &packet {
                Packet::Publish(publish) if publish.retain => {
                    let seconds = interval_of(publish).map_or(u64::MAX / 2000, u64::from);
                    let end = Moment(at.now.0 + seconds * 1000);
                    let replaced = kept.remove(&publish.topic).map(|before| before.publish);
                    let now = Kept { publish: publish.clone(), end, replaced };
                    kept.insert(publish.topic.clone(), now);
                }
                Packet::Subscribe(Subscribe { subscriptions, .. }) => {
                    *asked = subscriptions.iter().map(|it| it.filter.clone()).collect();
                }
                _ => {}
            }
            act.receive(packet);
        },
        |(kept, asked), packet, at, act| {
            let suback = matches!(packet, Packet::SubAck(_));
            act.send(packet);
            let asked = if suback { std::mem::take(asked) } else { Vec::new() };
            let back = asked.iter().filter_map(|topic| kept.get(topic));
            for before in
                back.filter(|kept| kept.end <= at.now).filter_map(|it| it.replaced.clone())
            {
                act.send(before.qos(QoS::AtMostOnce, 0));
            }
        },
    )]
}

/// Loses messages that are sent again after their time, at this QoS.
fn not_sent_again(qos: QoS) -> Rules {
    vec![loses(move |publish, _| {
        publish.dup && publish.qos == qos && interval_of(publish) == Some(0)
    })]
}

/// When the QoS 2 messages of clients end, by client and Packet Identifier, and who comes back now.
#[derive(Default)]
struct Ends {
    of: BTreeMap<(Text, u16), Moment>,
    back: Option<ConnectionId>,
}

/// Ends all exchanges of messages that have expired when their client comes back.
fn nothing_sent_again() -> Rules {
    vec![through(
        Ends::default(),
        |ends, packet, _, act| {
            ends.back = None;
            act.receive(packet);
        },
        |ends, packet, at, act| match &packet {
            Packet::ConnAck(connack) => {
                ends.back = connack.session_present.then_some(at.connection);
                act.send(packet);
            }
            Packet::Publish(publish) if publish.dup && interval_of(publish) == Some(0) => {
                act.settle(publish);
            }
            Packet::Publish(publish) => {
                let key = (at.id(), publish.packet_id);
                match interval_of(publish).filter(|_| publish.qos == QoS::ExactlyOnce) {
                    Some(left) => {
                        ends.of.insert(key, Moment(at.now.0 + u64::from(left) * 1000));
                    }
                    None => drop(ends.of.remove(&key)),
                }
                act.send(packet);
            }
            Packet::PubRel(ack) if ends.back == Some(at.connection) => {
                match ends.of.get(&(at.id(), ack.packet_id)) {
                    Some(end) if *end <= at.now => {
                        act.receive(Packet::PubComp(PublishAck::new(ack.packet_id)));
                    }
                    _ => act.send(packet),
                }
            }
            _ => act.send(packet),
        },
    )]
}

fn exchanges() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/expiry-stops-resending",
            "A QoS 1 message that was sent and then expired is not sent again",
            &["MQTT-4.4.0-1"],
            || not_sent_again(QoS::AtLeastOnce),
        ),
        Mutant::new(
            "3.3/expiry-stops-resending-at-qos-2",
            "A QoS 2 message that was sent and then expired is not sent again",
            &["MQTT-4.3.3-7"],
            || not_sent_again(QoS::ExactlyOnce),
        ),
        Mutant::new(
            "3.3/expiry-stops-all-resending",
            "What was sent and then expired is not sent again: neither its PUBLISH nor its PUBREL",
            &["MQTT-4.4.0-1", "MQTT-4.3.3-7"],
            nothing_sent_again,
        ),
        Mutant::new(
            "3.3/expiry-ends-exchange",
            "PUBREL for a message that has expired is answered as if it had never come",
            &["MQTT-4.3.3-13"],
            || {
                let mut ends: BTreeMap<(ConnectionId, u16), Moment> = BTreeMap::new();
                vec![answers(move |packet, at| match packet {
                    Packet::Publish(publish) => {
                        let id = (at.connection, publish.packet_id);
                        let end = interval_of(publish).filter(|_| publish.qos == QoS::ExactlyOnce);
                        match end {
                            Some(seconds) => {
                                ends.insert(id, Moment(at.now.0 + u64::from(seconds) * 1000));
                            }
                            None => drop(ends.remove(&id)),
                        }
                        None
                    }
                    Packet::PubRel(ack) => {
                        let end = ends.remove(&(at.connection, ack.packet_id))?;
                        let reason = ReasonCode::PacketIdentifierNotFound;
                        let answer = PublishAck::because(ack.packet_id, reason);
                        (end <= at.now).then(|| vec![Packet::PubComp(answer)])
                    }
                    _ => None,
                })]
            },
        ),
    ]
}
