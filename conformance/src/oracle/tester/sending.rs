use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Packet, Publish, PublishAck, QoS, ReasonCode};

use super::super::connections::{Passed, Reading, Received, Step};
use super::super::exchange::Stage;
use super::super::sessions::{Start, sessions};
use super::super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-sending",
    holds: "The suite takes free Packet Identifiers, sends again on resumption only, keeps order",
    requirements: &[
        "MQTT-2.2.1-3",
        "MQTT-2.2.1-5",
        "MQTT-3.3.1-1",
        "MQTT-4.3.2-2",
        "MQTT-4.3.3-2",
        "MQTT-4.3.3-4",
        "MQTT-4.3.3-6",
        "MQTT-4.4.0-1",
        "MQTT-4.6.0-1",
        "MQTT-4.6.0-4",
    ],
    judge,
};

/// A message of ours whose exchange is not over.
#[derive(Debug)]
struct Open {
    /// When it was first sent, among those of its session.
    number: usize,
    /// The connection over which it, or its PUBREL, was sent last.
    place: usize,
    payload: Bytes,
    qos: QoS,
    stage: Stage,
}

/// The exchanges of one session.
#[derive(Debug, Default)]
struct Exchanges {
    open: BTreeMap<u16, Open>,
    sent: usize,
}

/// What belongs to one connection.
#[derive(Debug, Default)]
struct Line {
    /// Identifiers of SUBSCRIBE and UNSUBSCRIBE without an answer.
    requests: BTreeSet<u16>,
    /// Messages whose PUBREC has come and whose PUBREL is to follow, in that order.
    recorded: Vec<u16>,
    /// PUBREC that came for no message of ours: PUBREL may say so.
    strange: BTreeSet<u16>,
}

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let sessions = sessions(reading);
    let mut exchanges: BTreeMap<usize, Exchanges> = BTreeMap::new();
    let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
    for Step { at, place, passed, .. } in reading.steps() {
        let session = sessions[place];
        let exchanges = exchanges.entry(session.number).or_default();
        let line = lines.entry(place).or_default();
        match passed {
            Passed::Received(Received::Packet(packet)) => exchanges.received(line, packet),
            Passed::Received(_) => {}
            Passed::Sent(sent) => {
                let Some(packet) = sent.packet() else { continue };
                let is_known = session.start != Start::Unknown;
                let fault = match packet {
                    Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                        exchanges.published(line, place, publish, is_known)
                    }
                    Packet::PubRel(ack) => exchanges.released(line, place, ack, is_known),
                    Packet::Subscribe(it) => exchanges.requested(line, it.packet_id),
                    Packet::Unsubscribe(it) => exchanges.requested(line, it.packet_id),
                    _ => None,
                };
                if let Some((requirement, expected)) = fault {
                    findings.add(requirement, at, expected, packet_text(packet));
                }
            }
        }
    }
}

type Fault = Option<(&'static str, &'static str)>;

const IN_USE: Fault = Some(("MQTT-2.2.1-3", "a Packet Identifier that is not in use")); // MQTT-2.2.1-3

impl Exchanges {
    fn received(&mut self, line: &mut Line, packet: &Packet) {
        match packet {
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
                line.requests.remove(&ack.packet_id);
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.open.remove(&ack.packet_id);
            }
            Packet::PubRec(ack) => match self.open.get_mut(&ack.packet_id) {
                Some(_) if ack.reason.is_error() => drop(self.open.remove(&ack.packet_id)),
                Some(open) => {
                    if open.stage == Stage::Published {
                        open.stage = Stage::Recorded;
                        line.recorded.push(ack.packet_id);
                    }
                }
                None => drop(line.strange.insert(ack.packet_id)),
            },
            _ => {}
        }
    }

    fn requested(&self, line: &mut Line, id: u16) -> Fault {
        let is_free = line.requests.insert(id) && !self.open.contains_key(&id);
        if is_free { None } else { IN_USE }
    }

    fn published(
        &mut self,
        line: &mut Line,
        place: usize,
        publish: &Publish,
        is_known: bool,
    ) -> Fault {
        let id = publish.packet_id;
        let is_same = |open: &Open| open.payload == publish.payload && open.qos == publish.qos;
        let fault = match self.open.get(&id) {
            Some(open) if is_same(open) => return self.repeated(id, place, publish.dup),
            Some(_) => IN_USE,
            None if line.requests.contains(&id) => IN_USE,
            None if publish.dup && is_known => match publish.qos {
                QoS::ExactlyOnce => Some(("MQTT-4.3.3-2", "DUP 0 at first")), // MQTT-4.3.3-2
                _ => Some(("MQTT-4.3.2-2", "DUP 0 at first")),                // MQTT-4.3.2-2
            },
            None if self.left_behind(place, usize::MAX) => {
                Some(("MQTT-4.4.0-1", "what is unacknowledged sent again on resumption")) // MQTT-4.4.0-1
            }
            None => None,
        };
        line.recorded.retain(|recorded| *recorded != id);
        self.sent += 1;
        let (payload, qos, number) = (publish.payload.clone(), publish.qos, self.sent);
        self.open.insert(id, Open { number, place, payload, qos, stage: Stage::Published });
        fault
    }

    /// Whether a message before this number waits on an older connection to be sent again.
    fn left_behind(&self, place: usize, number: usize) -> bool {
        let waits = |open: &Open| open.stage == Stage::Published && open.place != place;
        self.open.values().any(|open| open.number < number && waits(open))
    }

    fn repeated(&mut self, id: u16, place: usize, dup: bool) -> Fault {
        let number = self.open.get(&id).map_or(0, |open| open.number);
        let left_behind = self.left_behind(place, number);
        let open = self.open.get_mut(&id)?;
        let is_live = open.place == place;
        open.place = place;
        match open.stage {
            Stage::Released => Some(("MQTT-4.3.3-6", "no PUBLISH after its PUBREL")), // MQTT-4.3.3-6
            Stage::Recorded => Some(("MQTT-4.4.0-1", "no PUBLISH after its PUBREC")), // MQTT-4.4.0-1
            Stage::Published if is_live => {
                Some(("MQTT-4.4.0-1", "no message sent twice on one connection")) // MQTT-4.4.0-1
            }
            Stage::Published if !dup => Some(("MQTT-3.3.1-1", "DUP 1 on what is sent again")), // MQTT-3.3.1-1
            Stage::Published if left_behind => {
                Some(("MQTT-4.6.0-1", "messages sent again in their order")) // MQTT-4.6.0-1
            }
            Stage::Published => None,
        }
    }

    fn released(
        &mut self,
        line: &mut Line,
        place: usize,
        ack: &PublishAck,
        is_known: bool,
    ) -> Fault {
        let id = ack.packet_id;
        let turn = line.recorded.iter().position(|recorded| *recorded == id);
        turn.map(|turn| line.recorded.remove(turn));
        let answers_strange = line.strange.remove(&id);
        let Some(open) = self.open.get_mut(&id) else {
            let is_denied = ack.reason == ReasonCode::PacketIdentifierNotFound;
            let is_right = !is_known || answers_strange || is_denied;
            let expected = "PUBREL for a message of ours";
            return (!is_right).then_some(("MQTT-2.2.1-5", expected)); // MQTT-2.2.1-5
        };
        let (stage, is_live) = (open.stage, open.place == place);
        (open.stage, open.place) = (Stage::Released, place);
        match (stage, turn) {
            (Stage::Published, _) => Some(("MQTT-4.3.3-4", "PUBREL after PUBREC")), // MQTT-4.3.3-4
            (Stage::Recorded, Some(1..)) => {
                Some(("MQTT-4.6.0-4", "PUBREL in the order of PUBREC")) // MQTT-4.6.0-4
            }
            (Stage::Released, _) if is_live => Some(("MQTT-4.4.0-1", "PUBREL once")), // MQTT-4.4.0-1
            _ => None,
        }
    }
}
