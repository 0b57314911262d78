//! What must hold for any input at all. The fuzz targets feed these properties at random; the tests
//! of this package replay them over the packet vectors, over every input that once broke one, and
//! over inputs of a generator that always gives the same.
//!
//! A property that is broken panics: that is how a fuzzer notices.

pub mod choices;
mod core;
mod decode;
pub mod dictionary;
mod packet;
mod round_trip;
pub mod seed;
mod stream;
mod validity;

use reference_broker::codec::vector::Vector;

pub use self::core::{a_broker_keeps_the_standard, play};
pub use decode::what_decodes_encodes_to_the_same_packet;
pub use round_trip::a_packet_survives_the_wire;
pub use stream::a_stream_is_read_alike_however_it_is_split;

/// A property over raw bytes.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The name of its fuzz target.
    pub name: &'static str,
    /// Panics if the property does not hold for the input.
    pub check: fn(&[u8]),
    /// A packet vector as an input, if it is of use as one.
    pub seed: fn(&Vector) -> Option<Vec<u8>>,
}

/// Every property, a fuzz target each.
pub const PROPERTIES: [Property; 4] = [
    Property {
        name: "decode",
        check: what_decodes_encodes_to_the_same_packet,
        seed: seed::for_decode,
    },
    Property {
        name: "stream",
        check: a_stream_is_read_alike_however_it_is_split,
        seed: seed::for_stream,
    },
    Property { name: "round_trip", check: a_packet_survives_the_wire, seed: seed::for_round_trip },
    Property { name: "core", check: a_broker_keeps_the_standard, seed: core::for_core },
];
