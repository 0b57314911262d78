use std::fmt;

use super::super::{Fault, Place, Side};

/// Quality of Service (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QoS {
    /// QoS 0: sent once, never acknowledged.
    #[default]
    AtMostOnce,
    /// QoS 1: repeated until acknowledged.
    AtLeastOnce,
    /// QoS 2: delivered once.
    ExactlyOnce,
}

impl QoS {
    /// All three, ascending.
    pub const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

    /// The number on the wire.
    pub fn value(self) -> u8 {
        self as u8
    }

    /// The level with this number: there is none for 3.
    pub fn from_value(value: u8) -> Option<QoS> {
        QoS::ALL.get(usize::from(value)).copied()
    }
}

/// The type of a control packet (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the standard's.
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Every type, ascending.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The number on the wire: the high four bits of the first byte.
    pub fn value(self) -> u8 {
        self as u8
    }

    /// The type with this number: there is none for 0.
    pub fn from_value(value: u8) -> Option<PacketType> {
        PacketType::ALL.get(usize::from(value).checked_sub(1)?).copied()
    }

    /// What the packet is called in the standard.
    pub fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::ConnAck => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::PubAck => "PUBACK",
            PacketType::PubRec => "PUBREC",
            PacketType::PubRel => "PUBREL",
            PacketType::PubComp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::SubAck => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::UnsubAck => "UNSUBACK",
            PacketType::PingReq => "PINGREQ",
            PacketType::PingResp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }

    /// The fixed-header flags it must have (table 2-2); for PUBLISH they are free within limits.
    pub fn flags(self) -> u8 {
        match self {
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// Whether this side sends packets of this type (table 2-1).
    pub fn is_sent_by(self, side: Side) -> bool {
        match self {
            PacketType::Connect
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq => side == Side::Client,
            PacketType::ConnAck
            | PacketType::SubAck
            | PacketType::UnsubAck
            | PacketType::PingResp => side == Side::Server,
            _ => true,
        }
    }

    pub(in crate::codec) fn check_flags(self, flags: u8) -> Result<(), Fault> {
        match self {
            PacketType::Publish if flags & 0b0110 == 0b0110 => Err(Fault::PublishQoS3), // MQTT-3.3.1-4, U-3.3.1.2-2
            PacketType::Publish if flags & 0b1110 == 0b1000 => Err(Fault::DupOnQoS0), // MQTT-3.3.1-2
            PacketType::Publish => Ok(()),
            _ if flags == self.flags() => Ok(()),
            _ => Err(Fault::InvalidFlags(self)), // MQTT-2.1.3-1
        }
    }

    /// Where its properties stand in the table; PINGREQ and PINGRESP have none.
    pub(super) fn place(self) -> Option<Place> {
        Some(match self {
            PacketType::Connect => Place::Connect,
            PacketType::ConnAck => Place::ConnAck,
            PacketType::Publish => Place::Publish,
            PacketType::PubAck => Place::PubAck,
            PacketType::PubRec => Place::PubRec,
            PacketType::PubRel => Place::PubRel,
            PacketType::PubComp => Place::PubComp,
            PacketType::Subscribe => Place::Subscribe,
            PacketType::SubAck => Place::SubAck,
            PacketType::Unsubscribe => Place::Unsubscribe,
            PacketType::UnsubAck => Place::UnsubAck,
            PacketType::Disconnect => Place::Disconnect,
            PacketType::Auth => Place::Auth,
            PacketType::PingReq | PacketType::PingResp => return None,
        })
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
