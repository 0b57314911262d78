//! Bytes that are no valid packet, or nearly none.

use bytes::{BufMut, Bytes, BytesMut};
use reference_broker::codec::{
    Auth, Connect, Disconnect, Kind, Packet, Place, Properties, PropertyId, Publish, PublishAck,
    QoS, ReasonCode, Side, Subscribe, Unsubscribe, Value, Will,
};

use crate::chance::Chance;
use crate::script::RAW;

use super::odd::{odd, of_servers, raw};

/// A packet of a client that is broken in one way; CONNECT where that is to come.
pub(super) fn broken(seed: u64, is_connect: bool) -> Bytes {
    let mut chance = Chance::new(seed);
    let packet = match is_connect {
        true => connect(&mut chance),
        false => packet(&mut chance),
    };
    let with_properties = |change: fn(&mut Chance, Place, &mut Properties), chance: &mut Chance| {
        let mut packet = packet.clone();
        let place = place_of(&packet);
        if let Some(properties) = packet.properties_mut() {
            change(chance, place, properties);
        }
        Bytes::from(bytes_of(&packet))
    };
    if !is_connect && chance.below(3) == 0 {
        return raw(&mut chance);
    }
    match chance.below(15) {
        13 | 14 => with_properties(double_a_property, &mut chance),
        0..=2 => with_properties(add_any_property, &mut chance),
        3 => with_properties(double_a_property, &mut chance),
        4 => flags_changed(&mut chance, bytes_of(&packet)),
        5 => cut(&mut chance, bytes_of(&packet)),
        6 => lengthened(&mut chance, bytes_of(&packet)),
        7 => written_long(bytes_of(&packet)),
        8 => one_byte_changed(&mut chance, bytes_of(&packet)),
        9 => bad_text(&mut chance, bytes_of(&packet)),
        10 if !is_connect => bytes_of(&of_servers(&mut chance)).into(),
        _ if is_connect => odd_connect(&mut chance, bytes_of(&packet)),
        _ => bytes_of(&odd(&mut chance)).into(),
    }
}

pub(super) fn bytes_of(packet: &Packet) -> Vec<u8> {
    packet.to_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default()
}

fn connect(chance: &mut Chance) -> Packet {
    let mut connect = Connect::new(RAW).keep_alive(60).session_expiry(1);
    if chance.below(2) == 0 {
        let topic = ["~/a", "~/a", "~/+", "~/#", ""][chance.below(5)];
        let mut will = Will::new(topic, "will").qos(QoS::AtLeastOnce);
        will.properties.push(PropertyId::WillDelayInterval, 1);
        if chance.below(2) == 0 {
            match chance.below(2) {
                0 => add_any_property(chance, Place::Will, &mut will.properties),
                _ => double_a_property(chance, Place::Will, &mut will.properties),
            }
        }
        connect.will = Some(will);
    }
    connect.into()
}

/// A packet that an accepted client may send.
fn packet(chance: &mut Chance) -> Packet {
    let ack = PublishAck::new(60_001);
    let mut packet = match chance.below(12) {
        10 => Packet::PingReq,
        11 => Packet::Auth(Auth::new(ReasonCode::ReAuthenticate)),
        0 | 1 => Publish::new("~/a", "broken").qos(QoS::AtLeastOnce, 60_002).into(),
        2 => Publish::new("~/a", "broken").qos(QoS::ExactlyOnce, 60_003).into(),
        3 => Packet::PubAck(ack),
        4 => Packet::PubRec(ack),
        5 => Packet::PubRel(ack),
        6 => Packet::PubComp(ack),
        7 => Subscribe::new(60_004, "~/a", QoS::AtLeastOnce).into(),
        8 => Unsubscribe::new(60_005, "~/a").into(),
        _ => Packet::Disconnect(Disconnect::because(ReasonCode::DisconnectWithWill)),
    };
    if chance.below(4) == 0
        && let Some(properties) = packet.properties_mut()
    {
        properties.push(PropertyId::UserProperty, ("name", "value"));
    }
    packet
}

/// Where the properties of a packet of a client stand.
fn place_of(packet: &Packet) -> Place {
    match packet {
        Packet::Connect(_) => Place::Connect,
        Packet::PubAck(_) => Place::PubAck,
        Packet::PubRec(_) => Place::PubRec,
        Packet::PubRel(_) => Place::PubRel,
        Packet::PubComp(_) => Place::PubComp,
        Packet::Subscribe(_) => Place::Subscribe,
        Packet::Unsubscribe(_) => Place::Unsubscribe,
        Packet::Disconnect(_) => Place::Disconnect,
        Packet::Auth(_) => Place::Auth,
        _ => Place::Publish,
    }
}

/// A property: one that belongs there as often as not.
fn a_property(chance: &mut Chance, place: Place) -> PropertyId {
    let belongs = chance.below(2) == 0;
    let fits = |id: &&PropertyId| !belongs || id.is_allowed(place, Side::Client);
    let all: Vec<_> = PropertyId::ALL.iter().filter(fits).collect();
    *all[chance.below(all.len())]
}

fn add_any_property(chance: &mut Chance, place: Place, properties: &mut Properties) {
    let id = a_property(chance, place);
    properties.push(id, value(chance, id));
}

fn double_a_property(chance: &mut Chance, place: Place, properties: &mut Properties) {
    let id = match properties.iter().next() {
        Some(first) if chance.below(3) == 0 => first.id,
        _ => a_property(chance, place),
    };
    properties.push(id, value(chance, id));
    if chance.below(2) == 0 {
        properties.push(PropertyId::UserProperty, ("between", "them"));
    }
    properties.push(id, value(chance, id));
}

fn value(chance: &mut Chance, id: PropertyId) -> Value {
    let number = [0, 1, 2, 255][chance.below(4)];
    match id.row().kind {
        Kind::Byte | Kind::TwoByte | Kind::FourByte | Kind::Variable => Value::Number(number),
        Kind::String => Value::String(["text", "~/a", ""][chance.below(3)].into()),
        Kind::Binary => Value::Binary(Bytes::from_static(b"data")),
        Kind::Pair => Value::Pair("name".into(), "value".into()),
    }
}

/// The packet with another body: its length is written anew.
pub(super) fn with_body(first: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(first);
    let mut left = body.len();
    loop {
        let (low, high) = (left & 0x7F, left >> 7);
        bytes.put_u8(u8::try_from(low).unwrap_or(0) | if high > 0 { 0x80 } else { 0 });
        left = high;
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes.freeze()
}

/// Where the body of a packet begins.
fn body_start(bytes: &[u8]) -> usize {
    1 + bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1
}

fn parts(bytes: &[u8]) -> (u8, Vec<u8>) {
    let body = bytes.get(body_start(bytes)..).unwrap_or_default();
    (bytes.first().copied().unwrap_or(0), body.to_vec())
}

fn flags_changed(chance: &mut Chance, mut bytes: Vec<u8>) -> Bytes {
    if let Some(first) = bytes.first_mut() {
        *first ^= 1 << chance.below(4);
    }
    bytes.into()
}

fn cut(chance: &mut Chance, bytes: Vec<u8>) -> Bytes {
    let (first, mut body) = parts(&bytes);
    body.truncate(body.len().saturating_sub(1 + chance.below(4)));
    with_body(first, &body)
}

fn lengthened(chance: &mut Chance, bytes: Vec<u8>) -> Bytes {
    let (first, mut body) = parts(&bytes);
    body.extend(vec![0; 1 + chance.below(2)]);
    with_body(first, &body)
}

/// With a Remaining Length that takes a byte more than it has to.
fn written_long(mut bytes: Vec<u8>) -> Bytes {
    let last = body_start(&bytes) - 1;
    if let Some(byte) = bytes.get_mut(last) {
        *byte |= 0x80;
        bytes.insert(last + 1, 0);
    }
    bytes.into()
}

fn one_byte_changed(chance: &mut Chance, bytes: Vec<u8>) -> Bytes {
    let (first, mut body) = parts(&bytes);
    let at = chance.below(body.len());
    if let Some(byte) = body.get_mut(at) {
        *byte = match chance.below(3) {
            0 => 0,
            1 => byte.wrapping_add(1),
            _ => *byte | 0x80,
        };
    }
    with_body(first, &body)
}

/// With a letter of some text replaced by what no text may hold.
fn bad_text(chance: &mut Chance, bytes: Vec<u8>) -> Bytes {
    let (first, mut body) = parts(&bytes);
    let letters: Vec<_> = (0..body.len()).filter(|at| body[*at].is_ascii_alphabetic()).collect();
    if let Some(at) = letters.get(chance.below(letters.len())) {
        body[*at] = [0x00, 0xFF, 0xC0, 0xED][chance.below(4)];
    }
    with_body(first, &body)
}

/// A CONNECT whose name, level or flags are others.
fn odd_connect(chance: &mut Chance, bytes: Vec<u8>) -> Bytes {
    let (first, mut body) = parts(&bytes);
    let flags = body.get(7).copied().unwrap_or(0);
    let (at, byte) = match chance.below(9) {
        0 => (5, b'X'),
        // Not 3 and 4, which a broker may serve as the versions that they are.
        1 => (6, [6, 0, 255][chance.below(3)]),
        2 => (7, flags | 0x01),
        3 => (7, flags | 0x18),
        4 => (7, flags ^ 0x20),
        5 => (7, flags ^ 0x04),
        6 => (7, flags ^ 0x08),
        7 => (7, flags ^ [0x40, 0x80][chance.below(2)]),
        _ => (3, 0),
    };
    if let Some(it) = body.get_mut(at) {
        *it = byte;
    }
    with_body(first, &body)
}
