//! PINGREQ and PINGRESP.

use reference_broker::codec::Packet;

use super::Mutant;
use crate::boundary::rules::{after, ignores, repeats, swallows};

pub(super) fn mutants() -> Vec<Mutant> {
    let is_request =
        |packet: &Packet, _: crate::boundary::rules::At<'_>| matches!(packet, Packet::PingReq);
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
            "Only the first PINGREQ of all is answered",
            &["MQTT-3.12.4-1"],
            move || vec![ignores(after(1, is_request))],
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
