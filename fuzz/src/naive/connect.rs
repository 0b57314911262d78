//! CONNECT (section 3.1).

use super::Sender;
use super::cursor::{Cursor, Read, Stop};
use super::property::{self, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Place, judge_topic};

pub(super) fn read(cursor: &mut Cursor<'_>, from: Sender) -> Read<()> {
    protocol(cursor)?;
    let flags = ConnectFlags::read(cursor)?;
    let keep_alive = cursor.two()?;
    cursor.number("Keep Alive", keep_alive);
    let set = property::read(cursor, Place::Connect, from)?;
    if set.has(AUTHENTICATION_DATA) && !set.has(AUTHENTICATION_METHOD) {
        cursor.flaw(&["U-3.1.2.11.10-1"], set.at);
    }
    cursor.string_field("Client Identifier")?;
    if flags.will {
        property::read(cursor, Place::Will, from)?;
        let at = cursor.at();
        let topic = cursor.string_field("Will Topic")?;
        judge_topic(cursor, topic, &["MQTT-4.7.0-1"], at);
        cursor.binary_field("Will Payload")?;
    }
    if flags.user_name {
        cursor.string_field("User Name")?;
    }
    if flags.password {
        cursor.binary_field("Password")?;
    }
    Ok(())
}

/// Protocol Name and Protocol Version. What follows others is not ours to read.
fn protocol(cursor: &mut Cursor<'_>) -> Read<()> {
    let at = cursor.at();
    let flaws = cursor.flaws.len();
    let name = cursor.string()?;
    // Of another name nothing is said but that it is another one.
    cursor.flaws.truncate(flaws);
    if name != [0x4D, 0x51, 0x54, 0x54] {
        cursor.flaw(&["MQTT-3.1.2-1"], at);
        return Err(Stop);
    }
    let at = cursor.at();
    if cursor.byte()? != 5 {
        cursor.flaw(&["MQTT-3.1.2-2"], at);
        return Err(Stop);
    }
    Ok(())
}

/// What the Connect Flags say about the payload.
struct ConnectFlags {
    will: bool,
    user_name: bool,
    password: bool,
}

impl ConnectFlags {
    fn read(cursor: &mut Cursor<'_>) -> Read<ConnectFlags> {
        let at = cursor.at();
        let byte = cursor.byte()?;
        let bit = |number: u32| byte >> number & 1 == 1;
        let (will, qos, retain) = (bit(2), byte >> 3 & 3, bit(5));
        if bit(0) {
            cursor.flaw(&["MQTT-3.1.2-3"], at);
        }
        if qos == 3 {
            cursor.flaw(&["U-3.1.2.6-1", "MQTT-3.1.2-12"], at);
        }
        if !will && qos != 0 {
            cursor.flaw(&["MQTT-3.1.2-11"], at);
        }
        if !will && retain {
            cursor.flaw(&["MQTT-3.1.2-13"], at);
        }
        cursor.number("Clean Start", bit(1));
        cursor.number("Will Flag", will);
        cursor.number("Will QoS", qos);
        cursor.number("Will Retain", retain);
        cursor.number("User Name Flag", bit(7));
        cursor.number("Password Flag", bit(6));
        Ok(ConnectFlags { will, user_name: bit(7), password: bit(6) })
    }
}
