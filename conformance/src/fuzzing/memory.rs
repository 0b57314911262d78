//! Memory that grows with what is sent and is not given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::differential::Shrinker;
use crate::script::Script;

use super::health::Patient;
use super::suspects::{Trial, with_effect};
use super::{Input, Symptom};

/// A broker is looked at more closely when it has so many times what it had, and so much more.
const TIMES: f64 = 1.5;
const MORE: u64 = 16 << 20;

/// Growth below this is no growth, in bytes.
const LEAST: u64 = 2 << 20;

/// So many inputs are played again to see whether they make it grow again.
pub(super) const RECENT: usize = 160;

/// So many of them at once.
const JOBS: usize = 16;

/// How often one input is played that is suspected alone.
const OFTEN: usize = 40;

/// No longer is waited for one of them.
const LONGEST: Duration = Duration::from_secs(20);

/// So often is a smaller script tried, and no longer than this.
const SHRINKS: usize = 60;
const SHRINKING: Duration = Duration::from_secs(15);

/// What a broker had when it began, and is taken to need.
#[derive(Debug, Default)]
pub(super) struct Memory {
    base: Option<u64>,
}

/// Inputs that make memory grow.
#[derive(Debug)]
pub(super) struct Leak {
    pub(super) symptom: Symptom,
    pub(super) input: Input,
    /// The smallest script found that does it.
    pub(super) script: Script,
    /// Whether that input alone does it.
    pub(super) is_alone: bool,
}

impl Memory {
    /// Takes in what a broker has. Gives whether it is to be looked at more closely.
    pub(super) fn is_suspect(&mut self, bytes: u64) -> bool {
        let base = *self.base.get_or_insert(bytes);
        bytes as f64 > base as f64 * TIMES + MORE as f64
    }

    /// The broker is another one, or is known to need what it has.
    pub(super) fn begin_anew(&mut self) {
        self.base = None;
    }

    /// Plays inputs again and again. If each time the broker has as much more, the one is looked for that makes it
    /// so.
    pub(super) async fn leak(&self, trial: &Arc<Trial>, inputs: &[Input]) -> Option<Leak> {
        let all: Vec<_> = inputs.iter().collect();
        // What it needs to serve these at all it has after the first time.
        play_all(trial, &all).await;
        let (first, second) = (growth(trial, &all).await?, growth(trial, &all).await?);
        if first < LEAST || second < LEAST.max(first / 2) {
            return None;
        }
        let mut suspects = all;
        while suspects.len() > 1 {
            let half = suspects.split_off(suspects.len() / 2);
            let (one, other) = (growth(trial, &suspects).await?, growth(trial, &half).await?);
            if other > one {
                suspects = half;
            }
        }
        let suspect = suspects.pop()?;
        if let Some((symptom, script)) = small(trial, suspect).await {
            return Some(Leak { symptom, input: suspect.clone(), script, is_alone: true });
        }
        let symptom = Symptom::Memory(format!(
            "each play of {} inputs leaves {} more in use; none of them does it alone",
            inputs.len(),
            kibibytes(second)
        ));
        let script = suspect.script.clone();
        Some(Leak { symptom, input: suspect.clone(), script, is_alone: false })
    }
}

/// The smallest script found that makes memory grow as an input does, and by how much.
async fn small(trial: &Arc<Trial>, input: &Input) -> Option<(Symptom, Script)> {
    let grown = async |script: &Script| {
        let input = Input { script: script.clone(), ..input.clone() };
        let grown = growth(trial, &[&input; OFTEN]).await?;
        (grown >= LEAST / 2).then_some(grown)
    };
    let mut most = grown(&input.script).await?;
    let mut shrinker = Shrinker::new(with_effect(&input.script), SHRINKS).within(SHRINKING);
    while let Some(smaller) = shrinker.smaller() {
        let by = grown(&smaller).await;
        shrinker.told(smaller, by.is_some());
        most = by.unwrap_or(most);
    }
    let what = format!("each play of this leaves {} more in use", kibibytes(most / OFTEN as u64));
    Some((Symptom::Memory(what), shrinker.into_best()))
}

/// How much more the broker has after these than before.
async fn growth(trial: &Arc<Trial>, inputs: &[&Input]) -> Option<u64> {
    let before = trial.patient.memory().await?;
    play_all(trial, inputs).await;
    Some(settled(&trial.patient).await?.saturating_sub(before))
}

/// What the broker has when it has done with what was sent.
async fn settled(patient: &Patient) -> Option<u64> {
    patient.look().await;
    patient.memory().await
}

async fn play_all(trial: &Arc<Trial>, inputs: &[&Input]) {
    for some in inputs.chunks(JOBS) {
        let mut plays = JoinSet::new();
        for input in some {
            let (trial, script) = (Arc::clone(trial), input.script.clone());
            // What is wrong otherwise was seen before.
            plays.spawn(async move { timeout(LONGEST, trial.player.play(&script)).await.is_ok() });
        }
        plays.join_all().await;
    }
}

fn kibibytes(bytes: u64) -> String {
    format!("{:.0} KiB", bytes as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_suspect_that_has_far_more_than_at_first() {
        let mut memory = Memory::default();
        assert!(!memory.is_suspect(10 << 20));
        assert!(!memory.is_suspect(30 << 20));
        assert!(memory.is_suspect(32 << 20));
        memory.begin_anew();
        assert!(!memory.is_suspect(32 << 20));
    }
}
