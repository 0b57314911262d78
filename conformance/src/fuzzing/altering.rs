//! Alterations of one field, by chance: values at the borders of what its type can hold, and beyond.

use bytes::Bytes;
use reference_broker::codec::{Kind, Packet, PropertyId};

use crate::chance::Chance;
use crate::script::{Alteration, Change, Part, Parts};

/// Numbers at which something may end.
const NUMBERS: [u32; 14] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x0001_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
];

/// Variable Byte Integers at their borders, longer than need be, and longer than they may be (section 1.5.5).
const VARIABLE: [&[u8]; 10] = [
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80\x01",
    b"\xff\x7f",
    b"\xff\xff\xff\x7f",
    b"\x80\x00",
    b"\x81\x80\x80\x00",
    b"\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x80",
];

/// What no UTF-8 Encoded String may hold, or what means something in a topic (sections 1.5.4 and 4.7).
const TEXTS: [&[u8]; 22] = [
    b"",
    b"\x00",
    b"a\x00b",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf0\x9f\x98",
    b"\xef\xbf\xbf",
    b"\xef\xbb\xbf",
    b"\x01\x7f\xc2\x85",
    b"+",
    b"#",
    b"a/#/b",
    b"a+/b",
    b"/",
    b"//",
    b"$SYS/#",
    b"$share/",
    b"$share/g",
    b"$share//a",
];

/// Lengths of long texts and data: up to what two bytes can say.
const LONG: [usize; 6] = [128, 1_000, 16_384, 23_000, 65_534, 65_535];

/// Lengths that what they measure does not have.
const MORE: [i32; 8] = [1, -1, 2, -2, 100, -100, 20_000, 250_000_000];

/// An alteration of a packet; none if it cannot be taken apart.
pub(super) fn altering(chance: &mut Chance, packet: &Packet) -> Option<Alteration> {
    let parts = Parts::of(&packet.to_bytes().ok()?)?;
    let all = parts.all();
    let part = all[chance.below(all.len())];
    let name = part.name();
    // Of parts with the same name, the field in a whole has that name too.
    let alike = |it: &&&Part| it.name() == name && is_whole(it) == is_whole(part);
    let before = all.iter().take_while(|it| !std::ptr::eq(**it, part));
    let number = 1 + before.filter(alike).count();
    let change = match part {
        Part::Whole { .. } if chance.below(2) == 0 => Change::Gone,
        Part::Whole { .. } => Change::Twice,
        Part::Measured { is_variable, .. } => length(chance, *is_variable),
        Part::Field { kind, bytes, name } => field(chance, *kind, name, bytes),
    };
    Some(Alteration { field: name.to_owned(), number, change })
}

fn is_whole(part: &Part) -> bool {
    matches!(part, Part::Whole { .. })
}

fn length(chance: &mut Chance, is_variable: bool) -> Change {
    match chance.below(3) {
        0 if is_variable => bytes_of(VARIABLE[chance.below(VARIABLE.len())]),
        0 => bytes_of([&[0, 0][..], &[0xFF, 0xFF], &[0], &[0, 0, 0]][chance.below(4)]),
        _ => Change::More(MORE[chance.below(MORE.len())]),
    }
}

fn field(chance: &mut Chance, kind: Kind, name: &str, bytes: &[u8]) -> Change {
    match kind {
        _ if chance.below(12) == 0 => flipped(chance, bytes),
        Kind::Byte => Change::Bytes(Bytes::from(vec![byte(chance)])),
        Kind::TwoByte | Kind::FourByte if chance.below(4) == 0 => {
            Change::More([1, -1, 2, -2][chance.below(4)])
        }
        Kind::TwoByte => Change::Bytes(Bytes::copy_from_slice(&number(chance).to_be_bytes()[2..])),
        Kind::FourByte => Change::Bytes(Bytes::copy_from_slice(&number(chance).to_be_bytes())),
        Kind::Variable if name.starts_with("identifier of ") => identifier(chance),
        Kind::Variable => bytes_of(VARIABLE[chance.below(VARIABLE.len())]),
        Kind::String | Kind::Pair => text(chance),
        Kind::Binary if chance.below(3) == 0 => text(chance),
        Kind::Binary => {
            let len = [0, 1, 5, 127, 128, 5_000, 16_384, 65_535][chance.below(8)];
            Change::Bytes(vec![byte(chance); len].into())
        }
    }
}

/// Small values and all bits more often than others.
fn byte(chance: &mut Chance) -> u8 {
    let any = u8::try_from(chance.below(256)).unwrap_or(0);
    match chance.below(4) {
        0 => any % 4,
        1 => 0xFF << (any % 8),
        _ => any,
    }
}

fn number(chance: &mut Chance) -> u32 {
    match chance.below(5) {
        0 => u32::try_from(chance.number() >> 32).unwrap_or(0),
        _ => NUMBERS[chance.below(NUMBERS.len())],
    }
}

/// A Property Identifier: that of another property, or of none.
fn identifier(chance: &mut Chance) -> Change {
    let all = PropertyId::ALL;
    match chance.below(4) {
        0 => bytes_of([&[0][..], &[0x7F], &[0xFF, 0x7F], &[0xA3, 0x00]][chance.below(4)]),
        _ => Change::Bytes(Bytes::from(vec![all[chance.below(all.len())].value()])),
    }
}

fn text(chance: &mut Chance) -> Change {
    match chance.below(4) {
        0 => {
            let unit = b"/a+\xed"[chance.below(4)];
            Change::Bytes(vec![unit; LONG[chance.below(LONG.len())]].into())
        }
        _ => bytes_of(TEXTS[chance.below(TEXTS.len())]),
    }
}

/// One bit is another, or one byte more or less there.
fn flipped(chance: &mut Chance, bytes: &[u8]) -> Change {
    let mut bytes = bytes.to_vec();
    let at = chance.below(bytes.len());
    match chance.below(4) {
        0 => bytes.insert(at, byte(chance)),
        1 if !bytes.is_empty() => drop(bytes.remove(at)),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
    Change::Bytes(bytes.into())
}

fn bytes_of(bytes: &'static [u8]) -> Change {
    Change::Bytes(Bytes::from_static(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reference_broker::codec::{Publish, QoS};

    use super::*;

    #[test]
    fn every_field_comes_to_its_turn_and_every_alteration_alters() {
        let mut publish = Publish::new("t", "m").qos(QoS::AtLeastOnce, 7);
        publish.properties.push(PropertyId::TopicAlias, 3);
        publish.properties.push(PropertyId::UserProperty, ("n", "v"));
        publish.properties.push(PropertyId::UserProperty, ("o", "w"));
        let packet = Packet::from(publish);
        let (mut chance, mut fields) = (Chance::new(1), BTreeSet::new());
        let (mut unaltered, right) = (0, packet.to_bytes().unwrap());
        for _ in 0..2_000 {
            let alteration = altering(&mut chance, &packet).unwrap();
            // Some change a value to the one that it has.
            unaltered += usize::from(alteration.of(&packet) == right);
            fields.insert((alteration.field, alteration.number));
        }
        assert!(unaltered < 60, "{unaltered} of 2000 alter nothing");
        let names: Vec<_> =
            fields.iter().map(|(name, number)| format!("{name} {number}")).collect();
        let parts = Parts::of(&right).unwrap();
        for part in parts.all() {
            assert!(names.contains(&format!("{} 1", part.name())), "{} is left out", part.name());
        }
        assert!(names.contains(&"value of User Property 2".to_owned()), "{names:?}");
    }
}
