//! What findings have in common: causes, and the rules of oracles.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Report, ScenarioResult};
use crate::verdict::{Cause, Finding, Verdict, step};

/// One fault of the target, and what came of it.
#[derive(Clone, Debug)]
pub struct CauseResult<'a> {
    /// What its findings have in common, or most of them.
    pub cause: Cause,
    /// The other forms in which it was found.
    pub also: BTreeSet<Cause>,
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
/// before others, then by how much they explain. What breaks one requirement in one trace is one
/// fault, whoever found it, and so is what breaks a requirement that an oracle holds every trace to.
pub fn causes(report: &Report) -> Vec<CauseResult<'_>> {
    let faults = Faults::of(report);
    let mut causes: BTreeMap<Cause, CauseResult<'_>> = BTreeMap::new();
    for result in steady(report) {
        for (finding, part) in parts(result) {
            let Some(form) = finding.cause() else { continue };
            let entry = causes
                .entry(faults.first_of(&form))
                .or_insert_with(|| CauseResult::new(&form, result, finding));
            entry.add(form, result, finding, part);
        }
    }
    let mut causes: Vec<_> = causes.into_values().collect();
    causes.iter_mut().for_each(|cause| cause.name(&faults));
    causes.sort_by_key(|cause| {
        (cause.verdict != Verdict::Fail, cause.expected, Reverse(cause.weight()))
    });
    causes
}

fn steady(report: &Report) -> impl Iterator<Item = &ScenarioResult> {
    report.scenarios.iter().filter(|result| result.verdict != Verdict::Unsteady)
}

/// Which forms are of one fault, and how often each was found.
#[derive(Debug, Default)]
struct Faults {
    /// An earlier form of the same fault.
    earlier: BTreeMap<Cause, Cause>,
    counts: BTreeMap<Cause, usize>,
}

impl Faults {
    fn of(report: &Report) -> Faults {
        let mut faults = Faults::default();
        let found = || {
            steady(report).enumerate().flat_map(|(place, result)| {
                parts(result).filter_map(move |(finding, _)| {
                    let form = finding.cause()?;
                    let broken = (form.requirement, result.fails_by(finding));
                    Some((form, broken, place))
                })
            })
        };
        // What breaks a rule of an oracle's breaks it wherever it is found.
        let of_oracles = found().filter(|(form, ..)| form.step == step::ORACLE);
        let rules: BTreeSet<_> = of_oracles.map(|(_, broken, _)| broken).collect();
        let mut first: BTreeMap<_, Cause> = BTreeMap::new();
        for (form, broken, place) in found() {
            *faults.counts.entry(form.clone()).or_default() += 1;
            let place = (!rules.contains(&broken)).then_some(place);
            faults.join(first.entry((broken, place)).or_insert_with(|| form.clone()), &form);
        }
        faults
    }

    /// The form that stands for all that are of one fault with this.
    fn first_of(&self, form: &Cause) -> Cause {
        let mut first = form;
        while let Some(earlier) = self.earlier.get(first) {
            first = earlier;
        }
        first.clone()
    }

    fn join(&mut self, one: &Cause, other: &Cause) {
        let (one, other) = (self.first_of(one), self.first_of(other));
        if one != other {
            self.earlier.insert(other, one);
        }
    }
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
    fn new(form: &Cause, result: &'a ScenarioResult, finding: &'a Finding) -> CauseResult<'a> {
        CauseResult {
            cause: form.clone(),
            also: BTreeSet::new(),
            verdict: Verdict::Advisory,
            expected: true,
            witness: (result, finding),
            shown_by: Vec::new(),
            blocks: Vec::new(),
            found_in: Vec::new(),
            known: Vec::new(),
        }
    }

    fn add(&mut self, form: Cause, result: &'a ScenarioResult, finding: &'a Finding, part: Part) {
        self.also.insert(form);
        let list = match part {
            Part::Shown => &mut self.shown_by,
            Part::Blocks => &mut self.blocks,
            Part::Found => &mut self.found_in,
        };
        list.push(result.id);
        list.dedup();
        if [self.shown_by.last(), self.blocks.last()].contains(&Some(&result.id)) {
            self.found_in.pop_if(|id| *id == result.id);
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

    /// Gives it the name of the form that was found most.
    fn name(&mut self, faults: &Faults) {
        let most = self.also.iter().max_by_key(|form| faults.counts.get(form)).cloned();
        self.cause = most.unwrap_or_else(|| self.cause.clone());
        self.also.remove(&self.cause);
    }

    /// How many results it touches.
    pub fn weight(&self) -> usize {
        self.shown_by.len() + self.blocks.len() + self.found_in.len()
    }
}

/// The ids of the causes that findings are of.
#[derive(Clone, Debug)]
pub struct CauseNames(BTreeMap<Cause, String>);

impl CauseNames {
    /// Those of the causes of a report.
    pub fn new(causes: &[CauseResult<'_>]) -> CauseNames {
        let forms = causes.iter().flat_map(|cause| {
            let forms = std::iter::once(&cause.cause).chain(&cause.also).cloned();
            forms.map(|form| (form, cause.cause.id()))
        });
        CauseNames(forms.collect())
    }

    /// The id of the cause that this finding is of; what was not seen twice is of none, and has its own.
    /// None where it says nothing of the target.
    pub fn of(&self, finding: &Finding) -> Option<String> {
        let form = finding.cause()?;
        Some(self.0.get(&form).cloned().unwrap_or_else(|| form.id()))
    }
}

/// What every rule of every oracle came to, in the order of the oracles.
pub fn rules(report: &Report) -> Vec<RuleResult<'_>> {
    let mut broken: BTreeMap<(&str, &str), Vec<(&ScenarioResult, &Finding)>> = BTreeMap::new();
    for result in steady(report) {
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
    let mut seen = BTreeSet::new();
    findings.retain(|(result, _)| seen.insert(result.id));
    let id = crate::oracle::rule(oracle, requirement);
    RuleResult { id, requirement, verdict, expected, broken_in: findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_breaks_one_requirement_in_one_trace_is_one_fault() {
        let mut report = fixture::faulty(3);
        for result in &mut report.scenarios {
            result.findings[0].requirement = Some("MQTT-3.3.1-12");
        }
        let another =
            Finding { expected: "a close".to_owned(), ..report.scenarios[0].findings[0].clone() };
        report.scenarios[0].findings.push(another.clone());
        report.scenarios[1].findings.push(another);
        let causes = causes(&report);
        let counts: Vec<_> = causes.iter().map(|it| (it.shown_by.len(), it.also.len())).collect();
        assert_eq!(counts, [(2, 2), (1, 0)]);
    }

    #[test]
    fn what_breaks_a_rule_of_an_oracle_is_one_fault() {
        let mut report = fixture::faulty(3);
        let requirement = "MQTT-3.3.1-12";
        for (place, result) in report.scenarios.iter_mut().enumerate() {
            let own = Finding { requirement: Some(requirement), ..result.findings[0].clone() };
            let rule = Finding {
                oracle: Some("delivery"),
                step: step::ORACLE,
                expected: "RETAIN 0".to_owned(),
                seen: "RETAIN 1".to_owned(),
                ..own.clone()
            };
            result.findings = vec![own];
            // Of the last, only the requirement is the same.
            result.oracles = if place < 2 { vec![rule] } else { Vec::new() };
        }
        let causes = causes(&report);
        let counts: Vec<_> = causes.iter().map(|it| (it.shown_by.len(), it.also.len())).collect();
        assert_eq!(counts, [(3, 3)]);
        assert_eq!(causes[0].cause.step, step::ORACLE, "found twice");
        assert!(causes[0].found_in.is_empty(), "{:?}", causes[0].found_in);
        let names = CauseNames::new(&causes);
        for result in &report.scenarios {
            for finding in result.findings.iter().chain(&result.oracles) {
                assert_eq!(names.of(finding), Some(causes[0].cause.id()));
            }
        }
    }
}
