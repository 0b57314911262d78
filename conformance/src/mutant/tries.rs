//! Mutants tried against the suite, as many at once as there are processors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::chance::Chance;
use crate::report::ScenarioResult;
use crate::runner::{Ground, Options, Performance, RunError, Surroundings, Work, perform_all};
use crate::scenario::Scenario;
use crate::target::Variant;

use super::{Fate, Mutant, Trial};

/// Which scenarios a mutant is tried against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    Everything,
    /// Those that cite what it breaks, and all others only where none of these notices it.
    Citing {
        /// So many of the others, to see what fails that has nothing to do with it.
        sample: usize,
        /// Says which.
        seed: u64,
    },
}

/// Mutants that are being tried. What is left ends when this is dropped.
#[derive(Debug)]
pub struct Tries {
    finished: UnboundedReceiver<Finished>,
    /// What was finished before its turn, by its number.
    early: BTreeMap<usize, Trial>,
    next: usize,
    count: usize,
}

/// A trial with the number of its mutant, or why there are no more.
type Finished = Result<(usize, Trial), RunError>;

impl Tries {
    /// Begins to try mutants against scenarios, both in their order.
    ///
    /// # Errors
    ///
    /// When the plain broker cannot be run.
    pub async fn begin(
        mutants: &[&'static Mutant],
        scenarios: &[&'static Scenario],
        reach: Reach,
        options: &Options,
    ) -> Result<Tries, RunError> {
        let ground = Ground::plain(options).await?;
        let (sender, finished) = unbounded_channel();
        let list = List {
            mutants: mutants.iter().copied().enumerate().collect(),
            scenarios: scenarios.to_vec(),
            reach,
            ground,
            under_way: BTreeMap::new(),
            finished: sender.clone(),
        };
        let threads = options.jobs;
        tokio::spawn(async move {
            if let Err(error) = perform_all(list, threads).await {
                // Whoever waited may have given up.
                let _ = sender.send(Err(error));
            }
        });
        Ok(Tries { finished, early: BTreeMap::new(), next: 0, count: mutants.len() })
    }

    /// The next mutant's trial, in their order; none when all have been tried.
    ///
    /// # Errors
    ///
    /// When no more can be tried.
    pub async fn next(&mut self) -> Result<Option<Trial>, RunError> {
        // Who was given up may keep the other end open for ever.
        while self.next < self.count {
            if let Some(trial) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(Some(trial));
            }
            match self.finished.recv().await {
                Some(Ok((number, trial))) => drop(self.early.insert(number, trial)),
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        Ok(None)
    }
}

/// The mutants that are left, and who is at which.
struct List {
    mutants: VecDeque<(usize, &'static Mutant)>,
    scenarios: Vec<&'static Scenario>,
    reach: Reach,
    ground: Ground,
    under_way: BTreeMap<usize, UnderWay>,
    finished: UnboundedSender<Finished>,
}

struct UnderWay {
    number: usize,
    trial: Trial,
    surroundings: Arc<Surroundings>,
    /// What it is to be tried against first.
    rest: VecDeque<&'static Scenario>,
    /// What cites nothing that it breaks, as long as it is not decided how much of that is run.
    others: Option<Vec<&'static Scenario>>,
}

impl List {
    fn begin(&self, number: usize, mutant: &'static Mutant) -> UnderWay {
        let cites = |it: &&Scenario| mutant.breaks_one_of(it.requirements);
        let (citing, others): (Vec<_>, Vec<_>) = self.scenarios.iter().copied().partition(cites);
        UnderWay {
            number,
            trial: Trial::new(mutant),
            surroundings: self.ground.with(Variant::broken(mutant)),
            rest: citing.into(),
            others: Some(others),
        }
    }

    fn finish(&self, under_way: UnderWay) {
        let UnderWay { number, mut trial, .. } = under_way;
        let place = |id| self.scenarios.iter().position(|scenario| scenario.id == id);
        trial.settle();
        trial.kills.sort_by_cached_key(|kill| place(kill.scenario));
        // Whoever waited may have given up.
        let _ = self.finished.send(Ok((number, trial)));
    }
}

impl UnderWay {
    fn next(&mut self, reach: Reach) -> Option<Performance> {
        if self.rest.is_empty() {
            self.rest = self.chosen(reach).into();
        }
        let scenario = self.rest.pop_front()?;
        Some(Performance::new(scenario, Arc::clone(&self.surroundings)))
    }

    /// What of the others it is to be tried against.
    fn chosen(&mut self, reach: Reach) -> Vec<&'static Scenario> {
        let others = self.others.take().unwrap_or_default();
        match reach {
            Reach::Citing { sample, seed } if self.trial.fate() == Fate::Caught => {
                // The same for this mutant whichever others are tried.
                let id = self.trial.mutant.id.bytes();
                let seed = id.fold(seed, |seed, byte| Chance::new(seed ^ u64::from(byte)).number());
                let (plain, others): (Vec<_>, Vec<_>) =
                    others.into_iter().partition(|scenario| !scenario.plain.is_empty());
                let mut chosen = Chance::new(seed).some_of(others, sample);
                chosen.extend(plain);
                chosen
            }
            Reach::Citing { .. } | Reach::Everything => others,
        }
    }
}

impl Work for List {
    fn next(&mut self, place: usize) -> Option<Performance> {
        while !self.finished.is_closed() {
            let mut under_way = match self.under_way.remove(&place) {
                Some(under_way) => under_way,
                None => {
                    let (number, mutant) = self.mutants.pop_front()?;
                    self.begin(number, mutant)
                }
            };
            match under_way.next(self.reach) {
                Some(performance) => {
                    self.under_way.insert(place, under_way);
                    return Some(performance);
                }
                None => self.finish(under_way),
            }
        }
        None
    }

    fn done(&mut self, place: usize, result: &ScenarioResult) {
        if let Some(under_way) = self.under_way.get_mut(&place) {
            under_way.trial.note(result);
        }
    }
}
