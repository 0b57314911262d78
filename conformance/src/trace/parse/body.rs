//! The parts of a packet: keys with values, codes, literals.

use bytes::Bytes;
use reference_broker::codec::{
    Kind, MAX_VARIABLE_INTEGER, PacketType, Properties, PropertyId, QoS, ReasonCode, Text, Value,
};

use super::excerpt;
use super::scanner::{Problem, Scanner};

/// How the next part of a packet begins.
pub(super) enum Part<'a> {
    /// A string without a key, still to be read.
    Text,
    /// A reason code, still to be read.
    Code,
    /// The key of a property; its value is still to be read.
    Property(PropertyId),
    /// The key of a Will Property; its value is still to be read.
    WillProperty(PropertyId),
    /// Another key, for the first time; its value, if it has one, is still to be read.
    Field(&'a str),
}

/// The text behind the name of a packet.
pub(super) struct Body<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    packet: PacketType,
    /// Where the current part begins.
    start: usize,
    /// The fields there have been. Unknown ones end the reading, so they stay few.
    seen: Vec<&'a str>,
}

impl<'s, 'a> Body<'s, 'a> {
    pub(super) fn new(scanner: &'s mut Scanner<'a>, packet: PacketType) -> Body<'s, 'a> {
        let start = scanner.position();
        Body { scanner, packet, start, seen: Vec::new() }
    }

    /// The beginning of the next part, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Part<'a>>, Problem> {
        let goes_on = self.scanner.more()?;
        self.start = self.scanner.position();
        if !goes_on {
            return Ok(None);
        }
        if self.scanner.is_at('"') {
            return Ok(Some(Part::Text));
        }
        if self.scanner.rest().starts_with("0x") {
            return Ok(Some(Part::Code));
        }
        let key = self.scanner.word();
        let part = match key.strip_prefix("will.") {
            Some(will_key) => property_id(will_key).map(Part::WillProperty),
            None => property_id(key).map(Part::Property),
        };
        if part.is_none() {
            if self.seen.contains(&key) {
                return Err(Problem::new(self.start, format!("a second '{key}'")));
            }
            self.seen.push(key);
        }
        Ok(Some(part.unwrap_or(Part::Field(key))))
    }

    /// Lets fields other than this one stand once more.
    pub(super) fn forget_all_but(&mut self, key: &str) {
        self.seen.retain(|seen| *seen == key);
    }

    /// The error for a part that this packet does not have.
    pub(super) fn misplaced(&self) -> Problem {
        let part = match self.scanner.since(self.start) {
            "" => self.scanner.rest().split([' ', '\t']).next().unwrap_or_default(),
            key => key,
        };
        let problem = format!("{} has no '{}'", self.packet, excerpt(part));
        Problem::new(self.start, problem)
    }

    /// The error for a packet that ends without this part.
    pub(super) fn missing(&self, part: &str) -> Problem {
        Problem::new(self.start, format!("{} needs {part}", self.packet))
    }

    pub(super) fn text(&mut self) -> Result<Text, Problem> {
        self.scanner.text().map(Text::from)
    }

    pub(super) fn text_value(&mut self) -> Result<Text, Problem> {
        self.scanner.expect('=')?;
        self.text()
    }

    pub(super) fn bytes_value(&mut self) -> Result<Bytes, Problem> {
        self.scanner.expect('=')?;
        self.scanner.bytes()
    }

    pub(super) fn number_value<T: TryFrom<u64>>(&mut self, limit: u32) -> Result<T, Problem> {
        self.scanner.expect('=')?;
        self.scanner.number(u64::from(limit))
    }

    pub(super) fn two_byte_value(&mut self) -> Result<u16, Problem> {
        self.number_value(u32::from(u16::MAX))
    }

    pub(super) fn qos_value(&mut self) -> Result<QoS, Problem> {
        // There is a level for each number up to 2.
        self.number_value::<u8>(2).map(|value| QoS::from_value(value).unwrap_or_default())
    }

    /// Reads the value of a property and appends it.
    pub(super) fn property(
        &mut self,
        id: PropertyId,
        properties: &mut Properties,
    ) -> Result<(), Problem> {
        let value = match id.row().kind {
            Kind::Byte => Value::Number(self.number_value(u32::from(u8::MAX))?),
            Kind::TwoByte => Value::Number(self.number_value(u32::from(u16::MAX))?),
            Kind::FourByte => Value::Number(self.number_value(u32::MAX)?),
            Kind::Variable => Value::Number(self.number_value(MAX_VARIABLE_INTEGER)?),
            Kind::String => Value::String(self.text_value()?),
            Kind::Binary => Value::Binary(self.bytes_value()?),
            Kind::Pair => {
                let name = self.text_value()?;
                self.scanner.expect(':')?;
                Value::Pair(name, self.text()?)
            }
        };
        properties.push(id, value);
        Ok(())
    }

    /// Reads a reason code into `slot`, which holds none yet.
    pub(super) fn only_code(&mut self, slot: &mut Option<ReasonCode>) -> Result<(), Problem> {
        match slot {
            Some(_) => Err(Problem::new(self.start, "a second reason code")),
            None => {
                *slot = Some(self.code()?);
                Ok(())
            }
        }
    }

    /// Reads a reason code, with its name if that is there.
    pub(super) fn code(&mut self) -> Result<ReasonCode, Problem> {
        let word = self.scanner.word();
        let digits = word.strip_prefix("0x").unwrap_or_default();
        let value = match digits.len() {
            2 => u8::from_str_radix(digits, 16).ok(),
            _ => None,
        };
        let code = value.and_then(ReasonCode::from_value).ok_or_else(|| {
            Problem::new(self.start, format!("'{}' is no reason code", excerpt(word)))
        })?;
        let rest = self.scanner.rest().trim_start_matches([' ', '\t']);
        if rest.starts_with('(') {
            self.code_name(code)?;
        }
        Ok(code)
    }

    fn code_name(&mut self, code: ReasonCode) -> Result<(), Problem> {
        self.scanner.blanks();
        let expected = format!("({})", code.name_in(self.packet));
        match self.scanner.rest().starts_with(&expected) {
            true => {
                self.scanner.skip(expected.len());
                Ok(())
            }
            false => {
                let value = code.value();
                let problem = format!("0x{value:02x} in {} is {expected}", self.packet);
                Err(self.scanner.problem(problem))
            }
        }
    }
}

fn property_id(key: &str) -> Option<PropertyId> {
    PropertyId::ALL.iter().copied().find(|id| id.row().key == key)
}
