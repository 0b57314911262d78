//! What rmqtt-codec does otherwise. Its decoder is not told which side sends, and hands over most properties
//! with the value that they have where they are not there.

use reference_broker::codec::Side;

use super::{Does, Rule, client, has, overlooks, server};
use crate::naive::{Field, Value};

pub(in crate::witness) static RULES: [Rule; 44] = [
    overlooks("MQTT-1.5.4-2", &[], "1.5.4", client("300400010000")),
    overlooks("MQTT-1.5.5-1", &[], "1.5.5", client("C08000")),
    overlooks("MQTT-3.1.2-11", &[1], "3.1.2.6", client("100D00044D515454050A0000000000")),
    overlooks("MQTT-3.1.2-13", &[1], "3.1.2.7", client("100D00044D51545405220000000000")),
    overlooks("MQTT-3.14.2-2", &[14], "3.14.2.2.2", server("E00700051100000000")),
    overlooks("MQTT-3.2.2-6", &[2], "3.2.2.1.1", server("2003018700")),
    overlooks("MQTT-3.3.1-2", &[3], "3.3.1.1", client("39070003EFBBBF00CD")),
    overlooks("MQTT-3.3.2-14", &[1, 3], "3.3.2.3.5", client("300A00036E2F610408000123")),
    overlooks("MQTT-3.3.2-2", &[3], "3.3.2.1", client("300600036D2F2300")),
    overlooks("MQTT-3.3.4-6", &[3], "3.3.4", client("300800036D2F61020B01")),
    overlooks("MQTT-3.8.3-4", &[8], "3.8.3.1", client("8212000100000C2473686172652F672F6D2F2B1C")),
    overlooks("MQTT-4.12.0-5", &[2], "4.12", server("2007000004160001AA")),
    overlooks("MQTT-4.7.0-1", &[1], "4.7.1", client("101300044D51545405060000000000000001230000")),
    overlooks("MQTT-4.7.3-1", &[1, 3], "4.7.3", client("300900036D2F6103080000")),
    overlooks("U-2.1.2-2", &[2, 9, 11, 13], "2.1.2", client("D000")),
    overlooks("U-2.1.2-3", &[1, 8, 10, 12], "2.1.2", server("C000")),
    overlooks("U-2.1.4-2", &[15], "2.1.4", server("F00118")),
    overlooks("U-2.3-2", &[1, 12, 13], "2.3", client("C00100")),
    overlooks("U-2.3-1", &[9, 11], "2.3", server("9003010200")),
    overlooks(
        "U-3.1.2.11.10-1",
        &[1],
        "3.1.2.11.10",
        client("101000044D51545405020000031600000000"),
    ),
    overlooks("U-3.14.2.1-2", &[14], "3.14.2.1", server("E00104")),
    overlooks("U-3.14.2.2.5-2", &[14], "3.14.2.2.5", server("E0058B031C0000")),
    overlooks("U-3.15.2.1-1", &[15], "3.15.2.1", server("F0051903150000")),
    overlooks("U-3.15.2.2.2-1", &[15], "3.15.2.2.2", server("F000")),
    overlooks("U-3.2.2.3.16-2", &[2], "3.2.2.3.16", server("2006009B031C0000")),
    overlooks("U-3.2.2.3.4-1", &[2], "3.2.2.3.4", server("20050000022402")),
    overlooks("U-3.2.2.3.6-1", &[2], "3.2.2.3.6", server("20080000052700000000")),
    overlooks("U-3.3.2.1-2", &[3], "3.3.2.1", client("3003000000")),
    overlooks("U-3.4.2.1-4", &[4], "3.4.2.1", client("4003010210")),
    overlooks("U-3.5.2.1-4", &[5], "3.5.2.1", client("5003010210")),
    hides(
        "Session Expiry Interval",
        0,
        &[1],
        "3.1.2.11.2",
        client("100D00044D51545405020000000000"),
    ),
    hides(
        "Request Problem Information",
        1,
        &[1],
        "3.1.2.11.7",
        client("100D00044D51545405020000000000"),
    ),
    hides(
        "Request Response Information",
        0,
        &[1],
        "3.1.2.11.6",
        client("100D00044D51545405020000000000"),
    ),
    hides("Topic Alias Maximum", 0, &[1], "3.1.2.11.5", client("100D00044D51545405020000000000")),
    hides("Maximum QoS", 2, &[2], "3.2.2.3.4", server("2003000000")),
    hides("Receive Maximum", 65535, &[2], "3.2.2.3.3", server("2003000000")),
    hides("Topic Alias Maximum", 0, &[2], "3.2.2.3.8", server("2003000000")),
    hides("Retain Available", 1, &[2], "3.2.2.3.5", server("2003000000")),
    hides("Wildcard Subscription Available", 1, &[2], "3.2.2.3.11", server("2003000000")),
    hides("Subscription Identifier Available", 1, &[2], "3.2.2.3.12", server("2003000000")),
    hides("Shared Subscription Available", 1, &[2], "3.2.2.3.13", server("2003000000")),
    hides("Payload Format Indicator", 0, &[3], "3.3.2.3.2", client("300600036D2F6100")),
    Rule {
        does: Does::Refuses(expires_at_once),
        packets: &[1, 3],
        section: "3.3.2.3.3",
        shown_by: client("300B00036D2F61050200000000"),
    },
    // The text of section 3.1.3.1 that had Clean Start 1 with it is of MQTT 3.1.1.
    Rule {
        does: Does::Refuses(is_without_identifier_to_resume),
        packets: &[1],
        section: "3.1.3.1",
        shown_by: client("100D00044D51545405000000000000"),
    },
];

const fn hides(
    property: &'static str,
    value: u32,
    packets: &'static [u8],
    section: &'static str,
    shown_by: (Side, &'static str),
) -> Rule {
    Rule { does: Does::Hides(property, value), packets, section, shown_by }
}

/// An empty Client Identifier with Clean Start 0.
fn is_without_identifier_to_resume(fields: &[Field<'_>]) -> bool {
    let empty = Field { name: "Client Identifier", value: Value::Bytes(b"") };
    has(fields, "Clean Start", 0) && fields.contains(&empty)
}

/// A Message Expiry Interval of 0, which no sentence forbids.
fn expires_at_once(fields: &[Field<'_>]) -> bool {
    has(fields, "Message Expiry Interval", 0)
}
