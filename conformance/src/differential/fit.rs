//! Which choices the embedded broker has to take so that it does most as another one.

use std::collections::BTreeSet;

use crate::chameleon::Switch;
use crate::target::Variant;

use super::parallel::in_parallel;
use super::seeing::Seeing;
use super::{Evidence, differences};

/// No more scripts are looked at for each choice than these, of those that differ and of those that do not.
const LOOKED_AT: usize = 120;

/// A choice may bring so many times fewer new differences than it takes away: where several are taken, one
/// may colour what another shows.
const TOLERATED: usize = 5;

/// Takes choices besides those that are known, of those of which nothing is: those that take away
/// differences and bring hardly any, the ones that take away most first, until there are none.
pub(super) fn fit(
    evidence: &[&Evidence],
    taken: &Variant,
    open: &[&'static Switch],
    seeing: Seeing<'_>,
) -> Variant {
    let mut base = taken.clone();
    loop {
        let looked_at = looked_at(evidence, &base, seeing);
        if looked_at.iter().all(|(_, left)| left.is_empty()) {
            return base;
        }
        let is_new = |switch: &&&'static Switch| !base.switches().contains(switch);
        let switches: Vec<_> = open.iter().filter(is_new).copied().collect();
        let gains = in_parallel(&switches, |switch| {
            with(&base, switch).map_or(0, |it| gain(&looked_at, &it, seeing))
        });
        let mut gaining: Vec<_> =
            switches.into_iter().zip(gains).filter(|(_, gain)| *gain > 0).collect();
        gaining.sort_by_key(|(_, gain)| std::cmp::Reverse(*gain));
        if gaining.is_empty() {
            return base;
        }
        for (switch, _) in gaining {
            // Those taken before it may have left it nothing, or exclude it.
            let evidence: Vec<_> = looked_at.iter().map(|(evidence, _)| *evidence).collect();
            let again = self::looked_at(&evidence, &base, seeing);
            if let Ok(variant) = with(&base, switch)
                && gain(&again, &variant, seeing) > 0
            {
                base = variant;
            }
        }
    }
}

/// The choices with one more, in the place of those that it excludes.
fn with(base: &Variant, switch: &'static Switch) -> Result<Variant, String> {
    let excluded = base.switches().iter().filter(|other| other.excludes(switch));
    excluded.fold(base.clone(), |base, other| base.without(other)).and_choosing(switch)
}

/// The connection and the part that differ.
type Part = (String, String);

/// Something that was seen, with what differs in it.
type Left<'a> = (&'a Evidence, BTreeSet<Part>);

/// What choices are judged by: that in which something differs, and as much in which nothing does.
fn looked_at<'a>(evidence: &[&'a Evidence], base: &Variant, seeing: Seeing<'_>) -> Vec<Left<'a>> {
    let left = in_parallel(evidence, |one| left(one, base, seeing));
    let (differing, alike): (Vec<_>, Vec<_>) =
        evidence.iter().copied().zip(left).partition(|(_, left)| !left.is_empty());
    let (differing, alike) = (differing.into_iter(), alike.into_iter());
    differing.take(LOOKED_AT).chain(alike.take(LOOKED_AT)).collect()
}

/// How many differences fewer there are with a variant; 0 if it brings more than a few, explains no script
/// wholly, or spoils scripts on which there were none: there no other choice is in the way, so what it brings
/// speaks against it.
fn gain(looked_at: &[Left<'_>], variant: &Variant, seeing: Seeing<'_>) -> usize {
    let (mut gone, mut new, mut explained, mut spoiled) = (0, 0, 0, 0);
    for (evidence, before) in looked_at {
        let after = left(evidence, variant, seeing);
        gone += before.difference(&after).count();
        new += after.difference(before).count();
        explained += usize::from(!before.is_empty() && after.is_empty());
        spoiled += usize::from(before.is_empty() && !after.is_empty());
    }
    let is_bad = new * TOLERATED > gone || explained == 0 || spoiled * TOLERATED > explained;
    if is_bad { 0 } else { gone - new }
}

/// What a variant leaves that differs.
fn left(evidence: &Evidence, variant: &Variant, seeing: Seeing<'_>) -> BTreeSet<Part> {
    let own = seeing.seen(&evidence.script, variant);
    let differences = differences(&own, &evidence.seen).into_iter();
    differences.map(|it| (it.connection, it.part)).collect()
}
