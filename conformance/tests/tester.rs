//! Holds the suite itself to the rules for clients: on every trace, what it breaks is what the scenario
//! says that it breaks on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use conformance::chameleon;
use conformance::oracle::tester;
use conformance::report::{Report, ScenarioResult};
use conformance::runner::{Options, Selection, run};
use conformance::scenario::{self, Scenario};
use conformance::target::{Target, Variant};
use conformance::trace::event_line;

/// Runs every scenario against an embedded broker.
fn report(variant: Variant) -> Report {
    let scenarios = Selection::default().scenarios().unwrap();
    let options =
        Options { jobs: 2, timeout_scale: 1.0, token: "run".to_owned(), ..Options::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let never = std::future::pending();
    let target = Target::Embedded(variant);
    runtime.block_on(run(&target, scenarios, &options, never, |_| ())).unwrap()
}

/// Tells what a scenario breaks without meaning to; gives what it breaks.
fn breaches(
    scenario: &Scenario,
    result: &ScenarioResult,
    told: &mut String,
) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    for breach in tester::judge(&result.trace) {
        broken.extend(breach.requirement);
        if !scenario.means(&breach, &result.trace) {
            let requirement = breach.requirement.unwrap_or_default();
            let event = breach.event.and_then(|event| result.trace.get(event));
            let line = event.map(|event| event_line(event, 0)).unwrap_or_default();
            writeln!(told, "{}: {requirement}: {}\n    {line}", scenario.id, breach.expected)
                .unwrap();
        }
    }
    broken
}

/// Switches under which a CONNACK, or a CONNECT, binds clients to more than on the plain broker.
const BINDING: &[&str] = &[
    "receive-maximum-1",
    "packets-of-300-bytes",
    "no-topic-aliases",
    "maximum-qos-0",
    "maximum-qos-1",
    "no-retained-messages",
    "no-wildcards",
    "no-subscription-identifiers",
    "no-shared-subscriptions",
    "keeps-no-sessions",
    "keeps-sessions-for-an-hour-at-least",
    "keep-alive-of-a-minute",
    "keep-alive-off",
    "keep-alive-of-5-seconds",
    "keep-alive-of-3-seconds",
    "keep-alive-of-a-second",
    "packets-of-100-bytes",
    "packets-of-64-bytes",
    "messages-to-the-impatient-lag",
    "acknowledges-subscriptions-late",
    "every-second-connection-is-slow",
    "acknowledges-out-of-order",
];

#[test]
fn the_suite_breaks_what_it_means_to_and_nothing_else() {
    let switches = BINDING.iter().map(|name| [chameleon::find(name).unwrap()]);
    let choices = switches.map(|switch| Variant::choosing(switch).unwrap());
    let mut told = String::new();
    let mut broken: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for variant in std::iter::once(Variant::default()).chain(choices) {
        let mut under = String::new();
        for (scenario, result) in scenario::all().iter().zip(&report(variant.clone()).scenarios) {
            let found = breaches(scenario, result, &mut under);
            broken.entry(scenario.id).or_default().extend(found);
        }
        if !under.is_empty() {
            writeln!(told, "under '{variant}':\n{under}").unwrap();
        }
    }
    for scenario in scenario::all() {
        let stale = scenario.breaks.iter().filter(|id| !broken[scenario.id].contains(**id));
        stale.for_each(|id| writeln!(told, "{}: it breaks {id} nowhere", scenario.id).unwrap());
    }
    assert!(told.is_empty(), "{told}");
}
