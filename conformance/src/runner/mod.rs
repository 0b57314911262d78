//! Runs scenarios: schedules them, keeps their time, looks after the target, and says what happened.
//!
//! Nothing is printed here; whoever runs is told of each result as it comes.

mod crew;
mod perform;
mod repeat;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::report::{Listed, Report, ScenarioResult};
use crate::scenario::{Scenario, Timing};
use crate::target::{Capabilities, Connector, Target, Unusable, preflight};
use crate::verdict::{Finding, Verdict, general, step};

pub(crate) use crew::{Ground, Work, perform as perform_all};
pub use perform::paused_runtime;
pub(crate) use perform::{Performance, Surroundings};
pub use repeat::{Changed, Repeat};
pub(crate) use select::glob;
pub use select::{Selection, SelectionError, matches};

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
}

impl Options {
    /// How long the first answer of a target may take.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(5.0 * self.timeout_scale)
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
    let started = Instant::now();
    tokio::pin!(interrupt);
    let surroundings = tokio::select! {
        biased;
        () = &mut interrupt => return Ok(interrupted_at_once(target, started)),
        looked = surroundings(target, options, scenarios.len()) => looked?,
    };
    let capabilities = surroundings.capabilities.lines();
    let is_prompt = |(_, scenario): &(usize, &Scenario)| scenario.timing == Timing::Prompt;
    let (prompt, timed): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(is_prompt);
    let mut prompt = prompt.into_iter();
    // Those that only wait begin first and overlap with all others.
    let first = timed.into_iter().chain(prompt.by_ref().take(options.jobs.max(1)));
    let mut running = JoinSet::new();
    let begin = |running: &mut JoinSet<_>, (index, scenario): (usize, &'static Scenario)| {
        let performance = Performance::new(scenario, Arc::clone(&surroundings));
        running.spawn(async move { (index, scenario.timing, performance.run().await) });
    };
    first.for_each(|next| begin(&mut running, next));
    let mut results = Vec::new();
    let mut interrupted = false;
    loop {
        let joined = tokio::select! {
            biased;
            () = &mut interrupt => {
                interrupted = true;
                break;
            }
            joined = running.join_next() => joined,
        };
        let Some(joined) = joined else { break };
        let (index, timing, result) =
            joined.map_err(|error| RunError::Trouble(io::Error::other(error)))?;
        on_result(&result);
        results.push((index, result));
        if timing == Timing::Prompt {
            prompt.by_ref().take(1).for_each(|next| begin(&mut running, next));
        }
    }
    running.abort_all();
    results.sort_by_key(|(index, _)| *index);
    Ok(Report {
        target: target.to_string(),
        rerun: target.to_string(),
        capabilities,
        scenarios: results.into_iter().map(|(_, result)| result).collect(),
        duration: started.elapsed(),
        interrupted,
        listed: Listed::default(),
    })
}

/// The report of a run that was ended before its first scenario began.
fn interrupted_at_once(target: &Target, started: Instant) -> Report {
    Report {
        target: target.to_string(),
        rerun: target.to_string(),
        capabilities: Vec::new(),
        scenarios: Vec::new(),
        duration: started.elapsed(),
        interrupted: true,
        listed: Listed::default(),
    }
}

/// Looks at the target once and prepares what all scenarios share.
async fn surroundings(
    target: &Target,
    options: &Options,
    scenarios: usize,
) -> Result<Arc<Surroundings>, RunError> {
    let token = options.token.clone();
    let client = format!("{token}first");
    let patience = options.patience();
    let (connector, capabilities) = match target {
        // Each scenario has a broker of its own, so the one that was looked at is not kept. A
        // mutant need not live through a look at it.
        Target::Embedded(variant) => {
            let target = Target::Embedded(variant.unbroken());
            (None, perform::look_at_embedded(target, client, patience).await?)
        }
        // No broker, so nothing to look at; scenarios are to find that out.
        Target::Null(_) => (None, Capabilities::undeclared()),
        _ => {
            let connector = Connector::new(target).await.map_err(RunError::Trouble)?;
            let capabilities =
                preflight(&connector, &client, patience).await.map_err(RunError::Unusable)?;
            (Some(connector), capabilities)
        }
    };
    let alone = options.jobs <= 1 || scenarios <= 1 || target.is_in_memory();
    let scale = options.timeout_scale;
    let dead = false.into();
    let target = target.clone();
    Ok(Arc::new(Surroundings { target, connector, capabilities, token, scale, alone, dead }))
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
        bytes: BTreeMap::new(),
    }
}
