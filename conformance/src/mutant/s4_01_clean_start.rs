//! Session State, and what a clean start leaves of it.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PublishAck, QoS, Text};

use super::Mutant;
use crate::boundary::rules::subscriptions::resubscribes;
use crate::boundary::rules::{At, inward, through};
use crate::boundary::{Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.1/clean-start-keeps-subscriptions",
            "Subscriptions come back after a clean start",
            &["MQTT-3.1.2-4"],
            || {
                vec![resubscribes(
                    |at, present| !present && at.is_clean_start(),
                    |_, held| Some(held),
                )]
            },
        )
        .also(&["MQTT-3.3.2-3"]),
        Mutant::new(
            "4.1/clean-start-keeps-messages",
            "After a clean start messages of the old session come, but no others",
            &["MQTT-3.1.2-4"],
            || {
                vec![
                    resubscribes(|at, _| at.is_clean_start(), |_, _| None),
                    hides_old_sessions(|_| true),
                ]
            },
        ),
        Mutant::new(
            "4.1/clean-start-keeps-after-takeover",
            "A clean start that takes over an open connection goes on with its session",
            &["MQTT-3.1.2-4"],
            || vec![hides_old_sessions(|at| at.is_takeover())],
        ),
        Mutant::new(
            "4.1/clean-start-keeps-received",
            "After a clean start the identifiers of half-received messages are still in use",
            &["MQTT-3.1.2-4"],
            clean_start_keeps_received,
        ),
    ]
}

/// Makes nothing of a clean start but to say that there was no session.
fn hides_old_sessions(which: fn(At<'_>) -> bool) -> Box<dyn Rule> {
    through(
        (),
        move |(), mut packet, at, act| {
            if let Packet::Connect(connect) = &mut packet
                && which(at)
            {
                connect.clean_start = false;
            }
            act.receive(packet);
        },
        |(), mut packet, at, act| {
            if let Packet::ConnAck(connack) = &mut packet {
                connack.session_present &= !at.is_clean_start();
            }
            act.send(packet);
        },
    )
}

fn clean_start_keeps_received() -> Rules {
    let mut open: BTreeMap<Text, BTreeSet<u16>> = BTreeMap::new();
    let mut old: BTreeMap<Text, BTreeSet<u16>> = BTreeMap::new();
    vec![inward(move |packet, at, act| {
        match &packet {
            Packet::Connect(connect) if connect.clean_start => {
                let left = open.remove(&connect.client_id).unwrap_or_default();
                old.entry(connect.client_id.clone()).or_default().extend(left);
            }
            Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                let id = publish.packet_id;
                if old.get(&at.id()).is_some_and(|old| old.contains(&id)) {
                    return act.send(Packet::PubRec(PublishAck::new(id)));
                }
                open.entry(at.id()).or_default().insert(id);
            }
            Packet::PubRel(ack) => {
                for ids in [&mut open, &mut old] {
                    ids.entry(at.id()).or_default().remove(&ack.packet_id);
                }
            }
            _ => {}
        }
        act.receive(packet);
    })]
}
