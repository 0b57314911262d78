//! What findings have in common: causes, and the rules of oracles.

use std::cmp::Reverse;
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
    /// Whether it was to be expected: it breaks no MUST, or is a known deviation wherever it is found.
    pub expected: bool,
    /// The result that shows it best, and the finding in it.
    pub witness: (&'a ScenarioResult, &'a Finding),
    /// The scenarios that fail by it, or are advisory.
    pub shown_by: Vec<&'static str>,
    /// The scenarios that it blocks.
    pub blocks: Vec<&'static str>,
    /// The scenarios that are not about it, in whose traces oracles found it.
    pub found_in: Vec<&'static str>,
    /// Those of all these of which it is known.
    pub known: Vec<&'static str>,
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
    /// Whether that was to be expected.
    pub expected: bool,
    /// The results whose traces break it, each with its first finding, those that are not known first.
    pub broken_in: Vec<(&'a ScenarioResult, &'a Finding)>,
}

/// What kind of part a finding has in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Shown,
    Blocks,
    Found,
}

/// The causes of all that was found in a report: failures first, those that were not to be expected
/// before others, then by how much they explain.
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
    causes.sort_by_key(|cause| {
        (cause.verdict != Verdict::Fail, cause.expected, Reverse(cause.weight()))
    });
    causes
}

fn parts(result: &ScenarioResult) -> impl Iterator<Item = (&Finding, Part)> {
    let own =
        result.findings.iter().enumerate().map(|(place, finding)| match (place, result.verdict) {
            (0, Verdict::Blocked) => (finding, Part::Blocks),
            _ => (finding, Part::Shown),
        });
    let found = result.oracles.iter().filter(|finding| !result.has(finding));
    own.chain(found.map(|finding| (finding, Part::Found)))
}

impl<'a> CauseResult<'a> {
    fn new(cause: Cause, result: &'a ScenarioResult, finding: &'a Finding) -> CauseResult<'a> {
        CauseResult {
            cause,
            verdict: Verdict::Advisory,
            expected: true,
            witness: (result, finding),
            shown_by: Vec::new(),
            blocks: Vec::new(),
            found_in: Vec::new(),
            known: Vec::new(),
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
        let fails = result.fails_by(finding);
        if fails {
            self.verdict = Verdict::Fail;
            self.expected &= finding.known.is_some();
        }
        if finding.known.is_some() && self.known.last() != Some(&result.id) {
            self.known.push(result.id);
        }
        // What is news and about it shows it best, and of those the shortest trace.
        let rank = |(result, finding): (&ScenarioResult, &Finding)| {
            let is_elsewhere = !result.requirements.contains(&self.cause.requirement);
            (!result.fails_by(finding), finding.known.is_some(), is_elsewhere, result.trace.len())
        };
        if rank((result, finding)) < rank(self.witness) {
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
    let mut broken: BTreeMap<(&str, &str), Vec<(&ScenarioResult, &Finding)>> = BTreeMap::new();
    for result in report.scenarios.iter().filter(|result| result.verdict != Verdict::Unsteady) {
        for finding in &result.oracles {
            if let (Some(oracle), Some(requirement)) = (finding.oracle, finding.requirement) {
                broken.entry((oracle, requirement)).or_default().push((result, finding));
            }
        }
    }
    let mut rules = Vec::new();
    for oracle in crate::oracle::all() {
        for requirement in oracle.requirements {
            let findings = broken.remove(&(oracle.name, *requirement)).unwrap_or_default();
            rules.push(rule(oracle.name, requirement, findings));
        }
    }
    rules
}

fn rule<'a>(
    oracle: &str,
    requirement: &'static str,
    mut findings: Vec<(&'a ScenarioResult, &'a Finding)>,
) -> RuleResult<'a> {
    let verdict = match findings.first() {
        None => Verdict::Pass,
        Some((_, finding)) if finding.is_failure() => Verdict::Fail,
        Some(_) => Verdict::Advisory,
    };
    let is_news = |finding: &Finding| finding.is_failure() && finding.known.is_none();
    let expected = !findings.iter().any(|(_, finding)| is_news(finding));
    findings.sort_by_key(|(_, finding)| !is_news(finding));
    let mut seen = std::collections::BTreeSet::new();
    findings.retain(|(result, _)| seen.insert(result.id));
    let id = crate::oracle::rule(oracle, requirement);
    RuleResult { id, requirement, verdict, expected, broken_in: findings }
}
