//! Writes fields, or only counts what they would take.

use bytes::{BufMut, BytesMut};

use super::{EncodeError, MAX_VARIABLE_INTEGER, Text, number};

/// A sink for fields. Without a buffer it counts, so that lengths are known before they are written.
pub(super) struct Writer<'a> {
    out: Option<&'a mut BytesMut>,
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut BytesMut) -> Self {
        Writer { out: Some(out), len: 0 }
    }

    pub(super) fn counter() -> Self {
        Writer { out: None, len: 0 }
    }

    /// How many bytes have been written or counted.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written.
    pub(super) fn is_counter(&self) -> bool {
        self.out.is_none()
    }

    /// Counts bytes that are known without looking at them. Only for a counter.
    pub(super) fn skip(&mut self, len: usize) {
        debug_assert!(self.is_counter());
        self.len += len;
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(out) = &mut self.out {
            out.put_slice(bytes);
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    pub(super) fn two(&mut self, number: u16) {
        self.bytes(&number.to_be_bytes()); // U-1.5.2-1
    }

    pub(super) fn four(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes()); // U-1.5.3-1
    }

    pub(super) fn variable_integer(&mut self, number: usize) -> Result<(), EncodeError> {
        let number = u32::try_from(number)
            .ok()
            .filter(|number| *number <= MAX_VARIABLE_INTEGER)
            .ok_or(EncodeError::PacketTooLong)?;
        let (bytes, len) = number::encode(number);
        self.bytes(&bytes[..len]); // MQTT-1.5.5-1
        Ok(())
    }

    pub(super) fn text(&mut self, text: &Text) -> Result<(), EncodeError> {
        self.binary(text.as_bytes())
    }

    pub(super) fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
        self.two(len);
        self.bytes(bytes);
        Ok(())
    }
}
