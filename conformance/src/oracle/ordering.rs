use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Packet, QoS, Text};

use super::connections::{Passed, Reading, Received, Sent, Step};
use super::exchange::Topics;
use super::sessions::Start;
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "ordering",
    holds: "First copies of one publisher's messages on one topic at one QoS keep their order",
    requirements: &["MQTT-4.6.0-5"],
    judge,
};

/// A message that was published once in the whole trace.
#[derive(Clone, Copy, Debug)]
struct Origin {
    /// The connection.
    place: usize,
    qos: QoS,
    /// Its number among all packets.
    published: usize,
    /// That of its PUBREL: a broker may deliver at either (section 4.3.3).
    released: Option<usize>,
}

/// Where messages come from, by topic and payload; none where that may be several places.
type Origins = BTreeMap<(Text, Bytes), Option<Origin>>;

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let Some(origins) = origins(reading) else { return };
    let sessions = reading.sessions();
    let mut topics = Topics::default();
    // What each client has seen, and the latest on each connection: by publisher and topic, the
    // QoS it was published at and the one it comes at.
    let mut seen = BTreeSet::new();
    let mut latest = BTreeMap::new();
    for Step { at, place, connection, passed } in reading.steps() {
        let Passed::Received(Received::Packet(packet @ Packet::Publish(publish))) = passed else {
            continue;
        };
        topics.learn(place, publish);
        let topic = topics.topic(place, publish);
        let Some(Some(origin)) = origins.get(&(topic.clone(), publish.payload.clone())) else {
            continue;
        };
        let is_first = seen.insert((connection.client_id(), origin.published, publish.qos));
        // Copies that an earlier connection lost may have been the first.
        let is_judged = match sessions[place].start {
            Start::Fresh => true,
            Start::Resumed => publish.qos != QoS::AtMostOnce,
            Start::Unknown => false,
        };
        let is_live = !publish.dup && !publish.retain && !sessions[place].shares;
        if !(is_first && is_judged && is_live) {
            continue;
        }
        let stream = (place, origin.place, topic, origin.qos, publish.qos);
        let last = latest.entry(stream).or_insert(*origin);
        if origin.is_before(last) {
            let expected = "messages in the order in which they were published";
            findings.add("MQTT-4.6.0-5", at, expected, packet_text(packet)); // MQTT-4.6.0-5
        } else if last.published < origin.published {
            *last = *origin;
        }
    }
}

impl Origin {
    fn is_before(&self, other: &Origin) -> bool {
        let is_released_before = match (self.released, other.released) {
            _ if self.qos != QoS::ExactlyOnce => true,
            (Some(own), Some(other)) => own < other,
            _ => false,
        };
        self.published < other.published && is_released_before
    }
}

/// Nothing if not all messages that were published are known.
fn origins(reading: &Reading<'_>) -> Option<Origins> {
    let mut origins = Origins::new();
    let mut topics = Topics::default();
    let mut open: BTreeMap<(usize, u16), (Text, Bytes)> = BTreeMap::new();
    if reading.connections.iter().any(|connection| connection.unclear_from.is_some()) {
        return None;
    }
    for (number, Step { place, passed, .. }) in reading.steps().enumerate() {
        let Passed::Sent(Sent::Packet(packet)) = passed else { continue };
        match packet.as_ref() {
            Packet::Connect(connect) => {
                let will = connect.will.as_ref();
                origins.extend(will.map(|will| ((will.topic.clone(), will.payload.clone()), None)));
            }
            Packet::Publish(publish) => {
                topics.learn(place, publish);
                let key = (topics.topic(place, publish), publish.payload.clone());
                let qos = publish.qos;
                let origin = Origin { place, qos, published: number, released: None };
                let entry = origins.entry(key.clone());
                entry.and_modify(|origin| *origin = None).or_insert(Some(origin));
                open.insert((place, publish.packet_id), key);
            }
            Packet::PubRel(ack) => {
                let key = open.get(&(place, ack.packet_id));
                if let Some(Some(origin)) = key.and_then(|key| origins.get_mut(key)) {
                    origin.released.get_or_insert(number);
                }
            }
            _ => {}
        }
    }
    Some(origins)
}
