//! The decoder of mqtt5-protocol.

use mqtt5_protocol::packet::connect::ConnectPacket;
use mqtt5_protocol::packet::publish::PublishPacket;
use mqtt5_protocol::packet::subscribe::SubscribePacket;
use mqtt5_protocol::{FixedHeader, Packet, Properties, PropertyValue};

use super::{Telling, Told};
use crate::naive::property_name;

/// Reads the one packet that `bytes` are.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Told>, String> {
    let mut rest = bytes;
    let told = |error| format!("{error:?}");
    let header = FixedHeader::decode(&mut rest).map_err(told)?;
    let packet = Packet::decode_from_body(header.packet_type, &header, &mut rest).map_err(told)?;
    if !rest.is_empty() {
        // It leaves them to its caller, who can see that something is wrong.
        return Err(format!("{} bytes are left over", rest.len()));
    }
    let mut telling = Telling::default();
    telling.number("MQTT Control Packet type", header.packet_type as u8);
    telling.packet(&packet);
    Ok(telling.0)
}

impl Telling {
    fn packet(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(packet) => self.connect_packet(packet),
            Packet::ConnAck(packet) => {
                self.number("Session Present", packet.session_present);
                self.number("Reason Code", packet.reason_code as u8);
                self.properties(&packet.properties);
            }
            Packet::Publish(packet) => self.publish_packet(packet),
            Packet::PubAck(packet) => {
                self.acknowledges(packet.packet_id, packet.reason_code as u8, &packet.properties);
            }
            Packet::PubRec(packet) => {
                self.acknowledges(packet.packet_id, packet.reason_code as u8, &packet.properties);
            }
            Packet::PubRel(packet) => {
                self.acknowledges(packet.packet_id, packet.reason_code as u8, &packet.properties);
            }
            Packet::PubComp(packet) => {
                self.acknowledges(packet.packet_id, packet.reason_code as u8, &packet.properties);
            }
            Packet::Subscribe(packet) => self.subscribe_packet(packet),
            Packet::SubAck(packet) => {
                let reasons = packet.reason_codes.iter().map(|reason| *reason as u8);
                self.answers(packet.packet_id, reasons, &packet.properties);
            }
            Packet::Unsubscribe(packet) => {
                self.number("Packet Identifier", packet.packet_id);
                self.properties(&packet.properties);
                for filter in &packet.filters {
                    self.bytes("Topic Filter", filter);
                }
            }
            Packet::UnsubAck(packet) => {
                let reasons = packet.reason_codes.iter().map(|reason| *reason as u8);
                self.answers(packet.packet_id, reasons, &packet.properties);
            }
            Packet::PingReq | Packet::PingResp => {}
            Packet::Disconnect(packet) => {
                self.number("Reason Code", packet.reason_code as u8);
                self.properties(&packet.properties);
            }
            Packet::Auth(packet) => {
                self.number("Reason Code", packet.reason_code as u8);
                self.properties(&packet.properties);
            }
        }
    }

    fn properties(&mut self, properties: &Properties) {
        for (id, value) in properties.iter() {
            let name = property_name(id as u32).unwrap_or("a property that there is not");
            match value {
                PropertyValue::Byte(number) => self.number(name, *number),
                PropertyValue::TwoByteInteger(number) => self.number(name, *number),
                PropertyValue::FourByteInteger(number)
                | PropertyValue::VariableByteInteger(number) => self.number(name, *number),
                PropertyValue::BinaryData(bytes) => self.bytes(name, bytes),
                PropertyValue::Utf8String(text) => self.bytes(name, text),
                PropertyValue::Utf8StringPair(of_pair, value) => {
                    self.bytes(name, of_pair);
                    self.bytes(name, value);
                }
            }
        }
    }

    fn connect_packet(&mut self, packet: &ConnectPacket) {
        let will = packet.will.as_ref();
        self.number("Clean Start", packet.clean_start);
        self.number("Will Flag", will.is_some());
        self.number("Will QoS", will.map_or(0, |will| will.qos as u8));
        self.number("Will Retain", will.is_some_and(|will| will.retain));
        self.number("User Name Flag", packet.username.is_some());
        self.number("Password Flag", packet.password.is_some());
        self.number("Keep Alive", packet.keep_alive);
        self.properties(&packet.properties);
        self.bytes("Client Identifier", &packet.client_id);
        if let Some(will) = will {
            self.properties(&packet.will_properties);
            self.bytes("Will Topic", &will.topic);
            self.bytes("Will Payload", &will.payload);
        }
        self.bytes_if_there("User Name", packet.username.as_ref());
        self.bytes_if_there("Password", packet.password.as_ref());
    }

    fn publish_packet(&mut self, packet: &PublishPacket) {
        self.number("DUP", packet.dup);
        self.number("QoS", packet.qos as u8);
        self.number("RETAIN", packet.retain);
        self.bytes("Topic Name", &packet.topic_name);
        self.number_if_there("Packet Identifier", packet.packet_id);
        self.properties(&packet.properties);
        self.bytes("Payload", &packet.payload);
    }

    fn acknowledges(&mut self, identifier: u16, reason: u8, properties: &Properties) {
        self.number("Packet Identifier", identifier);
        self.number("Reason Code", reason);
        self.properties(properties);
    }

    fn subscribe_packet(&mut self, packet: &SubscribePacket) {
        self.number("Packet Identifier", packet.packet_id);
        self.properties(&packet.properties);
        for filter in &packet.filters {
            self.bytes("Topic Filter", &filter.filter);
            self.number("Maximum QoS", filter.options.qos as u8);
            self.number("No Local", filter.options.no_local);
            self.number("Retain As Published", filter.options.retain_as_published);
            self.number("Retain Handling", filter.options.retain_handling as u8);
        }
    }

    fn answers(
        &mut self,
        identifier: u16,
        reasons: impl Iterator<Item = u8>,
        properties: &Properties,
    ) {
        self.number("Packet Identifier", identifier);
        self.properties(properties);
        for reason in reasons {
            self.number("Reason Code", reason);
        }
    }
}
