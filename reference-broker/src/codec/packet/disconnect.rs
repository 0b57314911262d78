use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Place, Properties, Side};
use super::connack::check_server_reference;
use super::{PacketType, ReasonCode, reason_code};

/// DISCONNECT: the last packet before a connection is closed (section 3.14).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: Properties,
}

impl Default for Disconnect {
    fn default() -> Self {
        Disconnect::because(ReasonCode::Success)
    }
}

impl Disconnect {
    /// With this code and no properties.
    pub fn because(reason: ReasonCode) -> Disconnect {
        Disconnect { reason, properties: Properties::default() }
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        from: Side,
        object: &mut dyn FnMut(DecodeError) -> Result<(), DecodeError>,
    ) -> Result<Disconnect, DecodeError> {
        let reason = match reader.is_empty() {
            true => ReasonCode::Success, // U-3.14.2.1-1
            false => reason_code(reader, PacketType::Disconnect, from)?, // MQTT-3.14.2-1
        };
        let at = reader.offset();
        let properties = match reader.is_empty() {
            true => Properties::default(), // U-3.14.2.2.1-1
            false => Properties::decode_unless(reader, Place::Disconnect, from, object)?,
        };
        if from == Side::Server {
            check_server_reference(&properties, reason, Place::Disconnect, at).or_else(object)?; // U-3.14.2.2.5-2
        }
        Ok(Disconnect { reason, properties })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.reason != ReasonCode::Success || !self.properties.is_empty() {
            writer.byte(self.reason.value());
        }
        if !self.properties.is_empty() {
            self.properties.encode(writer)?;
        }
        Ok(())
    }
}
