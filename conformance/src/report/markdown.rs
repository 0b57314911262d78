//! The report as Markdown: the summary of a build, or a comment on a change.

use std::io::{self, Write};

use super::text::{clip, counted, visible};
use super::{CauseResult, Report, causes};
use crate::requirement;
use crate::verdict::Verdict;

/// Build servers take no more than a page: of more causes, these are shown.
const MOST: usize = 40;

/// Longer values are cut.
const LONGEST: usize = 200;

/// Writes a report as Markdown.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    let totals = report.totals();
    writeln!(out, "## MQTT 5.0 conformance of {}\n", text(&report.target))?;
    for why in report.trouble.iter().chain(&report.notes).chain(&report.listed.stale) {
        writeln!(out, "> {}\n", text(why))?;
    }
    if report.interrupted {
        writeln!(out, "> It was interrupted before all that was selected had run.\n")?;
    }
    let counts = Verdict::ALL.into_iter().filter(|it| totals.of(*it) > 0);
    let counts: Vec<_> = counts.map(|it| format!("{} {}", totals.of(it), it.name())).collect();
    writeln!(
        out,
        "{}: {}. **{} unexpected**, {}.\n",
        counted(totals.scenarios, "scenario", "scenarios"),
        counts.join(", "),
        totals.unexpected,
        counted(totals.known_deviations, "known deviation", "known deviations"),
    )?;
    let causes = causes(report);
    let failures: Vec<_> = causes.iter().filter(|it| it.verdict == Verdict::Fail).collect();
    if failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "| | Requirement | Expected | Observed | Shown by |\n|---|---|---|---|---|")?;
    for cause in failures.iter().take(MOST) {
        writeln!(out, "{}", row(report, cause))?;
    }
    match failures.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "\nAnd {} more.", counted(more, "cause", "causes")),
    }
}

fn row(report: &Report, cause: &CauseResult<'_>) -> String {
    let (witness, finding) = cause.witness;
    let says = finding.requirement.and_then(requirement::find).map_or("", |found| found.text);
    let id = finding.requirement.unwrap_or_default();
    let mut shown = text(witness.id);
    match cause.shown_by.len() + cause.found_in.len() {
        0 | 1 => {}
        all => shown.push_str(&format!(" and {} more", all - 1)),
    }
    if !cause.blocks.is_empty() {
        shown.push_str(&format!("; blocks {}", cause.blocks.len()));
    }
    format!(
        "| {} | **{}** {} | {} | {} | {shown}<br>`{}` |",
        if cause.expected { "known" } else { "**new**" },
        text(id),
        text(says),
        text(&finding.expected),
        text(&finding.observed),
        visible(&report.rerun_command(witness.id)).replace(['`', '|'], " "),
    )
}

/// Text in which nothing means anything to Markdown.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::new();
    for c in clip(&visible(text), LONGEST).chars() {
        if c.is_ascii_punctuation() && !"/.,:;-='\"()%?!".contains(c) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, faulty, report};
    use super::*;

    fn written(report: &Report) -> String {
        fixture::written(|out| write(report, out))
    }

    #[test]
    fn snapshot() {
        insta::assert_snapshot!(written(&report()));
    }

    #[test]
    fn a_row_has_as_many_cells_as_the_table_whatever_a_target_says() {
        let page = written(&report());
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 4);
        for row in rows {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        }
        // What stands between backticks is shown as it is.
        let outside = page.split('`').step_by(2).collect::<String>();
        assert!(!outside.replace("<br>", "").replace("\\<", "").contains('<'), "{outside}");
    }

    #[test]
    fn of_many_causes_some_are_shown() {
        let report = faulty(60);
        let more = causes(&report).len() - MOST;
        let page = written(&report);
        assert_eq!(page.matches("**new**").count(), MOST);
        assert!(page.ends_with(&format!("And {more} causes more.\n")), "{page}");
    }
}
