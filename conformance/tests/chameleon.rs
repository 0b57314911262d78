//! Tries the suite on brokers that take other choices that the standard allows: each by itself and
//! some mixtures, each on a part of the scenarios so that it does not take long. `mqttspec
//! chameleon` tries all on all.

use std::fmt::Write;

use conformance::chameleon::{self, Baseline, Mixtures, Wrong, try_switches};
use conformance::runner::{Options, Selection};
use conformance::target::Variant;

/// Each broker meets one in so many scenarios, the next broker the next ones.
const PARTS: usize = 16;

/// How many mixtures are tried, and which.
const MIXTURES: usize = 24;
const SEED: u64 = 1;

#[test]
fn no_verdict_is_wrong_on_a_broker_that_only_chose_otherwise() {
    let scenarios = Selection::default().scenarios().unwrap();
    let options =
        Options { jobs: 4, timeout_scale: 1.0, token: "memory".to_owned(), ..Options::default() };
    let alone = chameleon::all().iter().map(|switch| vec![switch]);
    let brokers = alone.chain(Mixtures::new(SEED).take(MIXTURES));
    let mut found = String::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let baseline = Baseline::new(&scenarios, &options).await.unwrap();
        for (number, switches) in brokers.enumerate() {
            let part = |at: &usize| at % PARTS == number % PARTS;
            let part: Vec<_> = scenarios.iter().copied().filter(|(at, _)| part(at)).collect();
            let variant = Variant::choosing(switches).unwrap();
            let trial = try_switches(variant, &part, &baseline, &options).await.unwrap();
            trial.wrong.iter().for_each(|wrong| tell(wrong, &mut found));
        }
    });
    assert!(found.is_empty(), "wrong verdicts:\n{found}");
}

fn tell(wrong: &Wrong, text: &mut String) {
    let Wrong { scenario, verdict, finding, reason, .. } = wrong;
    writeln!(text, "{} {verdict}: {finding:?} {reason:?}", scenario.id).unwrap();
    writeln!(text, "    mqttspec {}", wrong.rerun()).unwrap();
}
