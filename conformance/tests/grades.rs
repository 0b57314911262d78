//! What fails breaks a MUST or MUST NOT, and what is advised upon does not: over the mutants, each
//! against the scenarios that cite what it breaks.

use std::collections::BTreeSet;

use conformance::mutant;
use conformance::report::ScenarioResult;
use conformance::requirement;
use conformance::runner::{Options, run};
use conformance::scenario;
use conformance::target::{Target, Variant};
use conformance::verdict::{Finding, Verdict, general};

/// Whether this is a MUST or MUST NOT.
fn is_must(id: &str) -> bool {
    requirement::find(id).is_some_and(|row| row.level.starts_with("MUST"))
}

/// What of a result is told at another grade than its requirement has.
fn misgraded(result: &ScenarioResult) -> Vec<&Finding> {
    let is_failure = |finding: &&Finding| finding.requirement.is_none_or(is_must);
    let found = result.findings.iter();
    match result.verdict {
        // The first is the failure; advisories may follow it.
        Verdict::Fail | Verdict::Blocked => found.take(1).filter(|it| !is_failure(it)).collect(),
        Verdict::Advisory | Verdict::Pass => found.filter(is_failure).collect(),
        _ => Vec::new(),
    }
}

/// Whether a text is told as Rust would, outside of quotation marks.
fn is_of_rust(text: &str) -> bool {
    const WORDS: [&str; 7] =
        ["Some(", "None", "Ok(", "Err(", "AtMostOnce", "AtLeastOnce", "ExactlyOnce"];
    let text = general(text);
    WORDS.iter().any(|word| text.contains(word)) || text.contains("[\"") || text.contains("b\"")
}

#[test]
fn every_finding_has_the_grade_of_its_requirement_and_words_for_a_reader() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut graded, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut odd_words = BTreeSet::new();
    for mutant in mutant::all() {
        let cites = |id: &&str| mutant.requirements.contains(id);
        let scenarios = scenario::all().iter().enumerate();
        let scenarios: Vec<_> =
            scenarios.filter(|(_, it)| it.requirements.iter().any(cites)).collect();
        let options =
            Options { jobs: 2, timeout_scale: 1.0, token: "run".to_owned(), ..Options::default() };
        let target = Target::Embedded(Variant::broken(mutant));
        let ran = run(&target, scenarios, &options, std::future::pending(), |_| ());
        let report = runtime.block_on(ran).unwrap();
        for result in &report.scenarios {
            graded.insert(result.verdict);
            let found = misgraded(result).into_iter();
            let all = result.findings.iter().chain(&result.oracles);
            let odd = all.filter(|it| is_of_rust(&it.expected) || is_of_rust(&it.observed));
            odd_words
                .extend(odd.map(|it| format!("{}: {} / {}", result.id, it.expected, it.observed)));
            wrong.extend(found.map(|it| format!("{} on {}: {it:?}", result.id, mutant.id)));
        }
    }
    assert!(wrong.is_empty(), "{} misgraded: {wrong:#?}", wrong.len());
    assert!(odd_words.is_empty(), "no words for a reader: {odd_words:#?}");
    for verdict in [Verdict::Fail, Verdict::Advisory] {
        assert!(graded.contains(&verdict), "no mutant led to {verdict}");
    }
}

#[test]
fn what_rust_would_say_is_noticed() {
    for text in ["Some(3)", "None", "[\"a\"]", "QoS AtMostOnce", "payload b\"x\""] {
        assert!(is_of_rust(text), "{text}");
    }
    for text in ["\"None\", \"Some(3)\"", "none", "PUBLISH \"a\" qos=1 payload=\"b\""] {
        assert!(!is_of_rust(text), "{text}");
    }
}

#[test]
fn a_scenario_that_can_fail_cites_a_must_first() {
    let unsound: Vec<_> =
        scenario::all().iter().filter(|it| !is_must(it.requirements[0])).map(|it| it.id).collect();
    assert!(unsound.is_empty(), "{unsound:#?}");
}
