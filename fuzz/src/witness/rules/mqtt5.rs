//! What mqtt5-protocol does otherwise. It has a second, stricter check for some of it, which its users are to
//! call; and its decoder is not told which side sends.

use super::{Does, Rule, client, has, overlooks, server};
use crate::naive::Field;

pub(in crate::witness) static RULES: [Rule; 49] = [
    overlooks("MQTT-1.5.5-1", &[], "1.5.5", client("C08000")),
    overlooks("MQTT-2.2.1-3", &[3, 8, 10], "2.2.1", client("320800036D2F61000000")),
    overlooks("MQTT-2.2.1-4", &[3], "2.2.1", server("320800036D2F61000000")),
    overlooks("MQTT-2.2.1-5", &[4, 5, 6, 7], "2.2.1", client("40020000")),
    overlooks("MQTT-2.2.1-6", &[9, 11], "2.2.1", server("900400000000")),
    overlooks("MQTT-3.1.2-2", &[1], "3.1.2.2", client("100C00044D5154546B02003C0000")),
    overlooks("MQTT-3.14.2-2", &[14], "3.14.2.2.2", server("E00700051100000000")),
    overlooks("MQTT-3.15.2-1", &[15], "3.15.2.1", server("F0058103150000")),
    overlooks("MQTT-3.2.2-6", &[2], "3.2.2.1.1", server("2003018700")),
    overlooks("MQTT-3.3.2-14", &[1, 3], "3.3.2.3.5", client("300A00036E2F610408000123")),
    overlooks("MQTT-3.3.2-2", &[3], "3.3.2.1", client("300600036D2F2300")),
    overlooks("MQTT-3.3.2-8", &[3], "3.3.2.3.4", client("32080000010203230000")),
    overlooks("MQTT-3.3.4-6", &[3], "3.3.4", client("300800036D2F61020B01")),
    overlooks("MQTT-3.8.3-4", &[8], "3.8.3.1", client("8212000100000C2473686172652F672F6D2F2B1C")),
    overlooks("MQTT-4.12.0-5", &[2], "4.12", server("2007000004160001AA")),
    overlooks("MQTT-4.7.0-1", &[1], "4.7.1", client("101300044D51545405060000000000000001230000")),
    overlooks("MQTT-4.7.3-1", &[1, 3], "4.7.3", client("300900036D2F6103080000")),
    overlooks("U-1.2-2", &[1], "1.2", client("101500044D5154540506000000000002010200016D0000")),
    overlooks("U-2.1.2-2", &[2, 9, 11, 13], "2.1.2", client("D000")),
    overlooks("U-2.1.2-3", &[1, 8, 10, 12], "2.1.2", server("C000")),
    overlooks("U-2.1.4-2", &[15], "2.1.4", server("F00100")),
    overlooks("U-2.2.2.2-2", &[], "2.2.2.2", server("20050000021701")),
    overlooks(
        "U-3.1.2.11.10-1",
        &[1],
        "3.1.2.11.10",
        client("101000044D51545405020000031600000000"),
    ),
    overlooks("U-3.1.2.11.3-2", &[1], "3.1.2.11.3", client("101000044D51545405020000032100000000")),
    overlooks(
        "U-3.1.2.11.4-2",
        &[1],
        "3.1.2.11.4",
        client("101200044D515454050200000527000000000000"),
    ),
    overlooks("U-3.1.2.11.6-2", &[1], "3.1.2.11.6", client("100F00044D515454050200000219020000")),
    overlooks("U-3.1.2.11.7-2", &[1], "3.1.2.11.7", client("100F00044D515454050200000217020000")),
    overlooks("U-3.14.2.1-2", &[14], "3.14.2.1", server("E00104")),
    overlooks("U-3.14.2.2.5-2", &[14], "3.14.2.2.5", server("E0058B031C0000")),
    overlooks("U-3.15.2.1-1", &[15], "3.15.2.1", server("F0051903150000")),
    overlooks("U-3.15.2.2.2-1", &[15], "3.15.2.2.2", server("F000")),
    overlooks("U-3.2.2.3.11-1", &[2], "3.2.2.3.11", server("20050000022802")),
    overlooks("U-3.2.2.3.12-1", &[2], "3.2.2.3.12", server("20050000022902")),
    overlooks("U-3.2.2.3.13-1", &[2], "3.2.2.3.13", server("20050000022A02")),
    overlooks("U-3.2.2.3.16-2", &[2], "3.2.2.3.16", server("2006009B031C0000")),
    overlooks("U-3.2.2.3.3-1", &[2], "3.2.2.3.3", server("2006000003210000")),
    overlooks("U-3.2.2.3.4-1", &[2], "3.2.2.3.4", server("20050000022402")),
    overlooks("U-3.2.2.3.5-1", &[2], "3.2.2.3.5", server("20050000022502")),
    overlooks("U-3.2.2.3.6-1", &[2], "3.2.2.3.6", server("20080000052700000000")),
    overlooks("U-3.3.2.1-2", &[3], "3.3.2.1", client("3003000000")),
    overlooks("U-3.3.2.3.2-3", &[3], "3.3.2.3.2", client("300800036D2F61020102")),
    overlooks("U-3.3.2.3.8-1", &[3], "3.3.2.3.8", server("300800036D2F61020B00")),
    overlooks("U-3.4.2.1-4", &[4], "3.4.2.1", client("4003010210")),
    overlooks("U-3.5.2.1-4", &[5], "3.5.2.1", client("5003010210")),
    overlooks("U-3.8.2.1.2-1", &[8], "3.8.2.1.2", client("820B0102020B0000036E2F6100")),
    overlooks("U-3.8.2.1.2-2", &[8], "3.8.2.1.2", client("820D0102040B010B0200036E2F6100")),
    Rule {
        does: Does::Takes(is_short_connack),
        packets: &[2],
        section: "2.2.2",
        shown_by: server("20020001"),
    },
    Rule {
        does: Does::Refuses(has_password_alone),
        packets: &[1],
        section: "3.1.2.9",
        shown_by: client("100F00044D515454054200000000000000"),
    },
    Rule {
        does: Does::Refuses(has_bad_authentication_method),
        packets: &[14],
        section: "2.4",
        shown_by: server("E0018C"),
    },
];

/// A Password without a User Name, which MQTT 3.1.1 did not allow.
fn has_password_alone(fields: &[Field<'_>]) -> bool {
    has(fields, "Password Flag", 1) && has(fields, "User Name Flag", 0)
}

/// The code 0x8C, which table 2-6 gives DISCONNECT and table 3-10 does not.
fn has_bad_authentication_method(fields: &[Field<'_>]) -> bool {
    has(fields, "Reason Code", 0x8C)
}

/// A CONNACK without a Property Length, as MQTT 3.1.1 had it, with codes of its own.
fn is_short_connack(bytes: &[u8]) -> bool {
    let behind_length = bytes.iter().skip(1).skip_while(|byte| **byte >= 0x80).skip(1);
    behind_length.count() == 2
}
