//! What binds the suite itself: oracles over what probes *send*.
//!
//! A client that breaks the rules may be refused, closed or ignored for it, and that says nothing of
//! the broker. So every trace is held to the client's MUSTs too. A scenario that breaks one on
//! purpose says which; any other breach is the suite's own fault, and never the broker's.
//!
//! What a probe had not read when it sent does not bind it, and what a broker provokes by breaking
//! a rule itself (a session out of nowhere, say) is not judged. Nor is what a client MUST do without
//! a time being set for it: a scenario may end before.

mod acknowledging;
mod announced;
mod conversation;
mod form;
mod keep_alive;
mod receive_maximum;
mod sending;

use super::connections::Reading;
use super::{FINDINGS_LIMIT, Oracle};
use crate::trace::Event;
use crate::verdict::Finding;

/// Every oracle over what probes send.
pub fn all() -> &'static [Oracle] {
    ALL
}

/// The rules that the suite broke in a trace, in the order of its events.
pub fn judge(trace: &[Event]) -> Vec<Finding> {
    let reading = Reading::of(trace);
    let judged = all().iter().flat_map(|oracle| oracle.judge_within(&reading, FINDINGS_LIMIT));
    let mut found: Vec<_> = judged.collect();
    found.sort_by_key(|finding| finding.event);
    found
}

const ALL: &[Oracle] = &[
    form::ORACLE,
    conversation::ORACLE,
    announced::ORACLE,
    receive_maximum::ORACLE,
    sending::ORACLE,
    acknowledging::ORACLE,
    keep_alive::ORACLE,
];
