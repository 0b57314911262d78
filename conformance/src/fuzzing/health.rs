//! Whether the broker is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::target::{Connector, Keeper, Restart, Unusable, answers};

use super::Symptom;

/// How long a process that lets nobody in may take until it is seen to have ended.
const ENDING: Duration = Duration::from_millis(500);

/// How long a broker that others start may take to come back.
const RETURN: Duration = Duration::from_secs(30);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The broker, and who may be asked about it.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    pub(super) connector: Connector,
    /// Who has started it, if we did.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// The process that it is, if that was said.
    pub(super) pid: Option<u32>,
    /// How long an answer may take.
    pub(super) bound: Duration,
}

impl Patient {
    /// What is wrong with it, if anything is.
    pub(super) async fn look(&self) -> Option<Symptom> {
        if let Some(ended) = self.ended().await {
            return Some(Symptom::Crash(ended));
        }
        match answers(&self.connector, self.bound).await {
            Ok(()) => None,
            Err(why @ (Unusable::Unreachable(_) | Unusable::Closed)) => {
                let until = Instant::now() + ENDING;
                loop {
                    if let Some(ended) = self.ended().await {
                        return Some(Symptom::Crash(ended));
                    }
                    if Instant::now() >= until {
                        return self.look_again(&why).await;
                    }
                    sleep(PAUSE).await;
                }
            }
            Err(why @ Unusable::Silent(_)) => Some(Symptom::Hang(format!("the broker {why}"))),
            // It is there, and has its reasons.
            Err(_) => None,
        }
    }

    /// What is wrong, seen from nearer: whoever ends connections or is silent may have ended itself.
    pub(super) async fn diagnosed(&self, symptom: Symptom) -> Symptom {
        let seen = match symptom {
            // That it is silent takes time to see, and was seen.
            Symptom::Hang(_) | Symptom::Late(_) => self.ended().await.map(Symptom::Crash),
            _ => self.look().await,
        };
        seen.unwrap_or(symptom)
    }

    /// One who is at a limit for a moment is no corpse.
    async fn look_again(&self, why: &Unusable) -> Option<Symptom> {
        match answers(&self.connector, self.bound).await {
            Err(Unusable::Unreachable(_)) => {
                Some(Symptom::Crash(format!("nobody is there any more: it {why}")))
            }
            Err(Unusable::Closed) => Some(Symptom::Hang(format!("the broker {why}"))),
            _ => None,
        }
    }

    /// How the process ended, if it did.
    async fn ended(&self) -> Option<String> {
        if let Some(keeper) = &self.keeper {
            let died = keeper.died().await?;
            return Some(format!("the process ended by itself: {died}"));
        }
        let pid = self.pid?;
        let is_there = std::path::Path::new(&format!("/proc/{pid}")).exists();
        (!is_there).then(|| format!("process {pid} is not there any more"))
    }

    /// The memory that it has, in bytes, as far as that is to be known.
    pub(super) async fn memory(&self) -> Option<u64> {
        match (&self.keeper, self.pid) {
            (Some(keeper), _) => keeper.memory().await,
            (None, Some(pid)) => crate::target::memory_of_process(pid),
            (None, None) => None,
        }
    }

    /// Whether it can be had anew at will.
    pub(super) fn can_restart(&self) -> bool {
        self.keeper.is_some()
    }

    /// Has it anew, where that is for us to do, or waits until others have it back.
    ///
    /// # Errors
    ///
    /// In one sentence, why there is no broker any more.
    pub(super) async fn fresh(&self) -> Result<(), String> {
        self.connector.strain().forget();
        if let Some(keeper) = &self.keeper {
            return match keeper.died().await {
                Some(_) => keeper.revive().await,
                None => keeper.restart(Restart::Kill).await,
            };
        }
        let until = Instant::now() + RETURN;
        loop {
            match answers(&self.connector, self.bound).await {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() >= until => {
                    return Err(format!(
                        "the broker {why}, and did not come back within {RETURN:?}"
                    ));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}
