//! Values as findings tell them: in the words of the standard and of traces.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Properties, Property, Publish, QoS, ReasonCode, Text};

use super::literal::{BytesLiteral, TextLiteral};
use super::packet_text;
use super::write::property_text;

/// What a value is called.
pub(crate) trait Said {
    /// In words.
    fn said(&self) -> String;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Said for $number {
            fn said(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u8, u16, u32, usize);

impl Said for QoS {
    fn said(&self) -> String {
        format!("QoS {}", self.value())
    }
}

impl Said for ReasonCode {
    fn said(&self) -> String {
        format!("0x{:02X} ({})", self.value(), self.row().name)
    }
}

impl Said for Duration {
    fn said(&self) -> String {
        format!("{} s", self.as_secs_f64())
    }
}

impl Said for str {
    fn said(&self) -> String {
        TextLiteral(self).to_string()
    }
}

impl Said for String {
    fn said(&self) -> String {
        self.as_str().said()
    }
}

impl Said for Text {
    fn said(&self) -> String {
        (**self).said()
    }
}

impl Said for Bytes {
    fn said(&self) -> String {
        BytesLiteral(self).to_string()
    }
}

impl Said for Publish {
    fn said(&self) -> String {
        packet_text(&self.clone().into())
    }
}

impl Said for Property {
    fn said(&self) -> String {
        property_text(self)
    }
}

impl Said for Properties {
    fn said(&self) -> String {
        list(self.iter())
    }
}

impl<T: Said + ?Sized> Said for &T {
    fn said(&self) -> String {
        (**self).said()
    }
}

impl<T: Said> Said for Option<T> {
    fn said(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Said::said)
    }
}

impl<T: Said> Said for [T] {
    fn said(&self) -> String {
        list(self.iter())
    }
}

impl<T: Said> Said for Vec<T> {
    fn said(&self) -> String {
        list(self.iter())
    }
}

impl<T: Said> Said for BTreeSet<T> {
    fn said(&self) -> String {
        list(self.iter())
    }
}

fn list<'a, T: Said + 'a>(all: impl Iterator<Item = &'a T>) -> String {
    let all: Vec<_> = all.map(Said::said).collect();
    match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::PropertyId;

    use super::*;

    #[test]
    fn values_are_told_in_the_words_of_traces() {
        let mut properties = Properties::default();
        properties.push(PropertyId::UserProperty, ("a", "b"));
        properties.push(PropertyId::MessageExpiryInterval, 7);
        for (said, expected) in [
            (Some(3_u32).said(), "3"),
            (None::<u32>.said(), "none"),
            (vec![QoS::AtMostOnce, QoS::ExactlyOnce].said(), "QoS 0, QoS 2"),
            (Vec::<u16>::new().said(), "none"),
            (["a\"b".to_owned()].as_slice().said(), "\"a\\\"b\""),
            (Bytes::from_static(b"\0").said(), "x00"),
            (ReasonCode::NotAuthorized.said(), "0x87 (not authorized)"),
            (Duration::from_millis(1500).said(), "1.5 s"),
            (properties.said(), "user_property=\"a\":\"b\", message_expiry_interval=7"),
        ] {
            assert_eq!(said, expected);
        }
    }
}
