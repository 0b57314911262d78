//! Bytes to packets and back: all of MQTT 5.0's wire format, both directions, no I/O.
//!
//! Three layers, each usable alone: [`Framer`] cuts a stream into [`Frame`]s and judges size and
//! first byte before it keeps a body; [`Packet::decode`] reads one frame strictly; and
//! [`Packet::encode`] writes a packet in its shortest form. What may stand where is decided by two
//! tables, [`PropertyId::row`] and [`ReasonCode::row`], which encoders, decoders, generators and
//! reports share.
//!
//! Decoding is strict, encoding is not: a tester must be able to write well-formed packets that the
//! protocol forbids. Bytes that no encoder would write are made by hand (see [`vector`]).

mod error;
mod frame;
mod number;
pub mod packet;
mod properties;
mod property;
mod reader;
mod reason;
mod requirement;
mod text;
pub mod vector;
mod writer;

pub use error::{DecodeError, EncodeError, Fault};
pub use frame::{FixedHeader, Frame, Framer};
pub use number::MAX_VARIABLE_INTEGER;
pub use packet::{
    Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Publish, PublishAck, QoS,
    RetainHandling, Subscribe, SubscribeAck, Subscription, SubscriptionOptions, Unsubscribe, Will,
};
pub use properties::{Properties, Property, Value};
pub use property::{Kind, Place, PropertyId, PropertyRow, Range};
pub use reason::{ReasonCode, ReasonRow};
pub use text::Text;

/// The side of a connection that sends a packet; what is allowed depends on it (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The side that opened the connection.
    Client,
    /// The broker.
    Server,
}

impl Side {
    /// The other end of the connection.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// Whether a cell of a table (`C`, `S`, `B` or `.`, as section 2.2.2.2 prints it) admits a sender.
fn cell_admits(cell: Option<&u8>, from: Side) -> bool {
    match cell {
        Some(b'B') => true,
        Some(b'C') => from == Side::Client,
        Some(b'S') => from == Side::Server,
        _ => false,
    }
}
