//! What brokers scripts are for.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::strategy::Union;
use reference_broker::codec::{Properties, PropertyId};

use crate::script::Conditions;
use crate::target::{Need, Setup};

/// How the broker of a script is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// As it is.
    Plain,
    /// It has two users, of whom one may not do all.
    Users,
    /// It knows a user by SCRAM-SHA-256.
    Scram,
    /// It sends all clients elsewhere.
    Elsewhere,
    /// It announces limits, or lacks features.
    Limited,
}

/// The worlds that a generator draws from.
#[derive(Clone, Copy, Debug)]
pub struct Worlds {
    users: bool,
    scram: bool,
    /// Whether the broker can be had in any way.
    any: bool,
}

impl Worlds {
    /// All that the embedded broker can be.
    pub fn all() -> Worlds {
        Worlds { users: true, scram: true, any: true }
    }

    /// As a target is set up: what it announces is as it is.
    pub fn of(setup: &Setup) -> Worlds {
        let users = setup.other.is_some() && setup.has_rights;
        Worlds { users, scram: setup.scram.is_some(), any: false }
    }

    /// Whether they are those of a broker that cannot be had in any way, and has a clock of its own.
    pub(super) fn is_of_a_target(self) -> bool {
        !self.any
    }

    pub(super) fn strategy(self) -> BoxedStrategy<World> {
        let worlds = [
            (true, 30, World::Plain),
            (self.users, 9, World::Users),
            (self.scram, 5, World::Scram),
            (self.any, 1, World::Elsewhere),
            (self.any, 6, World::Limited),
        ];
        let possible = worlds.into_iter().filter(|(is, ..)| *is);
        let weighted = possible.map(|(_, weight, world)| (weight, Just(world)));
        Union::new_weighted(weighted.collect()).boxed()
    }
}

impl World {
    /// What the broker of such a script has to be.
    pub(super) fn conditions(self) -> BoxedStrategy<Conditions> {
        let needs = match self {
            World::Plain | World::Limited => vec![],
            World::Users => vec![Need::Users],
            World::Scram => vec![Need::Scram],
            World::Elsewhere => vec![Need::Redirection],
        };
        let announced = match self {
            World::Limited => announced(),
            _ => Just(Properties::default()).boxed(),
        };
        announced.prop_map(move |announced| Conditions { needs: needs.clone(), announced }).boxed()
    }
}

/// A few limits, each of which matters to some script.
fn announced() -> BoxedStrategy<Properties> {
    use PropertyId::*;
    let limits = vec![
        (ReceiveMaximum, vec![1, 2, 3]),
        (MaximumPacketSize, vec![60, 100, 200]),
        (TopicAliasMaximum, vec![0, 1, 2]),
        (MaximumQoS, vec![0, 1]),
        (ServerKeepAlive, vec![1, 2]),
        (RetainAvailable, vec![0]),
        (WildcardSubscriptionAvailable, vec![0]),
        (SubscriptionIdentifierAvailable, vec![0]),
        (SharedSubscriptionAvailable, vec![0]),
    ];
    (subsequence(limits, 1..3), vec(any::<prop::sample::Index>(), 2))
        .prop_map(|(limits, places)| {
            let mut properties = Properties::default();
            for ((id, values), place) in limits.into_iter().zip(places) {
                properties.push(id, values[place.index(values.len())]);
            }
            properties
        })
        .boxed()
}
