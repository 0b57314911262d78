//! Properties (section 2.2.2).

use super::Sender;
use super::cursor::{Cursor, Read, Stop};

/// What carries properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

use Place::{
    Auth, ConnAck, Connect, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, SubAck,
    Subscribe, UnsubAck, Unsubscribe, Will,
};

/// The type of a value (section 1.5).
#[derive(Clone, Copy, Debug)]
enum Type {
    Byte,
    Two,
    Four,
    Variable,
    String,
    Binary,
    Pair,
}

/// A row of table 2-4, with the requirement that has the property at most once in each place.
type Row = (u32, &'static str, Type, &'static [(Place, &'static str)]);

/// Where a property may stand any number of times.
const MANY: &str = "";

pub(super) const RESPONSE_TOPIC: u32 = 8;
const SUBSCRIPTION_IDENTIFIER: u32 = 11;
const SESSION_EXPIRY_INTERVAL: u32 = 17;
pub(super) const AUTHENTICATION_METHOD: u32 = 21;
pub(super) const AUTHENTICATION_DATA: u32 = 22;
pub(super) const SERVER_REFERENCE: u32 = 28;
pub(super) const TOPIC_ALIAS: u32 = 35;

static ROWS: [Row; 27] = [
    (
        1,
        "Payload Format Indicator",
        Type::Byte,
        &[(Publish, "U-3.3.2.3.2-3"), (Will, "U-3.1.3.2.3-1")],
    ),
    (
        2,
        "Message Expiry Interval",
        Type::Four,
        &[(Publish, "U-3.3.2.3.3-2"), (Will, "U-3.1.3.2.4-1")],
    ),
    (3, "Content Type", Type::String, &[(Publish, "U-3.3.2.3.9-1"), (Will, "U-3.1.3.2.5-1")]),
    (
        RESPONSE_TOPIC,
        "Response Topic",
        Type::String,
        &[(Publish, "U-3.3.2.3.5-1"), (Will, "U-3.1.3.2.6-1")],
    ),
    (9, "Correlation Data", Type::Binary, &[(Publish, "U-3.3.2.3.6-1"), (Will, "U-3.1.3.2.7-1")]),
    (
        SUBSCRIPTION_IDENTIFIER,
        "Subscription Identifier",
        Type::Variable,
        &[(Publish, MANY), (Subscribe, "U-3.8.2.1.2-2")],
    ),
    (
        SESSION_EXPIRY_INTERVAL,
        "Session Expiry Interval",
        Type::Four,
        &[(Connect, "U-3.1.2.11.2-1"), (ConnAck, "U-3.2.2.3.2-1"), (Disconnect, "U-3.14.2.2.2-1")],
    ),
    (18, "Assigned Client Identifier", Type::String, &[(ConnAck, "U-3.2.2.3.7-1")]),
    (19, "Server Keep Alive", Type::Two, &[(ConnAck, "U-3.2.2.3.14-1")]),
    (
        AUTHENTICATION_METHOD,
        "Authentication Method",
        Type::String,
        &[(Connect, "U-3.1.2.11.9-1"), (ConnAck, "U-3.2.2.3.17-1"), (Auth, "U-3.15.2.2.2-1")],
    ),
    (
        AUTHENTICATION_DATA,
        "Authentication Data",
        Type::Binary,
        &[(Connect, "U-3.1.2.11.10-2"), (ConnAck, "U-3.2.2.3.18-1"), (Auth, "U-3.15.2.2.3-1")],
    ),
    (23, "Request Problem Information", Type::Byte, &[(Connect, "U-3.1.2.11.7-1")]),
    (24, "Will Delay Interval", Type::Four, &[(Will, "U-3.1.3.2.2-1")]),
    (25, "Request Response Information", Type::Byte, &[(Connect, "U-3.1.2.11.6-1")]),
    (26, "Response Information", Type::String, &[(ConnAck, "U-3.2.2.3.15-1")]),
    (
        SERVER_REFERENCE,
        "Server Reference",
        Type::String,
        &[(ConnAck, "U-3.2.2.3.16-1"), (Disconnect, "U-3.14.2.2.5-1")],
    ),
    (
        31,
        "Reason String",
        Type::String,
        &[
            (ConnAck, "U-3.2.2.3.9-1"),
            (PubAck, "U-3.4.2.2.2-1"),
            (PubRec, "U-3.5.2.2.2-1"),
            (PubRel, "U-3.6.2.2.2-1"),
            (PubComp, "U-3.7.2.2.2-1"),
            (SubAck, "U-3.9.2.1.2-1"),
            (UnsubAck, "U-3.11.2.1.2-1"),
            (Disconnect, "U-3.14.2.2.3-1"),
            (Auth, "U-3.15.2.2.4-1"),
        ],
    ),
    (33, "Receive Maximum", Type::Two, &[(Connect, "U-3.1.2.11.3-1"), (ConnAck, "U-3.2.2.3.3-1")]),
    (
        34,
        "Topic Alias Maximum",
        Type::Two,
        &[(Connect, "U-3.1.2.11.5-1"), (ConnAck, "U-3.2.2.3.8-1")],
    ),
    (TOPIC_ALIAS, "Topic Alias", Type::Two, &[(Publish, "U-3.3.2.3.4-1")]),
    (36, "Maximum QoS", Type::Byte, &[(ConnAck, "U-3.2.2.3.4-1")]),
    (37, "Retain Available", Type::Byte, &[(ConnAck, "U-3.2.2.3.5-1")]),
    (
        38,
        "User Property",
        Type::Pair,
        &[
            (Connect, MANY),
            (ConnAck, MANY),
            (Publish, MANY),
            (Will, MANY),
            (PubAck, MANY),
            (PubRec, MANY),
            (PubRel, MANY),
            (PubComp, MANY),
            (Subscribe, MANY),
            (SubAck, MANY),
            (Unsubscribe, MANY),
            (UnsubAck, MANY),
            (Disconnect, MANY),
            (Auth, MANY),
        ],
    ),
    (
        39,
        "Maximum Packet Size",
        Type::Four,
        &[(Connect, "U-3.1.2.11.4-1"), (ConnAck, "U-3.2.2.3.6-1")],
    ),
    (40, "Wildcard Subscription Available", Type::Byte, &[(ConnAck, "U-3.2.2.3.11-1")]),
    (41, "Subscription Identifier Available", Type::Byte, &[(ConnAck, "U-3.2.2.3.12-1")]),
    (42, "Shared Subscription Available", Type::Byte, &[(ConnAck, "U-3.2.2.3.13-1")]),
];

/// Numbers that may not have every value of their type: the highest and lowest, and what says so.
static RANGES: [(u32, Place, u32, u32, &str); 16] = [
    (1, Publish, 0, 1, "U-3.3.2.3.2-3"),
    (1, Will, 0, 1, "U-1.2-2"), // Section 3.1.3.2.3 gives two values, and no name to another.
    (SUBSCRIPTION_IDENTIFIER, Publish, 1, u32::MAX, "U-3.3.2.3.8-1"),
    (SUBSCRIPTION_IDENTIFIER, Subscribe, 1, u32::MAX, "U-3.8.2.1.2-1"),
    (23, Connect, 0, 1, "U-3.1.2.11.7-2"),
    (25, Connect, 0, 1, "U-3.1.2.11.6-2"),
    (33, Connect, 1, u32::MAX, "U-3.1.2.11.3-2"),
    (33, ConnAck, 1, u32::MAX, "U-3.2.2.3.3-1"),
    (TOPIC_ALIAS, Publish, 1, u32::MAX, "MQTT-3.3.2-8"),
    (36, ConnAck, 0, 1, "U-3.2.2.3.4-1"),
    (37, ConnAck, 0, 1, "U-3.2.2.3.5-1"),
    (39, Connect, 1, u32::MAX, "U-3.1.2.11.4-2"),
    (39, ConnAck, 1, u32::MAX, "U-3.2.2.3.6-1"),
    (40, ConnAck, 0, 1, "U-3.2.2.3.11-1"),
    (41, ConnAck, 0, 1, "U-3.2.2.3.12-1"),
    (42, ConnAck, 0, 1, "U-3.2.2.3.13-1"),
];

/// What a property breaks that table 2-4 does not have in this place.
fn not_of(place: Place) -> &'static [&'static str] {
    match place {
        Connect => &["U-2.2.2.2-6", "U-2.2.2.2-2"],
        Will => &["U-2.2.2.2-7", "U-2.2.2.2-2"],
        ConnAck => &["U-2.2.2.2-8", "U-2.2.2.2-2"],
        Publish => &["U-2.2.2.2-9", "U-2.2.2.2-2"],
        PubAck | PubRec | PubRel | PubComp => &["U-2.2.2.2-10", "U-2.2.2.2-2"],
        Subscribe => &["U-2.2.2.2-11", "U-2.2.2.2-2"],
        Unsubscribe => &["U-2.2.2.2-12", "U-2.2.2.2-2"],
        SubAck | UnsubAck => &["U-2.2.2.2-13", "U-2.2.2.2-2"],
        Disconnect => &["U-2.2.2.2-14", "U-2.2.2.2-2"],
        Auth => &["U-2.2.2.2-15", "U-2.2.2.2-2"],
    }
}

/// A set of properties that was read.
#[derive(Debug)]
pub(super) struct Set {
    /// Where its Property Length stands.
    pub(super) at: usize,
    present: Vec<u32>,
}

impl Set {
    pub(super) fn has(&self, property: u32) -> bool {
        self.present.contains(&property)
    }
}

/// Reads a Property Length and its properties.
pub(super) fn read(cursor: &mut Cursor<'_>, place: Place, from: Sender) -> Read<Set> {
    let mut set = Set { at: cursor.at(), present: Vec::new() };
    let len = cursor.integer()? as usize;
    if len > cursor.left() {
        cursor.flaw(&["U-2.2.2.1-1"], set.at);
        return Err(Stop);
    }
    let outer = cursor.narrow(len, &["U-2.2.2.2-3"]);
    while cursor.left() > 0 {
        let at = cursor.at();
        let number = cursor.integer()?;
        let Some(row) = ROWS.iter().find(|(id, ..)| *id == number) else {
            cursor.flaw(&["U-2.2.2.2-1"], at);
            return Err(Stop);
        };
        judge_presence(cursor, row, place, from, at, set.has(number));
        set.present.push(number);
        value(cursor, row, place)?;
    }
    cursor.widen(outer);
    Ok(set)
}

/// Whether the property may stand there, from this side, and once more.
fn judge_presence(
    cursor: &mut Cursor<'_>,
    (id, _, _, places): &Row,
    place: Place,
    from: Sender,
    at: usize,
    is_again: bool,
) {
    let Some((_, once)) = places.iter().find(|(each, _)| *each == place) else {
        return cursor.flaw(not_of(place), at);
    };
    if is_again && *once != MANY {
        cursor.flaw(&[once], at);
    }
    match (*id, place, from) {
        (SUBSCRIPTION_IDENTIFIER, Publish, Sender::Client) => cursor.flaw(&["MQTT-3.3.4-6"], at),
        (SESSION_EXPIRY_INTERVAL, Disconnect, Sender::Server) => {
            cursor.flaw(&["MQTT-3.14.2-2"], at);
        }
        _ => {}
    }
}

fn value(cursor: &mut Cursor<'_>, (id, name, of_type, _): &Row, place: Place) -> Read<()> {
    let at = cursor.at();
    let number = match of_type {
        Type::Byte => cursor.byte()?,
        Type::Two => cursor.two()?,
        Type::Four => cursor.four()?,
        Type::Variable => cursor.integer()?,
        Type::Binary => return cursor.binary_field(name).map(|_| ()),
        Type::Pair => {
            cursor.string_field(name)?;
            return cursor.string_field(name).map(|_| ());
        }
        Type::String => {
            let text = cursor.string_field(name)?;
            // Elsewhere it may not stand, and is no Topic Name of an answer.
            if *id == RESPONSE_TOPIC && [Publish, Will].contains(&place) {
                judge_topic(cursor, text, &["MQTT-3.3.2-14", "MQTT-4.7.0-1"], at);
            }
            return Ok(());
        }
    };
    cursor.number(name, number);
    for (property, of_place, lowest, highest, requirement) in &RANGES {
        let is_outside = number < *lowest || number > *highest;
        if property == id && *of_place == place && is_outside {
            cursor.flaw(&[requirement], at);
        }
    }
    Ok(())
}

/// Holds a Topic Name to section 4.7: it has a character, and none that is a wildcard.
pub(super) fn judge_topic(
    cursor: &mut Cursor<'_>,
    topic: &[u8],
    by_wildcard: &[&'static str],
    at: usize,
) {
    if topic.is_empty() {
        cursor.flaw(&["MQTT-4.7.3-1"], at);
    }
    if has_wildcard(topic) {
        cursor.flaw(by_wildcard, at);
    }
}

/// What the property with this identifier is called.
pub(crate) fn property_name(number: u32) -> Option<&'static str> {
    ROWS.iter().find(|(id, ..)| *id == number).map(|(_, name, ..)| *name)
}

/// Whether there is a `+` or a `#`, which no other character contains as a byte.
pub(super) fn has_wildcard(topic: &[u8]) -> bool {
    topic.iter().any(|byte| [b'+', b'#'].contains(byte))
}
