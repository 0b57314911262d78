//! Packets of choices, altered in a few bytes.

use bytes::BytesMut;
use reference_broker::codec::Side;

use crate::choices::Choices;
use crate::decode::what_decodes_is_what_the_standard_allows;
use crate::packet::packet;
use crate::re_encode::what_decodes_is_written_in_its_shortest_form;

/// The most alterations of a packet: with more it is hardly a packet any more.
const MOST: usize = 4;

/// Bytes that mean something in many places.
const NOTABLE: [u8; 14] = [0, 1, 2, 3, 4, 0x23, 0x26, 0x2B, 0x7F, 0x80, 0x81, 0xED, 0xFF, b'/'];

/// A packet of choices that is altered in a few bytes is read as the naive checker reads it, and written
/// in its shortest form. Bytes at random seldom get as far into a packet as this does.
///
/// # Panics
///
/// When it is not.
pub fn an_altered_packet_is_judged_by_the_standard(input: &[u8]) {
    let mut choices = Choices::new(input);
    let from = if choices.flag() { Side::Server } else { Side::Client };
    let count = choices.below(MOST);
    let alterations: Vec<[u8; 3]> =
        (0..count).map(|_| [choices.byte(), choices.byte(), choices.byte()]).collect();
    // What no bytes can say is no packet to alter.
    let Ok(encoded) = packet(&mut choices, from).to_bytes() else { return };
    let mut bytes = BytesMut::from(encoded);
    for [how, place, with] in alterations {
        alter(&mut bytes, how, place, with);
    }
    what_decodes_is_what_the_standard_allows(&bytes);
    what_decodes_is_written_in_its_shortest_form(&bytes);
}

/// Alters a byte. The place is counted from the front or from the back, since a packet may be long.
fn alter(bytes: &mut BytesMut, how: u8, place: u8, with: u8) {
    let place = usize::from(place);
    let at = if how.is_multiple_of(2) { Some(place) } else { bytes.len().checked_sub(1 + place) };
    let Some(at) = at.filter(|at| *at < bytes.len()) else { return };
    let byte = &mut bytes[at];
    match how / 2 % 6 {
        0 => *byte = with,
        1 => *byte = NOTABLE[usize::from(with) % NOTABLE.len()],
        2 => *byte ^= 1 << (with % 8),
        3 => *byte = byte.wrapping_add(1),
        4 => *byte = byte.wrapping_sub(1),
        _ => resize(bytes, at, with),
    }
}

/// Puts a byte in or takes one out behind the fixed header, and sets a Remaining Length of one byte right.
fn resize(bytes: &mut BytesMut, at: usize, with: u8) {
    let body = match bytes.as_ref() {
        [_, len @ 0..0x7F, ..] if at >= 2 => *len,
        _ => return,
    };
    let tail = bytes.split_off(at);
    match with.is_multiple_of(2) {
        true => {
            bytes.extend_from_slice(&[with / 2]);
            bytes.extend_from_slice(&tail);
            bytes[1] = body + 1;
        }
        false => {
            bytes.extend_from_slice(&tail[1..]);
            bytes[1] = body.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alteration_does_what_it_says() {
        let altered = |how, place, with| {
            let mut bytes = BytesMut::from(&[0x40, 2, 0, 7][..]);
            alter(&mut bytes, how, place, with);
            bytes.to_vec()
        };
        assert_eq!(altered(0, 3, 9), [0x40, 2, 0, 9]);
        assert_eq!(altered(1, 0, 9), [0x40, 2, 0, 9], "from the back");
        assert_eq!(altered(2, 2, 12), [0x40, 2, 0xFF, 7]);
        assert_eq!(altered(4, 0, 8), [0x41, 2, 0, 7]);
        assert_eq!(altered(6, 3, 0), [0x40, 2, 0, 8]);
        assert_eq!(altered(8, 3, 0), [0x40, 2, 0, 6]);
        assert_eq!(altered(10, 3, 10), [0x40, 3, 0, 5, 7]);
        assert_eq!(altered(10, 3, 1), [0x40, 1, 0]);
        assert_eq!(altered(10, 0, 1), [0x40, 2, 0, 7], "not in the fixed header");
        assert_eq!(altered(0, 4, 9), [0x40, 2, 0, 7], "behind the end");
    }
}
