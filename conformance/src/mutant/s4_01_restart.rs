//! What a broker loses when it is restarted.

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, Publish, ReasonCode};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::restart::after_restart;
use crate::boundary::resume::on_resume;
use crate::boundary::rules::{inward, outward};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.1/restart-loses-sessions",
            "After a restart no session is there any more",
            &["U-4.1-1", "U-4.1-3"],
            sessions_lost,
        )
        .also(&["U-4.1-5", "U-4.1-6", "U-4.1-8", "MQTT-3.1.2-8"]),
        Mutant::new(
            "4.1/restart-loses-queue",
            "After a restart messages that waited for a session are lost",
            &["U-4.1-6"],
            || vec![after_restart(loses_on_resume(|publish| !publish.dup))],
        ),
        Mutant::new(
            "4.1/restart-loses-what-was-sent",
            "After a restart messages that were sent are taken for acknowledged",
            &["U-4.1-5"],
            || vec![after_restart(loses_on_resume(|publish| publish.dup))],
        )
        .also(&["MQTT-4.4.0-1"]),
        Mutant::new(
            "4.1/restart-forgets-received",
            "After a restart nothing is known of QoS 2 messages that were received",
            &["U-4.1-8"],
            || vec![after_restart(received_forgotten())],
        ),
        Mutant::new(
            "4.1/restart-loses-retained",
            "After a restart no retained message is there any more",
            &["MQTT-3.3.1-5", "U-4.1-10"],
            || {
                vec![after_restart(outward(|packet, _, act| match packet {
                    Packet::Publish(publish) if publish.retain => {}
                    packet => act.send(packet),
                }))]
            },
        ),
        Mutant::new(
            "4.1/restart-loses-wills",
            "After a restart no Will is published that was still to be",
            &["MQTT-3.1.2-8"],
            || {
                vec![after_restart(outward(|packet, _, act| match packet {
                    Packet::Publish(publish) if publish.topic.ends_with("/will") => {}
                    packet => act.send(packet),
                }))]
            },
        ),
    ]
}

fn sessions_lost() -> Rules {
    let mut met = BTreeSet::new();
    vec![after_restart(inward(move |packet, at, act| match packet {
        Packet::Connect(mut connect) => {
            connect.clean_start |= met.insert(at.id());
            act.receive(Packet::Connect(connect));
        }
        packet => act.receive(packet),
    }))]
}

fn loses_on_resume(
    is_lost: impl Fn(&Publish) -> bool + Send + 'static,
) -> Box<dyn crate::boundary::Rule> {
    on_resume(move |packet, _, act, _| match &packet {
        Packet::Publish(publish) if is_lost(publish) => {}
        _ => act.send(packet),
    })
}

fn received_forgotten() -> Box<dyn crate::boundary::Rule> {
    outward(|packet, _, act| match packet {
        Packet::PubComp(mut pubcomp) => {
            pubcomp.reason = ReasonCode::PacketIdentifierNotFound;
            act.send(Packet::PubComp(pubcomp));
        }
        packet => act.send(packet),
    })
}
