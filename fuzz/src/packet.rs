//! Packets chosen by an input: most of them valid, any part of them now and then not.

use reference_broker::codec::{
    Auth, ConnAck, Connect, Disconnect, Kind, MAX_VARIABLE_INTEGER, Packet, PacketType, Place,
    Properties, PropertyId, Publish, PublishAck, QoS, Range, ReasonCode, RetainHandling, Side,
    Subscribe, SubscribeAck, Subscription, SubscriptionOptions, Text, Unsubscribe, Value, Will,
};

use crate::choices::Choices;

/// One part in so many is chosen without regard to the rules.
const ODD: u8 = 24;

/// Strings that mean something to somebody.
const NOTABLE: [&str; 16] = [
    "a",
    "",
    "a/b",
    "+",
    "#",
    "a/+/b",
    "a/#",
    "#/a",
    "a+",
    "$share/g/a",
    "$share/g/+",
    "$share//a",
    "$SYS/a",
    "\0",
    "\u{FEFF}\u{10FFFF}",
    "/",
];

/// A packet, most often of a type that this side sends.
pub(crate) fn packet(choices: &mut Choices<'_>, from: Side) -> Packet {
    let sent = PacketType::ALL.into_iter().filter(|packet| packet.is_sent_by(from));
    let types: Vec<PacketType> = match choices.rarely(ODD) {
        true => PacketType::ALL.to_vec(),
        false => sent.collect(),
    };
    let packet = choices.of(&types).unwrap_or(PacketType::Publish);
    match packet {
        PacketType::Connect => connect(choices, from).into(),
        PacketType::ConnAck => connack(choices, from).into(),
        PacketType::Publish => publish(choices, from).into(),
        PacketType::PubAck => Packet::PubAck(publish_ack(choices, packet, Place::PubAck, from)),
        PacketType::PubRec => Packet::PubRec(publish_ack(choices, packet, Place::PubRec, from)),
        PacketType::PubRel => Packet::PubRel(publish_ack(choices, packet, Place::PubRel, from)),
        PacketType::PubComp => Packet::PubComp(publish_ack(choices, packet, Place::PubComp, from)),
        PacketType::Subscribe => subscribe(choices, from).into(),
        PacketType::SubAck => Packet::SubAck(subscribe_ack(choices, packet, Place::SubAck, from)),
        PacketType::Unsubscribe => unsubscribe(choices, from).into(),
        PacketType::UnsubAck => {
            Packet::UnsubAck(subscribe_ack(choices, packet, Place::UnsubAck, from))
        }
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => {
            let reason = reason(choices, packet, from);
            let mut properties = properties(choices, Place::Disconnect, from);
            drop_reference_without_redirection(choices, &mut properties, reason);
            Disconnect { reason, properties }.into()
        }
        PacketType::Auth => {
            let reason = reason(choices, packet, from);
            let mut properties = properties(choices, Place::Auth, from);
            if !choices.rarely(ODD) {
                properties.set(PropertyId::AuthenticationMethod, text(choices));
            }
            Auth { reason, properties }.into()
        }
    }
}

fn connect(choices: &mut Choices<'_>, from: Side) -> Connect {
    let mut properties = properties(choices, Place::Connect, from);
    drop_data_without_method(choices, &mut properties);
    Connect {
        clean_start: choices.flag(),
        keep_alive: choices.two(),
        client_id: text(choices),
        will: choices.flag().then(|| will(choices, from)),
        user_name: choices.flag().then(|| text(choices)),
        password: choices.flag().then(|| choices.bytes()),
        properties,
    }
}

fn will(choices: &mut Choices<'_>, from: Side) -> Will {
    Will {
        qos: qos(choices),
        retain: choices.flag(),
        topic: topic(choices),
        payload: choices.bytes(),
        properties: properties(choices, Place::Will, from),
    }
}

fn connack(choices: &mut Choices<'_>, from: Side) -> ConnAck {
    let reason = reason(choices, PacketType::ConnAck, from);
    let mut properties = properties(choices, Place::ConnAck, from);
    drop_reference_without_redirection(choices, &mut properties, reason);
    drop_data_without_method(choices, &mut properties);
    let may_be_present = reason == ReasonCode::Success || choices.rarely(ODD);
    ConnAck { session_present: choices.flag() && may_be_present, reason, properties }
}

/// A PUBLISH as this side sends it.
pub(crate) fn publish(choices: &mut Choices<'_>, from: Side) -> Publish {
    let qos = qos(choices);
    let mut publish = Publish {
        dup: choices.flag() && (qos > QoS::AtMostOnce || choices.rarely(ODD)),
        qos,
        retain: choices.flag(),
        topic: topic(choices),
        packet_id: packet_id(choices),
        properties: properties(choices, Place::Publish, from),
        payload: choices.bytes(),
    };
    let by_alias = publish.properties.contains(PropertyId::TopicAlias) && choices.flag();
    if by_alias || choices.rarely(ODD) {
        publish.topic = Text::default();
    }
    publish
}

fn publish_ack(
    choices: &mut Choices<'_>,
    packet: PacketType,
    place: Place,
    from: Side,
) -> PublishAck {
    PublishAck {
        packet_id: packet_id(choices),
        reason: reason(choices, packet, from),
        properties: properties(choices, place, from),
    }
}

fn subscribe(choices: &mut Choices<'_>, from: Side) -> Subscribe {
    Subscribe {
        packet_id: packet_id(choices),
        properties: properties(choices, Place::Subscribe, from),
        subscriptions: (0..count(choices)).map(|_| subscription(choices)).collect(),
    }
}

fn subscription(choices: &mut Choices<'_>) -> Subscription {
    let filter = text(choices);
    let options = options(choices);
    let may_be_no_local = !filter.starts_with("$share/") || choices.rarely(ODD);
    let no_local = options.no_local && may_be_no_local;
    Subscription { filter, options: SubscriptionOptions { no_local, ..options } }
}

/// Subscription Options.
pub(crate) fn options(choices: &mut Choices<'_>) -> SubscriptionOptions {
    let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    SubscriptionOptions {
        maximum_qos: qos(choices),
        no_local: choices.flag(),
        retain_as_published: choices.flag(),
        retain_handling: choices.of(&handling).unwrap_or_default(),
    }
}

fn subscribe_ack(
    choices: &mut Choices<'_>,
    packet: PacketType,
    place: Place,
    from: Side,
) -> SubscribeAck {
    SubscribeAck {
        packet_id: packet_id(choices),
        properties: properties(choices, place, from),
        reasons: (0..count(choices)).map(|_| reason(choices, packet, from)).collect(),
    }
}

fn unsubscribe(choices: &mut Choices<'_>, from: Side) -> Unsubscribe {
    Unsubscribe {
        packet_id: packet_id(choices),
        properties: properties(choices, Place::Unsubscribe, from),
        filters: (0..count(choices)).map(|_| text(choices)).collect(),
    }
}

/// How many of what has to be there at least once.
fn count(choices: &mut Choices<'_>) -> usize {
    match choices.rarely(ODD) {
        true => 0,
        false => 1 + choices.below(4),
    }
}

/// A level of Quality of Service.
pub(crate) fn qos(choices: &mut Choices<'_>) -> QoS {
    choices.of(&QoS::ALL).unwrap_or_default()
}

fn packet_id(choices: &mut Choices<'_>) -> u16 {
    match choices.rarely(ODD) {
        true => 0,
        false => choices.two().max(1),
    }
}

fn reason(choices: &mut Choices<'_>, packet: PacketType, from: Side) -> ReasonCode {
    let is_allowed = |code: &ReasonCode| code.is_allowed(packet, from);
    let allowed: Vec<ReasonCode> =
        ReasonCode::ALL.iter().copied().filter(|code| is_allowed(code)).collect();
    let list = if choices.rarely(ODD) { ReasonCode::ALL } else { &allowed };
    choices.of(list).unwrap_or(ReasonCode::Success)
}

/// A string: a notable one, or bytes of the input made into one.
fn text(choices: &mut Choices<'_>) -> Text {
    match choices.flag() {
        true => Text::from(String::from_utf8_lossy(&choices.bytes()).replace('\0', "0")),
        false => {
            let notable = choices.of(&NOTABLE).unwrap_or_default();
            let is_odd = notable.contains('\0') && !choices.rarely(ODD / 8);
            Text::from(if is_odd { "" } else { notable })
        }
    }
}

/// A string that most often could be a Topic Name.
fn topic(choices: &mut Choices<'_>) -> Text {
    let text = text(choices);
    if choices.rarely(ODD) {
        return text;
    }
    let name = text.replace(['+', '#'], "/");
    Text::from(if name.is_empty() { "a" } else { &name })
}

/// Properties that most often may stand there, each most often as often as it may.
pub(crate) fn properties(choices: &mut Choices<'_>, place: Place, from: Side) -> Properties {
    let is_allowed = |id: &PropertyId| id.is_allowed(place, from);
    let allowed: Vec<PropertyId> =
        PropertyId::ALL.iter().copied().filter(|id| is_allowed(id)).collect();
    let mut properties = Properties::default();
    for _ in 0..choices.below(5) {
        let list = if choices.rarely(ODD) { PropertyId::ALL } else { &allowed };
        let Some(id) = choices.of(list) else { continue };
        let value = value(choices, id);
        if id.is_repeatable(place) || !properties.contains(id) || choices.rarely(ODD) {
            properties.push(id, value);
        }
    }
    properties
}

fn value(choices: &mut Choices<'_>, id: PropertyId) -> Value {
    let row = id.row();
    let kinds = [Kind::FourByte, Kind::String, Kind::Binary, Kind::Pair];
    let odd = choices.rarely(ODD).then(|| choices.of(&kinds)).flatten();
    let highest = match odd.unwrap_or(row.kind) {
        Kind::Byte => u32::from(u8::MAX),
        Kind::TwoByte => u32::from(u16::MAX),
        Kind::FourByte => u32::MAX,
        Kind::Variable => MAX_VARIABLE_INTEGER,
        Kind::String if id == PropertyId::ResponseTopic => return Value::String(topic(choices)),
        Kind::String => return Value::String(text(choices)),
        Kind::Binary => return Value::Binary(choices.bytes()),
        Kind::Pair => return Value::Pair(text(choices), text(choices)),
    };
    Value::Number(number(choices, row.range, highest))
}

/// A number, often where a Variable Byte Integer grows by a byte, or at the end of its range.
fn number(choices: &mut Choices<'_>, range: Range, highest: u32) -> u32 {
    let edges = [1, 0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, highest];
    let number = match choices.flag() {
        true => choices.four(),
        false => choices.of(&edges).unwrap_or_default(),
    };
    match range {
        _ if choices.rarely(ODD) => number,
        Range::Flag => number & 1,
        Range::NonZero => number.min(highest).max(1),
        Range::Any => number.min(highest),
    }
}

fn drop_data_without_method(choices: &mut Choices<'_>, properties: &mut Properties) {
    if !properties.contains(PropertyId::AuthenticationMethod) && !choices.rarely(ODD / 4) {
        properties.retain(|property| property.id != PropertyId::AuthenticationData);
    }
}

fn drop_reference_without_redirection(
    choices: &mut Choices<'_>,
    properties: &mut Properties,
    reason: ReasonCode,
) {
    let redirects = matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved);
    if !redirects && !choices.rarely(ODD / 4) {
        properties.retain(|property| property.id != PropertyId::ServerReference);
    }
}
