//! Whether faults that were found elsewhere are behind a difference too: one alone, two, or all of them.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::mutant::Mutant;
use crate::script::Script;
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::{Explanation, Observed};
use super::Divergence;
use super::playing::Playing;

/// The faults of the other broker, as far as they are known.
pub(super) struct Reasons<'a> {
    pub(super) playing: &'a Playing,
    /// The choices that the embedded broker takes.
    pub(super) base: &'a Variant,
    /// Those it has.
    pub(super) faults: &'a [&'static Mutant],
    /// Those that something looks like that is open.
    pub(super) suspected: &'a [&'static Mutant],
}

impl Reasons<'_> {
    /// The choices, with these faults.
    fn with(&self, faults: &[&'static Mutant]) -> Variant {
        match faults {
            [] => self.base.clone(),
            [one] => self.base.clone().and_broken(one),
            [rest @ .., last] => self.base.clone().also_broken(rest).and_broken(last),
        }
    }

    /// The faults that give what was seen on a script: one, all that it has, these and one that is suspected, or
    /// two. Nothing is suspected where faults that it has are enough.
    pub(super) fn of(&self, script: &Script, seen: &Observed) -> Option<Vec<&'static Mutant>> {
        self.all_of(script, seen).next()
    }

    /// All that do, those that suspect nothing first.
    fn all_of<'a>(
        &'a self,
        script: &'a Script,
        seen: &'a Observed,
    ) -> impl Iterator<Item = Vec<&'static Mutant>> + 'a {
        let plain = self.playing.own(script, self.base);
        let touches = move |mutant: &&&'static Mutant| {
            self.playing.own(script, &self.with(&[**mutant])) != plain
        };
        let has: Vec<_> = self.faults.iter().filter(touches.clone()).copied().collect();
        let may: Vec<_> = self.suspected.iter().filter(touches).copied().collect();
        let alone = has.iter().map(|one| vec![*one]).collect::<Vec<_>>();
        let both = pairs(&has, &has);
        let suspected = may.iter().map(|one| vec![*one]).collect::<Vec<_>>();
        let besides = may.iter().map(|one| [self.faults, &[*one]].concat()).collect::<Vec<_>>();
        let mixed = pairs(&has, &may);
        let all = alone.into_iter().chain([self.faults.to_vec()]).chain(both);
        let all = all.chain(suspected).chain(besides).chain(mixed);
        all.filter(move |faults| self.playing.own(script, &self.with(faults)) == *seen)
    }

    /// Those among some faults that are suspected.
    fn suspected_of(&self, faults: &[&'static Mutant]) -> Option<&'static Mutant> {
        faults.iter().find(|it| self.suspected.contains(it)).copied()
    }

    /// Looks once more at what is open: a fault that was found later may be behind it, and one that is suspected
    /// behind several of them. Gives what is left.
    pub(super) fn settled(&self, found: Vec<Divergence>) -> Vec<Divergence> {
        let is_open = |it: &Divergence| matches!(it.found.explanation, Explanation::Open(_));
        let (open, mut settled): (Vec<_>, Vec<_>) = found.into_iter().partition(is_open);
        let reasons = in_parallel(&open, |it| {
            self.all_of(&it.found.script, &it.found.seen).collect::<Vec<_>>()
        });
        let mut left = Vec::new();
        for (it, reasons) in open.into_iter().zip(reasons) {
            match reasons.iter().find(|faults| self.suspected_of(faults).is_none()) {
                Some(faults) => count(it.scripts, faults, &mut settled),
                None => {
                    let like = match it.found.explanation {
                        Explanation::Open(like) => like,
                        _ => None,
                    };
                    let suspects = reasons.iter().filter_map(|faults| self.suspected_of(faults));
                    let suspects = suspects.chain(like).map(|it| it.id).collect::<BTreeSet<_>>();
                    left.push((it, suspects));
                }
            }
        }
        settled.extend(self.named(left));
        settled
    }

    /// Names what is open by as few faults as may be behind it, each told once.
    fn named(&self, mut left: Vec<(Divergence, BTreeSet<&'static str>)>) -> Vec<Divergence> {
        let mut named: Vec<Divergence> = Vec::new();
        loop {
            let behind = |mutant: &&&'static Mutant| {
                left.iter().filter(|(_, suspects)| suspects.contains(mutant.id)).count()
            };
            let most = self.suspected.iter().min_by_key(|mutant| Reverse(behind(mutant)));
            let Some(most) = most.filter(|mutant| behind(mutant) > 0) else { break };
            let (of_it, others) =
                left.into_iter().partition::<Vec<_>, _>(|(_, suspects)| suspects.contains(most.id));
            left = others;
            let scripts = of_it.iter().map(|(it, _)| it.scripts).sum();
            let shortest = of_it.into_iter().map(|(it, _)| it);
            let shortest = shortest.min_by_key(|it| it.found.script.steps.len());
            if let Some(mut one) = shortest {
                one.found.explanation = Explanation::Open(Some(most));
                named.push(Divergence { scripts, ..one });
            }
        }
        named.extend(left.into_iter().map(|(it, _)| it));
        named
    }
}

/// Counts more scripts for each of some faults.
pub(super) fn count(scripts: usize, faults: &[&'static Mutant], found: &mut [Divergence]) {
    for it in found {
        let is_one = match &it.found.explanation {
            Explanation::Violation(of) | Explanation::Open(Some(of)) => faults.contains(of),
            _ => false,
        };
        if is_one {
            it.scripts += scripts;
        }
    }
}

/// Each of some with each of others, both ways round once.
fn pairs(some: &[&'static Mutant], others: &[&'static Mutant]) -> Vec<Vec<&'static Mutant>> {
    let with = |one: &'static Mutant| {
        others
            .iter()
            .filter(move |other| other.id > one.id || !some.contains(other))
            .map(move |other| vec![one, *other])
    };
    some.iter().flat_map(|one| with(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant;

    #[test]
    fn each_pair_is_there_once() {
        let some: Vec<_> = mutant::all().iter().take(3).collect();
        assert_eq!(pairs(&some, &some).len(), 3);
        let others: Vec<_> = mutant::all().iter().skip(3).take(2).collect();
        assert_eq!(pairs(&some, &others).len(), 6);
        assert!(pairs(&some, &others).iter().all(|pair| pair[0].id != pair[1].id));
    }
}
