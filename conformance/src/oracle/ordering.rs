use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Packet, Publish, QoS, Text};

use super::exchange::Topics;
use super::history::{Act, History, Start};
use super::{Findings, Oracle};
use crate::trace::{Event, packet_text};

pub(super) const ORACLE: Oracle = Oracle {
    name: "ordering",
    holds: "First copies of one publisher's messages on one topic at one QoS keep their order",
    requirements: &["MQTT-4.6.0-5"],
    judge,
};

/// A message that was published once in the whole trace.
#[derive(Clone, Copy, Debug)]
struct Origin {
    connection: usize,
    qos: QoS,
    /// Its place among all packets.
    published: usize,
    /// That of its PUBREL: a broker may deliver at either (section 4.3.3).
    released: Option<usize>,
}

/// Where messages come from, by topic and payload; none where that may be several places.
type Origins = BTreeMap<(Text, Bytes), Option<Origin>>;

fn judge(trace: &[Event], findings: &mut Findings) {
    let history = History::of(trace);
    let Some(origins) = origins(&history) else { return };
    let mut topics = Topics::default();
    // What each client has seen, and the latest on each connection: by publisher and topic, the
    // QoS it was published at and the one it comes at.
    let mut seen = BTreeSet::new();
    let mut latest = BTreeMap::new();
    for step in &history.steps {
        let Act::Received(packet @ Packet::Publish(publish)) = &step.act else { continue };
        topics.learn(step.connection, publish);
        let topic = topics.topic(step.connection, publish);
        let Some(Some(origin)) = origins.get(&(topic.clone(), publish.payload.clone())) else {
            continue;
        };
        let known = &history.connections[step.connection];
        let client = known.connect.as_ref().map(|connect| connect.client_id.clone());
        let is_first = seen.insert((client, origin.published, publish.qos));
        // Copies that an earlier connection lost may have been the first.
        let is_judged = match known.start {
            Start::Fresh => true,
            Start::Resumed => publish.qos != QoS::AtMostOnce,
            Start::Unknown => false,
        };
        let is_live = !publish.dup && !publish.retain && !history.shares(step.connection);
        if !(is_first && is_judged && is_live && known.is_clear(step.index)) {
            continue;
        }
        let stream = (step.connection, origin.connection, topic, origin.qos, publish.qos);
        let last = latest.entry(stream).or_insert(*origin);
        if origin.is_before(last) {
            let expected = "messages in the order in which they were published";
            findings.add("MQTT-4.6.0-5", step.index, expected, packet_text(packet)); // MQTT-4.6.0-5
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
fn origins(history: &History<'_>) -> Option<Origins> {
    let mut origins = Origins::new();
    let mut topics = Topics::default();
    let mut open: BTreeMap<(usize, u16), (Text, Bytes)> = BTreeMap::new();
    if history.connections.iter().any(|connection| !connection.is_clear(usize::MAX - 1)) {
        return None;
    }
    for (place, step) in history.steps.iter().enumerate() {
        let Act::Sent(packet) = &step.act else { continue };
        match packet.as_ref() {
            Packet::Connect(connect) => {
                let will = connect.will.as_ref();
                origins.extend(will.map(|will| ((will.topic.clone(), will.payload.clone()), None)));
            }
            Packet::Publish(publish) => {
                topics.learn(step.connection, publish);
                let key = (topics.topic(step.connection, publish), publish.payload.clone());
                let origin = origin(place, step.connection, publish);
                let entry = origins.entry(key.clone());
                entry.and_modify(|origin| *origin = None).or_insert(Some(origin));
                open.insert((step.connection, publish.packet_id), key);
            }
            Packet::PubRel(ack) => {
                let key = open.get(&(step.connection, ack.packet_id));
                if let Some(Some(origin)) = key.and_then(|key| origins.get_mut(key)) {
                    origin.released.get_or_insert(place);
                }
            }
            _ => {}
        }
    }
    Some(origins)
}

fn origin(published: usize, connection: usize, publish: &Publish) -> Origin {
    Origin { connection, qos: publish.qos, published, released: None }
}
