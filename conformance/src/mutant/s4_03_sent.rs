//! Quality of Service, the broker as sender.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use reference_broker::codec::{Packet, PropertyId, PublishAck, QoS, ReasonCode};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{ignores, loses_publish, reads, through, writes_publish};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = exchanges();
    all.extend(independence());
    all
}

fn exchanges() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.3/identifiers-counted-apart",
            "QoS 1 messages have Packet Identifiers of a count of their own beside those of QoS 2",
            &["MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            identifiers_counted_apart,
        ),
        Mutant::new(
            "4.3/pubrel-lost-after-reason-string",
            "PUBREC with a property is not answered",
            &["MQTT-4.3.3-4"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::PubRec(ack) if !ack.properties.is_empty()),
                )]
            },
        ),
        Mutant::new(
            "4.3/quota-error-taken-for-success",
            "PUBREC with 0x97 is answered by PUBREL",
            &["MQTT-4.3.3-4", "U-4.3.3-1"],
            || {
                vec![reads(|packet, _| {
                    if let Packet::PubRec(ack) = packet
                        && ack.reason == ReasonCode::QuotaExceeded
                    {
                        ack.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
        Mutant::new(
            "4.3/pubcomp-in-order-only",
            "PUBCOMP counts only for the oldest exchange that waits for one",
            &["MQTT-4.4.0-1", "MQTT-4.3.3-5"],
            pubcomp_in_order_only,
        ),
        Mutant::new(
            "4.3/pubrec-ends-qos1",
            "PUBREC acknowledges a QoS 1 message",
            &["MQTT-4.3.2-3"],
            || {
                acknowledges(QoS::AtLeastOnce, |packet| match packet {
                    Packet::PubRec(ack) => Packet::PubAck(ack),
                    packet => packet,
                })
            },
        ),
        Mutant::new(
            "4.3/puback-ends-qos2",
            "PUBACK acknowledges a QoS 2 message",
            &["MQTT-4.3.3-3"],
            || {
                acknowledges(QoS::ExactlyOnce, |packet| match packet {
                    Packet::PubAck(ack) => {
                        let reason = ReasonCode::UnspecifiedError;
                        Packet::PubRec(PublishAck::because(ack.packet_id, reason))
                    }
                    packet => packet,
                })
            },
        ),
        Mutant::new(
            "4.3/qos2-expires-once-sent",
            "A QoS 2 message that was sent and has expired since is not sent again",
            &["MQTT-4.3.3-7"],
            || {
                vec![loses_publish(|publish, _| {
                    let left = publish.properties.number(PropertyId::MessageExpiryInterval);
                    publish.dup && publish.qos == QoS::ExactlyOnce && left == Some(0)
                })]
            },
        ),
    ]
}

fn independence() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.3/qos0-lost-beside-a-slow-client",
            "QoS 0 messages are lost while another client has not acknowledged its own",
            &["U-4.3-1"],
            || beside_a_slow_client(QoS::AtMostOnce),
        ),
        Mutant::new(
            "4.3/qos1-lost-beside-a-slow-client",
            "QoS 1 messages are lost while another client has not acknowledged its own",
            &["U-4.3-1", "MQTT-4.5.0-1"],
            || beside_a_slow_client(QoS::AtLeastOnce),
        ),
        Mutant::new(
            "4.3/fifth-copy-marked-dup",
            "The fifth message at QoS 1 is marked as repeated",
            &["MQTT-4.3.2-2", "MQTT-3.3.1-1"],
            || {
                let mut count = 0_u32;
                vec![writes_publish(move |publish, _| {
                    count += u32::from(publish.qos == QoS::AtLeastOnce);
                    publish.dup |= publish.qos == QoS::AtLeastOnce && count == 5;
                })]
            },
        ),
        Mutant::new(
            "4.3/pubrel-lost-while-another-is-open",
            "PUBREL is not sent while another exchange of the client waits for PUBCOMP",
            &["MQTT-4.3.3-4"],
            || {
                vec![through(
                    BTreeMap::<ConnectionId, BTreeSet<u16>>::new(),
                    |open, packet, at, act| {
                        if let Packet::PubComp(ack) = &packet {
                            open.entry(at.connection).or_default().remove(&ack.packet_id);
                        }
                        act.receive(packet);
                    },
                    |open, packet, at, act| {
                        if let Packet::PubRel(ack) = &packet {
                            let open = open.entry(at.connection).or_default();
                            open.insert(ack.packet_id);
                            if open.len() > 1 {
                                return;
                            }
                        }
                        act.send(packet);
                    },
                )]
            },
        ),
    ]
}

fn identifiers_counted_apart() -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, BTreeMap<u16, u16>>::new(),
        |own, mut packet, at, act| {
            if let Packet::PubAck(ack) = &mut packet {
                let real = own.entry(at.connection).or_default().remove(&ack.packet_id);
                ack.packet_id = real.unwrap_or(ack.packet_id);
            }
            act.receive(packet);
        },
        |own, mut packet, at, act| {
            if let Packet::Publish(publish) = &mut packet
                && publish.qos == QoS::AtLeastOnce
                && !publish.dup
            {
                let own = own.entry(at.connection).or_default();
                let free = (1..=u16::MAX).find(|id| !own.contains_key(id));
                if let Some(free) = free {
                    own.insert(free, publish.packet_id);
                    publish.packet_id = free;
                }
            }
            act.send(packet);
        },
    )]
}

fn pubcomp_in_order_only() -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, VecDeque<u16>>::new(),
        |released, packet, at, act| {
            if let Packet::PubComp(ack) = &packet {
                let order = released.entry(at.connection).or_default();
                match order.front() {
                    Some(id) if *id != ack.packet_id => return,
                    _ => order.pop_front(),
                };
            }
            act.receive(packet);
        },
        |released, packet, at, act| {
            if let Packet::PubRel(ack) = &packet {
                released.entry(at.connection).or_default().push_back(ack.packet_id);
            }
            act.send(packet);
        },
    )]
}

/// Takes what comes for a message that was sent at this QoS for something else.
fn acknowledges(qos: QoS, instead: fn(Packet) -> Packet) -> Rules {
    vec![through(
        BTreeMap::<(ConnectionId, u16), QoS>::new(),
        move |sent, packet, at, act| {
            let id = match &packet {
                Packet::PubAck(ack) | Packet::PubRec(ack) => ack.packet_id,
                _ => return act.receive(packet),
            };
            match sent.get(&(at.connection, id)) {
                Some(level) if *level == qos => act.receive(instead(packet)),
                _ => act.receive(packet),
            }
        },
        |sent, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                sent.insert((at.connection, publish.packet_id), publish.qos);
            }
            act.send(packet);
        },
    )]
}

/// Loses messages at this QoS while another client has not acknowledged the one message that it
/// takes at a time.
fn beside_a_slow_client(qos: QoS) -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, BTreeSet<u16>>::new(),
        |open, packet, at, act| {
            if let Packet::PubAck(ack) = &packet {
                open.entry(at.connection).or_default().remove(&ack.packet_id);
            }
            act.receive(packet);
        },
        move |open, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                let takes_one = |connection: &ConnectionId| {
                    let connect = at.clients.get(*connection).map(|client| &client.connect);
                    connect.and_then(|it| it.properties.number(PropertyId::ReceiveMaximum))
                        == Some(1)
                };
                let is_slow = |(other, ids): (&ConnectionId, &BTreeSet<u16>)| {
                    *other != at.connection && !ids.is_empty() && takes_one(other)
                };
                if publish.qos == qos && open.iter().any(is_slow) {
                    return;
                }
                if publish.qos == QoS::AtLeastOnce {
                    open.entry(at.connection).or_default().insert(publish.packet_id);
                }
            }
            act.send(packet);
        },
    )]
}
