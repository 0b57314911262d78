//! A second reading of packets, made from sections 1.5, 2 and 3 of the standard alone. It shares no table
//! and no code with the codec, so that what is wrong in the codec is not wrong here as well.
//!
//! It is plain rather than fast, and it does not stop at the first thing that is wrong: as long as it is
//! known where the next field begins, it reads on and notes all that it sees. Whoever stops at the first
//! fault must have stopped at one of these.
//!
//! What a packet alone does not show is not looked at: the state of the connection, whether a Topic Filter
//! is one (section 4.7 leaves its refusal to SUBACK), and whether a payload is of its declared format.

mod connect;
mod cursor;
mod header;
mod packets;
mod property;
mod reason;
mod shortest;
mod utf8;

#[cfg(test)]
mod tests;

pub(crate) use property::property_name;
pub(crate) use shortest::shortest;

use cursor::Cursor;

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The side that opened the connection.
    Client,
    /// The other one.
    Server,
}

/// Something that a packet may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The requirement that says so. Where several do, there is a flaw for each.
    pub(crate) requirement: &'static str,
    /// Where it stands: the first byte of the field, or of what is wrong in a string. What is wrong with
    /// properties as a set stands at their Property Length, and what is missing where it would begin.
    pub(crate) offset: usize,
}

/// A field by the name that the standard gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: Value<'a>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number or flag of any width.
    Number(u32),
    /// A string or Binary Data, without its length.
    Bytes(&'a [u8]),
}

/// What a packet at the front of some bytes was read as.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// The number of its bytes, the fixed header included; `None` if they are not all there, or if the
    /// fixed header does not tell.
    pub(crate) size: Option<usize>,
    /// All that is wrong with it. Of a packet that is not all there, only what its fixed header shows.
    pub(crate) flaws: Vec<Flaw>,
    /// Its fields in their order, as far as they could be read.
    pub(crate) fields: Vec<Field<'a>>,
}

impl Reading<'_> {
    /// Whether this requirement is broken at this place.
    pub(crate) fn has(&self, requirement: &str, offset: usize) -> bool {
        self.flaws.iter().any(|flaw| flaw.requirement == requirement && flaw.offset == offset)
    }
}

/// Reads the packet at the front of `bytes`, for a receiver that takes packets of up to `limit` bytes.
pub(crate) fn read(bytes: &[u8], from: Sender, limit: u32) -> Reading<'_> {
    let mut cursor = Cursor::new(bytes);
    let size = header::read(&mut cursor, from, limit)
        .map(|header| {
            if !header.is_astray {
                // What stops the reading of the body has been noted as a flaw.
                let _ = packets::read(&mut cursor, header, from);
            }
            header.size
        })
        .ok();
    Reading { size, flaws: cursor.flaws, fields: cursor.fields }
}
