//! A campaign under way.

mod findings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::script::to_text;

use super::campaign::{Campaign, Report};
use super::cause::triggers;
use super::memory::{Memory, RECENT};
use super::observer::Observer;
use super::playing::Outcome;
use super::states::States;
use super::suspects::{Convicted, Trial};
use super::{Input, Inputs, Symptom};

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(250);

/// How often it is told how far it has come.
const TOLD: Duration = Duration::from_secs(10);

/// A corpus gets no more scripts than these in one campaign.
const MOST_KEPT: usize = 500;

/// How long those are waited for at the end.
const REST: Duration = Duration::from_secs(30);

/// What is known while it goes on.
pub(super) struct Run {
    campaign: Campaign,
    trial: Arc<Trial>,
    inputs: Inputs,
    begun: Instant,
    report: Report,
    states: States,
    memory: Memory,
    running: JoinSet<(usize, io::Result<Outcome>)>,
    in_flight: BTreeMap<usize, Input>,
    /// Those that ended last, the newest at the end.
    recent: VecDeque<Input>,
    /// Packets and fields that bring about what was found already.
    avoided: BTreeSet<String>,
    /// What inputs showed by themselves that was looked at, be it found again or not.
    tried: BTreeSet<String>,
    /// What is to be looked at, and what is being looked at.
    waiting: VecDeque<(Input, Symptom)>,
    looked_at: JoinSet<Option<Convicted>>,
    /// What was found again beside others: it is told if it is there without them too.
    to_confirm: Vec<Convicted>,
    deaths: usize,
    kept: usize,
}

/// What there is to do next.
enum Turn {
    Wrong(Symptom),
    Played(usize, io::Result<Outcome>),
    LookedAt(Option<Convicted>),
    Tick,
    Start,
    Over,
}

impl Run {
    pub(super) fn new(campaign: Campaign, trial: Arc<Trial>, inputs: Inputs) -> Run {
        Run {
            campaign,
            trial,
            inputs,
            begun: Instant::now(),
            report: Report::default(),
            states: States::default(),
            memory: Memory::default(),
            running: JoinSet::new(),
            in_flight: BTreeMap::new(),
            recent: VecDeque::new(),
            avoided: BTreeSet::new(),
            tried: BTreeSet::new(),
            waiting: VecDeque::new(),
            looked_at: JoinSet::new(),
            to_confirm: Vec::new(),
            deaths: 0,
            kept: 0,
        }
    }

    /// What came of it, and why it ended early, if it did.
    pub(super) fn into_report(mut self, trouble: Option<String>) -> Report {
        self.report.states = self.states.count();
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        Report { trouble, ..self.report }
    }

    /// Plays inputs until it is over.
    ///
    /// # Errors
    ///
    /// Why it ends early.
    pub(super) async fn until_over(
        &mut self,
        tell: &mut dyn FnMut(&str),
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let bound = self.campaign.bound;
        let post = self.trial.post(bound).await;
        let mut observer = post.map_err(|symptom| format!("nothing was tried: {symptom}"))?;
        let mut stop = std::pin::pin!(stop);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut idle_since) = (Instant::now(), None::<Instant>);
        loop {
            let (next, has_room) = (self.next_start(), self.has_room());
            let turn = tokio::select! {
                biased;
                () = &mut stop => Turn::Over,
                symptom = observer.alarm() => Turn::Wrong(symptom),
                Some(done) = self.running.join_next() => match done {
                    Ok((number, played)) => Turn::Played(number, played),
                    Err(error) => return Err(format!("a case could not be played: {error}")),
                },
                Some(done) = self.looked_at.join_next() => {
                    Turn::LookedAt(done.map_err(|error| format!("a finding was not tried again: {error}"))?)
                }
                _ = tick.tick() => Turn::Tick,
                () = sleep_until(next), if has_room => Turn::Start,
            };
            let wrong = match turn {
                Turn::Over => break,
                Turn::Wrong(symptom) => Some(symptom),
                Turn::Played(number, played) => self.played(number, played).await,
                Turn::LookedAt(convicted) => {
                    self.to_confirm.extend(convicted);
                    None
                }
                Turn::Start => {
                    self.start();
                    None
                }
                Turn::Tick => {
                    if told.elapsed() >= TOLD {
                        tell(&self.progress(&observer));
                        told = Instant::now();
                    }
                    self.look_at_memory(tell).await?;
                    None
                }
            };
            if let Some(symptom) = wrong {
                self.count(&observer);
                drop(observer);
                tell(&format!("{}: looking for the cause", symptom.word()));
                self.wrong(symptom).await?;
                observer = self.trial.post(bound).await.map_err(|symptom| symptom.to_string())?;
            }
            if self.running.is_empty() && self.looked_at.is_empty() {
                self.confirm().await;
            }
            self.look_at_more();
            let is_idle = self.running.is_empty() && !self.goes_on();
            idle_since = is_idle.then(|| idle_since.unwrap_or_else(Instant::now));
            let is_done = |since: Instant| self.looked_at.is_empty() || since.elapsed() >= REST;
            if self.is_enough() || idle_since.is_some_and(is_done) {
                break;
            }
        }
        self.running.shutdown().await;
        self.looked_at.shutdown().await;
        self.confirm().await;
        self.count(&observer);
        Ok(())
    }

    fn count(&mut self, observer: &Observer) {
        let seen = observer.seen();
        let (messages, worst) = &mut self.report.innocent;
        *messages += seen.messages;
        *worst = (*worst).max(seen.worst);
    }

    fn progress(&self, observer: &Observer) -> String {
        let (cases, seconds) = (self.report.cases, self.begun.elapsed().as_secs_f64());
        format!(
            "{cases} cases, {:.1}/s; {} states; {} findings; innocent clients wait for {:.0} ms at most",
            cases as f64 / seconds.max(0.001),
            self.states.count(),
            self.report.causes.len(),
            self.report.innocent.1.max(observer.seen().worst).as_secs_f64() * 1e3,
        )
    }

    fn is_enough(&self) -> bool {
        self.campaign.most_findings.is_some_and(|most| self.report.causes.len() >= most)
    }

    /// Whether there are more inputs.
    fn goes_on(&self) -> bool {
        let Campaign { cases, time, .. } = &self.campaign;
        let begun = self.report.cases + self.in_flight.len();
        cases.is_none_or(|cases| begun < cases)
            && time.is_none_or(|time| self.begun.elapsed() < time)
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.campaign.jobs && self.to_confirm.is_empty() && self.goes_on()
    }

    /// When the next input is begun at the earliest.
    fn next_start(&self) -> Instant {
        let begun = self.report.cases + self.in_flight.len();
        match self.campaign.rate {
            Some(rate) if rate > 0.0 => self.begun + Duration::from_secs_f64(begun as f64 / rate),
            _ => self.begun,
        }
    }

    fn start(&mut self) {
        let input = loop {
            let Some(input) = self.inputs.next() else { return };
            match triggers(&input.script).is_disjoint(&self.avoided) {
                true => break input,
                false => self.report.left_out += 1,
            }
        };
        let (trial, script, number) = (Arc::clone(&self.trial), input.script.clone(), input.number);
        self.running.spawn(async move { (number, trial.player.play(&script).await) });
        self.in_flight.insert(number, input);
    }

    /// Takes in what came of an input. Gives what is wrong with the broker as a whole.
    async fn played(&mut self, number: usize, played: io::Result<Outcome>) -> Option<Symptom> {
        let Ok(outcome) = played else {
            // It stays among the suspects until it is known what that means.
            let symptom = self.trial.patient.look().await;
            if symptom.is_none() {
                self.in_flight.remove(&number);
                self.report.cases += 1;
            }
            return symptom;
        };
        let input = self.in_flight.remove(&number)?;
        self.report.cases += 1;
        self.report.accepted += outcome.accepted;
        if self.states.take(&outcome.played.trace) {
            self.keep(&input);
        }
        for symptom in outcome.symptoms {
            self.own(&input, symptom);
        }
        self.recent.push_back(input);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        None
    }

    /// Writes an input that reached something new to the corpus.
    fn keep(&mut self, input: &Input) {
        let Some(folder) = &self.campaign.corpus else { return };
        if self.kept >= MOST_KEPT {
            return;
        }
        let Campaign { seed, .. } = self.campaign;
        let path = folder.join(format!("{seed}-{:06}.script", input.number));
        self.kept += 1;
        if let Err(error) = std::fs::write(&path, to_text(&input.script)) {
            self.report.notes.push(format!("{}: {error}", path.display()));
            self.campaign.corpus = None;
        }
    }
}
