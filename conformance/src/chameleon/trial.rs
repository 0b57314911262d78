use std::collections::{BTreeMap, BTreeSet};

use crate::probe::{TOO_LARGE, policies_of};
use crate::report::{Report, ScenarioResult};
use crate::runner::{Options, RunError, run};
use crate::scenario::Scenario;
use crate::target::{Target, Variant};
use crate::trace::{What, to_text};
use crate::verdict::{Finding, Verdict};

use super::Switch;

type Scenarios<'a> = &'a [(usize, &'static Scenario)];

/// What the plain broker comes to: what switches are compared with.
#[derive(Debug)]
pub struct Baseline {
    traces: BTreeMap<&'static str, String>,
    advisories: BTreeSet<(&'static str, Option<&'static str>)>,
}

impl Baseline {
    /// Runs scenarios against the plain broker.
    ///
    /// # Errors
    ///
    /// When no scenario could be run.
    pub async fn new(scenarios: Scenarios<'_>, options: &Options) -> Result<Baseline, RunError> {
        let report = run_plainly(&Variant::default(), scenarios, options).await?;
        let advisories = report.scenarios.iter().flat_map(|result| {
            result.findings.iter().map(|finding| (result.id, finding.requirement))
        });
        let traces = report.scenarios.iter().map(|result| (result.id, to_text(&result.trace)));
        Ok(Baseline { advisories: advisories.collect(), traces: traces.collect() })
    }

    fn differs(&self, result: &ScenarioResult) -> bool {
        result.verdict != Verdict::NotApplicable
            && self.traces.get(result.id).is_none_or(|trace| *trace != to_text(&result.trace))
    }
}

/// A wrong verdict on a broker that only chose otherwise.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Which scenario gave it, or on whose trace an oracle did.
    pub scenario: &'static Scenario,
    /// Its number, which its names are made of.
    pub index: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// What it found, if it did.
    pub finding: Option<Finding>,
    /// Why it did not apply, if so.
    pub reason: Option<String>,
    /// Under which choices.
    pub variant: Variant,
}

/// The suite against a broker with other choices.
#[derive(Debug)]
pub struct Trial {
    /// The choices.
    pub variant: Variant,
    /// How many scenarios passed, or were advisory about what the choices forgo.
    pub served: usize,
    /// How many did not apply, for what the choices take away.
    pub not_applicable: usize,
    /// How many were inconclusive, for bounds that the broker said it had.
    pub inconclusive: usize,
    /// How many of the others saw other packets, or at other times, than on the plain broker.
    pub differing: usize,
    /// What was wrong.
    pub wrong: Vec<Wrong>,
}

/// Runs scenarios under choices that do not exclude each other.
///
/// # Errors
///
/// When no scenario could be run.
pub async fn try_switches(
    variant: Variant,
    scenarios: Scenarios<'_>,
    baseline: &Baseline,
    options: &Options,
) -> Result<Trial, RunError> {
    let report = run_plainly(&variant, scenarios, options).await?;
    let results = || scenarios.iter().zip(&report.scenarios);
    let count = |which: &dyn Fn(&ScenarioResult) -> bool| {
        report.scenarios.iter().filter(|result| which(result)).count()
    };
    let wrong = results().filter_map(|((index, scenario), result)| {
        wrong(*index, scenario, result, &variant, baseline)
    });
    let wrong: Vec<_> = wrong.collect();
    let not_applicable = count(&|result| result.verdict == Verdict::NotApplicable);
    let odd = |verdict| wrong.iter().filter(|wrong| wrong.verdict == verdict).count();
    let inconclusive =
        count(&|result| result.verdict == Verdict::Inconclusive) - odd(Verdict::Inconclusive);
    let odd = wrong.len() - odd(Verdict::NotApplicable);
    let served = report.scenarios.len() - not_applicable - inconclusive - odd;
    let differing = count(&|result| baseline.differs(result));
    Ok(Trial { variant, served, not_applicable, inconclusive, differing, wrong })
}

impl Wrong {
    /// The fewest of its choices under which the scenario still gives a wrong verdict of the same
    /// kind: none of them could be left out.
    ///
    /// # Errors
    ///
    /// When the scenario could not be run.
    pub async fn shrunk(self, baseline: &Baseline, options: &Options) -> Result<Wrong, RunError> {
        let mut least = self;
        let mut at = 0;
        while at < least.variant.switches().len() {
            let mut fewer = least.variant.switches().to_vec();
            fewer.remove(at);
            let scenarios = [(least.index, least.scenario)];
            let Ok(variant) = Variant::choosing(fewer) else { break };
            let trial = try_switches(variant, &scenarios, baseline, options).await?;
            match trial.wrong.into_iter().find(|wrong| wrong.verdict == least.verdict) {
                Some(wrong) => least = wrong,
                None => at += 1,
            }
        }
        Ok(least)
    }

    /// The arguments of `mqttspec` that show it again.
    pub fn rerun(&self) -> String {
        format!("run '{}' {} -v", Target::Embedded(self.variant.clone()), self.scenario.id)
    }
}

async fn run_plainly(
    variant: &Variant,
    scenarios: Scenarios<'_>,
    options: &Options,
) -> Result<Report, RunError> {
    let target = Target::Embedded(variant.clone());
    run(&target, scenarios.to_vec(), options, std::future::pending(), |_| ()).await
}

/// Whether it says that a session was over, as granted, before the scenario came back to it.
fn tells_of_an_end(result: &ScenarioResult) -> bool {
    let first = result.findings.first();
    first.is_some_and(|finding| finding.observed.starts_with("session_present 0 when its "))
}

/// What is wrong with a result, if anything is.
fn wrong(
    index: usize,
    scenario: &'static Scenario,
    result: &ScenarioResult,
    variant: &Variant,
    baseline: &Baseline,
) -> Option<Wrong> {
    let switches = variant.switches();
    let found = result.oracles.iter().find(|finding| finding.is_failure());
    let finding = match result.verdict {
        Verdict::Pass if found.is_some() => found,
        Verdict::Pass => return None,
        Verdict::Inconclusive
            if switches.iter().any(|switch| switch.bounds) && tells_of_a_bound(result) =>
        {
            return None;
        }
        Verdict::Inconclusive
            if switches.iter().any(|switch| switch.leaves_out.contains(&result.id)) =>
        {
            return None;
        }
        // Slow answers and short sessions each leave too little of the other.
        Verdict::Inconclusive if tells_of_an_end(result) => return None,
        Verdict::Fail | Verdict::Blocked | Verdict::Inconclusive | Verdict::Unsteady => {
            result.findings.first()
        }
        Verdict::Advisory => {
            let surprise = |finding: &&Finding| {
                let known = baseline.advisories.contains(&(result.id, finding.requirement));
                !known && !is_forgone(finding, switches)
            };
            match found {
                Some(found) => Some(found),
                None => Some(result.findings.iter().find(surprise)?),
            }
        }
        Verdict::NotApplicable => {
            let is_left_out =
                |switch: &&Switch| switch.limits || switch.leaves_out.contains(&result.id);
            if switches.iter().any(is_left_out) {
                return None;
            }
            None
        }
    };
    Some(Wrong {
        scenario,
        index,
        verdict: result.verdict,
        finding: finding.cloned(),
        reason: result.reason.clone(),
        variant: variant.clone(),
    })
}

/// Whether a scenario is inconclusive because the broker said that it was at a limit.
fn tells_of_a_bound(result: &ScenarioResult) -> bool {
    let received = result.trace.iter().filter_map(|event| match &event.what {
        What::Received(packet) => Some(packet),
        _ => None,
    });
    let mut policies = received.flat_map(policies_of).chain([TOO_LARGE]);
    let finding = result.findings.first();
    policies.any(|it| finding.is_some_and(|finding| finding.observed.ends_with(it)))
}

fn is_forgone(finding: &Finding, switches: &[&'static Switch]) -> bool {
    let forgoes = |id| switches.iter().any(|switch| switch.forgoes.contains(&id));
    finding.requirement.is_some_and(forgoes)
}
