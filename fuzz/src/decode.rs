//! Any bytes, as one stream from either side.

use allocation_counter::measure;
use reference_broker::codec::{DecodeError, Fault, Framer, Packet, Side};

use crate::fields::fields;
use crate::naive::{self, Reading, Sender};

/// The largest packet the properties look at, in bytes.
pub(crate) const LIMIT: u32 = 1 << 20;

/// A stream is read as the naive checker reads it: a packet is decoded if and only if that sees nothing
/// wrong with it, and has the same fields; and what is told to be wrong is one of the things that it sees,
/// at the same place. No more memory is taken than what has arrived accounts for.
///
/// # Panics
///
/// When it does not.
pub fn what_decodes_is_what_the_standard_allows(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        each_packet(bytes, side, |decoded| check(&decoded, side));
    }
}

/// What came of the bytes at the front of a stream.
pub(crate) struct Decoded<'a> {
    /// From the packet to the end of what has arrived.
    pub(crate) bytes: &'a [u8],
    /// The number of its bytes, unless the fixed header is wrong.
    pub(crate) size: Option<usize>,
    pub(crate) result: Result<Packet, DecodeError>,
}

/// Gives a function each packet of a stream, up to the first error.
pub(crate) fn each_packet<'a>(bytes: &'a [u8], side: Side, mut then: impl FnMut(Decoded<'a>)) {
    let mut framer = Framer::new(LIMIT);
    framer.buffer().extend_from_slice(bytes);
    let mut rest = bytes;
    loop {
        let before = rest;
        let frame = within_bounds(rest.len(), || framer.next_frame());
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                let reading = naive::read(rest, sender(side), LIMIT);
                let is_open = reading.flaws.is_empty() && reading.size.is_none();
                assert!(is_open, "waits for more, where the naive checker has {reading:?}");
                return;
            }
            Err(error) => return then(Decoded { bytes: rest, size: None, result: Err(error) }),
        };
        rest = &rest[frame.bytes.len()..];
        let result = within_bounds(frame.bytes.len(), || Packet::decode(&frame, side));
        let is_error = result.is_err();
        then(Decoded { bytes: before, size: Some(frame.bytes.len()), result });
        if is_error {
            return;
        }
    }
}

/// Runs it, and sees to it that no more memory is held at any time than so many bytes account for. The
/// dearest byte is half of a property with a number, which takes a row of a list that doubles as it grows.
fn within_bounds<T>(arrived: usize, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = measure(|| result = Some(run())).bytes_max;
    let allowed = 1_024 + 100 * arrived as u64;
    assert!(taken <= allowed, "{taken} bytes of memory for {arrived} that have arrived");
    result.expect("it was run")
}

fn check(decoded: &Decoded<'_>, side: Side) {
    let reading = naive::read(decoded.bytes, sender(side), LIMIT);
    let Decoded { size, result, .. } = decoded;
    match result {
        Ok(packet) => {
            assert!(reading.flaws.is_empty(), "{packet:?} was decoded, with {:?}", reading.flaws);
            assert_eq!(fields(packet), reading.fields, "the fields of {packet:?}");
        }
        Err(error) => check_error(error, &reading, side),
    }
    if size.is_some() {
        assert_eq!(*size, reading.size, "the size of the packet");
    }
}

fn check_error(error: &DecodeError, reading: &Reading<'_>, side: Side) {
    let requirement = error.fault.requirement(side);
    let is_seen = std::iter::once(requirement)
        .chain(beside(error.fault).iter().copied())
        .any(|requirement| reading.has(requirement, error.offset));
    assert!(
        is_seen,
        "{error}, against {requirement}, where the naive checker has {:?}",
        reading.flaws
    );
    assert!(error.fault.reason_code().is_error(), "{error} is answered with success");
    assert!(!error.to_string().is_empty());
}

/// Where the codec names a requirement that is beside the point, because one name is for several faults:
/// the requirements that are to the point.
fn beside(fault: Fault) -> &'static [&'static str] {
    match fault {
        // An acknowledgement does not choose its identifier, as MQTT-2.2.1-3 and MQTT-2.2.1-4 have it.
        Fault::PacketIdentifierZero => &["MQTT-2.2.1-5", "MQTT-2.2.1-6"],
        // That it is empty is no wildcard.
        Fault::WillTopicInvalid | Fault::ResponseTopicInvalid => &["MQTT-4.7.3-1"],
        _ => &[],
    }
}

pub(crate) fn sender(side: Side) -> Sender {
    match side {
        Side::Client => Sender::Client,
        Side::Server => Sender::Server,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_requirement_beside_the_point_is_still_named() {
        for (bytes, side, right) in [
            (&b"\x40\x02\x00\x00"[..], Side::Client, "MQTT-2.2.1-5"),
            (b"\x90\x04\x00\x00\x00\x00", Side::Server, "MQTT-2.2.1-6"),
            (b"\x30\x07\x00\x01a\x03\x08\x00\x00", Side::Client, "MQTT-4.7.3-1"),
            (
                b"\x10\x12\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
                Side::Client,
                "MQTT-4.7.3-1",
            ),
        ] {
            let error = decode_one(bytes, side).unwrap_err();
            let reading = naive::read(bytes, sender(side), LIMIT);
            let named = error.fault.requirement(side);
            assert!(!reading.has(named, error.offset), "{named} is to the point in {bytes:02X?}");
            assert!(beside(error.fault).contains(&right) && reading.has(right, error.offset));
        }
    }
}
