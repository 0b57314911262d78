use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, Side, Text};
use super::PacketType;

/// UNSUBSCRIBE: a client gives up subscriptions (section 3.10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsubscribe {
    /// Packet Identifier, which UNSUBACK repeats.
    pub packet_id: u16,
    /// Properties.
    pub properties: Properties,
    /// Topic Filters; at least one in a valid packet.
    pub filters: Vec<Text>,
}

impl Unsubscribe {
    /// One filter.
    pub fn new(packet_id: u16, filter: impl Into<Text>) -> Unsubscribe {
        Unsubscribe { packet_id, properties: Properties::default(), filters: Vec::new() }
            .and(filter)
    }

    /// Appends a filter.
    #[must_use]
    pub fn and(mut self, filter: impl Into<Text>) -> Unsubscribe {
        self.filters.push(filter.into());
        self
    }

    pub(super) fn decode(reader: &mut Reader<'_>, from: Side) -> Result<Unsubscribe, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = Properties::decode(reader, Place::Unsubscribe, from)?;
        if reader.is_empty() {
            return Err(Fault::TopicFilterMissing(PacketType::Unsubscribe).at(reader.offset())); // U-3.10.3-1, MQTT-3.10.3-2
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(reader.text()?); // MQTT-3.10.3-1
        }
        Ok(Unsubscribe { packet_id, properties, filters })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.two(self.packet_id);
        self.properties.encode(writer)?;
        self.filters.iter().try_for_each(|filter| writer.text(filter))
    }
}
