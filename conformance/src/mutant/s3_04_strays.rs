//! PUBACK, PUBREC, PUBREL and PUBCOMP that answer nothing, are of the wrong kind, or come again.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};
use reference_broker::core::ConnectionId;

use super::Mutant;
use super::s3_04_acknowledgements::{ack_of, coded};
use crate::boundary::Rules;
use crate::boundary::rules::{Act, At, ignores, inward, swallows, through};

pub(super) fn mutants() -> Vec<Mutant> {
    [unknown(), of_wrong_kind(), repeated()].into_iter().flatten().collect()
}

/// The messages that are on their way to each client, as far as it has not answered them, in the
/// order of their identifiers.
type Unanswered = BTreeMap<(ConnectionId, u16), Publish>;

/// Goes through packets from clients, given what is on its way to them.
fn with_unanswered(
    mut rule: impl FnMut(&mut Unanswered, Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Rules {
    vec![through(
        Unanswered::new(),
        move |open, packet, at, act| rule(open, packet, at, act),
        |open, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos > QoS::AtMostOnce
            {
                open.insert((at.connection, publish.packet_id), publish.clone());
            }
            act.send(packet);
        },
    )]
}

/// Ends the exchange of a message for the broker.
fn end(act: &mut Act<'_, '_>, publish: &Publish) {
    let error = PublishAck::because(publish.packet_id, ReasonCode::UnspecifiedError);
    match publish.qos {
        QoS::ExactlyOnce => act.receive(Packet::PubRec(error)),
        _ => act.receive(Packet::PubAck(error)),
    }
}

/// Lets acknowledgements of this type, for nothing that was sent, end the first open delivery.
fn unknown_ends(packet_type: PacketType) -> Rules {
    with_unanswered(move |open, packet, at, act| {
        let ack = ack_of(&packet, packet_type);
        let known = ack.is_none_or(|ack| open.contains_key(&(at.connection, ack.packet_id)));
        let own = (at.connection, 0)..=(at.connection, u16::MAX);
        let first = open.range(own).next().map(|(key, publish)| (*key, publish.clone()));
        if let Some((key, publish)) = first.filter(|_| !known) {
            open.remove(&key);
            return end(act, &publish);
        }
        if let Some(ack) = ack {
            open.remove(&(at.connection, ack.packet_id));
        }
        act.receive(packet);
    })
}

fn unknown() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.4/unknown-puback-acknowledges",
            "PUBACK for nothing that was sent acknowledges the first message on its way",
            &["MQTT-4.3.2-3", "U-4.9-3"],
            || unknown_ends(PacketType::PubAck),
        ),
        Mutant::new(
            "3.4/unknown-pubcomp-raises-quota",
            "PUBCOMP for nothing that was sent makes room for another message",
            &["U-4.9-3"],
            || unknown_ends(PacketType::PubComp),
        ),
        Mutant::new(
            "3.5/unknown-pubrec-succeeds",
            "PUBREC for nothing that was sent is answered by PUBREL 0x00",
            &["U-3.6.2.1-3"],
            || {
                let unknown = ReasonCode::PacketIdentifierNotFound;
                coded(PacketType::PubRel, unknown, ReasonCode::Success)
            },
        ),
        Mutant::new(
            "3.5/unknown-pubrec-stops-delivery",
            "After PUBREC for nothing that was sent a client is sent no message",
            &["MQTT-4.5.0-1"],
            || {
                let mut stopped: BTreeSet<ConnectionId> = BTreeSet::new();
                vec![swallows(move |packet, at| {
                    let ack = ack_of(packet, PacketType::PubRel);
                    if ack.is_some_and(|ack| ack.reason.is_error()) {
                        stopped.insert(at.connection);
                    }
                    matches!(packet, Packet::Publish(_)) && stopped.contains(&at.connection)
                })]
            },
        ),
        Mutant::new(
            "3.6/unknown-pubrel-succeeds",
            "PUBREL for an identifier that is not open is answered by PUBCOMP 0x00",
            &["U-3.7.2.1-3"],
            || {
                let unknown = ReasonCode::PacketIdentifierNotFound;
                coded(PacketType::PubComp, unknown, ReasonCode::Success)
            },
        ),
        Mutant::new(
            "3.6/unknown-pubrel-overheard",
            "PUBREL for an identifier that is not open is not answered",
            &["MQTT-4.3.3-11"],
            || {
                vec![swallows(|packet, _| {
                    ack_of(packet, PacketType::PubComp).is_some_and(|ack| ack.reason.is_error())
                })]
            },
        ),
    ]
}

/// Lets acknowledgements of this type end deliveries at a QoS that they are not for.
fn wrong_kind_ends(packet_type: PacketType, qos: QoS) -> Rules {
    with_unanswered(move |open, packet, at, act| {
        let key = ack_of(&packet, packet_type).map(|ack| (at.connection, ack.packet_id));
        if let Some(key) = key
            && open.get(&key).is_some_and(|publish| publish.qos == qos)
            && let Some(publish) = open.remove(&key)
        {
            return end(act, &publish);
        }
        if let Packet::PubRec(ack) = &packet {
            open.remove(&(at.connection, ack.packet_id));
        }
        act.receive(packet);
    })
}

fn of_wrong_kind() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.4/puback-ends-qos-2",
            "PUBACK ends a delivery at QoS 2",
            &["MQTT-4.3.3-3"],
            || wrong_kind_ends(PacketType::PubAck, QoS::ExactlyOnce),
        ),
        Mutant::new(
            "3.5/pubrec-ends-qos-1",
            "PUBREC ends a delivery at QoS 1",
            &["MQTT-4.3.2-3"],
            || wrong_kind_ends(PacketType::PubRec, QoS::AtLeastOnce),
        ),
        Mutant::new(
            "3.7/pubcomp-ends-unreceived",
            "PUBCOMP ends a delivery at QoS 2 that no PUBREC has answered",
            &["MQTT-4.3.3-3"],
            || wrong_kind_ends(PacketType::PubComp, QoS::ExactlyOnce),
        ),
    ]
}

fn repeated() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.5/second-pubrec-sends-again",
            "A second PUBREC is answered by the message once more",
            &["MQTT-4.3.3-6"],
            || {
                let mut recorded: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
                with_unanswered(move |open, packet, at, act| {
                    let key = ack_of(&packet, PacketType::PubRec);
                    let key = key.map(|ack| (at.connection, ack.packet_id));
                    let done = ack_of(&packet, PacketType::PubComp);
                    if let Some(done) = done {
                        recorded.remove(&(at.connection, done.packet_id));
                    }
                    let again = key.filter(|key| !recorded.insert(*key));
                    act.receive(packet);
                    if let Some(publish) = again.and_then(|key| open.get(&key)) {
                        act.send(publish.clone().dup());
                    }
                })
            },
        ),
        Mutant::new(
            "3.5/second-pubrec-ends-delivery",
            "After a second PUBREC a delivery cannot be completed",
            &["U-4.9-2"],
            || {
                let mut recorded: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
                let mut twice: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
                vec![ignores(move |packet, at| {
                    let key = |ack: &PublishAck| (at.connection, ack.packet_id);
                    if let Some(key) = ack_of(packet, PacketType::PubRec).map(key)
                        && !recorded.insert(key)
                    {
                        twice.insert(key);
                    }
                    ack_of(packet, PacketType::PubComp).map(key).is_some_and(|key| {
                        recorded.remove(&key);
                        twice.contains(&key)
                    })
                })]
            },
        ),
        Mutant::new(
            "3.6/pubrel-answered-once",
            "PUBREL that comes again is not answered",
            &["MQTT-4.3.3-11"],
            || {
                let mut released: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
                vec![ignores(move |packet, at| {
                    if let Packet::Publish(publish) = packet {
                        released.remove(&(at.connection, publish.packet_id));
                    }
                    let ack = ack_of(packet, PacketType::PubRel);
                    ack.is_some_and(|ack| !released.insert((at.connection, ack.packet_id)))
                })]
            },
        ),
        Mutant::new(
            "3.6/pubrel-delivers-again",
            "PUBREL that comes again delivers the message again",
            &["MQTT-4.3.3-10"],
            pubrel_delivers_again,
        ),
    ]
}

fn pubrel_delivers_again() -> Rules {
    let mut held: BTreeMap<(ConnectionId, u16), (Publish, bool)> = BTreeMap::new();
    vec![inward(move |packet, at, act| {
        if let Packet::Publish(publish) = &packet
            && publish.qos == QoS::ExactlyOnce
        {
            held.insert((at.connection, publish.packet_id), (publish.clone(), false));
        }
        let ack = ack_of(&packet, PacketType::PubRel);
        let known = ack.and_then(|ack| held.get_mut(&(at.connection, ack.packet_id)));
        // Released under the same identifier again, as if it had just come.
        if let Some((publish, released)) = known
            && std::mem::replace(released, true)
        {
            act.receive(publish.clone().qos(QoS::AtMostOnce, 0));
        }
        act.receive(packet);
    })]
}
