//! Packets as decoders of other projects read them, against ours and the naive checker.
//!
//! A decoder that nobody here has written does not share our misreadings of the standard. It has its own:
//! each of those is a rule in `rules`, and whatever no rule explains is a finding.

mod mqtt5;
mod rmqtt;
mod rules;

#[cfg(test)]
mod tests;

use reference_broker::codec::Side;

use crate::decode::{each_packet, sender};
use crate::naive::{self, Field, Value};
use rules::{Does, Rule};

/// A field with a value of its own.
type Told = (&'static str, Content);

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Number(u32),
    Bytes(Vec<u8>),
}

/// A decoder of another project.
#[derive(Debug)]
struct Witness {
    /// The name of its crate.
    name: &'static str,
    /// Reads the one packet that some bytes are.
    read: fn(&[u8]) -> Result<Vec<Told>, String>,
    /// What it does otherwise than the standard has it.
    rules: &'static [Rule],
}

static WITNESSES: [Witness; 2] = [
    Witness { name: "rmqtt-codec", read: rmqtt::read, rules: &rules::rmqtt::RULES },
    Witness { name: "mqtt5-protocol", read: mqtt5::read, rules: &rules::mqtt5::RULES },
];

/// What decodes is decoded by the decoders of other projects, to the same fields, and what does not is
/// refused by them, but where a rule says what they do otherwise.
///
/// # Panics
///
/// When it is not, and no rule says so.
pub fn other_decoders_bear_witness(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        each_packet(bytes, side, |decoded| {
            let Some(case) = Case::of(decoded.bytes, side, decoded.result.is_ok()) else { return };
            for witness in &WITNESSES {
                if let Err(unexplained) = case.ask(witness, &mut witness.rules.iter()) {
                    panic!("{}: {unexplained}, of {:02X?}", witness.name, case.bytes);
                }
            }
        });
    }
}

/// A packet, and what the project says of it.
struct Case<'a> {
    bytes: &'a [u8],
    reading: naive::Reading<'a>,
    is_ours: bool,
}

impl<'a> Case<'a> {
    /// The packet at the front of some bytes, if it is whole.
    fn of(bytes: &'a [u8], side: Side, is_ours: bool) -> Option<Case<'a>> {
        let reading = naive::read(bytes, sender(side), u32::MAX);
        let bytes = &bytes[..reading.size?];
        Some(Case { bytes, reading, is_ours })
    }

    fn packet(&self) -> u8 {
        self.bytes.first().map_or(0, |first| first / 16)
    }

    /// Asks a decoder for this packet, and says what it does otherwise that no rule explains.
    fn ask(
        &self,
        witness: &Witness,
        rules: &mut dyn Iterator<Item = &'static Rule>,
    ) -> Result<(), String> {
        let rules: Vec<&Rule> = rules
            .filter(|rule| rule.packets.is_empty() || rule.packets.contains(&self.packet()))
            .collect();
        match ((witness.read)(self.bytes), self.is_ours) {
            (Err(_), false) => Ok(()),
            (Ok(_), false) => self.overlooked(&rules),
            (Err(why), true) => {
                let is_refused = |rule: &&Rule| match rule.does {
                    Does::Refuses(applies) => applies(&self.reading.fields),
                    _ => false,
                };
                let is_explained = rules.iter().any(is_refused);
                is_explained.then_some(()).ok_or(format!("it is refused: {why}"))
            }
            (Ok(told), true) => self.compare(told, &rules),
        }
    }

    /// Whether the rules say of each place where something is wrong that it is overlooked there.
    fn overlooked(&self, rules: &[&Rule]) -> Result<(), String> {
        let is_overlooked = |requirement: &str| {
            rules.iter().any(|rule| match rule.does {
                Does::Overlooks(overlooked) => overlooked == requirement,
                _ => false,
            })
        };
        let is_taken = |rule: &&Rule| match rule.does {
            Does::Takes(is_form) => is_form(self.bytes),
            _ => false,
        };
        if rules.iter().any(is_taken) {
            return Ok(());
        }
        for flaw in &self.reading.flaws {
            let mut here = self.reading.flaws.iter().filter(|other| other.offset == flaw.offset);
            if !here.any(|flaw| is_overlooked(flaw.requirement)) {
                return Err(format!("it is decoded in spite of {:?}", self.reading.flaws));
            }
        }
        Ok(())
    }

    /// Holds fields against each other, without their order, which other decoders do not keep among
    /// properties, and without what the rules say is not told.
    fn compare(&self, told: Vec<Told>, rules: &[&Rule]) -> Result<(), String> {
        let is_told = |(name, content): &Told| {
            !rules.iter().any(|rule| match rule.does {
                Does::Hides(hidden, value) => *name == hidden && *content == Content::Number(value),
                _ => false,
            })
        };
        let sorted = |mut fields: Vec<Told>| {
            fields.retain(is_told);
            fields.sort_by_key(|(name, _)| *name);
            fields
        };
        let theirs = sorted(told);
        let ours = sorted(self.reading.fields.iter().map(owned).collect());
        (ours == theirs).then_some(()).ok_or_else(|| {
            let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
            format!("the fields differ: {differs:?}, of {} and {}", ours.len(), theirs.len())
        })
    }
}

fn owned(field: &Field<'_>) -> Told {
    let content = match field.value {
        Value::Number(number) => Content::Number(number),
        Value::Bytes(bytes) => Content::Bytes(bytes.to_vec()),
    };
    (field.name, content)
}

/// A packet's fields, as a decoder hands them over.
#[derive(Debug, Default)]
struct Telling(Vec<Told>);

impl Telling {
    fn number(&mut self, name: &'static str, number: impl Into<u32>) {
        self.0.push((name, Content::Number(number.into())));
    }

    fn bytes(&mut self, name: &'static str, bytes: impl AsRef<[u8]>) {
        self.0.push((name, Content::Bytes(bytes.as_ref().to_vec())));
    }

    fn number_if_there(&mut self, name: &'static str, number: Option<impl Into<u32>>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    fn bytes_if_there(&mut self, name: &'static str, bytes: Option<impl AsRef<[u8]>>) {
        if let Some(bytes) = bytes {
            self.bytes(name, bytes);
        }
    }

    fn user_properties(&mut self, pairs: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) {
        for (name, value) in pairs {
            self.bytes("User Property", name);
            self.bytes("User Property", value);
        }
    }
}
