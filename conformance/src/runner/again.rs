//! No failure is told that was not seen twice: what failed is run once more, apart from the crowd and
//! under fresh names. What is listed as a known deviation was seen before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::report::ScenarioResult;
use crate::verdict::{Cause, Verdict, step};

use super::News;
use super::perform::Performed;
use super::shift::{Ended, Shift, Ticket};

/// How often something is to be seen before it is told.
const TWICE: u32 = 2;

/// How often, where a connection was lost: the network does that too.
const OFTEN: u32 = 4;

/// How often a scenario is run in all, whatever it comes to.
const RUNS: u32 = 6;

/// How often, where the target refused something each time, for reasons of its own.
const REFUSALS: u32 = 5;

/// How often, where it was the same each time.
const SAME_REFUSALS: u32 = 3;

/// How many scenarios that fail by one cause are run once more, for the others too.
const OF_ONE_CAUSE: usize = 5;

/// Something that was seen and is not told yet.
#[derive(Debug)]
pub(super) struct First {
    ticket: Ticket,
    result: ScenarioResult,
    /// In what way; those of one way have one fault of the target in common.
    way: Way,
    /// How often it was seen.
    seen: u32,
    /// Whether connections failed to come about at that time, so that it shows little.
    strained: bool,
}

/// How a scenario did not pass: two runs that did so in the same way have seen the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    verdict: Verdict,
    cause: Option<Cause>,
    seen: Option<(&'static str, String)>,
    /// What oracles found.
    oracles: BTreeSet<Cause>,
}

impl First {
    /// What it came to so far.
    pub(super) fn verdict(&self) -> Verdict {
        self.way.verdict
    }
}

impl Way {
    fn of(result: &ScenarioResult) -> Way {
        let first = result.findings.first().filter(|_| is_told(result.verdict));
        let failures = result.oracles.iter().filter(|finding| finding.is_failure());
        Way {
            verdict: result.verdict,
            cause: first.and_then(|finding| finding.cause()),
            seen: first.map(|finding| (finding.step, finding.seen.clone())),
            oracles: failures.filter_map(|finding| finding.cause()).collect(),
        }
    }

    /// How often it is to be seen, where connections get lost or do not.
    fn times(&self, is_lossy: bool) -> u32 {
        let is_lost = self.seen.as_ref().is_some_and(|(at, seen)| {
            seen == "the connection closed" || (*at == step::CONNECT.name && seen == "nothing")
        });
        if is_lost || is_lossy { OFTEN } else { TWICE }
    }

    /// Whether a run that came to this has seen what this way tells: oracles may have found more.
    fn is_seen_in(&self, other: &Way) -> bool {
        let is_own =
            (self.verdict, &self.cause, &self.seen) == (other.verdict, &other.cause, &other.seen);
        // Where only oracles found something, the scenario itself may well come to something else.
        (is_own || !is_told(self.verdict)) && self.oracles.is_subset(&other.oracles)
    }
}

/// Whether a verdict says something against the target.
fn is_told(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fail | Verdict::Blocked)
}

/// Whether a result is not to be told before it was seen again.
fn needs_another_look(result: &ScenarioResult, strained: bool) -> bool {
    match result.verdict {
        Verdict::Fail | Verdict::Blocked => true,
        Verdict::Inconclusive => {
            // What is lost on the way, or what the target does not want now.
            strained || result.findings.first().is_some_and(|finding| finding.step != step::CHECK)
        }
        _ => result.oracles.iter().any(|finding| finding.is_failure()),
    }
}

/// Whether two refusals for reasons of the target's own are not the same: a further run may meet none.
fn is_by_chance(first: &ScenarioResult, again: &ScenarioResult, ticket: Ticket) -> bool {
    let refused = |result: &ScenarioResult| {
        let finding = result.findings.first().filter(|finding| finding.step == step::POLICY)?;
        Some((finding.expected.clone(), finding.event))
    };
    let (first, again) = (refused(first), refused(again));
    // Once more where they are the same: that too may be by chance.
    let runs = ticket.before + 1;
    again.is_some() && runs < if first == again { SAME_REFUSALS } else { REFUSALS }
}

impl<F: FnMut(News<'_>)> Shift<F> {
    /// Takes what a scenario came to: as its result, or as something to be seen again.
    pub(super) fn settle(&mut self, ticket: Ticket, performed: Performed) {
        let Performed { result, strained, .. } = performed;
        let index = ticket.index;
        match self.firsts.remove(&index) {
            None if self.sees_twice()
                && needs_another_look(&result, strained)
                && !self.known.has_all_of(&result) =>
            {
                let way = Way::of(&result);
                let first = First { ticket, result, way, seen: 1, strained };
                self.firsts.insert(index, first);
            }
            None => self.finished(index, result),
            Some(first) => self.compare(first, ticket, result, strained),
        }
    }

    /// Compares what was seen first with what was seen now.
    fn compare(&mut self, mut first: First, ticket: Ticket, again: ScenarioResult, strained: bool) {
        let index = ticket.index;
        let way = Way::of(&again);
        first.ticket = ticket;
        if !first.way.is_seen_in(&way) {
            self.unsteady_ways.insert(first.way.clone());
        }
        let is_last = ticket.before + 1 >= RUNS;
        if first.way.is_seen_in(&way) && first.way.verdict != Verdict::Inconclusive {
            first.seen += 1;
            match first.seen >= first.way.times(self.is_lossy()) {
                true => self.finished(index, first.result),
                false => drop(self.firsts.insert(index, first)),
            }
        } else if is_told(first.way.verdict)
            && again.verdict == Verdict::Inconclusive
            && ticket.before + 1 < REFUSALS
        {
            // This one showed nothing, for or against.
            self.firsts.insert(index, first);
        } else if (first.strained || first.way.verdict == Verdict::Inconclusive) && !is_last {
            // The first one showed little, so this one counts in its place, and as little if
            // connections failed to come about again.
            let is_by_chance = is_by_chance(&first.result, &again, ticket);
            let says_more = again.verdict != Verdict::Inconclusive || strained || is_by_chance;
            match needs_another_look(&again, strained) && says_more {
                true => {
                    let first = First { ticket, result: again, way, seen: 1, strained };
                    self.firsts.insert(index, first);
                }
                false => self.finished(index, again),
            }
        } else {
            self.finished(index, unsteady(first.result, again));
        }
    }

    /// Whether connections failed to come about in this run. Some then get lost on the way too, with a
    /// DISCONNECT that a scenario takes for received.
    fn is_lossy(&self) -> bool {
        self.surroundings.connector.as_ref().is_some_and(|it| it.strain().count() > 0)
    }

    /// Runs once more what needs it: of each cause some, and if those come to the same, the others
    /// would.
    pub(super) async fn look_again(&mut self) -> Result<(), Ended> {
        while !self.firsts.is_empty() {
            self.pace.slow_down();
            self.hold_back();
            while !self.firsts.is_empty() {
                let queue: VecDeque<_> =
                    self.firsts.values().map(|first| first.ticket.again()).collect();
                self.work(queue).await?;
            }
            self.release();
        }
        Ok(())
    }

    /// Leaves of each cause only some to be run once more.
    fn hold_back(&mut self) {
        let mut counts: BTreeMap<Way, usize> = BTreeMap::new();
        for (index, first) in std::mem::take(&mut self.firsts) {
            let count = counts.entry(first.way.clone()).or_default();
            *count += 1;
            let is_by_chance = first.strained || first.way.verdict == Verdict::Inconclusive;
            let is_alone = is_by_chance || self.unsteady_ways.contains(&first.way);
            match is_alone || *count <= OF_ONE_CAUSE {
                true => self.firsts.insert(index, first),
                false => self.held.insert(index, first),
            };
        }
    }

    /// Tells those that were held back, or has them run too, where some came to something else.
    fn release(&mut self) {
        for (index, first) in std::mem::take(&mut self.held) {
            match self.unsteady_ways.contains(&first.way) {
                true => drop(self.firsts.insert(index, first)),
                false => self.finished(index, first.result),
            }
        }
    }

    /// What is still to be seen again when that cannot be.
    pub(super) fn give_up(&mut self, why: &str) {
        let firsts = std::mem::take(&mut self.firsts);
        for (index, First { mut result, .. }) in
            firsts.into_iter().chain(std::mem::take(&mut self.held))
        {
            if is_told(result.verdict) {
                result.verdict = Verdict::Inconclusive;
                result.reason = Some(format!("seen once: {why} before it was tried again"));
            }
            result.oracles.retain(|finding| !finding.is_failure());
            self.finished(index, result);
        }
    }
}

/// What failed once and then came to something else.
fn unsteady(first: ScenarioResult, again: ScenarioResult) -> ScenarioResult {
    let reason = match again.verdict {
        Verdict::Fail | Verdict::Blocked => {
            "failed in another way when it was run again".to_owned()
        }
        verdict => format!("came to {verdict} when it was run again"),
    };
    ScenarioResult {
        verdict: Verdict::Unsteady,
        reason: Some(reason),
        again: Some(Box::new(again)),
        ..first
    }
}
