//! The report as JUnit XML, for build servers: a test suite a section, a test case a scenario.
//!
//! JUnit knows no verdicts but its own. What was not expected is a failure, also a known deviation
//! that is gone; known deviations and scenarios that do not apply are skipped, as are those that are
//! blocked, by a cause that has a case of its own in the suite `causes`, and those that are unsteady;
//! inconclusive ones are errors; advisories pass and carry their text as output. Rules of oracles are
//! cases of the suite `oracles`. Properties of a case are the requirements that it proves, each followed by
//! its level.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::terminal::Terminal;
use super::text::{clip, visible};
use super::{CauseNames, CauseResult, Report, ScenarioResult, by_whom, causes, rules, title};
use crate::requirement;
use crate::verdict::{Finding, Verdict};

/// Build servers show a message in one line; the text below it has more.
const LONGEST_MESSAGE: usize = 300;

/// Writes a report as JUnit XML.
pub fn write(report: &Report, out: impl Write) -> io::Result<()> {
    let mut root = quick_junit::Report::new("mqttspec");
    root.set_time(report.duration);
    let interrupted =
        report.interrupted.then_some("interrupted before all that was selected had run");
    if let Some(why) = report.trouble.as_deref().or(interrupted) {
        root.add_test_suite(not_whole(why));
    }
    let causes = causes(report);
    let names = CauseNames::new(&causes);
    root.add_test_suite(causes_suite(report, &causes)?);
    root.add_test_suite(oracles_suite(report));
    if !report.listed.stale.is_empty() {
        root.add_test_suite(stale_suite(report));
    }
    for (section, results) in report.sections() {
        let mut suite = TestSuite::new(visible(format!("{section} {}", title(section)).trim()));
        suite.set_time(results.iter().map(|result| result.duration).sum());
        for result in results {
            suite.add_test_case(case(result, &report.rerun_command(result.id), &names)?);
        }
        root.add_test_suite(suite);
    }
    root.serialize(out).map_err(io::Error::other)
}

/// A case a cause of failures.
fn causes_suite(report: &Report, causes: &[CauseResult<'_>]) -> io::Result<TestSuite> {
    let mut suite = TestSuite::new("causes");
    for cause in causes.iter().filter(|cause| cause.verdict == Verdict::Fail) {
        let (_, finding) = cause.witness;
        let mut text = Vec::new();
        Terminal { verbose: true, ..Terminal::plain() }.cause(report, cause, false, &mut text)?;
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let message = match &finding.known {
            Some(known) if cause.expected => format!("known deviation: {known}"),
            _ => said(finding),
        };
        let mut status = match cause.expected {
            true => TestCaseStatus::skipped(),
            false => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        status.set_type("fail").set_message(clip(&visible(&message), LONGEST_MESSAGE));
        if !cause.expected {
            status.set_description(text);
        }
        suite.add_test_case(named(&cause.cause.id(), "causes", status));
    }
    Ok(suite)
}

/// A case a rule.
fn oracles_suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("oracles");
    for rule in rules(report) {
        let ids: Vec<_> = rule.broken_in.iter().map(|(result, _)| result.id).collect();
        let text = visible(&format!("broken in the traces of: {}", ids.join(", ")));
        let status = match (rule.verdict, rule.broken_in.first()) {
            (Verdict::Fail, Some((_, finding))) => {
                let (mut status, message) = match (&finding.known, rule.expected) {
                    (Some(known), true) => {
                        (TestCaseStatus::skipped(), format!("known deviation: {known}"))
                    }
                    _ => (TestCaseStatus::non_success(NonSuccessKind::Failure), said(finding)),
                };
                status.set_type("fail").set_message(clip(&visible(&message), LONGEST_MESSAGE));
                if !rule.expected {
                    status.set_description(text.clone());
                }
                status
            }
            _ => TestCaseStatus::success(),
        };
        let mut case = named(&rule.id, "oracles", status);
        if rule.verdict == Verdict::Advisory {
            case.set_system_out(text);
        }
        suite.add_test_case(case);
    }
    suite
}

/// A case an entry of the list of known deviations that nothing was seen of.
fn stale_suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("known deviations");
    for stale in &report.listed.stale {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("stale").set_message(clip(&visible(stale), LONGEST_MESSAGE));
        suite.add_test_case(named(stale, "known-deviations", status));
    }
    suite
}

fn named(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(visible(name), status);
    case.set_classname(visible(&format!("mqttspec.{class}")));
    case
}

/// That the run came to an early end is a test of its own, or a build server would see success.
fn not_whole(why: &str) -> TestSuite {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let message = clip(&visible(why), LONGEST_MESSAGE);
    status.set_type("trouble").set_message(message).set_description(visible(why));
    let mut case = TestCase::new("run", status);
    case.set_classname("mqttspec");
    let mut suite = TestSuite::new("the run as a whole");
    suite.add_test_case(case);
    suite
}

fn case(result: &ScenarioResult, rerun: &str, names: &CauseNames) -> io::Result<TestCase> {
    let text = text(result, rerun)?;
    let status = match (result.verdict, result.expected) {
        (Verdict::Inconclusive, _) => not_passed(NonSuccessKind::Error, result, &text, names),
        (Verdict::Pass | Verdict::Advisory, true) => TestCaseStatus::success(),
        (Verdict::Fail | Verdict::NotApplicable, true)
        | (Verdict::Blocked | Verdict::Unsteady, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(result.verdict.name()).set_message(message(result, names));
            status
        }
        (Verdict::Pass | Verdict::Fail | Verdict::Advisory | Verdict::NotApplicable, false) => {
            not_passed(NonSuccessKind::Failure, result, &text, names)
        }
    };
    let mut case = named(result.id, result.section, status);
    case.set_time(result.duration);
    for id in &result.requirements {
        let level = requirement::find(id).map_or("", |found| found.level);
        case.add_property(("requirement", visible(id).as_str())).add_property(("level", level));
    }
    if result.verdict == Verdict::Advisory && result.expected {
        case.set_system_out(text);
    }
    Ok(case)
}

fn not_passed(
    kind: NonSuccessKind,
    result: &ScenarioResult,
    text: &str,
    names: &CauseNames,
) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(result.verdict.name())
        .set_message(message(result, names))
        .set_description(text);
    status
}

fn message(result: &ScenarioResult, names: &CauseNames) -> String {
    let message = match (&result.reason, result.findings.first()) {
        (Some(reason), _) if result.is_known_deviation() => format!("known deviation: {reason}"),
        (_, Some(finding)) if result.verdict == Verdict::Blocked => {
            let cause = names.of(finding).unwrap_or_default();
            format!("by {cause}: {}", said(finding))
        }
        (Some(reason), _) => reason.clone(),
        (None, Some(finding)) => said(finding),
        (None, None) => result.verdict.name().to_owned(),
    };
    clip(&visible(&message), LONGEST_MESSAGE)
}

fn said(finding: &Finding) -> String {
    let Finding { expected, observed, .. } = finding;
    format!("expected {expected}, observed {observed}{}", by_whom(finding))
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
    use crate::oracle;
    use crate::report::fixture;

    fn written() -> String {
        fixture::written(|out| write(&fixture::report(), out))
    }

    #[test]
    fn snapshot() {
        // Rules come and go; those that hold have nothing to show here.
        let is_shown = |line: &&str| !line.trim_start().starts_with("<testcase name=\"oracle/");
        let count = |others| format!("tests=\"{}\"", others + oracle::rules().count());
        let xml = written().replace(&count(0), "tests=\"..\"").replace(&count(31), "tests=\"..\"");
        let lines: Vec<_> =
            xml.lines().filter(|line| is_shown(line) || !line.ends_with("/>")).collect();
        insta::assert_snapshot!(lines.join("\n"));
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
                    *counts.entry(name).or_insert(0_usize) += 1;
                }
                Event::GeneralRef(entity) => {
                    assert!(matches!(&*entity, b"lt" | b"gt" | b"amp" | b"quot" | b"apos"));
                }
                _ => {}
            }
        }
        let counts: Vec<_> = counts.iter().map(|(name, &count)| (name.as_str(), count)).collect();
        let expected = [
            ("error", 6_usize),
            ("failure", 12),
            ("properties", 23),
            ("property", 46),
            ("skipped", 11),
            ("system-out", 2),
            ("testcase", 32 + oracle::rules().count()),
            ("testsuite", 9),
            ("testsuites", 1),
        ];
        assert_eq!(counts, expected);
    }
}
