//! The choices of the other broker: those that the embedded one has to take so that least differs.

use std::collections::BTreeSet;
use std::io;

use reference_broker::core::Config;

use crate::chameleon;
use crate::script::Script;
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::{Explanation, differences, shrink};
use super::Divergence;
use super::playing::{Case, Playing, own};

/// No more cases are looked at for each choice than these, of those that differ and of those that do not.
const LOOKED_AT: usize = 120;

/// So often is a smaller script tried, in memory, while one is made smaller.
const SHRINKS: usize = 2_000;

/// So many cases are tried in turn to show a choice.
const SHOWN: usize = 8;

/// A choice may bring so many times fewer new differences than it takes away: where several are taken, one
/// may colour what another shows.
const TOLERATED: usize = 5;

/// Takes choices besides those that are known: one after the other the one that takes away most differences
/// and brings hardly any, as long as there is one.
pub(super) fn fit(cases: &[Case], taken: &Variant, config: &Config) -> Variant {
    let mut base = taken.clone();
    loop {
        let left = in_parallel(cases, |case| left(case, &base, config));
        let (differing, alike): (Vec<_>, Vec<_>) =
            cases.iter().zip(left).partition(|(_, left)| !left.is_empty());
        if differing.is_empty() {
            return base;
        }
        let looked_at: Vec<_> = differing
            .into_iter()
            .take(LOOKED_AT)
            .chain(alike.into_iter().take(LOOKED_AT))
            .collect();
        let new = chameleon::all().iter().filter(|switch| !base.switches().contains(switch));
        let candidates: Vec<_> = new.filter_map(|it| base.and_choosing(it).ok()).collect();
        let gains = in_parallel(&candidates, |variant| gain(&looked_at, variant, config));
        let best = candidates.into_iter().zip(gains).max_by_key(|(_, gain)| *gain);
        match best {
            Some((variant, gain)) if gain > 0 => base = variant,
            _ => return base,
        }
    }
}

/// How many differences fewer there are with a variant; 0 if it brings more than a few.
fn gain(cases: &[(&Case, BTreeSet<Part>)], variant: &Variant, config: &Config) -> usize {
    let (mut gone, mut new) = (0, 0);
    for (case, before) in cases {
        let after = left(case, variant, config);
        gone += before.difference(&after).count();
        new += after.difference(before).count();
    }
    if new * TOLERATED > gone { 0 } else { gone - new }
}

/// The connection and the part that differ.
type Part = (String, String);

/// What a variant leaves that differs.
fn left(case: &Case, variant: &Variant, config: &Config) -> BTreeSet<Part> {
    let own = own(&case.evidence.script, variant, config);
    let differences = differences(&own, &case.evidence.seen).into_iter();
    differences.map(|it| (it.connection, it.part)).collect()
}

/// For each choice a small script that shows it, seen once more on the other broker.
pub(super) async fn demonstrated(
    cases: &[Case],
    base: &Variant,
    playing: &Playing,
) -> io::Result<Vec<Divergence>> {
    let mut all = Vec::new();
    for switch in base.switches().iter().copied() {
        let without = base.without(switch);
        let shows = |script: &Script| playing.own(script, base) != playing.own(script, &without);
        let showing: Vec<_> = cases
            .iter()
            .filter(|case| playing.own(&case.evidence.script, base) == case.evidence.seen)
            .filter(|case| shows(&case.evidence.script))
            .collect();
        for case in showing.iter().take(SHOWN) {
            let small = shrink(&case.evidence.script, SHRINKS, shows);
            let seen = playing.seen(&small, base, playing.beside.patience).await?;
            if playing.own(&small, base) != seen.observed {
                continue;
            }
            let explanation = Explanation::Choice(vec![switch]);
            let found = playing.found(case, small, &without, seen, explanation);
            all.push(Divergence { found, scripts: showing.len() });
            break;
        }
    }
    Ok(all)
}
