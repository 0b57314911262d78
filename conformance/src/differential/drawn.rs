//! Whether what is broken is found: mutants drawn by chance, each compared with the whole broker.

use reference_broker::core::Config;

use crate::chameleon::Mixtures;
use crate::chance::Chance;
use crate::mutant::{self, Mutant};
use crate::target::Variant;

use super::parallel::in_parallel;
use super::{Explanation, Found, cases, first_difference};

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
    /// What was found; none if it did as the plain broker does on every script.
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
        let found = first_difference(&cases, &plain, variant, &config);
        Mixed { variant: variant.clone(), found }
    })
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
        for Mixed { variant, found } in mixed(1, 4, 40) {
            let why = found.map(|found| found.explanation);
            assert!(!matches!(why, Some(Explanation::Violation(_))), "{variant}: {why:?}");
        }
    }
}
