//! Scripts on the broker that runs, each in a place of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::oracle;
use crate::script::{Act, Place, Played, Script, clear, play, play_live};
use crate::target::Variant;
use crate::trace::normalise;
use crate::verdict::Finding;

use super::super::{Evidence, Explanation, Found, Observed, Shrinker, differences};
use super::Beside;

/// So often is a smaller script tried while one is made smaller: each is played on the other broker.
const SHRINKS: usize = 150;

/// No longer is one made smaller: those in which time has to pass would take minutes.
const SHRINKING: Duration = Duration::from_secs(20);

/// So many times less is waited for what does not come while a script is made smaller.
const HURRY: u32 = 8;

/// How often it is told how far it has come.
const TOLD: Duration = Duration::from_secs(10);

/// What is seen of the other broker on a script.
pub(super) struct Seen {
    pub(super) observed: Observed,
    /// What oracles find that breaks a MUST.
    pub(super) broken: Vec<Finding>,
    pub(super) played: Played,
}

/// A script that comes to the same each time, what was seen of the other broker, and what the oracles say
/// that is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The number of the script, or its name.
    pub(super) name: String,
    pub(super) evidence: Evidence,
    pub(super) broken: Vec<Finding>,
}

/// What came of all scripts.
#[derive(Debug, Default)]
pub(super) struct All {
    /// The quickest ones first.
    pub(super) cases: Vec<Case>,
    pub(super) unsteady: usize,
}

/// Plays scripts on the other broker.
#[derive(Clone)]
pub(super) struct Playing {
    pub(super) beside: Arc<Beside>,
    plays: Arc<AtomicU64>,
}

impl Playing {
    pub(super) fn new(beside: Beside) -> Playing {
        Playing { beside: Arc::new(beside), plays: Arc::default() }
    }

    /// What is seen of the other broker.
    pub(super) async fn seen(
        &self,
        script: &Script,
        base: &Variant,
        patience: Duration,
    ) -> io::Result<Seen> {
        let Beside { connector, topic_prefix, token, config, .. } = &*self.beside;
        let number = self.plays.fetch_add(1, Ordering::Relaxed);
        let clients = format!("{token}x{number}x");
        let place = Place { topics: format!("{topic_prefix}/{token}/{number}"), clients };
        let placed = place.script(script);
        let expected = play(&placed, base, config);
        let mut played = play_live(&placed, &expected, connector, patience).await?;
        clear(&placed, connector).await?;
        played.trace = normalise(&played.trace, &place.replacements());
        let broken = oracle::judge(&played.trace).into_iter().filter(Finding::is_failure).collect();
        Ok(Seen { observed: Observed::by_class(&played), broken, played })
    }

    /// What is seen of the embedded one.
    pub(super) fn own(&self, script: &Script, variant: &Variant) -> Observed {
        own(script, variant, &self.beside.config)
    }

    /// A difference between the embedded broker and what was seen of the other one.
    pub(super) fn found(
        &self,
        case: &Case,
        script: Script,
        base: &Variant,
        seen: Seen,
        explanation: Explanation,
    ) -> Found {
        let own = play(&script, base, &self.beside.config);
        let differences = differences(&Observed::by_class(&own), &seen.observed);
        let (case, played) = (case.name.clone(), (own, seen.played));
        Found { case, script, differences, explanation, played }
    }

    /// Plays all scripts, those that differ twice.
    pub(super) async fn all(
        &self,
        scripts: Vec<(String, Script)>,
        until: Option<Instant>,
        tell: &mut dyn FnMut(&str),
    ) -> io::Result<All> {
        let room = Arc::new(Semaphore::new(self.beside.jobs.max(1)));
        let mut tasks = JoinSet::new();
        let count = scripts.len();
        for (name, script) in scripts {
            let (this, room) = (self.clone(), Arc::clone(&room));
            tasks.spawn(async move {
                let _turn = room.acquire().await;
                match until.is_some_and(|until| Instant::now() >= until) {
                    true => Ok(None),
                    false => this.case(name, script).await.map(Some),
                }
            });
        }
        let mut all = All::default();
        let (mut done, mut told) = (0, Instant::now());
        while let Some(one) = tasks.join_next().await {
            done += 1;
            match one.map_err(io::Error::other)?? {
                Some(Some(case)) => all.cases.push(case),
                Some(None) => all.unsteady += 1,
                None => {}
            }
            if told.elapsed() >= TOLD {
                tell(&format!("{done} of {count} scripts played"));
                told = Instant::now();
            }
        }
        // What is explained by a short script need not be looked for in a long one.
        all.cases.sort_by_cached_key(|case| {
            let script = &case.evidence.script;
            (script.waits(), script.steps.len(), case.name.clone())
        });
        Ok(all)
    }

    /// Plays one script; none if it does not come to the same twice.
    async fn case(&self, name: String, script: Script) -> io::Result<Option<Case>> {
        let (taken, patience) = (&self.beside.taken, self.beside.patience);
        let seen = self.seen(&script, taken, patience).await?;
        if self.own(&script, taken) != seen.observed {
            let again = self.seen(&script, taken, patience).await?;
            if again.observed != seen.observed {
                return Ok(None);
            }
        }
        let Seen { observed, broken, .. } = seen;
        Ok(Some(Case { name, evidence: Evidence { script, seen: observed }, broken }))
    }

    /// The smallest script found of which `shows` is true of what is seen of the other broker.
    pub(super) async fn shrink(
        &self,
        script: &Script,
        base: &Variant,
        shows: impl Fn(&Script, &Seen) -> bool,
    ) -> io::Result<Script> {
        let quick = self.beside.patience / HURRY;
        let mut best = script.clone();
        // Waiting is what takes time: first none at all, then none that does not matter.
        let unhurried = without_waits(&best);
        if unhurried != best && shows(&unhurried, &self.seen(&unhurried, base, quick).await?) {
            best = unhurried;
        }
        let mut shrinker = Shrinker::new(best, SHRINKS);
        let begun = Instant::now();
        while begun.elapsed() < SHRINKING
            && let Some(smaller) = shrinker.smaller()
        {
            let does = shows(&smaller, &self.seen(&smaller, base, quick).await?);
            shrinker.told(smaller, does);
        }
        Ok(shrinker.into_best())
    }
}

/// What is seen of the embedded broker.
pub(super) fn own(
    script: &Script,
    variant: &Variant,
    config: &reference_broker::core::Config,
) -> Observed {
    Observed::by_class(&play(script, variant, config))
}

fn without_waits(script: &Script) -> Script {
    let steps = script.steps.iter().filter(|step| !matches!(step.act, Act::Wait(_)));
    Script { steps: steps.cloned().collect() }
}
