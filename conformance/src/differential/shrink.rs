//! The smallest script that still shows something.

use std::time::{Duration, Instant};

use crate::script::Script;

/// Leaves out steps, larger parts first, as long as what is left still shows something.
#[derive(Debug)]
pub struct Shrinker {
    best: Script,
    /// How many steps are left out at once.
    size: usize,
    start: usize,
    is_smaller: bool,
    /// How many more are tried, and until when.
    left: usize,
    until: Option<Instant>,
}

impl Shrinker {
    /// Makes a script smaller, by no more than so many tries.
    pub fn new(script: Script, most: usize) -> Shrinker {
        let size = script.steps.len() / 2;
        Shrinker { best: script, size, start: 0, is_smaller: false, left: most, until: None }
    }

    /// The same, which tries nothing more after so much time.
    #[must_use]
    pub fn within(self, time: Duration) -> Shrinker {
        Shrinker { until: Instant::now().checked_add(time), ..self }
    }

    /// The next smaller script to try; none when there is no more to do.
    pub fn smaller(&mut self) -> Option<Script> {
        while self.start >= self.best.steps.len() {
            // The same again with single steps as long as that helps.
            if !self.is_smaller || self.size > 1 {
                self.size /= 2;
            }
            (self.start, self.is_smaller) = (0, false);
            if self.best.steps.is_empty() {
                return None;
            }
        }
        if self.size == 0 || self.left == 0 || self.until.is_some_and(|it| Instant::now() >= it) {
            return None;
        }
        self.left -= 1;
        let end = (self.start + self.size).min(self.best.steps.len());
        let steps = &self.best.steps;
        Some(Script { steps: [&steps[..self.start], &steps[end..]].concat() })
    }

    /// Takes in whether the script that was tried shows it.
    pub fn told(&mut self, tried: Script, shows: bool) {
        match shows {
            true => {
                self.best = tried;
                self.is_smaller = true;
            }
            false => self.start += self.size,
        }
    }

    /// The smallest that shows it.
    pub fn into_best(self) -> Script {
        self.best
    }
}

/// The smallest script that is found within so many tries and that `shows` is true of.
pub fn shrink(script: &Script, most: usize, mut shows: impl FnMut(&Script) -> bool) -> Script {
    let mut shrinker = Shrinker::new(script.clone(), most);
    while let Some(smaller) = shrinker.smaller() {
        let does = shows(&smaller);
        shrinker.told(smaller, does);
    }
    shrinker.into_best()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Act, Step};

    #[test]
    fn what_matters_is_left() {
        let step = |number: u64| Step::new("a", Act::Wait(Duration::from_secs(number)));
        let script = Script { steps: (0..100).map(step).collect() };
        let matters = [step(3), step(50), step(97)];
        let small =
            shrink(&script, 10_000, |it| matters.iter().all(|step| it.steps.contains(step)));
        assert_eq!(small.steps, matters);
        let bounded = shrink(&script, 3, |it| matters.iter().all(|step| it.steps.contains(step)));
        assert!(bounded.steps.len() > 3);
    }
}
