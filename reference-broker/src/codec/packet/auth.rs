use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, PropertyId, Side};
use super::{PacketType, ReasonCode, reason_code};

/// AUTH: a step of an enhanced authentication (section 3.15).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Auth {
    /// What the step is.
    pub reason: ReasonCode,
    /// Properties; an Authentication Method is always among those of a valid packet.
    pub properties: Properties,
}

impl Auth {
    /// With this code and no properties.
    pub fn new(reason: ReasonCode) -> Auth {
        Auth { reason, properties: Properties::default() }
    }

    pub(super) fn decode(reader: &mut Reader<'_>, from: Side) -> Result<Auth, DecodeError> {
        let at = reader.offset();
        if reader.is_empty() {
            // The short form for code 0x00 leaves out the method, which no AUTH may lack.
            return Err(Fault::AuthenticationMethodMissing(Place::Auth).at(at)); // U-3.15.2.2.2-1
        }
        let reason = reason_code(reader, PacketType::Auth, from)?; // MQTT-3.15.2-1
        let at = reader.offset();
        let properties = Properties::decode(reader, Place::Auth, from)?; // U-3.15.2.2.1-1
        if !properties.contains(PropertyId::AuthenticationMethod) {
            return Err(Fault::AuthenticationMethodMissing(Place::Auth).at(at)); // U-3.15.2.2.2-1
        }
        Ok(Auth { reason, properties })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.byte(self.reason.value());
        self.properties.encode(writer)
    }
}
