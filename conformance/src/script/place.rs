//! Where on a broker a script is played.

use bytes::Bytes;
use reference_broker::codec::{Packet, Properties, PropertyId, Subscription, Text, Value};

use super::clients::ASSIGNED;
use super::{Act, Script};

/// A Client Identifier in bytes whose length stands beside it: it is replaced by another one of that
/// length.
pub(crate) const RAW: &str = "~broken";

/// What stands for `~`, so that one playing keeps clear of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In topics: the levels below which all of it is.
    pub topics: String,
    /// In Client Identifiers: what they begin with. It has no more bytes than those need.
    pub clients: String,
}

impl Place {
    /// That of a play by its number: all of a run are alike in how many levels and bytes their names have.
    pub(crate) fn numbered(topic_prefix: &str, token: &str, number: u64) -> Place {
        Place {
            topics: format!("{topic_prefix}/{token}/{number:06}"),
            clients: format!("{token}x{number:06}x"),
        }
    }

    /// The script as it is sent there. Bytes that are no packet stay as they are, but for a Client
    /// Identifier of [`RAW`] and the topic `~/a`.
    pub fn script(&self, script: &Script) -> Script {
        let mut script = script.clone();
        for step in &mut script.steps {
            match &mut step.act {
                Act::Send(packet) => self.packet(packet),
                Act::SendBytes(bytes) => {
                    *bytes = with_raw(bytes, self.raw().as_bytes());
                    *bytes = self.with_topics(bytes);
                }
                _ => {}
            }
        }
        script
    }

    /// Bytes of which each packet is as [`Place::with_topic`] has it.
    fn with_topics(&self, bytes: &Bytes) -> Bytes {
        let end = remaining_length(bytes).map(|(length, said)| 1 + length + said);
        let Some(end) = end.filter(|end| *end < bytes.len()) else {
            return self.with_topic(bytes).unwrap_or_else(|| bytes.clone());
        };
        let (one, rest) = (bytes.slice(..end), bytes.slice(end..));
        let one = self.with_topic(&one).unwrap_or(one);
        [one, self.with_topics(&rest)].concat().into()
    }

    /// Bytes that are one packet with the topic `~/a`, with that topic as it is there and the length of the
    /// packet as much larger, in as many bytes as before at least.
    fn with_topic(&self, bytes: &Bytes) -> Option<Bytes> {
        const TOPIC: &[u8] = b"\0\x03~/a";

        let (length, said) = remaining_length(bytes)?;
        let (header, body) = bytes.split_at_checked(1 + length)?;
        // That of a PUBLISH stands first, those of CONNECT, SUBSCRIBE and UNSUBSCRIBE behind properties. Elsewhere it
        // is within properties, whose length is not looked at here.
        let at = match header[0] >> 4 {
            3 => body.starts_with(TOPIC).then_some(0)?,
            1 | 8 | 10 => body.windows(TOPIC.len()).rposition(|part| part == TOPIC)?,
            _ => return None,
        };
        if said != body.len() {
            return None;
        }
        let topic = format!("{}/a", self.topics);
        let mut placed = vec![header[0]];
        let mut left = body.len() - TOPIC.len() + 2 + topic.len();
        while left > 0 || placed.len() <= length {
            placed.push(u8::try_from(left & 0x7F).ok()? | 0x80);
            left >>= 7;
        }
        *placed.last_mut()? &= 0x7F;
        placed.extend_from_slice(&body[..at]);
        placed.extend_from_slice(&u16::try_from(topic.len()).ok()?.to_be_bytes());
        placed.extend_from_slice(topic.as_bytes());
        placed.extend_from_slice(&body[at + TOPIC.len()..]);
        Some(placed.into())
    }

    /// What stands for [`RAW`] there, in as many bytes.
    fn raw(&self) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        let mut rest = self.clients.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
        let mut raw = String::from("r");
        while raw.len() < RAW.len() {
            raw.push(char::from(DIGITS[(rest % 36) as usize]));
            rest /= 36;
        }
        raw
    }

    /// Whether a subscription of the script takes messages of other places too, because no level of it is its own.
    pub fn is_left_by(script: &Script) -> bool {
        let leaves = |subscription: &Subscription| {
            let filter = &*subscription.filter;
            !filter.contains('~') && (filter.contains('#') || filter.matches('+').count() > 2)
        };
        script.steps.iter().any(|step| match &step.act {
            Act::Send(Packet::Subscribe(it)) => it.subscriptions.iter().any(leaves),
            _ => false,
        })
    }

    /// What is to be replaced in a trace from there so that it is as if played in no place; see
    /// [`normalise`](crate::trace::normalise).
    pub fn replacements(&self) -> Vec<(String, &'static str)> {
        vec![(self.topics.clone(), "~"), (self.clients.clone(), "~"), (self.raw(), RAW)]
    }

    /// Has a packet name what it names there.
    pub(crate) fn packet(&self, packet: &mut Packet) {
        match packet {
            Packet::Connect(connect) => {
                connect.client_id = match connect.client_id.starts_with(ASSIGNED) {
                    true => format!("{}{}", self.clients, connect.client_id).into(),
                    false => replaced(&connect.client_id, &self.clients),
                };
                if let Some(will) = &mut connect.will {
                    will.topic = replaced(&will.topic, &self.topics);
                    self.properties(&mut will.properties);
                }
            }
            Packet::Publish(publish) => {
                publish.topic = replaced(&publish.topic, &self.topics);
                self.properties(&mut publish.properties);
            }
            Packet::Subscribe(subscribe) => {
                for subscription in &mut subscribe.subscriptions {
                    subscription.filter = self.filter(&subscription.filter);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &mut unsubscribe.filters {
                    *filter = self.filter(filter);
                }
            }
            _ => {}
        }
    }

    /// A share name is one level, so it gets what keeps clients apart.
    fn filter(&self, filter: &Text) -> Text {
        let parts = filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/'));
        match parts {
            Some((name, inner)) => {
                let name = name.replace('~', &self.clients);
                format!("$share/{name}/{}", inner.replace('~', &self.topics)).into()
            }
            None => replaced(filter, &self.topics),
        }
    }

    fn properties(&self, properties: &mut Properties) {
        let Some(topic) = properties.text(PropertyId::ResponseTopic) else { return };
        let topic = Value::String(replaced(topic, &self.topics));
        properties.set(PropertyId::ResponseTopic, topic);
    }
}

/// How many bytes the Remaining Length of a packet has, be they too many or not, and what it says.
fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = bytes.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 1;
    let digits = bytes.get(1..=length).filter(|_| length <= 4)?;
    let said = digits.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
    Some((length, said))
}

fn with_raw(bytes: &[u8], by: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(RAW.len()).position(|part| part == RAW.as_bytes()) {
        bytes[at..at + RAW.len()].copy_from_slice(by);
    }
    bytes.into()
}

fn replaced(text: &Text, by: &str) -> Text {
    match text.contains('~') {
        true => text.replace('~', by).into(),
        false => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn filters_that_reach_other_places_are_told_from_those_that_do_not() {
        for (filter, leaves) in
            [("#", true), ("$share/g/+/#", true), ("+/+/+/a", true), ("~/#", false), ("+/a", false)]
        {
            let script = parse(&format!("a -> SUBSCRIBE id=1 \"{filter}\" qos=0\n")).unwrap();
            assert_eq!(Place::is_left_by(&script), leaves, "{filter}");
        }
    }

    #[test]
    fn an_identifier_that_no_broker_has_assigned_yet_is_kept_apart() {
        let place = Place { topics: "t".to_owned(), clients: "tx7x".to_owned() };
        let script = parse("a -> CONNECT client_id=\"assigned1\"\n").unwrap();
        let placed = parse("a -> CONNECT client_id=\"tx7xassigned1\"\n").unwrap();
        assert_eq!(place.script(&script), placed);
    }

    #[test]
    fn what_is_in_bytes_is_kept_apart_too_and_what_is_wrong_with_them_stays() {
        let place = Place { topics: "mqttspec/t/7".to_owned(), clients: "tx7x".to_owned() };
        let bytes = |text: &str| {
            let script = parse(&format!("a -> BYTES {text}\n")).unwrap();
            let Act::SendBytes(bytes) = place.script(&script).steps.remove(0).act else { panic!() };
            bytes
        };
        // PUBLISH, with a Remaining Length that is longer than it need be, and SUBSCRIBE with property values.
        assert_eq!(bytes("30 07 00 03 7e 2f 61 00 78")[..], *b"0\x12\0\x0emqttspec/t/7/a\0x");
        assert_eq!(bytes("30 87 00 00 03 7e 2f 61 00 78")[..3], [0x30, 0x92, 0]);
        let subscribe = bytes("82 12 00 01 08 26 00 01 61 00 03 7e 2f 61 00 03 7e 2f 61 01");
        assert!(subscribe.ends_with(b"\0\x0emqttspec/t/7/a\x01") && subscribe[1] == 0x1D);
        let reason = "62 0a 00 01 00 06 1f 00 03 7e 2f 61";
        assert_eq!(bytes(reason)[1..], *b"\x0a\0\x01\0\x06\x1f\0\x03~/a");
        assert_eq!(bytes("c0 80 00")[..], [0xC0, 0x80, 0]);
        assert_eq!(bytes("30 09 00 03 7e 2f 61 00")[..], [0x30, 9, 0, 3, b'~', b'/', b'a', 0]);
        assert_ne!(bytes("10 07 7e 62 72 6f 6b 65 6e")[2..], *b"~broken");
    }
}
