//! Shared Subscriptions: how their messages are delivered.

use std::collections::BTreeMap;

use reference_broker::codec::{
    Packet, PropertyId, Publish, PublishAck, QoS, Subscribe, Subscription, Text, Unsubscribe,
};
use reference_broker::core::{ConnectionId, Input, Output};
use reference_broker::topic::is_shared;

use super::Mutant;
use crate::boundary::resume::on_resume;
use crate::boundary::rules::subscriptions::grants_secretly;
use crate::boundary::rules::{At, FORGED, crossing, forges, ignores, inward, reads};
use crate::boundary::subscriptions::Subscriptions;
use crate::boundary::{Boundary, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = options();
    all.extend(members());
    all
}

fn options() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.8/retained-on-joining",
            "Subscribing to a shared filter brings retained messages",
            &["U-3.8.4-3", "U-4.8.2-4"],
            || retained_on_joining(0),
        ),
        Mutant::new(
            "4.8/retained-on-joining-again",
            "Subscribing to a shared filter brings retained messages, but not to the first to do so",
            &["U-3.8.4-3"],
            || retained_on_joining(1),
        ),
        Mutant::new(
            "4.8/retain-never-as-published",
            "Members of a shared subscription get messages with RETAIN 0",
            &["MQTT-3.3.1-13"],
            || shared_subscribes(|it| it.options.retain_as_published = false),
        ),
        Mutant::new(
            "4.8/retain-always-as-published",
            "Members of a shared subscription get messages with RETAIN as published",
            &["MQTT-3.3.1-12"],
            || shared_subscribes(|it| it.options.retain_as_published = true),
        ),
        Mutant::new(
            "4.8/identifier-of-the-first",
            "All members get messages with the Subscription Identifier of the first",
            &["MQTT-3.3.4-3"],
            identifier_of_the_first,
        ),
        Mutant::new(
            "4.8/qos-of-the-last",
            "All members get messages at the QoS that the last one to join was granted",
            &["MQTT-4.8.2-3"],
            qos_of_the_last,
        ),
        Mutant::new(
            "4.8/qos0-raised",
            "A member that was granted QoS 0 gets messages at QoS 1",
            &["MQTT-4.8.2-3", "MQTT-3.8.4-8"],
            || {
                vec![grants_secretly(|subscription, _| {
                    if is_shared(&subscription.filter) {
                        let granted = &mut subscription.options.maximum_qos;
                        *granted = (*granted).max(QoS::AtLeastOnce);
                    }
                })]
            },
        ),
    ]
}

fn members() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.8/lost-while-all-are-away",
            "Messages for a shared subscription all of whose members are away are lost",
            &["MQTT-4.5.0-1", "U-4.1-6"],
            lost_while_all_are_away,
        ),
        Mutant::new(
            "4.8/kept-for-all-who-are-away",
            "What waits for a member of a shared subscription comes to it twice",
            &["U-4.8.2-1"],
            || {
                vec![on_resume(|packet, _, act, back| {
                    if let Packet::Publish(publish) = &packet
                        && back.is_member
                        && !publish.dup
                        && publish.qos == QoS::AtLeastOnce
                    {
                        let again = publish.clone().qos(QoS::AtLeastOnce, publish.packet_id + 500);
                        act.send(again);
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.8/begun-goes-to-another",
            "A QoS 2 message goes to another member when the connection of its own is lost",
            &["MQTT-4.8.2-4", "MQTT-4.8.2-5"],
            || goes_to_another(|exchange, lost| lost && !exchange.released),
        ),
        Mutant::new(
            "4.8/released-goes-to-another",
            "A QoS 2 message that was released goes to another member when its own is lost",
            &["MQTT-4.8.2-4", "MQTT-4.8.2-5"],
            || goes_to_another(|exchange, lost| lost && exchange.released),
        ),
        Mutant::new(
            "4.8/begun-not-completed",
            "A QoS 2 message begun to a member is not completed on resume",
            &["MQTT-4.8.2-4"],
            begun_not_completed,
        ),
        Mutant::new(
            "4.8/qos1-lost-with-connection",
            "A QoS 1 message begun to a member is not repeated on resume, nor does another get it",
            &["MQTT-4.4.0-1", "MQTT-4.3.2-3"],
            || {
                vec![on_resume(|packet, _, act, back| match packet {
                    Packet::Publish(it)
                        if back.is_member && it.dup && it.qos == QoS::AtLeastOnce =>
                    {
                        act.settle(&it);
                    }
                    packet => act.send(packet),
                })]
            },
        ),
        Mutant::new(
            "4.8/refused-goes-to-another",
            "A message that a member refuses goes to another one",
            &["MQTT-4.8.2-6"],
            || goes_to_another(|exchange, lost| !lost && exchange.refused),
        ),
        Mutant::new(
            "4.8/refused-comes-again",
            "A message that a member refuses goes to the same one on resume",
            &["MQTT-4.8.2-6", "MQTT-4.4.0-2"],
            || {
                vec![ignores(|packet, _| match packet {
                    Packet::PubAck(ack) | Packet::PubRec(ack) => ack.reason.is_error(),
                    _ => false,
                })]
            },
        ),
    ]
}

fn shared_subscribes(alter: fn(&mut Subscription)) -> Rules {
    vec![reads(move |packet, _| {
        if let Packet::Subscribe(subscribe) = packet {
            let shared = subscribe.subscriptions.iter_mut();
            shared.filter(|it| is_shared(&it.filter)).for_each(alter);
        }
    })]
}

fn shared_filter(subscribe: &Subscribe) -> Option<Text> {
    let mut filters = subscribe.subscriptions.iter().map(|it| &it.filter);
    filters.find(|filter| is_shared(filter)).cloned()
}

/// Subscribes secretly, and for a moment only, to the filter by itself.
fn retained_on_joining(from: u32) -> Rules {
    let mut joined: BTreeMap<Text, u32> = BTreeMap::new();
    let mut known = Subscriptions::default();
    vec![forges(move |packet, at, act| {
        let secret = match &packet {
            Packet::Subscribe(subscribe) => shared_filter(subscribe).and_then(|text| {
                let times = joined.entry(text.clone()).or_default();
                *times += 1;
                let filter = Text::from(text.splitn(3, '/').nth(2)?);
                let qos = subscribe.subscriptions.first()?.options.maximum_qos;
                // Who has it for itself is to keep it.
                let is_new = *times > from && known.held(&at.id(), &filter).is_none();
                is_new.then_some((filter, qos))
            }),
            _ => None,
        };
        known.note(&packet, at);
        act.receive(packet);
        if let Some((filter, qos)) = secret {
            act.receive(Subscribe::new(FORGED, filter.clone(), qos));
            act.receive(Unsubscribe::new(FORGED, filter));
        }
    })]
}

fn identifier_of_the_first() -> Rules {
    let mut first: BTreeMap<Text, u32> = BTreeMap::new();
    vec![reads(move |packet, _| {
        if let Packet::Subscribe(subscribe) = packet
            && let Some(filter) = shared_filter(subscribe)
            && let Some(own) = subscribe.properties.number(PropertyId::SubscriptionIdentifier)
        {
            let kept = *first.entry(filter).or_insert(own);
            subscribe.properties.set(PropertyId::SubscriptionIdentifier, kept);
        }
    })]
}

/// Whoever joins joins for those who did before as well.
fn qos_of_the_last() -> Rules {
    let mut known = Subscriptions::default();
    vec![forges(move |packet, at, act| {
        known.note(&packet, at);
        let joined = match &packet {
            Packet::Subscribe(subscribe) => shared_filter(subscribe).map(|filter| {
                let qos = subscribe.subscriptions.iter().map(|it| it.options.maximum_qos).max();
                (filter, qos.unwrap_or_default())
            }),
            _ => None,
        };
        act.receive(packet);
        if let Some((filter, qos)) = joined {
            for (connection, client) in at.clients.iter() {
                if let Some(mut held) = known.held(&client.id, &filter) {
                    held.options.maximum_qos = qos;
                    let join = held.request(filter.clone());
                    act.boundary.pass(Input::Received(connection, join.into()));
                }
            }
        }
    })]
}

fn lost_while_all_are_away() -> Rules {
    let mut known = Subscriptions::default();
    vec![inward(move |packet, at, act| {
        known.note(&packet, at);
        if let Packet::Publish(publish) = &packet
            && publish.qos > QoS::AtMostOnce
            && known.is_only_for_absent_members(&publish.topic, at.clients)
        {
            let ack = PublishAck::new(publish.packet_id);
            return act.send(match publish.qos {
                QoS::ExactlyOnce => Packet::PubRec(ack),
                _ => Packet::PubAck(ack),
            });
        }
        act.receive(packet);
    })]
}

/// A message on its way to a member.
struct Exchange {
    publish: Publish,
    client: Text,
    released: bool,
    refused: bool,
}

/// Gives a message on its way to a member to another member as well, when `which` is true of it: on
/// an acknowledgement, and when the connection is lost.
fn goes_to_another(which: fn(&Exchange, bool) -> bool) -> Rules {
    #[derive(Default)]
    struct State {
        known: Subscriptions,
        open: BTreeMap<(ConnectionId, u16), Exchange>,
    }
    let hand_on = |known: &Subscriptions, exchange: &Exchange, boundary: &mut Boundary<'_>| {
        let Exchange { publish, client, .. } = exchange;
        let filters = known.shared(client, &publish.topic);
        let is_member = |id: &Text| {
            let filters = filters.iter();
            id != client && filters.flat_map(|it| known.members(it.as_str())).any(|it| it == id)
        };
        let other = boundary.clients.iter().find(|(_, it)| is_member(&it.id)).map(|(id, _)| id);
        if let Some(other) = other {
            let copy = publish.clone().qos(publish.qos, publish.packet_id + 500);
            boundary.emit(Output::Send(other, copy.into()));
        }
    };
    vec![crossing(
        State::default(),
        move |state, input, boundary| {
            let clients = boundary.clients;
            if let Input::Received(connection, packet) = &input {
                let now = boundary.now;
                let at = At { connection: *connection, clients, now };
                state.known.note(packet, at);
                if let Packet::PubAck(ack) | Packet::PubRec(ack) = packet
                    && let Some(exchange) = state.open.get_mut(&(*connection, ack.packet_id))
                {
                    exchange.refused = ack.reason.is_error();
                    exchange.released = !exchange.refused;
                    if which(exchange, false) {
                        hand_on(&state.known, exchange, boundary);
                    }
                    if exchange.refused || exchange.publish.qos == QoS::AtLeastOnce {
                        state.open.remove(&(*connection, ack.packet_id));
                    }
                } else if let Packet::PubComp(ack) = packet {
                    state.open.remove(&(*connection, ack.packet_id));
                }
            }
            if let Input::Closed(connection) = &input {
                let lost = state.open.iter().filter(|((it, _), _)| it == connection);
                let qos2 = lost.filter(|(_, it)| it.publish.qos == QoS::ExactlyOnce);
                for (_, exchange) in qos2.filter(|(_, it)| which(it, true)) {
                    hand_on(&state.known, exchange, boundary);
                }
                state.open.retain(|(it, _), _| it != connection);
            }
            boundary.pass(input);
        },
        |state, output, boundary| {
            if let Output::Send(connection, Packet::Publish(publish)) = &output
                && let Some(client) = boundary.clients.get(*connection)
                && publish.qos > QoS::AtMostOnce
            {
                let key = (*connection, publish.packet_id);
                let (publish, client) = (publish.clone(), client.id.clone());
                let exchange = Exchange { publish, client, released: false, refused: false };
                state.open.insert(key, exchange);
            }
            boundary.emit(output);
        },
    )]
}

fn begun_not_completed() -> Rules {
    let begun = |packet: &Packet| matches!(packet, Packet::Publish(it) if it.dup && it.qos == QoS::ExactlyOnce);
    vec![on_resume(move |packet, _, act, back| {
        if !(back.is_member && begun(&packet)) {
            act.send(packet);
        }
    })]
}
