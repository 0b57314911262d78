//! Keeps the packet trace of every scenario against the embedded broker, and reads them back.
//!
//! A changed trace is a decision: read it, then accept it with `INSTA_UPDATE=always`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use conformance::report::{Report, ScenarioResult};
use conformance::runner::{Options, Selection, run};
use conformance::scenario::{self, Scenario};
use conformance::target::Target;
use conformance::trace::{normalise, parse, to_text};
use conformance::verdict::Verdict;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/traces/embedded");
const TOKEN: &str = "memory";

/// Runs every scenario against the embedded broker.
fn report() -> Report {
    let scenarios = Selection::default().scenarios().unwrap();
    let options =
        Options { jobs: 2, timeout_scale: 1.0, token: TOKEN.to_owned(), ..Options::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let never = std::future::pending();
    runtime.block_on(run(&Target::default(), scenarios, &options, never, |_| ())).unwrap()
}

/// The trace of each scenario, with its own names made short, by id.
fn traces(report: &Report) -> Vec<(&'static str, String)> {
    let trace = |(scenario, result): (&Scenario, &ScenarioResult)| {
        let code = scenario.code();
        let own = [
            (format!("mqttspec/{TOKEN}/{code}/"), "~/"),
            (format!("mqttspec/{TOKEN}/{code}"), "~"),
            (format!("{TOKEN}{code}"), "~"),
        ];
        assert_eq!(scenario.id, result.id);
        (result.id, to_text(&normalise(&result.trace, &own)))
    };
    scenario::all().iter().zip(&report.scenarios).map(trace).collect()
}

#[test]
fn the_embedded_broker_passes_and_its_traces_are_as_kept() {
    let report = report();
    let others = report.scenarios.iter().filter(|result| result.verdict != Verdict::Pass);
    let others: Vec<_> =
        others.map(|result| (result.id, result.verdict, &result.findings)).collect();
    assert!(others.is_empty(), "not passed: {others:#?}");

    let mut kept = BTreeSet::new();
    for (id, text) in traces(&report) {
        assert_eq!(to_text(&parse(&text).unwrap()), text, "{id} reads back");
        let (section, name) = id.split_once('/').unwrap();
        let name = name.replace('/', "__");
        kept.insert(Path::new(FOLDER).join(section).join(format!("{name}.snap")));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new(FOLDER).join(section));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
    let found: BTreeSet<_> = files(Path::new(FOLDER)).into_iter().collect();
    let stale: Vec<_> = found.difference(&kept).collect();
    assert!(stale.is_empty(), "no scenario has these traces: {stale:#?}");
}

#[test]
fn two_runs_give_the_same_traces() {
    assert_eq!(traces(&report()), traces(&report()));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
