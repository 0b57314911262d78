use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::{self, Oracle};
use crate::report::{Report, ScenarioResult};
use crate::runner::{Options, RunError, run};
use crate::scenario::Scenario;
use crate::target::{Target, Variant};
use crate::verdict::Verdict;

use super::Mutant;

/// How a mutant fared against the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A scenario or oracle that cites what it breaks noticed it.
    Caught,
    /// Only others noticed it.
    ByChance,
    /// Nobody did.
    Alive,
}

impl Fate {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Caught => "caught",
            Fate::ByChance => "by chance",
            Fate::Alive => "alive",
        }
    }
}

/// A scenario that noticed a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The scenario.
    pub scenario: &'static str,
    /// What it came to, oracles apart: [`Verdict::Fail`], or [`Verdict::Advisory`] where it is
    /// about a SHOULD.
    pub verdict: Verdict,
    /// Whether it cites what the mutant breaks.
    pub cites: bool,
}

/// One mutant against the suite.
#[derive(Debug)]
pub struct Trial {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// The scenarios that noticed it by themselves.
    pub kills: Vec<Kill>,
    /// The oracles that it tripped, and whether each cites what the mutant breaks.
    pub tripped: BTreeMap<&'static str, bool>,
    /// The run.
    pub report: Report,
}

impl Trial {
    /// How the mutant fared.
    pub fn fate(&self) -> Fate {
        let cited = self.kills.iter().any(|kill| kill.cites) || self.tripped.values().any(|it| *it);
        match (cited, self.kills.is_empty() && self.tripped.is_empty()) {
            (true, _) => Fate::Caught,
            (false, false) => Fate::ByChance,
            (false, true) => Fate::Alive,
        }
    }

    /// The result that shows best how it was noticed: of those that cite what it breaks the one
    /// with the shortest trace.
    pub fn witness(&self) -> Option<&ScenarioResult> {
        let noticed = |result: &&ScenarioResult| {
            matches!(result.verdict, Verdict::Fail | Verdict::Advisory)
                || !result.oracles.is_empty()
        };
        let cites = |result: &ScenarioResult| {
            let own = self.kills.iter().find(|kill| kill.scenario == result.id);
            own.is_some_and(|kill| kill.cites)
                || result.oracles.iter().any(|finding| {
                    finding.oracle.is_some_and(|name| self.tripped.get(name) == Some(&true))
                })
        };
        let rank = |result: &&ScenarioResult| (!cites(result), result.trace.len());
        self.report.scenarios.iter().filter(noticed).min_by_key(rank)
    }
}

/// Runs scenarios against a mutant.
///
/// # Errors
///
/// When no scenario could be run.
pub async fn try_mutant(
    mutant: &'static Mutant,
    scenarios: Vec<(usize, &'static Scenario)>,
    options: &Options,
    interrupt: impl Future<Output = ()>,
) -> Result<Trial, RunError> {
    let target = Target::Embedded(Variant::broken(mutant));
    let report = run(&target, scenarios, options, interrupt, |_| ()).await?;
    let breaks = |requirement: &&'static str| mutant.requirements.contains(requirement);
    let kills = report.scenarios.iter().filter_map(|result| {
        let mut own = result.findings.iter().filter(|finding| finding.oracle.is_none());
        let verdict = own_verdict(result)?;
        let cites = result.requirements.iter().any(breaks)
            || own.any(|finding| finding.requirement.as_ref().is_some_and(breaks));
        Some(Kill { scenario: result.id, verdict, cites })
    });
    let kills = kills.collect();
    let names: BTreeSet<_> = report
        .scenarios
        .iter()
        .flat_map(|result| result.oracles.iter().filter_map(|finding| finding.oracle))
        .collect();
    let cites = |oracle: &Oracle| oracle.requirements.iter().any(breaks);
    let tripped = names.into_iter().map(|name| (name, oracle::find(name).is_some_and(cites)));
    let tripped = tripped.collect();
    Ok(Trial { mutant, kills, tripped, report })
}

/// What the scenario said by itself against the target: its own finding is its first.
fn own_verdict(result: &ScenarioResult) -> Option<Verdict> {
    let first = result.findings.first()?;
    match (first.oracle, result.verdict) {
        (None, Verdict::Fail | Verdict::Advisory) => Some(result.verdict),
        // Its own advisory stands behind the failures that oracles found.
        (Some(_), Verdict::Fail) => {
            let own = result.findings.iter().any(|finding| finding.oracle.is_none());
            own.then_some(Verdict::Advisory)
        }
        _ => None,
    }
}

/// Mutants against scenarios: who noticed whom.
#[derive(Debug, Default)]
pub struct Matrix {
    /// One a mutant, in their order.
    pub trials: Vec<Trial>,
}

/// What no mutant shows to be able to fail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// Scenarios that noticed no mutant that breaks what they cite: to fail because the broker is
    /// broken elsewhere proves nothing.
    pub scenarios: Vec<&'static str>,
    /// Oracles that no mutant tripped.
    pub oracles: Vec<&'static str>,
}

impl Matrix {
    /// How many mutants fared like this.
    pub fn count(&self, fate: Fate) -> usize {
        self.trials.iter().filter(|trial| trial.fate() == fate).count()
    }

    /// What of these scenarios, and of all oracles, is not shown to be able to fail.
    pub fn holes(&self, scenarios: &[&'static Scenario]) -> Holes {
        let kills = self.trials.iter().flat_map(|trial| &trial.kills).filter(|kill| kill.cites);
        let noticed: BTreeSet<_> = kills.map(|kill| kill.scenario).collect();
        let tripped: BTreeSet<_> =
            self.trials.iter().flat_map(|trial| trial.tripped.keys().copied()).collect();
        let scenarios = scenarios.iter().map(|scenario| scenario.id);
        let oracles = oracle::all().iter().map(|oracle| oracle.name);
        Holes {
            scenarios: scenarios.filter(|id| !noticed.contains(id)).collect(),
            oracles: oracles.filter(|name| !tripped.contains(name)).collect(),
        }
    }

    /// Scenarios that mutants brought to an advisory at most, never to a failure.
    pub fn advisory_only(&self) -> BTreeSet<&'static str> {
        let with = |verdict: Verdict| -> BTreeSet<&'static str> {
            let kills = self.trials.iter().flat_map(|trial| &trial.kills);
            kills
                .filter(|kill| kill.cites && kill.verdict == verdict)
                .map(|kill| kill.scenario)
                .collect()
        };
        with(Verdict::Advisory).difference(&with(Verdict::Fail)).copied().collect()
    }
}
