//! What clients do next, drawn by chance.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::ReasonCode;

use super::connecting::{authentication, connect_with, session_expiry};
use super::focus::{Focus, Subject};
use super::messages::{message, options};
use super::moves::{CLIENTS, Cut, Deed, Many, Move, Said};
use super::world::World;

pub(super) fn moves(focus: Focus) -> BoxedStrategy<Vec<Move>> {
    let one = || a_move(focus);
    match focus.world {
        // There is not much to do.
        World::Elsewhere => vec(one(), 1..8).boxed(),
        _ => {
            let moves = prop_oneof![vec(one(), 1..12), vec(one(), 4..30), vec(one(), 20..80)];
            (beginning(focus), moves)
                .prop_map(|(beginning, moves)| [beginning, moves].concat())
                .boxed()
        }
    }
}

/// Every client connects and subscribes, so that what is done then has someone to see it; or nobody does.
fn beginning(focus: Focus) -> BoxedStrategy<Vec<Move>> {
    let filter = focus.theme.filter(focus.world);
    let filters = vec((filter, options(focus.qos)), 1..3);
    let one = (connect_with(focus), filters, prop::bool::weighted(0.8));
    let shares = matches!(focus.subject, Subject::Shared | Subject::Acknowledgements);
    let begins = prop::bool::weighted(if shares { 0.9 } else { 0.5 });
    (vec(one, focus.clients), begins)
        .prop_map(|(clients, begins)| {
            let clients = clients.into_iter().enumerate().filter(|_| begins);
            let moves = clients.flat_map(|(client, (with, filters, subscribes))| {
                let deed =
                    Deed::Subscribe { filters, id: None, many: Many::default(), of_message: false };
                let subscribes = subscribes.then_some(Move::Do(client, deed));
                [Some(Move::Connect(client, Box::new(with))), subscribes]
            });
            moves.flatten().collect()
        })
        .boxed()
}

fn a_move(focus: Focus) -> BoxedStrategy<Move> {
    prop_oneof![
        24 => (0..focus.clients, connect_with(focus))
            .prop_map(|(client, with)| Move::Connect(client, Box::new(with))),
        132 => (0..CLIENTS, deed(focus)).prop_map(|(client, deed)| Move::Do(client, deed)),
        if focus.expires { 30 } else { 8 } => waits(focus.coarse)
            .prop_map(Move::Wait),
        focus.more(Subject::Malformed, 16, 90) => (0..focus.clients, any::<u64>()).prop_map(|(client, seed)| Move::Broken(client, seed)),
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
        focus.more(Subject::Ends, 4, 16) => (disconnect_reason(focus), option::weighted(0.3, session_expiry()), rarely).prop_map(
            |(reason, expiry, explained)| Deed::Disconnect { reason, expiry, explained }
        ),
        if focus.resumed { 10 } else { 3 } => any::<bool>().prop_map(|half| Deed::Drop { half }),
        22 => (message(focus), prop::bool::weighted(0.6), count(focus))
            .prop_map(|(message, released, count)| Deed::Publish { message, released, count }),
        focus.more(Subject::Aliases, 2, 12) => (0..4_usize, 1..4_usize, rarely).prop_map(|(which, times, otherwise)| {
            Deed::Repeat { which, times, otherwise }
        }),
        focus.more(Subject::Ends, 1, 4) => (0..CLIENTS, any::<bool>())
            .prop_map(|(as_client, wills)| Deed::ConnectAgain { as_client, wills }),
        3 => (0..4_usize, rarely, said(focus))
            .prop_map(|(which, twice, said)| Deed::Release { which, twice, said }),
        14 => (
            vec((filter(), options(focus.qos)), 1..4),
            option::weighted(0.4, identifier()),
            many(focus),
            prop::bool::weighted(0.05)
        )
            .prop_map(|(filters, id, many, of_message)| Deed::Subscribe {
                filters,
                id,
                many,
                of_message,
            }),
        4 => (vec(filter(), 1..3), prop::bool::weighted(0.7), many(focus))
            .prop_map(|(filters, own, many)| Deed::Unsubscribe { filters, own, many }),
        4 => any::<bool>().prop_map(Deed::Acknowledges),
        if focus.withheld { 24 } else { 6 } => (
            0..6_usize,
            said(focus),
            prop::bool::weighted(0.07),
            prop::bool::weighted(0.07)
        )
            .prop_map(|(which, said, wrong, twice)| Deed::Acknowledge { which, said, wrong, twice }),
        focus.more(Subject::Stream, 1, 25) => cut().prop_map(Deed::Cuts),
        focus.more(Subject::Stream, 1, 15) => (2..4_usize).prop_map(Deed::Joins),
        2 => (0..4_usize).prop_map(|kind| Deed::Stray { kind }),
        1 => (0..8_usize).prop_map(|kind| Deed::Beat { kind }),
        1 => Just(Deed::Ping),
        weight => authenticates,
    ]
    .boxed()
}

fn waits(coarse: bool) -> impl Strategy<Value = u64> {
    match coarse {
        true => select(vec![100, 4_600]),
        false => {
            let mut short = [500, 1_000, 1_100, 1_600, 2_100, 3_100].repeat(5);
            // As long as some wait before they try again.
            short.push(21_000);
            select(short)
        }
    }
}

fn count(focus: Focus) -> BoxedStrategy<usize> {
    let few = focus.more(Subject::Sizes, 40, 20);
    let many = select(vec![30, 100, 105, 135, 256]);
    prop_oneof![few => Just(1), 4 => 2..6_usize, 3 => many].boxed()
}

fn many(focus: Focus) -> BoxedStrategy<Many> {
    if focus.subject != Subject::Sizes {
        return Just(Many::default()).boxed();
    }
    let filters = prop_oneof![3 => Just(0), 3 => select(vec![5, 17, 65, 100, 130, 256, 257])];
    let users = prop_oneof![3 => Just(0), 2 => select(vec![1, 10, 33, 100, 256])];
    (filters, users).prop_map(|(filters, users)| Many { filters, users }).boxed()
}

fn said(focus: Focus) -> BoxedStrategy<Said> {
    let code = prop_oneof![
        focus.more(Subject::Acknowledgements, 8, 3) => Just(0),
        2 => 0..16_usize,
    ];
    let often = if focus.subject == Subject::Acknowledgements { 0.3 } else { 0.03 };
    let users = option::weighted(often, (1..4_usize, any::<bool>()));
    (code, prop::bool::weighted(often), users)
        .prop_map(|(code, reason_string, users)| Said {
            code,
            reason_string,
            users: users.unwrap_or_default(),
        })
        .boxed()
}

fn cut() -> BoxedStrategy<Cut> {
    prop_oneof![
        2 => (1..6_usize).prop_map(Cut::Behind),
        2 => (1..60_usize).prop_map(Cut::Behind),
        3 => Just(Cut::BeforeLast),
        1 => Just(Cut::Everywhere),
        3 => (1..16_usize).prop_map(Cut::Around),
    ]
    .boxed()
}

fn identifier() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1..4_u32, 1 => select(vec![127, 128, 16_383, 16_384, 268_435_455])]
}

fn disconnect_reason(focus: Focus) -> BoxedStrategy<ReasonCode> {
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
    let errors_of_all = focus.more(Subject::Ends, 2, 8);
    prop_oneof![6 => Just(Success), 3 => Just(DisconnectWithWill), errors_of_all => select(errors)]
        .boxed()
}
