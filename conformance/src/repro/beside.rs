//! What a trace shows up to a place, beside what the reference does by then.

use std::time::Duration;

use reference_broker::codec::PacketType;
use reference_broker::core::Config;

use crate::script::{Act, Step, with_places};
use crate::trace::What;

use super::check::{Check, Kind, right_fields, ways_to_refuse};
use super::difference::Seen;
use super::differing::{differing, in_question};
use super::sight::{BROKEN, CLOSED, Field, Fields, Sight, label, sights};

/// How much longer than it took when the fault was seen an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Times that differ by less are the same: what little passes between steps does so for the broker alone.
const SAME_TIME: Duration = Duration::from_millis(400);

/// For how much longer something is waited for than it takes the reference.
const MORE: Duration = Duration::from_secs(2);

/// So many of the things that the reference sends show that it is right.
const ENOUGH: usize = 4;

/// What a trace shows up to a place, beside what the reference does by then.
pub(super) struct Beside {
    failed: Vec<Sight>,
    right: Vec<Sight>,
    /// The place among what came in the trace, for each that both have.
    taken: Vec<Option<usize>>,
    common: Vec<Option<Fields>>,
    /// How many steps of the script there are up to the place.
    steps: usize,
    /// When each step was over for the reference, from before the first.
    clock: Vec<Duration>,
    /// When the steps before the place were.
    base: Duration,
    /// How long it took from there to the place in the trace.
    gap: Duration,
    event: usize,
}

impl Beside {
    pub(super) fn new(seen: &Seen<'_>, config: &Config, event: usize) -> Beside {
        let trace = seen.trace;
        let (script, places) = with_places(&trace[..=event]);
        let failed = sights(&trace[..=event], &places);
        let steps = script.steps.len();
        let before = event.checked_sub(1).map_or(0, |before| places[before]);
        let clock = clock(&script.steps);
        let base = clock[before];
        let gap = trace[event].at - event.checked_sub(1).map_or(Duration::ZERO, |it| trace[it].at);
        let right = seen.reference(script, config);
        let taken = vec![None; right.len()];
        let common = vec![None; failed.len()];
        let mut beside = Beside { failed, right, taken, common, steps, clock, base, gap, event };
        beside.pair_up();
        beside
    }

    /// Pairs what both have before the place.
    fn pair_up(&mut self) {
        for (at, sight) in self.failed.iter().enumerate().filter(|(_, it)| it.event < self.event) {
            let same = self.right.iter().zip(&self.taken).position(|(other, taken)| {
                taken.is_none()
                    && other.connection == sight.connection
                    && other.is_same(sight)
                    && self.is_by(other, sight.step)
            });
            if let Some(same) = same {
                self.taken[same] = Some(at);
                self.common[at] = Some(sight.outcome_in_common(&self.right[same]));
            }
        }
    }

    /// What the reference has sent over a connection by then, and the broker had not.
    pub(super) fn lacking<'a>(&'a self, on: &'a str) -> impl Iterator<Item = &'a Sight> + 'a {
        let left = self.right.iter().zip(&self.taken);
        let left = left.filter(|(_, taken)| taken.is_none()).map(|(sight, _)| sight);
        left.filter(move |sight| self.is_by(sight, self.steps) && sight.connection == on)
    }

    /// Whether the reference does it by this step, or so little later that it comes to the same.
    fn is_by(&self, right: &Sight, step: usize) -> bool {
        right.step <= step || right.at <= self.clock[step] + SAME_TIME
    }

    /// How long after the steps before the place the reference does it.
    fn delay(&self, right: &Sight) -> Duration {
        right.at.saturating_sub(self.base)
    }

    fn check(&self, on: &str, kind: Kind, wrong: Vec<Fields>, right: Vec<Fields>) -> Check {
        Check {
            event: self.event,
            on: on.to_owned(),
            kind,
            wrong,
            right,
            before: None,
            within: self.gap + PATIENCE,
            is_elsewhere: false,
            common: self.common.clone(),
        }
    }

    /// What shows the fault, if there is one at the place.
    pub(super) fn at_its_place(&self, seen: &Seen<'_>) -> Option<Check> {
        let event = &seen.trace[self.event];
        match &event.what {
            What::Received(_) | What::ReceivedBroken(..) | What::ClosedByBroker(_) => {
                self.of_what_came(self.failed.last()?, seen)
            }
            What::Silence(_) => self.of_silence(&event.probe, seen.expected),
            _ => None,
        }
    }

    fn of_what_came(&self, came: &Sight, seen: &Seen<'_>) -> Option<Check> {
        let on = came.connection.as_str();
        let Some(right) = self.counterpart(came) else {
            if let Some(later) = self.later(came) {
                return Some(self.early(came, later));
            }
            let right = self.lacking(on).take(ENOUGH).flat_map(right_fields).collect();
            return Some(self.check(on, Kind::Comes, vec![came.wanted()], right));
        };
        if let Some((wrong, fields)) = self.fields_that_differ(came, right, seen.expected) {
            let mut right = vec![fields];
            if right[0].get("error") == Some(&Field::Flag(true)) {
                right.extend(ways_to_refuse());
            }
            return Some(self.check(on, Kind::Comes, vec![wrong], right));
        }
        // It is as it should be: what should have come before it?
        let before: Vec<_> = self.lacking(on).take_while(|it| it.event < right.event).collect();
        if let Some(missing) = best(&before, seen.expected) {
            return Some(match missing.is_in_order_with(came) {
                true => {
                    let both = vec![missing.wanted(), came.wanted()];
                    self.check(on, Kind::Order, Vec::new(), both)
                }
                false => {
                    // An end is no substitute for what is to come before it.
                    let wanted = match came.name {
                        CLOSED => vec![missing.wanted()],
                        _ => right_fields(missing),
                    };
                    self.check(on, Kind::Lacks, vec![came.wanted()], wanted)
                }
            });
        }
        if self.gap > self.delay(right) + SAME_TIME {
            let mut check = self.check(on, Kind::Lacks, Vec::new(), vec![right.wanted()]);
            check.within = (self.gap + self.delay(right)) / 2;
            return Some(check);
        }
        self.out_of_order(came, right)
    }

    /// What came too early: the reference sends it later.
    fn early(&self, came: &Sight, later: &Sight) -> Check {
        let right = vec![came.wanted()];
        let mut check = self.check(&came.connection, Kind::Comes, vec![came.wanted()], right);
        let delay = self.delay(later);
        check.before = Some((self.gap + delay) / 2);
        check.within = delay + MORE;
        check
    }

    /// What came after something that the reference sends after it.
    fn out_of_order(&self, came: &Sight, right: &Sight) -> Option<Check> {
        let later = self.right.iter().zip(&self.taken).find_map(|(sight, taken)| {
            let before = taken.map(|at| &self.failed[at])?;
            let is_other = sight.event > right.event && sight.connection == came.connection;
            is_other.then_some(before)
        })?;
        let both = vec![came.wanted(), later.wanted()];
        Some(self.check(&came.connection, Kind::Order, Vec::new(), both))
    }

    /// All that has to come in one order with this, as far as it can be told apart.
    pub(super) fn in_whole_order(&self, first: &Sight) -> Option<Check> {
        let belongs = |it: &&Sight| {
            it.connection == first.connection
                && self.is_by(it, self.steps)
                && first.is_one_of_many_with(it)
        };
        let wanted: Vec<_> = self.right.iter().filter(belongs).map(Sight::wanted).collect();
        let is_twice = |(at, it): (usize, &Fields)| wanted[..at].contains(it);
        let is_any_twice = wanted.iter().enumerate().any(is_twice);
        let check = self.check(&first.connection, Kind::Order, Vec::new(), wanted.clone());
        (!is_any_twice && wanted.len() > 2).then_some(check)
    }

    /// Whether the check finds the fault in the trace, and none in what the reference does.
    pub(super) fn bears_out(&self, check: &Check, seen: &Seen<'_>) -> bool {
        if check.is_about_identifiers() {
            return true; // Which of them are the same was compared already.
        }
        let all = sights(seen.trace, &vec![0; seen.trace.len()]);
        let is_order = check.kind == Kind::Order;
        let end = seen.trace[check.event].at.saturating_sub(self.gap) + check.within;
        let is_looked_at = |it: &&Sight| {
            it.connection == check.on && (is_order || (it.event >= check.event && it.at <= end))
        };
        let failed: Vec<_> = all.iter().filter(is_looked_at).collect();
        let is_by_then = |it: &&Sight| it.connection == check.on && self.is_by(it, self.steps);
        let right: Vec<_> = match is_order {
            true => self.right.iter().filter(is_by_then).collect(),
            false => self.lacking(&check.on).collect(),
        };
        check.has_fault(&failed) && !check.has_fault(&right)
    }

    fn of_silence(&self, on: &str, expected: &str) -> Option<Check> {
        let lacking: Vec<_> = self.lacking(on).collect();
        let missing = best(&lacking, expected)?;
        let mut check = self.check(on, Kind::Lacks, Vec::new(), right_fields(missing));
        check.within = self.gap.max(self.delay(missing) + MORE);
        Some(check)
    }

    /// What is missing at the place on whichever connection.
    pub(super) fn lacking_anywhere(&self, expected: &str) -> Option<Check> {
        let mut connections: Vec<_> = self.right.iter().map(|it| it.connection.as_str()).collect();
        connections.dedup();
        connections.iter().rev().find_map(|on| self.of_silence(on, expected))
    }

    /// What the reference sends in the place of what came.
    fn counterpart<'a>(&'a self, came: &'a Sight) -> Option<&'a Sight> {
        let lacking: Vec<_> = self.lacking(&came.connection).collect();
        let find = |is: &dyn Fn(&Sight) -> bool| lacking.iter().copied().find(|it| is(it));
        let has_same = |key: &'static str| {
            let value = came.key.get(key);
            find(&|it| it.name == came.name && value.is_some() && it.key.get(key) == value)
        };
        find(&|it| it.is_same(came)).or_else(|| match came.name {
            "PUBLISH" => has_same("payload").or_else(|| has_same("topic")),
            BROKEN => find(&|it| it.name == type_of(came)),
            CLOSED => None,
            _ => find(&|it| it.name == came.name),
        })
    }

    /// The same, sent by the reference later.
    fn later<'a>(&'a self, came: &'a Sight) -> Option<&'a Sight> {
        let left = self.right.iter().zip(&self.taken).filter(|(_, taken)| taken.is_none());
        let is_it = |it: &&Sight| {
            !self.is_by(it, self.steps) && it.connection == came.connection && it.is_same(came)
        };
        let later = left.map(|(sight, _)| sight).find(is_it);
        later.filter(|it| self.delay(it) > self.gap + SAME_TIME)
    }

    /// In what they differ: what is wanted of either.
    fn fields_that_differ(
        &self,
        came: &Sight,
        right: &Sight,
        expected: &str,
    ) -> Option<(Fields, Fields)> {
        let (mut wrong, mut fields) = (came.wanted(), right.wanted());
        if came.name == BROKEN {
            // How it is read, if it is, may look as if it were right.
            fields.extend(right.fields.clone());
            return Some((wrong, fields));
        }
        let key = differing(&came.key, &right.key);
        let mut differ = in_question(differing(&came.fields, &right.fields), expected);
        if key.is_empty() && differ.is_empty() {
            if let Some((one, other)) = self.identifiers_that_differ(came, right) {
                wrong.insert("id", one);
                fields.insert("id", other);
                return Some((wrong, fields));
            }
            differ = in_question(differing(&came.details, &right.details), expected);
            if differ.is_empty() {
                return None;
            }
        }
        for (name, one, other) in key.into_iter().chain(differ) {
            wrong.insert(name, one);
            fields.insert(name, other);
        }
        Some((wrong, fields))
    }

    /// How the Packet Identifiers differ that the brokers chose: by what else has them.
    fn identifiers_that_differ(&self, came: &Sight, right: &Sight) -> Option<(Field, Field)> {
        let other = right.same_id_as.map(|at| &self.right[at]);
        let known = other.and_then(|it| self.failed.iter().position(|came| came.is_same(it)));
        match (came.same_id_as, known) {
            (Some(at), Some(known)) if self.failed[at].is_same(&self.failed[known]) => None,
            (_, Some(known)) => Some((Field::NotIdOf(label(known)), Field::IdOf(label(known)))),
            (Some(at), None) => Some((Field::IdOf(label(at)), Field::NotIdOf(label(at)))),
            (None, None) => None,
        }
    }
}

/// That which was expected in words, or else the first.
fn best<'a>(missing: &[&'a Sight], expected: &str) -> Option<&'a Sight> {
    let named = missing.iter().find(|it| expected.contains(it.name));
    named.or(missing.first()).copied()
}

/// The type of the packet that broken bytes begin as.
fn type_of(broken: &Sight) -> &'static str {
    let Some(Field::Begins(bytes)) = broken.key.get("bytes") else { return BROKEN };
    let value = bytes.first().map_or(0, |first| first >> 4);
    PacketType::from_value(value).map_or(BROKEN, |it| it.name())
}

/// How late it is for the reference before the first of these steps, and after each.
fn clock(steps: &[Step]) -> Vec<Duration> {
    let mut clock = vec![Duration::ZERO];
    for step in steps {
        let waited = if let Act::Wait(time) = step.act { time } else { Duration::ZERO };
        clock.push(clock.last().copied().unwrap_or_default() + Duration::from_millis(1) + waited);
    }
    clock
}
