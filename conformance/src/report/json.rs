//! The report as JSON: for programs, and the source of every page made from it.
//!
//! `conformance/report-schema.md` says what each key means. Keys keep their order from run to run.
//! `schema` is raised when a key changes its meaning or goes away, not when one is added.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{
    CauseNames, CauseResult, Obstacle, Report, RuleResult, ScenarioResult, Totals, causes,
    obstacles, rules, trace_lines,
};
use crate::runner::Changed;
use crate::verdict::{Cause, Finding, Verdict};

/// The version of the form that is written.
pub const SCHEMA: u32 = 2;

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
    trouble: Option<&'a str>,
    notes: &'a [String],
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<RepeatForm>,
    inconclusive: Vec<ObstacleForm<'a>>,
    causes: Vec<CauseForm<'a>>,
    oracles: Vec<RuleForm<'a>>,
    deviations: ListedForm<'a>,
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
    blocked: usize,
    #[serde(rename = "not-applicable")]
    not_applicable: usize,
    inconclusive: usize,
    unsteady: usize,
    unexpected: usize,
    known_deviations: usize,
}

#[derive(Serialize)]
struct ObstacleForm<'a> {
    what: String,
    advice: Option<&'a str>,
    scenarios: Vec<&'a str>,
}

#[derive(Serialize)]
struct CauseForm<'a> {
    id: String,
    also: Vec<String>,
    requirement: &'a str,
    step: &'a str,
    verdict: &'static str,
    expected: bool,
    seen: String,
    witness: WitnessForm<'a>,
    fails: Vec<&'a str>,
    advises: Vec<&'a str>,
    blocks: Vec<&'a str>,
    found_in: Vec<&'a str>,
    known: Vec<&'a str>,
}

/// The finding that shows a cause best, and the scenario in whose trace it is.
#[derive(Serialize)]
struct WitnessForm<'a> {
    scenario: &'a str,
    expected: &'a str,
    observed: &'a str,
    trace_line: Option<usize>,
}

#[derive(Serialize)]
struct RuleForm<'a> {
    id: String,
    requirement: &'a str,
    verdict: &'static str,
    expected: bool,
    scenarios: Vec<&'a str>,
}

#[derive(Serialize)]
struct ListedForm<'a> {
    stale: &'a [String],
    unfilled: usize,
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
    blocked_by: Option<String>,
    duration_ms: u64,
    finding: Option<FindingForm<'a>>,
    findings: Vec<FindingForm<'a>>,
    oracle_findings: Vec<FindingForm<'a>>,
    looks_like: &'a [&'a str],
    trace: Vec<String>,
    /// What came of it when it was run once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<Box<ScenarioForm<'a>>>,
}

#[derive(Serialize)]
struct FindingForm<'a> {
    cause: Option<String>,
    requirement: Option<&'a str>,
    oracle: Option<&'a str>,
    step: &'a str,
    verdict: Option<&'static str>,
    expected: &'a str,
    observed: &'a str,
    seen: String,
    known: Option<String>,
    trace_line: Option<usize>,
}

impl<'a> From<&'a Report> for ReportForm<'a> {
    fn from(report: &'a Report) -> Self {
        let causes = causes(report);
        let names = CauseNames::new(&causes);
        ReportForm {
            schema: SCHEMA,
            tool: ToolForm { name: "mqttspec", version: env!("CARGO_PKG_VERSION") },
            target: TargetForm { url: &report.target, capabilities: &report.capabilities },
            totals: report.totals().into(),
            interrupted: report.interrupted,
            trouble: report.trouble.as_deref(),
            notes: &report.notes,
            duration_ms: milliseconds(report.duration),
            repeat: None,
            inconclusive: obstacles(report).into_iter().map(ObstacleForm::from).collect(),
            causes: causes.into_iter().map(CauseForm::from).collect(),
            oracles: rules(report).into_iter().map(RuleForm::from).collect(),
            deviations: ListedForm {
                stale: &report.listed.stale,
                unfilled: report.listed.unfilled,
            },
            scenarios: report.scenarios.iter().map(|it| ScenarioForm::new(it, &names)).collect(),
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
            blocked: totals.blocked,
            not_applicable: totals.not_applicable,
            inconclusive: totals.inconclusive,
            unsteady: totals.unsteady,
            unexpected: totals.unexpected,
            known_deviations: totals.known_deviations,
        }
    }
}

impl<'a> From<Obstacle<'a>> for ObstacleForm<'a> {
    fn from(Obstacle { what, advice, scenarios, .. }: Obstacle<'a>) -> Self {
        ObstacleForm { what, advice, scenarios }
    }
}

impl<'a> From<CauseResult<'a>> for CauseForm<'a> {
    fn from(cause: CauseResult<'a>) -> Self {
        let (result, finding) = cause.witness;
        let (fails, advises) = match cause.verdict {
            Verdict::Fail => (cause.shown_by, Vec::new()),
            _ => (Vec::new(), cause.shown_by),
        };
        CauseForm {
            id: cause.cause.id(),
            also: cause.also.iter().map(Cause::id).collect(),
            requirement: cause.cause.requirement,
            step: cause.cause.step,
            verdict: cause.verdict.name(),
            expected: cause.expected,
            seen: finding.looks(),
            witness: WitnessForm {
                scenario: result.id,
                expected: &finding.expected,
                observed: &finding.observed,
                trace_line: place(finding, result),
            },
            fails,
            advises,
            blocks: cause.blocks,
            found_in: cause.found_in,
            known: cause.known,
        }
    }
}

impl<'a> From<RuleResult<'a>> for RuleForm<'a> {
    fn from(rule: RuleResult<'a>) -> Self {
        RuleForm {
            id: rule.id,
            requirement: rule.requirement,
            verdict: rule.verdict.name(),
            expected: rule.expected,
            scenarios: rule.broken_in.iter().map(|(result, _)| result.id).collect(),
        }
    }
}

impl<'a> ScenarioForm<'a> {
    fn new(result: &'a ScenarioResult, names: &CauseNames) -> Self {
        let form = |finding: &'a Finding| FindingForm::new(finding, result, names);
        let forms = |findings: &'a [Finding]| -> Vec<_> { findings.iter().map(form).collect() };
        let has_findings = !(result.findings.is_empty() && result.oracles.is_empty());
        ScenarioForm {
            id: result.id,
            section: result.section,
            shows: result.shows,
            requirements: &result.requirements,
            verdict: result.verdict.name(),
            expected: result.expected,
            reason: result.reason.as_deref(),
            blocked_by: result.blocked_by().and_then(|finding| names.of(finding)),
            duration_ms: milliseconds(result.duration),
            finding: result.findings.first().map(form),
            findings: forms(&result.findings),
            oracle_findings: forms(&result.oracles),
            looks_like: &result.looks_like,
            // Of those that show nothing it would only fill the report.
            trace: if has_findings { trace_lines(&result.trace) } else { Vec::new() },
            again: result.again.as_deref().map(|it| Box::new(ScenarioForm::new(it, names))),
        }
    }
}

impl<'a> FindingForm<'a> {
    fn new(finding: &'a Finding, result: &ScenarioResult, names: &CauseNames) -> Self {
        let verdict = match result.fails_by(finding) {
            true => Verdict::Fail,
            false => Verdict::Advisory,
        };
        FindingForm {
            cause: names.of(finding),
            requirement: finding.requirement,
            oracle: finding.oracle,
            step: finding.step,
            verdict: finding.requirement.map(|_| verdict.name()),
            expected: &finding.expected,
            observed: &finding.observed,
            seen: finding.looks(),
            known: finding.known.as_ref().map(ToString::to_string),
            trace_line: place(finding, result),
        }
    }
}

/// The line of a result's trace that shows a finding.
fn place(finding: &Finding, result: &ScenarioResult) -> Option<usize> {
    finding.event.filter(|&event| event < result.trace.len())
}

fn as_map<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::report::fixture::{self, HOSTILE};

    fn written(report: &Report) -> String {
        fixture::written(|out| write(report, out))
    }

    #[test]
    fn snapshot() {
        let text = written(&fixture::report());
        // Rules come and go; those that hold have nothing to show here.
        let (before, rest) = text.split_once("\"oracles\": [").unwrap();
        let (rules, after) = rest.split_once("\n  ],").unwrap();
        let rules = rules.split_inclusive("\n    }").filter(|rule| !rule.contains("\"pass\""));
        let rules: String = rules.collect();
        insta::assert_snapshot!(format!("{before}\"oracles\": [{rules}\n  ],{after}"));
    }

    #[test]
    fn what_was_written_reads_back() {
        let report = fixture::report();
        let json: Value = serde_json::from_str(&written(&report)).unwrap();
        assert_eq!(json["schema"], SCHEMA);
        assert_eq!(json["target"]["capabilities"]["assigned_client_identifier"], HOSTILE);
        let scenarios = json["scenarios"].as_array().unwrap();
        assert_eq!(scenarios.len(), report.scenarios.len());
        for (scenario, result) in scenarios.iter().zip(&report.scenarios) {
            assert_eq!(scenario["id"], result.id);
            assert_eq!(scenario["verdict"], result.verdict.name());
            let findings = scenario["findings"].as_array().unwrap();
            assert_eq!(findings.len(), result.findings.len());
        }
        let named: u64 = Verdict::ALL
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
        assert!(json["scenarios"][1]["findings"][0]["trace_line"].is_null());
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let json: Value = serde_json::from_str(&written(&fixture::report())).unwrap();
        let ids = |list: &str| -> Vec<String> {
            let rows = json[list].as_array().unwrap().iter();
            rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
        };
        let (causes, scenarios) = (ids("causes"), ids("scenarios"));
        let mut distinct = causes.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), causes.len(), "{causes:?}");
        for scenario in json["scenarios"].as_array().unwrap() {
            let findings = [&scenario["findings"], &scenario["oracle_findings"]];
            let findings = findings.iter().flat_map(|list| list.as_array().unwrap());
            let named = findings.map(|finding| &finding["cause"]).chain([&scenario["blocked_by"]]);
            let is_steady = scenario["verdict"] != "unsteady";
            for cause in named.filter_map(Value::as_str).filter(|_| is_steady) {
                assert!(causes.iter().any(|id| id == cause), "{cause}");
            }
        }
        for cause in json["causes"].as_array().unwrap() {
            for list in ["fails", "advises", "blocks", "found_in", "known"] {
                for id in cause[list].as_array().unwrap() {
                    assert!(scenarios.iter().any(|it| id == it), "{id}");
                }
            }
        }
    }

    #[test]
    fn it_is_as_its_json_schema_says() {
        let schema = serde_json::from_str(include_str!("../../report.schema.json")).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let mut out = Vec::new();
        let verdicts = vec![(Verdict::Pass, 1), (Verdict::NotApplicable, 1)];
        let changed = Changed { id: "3.1/a", verdicts, unsteady: false };
        write_repeat(&fixture::report(), 2, &[changed], &mut out).unwrap();
        let json = serde_json::from_slice(&out).unwrap();
        let errors = validator.iter_errors(&json);
        let errors: Vec<_> = errors.map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    /// The paths of all keys of a value, such as `causes[].id`; keys that are data as `*`.
    fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                let is_data = ["target.capabilities", "repeat.changed[].verdicts"].contains(&path);
                for (key, value) in map {
                    let key = if is_data { "*" } else { key };
                    let path = [path, key].join(if path.is_empty() { "" } else { "." });
                    into.insert(path.clone());
                    if path == "scenarios[].again" {
                        continue; // A scenario.
                    }
                    paths(value, &path, into);
                }
            }
            Value::Array(values) => {
                values.iter().for_each(|value| paths(value, &format!("{path}[]"), into));
            }
            _ => {}
        }
    }

    #[test]
    fn the_page_about_the_form_says_what_there_is() {
        let page = include_str!("../../report-schema.md");
        let mut out = Vec::new();
        let changed = Changed { id: "3.1/a", verdicts: vec![(Verdict::Pass, 1)], unsteady: false };
        write_repeat(&fixture::report(), 2, &[changed], &mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        let mut written = BTreeSet::new();
        paths(&json, "", &mut written);
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let told: BTreeSet<_> = rows.map(|(path, _)| path.to_owned()).collect();
        let missing: Vec<_> = written.difference(&told).collect();
        let gone: Vec<_> = told.difference(&written).collect();
        assert!(missing.is_empty() && gone.is_empty(), "missing {missing:?}, gone {gone:?}");
        assert!(page.contains(&format!("schema {SCHEMA}")));
    }
}
