//! Reads valid packets into their parts.

use reference_broker::codec::{Kind, PacketType, PropertyId};

use super::parts::Part;

/// Reads valid packets; none is what it gives where one is not.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

pub(super) fn field(name: impl Into<String>, kind: Kind, bytes: &[u8]) -> Part {
    Part::Field { name: name.into(), kind, bytes: bytes.to_vec() }
}

pub(super) fn measured(name: impl Into<String>, is_variable: bool, parts: Vec<Part>) -> Part {
    Part::Measured { name: name.into(), is_variable, says: None, parts }
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn variable(&mut self) -> Option<u32> {
        let mut number = 0;
        for place in 0..4 {
            let byte = self.take(1)?[0];
            number |= u32::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn two(&mut self) -> Option<usize> {
        let bytes = self.take(2)?;
        Some(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }

    fn number(&mut self, name: &str, kind: Kind) -> Option<Part> {
        let count = match kind {
            Kind::TwoByte => 2,
            Kind::FourByte => 4,
            _ => 1,
        };
        Some(field(name, kind, self.take(count)?))
    }

    /// Text or Binary Data, with the length before it.
    fn text(&mut self, name: &str, kind: Kind) -> Option<Part> {
        let length = self.two()?;
        let inner = vec![field(name, kind, self.take(length)?)];
        let measured = measured(format!("length of {name}"), false, inner);
        Some(Part::Whole { name: name.to_owned(), parts: vec![measured] })
    }

    fn properties(&mut self, name: &str) -> Option<Part> {
        let length = usize::try_from(self.variable()?).ok()?;
        let mut inner = Cursor(self.take(length)?);
        let mut parts = Vec::new();
        while !inner.0.is_empty() {
            parts.push(inner.property()?);
        }
        Some(measured(name, true, parts))
    }

    fn property(&mut self) -> Option<Part> {
        let id = self.take(1)?;
        let row = PropertyId::from_value(id[0].into())?.row();
        let mut parts = vec![field(format!("identifier of {}", row.name), Kind::Variable, id)];
        match row.kind {
            Kind::Variable => {
                let before = self.0;
                self.variable()?;
                let len = before.len() - self.0.len();
                parts.push(field(row.name, Kind::Variable, &before[..len]));
            }
            Kind::String | Kind::Binary => parts.push(self.unnamed(row.name, row.kind)?),
            Kind::Pair => {
                parts.push(self.unnamed(&format!("name of {}", row.name), Kind::String)?);
                parts.push(self.unnamed(&format!("value of {}", row.name), Kind::String)?);
            }
            kind => parts.push(self.number(row.name, kind)?),
        }
        Some(Part::Whole { name: row.name.to_owned(), parts })
    }

    /// Text or Binary Data that is part of something else.
    fn unnamed(&mut self, name: &str, kind: Kind) -> Option<Part> {
        match self.text(name, kind)? {
            Part::Whole { mut parts, .. } => parts.pop(),
            part => Some(part),
        }
    }

    pub(super) fn body(&mut self, packet_type: PacketType, flags: u8) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        match packet_type {
            PacketType::Connect => self.connect(&mut parts)?,
            PacketType::Publish => {
                parts.push(self.text("Topic Name", Kind::String)?);
                if flags & 0b0110 != 0 {
                    parts.push(self.number("Packet Identifier", Kind::TwoByte)?);
                }
                parts.push(self.properties("Property Length")?);
                parts.push(field("Payload", Kind::Binary, self.0));
            }
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
                parts.push(self.number("Packet Identifier", Kind::TwoByte)?);
                self.reason(&mut parts)?;
            }
            PacketType::Subscribe => {
                parts.push(self.number("Packet Identifier", Kind::TwoByte)?);
                parts.push(self.properties("Property Length")?);
                while !self.0.is_empty() {
                    parts.push(self.text("Topic Filter", Kind::String)?);
                    parts.push(self.number("Subscription Options", Kind::Byte)?);
                }
            }
            PacketType::Unsubscribe => {
                parts.push(self.number("Packet Identifier", Kind::TwoByte)?);
                parts.push(self.properties("Property Length")?);
                while !self.0.is_empty() {
                    parts.push(self.text("Topic Filter", Kind::String)?);
                }
            }
            PacketType::Disconnect | PacketType::Auth => self.reason(&mut parts)?,
            PacketType::ConnAck => {
                parts.push(self.number("Connect Acknowledge Flags", Kind::Byte)?);
                self.reason(&mut parts)?;
            }
            PacketType::SubAck | PacketType::UnsubAck => {
                parts.push(self.number("Packet Identifier", Kind::TwoByte)?);
                parts.push(self.properties("Property Length")?);
                while !self.0.is_empty() {
                    parts.push(self.number("Reason Code", Kind::Byte)?);
                }
            }
            _ => parts.push(field("body", Kind::Binary, self.0)),
        }
        Some(parts)
    }

    /// A Reason Code and properties, as far as they are there.
    fn reason(&mut self, parts: &mut Vec<Part>) -> Option<()> {
        if !self.0.is_empty() {
            parts.push(self.number("Reason Code", Kind::Byte)?);
        }
        if !self.0.is_empty() {
            parts.push(self.properties("Property Length")?);
        }
        Some(())
    }

    fn connect(&mut self, parts: &mut Vec<Part>) -> Option<()> {
        parts.push(self.text("Protocol Name", Kind::String)?);
        parts.push(self.number("Protocol Version", Kind::Byte)?);
        let flags = *self.0.first()?;
        parts.push(self.number("Connect Flags", Kind::Byte)?);
        parts.push(self.number("Keep Alive", Kind::TwoByte)?);
        parts.push(self.properties("Property Length")?);
        parts.push(self.text("Client Identifier", Kind::String)?);
        if flags & 0x04 != 0 {
            parts.push(self.properties("Will Property Length")?);
            parts.push(self.text("Will Topic", Kind::String)?);
            parts.push(self.text("Will Payload", Kind::Binary)?);
        }
        if flags & 0x80 != 0 {
            parts.push(self.text("User Name", Kind::String)?);
        }
        if flags & 0x40 != 0 {
            parts.push(self.text("Password", Kind::Binary)?);
        }
        Some(())
    }
}
