//! The end of the terminal report: counts by section, and the summary.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;

use super::terminal::{Terminal, style};
use super::text::{clip, counted, visible, wrap};
use super::{CauseResult, Report, ScenarioResult, causes, title};
use crate::exit::Exit;
use crate::verdict::Verdict;

const SECTION: usize = 8;
const TITLE: usize = 32;
const FAINT: Style = Style::new().dimmed();
/// How many sections are listed beside causes unasked.
const ROWS: usize = 8;

/// The width of a verdict's column.
fn width(verdict: Verdict) -> usize {
    head_of(verdict).len() + 2
}

/// What stands above it.
fn head_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotApplicable => "n/a",
        verdict => verdict.name(),
    }
}

/// The columns of a table: the verdicts of which there always is one, and those that are there.
fn columns(report: &Report) -> Vec<Verdict> {
    let is_there = |verdict: &Verdict| match verdict {
        Verdict::Blocked | Verdict::Unsteady => {
            report.scenarios.iter().any(|result| result.verdict == *verdict)
        }
        _ => true,
    };
    Verdict::ALL.into_iter().filter(is_there).collect()
}

/// How many results of a section are not as one would wish.
fn amiss(results: &[&ScenarioResult]) -> usize {
    let is_amiss = |result: &&&ScenarioResult| match result.verdict {
        Verdict::Fail | Verdict::Blocked | Verdict::Unsteady | Verdict::Inconclusive => true,
        Verdict::Pass | Verdict::Advisory | Verdict::NotApplicable => !result.expected,
    };
    results.iter().filter(is_amiss).count()
}

impl Terminal<'_> {
    /// Writes a table: a row a section, a column a verdict. Where there is more to tell, only the
    /// sections with most that is amiss, unless `verbose`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn sections(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        if report.scenarios.is_empty() {
            return Ok(());
        }
        let columns = columns(report);
        let mut head = format!("{:1$}", "section", SECTION + TITLE);
        for verdict in &columns {
            head += &format!("{:>1$}", head_of(*verdict), width(*verdict));
        }
        self.heading(&head, out)?;
        let sections = report.sections();
        let mut shown: Vec<_> = sections.iter().collect();
        if report.scenarios.iter().any(ScenarioResult::needs_a_look) && !self.verbose {
            shown.sort_by_key(|(_, results)| Reverse(amiss(results)));
            shown.truncate(ROWS);
            shown.retain(|(_, results)| amiss(results) > 0);
        }
        let shown: Vec<_> = shown.into_iter().map(|(name, _)| *name).collect();
        for (section, results) in sections.iter().filter(|(name, _)| shown.contains(name)) {
            let name = clip(&visible(section), SECTION - 1);
            let title = clip(title(section), TITLE);
            write!(out, "{name:SECTION$}{title:TITLE$}")?;
            self.counts(&columns, results, out)?;
        }
        if shown.len() < sections.len() {
            let more = counted(sections.len() - shown.len(), "more section", "more sections");
            let note = format!("{:SECTION$}{more}: --verbose", "...");
            writeln!(out, "{}", self.paint(FAINT, note))?;
        }
        if sections.len() > 1 {
            write!(out, "{:1$}", "all", SECTION + TITLE)?;
            self.counts(&columns, &report.scenarios.iter().collect::<Vec<_>>(), out)?;
        }
        writeln!(out)
    }

    fn counts(
        &self,
        columns: &[Verdict],
        results: &[&ScenarioResult],
        out: &mut impl Write,
    ) -> io::Result<()> {
        for &verdict in columns {
            let width = width(verdict);
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
            writeln!(out, "{}", clip(&visible(&report.target), self.width))?;
        }
        for note in &report.notes {
            writeln!(out, "{}", self.paint(style(Verdict::Inconclusive, true), visible(note)))?;
        }
        let counts = Verdict::ALL.map(|verdict| (totals.of(verdict), verdict));
        let is_told = |(n, verdict): &(usize, Verdict)| {
            *n > 0 || !matches!(verdict, Verdict::Blocked | Verdict::Unsteady)
        };
        let counts = counts.into_iter().filter(is_told).map(|(n, verdict)| {
            let count = format!("{n} {}", words(verdict));
            if n > 0 { self.paint(style(verdict, true), count) } else { count }
        });
        let all = counted(totals.scenarios, "scenario", "scenarios");
        let counts: Vec<_> = counts.collect();
        writeln!(out, "{all}: {}  ({})", counts.join(", "), time(report.duration))?;
        let causes = causes(report);
        let count = |verdict, expected| {
            let these =
                |cause: &&CauseResult<'_>| (cause.verdict, cause.expected) == (verdict, expected);
            causes.iter().filter(these).count()
        };
        let advisories = count(Verdict::Advisory, true);
        let notes = [
            (totals.unexpected, "unexpected result", "unexpected results"),
            (count(Verdict::Fail, false), "unexpected cause", "unexpected causes"),
            (totals.known_deviations, "known deviation", "known deviations"),
            (report.listed.unfilled, "listed without a reason", "listed without a reason (TODO)"),
            (advisories, "kind of advisory", "kinds of advisories"),
        ];
        let notes = notes.iter().filter(|(n, ..)| *n > 0);
        let notes: Vec<String> = notes.map(|(n, one, many)| counted(*n, one, many)).collect();
        if !notes.is_empty() {
            writeln!(out, "{}", wrap(&notes.join(", "), self.width).join("\n"))?;
        }
        if advisories + totals.known_deviations + totals.unsteady > 0 && !self.verbose {
            let hint = "--verbose lists advisories, known deviations and what is unsteady";
            writeln!(out, "{}", self.paint(FAINT, hint))?;
        }
        if let Some(trouble) = &report.trouble {
            writeln!(out, "{}", visible(trouble))?;
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
        assert!(
            SECTION + TITLE + Verdict::ALL.into_iter().map(width).sum::<usize>()
                <= super::super::terminal::WIDTH
        );
    }
}
