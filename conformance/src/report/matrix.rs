//! The kill matrix: which scenario and which oracle notices which mutant.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use crate::mutant::{Collateral, Fate, Matrix, Reach, Trial};
use crate::scenario::Scenario;

use super::text::counted;

/// As JSON, ended by a newline.
pub fn json(matrix: &Matrix, reach: Reach, scenarios: &[&'static Scenario]) -> String {
    let trial = |trial: &Trial| {
        let kills = trial.kills.iter().map(|kill| {
            json!({ "scenario": kill.scenario, "verdict": kill.verdict.name(), "cites": kill.cites })
        });
        let oracles = trial.tripped.iter();
        let oracles = oracles.map(|(name, cites)| json!({ "oracle": name, "cites": cites }));
        let collateral = trial.collateral.iter().map(|(result, it)| {
            json!({
                "result": result, "requirement": it.requirement, "step": it.step,
                "expected": it.expected, "observed": it.observed,
            })
        });
        json!({
            "id": trial.mutant.id,
            "breaks": trial.mutant.breaks,
            "requirements": trial.mutant.requirements,
            "also": trial.mutant.also,
            "fate": trial.fate().name(),
            "scenarios": kills.collect::<Vec<_>>(),
            "oracles": oracles.collect::<Vec<_>>(),
            "tried": trial.tried,
            "collateral": collateral.collect::<Vec<_>>(),
        })
    };
    let holes = matrix.holes(scenarios);
    let Collateral { median, most, maximum } = matrix.collateral();
    let sample = match reach {
        Reach::Everything => json!(null),
        Reach::Citing { sample, seed } => json!({ "size": sample, "seed": seed }),
    };
    let report = json!({
        "schema": 2,
        "sample": sample,
        "totals": {
            "mutants": matrix.trials.len(),
            "caught": matrix.count(Fate::Caught),
            "by-chance": matrix.count(Fate::ByChance),
            "alive": matrix.count(Fate::Alive),
        },
        "collateral": { "median": median, "percentile-99": most, "maximum": maximum },
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

/// What fails that cites nothing of what is broken, as lines; and how far that was looked for.
pub fn collateral(matrix: &Matrix, reach: Reach) -> String {
    let Collateral { median, most, maximum } = matrix.collateral();
    let mut text =
        format!("collateral: median {median}, 99th percentile {most}, maximum {maximum}\n");
    // Writing to a string cannot fail.
    if let Reach::Citing { sample, seed } = reach {
        let _ = writeln!(
            text,
            "Once caught, a mutant was tried against {sample} by chance of the scenarios that do not cite \
             what it breaks (--seed {seed}); --all tries all."
        );
    }
    let (_, bound) = Collateral::BOUNDS;
    for trial in matrix.trials.iter().filter(|trial| trial.collateral.len() > bound) {
        let (count, id) = (trial.collateral.len(), trial.mutant.id);
        let _ = writeln!(text, "collateral {count} of {id}: {}", trial.mutant.breaks);
        let mut by_requirement = BTreeMap::<_, Vec<_>>::new();
        for (result, collided) in &trial.collateral {
            by_requirement.entry(collided.requirement).or_default().push(result.as_str());
        }
        for (requirement, results) in by_requirement {
            let _ = writeln!(text, "  {requirement}: {}", results.join(" "));
        }
    }
    text
}

/// As Markdown: a table with a row a mutant, then the holes.
pub fn markdown(matrix: &Matrix, reach: Reach, scenarios: &[&'static Scenario]) -> String {
    let mut text = String::from("# Mutants\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}.\n\n{}", headline(matrix), collateral(matrix, reach));
    text.push_str("| mutant | breaks | fate | scenarios (citing) | oracles | collateral |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for trial in &matrix.trials {
        let cited = trial.kills.iter().filter(|kill| kill.cites).count();
        let oracles: Vec<_> = trial.tripped.keys().copied().collect();
        let (mutant, fate) = (trial.mutant, trial.fate().name());
        let _ = writeln!(
            text,
            "| `{}` | {} | {fate} | {} ({cited}) | {} | {} |",
            mutant.id,
            mutant.requirements.join(", "),
            trial.kills.len(),
            oracles.join(", "),
            trial.collateral.len()
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
