//! Scripts on which two embedded brokers part ways.

use reference_broker::core::Config;

use crate::script::{Played, Script};
use crate::target::Variant;

use super::explain::explain;
use super::seeing::Seeing;
use super::{Difference, Evidence, Explanation, Generator, Observed, Worlds, differences, shrink};

/// So often is a smaller script tried while one is made smaller.
const SHRINKS: usize = 2_000;

/// So many choices that explain but a part of a case are ruled out.
const OTHERS: usize = 12;

/// So many cases have to be explained at once.
const EVIDENCE: usize = 6;

/// A script, and what is seen when it is played on the first of two brokers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number within its seed, from 1.
    pub number: usize,
    /// What clients do.
    pub script: Script,
    /// What they see.
    pub seen: Observed,
}

/// A difference, made small and explained.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of the case that showed it, or its name.
    pub case: String,
    /// The smallest script found that shows it.
    pub script: Script,
    /// All that differs there.
    pub differences: Vec<Difference>,
    /// Why.
    pub explanation: Explanation,
    /// What came of it on the first broker, and on the second one.
    pub played: (Played, Played),
    /// What was seen of the second one there.
    pub(super) seen: Observed,
}

/// The first cases of a seed, played on a broker that takes these choices.
pub fn cases(seed: u64, count: usize, variant: &Variant, config: &Config) -> Vec<Case> {
    let mut generator = Generator::new(seed, config.clone(), Worlds::all());
    let case = |number| {
        let script = generator.script().rested();
        let seen = Seeing::in_memory(config).seen(&script, variant);
        Case { number, script, seen }
    };
    (1..=count).map(case).collect()
}

/// Plays cases on a second broker until it parts ways with the first, makes that case small, and
/// explains it by what gives that and the next few cases in which the two part ways.
pub fn first_difference(
    cases: &[Case],
    first: &Variant,
    second: &Variant,
    config: &Config,
) -> Option<Found> {
    let seeing = Seeing::in_memory(config);
    let seen = |script: &Script, variant: &Variant| seeing.seen(script, variant);
    let differing = cases.iter().filter_map(|case| {
        let seen = seen(&case.script, second);
        (seen != case.seen).then(|| (case.number, Evidence { script: case.script.clone(), seen }))
    });
    let (numbers, more): (Vec<_>, Vec<_>) = differing.take(EVIDENCE).unzip();
    let (number, case) = (numbers.first()?, more.first()?);
    // Choices that explain a part of the case, but not all of it.
    let mut others: Vec<Variant> = Vec::new();
    loop {
        let shows = |script: &Script| {
            let script = &script.rested();
            let other = seen(script, second);
            seen(script, first) != other && others.iter().all(|it| seen(script, it) != other)
        };
        let script = shrink(&case.script, SHRINKS, shows).rested();
        let small = Evidence { seen: seen(&script, second), script };
        let explanation = explain(&small, &more, &first.unbroken(), seeing);
        if let Explanation::Choice(switches) = &explanation
            && let Ok(choice) = Variant::choosing(switches.iter().copied())
            && others.len() < OTHERS
            && seen(&case.script, &choice) != case.seen
        {
            others.push(choice);
            continue;
        }
        let Evidence { script, seen: other } = small;
        let differences = differences(&seen(&script, first), &other);
        let played = (seeing.played(&script, first), seeing.played(&script, second));
        let case = number.to_string();
        return Some(Found { case, script, differences, explanation, played, seen: other });
    }
}
