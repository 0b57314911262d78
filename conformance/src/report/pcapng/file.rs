//! The form of the file: blocks of pcapng, as the draft of its standard (draft-ietf-opsawg-pcapng) has them.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const PACKET: u32 = 6;

/// Says in which order the bytes of numbers are.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Packets begin with their IP header.
const RAW_IP: u16 = 101;

const COMMENT: u16 = 1;
const NAME_OF_INTERFACE: u16 = 2;
const WRITTEN_BY: u16 = 4;

/// The length of an option has two bytes; it is cut where a character ends.
const LONGEST_OPTION: usize = 4_000;

/// A capture that is being written.
pub(super) struct Capture<W>(W);

impl<W: Write> Capture<W> {
    /// Begins a capture of one interface.
    pub(super) fn begin(out: W, comment: &str) -> io::Result<Capture<W>> {
        let mut capture = Capture(out);
        let mut section = BYTE_ORDER.to_le_bytes().to_vec();
        section.extend(1_u16.to_le_bytes());
        section.extend(0_u16.to_le_bytes());
        section.extend(u64::MAX.to_le_bytes());
        let program = concat!("mqttspec ", env!("CARGO_PKG_VERSION"));
        options(&[(COMMENT, comment), (WRITTEN_BY, program)], &mut section);
        capture.block(SECTION, &section)?;
        let mut interface = RAW_IP.to_le_bytes().to_vec();
        interface.extend([0; 6]);
        options(&[(NAME_OF_INTERFACE, "traces of mqttspec")], &mut interface);
        capture.block(INTERFACE, &interface)?;
        Ok(capture)
    }

    /// Names for addresses.
    pub(super) fn names(&mut self, names: &[(Ipv4Addr, String)]) -> io::Result<()> {
        let mut body = Vec::new();
        for (address, name) in names {
            let mut record = address.octets().to_vec();
            record.extend(name.bytes().filter(|byte| *byte != 0));
            record.push(0);
            field(1, &record, &mut body);
        }
        field(0, &[], &mut body);
        self.block(NAMES, &body)
    }

    /// A packet, with what is to be said of it.
    pub(super) fn packet(
        &mut self,
        at: Duration,
        data: &[u8],
        comments: &[String],
    ) -> io::Result<()> {
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX).to_be_bytes();
        let mut body = 0_u32.to_le_bytes().to_vec();
        // The more significant half comes first, each in the order of the file.
        for half in micros.chunks(4) {
            body.extend(half.iter().rev());
        }
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        body.extend(length.to_le_bytes().repeat(2));
        padded(data, &mut body);
        let comments: Vec<_> = comments.iter().map(|text| (COMMENT, text.as_str())).collect();
        options(&comments, &mut body);
        self.block(PACKET, &body)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
        self.0.write_all(&kind.to_le_bytes())?;
        self.0.write_all(&length)?;
        self.0.write_all(body)?;
        self.0.write_all(&length)
    }
}

/// Options, with their end; none at all need none.
fn options(all: &[(u16, &str)], out: &mut Vec<u8>) {
    for (code, text) in all {
        let end =
            (0..=LONGEST_OPTION.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        field(*code, &text.as_bytes()[..end.unwrap_or(0)], out);
    }
    if !all.is_empty() {
        field(0, &[], out);
    }
}

/// A code, a length, and so many bytes.
fn field(code: u16, bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(code.to_le_bytes());
    out.extend(length.to_le_bytes());
    padded(&bytes[..usize::from(length)], out);
}

/// Filled up to a multiple of four bytes.
fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}
