//! What must hold for all packets and all bytes: encoding and decoding undo each other, splits do
//! not matter, and no input is too odd for an answer.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use reference_broker::codec::{DecodeError, FixedHeader, Frame, Framer, Packet, Publish, Side};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_encoded_decodes_to_the_same(
        (from, packet) in support::side().prop_flat_map(|from| (Just(from), support::packet(from))),
    ) {
        let bytes = packet.to_bytes().unwrap();
        prop_assert_eq!(packet.encoded_len(), Ok(bytes.len()));
        let (frames, end) = run([&bytes[..]]);
        prop_assert_eq!((frames.len(), &end), (1, &Ok(0)));
        prop_assert_eq!(frames[0].header.packet_size(), bytes.len() as u64);
        prop_assert_eq!(Packet::decode(&frames[0], from), Ok(packet));
    }

    #[test]
    fn a_damaged_packet_gives_an_error_or_another_packet(
        (from, packet) in support::side().prop_flat_map(|from| (Just(from), support::packet(from))),
        damages in vec(damage(), 1..4),
    ) {
        let bytes = damaged(&packet.to_bytes().unwrap(), &damages);
        check_stream(&bytes, from)?;
    }

    #[test]
    fn a_framed_body_of_any_bytes_gives_an_answer(
        first in first_byte(),
        body in vec(odd_byte(), 0..24),
        from in support::side(),
    ) {
        check_stream(&framed(first, &body), from)?;
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in vec(any::<u8>(), 0..64), from in support::side()) {
        check_stream(&bytes, from)?;
    }

    #[test]
    fn splits_change_nothing(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([stream.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let parts = starts.zip(ends).map(|(start, end)| &stream[start..end]);
        let whole = run([&stream[..]]);
        prop_assert_eq!(&run(parts), &whole);
        prop_assert_eq!(run(stream.chunks(1)), whole);
    }

    #[test]
    fn a_failed_encoding_writes_nothing(packet in support::packet(Side::Client)) {
        let mut out = BytesMut::from(&b"kept"[..]);
        let too_long = Packet::from(Publish::new("a".repeat(65_536), packet.to_bytes().unwrap()));
        prop_assert!(too_long.encode(&mut out).is_err());
        prop_assert_eq!(&out[..], b"kept");
        packet.encode(&mut out).unwrap();
        prop_assert_eq!(&out[4..], &packet.to_bytes().unwrap()[..]);
    }
}

/// A change to the body of a packet.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Replace(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Truncate(Index),
    FirstByte(u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (at(), odd_byte()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        4 => (at(), odd_byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        4 => at().prop_map(Damage::Delete),
        2 => at().prop_map(Damage::Truncate),
        1 => first_byte().prop_map(Damage::FirstByte),
    ]
}

/// Any byte, but often one that means something to a codec.
fn odd_byte() -> impl Strategy<Value = u8> {
    let odd = vec![0x00, 0x01, 0x02, 0x03, 0x0B, 0x1F, 0x26, 0x7F, 0x80, 0xC0, 0xED, 0xFF];
    prop_oneof![any::<u8>(), select(odd)]
}

/// The first byte of a packet, mostly with the flags that its type prescribes.
fn first_byte() -> impl Strategy<Value = u8> {
    let with_flags = |kind: u8| kind << 4 | if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    prop_oneof![8 => (1..16_u8).prop_map(with_flags), 1 => any::<u8>(), 1 => 0x30..0x40_u8]
}

fn damaged(packet: &[u8], damages: &[Damage]) -> Vec<u8> {
    let header = FixedHeader::decode(packet).unwrap().unwrap();
    let mut first = packet[0];
    let mut body = packet[header.len..].to_vec();
    for damage in damages {
        match damage {
            Damage::Flip(at, bit) if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] ^= 1 << bit;
            }
            Damage::Replace(at, byte) if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Damage::Insert(at, byte) => body.insert(at.index(body.len() + 1), *byte),
            Damage::Delete(at) if !body.is_empty() => {
                body.remove(at.index(body.len()));
            }
            Damage::Truncate(at) => body.truncate(at.index(body.len() + 1)),
            Damage::FirstByte(byte) => first = *byte,
            _ => {}
        }
    }
    framed(first, &body)
}

/// A packet of any body: the Remaining Length is written here, by other means than the codec's.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    while rest > 0x7F {
        bytes.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.put_u8(rest as u8);
    bytes.extend_from_slice(body);
    bytes
}

/// Several packets, some of them damaged, of either side, perhaps with odd bytes at the end.
fn stream() -> impl Strategy<Value = Bytes> {
    let damages = prop_oneof![3 => Just(Vec::new()), 1 => vec(damage(), 1..3)];
    let packet = (support::side().prop_flat_map(support::packet), damages)
        .prop_map(|(packet, damages)| damaged(&packet.to_bytes().unwrap(), &damages));
    let tail = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..6)];
    (vec(packet, 1..6), tail)
        .prop_map(|(packets, tail)| Bytes::from([packets.concat(), tail].concat()))
}

/// The frames of a stream, and how it ends: with so many bytes of a next packet, or an error.
type Cut = (Vec<Frame>, Result<usize, DecodeError>);

fn run<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Cut {
    let mut framer = Framer::new(u32::MAX);
    let mut frames = Vec::new();
    for part in parts {
        framer.buffer().extend_from_slice(part);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(framer.pending()))
}

/// Whatever the bytes are: an error points into its packet, and a packet, written down, is itself
/// again.
fn check_stream(bytes: &[u8], from: Side) -> Result<(), TestCaseError> {
    let (frames, end) = run([bytes]);
    let framed: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    match end {
        Ok(pending) => prop_assert_eq!(framed + pending, bytes.len()),
        Err(error) => prop_assert!(framed + error.offset < bytes.len()),
    }
    for frame in &frames {
        match Packet::decode(frame, from) {
            Err(error) => prop_assert!(error.offset <= frame.bytes.len(), "{}", error),
            Ok(packet) => {
                let again = packet.to_bytes().unwrap();
                prop_assert_eq!(packet.encoded_len(), Ok(again.len()));
                prop_assert!(again.len() <= frame.bytes.len(), "not the shortest form");
                let (frames, end) = run([&again[..]]);
                prop_assert_eq!((frames.len(), end), (1, Ok(0)));
                prop_assert_eq!(Packet::decode(&frames[0], from), Ok(packet));
            }
        }
    }
    Ok(())
}
