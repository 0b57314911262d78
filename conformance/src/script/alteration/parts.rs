//! A packet taken apart into its fields.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{Kind, PacketType};

use super::reading::{Cursor, field, measured};
use super::{Alteration, Change};

/// A packet as a tree of fields.
#[derive(Clone, Debug)]
pub(crate) struct Parts(Vec<Part>);

/// A field, or several that go together.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A field with its bytes.
    Field { name: String, kind: Kind, bytes: Vec<u8> },
    /// Parts with a length before them, which is fitted to them unless it says something else.
    Measured { name: String, is_variable: bool, says: Option<Says>, parts: Vec<Part> },
    /// A field with all that goes when it goes.
    Whole { name: String, parts: Vec<Part> },
}

/// A row of a table of fields: how deep it stands within others, its name, how many bytes it has itself, and
/// what they are: `number`, `variable`, `text`, `bytes`, or nothing where it only goes around others.
pub(crate) type Layout = (usize, String, usize, &'static str);

/// What a length says.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Bytes(Vec<u8>),
    More(i32),
}

impl Parts {
    /// The parts of a valid packet.
    pub(crate) fn of(bytes: &[u8]) -> Option<Parts> {
        let mut cursor = Cursor(bytes);
        let first = cursor.take(1)?;
        cursor.variable()?;
        let packet_type = PacketType::from_value(first[0] >> 4)?;
        let parts = cursor.body(packet_type, first[0] & 0x0F)?;
        let flags = field("packet type and flags", Kind::Byte, first);
        Some(Parts(vec![flags, measured("Remaining Length", true, parts)]))
    }

    /// All of them, those within others behind these.
    pub(crate) fn all(&self) -> Vec<&Part> {
        let mut all = Vec::new();
        collect(&self.0, &mut all);
        all
    }

    /// Makes a change, if the field is there.
    pub(crate) fn alter(&mut self, alteration: &Alteration) {
        let Alteration { field, number, change } = alteration;
        let mut before = number.saturating_sub(1);
        match change {
            Change::Gone | Change::Twice => {
                let is_whole = self.all().iter().any(|part| part.is_whole(field));
                let times = if *change == Change::Gone { 0 } else { 2 };
                repeat(&mut self.0, field, is_whole, &mut before, times);
            }
            Change::Bytes(bytes) => {
                change_one(&mut self.0, field, &mut before, &|part| part.set(bytes));
            }
            Change::More(more) => {
                change_one(&mut self.0, field, &mut before, &|part| part.add(*more));
            }
        }
    }

    /// The rows of a table of its fields, in their order.
    pub(crate) fn layout(&self) -> Vec<Layout> {
        let mut rows = Vec::new();
        self.0.iter().for_each(|part| part.lay_out(0, &mut rows));
        rows
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.0.iter().for_each(|part| part.write(&mut bytes));
        bytes.freeze()
    }
}

fn collect<'a>(parts: &'a [Part], all: &mut Vec<&'a Part>) {
    for part in parts {
        all.push(part);
        match part {
            Part::Field { .. } => {}
            Part::Measured { parts, .. } | Part::Whole { parts, .. } => collect(parts, all),
        }
    }
}

/// Changes the field of this name that has so many of the name before it. Gives whether it was found.
fn change_one(
    parts: &mut [Part],
    name: &str,
    before: &mut usize,
    change: &impl Fn(&mut Part),
) -> bool {
    for part in parts {
        if !matches!(part, Part::Whole { .. }) && part.name() == name {
            if *before == 0 {
                change(part);
                return true;
            }
            *before -= 1;
        }
        let found = match part {
            Part::Field { .. } => false,
            Part::Measured { parts, .. } | Part::Whole { parts, .. } => {
                change_one(parts, name, before, change)
            }
        };
        if found {
            return true;
        }
    }
    false
}

/// Puts the part of this name there so many times. Gives whether it was found.
fn repeat(
    parts: &mut Vec<Part>,
    name: &str,
    is_whole: bool,
    before: &mut usize,
    times: usize,
) -> bool {
    for at in 0..parts.len() {
        let is_it = match is_whole {
            true => parts[at].is_whole(name),
            false => parts[at].name() == name,
        };
        if is_it {
            if *before == 0 {
                let part = parts.remove(at);
                parts.splice(at..at, std::iter::repeat_n(part, times));
                return true;
            }
            *before -= 1;
        }
        let found = match &mut parts[at] {
            Part::Field { .. } => false,
            Part::Measured { parts, .. } | Part::Whole { parts, .. } => {
                repeat(parts, name, is_whole, before, times)
            }
        };
        if found {
            return true;
        }
    }
    false
}

impl Part {
    pub(crate) fn name(&self) -> &str {
        match self {
            Part::Field { name, .. } | Part::Measured { name, .. } | Part::Whole { name, .. } => {
                name
            }
        }
    }

    fn is_whole(&self, name: &str) -> bool {
        matches!(self, Part::Whole { name: own, .. } if own == name)
    }

    fn set(&mut self, to: &[u8]) {
        match self {
            Part::Field { bytes, .. } => *bytes = to.to_vec(),
            Part::Measured { says, .. } => *says = Some(Says::Bytes(to.to_vec())),
            Part::Whole { .. } => {}
        }
    }

    fn add(&mut self, more: i32) {
        match self {
            Part::Field { bytes, kind: Kind::Variable, .. } => {
                let number = Cursor(bytes).variable().unwrap_or(0);
                *bytes = variable(number.saturating_add_signed(more));
            }
            // Numbers are wrapped round in as many bytes as they have.
            Part::Field { bytes, .. } => {
                let mut carry = i64::from(more);
                for byte in bytes.iter_mut().rev() {
                    let sum = i64::from(*byte) + carry;
                    *byte = u8::try_from(sum.rem_euclid(256)).unwrap_or(0);
                    carry = sum.div_euclid(256);
                }
            }
            Part::Measured { says, .. } => *says = Some(Says::More(more)),
            Part::Whole { .. } => {}
        }
    }

    fn lay_out(&self, depth: usize, rows: &mut Vec<Layout>) {
        let name = self.name().to_owned();
        match self {
            Part::Field { kind, bytes, .. } => {
                let kind = match kind {
                    Kind::Byte | Kind::TwoByte | Kind::FourByte => "number",
                    Kind::Variable => "variable",
                    Kind::String | Kind::Pair => "text",
                    Kind::Binary => "bytes",
                };
                rows.push((depth, name, bytes.len(), kind));
            }
            Part::Whole { parts, .. } => {
                rows.push((depth, name, 0, ""));
                parts.iter().for_each(|part| part.lay_out(depth + 1, rows));
            }
            Part::Measured { is_variable, parts, .. } => {
                let mut whole = BytesMut::new();
                self.write(&mut whole);
                let mut inner = BytesMut::new();
                parts.iter().for_each(|part| part.write(&mut inner));
                let kind = if *is_variable { "variable" } else { "number" };
                rows.push((depth, name, whole.len() - inner.len(), kind));
                parts.iter().for_each(|part| part.lay_out(depth + 1, rows));
            }
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Part::Field { bytes, .. } => out.extend_from_slice(bytes),
            Part::Whole { parts, .. } => parts.iter().for_each(|part| part.write(out)),
            Part::Measured { is_variable, says, parts, .. } => {
                let mut inner = BytesMut::new();
                parts.iter().for_each(|part| part.write(&mut inner));
                let length = u32::try_from(inner.len()).unwrap_or(u32::MAX);
                let said = match says {
                    Some(Says::Bytes(bytes)) => bytes.clone(),
                    Some(Says::More(more)) => {
                        length_bytes(length.saturating_add_signed(*more), *is_variable)
                    }
                    None => length_bytes(length, *is_variable),
                };
                out.extend_from_slice(&said);
                out.extend_from_slice(&inner);
            }
        }
    }
}

/// A length as it is written; the nearest that can be, if it is too large.
fn length_bytes(length: u32, is_variable: bool) -> Vec<u8> {
    match is_variable {
        true => variable(length),
        false => u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes().to_vec(),
    }
}

/// A Variable Byte Integer (section 1.5.5).
fn variable(number: u32) -> Vec<u8> {
    let mut left = number.min(0x0FFF_FFFF);
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(left & 0x7F).unwrap_or(0);
        left >>= 7;
        bytes.push(byte | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::{
        Connect, Disconnect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
        Unsubscribe, Will,
    };

    use super::*;

    fn altered(packet: &Packet, field: &str, number: usize, change: Change) -> Vec<u8> {
        Alteration { field: field.to_owned(), number, change }.of(packet).to_vec()
    }

    fn publish() -> Packet {
        let mut publish = Publish::new("t", "m").qos(QoS::AtLeastOnce, 7);
        publish.properties.push(PropertyId::TopicAlias, 3);
        publish.properties.push(PropertyId::UserProperty, ("n", "v"));
        publish.properties.push(PropertyId::UserProperty, ("o", "w"));
        publish.into()
    }

    fn packets() -> Vec<Packet> {
        let mut will = Will::new("w", "gone");
        will.properties.push(PropertyId::ContentType, "text");
        let mut connect = Connect::new("c").keep_alive(60).session_expiry(1);
        (connect.will, connect.user_name) = (Some(will), Some("user".into()));
        connect.password = Some(Bytes::from_static(b"word"));
        let mut subscribe = Subscribe::new(1, "a/#", QoS::ExactlyOnce);
        subscribe.properties.push(PropertyId::SubscriptionIdentifier, 268_435_455);
        let acknowledgement =
            PublishAck { reason: ReasonCode::QuotaExceeded, ..PublishAck::new(9) };
        vec![
            connect.into(),
            publish(),
            Packet::PubAck(PublishAck::new(9)),
            Packet::PubRec(acknowledgement),
            subscribe.into(),
            Unsubscribe::new(2, "a/#").into(),
            Packet::PingReq,
            Disconnect::because(ReasonCode::DisconnectWithWill).into(),
        ]
    }

    #[test]
    fn what_is_taken_apart_and_not_altered_is_as_before() {
        for packet in packets() {
            let bytes = packet.to_bytes().unwrap();
            assert_eq!(Parts::of(&bytes).unwrap().to_bytes(), bytes, "{packet:?}");
            assert_eq!(altered(&packet, "no such field", 1, Change::Gone), bytes);
        }
    }

    #[test]
    fn a_field_is_altered_and_the_lengths_around_it_fit() {
        let bytes = |text: &'static [u8]| Change::Bytes(Bytes::from_static(text));
        let packet = publish();
        let body = |property: &[u8], rest: &[u8]| {
            let after = [property, rest].concat();
            let mut all = b"\x00\x01t\x00\x07".to_vec();
            all.push(u8::try_from(after.len()).unwrap());
            all.extend(after);
            all.extend(b"m");
            [vec![0x32, u8::try_from(all.len()).unwrap()], all].concat()
        };
        let (alias, users) = (b"\x23\x00\x03", b"&\x00\x01n\x00\x01v&\x00\x01o\x00\x01w");
        assert_eq!(packet.to_bytes().unwrap(), body(alias, users));
        assert_eq!(altered(&packet, "Topic Alias", 1, bytes(b"\xff")), body(b"\x23\xff", users));
        assert_eq!(altered(&packet, "Topic Alias", 1, Change::Gone), body(b"", users));
        assert_eq!(altered(&packet, "Topic Alias", 1, Change::More(-4)), body(b"#\xff\xff", users));
        let twice = [alias.as_slice(), alias].concat();
        assert_eq!(altered(&packet, "Topic Alias", 1, Change::Twice), body(&twice, users));
        let first = b"&\x00\x01n\x00\x01v";
        assert_eq!(altered(&packet, "User Property", 2, Change::Gone), body(alias, first));
        assert_eq!(altered(&packet, "identifier of Topic Alias", 1, bytes(b"\x7f"))[8], 0x7F);
    }

    #[test]
    fn a_length_says_what_it_is_told_to() {
        let packet = publish();
        let right = packet.to_bytes().unwrap();
        let mut expected = right.to_vec();
        expected[1] += 1;
        assert_eq!(altered(&packet, "Remaining Length", 1, Change::More(1)), expected);
        let mut expected = right.to_vec();
        expected[2..4].copy_from_slice(&[0xFF, 0xFF]);
        let most = Change::Bytes(Bytes::from_static(&[0xFF, 0xFF]));
        assert_eq!(altered(&packet, "length of Topic Name", 1, most), expected);
        let long = Change::Bytes(vec![b'x'; 200].into());
        let bytes = altered(&packet, "Topic Name", 1, long);
        assert_eq!(bytes[..5], [0x32, 0xDF, 0x01, 0, 200]);
    }
}
