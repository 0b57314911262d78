use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reference_broker::codec::{Connect, Disconnect, Packet, Publish, QoS};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::oracle::{self, tester};
use crate::probe::{Context, Patience, Probe, keep_alive};
use crate::report::ScenarioResult;
use crate::scenario::{Names, Scenario, Stage};
use crate::target::{Capabilities, Connector, Target, preflight};
use crate::trace::{Event, Said};
use crate::verdict::{Finding, Outcome, Stop, Verdict};

use super::{RunError, trouble};

/// How long a scenario on the paused clock may take in real time: it needs milliseconds, so more
/// means that it spins.
pub(super) const SPIN_LIMIT: Duration = Duration::from_secs(60);

/// What all scenarios of a run share.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(super) target: Target,
    /// The way to the target; none if each scenario has a broker of its own.
    pub(super) connector: Option<Connector>,
    pub(super) capabilities: Capabilities,
    pub(super) token: String,
    pub(super) scale: f64,
    /// Whether scenarios run one by one.
    pub(super) alone: bool,
    /// Whether the target, which they share, was found dead.
    pub(super) dead: AtomicBool,
}

/// One scenario about to run.
pub(crate) struct Performance {
    scenario: &'static Scenario,
    surroundings: Arc<Surroundings>,
}

impl Performance {
    pub(crate) fn new(scenario: &'static Scenario, surroundings: Arc<Surroundings>) -> Performance {
        Performance { scenario, surroundings }
    }

    pub(super) fn scenario(&self) -> &'static Scenario {
        self.scenario
    }

    /// Runs the scenario to its result.
    pub(super) async fn run(self) -> ScenarioResult {
        let missing =
            self.scenario.needs.iter().find(|need| !self.surroundings.capabilities.meet(**need));
        if let Some(need) = missing {
            return ScenarioResult {
                verdict: Verdict::NotApplicable,
                reason: Some(format!("needs {need}")),
                findings: Vec::new(),
                ..trouble(self.scenario, "", String::new())
            };
        }
        match self.surroundings.connector.clone() {
            Some(connector) => self.on(connector).await,
            None => self.apart().await,
        }
    }

    /// Runs it in memory on a thread of its own, which is given up when it never ends.
    async fn apart(self) -> ScenarioResult {
        let scenario = self.scenario;
        let inner = tokio::task::spawn_blocking(move || self.in_memory());
        match timeout(SPIN_LIMIT, inner).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => trouble(scenario, "an end of the scenario", panic_text(error)),
            Err(_) => never_ended(scenario, SPIN_LIMIT),
        }
    }

    /// Runs it on this thread, on a broker and a clock of its own. It keeps the thread until it ends.
    pub(super) fn in_memory(self) -> ScenarioResult {
        let scenario = self.scenario;
        let started = Instant::now();
        let run = || {
            let runtime = paused_runtime()?;
            runtime.block_on(async {
                let connector = Connector::new(&self.surroundings.target).await?;
                Ok::<_, std::io::Error>(self.on(connector).await)
            })
        };
        let mut result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => trouble(scenario, "a runtime", error.to_string()),
            Err(panic) => trouble(scenario, "an end of the scenario", fault_text(&*panic)),
        };
        result.duration = started.elapsed();
        result
    }

    async fn on(self, connector: Connector) -> ScenarioResult {
        let Performance { scenario, surroundings } = self;
        let started = Instant::now();
        let patience = Patience::scaled(surroundings.scale);
        let context = Context::new(scenario.requirements, patience);
        let names = Names::new(&surroundings.token, &scenario.code());
        let stage = Stage::new(
            connector.clone(),
            surroundings.capabilities.clone(),
            context.clone(),
            names.clone(),
        );
        let outcome = finish(scenario, stage, surroundings.scale, &context).await;
        let outcome = context.weighed(outcome);
        let (trace, advisories) = context.taken();
        let mut result = result(scenario, outcome, advisories);
        judge(&mut result, &trace);
        own_up(scenario, &mut result, &trace);
        result.trace = trace;
        if !(result.findings.is_empty() && result.oracles.is_empty()) {
            result.bytes = context.bytes_taken();
        }
        // A broker that ends with the scenario needs no tidying up.
        if surroundings.connector.is_some() {
            tidy_up(&connector, &context, &names).await;
        }
        if let Err(stop) = is_alive(&connector, patience, &names).await {
            let shared = surroundings.connector.is_some();
            let was_dead = surroundings.dead.swap(shared, Ordering::Relaxed);
            not_alive(&mut result, stop, surroundings.alone && !was_dead);
        }
        result.duration = started.elapsed();
        result
    }
}

/// A runtime whose clock jumps to the next timer whenever all its tasks wait.
///
/// # Errors
///
/// What the system says.
pub fn paused_runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// Looks at the embedded broker as at any other.
pub(super) async fn look_at_embedded(
    target: Target,
    client: String,
    patience: Duration,
) -> Result<Capabilities, RunError> {
    let inner = tokio::task::spawn_blocking(move || {
        let runtime = paused_runtime().map_err(RunError::Trouble)?;
        runtime.block_on(async {
            let connector = Connector::new(&target).await.map_err(RunError::Trouble)?;
            preflight(&connector, &client, patience).await.map_err(RunError::Unusable)
        })
    });
    inner.await.map_err(|error| RunError::Trouble(std::io::Error::other(error)))?
}

/// Goes through the scenario's steps, catching what it must not do: panic, or never end.
async fn finish(
    scenario: &'static Scenario,
    mut stage: Stage,
    scale: f64,
    context: &Context,
) -> Outcome {
    let mut task = JoinSet::new();
    let pings = keep_alive(context.clone());
    task.spawn(async move {
        tokio::select! {
            biased;
            outcome = scenario.perform(&mut stage) => outcome,
            never = pings => match never {},
        }
    });
    let deadline = scenario.deadline(scale);
    let expected = "an end of the scenario";
    match timeout(deadline, task.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(Some(Err(error))) => Err(context.trouble(expected, panic_text(error))),
        Ok(None) => Err(context.trouble(expected, "it was never begun".to_owned())),
        Err(_) => Err(context.trouble(expected, format!("none in {}", deadline.said()))),
    }
}

fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => fault_text(&*panic),
        Err(error) => error.to_string(),
    }
}

fn fault_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a fault of the suite itself: {}", text.unwrap_or("a panic"))
}

/// What is said of a scenario that had not ended by then.
pub(super) fn never_ended(scenario: &'static Scenario, limit: Duration) -> ScenarioResult {
    ScenarioResult {
        duration: limit,
        ..trouble(scenario, "an end of the scenario", format!("none in {}", limit.said()))
    }
}

fn result(scenario: &Scenario, outcome: Outcome, advisories: Vec<Finding>) -> ScenarioResult {
    let mut findings = advisories;
    let is_cited = |finding: &Finding| is_about(scenario.requirements, finding);
    let mut reason = None;
    let verdict = match outcome {
        // An advisory about something else is told with its cause, and is not this scenario's.
        Ok(()) if findings.iter().any(is_cited) => Verdict::Advisory,
        Ok(()) => Verdict::Pass,
        Err(Stop::NotApplicable(why)) => {
            reason = Some(why);
            Verdict::NotApplicable
        }
        // What no MUST forbids is no failure, however a scenario came upon it.
        Err(Stop::Fail(finding)) if !finding.is_failure() => {
            first(Verdict::Advisory, finding, &mut findings)
        }
        Err(Stop::Fail(finding)) => first(Verdict::Fail, finding, &mut findings),
        Err(Stop::Blocked(finding)) => first(Verdict::Blocked, finding, &mut findings),
        Err(Stop::Inconclusive(finding)) => first(Verdict::Inconclusive, finding, &mut findings),
    };
    ScenarioResult { verdict, reason, findings, ..trouble(scenario, "", String::new()) }
}

fn first(verdict: Verdict, finding: Finding, findings: &mut Vec<Finding>) -> Verdict {
    findings.insert(0, finding);
    verdict
}

/// Whether a finding is about what is cited.
fn is_about(cited: &[&'static str], finding: &Finding) -> bool {
    finding.requirement.is_some_and(|requirement| cited.contains(&requirement))
}

/// Adds what the oracles find. What they find makes a scenario fail only if it is about that, whatever
/// else it came to.
fn judge(result: &mut ScenarioResult, trace: &[Event]) {
    result.oracles = oracle::judge(trace);
    if result.verdict == Verdict::Fail {
        return;
    }
    let own = result.oracles.iter().filter(|found| is_about(&result.requirements, found));
    let (failures, advisories): (Vec<_>, Vec<_>) =
        own.cloned().partition(|finding| finding.is_failure());
    if !failures.is_empty() {
        result.verdict = Verdict::Fail;
        result.findings.splice(0..0, failures);
    } else if !advisories.is_empty() && result.verdict == Verdict::Pass {
        result.verdict = Verdict::Advisory;
        result.findings.splice(0..0, advisories);
    }
}

/// What a target does once the suite has broken a rule that the scenario did not mean to break says
/// nothing of the target.
fn own_up(scenario: &Scenario, result: &mut ScenarioResult, trace: &[Event]) {
    let mut breaches = tester::judge(trace).into_iter();
    let Some(breach) = breaches.find(|breach| !scenario.means(breach, trace)) else { return };
    let is_before = |finding: &Finding| finding.event.is_some_and(|it| Some(it) < breach.event);
    result.oracles.retain(is_before);
    let is_told = matches!(result.verdict, Verdict::Fail | Verdict::Blocked)
        && result.findings.first().is_some_and(is_before);
    if is_told || matches!(result.verdict, Verdict::NotApplicable | Verdict::Inconclusive) {
        return;
    }
    let requirement = breach.requirement.unwrap_or_default();
    let Finding { expected, observed, .. } = &breach;
    let observed =
        format!("the suite itself broke {requirement}: its fault ({expected}; {observed})");
    let expected = "a client that keeps the rules".to_owned();
    result.verdict = Verdict::Inconclusive;
    let finding = Finding { requirement: None, expected, observed, ..breach };
    result.findings.insert(0, finding);
}

/// Connects a fresh client: a broker that crashed closes its connections too, and must not pass
/// for that.
async fn is_alive(connector: &Connector, patience: Patience, names: &Names) -> Outcome {
    let context = Context::new(&["U-4.13.1-7"], patience);
    let mut probe = visitor(connector, &context, names, "alive").await?;
    probe.connect(Connect::new(probe.client_id())).await?;
    probe.ping().await?;
    probe.send(Disconnect::default()).await
}

async fn visitor(
    connector: &Connector,
    context: &Context,
    names: &Names,
    name: &str,
) -> Outcome<Probe> {
    let connecting = connector.connect(context.patience().reply);
    let stream = connecting
        .await
        .map_err(|error| context.trouble("a connection to the target", error.to_string()))?;
    Ok(Probe::new(name, format!("{}{name}", names.clients), stream, context.clone()))
}

/// `to_blame` says that nobody else can have brought the target to its end.
fn not_alive(result: &mut ScenarioResult, stop: Stop, to_blame: bool) {
    let (Stop::Fail(mut finding) | Stop::Inconclusive(mut finding)) = stop else { return };
    finding.expected = "a target that serves a fresh client after the scenario".to_owned();
    finding.event = None;
    finding.oracle = Some("liveness");
    match (result.verdict, to_blame) {
        (Verdict::Fail, true) => return result.findings.push(finding),
        (_, true) => {
            finding.requirement = result.requirements.first().copied();
            result.verdict = Verdict::Fail;
        }
        (_, false) => {
            finding.requirement = None;
            finding
                .observed
                .push_str("; other scenarios came before or ran beside it: run it alone");
            result.verdict = Verdict::Inconclusive;
        }
    }
    result.findings.insert(0, finding);
}

/// Removes what the scenario may have left: sessions, and retained messages. What cannot be
/// removed is no fault of the scenario's, and the names are not used again.
async fn tidy_up(connector: &Connector, context: &Context, names: &Names) {
    let (sessions, retained) = context.leftovers();
    let quiet = Context::new(&["U-4.13.1-7"], context.patience());
    for client in sessions {
        let _ = end_session(connector, &quiet, names, &client).await;
    }
    if !retained.is_empty() {
        let _ = clear(connector, &quiet, names, &retained).await;
    }
}

async fn end_session(
    connector: &Connector,
    context: &Context,
    names: &Names,
    client: &str,
) -> Outcome {
    let mut probe = visitor(connector, context, names, "tidy").await?;
    probe.connect(Connect::new(client)).await?;
    probe.send(Disconnect::default()).await
}

async fn clear(
    connector: &Connector,
    context: &Context,
    names: &Names,
    topics: &[String],
) -> Outcome {
    let mut probe = visitor(connector, context, names, "tidy").await?;
    probe.connect(Connect::new(probe.client_id())).await?;
    for topic in topics.iter().filter(|topic| topic.starts_with(&names.topics)) {
        let id = probe.packet_id();
        let empty = Publish::new(topic, "").qos(QoS::AtLeastOnce, id).retain();
        probe.send(empty).await?;
    }
    probe.ping().await?;
    probe.send(Packet::from(Disconnect::default())).await
}
