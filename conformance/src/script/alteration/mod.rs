//! One field of a packet, altered: the rest stays valid, and the lengths around the field are fitted, so that a
//! broker gets as far as the field.
//!
//! In a script an alteration stands before the packet that it is of:
//!
//! ```text
//! alice || alters "Topic Alias" xffff
//! alice || alters "Remaining Length" +1
//! alice || alters "User Property" 2 gone
//! alice || alters "Payload Format Indicator" twice
//! ```
//!
//! The names are those of the standard; a number tells which of several fields of a name is meant. A length is a
//! field of its own: `Remaining Length`, `Property Length`, `length of Topic Name`.

mod parts;
mod reading;

use std::fmt;

use bytes::Bytes;
use reference_broker::codec::Packet;

pub(crate) use parts::{Layout, Part, Parts};

/// A change to one field of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The name of the field.
    pub field: String,
    /// Which of the fields of that name, counted from 1.
    pub number: usize,
    /// The change.
    pub change: Change,
}

/// A change to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has these bytes.
    Bytes(Bytes),
    /// It is a number that is larger by so much, or smaller.
    More(i32),
    /// It is left out, with its length and its Property Identifier.
    Gone,
    /// It stands there twice.
    Twice,
}

/// The fields of a packet, as rows of a table; none of what is no packet, or not a single one.
pub(crate) fn layout(bytes: &[u8]) -> Option<Vec<Layout>> {
    let parts = Parts::of(bytes)?;
    (parts.to_bytes() == bytes).then(|| parts.layout())
}

impl Alteration {
    /// The packet as bytes, altered; unaltered if it has no such field, and nothing if it cannot be written.
    pub fn of(&self, packet: &Packet) -> Bytes {
        let Ok(bytes) = packet.to_bytes() else { return Bytes::new() };
        match Parts::of(&bytes) {
            Some(mut parts) => {
                parts.alter(self);
                parts.to_bytes()
            }
            None => bytes,
        }
    }
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.field)?;
        if self.number != 1 {
            write!(f, " {}", self.number)?;
        }
        match &self.change {
            Change::Bytes(bytes) => write!(f, " {}", crate::trace::bytes_literal(bytes)),
            Change::More(more) => write!(f, " {more:+}"),
            Change::Gone => f.write_str(" gone"),
            Change::Twice => f.write_str(" twice"),
        }
    }
}
