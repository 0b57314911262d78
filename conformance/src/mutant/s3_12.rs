//! PINGREQ and PINGRESP.

use std::collections::BTreeMap;

use reference_broker::codec::Packet;
use reference_broker::core::ConnectionId;

use super::Mutant;
use crate::boundary::rules::{repeats, swallows, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let is_response =
        |packet: &Packet, _: crate::boundary::rules::At<'_>| matches!(packet, Packet::PingResp);
    vec![
        Mutant::new(
            "3.12/pingresp-lost",
            "No PINGREQ is answered",
            &["MQTT-3.12.4-1"],
            move || vec![swallows(is_response)],
        ),
        Mutant::new(
            "3.12/pingreq-answered-once",
            "Of consecutive PINGREQ packets only the first is answered",
            &["MQTT-3.12.4-1"],
            || {
                vec![through(
                    BTreeMap::<ConnectionId, bool>::new(),
                    |again, packet, at, act| {
                        match packet {
                            Packet::PingReq => {
                                let is_again = again.contains_key(&at.connection);
                                again.insert(at.connection, is_again);
                            }
                            _ => _ = again.remove(&at.connection),
                        }
                        act.receive(packet);
                    },
                    |again, packet, at, act| {
                        let is_again = again.get(&at.connection) == Some(&true);
                        if packet != Packet::PingResp || !is_again {
                            act.send(packet);
                        }
                    },
                )]
            },
        ),
        Mutant::new(
            "3.12/pingresp-twice",
            "Each PINGREQ is answered twice",
            &["MQTT-3.12.4-1"],
            move || vec![repeats(is_response)],
        )
        .systemic(),
    ]
}
