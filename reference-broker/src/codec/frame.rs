//! Cuts a byte stream into packets (section 2.1).

use bytes::{Buf, Bytes, BytesMut};

use super::{DecodeError, Fault, PacketType, number};

/// The fixed header of a packet (section 2.1.1), valid for its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// The type of the packet.
    pub packet_type: PacketType,
    /// The low four bits of the first byte; the ones that the type prescribes, or PUBLISH flags.
    pub flags: u8,
    /// How many bytes follow the fixed header.
    pub remaining_length: u32,
    /// How many bytes the fixed header itself has: 2 to 5.
    pub len: usize,
}

impl FixedHeader {
    /// Reads a fixed header from the front of `bytes`; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// What its bytes alone show to be wrong, as early as they show it: a reserved type, wrong
    /// flags, a Remaining Length that is too long or not minimal.
    pub fn decode(bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let flags = first & 0x0F;
        let packet_type =
            PacketType::from_value(first >> 4).ok_or_else(|| Fault::ReservedPacketType.at(0))?; // U-2.1.2-1
        packet_type.check_flags(flags).map_err(|fault| fault.at(0))?; // U-2.1.3-1
        Ok(number::decode(&bytes[1..]).map_err(|fault| fault.at(1))?.map(
            |(remaining_length, len)| FixedHeader {
                packet_type,
                flags,
                remaining_length,
                len: 1 + len,
            },
        ))
    }

    /// The size of the whole packet in bytes, as size limits count it (section 2.1.4).
    pub fn packet_size(&self) -> u64 {
        self.len as u64 + u64::from(self.remaining_length) // U-2.1.4-3
    }
}

/// One whole packet as bytes, with its fixed header read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its fixed header.
    pub header: FixedHeader,
    /// All of its bytes, the fixed header included.
    pub bytes: Bytes,
}

/// Collects received bytes and hands out whole packets.
///
/// What it says depends on the bytes alone, never on how they were split. A packet that is too
/// large is refused by its fixed header, so no more than the limit, and nothing ahead of what has
/// really arrived, is ever held.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    limit: u32,
    failed: Option<DecodeError>,
}

impl Framer {
    /// A framer that refuses packets of more than `limit` bytes.
    pub fn new(limit: u32) -> Framer {
        Framer { buffer: BytesMut::new(), limit, failed: None }
    }

    /// Where received bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How many bytes wait for the rest of their packet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes that wait for the rest of their packet.
    pub fn pending_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next whole packet, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// What is wrong with the fixed header of the next packet. The stream has no known boundary
    /// after that, so every later call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.cut().inspect_err(|error| {
                self.failed = Some(*error);
                self.buffer.clear();
            }),
        }
    }

    /// Whether an error has left it not knowing where the next packet begins.
    pub fn is_lost(&self) -> bool {
        self.failed.is_some()
    }

    fn cut(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(header) = FixedHeader::decode(self.buffer.chunk())? else { return Ok(None) };
        let size = header.packet_size();
        if size > u64::from(self.limit) {
            return Err(Fault::PacketTooLarge { size, limit: self.limit }.at(1)); // U-3.2.2.3.6-2
        }
        if (self.buffer.len() as u64) < size {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(size as usize).freeze();
        Ok(Some(Frame { header, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_whole_however_they_arrive() {
        let stream = [0xC0, 0x00, 0x40, 0x02, 0x00, 0x01, 0xE0, 0x00];
        let mut framer = Framer::new(100);
        let mut sizes = Vec::new();
        for byte in stream {
            framer.buffer().extend_from_slice(&[byte]);
            while let Some(frame) = framer.next_frame().unwrap() {
                sizes.push(frame.bytes.len());
            }
        }
        assert_eq!(sizes, [2, 4, 2]);
        assert_eq!(framer.pending(), 0);
    }

    #[test]
    fn a_large_packet_is_refused_before_its_body_comes() {
        let mut framer = Framer::new(10);
        framer.buffer().extend_from_slice(&[0x30, 0x08]);
        assert_eq!(framer.next_frame(), Ok(None));
        let mut framer = Framer::new(10);
        framer.buffer().extend_from_slice(&[0x30, 0x09]);
        let error = Fault::PacketTooLarge { size: 11, limit: 10 }.at(1);
        assert_eq!(framer.next_frame(), Err(error));
        framer.buffer().extend_from_slice(&[0xC0, 0x00]);
        assert_eq!(framer.next_frame(), Err(error), "a broken stream stays broken");
    }

    #[test]
    fn the_first_byte_is_judged_alone() {
        assert_eq!(FixedHeader::decode(&[0x00]), Err(Fault::ReservedPacketType.at(0)));
        assert_eq!(
            FixedHeader::decode(&[0x60]),
            Err(Fault::InvalidFlags(PacketType::PubRel).at(0))
        );
        assert_eq!(FixedHeader::decode(&[0x62]), Ok(None));
    }
}
