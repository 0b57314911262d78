//! The choices of the other broker: those that the embedded one has to take so that least differs.

use std::io;

use reference_broker::core::Config;

use crate::chameleon::{self, Switch};
use crate::script::Script;
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::{Explanation, differences, shrink};
use super::playing::{Case, Playing, own};
use super::{Divergence, without};

/// No more cases are looked at for each choice than these, of those that differ and of those that do not.
const LOOKED_AT: usize = 120;

/// So often is a smaller script tried, in memory, while one is made smaller.
const SHRINKS: usize = 2_000;

/// So many cases are tried in turn to show a choice.
const SHOWN: usize = 8;

/// Takes choices, one after the other the one that leaves the fewest differences, as long as there are
/// fewer than without it.
pub(super) fn fit(cases: &[Case], config: &Config) -> Variant {
    let mut base = Variant::default();
    loop {
        let (alike, differing): (Vec<_>, Vec<_>) = cases
            .iter()
            .partition(|case| own(&case.evidence.script, &base, config) == case.evidence.seen);
        let looked_at: Vec<_> = differing
            .into_iter()
            .take(LOOKED_AT)
            .chain(alike.into_iter().take(LOOKED_AT))
            .collect();
        let candidates: Vec<Variant> =
            chameleon::all().iter().filter_map(|switch| and(&base, switch)).collect();
        let now = left(&looked_at, &base, config);
        let then = in_parallel(&candidates, |variant| left(&looked_at, variant, config));
        let best = candidates.into_iter().zip(then).min_by_key(|(_, left)| *left);
        match best {
            Some((variant, left)) if left < now => base = variant,
            _ => return base,
        }
    }
}

/// The base with one more choice; none if it has it, or cannot.
fn and(base: &Variant, switch: &'static Switch) -> Option<Variant> {
    let is_new = !base.switches().contains(&switch);
    let all = base.switches().iter().copied().chain([switch]);
    is_new.then(|| Variant::choosing(all).ok()).flatten()
}

/// How many differences a variant leaves.
fn left(cases: &[&Case], variant: &Variant, config: &Config) -> usize {
    let left = |case: &&Case| {
        let evidence = &case.evidence;
        differences(&own(&evidence.script, variant, config), &evidence.seen).len()
    };
    cases.iter().map(left).sum()
}

/// For each choice a small script that shows it, seen once more on the other broker.
pub(super) async fn demonstrated(
    cases: &[Case],
    base: &Variant,
    playing: &Playing,
) -> io::Result<Vec<Divergence>> {
    let mut all = Vec::new();
    for switch in base.switches().iter().copied() {
        let without = without(base, switch);
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
