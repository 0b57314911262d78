//! What no single choice explains: faults, and what is open.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::mutant::{self, Mutant};
use crate::script::{Act, Played, Script, Step};
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::search::Found;
use super::super::{Evidence, Explanation, Generator, Observed, Worlds, explain, shrink};
use super::playing::{Case, Playing, Seen, own};
use super::{Divergence, Divergences};

/// No more differences are made small and explained than these: each may take seconds.
const EXPLAINED: usize = 60;

/// So many more cases have to be explained by what explains one of them.
const EVIDENCE: usize = 6;

/// In so many cases each fault is looked for.
const LOOKED_AT: usize = 100;

/// So many other scripts have to show a fault as well.
const CONFIRMING: usize = 3;

/// None of them takes longer than this.
const LONGEST: Duration = Duration::from_secs(15);

/// In so many scripts these are looked for.
const TRIED: usize = 400;

/// So often is a smaller one tried, in memory, while one of them is made smaller.
const SHRINKS: usize = 400;

/// Later than anything may be.
const LATE: Duration = Duration::from_secs(10);

/// Explains the cases that differ still: by what oracles say, by the faults that give the same, and else
/// not. Takes all of it into the report.
pub(super) async fn explained(
    cases: &[Case],
    base: &Variant,
    playing: &Playing,
    tell: &mut dyn FnMut(&str),
    report: &mut Divergences,
) -> io::Result<()> {
    let differing: Vec<_> = cases
        .iter()
        .filter(|case| playing.own(&case.evidence.script, base) != case.evidence.seen)
        .collect();
    report.alike = cases.len() - differing.len();
    let rest = Rest { base: base.clone(), playing: playing.clone() };
    let mut groups = rest.grouped(&differing);
    report.passed_over = groups.iter().skip(EXPLAINED).map(|group| group.cases.len()).sum();
    groups.truncate(EXPLAINED);
    tell(&format!("shrinking and explaining {} differences", groups.len()));
    let mut tasks = JoinSet::new();
    let mut waiting = groups.into_iter().enumerate();
    let mut done = BTreeMap::new();
    loop {
        while tasks.len() < playing.beside.jobs.max(1)
            && let Some((place, group)) = waiting.next()
        {
            let rest = rest.clone();
            tasks.spawn(async move { (place, group.cases.len(), rest.explain(&group).await) });
        }
        let Some(one) = tasks.join_next().await else { break };
        let (place, scripts, found) = one.map_err(io::Error::other)?;
        done.insert(place, (scripts, found?));
    }
    for (scripts, found) in done.into_values() {
        match found {
            Some(found) => note(Divergence { found, scripts }, report),
            None => report.unsteady += scripts,
        }
    }
    Ok(())
}

/// The script without what it waits at its end.
fn without_rest(script: &Script) -> Script {
    let mut script = script.clone();
    while script.steps.last().is_some_and(|step| matches!(step.act, Act::Wait(_))) {
        script.steps.pop();
    }
    script
}

/// Takes in an explanation: each once.
fn note(divergence: Divergence, report: &mut Divergences) {
    let name = divergence.name();
    match report.found.iter_mut().find(|other| other.name() == name) {
        Some(other) => other.scripts += divergence.scripts,
        None => report.found.push(divergence),
    }
}

/// Cases that are alike in why they differ, as far as that is known.
struct Group {
    cases: Vec<Case>,
    /// The requirement that oracles say is broken.
    told: Option<&'static str>,
}

#[derive(Clone)]
struct Rest {
    base: Variant,
    playing: Playing,
}

impl Rest {
    /// The cases by what oracles say of them, by the fault that gives the same, and each for itself.
    fn grouped(&self, cases: &[&Case]) -> Vec<Group> {
        let mut told = BTreeMap::<&str, Vec<Case>>::new();
        let mut untold = Vec::new();
        for case in cases {
            match case.broken.first().and_then(|finding| finding.requirement) {
                Some(requirement) => told.entry(requirement).or_default().push(Case::clone(case)),
                None => untold.push(*case),
            }
        }
        let told = told.into_iter();
        let mut groups: Vec<_> =
            told.map(|(requirement, cases)| Group { cases, told: Some(requirement) }).collect();
        let config = &self.playing.beside.config;
        let looked_at: Vec<_> = untold.iter().take(LOOKED_AT).copied().collect();
        let mut left: Vec<_> = untold.iter().copied().cloned().collect();
        let faults: Vec<_> = mutant::all().iter().collect();
        let explained = tokio::task::block_in_place(|| {
            in_parallel(&faults, |mutant| {
                let broken = self.base.clone().and_broken(mutant);
                let gives = |case: &&&Case| {
                    own(&case.evidence.script, &broken, config) == case.evidence.seen
                };
                looked_at.iter().filter(gives).count()
            })
        });
        let mut best: Vec<(usize, &Mutant)> =
            explained.into_iter().zip(faults).filter(|(count, _)| *count > 0).collect();
        best.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        for (_, mutant) in best {
            let broken = self.base.clone().and_broken(mutant);
            let gives =
                |case: &Case| own(&case.evidence.script, &broken, config) == case.evidence.seen;
            let (cases, others): (Vec<_>, Vec<_>) = left.into_iter().partition(gives);
            left = others;
            if !cases.is_empty() {
                groups.push(Group { cases, told: None });
            }
        }
        groups.extend(left.into_iter().map(|case| Group { cases: vec![case], told: None }));
        groups
    }

    /// What differs in the quickest case of a group, made small and explained; none if it is not there any
    /// more.
    async fn explain(&self, group: &Group) -> io::Result<Option<Found>> {
        let Some(case) = group.cases.first() else { return Ok(None) };
        match group.told {
            Some(requirement) => self.as_told(case, requirement).await,
            None => self.as_searched(case, &group.cases).await,
        }
    }

    async fn as_told(&self, case: &Case, requirement: &'static str) -> io::Result<Option<Found>> {
        let Playing { beside, .. } = &self.playing;
        let breaks = |broken: &[crate::verdict::Finding]| {
            broken.iter().find(|it| it.requirement == Some(requirement)).cloned()
        };
        let shows = |_: &Script, seen: &Seen| breaks(&seen.broken).is_some();
        let script = self.playing.shrink(&case.evidence.script, &self.base, shows).await?;
        let seen = self.playing.seen(&script, &self.base, beside.patience).await?;
        let Some(finding) = breaks(&seen.broken) else { return Ok(None) };
        let explanation = Explanation::Told(Box::new(finding));
        Ok(Some(self.playing.found(case, script, &self.base, seen, explanation)))
    }

    async fn as_searched(&self, case: &Case, group: &[Case]) -> io::Result<Option<Found>> {
        let (playing, base) = (&self.playing, &self.base);
        let differs = |script: &Script, seen: &Seen| playing.own(script, base) != seen.observed;
        let script = playing.shrink(&case.evidence.script, base, differs).await?;
        let patience = playing.beside.patience;
        // What is late comes while both rest; what is never to come is still not there then.
        for script in [script.rested(), script] {
            let seen = playing.seen(&script, base, patience).await?;
            if playing.own(&script, base) != seen.observed {
                let small = Evidence { script, seen: seen.observed.clone() };
                let explanation = self.searched(&small, group).await?;
                return Ok(Some(playing.found(case, small.script, base, seen, explanation)));
            }
        }
        Ok(None)
    }

    async fn searched(&self, small: &Evidence, group: &[Case]) -> io::Result<Explanation> {
        let view: fn(&Played) -> Observed = Observed::by_class;
        let more: Vec<_> = group.iter().take(EVIDENCE).map(|case| case.evidence.clone()).collect();
        let config = &self.playing.beside.config;
        let explanation =
            tokio::task::block_in_place(|| explain(small, &more, &self.base, config, view));
        match explanation {
            Explanation::Violation(mutant)
                if !self.is_lasting(&small.script, mutant).await?
                    || !self.is_confirmed(&small.script, mutant).await? =>
            {
                Ok(Explanation::Open(Some(mutant)))
            }
            explanation => Ok(explanation),
        }
    }

    /// Whether the broker does as the fault does in other scripts too in which it shows: what gives the
    /// same in one script may be something else, and no fault.
    async fn is_confirmed(&self, found: &Script, mutant: &'static Mutant) -> io::Result<bool> {
        let broken = self.base.clone().and_broken(mutant);
        let scripts = tokio::task::block_in_place(|| self.showing(found, &broken));
        let mut alike = 0;
        for script in &scripts {
            let patience = self.playing.beside.patience;
            let seen = self.playing.seen(script, &self.base, patience).await?.observed;
            if self.playing.own(script, &broken) != seen {
                return Ok(false);
            }
            alike += 1;
        }
        Ok(alike > 0)
    }

    /// A few small scripts, other than the one found, on which the fault shows.
    fn showing(&self, found: &Script, broken: &Variant) -> Vec<Script> {
        let Playing { beside, .. } = &self.playing;
        let worlds = Worlds::of(beside.connector.setup());
        let mut generator =
            Generator::new(beside.seed.wrapping_add(1), beside.config.clone(), worlds);
        let shows = |script: &Script| {
            self.playing.own(script, &self.base) != self.playing.own(script, broken)
        };
        let mut showing = vec![without_rest(found)];
        for _ in 0..TRIED {
            let script = generator.script();
            if script.waits() <= LONGEST && shows(&script) {
                let small = shrink(&script, SHRINKS, shows);
                if !showing.contains(&small) {
                    showing.push(small);
                }
            }
            if showing.len() > CONFIRMING {
                break;
            }
        }
        showing.split_off(1)
    }

    /// Whether a script still shows a fault when much more time has passed: what is a little late is
    /// none.
    async fn is_lasting(&self, script: &Script, mutant: &'static Mutant) -> io::Result<bool> {
        let mut script = script.clone();
        script.steps.push(Step::new("all", Act::Wait(LATE)));
        let seen = self.playing.seen(&script, &self.base, self.playing.beside.patience).await?;
        Ok(self.playing.own(&script, &self.base.clone().and_broken(mutant)) == seen.observed)
    }
}
