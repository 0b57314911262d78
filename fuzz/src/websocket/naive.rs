//! A reader of WebSocket frames that has all bytes at once, written from RFC 6455, section 5.

use super::Reading;
use super::frames::Role;

/// What bytes are to be read as.
#[derive(Debug, Default)]
pub(super) struct Expected {
    payload: Vec<u8>,
    /// The payloads of all Pings.
    pings: Vec<Vec<u8>>,
    /// The payload of the Close frame that is the answer to the end, if there is one.
    close: Option<Vec<u8>>,
    is_broken: bool,
}

/// A frame as it came.
struct Frame<'a> {
    is_last: bool,
    reserved: u8,
    opcode: u8,
    is_masked: bool,
    is_padded: bool,
    length: u64,
    /// As much of the payload as there is, unmasked.
    payload: Vec<u8>,
    rest: &'a [u8],
}

/// Takes the first frame apart, if its header is whole.
fn take(bytes: &[u8]) -> Option<Frame<'_>> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, is_padded, rest) = match second & 0x7F {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from(u16::from_be_bytes(*length));
            (length, length <= 125, rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from_be_bytes(*length);
            (length, length <= 0xFFFF || length >> 63 == 1, rest)
        }
        length => (u64::from(length), false, rest),
    };
    let is_masked = second >> 7 == 1;
    let (key, rest) = match is_masked {
        true => rest.split_first_chunk()?,
        false => (&[0; 4], rest),
    };
    let there = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    let (payload, rest) = rest.split_at(there);
    let unmasked = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    Some(Frame {
        is_last: first >> 7 == 1,
        reserved: first >> 4 & 7,
        opcode: first & 0xF,
        is_masked,
        is_padded,
        length,
        payload: unmasked,
        rest,
    })
}

/// Reads all that this side is sent, up to its end.
pub(super) fn read(role: Role, mut bytes: &[u8]) -> Expected {
    let mut expected = Expected::default();
    let mut is_in_message = false;
    while let Some(frame) = take(bytes) {
        let is_control = frame.opcode >= 8;
        let is_odd = frame.reserved != 0
            || frame.is_masked != (role == Role::Server)
            || frame.is_padded
            || is_control && (!frame.is_last || frame.length > 125);
        match frame.opcode {
            _ if is_odd => return expected.broken(1002),
            0 if !is_in_message => return expected.broken(1002),
            1 | 2 if is_in_message => return expected.broken(1002),
            // MQTT is not carried by text.
            1 => return expected.broken(1003),
            0 | 2 => {
                expected.payload.extend_from_slice(&frame.payload);
                is_in_message = !frame.is_last;
            }
            8..=10 if (frame.payload.len() as u64) < frame.length => return expected,
            8 => return expected.closed(&frame.payload),
            9 => expected.pings.push(frame.payload),
            10 => {}
            _ => return expected.broken(1002),
        }
        bytes = frame.rest;
    }
    expected
}

impl Expected {
    fn broken(self, code: u16) -> Expected {
        Expected { close: Some(code.to_be_bytes().to_vec()), is_broken: true, ..self }
    }

    fn closed(self, payload: &[u8]) -> Expected {
        match payload {
            [] => Expected { close: Some(Vec::new()), ..self },
            [high, low, text @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                let is_code = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                match is_code && str::from_utf8(text).is_ok() {
                    true => Expected { close: Some(vec![*high, *low]), ..self },
                    false => self.broken(1002),
                }
            }
            _ => self.broken(1002),
        }
    }
}

/// Holds what was read, and what was answered, to what it is to be.
pub(super) fn check(role: Role, expected: &Expected, reading: &Reading) {
    let payload = &reading.payload;
    assert!(*payload == expected.payload, "{payload:02x?} was read, not {expected:02x?}");
    assert_eq!(
        reading.error.is_some(),
        expected.is_broken,
        "{:?} for {expected:02x?}",
        reading.error
    );
    let (mut bytes, mut pings, mut close) = (&reading.answer[..], expected.pings.iter(), None);
    let mut last = None;
    while let Some(frame) = take(bytes) {
        assert!(close.is_none(), "nothing is sent behind a Close frame");
        assert!(frame.is_last && frame.reserved == 0 && !frame.is_padded, "an odd frame");
        assert_eq!(frame.is_masked, role == Role::Client, "clients mask, servers do not");
        assert_eq!(frame.payload.len() as u64, frame.length, "a whole frame");
        match frame.opcode {
            8 => close = Some(frame.payload),
            // Of several Pings at once only the last one is answered.
            10 => {
                assert!(pings.any(|ping| *ping == frame.payload), "a Pong to no Ping");
                last = Some(frame.payload);
            }
            opcode => panic!("a frame of kind {opcode} though nothing was written"),
        }
        bytes = frame.rest;
    }
    assert!(bytes.is_empty(), "half a header was sent");
    assert_eq!(close, expected.close, "the Close frame that answers {expected:02x?}");
    if close.is_none() {
        assert_eq!(last.as_ref(), expected.pings.last(), "the last Ping is answered");
    }
}
