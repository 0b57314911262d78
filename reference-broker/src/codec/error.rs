//! Every way a packet can be wrong, each with the code and the requirement that answer it.

use std::error::Error;
use std::fmt;

use super::requirement::{
    flags_requirement, once_requirement, place_requirement, range_requirement, reason_requirement,
    wrong_side_requirement,
};
use super::{PacketType, Place, PropertyId, ReasonCode, Side};

/// What is wrong with a packet, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub fault: Fault,
    /// The offset of the offending byte from the first byte of the packet.
    pub offset: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.fault, self.offset)
    }
}

impl Error for DecodeError {}

/// A way for a received packet to be malformed or a protocol error (section 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Packet type 0.
    ReservedPacketType,
    /// Fixed-header flags other than the ones its type prescribes.
    InvalidFlags(PacketType),
    /// A PUBLISH with both QoS bits set.
    PublishQoS3,
    /// A PUBLISH with DUP 1 and QoS 0.
    DupOnQoS0,
    /// A packet of a type that this side does not send.
    WrongDirection(PacketType, Side),
    /// A packet larger than the receiver allows, judged by its fixed header.
    PacketTooLarge {
        /// Size of the whole packet, in bytes.
        size: u64,
        /// The receiver's limit, in bytes.
        limit: u32,
    },
    /// A Variable Byte Integer that goes on after its fourth byte.
    IntegerTooLong,
    /// A Variable Byte Integer with a shorter encoding.
    IntegerNotMinimal,
    /// The packet ends inside a field of fixed size.
    Truncated,
    /// The packet ends before its Packet Identifier.
    PacketIdentifierMissing,
    /// A Packet Identifier of 0.
    PacketIdentifierZero,
    /// A string whose length reaches past the end of what holds it.
    StringOverrun,
    /// Binary Data whose length reaches past the end of what holds it.
    BinaryOverrun,
    /// Bytes of a string that are not well-formed UTF-8.
    IllFormedUtf8,
    /// U+0000 in a string.
    NulInString,
    /// Bytes left over after the last field.
    TrailingBytes,
    /// A Property Length that reaches past the end of the packet.
    PropertyLengthOverrun,
    /// A property cut off by the end of the Property Length.
    PropertyTruncated,
    /// A Property Identifier that the standard does not assign.
    UnknownProperty(u32),
    /// A property that does not belong to this packet.
    PropertyNotAllowed(PropertyId, Place),
    /// A property that belongs to this packet, but not from this side.
    PropertyFromWrongSide(PropertyId, Place),
    /// A second occurrence of a property that may stand once.
    DuplicateProperty(PropertyId, Place),
    /// A value that the property may not have.
    PropertyOutOfRange(PropertyId, Place),
    /// Authentication Data without an Authentication Method.
    AuthenticationMethodMissing(Place),
    /// A Server Reference with a code other than 0x9C and 0x9D.
    ServerReferenceWithoutRedirection(Place),
    /// A code that the standard does not assign to this packet.
    UnknownReasonCode(u8, PacketType),
    /// A code of this packet that only the other side sends.
    ReasonCodeFromWrongSide(ReasonCode, PacketType),
    /// A Protocol Name other than `MQTT`.
    UnsupportedProtocolName,
    /// A Protocol Version other than 5.
    UnsupportedProtocolVersion(u8),
    /// The lowest bit of the Connect Flags is set.
    ReservedConnectFlag,
    /// Will QoS without Will Flag.
    WillQoSWithoutWill,
    /// Will Retain without Will Flag.
    WillRetainWithoutWill,
    /// Both Will QoS bits set.
    WillQoS3,
    /// A Will Topic that is empty or has a wildcard.
    WillTopicInvalid,
    /// A reserved bit of the Connect Acknowledge Flags is set.
    ReservedAcknowledgeFlag,
    /// Session Present in a CONNACK that refuses.
    SessionPresentOnRefusal,
    /// A PUBLISH with neither Topic Name nor Topic Alias.
    TopicMissing,
    /// A Topic Name with a wildcard.
    WildcardInTopicName,
    /// A Response Topic that is empty or has a wildcard.
    ResponseTopicInvalid,
    /// A SUBSCRIBE or UNSUBSCRIBE without a Topic Filter.
    TopicFilterMissing(PacketType),
    /// A SUBACK or UNSUBACK without a Reason Code.
    ReasonCodeMissing(PacketType),
    /// A reserved bit of the Subscription Options is set.
    ReservedSubscriptionOption,
    /// Maximum QoS 3 in Subscription Options.
    SubscriptionQoS3,
    /// Retain Handling 3 in Subscription Options.
    RetainHandling3,
    /// No Local on a Shared Subscription.
    NoLocalOnSharedSubscription,
}

impl Fault {
    /// This fault at a byte of the packet.
    pub(super) fn at(self, offset: usize) -> DecodeError {
        DecodeError { fault: self, offset }
    }

    /// The Reason Code that names the fault: 0x81 or 0x82 unless there is a closer one (section 4.13).
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Fault::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Fault::UnsupportedProtocolName | Fault::UnsupportedProtocolVersion(_) => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Fault::WillTopicInvalid | Fault::WildcardInTopicName => ReasonCode::TopicNameInvalid,
            Fault::PropertyOutOfRange(PropertyId::TopicAlias, _) => ReasonCode::TopicAliasInvalid,
            Fault::DupOnQoS0
            | Fault::WrongDirection(..)
            | Fault::PacketIdentifierZero
            | Fault::PropertyFromWrongSide(..)
            | Fault::DuplicateProperty(..)
            | Fault::PropertyOutOfRange(..)
            | Fault::AuthenticationMethodMissing(_)
            | Fault::ServerReferenceWithoutRedirection(_)
            | Fault::UnknownReasonCode(..)
            | Fault::ReasonCodeFromWrongSide(..)
            | Fault::SessionPresentOnRefusal
            | Fault::TopicMissing
            | Fault::ResponseTopicInvalid
            | Fault::TopicFilterMissing(_)
            | Fault::SubscriptionQoS3
            | Fault::RetainHandling3
            | Fault::NoLocalOnSharedSubscription => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }

    /// The requirement that forbids it to a packet from this side, as an id of the register.
    pub fn requirement(&self, from: Side) -> &'static str {
        match *self {
            Fault::PacketTooLarge { .. } if from == Side::Server => "MQTT-3.1.2-24",
            Fault::PacketIdentifierZero if from == Side::Server => "MQTT-2.2.1-4",
            Fault::ReservedPacketType => "U-2.1.2-1",
            Fault::InvalidFlags(packet) => flags_requirement(packet),
            Fault::PublishQoS3 => "MQTT-3.3.1-4",
            Fault::DupOnQoS0 => "MQTT-3.3.1-2",
            Fault::WrongDirection(_, Side::Client) => "U-2.1.2-2",
            Fault::WrongDirection(_, Side::Server) => "U-2.1.2-3",
            Fault::PacketTooLarge { .. } => "U-3.2.2.3.6-2",
            Fault::IntegerTooLong => "U-1.5.5-1",
            Fault::IntegerNotMinimal => "MQTT-1.5.5-1",
            Fault::Truncated | Fault::TrailingBytes => "U-2.1.4-2",
            Fault::PacketIdentifierMissing => "U-2.2.1-1",
            Fault::PacketIdentifierZero => "MQTT-2.2.1-3",
            Fault::StringOverrun => "U-1.5.4-6",
            Fault::BinaryOverrun => "U-1.5.6-1",
            Fault::IllFormedUtf8 => "MQTT-1.5.4-1",
            Fault::NulInString => "MQTT-1.5.4-2",
            Fault::PropertyLengthOverrun => "U-2.2.2.1-1",
            Fault::PropertyTruncated => "U-2.2.2.2-3",
            Fault::UnknownProperty(_) => "U-2.2.2.2-1",
            Fault::PropertyNotAllowed(_, place) => place_requirement(place),
            Fault::PropertyFromWrongSide(PropertyId::SessionExpiryInterval, _) => "MQTT-3.14.2-2",
            Fault::PropertyFromWrongSide(..) => "MQTT-3.3.4-6",
            Fault::DuplicateProperty(id, place) => once_requirement(id, place),
            Fault::PropertyOutOfRange(id, place) => range_requirement(id, place),
            Fault::AuthenticationMethodMissing(Place::Auth) => "U-3.15.2.2.2-1",
            Fault::AuthenticationMethodMissing(Place::ConnAck) => "MQTT-4.12.0-5",
            Fault::AuthenticationMethodMissing(_) => "U-3.1.2.11.10-1",
            Fault::ServerReferenceWithoutRedirection(Place::ConnAck) => "U-3.2.2.3.16-2",
            Fault::ServerReferenceWithoutRedirection(_) => "U-3.14.2.2.5-2",
            Fault::UnknownReasonCode(_, packet) => reason_requirement(packet),
            Fault::ReasonCodeFromWrongSide(_, packet) => wrong_side_requirement(packet),
            Fault::UnsupportedProtocolName => "MQTT-3.1.2-1",
            Fault::UnsupportedProtocolVersion(_) => "MQTT-3.1.2-2",
            Fault::ReservedConnectFlag => "MQTT-3.1.2-3",
            Fault::WillQoSWithoutWill => "MQTT-3.1.2-11",
            Fault::WillRetainWithoutWill => "MQTT-3.1.2-13",
            Fault::WillQoS3 => "U-3.1.2.6-1",
            Fault::WillTopicInvalid => "MQTT-4.7.0-1",
            Fault::ReservedAcknowledgeFlag => "MQTT-3.2.2-1",
            Fault::SessionPresentOnRefusal => "MQTT-3.2.2-6",
            Fault::TopicMissing => "U-3.3.2.1-2",
            Fault::WildcardInTopicName => "MQTT-3.3.2-2",
            Fault::ResponseTopicInvalid => "MQTT-3.3.2-14",
            Fault::TopicFilterMissing(PacketType::Subscribe) => "U-3.8.3-2",
            Fault::TopicFilterMissing(_) => "U-3.10.3-1",
            Fault::ReasonCodeMissing(_) => "U-2.3-1",
            Fault::ReservedSubscriptionOption => "MQTT-3.8.3-5",
            Fault::SubscriptionQoS3 => "U-3.8.3.1-1",
            Fault::RetainHandling3 => "U-3.8.3.1-5",
            Fault::NoLocalOnSharedSubscription => "MQTT-3.8.3-4",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ReservedPacketType => f.write_str("packet type 0 is reserved"),
            Fault::InvalidFlags(packet) => write!(f, "wrong fixed-header flags for {packet}"),
            Fault::PublishQoS3 => f.write_str("PUBLISH with QoS 3"),
            Fault::DupOnQoS0 => f.write_str("PUBLISH with DUP 1 and QoS 0"),
            Fault::WrongDirection(packet, Side::Client) => write!(f, "{packet} from a client"),
            Fault::WrongDirection(packet, Side::Server) => write!(f, "{packet} from a server"),
            Fault::PacketTooLarge { size, limit } => {
                write!(f, "packet of {size} bytes where {limit} are allowed")
            }
            Fault::IntegerTooLong => f.write_str("variable byte integer of more than four bytes"),
            Fault::IntegerNotMinimal => f.write_str("variable byte integer longer than needed"),
            Fault::Truncated => f.write_str("packet ends inside a field"),
            Fault::PacketIdentifierMissing => f.write_str("no packet identifier"),
            Fault::PacketIdentifierZero => f.write_str("packet identifier 0"),
            Fault::StringOverrun => f.write_str("string reaches past its end"),
            Fault::BinaryOverrun => f.write_str("binary data reaches past its end"),
            Fault::IllFormedUtf8 => f.write_str("ill-formed UTF-8"),
            Fault::NulInString => f.write_str("U+0000 in a string"),
            Fault::TrailingBytes => f.write_str("bytes after the last field"),
            Fault::PropertyLengthOverrun => f.write_str("property length reaches past the packet"),
            Fault::PropertyTruncated => f.write_str("property cut off by the property length"),
            Fault::UnknownProperty(id) => write!(f, "unknown property 0x{id:02X}"),
            Fault::PropertyNotAllowed(id, place) => {
                write!(f, "{} not allowed in {}", id.row().name, place.name())
            }
            Fault::PropertyFromWrongSide(id, place) => {
                write!(f, "{} in {} from the wrong side", id.row().name, place.name())
            }
            Fault::DuplicateProperty(id, place) => {
                write!(f, "{} twice in {}", id.row().name, place.name())
            }
            Fault::PropertyOutOfRange(id, _) => write!(f, "{} out of range", id.row().name),
            Fault::AuthenticationMethodMissing(_) => f.write_str("no authentication method"),
            Fault::ServerReferenceWithoutRedirection(_) => {
                f.write_str("server reference without a redirection")
            }
            Fault::UnknownReasonCode(code, packet) => {
                write!(f, "reason code 0x{code:02X} is not one of {packet}")
            }
            Fault::ReasonCodeFromWrongSide(code, packet) => {
                write!(f, "reason code 0x{:02X} in {packet} from the wrong side", code.value())
            }
            Fault::UnsupportedProtocolName => f.write_str("protocol name is not MQTT"),
            Fault::UnsupportedProtocolVersion(version) => {
                write!(f, "protocol version {version} is not served")
            }
            Fault::ReservedConnectFlag => f.write_str("reserved connect flag set"),
            Fault::WillQoSWithoutWill => f.write_str("will QoS without a will"),
            Fault::WillRetainWithoutWill => f.write_str("will retain without a will"),
            Fault::WillQoS3 => f.write_str("will QoS 3"),
            Fault::WillTopicInvalid => f.write_str("will topic is empty or has a wildcard"),
            Fault::ReservedAcknowledgeFlag => f.write_str("reserved connect acknowledge flag set"),
            Fault::SessionPresentOnRefusal => f.write_str("session present in a refusal"),
            Fault::TopicMissing => f.write_str("neither topic name nor topic alias"),
            Fault::WildcardInTopicName => f.write_str("wildcard in a topic name"),
            Fault::ResponseTopicInvalid => f.write_str("response topic is empty or has a wildcard"),
            Fault::TopicFilterMissing(packet) => write!(f, "{packet} without a topic filter"),
            Fault::ReasonCodeMissing(packet) => write!(f, "{packet} without a reason code"),
            Fault::ReservedSubscriptionOption => f.write_str("reserved subscription option set"),
            Fault::SubscriptionQoS3 => f.write_str("subscription with QoS 3"),
            Fault::RetainHandling3 => f.write_str("retain handling 3"),
            Fault::NoLocalOnSharedSubscription => f.write_str("no local on a shared subscription"),
        }
    }
}

/// Why a packet cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A string or Binary Data of more than 65,535 bytes.
    FieldTooLong,
    /// A packet, or a set of properties, longer than a Variable Byte Integer can say.
    PacketTooLong,
    /// A number that does not fit the width of its property.
    NumberTooLarge(PropertyId),
    /// A value of another type than the table gives the property.
    WrongKind(PropertyId),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::FieldTooLong => f.write_str("field of more than 65,535 bytes"),
            EncodeError::PacketTooLong => f.write_str("packet of more than 268,435,455 bytes"),
            EncodeError::NumberTooLarge(id) => write!(f, "number too large for {}", id.row().name),
            EncodeError::WrongKind(id) => {
                write!(f, "value of the wrong type for {}", id.row().name)
            }
        }
    }
}

impl Error for EncodeError {}
