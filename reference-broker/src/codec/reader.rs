//! A bounded cursor over one packet: whoever reads past its end, or not up to it, gets an error.

use bytes::Bytes;

use super::{DecodeError, Fault, Kind, Text, Value, number};

/// What is left of a packet, or of the properties in it.
pub(super) struct Reader<'a> {
    packet: &'a Bytes,
    /// How far it has been read. To cut that off would cost more than to read most fields does.
    offset: usize,
    /// Where this ends.
    end: usize,
    /// What it means when a number does not fit into what is left.
    short: Fault,
}

impl<'a> Reader<'a> {
    /// A reader of a packet from this offset on.
    pub(super) fn new(packet: &'a Bytes, offset: usize) -> Reader<'a> {
        Reader { packet, offset, end: packet.len(), short: Fault::Truncated }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    /// What is not read yet.
    fn left(&self) -> &'a [u8] {
        self.packet.get(self.offset..self.end).unwrap_or_default()
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
        match number::decode(self.left()).map_err(|fault| fault.at(self.offset))? {
            Some((value, len)) => {
                self.offset += len;
                Ok(value)
            }
            None => Err(self.short.at(self.offset)),
        }
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        let at = self.offset;
        if self.left().len() < 2 {
            return Err(Fault::PacketIdentifierMissing.at(at)); // U-2.2.1-1
        }
        match self.two()? {
            0 => Err(Fault::PacketIdentifierZero.at(at)), // MQTT-2.2.1-3
            id => Ok(id),
        }
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.prefix(Fault::BinaryOverrun)?; // U-1.5.6-1
        Ok(self.take(len))
    }

    pub(super) fn text(&mut self) -> Result<Text, DecodeError> {
        let len = self.prefix(Fault::StringOverrun)?; // U-1.5.4-6
        let at = self.offset;
        let bytes = self.left().get(..len).unwrap_or_default();
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Fault::IllFormedUtf8.at(at + error.valid_up_to()))?; // MQTT-1.5.4-1, U-1.5.4-1
        if let Some(nul) = text.find('\0') {
            return Err(Fault::NulInString.at(at + nul)); // MQTT-1.5.4-2, U-1.5.4-2
        }
        let text = Text::from(text); // MQTT-1.5.4-3: kept as it is
        self.offset += len;
        Ok(text)
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
    pub(super) fn property_block(&mut self) -> Result<Reader<'a>, DecodeError> {
        let at = self.offset;
        let len = self.variable_integer()? as usize;
        if len > self.left().len() {
            return Err(Fault::PropertyLengthOverrun.at(at)); // U-2.2.2.1-1
        }
        let offset = self.offset;
        self.offset += len;
        let (packet, end) = (self.packet, self.offset);
        Ok(Reader { packet, offset, end, short: Fault::PropertyTruncated })
    }

    /// All that is left, such as the payload of a PUBLISH.
    pub(super) fn rest(&mut self) -> Bytes {
        self.take(self.left().len())
    }

    /// Ends the packet: nothing may be left.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Fault::TrailingBytes.at(self.offset)), // U-2.1.4-2, U-2.3-2
        }
    }

    /// Reads a length of two bytes, of which it makes sure that so much is there.
    fn prefix(&mut self, overrun: Fault) -> Result<usize, DecodeError> {
        let at = self.offset;
        let len = usize::from(self.two()?);
        match len <= self.left().len() {
            true => Ok(len),
            false => Err(overrun.at(at)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = self.left().first_chunk::<N>().copied();
        self.offset += if array.is_some() { N } else { 0 };
        array.ok_or_else(|| self.short.at(self.offset))
    }

    /// Takes `len` bytes, which the caller has made sure are there, without copying them.
    fn take(&mut self, len: usize) -> Bytes {
        let begin = self.offset;
        self.offset += len;
        self.packet.slice(begin..self.offset)
    }
}
