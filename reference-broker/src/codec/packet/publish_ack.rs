use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Properties, Side};
use super::{PacketType, ReasonCode, reason_code};

/// PUBACK, PUBREC, PUBREL or PUBCOMP: a step of a QoS 1 or 2 exchange (sections 3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishAck {
    /// The Packet Identifier of the PUBLISH.
    pub packet_id: u16,
    /// Reason Code.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: Properties,
}

impl PublishAck {
    /// The step with code 0x00 and no properties.
    pub fn new(packet_id: u16) -> PublishAck {
        PublishAck::because(packet_id, ReasonCode::Success)
    }

    /// The step with this code and no properties.
    pub fn because(packet_id: u16, reason: ReasonCode) -> PublishAck {
        PublishAck { packet_id, reason, properties: Properties::default() }
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        packet_type: PacketType,
        from: Side,
    ) -> Result<PublishAck, DecodeError> {
        let packet_id = reader.packet_id()?;
        let reason = match reader.is_empty() {
            true => ReasonCode::Success, // U-3.4.2.1-1, U-3.5.2.1-1, U-3.6.2.1-1, U-3.7.2.1-1
            false => reason_code(reader, packet_type, from)?,
        };
        let properties = match (reader.is_empty(), packet_type.place()) {
            (false, Some(place)) => Properties::decode(reader, place, from)?,
            _ => Properties::default(), // U-3.4.2.2.1-1, U-3.5.2.2.1-1, U-3.6.2.2.1-1, U-3.7.2.2.1-1
        };
        Ok(PublishAck { packet_id, reason, properties })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.two(self.packet_id);
        if self.reason != ReasonCode::Success || !self.properties.is_empty() {
            writer.byte(self.reason.value());
        }
        if !self.properties.is_empty() {
            self.properties.encode(writer)?;
        }
        Ok(())
    }
}
