use super::{Switch, all};

/// Mixtures of switches by chance, the same for the same seed. None holds switches that exclude each
/// other.
#[derive(Clone, Debug)]
pub struct Mixtures {
    /// SplitMix64.
    state: u64,
}

/// How many switches a mixture has.
const FEWEST: usize = 2;
const MOST: usize = 8;

impl Mixtures {
    /// Those of a seed.
    pub fn new(seed: u64) -> Mixtures {
        Mixtures { state: seed }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }
}

impl Iterator for Mixtures {
    type Item = Vec<&'static Switch>;

    fn next(&mut self) -> Option<Vec<&'static Switch>> {
        let size = FEWEST + self.below(MOST - FEWEST + 1);
        let mut rest: Vec<&'static Switch> = all().iter().collect();
        let mut mixture: Vec<&'static Switch> = Vec::new();
        while mixture.len() < size && !rest.is_empty() {
            let chosen = rest.swap_remove(self.below(rest.len()));
            rest.retain(|switch| !switch.excludes(chosen));
            mixture.push(chosen);
        }
        mixture.sort_by_key(|switch| super::place(switch));
        Some(mixture)
    }
}
