//! Well-formed UTF-8 (RFC 3629, which section 1.5.4 names).

/// Where the first sequence begins that is not the one way to write a character.
pub(super) fn ill_formed_at(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match sequence(&bytes[at..]) {
            Some(len) => at += len,
            None => return Some(at),
        }
    }
    None
}

/// The length of the sequence at the front, if it is well-formed.
fn sequence(bytes: &[u8]) -> Option<usize> {
    let first = u32::from(*bytes.first()?);
    // By the first byte: how many bytes there are, the bits it has of the character, and the lowest
    // character that needs so many.
    let (len, bits, lowest) = match first {
        0x00..=0x7F => (1, first, 0),
        0xC0..=0xDF => (2, first - 0xC0, 0x80),
        0xE0..=0xEF => (3, first - 0xE0, 0x800),
        0xF0..=0xF7 => (4, first - 0xF0, 0x1_0000),
        _ => return None,
    };
    let mut character = bits;
    for byte in bytes.get(1..len)? {
        match byte {
            0x80..=0xBF => character = character * 64 + u32::from(byte - 0x80),
            _ => return None,
        }
    }
    let is_surrogate = (0xD800..=0xDFFF).contains(&character);
    let is_written_shortest = character >= lowest;
    (is_written_shortest && !is_surrogate && character <= 0x10_FFFF).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ill_formed_sequence_is_found() {
        for (bytes, at) in [
            (&b"plain"[..], None),
            (b"", None),
            (&[0x7F, 0xC2, 0x80, 0xDF, 0xBF], None),
            (&[0xE0, 0xA0, 0x80, 0xED, 0x9F, 0xBF, 0xEE, 0x80, 0x80, 0xEF, 0xBF, 0xBF], None),
            (&[0xF0, 0x90, 0x80, 0x80, 0xF4, 0x8F, 0xBF, 0xBF], None),
            (&[b'a', 0x80], Some(1)),
            (&[b'a', 0xC1, 0xBF], Some(1)),
            (&[0xE0, 0x9F, 0xBF], Some(0)),
            (&[0xED, 0xA0, 0x80], Some(0)),
            (&[0xC2, 0x80, 0xED, 0xBF, 0xBF], Some(2)),
            (&[0xF0, 0x8F, 0xBF, 0xBF], Some(0)),
            (&[0xF4, 0x90, 0x80, 0x80], Some(0)),
            (&[0xF8, 0x88, 0x80, 0x80, 0x80], Some(0)),
            (&[0xFF], Some(0)),
            (&[b'a', 0xE2, 0x82], Some(1)),
            (&[0xC2, b'a'], Some(0)),
        ] {
            assert_eq!(ill_formed_at(bytes), at, "{bytes:02X?}");
        }
    }

    #[test]
    fn every_character_is_well_formed_and_no_other_number_is() {
        for number in 0..=0x11_0000_u32 {
            let [a, b, c, d] = [number >> 18, number >> 12 & 63, number >> 6 & 63, number & 63]
                .map(|bits| bits as u8);
            let bytes = match number {
                0..0x80 => vec![number as u8],
                0x80..0x800 => vec![0xC0 | (number >> 6) as u8, 0x80 | d],
                0x800..0x1_0000 => vec![0xE0 | b, 0x80 | c, 0x80 | d],
                _ => vec![0xF0 | a, 0x80 | b, 0x80 | c, 0x80 | d],
            };
            let is_ill_formed = char::from_u32(number).is_none();
            assert_eq!(ill_formed_at(&bytes), is_ill_formed.then_some(0), "{number:X}");
        }
    }
}
