//! A failure as the text of an issue, for those who make the broker.

use std::fmt::Write as _;

use crate::report::{markdown_text, standard_link};
use crate::requirement;
use crate::trace::to_text;

use super::Failure;

/// So many lines of a trace are shown.
const LONGEST_TRACE: usize = 60;

/// So many characters of a line of it.
const LONGEST_LINE: usize = 160;

/// A title has no more characters.
const LONGEST_TITLE: usize = 110;

/// What is longer is no part of an issue, but is attached to it: forges take no longer texts.
const LONGEST_PROGRAM: usize = 50_000;

/// Appends to a text, which cannot fail.
macro_rules! add {
    ($text:expr, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

impl Failure<'_> {
    /// The text of an issue, in Markdown, with the program that shows the failure, where there is one.
    pub fn issue(&self) -> String {
        let (_, finding) = self.witness();
        let id = self.cause.cause.requirement;
        let mut text = String::new();
        add!(text, "# {}\n", self.title());
        if let Some(row) = requirement::find(id) {
            let section =
                format!("[MQTT 5.0, section {}]({})", row.section, standard_link(row.section));
            add!(text, "{section} ({}, {}): {}\n", row.id, row.level, markdown_text(row.text));
        }
        add!(text, "**Expected:** {}\n", markdown_text(&finding.expected));
        add!(text, "**Observed:** {}\n", markdown_text(&finding.observed));
        self.add_trace(&mut text);
        self.add_program(&mut text);
        self.add_versions(&mut text);
        text
    }

    fn title(&self) -> String {
        let (_, finding) = self.witness();
        let id = self.cause.cause.requirement;
        let whole = format!("{id}: expected {}, observed {}", finding.expected, finding.observed);
        clipped(&markdown_text(&whole), LONGEST_TITLE)
    }

    /// What happened; `>` marks what shows the failure.
    fn add_trace(&self, text: &mut String) {
        let (result, finding) = self.witness();
        let lines = to_text(&result.trace);
        let lines: Vec<_> = lines.lines().collect();
        let place = finding.event.unwrap_or(lines.len().saturating_sub(1));
        // More of what comes before it.
        let end = (place + LONGEST_TRACE / 4).min(lines.len());
        let start = end.saturating_sub(LONGEST_TRACE);
        add!(
            text,
            "## Trace\n\nOf the scenario `{}` ({}).",
            result.id,
            markdown_text(result.shows)
        );
        add!(
            text,
            "`->` is what a client sent, `<-` what the broker sent, `>` marks what shows it; times in seconds.\n"
        );
        let mut block = String::new();
        if start > 0 {
            add!(block, "  ... {start} lines before");
        }
        for (at, line) in lines.iter().enumerate().take(end).skip(start) {
            let mark = if finding.event == Some(at) { '>' } else { ' ' };
            add!(block, "{mark} {}", clipped(line, LONGEST_LINE));
        }
        if end < lines.len() {
            add!(block, "  ... {} lines after", lines.len() - end);
        }
        add_block(text, "text", &block);
    }

    fn add_program(&self, text: &mut String) {
        let (result, _) = self.witness();
        let rerun = self.report.rerun_command(result.id).replace('`', "'");
        add!(text, "## How to reproduce\n");
        match self.program() {
            Ok(program) => {
                let file = format!("{}.py", self.file_name());
                add!(
                    text,
                    "`python3 {file} HOST PORT` needs nothing but Python, and takes {:.0} s or less. Its exit code is 1 if \
                     the fault is there, 0 if it is not, and 2 if that cannot be told.\n",
                    program.takes.as_secs_f64().ceil() + 1.0
                );
                if program.text.len() > LONGEST_PROGRAM {
                    add!(text, "The program is attached.\n");
                } else {
                    add!(text, "<details><summary>{file}</summary>\n");
                    add_block(text, "python", &program.text);
                    add!(text, "</details>\n");
                }
                add!(text, "With mqttspec: `{rerun}`\n");
            }
            Err(why) => {
                add!(
                    text,
                    "`{rerun}` shows it. There is no program without mqttspec for it: {}.\n",
                    markdown_text(&why)
                );
            }
        }
    }

    fn add_versions(&self, text: &mut String) {
        add!(text, "## Versions\n");
        add!(text, "- the broker: (its version and configuration)");
        if !self.report.capabilities.is_empty() {
            let all = self.report.capabilities.iter();
            let all: Vec<_> = all.map(|(name, value)| format!("{name}: {value}")).collect();
            add!(text, "- it announces: {}", markdown_text(&all.join(", ")));
        }
        add!(text, "- mqttspec {}", env!("CARGO_PKG_VERSION"));
        let (result, _) = self.witness();
        let others: Vec<_> = self.cause.shown_by.iter().filter(|id| **id != result.id).collect();
        if !others.is_empty() {
            let ids: Vec<_> =
                others.iter().take(LONGEST_TRACE).map(|id| format!("`{id}`")).collect();
            add!(text, "- shown by these scenarios too: {}", ids.join(", "));
        }
    }
}

/// A block of code that nothing in it can end.
fn add_block(text: &mut String, language: &str, block: &str) {
    let longest = block.split(|it| it != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(3.max(longest + 1));
    add!(text, "{fence}{language}\n{}\n{fence}\n", block.trim_end());
}

fn clipped(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
