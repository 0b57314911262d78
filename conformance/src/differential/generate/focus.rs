//! What a script is about more than others: few things at once, so that they meet.

use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::QoS;

use super::tables::{SHARING, Theme, theme};
use super::world::World;

/// What happens most in a script, besides all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Nothing more than all else.
    Mixed,
    /// Packets that are no valid ones, or nearly none.
    Malformed,
    /// What strings may hold, in topics and in properties.
    Text,
    /// Acknowledgements, with codes and properties.
    Acknowledgements,
    /// Who clients are, and how they come and go.
    Identity,
    /// How connections end, with a Will.
    Ends,
    /// Large packets, and many of them.
    Sizes,
    /// Where the packets of a stream are cut, and which come together.
    Stream,
    /// Topic Aliases, and what refers to them.
    Aliases,
    /// Shared Subscriptions whose members come and go.
    Shared,
}

/// What is drawn once for a whole script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Focus {
    pub(super) world: World,
    pub(super) theme: Theme,
    pub(super) subject: Subject,
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
    /// The share of messages that are retained.
    pub(super) retained: f64,
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
    let retained = select(vec![0.1, 0.3, 0.3, 0.8]);
    let all = (theme(), subject(), select(vec![2, 3, 3, 4, 5]), qos, often, often, often, often);
    (all, retained)
        .prop_map(move |drawn| {
            let (drawn, retained) = &drawn;
            let (theme, subject, clients, qos, small_windows, withheld, expires, resumed) = *drawn;
            let is = |of: Subject| subject == of;
            let acknowledges = is(Subject::Acknowledgements);
            Focus {
                world,
                theme: if is(Subject::Shared) { SHARING } else { theme },
                subject,
                clients: match subject {
                    Subject::Stream => 2,
                    Subject::Shared => 4,
                    _ => clients,
                },
                qos,
                small_windows: small_windows || acknowledges,
                withheld: withheld || acknowledges || is(Subject::Shared),
                expires,
                resumed: resumed || acknowledges || is(Subject::Shared),
                retained: *retained,
                coarse,
            }
        })
        .boxed()
}

fn subject() -> BoxedStrategy<Subject> {
    use Subject::*;
    prop_oneof![
        4 => Just(Mixed),
        3 => Just(Malformed),
        8 => select(vec![
            Text,
            Acknowledgements,
            Acknowledgements,
            Identity,
            Ends,
            Sizes,
            Stream,
            Aliases,
            Shared,
        ]),
    ]
    .boxed()
}

impl Focus {
    /// One of two numbers: the second one where this is the subject.
    pub(super) fn more(self, subject: Subject, usually: u32, more: u32) -> u32 {
        if self.subject == subject { more } else { usually }
    }
}
