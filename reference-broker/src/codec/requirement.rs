//! Which row of the register a fault breaks, where that depends on more than the kind of fault.

use super::{PacketType, Place, PropertyId};

pub(super) fn flags_requirement(packet: PacketType) -> &'static str {
    match packet {
        PacketType::Connect => "U-3.1.1-1",
        PacketType::PubRel => "MQTT-3.6.1-1",
        PacketType::Subscribe => "MQTT-3.8.1-1",
        PacketType::Unsubscribe => "MQTT-3.10.1-1",
        PacketType::Disconnect => "MQTT-3.14.1-1",
        PacketType::Auth => "MQTT-3.15.1-1",
        _ => "U-2.1.3-1",
    }
}

pub(super) fn place_requirement(place: Place) -> &'static str {
    match place {
        Place::Connect => "U-2.2.2.2-6",
        Place::Will => "U-2.2.2.2-7",
        Place::ConnAck => "U-2.2.2.2-8",
        Place::Publish => "U-2.2.2.2-9",
        Place::PubAck | Place::PubRec | Place::PubRel | Place::PubComp => "U-2.2.2.2-10",
        Place::Subscribe => "U-2.2.2.2-11",
        Place::Unsubscribe => "U-2.2.2.2-12",
        Place::SubAck | Place::UnsubAck => "U-2.2.2.2-13",
        Place::Disconnect => "U-2.2.2.2-14",
        Place::Auth => "U-2.2.2.2-15",
    }
}

pub(super) fn once_requirement(id: PropertyId, place: Place) -> &'static str {
    match (place, id) {
        (Place::Connect, PropertyId::SessionExpiryInterval) => "U-3.1.2.11.2-1",
        (Place::Connect, PropertyId::ReceiveMaximum) => "U-3.1.2.11.3-1",
        (Place::Connect, PropertyId::MaximumPacketSize) => "U-3.1.2.11.4-1",
        (Place::Connect, PropertyId::TopicAliasMaximum) => "U-3.1.2.11.5-1",
        (Place::Connect, PropertyId::RequestResponseInformation) => "U-3.1.2.11.6-1",
        (Place::Connect, PropertyId::RequestProblemInformation) => "U-3.1.2.11.7-1",
        (Place::Connect, PropertyId::AuthenticationMethod) => "U-3.1.2.11.9-1",
        (Place::Connect, PropertyId::AuthenticationData) => "U-3.1.2.11.10-2",
        (Place::Will, PropertyId::WillDelayInterval) => "U-3.1.3.2.2-1",
        (Place::Will, PropertyId::PayloadFormatIndicator) => "U-3.1.3.2.3-1",
        (Place::Will, PropertyId::MessageExpiryInterval) => "U-3.1.3.2.4-1",
        (Place::Will, PropertyId::ContentType) => "U-3.1.3.2.5-1",
        (Place::Will, PropertyId::ResponseTopic) => "U-3.1.3.2.6-1",
        (Place::Will, PropertyId::CorrelationData) => "U-3.1.3.2.7-1",
        (Place::ConnAck, PropertyId::SessionExpiryInterval) => "U-3.2.2.3.2-1",
        (Place::ConnAck, PropertyId::ReceiveMaximum) => "U-3.2.2.3.3-1",
        (Place::ConnAck, PropertyId::MaximumQoS) => "U-3.2.2.3.4-1",
        (Place::ConnAck, PropertyId::RetainAvailable) => "U-3.2.2.3.5-1",
        (Place::ConnAck, PropertyId::MaximumPacketSize) => "U-3.2.2.3.6-1",
        (Place::ConnAck, PropertyId::AssignedClientIdentifier) => "U-3.2.2.3.7-1",
        (Place::ConnAck, PropertyId::TopicAliasMaximum) => "U-3.2.2.3.8-1",
        (Place::ConnAck, PropertyId::ReasonString) => "U-3.2.2.3.9-1",
        (Place::ConnAck, PropertyId::WildcardSubscriptionAvailable) => "U-3.2.2.3.11-1",
        (Place::ConnAck, PropertyId::SubscriptionIdentifierAvailable) => "U-3.2.2.3.12-1",
        (Place::ConnAck, PropertyId::SharedSubscriptionAvailable) => "U-3.2.2.3.13-1",
        (Place::ConnAck, PropertyId::ServerKeepAlive) => "U-3.2.2.3.14-1",
        (Place::ConnAck, PropertyId::ResponseInformation) => "U-3.2.2.3.15-1",
        (Place::ConnAck, PropertyId::ServerReference) => "U-3.2.2.3.16-1",
        (Place::ConnAck, PropertyId::AuthenticationMethod) => "U-3.2.2.3.17-1",
        (Place::ConnAck, PropertyId::AuthenticationData) => "U-3.2.2.3.18-1",
        (Place::Publish, PropertyId::PayloadFormatIndicator) => "U-3.3.2.3.2-3",
        (Place::Publish, PropertyId::MessageExpiryInterval) => "U-3.3.2.3.3-2",
        (Place::Publish, PropertyId::TopicAlias) => "U-3.3.2.3.4-1",
        (Place::Publish, PropertyId::ResponseTopic) => "U-3.3.2.3.5-1",
        (Place::Publish, PropertyId::CorrelationData) => "U-3.3.2.3.6-1",
        (Place::Publish, PropertyId::ContentType) => "U-3.3.2.3.9-1",
        (Place::PubAck, _) => "U-3.4.2.2.2-1",
        (Place::PubRec, _) => "U-3.5.2.2.2-1",
        (Place::PubRel, _) => "U-3.6.2.2.2-1",
        (Place::PubComp, _) => "U-3.7.2.2.2-1",
        (Place::Subscribe, _) => "U-3.8.2.1.2-2",
        (Place::SubAck, _) => "U-3.9.2.1.2-1",
        (Place::UnsubAck, _) => "U-3.11.2.1.2-1",
        (Place::Disconnect, PropertyId::SessionExpiryInterval) => "U-3.14.2.2.2-1",
        (Place::Disconnect, PropertyId::ReasonString) => "U-3.14.2.2.3-1",
        (Place::Disconnect, PropertyId::ServerReference) => "U-3.14.2.2.5-1",
        (Place::Auth, PropertyId::AuthenticationMethod) => "U-3.15.2.2.2-1",
        (Place::Auth, PropertyId::AuthenticationData) => "U-3.15.2.2.3-1",
        (Place::Auth, PropertyId::ReasonString) => "U-3.15.2.2.4-1",
        _ => "U-1.2-2",
    }
}

pub(super) fn range_requirement(id: PropertyId, place: Place) -> &'static str {
    match (place, id) {
        (Place::Connect, PropertyId::ReceiveMaximum) => "U-3.1.2.11.3-2",
        (Place::Connect, PropertyId::MaximumPacketSize) => "U-3.1.2.11.4-2",
        (Place::Connect, PropertyId::RequestResponseInformation) => "U-3.1.2.11.6-2",
        (Place::Connect, PropertyId::RequestProblemInformation) => "U-3.1.2.11.7-2",
        (Place::Publish, PropertyId::PayloadFormatIndicator) => "U-3.3.2.3.2-3",
        (Place::Publish, PropertyId::TopicAlias) => "MQTT-3.3.2-8",
        (Place::Publish, PropertyId::SubscriptionIdentifier) => "U-3.3.2.3.8-1",
        (Place::Subscribe, PropertyId::SubscriptionIdentifier) => "U-3.8.2.1.2-1",
        // In CONNACK one row of the register covers both the number and the range.
        (Place::ConnAck, _) => once_requirement(id, place),
        _ => "U-1.2-2",
    }
}

pub(super) fn reason_requirement(packet: PacketType) -> &'static str {
    match packet {
        PacketType::ConnAck => "MQTT-3.2.2-8",
        PacketType::PubAck => "MQTT-3.4.2-1",
        PacketType::PubRec => "MQTT-3.5.2-1",
        PacketType::PubRel => "MQTT-3.6.2-1",
        PacketType::PubComp => "MQTT-3.7.2-1",
        PacketType::SubAck => "MQTT-3.9.3-2",
        PacketType::UnsubAck => "MQTT-3.11.3-2",
        PacketType::Disconnect => "MQTT-3.14.2-1",
        PacketType::Auth => "MQTT-3.15.2-1",
        _ => "U-2.4-2",
    }
}

pub(super) fn wrong_side_requirement(packet: PacketType) -> &'static str {
    match packet {
        PacketType::PubAck => "U-3.4.2.1-4",
        PacketType::PubRec => "U-3.5.2.1-4",
        PacketType::Disconnect => "U-3.14.2.1-2",
        PacketType::Auth => "U-3.15.2.1-1",
        _ => "U-2.4-2",
    }
}
