use super::{Switch, all};
use crate::chance::Chance;

/// Mixtures of switches by chance, the same for the same seed. None holds switches that exclude each
/// other.
#[derive(Clone, Debug)]
pub struct Mixtures {
    chance: Chance,
}

/// How many switches a mixture has.
const FEWEST: usize = 2;
const MOST: usize = 8;

impl Mixtures {
    /// Those of a seed.
    pub fn new(seed: u64) -> Mixtures {
        Mixtures { chance: Chance::new(seed) }
    }
}

impl Iterator for Mixtures {
    type Item = Vec<&'static Switch>;

    fn next(&mut self) -> Option<Vec<&'static Switch>> {
        let size = FEWEST + self.chance.below(MOST - FEWEST + 1);
        let mut rest: Vec<&'static Switch> = all().iter().collect();
        let mut mixture: Vec<&'static Switch> = Vec::new();
        while mixture.len() < size && !rest.is_empty() {
            let chosen = rest.swap_remove(self.chance.below(rest.len()));
            rest.retain(|switch| !switch.excludes(chosen));
            mixture.push(chosen);
        }
        mixture.sort_by_key(|switch| super::place(switch));
        Some(mixture)
    }
}
