//! Data representation (section 1.5).

use super::utf8::ill_formed_at;
use super::{Field, Flaw, Value};

/// A reading that cannot go on: where the next field begins is not known.
#[derive(Debug)]
pub(super) struct Stop;

/// What was read, or nothing.
pub(super) type Read<T> = Result<T, Stop>;

/// A place in the bytes, and what was seen up to it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where that which holds the field ends: the packet, or its properties.
    end: usize,
    /// What it breaks when a field of a fixed size goes on behind that end.
    cut: &'static [&'static str],
    pub(super) flaws: Vec<Flaw>,
    pub(super) fields: Vec<Field<'a>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        let cut = &["U-2.1.4-2"];
        Cursor { bytes, at: 0, end: bytes.len(), cut, flaws: Vec::new(), fields: Vec::new() }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    /// Lets what is read end after so many bytes, which are there. Gives what [`Cursor::widen`] takes.
    pub(super) fn narrow(
        &mut self,
        len: usize,
        cut: &'static [&'static str],
    ) -> (usize, &'static [&'static str]) {
        let before = (self.end, self.cut);
        self.end = self.at + len;
        self.cut = cut;
        before
    }

    /// Takes a narrowing back.
    pub(super) fn widen(&mut self, (end, cut): (usize, &'static [&'static str])) {
        self.end = end;
        self.cut = cut;
    }

    /// Notes that each of these requirements is broken here.
    pub(super) fn flaw(&mut self, requirements: &[&'static str], offset: usize) {
        for requirement in requirements {
            self.flaws.push(Flaw { requirement, offset });
        }
    }

    /// Notes a field that holds a number.
    pub(super) fn number(&mut self, name: &'static str, number: impl Into<u32>) {
        self.fields.push(Field { name, value: Value::Number(number.into()) });
    }

    /// Notes a field that holds a string or Binary Data.
    pub(super) fn bytes(&mut self, name: &'static str, bytes: &'a [u8]) {
        self.fields.push(Field { name, value: Value::Bytes(bytes) });
    }

    /// The next bytes, if there are so many.
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        if len > self.left() {
            return None;
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Some(taken)
    }

    /// All bytes that are left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.take(self.left()).unwrap_or_default()
    }

    /// A number of so many bytes, the highest first (sections 1.5.2 and 1.5.3).
    fn big_endian(&mut self, len: usize) -> Read<u32> {
        let at = self.at;
        let Some(bytes) = self.take(len) else {
            self.flaw(self.cut, at);
            return Err(Stop);
        };
        Ok(bytes.iter().fold(0, |number, byte| number * 256 + u32::from(*byte)))
    }

    pub(super) fn byte(&mut self) -> Read<u32> {
        self.big_endian(1)
    }

    pub(super) fn two(&mut self) -> Read<u32> {
        self.big_endian(2)
    }

    pub(super) fn four(&mut self) -> Read<u32> {
        self.big_endian(4)
    }

    /// A Variable Byte Integer (section 1.5.5). One that is longer than needed says a number all the
    /// same, so that it can be read on.
    pub(super) fn integer(&mut self) -> Read<u32> {
        let at = self.at;
        let mut number = 0;
        for place in [1, 128, 128 * 128, 128 * 128 * 128] {
            let Some(&[byte]) = self.take(1) else {
                self.flaw(self.cut, at);
                return Err(Stop);
            };
            number += u32::from(byte % 128) * place;
            if byte < 128 {
                // A last digit of 0, in front of others, says nothing.
                if byte == 0 && place > 1 {
                    self.flaw(&["MQTT-1.5.5-1"], at);
                }
                return Ok(number);
            }
        }
        self.flaw(&["U-1.5.5-1"], at);
        Err(Stop)
    }

    /// Binary Data (section 1.5.6).
    pub(super) fn binary(&mut self) -> Read<&'a [u8]> {
        self.behind_length(&["U-1.5.6-1"])
    }

    /// A UTF-8 Encoded String (section 1.5.4).
    pub(super) fn string(&mut self) -> Read<&'a [u8]> {
        let bytes = self.behind_length(&["U-1.5.4-6"])?;
        let start = self.at - bytes.len();
        if let Some(offset) = ill_formed_at(bytes) {
            self.flaw(&["MQTT-1.5.4-1"], start + offset);
        }
        for (offset, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 0) {
            self.flaw(&["MQTT-1.5.4-2"], start + offset);
        }
        Ok(bytes)
    }

    fn behind_length(&mut self, overrun: &[&'static str]) -> Read<&'a [u8]> {
        let at = self.at;
        let len = self.two()?;
        self.take(len as usize).ok_or_else(|| {
            self.flaw(overrun, at);
            Stop
        })
    }

    /// A string that is shown as a field.
    pub(super) fn string_field(&mut self, name: &'static str) -> Read<&'a [u8]> {
        let bytes = self.string()?;
        self.bytes(name, bytes);
        Ok(bytes)
    }

    /// Binary Data that is shown as a field.
    pub(super) fn binary_field(&mut self, name: &'static str) -> Read<&'a [u8]> {
        let bytes = self.binary()?;
        self.bytes(name, bytes);
        Ok(bytes)
    }
}
