//! The report as JUnit XML, for build servers: a test suite a section, a test case a scenario.
//!
//! JUnit knows no verdicts but its own. What was not expected is a failure, also a known deviation
//! that is gone; known deviations and scenarios that do not apply are skipped; inconclusive ones
//! are errors; advisories pass and carry their text as output.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::terminal::Terminal;
use super::text::{clip, visible};
use super::{Report, ScenarioResult, by_oracle, title};
use crate::verdict::{Finding, Verdict};

/// Build servers show a message in one line; the text below it has more.
const LONGEST_MESSAGE: usize = 300;

/// Writes a report as JUnit XML.
pub fn write(report: &Report, out: impl Write) -> io::Result<()> {
    let mut root = quick_junit::Report::new("mqttspec");
    root.set_time(report.duration);
    for (section, results) in report.sections() {
        let mut suite = TestSuite::new(visible(format!("{section} {}", title(section)).trim()));
        suite.set_time(results.iter().map(|result| result.duration).sum());
        for result in results {
            suite.add_test_case(case(result, &report.rerun_command(result.id))?);
        }
        root.add_test_suite(suite);
    }
    root.serialize(out).map_err(io::Error::other)
}

fn case(result: &ScenarioResult, rerun: &str) -> io::Result<TestCase> {
    let text = text(result, rerun)?;
    let status = match (result.verdict, result.expected) {
        (Verdict::Inconclusive | Verdict::Unsteady, _) => {
            not_passed(NonSuccessKind::Error, result, &text)
        }
        (_, false) => not_passed(NonSuccessKind::Failure, result, &text),
        (Verdict::Pass | Verdict::Advisory, true) => TestCaseStatus::success(),
        (Verdict::Fail | Verdict::Blocked | Verdict::NotApplicable, true) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(result.verdict.name()).set_message(message(result));
            status
        }
    };
    let mut case = TestCase::new(visible(result.id), status);
    case.set_classname(visible(&format!("mqttspec.{}", result.section)));
    case.set_time(result.duration);
    if result.verdict == Verdict::Advisory && result.expected {
        case.set_system_out(text);
    }
    Ok(case)
}

fn not_passed(kind: NonSuccessKind, result: &ScenarioResult, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(result.verdict.name()).set_message(message(result)).set_description(text);
    status
}

fn message(result: &ScenarioResult) -> String {
    let message = match (&result.reason, result.findings.first()) {
        (Some(reason), _) if result.is_known_deviation() => format!("known deviation: {reason}"),
        (Some(reason), _) => reason.clone(),
        (None, Some(finding)) => {
            let Finding { expected, observed, .. } = finding;
            format!("expected {expected}, observed {observed}{}", by_oracle(finding))
        }
        (None, None) => result.verdict.name().to_owned(),
    };
    clip(&visible(&message), LONGEST_MESSAGE)
}

/// What the terminal shows of a result, its trace whole.
fn text(result: &ScenarioResult, rerun: &str) -> io::Result<String> {
    let mut text = Vec::new();
    Terminal { verbose: true, ..Terminal::plain() }.block(result, rerun, &mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;
    use crate::report::fixture;

    fn written() -> String {
        let mut out = Vec::new();
        write(&fixture::report(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn snapshot() {
        insta::assert_snapshot!(written());
    }

    #[test]
    fn it_is_well_formed_and_has_only_characters_of_xml() {
        let xml = written();
        let allowed = |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert_eq!(xml.chars().find(|&c| !allowed(c)), None);
        let mut reader = Reader::from_str(&xml);
        let mut counts = BTreeMap::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(tag) | Event::Empty(tag) => {
                    for attribute in tag.attributes() {
                        attribute.unwrap();
                    }
                    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                    *counts.entry(name).or_insert(0) += 1;
                }
                Event::GeneralRef(entity) => {
                    assert!(matches!(&*entity, b"lt" | b"gt" | b"amp" | b"quot" | b"apos"));
                }
                _ => {}
            }
        }
        let counts: Vec<_> = counts.iter().map(|(name, &count)| (name.as_str(), count)).collect();
        let expected = [
            ("error", 1),
            ("failure", 4),
            ("skipped", 3),
            ("system-out", 2),
            ("testcase", 12),
            ("testsuite", 4),
            ("testsuites", 1),
        ];
        assert_eq!(counts, expected);
    }
}
