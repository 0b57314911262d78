//! What clients repeat on resume.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PublishAck, QoS, Text};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{ignores, through};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.4/qos1-repetition-unanswered",
            "A QoS 1 PUBLISH with DUP 1 is overlooked",
            &["MQTT-4.3.2-4"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::Publish(it) if it.dup && it.qos == QoS::AtLeastOnce),
                )]
            },
        ),
        Mutant::new(
            "4.4/pubrel-after-resume-unanswered",
            "PUBREL on a connection that resumes a session is not answered",
            &["MQTT-4.3.3-11", "U-4.1-8"],
            || {
                vec![ignores(|packet, at| {
                    let resumed = at.client().is_some_and(|client| client.resumed);
                    matches!(packet, Packet::PubRel(_)) && resumed
                })]
            },
        ),
        Mutant::new(
            "4.4/received-forgotten-on-resume",
            "A resumed session does not know the QoS 2 messages that it had half received",
            &["U-4.1-8", "MQTT-4.3.3-10"],
            || received_forgotten_on_resume(1),
        ),
        Mutant::new(
            "4.4/received-forgotten-on-second-resume",
            "A session resumed twice does not know the QoS 2 messages that it had half received",
            &["U-4.1-8", "MQTT-4.3.3-10"],
            || received_forgotten_on_resume(2),
        ),
    ]
}

fn received_forgotten_on_resume(from: u32) -> Rules {
    #[derive(Default)]
    struct State {
        open: BTreeMap<Text, BTreeSet<u16>>,
        times: BTreeMap<Text, u32>,
        hidden: usize,
    }
    vec![through(
        State::default(),
        |state, packet, at, act| {
            let open = state.open.entry(at.id()).or_default();
            match &packet {
                Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                    open.insert(publish.packet_id);
                }
                Packet::PubRel(ack) => {
                    open.remove(&ack.packet_id);
                }
                _ => {}
            }
            act.receive(packet);
        },
        move |state, packet, at, act| match &packet {
            Packet::ConnAck(connack) if connack.session_present => {
                let times = state.times.entry(at.id()).or_default();
                *times += 1;
                let open = match *times >= from {
                    true => state.open.remove(&at.id()).unwrap_or_default(),
                    false => BTreeSet::new(),
                };
                state.hidden += open.len();
                act.send(packet);
                for id in open {
                    act.receive(Packet::PubRel(PublishAck::new(id)));
                }
            }
            Packet::PubComp(_) if state.hidden > 0 => state.hidden -= 1,
            _ => act.send(packet),
        },
    )]
}
