//! Scripts on the broker that runs, each in a place of its own.

use std::cmp::Reverse;
use std::collections::BTreeSet;
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

use super::super::seeing::Seeing;
use super::super::{Evidence, Explanation, Found, Observed, Shrinker, differences};
use super::Beside;

/// So often is a smaller script tried while one is made smaller: each is played on the other broker.
const SHRINKS: usize = 150;

/// No longer is one made smaller: those in which time has to pass would take minutes.
const SHRINKING: Duration = Duration::from_secs(20);

/// So many times less is waited for what does not come while a script is made smaller.
const HURRY: u32 = 8;

/// So many times fewer scripts are played at once of those that have to be played with little beside them.
const CALM: usize = 8;

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
    /// A place in which no script is played on the other broker.
    place: Arc<Place>,
    plays: Arc<AtomicU64>,
}

impl Playing {
    pub(super) fn new(beside: Beside) -> Playing {
        let place = Arc::new(place(&beside, 0));
        Playing { beside: Arc::new(beside), place, plays: Arc::new(AtomicU64::new(1)) }
    }

    /// How the embedded broker is looked at beside the other one.
    pub(super) fn seeing(&self) -> Seeing<'_> {
        let config = &self.beside.config;
        Seeing { config, view: Observed::by_class, place: Some(&self.place) }
    }

    /// What is seen of the other broker.
    pub(super) async fn seen(
        &self,
        script: &Script,
        base: &Variant,
        patience: Duration,
    ) -> io::Result<Seen> {
        let Beside { connector, config, .. } = &*self.beside;
        let place = place(&self.beside, self.plays.fetch_add(1, Ordering::Relaxed));
        let placed = place.script(script);
        let expected = play(&placed, base, config);
        let own = Place::is_left_by(script).then_some(&place);
        let mut played = play_live(&placed, own, &expected, connector, patience).await?;
        clear(&placed, connector).await?;
        played.trace = normalise(&played.trace, &place.replacements());
        // What is told of the embedded broker too is told of the script.
        let expected = normalise(&expected.trace, &place.replacements());
        let own: BTreeSet<_> =
            oracle::judge(&expected).into_iter().map(|finding| finding.requirement).collect();
        let mut broken = oracle::judge(&played.trace);
        broken.retain(|finding| finding.is_failure() && !own.contains(&finding.requirement));
        Ok(Seen { observed: Observed::by_class(&played), broken, played })
    }

    /// What is seen of the embedded one.
    pub(super) fn own(&self, script: &Script, variant: &Variant) -> Observed {
        self.seeing().seen(script, variant)
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
        let own = self.seeing().played(&script, base);
        let differences = differences(&Observed::by_class(&own), &seen.observed);
        let (case, played) = (case.name.clone(), (own, seen.played));
        Found { case, script, differences, explanation, played, seen: seen.observed }
    }

    /// Plays all scripts, those that differ twice. Then, few at once, those that get what others publish too,
    /// and once more those that differed from themselves: a broker that is busy may answer too late.
    pub(super) async fn all(
        &self,
        mut scripts: Vec<(String, Script)>,
        until: Option<Instant>,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> io::Result<All> {
        let (jobs, few) = (self.beside.jobs, self.beside.jobs / CALM);
        // What takes longest is begun first, so that all ends at about the same time.
        scripts.sort_by_key(|(_, script)| Reverse(script.waits()));
        let (leaving, staying) =
            scripts.into_iter().partition(|(_, script)| Place::is_left_by(script));
        let (mut cases, differing) = self.round(staying, jobs, until, tell).await?;
        let mut unsteady = 0;
        for scripts in [leaving, differing] {
            let (more, differing) = self.round(scripts, few, until, tell).await?;
            cases.extend(more);
            unsteady += differing.len();
        }
        // What is explained by a short script need not be looked for in a long one.
        cases.sort_by_cached_key(|case| {
            let script = &case.evidence.script;
            (script.waits(), script.steps.len(), case.name.clone())
        });
        Ok(All { cases, unsteady })
    }

    /// Plays these scripts, so many at once: what came of them, and those that did not come to the same twice.
    async fn round(
        &self,
        scripts: Vec<(String, Script)>,
        jobs: usize,
        until: Option<Instant>,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> io::Result<(Vec<Case>, Vec<(String, Script)>)> {
        let room = Arc::new(Semaphore::new(jobs.max(1)));
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
        let (mut cases, mut unsteady) = (Vec::new(), Vec::new());
        let (mut done, mut told) = (0, Instant::now());
        while let Some(one) = tasks.join_next().await {
            done += 1;
            match one.map_err(io::Error::other)?? {
                Some(Ok(case)) => cases.push(case),
                Some(Err(differs)) => unsteady.push(differs),
                None => {}
            }
            if told.elapsed() >= TOLD {
                tell(&format!("{done} of {count} scripts played"));
                told = Instant::now();
            }
        }
        Ok((cases, unsteady))
    }

    /// Plays one script, which is given back if it does not come to the same twice.
    async fn case(
        &self,
        name: String,
        script: Script,
    ) -> io::Result<Result<Case, (String, Script)>> {
        let (taken, patience) = (&self.beside.taken, self.beside.patience);
        let seen = self.seen(&script, taken, patience).await?;
        if self.own(&script, taken) != seen.observed {
            let again = self.seen(&script, taken, patience).await?;
            if again.observed != seen.observed {
                return Ok(Err((name, script)));
            }
        }
        let Seen { observed, broken, .. } = seen;
        Ok(Ok(Case { name, evidence: Evidence { script, seen: observed }, broken }))
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
        let mut shrinker = Shrinker::new(best, SHRINKS).within(SHRINKING);
        while let Some(smaller) = shrinker.smaller() {
            let does = shows(&smaller, &self.seen(&smaller, base, quick).await?);
            shrinker.told(smaller, does);
        }
        Ok(shrinker.into_best())
    }
}

/// Where the play of this number is.
pub(super) fn place(beside: &Beside, number: u64) -> Place {
    Place::numbered(&beside.topic_prefix, &beside.token, number)
}

fn without_waits(script: &Script) -> Script {
    let steps = script.steps.iter().filter(|step| !matches!(step.act, Act::Wait(_)));
    Script { steps: steps.cloned().collect() }
}
