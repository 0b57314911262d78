//! Message receipt and message ordering.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::resume::on_resume;
use crate::boundary::rules::messages::{Key, key};
use crate::boundary::rules::{At, crossing, delays, outward, reads_connect, through};
use crate::boundary::window::{Order, Window};

/// A time after which all that can happen at once has happened.
const MOMENT: Duration = Duration::from_millis(1);

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = receipt();
    all.extend(order());
    all
}

fn receipt() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.5/third-copy-lost",
            "A message goes to two connected subscribers at most",
            &["MQTT-4.5.0-1", "U-4.8.1-1"],
            third_copy_lost,
        ),
        Mutant::new(
            "4.5/third-copy-not-stored",
            "The third session to be resumed has none of the messages that wait for all",
            &["MQTT-4.5.0-1", "U-4.1-6"],
            || {
                let mut clients: BTreeSet<Text> = BTreeSet::new();
                vec![on_resume(move |packet, at, act, _| {
                    clients.insert(at.id());
                    match &packet {
                        Packet::Publish(publish) if clients.len() > 2 && !publish.dup => {}
                        _ => act.send(packet),
                    }
                })]
            },
        ),
        Mutant::new(
            "4.5/waiting-lost-with-publisher",
            "Messages that wait for a session are lost with the connection of their publisher",
            &["MQTT-4.5.0-1", "U-4.1-6"],
            waiting_lost_with_publisher,
        ),
    ]
}

fn order() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.6/every-thirtieth-late",
            "Every thirtieth message at QoS 1 comes after those that follow it",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || {
                late(|publish, count, _| {
                    publish.qos == QoS::AtLeastOnce && count.is_multiple_of(30)
                })
            },
        ),
        Mutant::new(
            "4.6/every-third-late-at-qos-2",
            "Every third message at QoS 2 comes after those that follow it",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || late(|publish, count, _| publish.qos == QoS::ExactlyOnce && count.is_multiple_of(3)),
        ),
        Mutant::new(
            "4.6/every-thirtieth-late-at-qos-0",
            "Every thirtieth message at QoS 0 comes before the one that it follows",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            swapped_at_qos_0,
        ),
        Mutant::new(
            "4.6/last-come-first-served",
            "Of the messages that wait for room the newest is sent first",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || vec![Window { order: Order::LastComeFirst, ..Window::default() }.rule()],
        ),
        Mutant::new(
            "4.6/order-lost-between-topics",
            "A message on another topic than the one before may come late",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || order_lost_between(|publish, _| publish.topic.clone()),
        ),
        Mutant::new(
            "4.6/order-lost-between-publishers",
            "A message of another publisher than the one before may come late",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || order_lost_between(|_, publisher| publisher.clone()),
        ),
        Mutant::new(
            "4.6/large-late",
            "Large messages come after small ones that follow them",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || late(|publish, _, _| publish.payload.len() > 10_000),
        ),
        Mutant::new(
            "4.6/with-properties-late",
            "Messages with properties come after others that follow them",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            || late(|publish, _, _| !publish.properties.is_empty()),
        ),
        Mutant::new(
            "4.6/waiting-after-live",
            "What waits for a session is sent a moment after its resume, and new messages before it",
            &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
            waiting_after_live,
        ),
        Mutant::new(
            "4.6/next-before-repeated",
            "With a Receive Maximum of 1, a queued message is sent on resume before the one that is sent again",
            &["MQTT-4.6.0-5", "U-4.6-2"],
            next_before_repeated,
        )
        .also(&["MQTT-3.3.4-9"]),
    ]
}

fn third_copy_lost() -> Rules {
    vec![through(
        (None::<Key>, 0_u32),
        |(published, copies), packet, _, act| {
            *published = match &packet {
                Packet::Publish(publish) => Some(key(publish)),
                _ => None,
            };
            *copies = 0;
            act.receive(packet);
        },
        |(published, copies), packet, _, act| {
            if let Packet::Publish(publish) = &packet
                && published.as_ref() == Some(&key(publish))
            {
                *copies += 1;
                if *copies == 3 {
                    return act.settle(publish);
                }
            }
            act.send(packet);
        },
    )]
}

fn waiting_lost_with_publisher() -> Rules {
    #[derive(Default)]
    struct State {
        /// What each connection has published: topic and payload.
        published: BTreeMap<ConnectionId, BTreeSet<(Text, Vec<u8>)>>,
        lost: BTreeSet<(Text, Vec<u8>)>,
    }
    vec![crossing(
        State::default(),
        |state, input, boundary| {
            match &input {
                Input::Received(connection, Packet::Publish(publish)) => {
                    let message = (publish.topic.clone(), publish.payload.to_vec());
                    state.published.entry(*connection).or_default().insert(message);
                }
                Input::Closed(connection) => {
                    state.lost.extend(state.published.remove(connection).unwrap_or_default());
                }
                _ => {}
            }
            boundary.pass(input);
        },
        |state, output, boundary| {
            if let Output::Send(connection, Packet::Publish(publish)) = &output
                && state.lost.contains(&(publish.topic.clone(), publish.payload.to_vec()))
            {
                let reason = ReasonCode::UnspecifiedError;
                let ack = PublishAck::because(publish.packet_id, reason);
                let ack = match publish.qos {
                    QoS::AtMostOnce => return,
                    QoS::AtLeastOnce => Packet::PubAck(ack),
                    QoS::ExactlyOnce => Packet::PubRec(ack),
                };
                return boundary.pass(Input::Received(*connection, ack));
            }
            boundary.emit(output);
        },
    )]
}

/// Holds messages back for a moment; `which` is given the message, its number among those of its
/// QoS to this client, and where.
fn late(which: fn(&Publish, u32, At<'_>) -> bool) -> Rules {
    let mut counts: BTreeMap<(ConnectionId, QoS), u32> = BTreeMap::new();
    vec![delays(MOMENT, move |packet, at| match packet {
        Packet::Publish(publish) => {
            let count = counts.entry((at.connection, publish.qos)).or_default();
            *count += 1;
            which(publish, *count, at)
        }
        _ => false,
    })]
}

fn swapped_at_qos_0() -> Rules {
    let mut count = 0_u32;
    let mut held: Option<Packet> = None;
    vec![outward(move |packet, _, act| {
        let is_it = matches!(&packet, Packet::Publish(it) if it.qos == QoS::AtMostOnce);
        count += u32::from(is_it);
        if is_it && count % 30 == 29 && held.is_none() {
            held = Some(packet);
            return;
        }
        act.send(packet);
        if let Some(packet) = held.take() {
            act.send(packet);
        }
    })]
}

/// Holds every second message back for a moment whose topic or publisher, as `of` has it, is another
/// than that of the message before it to the same client.
fn order_lost_between(of: fn(&Publish, &Text) -> Text) -> Rules {
    #[derive(Default)]
    struct State {
        publisher: Text,
        last: BTreeMap<ConnectionId, (Text, u32)>,
    }
    vec![through(
        State::default(),
        |state, packet, at, act| {
            if matches!(packet, Packet::Publish(_)) {
                state.publisher = at.id();
            }
            act.receive(packet);
        },
        move |state, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                let now = of(publish, &state.publisher);
                let (last, changes) = state.last.entry(at.connection).or_default();
                let is_other = !last.is_empty() && *last != now;
                *changes += u32::from(is_other);
                *last = now;
                if is_other && *changes % 4 == 2 {
                    return act.boundary.emit_after(MOMENT, Output::Send(at.connection, packet));
                }
            }
            act.send(packet);
        },
    )]
}

fn waiting_after_live() -> Rules {
    let late = on_resume(|packet, at, act, _| match &packet {
        Packet::Publish(publish) if !publish.dup => {
            act.boundary.emit_after(MOMENT, Output::Send(at.connection, packet));
        }
        _ => act.send(packet),
    });
    vec![Window::default().rule(), late]
}

fn next_before_repeated() -> Rules {
    let wider = reads_connect(|connect, _| {
        let id = PropertyId::ReceiveMaximum;
        if (connect.clean_start, connect.properties.number(id)) == (false, Some(1)) {
            connect.properties.set(id, 2_u32);
        }
    });
    let late = on_resume(|packet, at, act, _| match &packet {
        Packet::Publish(publish) if publish.dup => {
            act.boundary.emit_after(MOMENT, Output::Send(at.connection, packet));
        }
        _ => act.send(packet),
    });
    vec![late, wider]
}
