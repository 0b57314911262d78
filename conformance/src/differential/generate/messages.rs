//! Messages and subscriptions, drawn by chance.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::{QoS, RetainHandling, SubscriptionOptions};

use super::focus::{Focus, Subject};
use super::moves::{Extra, Message, Payload, UNKNOWN_ALIAS};
use super::world::World;

pub(super) fn message(focus: Focus) -> BoxedStrategy<Message> {
    let topic = focus.theme.topic(focus.world);
    let payload = prop_oneof![
        60 => Just(Payload::Short),
        5 => Just(Payload::None),
        3 => Just(Payload::Binary),
        if focus.world == World::Limited { 30 } else { 1 } => (-1..=1_isize).prop_map(Payload::Fitting),
        10 => select(vec![10, 60, 100, 120, 256]).prop_map(Payload::Padded),
        // About where lengths take another byte, or another type.
        focus.more(Subject::Sizes, 1, 8) => select(vec![16_350, 16_370, 65_533, 70_000, 140_000])
            .prop_map(Payload::Padded),
        focus.more(Subject::Sizes, 2, 20) => border().prop_map(Payload::Bordering),
    ];
    let expires = if focus.expires { 0.7 } else { 0.1 };
    let expiry = option::weighted(expires, select(vec![0, 1, 2, 3, 100, u32::MAX]));
    let aliased = if focus.subject == Subject::Aliases { 0.8 } else { 0.15 };
    let alias = option::weighted(
        aliased,
        prop_oneof![8 => 1..4_u16, 1 => Just(UNKNOWN_ALIAS), 1 => 1..=100_u16],
    );
    let properties = prop_oneof![
        focus.more(Subject::Text, 5, 1) => Just(Vec::new()),
        2 => vec(extra(focus), 1..4),
    ];
    (
        topic,
        qos(focus.qos),
        prop::bool::weighted(focus.retained),
        payload,
        expiry,
        alias,
        properties,
    )
        .prop_map(|(topic, qos, retain, payload, expiry, alias, properties)| Message {
            topic,
            qos,
            retain,
            payload,
            expiry,
            alias,
            properties,
        })
        .boxed()
}

/// A Remaining Length beside which it takes another byte, or a number of another type no longer holds it. Those of
/// which a packet takes megabytes are rare: a script with one takes as long as a hundred others.
fn border() -> BoxedStrategy<usize> {
    prop_oneof![
        40 => select(vec![127, 128]),
        4 => select(vec![255, 256]),
        30 => select(vec![16_383, 16_384]),
        10 => select(vec![65_535, 65_536]),
        1 => select(vec![2_097_151, 2_097_152]),
    ]
    .boxed()
}

/// What a store, a language or a gateway may change.
const TEXTS: &[&str] = &[
    "𝄞",
    "\u{FEFF}text",
    "text\u{A0}text",
    "\u{FFFF}",
    "\u{FFFE}a",
    "\u{FDD0}",
    "e\u{301}",
    "ς",
    " text ",
    "\r\n",
    "a\tb",
    "\\u0041",
    "%41",
    "\u{7F}",
];

fn extra(focus: Focus) -> BoxedStrategy<Extra> {
    let large = focus.more(Subject::Sizes, 1, 6);
    prop_oneof![
        focus.more(Subject::Text, 2, 8) => (select(TEXTS), any::<bool>())
            .prop_map(|(text, is_name)| Extra::User(text, is_name)),
        focus.more(Subject::Text, 1, 4) => select(TEXTS).prop_map(Extra::ContentType),
        large => select(vec![32_768, 65_535]).prop_map(Extra::LongUser),
        large => select(vec![255, 65_535]).prop_map(Extra::LongData),
        2 => (0..=1_u8).prop_map(Extra::Format),
        2 => select(vec!["text/plain", "", "é", "\u{85}\u{90}"]).prop_map(Extra::ContentType),
        2 => select(vec!["~/answers", "~/answers/", "a"]).prop_map(Extra::ResponseTopic),
        2 => select(vec![&b"\x00\xff"[..], b"", b"some bytes"]).prop_map(Extra::CorrelationData),
        2 => (
            select(vec![1, 2, 2, 3, 17, 33, 100]),
            select(vec!["name", "", "é", "\u{90}"]),
            any::<bool>()
        )
            .prop_map(|(count, name, alike)| Extra::Users(count, name, alike)),
        2 => (95..130_usize).prop_map(Extra::LongUser),
        1 => select(vec![300, 16_400]).prop_map(Extra::LongUser),
    ]
    .boxed()
}

pub(super) fn options(only: Option<QoS>) -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (qos(only), prop::bool::weighted(0.25), any::<bool>(), handling).prop_map(
        |(maximum_qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            maximum_qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

fn qos(only: Option<QoS>) -> BoxedStrategy<QoS> {
    let any = select(vec![QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce]);
    match only {
        Some(only) => prop_oneof![6 => Just(only), 1 => any].boxed(),
        None => any.boxed(),
    }
}
