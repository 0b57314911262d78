//! A bounded cursor over one packet: whoever reads past its end, or not up to it, gets an error.

use bytes::Bytes;

use super::{DecodeError, Fault, Kind, Text, Value, number};

/// What is left of a packet, or of the properties in it.
pub(super) struct Reader {
    bytes: Bytes,
    /// Offset of the first byte of `bytes` within the packet.
    offset: usize,
    /// What it means when a number does not fit into what is left.
    short: Fault,
}

impl Reader {
    /// A reader over `bytes`, which begin `offset` bytes into their packet.
    pub(super) fn new(bytes: Bytes, offset: usize) -> Reader {
        Reader { bytes, offset, short: Fault::Truncated }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn two(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes) // U-1.5.2-1
    }

    fn four(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes) // U-1.5.3-1
    }

    pub(super) fn variable_integer(&mut self) -> Result<u32, DecodeError> {
        match number::decode(&self.bytes).map_err(|fault| fault.at(self.offset))? {
            Some((value, len)) => {
                self.take(len);
                Ok(value)
            }
            None => Err(self.short.at(self.offset)),
        }
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        let at = self.offset;
        if self.bytes.len() < 2 {
            return Err(Fault::PacketIdentifierMissing.at(at)); // U-2.2.1-1
        }
        match self.two()? {
            0 => Err(Fault::PacketIdentifierZero.at(at)), // MQTT-2.2.1-3
            id => Ok(id),
        }
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        self.prefixed(Fault::BinaryOverrun) // U-1.5.6-1
    }

    pub(super) fn text(&mut self) -> Result<Text, DecodeError> {
        let at = self.offset + 2;
        let bytes = self.prefixed(Fault::StringOverrun)?; // U-1.5.4-6
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| Fault::IllFormedUtf8.at(at + error.valid_up_to()))?; // MQTT-1.5.4-1, U-1.5.4-1
        match text.find('\0') {
            Some(nul) => Err(Fault::NulInString.at(at + nul)), // MQTT-1.5.4-2, U-1.5.4-2
            None => Ok(Text::from(text)),                      // MQTT-1.5.4-3: kept as it is
        }
    }

    pub(super) fn property_value(&mut self, kind: Kind) -> Result<Value, DecodeError> {
        Ok(match kind {
            Kind::Byte => Value::Number(u32::from(self.byte()?)),
            Kind::TwoByte => Value::Number(u32::from(self.two()?)),
            Kind::FourByte => Value::Number(self.four()?),
            Kind::Variable => Value::Number(self.variable_integer()?),
            Kind::String => Value::String(self.text()?),
            Kind::Binary => Value::Binary(self.binary()?),
            Kind::Pair => Value::Pair(self.text()?, self.text()?), // MQTT-1.5.7-1, U-1.5.7-1
        })
    }

    /// Reads a Property Length and gives a reader over just what it covers.
    pub(super) fn property_block(&mut self) -> Result<Reader, DecodeError> {
        let at = self.offset;
        let len = self.variable_integer()? as usize;
        if len > self.bytes.len() {
            return Err(Fault::PropertyLengthOverrun.at(at)); // U-2.2.2.1-1
        }
        let offset = self.offset;
        Ok(Reader { bytes: self.take(len), offset, short: Fault::PropertyTruncated })
    }

    /// All that is left, such as the payload of a PUBLISH.
    pub(super) fn rest(&mut self) -> Bytes {
        self.take(self.bytes.len())
    }

    /// Ends the packet: nothing may be left.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(Fault::TrailingBytes.at(self.offset)), // U-2.1.4-2, U-2.3-2
        }
    }

    fn prefixed(&mut self, overrun: Fault) -> Result<Bytes, DecodeError> {
        let at = self.offset;
        let len = usize::from(self.two()?);
        if len > self.bytes.len() {
            return Err(overrun.at(at));
        }
        Ok(self.take(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = self.bytes.first_chunk::<N>().copied();
        match array {
            Some(array) => {
                self.take(N);
                Ok(array)
            }
            None => Err(self.short.at(self.offset)),
        }
    }

    /// Takes `len` bytes, which the caller has made sure are there, without copying them.
    fn take(&mut self, len: usize) -> Bytes {
        self.offset += len;
        self.bytes.split_to(len)
    }
}
