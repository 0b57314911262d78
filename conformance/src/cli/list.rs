use std::fmt::Write;

use clap::Args;
use conformance::exit::Exit;
use conformance::oracle;
use conformance::runner::Selection;
use conformance::scenario::Scenario;
use conformance::target::Provided;
use serde_json::json;

use super::{Failure, chameleon, print};

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
    /// List the switches of the embedded broker instead
    #[arg(long, conflicts_with_all = ["selection", "json"])]
    switches: bool,
    /// List the provided target files instead, with their variants
    #[arg(long, conflicts_with_all = ["selection", "json", "switches", "oracles"])]
    targets: bool,
}

pub(super) fn list(arguments: &ListArguments) -> Result<Exit, Failure> {
    if arguments.targets {
        return targets().and_then(|text| print(&text));
    }
    if arguments.switches {
        return print(&chameleon::list());
    }
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

fn targets() -> Result<String, Failure> {
    let mut text = String::new();
    for provided in Provided::all() {
        let file = provided.file().map_err(|error| (Exit::Trouble, error))?;
        let untried = if file.untried { " (untried)" } else { "" };
        let transports: Vec<_> = file.transports().collect();
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{}: {}{untried}; {}", provided.name, file.about, transports.join(", "));
        for (name, about) in file.variants() {
            let _ = writeln!(text, "    {name:28} {about}");
        }
    }
    Ok(text)
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
