//! PUBACK, PUBREC, PUBREL and PUBCOMP: their forms, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, PacketType, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text,
};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{answers, closes, ignores, inward, swallows, through, writes};

pub(super) fn mutants() -> Vec<Mutant> {
    [forms(), accepted(), refused()].into_iter().flatten().collect()
}

/// The acknowledgement in a packet of this type.
pub(super) fn ack_of(packet: &Packet, packet_type: PacketType) -> Option<&PublishAck> {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)
            if packet.packet_type() == packet_type =>
        {
            Some(ack)
        }
        _ => None,
    }
}

/// Overhears acknowledgements of this type for which `which` holds.
fn overhears(packet_type: PacketType, which: fn(&PublishAck) -> bool) -> Rules {
    vec![ignores(move |packet, _| ack_of(packet, packet_type).is_some_and(which))]
}

fn has_reason_string(ack: &PublishAck) -> bool {
    ack.properties.contains(PropertyId::ReasonString)
}

fn has_equal_pairs(ack: &PublishAck) -> bool {
    let pairs: Vec<_> = ack.properties.user_properties().collect();
    pairs.iter().collect::<BTreeSet<_>>().len() < pairs.len()
}

fn forms() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.4/puback-with-equal-pairs-overheard",
            "PUBACK with a User Property that repeats is overheard",
            &["U-3.4.2.2.3-1", "U-4.9-2"],
            || overhears(PacketType::PubAck, has_equal_pairs),
        ),
        Mutant::new(
            "3.5/pubrec-with-reason-string-overheard",
            "PUBREC with a Reason String is overheard",
            &["MQTT-4.3.3-4"],
            || overhears(PacketType::PubRec, has_reason_string),
        ),
        Mutant::new(
            "3.5/pubrec-with-equal-pairs-closes",
            "PUBREC with a User Property that repeats ends the connection",
            &["U-3.5.2.2.3-1"],
            || closed_by(PacketType::PubRec, has_equal_pairs),
        ),
        Mutant::new(
            "3.6/pubrel-with-equal-pairs-closes",
            "PUBREL with a User Property that repeats ends the connection",
            &["U-3.6.2.2.3-1"],
            || closed_by(PacketType::PubRel, has_equal_pairs),
        ),
        Mutant::new(
            "3.6/pubrel-with-reason-string-overheard",
            "PUBREL with a Reason String is overheard",
            &["MQTT-4.3.3-11"],
            || overhears(PacketType::PubRel, has_reason_string),
        ),
        Mutant::new(
            "3.7/pubcomp-with-equal-pairs-overheard",
            "PUBCOMP with a User Property that repeats is overheard",
            &["U-3.7.2.2.3-1", "U-4.9-2"],
            || overhears(PacketType::PubComp, has_equal_pairs),
        ),
        Mutant::new(
            "3.7/pubcomp-with-error-overheard",
            "PUBCOMP 0x92 does not end a delivery",
            &["U-4.9-2"],
            || overhears(PacketType::PubComp, |ack| ack.reason.is_error()),
        ),
    ]
}

/// Closes at acknowledgements of this type for which `which` holds.
fn closed_by(packet_type: PacketType, which: fn(&PublishAck) -> bool) -> Rules {
    vec![closes(move |packet, _| ack_of(packet, packet_type).is_some_and(which))]
}

/// Alters the codes of acknowledgements of this type.
pub(super) fn coded(packet_type: PacketType, from: ReasonCode, to: ReasonCode) -> Rules {
    vec![writes(move |packet, _| {
        let kind = packet.packet_type();
        match packet {
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack)
                if kind == packet_type && ack.reason == from =>
            {
                ack.reason = to;
            }
            _ => {}
        }
    })]
}

fn is_short(publish: &Publish) -> bool {
    !publish.retain && publish.payload.len() == 3
}

/// Of messages at this QoS with as little as three bytes, acknowledges the second on each topic and
/// delivers it to nobody.
fn second_not_delivered(qos: QoS) -> Rules {
    let mut counts: BTreeMap<Text, u32> = BTreeMap::new();
    let mut open: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
    vec![answers(move |packet, at| match packet {
        Packet::Publish(publish) if is_short(publish) && publish.qos == qos => {
            let count = counts.entry(publish.topic.clone()).or_default();
            *count += 1;
            let ack = PublishAck::new(publish.packet_id);
            match (*count == 2, qos) {
                (false, _) => None,
                (true, QoS::ExactlyOnce) => {
                    open.insert((at.connection, publish.packet_id));
                    Some(vec![Packet::PubRec(ack)])
                }
                (true, _) => Some(vec![Packet::PubAck(ack)]),
            }
        }
        Packet::PubRel(ack) if open.remove(&(at.connection, ack.packet_id)) => {
            Some(vec![Packet::PubComp(PublishAck::new(ack.packet_id))])
        }
        _ => None,
    })]
}

const NO_MATCH: ReasonCode = ReasonCode::NoMatchingSubscribers;

fn accepted() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.4/puback-says-nobody",
            "PUBACK says that there are no subscribers where there are",
            &["U-3.4.2.1-3"],
            || coded(PacketType::PubAck, ReasonCode::Success, NO_MATCH),
        ),
        Mutant::new(
            "3.4/second-accepted-and-lost",
            "The second QoS 1 message of three bytes on a topic is acknowledged and lost, if RETAIN is 0",
            &["U-3.4.2.1-2"],
            || second_not_delivered(QoS::AtLeastOnce),
        )
        .also(&["MQTT-4.5.0-1"]),
        Mutant::new(
            "3.4/no-puback-without-subscribers",
            "The second QoS 1 message on a topic without subscribers gets no PUBACK if the one before was delivered",
            &["MQTT-4.3.2-4"],
            second_unanswered,
        ),
        Mutant::new(
            "3.5/pubrec-says-nobody",
            "PUBREC says that there are no subscribers where there are",
            &["U-3.5.2.1-3"],
            || coded(PacketType::PubRec, ReasonCode::Success, NO_MATCH),
        ),
        Mutant::new(
            "3.5/second-accepted-and-lost",
            "The second QoS 2 message of three bytes on a topic is acknowledged and lost, if RETAIN is 0",
            &["U-3.5.2.1-2"],
            || second_not_delivered(QoS::ExactlyOnce),
        )
        .also(&["MQTT-4.5.0-1"]),
        Mutant::new(
            "3.5/no-pubrec-without-subscribers",
            "A QoS 2 message that nobody subscribes to is not answered",
            &["MQTT-4.3.3-8"],
            || lost_answers(PacketType::PubRec),
        ),
    ]
}

/// Loses acknowledgements that say that nobody subscribes.
fn lost_answers(packet_type: PacketType) -> Rules {
    vec![swallows(move |packet, _| {
        ack_of(packet, packet_type).is_some_and(|ack| ack.reason == NO_MATCH)
    })]
}

/// Loses the PUBACK of the second message on a topic, where it says that nobody subscribes.
fn second_unanswered() -> Rules {
    #[derive(Default)]
    struct Unanswered {
        open: BTreeMap<(ConnectionId, u16), Text>,
        counts: BTreeMap<Text, u32>,
        /// Those whose last message was delivered.
        delivered: BTreeSet<ConnectionId>,
    }
    vec![through(
        Unanswered::default(),
        |memory, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos == QoS::AtLeastOnce
            {
                memory.open.insert((at.connection, publish.packet_id), publish.topic.clone());
            }
            act.receive(packet);
        },
        |memory, packet, at, act| {
            let answered = match &packet {
                Packet::PubAck(ack) if ack.reason == NO_MATCH => {
                    memory.open.remove(&(at.connection, ack.packet_id))
                }
                _ => None,
            };
            let count = answered.map(|topic| {
                let count = memory.counts.entry(topic).or_default();
                *count += 1;
                *count
            });
            let is_behind = memory.delivered.remove(&at.connection);
            if matches!(&packet, Packet::PubAck(ack) if ack.reason == ReasonCode::Success) {
                memory.delivered.insert(at.connection);
            }
            if count != Some(2) || !is_behind {
                act.send(packet);
            }
        },
    )]
}

fn refused() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.4/puback-error-keeps-quota",
            "PUBACK with an error does not make room for the next message",
            &["U-4.9-2"],
            || overhears(PacketType::PubAck, |ack| ack.reason.is_error()),
        ),
        Mutant::new(
            "3.4/puback-quota-exceeded-closes",
            "PUBACK 0x97 ends the connection",
            &["U-4.13.2-1"],
            || closed_by(PacketType::PubAck, |ack| ack.reason == ReasonCode::QuotaExceeded),
        ),
        Mutant::new(
            "3.4/puback-error-sent-again",
            "A message that PUBACK refused is sent again on a resume",
            &["MQTT-4.4.0-2"],
            || sends_refused_again(PacketType::PubAck),
        ),
        Mutant::new(
            "3.5/pubrec-error-sent-again",
            "A message that PUBREC refused is sent again on a resume",
            &["MQTT-4.4.0-2"],
            || sends_refused_again(PacketType::PubRec),
        ),
        Mutant::new(
            "3.5/pubrec-quota-exceeded-is-success",
            "PUBREC 0x97 is answered by PUBREL",
            &["U-4.3.3-1", "MQTT-4.3.3-4"],
            || {
                vec![inward(|packet, _, act| {
                    let ack = ack_of(&packet, PacketType::PubRec);
                    let id = ack.filter(|ack| ack.reason == ReasonCode::QuotaExceeded);
                    let id = id.map(|ack| ack.packet_id);
                    act.receive(packet);
                    if let Some(id) = id {
                        act.send(Packet::PubRel(PublishAck::new(id)));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.5/pubrec-error-keeps-quota",
            "PUBREC with an error does not make room for the next message",
            &["U-4.9-2", "U-4.3.3-1"],
            || overhears(PacketType::PubRec, |ack| ack.reason.is_error()),
        ),
    ]
}

#[derive(Default)]
struct Refused {
    open: BTreeMap<(ConnectionId, u16), Publish>,
    /// By Client Identifier.
    refused: BTreeMap<Text, Vec<Publish>>,
}

/// Sends what acknowledgements of this type have refused again when its client resumes.
fn sends_refused_again(packet_type: PacketType) -> Rules {
    vec![through(
        Refused::default(),
        move |memory, packet, at, act| {
            if let (Some(ack), Some(client)) = (ack_of(&packet, packet_type), at.client())
                && ack.reason.is_error()
                && let Some(publish) = memory.open.remove(&(at.connection, ack.packet_id))
            {
                memory.refused.entry(client.id.clone()).or_default().push(publish);
            }
            act.receive(packet);
        },
        |memory, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                memory.open.insert((at.connection, publish.packet_id), publish.clone());
            }
            let resumes = matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
            act.send(packet);
            let client = at.client().filter(|_| resumes).map(|client| &client.id);
            let refused = client.and_then(|client| memory.refused.remove(client));
            refused.into_iter().flatten().for_each(|publish| act.send(publish.dup()));
        },
    )]
}
