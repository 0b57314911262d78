//! What must hold for any input at all. The fuzz targets feed these properties at random; the tests
//! of this package replay them over the packet vectors, over every input that once broke one, and
//! over inputs of a generator that always gives the same.
//!
//! A property that is broken panics: that is how a fuzzer notices.

mod altered;
mod authentication;
pub mod choices;
mod clock;
mod core;
pub mod corpus;
mod decode;
pub mod dictionary;
mod fields;
pub mod model;
mod naive;
mod packet;
mod re_encode;
mod round_trip;
pub mod seed;
mod settings;
mod stream;
mod texts;
mod topics;
mod url;
mod validity;
mod websocket;
mod witness;

use reference_broker::codec::vector::Vector;

pub use self::core::{a_broker_keeps_the_standard, play};
pub use altered::an_altered_packet_is_judged_by_the_standard;
pub use authentication::{
    a_challenge_is_met_by_who_has_the_secret, an_exchange_proves_the_password,
};
pub use decode::what_decodes_is_what_the_standard_allows;
pub use re_encode::what_decodes_is_written_in_its_shortest_form;
pub use round_trip::a_packet_survives_the_wire;
pub use settings::a_configuration_is_written_as_it_is_read;
pub use stream::a_stream_is_read_alike_however_it_is_split;
pub use texts::{
    a_register_is_its_rows, a_script_is_written_as_it_is_read, a_trace_is_written_as_it_is_read,
};
pub use topics::topics_match_as_a_list_would;
pub use url::an_address_is_written_as_it_is_read;
pub use websocket::a_websocket_carries_what_was_sent;
pub use witness::other_decoders_bear_witness;

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

impl Property {
    /// One that packet vectors are of no use to.
    const fn of_its_own(name: &'static str, check: fn(&[u8])) -> Property {
        Property { name, check, seed: seed::none }
    }
}

/// Every property, a fuzz target each.
pub const PROPERTIES: [Property; 16] = [
    Property {
        name: "decode",
        check: what_decodes_is_what_the_standard_allows,
        seed: seed::for_decode,
    },
    Property {
        name: "re_encode",
        check: what_decodes_is_written_in_its_shortest_form,
        seed: seed::for_decode,
    },
    Property {
        name: "stream",
        check: a_stream_is_read_alike_however_it_is_split,
        seed: seed::for_stream,
    },
    Property { name: "round_trip", check: a_packet_survives_the_wire, seed: seed::for_round_trip },
    Property {
        name: "altered",
        check: an_altered_packet_is_judged_by_the_standard,
        seed: seed::for_altered,
    },
    Property { name: "witness", check: other_decoders_bear_witness, seed: seed::for_decode },
    Property { name: "core", check: a_broker_keeps_the_standard, seed: core::for_core },
    Property::of_its_own("topic_match", topics_match_as_a_list_would),
    Property::of_its_own("websocket", a_websocket_carries_what_was_sent),
    Property::of_its_own("trace_parse", a_trace_is_written_as_it_is_read),
    Property::of_its_own("script_parse", a_script_is_written_as_it_is_read),
    Property::of_its_own("register", a_register_is_its_rows),
    Property::of_its_own("settings", a_configuration_is_written_as_it_is_read),
    Property::of_its_own("url", an_address_is_written_as_it_is_read),
    Property::of_its_own("scram", an_exchange_proves_the_password),
    Property::of_its_own("challenge", a_challenge_is_met_by_who_has_the_secret),
];
