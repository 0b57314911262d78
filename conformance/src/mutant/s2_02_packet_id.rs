//! Packet Identifiers.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, ReasonCode};
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::{At, NOWHERE, both, writes};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = answers();
    all.extend(deliveries());
    all.extend(uses());
    all
}

fn answers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.2/pubrec-ids-signed",
            "PUBREC for packet identifier 32,768 carries 32,767",
            &["MQTT-2.2.1-5", "U-1.5.2-1"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubRec(ack) = packet {
                        ack.packet_id -= u16::from(ack.packet_id == 0x8000);
                    }
                })]
            },
        ),
        Mutant::new(
            "2.2/unsuback-ids-of-one-byte",
            "An UNSUBACK has but the lower byte of its packet identifier",
            &["MQTT-2.2.1-6", "U-1.5.2-1"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::UnsubAck(ack) = packet {
                        ack.packet_id = (ack.packet_id & 0xFF).max(1);
                    }
                })]
            },
        ),
        Mutant::new(
            "2.2/pubcomp-of-oldest",
            "PUBCOMP names the oldest exchange that is open, whichever was released",
            &["MQTT-2.2.1-5", "MQTT-4.3.3-11"],
            || vec![completes_in_order()],
        ),
    ]
}

fn deliveries() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.2/ids-by-qos",
            "Deliveries at QoS 1 and at QoS 2 are numbered apart",
            &["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            || {
                let mut last = BTreeMap::<(ConnectionId, QoS), u16>::new();
                vec![renumbers(move |publish, at| {
                    let last = last.entry((at.connection, publish.qos)).or_default();
                    *last += 1;
                    *last
                })]
            },
        ),
        Mutant::new(
            "2.2/eight-ids",
            "Every ninth delivery has the packet identifier of the first, acknowledged or not",
            &["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            || vec![renumbers(|publish, _| (publish.packet_id - 1) % 8 + 1)],
        ),
        Mutant::new(
            "2.2/ids-begin-anew-on-resume",
            "New deliveries are numbered from 1 on each connection, whatever is open",
            &["MQTT-2.2.1-4"],
            || {
                let mut last = BTreeMap::<ConnectionId, u16>::new();
                vec![renumbers(move |publish, at| {
                    if publish.dup {
                        return publish.packet_id;
                    }
                    let last = last.entry(at.connection).or_default();
                    *last += 1;
                    *last
                })]
            },
        ),
    ]
}

fn uses() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.2/dup-taken-for-a-repetition",
            "PUBLISH at QoS 1 with DUP is dropped if its packet identifier was used before",
            &["U-2.2.1-2", "MQTT-4.3.2-5"],
            || vec![drops_known(QoS::AtLeastOnce, true)],
        ),
        Mutant::new(
            "2.2/released-ids-remembered",
            "PUBLISH at QoS 2 with DUP is dropped if its packet identifier was used before",
            &["U-2.2.1-2", "MQTT-4.3.3-12"],
            || vec![drops_known(QoS::ExactlyOnce, true)],
        ),
        Mutant::new(
            "2.2/ids-shared-by-both-sides",
            "A packet identifier that the broker waits for an answer to is refused to the client",
            &["U-2.2.1-4"],
            || vec![refuses_own_ids()],
        ),
        Mutant::new(
            "2.2/subscribe-ends-exchange",
            "SUBSCRIBE under the packet identifier of an open QoS 2 message ends that exchange",
            &["U-2.2.1-3"],
            || vec![subscribe_ends_exchange()],
        ),
    ]
}

/// Gives deliveries other identifiers than the core does, and translates their exchanges.
fn renumbers(mut number: impl FnMut(&Publish, At<'_>) -> u16 + Send + 'static) -> Box<dyn Rule> {
    /// The core's identifier, and what the client was told.
    type Open = BTreeMap<ConnectionId, Vec<(u16, u16)>>;
    both(
        Open::new(),
        |open, mut packet, at, act| {
            let ends = matches!(packet, Packet::PubAck(_) | Packet::PubComp(_));
            if let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) = &mut packet {
                let open = open.entry(at.connection).or_default();
                if let Some(place) = open.iter().position(|(_, told)| *told == ack.packet_id) {
                    ack.packet_id = open[place].0;
                    if ends {
                        open.remove(place);
                    }
                }
            }
            act.receive(packet);
        },
        move |open, mut packet, at, act| {
            let open = open.entry(at.connection).or_default();
            match &mut packet {
                Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
                    let told = number(publish, at);
                    open.push((publish.packet_id, told));
                    publish.packet_id = told;
                }
                Packet::PubRel(ack) => {
                    let told = open.iter().find(|(own, _)| *own == ack.packet_id);
                    ack.packet_id = told.map_or(ack.packet_id, |(_, told)| *told);
                }
                _ => {}
            }
            act.send(packet);
        },
    )
}

fn completes_in_order() -> Box<dyn Rule> {
    both(
        BTreeMap::<ConnectionId, Vec<u16>>::new(),
        |_, packet, _, act| act.receive(packet),
        |open, mut packet, at, act| {
            let open = open.entry(at.connection).or_default();
            match &mut packet {
                Packet::PubRec(ack) => open.push(ack.packet_id),
                Packet::PubComp(ack) if !open.is_empty() => ack.packet_id = open.remove(0),
                _ => {}
            }
            act.send(packet);
        },
    )
}

/// Acknowledges messages under identifiers that were used at the same QoS, and hands them to nobody.
fn drops_known(qos: QoS, only_dup: bool) -> Box<dyn Rule> {
    let mut known = BTreeSet::new();
    crate::boundary::rules::publishes(move |publish, at| {
        let is_new = publish.qos != qos || known.insert((at.connection, publish.packet_id));
        if !is_new && (publish.dup || !only_dup) {
            publish.topic = NOWHERE.into();
        }
    })
}

fn refuses_own_ids() -> Box<dyn Rule> {
    both(
        BTreeSet::<(ConnectionId, u16)>::new(),
        |open, packet, at, act| {
            match &packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) => {
                    open.remove(&(at.connection, ack.packet_id));
                }
                Packet::Publish(publish) if open.contains(&(at.connection, publish.packet_id)) => {
                    let reason = ReasonCode::PacketIdentifierInUse;
                    let ack = PublishAck::because(publish.packet_id, reason);
                    return act.send(match publish.qos {
                        QoS::ExactlyOnce => Packet::PubRec(ack),
                        _ => Packet::PubAck(ack),
                    });
                }
                _ => {}
            }
            act.receive(packet);
        },
        |open, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos > QoS::AtMostOnce
            {
                open.insert((at.connection, publish.packet_id));
            }
            act.send(packet);
        },
    )
}

fn subscribe_ends_exchange() -> Box<dyn Rule> {
    #[derive(Default)]
    struct State {
        open: BTreeSet<(ConnectionId, u16)>,
        hidden: BTreeSet<(ConnectionId, u16)>,
    }
    both(
        State::default(),
        |state, packet, at, act| {
            match &packet {
                Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                    state.open.insert((at.connection, publish.packet_id));
                }
                Packet::PubRel(ack) => {
                    state.open.remove(&(at.connection, ack.packet_id));
                }
                Packet::Subscribe(subscribe) => {
                    let id = (at.connection, subscribe.packet_id);
                    if state.open.remove(&id) {
                        state.hidden.insert(id);
                        act.receive(Packet::PubRel(PublishAck::new(subscribe.packet_id)));
                    }
                }
                _ => {}
            }
            act.receive(packet);
        },
        |state, packet, at, act| match &packet {
            Packet::PubComp(ack) if state.hidden.remove(&(at.connection, ack.packet_id)) => {}
            _ => act.send(packet),
        },
    )
}
