//! Variable header and payload of each packet (sections 3.1 to 3.15).

use super::cursor::{Cursor, Read, Stop};
use super::header::{self, Header};
use super::property::{
    self, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Place, SERVER_REFERENCE, Set, TOPIC_ALIAS,
    has_wildcard,
};
use super::{Sender, connect, reason};

const CONNECT: u8 = header::CONNECT.value;
const CONNACK: u8 = header::CONNACK.value;
const PUBLISH: u8 = header::PUBLISH.value;
const PUBACK: u8 = header::PUBACK.value;
const PUBREC: u8 = header::PUBREC.value;
const PUBREL: u8 = header::PUBREL.value;
const PUBCOMP: u8 = header::PUBCOMP.value;
const SUBSCRIBE: u8 = header::SUBSCRIBE.value;
const SUBACK: u8 = header::SUBACK.value;
const UNSUBSCRIBE: u8 = header::UNSUBSCRIBE.value;
const UNSUBACK: u8 = header::UNSUBACK.value;
const DISCONNECT: u8 = header::DISCONNECT.value;
const AUTH: u8 = header::AUTH.value;

/// Reads what follows the fixed header, up to the end of the packet.
pub(super) fn read(cursor: &mut Cursor<'_>, header: Header, from: Sender) -> Read<()> {
    let kind = header.kind.value;
    match kind {
        CONNECT => connect::read(cursor, from),
        CONNACK => connack(cursor, from),
        PUBLISH => publish(cursor, header.flags, from),
        PUBACK => acknowledgement(cursor, kind, Place::PubAck, from),
        PUBREC => acknowledgement(cursor, kind, Place::PubRec, from),
        PUBREL => acknowledgement(cursor, kind, Place::PubRel, from),
        PUBCOMP => acknowledgement(cursor, kind, Place::PubComp, from),
        SUBSCRIBE => subscribe(cursor, from),
        SUBACK => answers(cursor, kind, Place::SubAck, from),
        UNSUBSCRIBE => unsubscribe(cursor, from),
        UNSUBACK => answers(cursor, kind, Place::UnsubAck, from),
        DISCONNECT => disconnect(cursor, from),
        AUTH => auth(cursor, from),
        _ => Ok(()), // PINGREQ and PINGRESP have nothing there.
    }?;
    if cursor.left() > 0 {
        cursor.flaw(&["U-2.1.4-2", "U-2.3-2"], cursor.at());
    }
    Ok(())
}

/// Reads a Packet Identifier (section 2.2.1). `zero` is what an identifier of 0 breaks.
fn packet_identifier(cursor: &mut Cursor<'_>, zero: &'static str) -> Read<()> {
    let at = cursor.at();
    if cursor.left() < 2 {
        cursor.flaw(&["U-2.2.1-1"], at);
        return Err(Stop);
    }
    let identifier = cursor.two()?;
    if identifier == 0 {
        cursor.flaw(&[zero, "U-1.2-2"], at);
    }
    cursor.number("Packet Identifier", identifier);
    Ok(())
}

fn connack(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    let at = cursor.at();
    let flags = cursor.byte()?;
    if flags / 2 != 0 {
        cursor.flaw(&["MQTT-3.2.2-1"], at);
    }
    let session_present = flags % 2;
    cursor.number("Session Present", session_present);
    let code = reason::read(cursor, CONNACK, from)?;
    if session_present == 1 && code != 0 {
        cursor.flaw(&["MQTT-3.2.2-6"], at);
    }
    let set = property::read(cursor, Place::ConnAck, from)?;
    server_reference(cursor, &set, code, "U-3.2.2.3.16-2");
    if code == 0 && set.has(AUTHENTICATION_DATA) && !set.has(AUTHENTICATION_METHOD) {
        cursor.flaw(&["MQTT-4.12.0-5"], set.at);
    }
    Ok(())
}

/// A Server Reference is given with 0x9C (Use another server) and 0x9D (Server moved) alone.
fn server_reference(cursor: &mut Cursor<'_>, set: &Set, code: u32, requirement: &'static str) {
    if set.has(SERVER_REFERENCE) && code != 0x9C && code != 0x9D {
        cursor.flaw(&[requirement], set.at);
    }
}

fn publish(cursor: &mut Cursor<'_>, flags: u8, from: Sender) -> Read<()> {
    let qos = flags / 2 % 4;
    cursor.number("DUP", flags / 8);
    cursor.number("QoS", qos);
    cursor.number("RETAIN", flags % 2);
    let at = cursor.at();
    let topic = cursor.string_field("Topic Name")?;
    if has_wildcard(topic) {
        cursor.flaw(&["MQTT-3.3.2-2", "MQTT-4.7.0-1"], at);
    }
    if qos > 0 {
        let zero = match from {
            Sender::Client => "MQTT-2.2.1-3",
            Sender::Server => "MQTT-2.2.1-4",
        };
        packet_identifier(cursor, zero)?;
    }
    let set = property::read(cursor, Place::Publish, from)?;
    if topic.is_empty() && !set.has(TOPIC_ALIAS) {
        cursor.flaw(&["U-3.3.2.1-2"], at);
    }
    let payload = cursor.rest();
    cursor.bytes("Payload", payload);
    Ok(())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP: code and properties may be left out.
fn acknowledgement(cursor: &mut Cursor<'_>, kind: u8, place: Place, from: Sender) -> Read<()> {
    packet_identifier(cursor, "MQTT-2.2.1-5")?;
    if cursor.left() == 0 {
        reason::judge(cursor, kind, from, 0, cursor.at());
        return Ok(());
    }
    reason::read(cursor, kind, from)?;
    if cursor.left() > 0 {
        property::read(cursor, place, from)?;
    }
    Ok(())
}

fn subscribe(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    packet_identifier(cursor, "MQTT-2.2.1-3")?;
    property::read(cursor, Place::Subscribe, from)?;
    if cursor.left() == 0 {
        cursor.flaw(&["U-3.8.3-2", "MQTT-3.8.3-2"], cursor.at());
    }
    while cursor.left() > 0 {
        let filter = cursor.string_field("Topic Filter")?;
        let at = cursor.at();
        let options = cursor.byte()?;
        let (qos, no_local, handling) = (options % 4, options / 4 % 2, options / 16 % 4);
        if options / 64 != 0 {
            cursor.flaw(&["MQTT-3.8.3-5"], at);
        }
        if qos == 3 {
            cursor.flaw(&["U-3.8.3.1-1"], at);
        }
        if handling == 3 {
            cursor.flaw(&["U-3.8.3.1-5"], at);
        }
        if no_local == 1 && filter.starts_with(b"$share/") {
            cursor.flaw(&["MQTT-3.8.3-4"], at);
        }
        cursor.number("Maximum QoS", qos);
        cursor.number("No Local", no_local);
        cursor.number("Retain As Published", options / 8 % 2);
        cursor.number("Retain Handling", handling);
    }
    Ok(())
}

/// SUBACK or UNSUBACK.
fn answers(cursor: &mut Cursor<'_>, kind: u8, place: Place, from: Sender) -> Read<()> {
    packet_identifier(cursor, "MQTT-2.2.1-6")?;
    property::read(cursor, place, from)?;
    if cursor.left() == 0 {
        cursor.flaw(&["U-2.3-1"], cursor.at());
    }
    while cursor.left() > 0 {
        reason::read(cursor, kind, from)?;
    }
    Ok(())
}

fn unsubscribe(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    packet_identifier(cursor, "MQTT-2.2.1-3")?;
    property::read(cursor, Place::Unsubscribe, from)?;
    if cursor.left() == 0 {
        cursor.flaw(&["U-3.10.3-1", "MQTT-3.10.3-2"], cursor.at());
    }
    while cursor.left() > 0 {
        cursor.string_field("Topic Filter")?;
    }
    Ok(())
}

/// DISCONNECT: code and properties may be left out.
fn disconnect(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    if cursor.left() == 0 {
        reason::judge(cursor, DISCONNECT, from, 0, cursor.at());
        return Ok(());
    }
    let code = reason::read(cursor, DISCONNECT, from)?;
    if cursor.left() == 0 {
        return Ok(());
    }
    let set = property::read(cursor, Place::Disconnect, from)?;
    // Table 2-4 allows a client a Server Reference, and no sentence forbids it.
    if from == Sender::Server {
        server_reference(cursor, &set, code, "U-3.14.2.2.5-2");
    }
    Ok(())
}

/// AUTH: code and properties may be left out together. Then there is no Authentication Method, so that
/// no packet that keeps all rules has that form.
fn auth(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    if cursor.left() == 0 {
        reason::judge(cursor, AUTH, from, 0, cursor.at());
        cursor.flaw(&["U-3.15.2.2.2-1"], cursor.at());
        return Ok(());
    }
    reason::read(cursor, AUTH, from)?;
    let set = property::read(cursor, Place::Auth, from)?;
    if !set.has(AUTHENTICATION_METHOD) {
        cursor.flaw(&["U-3.15.2.2.2-1"], set.at);
    }
    Ok(())
}
