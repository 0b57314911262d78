//! What got in the way of scenarios that came to nothing.

use std::collections::BTreeMap;

use super::{Report, ScenarioResult};
use crate::verdict::{Verdict, general};

/// One thing that kept scenarios from showing anything.
#[derive(Clone, Debug)]
pub struct Obstacle<'a> {
    /// What was in the way, in words.
    pub what: String,
    /// What can be done about it.
    pub advice: Option<&'static str>,
    /// The result that shows it.
    pub witness: &'a ScenarioResult,
    /// All whom it kept, in the order of the registry.
    pub scenarios: Vec<&'static str>,
}

/// What got in the way in a run: what kept most first.
pub fn obstacles(report: &Report) -> Vec<Obstacle<'_>> {
    let mut obstacles: BTreeMap<String, Obstacle<'_>> = BTreeMap::new();
    for result in report.scenarios.iter().filter(|it| it.verdict == Verdict::Inconclusive) {
        let what = in_the_way_of(result);
        let obstacle = obstacles.entry(general(&what)).or_insert_with(|| Obstacle {
            advice: advice(&what),
            what,
            witness: result,
            scenarios: Vec::new(),
        });
        obstacle.scenarios.push(result.id);
    }
    let mut obstacles: Vec<_> = obstacles.into_values().collect();
    obstacles.sort_by_key(|obstacle| usize::MAX - obstacle.scenarios.len());
    obstacles
}

fn in_the_way_of(result: &ScenarioResult) -> String {
    if let Some(reason) = &result.reason {
        return reason.clone();
    }
    let Some(finding) = result.findings.first() else { return "nothing is said of it".to_owned() };
    let seen = match finding.seen.is_empty() {
        true => &finding.observed,
        false => &finding.seen,
    };
    match finding.expected.is_empty() {
        true => seen.clone(),
        false => format!("{seen} instead of {}", general(&finding.expected)),
    }
}

/// What to do, where what is said does not have it already.
fn advice(what: &str) -> Option<&'static str> {
    const ADVICE: [(&[&str], &str); 4] = [
        (&["a connection to", "refused"], "the target takes no more connections: fewer --jobs"),
        (
            &["closed", "reset", "broken pipe"],
            "connections are lost: fewer --jobs, or look at the network",
        ),
        (
            &["nothing", "silent", "none in", "no bytes", "timed out", "still open"],
            "it is slow, or the network is: a greater --timeout-scale",
        ),
        (&["fault of the suite"], "please report it"),
    ];
    let what = what.to_lowercase();
    if what.contains("; ") {
        return None;
    }
    let has = |words: &[&str]| words.iter().any(|word| what.contains(word));
    ADVICE.iter().find(|(words, _)| has(words)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_is_alike_is_one_obstacle_with_what_to_do() {
        let report = fixture::report();
        let obstacles = obstacles(&report);
        let told: Vec<_> = obstacles.iter().map(|it| (it.advice, it.scenarios.len())).collect();
        let slow = "it is slow, or the network is: a greater --timeout-scale";
        let refused = "the target takes no more connections: fewer --jobs";
        assert_eq!(told, [(Some(refused), 3), (None, 1), (Some(slow), 1)]);
    }
}
