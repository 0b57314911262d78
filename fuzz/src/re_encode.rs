//! Any bytes, read as packets and written again.

use bytes::BytesMut;
use reference_broker::codec::{Packet, Side};

use crate::decode::{Decoded, decode_one, each_packet};
use crate::naive::shortest;
use crate::validity::is_valid;

/// Whatever decodes is valid and is written in its shortest form, byte for byte: what it came in as, less
/// what may be left out. Its length is foretold, and what was written decodes to the same packet.
///
/// # Panics
///
/// When it does not.
pub fn what_decodes_is_written_in_its_shortest_form(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        each_packet(bytes, side, |decoded| {
            if let Decoded { bytes, size: Some(size), result: Ok(packet) } = decoded {
                check(&packet, &bytes[..size], side);
            }
        });
    }
}

fn check(packet: &Packet, bytes: &[u8], side: Side) {
    assert!(is_valid(packet, side), "an invalid packet was decoded: {packet:?}");
    let shortest = shortest(bytes);
    let mut written = BytesMut::from(&b"kept"[..]);
    packet.encode(&mut written).expect("a decoded packet can be encoded");
    assert_eq!(written.split_to(4), &b"kept"[..], "what stood there before is kept");
    assert_eq!(written, shortest, "the shortest form of {packet:?}");
    assert_eq!(packet.encoded_len(), Ok(shortest.len()), "the length foretold is the length");
    let (head, payload) = packet.to_parts().expect("a decoded packet can be encoded in parts");
    assert_eq!([head, payload].concat(), shortest, "the parts are the packet");
    assert_eq!(decode_one(&shortest, side).as_ref(), Ok(packet), "read from its shortest form");
}
