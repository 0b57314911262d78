use bytes::Bytes;

use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, PropertyId, Side, Text};
use super::{QoS, has_wildcard};

const DUP: u8 = 0b1000;
const QOS_SHIFT: u8 = 1;
const RETAIN: u8 = 0b0001;

/// PUBLISH: an application message on its way, in either direction (section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Publish {
    /// Whether this may be a repetition (section 3.3.1.1).
    pub dup: bool,
    /// Quality of Service.
    pub qos: QoS,
    /// Whether the message is, or was, to be retained (section 3.3.1.3).
    pub retain: bool,
    /// Topic Name; empty where a Topic Alias stands for it.
    pub topic: Text,
    /// Packet Identifier, written only if the QoS is above 0.
    pub packet_id: u16,
    /// Properties.
    pub properties: Properties,
    /// The message itself.
    pub payload: Bytes,
}

impl Publish {
    /// A message at QoS 0.
    pub fn new(topic: impl Into<Text>, payload: impl Into<Bytes>) -> Publish {
        Publish { topic: topic.into(), payload: payload.into(), ..Publish::default() }
    }

    /// Sends it at this QoS under this Packet Identifier, which QoS 0 ignores.
    #[must_use]
    pub fn qos(mut self, qos: QoS, packet_id: u16) -> Publish {
        self.qos = qos;
        self.packet_id = if qos == QoS::AtMostOnce { 0 } else { packet_id };
        self
    }

    /// Sets RETAIN.
    #[must_use]
    pub fn retain(mut self) -> Publish {
        self.retain = true;
        self
    }

    /// Sets DUP.
    #[must_use]
    pub fn dup(mut self) -> Publish {
        self.dup = true;
        self
    }

    pub(super) fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        flag(self.dup, DUP) | self.qos.value() << QOS_SHIFT | flag(self.retain, RETAIN)
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        flags: u8,
        from: Side,
    ) -> Result<Publish, DecodeError> {
        let topic_at = reader.offset();
        let topic = reader.text()?; // MQTT-3.3.2-1
        if has_wildcard(&topic) {
            return Err(Fault::WildcardInTopicName.at(topic_at)); // MQTT-3.3.2-2
        }
        let qos =
            QoS::from_value(flags >> QOS_SHIFT & 0b11).ok_or_else(|| Fault::PublishQoS3.at(0))?; // MQTT-3.3.1-4
        let packet_id = match qos {
            QoS::AtMostOnce => 0, // MQTT-2.2.1-2
            _ => reader.packet_id()?,
        };
        let properties = Properties::decode(reader, Place::Publish, from)?;
        if topic.is_empty() && !properties.contains(PropertyId::TopicAlias) {
            return Err(Fault::TopicMissing.at(topic_at)); // U-3.3.2.1-2
        }
        Ok(Publish {
            dup: flags & DUP != 0,
            qos,
            retain: flags & RETAIN != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.text(&self.topic)?;
        if self.qos != QoS::AtMostOnce {
            writer.two(self.packet_id);
        }
        self.properties.encode(writer)?;
        writer.bytes(&self.payload);
        Ok(())
    }
}
