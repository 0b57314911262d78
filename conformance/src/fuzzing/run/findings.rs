//! What is done about what is wrong: who it was is found out, and what has the same cause is told once.

use std::sync::Arc;

use crate::differential::look_alikes;

use super::super::cause::{Cause, trigger, triggers};
use super::super::memory::Leak;
use super::super::playing::Outcome;
use super::super::suspects::Convicted;
use super::super::{Input, Symptom};
use super::{RECENT, Run};

/// So many findings that inputs show by themselves are looked at beside all else, and so many may wait for it.
const LOOKED_AT: usize = 2;
const WAITING: usize = 100;

/// A broker that was seen dead so often is given up.
const DEATHS: usize = 200;

impl Run {
    /// Takes in what an input showed by itself.
    pub(super) fn own(&mut self, input: &Input, symptom: Symptom) {
        let cause = symptom.cause();
        if let Some(known) = self.report.causes.iter_mut().find(|it| it.symptom.cause() == cause) {
            known.times += 1;
        } else if self.waiting.len() < WAITING
            && self.tried.insert(format!("{cause} {}", trigger(&input.script)))
        {
            self.waiting.push_back((input.clone(), symptom));
        }
    }

    /// Has more of that looked at, if there is room.
    pub(super) fn look_at_more(&mut self) {
        while self.to_confirm.is_empty()
            && self.looked_at.len() < LOOKED_AT
            && let Some((input, symptom)) = self.waiting.pop_front()
        {
            let cause = symptom.cause();
            // What was found meanwhile need not be looked at.
            if self.report.causes.iter().any(|it| it.symptom.cause() == cause) {
                continue;
            }
            let trial = Arc::clone(&self.trial);
            self.looked_at.spawn(async move { trial.again(&input, &cause).await });
        }
    }

    /// Plays what was found again once more, while nothing else is played.
    pub(super) async fn confirm(&mut self) {
        for convicted in std::mem::take(&mut self.to_confirm) {
            if let Some(convicted) = self.trial.alone(convicted).await {
                self.convicted(convicted);
            }
        }
    }

    fn convicted(&mut self, convicted: Convicted) {
        let cause = convicted.symptom.cause();
        let name = match convicted.symptom {
            Symptom::Violation(_) => cause,
            _ => format!("{cause}: {}", trigger(&convicted.script)),
        };
        let looks_like = look_alikes(&convicted.outcome.played.trace);
        let looks_like = looks_like.iter().map(|mutant| mutant.id).take(3).collect();
        self.found(convicted, name, true, looks_like);
    }

    /// Finds out who it was, and has the broker anew.
    pub(super) async fn wrong(&mut self, symptom: Symptom) -> Result<(), String> {
        self.deaths += 1;
        self.running.shutdown().await;
        // What was being looked at may be met again.
        self.looked_at.shutdown().await;
        self.tried.clear();
        let symptom = self.trial.patient.diagnosed(symptom).await;
        self.report.cases += self.in_flight.len();
        let newest_first = std::mem::take(&mut self.in_flight).into_values().rev();
        let jobs = self.campaign.jobs;
        let suspects: Vec<_> =
            newest_first.chain(self.recent.iter().rev().take(jobs).cloned()).collect();
        self.recent.clear();
        self.memory.begin_anew();
        let count = suspects.len();
        let first = suspects.first().cloned();
        match self.trial.culprit(suspects).await? {
            Some(convicted) => {
                let trigger = trigger(&convicted.script);
                self.avoided.extend(triggers(&convicted.script));
                let name = format!("{}: {trigger}", convicted.symptom.word());
                self.found(convicted, name, true, Vec::new());
            }
            None => self.not_again(symptom, first, count),
        }
        match self.deaths > DEATHS {
            true => Err(format!("the broker was found dead or hanging {DEATHS} times")),
            false => Ok(()),
        }
    }

    /// Something was wrong, and none of the inputs alone does it. That a process has ended, or that a message is not
    /// there, is a fact; that one was late may be for many reasons.
    fn not_again(&mut self, symptom: Symptom, input: Option<Input>, count: usize) {
        let what = format!("{symptom}; none of {count} inputs does it alone");
        let is_fact =
            matches!(symptom, Symptom::Crash(_) | Symptom::Lost(_) | Symptom::Corrupted(_));
        match input {
            Some(input) if is_fact => {
                let (script, outcome) = (input.script.clone(), Outcome::default());
                let name = format!("{}: not by one input alone", symptom.word());
                let convicted = Convicted { input, symptom, script, outcome };
                self.found(convicted, name, false, Vec::new());
            }
            _ => self.report.notes.push(format!("{}, once: {what}", symptom.word())),
        }
    }

    /// Notes a finding, or that it was met once more.
    fn found(
        &mut self,
        convicted: Convicted,
        name: String,
        reproduced: bool,
        looks_like: Vec<&'static str>,
    ) {
        if let Some(known) = self.report.causes.iter_mut().find(|it| it.name == name) {
            known.times += 1;
            return;
        }
        let Convicted { input, symptom, script, outcome } = convicted;
        let (trace, mut sent) = (outcome.played.trace, outcome.sent);
        if sent.is_empty() {
            sent = self.trial.player.rehearsed(&script);
        }
        let after = self.begun.elapsed().as_secs_f64();
        self.report.causes.push(Cause {
            name,
            symptom,
            input,
            script,
            trace,
            sent,
            reproduced,
            times: 1,
            looks_like,
            after,
        });
    }

    /// Looks whether the broker has far more memory than at first, and then who makes it so.
    pub(super) async fn look_at_memory(
        &mut self,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        let Some(bytes) = self.trial.patient.memory().await else { return Ok(()) };
        // What it needs to serve as many at once as there are is not known before it has.
        if self.recent.len() < self.campaign.jobs.min(RECENT) || !self.memory.is_suspect(bytes) {
            return Ok(());
        }
        tell("memory: looking for what makes it grow");
        // Each input is played to its end, so that nothing else is in memory.
        while let Some(done) = self.running.join_next().await {
            if let Ok((number, played)) = done {
                // What is wrong with the broker as a whole, the innocent clients will tell.
                self.played(number, played).await;
            }
        }
        let inputs: Vec<_> = self.recent.iter().cloned().collect();
        if let Some(leak) = self.memory.leak(&self.trial, &inputs).await {
            let Leak { symptom, input, script, is_alone } = leak;
            let name = match is_alone {
                true => format!("memory: {}", trigger(&script)),
                false => "memory: not by one input alone".to_owned(),
            };
            if is_alone {
                self.avoided.extend(triggers(&script));
            }
            let outcome = Outcome::default();
            self.found(Convicted { input, symptom, script, outcome }, name, is_alone, Vec::new());
            if self.trial.patient.can_restart() {
                self.trial.patient.fresh().await?;
            }
        }
        self.memory.begin_anew();
        Ok(())
    }
}
