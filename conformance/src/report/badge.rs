//! The report as a badge: how many scenarios passed, for the page of a project.
//!
//! As JSON it is what an endpoint badge of shields.io is made from; as SVG it is whole. A badge never shows more than
//! was tested: a run that was ended early, or of a part of the suite, says so.

use std::io::{self, Write};

use maud::html;
use serde::Serialize;

use super::text::counted;
use super::{Report, rules};
use crate::scenario;
use crate::verdict::Verdict;

/// What is on its left half.
const LABEL: &str = "MQTT 5.0";

/// Ten letters of this size and font are about so many pixels wide.
const TEN_LETTERS: usize = 64;

/// Left and right of the text of a half.
const MARGIN: usize = 10;

/// What a badge says, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Badge {
    message: String,
    colour: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Good,
    Known,
    Bad,
    Unclear,
}

impl Colour {
    /// As shields.io calls it.
    fn name(self) -> &'static str {
        match self {
            Colour::Good => "brightgreen",
            Colour::Known => "yellow",
            Colour::Bad => "red",
            Colour::Unclear => "lightgrey",
        }
    }

    /// Dark enough for white letters.
    fn hex(self) -> &'static str {
        match self {
            Colour::Good => "#2b7a1f",
            Colour::Known => "#8a6100",
            Colour::Bad => "#b3261e",
            Colour::Unclear => "#5f6368",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    schema_version: u32,
    label: &'static str,
    message: &'a str,
    color: &'static str,
    is_error: bool,
}

/// Writes the JSON for an endpoint badge.
pub fn write_json(report: &Report, mut out: impl Write) -> io::Result<()> {
    let badge = badge(report);
    let endpoint = Endpoint {
        schema_version: 1,
        label: LABEL,
        message: &badge.message,
        color: badge.colour.name(),
        is_error: badge.colour == Colour::Bad,
    };
    serde_json::to_writer_pretty(&mut out, &endpoint)?;
    writeln!(out)
}

/// Writes an image.
pub fn write_svg(report: &Report, mut out: impl Write) -> io::Result<()> {
    let Badge { message, colour } = badge(report);
    let width = |text: &str| text.chars().count() * TEN_LETTERS / 10 + 2 * MARGIN;
    let (left, right) = (width(LABEL), width(&message));
    let said = format!("{LABEL}: {message}");
    let half = |from: usize, width: usize, text: &str| {
        html! {
            text x=(from + width / 2) y="14" textLength=(width - 2 * MARGIN) { (text) }
        }
    };
    let image = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(said) {
            title { (said) }
            rect rx="3" width=(left + right) height="20" fill=(colour.hex()) {}
            path fill="#3c4043" d=(format!("M3 0H{left}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3Z")) {}
            g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                (half(0, left, LABEL))
                (half(left, right, &message))
            }
        }
    };
    writeln!(out, "{}", image.into_string())
}

fn badge(report: &Report) -> Badge {
    let totals = report.totals();
    let all = totals.scenarios;
    let broken = rules(report).iter().filter(|rule| rule.verdict == Verdict::Fail).count();
    let faulty = if totals.unexpected == 0 { Colour::Known } else { Colour::Bad };
    let part = if all < scenario::all().len() { " of a selection" } else { "" };
    let (message, colour) = if report.trouble.is_some() {
        ("not tested".to_owned(), Colour::Unclear)
    } else if report.interrupted {
        ("test interrupted".to_owned(), Colour::Unclear)
    } else if totals.fail > 0 {
        let all = counted(all, "scenario", "scenarios");
        (format!("{} of {all} failed{part}", totals.fail), faulty)
    } else if broken > 0 {
        (format!("{} broken{part}", counted(broken, "rule", "rules")), faulty)
    } else {
        let passed = totals.pass + totals.advisory;
        let unclear = totals.inconclusive + totals.blocked + totals.unexpected;
        let colour = if unclear > 0 || passed == 0 { Colour::Unclear } else { Colour::Good };
        (format!("{} passed{part}", counted(passed, "scenario", "scenarios")), colour)
    };
    Badge { message, colour }
}

#[cfg(test)]
mod tests {
    use super::super::ScenarioResult;
    use super::super::fixture::{report, written};
    use super::*;

    /// The verdicts of a run of the whole suite, all passed but for these.
    fn whole(others: &[(Verdict, bool)]) -> Report {
        let any = &report().scenarios[0];
        let others = others.iter().map(|(verdict, expected)| (*verdict, *expected));
        let verdicts = others.chain(std::iter::repeat((Verdict::Pass, true)));
        let scenarios =
            verdicts.take(scenario::all().len()).map(|(verdict, expected)| ScenarioResult {
                verdict,
                expected,
                findings: Vec::new(),
                oracles: Vec::new(),
                ..any.clone()
            });
        Report { scenarios: scenarios.collect(), ..Report::default() }
    }

    #[test]
    fn it_says_what_was_tested_and_no_more() {
        let all = scenario::all().len();
        let said = |report: &Report| badge(report);
        let is = |message: String, colour| Badge { message, colour };
        assert_eq!(said(&whole(&[])), is(format!("{all} scenarios passed"), Colour::Good));
        let known = whole(&[(Verdict::Fail, true)]);
        assert_eq!(said(&known), is(format!("1 of {all} scenarios failed"), Colour::Known));
        let worse = whole(&[(Verdict::Fail, true), (Verdict::Fail, false)]);
        assert_eq!(said(&worse), is(format!("2 of {all} scenarios failed"), Colour::Bad));
        let unclear = whole(&[(Verdict::Inconclusive, true)]);
        assert_eq!(said(&unclear), is(format!("{} scenarios passed", all - 1), Colour::Unclear));
        let mut part = whole(&[]);
        part.scenarios.truncate(7);
        assert_eq!(said(&part), is("7 scenarios passed of a selection".to_owned(), Colour::Good));
        part.interrupted = true;
        assert_eq!(said(&part).colour, Colour::Unclear);
        let lost = Report { trouble: Some("gone".to_owned()), ..whole(&[]) };
        assert_eq!(said(&lost), is("not tested".to_owned(), Colour::Unclear));
    }

    #[test]
    fn an_endpoint_has_its_keys() {
        let json = written(|out| write_json(&report(), out));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["label"], "MQTT 5.0");
        assert_eq!(json["message"], "test interrupted");
        assert_eq!(json["color"], "lightgrey");
        assert_eq!(json["isError"], false);
    }

    #[test]
    fn an_image_is_xml() {
        let image = written(|out| write_svg(&whole(&[(Verdict::Fail, false)]), out));
        let mut reader = quick_xml::Reader::from_str(&image);
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                _ => continue,
            }
        }
        assert!(image.contains("scenarios failed</text>"), "{image}");
    }
}
