//! Reason Codes (section 2.4, and the tables of sections 3.2 to 3.15).

use super::Sender;
use super::cursor::{Cursor, Read};
use super::header;

/// The codes of a packet.
struct Codes {
    kind: u8,
    by_both: &'static [u32],
    by_client: &'static [u32],
    by_server: &'static [u32],
    /// What a code breaks that is not one of the packet, and one that the other side sends.
    unlisted: &'static str,
    other_side: &'static str,
}

static CODES: [Codes; 9] = [
    Codes {
        kind: header::CONNACK.value, // Table 3-1.
        by_both: &[],
        by_client: &[],
        by_server: &[
            0, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 140, 144, 149, 151, 153, 154,
            155, 156, 157, 159,
        ],
        unlisted: "MQTT-3.2.2-8",
        other_side: "U-2.4-2",
    },
    Codes {
        kind: header::PUBACK.value, // Table 3-4.
        by_both: &[0, 128, 131, 135, 144, 145, 151, 153],
        by_client: &[],
        by_server: &[16],
        unlisted: "MQTT-3.4.2-1",
        other_side: "U-3.4.2.1-4",
    },
    Codes {
        kind: header::PUBREC.value, // Table 3-5.
        by_both: &[0, 128, 131, 135, 144, 145, 151, 153],
        by_client: &[],
        by_server: &[16],
        unlisted: "MQTT-3.5.2-1",
        other_side: "U-3.5.2.1-4",
    },
    Codes {
        kind: header::PUBREL.value, // Table 3-6.
        by_both: &[0, 146],
        by_client: &[],
        by_server: &[],
        unlisted: "MQTT-3.6.2-1",
        other_side: "U-2.4-2",
    },
    Codes {
        kind: header::PUBCOMP.value, // Table 3-7.
        by_both: &[0, 146],
        by_client: &[],
        by_server: &[],
        unlisted: "MQTT-3.7.2-1",
        other_side: "U-2.4-2",
    },
    Codes {
        kind: header::SUBACK.value, // Table 3-8.
        by_both: &[],
        by_client: &[],
        by_server: &[0, 1, 2, 128, 131, 135, 143, 145, 151, 158, 161, 162],
        unlisted: "MQTT-3.9.3-2",
        other_side: "U-2.4-2",
    },
    Codes {
        kind: header::UNSUBACK.value, // Table 3-9.
        by_both: &[],
        by_client: &[],
        by_server: &[0, 17, 128, 131, 135, 143, 145],
        unlisted: "MQTT-3.11.3-2",
        other_side: "U-2.4-2",
    },
    Codes {
        // Table 3-10. Table 2-6 gives DISCONNECT 140 (Bad authentication method) as well, with which a
        // server refuses to authenticate anew, and section 3.3.4 has a client use 155 (QoS not supported),
        // which the table leaves to servers.
        kind: header::DISCONNECT.value,
        by_both: &[0, 128, 129, 130, 131, 144, 147, 148, 149, 150, 151, 152, 153, 155],
        by_client: &[4],
        by_server: &[135, 137, 139, 140, 141, 142, 143, 154, 156, 157, 158, 159, 160, 161, 162],
        unlisted: "MQTT-3.14.2-1",
        other_side: "U-3.14.2.1-2",
    },
    Codes {
        kind: header::AUTH.value, // Table 3-11.
        by_both: &[24],
        by_client: &[25],
        by_server: &[0],
        unlisted: "MQTT-3.15.2-1",
        other_side: "U-3.15.2.1-1",
    },
];

/// Reads a Reason Code of this type of packet, and gives it.
pub(super) fn read(cursor: &mut Cursor<'_>, kind: u8, from: Sender) -> Read<u32> {
    let at = cursor.at();
    let code = cursor.byte()?;
    judge(cursor, kind, from, code, at);
    Ok(code)
}

/// Holds a Reason Code, written or implied, to the table of its packet.
pub(super) fn judge(cursor: &mut Cursor<'_>, kind: u8, from: Sender, code: u32, at: usize) {
    cursor.number("Reason Code", code);
    let Some(codes) = CODES.iter().find(|codes| codes.kind == kind) else { return };
    let (ours, theirs) = match from {
        Sender::Client => (codes.by_client, codes.by_server),
        Sender::Server => (codes.by_server, codes.by_client),
    };
    if codes.by_both.contains(&code) || ours.contains(&code) {
        return;
    }
    match theirs.contains(&code) {
        true => cursor.flaw(&[codes.other_side], at),
        false => cursor.flaw(&[codes.unlisted, "U-2.4-2"], at),
    }
}
