//! Properties (section 2.2.2): one table of what each is called, holds, and may stand in.

use bytes::Bytes;

use super::reader::Reader;
use super::writer::Writer;
use super::{DecodeError, EncodeError, Fault, Side, Text, cell_admits};

/// A set of properties with a place of its own in the table of section 2.2.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // The names say it all: the packets, and the Will Properties of CONNECT.
pub enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl Place {
    /// Every place, in the order of the table's cells.
    pub const ALL: [Place; 14] = [
        Place::Connect,
        Place::Will,
        Place::ConnAck,
        Place::Publish,
        Place::PubAck,
        Place::PubRec,
        Place::PubRel,
        Place::PubComp,
        Place::Subscribe,
        Place::SubAck,
        Place::Unsubscribe,
        Place::UnsubAck,
        Place::Disconnect,
        Place::Auth,
    ];

    /// What the place is called in the standard.
    pub fn name(self) -> &'static str {
        match self {
            Place::Connect => "CONNECT",
            Place::Will => "Will Properties",
            Place::ConnAck => "CONNACK",
            Place::Publish => "PUBLISH",
            Place::PubAck => "PUBACK",
            Place::PubRec => "PUBREC",
            Place::PubRel => "PUBREL",
            Place::PubComp => "PUBCOMP",
            Place::Subscribe => "SUBSCRIBE",
            Place::SubAck => "SUBACK",
            Place::Unsubscribe => "UNSUBSCRIBE",
            Place::UnsubAck => "UNSUBACK",
            Place::Disconnect => "DISCONNECT",
            Place::Auth => "AUTH",
        }
    }
}

/// The type of a property's value on the wire (section 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte.
    Byte,
    /// Two Byte Integer.
    TwoByte,
    /// Four Byte Integer.
    FourByte,
    /// Variable Byte Integer.
    Variable,
    /// UTF-8 Encoded String.
    String,
    /// Binary Data.
    Binary,
    /// UTF-8 String Pair.
    Pair,
}

/// Which values of its type a property may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of them.
    Any,
    /// Only 0 and 1.
    Flag,
    /// All but 0.
    NonZero,
}

/// One row of the property table.
#[derive(Debug)]
pub struct PropertyRow {
    /// The property.
    pub id: PropertyId,
    /// Its name in the standard.
    pub name: &'static str,
    /// Its name in traces and configuration: lower case, with underscores.
    pub key: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The values it may have.
    pub range: Range,
    /// Who may send it, a cell for each [`Place`].
    cells: &'static [u8; 14],
}

macro_rules! properties {
    ($($cells:literal $code:literal $variant:ident, $key:ident, $name:literal, $kind:ident, $range:ident;)*) => {
        /// A Property Identifier (section 2.2.2.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum PropertyId {
            $(#[doc = concat!("`", stringify!($code), "`: ", $name, ".")] $variant = $code,)*
        }

        impl PropertyId {
            /// Every property, ascending by identifier.
            pub const ALL: &'static [PropertyId] = &[$(PropertyId::$variant),*];

            /// The property with this identifier, if the standard assigns it.
            pub fn from_value(value: u32) -> Option<PropertyId> {
                match value {
                    $($code => Some(PropertyId::$variant),)*
                    _ => None,
                }
            }

            /// The row of the table for this property.
            pub fn row(self) -> &'static PropertyRow {
                match self {
                    $(PropertyId::$variant => &PropertyRow {
                        id: PropertyId::$variant,
                        name: $name,
                        key: stringify!($key),
                        kind: Kind::$kind,
                        range: Range::$range,
                        cells: $cells,
                    },)*
                }
            }
        }
    };
}

// Cells: CONNECT Will CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE
// UNSUBACK DISCONNECT AUTH. C: only the client may send it there, S: only the server, B: both.
properties! {
    b".C.B.........." 0x01 PayloadFormatIndicator, payload_format_indicator, "Payload Format Indicator", Byte, Flag;
    b".C.B.........." 0x02 MessageExpiryInterval, message_expiry_interval, "Message Expiry Interval", FourByte, Any;
    b".C.B.........." 0x03 ContentType, content_type, "Content Type", String, Any;
    b".C.B.........." 0x08 ResponseTopic, response_topic, "Response Topic", String, Any;
    b".C.B.........." 0x09 CorrelationData, correlation_data, "Correlation Data", Binary, Any;
    b"...S....C....." 0x0B SubscriptionIdentifier, subscription_identifier, "Subscription Identifier", Variable, NonZero;
    b"C.S.........C." 0x11 SessionExpiryInterval, session_expiry_interval, "Session Expiry Interval", FourByte, Any;
    b"..S..........." 0x12 AssignedClientIdentifier, assigned_client_identifier, "Assigned Client Identifier", String, Any;
    b"..S..........." 0x13 ServerKeepAlive, server_keep_alive, "Server Keep Alive", TwoByte, Any;
    b"C.S..........B" 0x15 AuthenticationMethod, authentication_method, "Authentication Method", String, Any;
    b"C.S..........B" 0x16 AuthenticationData, authentication_data, "Authentication Data", Binary, Any;
    b"C............." 0x17 RequestProblemInformation, request_problem_information, "Request Problem Information", Byte, Flag;
    b".C............" 0x18 WillDelayInterval, will_delay_interval, "Will Delay Interval", FourByte, Any;
    b"C............." 0x19 RequestResponseInformation, request_response_information, "Request Response Information", Byte, Flag;
    b"..S..........." 0x1A ResponseInformation, response_information, "Response Information", String, Any;
    b"..S.........B." 0x1C ServerReference, server_reference, "Server Reference", String, Any;
    b"..S.BBBB.S.SBB" 0x1F ReasonString, reason_string, "Reason String", String, Any;
    b"C.S..........." 0x21 ReceiveMaximum, receive_maximum, "Receive Maximum", TwoByte, NonZero;
    b"C.S..........." 0x22 TopicAliasMaximum, topic_alias_maximum, "Topic Alias Maximum", TwoByte, Any;
    b"...B.........." 0x23 TopicAlias, topic_alias, "Topic Alias", TwoByte, NonZero;
    b"..S..........." 0x24 MaximumQoS, maximum_qos, "Maximum QoS", Byte, Flag;
    b"..S..........." 0x25 RetainAvailable, retain_available, "Retain Available", Byte, Flag;
    b"CCSBBBBBCSCSBB" 0x26 UserProperty, user_property, "User Property", Pair, Any;
    b"C.S..........." 0x27 MaximumPacketSize, maximum_packet_size, "Maximum Packet Size", FourByte, NonZero;
    b"..S..........." 0x28 WildcardSubscriptionAvailable, wildcard_subscription_available, "Wildcard Subscription Available", Byte, Flag;
    b"..S..........." 0x29 SubscriptionIdentifierAvailable, subscription_identifier_available, "Subscription Identifier Available", Byte, Flag;
    b"..S..........." 0x2A SharedSubscriptionAvailable, shared_subscription_available, "Shared Subscription Available", Byte, Flag;
}

impl PropertyId {
    /// The identifier as it stands on the wire.
    pub fn value(self) -> u8 {
        self as u8
    }

    /// Whether `from` may send this property in `place` (section 2.2.2.2).
    pub fn is_allowed(self, place: Place, from: Side) -> bool {
        cell_admits(self.row().cells.get(place as usize), from)
    }

    /// Whether the property may stand in `place` at all, whoever sends it.
    pub fn belongs_in(self, place: Place) -> bool {
        self.is_allowed(place, Side::Client) || self.is_allowed(place, Side::Server)
    }

    /// Whether the property may stand more than once in `place`.
    pub fn is_repeatable(self, place: Place) -> bool {
        match self {
            PropertyId::UserProperty => true,
            PropertyId::SubscriptionIdentifier => place == Place::Publish,
            _ => false,
        }
    }

    fn admits(self, value: &Value) -> bool {
        match (self.row().range, value) {
            (Range::Flag, Value::Number(number)) => *number <= 1,
            (Range::NonZero, Value::Number(number)) => *number != 0,
            _ => true,
        }
    }
}

/// The value of a property; the width of a number is in the table, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Any of the four integer types.
    Number(u32),
    /// A UTF-8 Encoded String.
    String(Text),
    /// Binary Data.
    Binary(Bytes),
    /// A UTF-8 String Pair: name and value.
    Pair(Text, Text),
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::String(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Binary(bytes)
    }
}

impl From<&'static [u8]> for Value {
    fn from(bytes: &'static [u8]) -> Self {
        Value::Binary(Bytes::from_static(bytes))
    }
}

impl From<(&str, &str)> for Value {
    fn from((name, value): (&str, &str)) -> Self {
        Value::Pair(name.into(), value.into())
    }
}

/// One property with its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Property {
    /// Which property.
    pub id: PropertyId,
    /// Its value, of the type that the table names.
    pub value: Value,
}

/// A set of properties in the order they are sent (section 2.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Properties(Vec<Property>);

impl Properties {
    /// Appends a property, whatever stands there already.
    pub fn push(&mut self, id: PropertyId, value: impl Into<Value>) {
        let value = value.into();
        self.0.push(Property { id, value });
    }

    /// Puts `value` in place of what the property had, or appends it.
    pub fn set(&mut self, id: PropertyId, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|property| property.id == id) {
            Some(property) => property.value = value,
            None => self.0.push(Property { id, value }),
        }
    }

    /// Keeps only the properties for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&Property) -> bool) {
        self.0.retain(keep);
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this property is there.
    pub fn contains(&self, id: PropertyId) -> bool {
        self.first(id).is_some()
    }

    /// The value of a property that holds a number.
    pub fn number(&self, id: PropertyId) -> Option<u32> {
        match self.first(id)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a property that holds a string.
    pub fn text(&self, id: PropertyId) -> Option<&Text> {
        match self.first(id)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a property that holds Binary Data.
    pub fn binary(&self, id: PropertyId) -> Option<&Bytes> {
        match self.first(id)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// All values of a property that holds numbers and may repeat.
    pub fn numbers(&self, id: PropertyId) -> impl Iterator<Item = u32> {
        self.iter().filter(move |property| property.id == id).filter_map(|property| match property
            .value
        {
            Value::Number(number) => Some(number),
            _ => None,
        })
    }

    /// The User Properties, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|property| match &property.value {
            Value::Pair(name, value) => Some((&**name, &**value)),
            _ => None,
        })
    }

    fn first(&self, id: PropertyId) -> Option<&Value> {
        self.iter().find(|property| property.id == id).map(|property| &property.value)
    }

    /// Reads a Property Length and the properties it covers, each held to its type, place, sender,
    /// range and number.
    pub(super) fn decode(
        reader: &mut Reader,
        place: Place,
        from: Side,
    ) -> Result<Properties, DecodeError> {
        let mut block = reader.property_block()?;
        let mut list: Vec<Property> = Vec::new();
        let mut seen = 0_u64; // A bit for each identifier: no quadratic search for duplicates.
        while !block.is_empty() {
            let at = block.offset();
            let number = block.variable_integer()?;
            let id = PropertyId::from_value(number)
                .ok_or_else(|| Fault::UnknownProperty(number).at(at))?; // U-2.2.2.2-1
            if !id.belongs_in(place) {
                return Err(Fault::PropertyNotAllowed(id, place).at(at)); // U-2.2.2.2-2
            }
            if !id.is_allowed(place, from) {
                return Err(Fault::PropertyFromWrongSide(id, place).at(at)); // MQTT-3.3.4-6
            }
            if seen & (1 << id.value()) != 0 && !id.is_repeatable(place) {
                return Err(Fault::DuplicateProperty(id, place).at(at)); // U-3.1.2.11.2-1 and its siblings
            }
            seen |= 1 << id.value();
            let value_at = block.offset();
            let value = block.property_value(id.row().kind)?;
            if !id.admits(&value) {
                return Err(Fault::PropertyOutOfRange(id, place).at(value_at)); // U-3.1.2.11.3-2 and its siblings
            }
            list.push(Property { id, value });
        }
        Ok(Properties(list))
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let mut counter = Writer::counter();
        self.encode_list(&mut counter)?;
        writer.variable_integer(counter.len())?;
        self.encode_list(writer)
    }

    fn encode_list(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        for Property { id, value } in &self.0 {
            writer.byte(id.value());
            match (id.row().kind, value) {
                (Kind::Byte, Value::Number(number)) => {
                    writer
                        .byte(u8::try_from(*number).map_err(|_| EncodeError::NumberTooLarge(*id))?);
                }
                (Kind::TwoByte, Value::Number(number)) => {
                    writer
                        .two(u16::try_from(*number).map_err(|_| EncodeError::NumberTooLarge(*id))?);
                }
                (Kind::FourByte, Value::Number(number)) => writer.four(*number),
                (Kind::Variable, Value::Number(number)) => {
                    writer.variable_integer(*number as usize)?;
                }
                (Kind::String, Value::String(text)) => writer.text(text)?,
                (Kind::Binary, Value::Binary(bytes)) => writer.binary(bytes)?,
                (Kind::Pair, Value::Pair(name, value)) => {
                    writer.text(name)?;
                    writer.text(value)?;
                }
                _ => return Err(EncodeError::WrongKind(*id)),
            }
        }
        Ok(())
    }
}

impl FromIterator<Property> for Properties {
    fn from_iter<I: IntoIterator<Item = Property>>(list: I) -> Self {
        Properties(list.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_allows_as_many_pairs_as_the_standard_does() {
        let pairs = |from: &[Side]| {
            PropertyId::ALL
                .iter()
                .flat_map(|id| Place::ALL.map(|place| (id, place)))
                .filter(|(id, place)| from.iter().any(|side| id.is_allowed(*place, *side)))
                .count()
        };
        assert_eq!(PropertyId::ALL.len(), 27);
        assert_eq!(pairs(&[Side::Client, Side::Server]), 64); // Table 2-4, all its cells.
        assert_eq!(pairs(&[Side::Client]), 42); // Less the identifier in a client's PUBLISH.
    }

    #[test]
    fn identifiers_round_trip() {
        for number in 0..=300 {
            if let Some(id) = PropertyId::from_value(number) {
                assert_eq!(u32::from(id.value()), number);
            }
        }
    }

    #[test]
    fn values_are_found_by_identifier() {
        let mut properties = Properties::default();
        properties.push(PropertyId::UserProperty, ("a", "1"));
        properties.push(PropertyId::ReceiveMaximum, 7);
        properties.push(PropertyId::UserProperty, ("a", "2"));
        properties.set(PropertyId::ReceiveMaximum, 8);
        assert_eq!(properties.number(PropertyId::ReceiveMaximum), Some(8));
        assert_eq!(properties.number(PropertyId::TopicAlias), None);
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
    }
}
