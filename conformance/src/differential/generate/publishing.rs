//! Writes messages and Wills.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{Packet, Properties, PropertyId, Publish, PublishAck, QoS, Will};

use super::moves::{Extra, Message, Payload, UNKNOWN_ALIAS};
use super::writer::{Client, Writer};

impl Writer {
    pub(super) fn will(&mut self, message: &Message, delay: u32) -> Will {
        let mut will = Will::new(&*message.topic, self.payload(message)).qos(message.qos);
        // A Will has no more than this.
        will.payload.truncate(usize::from(u16::MAX));
        will.retain = message.retain;
        will.properties = properties(message);
        if delay > 0 {
            will.properties.push(PropertyId::WillDelayInterval, delay);
        }
        will
    }

    pub(super) fn payload(&mut self, message: &Message) -> Bytes {
        self.published += 1;
        let name = format!("m{}", self.published);
        match message.payload {
            Payload::None => Bytes::new(),
            Payload::Short | Payload::Fitting(_) | Payload::Bordering(_) => name.into(),
            Payload::Binary => [name.as_bytes(), b"\xFF\xC0\x00"].concat().into(),
            Payload::Padded(by) => format!("{name}{}", "_".repeat(by)).into(),
        }
    }

    pub(super) fn publish(&mut self, client: usize, message: &Message, released: bool) {
        let packet_id = match message.qos {
            QoS::AtMostOnce => 0,
            _ => self.next_id(client),
        };
        let payload = self.payload(message);
        let mut publish = Publish::new(&*message.topic, payload).qos(message.qos, packet_id);
        publish.retain = message.retain;
        publish.properties = properties(message);
        if let Some(alias) = message.alias {
            publish.properties.push(PropertyId::TopicAlias, u32::from(alias));
            let Client { aliases, old_aliases, .. } = &mut self.clients[client];
            let has_topic =
                |of: &BTreeMap<u16, Cow<'static, str>>| of.get(&alias) == Some(&message.topic);
            if alias == UNKNOWN_ALIAS || has_topic(aliases) || has_topic(old_aliases) {
                publish.topic = "".into();
            } else {
                aliases.insert(alias, message.topic.clone());
            }
        }
        match message.payload {
            Payload::Fitting(by) => self.fit(&mut publish, by),
            Payload::Bordering(remaining) => self.reach(&mut publish, remaining),
            _ => {}
        }
        if message.qos > QoS::AtMostOnce {
            self.clients[client].sent.push(publish.clone());
        }
        self.send(client, publish);
        if message.qos == QoS::ExactlyOnce && released {
            self.send(client, Packet::PubRel(PublishAck::new(packet_id)));
        }
    }

    /// Makes a message as large as the broker takes, and so many bytes more.
    pub(super) fn fit(&self, publish: &mut Publish, by: isize) {
        let len = Packet::from(publish.clone()).encoded_len().unwrap_or(0);
        let more = self.size_limit.and_then(|limit| limit.checked_add_signed(by)?.checked_sub(len));
        if let Some(more @ 1..=1_000) = more {
            publish.payload = [&publish.payload[..], "_".repeat(more).as_bytes()].concat().into();
        }
    }

    /// Makes the Remaining Length of a message this one where the script is played, if the broker takes packets of
    /// that size and the message is not larger already.
    fn reach(&self, publish: &mut Publish, remaining: usize) {
        let mut packet = Packet::from(publish.clone());
        if let Some(place) = &self.place {
            place.packet(&mut packet);
        }
        let lacks = packet.encoded_len().ok().and_then(remaining_of);
        let lacks = lacks.and_then(|has| remaining.checked_sub(has));
        if let Some(more) = lacks.filter(|_| size_of(remaining) <= self.largest) {
            publish.payload = [&publish.payload[..], "_".repeat(more).as_bytes()].concat().into();
        }
    }
}

/// How many bytes a packet of this Remaining Length has.
fn size_of(remaining: usize) -> usize {
    let length = match remaining {
        ..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    1 + length + remaining
}

/// The Remaining Length of a packet of so many bytes.
fn remaining_of(size: usize) -> Option<usize> {
    (2..=5).filter_map(|header| size.checked_sub(header)).find(|it| size_of(*it) == size)
}

fn properties(message: &Message) -> Properties {
    use PropertyId::{
        ContentType, CorrelationData, MessageExpiryInterval, PayloadFormatIndicator, ResponseTopic,
        UserProperty,
    };

    let mut properties = Properties::default();
    if let Some(seconds) = message.expiry {
        properties.push(MessageExpiryInterval, seconds);
    }
    for extra in &message.properties {
        match *extra {
            Extra::Format(format) => properties.set(PayloadFormatIndicator, u32::from(format)),
            Extra::ContentType(text) => properties.set(ContentType, text),
            Extra::ResponseTopic(topic) => properties.set(ResponseTopic, topic),
            Extra::CorrelationData(data) => {
                properties.set(CorrelationData, Bytes::from_static(data));
            }
            Extra::Users(count, name, alike) => {
                for number in 0..count {
                    let value = if alike { 0 } else { number };
                    properties.push(UserProperty, (name, &*format!("value {value}")));
                }
            }
            Extra::LongUser(len) => properties.push(UserProperty, ("long", &*"v".repeat(len))),
            Extra::User(text, true) => properties.push(UserProperty, (text, "value")),
            Extra::User(text, false) => properties.push(UserProperty, ("name", text)),
            Extra::LongData(len) => properties.set(CorrelationData, Bytes::from(vec![b'd'; len])),
        }
    }
    properties
}
