//! Packet vectors as scripts.

use reference_broker::codec::Side;
use reference_broker::codec::vector::Vector;

use super::script::{CONNECT, LONG, OPEN, RAW};

/// A vector of the client's side, sent by a client that is connected, or in place of its CONNECT.
pub(crate) fn for_core(vector: &Vector) -> Option<Vec<u8>> {
    if vector.from() != Ok(Side::Client) {
        return None;
    }
    let is_connect = vector.bytes.first().is_some_and(|first| first >> 4 == 1);
    let comes_first = match vector.fields.get("when") {
        Some(when) => when == "first",
        None => is_connect,
    };
    let begin: &[u8] = if comes_first { &[0, 0, OPEN] } else { &[0, 0, CONNECT, 0, 0] };
    let len = u16::try_from(vector.bytes.len()).ok()?;
    Some([begin, &[RAW, 0, LONG], &len.to_be_bytes(), &vector.bytes].concat())
}
