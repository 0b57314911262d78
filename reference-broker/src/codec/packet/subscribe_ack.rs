use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, Side};
use super::{PacketType, ReasonCode, reason_code};

/// SUBACK or UNSUBACK: a code for each filter of the request (sections 3.9 and 3.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubscribeAck {
    /// The Packet Identifier of the request.
    pub packet_id: u16,
    /// Properties.
    pub properties: Properties,
    /// Reason Codes in the order of the request's filters.
    pub reasons: Vec<ReasonCode>,
}

impl SubscribeAck {
    /// An answer with these codes and no properties.
    pub fn new(packet_id: u16, reasons: Vec<ReasonCode>) -> SubscribeAck {
        SubscribeAck { packet_id, properties: Properties::default(), reasons }
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        packet_type: PacketType,
        from: Side,
    ) -> Result<SubscribeAck, DecodeError> {
        let packet_id = reader.packet_id()?;
        let place = packet_type.place().unwrap_or(Place::SubAck);
        let properties = Properties::decode(reader, place, from)?;
        if reader.is_empty() {
            return Err(Fault::ReasonCodeMissing(packet_type).at(reader.offset())); // U-2.3-1
        }
        let mut reasons = Vec::new();
        while !reader.is_empty() {
            reasons.push(reason_code(reader, packet_type, from)?);
        }
        Ok(SubscribeAck { packet_id, properties, reasons })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.two(self.packet_id);
        self.properties.encode(writer)?;
        for reason in &self.reasons {
            writer.byte(reason.value());
        }
        Ok(())
    }
}
