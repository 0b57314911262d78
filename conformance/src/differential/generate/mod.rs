//! Scripts by chance, the same for the same seed.
//!
//! What clients do is drawn first (`drawing`), as plain data (`moves`), and then written down while it is played on
//! the embedded broker (`writer`), so that what depends on its answers (which message to acknowledge,
//! what to release) meets something.

mod acknowledging;
mod broken;
mod connecting;
mod drawing;
mod focus;
mod messages;
mod moves;
mod odd;
mod proof;
mod publishing;
mod tables;
mod world;
mod writer;

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};
use reference_broker::core::Config;

use crate::script::{Place, Script, audit};

use world::World;
use writer::Writer;

pub use world::Worlds;

/// Makes scripts.
pub struct Generator {
    runner: TestRunner,
    worlds: BoxedStrategy<World>,
    config: Config,
    coarse: bool,
    place: Option<Place>,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Generator {
    /// The scripts of a seed, for a broker that announces what this configuration does, and others too.
    pub fn new(seed: u64, config: Config, worlds: Worlds) -> Generator {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
        let coarse = worlds.is_of_a_target();
        Generator { runner, worlds: worlds.strategy(), config, coarse, place: None }
    }

    /// The same scripts, where sizes come out as they should in places like this one.
    #[must_use]
    pub fn in_place(self, place: Place) -> Generator {
        Generator { place: Some(place), ..self }
    }

    /// The next script, with its audit.
    pub fn script(&mut self) -> Script {
        let mut script = self.session();
        script.steps.extend(audit(&script));
        script
    }

    /// The next script without an audit.
    pub fn session(&mut self) -> Script {
        let world = self.draw(&self.worlds.clone()).unwrap_or(World::Plain);
        let conditions = self.draw(&world.conditions()).unwrap_or_default();
        let focus = self.draw(&focus::focus(world, self.coarse));
        let moves = focus.and_then(|focus| self.draw(&drawing::moves(focus))).unwrap_or_default();
        let mut writer = Writer::new(&self.config, &conditions, self.place.clone());
        moves.iter().for_each(|one| writer.write(one));
        writer.into_script()
    }

    /// A value of a strategy; none is ever rejected.
    fn draw<T: std::fmt::Debug>(&mut self, from: &BoxedStrategy<T>) -> Option<T> {
        from.new_tree(&mut self.runner).ok().map(|tree| tree.current())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::BytesMut;
    use reference_broker::codec::Packet;

    use super::*;
    use crate::script::{Act, parse, to_text};

    #[test]
    fn remaining_lengths_come_to_the_borders_where_scripts_are_played() {
        let clients = "tx000000x".to_owned();
        let place = Place { topics: "mqttspec/t/000000".to_owned(), clients };
        let generator = Generator::new(3, Config::default(), Worlds::all());
        let mut generator = generator.in_place(place.clone());
        let mut met = BTreeSet::new();
        for script in std::iter::repeat_with(|| generator.script()).take(300) {
            for step in place.script(&script).steps {
                if let Act::Send(packet @ Packet::Publish(_)) = step.act {
                    let mut bytes = BytesMut::new();
                    packet.encode(&mut bytes).unwrap();
                    let length = bytes.iter().skip(1).take_while(|byte| **byte > 127).count() + 1;
                    met.insert(bytes.len() - 1 - length);
                }
            }
        }
        for border in [127, 128, 16_383, 16_384, 65_535, 65_536] {
            assert!(met.contains(&border), "{border}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_scripts() {
        let scripts = |seed| {
            let mut generator = Generator::new(seed, Config::default(), Worlds::all());
            std::iter::repeat_with(|| generator.script()).take(20).collect::<Vec<_>>()
        };
        assert_eq!(scripts(7), scripts(7));
        assert_ne!(scripts(7), scripts(8));
        for script in scripts(9) {
            assert_eq!(parse(&to_text(&script)).unwrap(), script);
        }
    }
}
