//! The kill matrix: which scenario and which oracle notices which mutant.

use std::fmt::Write;

use serde_json::json;

use crate::mutant::{Fate, Matrix, Trial};
use crate::scenario::Scenario;

use super::text::counted;

/// As JSON, ended by a newline.
pub fn json(matrix: &Matrix, scenarios: &[&'static Scenario]) -> String {
    let trial = |trial: &Trial| {
        let kills = trial.kills.iter().map(|kill| {
            json!({ "scenario": kill.scenario, "verdict": kill.verdict.name(), "cites": kill.cites })
        });
        let oracles = trial.tripped.iter();
        let oracles = oracles.map(|(name, cites)| json!({ "oracle": name, "cites": cites }));
        json!({
            "id": trial.mutant.id,
            "breaks": trial.mutant.breaks,
            "requirements": trial.mutant.requirements,
            "fate": trial.fate().name(),
            "scenarios": kills.collect::<Vec<_>>(),
            "oracles": oracles.collect::<Vec<_>>(),
        })
    };
    let holes = matrix.holes(scenarios);
    let report = json!({
        "schema": 1,
        "totals": {
            "mutants": matrix.trials.len(),
            "caught": matrix.count(Fate::Caught),
            "by-chance": matrix.count(Fate::ByChance),
            "alive": matrix.count(Fate::Alive),
        },
        "holes": { "scenarios": holes.scenarios, "oracles": holes.oracles },
        "advisory-only": matrix.advisory_only(),
        "mutants": matrix.trials.iter().map(trial).collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

/// How many there are, and what became of them.
pub fn headline(matrix: &Matrix) -> String {
    let all = counted(matrix.trials.len(), "mutant", "mutants");
    let [caught, chance, alive] =
        [Fate::Caught, Fate::ByChance, Fate::Alive].map(|fate| matrix.count(fate));
    format!("{all}: {caught} caught, {chance} by chance, {alive} alive")
}

/// As Markdown: a table with a row a mutant, then the holes.
pub fn markdown(matrix: &Matrix, scenarios: &[&'static Scenario]) -> String {
    let mut text = String::from("# Mutants\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}.\n", headline(matrix));
    text.push_str(
        "| mutant | breaks | fate | scenarios (citing) | oracles |\n|---|---|---|---|---|\n",
    );
    for trial in &matrix.trials {
        let cited = trial.kills.iter().filter(|kill| kill.cites).count();
        let oracles: Vec<_> = trial.tripped.keys().copied().collect();
        let (mutant, fate) = (trial.mutant, trial.fate().name());
        let _ = writeln!(
            text,
            "| `{}` | {} | {fate} | {} ({cited}) | {} |",
            mutant.id,
            mutant.requirements.join(", "),
            trial.kills.len(),
            oracles.join(", ")
        );
    }
    let holes = matrix.holes(scenarios);
    text.push_str("\n## Holes\n\n");
    for id in holes.scenarios {
        let _ = writeln!(text, "- scenario `{id}` notices no mutant that breaks what it cites");
    }
    for name in holes.oracles {
        let _ = writeln!(text, "- oracle `{name}` is tripped by no mutant");
    }
    text
}
