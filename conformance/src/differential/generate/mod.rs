//! Scripts by chance, the same for the same seed.
//!
//! What clients do is drawn first, as plain data (`moves`), and then written down while it is played on
//! the embedded broker (`writer`), so that what depends on its answers (which message to acknowledge,
//! what to release) meets something.

mod broken;
mod moves;
mod tables;
mod writer;

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};
use reference_broker::core::Config;

use crate::script::{Script, audit};

use moves::Move;
use writer::Writer;

/// Makes scripts.
pub struct Generator {
    runner: TestRunner,
    moves: BoxedStrategy<Vec<Move>>,
    config: Config,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Generator {
    /// The scripts of a seed, for a broker that announces what this configuration does.
    pub fn new(seed: u64, config: Config) -> Generator {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
        Generator { runner, moves: moves::moves(), config }
    }

    /// The next script, with its audit.
    pub fn script(&mut self) -> Script {
        // Nothing is ever rejected by these strategies.
        let tree = self.moves.new_tree(&mut self.runner);
        let moves = tree.map(|tree| tree.current()).unwrap_or_default();
        let mut writer = Writer::new(&self.config);
        moves.iter().for_each(|one| writer.write(one));
        let mut script = writer.into_script();
        script.steps.extend(audit(&script));
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{parse, to_text};

    #[test]
    fn the_same_seed_gives_the_same_scripts() {
        let scripts = |seed| {
            let mut generator = Generator::new(seed, Config::default());
            std::iter::repeat_with(|| generator.script()).take(20).collect::<Vec<_>>()
        };
        assert_eq!(scripts(7), scripts(7));
        assert_ne!(scripts(7), scripts(8));
        for script in scripts(9) {
            assert_eq!(parse(&to_text(&script)).unwrap(), script);
        }
    }
}
