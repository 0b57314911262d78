//! The end of the terminal report: counts by section, and the summary.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;

use super::terminal::{Terminal, WIDTH, style};
use super::text::{clip, counted, visible};
use super::{Report, ScenarioResult, title};
use crate::exit::Exit;
use crate::verdict::Verdict;

/// Widths of the columns behind the section, in the order of [`Verdict::ALL`].
const COLUMNS: [usize; 7] = [6, 6, 10, 9, 16, 14, 10];
const SECTION: usize = 8;
const TITLE: usize = 38;
const FAINT: Style = Style::new().dimmed();

impl Terminal<'_> {
    /// Writes a table: a row a section, a column a verdict.
    pub fn sections(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        if report.scenarios.is_empty() {
            return Ok(());
        }
        let mut head = format!("{:1$}", "section", SECTION + TITLE);
        for (verdict, width) in Verdict::ALL.into_iter().zip(COLUMNS) {
            head += &format!("{:>width$}", words(verdict));
        }
        self.heading(&head, out)?;
        let sections = report.sections();
        for (section, results) in &sections {
            let name = clip(&visible(section), SECTION - 1);
            let title = clip(title(section), TITLE);
            write!(out, "{name:SECTION$}{title:TITLE$}")?;
            self.counts(results, out)?;
        }
        if sections.len() > 1 {
            write!(out, "{:1$}", "all", SECTION + TITLE)?;
            self.counts(&report.scenarios.iter().collect::<Vec<_>>(), out)?;
        }
        writeln!(out)
    }

    fn counts(&self, results: &[&ScenarioResult], out: &mut impl Write) -> io::Result<()> {
        for (verdict, width) in Verdict::ALL.into_iter().zip(COLUMNS) {
            let these = || results.iter().filter(|result| result.verdict == verdict);
            let expected = these().all(|result| result.expected);
            let cell = match these().count() {
                0 => self.paint(FAINT, format_args!("{:>width$}", '-')),
                n if !expected || verdict == Verdict::Inconclusive => {
                    self.paint(style(verdict, expected), format_args!("{n:>width$}"))
                }
                n => format!("{n:>width$}"),
            };
            write!(out, "{cell}")?;
        }
        writeln!(out)
    }

    /// Writes the closing lines: how many came to what, and what the exit code says.
    pub fn summary(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        self.totals(report, out)?;
        self.exit(Exit::of(report), out)
    }

    /// Writes how many came to what.
    pub fn totals(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        let totals = report.totals();
        if !report.target.is_empty() {
            writeln!(out, "{}", clip(&visible(&report.target), WIDTH))?;
        }
        let counts = [
            (totals.pass, Verdict::Pass),
            (totals.fail, Verdict::Fail),
            (totals.advisory, Verdict::Advisory),
            (totals.not_applicable, Verdict::NotApplicable),
            (totals.inconclusive, Verdict::Inconclusive),
        ];
        let counts = counts.map(|(n, verdict)| {
            let count = format!("{n} {}", words(verdict));
            if n > 0 { self.paint(style(verdict, true), count) } else { count }
        });
        let all = counted(totals.scenarios, "scenario", "scenarios");
        writeln!(out, "{all}: {}  ({})", counts.join(", "), time(report.duration))?;
        let notes = [
            (totals.unexpected, "unexpected verdict", "unexpected verdicts"),
            (totals.known_deviations, "known deviation", "known deviations"),
        ];
        let notes = notes.iter().filter(|(n, ..)| *n > 0);
        let notes: Vec<String> = notes.map(|(n, one, many)| counted(*n, one, many)).collect();
        if !notes.is_empty() {
            writeln!(out, "{}", notes.join(", "))?;
        }
        if totals.advisory + totals.known_deviations > 0 && !self.verbose {
            let hint = "--verbose lists advisories and known deviations";
            writeln!(out, "{}", self.paint(FAINT, hint))?;
        }
        if report.interrupted {
            writeln!(out, "interrupted before all that was selected had run")?;
        }
        Ok(())
    }

    /// Writes what an exit code says.
    pub fn exit(&self, exit: Exit, out: &mut impl Write) -> io::Result<()> {
        let judged = match exit {
            Exit::AsExpected => Verdict::Pass,
            Exit::Unexpected => Verdict::Fail,
            Exit::Usage | Exit::Trouble | Exit::NothingSelected => Verdict::Inconclusive,
        };
        let code = self.paint(style(judged, true).bold(), format_args!("exit {}", exit.code()));
        writeln!(out, "{code}: {}", exit.meaning())
    }
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotApplicable => "not applicable",
        verdict => verdict.name(),
    }
}

fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_do() {
        assert_eq!(time(Duration::from_millis(1240)), "1.24 s");
        assert_eq!(time(Duration::from_millis(125_900)), "2 min 5 s");
        assert_eq!(time(Duration::from_secs(3 * 3600 + 59)), "3 h 0 min");
    }

    #[test]
    fn a_row_fits_a_terminal() {
        assert!(SECTION + TITLE + COLUMNS.iter().sum::<usize>() <= WIDTH);
    }
}
