//! Choices by chance, the same for the same seed.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { state: seed }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One below the bound; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap_or(0)
    }

    /// So many of these, in their order.
    pub(crate) fn some_of<T>(&mut self, mut all: Vec<T>, count: usize) -> Vec<T> {
        let mut surplus = all.len().saturating_sub(count);
        // Each goes with the chance that it is among those that have to.
        let mut left = all.len();
        all.retain(|_| {
            let goes = self.below(left) < surplus;
            left -= 1;
            surplus -= usize::from(goes);
            !goes
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_size_its_order_and_every_member_by_turns() {
        let mut seen = [0; 10];
        for seed in 0..100 {
            let sample = Chance::new(seed).some_of((0..10).collect(), 3);
            assert_eq!(sample, Chance::new(seed).some_of((0..10).collect(), 3));
            assert!(sample.len() == 3 && sample.is_sorted(), "{sample:?}");
            sample.into_iter().for_each(|one: usize| seen[one] += 1);
        }
        assert!(seen.iter().all(|times| (15..=45).contains(times)), "{seen:?}");
        assert_eq!(Chance::new(1).some_of(vec![1, 2], 5), [1, 2]);
        assert!(Chance::new(1).some_of(vec![1, 2], 0).is_empty());
    }
}
