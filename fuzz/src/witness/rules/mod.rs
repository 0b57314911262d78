//! What other decoders do otherwise than the standard has it, a file for each. A test shows that each rule
//! is needed: one for something that a decoder no longer does fails it.

pub(super) mod mqtt5;
pub(super) mod rmqtt;

use reference_broker::codec::Side;

use crate::naive::{Field, Value};

/// Something that a decoder does otherwise.
#[derive(Debug)]
pub(super) struct Rule {
    /// What it does.
    pub(super) does: Does,
    /// The types of the packets in which it does so, by number; all if there are none.
    pub(super) packets: &'static [u8],
    /// The section of the standard that has it otherwise.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is for the reader, and a test looks it up")
    )]
    pub(super) section: &'static str,
    /// A packet with which it does so: who sends it, and its bytes in hex.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is for the test that shows the rule needed")
    )]
    pub(super) shown_by: (Side, &'static str),
}

/// How a decoder does otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// It decodes a packet that breaks this requirement.
    Overlooks(&'static str),
    /// It decodes bytes of this form, whatever they break.
    Takes(fn(&[u8]) -> bool),
    /// It refuses a packet that has such fields, though nothing is wrong with it.
    Refuses(fn(&[Field<'_>]) -> bool),
    /// It does not tell a property with this value from none.
    Hides(&'static str, u32),
}

/// The rule that a decoder overlooks a requirement in packets of these types.
const fn overlooks(
    requirement: &'static str,
    packets: &'static [u8],
    section: &'static str,
    shown_by: (Side, &'static str),
) -> Rule {
    Rule { does: Does::Overlooks(requirement), packets, section, shown_by }
}

/// A packet of a client.
const fn client(hex: &'static str) -> (Side, &'static str) {
    (Side::Client, hex)
}

/// A packet of a server.
const fn server(hex: &'static str) -> (Side, &'static str) {
    (Side::Server, hex)
}

/// Whether a field has this number.
fn has(fields: &[Field<'_>], name: &str, number: u32) -> bool {
    fields.iter().any(|field| field.name == name && field.value == Value::Number(number))
}
