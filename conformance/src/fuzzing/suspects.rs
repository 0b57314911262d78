//! Who it was: scripts that were being played when something went wrong are played alone, and the one that does it
//! again is made small.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::differential::Shrinker;
use crate::script::{Act, Script};

use super::health::Patient;
use super::observer::Observer;
use super::playing::{Outcome, Player};
use super::{Input, Symptom};

/// So often is a smaller script tried, and no longer than this.
const SHRINKS: usize = 200;
const SHRINKING: Duration = Duration::from_secs(20);

/// So many times less is waited for an answer while a script is made small.
const HURRY: u32 = 5;

/// Bytes are made no shorter than this.
const SHORT: usize = 8;

/// Tries scripts one at a time.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) player: Player,
    pub(super) patient: Patient,
    pub(super) observers: AtomicU64,
}

/// What one script alone does.
#[derive(Clone, Debug)]
pub(super) struct Convicted {
    pub(super) input: Input,
    pub(super) symptom: Symptom,
    pub(super) script: Script,
    pub(super) outcome: Outcome,
}

/// What is wrong while or after a script is played, and what came of the script if it ended.
type Tried = (Option<Symptom>, Outcome);

impl Trial {
    /// Posts innocent clients.
    ///
    /// # Errors
    ///
    /// What is wrong with a broker that does not serve them.
    pub(super) async fn post(&self, bound: Duration) -> Result<Observer, Symptom> {
        let number = self.observers.fetch_add(1, Ordering::Relaxed);
        let Player { connector, token, topic_prefix, .. } = &self.player;
        let name = format!("{token}o{number}");
        let topics = format!("{topic_prefix}/{token}/o{number}");
        match Observer::post(connector, &name, &topics, bound).await {
            Ok(observer) => Ok(observer),
            Err(why) => {
                let symptom = self.patient.look().await;
                Err(symptom.unwrap_or_else(|| {
                    Symptom::Hang(format!("innocent clients are not let in: the broker {why}"))
                }))
            }
        }
    }

    /// Plays a script beside innocent clients who wait for no longer than `bound`.
    async fn beside_innocent(&self, script: &Script, bound: Duration) -> Tried {
        let observer = match self.post(bound).await {
            Ok(observer) => observer,
            Err(symptom) => return (Some(symptom), Outcome::default()),
        };
        let (symptom, outcome) = tokio::select! {
            symptom = observer.alarm() => (Some(symptom), Outcome::default()),
            played = self.player.play(script) => match played {
                Ok(outcome) => (observer.round().await, outcome),
                // What that means is for a look to tell.
                Err(_) => (self.patient.look().await, Outcome::default()),
            },
        };
        let Some(symptom) = symptom else { return (None, outcome) };
        (Some(self.patient.diagnosed(symptom).await), outcome)
    }

    /// The first of these by whom a broker that was well is not well any more, newest first. The broker is fresh
    /// afterwards.
    ///
    /// # Errors
    ///
    /// When there is no broker any more.
    pub(super) async fn culprit(&self, suspects: Vec<Input>) -> Result<Option<Convicted>, String> {
        self.patient.fresh().await?;
        for input in suspects {
            // What comes of less patience has to be seen again with all of it.
            let tried = self.beside_innocent(&input.script, self.patient.bound / HURRY).await;
            let (Some(symptom), outcome) = tried else { continue };
            self.patient.fresh().await?;
            let script = input.script.clone();
            let convicted = Convicted { input, symptom, script, outcome };
            if let Some(convicted) = self.shrunk(convicted).await? {
                return Ok(Some(convicted));
            }
        }
        Ok(None)
    }

    /// The smallest script found that does the same to the broker, if any does.
    async fn shrunk(&self, convicted: Convicted) -> Result<Option<Convicted>, String> {
        let word = convicted.symptom.word();
        let begun = Instant::now();
        let script = with_effect(&convicted.script);
        let mut shrinker = Shrinker::new(script, SHRINKS).within(SHRINKING);
        let mut is_fresh = true;
        while let Some(smaller) = shrinker.smaller() {
            let hurried = self.patient.bound / HURRY;
            let mut does = self.does(word, &smaller, hurried).await?.is_some();
            // On a broker that has met another one, it may be that one's doing.
            if does && !is_fresh {
                does = self.does(word, &smaller, hurried).await?.is_some();
            }
            is_fresh = does;
            shrinker.told(smaller, does);
        }
        let mut script = shrinker.into_best();
        for shorter in shorter_ones(&script) {
            if begun.elapsed() < SHRINKING
                && self.does(word, &shorter, self.patient.bound / HURRY).await?.is_some()
            {
                script = shorter;
            }
        }
        for script in [script, convicted.script.clone()] {
            // What an earlier one did to the broker may take its time.
            self.patient.fresh().await?;
            if let Some((symptom, outcome)) = self.does(word, &script, self.patient.bound).await? {
                return Ok(Some(Convicted { script, symptom, outcome, ..convicted }));
            }
        }
        Ok(None)
    }

    /// What is wrong when a script does this to the broker, which is fresh afterwards.
    async fn does(
        &self,
        word: &str,
        script: &Script,
        bound: Duration,
    ) -> Result<Option<(Symptom, Outcome)>, String> {
        let (symptom, outcome) = self.beside_innocent(script, bound).await;
        let Some(symptom) = symptom else { return Ok(None) };
        self.patient.fresh().await?;
        Ok((symptom.word() == word).then_some((symptom, outcome)))
    }

    /// Whether an input shows something of its own again, twice; and the smallest script found that shows it.
    pub(super) async fn again(&self, input: &Input, cause: &str) -> Option<Convicted> {
        for _ in 0..2 {
            self.shows(&input.script, cause, 1).await?;
        }
        let script = with_effect(&input.script);
        let mut shrinker = Shrinker::new(script, SHRINKS).within(SHRINKING);
        while let Some(smaller) = shrinker.smaller() {
            let does = self.shows(&smaller, cause, HURRY).await.is_some();
            shrinker.told(smaller, does);
        }
        // In less of a hurry it has to be the same.
        for script in [shrinker.into_best(), input.script.clone()] {
            if let Some((symptom, outcome)) = self.shows(&script, cause, 1).await {
                return Some(Convicted { input: input.clone(), symptom, script, outcome });
            }
        }
        None
    }

    /// Whether what was found beside others is there when nothing else is played.
    pub(super) async fn alone(&self, convicted: Convicted) -> Option<Convicted> {
        let cause = convicted.symptom.cause();
        let (symptom, outcome) = self.shows(&convicted.script, &cause, 1).await?;
        Some(Convicted { symptom, outcome, ..convicted })
    }

    async fn shows(&self, script: &Script, cause: &str, hurry: u32) -> Option<(Symptom, Outcome)> {
        let patience = self.player.patience / hurry;
        let outcome = self.player.play_within(script, patience).await.ok()?;
        let symptom = outcome.symptoms.iter().find(|it| it.cause() == cause).cloned()?;
        Some((symptom, outcome))
    }
}

/// The script without the steps of connections that it never opens, and without alterations of nothing.
pub(super) fn with_effect(script: &Script) -> Script {
    let mut opened = BTreeSet::new();
    let mut steps = Vec::new();
    for (at, step) in script.steps.iter().enumerate() {
        let connection = step.connection.as_str();
        let is_for_any = matches!(step.act, Act::Wait(_) | Act::Needs(_) | Act::Announces(_));
        if step.act == Act::Open {
            opened.insert(connection);
        }
        let alters_nothing = matches!(step.act, Act::Alters(_)) && {
            let mut after = script.steps[at + 1..].iter().filter(|it| it.connection == connection);
            !after.any(|it| matches!(it.act, Act::Send(_) | Act::Acknowledge(_)))
        };
        if (is_for_any || opened.contains(connection)) && !alters_nothing {
            steps.push(step.clone());
        }
    }
    Script { steps }
}

/// The script with its long rows of bytes shorter, each the half of what it was and so on.
fn shorter_ones(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    for (at, step) in script.steps.iter().enumerate() {
        let Act::SendBytes(bytes) = &step.act else { continue };
        let mut len = bytes.len() / 2;
        while len >= SHORT {
            let mut shorter = script.clone();
            shorter.steps[at].act = Act::SendBytes(Bytes::copy_from_slice(&bytes[..len]));
            all.push(shorter);
            len /= 2;
        }
    }
    all
}
