//! The chameleon: the embedded broker with a switch for each other choice that the standard leaves
//! open. A scenario or oracle that finds fault with a switch, or a mixture of them, is wrong.
//!
//! A switch sets the core's configuration, puts [rules](crate::boundary) around it, or lays a
//! [`Wire`] between it and its clients. It says what leaves it the choice, which other switches it
//! excludes, which SHOULDs it forgoes knowingly, what it takes away, and whether it has bounds that
//! are met unforeseen, so that nothing else may become an advisory, not applicable or inconclusive
//! under it. A file a theme.

mod acknowledging;
mod closing;
mod connecting;
mod delivery;
mod identifying;
mod limits;
mod mixture;
mod on_the_wire;
mod refusing;
mod resuming;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
mod timing;
mod trial;

use std::sync::OnceLock;

use reference_broker::codec::Packet;
use reference_broker::core::Config;

use crate::boundary::Rules;
use crate::boundary::rules::At;
use crate::target::Wire;

pub use mixture::Mixtures;
pub(crate) use timing::wills_late;
pub use trial::{Baseline, Trial, Wrong, try_switches};

/// One other choice that the standard leaves open.
#[derive(Clone, Copy)]
pub struct Switch {
    /// Its name, such as `closes-without-disconnect`; never renamed.
    pub name: &'static str,
    /// What the broker does under it, in one line.
    pub does: &'static str,
    /// The sections or requirements that leave this open.
    pub allowed_by: &'static [&'static str],
    /// Choices of which a broker takes one: it excludes all others that name the same.
    groups: &'static [&'static str],
    /// Requirements at SHOULD that it does not follow: advisories about them are no surprise.
    forgoes: &'static [&'static str],
    /// Whether it takes away something that scenarios may need, which they see and say.
    limits: bool,
    /// Whether it has bounds that are met unforeseen: a Reason Code says so then, and the scenario may
    /// be inconclusive.
    bounds: bool,
    /// Scenarios that cannot show what they are about under it.
    leaves_out: &'static [&'static str],
    configure: fn(&mut Config),
    rules: fn() -> Rules,
    lay: fn(&mut Wire),
}

impl Switch {
    const fn new(
        name: &'static str,
        does: &'static str,
        allowed_by: &'static [&'static str],
    ) -> Switch {
        Switch {
            name,
            does,
            allowed_by,
            groups: &[],
            forgoes: &[],
            limits: false,
            bounds: false,
            leaves_out: &[],
            configure: |_| (),
            rules: Rules::new,
            lay: |_| (),
        }
    }

    /// Sets the core's own choices.
    const fn configured(mut self, configure: fn(&mut Config)) -> Switch {
        self.configure = configure;
        self
    }

    /// Puts rules around the core.
    const fn ruled(mut self, rules: fn() -> Rules) -> Switch {
        self.rules = rules;
        self
    }

    /// Changes what lies between broker and clients.
    const fn wired(mut self, lay: fn(&mut Wire)) -> Switch {
        self.lay = lay;
        self
    }

    /// Excludes all others that are one of the same.
    const fn one_of(mut self, groups: &'static [&'static str]) -> Switch {
        self.groups = groups;
        self
    }

    /// Does not follow these SHOULDs.
    const fn forgoes(mut self, requirements: &'static [&'static str]) -> Switch {
        self.forgoes = requirements;
        self
    }

    /// Takes away something that scenarios may need.
    const fn limits(mut self) -> Switch {
        self.limits = true;
        self
    }

    /// Has bounds that clients are told of when they meet them.
    const fn bounds(mut self) -> Switch {
        self.bounds = true;
        self
    }

    /// Leaves these scenarios nothing to show.
    const fn leaves_out(mut self, scenarios: &'static [&'static str]) -> Switch {
        self.leaves_out = scenarios;
        self
    }

    /// Sets the core's own choices.
    pub fn configure(&self, config: &mut Config) {
        (self.configure)(config);
    }

    /// Makes its rules, for one broker.
    pub fn rules(&self) -> Rules {
        (self.rules)()
    }

    /// Changes what lies between the broker and its clients.
    pub fn lay(&self, wire: &mut Wire) {
        (self.lay)(wire);
    }

    /// Whether any of it is made in the stream between broker and clients.
    pub fn is_in_stream(&self) -> bool {
        let mut wire = Wire::default();
        self.lay(&mut wire);
        wire != Wire::default()
    }

    /// Whether a broker cannot take both choices.
    pub fn excludes(&self, other: &Switch) -> bool {
        self != other && self.groups.iter().any(|group| other.groups.contains(group))
    }
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Switch").field(&self.name).finish()
    }
}

impl PartialEq for Switch {
    fn eq(&self, other: &Switch) -> bool {
        self.name == other.name
    }
}

impl Eq for Switch {}

/// Every switch. The rules of the first are nearest to the clients.
pub fn all() -> &'static [Switch] {
    static ALL: OnceLock<Vec<Switch>> = OnceLock::new();
    ALL.get_or_init(|| LISTS.concat())
}

/// Where the switch stands among all.
pub(crate) fn place(switch: &Switch) -> usize {
    all().iter().position(|other| other == switch).unwrap_or(usize::MAX)
}

/// The switch of this name.
pub fn find(name: &str) -> Option<&'static Switch> {
    all().iter().find(|switch| switch.name == name)
}

/// The name most like this one.
pub fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let names = all().iter().map(|switch| switch.name);
    names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.8)
}

/// Nearest to the clients is what must see all that goes to them: how connections end, how fast
/// they are, how packets look. What holds messages back stands nearest to the core.
const LISTS: &[&[Switch]] = &[
    closing::SWITCHES,
    on_the_wire::SWITCHES,
    timing::SWITCHES,
    acknowledging::SWITCHES,
    resuming::SWITCHES,
    connecting::SWITCHES,
    identifying::SWITCHES,
    limits::SWITCHES,
    refusing::SWITCHES,
    delivery::SWITCHES,
];

/// Whether the connection has been accepted. Before that only CONNACK may be sent over it.
fn is_accepted(at: At<'_>) -> bool {
    at.client().is_some_and(|client| client.accepted)
}

/// Whether the client takes a packet of this size.
fn fits(packet: &Packet, at: At<'_>) -> bool {
    use reference_broker::codec::PropertyId::MaximumPacketSize;

    let limit = at.client().map(|client| client.connect.properties.number(MaximumPacketSize));
    match (limit, packet.encoded_len()) {
        (Some(limit), Ok(size)) => limit.is_none_or(|limit| size <= limit as usize),
        // Of a CONNECT that could not be read nothing is known.
        (None, _) | (_, Err(_)) => false,
    }
}
