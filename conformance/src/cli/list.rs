use std::fmt::Write;

use clap::Args;
use conformance::exit::Exit;
use conformance::oracle;
use conformance::runner::Selection;
use conformance::scenario::Scenario;
use serde_json::json;

use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ListArguments {
    /// Sections, ids, globs of ids or requirements; everything if nothing is named
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// List oracles instead: what is checked on the trace of every scenario
    #[arg(long, conflicts_with = "selection")]
    oracles: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn list(arguments: &ListArguments) -> Result<Exit, Failure> {
    if arguments.oracles {
        return match arguments.json {
            true => print(&format!("{:#}\n", oracles_as_json())),
            false => print(&oracles_as_text()),
        };
    }
    let scenarios = Selection::new(arguments.selection.clone())
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let scenarios: Vec<_> = scenarios.into_iter().map(|(_, scenario)| scenario).collect();
    match arguments.json {
        true => print(&format!("{:#}\n", as_json(&scenarios))),
        false => print(&as_text(&scenarios)),
    }
}

fn as_json(scenarios: &[&Scenario]) -> serde_json::Value {
    let rows = scenarios.iter().map(|scenario| {
        json!({
            "id": scenario.id,
            "section": scenario.section(),
            "shows": scenario.shows,
            "requirements": scenario.requirements,
            "needs": scenario.needs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "seconds": scenario.timing.seconds(),
        })
    });
    json!({ "schema": 1, "scenarios": rows.collect::<Vec<_>>() })
}

fn as_text(scenarios: &[&Scenario]) -> String {
    let width = scenarios.iter().map(|scenario| scenario.id.len()).max().unwrap_or(0).min(60);
    scenarios.iter().fold(String::new(), |mut text, scenario| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", scenario.id, scenario.shows);
        text
    })
}

fn oracles_as_json() -> serde_json::Value {
    let rows = oracle::all().iter().map(|oracle| {
        json!({ "name": oracle.name, "holds": oracle.holds, "requirements": oracle.requirements })
    });
    json!({ "schema": 1, "oracles": rows.collect::<Vec<_>>() })
}

fn oracles_as_text() -> String {
    let width = oracle::all().iter().map(|oracle| oracle.name.len()).max().unwrap_or(0);
    oracle::all().iter().fold(String::new(), |mut text, oracle| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", oracle.name, oracle.holds);
        text
    })
}
