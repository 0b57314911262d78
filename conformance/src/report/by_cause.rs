//! The first part of the terminal report: what got in the way, causes, rules of oracles, the list.
//!
//! What is printed unasked has a bound, however many faults a target has: first what got in the way,
//! then blocks as long as there is room, then a line a cause, then how many more there are.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::obstacle::obstacles;
use super::terminal::{
    LABEL, LONG, NAME, SHORT, Terminal, VALUE, WIDTH, in_a_line, looks_like, style,
};
use super::text::{clip, counted, visible, wrap};
use super::{CauseResult, Report, ScenarioResult, causes, rules};
use crate::verdict::{Cause, Verdict};

/// How many lines are printed unasked, more or less.
pub(super) const LINES: usize = 60;
/// How many lines blocks and lines of causes have at least, whatever else there is.
const FEWEST: usize = 20;
/// How many ids are named where there are more.
const IDS: usize = 3;
/// How many lines a list has unasked.
const LIST: usize = 5;
/// Up to so many causes are told at length unasked.
const FEW: usize = 2;
/// Longer values of short blocks are cut.
const SHORT_VALUE: usize = 2 * (WIDTH - VALUE);

impl Terminal<'_> {
    /// Writes what a run found, by cause: what was not to be expected, and all else if `verbose`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn findings(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        let mut before = Vec::new();
        self.obstacles(report, &mut before)?;
        let mut after = Vec::new();
        self.oracles(report, &mut after)?;
        self.listed(report, &mut after)?;
        if self.verbose {
            self.known_deviations(report, &mut after)?;
            self.advisories(report, &mut after)?;
            self.unsteady(report, &mut after)?;
        }
        let mut table = Vec::new();
        self.sections(report, &mut table)?;
        self.summary(report, &mut table)?;
        let others = [&before, &after, &table].into_iter().map(|text| lines(text)).sum();
        out.write_all(&before)?;
        self.causes(report, LINES.saturating_sub(others).max(FEWEST), out)?;
        out.write_all(&after)
    }

    /// Writes the causes of what was not to be expected, in about so many lines.
    fn causes(&self, report: &Report, room: usize, out: &mut impl Write) -> io::Result<()> {
        let causes: Vec<_> = causes(report).into_iter().filter(|cause| !cause.expected).collect();
        let is_short = causes.len() > FEW && !self.verbose;
        let mut blocks = Vec::new();
        let mut used = 0;
        for (place, cause) in causes.iter().enumerate() {
            let mut block = Vec::new();
            self.cause(report, cause, is_short, &mut block)?;
            used += lines(&block);
            let rest = (causes.len() - place - 1).min(room / 2) + 2;
            if place > 0 && used + rest > room && !self.verbose {
                used -= lines(&block);
                break;
            }
            blocks.push(block);
        }
        blocks.iter().try_for_each(|block| out.write_all(block))?;
        let rest = causes.get(blocks.len()..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        // A line to say how many more, and an empty one.
        let told = match room.saturating_sub(used + 1) {
            told if told >= rest.len() => rest.len(),
            told => told.saturating_sub(1).max(1),
        };
        rest.iter().take(told).try_for_each(|cause| self.cause_line(cause, out))?;
        if let more @ 1.. = rest.len() - told {
            let more = counted(more, "more cause", "more causes");
            writeln!(out, "{more}; --verbose shows each with its trace")?;
        }
        writeln!(out)
    }

    /// Writes what is to be known of a cause, with the trace that shows it best.
    pub(super) fn cause(
        &self,
        report: &Report,
        cause: &CauseResult<'_>,
        is_short: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (result, finding) = cause.witness;
        self.head(cause, out)?;
        let cut = |text: &str| match is_short {
            true => clip(&visible(text), SHORT_VALUE),
            false => text.to_owned(),
        };
        match (self.requirement_text)(cause.cause.requirement).filter(|_| is_short) {
            Some(text) => {
                self.value("requirement", &clip(&visible(text), self.width - VALUE), out)?
            }
            None => self.requirement(finding, out)?,
        }
        self.value("expected", &cut(&finding.expected), out)?;
        self.value("observed", &cut(&finding.observed), out)?;
        if let Some(reason) = &result.reason {
            self.value("but", &cut(reason), out)?;
        }
        if !is_short && !result.looks_like.is_empty() {
            self.value("looks like", &looks_like(result), out)?;
        }
        if !is_short && !cause.also.is_empty() {
            self.value("also as", &self.other_forms(cause), out)?;
        }
        match is_short {
            true => self.value("where", &self.places(cause), out)?,
            false => self.all_places(cause, out)?,
        }
        self.trace(result, finding.event, if is_short { SHORT } else { LONG }, out)?;
        if !is_short {
            self.label("rerun", out)?;
            writeln!(out, "{}", visible(&report.rerun_command(result.id)))?;
        }
        writeln!(out)
    }

    fn head(&self, cause: &CauseResult<'_>, out: &mut impl Write) -> io::Result<()> {
        let verdict = cause.verdict.name().to_uppercase();
        let verdict = self.paint(style(cause.verdict, cause.expected).bold(), verdict);
        writeln!(out, "{verdict}  {}", self.paint(NAME, visible(&cause.cause.id())))
    }

    fn cause_line(&self, cause: &CauseResult<'_>, out: &mut impl Write) -> io::Result<()> {
        const ID: usize = 56;
        let verdict = cause.verdict.name().to_uppercase();
        let verdict = self.paint(style(cause.verdict, cause.expected).bold(), verdict);
        let id = visible(&cause.cause.id());
        let room = (self.width - 8).saturating_sub(ID.max(id.chars().count()));
        let counts = clip(&self.counts_of(cause).join(", "), room);
        writeln!(out, "{verdict}  {id:ID$}  {}", self.paint(LABEL, counts))
    }

    fn counts_of(&self, cause: &CauseResult<'_>) -> Vec<String> {
        let verdict = match cause.verdict {
            Verdict::Fail => ("fails by it", "fail by it"),
            _ => ("shows it", "show it"),
        };
        let counts = [
            (cause.shown_by.len(), verdict),
            (cause.blocks.len(), ("blocked", "blocked")),
            (cause.found_in.len(), ("other trace", "other traces")),
            (cause.known.len(), ("known", "known")),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, (one, several))| counted(*count, one, several)).collect()
    }

    /// What else was seen of the same fault.
    fn other_forms(&self, cause: &CauseResult<'_>) -> String {
        let forms: Vec<_> = cause.also.iter().map(Cause::id).collect();
        self.ids(&forms.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn places(&self, cause: &CauseResult<'_>) -> String {
        let all: Vec<_> = [&cause.shown_by, &cause.blocks, &cause.found_in]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        format!("{}: {}", self.counts_of(cause).join(", "), self.ids(&all))
    }

    fn all_places(&self, cause: &CauseResult<'_>, out: &mut impl Write) -> io::Result<()> {
        let verdict = match cause.verdict {
            Verdict::Fail => "fails",
            _ => "shown by",
        };
        let lists = [
            (verdict, &cause.shown_by, "scenario", "scenarios"),
            (("blocks"), &cause.blocks, "scenario", "scenarios"),
            ("also in", &cause.found_in, "other trace", "other traces"),
            ("known of", &cause.known, "of these", "of these"),
        ];
        for (label, ids, one, many) in lists {
            if !ids.is_empty() {
                let count = counted(ids.len(), one, many);
                self.whole_value(label, &format!("{count}: {}", self.ids(ids)), out)?;
            }
        }
        Ok(())
    }

    /// As `value`, however long it is.
    fn whole_value(&self, name: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
        self.label(name, out)?;
        let lines = wrap(&visible(value), self.width - VALUE);
        writeln!(out, "{}", lines.join(&format!("\n{:VALUE$}", "")))
    }

    fn ids(&self, ids: &[&str]) -> String {
        let shown = match self.verbose || ids.len() == IDS + 1 {
            true => ids.len(),
            false => ids.len().min(IDS),
        };
        let mut text = ids[..shown].join(", ");
        if shown < ids.len() {
            // Writing to a string cannot fail.
            let _ = write!(text, " and {} more", ids.len() - shown);
        }
        text
    }

    /// Writes what kept scenarios from showing anything, and what to do about it.
    fn obstacles(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let obstacles = obstacles(report);
        let scenarios: usize = obstacles.iter().map(|obstacle| obstacle.scenarios.len()).sum();
        if scenarios == 0 {
            return Ok(());
        }
        let scenarios = counted(scenarios, "scenario", "scenarios");
        let head = self.paint(style(Verdict::Inconclusive, true).bold(), "INCONCLUSIVE");
        writeln!(out, "{head}  {scenarios} could not be judged, because of")?;
        let mut told = Vec::new();
        for obstacle in &obstacles {
            let count = obstacle.scenarios.len();
            let advice = obstacle.advice.map(|advice| format!(" - {advice}")).unwrap_or_default();
            let (what, ids) = (shortest(&obstacle.what), self.ids(&obstacle.scenarios));
            told.push(format!("{count}: {what}{advice} ({ids})"));
        }
        self.list(told, out)
    }

    /// Writes the rules that were broken, though that was not to be expected.
    fn oracles(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let rules = rules(report);
        let broken = rules
            .iter()
            .filter(|rule| !rule.expected || (self.verbose && rule.verdict != Verdict::Pass));
        let told = broken.map(|rule| {
            let ids: Vec<_> = rule.broken_in.iter().map(|(result, _)| result.id).collect();
            let traces = counted(ids.len(), "trace", "traces");
            let known = if rule.expected && rule.verdict == Verdict::Fail { ", known" } else { "" };
            format!("{} {}{known} in {traces}: {}", rule.verdict, rule.id, self.ids(&ids))
        });
        self.lists("Rules that hold on every trace", told.collect(), out)
    }

    /// Writes where the list of known deviations does not hold.
    fn listed(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let results = report.scenarios.iter().filter(|result| !result.expected);
        let told = results.filter_map(|result| {
            let reason = result.reason.as_deref()?;
            Some(format!("{}: {reason}", result.id))
        });
        let told = told.chain(report.listed.stale.iter().cloned()).collect();
        self.lists("Not as the list of known deviations has it", told, out)
    }

    fn known_deviations(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let known = report.scenarios.iter().filter(|result| result.is_known_deviation());
        let told = known.map(|result| {
            let reason = result.reason.as_deref().unwrap_or_default();
            format!("{} {}: {reason}", result.verdict, result.id)
        });
        self.lists("Known deviations", told.collect(), out)
    }

    fn advisories(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let causes = causes(report).into_iter().filter(|it| it.verdict == Verdict::Advisory);
        let told = causes.map(|cause| {
            let (_, finding) = cause.witness;
            format!("{}; {}", in_a_line(finding), self.places(&cause))
        });
        self.lists("Advisories", told.collect(), out)
    }

    fn unsteady(&self, report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
        let unsteady = report.scenarios.iter().filter(|it| it.verdict == Verdict::Unsteady);
        let said = |result: &ScenarioResult| match result.findings.first() {
            Some(finding) => in_a_line(finding),
            None => result.verdict.name().to_owned(),
        };
        let told = unsteady.map(|result| {
            let again = result.again.as_deref().map(said);
            let again = again.map(|again| format!("; once more: {again}")).unwrap_or_default();
            format!("{}: {}{again}", result.id, said(result))
        });
        self.lists("Failed once, and not again in the same way", told.collect(), out)
    }

    fn lists(&self, heading: &str, told: Vec<String>, out: &mut Vec<u8>) -> io::Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        self.heading(heading, out)?;
        self.list(told, out)
    }

    /// Writes texts, each whole if `verbose`, else as many as there is room for, a line or two each.
    fn list(&self, told: Vec<String>, out: &mut Vec<u8>) -> io::Result<()> {
        let shown = match self.verbose || told.len() == LIST + 1 {
            true => told.len(),
            false => told.len().min(LIST),
        };
        for text in &told[..shown] {
            let text = visible(text);
            let text = if self.verbose { text } else { clip(&text, 2 * self.width - 20) };
            let lines = wrap(&text, self.width - 4);
            writeln!(out, "  {}", lines.join("\n    "))?;
        }
        if shown < told.len() {
            writeln!(out, "  and {} more: --verbose lists them", told.len() - shown)?;
        }
        writeln!(out)
    }
}

/// What is in the way, short enough that what to do still fits.
fn shortest(what: &str) -> String {
    clip(&visible(what), WIDTH - 20)
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn text_of(report: &Report, verbose: bool) -> String {
        let mut out = Vec::new();
        let terminal = Terminal { verbose, ..Terminal::plain() };
        terminal.write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn many_faults_are_told_in_few_lines_and_each_if_asked() {
        for faults in [1, 3, 10, 40, 400] {
            let report = fixture::faulty(faults);
            let brief = text_of(&report, false);
            assert!(brief.lines().count() <= LINES + 4, "{faults}: {}", brief.lines().count());
            assert_eq!(brief.contains("--verbose shows each"), faults > 20, "{brief}");
            let verbose = text_of(&report, true);
            let blocks = verbose.lines().filter(|line| line.starts_with("FAIL")).count();
            assert_eq!(blocks, faults);
            for result in &report.scenarios {
                assert!(verbose.contains(result.id), "{}", result.id);
            }
        }
    }

    #[test]
    fn one_fault_of_many_scenarios_is_told_once() {
        let mut report = fixture::faulty(200);
        for result in &mut report.scenarios {
            result.findings[0].requirement = Some("MQTT-3.1.0-2");
            result.findings[0].seen = "nothing".to_owned();
            result.findings[0].expected = "a close".to_owned();
        }
        let brief = text_of(&report, false);
        assert_eq!(brief.lines().filter(|line| line.starts_with("FAIL")).count(), 1, "{brief}");
        let words = brief.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("fails 200 scenarios: "), "{brief}");
        assert!(words.contains(" and 197 more trace"), "{brief}");
    }

    #[test]
    fn advisories_are_never_cut() {
        let mut report = fixture::report();
        let long = "very ".repeat(300) + "long";
        report.scenarios.iter_mut().find(|it| it.verdict == Verdict::Advisory).unwrap().findings
            [0]
        .observed = long.clone();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&text_of(&report, true)).contains(&long));
    }
}
