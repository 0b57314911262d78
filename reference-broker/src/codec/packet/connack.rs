use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, PropertyId, Side};
use super::{PacketType, ReasonCode, reason_code};

/// CONNACK: the answer to CONNECT (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnAck {
    /// Whether the server goes on with a session it has kept (section 3.2.2.1.1).
    pub session_present: bool,
    /// Connect Reason Code.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: Properties,
}

impl ConnAck {
    /// An answer with this code and nothing else.
    pub fn new(session_present: bool, reason: ReasonCode) -> ConnAck {
        ConnAck { session_present, reason, properties: Properties::default() }
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        from: Side,
        object: &mut dyn FnMut(DecodeError) -> Result<(), DecodeError>,
    ) -> Result<ConnAck, DecodeError> {
        let at = reader.offset();
        let flags = reader.byte()?;
        if flags & !1 != 0 {
            return Err(Fault::ReservedAcknowledgeFlag.at(at)); // MQTT-3.2.2-1
        }
        let session_present = flags == 1;
        let reason = reason_code(reader, PacketType::ConnAck, from)?; // MQTT-3.2.2-8
        if session_present && reason != ReasonCode::Success {
            return Err(Fault::SessionPresentOnRefusal.at(at)); // MQTT-3.2.2-6
        }
        let at = reader.offset();
        let properties = Properties::decode_unless(reader, Place::ConnAck, from, object)?;
        check_server_reference(&properties, reason, Place::ConnAck, at).or_else(&mut *object)?;
        if reason == ReasonCode::Success
            && properties.contains(PropertyId::AuthenticationData)
            && !properties.contains(PropertyId::AuthenticationMethod)
        {
            object(Fault::AuthenticationMethodMissing(Place::ConnAck).at(at))?; // MQTT-4.12.0-5
        }
        Ok(ConnAck { session_present, reason, properties })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.byte(u8::from(self.session_present));
        writer.byte(self.reason.value());
        self.properties.encode(writer)
    }
}

/// A Server Reference goes with a redirection only (sections 3.2.2.3.16 and 3.14.2.2.5).
pub(super) fn check_server_reference(
    properties: &Properties,
    reason: ReasonCode,
    place: Place,
    at: usize,
) -> Result<(), DecodeError> {
    let redirects = matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved);
    if properties.contains(PropertyId::ServerReference) && !redirects {
        return Err(Fault::ServerReferenceWithoutRedirection(place).at(at)); // U-3.2.2.3.16-2
    }
    Ok(())
}
