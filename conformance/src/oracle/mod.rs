//! Invariants: what holds on every trace, whatever the scenario is about.
//!
//! An oracle reads the events of one trace in order, over all its connections, keeps what it needs,
//! and ends with findings that point into the trace. The runner asks all of them after every
//! scenario. What they find is a result of its own, `oracle/NAME/REQUIREMENT`; it makes a scenario fail
//! only if that cites the requirement. A file
//! an oracle; each has traces that it accepts and traces that it rejects under
//! `fixtures/traces/oracle/NAME`, written by hand: a comment `# ! REQUIREMENT` stands before each
//! event that is to be found.
//!
//! What an oracle may rely on:
//! - A name in the trace is one network connection ([`Event::probe`]).
//! - A packet stands where the probe *read* it. The order within what one connection received, and
//!   within what it sent, is the true one; that of received against sent, or between connections,
//!   is not: the broker may have sent long before.
//! - What the probe never read is not in the trace, so nothing follows from what is missing.
//! - Probes break the rules on purpose. After an error of its own client a connection is judged only
//!   by what holds regardless.

mod acknowledgements;
mod after_disconnect;
mod allowed;
mod connections;
mod delivery;
mod exchange;
mod handshake;
mod maximum_packet_size;
mod no_resend;
mod ordering;
mod packet_ids;
mod qos2;
mod receive_maximum;
mod session_present;
mod sessions;
mod subscriptions;
pub mod tester;
#[cfg(test)]
mod tests;
mod well_formed;

use crate::trace::{Event, What};
use crate::verdict::{Finding, step};
use connections::Reading;

/// One invariant.
#[derive(Clone, Copy)]
pub struct Oracle {
    /// Its name in reports, such as `packet-ids`; never renamed.
    pub name: &'static str,
    /// What holds, in one line.
    pub holds: &'static str,
    /// The requirements that its findings cite.
    pub requirements: &'static [&'static str],
    judge: fn(&Reading<'_>, &mut Findings),
}

impl std::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Oracle").field(&self.name).finish()
    }
}

/// What an oracle has found.
#[derive(Debug)]
pub(crate) struct Findings {
    oracle: &'static str,
    limit: usize,
    found: Vec<Finding>,
}

/// No trace gets more findings of one oracle than this: the first ones tell.
const FINDINGS_LIMIT: usize = 8;

impl Findings {
    /// Notes that the event breaks the requirement.
    pub(crate) fn add(
        &mut self,
        requirement: &'static str,
        event: usize,
        expected: impl Into<String>,
        observed: impl Into<String>,
    ) {
        if self.found.len() < self.limit {
            self.found.push(Finding {
                requirement: Some(requirement),
                oracle: Some(self.oracle),
                step: step::ORACLE,
                expected: expected.into(),
                observed: observed.into(),
                seen: String::new(),
                event: Some(event),
                known: None,
            });
        }
    }
}

impl Oracle {
    /// Judges a trace.
    pub fn judge(&self, trace: &[Event]) -> Vec<Finding> {
        self.judge_within(&Reading::of(trace), FINDINGS_LIMIT)
    }

    fn judge_within(&self, reading: &Reading<'_>, limit: usize) -> Vec<Finding> {
        let mut findings = Findings { oracle: self.name, limit, found: Vec::new() };
        (self.judge)(reading, &mut findings);
        findings.found
    }
}

/// Every oracle.
pub fn all() -> &'static [Oracle] {
    ALL
}

/// The oracle of this name.
pub fn find(name: &str) -> Option<&'static Oracle> {
    all().iter().find(|oracle| oracle.name == name)
}

/// The id of the rule of an oracle.
pub(crate) fn rule(oracle: &str, requirement: &str) -> String {
    format!("oracle/{oracle}/{requirement}")
}

/// The ids of all rules of all oracles.
pub fn rules() -> impl Iterator<Item = String> {
    all().iter().flat_map(|oracle| {
        oracle.requirements.iter().map(|requirement| rule(oracle.name, requirement))
    })
}

/// What all oracles find in a trace.
pub fn judge(trace: &[Event]) -> Vec<Finding> {
    // What outlives a restart is for whoever runs the broker to claim, and for scenarios to see.
    let is_restart = |event: &Event| matches!(event.what, What::Restarted(_));
    let before = trace.iter().position(is_restart).unwrap_or(trace.len());
    let trace = &trace[..before];
    let reading = Reading::of(trace);
    all().iter().flat_map(|oracle| oracle.judge_within(&reading, FINDINGS_LIMIT)).collect()
}

const ALL: &[Oracle] = &[
    after_disconnect::ORACLE,
    allowed::ORACLE,
    delivery::ORACLE,
    maximum_packet_size::ORACLE,
    session_present::ORACLE,
    well_formed::ORACLE,
    handshake::ORACLE,
    packet_ids::ORACLE,
    acknowledgements::ORACLE,
    qos2::ORACLE,
    receive_maximum::ORACLE,
    no_resend::ORACLE,
    ordering::ORACLE,
];
