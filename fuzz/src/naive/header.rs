//! The fixed header (section 2.1) and what each type of packet has there.

use super::Sender;
use super::cursor::{Cursor, Read, Stop};

/// A type of packet: a row of tables 2-1 and 2-2.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) value: u8,
    pub(super) by_client: bool,
    pub(super) by_server: bool,
    /// The flags it has to have; PUBLISH has none of these.
    flags: Option<u8>,
    /// Which requirements other flags break.
    by_flags: &'static [&'static str],
}

/// Where its section says no more about the flags than section 2.1.3 does.
const GENERAL: &[&str] = &["U-2.1.3-1", "MQTT-2.1.3-1"];

const fn kind(
    value: u8,
    (by_client, by_server): (bool, bool),
    flags: u8,
    by_flags: &'static [&'static str],
) -> Kind {
    Kind { value, by_client, by_server, flags: Some(flags), by_flags }
}

const CLIENT: (bool, bool) = (true, false);
const SERVER: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

pub(super) const CONNECT: Kind = kind(1, CLIENT, 0, &["U-3.1.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);
pub(super) const CONNACK: Kind = kind(2, SERVER, 0, GENERAL);
pub(super) const PUBLISH: Kind =
    Kind { value: 3, by_client: true, by_server: true, flags: None, by_flags: &[] };
pub(super) const PUBACK: Kind = kind(4, BOTH, 0, GENERAL);
pub(super) const PUBREC: Kind = kind(5, BOTH, 0, GENERAL);
pub(super) const PUBREL: Kind = kind(6, BOTH, 2, &["MQTT-3.6.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);
pub(super) const PUBCOMP: Kind = kind(7, BOTH, 0, GENERAL);
pub(super) const SUBSCRIBE: Kind =
    kind(8, CLIENT, 2, &["MQTT-3.8.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);
pub(super) const SUBACK: Kind = kind(9, SERVER, 0, GENERAL);
pub(super) const UNSUBSCRIBE: Kind =
    kind(10, CLIENT, 2, &["MQTT-3.10.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);
pub(super) const UNSUBACK: Kind = kind(11, SERVER, 0, GENERAL);
pub(super) const PINGREQ: Kind = kind(12, CLIENT, 0, GENERAL);
pub(super) const PINGRESP: Kind = kind(13, SERVER, 0, GENERAL);
pub(super) const DISCONNECT: Kind =
    kind(14, BOTH, 0, &["MQTT-3.14.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);
pub(super) const AUTH: Kind = kind(15, BOTH, 0, &["MQTT-3.15.1-1", "MQTT-2.1.3-1", "U-2.1.3-1"]);

static KINDS: [Kind; 15] = [
    CONNECT,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    UNSUBSCRIBE,
    UNSUBACK,
    PINGREQ,
    PINGRESP,
    DISCONNECT,
    AUTH,
];

/// A fixed header whose packet is all there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: &'static Kind,
    pub(super) flags: u8,
    /// The number of bytes of the packet.
    pub(super) size: usize,
    /// Whether this side sends no packets of this type, so that nothing is laid down for its fields.
    pub(super) is_astray: bool,
}

/// Reads the fixed header, and lets the reading end where the packet does.
pub(super) fn read(cursor: &mut Cursor<'_>, from: Sender, limit: u32) -> Read<Header> {
    if cursor.left() == 0 {
        return Err(Stop);
    }
    let first = cursor.byte()?.to_le_bytes()[0];
    let (value, flags) = (first / 16, first % 16);
    let Some(kind) = KINDS.iter().find(|kind| kind.value == value) else {
        cursor.flaw(&["U-2.1.2-1"], 0);
        return Err(Stop);
    };
    check_flags(cursor, kind, flags);
    let remaining = remaining_length(cursor)?;
    let size = cursor.at() as u64 + u64::from(remaining);
    if size > u64::from(limit) {
        let too_large = match from {
            Sender::Client => "U-3.2.2.3.6-2",
            Sender::Server => "MQTT-3.1.2-24",
        };
        cursor.flaw(&[too_large], 1);
    }
    if remaining as usize > cursor.left() {
        return Err(Stop); // The rest is still to come.
    }
    let (is_sent, astray) = match from {
        Sender::Client => (kind.by_client, "U-2.1.2-2"),
        Sender::Server => (kind.by_server, "U-2.1.2-3"),
    };
    if !is_sent {
        cursor.flaw(&[astray], 0);
    }
    cursor.number("MQTT Control Packet type", kind.value);
    cursor.narrow(remaining as usize, &["U-2.1.4-2"]);
    Ok(Header { kind, flags, size: size as usize, is_astray: !is_sent })
}

fn check_flags(cursor: &mut Cursor<'_>, kind: &'static Kind, flags: u8) {
    match kind.flags {
        Some(right) if right != flags => cursor.flaw(kind.by_flags, 0),
        Some(_) => {}
        None => {
            let (dup, qos) = (flags / 8, flags / 2 % 4);
            if qos == 3 {
                cursor.flaw(&["MQTT-3.3.1-4"], 0);
            }
            if dup == 1 && qos == 0 {
                cursor.flaw(&["MQTT-3.3.1-2"], 0);
            }
        }
    }
}

/// The Remaining Length. That its bytes are not there yet is no flaw.
fn remaining_length(cursor: &mut Cursor<'_>) -> Read<u32> {
    let flaws = cursor.flaws.len();
    let start = cursor.at();
    let arrived = cursor.left();
    let read = cursor.integer();
    let is_cut = read.is_err() && cursor.at() - start == arrived && arrived < 4;
    if is_cut {
        cursor.flaws.truncate(flaws);
    }
    read
}
