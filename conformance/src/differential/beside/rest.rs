//! What no single choice explains: faults, and what is open.
//!
//! Of the cases that look alike the quickest is made small and explained, several at once. Those that come to the
//! same with the faults found by then are explained too; of the others the quickest are next, until there are none
//! or time is up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::mutant::Mutant;
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::search::Found;
use super::super::{Difference, Evidence, Explanation, differences};
use super::explaining::{Explaining, Why};
use super::playing::{Case, Playing};
use super::reasons::{Reasons, count};
use super::suspects::Suspects;
use super::{Divergence, Divergences};

/// No more differences are made small and explained than these, be there time or not.
const EXPLAINED: usize = 400;

/// So many of them at once, before those are sorted out that come to the same with what was found.
const AT_ONCE: usize = 32;

/// Explains the cases that differ still: by what oracles say, by the faults that give the same, and else
/// not. Takes all of it into the report.
pub(super) async fn explained(
    cases: &[Case],
    base: &Variant,
    playing: &Playing,
    report: &mut Divergences,
    progress: Progress<'_>,
) -> io::Result<()> {
    let until = Instant::now().checked_add(playing.beside.explaining);
    let explaining = Explaining {
        base: base.clone(),
        faulty: base.clone(),
        playing: playing.clone(),
        suspects: Suspects::new(base, playing),
    };
    let left = tokio::task::block_in_place(|| keyed(cases, &explaining));
    report.alike = cases.len() - left.len();
    let mut rest = Rest { explaining, left, faults: Vec::new(), suspected: Vec::new() };
    let mut budget = EXPLAINED;
    let (so_far, tell) = progress;
    while budget > 0 && !rest.left.is_empty() && until.is_none_or(|it| Instant::now() < it) {
        report.passed_over = rest.left.len();
        so_far.send_replace(report.clone());
        tell(&format!("{} differences to explain", rest.left.len()));
        budget -= rest.round(budget.min(AT_ONCE), until, report, (so_far, tell)).await?;
    }
    report.passed_over = rest.left.len();
    tokio::task::block_in_place(|| rest.settle(report));
    Ok(())
}

/// What is found so far, and to whom it is told how far it has come.
type Progress<'a> = (&'a watch::Sender<Divergences>, &'a mut (dyn FnMut(&str) + Send));

/// By what cases look alike: what is known of why they differ, and else in which kinds of parts.
type Key = (Why, BTreeSet<String>);

/// The cases that differ, each with what it looks like.
fn keyed(cases: &[Case], explaining: &Explaining) -> Vec<(Key, Case)> {
    let Explaining { base, playing, .. } = explaining;
    let keys = in_parallel(cases, |case| {
        let own = playing.own(&case.evidence.script, base);
        if own == case.evidence.seen {
            return None;
        }
        let why = explaining.why(case);
        let kinds = match why {
            Why::Unknown => {
                let differences = differences(&own, &case.evidence.seen);
                differences.iter().map(Difference::kind).collect()
            }
            _ => BTreeSet::new(),
        };
        Some((why, kinds))
    });
    let keyed = keys.into_iter().zip(cases).filter_map(|(key, case)| Some((key?, case.clone())));
    keyed.collect()
}

/// What to explain at once, no more than so many: of each kind of cases the quickest, those that are seen most often
/// first, then of each the second one, and so on. Each comes with the others of its kind behind it.
fn next(left: &[(Key, Case)], most: usize) -> Vec<(Key, Vec<Case>)> {
    let mut of_key = BTreeMap::<&Key, Vec<&Case>>::new();
    for (key, case) in left {
        of_key.entry(key).or_default().push(case);
    }
    let mut groups: Vec<_> = of_key.into_iter().collect();
    groups.sort_by_key(|(_, cases)| Reverse(cases.len()));
    let longest = groups.first().map_or(0, |(_, cases)| cases.len());
    let in_turn = (0..longest).flat_map(|place| groups.iter().map(move |group| (place, group)));
    let in_turn = in_turn.filter_map(|(place, (key, cases))| {
        // What is known of why they differ holds for all of them.
        let is_next = place < cases.len() && (place == 0 || key.0 == Why::Unknown);
        let cases = || cases[place..].iter().map(|case| (*case).clone());
        is_next.then(|| ((*key).clone(), cases().collect()))
    });
    in_turn.take(most).collect()
}

/// Takes in an explanation: each once.
fn note(divergence: Divergence, report: &mut Divergences) {
    let name = divergence.name();
    match report.found.iter_mut().find(|other| other.name() == name) {
        Some(other) => other.scripts += divergence.scripts,
        None => report.found.push(divergence),
    }
}

struct Rest {
    explaining: Explaining,
    /// What is to be explained, the quickest first.
    left: Vec<(Key, Case)>,
    /// The faults found.
    faults: Vec<&'static Mutant>,
    /// Those that something looks like that is open.
    suspected: Vec<&'static Mutant>,
}

impl Rest {
    /// Explains the quickest cases of each kind, no more than so many; gives how many.
    async fn round(
        &mut self,
        most: usize,
        until: Option<Instant>,
        report: &mut Divergences,
        (so_far, tell): Progress<'_>,
    ) -> io::Result<usize> {
        let groups = next(&self.left, most);
        let count = groups.len();
        let mut tasks = JoinSet::new();
        for (key, cases) in groups {
            let explaining = self.explaining.clone();
            tasks.spawn(async move {
                let found = match cases.first() {
                    Some(case) => explaining.explain(case, key.0, &cases).await,
                    None => Ok(None),
                };
                (key, cases, found)
            });
        }
        let ended = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ended);
        loop {
            let one = tokio::select! {
                one = tasks.join_next() => one,
                () = &mut ended => None,
            };
            let Some(one) = one else { break };
            let (key, cases, found) = one.map_err(io::Error::other)?;
            match found? {
                Some(found) => {
                    tell(&format!("{} in script {}", found.explanation, found.case));
                    self.take(&key, &cases, found, report);
                    so_far.send_replace(report.clone());
                }
                None => {
                    report.unsteady += 1;
                    self.drop_first(&cases);
                }
            }
        }
        tokio::task::block_in_place(|| self.sort_out(report));
        Ok(count)
    }

    /// Takes in why the first of some cases differs, and for which of the others that is the reason too.
    fn take(&mut self, key: &Key, cases: &[Case], found: Found, report: &mut Divergences) {
        let told = match &found.explanation {
            Explanation::Told(finding) => finding.requirement,
            Explanation::Free(choice) => choice.overlooked,
            _ => None,
        };
        let is_same = match key.0 {
            Why::Told(requirement) | Why::Overlooked(requirement) => told == Some(requirement),
            Why::Unknown => false,
        };
        match found.explanation {
            Explanation::Violation(mutant) if !self.faults.contains(&mutant) => {
                self.faults.push(mutant);
            }
            Explanation::Open(Some(mutant)) if !self.suspected.contains(&mutant) => {
                self.suspected.push(mutant);
            }
            _ => {}
        }
        match is_same {
            true => self.left.retain(|(other, _)| other != key),
            false => self.drop_first(cases),
        }
        let scripts = if is_same { cases.len() } else { 1 };
        note(Divergence { found, scripts }, report);
    }

    fn drop_first(&mut self, cases: &[Case]) {
        let first = cases.first().map(|case| case.name.as_str());
        self.left.retain(|(_, case)| Some(case.name.as_str()) != first);
    }

    /// Drops the cases that come to the same with faults that are found, or suspected.
    fn sort_out(&mut self, report: &mut Divergences) {
        let Explaining { base, playing, .. } = &self.explaining;
        let reasons = Reasons { playing, base, faults: &self.faults, suspected: &self.suspected };
        let explained = in_parallel(&self.left, |(key, case)| {
            // What oracles say is said of it in any case.
            let Evidence { script, seen } = &case.evidence;
            matches!(key.0, Why::Unknown).then(|| reasons.of(script, seen)).flatten()
        });
        for faults in explained.iter().flatten() {
            count(1, faults, &mut report.found);
        }
        let mut explained = explained.into_iter();
        self.left.retain(|_| explained.next().flatten().is_none());
        self.explaining.faulty = self.explaining.base.clone().also_broken(&self.faults);
    }

    /// Looks once more at what is open, with all that is known in the end.
    fn settle(&self, report: &mut Divergences) {
        let Explaining { base, playing, .. } = &self.explaining;
        let reasons = Reasons { playing, base, faults: &self.faults, suspected: &self.suspected };
        report.found = reasons.settled(std::mem::take(&mut report.found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::Observed;
    use crate::script::Script;

    #[test]
    fn each_kind_has_its_turn_and_then_the_next_of_each() {
        let case = |name: &str, why, kind: &str| {
            let evidence = Evidence { script: Script::default(), seen: Observed::default() };
            let case = Case { name: name.to_owned(), evidence, broken: Vec::new() };
            ((why, BTreeSet::from([kind.to_owned()])), case)
        };
        let left = [
            case("1", Why::Unknown, "few"),
            case("2", Why::Told("MQTT-3.1.0-1"), "told"),
            case("3", Why::Unknown, "many"),
            case("4", Why::Told("MQTT-3.1.0-1"), "told"),
            case("5", Why::Unknown, "many"),
            case("6", Why::Unknown, "many"),
            case("7", Why::Told("MQTT-3.1.0-1"), "told"),
        ];
        let names = |most| {
            let next = next(&left, most);
            next.iter().map(|(_, cases)| cases[0].name.clone()).collect::<Vec<_>>()
        };
        // What oracles tell of one case holds for all like it.
        assert_eq!(names(9), ["2", "3", "1", "5", "6"]);
        assert_eq!(names(2), ["2", "3"]);
        assert_eq!(next(&left, 2)[1].1.len(), 3, "with the others of its kind");
    }
}
