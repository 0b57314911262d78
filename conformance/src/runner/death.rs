//! What is done when the target dies: it is waited for, or started again, and who killed it is found out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::News;
use super::sentinel::Pulse;
use super::shift::{Ended, RETURN, Shift, Ticket};
use super::weigh::killed;

/// The pause between two looks for it.
const RETURN_PAUSE: Duration = Duration::from_millis(250);

/// How often a target may die before the run gives it up.
const DEATHS: usize = 20;

/// How many scenarios are named where many ran.
const NAMED: usize = 5;

/// The target died, or died and came back.
pub(super) struct Death {
    pub(super) pulse: Pulse,
    pub(super) at: Duration,
    /// What ran then, the last to begin first.
    pub(super) suspects: Vec<Ticket>,
}

impl<F: FnMut(News<'_>)> Shift<F> {
    /// Waits until a target that died is back, and finds out who it was.
    pub(super) async fn outlive(
        &mut self,
        death: Death,
        queue: &mut VecDeque<Ticket>,
    ) -> Result<(), Ended> {
        self.deaths += 1;
        let Death { pulse, at, suspects } = death;
        let seconds = at.as_secs_f64();
        let ran = named(&suspects);
        let was_there = self.return_of(pulse).await.map_err(|ended| match ended {
            Ended::Lost(why) => {
                Ended::Lost(format!("the target died {seconds:.1} s after the start {why}; {ran}"))
            }
            other => other,
        })?;
        let (prompt, timed): (Vec<_>, Vec<_>) =
            suspects.into_iter().partition(|ticket| !ticket.is_timed());
        let killers = self.try_one_by_one(prompt).await?;
        self.notes.push(match &killers[..] {
            [] if was_there => format!(
                "the target let nobody in {seconds:.1} s after the start, and did once what ran was \
                 cut off, and lost nothing: at a limit, or too busy; {ran}"
            ),
            [] => format!(
                "the target died {seconds:.1} s after the start; {ran}; none of those that take no \
                 time did it again, alone"
            ),
            killers => format!(
                "the target died {seconds:.1} s after the start; {ran}; it died again of {}",
                killers.join(", ")
            ),
        });
        // They took long to get there, and are far from alone suspected.
        timed.into_iter().rev().for_each(|ticket| queue.push_front(ticket.again()));
        Ok(())
    }

    /// Waits until the target is back. Gives whether it had not been away, but only let nobody in.
    async fn return_of(&mut self, pulse: Pulse) -> Result<bool, Ended> {
        if self.deaths > DEATHS {
            return Err(Ended::Lost(format!("for the {}th time", self.deaths)));
        }
        let mut was_there = pulse == Pulse::Stopped;
        if let Some(sentinel) = &self.sentinel {
            was_there &= sentinel.look().await == Pulse::Beats;
        }
        self.dismiss();
        let within = RETURN * self.surroundings.patience();
        if let Some(died) = self.revive().await? {
            self.notes.push(died);
            was_there = false;
        } else if pulse == Pulse::Stopped
            && let Some(connector) = self.surroundings.connector.clone()
        {
            let interrupts = self.interrupts.clone();
            let back = async {
                let mut looks = 0;
                while !self.answers(&connector).await {
                    looks += 1;
                    sleep(RETURN_PAUSE).await;
                }
                looks
            };
            tokio::select! {
                biased;
                () = interrupts.reach(1) => return Err(Ended::Interrupted),
                looks = timeout(within, back) => was_there &= looks.map_err(|_| {
                    Ended::Lost(format!("and did not come back within {} s", within.as_secs()))
                })? == 0,
            }
        }
        self.post_sentinel();
        Ok(was_there)
    }

    /// Starts a target again that has ended, where that is for us to do. Gives what to say of its end.
    async fn revive(&self) -> Result<Option<String>, Ended> {
        let Some(keeper) = self.surroundings.keeper.clone() else { return Ok(None) };
        let Some(died) = keeper.died().await else { return Ok(None) };
        let interrupts = self.interrupts.clone();
        tokio::select! {
            biased;
            () = interrupts.reach(1) => Err(Ended::Interrupted),
            revived = keeper.revive() => match revived {
                Ok(()) => {
                    if let Some(connector) = &self.surroundings.connector {
                        connector.strain().forget();
                    }
                    let name = keeper.name();
                    Ok(Some(format!("{name} ended by itself ({died}) and was started again")))
                }
                Err(error) => Err(Ended::Lost(format!("({died}) and could not be started again: {error}"))),
            },
        }
    }

    /// Runs suspects alone: who kills the target again has failed. Gives their ids.
    async fn try_one_by_one(&mut self, suspects: Vec<Ticket>) -> Result<Vec<&'static str>, Ended> {
        let mut killers = Vec::new();
        for suspect in suspects {
            let mut alone = VecDeque::from([suspect.again()]);
            match self.alone(&mut alone).await? {
                None => {}
                Some(pulse) => {
                    killers.push(suspect.scenario.id);
                    self.firsts.remove(&suspect.index);
                    self.finished(suspect.index, killed(suspect.scenario));
                    self.deaths += 1;
                    self.return_of(pulse).await.map_err(|ended| match ended {
                        Ended::Lost(why) => {
                            Ended::Lost(format!("the target died of {} {why}", suspect.scenario.id))
                        }
                        other => other,
                    })?;
                }
            }
        }
        Ok(killers)
    }

    /// Runs one scenario and asks how the target is; gives that if it is not well.
    async fn alone(&mut self, alone: &mut VecDeque<Ticket>) -> Result<Option<Pulse>, Ended> {
        let death = Box::pin(self.crowd(alone)).await?;
        let pulse = match (death, &self.sentinel) {
            (Some(death), _) => death.pulse,
            (None, Some(sentinel)) => sentinel.look().await,
            (None, None) => Pulse::Beats,
        };
        Ok((pulse != Pulse::Beats).then_some(pulse))
    }
}

/// What ran, in a few words.
fn named(tickets: &[Ticket]) -> String {
    let names: Vec<_> = tickets.iter().take(NAMED).map(|ticket| ticket.scenario.id).collect();
    match (tickets.len(), tickets.len().saturating_sub(NAMED)) {
        (0, _) => "nothing ran then".to_owned(),
        (_, 0) => format!("then ran {}", names.join(", ")),
        (_, more) => format!("then ran {} and {more} more", names.join(", ")),
    }
}
