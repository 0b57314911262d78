//! The decoder of rmqtt-codec.

use bytes::BytesMut;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{
    Auth, Codec, Connect, ConnectAck, Disconnect, LastWill, Packet, PublishAck, PublishAck2,
    Subscribe, SubscribeAck, Unsubscribe, UnsubscribeAck,
};
use tokio_util::codec::Decoder;

use super::{Telling, Told};

/// Reads the one packet that `bytes` are.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Told>, String> {
    let mut buffer = BytesMut::from(bytes);
    let decoded = Codec::new(0, 0).decode(&mut buffer).map_err(|error| format!("{error:?}"))?;
    let (packet, _) = decoded.ok_or("more bytes are wanted")?;
    let mut telling = Telling::default();
    telling.number("MQTT Control Packet type", bytes[0] / 16);
    match packet {
        Packet::Connect(packet) => telling.connect(&packet),
        Packet::ConnectAck(packet) => telling.connack(&packet),
        Packet::Publish(packet) => telling.publish(&packet),
        Packet::PublishAck(packet) | Packet::PublishReceived(packet) => telling.answer(&packet),
        Packet::PublishRelease(packet) | Packet::PublishComplete(packet) => {
            telling.second_answer(&packet);
        }
        Packet::Subscribe(packet) => telling.subscribe(&packet),
        Packet::SubscribeAck(packet) => telling.suback(&packet),
        Packet::Unsubscribe(packet) => telling.unsubscribe(&packet),
        Packet::UnsubscribeAck(packet) => telling.unsuback(&packet),
        Packet::PingRequest | Packet::PingResponse => {}
        Packet::Disconnect(packet) => telling.disconnect(&packet),
        Packet::Auth(packet) => telling.auth(&packet),
    }
    Ok(telling.0)
}

impl Telling {
    fn connect(&mut self, packet: &Connect) {
        let will = packet.last_will.as_ref();
        self.number("Clean Start", packet.clean_start);
        self.number("Will Flag", will.is_some());
        self.number("Will QoS", will.map_or(0, |will| will.qos as u8));
        self.number("Will Retain", will.is_some_and(|will| will.retain));
        self.number("User Name Flag", packet.username.is_some());
        self.number("Password Flag", packet.password.is_some());
        self.number("Keep Alive", packet.keep_alive);
        self.number("Session Expiry Interval", packet.session_expiry_interval_secs);
        self.bytes_if_there("Authentication Method", packet.auth_method.as_ref());
        self.bytes_if_there("Authentication Data", packet.auth_data.as_ref());
        self.number("Request Problem Information", packet.request_problem_info);
        self.number("Request Response Information", packet.request_response_info);
        self.number_if_there("Receive Maximum", packet.receive_max.map(u16::from));
        self.number("Topic Alias Maximum", packet.topic_alias_max);
        self.number_if_there("Maximum Packet Size", packet.max_packet_size);
        self.user_properties(&packet.user_properties);
        self.bytes("Client Identifier", &packet.client_id);
        if let Some(will) = will {
            self.will(will);
        }
        self.bytes_if_there("User Name", packet.username.as_ref());
        self.bytes_if_there("Password", packet.password.as_ref());
    }

    fn will(&mut self, will: &LastWill) {
        self.number_if_there("Will Delay Interval", will.will_delay_interval_sec);
        self.bytes_if_there("Correlation Data", will.correlation_data.as_ref());
        self.number_if_there("Message Expiry Interval", will.message_expiry_interval);
        self.bytes_if_there("Content Type", will.content_type.as_ref());
        self.number_if_there("Payload Format Indicator", will.is_utf8_payload);
        self.bytes_if_there("Response Topic", will.response_topic.as_ref());
        self.user_properties(&will.user_properties);
        self.bytes("Will Topic", &will.topic);
        self.bytes("Will Payload", &will.message);
    }

    fn connack(&mut self, packet: &ConnectAck) {
        self.number("Session Present", packet.session_present);
        self.number("Reason Code", packet.reason_code as u8);
        self.number_if_there("Session Expiry Interval", packet.session_expiry_interval_secs);
        self.number("Receive Maximum", u16::from(packet.receive_max));
        self.number("Maximum QoS", packet.max_qos as u8);
        self.number_if_there("Maximum Packet Size", packet.max_packet_size);
        self.bytes_if_there("Assigned Client Identifier", packet.assigned_client_id.as_ref());
        self.number("Topic Alias Maximum", packet.topic_alias_max);
        self.number("Retain Available", packet.retain_available);
        self.number("Wildcard Subscription Available", packet.wildcard_subscription_available);
        let identifiers = packet.subscription_identifiers_available;
        self.number("Subscription Identifier Available", identifiers);
        self.number("Shared Subscription Available", packet.shared_subscription_available);
        self.number_if_there("Server Keep Alive", packet.server_keepalive_sec);
        self.bytes_if_there("Response Information", packet.response_info.as_ref());
        self.bytes_if_there("Server Reference", packet.server_reference.as_ref());
        self.bytes_if_there("Authentication Method", packet.auth_method.as_ref());
        self.bytes_if_there("Authentication Data", packet.auth_data.as_ref());
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
        self.user_properties(&packet.user_properties);
    }

    fn publish(&mut self, packet: &Publish) {
        self.number("DUP", packet.dup);
        self.number("QoS", packet.qos as u8);
        self.number("RETAIN", packet.retain);
        self.bytes("Topic Name", &packet.topic);
        self.number_if_there("Packet Identifier", packet.packet_id.map(u16::from));
        if let Some(properties) = &packet.properties {
            self.number_if_there("Topic Alias", properties.topic_alias.map(u16::from));
            self.bytes_if_there("Correlation Data", properties.correlation_data.as_ref());
            self.number_if_there("Message Expiry Interval", properties.message_expiry_interval);
            self.bytes_if_there("Content Type", properties.content_type.as_ref());
            self.user_properties(&properties.user_properties);
            self.number("Payload Format Indicator", properties.is_utf8_payload);
            self.bytes_if_there("Response Topic", properties.response_topic.as_ref());
            for identifier in &properties.subscription_ids {
                self.number("Subscription Identifier", *identifier);
            }
        }
        self.bytes("Payload", &packet.payload);
    }

    fn answer(&mut self, packet: &PublishAck) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.number("Reason Code", packet.reason_code as u8);
        self.user_properties(&packet.properties);
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
    }

    fn second_answer(&mut self, packet: &PublishAck2) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.number("Reason Code", packet.reason_code as u8);
        self.user_properties(&packet.properties);
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
    }

    fn subscribe(&mut self, packet: &Subscribe) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.number_if_there("Subscription Identifier", packet.id);
        self.user_properties(&packet.user_properties);
        for (filter, options) in &packet.topic_filters {
            self.bytes("Topic Filter", filter);
            self.number("Maximum QoS", options.qos as u8);
            self.number("No Local", options.no_local);
            self.number("Retain As Published", options.retain_as_published);
            self.number("Retain Handling", options.retain_handling as u8);
        }
    }

    fn suback(&mut self, packet: &SubscribeAck) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.user_properties(&packet.properties);
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
        for reason in &packet.status {
            self.number("Reason Code", *reason as u8);
        }
    }

    fn unsubscribe(&mut self, packet: &Unsubscribe) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.user_properties(&packet.user_properties);
        for filter in &packet.topic_filters {
            self.bytes("Topic Filter", filter);
        }
    }

    fn unsuback(&mut self, packet: &UnsubscribeAck) {
        self.number("Packet Identifier", u16::from(packet.packet_id));
        self.user_properties(&packet.properties);
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
        for reason in &packet.status {
            self.number("Reason Code", *reason as u8);
        }
    }

    fn disconnect(&mut self, packet: &Disconnect) {
        self.number("Reason Code", packet.reason_code as u8);
        self.number_if_there("Session Expiry Interval", packet.session_expiry_interval_secs);
        self.bytes_if_there("Server Reference", packet.server_reference.as_ref());
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
        self.user_properties(&packet.user_properties);
    }

    fn auth(&mut self, packet: &Auth) {
        self.number("Reason Code", packet.reason_code as u8);
        self.bytes_if_there("Authentication Method", packet.auth_method.as_ref());
        self.bytes_if_there("Authentication Data", packet.auth_data.as_ref());
        self.bytes_if_there("Reason String", packet.reason_string.as_ref());
        self.user_properties(&packet.user_properties);
    }
}
