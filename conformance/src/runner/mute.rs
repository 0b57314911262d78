//! When a target is given up that lets clients in and never says more.

use crate::verdict::Verdict;

use super::News;
use super::shift::{Ended, Shift};

/// So many scenarios are to see the same.
const ENOUGH: usize = 16;

impl<F: FnMut(News<'_>)> Shift<F> {
    /// Gives a target up that answered nothing at first, once enough scenarios got no further: each would
    /// wait in vain.
    ///
    /// # Errors
    ///
    /// When it is given up.
    pub(super) fn has_hope(&self) -> Result<(), Ended> {
        let verdicts = self.results.values().map(|result| result.verdict);
        let verdicts: Vec<_> =
            verdicts.chain(self.firsts.values().map(|first| first.verdict())).collect();
        let is_nothing =
            |verdict: &Verdict| matches!(verdict, Verdict::Blocked | Verdict::Inconclusive);
        match self.surroundings.is_mute
            && verdicts.len() >= ENOUGH
            && verdicts.iter().all(is_nothing)
        {
            true => Err(Ended::Lost(format!(
                "the target lets clients in and answers nothing more, be it SUBSCRIBE or PINGREQ: none of \
                 {} scenarios got any further, and the rest was not tried",
                verdicts.len()
            ))),
            false => Ok(()),
        }
    }
}
