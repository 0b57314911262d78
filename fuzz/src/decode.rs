//! Any bytes, as one stream from either side.

use reference_broker::codec::{DecodeError, Frame, Framer, Packet, Side};

use crate::validity::is_valid;

/// The largest packet the properties look at, in bytes.
const LIMIT: u32 = 1 << 20;

/// Whatever decodes is valid, can be written down in no more bytes than it came in, and what was
/// written decodes to the same packet. What does not decode is answered with an error that points
/// into the packet.
///
/// # Panics
///
/// When it does not.
pub fn what_decodes_encodes_to_the_same_packet(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        read(bytes, side);
    }
}

/// Reads a stream up to the first error, and checks what comes out.
fn read(bytes: &[u8], side: Side) {
    let mut framer = Framer::new(LIMIT);
    framer.buffer().extend_from_slice(bytes);
    loop {
        let ahead = framer.pending();
        match framer.next_frame() {
            Ok(Some(frame)) => match Packet::decode(&frame, side) {
                Ok(packet) => check_packet(&packet, &frame, side),
                Err(error) => return check_error(error, frame.bytes.len(), side),
            },
            Ok(None) => return,
            Err(error) => return check_error(error, ahead.min(5), side),
        }
    }
}

fn check_packet(packet: &Packet, frame: &Frame, side: Side) {
    assert!(is_valid(packet, side), "an invalid packet was decoded: {packet:?}");
    let written = packet.to_bytes().expect("a decoded packet can be encoded");
    assert_eq!(packet.encoded_len(), Ok(written.len()), "the length foretold is the length");
    assert!(written.len() <= frame.bytes.len(), "the encoder has the shortest form");
    assert_eq!(decode_one(&written, side).as_ref(), Ok(packet));
}

fn check_error(error: DecodeError, len: usize, side: Side) {
    assert!(error.offset <= len, "{error} points behind the packet of {len} bytes");
    assert!(error.fault.reason_code().is_error(), "{error} is answered with success");
    assert!(!error.fault.requirement(side).is_empty() && !error.to_string().is_empty());
}

/// The one packet that bytes are.
///
/// # Errors
///
/// What is wrong with it.
///
/// # Panics
///
/// When the bytes are less or more than one packet.
pub(crate) fn decode_one(bytes: &[u8], from: Side) -> Result<Packet, DecodeError> {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(bytes);
    let frame = framer.next_frame()?.expect("the bytes are a whole packet");
    assert_eq!(framer.pending(), 0, "the bytes are one packet");
    Packet::decode(&frame, from)
}
