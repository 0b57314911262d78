//! Packets that are well formed but for one field, or that no client should send.

use bytes::{BufMut, Bytes, BytesMut};
use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
    SubscribeAck, Unsubscribe,
};

use crate::chance::Chance;
use crate::script::RAW;

use super::broken::{bytes_of, with_body};

/// Bytes sequences that are no UTF-8.
const ILL_FORMED: &[&[u8]] = &[
    b"\x00",
    b"\xFF",
    b"\xC0\x80",
    b"\xED\xA0\x80",
    b"\xED\xBF\xBF",
    b"\xF4\x90\x80\x80",
    b"\xE2\x82",
    b"\x80",
];

/// A packet that only servers send, or that has no place here.
pub(super) fn of_servers(chance: &mut Chance) -> Packet {
    let ack = SubscribeAck::new(1, vec![ReasonCode::Success]);
    match chance.below(7) {
        0 => ConnAck::new(false, ReasonCode::Success).into(),
        1 => Packet::SubAck(ack),
        2 => Packet::UnsubAck(ack),
        3 => Packet::PingResp,
        4 => Connect::new(RAW).into(),
        5 => Packet::Auth(Auth::new(ReasonCode::ReAuthenticate)),
        _ => Packet::Auth(Auth::new(ReasonCode::ContinueAuthentication)),
    }
}

/// Packets with fields that the standard rules out, or nearly.
pub(super) fn odd(chance: &mut Chance) -> Packet {
    let publish = Publish::new("~/a", "odd").qos(QoS::AtLeastOnce, 60_006);
    let subscribe = |filter: &str| Subscribe::new(60_007, filter, QoS::AtLeastOnce);
    match chance.below(20) {
        0 => Publish { topic: "~/+".into(), ..publish }.into(),
        1 => Publish { topic: "".into(), ..publish }.into(),
        2 => Publish { packet_id: 0, ..publish }.into(),
        3 | 4 => Publish::new("~/a", "odd").dup().into(),
        5 => publish.with(PropertyId::TopicAlias, 65_535).into(),
        6 => publish.with(PropertyId::ResponseTopic, ["~/#", "~/+/a", ""][chance.below(3)]).into(),
        7 => publish.with(PropertyId::SubscriptionIdentifier, 1).into(),
        8 => Subscribe { subscriptions: Vec::new(), ..subscribe("~/a") }.into(),
        9 => Subscribe { packet_id: 0, ..subscribe("~/a") }.into(),
        10 => {
            let mut shared = subscribe("$share/g/~/a");
            shared.subscriptions.iter_mut().for_each(|one| one.options.no_local = true);
            shared.into()
        }
        11 => Unsubscribe { filters: Vec::new(), ..Unsubscribe::new(60_008, "~/a") }.into(),
        12 => Packet::PubAck(PublishAck::because(60_001, ReasonCode::SessionTakenOver)),
        13 => subscribe("$share/g+/~/a").into(),
        14 => Publish { topic: "~/#".into(), ..publish }.into(),
        15 => publish.with(PropertyId::TopicAlias, 0).into(),
        16 => publish.with(PropertyId::PayloadFormatIndicator, 2).into(),
        17 => subscribe("~/a").with(PropertyId::SubscriptionIdentifier, 0).into(),
        18 => Unsubscribe { packet_id: 0, ..Unsubscribe::new(1, "~/a") }.into(),
        _ => subscribe("").into(),
    }
}

/// Bytes in which one field has a value that no packet has.
pub(super) fn raw(chance: &mut Chance) -> Bytes {
    match chance.below(14) {
        0 => Bytes::from_static([&[0x00, 0x00][..], &[0x00, 0x02, 1, 2]][chance.below(2)]),
        1 => Bytes::from_static(
            [&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..], &[0xC0, 0x01, 0x00]][chance.below(2)],
        ),
        2 => with_first(0x36, &Publish::new("~/a", "odd").qos(QoS::AtLeastOnce, 60_006).into()),
        3 | 4 => acknowledgement(chance),
        5 => {
            let code = [0x01, 0x87, 0x8D, 0x8B, 0x9C, 0x92, 0xFF][chance.below(7)];
            with_body(0xE0, &[code])
        }
        6 => with_body(0xF0, &[[0x01, 0x80, 0xFF][chance.below(3)]]),
        7 | 8 => subscribe(&[[0x03, 0x30, 0x40, 0x80, 0x33][chance.below(5)]], &[0]),
        // Subscription Identifiers of 0, beyond four bytes, longer than they need be, and twice.
        9 => {
            let properties: [&[u8]; 4] = [
                &[2, 0x0B, 0],
                &[6, 0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 1],
                &[3, 0x0B, 0x81, 0],
                &[4, 0x0B, 1, 0x0B, 2],
            ];
            subscribe(&[1], properties[chance.below(4)])
        }
        // Properties that are unknown, cut, or longer than the packet.
        10 | 11 => {
            let properties: [&[u8]; 8] = [
                &[2, 0x00, 0],
                &[2, 0x04, 0],
                &[2, 0x7F, 0],
                &[3, 0x80, 0x01, 0],
                &[1, 0x26],
                &[4, 0x26, 0, 1, b'a'],
                &[0x80, 0x00],
                &[100],
            ];
            publish(properties[chance.below(8)])
        }
        12 => publish(&property(0x03, ILL_FORMED[chance.below(ILL_FORMED.len())])),
        _ => ill_formed_topic(chance),
    }
}

fn with_first(first: u8, packet: &Packet) -> Bytes {
    let mut bytes = bytes_of(packet);
    if let Some(byte) = bytes.first_mut() {
        *byte = first;
    }
    bytes.into()
}

/// An acknowledgement with a code that it cannot have, or less than its identifier.
fn acknowledgement(chance: &mut Chance) -> Bytes {
    let first = [0x40, 0x50, 0x62, 0x70][chance.below(4)];
    match chance.below(3) {
        0 => with_body(first, [[0].as_slice(), &[]][chance.below(2)]),
        1 => with_body(first, &[0, 0]),
        _ => {
            let code = [0x01, 0x10, 0x11, 0x82, 0x92, 0x93, 0xFF][chance.below(7)];
            with_body(first, &[0xEA, 0x61, code])
        }
    }
}

/// SUBSCRIBE to one filter.
fn subscribe(options: &[u8], properties: &[u8]) -> Bytes {
    let body = [&[0xEA, 0x67], properties, &string(b"~/a"), options].concat();
    with_body(0x82, &body)
}

/// PUBLISH at QoS 0.
fn publish(properties: &[u8]) -> Bytes {
    with_body(0x30, &[&string(b"~/a")[..], properties, b"odd"].concat())
}

fn ill_formed_topic(chance: &mut Chance) -> Bytes {
    let topic = [b"~/a", ILL_FORMED[chance.below(ILL_FORMED.len())]].concat();
    match chance.below(4) {
        0 => with_body(0x82, &[&[0xEA, 0x67, 0], &string(&topic)[..], &[1]].concat()),
        1 => with_body(0xA2, &[&[0xEA, 0x67, 0], &string(&topic)[..]].concat()),
        2 => with_body(0x30, &[&string(&topic)[..], &[0], b"odd"].concat()),
        // A string longer than its packet.
        _ => with_body(0x30, b"\xFF\xFF~/a\0odd"),
    }
}

/// With a Property Length before it.
fn property(id: u8, text: &[u8]) -> Vec<u8> {
    let text = string(text);
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[length, id], &text[..]].concat()
}

fn string(text: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    bytes.put_slice(text);
    bytes.freeze()
}
