//! Variable Byte Integers (section 1.5.5).

use super::error::Fault;

/// The largest value a Variable Byte Integer holds: four bytes of seven bits.
pub const MAX_VARIABLE_INTEGER: u32 = 268_435_455;

/// How many bytes the shortest encoding of `value` has.
pub(super) fn encoded_len(value: u32) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// The shortest encoding of `value` as bytes, and how many of them count.
pub(super) fn encode(mut value: u32) -> ([u8; 4], usize) {
    let len = encoded_len(value);
    let mut bytes = [0; 4];
    for byte in bytes.iter_mut().take(len) {
        *byte = (value & 0x7F) as u8 | 0x80;
        value >>= 7;
    }
    bytes[len - 1] &= 0x7F;
    (bytes, len)
}

/// Reads an integer from the front of `bytes`: its value and its length, or `None` when more bytes
/// are needed.
///
/// # Errors
///
/// [`Fault::IntegerTooLong`] when the fourth byte says that another follows, and
/// [`Fault::IntegerNotMinimal`] when a shorter encoding exists.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * position);
        if byte & 0x80 == 0 {
            let len = position + 1;
            return if len == encoded_len(value) {
                Ok(Some((value, len)))
            } else {
                Err(Fault::IntegerNotMinimal) // MQTT-1.5.5-1
            };
        }
    }
    match bytes.len() {
        0..4 => Ok(None),
        _ => Err(Fault::IntegerTooLong), // U-1.5.5-1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_have_their_lengths() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (MAX_VARIABLE_INTEGER, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let (encoded, len) = encode(value);
            assert_eq!(&encoded[..len], bytes);
            assert_eq!(decode(bytes), Ok(Some((value, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn longer_encodings_than_needed_are_refused() {
        for bytes in
            [&[0x80, 0x00][..], &[0x81, 0x00], &[0x80, 0x80, 0x00], &[0xFF, 0x80, 0x80, 0x00]]
        {
            assert_eq!(decode(bytes), Err(Fault::IntegerNotMinimal));
        }
    }

    #[test]
    fn a_fifth_byte_is_refused_as_soon_as_the_fourth_announces_it() {
        assert_eq!(decode(&[0xFF, 0xFF, 0xFF]), Ok(None));
        assert_eq!(decode(&[0xFF, 0xFF, 0xFF, 0xFF]), Err(Fault::IntegerTooLong));
        assert_eq!(decode(&[0x80, 0x80, 0x80, 0x80, 0x00]), Err(Fault::IntegerTooLong));
    }
}
