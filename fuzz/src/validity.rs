//! Which packets bytes can say, and which of those are valid: the rules once more, read off packets
//! where the decoder reads them off bytes, so that each can be held against the other.

use reference_broker::codec::{
    Kind, MAX_VARIABLE_INTEGER, Packet, PacketType, Place, Properties, Property, PropertyId,
    Publish, QoS, Range, ReasonCode, Side, Value,
};

/// The longest string or Binary Data (section 1.5.4).
const LONGEST_FIELD: usize = 65_535;

/// Whether bytes can say it, valid or not. Packets too long for a Remaining Length are not looked
/// for.
pub(crate) fn is_encodable(packet: &Packet) -> bool {
    let fits = |text: &str| text.len() <= LONGEST_FIELD;
    let properties = packet.properties().is_none_or(are_encodable);
    let fields = match packet {
        Packet::Connect(packet) => {
            fits(&packet.client_id)
                && packet.user_name.as_ref().is_none_or(|name| fits(name))
                && packet.password.as_ref().is_none_or(|bytes| bytes.len() <= LONGEST_FIELD)
                && packet.will.as_ref().is_none_or(|will| {
                    fits(&will.topic)
                        && will.payload.len() <= LONGEST_FIELD
                        && are_encodable(&will.properties)
                })
        }
        Packet::Publish(packet) => fits(&packet.topic),
        Packet::Subscribe(packet) => {
            packet.subscriptions.iter().all(|subscription| fits(&subscription.filter))
        }
        Packet::Unsubscribe(packet) => packet.filters.iter().all(|filter| fits(filter)),
        _ => true,
    };
    properties && fields
}

fn are_encodable(properties: &Properties) -> bool {
    let fits = |len: usize| len <= LONGEST_FIELD;
    properties.iter().all(|Property { id, value }| match (id.row().kind, value) {
        (Kind::Byte, Value::Number(number)) => *number <= 0xFF,
        (Kind::TwoByte, Value::Number(number)) => *number <= 0xFFFF,
        (Kind::FourByte, Value::Number(_)) => true,
        (Kind::Variable, Value::Number(number)) => *number <= MAX_VARIABLE_INTEGER,
        (Kind::String, Value::String(text)) => fits(text.len()),
        (Kind::Binary, Value::Binary(bytes)) => fits(bytes.len()),
        (Kind::Pair, Value::Pair(name, value)) => fits(name.len()) && fits(value.len()),
        _ => false,
    })
}

/// Whether the standard lets this side send the packet, as far as the packet alone shows it.
pub(crate) fn is_valid(packet: &Packet, from: Side) -> bool {
    let packet_type = packet.packet_type();
    let allows = |reason: &ReasonCode| reason.is_allowed(packet_type, from);
    let has = |id| packet.properties().is_some_and(|properties| properties.contains(id));
    let fields = match packet {
        Packet::Connect(connect) => {
            let will = connect.will.as_ref().is_none_or(|will| {
                is_topic_name(&will.topic)
                    && is_string(&will.topic)
                    && are_valid(&will.properties, Place::Will, from)
            });
            let strings = is_string(&connect.client_id)
                && connect.user_name.as_ref().is_none_or(|name| is_string(name));
            will && strings && !has_data_without_method(packet)
        }
        Packet::ConnAck(connack) => {
            let is_success = connack.reason == ReasonCode::Success;
            allows(&connack.reason)
                && (is_success || !connack.session_present)
                && (redirects(connack.reason) || !has(PropertyId::ServerReference))
                && !(is_success && has_data_without_method(packet))
        }
        Packet::Publish(publish) => is_valid_publish(publish),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.packet_id != 0 && allows(&ack.reason)
        }
        Packet::Subscribe(subscribe) => {
            let is_ok = |filter: &str, no_local: bool| {
                is_string(filter) && !(no_local && filter.starts_with("$share/"))
            };
            let mut list = subscribe.subscriptions.iter();
            subscribe.packet_id != 0
                && list.len() > 0
                && list.all(|each| is_ok(&each.filter, each.options.no_local))
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
            ack.packet_id != 0 && !ack.reasons.is_empty() && ack.reasons.iter().all(allows)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters = &unsubscribe.filters;
            unsubscribe.packet_id != 0
                && !filters.is_empty()
                && filters.iter().all(|filter| is_string(filter))
        }
        Packet::PingReq | Packet::PingResp => true,
        Packet::Disconnect(disconnect) => {
            let may_refer = from == Side::Client || redirects(disconnect.reason);
            allows(&disconnect.reason) && (may_refer || !has(PropertyId::ServerReference))
        }
        Packet::Auth(auth) => allows(&auth.reason) && has(PropertyId::AuthenticationMethod),
    };
    let properties = match (packet.properties(), place(packet_type)) {
        (Some(properties), Some(place)) => are_valid(properties, place, from),
        _ => true,
    };
    packet_type.is_sent_by(from) && fields && properties
}

fn is_valid_publish(publish: &Publish) -> bool {
    let is_numbered = publish.qos != QoS::AtMostOnce;
    let is_named = !publish.topic.is_empty() || publish.properties.contains(PropertyId::TopicAlias);
    is_named
        && is_string(&publish.topic)
        && !has_wildcard(&publish.topic)
        && (is_numbered || !publish.dup)
        && (!is_numbered || publish.packet_id != 0)
}

fn are_valid(properties: &Properties, place: Place, from: Side) -> bool {
    properties.iter().all(|property| {
        let id = property.id;
        let count = properties.iter().filter(|other| other.id == id).count();
        let value = match (&property.value, id.row().range) {
            (Value::Number(number), Range::Flag) => *number <= 1,
            (Value::Number(number), Range::NonZero) => *number > 0,
            (Value::Number(_) | Value::Binary(_), _) => true,
            (Value::String(text), _) if id == PropertyId::ResponseTopic => {
                is_string(text) && is_topic_name(text)
            }
            (Value::String(text), _) => is_string(text),
            (Value::Pair(name, value), _) => is_string(name) && is_string(value),
        };
        id.is_allowed(place, from) && value && (count == 1 || id.is_repeatable(place))
    })
}

fn has_data_without_method(packet: &Packet) -> bool {
    packet.properties().is_some_and(|properties| {
        properties.contains(PropertyId::AuthenticationData)
            && !properties.contains(PropertyId::AuthenticationMethod)
    })
}

fn redirects(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
}

fn is_string(text: &str) -> bool {
    !text.contains('\0')
}

fn is_topic_name(text: &str) -> bool {
    !text.is_empty() && !has_wildcard(text)
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['+', '#'])
}

fn place(packet: PacketType) -> Option<Place> {
    Place::ALL.into_iter().find(|place| place.name() == packet.name())
}
