use std::collections::{BTreeMap, BTreeSet};

use crate::oracle;
use crate::report::ScenarioResult;
use crate::runner::plain::{Broken, failing};
use crate::scenario::{self, Scenario};
use crate::verdict::{Finding, Verdict};

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

/// What a result says that fails though it cites nothing that the mutant breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collided {
    /// The requirement that is told to be broken; empty where the tester itself failed.
    pub requirement: &'static str,
    /// The kind of step.
    pub step: &'static str,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub observed: String,
}

impl From<&Finding> for Collided {
    fn from(finding: &Finding) -> Collided {
        Collided {
            requirement: finding.requirement.unwrap_or_default(),
            step: finding.step,
            expected: finding.expected.clone(),
            observed: finding.observed.clone(),
        }
    }
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
    /// The results that fail though they cite nothing that it breaks: scenarios, and rules of oracles
    /// as `oracle/packet-ids/MQTT-2.2.1-4`.
    pub collateral: BTreeMap<String, Collided>,
    /// How many scenarios it was tried against.
    pub tried: usize,
    /// The result that shows best how it was noticed: of those that cite what it breaks the one
    /// with the shortest trace.
    pub witness: Option<Box<ScenarioResult>>,
    /// The scenarios with a finding that told, by its requirement, what the mutant breaks, be it one that
    /// only blocks.
    told: BTreeSet<&'static str>,
    /// What scenarios fail by themselves.
    failing: BTreeMap<&'static str, Finding>,
}

impl Trial {
    pub(super) fn new(mutant: &'static Mutant) -> Trial {
        Trial {
            mutant,
            kills: Vec::new(),
            tripped: BTreeMap::new(),
            collateral: BTreeMap::new(),
            tried: 0,
            witness: None,
            told: BTreeSet::new(),
            failing: BTreeMap::new(),
        }
    }

    /// How the mutant fared.
    pub fn fate(&self) -> Fate {
        let cited = self.kills.iter().any(|kill| kill.cites) || self.tripped.values().any(|it| *it);
        match (cited || !self.told.is_empty(), self.kills.is_empty() && self.tripped.is_empty()) {
            (true, _) => Fate::Caught,
            (false, false) => Fate::ByChance,
            (false, true) => Fate::Alive,
        }
    }

    fn breaks(&self, finding: &Finding) -> bool {
        finding.requirement.is_some_and(|id| self.mutant.requirements.contains(&id))
    }

    /// Whether what was found cannot hold on the mutant, be it what it breaks or what goes with that.
    fn goes_with(&self, finding: &Finding) -> bool {
        self.breaks(finding) || finding.requirement.is_some_and(|id| self.mutant.also.contains(&id))
    }

    /// Takes in what a scenario came to.
    pub(super) fn note(&mut self, result: &ScenarioResult) {
        self.tried += 1;
        if result.findings.iter().any(|finding| self.breaks(finding)) {
            self.told.insert(result.id);
        }
        if let Some(finding) = failing(result) {
            self.failing.insert(result.id, finding.clone());
        }
        let scenario_cites = self.mutant.breaks_one_of(&result.requirements);
        if let Some(verdict) = own_verdict(result) {
            let is_own = |it: &&Finding| it.oracle.is_none() && self.breaks(it);
            let cites = scenario_cites || result.findings.iter().any(|it| is_own(&it));
            self.kills.push(Kill { scenario: result.id, verdict, cites });
        }
        if result.verdict == Verdict::Fail
            && !scenario_cites
            && !result.findings.iter().any(|it| self.goes_with(it))
            && let Some(finding) = result.findings.iter().find(|it| it.is_failure())
        {
            self.collateral.insert(result.id.to_owned(), finding.into());
        }
        for finding in &result.oracles {
            let Some(name) = finding.oracle else { continue };
            self.tripped.entry(name).or_insert_with(|| {
                oracle::find(name).is_some_and(|it| self.mutant.breaks_one_of(it.requirements))
            });
            if let Some(requirement) = finding.requirement
                && finding.is_failure()
                && !self.goes_with(finding)
            {
                let rule = oracle::rule(name, requirement);
                self.collateral.entry(rule).or_insert_with(|| finding.into());
            }
        }
        self.keep_if_best(result);
    }

    /// Leaves out what is blocked by what fails in its plain case. To be called once, when all are in.
    pub(super) fn settle(&mut self) {
        let mut broken = Broken::default();
        let failing =
            |scenario: &'static Scenario| Some((scenario, self.failing.get(scenario.id)?));
        let failing: Vec<_> = scenario::all().iter().filter_map(failing).collect();
        failing.iter().for_each(|(scenario, finding)| broken.note(scenario, finding));
        for (scenario, finding) in failing {
            if broken.blame(scenario.requirements, finding).is_some() {
                self.kills.retain(|kill| kill.scenario != scenario.id);
                self.told.remove(scenario.id);
                self.collateral.remove(scenario.id);
            }
        }
    }

    fn keep_if_best(&mut self, result: &ScenarioResult) {
        let has_noticed = !result.findings.is_empty() || !result.oracles.is_empty();
        let rank = |result: &ScenarioResult| {
            let own = self.kills.iter().find(|kill| kill.scenario == result.id);
            let tripped = |it: &Finding| it.oracle.and_then(|name| self.tripped.get(name)).copied();
            let cites = own.is_some_and(|kill| kill.cites)
                || result.findings.iter().any(|it| self.breaks(it))
                || result.oracles.iter().any(|it| tripped(it) == Some(true));
            (!cites, result.trace.len())
        };
        let is_best = self.witness.as_deref().is_none_or(|best| rank(result) < rank(best));
        if has_noticed && is_best {
            self.witness = Some(Box::new(result.clone()));
        }
    }
}

/// What the scenario said by itself against the target.
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

/// How much collateral mutants have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collateral {
    /// What half of them do not exceed.
    pub median: usize,
    /// What 99 of 100 do not exceed.
    pub most: usize,
    /// The most that one has.
    pub maximum: usize,
}

impl Collateral {
    /// What 99 of 100 mutants, and what all may have at the most.
    pub const BOUNDS: (usize, usize) = (2, 5);

    /// Whether it is as small as is asked of the suite: one fault is to be told once.
    pub fn is_small(self) -> bool {
        let (most, maximum) = Collateral::BOUNDS;
        self.median == 0 && self.most <= most && self.maximum <= maximum
    }
}

impl Matrix {
    /// How many mutants fared like this.
    pub fn count(&self, fate: Fate) -> usize {
        self.trials.iter().filter(|trial| trial.fate() == fate).count()
    }

    /// How many results fail, mutant by mutant, though they cite nothing that it breaks.
    pub fn collateral(&self) -> Collateral {
        let mut counts: Vec<_> = self.trials.iter().map(|trial| trial.collateral.len()).collect();
        counts.sort_unstable();
        // The least count that so many of a hundred do not exceed.
        let percentile = |percent: usize| {
            let rank = (counts.len() * percent).div_ceil(100);
            counts.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Collateral { median: percentile(50), most: percentile(99), maximum: percentile(100) }
    }

    /// What of these scenarios, and of all oracles, is not shown to be able to fail.
    pub fn holes(&self, scenarios: &[&'static Scenario]) -> Holes {
        let is_noticed = |scenario: &Scenario| {
            let mut broken =
                self.trials.iter().filter(|it| it.mutant.breaks_one_of(scenario.requirements));
            broken.any(|trial| trial.kills.iter().any(|kill| kill.scenario == scenario.id))
        };
        let tripped: BTreeSet<_> =
            self.trials.iter().flat_map(|trial| trial.tripped.keys().copied()).collect();
        let unnoticing = scenarios.iter().filter(|scenario| !is_noticed(scenario));
        let oracles = oracle::all().iter().map(|oracle| oracle.name);
        Holes {
            scenarios: unnoticing.map(|scenario| scenario.id).collect(),
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
