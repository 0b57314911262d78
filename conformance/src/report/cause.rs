//! What findings have in common: causes, and the rules of oracles.

use std::collections::BTreeMap;

use super::{Report, ScenarioResult};
use crate::verdict::{Cause, Finding, Verdict};

/// One fault of the target, and what came of it.
#[derive(Clone, Debug)]
pub struct CauseResult<'a> {
    /// What its findings have in common.
    pub cause: Cause,
    /// [`Verdict::Fail`], or [`Verdict::Advisory`] where it breaks no MUST.
    pub verdict: Verdict,
    /// The result that shows it best, and the finding in it.
    pub witness: (&'a ScenarioResult, &'a Finding),
    /// The scenarios that fail by it, or are advisory.
    pub shown_by: Vec<&'static str>,
    /// The scenarios that it blocks.
    pub blocks: Vec<&'static str>,
    /// The scenarios in whose traces oracles found it.
    pub found_in: Vec<&'static str>,
}

/// What one rule of an oracle came to over all traces.
#[derive(Clone, Debug)]
pub struct RuleResult<'a> {
    /// Such as `oracle/delivery/MQTT-3.3.2-6`.
    pub id: String,
    /// The requirement.
    pub requirement: &'static str,
    /// Pass, fail, or advisory where the requirement is no MUST.
    pub verdict: Verdict,
    /// The results whose traces break it, each with its first finding.
    pub broken_in: Vec<(&'a ScenarioResult, &'a Finding)>,
}

/// What kind of part a finding has in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Shown,
    Blocks,
    Found,
}

/// The causes of all that was found in a report: failures first, then by how much they explain.
pub fn causes(report: &Report) -> Vec<CauseResult<'_>> {
    let mut causes: BTreeMap<Cause, CauseResult<'_>> = BTreeMap::new();
    for result in report.scenarios.iter().filter(|result| result.verdict != Verdict::Unsteady) {
        for (finding, part) in parts(result) {
            let Some(cause) = finding.cause() else { continue };
            let entry = causes
                .entry(cause.clone())
                .or_insert_with(|| CauseResult::new(cause, result, finding));
            entry.add(result, finding, part);
        }
    }
    let mut causes: Vec<_> = causes.into_values().collect();
    causes.sort_by_key(|cause| (cause.verdict != Verdict::Fail, usize::MAX - cause.weight()));
    causes
}

fn parts(result: &ScenarioResult) -> impl Iterator<Item = (&Finding, Part)> {
    let own =
        result.findings.iter().enumerate().map(|(place, finding)| match (place, result.verdict) {
            (0, Verdict::Blocked) => (finding, Part::Blocks),
            _ => (finding, Part::Shown),
        });
    own.chain(result.oracles.iter().map(|finding| (finding, Part::Found)))
}

impl<'a> CauseResult<'a> {
    fn new(cause: Cause, result: &'a ScenarioResult, finding: &'a Finding) -> CauseResult<'a> {
        let verdict = if finding.is_failure() { Verdict::Fail } else { Verdict::Advisory };
        CauseResult {
            cause,
            verdict,
            witness: (result, finding),
            shown_by: Vec::new(),
            blocks: Vec::new(),
            found_in: Vec::new(),
        }
    }

    fn add(&mut self, result: &'a ScenarioResult, finding: &'a Finding, part: Part) {
        let list = match part {
            Part::Shown => &mut self.shown_by,
            Part::Blocks => &mut self.blocks,
            Part::Found => &mut self.found_in,
        };
        if list.last() != Some(&result.id) {
            list.push(result.id);
        }
        // Who is about it shows it best, and of those the shortest trace.
        let rank = |result: &ScenarioResult| {
            (!result.requirements.contains(&self.cause.requirement), result.trace.len())
        };
        if rank(result) < rank(self.witness.0) {
            self.witness = (result, finding);
        }
    }

    /// How many results it touches.
    pub fn weight(&self) -> usize {
        self.shown_by.len() + self.blocks.len() + self.found_in.len()
    }
}

/// What every rule of every oracle came to, in the order of the oracles.
pub fn rules(report: &Report) -> Vec<RuleResult<'_>> {
    let rules = crate::oracle::all().iter().flat_map(|oracle| {
        oracle.requirements.iter().map(|requirement| rule(report, oracle.name, requirement))
    });
    rules.collect()
}

fn rule<'a>(report: &'a Report, oracle: &str, requirement: &'static str) -> RuleResult<'a> {
    let breaks = |finding: &&Finding| {
        finding.oracle == Some(oracle) && finding.requirement == Some(requirement)
    };
    let broken_in: Vec<_> = report
        .scenarios
        .iter()
        .filter(|result| result.verdict != Verdict::Unsteady)
        .filter_map(|result| Some((result, result.oracles.iter().find(breaks)?)))
        .collect();
    let verdict = match broken_in.first() {
        None => Verdict::Pass,
        Some((_, finding)) if finding.is_failure() => Verdict::Fail,
        Some(_) => Verdict::Advisory,
    };
    RuleResult { id: format!("oracle/{oracle}/{requirement}"), requirement, verdict, broken_in }
}
