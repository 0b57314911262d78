//! Faults that are suspected, and scripts that speak for them or against them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::mutant::Mutant;
use crate::script::{Act, Script, Step};
use crate::target::Variant;

use super::super::{Difference, Generator, Observed, Worlds, differences, shrink};
use super::playing::{Playing, place};

/// So many other scripts have to show a fault as well.
const CONFIRMING: usize = 2;

/// Of so many that are tried.
const SHOWING: usize = 8;

/// No more than so many are made small for it.
const TRIES: usize = 24;

/// None of them takes longer than this.
const LONGEST: Duration = Duration::from_secs(15);

/// No more of them than these may show it in the same way.
const ALIKE: usize = 2;

/// In so many scripts these are looked for.
const TRIED: usize = 1_000;

/// So often is a smaller one tried, in memory, while one of them is made smaller.
const SHRINKS: usize = 400;

/// Later than anything may be.
const LATE: Duration = Duration::from_secs(10);

/// Whether other scripts show a fault, by its name.
type Confirmed = Arc<Mutex<BTreeMap<&'static str, Arc<OnceCell<bool>>>>>;

/// What is played in memory first, and what is seen of the embedded broker.
type Pool = Arc<OnceLock<Vec<(Script, Observed)>>>;

/// Sets faults against each other, and against none.
#[derive(Clone)]
pub(super) struct Suspects {
    /// The choices that the embedded broker takes.
    base: Variant,
    playing: Playing,
    confirmed: Confirmed,
    pool: Pool,
}

impl Suspects {
    pub(super) fn new(base: &Variant, playing: &Playing) -> Suspects {
        Suspects {
            base: base.clone(),
            playing: playing.clone(),
            confirmed: Confirmed::default(),
            pool: Pool::default(),
        }
    }

    /// Whether a script still shows a fault when much more time has passed: what is a little late is
    /// none.
    pub(super) async fn is_lasting(
        &self,
        script: &Script,
        mutant: &'static Mutant,
    ) -> io::Result<bool> {
        let mut script = script.clone();
        script.steps.push(Step::new("all", Act::Wait(LATE)));
        let seen = self.playing.seen(&script, &self.base, self.playing.beside.patience).await?;
        Ok(self.playing.own(&script, &self.base.clone().and_broken(mutant)) == seen.observed)
    }

    /// Whether the broker does as the fault does in other scripts too in which it shows: what gives the
    /// same in one script may be something else, and no fault. In none of them it does as without the
    /// fault, and in half of them all that the fault touches is as with it.
    pub(super) async fn is_confirmed(
        &self,
        found: &Script,
        mutant: &'static Mutant,
    ) -> io::Result<bool> {
        let cell = {
            let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(confirmed.entry(mutant.id).or_default())
        };
        cell.get_or_try_init(|| self.confirms(found, mutant)).await.copied()
    }

    async fn confirms(&self, found: &Script, mutant: &'static Mutant) -> io::Result<bool> {
        let broken = self.base.clone().and_broken(mutant);
        let scripts = tokio::task::block_in_place(|| self.telling(found, &self.base, &broken));
        let count = scripts.len();
        let mut alike = 0;
        for (script, seen) in self.seen_of(scripts).await? {
            let (own, with) =
                (self.playing.own(&script, &self.base), self.playing.own(&script, &broken));
            if own == seen {
                return Ok(false);
            }
            alike += usize::from(is_as_with(&own, &with, &seen));
        }
        Ok(alike >= CONFIRMING && alike * 2 >= count)
    }

    /// Of several faults the one that scripts on which they differ do not speak against.
    pub(super) async fn likeliest(
        &self,
        found: &Script,
        suspects: Vec<&'static Mutant>,
    ) -> io::Result<Option<&'static Mutant>> {
        let mut suspects = suspects.into_iter();
        let Some(mut best) = suspects.next() else { return Ok(None) };
        for other in suspects {
            let with = |mutant| self.base.clone().and_broken(mutant);
            let (one, two) = (with(best), with(other));
            let scripts = tokio::task::block_in_place(|| self.telling(found, &one, &two));
            let (mut for_best, mut for_other) = (0, 0);
            for (script, seen) in self.seen_of(scripts).await? {
                for_best += usize::from(self.playing.own(&script, &one) == seen);
                for_other += usize::from(self.playing.own(&script, &two) == seen);
            }
            if for_other > for_best {
                best = other;
            }
        }
        Ok(Some(best))
    }

    /// What is seen of the other broker on each of these, played at once.
    async fn seen_of(&self, scripts: Vec<Script>) -> io::Result<Vec<(Script, Observed)>> {
        let mut plays = JoinSet::new();
        for script in scripts {
            let (playing, base) = (self.playing.clone(), self.base.clone());
            plays.spawn(async move {
                let seen = playing.seen(&script, &base, playing.beside.patience).await;
                seen.map(|seen| (script, seen.observed))
            });
        }
        let mut all = Vec::new();
        while let Some(one) = plays.join_next().await {
            all.push(one.map_err(io::Error::other)??);
        }
        Ok(all)
    }

    /// A few small scripts, other than the one found, on which the two do not do the same.
    fn telling(&self, found: &Script, one: &Variant, other: &Variant) -> Vec<Script> {
        let shows =
            |script: &Script| self.playing.own(script, one) != self.playing.own(script, other);
        let kinds = |script: &Script| {
            let differences =
                differences(&self.playing.own(script, one), &self.playing.own(script, other));
            differences.iter().map(Difference::kind).collect::<BTreeSet<_>>()
        };
        let mut showing = vec![without_rest(found)];
        let mut seen = BTreeMap::<_, usize>::new();
        let mut tries = 0;
        for (script, own) in self.pool() {
            let plays = |variant: &Variant| match *variant == self.base {
                true => own.clone(),
                false => self.playing.own(script, variant),
            };
            if plays(one) != plays(other) {
                let small = shrink(script, SHRINKS, shows);
                tries += 1;
                // A fault that shows in several ways has to show in more than one of them.
                let alike = seen.entry(kinds(&small)).or_default();
                if *alike < ALIKE && !showing.contains(&small) {
                    *alike += 1;
                    showing.push(small);
                }
            }
            if showing.len() > SHOWING || tries == TRIES {
                break;
            }
        }
        showing.split_off(1)
    }

    /// Scripts other than those that were compared, none of which takes long.
    fn pool(&self) -> &[(Script, Observed)] {
        self.pool.get_or_init(|| {
            let beside = &self.playing.beside;
            let worlds = Worlds::of(beside.connector.setup());
            let seed = beside.seed.wrapping_add(1);
            let generator = Generator::new(seed, beside.config.clone(), worlds);
            let mut generator = generator.in_place(place(beside, 0));
            let scripts = std::iter::repeat_with(|| generator.script()).take(TRIED);
            let short = scripts.filter(|script| script.waits() <= LONGEST);
            short.map(|script| (script.clone(), self.playing.own(&script, &self.base))).collect()
        })
    }
}

/// Whether all that a fault touches is as with it; other faults may touch something else.
fn is_as_with(own: &Observed, with: &Observed, seen: &Observed) -> bool {
    let part = |it: Difference| (it.connection, it.part);
    let touched: BTreeSet<_> = differences(own, with).into_iter().map(part).collect();
    differences(with, seen).into_iter().map(part).all(|part| !touched.contains(&part))
}

/// The script without what it waits at its end.
fn without_rest(script: &Script) -> Script {
    let mut script = script.clone();
    while script.steps.last().is_some_and(|step| matches!(step.act, Act::Wait(_))) {
        script.steps.pop();
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(parts: &[(&str, &str)]) -> Observed {
        let parts = parts.iter().map(|(part, what)| ((*part).to_owned(), (*what).to_owned()));
        Observed { connections: [("a".to_owned(), parts.collect())].into() }
    }

    #[test]
    fn other_faults_may_touch_what_a_fault_does_not() {
        let own = observed(&[("PUBACK 1", "0x00"), ("end", "open")]);
        let with = observed(&[("PUBACK 1", "0x10"), ("end", "open")]);
        assert!(is_as_with(&own, &with, &with));
        assert!(is_as_with(&own, &with, &observed(&[("PUBACK 1", "0x10"), ("end", "closed")])));
        assert!(!is_as_with(&own, &with, &own));
        assert!(!is_as_with(&own, &with, &observed(&[("PUBACK 1", "0x83"), ("end", "open")])));
    }
}
