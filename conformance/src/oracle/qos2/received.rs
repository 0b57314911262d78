//! The broker as the receiver: what a client repeats within one exchange is one message.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use reference_broker::codec::{Packet, PublishAck, QoS, Text};
use reference_broker::topic::TopicName;

use super::super::connections::{Passed, Reading, Received, Sent};
use super::super::exchange::Topics;
use super::super::{Findings, subscriptions};
use crate::trace::packet_text;

/// A message by what can be seen of it: topic and payload.
type Message = (Text, Bytes);

/// The exchange that a message was published in: session, Packet Identifier, and how many had that
/// identifier before.
type Exchange = (usize, u16, usize);

/// How a message was published.
#[derive(Debug)]
struct Published {
    /// The only exchange it was published in; none where there are others, or where it came otherwise.
    exchange: Option<Exchange>,
    times: usize,
}

impl Published {
    fn is_repeated(&self) -> bool {
        self.exchange.is_some() && self.times > 1
    }
}

/// Counts the copies of each message that is repeated within its only exchange. Only what is certainly a
/// new copy counts, on one connection: no DUP, no RETAIN, at QoS 2.
pub(super) fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let is_unclear = reading.connections.iter().any(|it| it.unclear_from.is_some());
    if is_unclear || reading.stranger_from().is_some() {
        return;
    }
    let published = messages(reading);
    let is_repeated =
        |message: &Message| published.get(message).is_some_and(Published::is_repeated);
    if !published.values().any(Published::is_repeated) {
        return;
    }
    let clients = subscriptions::clients(&reading.connections);
    let mut topics = Topics::default();
    let mut copies: BTreeMap<(usize, Message), usize> = BTreeMap::new();
    for step in reading.steps() {
        let Passed::Received(Received::Packet(packet @ Packet::Publish(publish))) = step.passed
        else {
            continue;
        };
        topics.learn(step.place, publish);
        let message = (topics.topic(step.place, publish), publish.payload.clone());
        let is_new = publish.qos == QoS::ExactlyOnce && !publish.dup && !publish.retain;
        let client = step.connection.client_id().and_then(|id| clients.get(id));
        let (Ok(name), Some(client)) = (TopicName::parse(&message.0), client) else { continue };
        if !is_new || !is_repeated(&message) || !client.is_clear(step.at) {
            continue;
        }
        // Each may bring a copy, be it for several or for one: section 3.3.4.
        let subscriptions = client.matching(&name).count();
        let count = copies.entry((step.place, message)).or_default();
        *count += 1;
        if *count > subscriptions {
            let expected = "one copy of a message that its client repeated before PUBREL";
            findings.add("MQTT-4.3.3-10", step.at, expected, packet_text(packet)); // MQTT-4.3.3-10
        }
    }
}

/// Every message that the clients published, Wills included.
fn messages(reading: &Reading<'_>) -> BTreeMap<Message, Published> {
    let sessions = reading.sessions();
    let mut topics = Topics::default();
    let mut messages: BTreeMap<Message, Published> = BTreeMap::new();
    let mut note = |message: Message, exchange: Option<Exchange>| match messages.entry(message) {
        Entry::Vacant(entry) => drop(entry.insert(Published { exchange, times: 1 })),
        Entry::Occupied(mut entry) => {
            let known = entry.get_mut();
            known.times += 1;
            known.exchange = known.exchange.filter(|known| Some(*known) == exchange);
        }
    };
    // By session and identifier: how many exchanges have ended.
    let mut ended: BTreeMap<(usize, u16), usize> = BTreeMap::new();
    for step in reading.steps() {
        let session = sessions[step.place].number;
        let mut end = |ack: &PublishAck| *ended.entry((session, ack.packet_id)).or_default() += 1;
        let packet = match step.passed {
            Passed::Sent(Sent::Packet(packet)) => packet.as_ref(),
            Passed::Received(Received::Packet(Packet::PubRec(ack))) if ack.reason.is_error() => {
                end(ack);
                continue;
            }
            _ => continue,
        };
        match packet {
            Packet::PubRel(ack) => end(ack),
            Packet::Connect(connect) => {
                let will = connect.will.as_ref();
                will.into_iter().for_each(|it| note((it.topic.clone(), it.payload.clone()), None));
            }
            Packet::Publish(publish) => {
                topics.learn(step.place, publish);
                let id = publish.packet_id;
                let before = ended.get(&(session, id)).copied().unwrap_or(0);
                let exchange = (publish.qos == QoS::ExactlyOnce).then_some((session, id, before));
                note((topics.topic(step.place, publish), publish.payload.clone()), exchange);
            }
            _ => {}
        }
    }
    messages
}
