//! Properties (section 2.2.2): one table of what each is called, holds, and may stand in.

use super::{Side, Value, cell_admits};

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

    /// Whether the property may have this value.
    pub fn admits(self, value: &Value) -> bool {
        match (self.row().range, value) {
            (Range::Flag, Value::Number(number)) => *number <= 1,
            (Range::NonZero, Value::Number(number)) => *number != 0,
            _ => true,
        }
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
}
