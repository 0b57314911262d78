//! The result of a run, and its writers.
//!
//! A [`Report`] is plain data. Each writer takes it and an [`std::io::Write`]; none prints, reads a
//! clock or asks the environment. What a target sent may hold anything: JSON keeps it in its own
//! escapes, the others show control characters as `\u{1b}`.

pub mod badge;
mod by_cause;
mod cause;
pub mod compare;
pub mod coverage;
#[cfg(test)]
pub(crate) mod fixture;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
mod obstacle;
pub mod pcapng;
pub mod portrait;
pub mod progress;
pub mod read;
mod section;
mod standard;
mod table;
pub mod terminal;
mod text;

pub use cause::{CauseNames, CauseResult, RuleResult, causes, rules};
pub(crate) use markdown::text as markdown_text;
pub use obstacle::{Obstacle, obstacles};
pub use section::title;
pub use standard::link as standard_link;
pub use text::counted;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::trace::{Event, event_line, name_width};
use crate::verdict::{Finding, Verdict, step};

/// The result of one scenario.
#[derive(Clone, Debug)]
pub struct ScenarioResult {
    /// Its id.
    pub id: &'static str,
    /// The section of the standard it belongs to, such as `3.1`.
    pub section: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// The requirements it proves.
    pub requirements: Vec<&'static str>,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether that verdict was to be expected: no failure, or a known deviation.
    pub expected: bool,
    /// Why a deviation is known, or why the scenario does not apply.
    pub reason: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// What its steps found, worst first; empty when it passed.
    pub findings: Vec<Finding>,
    /// What the oracles found in its trace. They are results of their own, but for what the scenario
    /// is about itself.
    pub oracles: Vec<Finding>,
    /// The mutants under which the embedded broker shows the same, if it fails.
    pub looks_like: Vec<&'static str>,
    /// What happened on its connections.
    pub trace: Vec<Event>,
    /// What it came to when it was run once more, if it is unsteady.
    pub again: Option<Box<ScenarioResult>>,
    /// The bytes of the packets that were received, by their places in the trace; none where there is
    /// nothing to show.
    pub bytes: BTreeMap<usize, Bytes>,
}

/// What is to be said of the list of known deviations itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What it lists that is not there, in words. None of it is a scenario's.
    pub stale: Vec<String>,
    /// How many of its reasons have still to be given.
    pub unfilled: usize,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The target as it was given.
    pub target: String,
    /// The arguments that choose this target again, to be put after `mqttspec run`, quoted where a shell
    /// asks for it.
    pub rerun: String,
    /// What the target declared in its CONNACK, as lines `name: value`.
    pub capabilities: Vec<(String, String)>,
    /// Results in the order of the registry.
    pub scenarios: Vec<ScenarioResult>,
    /// How long the run took.
    pub duration: Duration,
    /// Whether it was ended before all selected scenarios had run.
    pub interrupted: bool,
    /// What is to be said of the list of known deviations.
    pub listed: Listed,
    /// Why it ended before that otherwise, as a sentence: the target could not be tested, or was lost.
    pub trouble: Option<String>,
    /// What concerns the run as a whole and a reader should know first: limits that were met, and
    /// what may be left on the target.
    pub notes: Vec<String>,
}

/// How many scenarios came to each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All scenarios that ran or were found not to apply.
    pub scenarios: usize,
    /// Passed.
    pub pass: usize,
    /// Failed.
    pub fail: usize,
    /// Advisory.
    pub advisory: usize,
    /// Blocked.
    pub blocked: usize,
    /// Not applicable.
    pub not_applicable: usize,
    /// Inconclusive.
    pub inconclusive: usize,
    /// Unsteady.
    pub unsteady: usize,
    /// Scenarios, rules of oracles and entries of the list that are not as expected.
    pub unexpected: usize,
    /// Known deviations among the scenarios and the rules of oracles.
    pub known_deviations: usize,
}

impl Totals {
    /// How many came to this verdict.
    pub fn of(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Pass => self.pass,
            Verdict::Fail => self.fail,
            Verdict::Advisory => self.advisory,
            Verdict::Blocked => self.blocked,
            Verdict::NotApplicable => self.not_applicable,
            Verdict::Inconclusive => self.inconclusive,
            Verdict::Unsteady => self.unsteady,
        }
    }
}

impl ScenarioResult {
    /// Whether a person should see it whole: it was not expected, or says nothing.
    pub fn needs_a_look(&self) -> bool {
        !self.expected || self.verdict == Verdict::Inconclusive
    }

    /// Whether it fails by this finding of its own or of an oracle's; else that is an advisory.
    pub fn fails_by(&self, finding: &Finding) -> bool {
        let is_first = || self.findings.first().is_some_and(|first| is_same(first, finding));
        finding.is_failure() || (self.verdict == Verdict::Fail && is_first())
    }

    /// Whether what an oracle found is among its own findings, because it is about that.
    pub fn has(&self, found: &Finding) -> bool {
        self.findings.iter().any(|own| is_same(own, found))
    }

    /// What blocks it.
    pub fn blocked_by(&self) -> Option<&Finding> {
        self.findings.first().filter(|_| self.verdict == Verdict::Blocked)
    }

    /// Whether its verdict is that of a known deviation.
    pub fn is_known_deviation(&self) -> bool {
        self.expected
            && match self.verdict {
                Verdict::Fail => true,
                Verdict::Advisory => self.reason.is_some(),
                Verdict::Pass
                | Verdict::Blocked
                | Verdict::NotApplicable
                | Verdict::Inconclusive
                | Verdict::Unsteady => false,
            }
    }
}

impl Report {
    /// Counts the verdicts.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { scenarios: self.scenarios.len(), ..Totals::default() };
        for scenario in &self.scenarios {
            let count = match scenario.verdict {
                Verdict::Pass => &mut totals.pass,
                Verdict::Fail => &mut totals.fail,
                Verdict::Advisory => &mut totals.advisory,
                Verdict::Blocked => &mut totals.blocked,
                Verdict::NotApplicable => &mut totals.not_applicable,
                Verdict::Unsteady => &mut totals.unsteady,
                Verdict::Inconclusive => &mut totals.inconclusive,
            };
            *count += 1;
            totals.unexpected += usize::from(!scenario.expected);
            totals.known_deviations += usize::from(scenario.is_known_deviation());
        }
        for rule in rules(self).iter().filter(|rule| rule.verdict == Verdict::Fail) {
            match rule.expected {
                true => totals.known_deviations += 1,
                false => totals.unexpected += 1,
            }
        }
        totals.unexpected += self.listed.stale.len();
        totals
    }

    /// The results by section, sections in the order of their first result.
    pub fn sections(&self) -> Vec<(&'static str, Vec<&ScenarioResult>)> {
        let mut sections: Vec<(&str, Vec<&ScenarioResult>)> = Vec::new();
        for scenario in &self.scenarios {
            match sections.iter_mut().find(|(section, _)| *section == scenario.section) {
                Some((_, results)) => results.push(scenario),
                None => sections.push((scenario.section, vec![scenario])),
            }
        }
        sections
    }

    /// The command that runs one of its scenarios again, alone.
    pub fn rerun_command(&self, id: &str) -> String {
        let words = ["mqttspec", "run", &self.rerun, id];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Whether two findings are one, whatever is known of it.
fn is_same(one: &Finding, other: &Finding) -> bool {
    let parts =
        |finding: &Finding| (finding.oracle, finding.requirement, finding.step, finding.event);
    parts(one) == parts(other) && one.expected == other.expected && one.observed == other.observed
}

/// Who found it, or in what step, where no check of the scenario did: ` (oracle packet-ids)`.
fn by_whom(finding: &Finding) -> String {
    match (finding.oracle, finding.step) {
        (Some(name), _) => format!(" (oracle {name})"),
        (None, step::CHECK | step::ADVICE | step::ORACLE) => String::new(),
        (None, step) => format!(" (step: {step})"),
    }
}

/// The lines of a trace, one an event, so that a finding's event is its line.
fn trace_lines(trace: &[Event]) -> Vec<String> {
    let width = name_width(trace);
    trace.iter().map(|event| event_line(event, width)).collect()
}
