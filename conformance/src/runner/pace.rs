//! How many scenarios run at once: as many as asked for, and fewer when connections do not come about.

use std::time::{Duration, Instant};

/// What happens within this time of a cut is its cause, not a further one.
const SETTLING: Duration = Duration::from_secs(1);

/// How many run at once where the crowd may have been the trouble.
const FEW: usize = 4;

/// How many may run then where most of them wait for time to pass: those are no crowd.
const WAITING: usize = 16;

/// Decides whether one more may begin.
#[derive(Debug)]
pub(super) struct Pace {
    jobs: usize,
    /// How many may run at the best of times.
    most: usize,
    /// Bounds all that run, once connections have failed.
    bound: Option<usize>,
    /// Of those that mostly wait, so many may run at once in the place of `bound`, once that is low for the
    /// sake of quiet.
    waiting: Option<usize>,
    /// How many have ended well since the bound was changed.
    well: usize,
    seen: usize,
    cut: Option<Instant>,
}

impl Pace {
    pub(super) fn new(jobs: usize, most: Option<usize>) -> Pace {
        let most = most.unwrap_or(usize::MAX).max(1);
        Pace { jobs: jobs.max(1), most, bound: None, waiting: None, well: 0, seen: 0, cut: None }
    }

    /// Whether a prompt scenario may begin beside `prompt` others of its kind and `all` in all; one
    /// that mostly waits, if it is `timed`.
    pub(super) fn admits(&self, timed: bool, prompt: usize, all: usize) -> bool {
        match (self.bound, self.waiting) {
            (Some(_), Some(waiting)) if timed => all < waiting,
            (Some(bound), Some(waiting)) => {
                prompt < bound.min(self.jobs) && all < self.most.min(waiting + bound)
            }
            (bound, _) => all < bound.unwrap_or(self.most) && (timed || prompt < self.jobs),
        }
    }

    /// Heeds that a scenario has ended beside `all` others, and that so many times by now too many
    /// connections were open at once.
    pub(super) fn heed(&mut self, count: usize, all: usize) {
        let is_new = count > self.seen;
        self.seen = count;
        let settled = self.cut.is_none_or(|cut| cut.elapsed() > SETTLING);
        match self.bound {
            _ if is_new && settled => {
                let at_once = self.bound.map_or(all + 1, |bound| bound.min(all + 1));
                self.bound = Some((at_once / 2).max(1));
                self.waiting = self.waiting.map(|waiting| (waiting / 2).max(1));
                self.cut = Some(Instant::now());
                self.well = 0;
            }
            Some(bound) if !is_new => {
                self.well += 1;
                // As slowly as it takes to see that it does no harm.
                if self.well > 4 * bound {
                    self.bound = Some((bound + 1).min(self.most));
                    self.waiting = self.waiting.map(|waiting| (waiting + 1).min(self.most));
                    self.well = 0;
                }
            }
            _ => {}
        }
    }

    /// From now on, runs few at once that do not only wait.
    pub(super) fn slow_down(&mut self) {
        let waiting = self.waiting.or(self.bound).unwrap_or(WAITING);
        self.waiting = Some(waiting.min(self.most));
        self.bound = Some(self.bound.map_or(FEW, |bound| (bound / 2).clamp(1, FEW)));
    }

    /// How many may run at once, if that had to be cut.
    pub(super) fn bound(&self) -> Option<usize> {
        self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_connections_halve_what_runs_and_success_brings_it_back_slowly() {
        let mut pace = Pace::new(8, None);
        assert!(pace.admits(false, 7, 100) && !pace.admits(false, 8, 100));
        assert!(pace.admits(true, 8, 1000));
        pace.heed(1, 39);
        assert_eq!(pace.bound(), Some(20));
        assert!(pace.admits(true, 0, 19) && !pace.admits(true, 0, 20));
        pace.heed(2, 39);
        assert_eq!(pace.bound(), Some(20), "still of the same cause");
        pace.cut = None;
        pace.heed(3, 39);
        assert_eq!(pace.bound(), Some(10));
        (0..41).for_each(|_| pace.heed(3, 9));
        assert_eq!(pace.bound(), Some(11));
        for count in 4..13 {
            pace.cut = None;
            pace.heed(count, 9);
        }
        assert_eq!(pace.bound(), Some(1), "one always may");
        assert!(pace.admits(true, 0, 0) && pace.admits(false, 0, 0));
    }

    #[test]
    fn those_that_wait_go_on_waiting_side_by_side_where_few_run() {
        let mut pace = Pace::new(8, None);
        pace.slow_down();
        assert!(pace.admits(true, 0, WAITING - 1) && !pace.admits(true, 0, WAITING));
        assert!(pace.admits(false, FEW - 1, WAITING) && !pace.admits(false, FEW, WAITING));
        pace.heed(1, 10);
        assert_eq!(pace.waiting, Some(WAITING / 2));
        assert!(!pace.admits(true, 0, WAITING / 2));
        let mut few = Pace::new(8, Some(5));
        few.slow_down();
        assert!(!few.admits(true, 0, 5) && !few.admits(false, 0, 5), "no more than may");
        let mut bounded = Pace::new(8, None);
        bounded.heed(1, 9);
        bounded.slow_down();
        assert!(!bounded.admits(true, 0, 5), "what a target bears holds on");
    }
}
