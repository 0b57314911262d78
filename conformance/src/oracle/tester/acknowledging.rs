use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PublishAck, QoS};

use super::super::connections::{Passed, Reading, Received, Step};
use super::super::sessions::{Start, sessions};
use super::super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-acknowledging",
    holds: "The suite acknowledges messages in order, each once, as its QoS demands",
    requirements: &["MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-3.3.4-1", "MQTT-2.2.1-5"],
    judge,
};

/// Messages that came over one connection and have no answer yet, in their order.
#[derive(Debug, Default)]
struct Unanswered {
    qos1: Vec<u16>,
    qos2: Vec<u16>,
    /// PUBREL that PUBCOMP is to follow.
    released: BTreeSet<u16>,
}

impl Unanswered {
    fn of(&mut self, qos: QoS) -> &mut Vec<u16> {
        match qos {
            QoS::ExactlyOnce => &mut self.qos2,
            _ => &mut self.qos1,
        }
    }

    /// What an acknowledgement of a message of this QoS breaks.
    fn answer(&mut self, id: u16, qos: QoS) -> Option<&'static str> {
        let other = if qos == QoS::ExactlyOnce { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let order = if qos == QoS::ExactlyOnce { "MQTT-4.6.0-3" } else { "MQTT-4.6.0-2" }; // MQTT-4.6.0-2 MQTT-4.6.0-3
        let waiting = self.of(qos);
        match waiting.iter().position(|it| *it == id) {
            Some(place) => {
                waiting.remove(place);
                (place > 0).then_some(order)
            }
            None => match self.of(other).contains(&id) {
                true => Some("MQTT-3.3.4-1"),  // MQTT-3.3.4-1
                false => Some("MQTT-2.2.1-5"), // MQTT-2.2.1-5
            },
        }
    }
}

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let sessions = sessions(reading);
    let mut unanswered: BTreeMap<usize, Unanswered> = BTreeMap::new();
    for Step { at, place, passed, .. } in reading.steps() {
        let waiting = unanswered.entry(place).or_default();
        match passed {
            Passed::Received(Received::Packet(Packet::Publish(publish))) => {
                if publish.qos != QoS::AtMostOnce {
                    waiting.of(publish.qos).push(publish.packet_id);
                }
            }
            Passed::Received(Received::Packet(Packet::PubRel(ack))) => {
                waiting.released.insert(ack.packet_id);
            }
            Passed::Received(_) => {}
            Passed::Sent(sent) => {
                let Some(packet) = sent.packet() else { continue };
                let Some((requirement, expected)) = fault_of(packet, waiting) else { continue };
                // In a session that began out of sight there may have been what this answers.
                if requirement != "MQTT-2.2.1-5" || sessions[place].start != Start::Unknown {
                    findings.add(requirement, at, expected, packet_text(packet));
                }
            }
        }
    }
}

fn fault_of(packet: &Packet, waiting: &mut Unanswered) -> Option<(&'static str, &'static str)> {
    let mut answer = |ack: &PublishAck, qos| waiting.answer(ack.packet_id, qos);
    let requirement = match packet {
        Packet::PubAck(ack) => answer(ack, QoS::AtLeastOnce),
        Packet::PubRec(ack) => answer(ack, QoS::ExactlyOnce),
        Packet::PubComp(ack) if !waiting.released.remove(&ack.packet_id) => {
            Some("MQTT-2.2.1-5") // MQTT-2.2.1-5
        }
        _ => None,
    }?;
    let expected = match requirement {
        "MQTT-2.2.1-5" => "an acknowledgement of what has come",
        "MQTT-3.3.4-1" => "PUBACK at QoS 1, PUBREC at QoS 2",
        _ => "acknowledgements in the order of the messages",
    };
    Some((requirement, expected))
}
