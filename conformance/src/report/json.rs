//! The report as JSON: for programs, and the source of every page made from it.
//!
//! Keys keep their order from run to run; `totals` has the names of verdicts among its keys.
//! `trace_line` is an index into the `trace` of the same scenario's `finding`, counted from 0.
//! `schema` is raised when a key changes its meaning or goes away, not when one is added.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Report, ScenarioResult, Totals, trace_lines};
use crate::runner::Changed;
use crate::verdict::Finding;

/// The version of the form that is written.
pub const SCHEMA: u32 = 1;

/// Writes a report as JSON, ended by a newline.
pub fn write(report: &Report, out: impl Write) -> io::Result<()> {
    write_form(&ReportForm::from(report), out)
}

/// Writes the report of the last of several runs, with what changed among them.
pub fn write_repeat(
    report: &Report,
    runs: usize,
    changed: &[Changed],
    out: impl Write,
) -> io::Result<()> {
    let changed = changed.iter().map(ChangedForm::from).collect();
    write_form(&ReportForm { repeat: Some(RepeatForm { runs, changed }), ..report.into() }, out)
}

fn write_form(form: &ReportForm, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, form)?;
    writeln!(out)
}

#[derive(Serialize)]
struct ReportForm<'a> {
    schema: u32,
    tool: ToolForm,
    target: TargetForm<'a>,
    totals: TotalsForm,
    interrupted: bool,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<RepeatForm>,
    scenarios: Vec<ScenarioForm<'a>>,
}

#[derive(Serialize)]
struct RepeatForm {
    runs: usize,
    changed: Vec<ChangedForm>,
}

/// A scenario whose verdict changed: how often it came to each.
#[derive(Serialize)]
struct ChangedForm {
    id: &'static str,
    verdicts: BTreeMap<&'static str, usize>,
    unsteady: bool,
}

#[derive(Serialize)]
struct ToolForm {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct TargetForm<'a> {
    url: &'a str,
    #[serde(serialize_with = "as_map")]
    capabilities: &'a [(String, String)],
}

#[derive(Serialize)]
struct TotalsForm {
    scenarios: usize,
    pass: usize,
    fail: usize,
    advisory: usize,
    #[serde(rename = "not-applicable")]
    not_applicable: usize,
    inconclusive: usize,
    unexpected: usize,
    known_deviations: usize,
}

#[derive(Serialize)]
struct ScenarioForm<'a> {
    id: &'a str,
    section: &'a str,
    shows: &'a str,
    requirements: &'a [&'a str],
    verdict: &'static str,
    expected: bool,
    reason: Option<&'a str>,
    duration_ms: u64,
    finding: Option<FindingForm<'a>>,
    advisories: Vec<FindingForm<'a>>,
}

/// The first finding carries the trace; the others refer to it.
#[derive(Serialize)]
struct FindingForm<'a> {
    requirement: Option<&'a str>,
    oracle: Option<&'a str>,
    expected: &'a str,
    observed: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<String>>,
    trace_line: Option<usize>,
}

impl<'a> From<&'a Report> for ReportForm<'a> {
    fn from(report: &'a Report) -> Self {
        ReportForm {
            schema: SCHEMA,
            tool: ToolForm { name: "mqttspec", version: env!("CARGO_PKG_VERSION") },
            target: TargetForm { url: &report.target, capabilities: &report.capabilities },
            totals: report.totals().into(),
            interrupted: report.interrupted,
            duration_ms: milliseconds(report.duration),
            repeat: None,
            scenarios: report.scenarios.iter().map(ScenarioForm::from).collect(),
        }
    }
}

impl From<&Changed> for ChangedForm {
    fn from(changed: &Changed) -> Self {
        let verdicts = changed.verdicts.iter().map(|(verdict, count)| (verdict.name(), *count));
        ChangedForm { id: changed.id, verdicts: verdicts.collect(), unsteady: changed.unsteady }
    }
}

impl From<Totals> for TotalsForm {
    fn from(totals: Totals) -> Self {
        TotalsForm {
            scenarios: totals.scenarios,
            pass: totals.pass,
            fail: totals.fail,
            advisory: totals.advisory,
            not_applicable: totals.not_applicable,
            inconclusive: totals.inconclusive,
            unexpected: totals.unexpected,
            known_deviations: totals.known_deviations,
        }
    }
}

impl<'a> From<&'a ScenarioResult> for ScenarioForm<'a> {
    fn from(result: &'a ScenarioResult) -> Self {
        let length = result.trace.len();
        let mut findings = result.findings.iter().map(|found| FindingForm::new(found, length));
        let finding = findings
            .next()
            .map(|finding| FindingForm { trace: Some(trace_lines(&result.trace)), ..finding });
        ScenarioForm {
            id: result.id,
            section: result.section,
            shows: result.shows,
            requirements: &result.requirements,
            verdict: result.verdict.name(),
            expected: result.expected,
            reason: result.reason.as_deref(),
            duration_ms: milliseconds(result.duration),
            finding,
            advisories: findings.collect(),
        }
    }
}

impl<'a> FindingForm<'a> {
    fn new(finding: &'a Finding, trace_length: usize) -> Self {
        FindingForm {
            requirement: finding.requirement,
            oracle: finding.oracle,
            expected: &finding.expected,
            observed: &finding.observed,
            trace: None,
            trace_line: finding.event.filter(|&event| event < trace_length),
        }
    }
}

fn as_map<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::fixture::{self, HOSTILE};

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn snapshot() {
        insta::assert_snapshot!(written(&fixture::report()));
    }

    #[test]
    fn what_was_written_reads_back() {
        let report = fixture::report();
        let json: Value = serde_json::from_str(&written(&report)).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["target"]["capabilities"]["assigned_client_identifier"], HOSTILE);
        let scenarios = json["scenarios"].as_array().unwrap();
        assert_eq!(scenarios.len(), report.scenarios.len());
        for (scenario, result) in scenarios.iter().zip(&report.scenarios) {
            assert_eq!(scenario["id"], result.id);
            assert_eq!(scenario["verdict"], result.verdict.name());
            assert_eq!(scenario["finding"].is_null(), result.findings.is_empty());
        }
        let named: u64 = crate::verdict::Verdict::ALL
            .map(|verdict| json["totals"][verdict.name()].as_u64().unwrap())
            .iter()
            .sum();
        assert_eq!(json["totals"]["scenarios"], named);
    }

    #[test]
    fn a_place_outside_the_trace_is_no_place() {
        let mut report = fixture::report();
        report.scenarios[1].findings[0].event = Some(99);
        let json: Value = serde_json::from_str(&written(&report)).unwrap();
        assert!(json["scenarios"][1]["finding"]["trace_line"].is_null());
    }
}
