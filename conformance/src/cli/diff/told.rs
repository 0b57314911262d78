//! What a comparison came to, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use conformance::differential::{
    Difference, Divergence, Divergences, Explanation, Found, KnownDivergences, Observed,
    side_by_side,
};
use conformance::script::{Played, to_text};
use serde_json::{Value, json};

/// What two brokers are called side by side.
pub(super) const EMBEDDED: &str = "embedded";
pub(super) const OTHER: &str = "other";

/// A difference, so that it can be pasted and replayed as it stands.
pub(super) fn of_found(
    found: &Found,
    names: (&str, &str),
    view: fn(&Played) -> Observed,
) -> String {
    let Found { script, explanation, played, .. } = found;
    let text = side_by_side(script, (names.0, &played.0), (names.1, &played.1), view);
    let mut lines = format!("# {explanation}\n");
    lines.push_str(&text);
    lines
}

/// All that two brokers do otherwise.
pub(super) fn of_divergences(
    report: &Divergences,
    known: &KnownDivergences,
    target: &str,
    seed: u64,
) -> String {
    let mut text = String::new();
    for divergence in &report.found {
        let name = divergence.name();
        let _ = writeln!(text, "# {name}");
        if let Some(entry) = known.find(&divergence.names()) {
            let _ = writeln!(text, "# known: {}", entry.reason);
        }
        let Divergence { found, scripts } = divergence;
        text.push_str(&of_found(found, (EMBEDDED, OTHER), Observed::by_class));
        let _ = writeln!(text, "# first in script {}, in {scripts} of all\n", found.case);
    }
    for entry in known.unseen(&report.found) {
        let _ = writeln!(text, "# not seen: {} ({})", entry.name, entry.reason);
    }
    let Divergences { played, alike, unsteady, passed_over, found, took, is_interrupted } = report;
    let of = |kind: &str| found.iter().filter(|it| it.name().starts_with(kind)).count();
    let (choices, violations, open) = (of("choice:"), of("violation:"), of("open:"));
    let _ = writeln!(
        text,
        "{target}: {played} scripts, {alike} alike, {unsteady} unsteady, {passed_over} passed over; \
         {choices} choices, {violations} violations, {open} open; seed {seed}"
    );
    if *is_interrupted {
        text.push_str("interrupted before all of them were played and explained\n");
    }
    let seconds = |time: Duration| time.as_secs_f64();
    let _ = writeln!(
        text,
        "played in {:.0} s, {}; choices fitted in {:.0} s; shrunk and explained in {:.0} s",
        seconds(took.playing),
        a_second(*played, took.playing),
        seconds(took.fitting),
        seconds(took.explaining)
    );
    text
}

/// How many scripts were played in a second.
pub(super) fn a_second(scripts: usize, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let rate = if seconds > 0.0 { scripts as f64 / seconds } else { 0.0 };
    format!("{rate:.1} scripts a second")
}

/// The names of all that was found.
pub(super) fn names(report: &Divergences) -> Vec<String> {
    report.found.iter().map(Divergence::name).collect()
}

/// The same for programs.
pub(super) fn as_json(
    report: &Divergences,
    known: &KnownDivergences,
    target: &str,
    seed: u64,
) -> Value {
    let divergences = report.found.iter().map(|divergence| {
        let Found { case, script, differences, explanation, .. } = &divergence.found;
        let name = divergence.name();
        let (switches, mutant, requirements) = match explanation {
            Explanation::Choice(switches) => {
                let switches: Vec<_> = switches.iter().map(|switch| switch.name).collect();
                (switches, None, Vec::new())
            }
            Explanation::Violation(mutant) => {
                (Vec::new(), Some(mutant.id), mutant.requirements.to_vec())
            }
            Explanation::Told(finding) => {
                (Vec::new(), None, finding.requirement.into_iter().collect())
            }
            Explanation::Free(_) => (Vec::new(), None, Vec::new()),
            Explanation::Open(like) => (Vec::new(), like.map(|mutant| mutant.id), Vec::new()),
        };
        let differences: Vec<_> = differences.iter().map(of_difference).collect();
        json!({
            "name": name,
            "known": known.find(&divergence.names()).map(|entry| &entry.reason),
            "explanation": explanation.to_string(),
            "switches": switches,
            "mutant": mutant,
            "requirements": requirements,
            "first_in": case,
            "scripts": divergence.scripts,
            "script": to_text(script),
            "differences": differences,
        })
    });
    json!({
        "schema": 1,
        "target": target,
        "seed": seed,
        "scripts": report.played,
        "alike": report.alike,
        "unsteady": report.unsteady,
        "passed_over": report.passed_over,
        "interrupted": report.is_interrupted,
        "seconds": {
            "playing": report.took.playing.as_secs_f64(),
            "fitting": report.took.fitting.as_secs_f64(),
            "explaining": report.took.explaining.as_secs_f64(),
        },
        "divergences": divergences.collect::<Vec<_>>(),
        "known_and_not_seen": known.unseen(&report.found).iter().map(|it| &it.name).collect::<Vec<_>>(),
    })
}

fn of_difference(difference: &Difference) -> Value {
    let Difference { connection, part, first, second } = difference;
    json!({ "connection": connection, "part": part, EMBEDDED: first, OTHER: second })
}
