//! The shortest form of a packet.

use super::header::{DISCONNECT, PUBACK, PUBCOMP, PUBREC, PUBREL};

/// The one packet that `bytes` are, in its shortest form. They have no flaws, so that only two things
/// could be left out: a Property Length of 0 at the end, and then a Reason Code of 0 (sections 3.4.2.1
/// to 3.7.2.1 and 3.14.2.1).
pub(crate) fn shortest(bytes: &[u8]) -> Vec<u8> {
    let kind = bytes.first().map_or(0, |first| first / 16);
    let before_code = match kind {
        _ if kind == DISCONNECT.value => 0,
        _ if [PUBACK, PUBREC, PUBREL, PUBCOMP].iter().any(|each| each.value == kind) => 2,
        _ => return bytes.to_vec(),
    };
    // A Remaining Length of one byte is all that such a packet can have, so the body begins behind it.
    let Some((header, body)) = bytes.split_at_checked(2) else { return bytes.to_vec() };
    let body = match body.get(before_code..) {
        Some([0, 0] | [0]) => &body[..before_code],
        Some([_, 0]) => &body[..=before_code],
        _ => return bytes.to_vec(),
    };
    [&[header[0], body.len() as u8], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_out_is() {
        for (long, short) in [
            (&[0xE0, 2, 0, 0][..], &[0xE0, 0][..]),
            (&[0xE0, 1, 0], &[0xE0, 0]),
            (&[0xE0, 0], &[0xE0, 0]),
            (&[0xE0, 2, 0x81, 0], &[0xE0, 1, 0x81]),
            (&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0], &[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0]),
            (&[0x40, 4, 0, 1, 0, 0], &[0x40, 2, 0, 1]),
            (&[0x62, 3, 0, 0, 0x92], &[0x62, 3, 0, 0, 0x92]),
            (&[0x70, 4, 1, 0, 0x92, 0], &[0x70, 3, 1, 0, 0x92]),
            (&[0xF0, 2, 0, 0], &[0xF0, 2, 0, 0]),
            (&[0x30, 4, 0, 1, b'a', 0], &[0x30, 4, 0, 1, b'a', 0]),
        ] {
            assert_eq!(shortest(long), short);
        }
    }
}
