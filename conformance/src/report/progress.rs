//! How far a run is, live, for a person who watches.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ScenarioResult;
use crate::verdict::Verdict;

/// A bar on standard error; nothing at all where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    fail: usize,
    inconclusive: usize,
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

    /// Counts a scenario that has finished.
    pub fn finished(&mut self, result: &ScenarioResult) {
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
        Progress { bar, fail: 0, inconclusive: 0 }
    }

    fn message(&self) -> String {
        let counts = [(self.fail, "fail"), (self.inconclusive, "inconclusive")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
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
}
