//! A packet of the codec as a row of fields, as the naive checker gives them.

use reference_broker::codec::{
    Connect, Packet, Properties, Publish, PublishAck, ReasonCode, Subscribe, SubscribeAck,
    Unsubscribe, Value as Held, Will,
};

use crate::naive::{Field, Value};

/// The fields of a packet, in their order on the wire.
pub(crate) fn fields(packet: &Packet) -> Vec<Field<'_>> {
    let mut fields = Fields(Vec::new());
    fields.number("MQTT Control Packet type", packet.packet_type().value());
    match packet {
        Packet::Connect(packet) => fields.connect(packet),
        Packet::ConnAck(packet) => {
            fields.number("Session Present", packet.session_present);
            fields.reason(packet.reason);
            fields.properties(&packet.properties);
        }
        Packet::Publish(packet) => fields.publish(packet),
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => fields.acknowledgement(packet),
        Packet::Subscribe(packet) => fields.subscribe(packet),
        Packet::SubAck(packet) | Packet::UnsubAck(packet) => fields.answers(packet),
        Packet::Unsubscribe(packet) => fields.unsubscribe(packet),
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(packet) => {
            fields.reason(packet.reason);
            fields.properties(&packet.properties);
        }
        Packet::Auth(packet) => {
            fields.reason(packet.reason);
            fields.properties(&packet.properties);
        }
    }
    fields.0
}

struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    fn number(&mut self, name: &'static str, number: impl Into<u32>) {
        self.0.push(Field { name, value: Value::Number(number.into()) });
    }

    fn bytes(&mut self, name: &'static str, bytes: &'a [u8]) {
        self.0.push(Field { name, value: Value::Bytes(bytes) });
    }

    fn text(&mut self, name: &'static str, text: &'a str) {
        self.bytes(name, text.as_bytes());
    }

    fn identifier(&mut self, identifier: u16) {
        self.number("Packet Identifier", identifier);
    }

    fn reason(&mut self, reason: ReasonCode) {
        self.number("Reason Code", reason.value());
    }

    fn properties(&mut self, properties: &'a Properties) {
        for property in properties.iter() {
            let name = property.id.row().name;
            match &property.value {
                Held::Number(number) => self.number(name, *number),
                Held::String(text) => self.text(name, text),
                Held::Binary(bytes) => self.bytes(name, bytes),
                Held::Pair(of_pair, value) => {
                    self.text(name, of_pair);
                    self.text(name, value);
                }
            }
        }
    }

    fn connect(&mut self, packet: &'a Connect) {
        let will = packet.will.as_ref();
        self.number("Clean Start", packet.clean_start);
        self.number("Will Flag", will.is_some());
        self.number("Will QoS", will.map_or(0, |will| will.qos.value()));
        self.number("Will Retain", will.is_some_and(|will| will.retain));
        self.number("User Name Flag", packet.user_name.is_some());
        self.number("Password Flag", packet.password.is_some());
        self.number("Keep Alive", packet.keep_alive);
        self.properties(&packet.properties);
        self.text("Client Identifier", &packet.client_id);
        if let Some(Will { topic, payload, properties, .. }) = will {
            self.properties(properties);
            self.text("Will Topic", topic);
            self.bytes("Will Payload", payload);
        }
        if let Some(user_name) = &packet.user_name {
            self.text("User Name", user_name);
        }
        if let Some(password) = &packet.password {
            self.bytes("Password", password);
        }
    }

    fn publish(&mut self, packet: &'a Publish) {
        self.number("DUP", packet.dup);
        self.number("QoS", packet.qos.value());
        self.number("RETAIN", packet.retain);
        self.text("Topic Name", &packet.topic);
        if packet.qos.value() > 0 {
            self.identifier(packet.packet_id);
        }
        self.properties(&packet.properties);
        self.bytes("Payload", &packet.payload);
    }

    fn acknowledgement(&mut self, packet: &'a PublishAck) {
        self.identifier(packet.packet_id);
        self.reason(packet.reason);
        self.properties(&packet.properties);
    }

    fn subscribe(&mut self, packet: &'a Subscribe) {
        self.identifier(packet.packet_id);
        self.properties(&packet.properties);
        for subscription in &packet.subscriptions {
            let options = subscription.options;
            self.text("Topic Filter", &subscription.filter);
            self.number("Maximum QoS", options.maximum_qos.value());
            self.number("No Local", options.no_local);
            self.number("Retain As Published", options.retain_as_published);
            self.number("Retain Handling", options.retain_handling as u8);
        }
    }

    fn answers(&mut self, packet: &'a SubscribeAck) {
        self.identifier(packet.packet_id);
        self.properties(&packet.properties);
        for reason in &packet.reasons {
            self.reason(*reason);
        }
    }

    fn unsubscribe(&mut self, packet: &'a Unsubscribe) {
        self.identifier(packet.packet_id);
        self.properties(&packet.properties);
        for filter in &packet.filters {
            self.text("Topic Filter", filter);
        }
    }
}
