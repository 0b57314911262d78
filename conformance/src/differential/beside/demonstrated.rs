//! The choices of the other broker, each shown by a script.

use std::io;

use crate::script::Script;
use crate::target::Variant;

use super::super::parallel::in_parallel;
use super::super::{Explanation, shrink};
use super::Divergence;
use super::playing::{Case, Playing};

/// So often is a smaller script tried, in memory, while one is made smaller.
const SHRINKS: usize = 2_000;

/// So many cases are tried in turn to show a choice.
const SHOWN: usize = 8;

/// For each choice a small script that shows it, seen once more on the other broker. A choice for which there
/// is none is taken back, unless the broker is known to take it.
pub(super) async fn demonstrated(
    cases: &[Case],
    base: &mut Variant,
    playing: &Playing,
) -> io::Result<Vec<Divergence>> {
    let mut all = Vec::new();
    let fitted = base.clone();
    let owns = tokio::task::block_in_place(|| {
        in_parallel(cases, |case| playing.own(&case.evidence.script, &fitted))
    });
    let fitting: Vec<_> =
        cases.iter().zip(&owns).filter(|(case, own)| **own == case.evidence.seen).collect();
    for switch in fitted.switches().iter().copied() {
        let without = fitted.without(switch);
        let shows = |script: &Script| playing.own(script, &fitted) != playing.own(script, &without);
        let showing = tokio::task::block_in_place(|| {
            in_parallel(&fitting, |(case, own)| {
                playing.own(&case.evidence.script, &without) != **own
            })
        });
        let showing: Vec<_> =
            fitting.iter().zip(showing).filter(|(_, is)| *is).map(|((case, _), _)| *case).collect();
        let mut is_shown = playing.beside.taken.switches().contains(&switch);
        for case in showing.iter().take(SHOWN) {
            let small = shrink(&case.evidence.script, SHRINKS, shows);
            let seen = playing.seen(&small, &fitted, playing.beside.patience).await?;
            if playing.own(&small, &fitted) != seen.observed {
                continue;
            }
            is_shown = true;
            let explanation = Explanation::Choice(vec![switch]);
            let found = playing.found(case, small, &without, seen, explanation);
            all.push(Divergence { found, scripts: showing.len() });
            break;
        }
        if !is_shown {
            *base = base.without(switch);
        }
    }
    Ok(all)
}
