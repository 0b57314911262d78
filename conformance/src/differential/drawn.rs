//! Whether what is broken is found: mutants drawn by chance, each compared with the whole broker.

use std::time::Duration;

use reference_broker::core::Config;

use crate::chameleon::Mixtures;
use crate::chance::Chance;
use crate::mutant::{self, Mutant};
use crate::script::Script;
use crate::target::{Target, Variant};

use super::fit::fit;
use super::parallel::in_parallel;
use super::seeing::Seeing;
use super::{
    Asking, Case, Evidence, Explanation, Found, Portrait, cases, first_difference, paint, unasked,
};

/// What became of one mutant.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// What was found; none if it did as the whole broker does on every script.
    pub found: Option<Found>,
}

impl Drawn {
    /// Whether it is explained by itself, or by what breaks one of the same requirements.
    pub fn is_explained(&self) -> bool {
        match self.found.as_ref().map(|found| &found.explanation) {
            Some(Explanation::Violation(by)) => by.breaks_one_of(self.mutant.requirements),
            _ => false,
        }
    }
}

/// Draws so many mutants by the seed, and plays its first scripts on each, on all processors.
pub fn drawn(seed: u64, count: usize, scripts: usize) -> Vec<Drawn> {
    let (config, whole) = (Config::default(), Variant::default());
    let cases = cases(seed, scripts, &whole, &config);
    let mutants = Chance::new(seed).some_of(mutant::all().iter().collect(), count);
    in_parallel(&mutants, |mutant| {
        let found = first_difference(&cases, &whole, &Variant::broken(mutant), &config);
        Drawn { mutant, found }
    })
}

/// What was found of one mixture of choices.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// The mixture.
    pub variant: Variant,
    /// The choices that it was found to take.
    pub taken: Variant,
    /// What was found besides; none if it did as a broker that takes these does on every script.
    pub found: Option<Found>,
}

/// Draws so many mixtures of choices by the seed, none of which breaks anything, and plays its first scripts
/// on each, on all processors.
pub fn mixed(seed: u64, count: usize, scripts: usize) -> Vec<Mixed> {
    let (config, plain) = (Config::default(), Variant::default());
    let cases = cases(seed, scripts, &plain, &config);
    // What excludes each other is never mixed.
    let mixtures = Mixtures::new(seed).take(count).filter_map(|it| Variant::choosing(it).ok());
    let mixtures: Vec<_> = mixtures.collect();
    in_parallel(&mixtures, |variant| {
        let taken = choices(&cases, variant, &config);
        let found = first_difference(&seen_with(&cases, &taken, &config), &taken, variant, &config);
        Mixed { variant: variant.clone(), taken, found }
    })
}

/// The choices of a broker in memory: those of its portrait, and what makes the rest fit.
fn choices(cases: &[Case], variant: &Variant, config: &Config) -> Variant {
    let asking = Asking {
        topic_prefix: "mqttspec".to_owned(),
        token: "memory".to_owned(),
        patience: Duration::ZERO,
        jobs: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let painted = runtime.ok().and_then(|runtime| {
        runtime.block_on(paint(&Target::Embedded(variant.clone()), &asking)).ok()
    });
    let taken = painted.as_ref().map(Portrait::taken).unwrap_or_default();
    let mut open = painted.as_ref().map(Portrait::open).unwrap_or_default();
    open.extend(unasked().map(|(switch, _)| switch));
    let seen = seen_with(cases, variant, config);
    let evidence: Vec<_> =
        seen.into_iter().map(|case| Evidence { script: case.script, seen: case.seen }).collect();
    let evidence: Vec<_> = evidence.iter().collect();
    fit(&evidence, &taken, &open, Seeing::in_memory(config))
}

/// The same cases with what is seen of another variant.
fn seen_with(cases: &[Case], variant: &Variant, config: &Config) -> Vec<Case> {
    let seen = |script: &Script| Seeing::in_memory(config).seen(script, variant);
    cases.iter().map(|case| Case { seen: seen(&case.script), ..case.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_what_is_broken_is_found_and_explained() {
        let drawn = drawn(1, 24, 200);
        let found = drawn.iter().filter(|it| it.found.is_some()).count();
        let explained = drawn.iter().filter(|it| it.is_explained()).count();
        assert!(found >= 10 && explained * 10 >= found * 7, "{found} found, {explained} explained");
    }

    #[test]
    fn choices_are_never_taken_for_faults() {
        for Mixed { variant, found, .. } in mixed(1, 4, 40) {
            let why = found.map(|found| found.explanation);
            assert!(!matches!(why, Some(Explanation::Violation(_))), "{variant}: {why:?}");
        }
    }
}
