//! Generators of valid packets, driven by the codec's own tables.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use reference_broker::codec::{
    Auth, ConnAck, Connect, Disconnect, Kind, MAX_VARIABLE_INTEGER, Packet, PacketType, Place,
    Properties, Property, PropertyId, Publish, PublishAck, QoS, Range, ReasonCode, RetainHandling,
    Side, Subscribe, SubscribeAck, Subscription, SubscriptionOptions, Text, Unsubscribe, Value,
    Will,
};

/// Either side of a connection.
pub(crate) fn side() -> impl Strategy<Value = Side> {
    select(vec![Side::Client, Side::Server])
}

/// A valid packet that this side may send.
pub(crate) fn packet(from: Side) -> impl Strategy<Value = Packet> {
    let types = PacketType::ALL.into_iter().filter(|packet| packet.is_sent_by(from));
    Union::new(types.map(|packet| packet_of(packet, from)))
}

fn packet_of(packet: PacketType, from: Side) -> BoxedStrategy<Packet> {
    match packet {
        PacketType::Connect => connect().prop_map(Packet::from).boxed(),
        PacketType::ConnAck => connack().prop_map(Packet::from).boxed(),
        PacketType::Publish => publish(from).prop_map(Packet::from).boxed(),
        PacketType::PubAck => {
            publish_ack(packet, Place::PubAck, from).prop_map(Packet::PubAck).boxed()
        }
        PacketType::PubRec => {
            publish_ack(packet, Place::PubRec, from).prop_map(Packet::PubRec).boxed()
        }
        PacketType::PubRel => {
            publish_ack(packet, Place::PubRel, from).prop_map(Packet::PubRel).boxed()
        }
        PacketType::PubComp => {
            publish_ack(packet, Place::PubComp, from).prop_map(Packet::PubComp).boxed()
        }
        PacketType::Subscribe => subscribe().prop_map(Packet::from).boxed(),
        PacketType::SubAck => subscribe_ack(packet, Place::SubAck).prop_map(Packet::SubAck).boxed(),
        PacketType::Unsubscribe => unsubscribe().prop_map(Packet::from).boxed(),
        PacketType::UnsubAck => {
            subscribe_ack(packet, Place::UnsubAck).prop_map(Packet::UnsubAck).boxed()
        }
        PacketType::PingReq => Just(Packet::PingReq).boxed(),
        PacketType::PingResp => Just(Packet::PingResp).boxed(),
        PacketType::Disconnect => disconnect(from).prop_map(Packet::from).boxed(),
        PacketType::Auth => auth(from).prop_map(Packet::from).boxed(),
    }
}

fn connect() -> impl Strategy<Value = Connect> {
    let payload = (text(), option::of(will()), option::of(text()), option::of(binary()));
    let header = (any::<bool>(), any::<u16>(), properties(Place::Connect, Side::Client));
    (header, payload).prop_map(|((clean_start, keep_alive, mut properties), payload)| {
        let (client_id, will, user_name, password) = payload;
        drop_data_without_method(&mut properties);
        Connect { clean_start, keep_alive, client_id, will, user_name, password, properties }
    })
}

fn will() -> impl Strategy<Value = Will> {
    let properties = properties(Place::Will, Side::Client);
    (qos(), any::<bool>(), topic(), binary(), properties).prop_map(
        |(qos, retain, topic, payload, properties)| Will {
            qos,
            retain,
            topic,
            payload,
            properties,
        },
    )
}

fn connack() -> impl Strategy<Value = ConnAck> {
    let from = Side::Server;
    let parts =
        (any::<bool>(), reason(PacketType::ConnAck, from), properties(Place::ConnAck, from));
    parts.prop_map(|(session_present, reason, mut properties)| {
        drop_reference_without_redirection(&mut properties, reason);
        if reason == ReasonCode::Success {
            drop_data_without_method(&mut properties);
        }
        let session_present = session_present && reason == ReasonCode::Success;
        ConnAck { session_present, reason, properties }
    })
}

fn publish(from: Side) -> impl Strategy<Value = Publish> {
    let flags = (any::<bool>(), qos(), any::<bool>());
    let fields = (topic(), any::<bool>(), packet_id(), properties(Place::Publish, from), binary());
    (flags, fields).prop_map(|((dup, qos, retain), (topic, bare, id, properties, payload))| {
        let is_numbered = qos != QoS::AtMostOnce;
        let has_alias = properties.contains(PropertyId::TopicAlias);
        Publish {
            dup: dup && is_numbered,
            qos,
            retain,
            topic: if bare && has_alias { Text::default() } else { topic },
            packet_id: if is_numbered { id } else { 0 },
            properties,
            payload,
        }
    })
}

fn publish_ack(packet: PacketType, place: Place, from: Side) -> impl Strategy<Value = PublishAck> {
    (packet_id(), reason(packet, from), properties(place, from))
        .prop_map(|(packet_id, reason, properties)| PublishAck { packet_id, reason, properties })
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let properties = properties(Place::Subscribe, Side::Client);
    (packet_id(), properties, vec(subscription(), 1..5)).prop_map(
        |(packet_id, properties, subscriptions)| Subscribe { packet_id, properties, subscriptions },
    )
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (filter(), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(filter, maximum_qos, no_local, retain_as_published, retain_handling)| {
            let no_local = no_local && !filter.starts_with("$share/");
            let options =
                SubscriptionOptions { maximum_qos, no_local, retain_as_published, retain_handling };
            Subscription { filter, options }
        },
    )
}

fn subscribe_ack(packet: PacketType, place: Place) -> impl Strategy<Value = SubscribeAck> {
    let reasons = vec(reason(packet, Side::Server), 1..5);
    (packet_id(), properties(place, Side::Server), reasons).prop_map(
        |(packet_id, properties, reasons)| SubscribeAck { packet_id, properties, reasons },
    )
}

fn unsubscribe() -> impl Strategy<Value = Unsubscribe> {
    let properties = properties(Place::Unsubscribe, Side::Client);
    (packet_id(), properties, vec(filter(), 1..5))
        .prop_map(|(packet_id, properties, filters)| Unsubscribe { packet_id, properties, filters })
}

fn disconnect(from: Side) -> impl Strategy<Value = Disconnect> {
    (reason(PacketType::Disconnect, from), properties(Place::Disconnect, from)).prop_map(
        move |(reason, mut properties)| {
            if from == Side::Server {
                drop_reference_without_redirection(&mut properties, reason);
            }
            Disconnect { reason, properties }
        },
    )
}

fn auth(from: Side) -> impl Strategy<Value = Auth> {
    (reason(PacketType::Auth, from), text(), properties(Place::Auth, from)).prop_map(
        |(reason, method, mut properties)| {
            properties.set(PropertyId::AuthenticationMethod, method);
            Auth { reason, properties }
        },
    )
}

fn drop_data_without_method(properties: &mut Properties) {
    if !properties.contains(PropertyId::AuthenticationMethod) {
        properties.retain(|property| property.id != PropertyId::AuthenticationData);
    }
}

fn drop_reference_without_redirection(properties: &mut Properties, reason: ReasonCode) {
    if !matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved) {
        properties.retain(|property| property.id != PropertyId::ServerReference);
    }
}

/// Any properties that the table allows there, in any order, each as often as it may stand.
fn properties(place: Place, from: Side) -> impl Strategy<Value = Properties> {
    let allowed = PropertyId::ALL.iter().copied().filter(|id| id.is_allowed(place, from));
    let each: Vec<_> = allowed
        .map(|id| {
            let most = if id.is_repeatable(place) { 3 } else { 1 };
            let value = value(id).prop_map(move |value| Property { id, value });
            prop_oneof![2 => Just(Vec::new()), 1 => vec(value, 0..=most)]
        })
        .collect();
    each.prop_map(|lists| lists.concat()).prop_shuffle().prop_map(|list| list.into_iter().collect())
}

/// A value of the type and in the range that the table gives the property.
fn value(id: PropertyId) -> BoxedStrategy<Value> {
    let row = id.row();
    let highest = match row.kind {
        Kind::Byte => u32::from(u8::MAX),
        Kind::TwoByte => u32::from(u16::MAX),
        Kind::FourByte => u32::MAX,
        Kind::Variable => MAX_VARIABLE_INTEGER,
        Kind::String if id == PropertyId::ResponseTopic => {
            return topic().prop_map(Value::String).boxed();
        }
        Kind::String => return text().prop_map(Value::String).boxed(),
        Kind::Binary => return binary().prop_map(Value::Binary).boxed(),
        Kind::Pair => {
            return (text(), text()).prop_map(|(name, value)| Value::Pair(name, value)).boxed();
        }
    };
    let (lowest, highest) = match row.range {
        Range::Any => (0, highest),
        Range::Flag => (0, 1),
        Range::NonZero => (1, highest),
    };
    number(lowest, highest).prop_map(Value::Number).boxed()
}

/// A number of the range, often at its ends or where a variable byte integer grows by a byte.
fn number(lowest: u32, highest: u32) -> impl Strategy<Value = u32> {
    let edges = [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, lowest, highest];
    let edges = edges.into_iter().filter(move |edge| (lowest..=highest).contains(edge));
    prop_oneof![lowest..=highest, select(edges.collect::<Vec<_>>())]
}

/// A code that the table allows this side in this packet.
fn reason(packet: PacketType, from: Side) -> impl Strategy<Value = ReasonCode> {
    let allowed = ReasonCode::ALL.iter().copied().filter(|code| code.is_allowed(packet, from));
    let allowed: Vec<_> = allowed.collect();
    prop_oneof![Just(allowed[0]), select(allowed)]
}

fn qos() -> impl Strategy<Value = QoS> {
    select(QoS::ALL.to_vec())
}

fn packet_id() -> impl Strategy<Value = u16> {
    prop_oneof![1..=u16::MAX, Just(1), Just(u16::MAX)]
}

/// A string without U+0000, mostly short.
fn text() -> impl Strategy<Value = Text> {
    let character = prop_oneof![
        4 => prop::char::range('\u{20}', '\u{7E}'),
        1 => prop::char::any().prop_filter("U+0000", |character| *character != '\0'),
        1 => select(vec!['\u{FEFF}', '\u{1}', '\u{7F}', '\u{FFFF}', '\u{10FFFF}']),
    ];
    let short = vec(character, 0..12).prop_map(|characters| characters.into_iter().collect());
    let long = (0..400_usize).prop_map(|len| "ab".repeat(len));
    prop_oneof![9 => short, 1 => long].prop_map(|text: String| Text::from(text))
}

/// A string that could be a Topic Name.
fn topic() -> impl Strategy<Value = Text> {
    text().prop_map(|text| {
        let name = text.replace(['+', '#'], "/");
        Text::from(if name.is_empty() { "/" } else { &name })
    })
}

/// A string that could be a Topic Filter, now and then a shared one.
fn filter() -> impl Strategy<Value = Text> {
    let prefix = select(vec!["", "", "#", "+/", "$share/g/"]);
    (prefix, topic()).prop_map(|(prefix, topic)| Text::from(format!("{prefix}{topic}")))
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..12).prop_map(Bytes::from),
        1 => (0..20_000_usize).prop_map(|len| Bytes::from(vec![0xFF; len])),
    ]
}
