//! Random events for tests: any packet that can be written, allowed or not.
//!
//! Strategies are boxed: as one type they would be too large for the stack of a test.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::{
    Auth, ConnAck, Connect, DecodeError, Disconnect, Fault, Kind, MAX_VARIABLE_INTEGER, Packet,
    PacketType, Place, Properties, Property, PropertyId, Publish, PublishAck, QoS, ReasonCode,
    RetainHandling, Side, Subscribe, SubscribeAck, Subscription, SubscriptionOptions, Text,
    Unsubscribe, Value, Will,
};

use super::{Ending, Event, What, fault};
use crate::target::Restart;

pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (time(), text(), what());
    vec(event.prop_map(|(at, probe, what)| Event { at, probe: probe.to_string(), what }), 0..5)
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![0..100_000_u64, any::<u64>()].prop_map(Duration::from_millis)
}

fn what() -> BoxedStrategy<What> {
    prop_oneof![
        10 => packet().prop_map(What::Sent),
        10 => packet().prop_map(What::Received),
        2 => bytes().prop_map(What::SentBytes),
        4 => broken(),
        1 => select(vec![
            What::Opened,
            What::ClosedByBroker(Ending::EndOfStream),
            What::ClosedByBroker(Ending::Reset),
            What::HalfClosed,
            What::ClosedByProbe,
            What::Restarted(Restart::Stop),
            What::Restarted(Restart::Kill),
        ]),
        1 => time().prop_map(What::Silence),
        1 => time().prop_map(What::Waited),
        1 => ".{0,12}".prop_map(What::WebSocket),
    ]
    .boxed()
}

/// Broken bytes with the fault that they show, if they do, and others with just any fault.
fn broken() -> BoxedStrategy<What> {
    let cut =
        (packet(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(packet, at, byte)| {
            let mut bytes = packet.to_bytes().unwrap_or_default().to_vec();
            if !bytes.is_empty() {
                *at.get_mut(&mut bytes) = byte;
            }
            Bytes::from(bytes)
        });
    let other = (any_fault(), any::<u32>())
        .prop_map(|(fault, offset)| DecodeError { fault, offset: offset as usize });
    (prop_oneof![cut, bytes()], other, any::<bool>())
        .prop_map(|(bytes, other, keep)| {
            let shown = fault::shown_by(&bytes).filter(|_| !keep);
            What::ReceivedBroken(bytes, shown.unwrap_or(other))
        })
        .boxed()
}

/// Faults with parameters of every type.
fn any_fault() -> impl Strategy<Value = Fault> {
    let packet = || select(PacketType::ALL.to_vec());
    let place = || select(Place::ALL.to_vec());
    let id = || select(PropertyId::ALL);
    let side = select(vec![Side::Client, Side::Server]);
    prop_oneof![
        Just(Fault::Truncated),
        any::<u32>().prop_map(Fault::UnknownProperty),
        packet().prop_map(Fault::InvalidFlags),
        place().prop_map(Fault::AuthenticationMethodMissing),
        (any::<u64>(), any::<u32>())
            .prop_map(|(size, limit)| Fault::PacketTooLarge { size, limit }),
        (packet(), side).prop_map(|(packet, side)| Fault::WrongDirection(packet, side)),
        (id(), place()).prop_map(|(id, place)| Fault::PropertyOutOfRange(id, place)),
        (any::<u8>(), packet()).prop_map(|(code, packet)| Fault::UnknownReasonCode(code, packet)),
        (code(), packet()).prop_map(|(code, packet)| Fault::ReasonCodeFromWrongSide(code, packet)),
    ]
}

fn text() -> BoxedStrategy<Text> {
    let run = (any::<char>(), 0..40_usize).prop_map(|(c, count)| c.to_string().repeat(count));
    prop_oneof![
        "[a-z/+#$ ]{0,8}",
        r#"["\\ '!(){}\[\]*=:x0-9\u{0}-\u{20}\u{7f}-\u{a0}]{0,8}"#,
        any::<String>(),
        run,
    ]
    .prop_map(Text::from)
    .boxed()
}

fn bytes() -> BoxedStrategy<Bytes> {
    let run = (any::<u8>(), 0..40_usize).prop_map(|(byte, count)| vec![byte; count]);
    let runs = vec(run.clone(), 0..4).prop_map(|runs| runs.concat());
    prop_oneof![
        text().prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..20),
        run,
        runs,
    ]
    .prop_map(Bytes::from)
    .boxed()
}

/// Any property anywhere, with any value of the type that its row names.
fn property() -> impl Strategy<Value = Property> {
    select(PropertyId::ALL).prop_flat_map(|id| {
        let number = |limit: u32| (0..=limit).prop_map(Value::Number).boxed();
        let value = match id.row().kind {
            Kind::Byte => number(u32::from(u8::MAX)),
            Kind::TwoByte => number(u32::from(u16::MAX)),
            Kind::FourByte => number(u32::MAX),
            Kind::Variable => number(MAX_VARIABLE_INTEGER),
            Kind::String => text().prop_map(Value::String).boxed(),
            Kind::Binary => bytes().prop_map(Value::Binary).boxed(),
            Kind::Pair => {
                (text(), text()).prop_map(|(name, value)| Value::Pair(name, value)).boxed()
            }
        };
        value.prop_map(move |value| Property { id, value })
    })
}

fn properties() -> BoxedStrategy<Properties> {
    vec(property(), 0..5).prop_map(Properties::from_iter).boxed()
}

fn code() -> impl Strategy<Value = ReasonCode> {
    prop_oneof![Just(ReasonCode::Success), select(ReasonCode::ALL)]
}

fn qos() -> impl Strategy<Value = QoS> {
    select(QoS::ALL.to_vec())
}

fn packet() -> BoxedStrategy<Packet> {
    prop_oneof![
        connect(),
        (any::<bool>(), code(), properties()).prop_map(|(session_present, reason, properties)| {
            Packet::ConnAck(ConnAck { session_present, reason, properties })
        }),
        publish(),
        publish_ack(),
        subscribe(),
        subscribe_ack(),
        (any::<u16>(), properties(), vec(text(), 0..4)).prop_map(
            |(packet_id, properties, filters)| {
                Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })
            }
        ),
        select(vec![Packet::PingReq, Packet::PingResp]),
        (code(), properties()).prop_map(|(reason, properties)| {
            Packet::Disconnect(Disconnect { reason, properties })
        }),
        (code(), properties())
            .prop_map(|(reason, properties)| Packet::Auth(Auth { reason, properties })),
    ]
    .boxed()
}

fn connect() -> BoxedStrategy<Packet> {
    let will = (qos(), any::<bool>(), text(), bytes(), properties()).prop_map(
        |(qos, retain, topic, payload, properties)| Will {
            qos,
            retain,
            topic,
            payload,
            properties,
        },
    );
    let keep_alive = prop_oneof![Just(0), any::<u16>()];
    let credentials = (option::of(text()), option::of(bytes()));
    (any::<bool>(), keep_alive, text(), option::of(will), credentials, properties())
        .prop_map(
            |(clean_start, keep_alive, client_id, will, (user_name, password), properties)| {
                let fields = Connect {
                    clean_start,
                    keep_alive,
                    client_id,
                    will,
                    user_name,
                    password,
                    properties,
                };
                fields.into()
            },
        )
        .boxed()
}

fn publish() -> BoxedStrategy<Packet> {
    let packet_id = prop_oneof![Just(0), any::<u16>()];
    let fields = (any::<bool>(), qos(), any::<bool>(), text(), packet_id, properties(), bytes());
    fields
        .prop_map(|(dup, qos, retain, topic, packet_id, properties, payload)| {
            Publish { dup, qos, retain, topic, packet_id, properties, payload }.into()
        })
        .boxed()
}

fn publish_ack() -> BoxedStrategy<Packet> {
    let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubRel, Packet::PubComp];
    (0..kinds.len(), any::<u16>(), code(), properties())
        .prop_map(move |(kind, packet_id, reason, properties)| {
            kinds[kind](PublishAck { packet_id, reason, properties })
        })
        .boxed()
}

fn subscribe() -> BoxedStrategy<Packet> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(maximum_qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            maximum_qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    );
    let subscription =
        (text(), options).prop_map(|(filter, options)| Subscription { filter, options });
    (any::<u16>(), properties(), vec(subscription, 0..4))
        .prop_map(|(packet_id, properties, subscriptions)| {
            Subscribe { packet_id, properties, subscriptions }.into()
        })
        .boxed()
}

fn subscribe_ack() -> BoxedStrategy<Packet> {
    (any::<bool>(), any::<u16>(), properties(), vec(code(), 0..4))
        .prop_map(|(is_unsubscribe, packet_id, properties, reasons)| {
            let fields = SubscribeAck { packet_id, properties, reasons };
            match is_unsubscribe {
                true => Packet::UnsubAck(fields),
                false => Packet::SubAck(fields),
            }
        })
        .boxed()
}
