//! How fast connections are opened: as fast as they are asked for, until many do not come about.
//!
//! A target may bound how many connections are open at once, or how many are opened a second, and a
//! network may lose some whatever is done. The last needs nothing but another try. Which of the others it
//! is shows in how many were open: one that came about beside more others than one that did not was not
//! turned away for their number.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What is looked at: as long as rates are counted for, in most brokers.
const WINDOW: Duration = Duration::from_secs(1);

/// One in so many may be lost, and at least so many must be for anything to be changed.
const BORNE: usize = 8;
const FEWEST: usize = 3;

/// So many connections a second are always opened.
const FLOOR: f64 = 8.0;

/// A rate beyond this is no bound.
const CEILING: f64 = 400.0;

/// How long no connection is opened once too many did not come about: those count too, for some, for as
/// long as rates are counted.
const REST: Duration = WINDOW;

/// What is to be made of connections that did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// They may be lost by chance, or belong to what was seen before.
    Nothing,
    /// Too many were open at once.
    Crowd,
    /// Too many were opened in too short a time.
    Haste,
}

/// Connections of the last second, and what bounds those to come.
#[derive(Debug, Default)]
pub(super) struct Tempo {
    opened: VecDeque<Instant>,
    /// When connections came about, and how many were open then.
    heard: VecDeque<(Instant, usize)>,
    /// The same of those that did not.
    failed: VecDeque<(Instant, usize)>,
    /// How many may be opened a second, once that had to be bounded.
    rate: Option<f64>,
    /// Not before this may one more be opened.
    next: Option<Instant>,
    /// How often the rate was lowered.
    cuts: u32,
    /// When the rate was changed, or the crowd found too large.
    changed: Option<Instant>,
}

impl Tempo {
    /// Takes a place in the line; gives when it is its turn.
    pub(super) fn turn(&mut self, now: Instant) -> Instant {
        self.prune(now);
        self.quicken(now);
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = self.rate.map(|rate| at + Duration::from_secs_f64(1.0 / rate));
        self.opened.push_back(at);
        at
    }

    /// Whether who asks now has to wait.
    pub(super) fn is_waited_for(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next > now)
    }

    /// How many may be opened a second, if that is bounded.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Notes that one came about, with so many open.
    pub(super) fn came_about(&mut self, now: Instant, open: usize) {
        self.heard.push_back((now, open));
        self.prune(now);
    }

    /// Notes that one did not, with so many open.
    pub(super) fn failed(&mut self, now: Instant, open: usize) -> Lesson {
        self.failed.push_back((now, open));
        self.prune(now);
        let (opened, failed) = (self.opened_by(now), self.failed.len());
        if failed < FEWEST || failed * BORNE < opened || !self.is_settled(now) {
            return Lesson::Nothing;
        }
        self.changed = Some(now);
        let lesson = match self.is_haste() {
            true => Lesson::Haste,
            false => Lesson::Crowd,
        };
        // Slowness does no harm to what comes of a crowd, and soon passes.
        let (by, rest) = if self.is_near() { (0.85, REST / 4) } else { (0.7, REST) };
        let slower = self.rate.map_or(opened as f64 / 2.0, |rate| rate * by);
        self.rate = Some(slower.clamp(FLOOR, CEILING));
        self.next = Some(now + rest);
        self.cuts += 1;
        lesson
    }

    /// Whether the last second shows that the number of open ones was not the matter.
    fn is_haste(&self) -> bool {
        let is_slowest = self.rate.is_some_and(|rate| rate <= FLOOR);
        let beside = self.heard.iter().map(|(_, open)| *open).max().unwrap_or(0);
        let least = self.failed.iter().map(|(_, open)| *open).min().unwrap_or(0);
        // By two, because an end is seen later on the other side.
        !is_slowest && beside > least + 2
    }

    /// How many were opened in the last second: some have their turn later.
    fn opened_by(&self, now: Instant) -> usize {
        self.opened.iter().filter(|at| **at <= now).count()
    }

    /// Whether the bound is about known: it was met again and again.
    fn is_near(&self) -> bool {
        self.cuts > 2
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.changed.is_none_or(|changed| now - changed > WINDOW)
    }

    /// Goes faster again where the bound was met and did no harm.
    fn quicken(&mut self, now: Instant) {
        let Some(rate) = self.rate.filter(|_| self.is_settled(now)) else { return };
        if (self.opened_by(now) as f64) < rate / 2.0 {
            return;
        }
        self.changed = Some(now);
        let by = if self.is_near() { 1.05 } else { 1.15 };
        self.rate = Some(rate * by).filter(|rate| *rate < CEILING);
    }

    fn prune(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > WINDOW;
        while self.opened.front().is_some_and(is_old) {
            self.opened.pop_front();
        }
        for list in [&mut self.heard, &mut self.failed] {
            while list.front().is_some_and(|(at, _)| is_old(at)) {
                list.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens so many a second for so long on what lets in no more than `most` of them; gives how many were
    /// let in, and what was learnt.
    fn opened(tempo: &mut Tempo, now: &mut Instant, most: usize) -> (usize, Vec<Lesson>) {
        let (mut tries, mut let_in, mut lessons) = (VecDeque::new(), 0, Vec::new());
        for n in 0..400_usize {
            *now = tempo.turn(*now + Duration::from_millis(5));
            while tries.front().is_some_and(|at| *now - *at > WINDOW) {
                tries.pop_front();
            }
            tries.push_back(*now);
            match tries.len() <= most {
                true => {
                    let_in += 1;
                    tempo.came_about(*now, 1 + n % 40);
                }
                false => lessons.push(tempo.failed(*now, 1 + n % 40)),
            }
        }
        lessons.retain(|lesson| *lesson != Lesson::Nothing);
        (let_in, lessons)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_found_and_kept() {
        let (mut tempo, mut now) = (Tempo::default(), Instant::now());
        let (_, lessons) = opened(&mut tempo, &mut now, 25);
        assert!(lessons.contains(&Lesson::Haste), "{lessons:?}");
        let (let_in, _) = opened(&mut tempo, &mut now, 25);
        assert!(let_in > 300, "{let_in} of 400, at {:?}", tempo.rate());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_by_chance_slows_nothing_down() {
        let (mut tempo, mut now) = (Tempo::default(), Instant::now());
        for n in 0..1000 {
            now = tempo.turn(now + Duration::from_millis(10));
            match n % 20 {
                0 => assert_eq!(tempo.failed(now, 5), Lesson::Nothing),
                _ => tempo.came_about(now, 5),
            }
        }
        assert_eq!(tempo.rate(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_told_from_haste() {
        let (mut tempo, now) = (Tempo::default(), Instant::now());
        for _ in 0..60 {
            tempo.turn(now);
        }
        (1..=40).for_each(|open| tempo.came_about(now, open));
        let lessons: Vec<_> = (41..=60).map(|open| tempo.failed(now, open)).collect();
        assert_eq!(lessons.iter().filter(|it| **it == Lesson::Crowd).count(), 1, "{lessons:?}");
        assert!(!lessons.contains(&Lesson::Haste));
        assert!(tempo.is_waited_for(now) && tempo.rate() == Some(30.0));
    }
}
