//! The fifteen control packets (chapter 3), a file each or a file for those of one shape.

mod auth;
mod connack;
mod connect;
mod disconnect;
mod packet_type;
mod publish;
mod publish_ack;
mod subscribe;
mod subscribe_ack;
mod unsubscribe;

use bytes::{Bytes, BytesMut};

use super::reader::Reader;
use super::writer::Writer;
use super::{DecodeError, EncodeError, Fault, Frame, Properties, ReasonCode, Side};

pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use packet_type::{PacketType, QoS};
pub use publish::Publish;
pub use publish_ack::PublishAck;
pub use subscribe::{RetainHandling, Subscribe, Subscription, SubscriptionOptions};
pub use subscribe_ack::SubscribeAck;
pub use unsubscribe::Unsubscribe;

/// Adds `with` to a packet, so that it can be built in one expression.
macro_rules! with_properties {
    ($($packet:ty),*) => {$(
        impl $packet {
            /// Appends a property.
            #[must_use]
            pub fn with(
                mut self,
                id: $crate::codec::PropertyId,
                value: impl Into<$crate::codec::Value>,
            ) -> Self {
                self.properties.push(id, value);
                self
            }
        }
    )*};
}

with_properties!(
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Publish,
    PublishAck,
    Subscribe,
    SubscribeAck,
    Unsubscribe,
    Will
);

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the standard's.
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(PublishAck),
    PubRec(PublishAck),
    PubRel(PublishAck),
    PubComp(PublishAck),
    Subscribe(Subscribe),
    SubAck(SubscribeAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(SubscribeAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet {
    /// Its type.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// Its properties, if its type has any.
    pub fn properties(&self) -> Option<&Properties> {
        match self {
            Packet::Connect(packet) => Some(&packet.properties),
            Packet::ConnAck(packet) => Some(&packet.properties),
            Packet::Publish(packet) => Some(&packet.properties),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => Some(&packet.properties),
            Packet::Subscribe(packet) => Some(&packet.properties),
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => Some(&packet.properties),
            Packet::Unsubscribe(packet) => Some(&packet.properties),
            Packet::Disconnect(packet) => Some(&packet.properties),
            Packet::Auth(packet) => Some(&packet.properties),
            Packet::PingReq | Packet::PingResp => None,
        }
    }

    /// Its properties, to be changed, if its type has any.
    pub fn properties_mut(&mut self) -> Option<&mut Properties> {
        match self {
            Packet::Connect(packet) => Some(&mut packet.properties),
            Packet::ConnAck(packet) => Some(&mut packet.properties),
            Packet::Publish(packet) => Some(&mut packet.properties),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => Some(&mut packet.properties),
            Packet::Subscribe(packet) => Some(&mut packet.properties),
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => Some(&mut packet.properties),
            Packet::Unsubscribe(packet) => Some(&mut packet.properties),
            Packet::Disconnect(packet) => Some(&mut packet.properties),
            Packet::Auth(packet) => Some(&mut packet.properties),
            Packet::PingReq | Packet::PingResp => None,
        }
    }

    /// How many properties and filters it has, those of a Will included: each takes far more in memory than as bytes.
    pub fn part_count(&self) -> usize {
        let parts = match self {
            Packet::Subscribe(subscribe) => subscribe.subscriptions.len(),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.len(),
            Packet::Connect(connect) => {
                connect.will.as_ref().map_or(0, |will| will.properties.iter().count())
            }
            _ => 0,
        };
        parts + self.properties().map_or(0, |properties| properties.iter().count())
    }

    /// Reads the packet in `frame`, sent by `from`, holding it to every rule that its bytes alone
    /// can break.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes, with its offset.
    pub fn decode(frame: &Frame, from: Side) -> Result<Packet, DecodeError> {
        Packet::decode_unless(frame, from, &mut |error| Err(error))
    }

    /// As [`Packet::decode`], but reads over what is wrong with the properties of CONNACK and DISCONNECT
    /// (a value out of range, one that is twice there or does not belong there): what else they say is
    /// plain, and a tester goes on. With the packet comes the first fault, if there is one.
    ///
    /// # Errors
    ///
    /// Any other fault.
    pub fn decode_leniently(
        frame: &Frame,
        from: Side,
    ) -> Result<(Packet, Option<DecodeError>), DecodeError> {
        let mut first = None;
        let packet = Packet::decode_unless(frame, from, &mut |error| {
            first.get_or_insert(error);
            Ok(())
        })?;
        Ok((packet, first))
    }

    fn decode_unless(
        frame: &Frame,
        from: Side,
        object: &mut dyn FnMut(DecodeError) -> Result<(), DecodeError>,
    ) -> Result<Packet, DecodeError> {
        let packet_type = frame.header.packet_type;
        if !packet_type.is_sent_by(from) {
            return Err(Fault::WrongDirection(packet_type, from).at(0)); // U-2.1.2-2
        }
        let start = frame.header.len;
        let mut reader = Reader::new(&frame.bytes, start);
        let body = &mut reader;
        let packet = match packet_type {
            PacketType::Connect => Packet::Connect(Box::new(Connect::decode(body, from)?)),
            PacketType::ConnAck => Packet::ConnAck(ConnAck::decode(body, from, object)?),
            PacketType::Publish => {
                Packet::Publish(Publish::decode(body, frame.header.flags, from)?)
            }
            PacketType::PubAck => Packet::PubAck(PublishAck::decode(body, packet_type, from)?),
            PacketType::PubRec => Packet::PubRec(PublishAck::decode(body, packet_type, from)?),
            PacketType::PubRel => Packet::PubRel(PublishAck::decode(body, packet_type, from)?),
            PacketType::PubComp => Packet::PubComp(PublishAck::decode(body, packet_type, from)?),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(body, from)?),
            PacketType::SubAck => Packet::SubAck(SubscribeAck::decode(body, packet_type, from)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(body, from)?),
            PacketType::UnsubAck => {
                Packet::UnsubAck(SubscribeAck::decode(body, packet_type, from)?)
            }
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(body, from, object)?),
            PacketType::Auth => Packet::Auth(Auth::decode(body, from)?),
        };
        reader.finish()?; // U-2.1.4-2
        Ok(packet)
    }

    /// Appends the packet to `out` in its shortest form. What the protocol forbids is written as
    /// it is told, as long as bytes can say it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when bytes cannot; `out` is then as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_before(0, out)
    }

    /// As [`Packet::encode`], with so many bytes of the packet to follow.
    fn encode_before(&self, rest: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut counter = Writer::counter();
        self.encode_body(&mut counter)?;
        let body = counter.len();
        let mut prefix = Writer::counter();
        prefix.variable_integer(body + rest)?;
        out.reserve(1 + prefix.len() + body);
        let mut writer = Writer::new(out);
        writer.byte(self.packet_type().value() << 4 | self.flags());
        writer.variable_integer(body + rest)?; // U-2.1.4-1
        self.encode_body(&mut writer)
    }

    /// The packet as bytes of its own; see [`Packet::encode`].
    ///
    /// # Errors
    ///
    /// As [`Packet::encode`].
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        self.encode(&mut out)?;
        Ok(out.freeze())
    }

    /// The packet in two parts: the payload of a PUBLISH as it is in memory, and all that comes before
    /// it. Other packets are all in the first.
    ///
    /// # Errors
    ///
    /// As [`Packet::encode`].
    pub fn to_parts(&self) -> Result<(Bytes, Bytes), EncodeError> {
        let Packet::Publish(publish) = self else { return Ok((self.to_bytes()?, Bytes::new())) };
        let head = Publish { payload: Bytes::new(), ..publish.clone() };
        let mut out = BytesMut::new();
        Packet::Publish(head).encode_before(publish.payload.len(), &mut out)?;
        Ok((out.freeze(), publish.payload.clone()))
    }

    /// The size of the whole packet in bytes, as size limits count it (section 2.1.4).
    ///
    /// # Errors
    ///
    /// As [`Packet::encode`].
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        let mut counter = Writer::counter();
        self.encode_body(&mut counter)?;
        let body = counter.len();
        let mut prefix = Writer::counter();
        prefix.variable_integer(body)?;
        Ok(1 + prefix.len() + body) // U-2.1.4-3
    }

    fn flags(&self) -> u8 {
        match self {
            Packet::Publish(publish) => publish.flags(),
            _ => self.packet_type().flags(),
        }
    }

    fn encode_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Packet::Connect(packet) => packet.encode(writer),
            Packet::ConnAck(packet) => packet.encode(writer),
            Packet::Publish(packet) => packet.encode(writer),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => packet.encode(writer),
            Packet::Subscribe(packet) => packet.encode(writer),
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => packet.encode(writer),
            Packet::Unsubscribe(packet) => packet.encode(writer),
            Packet::PingReq | Packet::PingResp => Ok(()),
            Packet::Disconnect(packet) => packet.encode(writer),
            Packet::Auth(packet) => packet.encode(writer),
        }
    }
}

macro_rules! into_packet {
    ($($packet:ident),*) => {$(
        impl From<$packet> for Packet {
            fn from(packet: $packet) -> Packet {
                Packet::$packet(packet)
            }
        }
    )*};
}

into_packet!(Auth, ConnAck, Disconnect, Publish, Subscribe, Unsubscribe);

impl From<Connect> for Packet {
    fn from(packet: Connect) -> Packet {
        Packet::Connect(Box::new(packet))
    }
}

/// Reads a Reason Code that `packet` may carry when `from` sends it.
fn reason_code(
    reader: &mut Reader<'_>,
    packet: PacketType,
    from: Side,
) -> Result<ReasonCode, DecodeError> {
    let at = reader.offset();
    let value = reader.byte()?;
    match ReasonCode::from_value(value) {
        Some(code) if code.is_allowed(packet, from) => Ok(code),
        Some(code) if code.is_allowed(packet, from.other()) => {
            Err(Fault::ReasonCodeFromWrongSide(code, packet).at(at)) // U-3.14.2.1-2
        }
        _ => Err(Fault::UnknownReasonCode(value, packet).at(at)), // U-2.4-2
    }
}

/// Whether `text` could be a Topic Name: not empty, without wildcards.
pub(super) fn is_topic_name(text: &str) -> bool {
    !text.is_empty() && !has_wildcard(text) // MQTT-4.7.3-1
}

fn has_wildcard(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'+' | b'#')) // MQTT-4.7.0-1
}
