//! SUBACK.

use reference_broker::codec::{Packet, PropertyId, QoS, ReasonCode};

use super::Mutant;
use super::s3_08_subscribe::{as_asked, grants_more};
use crate::boundary::Rule;
use crate::boundary::rules::writes;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.8/suback-identifier-swapped",
            "The Packet Identifier of a SUBACK has its bytes swapped if it is above 255",
            &["MQTT-3.8.4-2"],
            || {
                vec![writes_suback(|packet_id, _| {
                    if *packet_id > 0xFF {
                        *packet_id = packet_id.swap_bytes();
                    }
                })]
            },
        )
        .also(&["MQTT-2.2.1-6"]),
        Mutant::new(
            "3.9/codes-reversed",
            "The codes of a SUBACK are in reverse order if there are more than four",
            &["MQTT-3.9.3-1"],
            || {
                vec![writes_suback(|_, reasons| {
                    if reasons.len() > 4 {
                        reasons.reverse();
                    }
                })]
            },
        ),
        Mutant::new(
            "3.9/at-most-64-codes",
            "A SUBACK has 64 codes at most",
            &["MQTT-3.8.4-6"],
            || vec![writes_suback(|_, reasons| reasons.truncate(64))],
        ),
        Mutant::new(
            "3.9/at-most-255-codes",
            "A SUBACK has 255 codes at most",
            &["MQTT-3.8.4-6"],
            || vec![writes_suback(|_, reasons| reasons.truncate(255))],
        ),
        Mutant::new(
            "3.9/codes-in-two-halves",
            "Of more than 128 codes in a SUBACK those from the 129th on come first",
            &["MQTT-3.9.3-1"],
            || {
                vec![writes_suback(|_, reasons| {
                    let first = reasons.len().min(128);
                    reasons.rotate_left(first);
                })]
            },
        ),
        Mutant::new(
            "3.9/one-code",
            "A SUBACK has one code whatever the number of filters",
            &["MQTT-3.8.4-6"],
            || vec![writes_suback(|_, reasons| reasons.truncate(1))],
        ),
        Mutant::new(
            "3.9/bad-filter-granted",
            "An invalid filter is answered as granted if another filter of the same SUBSCRIBE is granted",
            &["MQTT-3.8.4-7"],
            || {
                vec![writes_suback(|_, reasons| {
                    if reasons.iter().any(|code| !code.is_error()) {
                        let refused = reasons.iter_mut().filter(|code| code.is_error());
                        refused.for_each(|code| *code = ReasonCode::Success);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.9/granted-told-too-low",
            "QoS 2 is granted and told as QoS 1",
            &["MQTT-3.8.4-7", "U-3.9.3-1"],
            || {
                vec![writes_suback(|_, reasons| {
                    let highest = reasons.iter_mut().filter(|it| **it == ReasonCode::GrantedQoS2);
                    highest.for_each(|code| *code = ReasonCode::GrantedQoS1);
                })]
            },
        ),
        Mutant::new(
            "3.9/reason-beyond-limit",
            "A SUBACK that refuses says why, however little its client takes",
            &["MQTT-3.9.2-1", "MQTT-3.1.2-24"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::SubAck(suback) = packet
                        && suback.reasons.iter().any(|code| code.is_error())
                    {
                        suback
                            .properties
                            .set(PropertyId::ReasonString, "there is a filter too bad");
                    }
                })]
            },
        ),
        Mutant::new(
            "3.9/delivered-above-granted",
            "To a subscription that was granted QoS 0 messages come at the QoS published",
            &["U-3.9.3-1", "MQTT-3.8.4-8"],
            || vec![as_asked(), grants_more(QoS::ExactlyOnce)],
        ),
    ]
}

/// Alters the Packet Identifier and the codes of SUBACK packets.
fn writes_suback(alter: impl Fn(&mut u16, &mut Vec<ReasonCode>) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, _| {
        if let Packet::SubAck(suback) = packet {
            alter(&mut suback.packet_id, &mut suback.reasons);
        }
    })
}
