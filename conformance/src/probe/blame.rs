//! Whose doing it is when a step does not come to what the standard has it come to: the scenario's
//! failure, what blocks it, or nobody's.

use reference_broker::codec::PacketType;

use crate::trace::{Event, What, packet_text};
use crate::verdict::step::{self, Step};
use crate::verdict::{Finding, Outcome, Stop, general};

use super::context::{Context, Record};

/// What the steps to come are to a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What it stands on: a failure is told by the requirement of the step, and blocks the scenario.
    Means,
    /// What it is about: a failure is the scenario's.
    Claim,
}

/// What was observed in the place of what a step expects.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// In words, with all that is known.
    pub(crate) text: String,
    /// What kind of thing it is: see [`Finding::seen`].
    pub(crate) seen: String,
    /// The event that shows it.
    pub(crate) event: usize,
}

/// How far back a packet is looked for that was observed.
const REACH: usize = 1000;

impl Context {
    /// From here on, steps are the claim, and it is about this requirement.
    pub(crate) fn proving(&self, requirement: &'static str) {
        let mut record = self.lock();
        record.requirement = requirement;
        record.phase = Phase::Claim;
    }

    /// Says what the steps to come are; gives what those before were.
    pub(crate) fn enter(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut self.lock().phase, phase)
    }

    /// What the steps to come are.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Goes through steps that the scenario stands on, whatever it is about at the moment.
    pub(crate) async fn as_means<T>(&self, steps: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let before = self.enter(Phase::Means);
        let outcome = steps.await;
        self.enter(before);
        outcome
    }

    /// A step was not answered as the standard has it: the scenario's failure if it is about that,
    /// else what blocks it.
    pub(crate) fn stop(&self, step: Step, expected: &str, observed: Observed) -> Stop {
        let Record { requirement, phase, .. } = *self.lock();
        match phase {
            Phase::Claim => Stop::Fail(self.found(step.name, requirement, expected, observed)),
            Phase::Means => self.stop_of(step.requirement, step.name, expected, observed),
        }
    }

    /// The target broke this requirement: the scenario's failure if it cites it, else what blocks
    /// it.
    pub(crate) fn stop_of(
        &self,
        requirement: &'static str,
        step: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Stop {
        let is_cited = self.lock().cited.contains(&requirement);
        let found = self.found(step, requirement, expected, observed);
        match is_cited {
            true => Stop::Fail(found),
            false => Stop::Blocked(found),
        }
    }

    /// A step came to nothing for what may be the network's doing, or ours: the scenario's failure
    /// if it is about that, else inconclusive.
    pub(crate) fn lost(&self, step: Step, expected: &str, observed: Observed) -> Stop {
        match self.phase() {
            Phase::Claim => self.stop(step, expected, observed),
            Phase::Means => Stop::Inconclusive(Finding {
                requirement: None,
                ..self.found(step.name, step.requirement, expected, observed)
            }),
        }
    }

    /// The scenario's failure: what it is about does not hold.
    pub(crate) fn failure(&self, expected: &str, observed: Observed) -> Stop {
        let requirement = self.lock().requirement;
        Stop::Fail(self.found(step::CHECK, requirement, expected, observed))
    }

    /// As [`Context::failure`], about this requirement.
    pub(crate) fn failure_of(
        &self,
        requirement: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Stop {
        Stop::Fail(self.found(step::CHECK, requirement, expected, observed))
    }

    /// What a step that fails has found.
    fn found(
        &self,
        step: &'static str,
        requirement: &'static str,
        expected: &str,
        observed: Observed,
    ) -> Finding {
        self.lock().has_failed = true;
        finding(step, requirement, expected, observed)
    }

    /// What a scenario has observed itself, shown by the packet whose text that has, else by what came
    /// last from the broker.
    pub(crate) fn observed(&self, text: impl Into<String>) -> Observed {
        let text = text.into();
        let event = place_of(&text, &self.lock().events);
        Observed { seen: general(&text), text, event }
    }

    pub(crate) fn trouble(&self, expected: &str, observed: String) -> Stop {
        let last = self.lock().events.len().saturating_sub(1);
        self.trouble_at(expected, observed, last)
    }

    pub(crate) fn trouble_at(&self, expected: &str, observed: String, event: usize) -> Stop {
        self.shows_nothing(step::CHECK, expected, observed, event)
    }

    /// The broker does not want what was asked for, for reasons of its own, which it may not have
    /// another time.
    pub(super) fn refused(&self, expected: &str, observed: String) -> Stop {
        let last = self.lock().events.len().saturating_sub(1);
        self.refused_at(expected, observed, last)
    }

    pub(super) fn refused_at(&self, expected: &str, observed: String, event: usize) -> Stop {
        self.shows_nothing(step::POLICY, expected, observed, event)
    }

    fn shows_nothing(
        &self,
        step: &'static str,
        expected: &str,
        observed: String,
        event: usize,
    ) -> Stop {
        let observed = Observed { seen: general(&observed), text: observed, event };
        Stop::Inconclusive(Finding { requirement: None, ..finding(step, "", expected, observed) })
    }

    /// Notes that a SHOULD is not followed; the scenario goes on.
    pub(crate) fn advise(&self, requirement: &'static str, expected: &str, observed: String) {
        let observed = self.observed(observed);
        self.lock().advisories.push(finding(step::ADVICE, requirement, expected, observed));
    }
}

/// The event that shows what was observed.
fn place_of(text: &str, events: &[Event]) -> usize {
    let latest = || events.iter().enumerate().rev().take(REACH);
    let is_it = |event: &Event| match &event.what {
        What::Received(packet) => {
            text.contains(packet.packet_type().name()) && text.contains(&packet_text(packet))
        }
        _ => false,
    };
    let is_of_broker = |event: &Event| {
        matches!(
            &event.what,
            What::Received(_)
                | What::ReceivedBroken(..)
                | What::ClosedByBroker(_)
                | What::Silence(_)
        )
    };
    // What only answers, or asks whether all has come, is not what is judged.
    let is_aside = |event: &Event| match &event.what {
        What::Received(packet) => packet.packet_type() == PacketType::PingResp,
        What::Sent(packet) => matches!(
            packet.packet_type(),
            PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::PingReq
        ),
        What::HalfClosed | What::ClosedByProbe | What::Waited(_) | What::WebSocket(_) => true,
        What::Restarted(_) => true,
        _ => false,
    };
    let place = latest().find(|(_, event)| is_it(event));
    let place = place.or_else(|| {
        latest().find(|(_, event)| !is_aside(event)).filter(|(_, event)| is_of_broker(event))
    });
    place.map_or(events.len().saturating_sub(1), |(place, _)| place)
}

fn finding(
    step: &'static str,
    requirement: &'static str,
    expected: &str,
    observed: Observed,
) -> Finding {
    let Observed { text, seen, event } = observed;
    Finding {
        requirement: Some(requirement),
        oracle: None,
        step,
        expected: expected.to_owned(),
        observed: text,
        seen,
        event: Some(event),
        known: None,
    }
}
