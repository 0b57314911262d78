//! One difference, made small on the broker itself, and why it is there.

use std::io;

use crate::mutant::Mutant;
use crate::script::Script;
use crate::target::Variant;

use super::super::explain::explanations;
use super::super::search::Found;
use super::super::{Evidence, Explanation, FreeChoice};
use super::left_open::{hidden, left_open};
use super::overlooked;
use super::playing::{Case, Playing, Seen};
use super::suspects::Suspects;

/// So many more cases have to be explained by what explains one of them.
const EVIDENCE: usize = 6;

/// So many faults that give the same on a script are tried on others.
const CANDIDATES: usize = 4;

/// What is known of why cases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Oracles say that this requirement is broken.
    Told(&'static str),
    /// A packet that breaks this requirement was overlooked, as it seems.
    Overlooked(&'static str),
    /// Nothing.
    Unknown,
}

/// What the standard only advises against is left to a broker.
fn advised(mutant: &Mutant) -> Explanation {
    Explanation::Free(Box::new(FreeChoice {
        name: mutant.id.to_owned(),
        does: mutant.breaks.to_owned(),
        allowed_by: mutant.requirements.first().copied().unwrap_or_default(),
        overlooked: None,
    }))
}

/// Explains what differs.
#[derive(Clone)]
pub(super) struct Explaining {
    /// The choices that the embedded broker takes.
    pub(super) base: Variant,
    /// The same with the faults that the other broker is known to have.
    pub(super) faulty: Variant,
    pub(super) playing: Playing,
    pub(super) suspects: Suspects,
}

impl Explaining {
    pub(super) fn why(&self, case: &Case) -> Why {
        if let Some(requirement) = case.broken.first().and_then(|finding| finding.requirement) {
            return Why::Told(requirement);
        }
        let Evidence { script, seen } = &case.evidence;
        let wrong = overlooked::overlooked(script, &self.playing.own(script, &self.base), seen);
        wrong.map_or(Why::Unknown, |wrong| Why::Overlooked(wrong.requirement()))
    }

    /// What differs in a case, made small and explained; none if it is not there any more. What explains it is tried
    /// on others that may differ for the same reason.
    pub(super) async fn explain(
        &self,
        case: &Case,
        why: Why,
        alike: &[Case],
    ) -> io::Result<Option<Found>> {
        match why {
            Why::Told(requirement) => self.as_told(case, requirement).await,
            Why::Overlooked(requirement) => match self.as_overlooked(case, requirement).await? {
                Some(found) => Ok(Some(found)),
                None => self.as_searched(case, alike).await,
            },
            Why::Unknown => self.as_searched(case, alike).await,
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

    /// A wrong packet that was overlooked, seen twice; none if that is not what is the matter.
    async fn as_overlooked(
        &self,
        case: &Case,
        requirement: &'static str,
    ) -> io::Result<Option<Found>> {
        let (playing, base) = (&self.playing, &self.base);
        let Evidence { script, seen } = &case.evidence;
        let wrong = overlooked::overlooked(script, &playing.own(script, base), seen);
        let Some(wrong) = wrong else { return Ok(None) };
        let shows = |script: &Script, seen: &Seen| {
            overlooked::shown(script, &seen.played, requirement).is_some()
        };
        let script = playing.shrink(&overlooked::proof(script, &wrong), base, shows).await?;
        let seen = playing.seen(&script, base, playing.beside.patience).await?;
        let Some(explanation) = overlooked::shown(&script, &seen.played, requirement) else {
            return Ok(None);
        };
        Ok(Some(playing.found(case, script, base, seen, explanation)))
    }

    async fn as_searched(&self, case: &Case, alike: &[Case]) -> io::Result<Option<Found>> {
        let (playing, base) = (&self.playing, &self.base);
        // What a fault that is known does is no matter; nor is what it would do, and is not seen.
        let differs = |script: &Script, seen: &Seen| {
            playing.own(script, base) != seen.observed
                && (self.faulty == *base || playing.own(script, &self.faulty) != seen.observed)
        };
        let script = playing.shrink(&case.evidence.script, base, differs).await?;
        let patience = playing.beside.patience;
        // What is late comes while both rest; what is never to come is still not there then.
        for script in [script.rested(), script] {
            let seen = playing.seen(&script, base, patience).await?;
            if differs(&script, &seen) {
                // What else was in the way is gone.
                let evidence = Evidence { script, seen: seen.observed.clone() };
                let case = &Case { evidence, ..case.clone() };
                if let Why::Overlooked(requirement) = self.why(case)
                    && let Some(found) = self.as_overlooked(case, requirement).await?
                {
                    return Ok(Some(found));
                }
                let small = &case.evidence;
                let explanation = match self.searched(small, alike).await? {
                    Explanation::Open(like) => {
                        let (script, seeing) = (&small.script, playing.seeing());
                        match left_open(script, base, seeing, &seen.played) {
                            Some(choice) => Explanation::Free(Box::new(choice)),
                            None => Explanation::Open(
                                hidden(script, base, seeing, &seen.played).or(like),
                            ),
                        }
                    }
                    explanation => explanation,
                };
                let script = small.script.clone();
                return Ok(Some(playing.found(case, script, base, seen, explanation)));
            }
        }
        Ok(None)
    }

    async fn searched(&self, small: &Evidence, alike: &[Case]) -> io::Result<Explanation> {
        let more: Vec<_> = alike.iter().take(EVIDENCE).map(|case| case.evidence.clone()).collect();
        let seeing = self.playing.seeing();
        let found = tokio::task::block_in_place(|| explanations(small, &more, &self.base, seeing));
        let mut suspects = Vec::new();
        let mut like = None;
        for explanation in found.into_iter().take(CANDIDATES) {
            // A choice that explains it as well is the better explanation.
            let Explanation::Violation(mutant) = explanation else { return Ok(explanation) };
            like = like.or(Some(mutant));
            if self.suspects.is_lasting(&small.script, mutant).await?
                && self.suspects.is_confirmed(&small.script, mutant).await?
            {
                suspects.push(mutant);
            }
        }
        Ok(match self.suspects.likeliest(&small.script, suspects).await? {
            Some(mutant) if mutant.breaks_a_must() => Explanation::Violation(mutant),
            Some(mutant) => advised(mutant),
            None => Explanation::Open(like),
        })
    }
}
