//! Runs scenarios: schedules them, keeps their time, looks after the target, and says what happened.
//!
//! Nothing is printed here; whoever runs is told of each result as it comes.

mod again;
mod crew;
mod death;
mod interrupts;
mod mute;
mod pace;
mod perform;
pub(crate) mod plain;
mod remains;
mod repeat;
mod select;
mod sentinel;
mod shift;
#[cfg(test)]
mod tests;
mod weigh;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use crate::deviation::KnownDeviations;
use crate::report::{Report, ScenarioResult, quoted};
use crate::scenario::Scenario;
use crate::target::{Capabilities, Connector, Keeper, Looked, Target, Unusable, preflight};
use crate::verdict::{Finding, Verdict, general, step};

pub(crate) use crew::{Ground, Work, perform as perform_all};
pub use interrupts::Interrupts;
pub use perform::paused_runtime;
pub(crate) use perform::{Performance, Surroundings};
pub use repeat::{Changed, Repeat};
pub(crate) use select::glob;
pub use select::{Selection, SelectionError, matches};

use remains::Remains;
use shift::{Ended, Shift};

/// What all topics of the suite begin with, if nothing else is wanted.
pub const TOPIC_PREFIX: &str = "mqttspec";

/// How long the removal of what may be left on the target may take at the end of a run.
const CLEARING: Duration = Duration::from_secs(10);

/// Of that, what is left where the target never answered.
const CLEARING_IN_DOUBT: Duration = Duration::from_secs(3);

/// For each such time that an answer takes, as many scenarios more run at once, up to so many times as
/// many.
const SLOW_WAY: Duration = Duration::from_millis(150);
const MOST_MORE: usize = 5;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many scenarios run at once; those that let time pass come on top.
    pub jobs: usize,
    /// Multiplies every patience and deadline.
    pub timeout_scale: f64,
    /// Sets this run's names apart from those of others: six letters and digits, or what stands for
    /// them.
    pub token: String,
    /// What all topics begin with: without wildcards, and without a slash at its end.
    pub topic_prefix: String,
    /// How many scenarios may run at once at most, those included that let time pass.
    pub at_most: Option<usize>,
    /// What was seen before, and need not be seen twice.
    pub known: Arc<KnownDeviations>,
    /// Whether more may run at once than `jobs` where the way to the target is slow: they wait.
    pub may_add_jobs: bool,
    /// Who keeps the target running, if it was started for this.
    pub keeper: Option<Arc<Keeper>>,
}

impl Default for Options {
    fn default() -> Options {
        let (token, topic_prefix) = ("memory".to_owned(), TOPIC_PREFIX.to_owned());
        Options {
            jobs: 1,
            timeout_scale: 1.0,
            token,
            topic_prefix,
            at_most: None,
            may_add_jobs: false,
            keeper: None,
            known: Arc::default(),
        }
    }
}

/// What whoever runs is told while it lasts.
#[derive(Debug)]
pub enum News<'a> {
    /// A scenario has come to its result.
    Finished(&'a ScenarioResult),
    /// The run is alive; said every few seconds.
    UnderWay(&'a UnderWay),
}

/// How far a run is.
#[derive(Debug)]
pub struct UnderWay {
    /// How many scenarios have come to their results.
    pub done: usize,
    /// How many there are.
    pub all: usize,
    /// How many are to be seen once more.
    pub again: usize,
    /// Which has run longest, and for how long.
    pub longest: Option<(&'static str, Duration)>,
}

impl Options {
    /// How long the first answer of a target may take.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(5.0 * self.timeout_scale)
    }

    /// How many scenarios run at once over a way on which an answer takes this long.
    fn jobs_over(&self, answer: Duration) -> usize {
        let more = 1 + answer.as_millis() / SLOW_WAY.as_millis();
        let more = usize::try_from(more).unwrap_or(MOST_MORE).min(MOST_MORE);
        if self.may_add_jobs { self.jobs * more } else { self.jobs }
    }
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum RunError {
    /// The target cannot be tested.
    Unusable(Unusable),
    /// The tester itself failed.
    Trouble(io::Error),
}

/// Runs `scenarios` against `target` until all are done or `interrupt` resolves.
///
/// # Errors
///
/// When no scenario could be run.
pub async fn run(
    target: &Target,
    scenarios: Vec<(usize, &'static Scenario)>,
    options: &Options,
    interrupt: impl Future<Output = ()>,
    mut on_result: impl FnMut(&ScenarioResult),
) -> Result<Report, RunError> {
    let (count, interrupts) = Interrupts::counted();
    let on_news = |news: News<'_>| {
        if let News::Finished(result) = news {
            on_result(result);
        }
    };
    let interrupting = async {
        interrupt.await;
        count.send_replace(1);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = interrupting => unreachable!("it never ends"),
        report = run_watched(target, scenarios, options, interrupts, on_news) => report,
    }
}

/// As [`run`], for one who is told more and may interrupt twice.
///
/// # Errors
///
/// As [`run`].
pub async fn run_watched(
    target: &Target,
    scenarios: Vec<(usize, &'static Scenario)>,
    options: &Options,
    interrupts: Interrupts,
    on_news: impl FnMut(News<'_>),
) -> Result<Report, RunError> {
    let started = Instant::now();
    let connector = match target.is_in_memory() {
        // Each scenario has a broker of its own.
        true => None,
        false => {
            let connector = Connector::new(target).await.map_err(RunError::Trouble)?;
            Some(connector.kept_by(options.keeper.clone()))
        }
    };
    let mut report = Report {
        target: target.to_string(),
        rerun: quoted(&target.retyped()),
        ..Report::default()
    };
    let looked = tokio::select! {
        biased;
        () = interrupts.reach(1) => None,
        looked = look_at(target, connector.as_ref(), options) => Some(looked?),
    };
    let Some(looked) = looked else {
        if let Some(connector) = &connector {
            report.notes.extend(forget_first(connector, options, &interrupts).await);
        }
        report.interrupted = true;
        report.duration = started.elapsed();
        return Ok(report);
    };
    report.capabilities = looked.capabilities.lines();
    report.notes = looked.notes;
    let surroundings = Arc::new(Surroundings {
        target: target.clone(),
        connector,
        capabilities: looked.capabilities,
        token: options.token.clone(),
        prefix: options.topic_prefix.clone(),
        scale: options.timeout_scale,
        remains: Remains::default(),
        is_mute: looked.is_mute,
        silences: AtomicU32::new(0),
        keeper: options.keeper.clone(),
    });
    let options = Options { jobs: options.jobs_over(looked.took), ..options.clone() };
    let mut shift = Shift::new(Arc::clone(&surroundings), interrupts.clone(), &options, on_news);
    match shift.run(scenarios).await {
        Ok(()) => {}
        Err(Ended::Interrupted) => {
            shift.give_up("the run was interrupted");
            report.interrupted = true;
        }
        Err(Ended::Lost(why)) => {
            shift.give_up("the target was lost");
            report.trouble = Some(why);
        }
        Err(Ended::Trouble(error)) => return Err(error),
    }
    shift.dismiss();
    report.notes.append(&mut shift.notes);
    report.notes.extend(options.keeper.as_ref().and_then(|keeper| keeper.memory_note()));
    report.notes.extend(surroundings.strain_note(shift.pace.bound()));
    report.notes.extend(surroundings.clear(report.trouble.is_some(), &interrupts).await);
    report.scenarios = shift.results.into_values().collect();
    plain::settle(&mut report.scenarios);
    report.duration = started.elapsed();
    Ok(report)
}

impl Surroundings {
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(5.0 * self.scale)
    }

    fn strain_note(&self, bound: Option<usize>) -> Option<String> {
        self.connector.as_ref()?.strain().note_for_report(bound)
    }

    /// Removes what may be left; gives what to say of the rest.
    async fn clear(&self, is_lost: bool, interrupts: &Interrupts) -> Option<String> {
        let connector = self.connector.as_ref()?;
        let client = format!("{}tidy", self.token);
        let within = if is_lost { CLEARING_IN_DOUBT } else { CLEARING };
        let clearing = self.remains.clear(connector, &self.capabilities, &client, within);
        let left = tokio::select! {
            biased;
            () = interrupts.reach(2) => self.remains.all(),
            left = clearing => left,
        };
        left.note()
    }
}

/// Ends the session of the first look, if there is one; gives what to say if that cannot be.
async fn forget_first(
    connector: &Connector,
    options: &Options,
    interrupts: &Interrupts,
) -> Option<String> {
    let (remains, client) = (Remains::default(), format!("{}tidy", options.token));
    remains.add_session(&first(options));
    let capabilities = Capabilities::undeclared();
    let clearing = remains.clear(connector, &capabilities, &client, CLEARING_IN_DOUBT);
    let left = tokio::select! {
        biased;
        () = interrupts.reach(2) => remains.all(),
        left = clearing => left,
    };
    left.note()
}

/// The Client Identifier of the first look.
fn first(options: &Options) -> String {
    format!("{}look", options.token)
}

/// Looks at the target once.
async fn look_at(
    target: &Target,
    connector: Option<&Connector>,
    options: &Options,
) -> Result<Looked, RunError> {
    let (client, patience) = (first(options), options.patience());
    match (target, connector) {
        (_, Some(connector)) => {
            let space = perform::space(&options.topic_prefix, &options.token);
            let topics = format!("{space}/first");
            let looked = preflight(connector, &client, &topics, patience).await;
            looked.map_err(RunError::Unusable)
        }
        // The broker that is looked at is not kept. A mutant need not live through a look at it.
        (Target::Embedded(variant), None) => {
            let target = Target::Embedded(variant.unbroken());
            perform::look_at_embedded(target, client, patience).await
        }
        // No broker, so nothing to look at; scenarios are to find that out.
        _ => Ok(Looked::undeclared()),
    }
}

/// A result that says the tester failed.
fn trouble(scenario: &Scenario, expected: &str, observed: String) -> ScenarioResult {
    let finding = Finding {
        requirement: None,
        oracle: None,
        step: step::CHECK,
        expected: expected.to_owned(),
        seen: general(&observed),
        observed,
        event: None,
        known: None,
    };
    ScenarioResult {
        id: scenario.id,
        section: scenario.section(),
        shows: scenario.shows,
        requirements: scenario.requirements.to_vec(),
        verdict: Verdict::Inconclusive,
        expected: true,
        reason: None,
        duration: Duration::ZERO,
        findings: vec![finding],
        oracles: Vec::new(),
        trace: Vec::new(),
        again: None,
        looks_like: Vec::new(),
        bytes: BTreeMap::new(),
    }
}
