//! The report for a person at a terminal: what needs a look, then a table, then one line.
//!
//! As wide as the terminal, and 100 columns where there is none. Colour carries no meaning of its own: without it the
//! same words are there.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::ops::RangeInclusive;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use super::text::{clip, counted, visible, wrap};
use super::{Report, ScenarioResult, by_whom, trace_lines};
use crate::mutant;
use crate::trace::bytes_text;
use crate::verdict::{Finding, Verdict};

/// How wide a report is that goes to no terminal.
pub(super) const WIDTH: usize = 100;
/// Narrower terminals break lines themselves; wider ones would make values hard to read.
const WIDTHS: RangeInclusive<usize> = 60..=200;
/// Where values begin, behind their labels.
pub(super) const VALUE: usize = 15;
/// Longer values are cut; the JSON report has them whole.
const LONGEST_VALUE: usize = 1200;

/// The faults that a result looks like, each with what it breaks.
pub(super) fn looks_like(result: &ScenarioResult) -> String {
    let in_words = |id: &&str| match mutant::find(id) {
        Some(mutant) => format!("{id} ({})", mutant.breaks),
        None => (*id).to_owned(),
    };
    result.looks_like.iter().map(in_words).collect::<Vec<_>>().join("; ")
}

/// How much of a trace is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Up to so many lines it is shown whole.
    whole: usize,
    /// What is kept of a longer one, before and after its place.
    before: usize,
    after: usize,
}

/// So much that a reader can follow.
pub(super) const LONG: Part = Part { whole: 24, before: 12, after: 5 };
/// No more than the place itself and what led to it.
pub(super) const SHORT: Part = Part { whole: 4, before: 2, after: 0 };

pub(super) const LABEL: Style = Style::new().dimmed();
pub(super) const NAME: Style = Style::new().bold();

/// Whether colours belong on this stream: it is a terminal, and the environment (such as
/// `NO_COLOR`) does not say otherwise.
pub fn wants_colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// How many columns a report on this stream may have.
pub fn columns(stream: &impl IsTerminal) -> usize {
    // Of the first of the standard streams that is a terminal: there is one at most.
    let size = terminal_size::terminal_size().filter(|_| stream.is_terminal());
    let columns = size.map(|(columns, _)| usize::from(columns.0));
    columns.map_or(WIDTH, |columns| columns.clamp(*WIDTHS.start(), *WIDTHS.end()))
}

/// How to write for a terminal.
#[derive(Clone, Copy)]
pub struct Terminal<'a> {
    /// Whether to colour; see [`wants_colour`].
    pub colour: bool,
    /// Whether to show every cause with its whole trace, and to list advisories and known deviations.
    pub verbose: bool,
    /// Whether to show the bytes of each packet of a trace.
    pub bytes: bool,
    /// How many columns there are; see [`columns`].
    pub width: usize,
    /// The text of a requirement, by its id.
    pub requirement_text: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl<'a> Terminal<'a> {
    /// Plain, brief, and without the text of requirements.
    pub fn plain() -> Terminal<'a> {
        let requirement_text = &|_: &str| None;
        Terminal { colour: false, verbose: false, bytes: false, width: WIDTH, requirement_text }
    }

    /// Writes everything: findings, the table by section, the summary.
    pub fn write(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        self.findings(report, out)?;
        self.sections(report, out)?;
        self.summary(report, out)
    }

    /// Writes all there is to say about one result; `rerun` is the command that repeats it.
    pub fn block(
        &self,
        result: &ScenarioResult,
        rerun: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let verdict = self.paint(style(result.verdict, result.expected).bold(), headline(result));
        writeln!(out, "{verdict}  {}", self.paint(NAME, visible(result.id)))?;
        self.value("shows", result.shows, out)?;
        if let Some(reason) = &result.reason {
            self.value("reason", reason, out)?;
        }
        let mut findings = result.findings.iter();
        match findings.next() {
            Some(finding) => {
                self.requirement(finding, out)?;
                self.value("expected", &finding.expected, out)?;
                self.value("observed", &finding.observed, out)?;
                for also in findings {
                    self.value("also", &in_a_line(also), out)?;
                }
                self.value("looks like", &looks_like(result), out)?;
                self.trace(result, finding.event, LONG, out)?;
            }
            None => self.value("requirement", &result.requirements.join(", "), out)?,
        }
        self.label("rerun", out)?;
        writeln!(out, "{}", visible(rerun))
    }

    pub(super) fn paint(&self, style: Style, text: impl Display) -> String {
        let style = if self.colour { style } else { Style::new() };
        format!("{style}{text}{style:#}")
    }

    pub(super) fn heading(&self, text: &str, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.paint(NAME, text))
    }

    pub(super) fn label(&self, name: &str, out: &mut impl Write) -> io::Result<()> {
        let width = VALUE - 2;
        write!(out, "  {}", self.paint(LABEL, format_args!("{name:width$}")))
    }

    pub(super) fn value(&self, name: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        self.label(name, out)?;
        let lines = wrap(&shortened(value), self.width - VALUE);
        writeln!(out, "{}", lines.join(&format!("\n{:VALUE$}", "")))
    }

    pub(super) fn requirement(&self, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
        let Some(id) = finding.requirement else { return Ok(()) };
        self.label("requirement", out)?;
        writeln!(out, "{}{}", visible(id), visible(&by_whom(finding)))?;
        if let Some(text) = (self.requirement_text)(id) {
            for line in wrap(&shortened(text), self.width - VALUE) {
                writeln!(out, "{:VALUE$}{}", "", self.paint(LABEL, line))?;
            }
        }
        Ok(())
    }

    /// Writes a trace: whole if `verbose`, else what is around the place.
    pub(super) fn trace(
        &self,
        result: &ScenarioResult,
        place: Option<usize>,
        part: Part,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let lines = trace_lines(&result.trace);
        if lines.is_empty() {
            return Ok(());
        }
        self.label("trace", out)?;
        writeln!(out, "of {}", visible(result.id))?;
        let (start, end) =
            if self.verbose { (0, lines.len()) } else { part.of(lines.len(), place) };
        self.left_out(start, out)?;
        for (i, line) in lines.iter().enumerate().take(end).skip(start) {
            let line = visible(line);
            let line = if self.verbose { line } else { clip(&line, self.width - 4) };
            if place == Some(i) {
                writeln!(out, "  {} {}", self.paint(NAME, '>'), self.paint(NAME, line))?;
            } else {
                writeln!(out, "    {line}")?;
            }
            self.bytes_of(result, i, out)?;
        }
        self.left_out(lines.len() - end, out)
    }

    fn bytes_of(
        &self,
        result: &ScenarioResult,
        place: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        const INDENT: usize = 13;
        let event = result.trace.get(place).filter(|_| self.bytes);
        let text = event.and_then(|event| bytes_text(event, result.bytes.get(&place)));
        for line in text.iter().flat_map(|text| wrap(text, self.width - INDENT)) {
            writeln!(out, "{:INDENT$}{}", "", self.paint(LABEL, line))?;
        }
        Ok(())
    }

    fn left_out(&self, count: usize, out: &mut impl Write) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let note = format!("... {}", counted(count, "line", "lines"));
        writeln!(out, "    {}", self.paint(LABEL, note))
    }
}

/// The colour of a verdict; what was not expected is as red as a failure.
pub(super) fn style(verdict: Verdict, expected: bool) -> Style {
    let colour = match verdict {
        _ if !expected => AnsiColor::Red,
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail => AnsiColor::Red,
        Verdict::Advisory => AnsiColor::Cyan,
        Verdict::Blocked => AnsiColor::Magenta,
        Verdict::Inconclusive | Verdict::Unsteady => AnsiColor::Yellow,
        Verdict::NotApplicable => return Style::new(),
    };
    Style::new().fg_color(Some(colour.into()))
}

fn headline(result: &ScenarioResult) -> String {
    let name = result.verdict.name().to_uppercase();
    match result.verdict {
        Verdict::Fail | Verdict::Inconclusive => name,
        _ if result.expected => name,
        _ => format!("UNEXPECTED {name}"),
    }
}

pub(super) fn shortened(value: &str) -> String {
    let mut chars = value.chars();
    let mut shown: String = chars.by_ref().take(LONGEST_VALUE).collect();
    shown = visible(&shown);
    match chars.count() {
        0 => shown,
        more => format!("{shown} ... {}", counted(more, "character more", "characters more")),
    }
}

pub(super) fn in_a_line(finding: &Finding) -> String {
    let id = finding.requirement.map(|id| format!("{id}: ")).unwrap_or_default();
    let Finding { expected, observed, .. } = finding;
    visible(&format!("{id}expected {expected}, observed {observed}{}", by_whom(finding)))
}

impl Part {
    /// Which lines to show of a trace of `length`: around the place, or its end.
    fn of(self, length: usize, place: Option<usize>) -> (usize, usize) {
        if length <= self.whole {
            return (0, length);
        }
        let place = place.unwrap_or(length).min(length - 1);
        let start = place.saturating_sub(self.before);
        let end = (place + self.after + 1).min(length);
        // Saying "... 1 line" takes as much room as the line.
        (if start == 1 { 0 } else { start }, if end + 1 == length { length } else { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn text_of(id: &str) -> Option<&'static str> {
        (id == "MQTT-3.1.0-2").then_some(
            "A second CONNECT on one connection is a Protocol Error, and the server closes the \
             connection it came on.",
        )
    }

    fn shown(terminal: Terminal<'_>) -> String {
        let mut out = Vec::new();
        terminal.write(&fixture::report(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn brief() {
        let terminal = Terminal { requirement_text: &text_of, ..Terminal::plain() };
        insta::assert_snapshot!(shown(terminal));
    }

    #[test]
    fn verbose() {
        insta::assert_snapshot!(shown(Terminal { verbose: true, ..Terminal::plain() }));
    }

    #[test]
    fn bytes_are_shown_if_asked_as_they_came() {
        let mut result = fixture::report().scenarios.remove(1);
        result.bytes.insert(3, bytes::Bytes::from_static(&[0xD0, 0x80, 0x00]));
        let shown = |bytes| {
            let mut out = Vec::new();
            let terminal = Terminal { bytes, ..Terminal::plain() };
            terminal.trace(&result, Some(3), LONG, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let with_bytes =
            "\n             c0 00\n  >    0.002  alice <- PINGRESP\n             d0 80 00\n";
        assert!(shown(true).contains(with_bytes), "{}", shown(true));
        assert!(!shown(false).contains("c0 00"));
    }

    #[test]
    fn coloured() {
        let text =
            shown(Terminal { colour: true, requirement_text: &text_of, ..Terminal::plain() });
        insta::assert_snapshot!(text.replace('\u{1b}', "ESC"));
    }

    #[test]
    fn colour_changes_no_word() {
        let coloured = shown(Terminal { colour: true, ..Terminal::plain() });
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, shown(Terminal::plain()));
    }

    #[test]
    fn without_colour_nothing_steers_the_terminal() {
        let text = shown(Terminal { verbose: true, ..Terminal::plain() });
        let steers =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{fffe}');
        assert_eq!(text.chars().find(|&c| steers(c)), None);
    }

    #[test]
    fn brief_output_fits() {
        for width in [*WIDTHS.start(), 80, WIDTH, *WIDTHS.end()] {
            let text = shown(Terminal { width, requirement_text: &text_of, ..Terminal::plain() });
            // Ids and commands stay whole, to be copied.
            let breakable = |line: &&str| line.starts_with(' ') && !line.starts_with("  rerun");
            for line in text.lines().filter(breakable) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_stream_that_is_no_terminal_gets_no_colour() {
        let buffer: Vec<u8> = Vec::new();
        assert!(!wants_colour(&buffer));
    }

    #[test]
    fn a_long_trace_is_cut_around_its_place() {
        assert_eq!(LONG.of(24, Some(3)), (0, 24));
        assert_eq!(LONG.of(100, Some(50)), (38, 56));
        assert_eq!(LONG.of(100, Some(13)), (0, 19), "no `... 1 line`");
        assert_eq!(LONG.of(100, Some(93)), (81, 100), "no `... 1 line`");
        assert_eq!(LONG.of(100, None), (87, 100));
        assert_eq!(LONG.of(100, Some(1000)), (87, 100));
    }

    #[test]
    fn a_huge_value_is_cut_and_says_so() {
        let value = shortened(&"x".repeat(1_000_000));
        assert!(value.ends_with("x ... 998800 characters more"));
    }
}
