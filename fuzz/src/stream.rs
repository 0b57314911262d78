//! Any bytes, in pieces.

use reference_broker::codec::{DecodeError, Fault, FixedHeader, Framer, Packet, Side};

use crate::choices::Choices;

/// The longest fixed header.
const LONGEST_HEADER: usize = 5;

/// A stream gives the same packets and the same error however it is split, nothing of it is lost,
/// and no more is held than has arrived and the limit allows.
///
/// The first byte says the limit, the second how many lengths of pieces follow. The pieces have
/// these lengths in turn; all that is left is the stream.
///
/// # Panics
///
/// When it does not.
pub fn a_stream_is_read_alike_however_it_is_split(input: &[u8]) {
    let mut choices = Choices::new(input);
    let limit = match choices.byte() {
        exponent @ 0..32 => 1 << exponent,
        32 => u32::MAX,
        small => u32::from(small),
    };
    let count = 1 + choices.below(4);
    let lengths: Vec<usize> = (0..count).map(|_| usize::from(choices.byte())).collect();
    let stream = choices.rest();
    for side in [Side::Client, Side::Server] {
        let whole = read(&[stream], limit, side);
        check_against_headers(&whole, stream, limit);
        assert_eq!(read(&pieces(stream, &lengths), limit, side), whole, "split by {lengths:?}");
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes, limit, side), whole, "byte by byte");
    }
}

/// The stream cut into pieces that have these lengths in turn, empty ones among them.
fn pieces<'a>(mut stream: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let before = stream.len();
        for length in lengths {
            let (piece, rest) = stream.split_at((*length).min(stream.len()));
            pieces.push(piece);
            stream = rest;
        }
        if stream.len() == before {
            pieces.push(std::mem::take(&mut stream));
        }
    }
    pieces
}

/// What a stream was read as.
#[derive(Debug, PartialEq)]
struct Reading {
    /// The sizes of the frames that came out, the one that did not decode included.
    sizes: Vec<usize>,
    packets: Vec<Packet>,
    end: Result<usize, DecodeError>,
}

/// Reads a stream that comes in pieces, up to the first error.
fn read(pieces: &[&[u8]], limit: u32, from: Side) -> Reading {
    let mut framer = Framer::new(limit);
    let mut reading = Reading { sizes: Vec::new(), packets: Vec::new(), end: Ok(0) };
    let (mut arrived, mut cut) = (0, 0);
    for piece in pieces {
        framer.buffer().extend_from_slice(piece);
        arrived += piece.len();
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.header.packet_size(), frame.bytes.len() as u64);
                    assert!(frame.bytes.len() as u64 <= u64::from(limit), "above the limit");
                    cut += frame.bytes.len();
                    reading.sizes.push(frame.bytes.len());
                    match Packet::decode(&frame, from) {
                        Ok(packet) => reading.packets.push(packet),
                        Err(error) => return Reading { end: Err(error), ..reading },
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    check_refusal(&mut framer, error, arrived - cut, piece.len());
                    return Reading { end: Err(error), ..reading };
                }
            }
        }
        assert_eq!(framer.pending(), arrived - cut, "what waits is what is left");
        assert!(framer.pending() < (limit as usize).max(LONGEST_HEADER), "more held than allowed");
        let room = framer.buffer().capacity();
        assert!(room <= 4 * arrived + 64, "room for {room} bytes after {arrived}");
    }
    Reading { end: Ok(framer.pending()), ..reading }
}

/// A refusal comes with the byte that shows the fault, lasts, and keeps nothing.
fn check_refusal(framer: &mut Framer, error: DecodeError, waiting: usize, piece: usize) {
    let late = waiting.saturating_sub(LONGEST_HEADER);
    assert!(late < piece.max(1), "{error}: seen {late} bytes late");
    assert_eq!(framer.pending(), 0, "a refused packet is not kept");
    framer.buffer().extend_from_slice(&[0xC0, 0x00]);
    assert_eq!(framer.next_frame(), Err(error), "a refused stream stays refused");
}

/// Holds a reading of a whole stream against its fixed headers alone.
fn check_against_headers(reading: &Reading, stream: &[u8], limit: u32) {
    let mut rest = stream;
    for size in &reading.sizes {
        let header = FixedHeader::decode(rest).ok().flatten().expect("a frame has a header");
        assert_eq!(header.packet_size(), *size as u64);
        rest = &rest[*size..];
    }
    if reading.sizes.len() > reading.packets.len() {
        assert!(reading.end.is_err(), "a frame gave neither a packet nor an error");
        return;
    }
    match (&reading.end, FixedHeader::decode(rest)) {
        (Ok(pending), Ok(header)) => {
            assert_eq!(*pending, rest.len());
            let size = header.map_or(u64::MAX, |header| header.packet_size());
            assert!(size > rest.len() as u64, "a whole packet was not cut off");
            assert!(header.is_none() || size <= u64::from(limit), "too large and not refused");
        }
        (Err(DecodeError { fault: Fault::PacketTooLarge { size, .. }, .. }), Ok(Some(header))) => {
            assert_eq!(*size, header.packet_size());
            assert!(*size > u64::from(limit), "refused and not too large");
        }
        (Err(error), Err(of_header)) => assert_eq!(*error, of_header),
        (end, header) => panic!("{end:?} where the fixed header is {header:?}"),
    }
}
