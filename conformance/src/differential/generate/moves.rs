//! What clients may do next, before it is known what that comes to: plain data, made by proptest.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::{QoS, ReasonCode, RetainHandling, SubscriptionOptions};

use super::focus::Focus;
use super::tables::client_id;
use super::world::World;

/// How many clients there are at most.
pub(super) const CLIENTS: usize = 5;

/// What one of the clients does, or time.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// A client connects, be it there or not.
    Connect(usize, Box<ConnectWith>),
    /// One that is connected does something; they are counted round.
    Do(usize, Deed),
    /// Bytes that are no valid packet, or nearly none; over a new connection, or one that is there.
    Broken(usize, u64),
    /// All that are connected lose their connections at once.
    DropAll,
    /// So many milliseconds pass.
    Wait(u64),
}

/// What a client does that is connected.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Disconnect {
        reason: ReasonCode,
        expiry: Option<u32>,
        explained: bool,
    },
    Drop {
        half: bool,
    },
    Publish {
        message: Message,
        released: bool,
        count: usize,
    },
    /// Sends one of the messages again that it has not released, or not seen acknowledged, so often.
    Repeat {
        which: usize,
        times: usize,
        /// Whether it says something else under the same Packet Identifier.
        otherwise: bool,
    },
    /// Connects once more over the same connection, as one of the clients.
    ConnectAgain {
        as_client: usize,
    },
    Release {
        which: usize,
        twice: bool,
    },
    Subscribe {
        filters: Vec<(&'static str, SubscriptionOptions)>,
        id: Option<u32>,
    },
    Unsubscribe {
        filters: Vec<&'static str>,
        /// Whether the filters are some that it has subscribed to.
        own: bool,
    },
    Acknowledges(bool),
    /// The next step with one of the messages that it holds, or another one.
    Acknowledge {
        which: usize,
        reason: ReasonCode,
        wrong: bool,
    },
    /// PUBACK, PUBREC, PUBCOMP or PUBREL with an identifier that is in no use.
    Stray {
        kind: usize,
    },
    /// One kind of packet every second, and nothing else, for as long as three of them.
    Beat {
        kind: usize,
    },
    Ping,
    /// A step of enhanced authentication.
    Authenticate(Authentication),
}

/// What a client says of who it is, in a world of users.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Who {
    /// The first user.
    #[default]
    Own,
    /// The second one.
    Other,
    /// Nobody, or one of these two with a password that is wrong or not there.
    Nobody,
    WrongPassword,
    NoPassword,
    /// Somebody whom nobody knows.
    Unknown,
}

/// What a client does to prove who it is, in a world of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Authentication {
    /// All of it, as it should.
    Right,
    /// With the password wrong.
    Wrong,
    /// The first message only.
    Begun,
    /// A message of an exchange that nobody began, or that has gone on.
    Stray,
    /// With a method that nobody knows.
    OtherMethod,
    /// Without a method, or with data alone.
    NoMethod,
    /// With the method and no data.
    NoData,
    /// With bytes that are no message of the method.
    Nonsense,
    /// AUTH with a code that is the broker's.
    Success,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ConnectWith {
    pub(super) who: Who,
    pub(super) authentication: Option<Authentication>,
    pub(super) clean_start: bool,
    /// Another Client Identifier than the client's own; empty for none.
    pub(super) client_id: Option<&'static str>,
    pub(super) acknowledges: bool,
    pub(super) keep_alive: u16,
    /// Session Expiry Interval, Receive Maximum, Maximum Packet Size, Topic Alias Maximum, Request
    /// Problem Information, Request Response Information.
    pub(super) numbers: [Option<u32>; 6],
    /// A User Property before these, or after them.
    pub(super) user_property: Option<bool>,
    pub(super) will: Option<(Message, u32)>,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: Cow<'static, str>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) payload: Payload,
    pub(super) expiry: Option<u32>,
    pub(super) alias: Option<u16>,
    pub(super) properties: Vec<Extra>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload {
    /// A name of its own.
    Short,
    None,
    /// That, and so many bytes more.
    Padded(usize),
    /// That, and bytes that are no text.
    Binary,
}

/// A property that a message may have and that is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extra {
    Format(u8),
    ContentType(&'static str),
    ResponseTopic(&'static str),
    CorrelationData(&'static [u8]),
    /// So many User Properties with this name, whose values are numbered or all alike.
    Users(usize, &'static str, bool),
    /// A User Property with a value of so many bytes.
    LongUser(usize),
}

pub(super) fn moves(focus: Focus) -> BoxedStrategy<Vec<Move>> {
    let one = || a_move(focus);
    match focus.world {
        // There is not much to do.
        World::Elsewhere => vec(one(), 1..8).boxed(),
        _ => prop_oneof![vec(one(), 1..12), vec(one(), 4..30), vec(one(), 20..80)].boxed(),
    }
}

fn a_move(focus: Focus) -> BoxedStrategy<Move> {
    prop_oneof![
        24 => (0..focus.clients, connect_with(focus))
            .prop_map(|(client, with)| Move::Connect(client, Box::new(with))),
        132 => (0..CLIENTS, deed(focus)).prop_map(|(client, deed)| Move::Do(client, deed)),
        if focus.expires { 30 } else { 8 } => waits(focus.coarse)
            .prop_map(Move::Wait),
        16 => (0..focus.clients, any::<u64>()).prop_map(|(client, seed)| Move::Broken(client, seed)),
        1 => Just(Move::DropAll),
    ]
    .boxed()
}

fn deed(focus: Focus) -> BoxedStrategy<Deed> {
    let rarely = prop::bool::weighted(0.2);
    let filter = || focus.theme.filter(focus.world);
    let (weight, authenticates) = match focus.world {
        World::Scram => (12, authentication().prop_map(Deed::Authenticate).boxed()),
        _ => (1, Just(Deed::Ping).boxed()),
    };
    prop_oneof![
        4 => (disconnect_reason(), option::weighted(0.3, session_expiry()), rarely).prop_map(
            |(reason, expiry, explained)| Deed::Disconnect { reason, expiry, explained }
        ),
        if focus.resumed { 10 } else { 3 } => any::<bool>().prop_map(|half| Deed::Drop { half }),
        22 => (message(focus), prop::bool::weighted(0.6), count())
            .prop_map(|(message, released, count)| Deed::Publish { message, released, count }),
        2 => (0..4_usize, 1..4_usize, rarely).prop_map(|(which, times, otherwise)| {
            Deed::Repeat { which, times, otherwise }
        }),
        1 => (0..CLIENTS).prop_map(|as_client| Deed::ConnectAgain { as_client }),
        3 => (0..4_usize, rarely).prop_map(|(which, twice)| Deed::Release { which, twice }),
        14 => (vec((filter(), options(focus.qos)), 1..4), option::weighted(0.4, identifier()))
            .prop_map(|(filters, id)| Deed::Subscribe { filters, id }),
        4 => (vec(filter(), 1..3), prop::bool::weighted(0.7))
            .prop_map(|(filters, own)| Deed::Unsubscribe { filters, own }),
        4 => any::<bool>().prop_map(Deed::Acknowledges),
        if focus.withheld { 24 } else { 6 } => (0..6_usize, acknowledge_reason(), prop::bool::weighted(0.07))
            .prop_map(|(which, reason, wrong)| Deed::Acknowledge { which, reason, wrong }),
        2 => (0..4_usize).prop_map(|kind| Deed::Stray { kind }),
        1 => (0..8_usize).prop_map(|kind| Deed::Beat { kind }),
        1 => Just(Deed::Ping),
        weight => authenticates,
    ]
    .boxed()
}

fn who() -> BoxedStrategy<Who> {
    use Who::*;
    prop_oneof![
        8 => Just(Own),
        8 => Just(Other),
        3 => select(vec![Nobody, WrongPassword, NoPassword, Unknown]),
    ]
    .boxed()
}

fn authentication() -> BoxedStrategy<Authentication> {
    use Authentication::*;
    prop_oneof![
        10 => Just(Right),
        10 => select(vec![
            Wrong, Begun, Stray, OtherMethod, NoMethod, NoData, Nonsense, Success
        ]),
    ]
    .boxed()
}

fn waits(coarse: bool) -> impl Strategy<Value = u64> {
    match coarse {
        true => select(vec![100, 4_600]),
        false => select(vec![500, 1_000, 1_100, 1_600, 2_100, 3_100]),
    }
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![40 => Just(1), 4 => 2..6_usize, 1 => Just(30), 1 => Just(105)]
}

fn identifier() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1..4_u32, 1 => select(vec![127, 128, 16_383, 16_384, 268_435_455])]
}

fn disconnect_reason() -> BoxedStrategy<ReasonCode> {
    use ReasonCode::*;
    let errors = vec![
        UnspecifiedError,
        MalformedPacket,
        ProtocolError,
        ImplementationSpecificError,
        TopicNameInvalid,
        ReceiveMaximumExceeded,
        TopicAliasInvalid,
        PacketTooLarge,
        MessageRateTooHigh,
        QuotaExceeded,
        AdministrativeAction,
        PayloadFormatInvalid,
    ];
    prop_oneof![6 => Just(Success), 3 => Just(DisconnectWithWill), 2 => select(errors)].boxed()
}

fn acknowledge_reason() -> impl Strategy<Value = ReasonCode> {
    prop_oneof![
        8 => Just(ReasonCode::Success),
        1 => Just(ReasonCode::UnspecifiedError),
        1 => Just(ReasonCode::QuotaExceeded),
    ]
}

fn connect_with(focus: Focus) -> BoxedStrategy<ConnectWith> {
    let numbers = (
        option::weighted(if focus.resumed { 0.95 } else { 0.8 }, session_expiry()),
        option::weighted(
            if focus.small_windows { 0.9 } else { 0.15 },
            select(vec![1, 1, 2, 3, 10]),
        ),
        option::weighted(0.15, select(vec![20, 30, 60, 100, 200])),
        option::weighted(0.3, select(vec![1, 2, 10])),
        option::weighted(0.3, 0..=1_u32),
        option::weighted(0.1, 0..=1_u32),
    );
    let keep_alive = prop_oneof![
        16 => Just(0_u16),
        2 => Just(1_u16),
        2 => Just(2_u16),
        1 => select(vec![43_691, 65_535]),
    ];
    let will = option::weighted(0.3, (message(focus), select(vec![0, 0, 1, 2, 3])));
    let flags = (
        prop::bool::weighted(if focus.resumed { 0.05 } else { 0.3 }),
        prop::bool::weighted(if focus.withheld { 0.15 } else { 0.7 }),
    );
    let who = if focus.world == World::Users { who() } else { Just(Who::Own).boxed() };
    let proves = match focus.world {
        World::Scram => option::weighted(0.7, authentication()).boxed(),
        _ => Just(None).boxed(),
    };
    let access = (who, proves);
    let user_property = option::weighted(0.1, any::<bool>());
    (flags, client_id(), keep_alive, numbers, user_property, will, access)
        .prop_map(|(flags, client_id, keep_alive, numbers, user_property, will, access)| {
            let (expiry, receive, size, aliases, problem, response) = numbers;
            ConnectWith {
                who: access.0,
                authentication: access.1,
                clean_start: flags.0,
                client_id,
                acknowledges: flags.1,
                keep_alive,
                numbers: [expiry, receive, size, aliases, problem, response],
                user_property,
                will,
            }
        })
        .boxed()
}

fn session_expiry() -> impl Strategy<Value = u32> {
    select(vec![600, 600, 600, u32::MAX, 0, 1, 2])
}

fn message(focus: Focus) -> BoxedStrategy<Message> {
    let topic = focus.theme.topic(focus.world);
    let payload = prop_oneof![
        60 => Just(Payload::Short),
        5 => Just(Payload::None),
        3 => Just(Payload::Binary),
        10 => select(vec![10, 60, 100, 120, 256]).prop_map(Payload::Padded),
        // About where lengths take another byte, or another type.
        1 => select(vec![16_350, 16_370, 65_533, 70_000]).prop_map(Payload::Padded),
        1 => (16_360..16_384_usize).prop_map(Payload::Padded),
    ];
    let expires = if focus.expires { 0.7 } else { 0.1 };
    let expiry = option::weighted(expires, select(vec![0, 1, 2, 3, 100, u32::MAX]));
    let alias = option::weighted(0.15, prop_oneof![4 => 1..4_u16, 1 => 1..=100_u16]);
    let properties = prop_oneof![5 => Just(Vec::new()), 2 => vec(extra(), 1..4)];
    (topic, qos(focus.qos), prop::bool::weighted(0.3), payload, expiry, alias, properties)
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

fn extra() -> BoxedStrategy<Extra> {
    prop_oneof![
        (0..=1_u8).prop_map(Extra::Format),
        select(vec!["text/plain", "", "é", "\u{85}\u{90}"]).prop_map(Extra::ContentType),
        select(vec!["~/answers", "~/answers/", "a"]).prop_map(Extra::ResponseTopic),
        select(vec![&b"\x00\xff"[..], b"", b"some bytes"]).prop_map(Extra::CorrelationData),
        (
            select(vec![1, 2, 2, 3, 17, 33, 100]),
            select(vec!["name", "", "é", "\u{90}"]),
            any::<bool>()
        )
            .prop_map(|(count, name, alike)| Extra::Users(count, name, alike)),
        select(vec![120, 130, 300, 16_400]).prop_map(Extra::LongUser),
    ]
    .boxed()
}

fn options(only: Option<QoS>) -> impl Strategy<Value = SubscriptionOptions> {
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
