//! Takes out of a trace what differs from run to run.

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, Properties, Property, Text, Value};

use super::{Event, What};
use crate::target::scram::masked_in;

/// The attributes of SCRAM that are random, or come of what is.
const RANDOM: &[u8] = b"rspv";

/// The same events with each of `replacements`, in their order, made in every string of every
/// packet and in every payload and other binary value that is text.
///
/// So are the nonces of SCRAM, its salts, proofs and signatures, which are random.
///
/// Times stay, and so do bytes that are no packet: other lengths would make other bytes of them.
pub fn normalise(events: &[Event], replacements: &[(String, &str)]) -> Vec<Event> {
    let rules = Rules(replacements);
    events
        .iter()
        .map(|event| {
            let what = match masked_in(event.what.clone(), RANDOM) {
                What::Sent(sent) => What::Sent(rules.packet(&sent)),
                What::Received(received) => What::Received(rules.packet(&received)),
                other => other,
            };
            Event { at: event.at, probe: event.probe.clone(), what }
        })
        .collect()
}

struct Rules<'a>(&'a [(String, &'a str)]);

impl Rules<'_> {
    fn packet(&self, packet: &Packet) -> Packet {
        let mut packet = packet.clone();
        match &mut packet {
            Packet::Connect(packet) => self.connect(packet),
            Packet::ConnAck(packet) => self.properties(&mut packet.properties),
            Packet::Publish(packet) => {
                self.text(&mut packet.topic);
                self.bytes(&mut packet.payload);
                self.properties(&mut packet.properties);
            }
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => self.properties(&mut packet.properties),
            Packet::Subscribe(packet) => {
                packet.subscriptions.iter_mut().for_each(|one| self.text(&mut one.filter));
                self.properties(&mut packet.properties);
            }
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => {
                self.properties(&mut packet.properties);
            }
            Packet::Unsubscribe(packet) => {
                packet.filters.iter_mut().for_each(|filter| self.text(filter));
                self.properties(&mut packet.properties);
            }
            Packet::PingReq | Packet::PingResp => {}
            Packet::Disconnect(packet) => self.properties(&mut packet.properties),
            Packet::Auth(packet) => self.properties(&mut packet.properties),
        }
        packet
    }

    fn connect(&self, packet: &mut Connect) {
        self.text(&mut packet.client_id);
        packet.user_name.iter_mut().for_each(|name| self.text(name));
        packet.password.iter_mut().for_each(|password| self.bytes(password));
        if let Some(will) = &mut packet.will {
            self.text(&mut will.topic);
            self.bytes(&mut will.payload);
            self.properties(&mut will.properties);
        }
        self.properties(&mut packet.properties);
    }

    fn properties(&self, properties: &mut Properties) {
        let replaced = properties.iter().map(|property| {
            let mut value = property.value.clone();
            match &mut value {
                Value::Number(_) => {}
                Value::String(text) => self.text(text),
                Value::Binary(bytes) => self.bytes(bytes),
                Value::Pair(name, value) => {
                    self.text(name);
                    self.text(value);
                }
            }
            Property { id: property.id, value }
        });
        *properties = replaced.collect();
    }

    fn text(&self, text: &mut Text) {
        if let Some(replaced) = self.replaced(text) {
            *text = Text::from(replaced);
        }
    }

    fn bytes(&self, bytes: &mut Bytes) {
        let replaced = std::str::from_utf8(bytes).ok().and_then(|text| self.replaced(text));
        if let Some(replaced) = replaced {
            *bytes = Bytes::from(replaced);
        }
    }

    /// The text with all replacements made; none when there is nothing to replace, which is the
    /// rule for payloads of any size.
    fn replaced(&self, text: &str) -> Option<String> {
        let mut replaced: Option<String> = None;
        // An empty text is everywhere: nobody means that.
        for (from, to) in self.0.iter().filter(|(from, _)| !from.is_empty()) {
            let current = replaced.as_deref().unwrap_or(text);
            if current.contains(from.as_str()) {
                replaced = Some(current.replace(from.as_str(), to));
            }
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_text};
    use super::*;

    #[test]
    fn every_string_of_every_packet_is_replaced() {
        let before = r#"
   0.000  a || opened
   0.001  a -> CONNECT     client_id="c7-x" user_name="c7-" password="c7-" will.topic="run/7/w" will.payload="run/7/" will.response_topic="run/7/r" user_property="run/7/":"c7-"
   0.002  a <- CONNACK     0x00 (success) assigned_client_identifier="c7-y"
   0.003  a -> PUBLISH     "run/7/a" response_topic="run/7/r" correlation_data="run/7/" payload="c7- at run/7/"
   0.004  a -> PUBLISH     "other" payload=xff72756e2f372f
   0.005  a <- PUBACK      id=1 reason_string="run/7/?"
   0.006  a <- PUBREC      id=1 reason_string="run/7/?"
   0.007  a <- PUBREL      id=1 reason_string="run/7/?"
   0.008  a <- PUBCOMP     id=1 reason_string="run/7/?"
   0.009  a -> SUBSCRIBE   id=1 subscription_identifier=7 "run/7/#" qos=0 "$share/g/run/7/+" qos=1
   0.010  a <- SUBACK      id=1 reason_string="c7-" 0x00 (granted QoS 0)
   0.011  a -> UNSUBSCRIBE id=1 "run/7/#" "b"
   0.012  a <- UNSUBACK    id=1 reason_string="c7-" 0x00 (success)
   0.013  a -> PINGREQ
   0.014  a <- AUTH        0x18 (continue authentication) authentication_method="c7-" authentication_data="c7-"
   0.015  a <- DISCONNECT  reason_string="run/7/c7-"
   0.016  a -> BYTES 72 75 6e 2f 37 2f
"#;
        let after = r#"
   0.000  a || opened
   0.001  a -> CONNECT     client_id="~x" user_name="~" password="~" will.topic="~/w" will.payload="~/" will.response_topic="~/r" user_property="~/":"~"
   0.002  a <- CONNACK     0x00 (success) assigned_client_identifier="~y"
   0.003  a -> PUBLISH     "~/a" response_topic="~/r" correlation_data="~/" payload="~ at ~/"
   0.004  a -> PUBLISH     "other" payload=xff72756e2f372f
   0.005  a <- PUBACK      id=1 reason_string="~/?"
   0.006  a <- PUBREC      id=1 reason_string="~/?"
   0.007  a <- PUBREL      id=1 reason_string="~/?"
   0.008  a <- PUBCOMP     id=1 reason_string="~/?"
   0.009  a -> SUBSCRIBE   id=1 subscription_identifier=7 "~/#" qos=0 "$share/g/~/+" qos=1
   0.010  a <- SUBACK      id=1 reason_string="~" 0x00 (granted QoS 0)
   0.011  a -> UNSUBSCRIBE id=1 "~/#" "b"
   0.012  a <- UNSUBACK    id=1 reason_string="~" 0x00 (success)
   0.013  a -> PINGREQ
   0.014  a <- AUTH        0x18 (continue authentication) authentication_method="~" authentication_data="~"
   0.015  a <- DISCONNECT  reason_string="~/~"
   0.016  a -> BYTES 72 75 6e 2f 37 2f
"#;
        let rules = [("run/7".to_owned(), "~"), ("c7-".to_owned(), "~"), (String::new(), "!")];
        let events = normalise(&parse(before).unwrap(), &rules);
        assert_eq!(to_text(&events), after.trim_start_matches('\n'));
    }
}
