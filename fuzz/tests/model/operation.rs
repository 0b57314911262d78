//! What clients and time do: plain data, which proptest makes and shrinks.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::{QoS, RetainHandling, SubscriptionOptions};
use reference_broker::core::Config;

/// How many clients there are.
pub(crate) const CLIENTS: usize = 4;

/// All but connections are for one of the clients that are there, counted round.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Connect {
        client: usize,
        with: Box<ConnectWith>,
    },
    Disconnect {
        client: usize,
        with_will: bool,
        expiry: Option<u32>,
    },
    Cut {
        client: usize,
    },
    Publish {
        client: usize,
        message: Message,
        released: bool,
    },
    /// Sends one of the messages at QoS 2 again that are not released.
    Repeat {
        client: usize,
        which: usize,
    },
    /// Releases one of those messages, perhaps twice.
    Release {
        client: usize,
        which: usize,
        twice: bool,
    },
    Subscribe {
        client: usize,
        filters: Vec<(&'static str, SubscriptionOptions)>,
        identifier: Option<u32>,
    },
    Unsubscribe {
        client: usize,
        filters: Vec<&'static str>,
    },
    /// Takes the next step with one of the messages that came.
    Acknowledge {
        client: usize,
        which: usize,
        refused: bool,
    },
    /// Goes through with all that came, and with what comes then.
    AcknowledgeAll {
        client: usize,
    },
    /// PUBACK, PUBREC, PUBCOMP and PUBREL with a Packet Identifier that is in no use.
    Stray {
        client: usize,
        kind: usize,
    },
    Ping {
        client: usize,
    },
    Pass(u64),
    /// To the next deadline and so many milliseconds more, or less.
    Deadline(i64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectWith {
    pub(crate) clean_start: bool,
    pub(crate) expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u32>,
    pub(crate) packet_size: Option<u32>,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<(Message, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) payload: Payload,
    pub(crate) expiry: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Payload {
    /// A number of its own.
    Short,
    None,
    /// Too much for a client with a small Maximum Packet Size.
    Long,
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (0..CLIENTS, connect_with())
            .prop_map(|(client, with)| Operation::Connect { client, with: Box::new(with) }),
        2 => (client(), any::<bool>(), option::of(session_expiry())).prop_map(
            |(client, with_will, expiry)| Operation::Disconnect { client, with_will, expiry }
        ),
        2 => client().prop_map(|client| Operation::Cut { client }),
        14 => (client(), message(), prop::bool::weighted(0.6)).prop_map(
            |(client, message, released)| Operation::Publish { client, message, released }
        ),
        1 => (client(), 0..4_usize).prop_map(|(client, which)| Operation::Repeat { client, which }),
        2 => (client(), 0..4_usize, any::<bool>())
            .prop_map(|(client, which, twice)| Operation::Release { client, which, twice }),
        7 => (client(), vec((filter(), options()), 1..4), option::of(1..4_u32)).prop_map(
            |(client, filters, identifier)| Operation::Subscribe { client, filters, identifier }
        ),
        2 => (client(), vec(filter(), 1..3))
            .prop_map(|(client, filters)| Operation::Unsubscribe { client, filters }),
        8 => (client(), 0..6_usize, prop::bool::weighted(0.1)).prop_map(
            |(client, which, refused)| Operation::Acknowledge { client, which, refused }
        ),
        2 => client().prop_map(|client| Operation::AcknowledgeAll { client }),
        1 => (client(), 0..4_usize).prop_map(|(client, kind)| Operation::Stray { client, kind }),
        1 => client().prop_map(|client| Operation::Ping { client }),
        3 => prop_oneof![1..3_000_u64, select(vec![1, 500, 1_000, 2_000, 10_000])]
            .prop_map(Operation::Pass),
        2 => (-1..=1_i64).prop_map(Operation::Deadline),
    ]
}

/// Choices that the standard leaves open and that the model follows.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    let bounds = (
        select(vec![100, 100, 1, 3]),
        select(vec![256, 1, 2]),
        select(vec![10_000, 2, 5]),
        select(vec![u32::MAX, u32::MAX, 4]),
        select(vec![QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtLeastOnce]),
        any::<bool>(),
    );
    bounds.prop_map(|(receive_maximum, send_window, queue_limit, expiry, granted_qos, lowest)| {
        let mut config = Config {
            receive_maximum,
            send_window,
            queue_limit,
            session_expiry: (0, expiry),
            granted_qos,
            ..Config::default()
        };
        config.handling.lowest_packet_id_first = lowest;
        config
    })
}

fn client() -> impl Strategy<Value = usize> {
    0..CLIENTS
}

fn connect_with() -> impl Strategy<Value = ConnectWith> {
    let limits = (
        option::of(select(vec![1, 2, 3])),
        option::weighted(0.2, select(vec![40, 60])),
        select(vec![0, 0, 0, 2, 4]),
    );
    let will = option::of((message(), select(vec![0, 1, 2, 4, 9])));
    (prop::bool::weighted(0.25), option::weighted(0.8, session_expiry()), limits, will).prop_map(
        |(clean_start, expiry, (receive_maximum, packet_size, keep_alive), will)| ConnectWith {
            clean_start,
            expiry,
            receive_maximum,
            packet_size,
            keep_alive,
            will,
        },
    )
}

fn session_expiry() -> impl Strategy<Value = u32> {
    select(vec![u32::MAX, 0, 1, 2, 4, 8, 100])
}

fn message() -> impl Strategy<Value = Message> {
    let topic = select(vec!["a", "a/b", "a/c", "b", "b/", "/b", "$a", "a/b/c"]);
    let payload =
        prop_oneof![6 => Just(Payload::Short), 1 => Just(Payload::None), 1 => Just(Payload::Long)];
    let expiry = option::weighted(0.3, select(vec![0, 1, 2, 3, 8, u32::MAX]));
    (topic, qos(), prop::bool::weighted(0.35), payload, expiry).prop_map(
        |(topic, qos, retain, payload, expiry)| Message { topic, qos, retain, payload, expiry },
    )
}

fn filter() -> impl Strategy<Value = &'static str> {
    select(vec![
        "a",
        "#",
        "a/#",
        "a/+",
        "+",
        "+/b",
        "b/#",
        "/+",
        "$a",
        "$share/g/#",
        "$share/g/a/+",
        "$share/h/a/+",
        "$share/h/b",
        "+/#",
    ])
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(maximum_qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            maximum_qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce])
}
