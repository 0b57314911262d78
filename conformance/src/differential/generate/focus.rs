//! What a script is about more than others: few things at once, so that they meet.

use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::QoS;

use super::tables::{Theme, theme};
use super::world::World;

/// What is drawn once for a whole script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Focus {
    pub(super) world: World,
    pub(super) theme: Theme,
    /// How many clients there are.
    pub(super) clients: usize,
    /// The only QoS of messages and subscriptions.
    pub(super) qos: Option<QoS>,
    /// Whether clients take few messages at once.
    pub(super) small_windows: bool,
    /// Whether clients acknowledge step by step.
    pub(super) withheld: bool,
    /// Whether messages expire, and time passes.
    pub(super) expires: bool,
    /// Whether clients come back to their sessions.
    pub(super) resumed: bool,
    /// Whether time passes in large parts only: a broker may be late by some seconds with what is due.
    pub(super) coarse: bool,
}

pub(super) fn focus(world: World, coarse: bool) -> BoxedStrategy<Focus> {
    let often = prop::bool::weighted(0.35);
    let qos = prop_oneof![
        3 => Just(None),
        1 => Just(Some(QoS::AtLeastOnce)),
        2 => Just(Some(QoS::ExactlyOnce)),
    ];
    (theme(), select(vec![2, 3, 3, 4, 5]), qos, often, often, often, often)
        .prop_map(move |(theme, clients, qos, small_windows, withheld, expires, resumed)| Focus {
            world,
            theme,
            clients,
            qos,
            small_windows,
            withheld,
            expires,
            resumed,
            coarse,
        })
        .boxed()
}
