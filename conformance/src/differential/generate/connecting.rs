//! How clients connect, drawn by chance.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::focus::{Focus, Subject};
use super::messages::message;
use super::moves::{Authentication, ConnectWith, Who};
use super::tables::client_id;
use super::world::World;

pub(super) fn connect_with(focus: Focus) -> BoxedStrategy<ConnectWith> {
    let numbers = (
        option::weighted(if focus.resumed { 0.95 } else { 0.8 }, session_expiry()),
        option::weighted(
            if focus.small_windows { 0.9 } else { 0.15 },
            select(vec![1, 1, 2, 3, 5, 10]),
        ),
        option::weighted(
            if focus.subject == Subject::Sizes { 0.5 } else { 0.15 },
            select(vec![20, 30, 60, 100, 200]),
        ),
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
    let is_about_ends = matches!(focus.subject, Subject::Ends | Subject::Malformed);
    let wills = if is_about_ends || focus.world == World::Scram { 0.7 } else { 0.3 };
    let will = option::weighted(wills, (message(focus), select(vec![0, 0, 1, 2, 3])));
    let flags = (
        prop::bool::weighted(if focus.resumed { 0.05 } else { 0.3 }),
        prop::bool::weighted(if focus.withheld { 0.15 } else { 0.7 }),
    );
    let who = if focus.world == World::Users { who(focus) } else { Just(Who::Own).boxed() };
    let proves = match focus.world {
        World::Scram => option::weighted(0.7, authentication()).boxed(),
        _ => Just(None).boxed(),
    };
    let access = (who, proves);
    let ids = vec![127, 255, 256, 32_766, 32_767, 32_768, 65_530];
    let first_id = option::weighted(0.05, select(ids));
    let rarely = match focus.world {
        World::Elsewhere => 2,
        World::Users => 5,
        _ => 40,
    };
    let early = prop_oneof![
        focus.more(Subject::Stream, rarely, 4) => Just(0),
        2 => 1..3_usize,
    ];
    let usual = focus.more(Subject::Identity, 28, 3);
    let more = (first_id, early);
    let user_property = option::weighted(0.1, any::<bool>());
    (flags, client_id(usual), keep_alive, numbers, user_property, will, access, more)
        .prop_map(|(flags, client_id, keep_alive, numbers, user_property, will, access, more)| {
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
                first_id: more.0,
                early: more.1,
            }
        })
        .boxed()
}

fn who(focus: Focus) -> BoxedStrategy<Who> {
    use Who::*;
    prop_oneof![
        8 => Just(Own),
        8 => Just(Other),
        focus.more(Subject::Identity, 3, 9) => select(vec![
            Nobody,
            WrongPassword,
            NoPassword,
            Unknown,
            PasswordAlone,
            BytesForPassword,
            EmptyPassword,
            MoreThanPassword,
            EmptyName,
        ]),
    ]
    .boxed()
}

pub(super) fn authentication() -> BoxedStrategy<Authentication> {
    use Authentication::*;
    prop_oneof![
        10 => Just(Right),
        10 => select(vec![
            Wrong,
            Begun,
            Stray,
            NoMethod,
            NoData,
            Nonsense,
            Success,
            ChangesMethod,
            Unknown,
            Unknown,
        ]),
        3 => select(vec!["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "SCRAM-SHA-25", ""])
            .prop_map(OtherMethod),
    ]
    .boxed()
}

pub(super) fn session_expiry() -> impl Strategy<Value = u32> {
    // Then those whose milliseconds four bytes do not hold.
    let often = [600, 600, 600, u32::MAX, 0, 1, 2].repeat(4);
    select([often, vec![4_294_967, 4_294_968]].concat())
}
