use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reference_broker::codec::{Disconnect, Packet};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{timeout, timeout_at};

use crate::probe::{Context, Patience, keep_alive, policies_of};
use crate::report::ScenarioResult;
use crate::scenario::{Names, Scenario, Stage};
use crate::target::{
    Capabilities, Connector, KEEP_ALIVE, Keeper, Looked, Lost, Need, Target, Unusable, Visitor,
    look,
};
use crate::trace::Said;
use crate::verdict::{Outcome, Verdict};

use super::remains::{self, Remains, Tidier};
use super::weigh::{judge, not_alive, own_up, result};
use super::{RunError, trouble};

/// How long a scenario on the paused clock may take in real time: it needs milliseconds, so more
/// means that it spins.
pub(super) const SPIN_LIMIT: Duration = Duration::from_secs(60);

/// By so many of its deadlines a scenario may end later whose answers come slowly.
const SLOWEST: u32 = 2;

/// How many events are kept of a trace that was full.
const KEPT: usize = 200;

/// Where connections have to wait, one in so many passes is followed by a look at the target.
const SPARING: u64 = 4;

/// After so many in a row that a target did not answer, it is not expected to.
const SILENCES: u32 = 2;

/// How long a look after a scenario may take, as a multiple of the patience for a reply.
const AFTERWARDS: u32 = 4;

/// What all scenarios of a run share.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(super) target: Target,
    /// The way to the target; none if each scenario has a broker of its own.
    pub(super) connector: Option<Connector>,
    pub(super) capabilities: Capabilities,
    pub(super) token: String,
    pub(super) prefix: String,
    pub(super) scale: f64,
    pub(super) remains: Remains,
    /// Whether the target answered nothing but CONNECT at first.
    pub(super) is_mute: bool,
    /// How often in a row it answered no PINGREQ after a scenario.
    pub(super) silences: AtomicU32,
    /// Who keeps the target running, if it was started for this run.
    pub(super) keeper: Option<Arc<Keeper>>,
}

/// One scenario about to run.
pub(crate) struct Performance {
    scenario: &'static Scenario,
    surroundings: Arc<Surroundings>,
    /// How often it ran before in this run: each time has names of its own.
    before: u32,
}

/// What came of it.
pub(super) struct Performed {
    pub(super) result: ScenarioResult,
    /// Whether the target did not serve a fresh client afterwards.
    pub(super) doubtful: bool,
    /// Whether connections failed to come about while it ran, its own or others.
    pub(super) strained: bool,
}

impl Surroundings {
    /// How long a PINGREQ after a scenario is waited for: not for long where none was answered.
    fn patience_for_a_word(&self) -> Duration {
        match self.silences.load(Ordering::Relaxed) {
            0..SILENCES => self.patience(),
            _ => self.patience() / 10,
        }
    }

    fn note_word(&self, answered: bool) {
        let silences = self.silences.load(Ordering::Relaxed);
        self.silences.store(if answered { 0 } else { silences + 1 }, Ordering::Relaxed);
    }
}

impl Performance {
    pub(crate) fn new(scenario: &'static Scenario, surroundings: Arc<Surroundings>) -> Performance {
        Performance { scenario, surroundings, before: 0 }
    }

    /// For one that ran before.
    pub(super) fn again(self, before: u32) -> Performance {
        Performance { before, ..self }
    }

    pub(super) fn scenario(&self) -> &'static Scenario {
        self.scenario
    }

    /// Runs the scenario to its result.
    pub(super) async fn run(self) -> Performed {
        let calm = |result| Performed { result, doubtful: false, strained: false };
        if let Some(reason) = self.obstacle() {
            return calm(ScenarioResult {
                verdict: Verdict::NotApplicable,
                reason: Some(reason),
                findings: Vec::new(),
                ..trouble(self.scenario, "", String::new())
            });
        }
        match self.surroundings.connector.clone() {
            Some(connector) => self.on_shared(connector).await,
            None => calm(self.apart().await),
        }
    }

    /// Why the scenario has nothing to look at here.
    fn obstacle(&self) -> Option<String> {
        let Surroundings { capabilities, connector, .. } = &*self.surroundings;
        if let Some(need) = self.scenario.needs.iter().find(|need| !capabilities.meet(**need)) {
            return Some(format!("needs {need}"));
        }
        let redirects = connector.as_ref().is_some_and(|it| it.setup().redirects);
        let is_meant = self.scenario.needs.contains(&Need::Redirection);
        (redirects && !is_meant).then(|| "the target sends its clients elsewhere".to_owned())
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
    pub(crate) fn in_memory(self) -> ScenarioResult {
        let scenario = self.scenario;
        let started = Instant::now();
        let run = || {
            let runtime = paused_runtime()?;
            runtime.block_on(async {
                let connector =
                    Connector::needing(&self.surroundings.target, self.scenario.needs).await?;
                Ok::<_, std::io::Error>(self.alone_on(connector).await)
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

    /// Runs it on a broker that ends with it, and that nobody else can have brought to its end.
    async fn alone_on(self, connector: Connector) -> ScenarioResult {
        let (context, names) = self.beginning(&connector);
        let mut result = self.on(connector.clone(), &context, &names).await;
        let client = format!("{}alive", names.clients);
        let patience = context.patience().reply;
        if let Err(why) = lets_in(&connector, &client, patience, patience).await {
            not_alive(&mut result, &why);
        }
        result
    }

    /// Runs it on a broker that others use too.
    async fn on_shared(self, connector: Connector) -> Performed {
        let started = Instant::now();
        let strain = connector.strain().clone();
        let strain_before = strain.count();
        let surroundings = Arc::clone(&self.surroundings);
        let (context, names) = self.beginning(&connector);
        let space = space(&surroundings.prefix, &fresh(&surroundings.token, self.before));
        let number = surroundings.remains.begin(&context, &space);
        let mut result = self.on(connector.clone(), &context, &names).await;
        let patience = context.patience();
        let within = AFTERWARDS * patience.reply;
        let tidier = Tidier {
            connector: &connector,
            capabilities: &surroundings.capabilities,
            client: &format!("{}tidy", names.clients),
            patience: patience.reply,
            deadline: tokio::time::Instant::now() + within,
        };
        let left = tidier.remove(remains::of(&context)).await;
        surroundings.remains.end(number, left);
        result.duration = started.elapsed();
        let is_strained = || strain.count() > strain_before;
        // Connections are for scenarios where there are few: the sentinel sees a death too.
        if strain.is_bounded() && result.verdict == Verdict::Pass && !number.is_multiple_of(SPARING)
        {
            return Performed { result, doubtful: false, strained: is_strained() };
        }
        let client = format!("{}alive", names.clients);
        let word = surroundings.patience_for_a_word();
        let alive = timeout(within, lets_in(&connector, &client, patience.reply, word)).await;
        if let Ok(Ok(answered)) = alive {
            surroundings.note_word(answered);
        }
        result.duration = started.elapsed();
        let doubtful = !matches!(alive, Ok(Ok(_)));
        Performed { result, doubtful, strained: is_strained() }
    }

    fn beginning(&self, connector: &Connector) -> (Context, Names) {
        let surroundings = &self.surroundings;
        let patience = Patience::scaled(surroundings.scale);
        let credentials = connector.credentials().clone();
        let cited = self.scenario.requirements;
        let context =
            Context::new(&surroundings.prefix, cited, patience, credentials, connector.secrets());
        let token = fresh(&surroundings.token, self.before);
        (context, Names::below(&surroundings.prefix, &token, &self.scenario.code()))
    }

    /// Goes through its steps, and judges what was seen.
    async fn on(&self, connector: Connector, context: &Context, names: &Names) -> ScenarioResult {
        let Performance { scenario, surroundings, .. } = self;
        let capabilities = surroundings.capabilities.clone();
        let stage = Stage::new(connector, capabilities, context.clone(), names.clone());
        let mut outcome = finish(scenario, stage, surroundings.scale, context).await;
        outcome = context.weighed(outcome);
        let (trace, advisories) = context.taken(&mut outcome);
        let mut result = result(scenario, outcome, advisories);
        judge(&mut result, &trace);
        own_up(scenario, &mut result, &trace);
        result.trace = trace;
        if !(result.findings.is_empty() && result.oracles.is_empty()) {
            result.bytes = context.bytes_taken();
        }
        if context.is_full() {
            shorten(&mut result);
        }
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
) -> Result<Looked, RunError> {
    let inner = tokio::task::spawn_blocking(move || {
        let runtime = paused_runtime().map_err(RunError::Trouble)?;
        runtime.block_on(async {
            let connector = Connector::new(&target).await.map_err(RunError::Trouble)?;
            look(&connector, &client, patience).await.map_err(RunError::Unusable)
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
    let begun = tokio::time::Instant::now();
    let mut end = begun + deadline;
    let ended = loop {
        let ended = tokio::select! {
            biased;
            () = context.filled() => {
                return Err(context.trouble(expected, "more than a trace has room for".to_owned()));
            }
            ended = timeout_at(end, task.join_next()) => ended,
        };
        // What a slow target takes for its answers is no part of the scenario.
        let later = begun + deadline + context.waited().min(SLOWEST * deadline);
        if ended.is_ok() || later <= end {
            break ended;
        }
        end = later;
    };
    match ended {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(Some(Err(error))) => Err(context.trouble(expected, panic_text(error))),
        Ok(None) => Err(context.trouble(expected, "it was never begun".to_owned())),
        Err(_) => {
            let tenths = (end - begun).as_millis() / 100;
            let time = format!("{} s", tenths as f64 / 10.0);
            Err(context.trouble(expected, format!("none in {time}")))
        }
    }
}

/// Keeps the beginning of a trace that was full: many of those would fill memory, and what goes on
/// without end is seen there.
fn shorten(result: &mut ScenarioResult) {
    result.trace.truncate(KEPT);
    result.trace.shrink_to_fit();
    result.bytes.retain(|event, _| *event < KEPT);
    for finding in &mut result.findings {
        finding.event = finding.event.filter(|event| *event < KEPT);
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

/// Where the topics of a run are.
pub(super) fn space(prefix: &str, token: &str) -> String {
    format!("{prefix}/{token}")
}

/// The token for names that were not used before: of the same length, and another for each time.
pub(super) fn fresh(token: &str, before: u32) -> String {
    if before == 0 {
        return token.to_owned();
    }
    let mut letters = token.chars();
    let first = letters.next().filter(char::is_ascii_lowercase).unwrap_or('m');
    let turned = (u32::from(first) - u32::from('a') + before) % 26 + u32::from('a');
    char::from_u32(turned).into_iter().chain(letters).collect()
}

/// Whether a target lets a fresh client in, which connects as scenarios do, and keeps it: a broker that
/// crashed closes its connections too, and must not pass for that. One that answers no PINGREQ within `word`
/// is not dead; gives whether it does.
async fn lets_in(
    connector: &Connector,
    client: &str,
    patience: Duration,
    word: Duration,
) -> Result<bool, Unusable> {
    let connect = connector.connect_packet(client).keep_alive(KEEP_ALIVE);
    let mut visitor = match Visitor::open(connector, connect, patience).await {
        // Who sends everybody elsewhere may as well close without a word.
        Err(Unusable::Refused { .. } | Unusable::Closed) if connector.setup().redirects => {
            return Ok(true);
        }
        opened => opened?.0,
    };
    visitor.allow(word);
    let silent = |_| Unusable::Silent(patience);
    visitor.send(Packet::PingReq).await.map_err(silent)?;
    loop {
        match visitor.next().await {
            Ok(Packet::PingResp) => break,
            // Who closes for rights, load or limits, and says so, is alive.
            Ok(packet @ Packet::Disconnect(_)) if policies_of(&packet).next().is_some() => {
                return Ok(true);
            }
            Ok(_) => {}
            Err(Lost::Late) => return Ok(false),
            Err(_) => return Err(Unusable::Closed),
        }
    }
    visitor.send(Disconnect::default()).await.map_err(silent)?;
    Ok(true)
}
