//! Flow control.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Connect, Packet, PropertyId, QoS, ReasonCode, Text};
use reference_broker::core::{ConnectionId, Output};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{
    At, crossing, ignores, loses_publish, only, reads_connect, through, writes,
};
use crate::boundary::window::Window;

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = size();
    all.extend(room());
    all.extend(connections());
    all.extend(limits());
    all
}

fn maximum(connect: &Connect) -> Option<u32> {
    connect.properties.number(PropertyId::ReceiveMaximum)
}

/// Reads another Receive Maximum than CONNECT says.
fn takes_maximum_for(other: fn(u32) -> u32) -> Rules {
    vec![reads_connect(move |connect, _| {
        if let Some(maximum) = maximum(connect) {
            connect.properties.set(PropertyId::ReceiveMaximum, other(maximum));
        }
    })]
}

fn size() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.9/one-too-many",
            "One message more than the client's Receive Maximum is on its way",
            &["MQTT-4.9.0-2", "MQTT-4.9.0-1", "MQTT-3.3.4-9"],
            || takes_maximum_for(|maximum| maximum + 1),
        ),
        Mutant::new(
            "4.9/one-too-many-above-four",
            "A Receive Maximum of more than four is taken for one more",
            &["MQTT-4.9.0-2", "MQTT-4.9.0-1", "MQTT-3.3.4-9"],
            || takes_maximum_for(|maximum| maximum + u32::from(maximum > 4)),
        ),
        Mutant::new(
            "4.9/a-window-for-each-level",
            "QoS 1 and QoS 2 messages are counted apart against the Receive Maximum",
            &["MQTT-4.9.0-2", "MQTT-3.3.4-9"],
            || vec![Window { one_for_each_level: true, ..Window::default() }.rule()],
        ),
        Mutant::new(
            "4.9/pubrec-frees",
            "PUBREC makes room for another message",
            &["MQTT-4.9.0-2", "U-4.9-2"],
            || vec![Window { pubrec_frees: true, ..Window::default() }.rule()],
        ),
    ]
}

fn room() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.9/fifth-puback-frees-none",
            "The fifth PUBACK of a client with a Receive Maximum of its own is overlooked",
            &["U-4.9-2"],
            || {
                vec![ignores(only(5, |packet, at| {
                    let maximum = at.client().and_then(|client| maximum(&client.connect));
                    matches!(packet, Packet::PubAck(_)) && maximum.is_some()
                }))]
            },
        ),
        Mutant::new(
            "4.9/refused-puback-frees-none",
            "PUBACK with 0x97 makes no room",
            &["U-4.9-2"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::PubAck(it) if it.reason == ReasonCode::QuotaExceeded),
                )]
            },
        ),
        Mutant::new(
            "4.9/refused-pubrec-frees-none",
            "PUBREC with 0x97 makes no room",
            &["U-4.9-2"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::PubRec(it) if it.reason == ReasonCode::QuotaExceeded),
                )]
            },
        ),
        Mutant::new(
            "4.9/pubcomp-with-error-frees-none",
            "PUBCOMP with 0x92 makes no room",
            &["U-4.9-2"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::PubComp(it) if it.reason.is_error()),
                )]
            },
        ),
        Mutant::new(
            "4.9/unsubscribe-waits-for-room",
            "UNSUBSCRIBE of a client that has no room for messages is not answered",
            &["MQTT-4.9.0-3", "MQTT-3.3.4-10"],
            || deaf_while_full(|packet| matches!(packet, Packet::Unsubscribe(_))),
        ),
        Mutant::new(
            "4.9/pubrel-waits-for-room",
            "PUBREL of a client that has no room for messages is not answered",
            &["MQTT-4.9.0-3", "MQTT-3.3.4-10"],
            || deaf_while_full(|packet| matches!(packet, Packet::PubRel(_))),
        ),
        Mutant::new(
            "4.9/expired-behind-window",
            "A message that waits for room is sent although it has expired meanwhile",
            &["MQTT-3.3.2-5"],
            || vec![Window { keeps_expired: true, ..Window::default() }.rule()],
        ),
        Mutant::new(
            "4.9/too-large-takes-room",
            "A message too large for the client is left out but takes room",
            &["U-4.9-2"],
            too_large_takes_room,
        )
        .also(&["MQTT-3.1.2-25"]),
        Mutant::new(
            "4.9/too-large-sent",
            "A message too large for the client is sent to it if it had to wait for room",
            &["MQTT-3.1.2-25", "MQTT-3.1.2-24"],
            || {
                vec![reads_connect(|connect, _| {
                    if maximum(connect) == Some(1) {
                        connect.properties.retain(|it| it.id != PropertyId::MaximumPacketSize);
                    }
                })]
            },
        ),
    ]
}

fn connections() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.9/maximum-of-first-connection",
            "The Receive Maximum of a session's first connection holds for the later ones",
            &["U-4.9-4", "MQTT-4.9.0-2"],
            || {
                let mut first: BTreeMap<Text, u32> = BTreeMap::new();
                vec![reads_connect(move |connect, _| {
                    if let Some(maximum) = maximum(connect) {
                        let kept = first.entry(connect.client_id.clone());
                        let kept = match connect.clean_start {
                            true => *kept.insert_entry(maximum).get(),
                            false => *kept.or_insert(maximum),
                        };
                        connect.properties.set(PropertyId::ReceiveMaximum, kept);
                    }
                })]
            },
        ),
        Mutant::new(
            "4.9/repeated-take-no-room",
            "Messages that are sent again on resume are not counted",
            &["MQTT-4.9.0-2"],
            || vec![Window { repeated_are_free: true, ..Window::default() }.rule()],
        )
        .also(&["MQTT-3.3.4-9"]),
        Mutant::new(
            "4.9/narrower-with-each-resume",
            "What was left open on one connection narrows the window of the next by one",
            &["U-4.9-4", "MQTT-4.9.0-1"],
            narrower_with_each_resume,
        ),
        Mutant::new(
            "4.9/any-pubcomp-frees",
            "PUBCOMP makes room even if its message took none on this connection",
            &["U-4.9-3", "MQTT-4.9.0-2"],
            || vec![Window { pubcomp_always_frees: true, ..Window::default() }.rule()],
        ),
    ]
}

fn limits() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.9/own-maximum-one-short",
            "The server takes one message less than the Receive Maximum that it announces",
            &["U-3.3.4-9"],
            || announces(100),
        )
        .configured(|config| config.receive_maximum = 99),
        Mutant::new(
            "4.9/own-maximum-one-over",
            "The server takes one message more than the Receive Maximum that it announces",
            &["U-3.3.4-9"],
            || announces(100),
        )
        .configured(|config| config.receive_maximum = 101),
        Mutant::new(
            "4.9/own-maximum-with-another-code",
            "A client that exceeds the server's Receive Maximum is told that of another error",
            &["U-4.13.1-6", "U-3.3.4-9", "U-3.14.2.1-13"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::Disconnect(disconnect) = packet
                        && disconnect.reason == ReasonCode::ReceiveMaximumExceeded
                    {
                        disconnect.reason = ReasonCode::PacketTooLarge;
                    }
                })]
            },
        ),
        Mutant::new(
            "4.9/own-maximum-without-close",
            "A client that exceeds the server's Receive Maximum is told so and not disconnected",
            &["MQTT-4.13.1-1", "MQTT-4.13.2-1", "MQTT-3.14.4-2"],
            own_maximum_without_close,
        ),
        Mutant::new(
            "4.9/pubrec-short-of-maximum",
            "The last message that fits the server's Receive Maximum is not answered",
            &["MQTT-4.3.3-8"],
            || {
                let mut open: BTreeSet<(ConnectionId, u16)> = BTreeSet::new();
                vec![ignores(move |packet, at| {
                    match packet {
                        Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                            open.insert((at.connection, publish.packet_id));
                        }
                        Packet::PubRel(ack) => {
                            open.remove(&(at.connection, ack.packet_id));
                        }
                        _ => return false,
                    }
                    open.len() >= 100
                })]
            },
        ),
    ]
}

fn own_maximum_without_close() -> Rules {
    vec![crossing(
        BTreeSet::<ConnectionId>::new(),
        |_, input, boundary| boundary.pass(input),
        |told, output, boundary| match &output {
            Output::Close(connection) if told.contains(connection) => {}
            Output::Send(connection, Packet::Disconnect(disconnect)) => {
                if disconnect.reason == ReasonCode::ReceiveMaximumExceeded {
                    told.insert(*connection);
                }
                boundary.emit(output);
            }
            _ => boundary.emit(output),
        },
    )]
}

fn announces(maximum: u32) -> Rules {
    vec![writes(move |packet, _| {
        if let Packet::ConnAck(connack) = packet {
            connack.properties.set(PropertyId::ReceiveMaximum, maximum);
        }
    })]
}

/// Overhears packets of clients that have as many messages to acknowledge as they take.
fn deaf_while_full(which: fn(&Packet) -> bool) -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, BTreeSet<u16>>::new(),
        move |open, packet, at, act| {
            let open = open.entry(at.connection).or_default();
            if let Packet::PubAck(ack) | Packet::PubComp(ack) = &packet {
                open.remove(&ack.packet_id);
            }
            let room = at.client().and_then(|client| maximum(&client.connect));
            let is_full = room.is_some_and(|room| open.len() >= room as usize);
            if !(is_full && which(&packet)) {
                act.receive(packet);
            }
        },
        |open, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && publish.qos > QoS::AtMostOnce
            {
                open.entry(at.connection).or_default().insert(publish.packet_id);
            }
            act.send(packet);
        },
    )]
}

fn too_large_takes_room() -> Rules {
    // Below this, CONNACK and DISCONNECT have to be cut to fit as well.
    const LEAST: u32 = 60;
    let limit = |at: At<'_>| {
        let connect = at.client().map(|client| &client.connect);
        connect.and_then(|it| it.properties.number(PropertyId::MaximumPacketSize))
    };
    vec![
        loses_publish(move |publish, at| {
            let size = Packet::from(publish.clone()).encoded_len().unwrap_or(usize::MAX);
            limit(at).is_some_and(|limit| size > limit as usize)
        }),
        reads_connect(|connect, _| {
            let limit = connect.properties.number(PropertyId::MaximumPacketSize);
            if limit.is_some_and(|limit| limit >= LEAST) {
                connect.properties.retain(|it| it.id != PropertyId::MaximumPacketSize);
            }
        }),
    ]
}

fn narrower_with_each_resume() -> Rules {
    let mut times: BTreeMap<Text, u32> = BTreeMap::new();
    vec![reads_connect(move |connect, _| {
        let lost = times.entry(connect.client_id.clone()).or_default();
        *lost = if connect.clean_start { 0 } else { *lost + 1 };
        if let Some(maximum) = maximum(connect) {
            let left = maximum.saturating_sub(*lost);
            connect.properties.set(PropertyId::ReceiveMaximum, left);
        }
    })]
}
