//! What must hold for any bytes at all. The fuzz targets feed these properties at random; the tests
//! of this package replay them over the packet vectors and over every input that once broke one.
//!
//! A property that is broken panics: that is how a fuzzer notices.

use bytes::Bytes;
use reference_broker::codec::{DecodeError, Framer, Packet, Side};

/// The largest packet the properties look at, in bytes.
const LIMIT: u32 = 1 << 20;

/// Whatever decodes can be written down, and what was written decodes to the same packet.
///
/// # Panics
///
/// When it does not.
pub fn what_decodes_encodes_to_the_same_packet(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        for packet in packets(&[bytes], side).0 {
            let written = packet.to_bytes().expect("a decoded packet can be encoded");
            assert_eq!(
                packet.encoded_len(),
                Ok(written.len()),
                "the length foretold is the length"
            );
            let (again, error) = packets(&[&written], side);
            assert_eq!((again.as_slice(), error), ([packet].as_slice(), None));
        }
    }
}

/// A stream gives the same packets and the same error however it is split. The first byte says how.
///
/// # Panics
///
/// When it does not.
pub fn a_stream_is_read_alike_however_it_is_split(bytes: &[u8]) {
    let Some((pattern, stream)) = bytes.split_first() else { return };
    let size = usize::from(*pattern) % 16 + 1;
    let pieces: Vec<&[u8]> = stream.chunks(size).collect();
    for side in [Side::Client, Side::Server] {
        assert_eq!(packets(&pieces, side), packets(&[stream], side), "split by {size}");
    }
}

/// The packets in a stream that comes in pieces, up to the first error.
fn packets(pieces: &[&[u8]], from: Side) -> (Vec<Packet>, Option<DecodeError>) {
    let mut framer = Framer::new(LIMIT);
    let mut packets = Vec::new();
    for piece in pieces {
        framer.buffer().extend_from_slice(piece);
        loop {
            let packet = framer.next_frame().and_then(|frame| match frame {
                Some(frame) => Packet::decode(&frame, from).map(Some),
                None => Ok(None),
            });
            match packet {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}

/// A property over raw bytes, with the name of its target.
pub type Property = (&'static str, fn(&[u8]));

/// Every property, by the name of its fuzz target.
pub const PROPERTIES: [Property; 2] = [
    ("decode", what_decodes_encodes_to_the_same_packet),
    ("stream", a_stream_is_read_alike_however_it_is_split),
];

/// Runs a property over one input and names the input if it breaks.
///
/// # Panics
///
/// When the property is broken.
pub fn replay(property: fn(&[u8]), name: &str, input: &Bytes) {
    let broken = std::panic::catch_unwind(|| property(input));
    assert!(broken.is_ok(), "broken by {name}");
}
