//! Runs every property over what fuzzing begins with, over the inputs that once broke it, and over inputs
//! of a generator, without a fuzzer.

use std::panic::catch_unwind;

use fuzz::{PROPERTIES, Property, seed};

/// How many inputs of the generator each property gets.
const GENERATED: u64 = 4_000;

/// Those of `topic_match` take hundreds of steps each.
const GENERATED_TOPICS: u64 = 800;

#[test]
fn properties_hold_for_what_fuzzing_begins_with() {
    for property in PROPERTIES {
        let seeds = seed::all(&property).unwrap();
        for (number, input) in seeds.iter().enumerate() {
            run(property, input, &format!("seed {number}"));
        }
        let least = if seed::others(property.name).unwrap().is_empty() { 100 } else { 5 };
        assert!(seeds.len() >= least, "{}: only {} seeds", property.name, seeds.len());
    }
}

#[test]
fn properties_hold_for_what_once_broke_them() {
    for property in PROPERTIES {
        // A folder that is missing would make this test pass for nothing.
        for regression in seed::regressions(property.name).unwrap() {
            run(property, &regression.input, &regression.name);
        }
    }
}

#[test]
fn decode_holds_for_generated_inputs() {
    run_generated("decode");
}

#[test]
fn altered_holds_for_generated_inputs() {
    run_generated("altered");
}

#[test]
fn witness_holds_for_generated_inputs() {
    run_generated("witness");
}

#[test]
fn re_encode_holds_for_generated_inputs() {
    run_generated("re_encode");
}

#[test]
fn stream_holds_for_generated_inputs() {
    run_generated("stream");
}

#[test]
fn round_trip_holds_for_generated_inputs() {
    run_generated("round_trip");
}

#[test]
fn core_holds_for_generated_inputs() {
    run_generated("core");
}

#[test]
fn texts_hold_for_generated_inputs() {
    for name in ["trace_parse", "script_parse", "register", "settings", "url"] {
        run_generated(name);
    }
}

#[test]
fn topics_hold_for_generated_inputs() {
    run_generated("topic_match");
}

#[test]
fn websocket_holds_for_generated_inputs() {
    run_generated("websocket");
}

#[test]
fn authentication_holds_for_generated_inputs() {
    run_generated("scram");
    run_generated("challenge");
}

#[test]
fn the_core_says_the_same_each_time() {
    for number in 0..200 {
        let mut random = Random(number);
        let input: Vec<u8> = (0..random.below(2_000)).map(|_| random.byte()).collect();
        assert!(fuzz::play(&input) == fuzz::play(&input), "generated input {number}");
    }
}

/// Runs a property over inputs that are the same each time: half of them random, half of them seeds
/// with a few bytes changed.
fn run_generated(name: &str) {
    let property = *PROPERTIES.iter().find(|property| property.name == name).unwrap();
    let seeds = seed::all(&property).unwrap().into_iter();
    let seeds: Vec<_> = seeds.filter(|seed| seed.len() < 4_096).collect();
    let count = if name == "topic_match" { GENERATED_TOPICS } else { GENERATED };
    // A few bytes are an act of `core`.
    let longest = if name == "core" { 600 } else { 2_000 };
    for number in 0..count {
        let mut random = Random(number);
        let mut input = match number % 2 {
            0 => (0..random.below(longest)).map(|_| random.byte()).collect(),
            _ => seeds[random.below(seeds.len())].clone(),
        };
        for _ in 0..random.below(4) {
            let at = random.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte = random.byte();
            }
        }
        run(property, &input, &format!("generated input {number}"));
    }
}

/// Runs a property over one input and names the input if it breaks.
fn run(Property { name, check, .. }: Property, input: &[u8], of: &str) {
    let broken = catch_unwind(|| check(input));
    assert!(broken.is_ok(), "{name} is broken by {of}: {input:02x?}");
}

/// A row of numbers that is always the same (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0).checked_rem(count).unwrap_or(0)
    }
}
