//! Quality of Service, the broker as receiver.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};
use reference_broker::core::Moment;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{
    FORGED, after, forges, ignores, inward, repeats, swallows, through, writes,
};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = acknowledgements();
    all.extend(repetition());
    all.extend(exchanges());
    all
}

fn acknowledgements() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.3/qos0-acknowledged",
            "A QoS 0 message is answered by PUBACK",
            &["U-4.3.1-1"],
            || {
                vec![inward(|packet, _, act| {
                    let is_it = matches!(&packet, Packet::Publish(it) if it.qos == QoS::AtMostOnce);
                    act.receive(packet);
                    if is_it {
                        act.send(Packet::PubAck(PublishAck::new(1)));
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-5"]),
        Mutant::new(
            "4.3/qos0-twice",
            "A message at QoS 0 with a payload of 13 to 16 bytes comes twice",
            &["U-4.3.1-1"],
            || {
                vec![repeats(|packet, _| match packet {
                    Packet::Publish(it) => {
                        it.qos == QoS::AtMostOnce && (13..=16).contains(&it.payload.len())
                    }
                    _ => false,
                })]
            },
        ),
        Mutant::new(
            "4.3/qos0-raised",
            "A QoS 0 message is handed on at QoS 1",
            &["MQTT-4.3.1-1"],
            qos0_raised,
        )
        .also(&["MQTT-3.8.4-8"]),
        Mutant::new(
            "4.3/puback-identifier-cut",
            "PUBACK carries 15 bits of the Packet Identifier",
            &["MQTT-4.3.2-4"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubAck(ack) = packet {
                        ack.packet_id &= 0x7FFF;
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-5"]),
        Mutant::new(
            "4.3/every-twentieth-puback-lost",
            "Every twentieth PUBACK is lost",
            &["MQTT-4.3.2-4"],
            || {
                let mut count = 0_u32;
                vec![swallows(move |packet, _| {
                    count += u32::from(matches!(packet, Packet::PubAck(_)));
                    matches!(packet, Packet::PubAck(_)) && count.is_multiple_of(20)
                })]
            },
        ),
        Mutant::new(
            "4.3/pubrec-identifier-cut",
            "PUBREC carries 15 bits of the Packet Identifier",
            &["MQTT-4.3.3-8"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubRec(ack) = packet {
                        ack.packet_id &= 0x7FFF;
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-5"]),
        Mutant::new(
            "4.3/pubcomp-identifier-cut",
            "PUBCOMP carries 15 bits of the Packet Identifier",
            &["MQTT-4.3.3-11"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubComp(ack) = packet {
                        ack.packet_id &= 0x7FFF;
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-5"]),
        Mutant::new(
            "4.3/pubcomp-of-the-last-publish",
            "PUBCOMP carries the identifier of the last QoS 2 PUBLISH, not that of PUBREL",
            &["MQTT-4.3.3-11"],
            pubcomp_of_the_last_publish,
        ),
        Mutant::new(
            "4.3/pubrel-of-closed-exchange-unanswered",
            "PUBREL for an exchange that is over is not answered",
            &["MQTT-4.3.3-11"],
            || {
                vec![swallows(|packet, _| {
                    matches!(packet, Packet::PubComp(ack)
                        if ack.reason == ReasonCode::PacketIdentifierNotFound)
                })]
            },
        ),
        Mutant::new(
            "4.3/fifth-open-exchange-unanswered",
            "A fifth QoS 2 message is not taken while four are open",
            &["MQTT-4.3.3-8", "U-4.3.3-2"],
            fifth_open_exchange_unanswered,
        ),
    ]
}

fn repetition() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.3/qos1-dup-not-delivered",
            "A QoS 1 PUBLISH with DUP 1 under the identifier of the last is taken for a repetition",
            &["MQTT-4.3.2-5"],
            qos1_dup_not_delivered,
        ),
        Mutant::new(
            "4.3/qos2-third-repetition-delivered",
            "The third repetition of a QoS 2 PUBLISH is taken for a new message",
            &["MQTT-4.3.3-10"],
            || repeated_is_new(|seen, _, _| seen > 3),
        ),
        Mutant::new(
            "4.3/qos2-second-repetition-unanswered",
            "PUBREC answers a QoS 2 PUBLISH and its first repetition only",
            &["MQTT-4.3.3-10", "MQTT-4.3.3-8"],
            || {
                vec![ignores(after(
                    1,
                    |packet, _| matches!(packet, Packet::Publish(it) if it.dup && it.qos == QoS::ExactlyOnce),
                ))]
            },
        ),
        Mutant::new(
            "4.3/qos2-told-by-content",
            "A QoS 2 PUBLISH under an open identifier is a new message if its payload differs",
            &["MQTT-4.3.3-10"],
            || repeated_is_new(|_, first, again| first.payload != again.payload),
        ),
        Mutant::new(
            "4.3/qos2-identifier-remembered",
            "A QoS 2 PUBLISH with DUP 1 under the identifier of a complete exchange is a repetition",
            &["MQTT-4.3.3-12"],
            qos2_identifier_remembered,
        ),
        Mutant::new(
            "4.3/dup-passed-on",
            "DUP goes from the publisher to subscribers at QoS 2",
            &["MQTT-3.3.1-3", "MQTT-4.3.3-2"],
            || dup_passed_on(QoS::ExactlyOnce),
        ),
        Mutant::new(
            "4.3/dup-passed-on-at-qos-1",
            "DUP goes from the publisher to subscribers at QoS 1",
            &["MQTT-3.3.1-3", "MQTT-4.3.2-2"],
            || dup_passed_on(QoS::AtLeastOnce),
        ),
    ]
}

fn exchanges() -> Vec<Mutant> {
    vec![Mutant::new(
        "4.3/pubrel-after-expiry-unanswered",
        "PUBREL for a message that has expired is overlooked",
        &["MQTT-4.3.3-13"],
        pubrel_after_expiry_unanswered,
    )]
}

fn qos0_raised() -> Rules {
    vec![forges(|mut packet, _, act| {
        if let Packet::Publish(publish) = &mut packet
            && publish.qos == QoS::AtMostOnce
        {
            publish.qos = QoS::AtLeastOnce;
            publish.packet_id = FORGED;
        }
        act.receive(packet);
    })]
}

fn pubcomp_of_the_last_publish() -> Rules {
    vec![through(
        BTreeMap::new(),
        |last, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos == QoS::ExactlyOnce
            {
                last.insert(at.connection, publish.packet_id);
            }
            act.receive(packet);
        },
        |last, mut packet, at, act| {
            if let Packet::PubComp(ack) = &mut packet {
                ack.packet_id = last.get(&at.connection).copied().unwrap_or(ack.packet_id);
            }
            act.send(packet);
        },
    )]
}

fn fifth_open_exchange_unanswered() -> Rules {
    let mut open: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
    vec![ignores(move |packet, at| {
        let open = open.entry(at.connection).or_default();
        match packet {
            Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                let is_new = open.len() > 3 && !open.contains(&publish.packet_id);
                if !is_new {
                    open.insert(publish.packet_id);
                }
                is_new
            }
            Packet::PubRel(ack) => {
                open.remove(&ack.packet_id);
                false
            }
            _ => false,
        }
    })]
}

fn qos1_dup_not_delivered() -> Rules {
    let mut last = BTreeMap::new();
    vec![inward(move |packet, at, act| match &packet {
        Packet::Publish(publish) if publish.qos == QoS::AtLeastOnce => {
            let id = publish.packet_id;
            let is_same = last.insert(at.connection, id) == Some(id);
            match is_same && publish.dup {
                true => act.send(Packet::PubAck(PublishAck::new(id))),
                false => act.receive(packet),
            }
        }
        _ => act.receive(packet),
    })]
}

/// Ends the exchange of a QoS 2 PUBLISH secretly before a repetition that `is_new`; it is told how
/// often the identifier was seen, the first PUBLISH and this one.
fn repeated_is_new(is_new: fn(u32, &Publish, &Publish) -> bool) -> Rules {
    #[derive(Default)]
    struct State {
        open: BTreeMap<(Text, u16), (u32, Publish)>,
        hidden: u32,
    }
    vec![through(
        State::default(),
        move |state, packet, at, act| {
            match &packet {
                Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                    let key = (at.id(), publish.packet_id);
                    let (seen, first) =
                        state.open.entry(key).or_insert_with(|| (0, publish.clone()));
                    *seen += 1;
                    if *seen > 1 && is_new(*seen, first, publish) {
                        state.hidden += 1;
                        act.receive(Packet::PubRel(PublishAck::new(publish.packet_id)));
                    }
                }
                Packet::PubRel(ack) => {
                    state.open.remove(&(at.id(), ack.packet_id));
                }
                _ => {}
            }
            act.receive(packet);
        },
        |state, packet, _, act| match packet {
            Packet::PubComp(_) if state.hidden > 0 => state.hidden -= 1,
            packet => act.send(packet),
        },
    )]
}

fn qos2_identifier_remembered() -> Rules {
    let mut complete: BTreeSet<(Text, u16)> = BTreeSet::new();
    vec![inward(move |packet, at, act| match &packet {
        Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce && publish.dup => {
            let id = publish.packet_id;
            match complete.contains(&(at.id(), id)) {
                true => act.send(Packet::PubRec(PublishAck::new(id))),
                false => act.receive(packet),
            }
        }
        Packet::PubRel(ack) => {
            complete.insert((at.id(), ack.packet_id));
            act.receive(packet);
        }
        _ => act.receive(packet),
    })]
}

fn dup_passed_on(at_qos: QoS) -> Rules {
    vec![through(
        false,
        |dup, packet, _, act| {
            if let Packet::Publish(publish) = &packet {
                *dup = publish.dup;
            }
            act.receive(packet);
        },
        move |dup, mut packet, _, act| {
            if let Packet::Publish(publish) = &mut packet
                && publish.qos == at_qos
            {
                publish.dup |= *dup;
            }
            act.send(packet);
        },
    )]
}

fn pubrel_after_expiry_unanswered() -> Rules {
    let mut ends: BTreeMap<(Text, u16), Moment> = BTreeMap::new();
    vec![ignores(move |packet, at| match packet {
        Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
            let expiry = publish.properties.number(PropertyId::MessageExpiryInterval);
            if let Some(seconds) = expiry {
                let end = Moment(at.now.0 + u64::from(seconds) * 1000);
                ends.insert((at.id(), publish.packet_id), end);
            }
            false
        }
        Packet::PubRel(ack) => {
            ends.remove(&(at.id(), ack.packet_id)).is_some_and(|end| end < at.now)
        }
        _ => false,
    })]
}
