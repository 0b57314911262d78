//! How far a run is, live, for a person who watches.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ScenarioResult;
use crate::runner::{News, UnderWay};
use crate::verdict::Verdict;

/// How long it takes until a line is followed by another, where there is no bar.
const PAUSE: Duration = Duration::from_secs(30);

/// A bar on standard error, or where that is no terminal a line now and then.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    fail: usize,
    inconclusive: usize,
    started: Instant,
    /// When the last line was written.
    told: Option<Instant>,
}

impl Progress {
    /// A bar for this many scenarios.
    pub fn new(total: usize) -> Progress {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Progress::on(target, total)
    }

    /// Takes notice of what happened.
    pub fn notice(&mut self, news: &News<'_>) {
        match news {
            News::Finished(result) => self.finished(result),
            News::UnderWay(under_way) if self.bar.is_hidden() => {
                if self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
                    // When even standard error is gone, the run goes on.
                    let _ = writeln!(stderr(), "mqttspec: {}", self.line(under_way));
                    self.told = Some(Instant::now());
                }
            }
            News::UnderWay(_) => self.bar.tick(),
        }
    }

    fn line(&self, under_way: &UnderWay) -> String {
        let UnderWay { done, all, again, longest } = under_way;
        let again = match again {
            0 => String::new(),
            again => format!(", {again} to be seen again"),
        };
        let longest = longest.map_or_else(String::new, |(id, time)| {
            format!("; {id} has run longest, {} s", time.as_secs())
        });
        let seconds = self.started.elapsed().as_secs();
        format!("{done} of {all} scenarios done after {seconds} s{again}{longest}")
    }

    /// Counts a scenario that has finished.
    fn finished(&mut self, result: &ScenarioResult) {
        self.fail += usize::from(result.verdict == Verdict::Fail);
        self.inconclusive += usize::from(result.verdict == Verdict::Inconclusive);
        self.bar.set_message(self.message());
        self.bar.inc(1);
    }

    /// Takes the bar away, so that the report stands alone.
    pub fn done(self) {
        self.bar.finish_and_clear();
    }

    fn on(target: ProgressDrawTarget, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(u64::try_from(total).ok(), target);
        let style = ProgressStyle::with_template("[{bar:40}] {pos}/{len}  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Progress { bar, fail: 0, inconclusive: 0, started: Instant::now(), told: None }
    }

    fn message(&self) -> String {
        let counts = [(self.fail, "fail"), (self.inconclusive, "inconclusive")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }
}

/// A bar for work of many steps of one kind, on standard error, or where that is no terminal a line now and then.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    what: &'static str,
    told: Instant,
}

impl Steps {
    /// A bar for so many steps, called by what is done in them, such as `mutants tried`.
    pub fn new(total: usize, what: &'static str) -> Steps {
        let bar = Progress::new(total).bar;
        bar.set_message(what);
        Steps { bar, what, told: Instant::now() }
    }

    /// Counts a step, and prints what there is to say of it, above the bar.
    pub fn next<T>(&mut self, print: impl FnOnce() -> T) -> T {
        self.bar.inc(1);
        self.bar.suspend(print)
    }

    /// Counts a step of which nothing is said.
    pub fn pass(&mut self) {
        self.bar.inc(1);
        if self.bar.is_hidden() && self.told.elapsed() >= PAUSE {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            // When even standard error is gone, the work goes on.
            let _ = writeln!(stderr(), "mqttspec: {done} of {all} {}", self.what);
            self.told = Instant::now();
        }
    }

    /// Takes the bar away.
    pub fn done(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn it_counts_what_matters_while_a_run_lasts() {
        let report = fixture::report();
        let mut progress = Progress::on(ProgressDrawTarget::hidden(), report.scenarios.len());
        assert_eq!(progress.message(), "");
        for result in &report.scenarios {
            progress.finished(result);
        }
        assert_eq!(progress.bar.position(), report.scenarios.len() as u64);
        let totals = report.totals();
        let counts = format!("{} fail, {} inconclusive", totals.fail, totals.inconclusive);
        assert_eq!(progress.message(), counts);
        progress.done();
    }

    #[test]
    fn steps_are_counted_and_told() {
        let mut steps = Steps::new(3, "mutants tried");
        steps.pass();
        assert_eq!(steps.next(|| "said"), "said");
        assert_eq!((steps.bar.position(), steps.bar.length()), (2, Some(3)));
        steps.done();
    }

    #[test]
    fn it_says_that_a_run_is_alive() {
        let progress = Progress::on(ProgressDrawTarget::hidden(), 841);
        let longest = Some(("3.1/keep-alive", Duration::from_millis(12_300)));
        let mut under_way = UnderWay { done: 12, all: 841, again: 0, longest };
        let line = "12 of 841 scenarios done after 0 s; 3.1/keep-alive has run longest, 12 s";
        assert_eq!(progress.line(&under_way), line);
        under_way.again = 3;
        under_way.longest = None;
        assert!(progress.line(&under_way).ends_with("after 0 s, 3 to be seen again"));
    }
}
