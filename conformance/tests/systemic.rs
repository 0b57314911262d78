//! Brokers with one fault that touches nearly everything: it is told as few causes, and everything
//! else comes to what it comes to on a whole broker, or is blocked by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use conformance::mutant;
use conformance::report::{Report, ScenarioResult, causes};
use conformance::runner::{Options, Selection, run};
use conformance::target::{Target, Variant};
use conformance::verdict::Verdict;

/// One fault is told as no more causes than this.
const CAUSES: usize = 3;

/// So many in a hundred of the results that are not about the fault are as on a whole broker.
const UNTOUCHED: usize = 95;

async fn report(variant: Variant) -> Report {
    let scenarios = Selection::default().scenarios().unwrap();
    let options =
        Options { jobs: 4, timeout_scale: 1.0, token: "run".to_owned(), ..Options::default() };
    let target = Target::Embedded(variant);
    run(&target, scenarios, &options, std::future::pending(), |_| ()).await.unwrap()
}

#[test]
fn one_fault_is_told_as_few_causes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut told = String::new();
    runtime.block_on(async {
        let whole = report(Variant::default()).await;
        let whole: BTreeMap<_, _> =
            whole.scenarios.iter().map(|result| (result.id, result.verdict)).collect();
        for mutant in mutant::all().iter().filter(|mutant| mutant.systemic) {
            let broken = report(Variant::broken(mutant)).await;
            judge(mutant, &whole, &broken, &mut told);
        }
    });
    assert!(told.is_empty(), "{told}");
}

fn judge(
    mutant: &mutant::Mutant,
    whole: &BTreeMap<&'static str, Verdict>,
    broken: &Report,
    told: &mut String,
) {
    let causes = causes(broken);
    let failures: Vec<_> = causes.iter().filter(|it| it.verdict == Verdict::Fail).collect();
    let breaks: BTreeSet<_> = mutant.requirements.iter().copied().collect();
    if failures.is_empty() || failures.len() > CAUSES {
        writeln!(told, "{}: {} causes", mutant.id, failures.len()).unwrap();
        for it in &failures {
            let (result, finding) = it.witness;
            writeln!(
                told,
                "    {:?} shown by {} blocks {} found in {}: {} expected {}, observed {}",
                it.cause,
                it.shown_by.len(),
                it.blocks.len(),
                it.found_in.len(),
                result.id,
                finding.expected,
                finding.observed
            )
            .unwrap();
        }
    }
    let is_about = |result: &&ScenarioResult| {
        result.findings.first().and_then(|it| it.requirement).is_some_and(|it| breaks.contains(it))
            && result.verdict == Verdict::Fail
    };
    let others: Vec<_> = broken.scenarios.iter().filter(|it| !is_about(it)).collect();
    let touched = others.iter().filter(|result| {
        // What the target says of itself, and the scenario repeats, is named too.
        let is_named = result.verdict == Verdict::Blocked
            || result
                .reason
                .as_ref()
                .is_some_and(|it| it.contains("grants less than asked: SUBACK"));
        !is_named && whole.get(result.id) != Some(&result.verdict)
    });
    let touched: Vec<_> = touched.collect();
    if touched.len() * 100 > others.len() * (100 - UNTOUCHED) {
        writeln!(told, "{}: {} of {} touched", mutant.id, touched.len(), others.len()).unwrap();
        for result in touched.iter().take(20) {
            writeln!(told, "    {} {} {:?}", result.id, result.verdict, result.reason).unwrap();
        }
    }
}
