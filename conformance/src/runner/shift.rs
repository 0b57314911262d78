//! Runs scenarios beside each other, as many as the target bears.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::deviation::KnownDeviations;
use crate::report::ScenarioResult;
use crate::scenario::{Scenario, Timing};
use crate::target::{Connector, KEEP_ALIVE, Strain, Unusable, Visitor};

use super::again::{First, Way};
use super::death::Death;
use super::pace::Pace;
use super::perform::{Performance, Performed, Surroundings};
use super::sentinel::{Pulse, Sentinel};
use super::{Interrupts, News, Options, RunError, UnderWay};

/// How often it is said that a run is alive.
const BEAT: Duration = Duration::from_secs(10);

/// How long scenarios that are cut off may take to let go.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How long a target that died may take to come back, as a multiple of the patience for a reply.
pub(super) const RETURN: u32 = 4;

/// A scenario to be run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Its place in the registry.
    pub(super) index: usize,
    pub(super) scenario: &'static Scenario,
    /// How often it ran before.
    pub(super) before: u32,
}

impl Ticket {
    pub(super) fn is_timed(&self) -> bool {
        self.scenario.timing != Timing::Prompt
    }

    /// Whether nobody else may be at the target meanwhile, who shares it with others.
    fn is_alone(&self) -> bool {
        self.scenario.needs.iter().any(|need| need.is_alone())
    }

    /// For another time, with fresh names.
    pub(super) fn again(self) -> Ticket {
        Ticket { before: self.before + 1, ..self }
    }
}

/// Why not all was run.
#[derive(Debug)]
pub(super) enum Ended {
    /// Somebody wanted it so.
    Interrupted,
    /// The target is no more; what there is to say of that.
    Lost(String),
    /// The tester failed.
    Trouble(RunError),
}

/// All that a run is about.
pub(super) struct Shift<F> {
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) interrupts: Interrupts,
    news: F,
    started: Instant,
    all: usize,
    pub(super) known: Arc<KnownDeviations>,
    pub(super) pace: Pace,
    pub(super) sentinel: Option<Sentinel>,
    pub(super) deaths: usize,
    /// What is to be seen once more before it is told, by the place of its scenario.
    pub(super) firsts: BTreeMap<usize, First>,
    /// What is told or not as others of the same way come out.
    pub(super) held: BTreeMap<usize, First>,
    /// Ways of failing that were not seen again in some scenario.
    pub(super) unsteady_ways: BTreeSet<Way>,
    pub(super) results: BTreeMap<usize, ScenarioResult>,
    pub(super) notes: Vec<String>,
}

impl<F: FnMut(News<'_>)> Shift<F> {
    pub(super) fn new(
        surroundings: Arc<Surroundings>,
        interrupts: Interrupts,
        options: &Options,
        news: F,
    ) -> Shift<F> {
        let mut shift = Shift {
            surroundings,
            interrupts,
            news,
            started: Instant::now(),
            all: 0,
            known: Arc::clone(&options.known),
            pace: Pace::new(options.jobs, options.at_most),
            sentinel: None,
            deaths: 0,
            firsts: BTreeMap::new(),
            held: BTreeMap::new(),
            unsteady_ways: BTreeSet::new(),
            results: BTreeMap::new(),
            notes: Vec::new(),
        };
        shift.post_sentinel();
        shift
    }

    /// Runs them all, and once more what needs it.
    pub(super) async fn run(
        &mut self,
        scenarios: Vec<(usize, &'static Scenario)>,
    ) -> Result<(), Ended> {
        self.all = scenarios.len();
        let tickets =
            scenarios.into_iter().map(|(index, scenario)| Ticket { index, scenario, before: 0 });
        let (alone, tickets): (Vec<_>, Vec<_>) = tickets.partition(Ticket::is_alone);
        // Those that only wait begin first and overlap with all others.
        let (timed, prompt): (Vec<_>, Vec<_>) = tickets.into_iter().partition(Ticket::is_timed);
        self.work(timed.into_iter().chain(prompt).collect()).await?;
        self.look_again().await?;
        for ticket in alone {
            // A death that is wanted is none.
            self.dismiss();
            self.work([ticket].into()).await?;
            self.look_again().await?;
        }
        Ok(())
    }

    /// Runs what is queued, whatever the target lives through.
    pub(super) async fn work(&mut self, mut queue: VecDeque<Ticket>) -> Result<(), Ended> {
        while let Some(death) = self.crowd(&mut queue).await? {
            self.outlive(death, &mut queue).await?;
        }
        Ok(())
    }

    /// Whether a failure may be anybody's: in memory every run is like every other.
    pub(super) fn sees_twice(&self) -> bool {
        self.surroundings.connector.is_some()
    }

    pub(super) fn post_sentinel(&mut self) {
        let Surroundings { connector, token, remains, .. } = &*self.surroundings;
        // Who lets nobody in has no place for it.
        let connector = connector.clone().filter(|it| !it.setup().redirects);
        self.sentinel = connector.map(|connector| {
            let client = format!("{token}guard");
            remains.add_session(&client);
            Sentinel::new(connector, client, self.surroundings.patience())
        });
    }

    /// Takes the sentinel off, so that its session can be ended.
    pub(super) fn dismiss(&mut self) {
        self.sentinel = None;
    }

    /// Runs what is queued until nothing is left, or the target dies.
    pub(super) async fn crowd(
        &mut self,
        queue: &mut VecDeque<Ticket>,
    ) -> Result<Option<Death>, Ended> {
        let mut running = JoinSet::new();
        let mut begun: BTreeMap<usize, (Ticket, Instant)> = BTreeMap::new();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let interrupts = self.interrupts.clone();
        let died = loop {
            self.fill(queue, &mut running, &mut begun);
            let joined = tokio::select! {
                biased;
                () = interrupts.reach(1) => {
                    let_go(&mut running).await;
                    return Err(Ended::Interrupted);
                }
                pulse = alarm(self.sentinel.as_ref()) => break pulse,
                joined = running.join_next() => joined,
                _ = beat.tick() => {
                    self.tell_alive(&begun);
                    continue;
                }
            };
            let Some(joined) = joined else { return Ok(None) };
            let (ticket, performed) = joined
                .map_err(|error| Ended::Trouble(RunError::Trouble(std::io::Error::other(error))))?;
            if let Some(connector) = &self.surroundings.connector {
                self.pace.heed(connector.strain().crowds(), running.len());
            }
            match self.diagnose(&performed).await {
                Pulse::Beats => {
                    begun.remove(&ticket.index);
                    self.settle(ticket, performed);
                    if let Err(ended) = self.has_hope() {
                        let_go(&mut running).await;
                        return Err(ended);
                    }
                }
                pulse => break pulse,
            }
        };
        let at = self.started.elapsed();
        let_go(&mut running).await;
        let mut suspects: Vec<_> = begun.into_values().collect();
        suspects.sort_by_key(|(_, begun)| std::cmp::Reverse(*begun));
        let suspects = suspects.into_iter().map(|(ticket, _)| ticket).collect();
        Ok(Some(Death { pulse: died, at, suspects }))
    }

    fn fill(
        &self,
        queue: &mut VecDeque<Ticket>,
        running: &mut JoinSet<(Ticket, Performed)>,
        begun: &mut BTreeMap<usize, (Ticket, Instant)>,
    ) {
        let strain = self.surroundings.connector.as_ref().map(Connector::strain);
        while let Some(next) = queue.front() {
            if !begun.is_empty() && strain.is_some_and(Strain::is_waited_for) {
                return;
            }
            let prompt = begun.values().filter(|(ticket, _)| !ticket.is_timed()).count();
            if !self.pace.admits(next.is_timed(), prompt, begun.len()) {
                return;
            }
            let Some(ticket) = queue.pop_front() else { return };
            begun.insert(ticket.index, (ticket, Instant::now()));
            let surroundings = Arc::clone(&self.surroundings);
            let performance = Performance::new(ticket.scenario, surroundings).again(ticket.before);
            running.spawn(async move { (ticket, performance.run().await) });
        }
    }

    /// Whether the target lives, where a scenario has left a doubt.
    async fn diagnose(&self, performed: &Performed) -> Pulse {
        let Some(connector) = self.surroundings.connector.as_ref().filter(|_| performed.doubtful)
        else {
            return Pulse::Beats;
        };
        // Where connections have to wait, one that fails may be one too many.
        let is_bounded = connector.strain().is_bounded();
        match (self.answers(connector).await, &self.sentinel) {
            (false, Some(sentinel)) if is_bounded => sentinel.look().await,
            (false, _) => Pulse::Stopped,
            (true, Some(sentinel)) => sentinel.look().await,
            (true, None) => Pulse::Beats,
        }
    }

    /// Whether the target lets a fresh client in, given time. One that then does not serve it is a
    /// broken target, and no dead one.
    pub(super) async fn answers(&self, connector: &Connector) -> bool {
        let patience = self.surroundings.patience();
        let client = format!("{}alive", self.surroundings.token);
        let asking = async {
            for _ in 0..2 {
                let connect = connector.connect_packet(&client).keep_alive(KEEP_ALIVE);
                match Visitor::open(connector, connect, patience).await {
                    // It is there, if unwilling.
                    Ok(_) | Err(Unusable::Refused { .. }) => return true,
                    Err(_) => {}
                }
            }
            false
        };
        timeout(RETURN * patience, asking).await.unwrap_or(false)
    }

    /// Tells a result that is final.
    pub(super) fn finished(&mut self, index: usize, result: ScenarioResult) {
        (self.news)(News::Finished(&result));
        self.results.insert(index, result);
    }

    fn tell_alive(&mut self, begun: &BTreeMap<usize, (Ticket, Instant)>) {
        let longest = begun.values().min_by_key(|(_, begun)| *begun);
        let longest = longest.map(|(ticket, begun)| (ticket.scenario.id, begun.elapsed()));
        let (done, again) = (self.results.len(), self.firsts.len() + self.held.len());
        (self.news)(News::UnderWay(&UnderWay { done, all: self.all, again, longest }));
    }
}

/// Cuts off what runs, and waits until it has let go of its connections.
async fn let_go(running: &mut JoinSet<(Ticket, Performed)>) {
    running.abort_all();
    let _ = timeout(LETTING_GO, async { while running.join_next().await.is_some() {} }).await;
}

async fn alarm(sentinel: Option<&Sentinel>) -> Pulse {
    match sentinel {
        Some(sentinel) => sentinel.alarm().await,
        None => std::future::pending().await,
    }
}
