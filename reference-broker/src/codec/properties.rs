//! Sets of properties, as packets carry them (section 2.2.2).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::packet::is_topic_name;
use super::reader::Reader;
use super::writer::Writer;
use super::{DecodeError, EncodeError, Fault, Kind, Place, PropertyId, Side, Text};

/// The value of a property; the width of a number is in the table, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Any of the four integer types.
    Number(u32),
    /// A UTF-8 Encoded String.
    String(Text),
    /// Binary Data.
    Binary(Bytes),
    /// A UTF-8 String Pair: name and value.
    Pair(Text, Text),
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::String(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Binary(bytes)
    }
}

impl From<&'static [u8]> for Value {
    fn from(bytes: &'static [u8]) -> Self {
        Value::Binary(Bytes::from_static(bytes))
    }
}

impl From<(&str, &str)> for Value {
    fn from((name, value): (&str, &str)) -> Self {
        Value::Pair(name.into(), value.into())
    }
}

/// One property with its value. Its `Debug` form is without Authentication Data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Property {
    /// Which property.
    pub id: PropertyId,
    /// Its value, of the type that the table names.
    pub value: Value,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            PropertyId::AuthenticationData => write!(f, "{:?}(..)", self.id),
            id => write!(f, "{id:?}({:?})", self.value),
        }
    }
}

/// A set of properties in the order they are sent (section 2.2.2).
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// Those that come first, where copies are to be cheap.
    shared: Option<Arc<Shared>>,
    list: Vec<Property>,
}

/// Properties of many copies, which would else have to be measured again for each of them.
#[derive(Debug)]
struct Shared {
    list: Vec<Property>,
    /// How many bytes they take, if bytes can say them.
    len: Result<usize, EncodeError>,
}

impl Properties {
    /// The same, with what is there shared by all copies from now on: a message may go to very many.
    #[must_use]
    pub fn into_shared(mut self) -> Properties {
        let list = self.take_all();
        let shared = (!list.is_empty()).then(|| {
            let mut counter = Writer::counter();
            let len = encode_all(&list, &mut counter).map(|()| counter.len());
            Arc::new(Shared { list, len })
        });
        Properties { shared, list: Vec::new() }
    }

    /// Takes all of them out, no longer shared.
    fn take_all(&mut self) -> Vec<Property> {
        match self.shared.take() {
            None => std::mem::take(&mut self.list),
            Some(shared) => shared.list.iter().cloned().chain(self.list.drain(..)).collect(),
        }
    }

    /// Appends a property, whatever stands there already.
    pub fn push(&mut self, id: PropertyId, value: impl Into<Value>) {
        let value = value.into();
        self.list.push(Property { id, value });
    }

    /// Puts `value` in place of what the property had, or appends it.
    pub fn set(&mut self, id: PropertyId, value: impl Into<Value>) {
        let value = value.into();
        self.list = self.take_all();
        match self.list.iter_mut().find(|property| property.id == id) {
            Some(property) => property.value = value,
            None => self.list.push(Property { id, value }),
        }
    }

    /// Keeps only the properties for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&Property) -> bool) {
        self.list = self.take_all();
        self.list.retain(keep);
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.shared.iter().flat_map(|shared| &shared.list).chain(&self.list)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shared.is_none() && self.list.is_empty()
    }

    /// Whether this property is there.
    pub fn contains(&self, id: PropertyId) -> bool {
        self.first(id).is_some()
    }

    /// The value of a property that holds a number.
    pub fn number(&self, id: PropertyId) -> Option<u32> {
        match self.first(id)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a property that holds a string.
    pub fn text(&self, id: PropertyId) -> Option<&Text> {
        match self.first(id)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a property that holds Binary Data.
    pub fn binary(&self, id: PropertyId) -> Option<&Bytes> {
        match self.first(id)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// All values of a property that holds numbers and may repeat.
    pub fn numbers(&self, id: PropertyId) -> impl Iterator<Item = u32> {
        self.iter().filter(move |property| property.id == id).filter_map(|property| match property
            .value
        {
            Value::Number(number) => Some(number),
            _ => None,
        })
    }

    /// The User Properties, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|property| match &property.value {
            Value::Pair(name, value) => Some((&**name, &**value)),
            _ => None,
        })
    }

    fn first(&self, id: PropertyId) -> Option<&Value> {
        self.iter().find(|property| property.id == id).map(|property| &property.value)
    }

    /// Reads a Property Length and the properties it covers, each held to its type, place, sender,
    /// range and number.
    pub(super) fn decode(
        reader: &mut Reader<'_>,
        place: Place,
        from: Side,
    ) -> Result<Properties, DecodeError> {
        Properties::decode_unless(reader, place, from, &mut |error| Err(error))
    }

    /// As [`Properties::decode`], where `object` may let a property be that breaks a rule of its place,
    /// sender, range or number. Types are needed to read on.
    pub(super) fn decode_unless(
        reader: &mut Reader<'_>,
        place: Place,
        from: Side,
        object: &mut dyn FnMut(DecodeError) -> Result<(), DecodeError>,
    ) -> Result<Properties, DecodeError> {
        let mut block = reader.property_block()?;
        let mut list: Vec<Property> = Vec::new();
        let mut seen = 0_u64; // A bit for each identifier: no quadratic search for duplicates.
        while !block.is_empty() {
            let at = block.offset();
            let number = block.variable_integer()?;
            let id = PropertyId::from_value(number)
                .ok_or_else(|| Fault::UnknownProperty(number).at(at))?; // U-2.2.2.2-1
            if !id.belongs_in(place) {
                object(Fault::PropertyNotAllowed(id, place).at(at))?; // U-2.2.2.2-2
            } else if !id.is_allowed(place, from) {
                object(Fault::PropertyFromWrongSide(id, place).at(at))?; // MQTT-3.3.4-6
            }
            if seen & (1 << id.value()) != 0 && !id.is_repeatable(place) {
                object(Fault::DuplicateProperty(id, place).at(at))?; // U-3.1.2.11.2-1 and its siblings
            }
            seen |= 1 << id.value();
            let value_at = block.offset();
            let value = block.property_value(id.row().kind)?;
            if !id.admits(&value) {
                object(Fault::PropertyOutOfRange(id, place).at(value_at))?; // U-3.1.2.11.3-2 and its siblings
            }
            // It is the Topic Name of the answer, also that of a Will which will be published.
            if let (PropertyId::ResponseTopic, Value::String(topic)) = (id, &value)
                && !is_topic_name(topic)
            {
                object(Fault::ResponseTopicInvalid.at(value_at))?; // MQTT-3.3.2-14
            }
            list.push(Property { id, value });
        }
        Ok(Properties { shared: None, list })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let shared = self.shared.as_deref();
        let mut counter = Writer::counter();
        encode_all(&self.list, &mut counter)?;
        let shared_len = shared.map_or(Ok(0), |shared| shared.len)?;
        writer.variable_integer(shared_len + counter.len())?;
        match shared {
            Some(_) if writer.is_counter() => writer.skip(shared_len),
            Some(shared) => encode_all(&shared.list, writer)?,
            None => {}
        }
        encode_all(&self.list, writer)
    }
}

fn encode_all(list: &[Property], writer: &mut Writer<'_>) -> Result<(), EncodeError> {
    for Property { id, value } in list {
        let too_large = |_| EncodeError::NumberTooLarge(*id);
        writer.byte(id.value());
        match (id.row().kind, value) {
            (Kind::Byte, Value::Number(number)) => {
                writer.byte(u8::try_from(*number).map_err(too_large)?);
            }
            (Kind::TwoByte, Value::Number(number)) => {
                writer.two(u16::try_from(*number).map_err(too_large)?);
            }
            (Kind::FourByte, Value::Number(number)) => writer.four(*number),
            (Kind::Variable, Value::Number(number)) => {
                writer.variable_integer(*number as usize)?;
            }
            (Kind::String, Value::String(text)) => writer.text(text)?,
            (Kind::Binary, Value::Binary(bytes)) => writer.binary(bytes)?,
            (Kind::Pair, Value::Pair(name, value)) => {
                writer.text(name)?;
                writer.text(value)?;
            }
            _ => return Err(EncodeError::WrongKind(*id)),
        }
    }
    Ok(())
}

impl PartialEq for Properties {
    fn eq(&self, other: &Properties) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties {}

impl Hash for Properties {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|property| property.hash(state));
    }
}

impl FromIterator<Property> for Properties {
    fn from_iter<I: IntoIterator<Item = Property>>(list: I) -> Self {
        Properties { shared: None, list: list.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_identifier() {
        let mut properties = Properties::default();
        properties.push(PropertyId::UserProperty, ("a", "1"));
        properties.push(PropertyId::ReceiveMaximum, 7);
        properties.push(PropertyId::UserProperty, ("a", "2"));
        properties.set(PropertyId::ReceiveMaximum, 8);
        assert_eq!(properties.number(PropertyId::ReceiveMaximum), Some(8));
        assert_eq!(properties.number(PropertyId::TopicAlias), None);
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
    }

    #[test]
    fn sharing_changes_nothing_but_the_cost_of_a_copy() {
        let mut plain = Properties::default();
        plain.push(PropertyId::ContentType, "a");
        let shared = plain.clone().into_shared();
        let mut copy = shared.clone();
        let place = |properties: &Properties| properties.iter().next().map(std::ptr::from_ref);
        assert_eq!(place(&copy), place(&shared), "copied");
        for properties in [&mut plain, &mut copy] {
            properties.push(PropertyId::UserProperty, ("b", "1"));
            assert!(!properties.is_empty());
        }
        assert_eq!(copy, plain);
        let encoded = |properties: &Properties| {
            let mut bytes = bytes::BytesMut::new();
            properties.encode(&mut Writer::new(&mut bytes)).unwrap();
            let mut counter = Writer::counter();
            properties.encode(&mut counter).unwrap();
            assert_eq!(counter.len(), bytes.len(), "measured and written");
            bytes
        };
        assert_eq!(encoded(&copy), encoded(&plain));
        for properties in [&mut plain, &mut copy] {
            properties.set(PropertyId::ContentType, "c");
        }
        assert_eq!(copy, plain);
        assert_eq!(shared.text(PropertyId::ContentType).map(|text| &**text), Some("a"));
        let long = "x".repeat(usize::from(u16::MAX) + 1);
        let unsayable = Property { id: PropertyId::ContentType, value: long.into() };
        let unsayable = Properties::from_iter([unsayable]).into_shared();
        assert_eq!(unsayable.encode(&mut Writer::counter()), Err(EncodeError::FieldTooLong));
        let mut copy = shared.clone();
        copy.retain(|_| false);
        assert!(copy.is_empty() && copy.into_shared().is_empty() && !shared.is_empty());
    }
}
