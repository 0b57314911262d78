//! Any packet, valid or not, written down and read again.

use bytes::BytesMut;
use reference_broker::codec::{Packet, Side};

use crate::choices::Choices;
use crate::decode::decode_one;
use crate::packet::packet;
use crate::validity::{is_encodable, is_valid};

/// A packet is encoded if and only if bytes can say it. Those bytes decode if and only if the packet
/// is valid, and then to the same packet, which encodes to the same bytes.
///
/// # Panics
///
/// When it does not.
pub fn a_packet_survives_the_wire(input: &[u8]) {
    let mut choices = Choices::new(input);
    let from = if choices.flag() { Side::Server } else { Side::Client };
    check(packet(&mut choices, from), from);
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    NotEncoded,
    NotDecoded,
    Survived,
}

fn check(mut packet: Packet, from: Side) -> Fate {
    let mut out = BytesMut::from(&b"kept"[..]);
    let encoded = packet.encode(&mut out);
    assert_eq!(encoded.is_ok(), is_encodable(&packet), "{encoded:?}: {packet:?}");
    assert_eq!(&out[..4], b"kept", "what stood there before is kept");
    let bytes = out.split_off(4).freeze();
    if let Err(error) = encoded {
        assert!(bytes.is_empty(), "a failed encoding writes nothing");
        assert_eq!(packet.encoded_len(), Err(error));
        return Fate::NotEncoded;
    }
    assert_eq!(packet.encoded_len(), Ok(bytes.len()), "the length foretold is the length");
    // What may not be there does not reach the wire.
    if let Packet::Publish(publish) = &mut packet
        && publish.qos.value() == 0
    {
        publish.packet_id = 0;
    }
    match decode_one(&bytes, from) {
        Ok(decoded) => {
            assert!(is_valid(&packet, from), "an invalid packet was decoded: {packet:?}");
            assert_eq!(decoded, packet);
            assert_eq!(decoded.to_bytes(), Ok(bytes), "the same packet has the same bytes");
            Fate::Survived
        }
        Err(error) => {
            assert!(!is_valid(&packet, from), "{error}, in a valid packet: {packet:?}");
            assert!(error.offset <= bytes.len(), "{error} points behind the packet");
            Fate::NotDecoded
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn most_packets_survive_and_many_do_not() {
        let mut fates = BTreeMap::new();
        for number in 0..2_000_u32 {
            let input: Vec<u8> =
                (0..200_u32).map(|at| (number * 7919 + at * at * 31) as u8 ^ (at as u8)).collect();
            let mut choices = Choices::new(&input);
            let from = if choices.flag() { Side::Server } else { Side::Client };
            let packet = packet(&mut choices, from);
            *fates.entry(check(packet, from)).or_insert(0) += 1;
        }
        println!("{fates:?}");
        assert!(fates[&Fate::Survived] > 1_000, "{fates:?}");
        assert!(fates[&Fate::NotDecoded] > 100, "{fates:?}");
        assert!(fates[&Fate::NotEncoded] > 10, "{fates:?}");
    }
}
