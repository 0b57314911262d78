//! Feeds a property of the library; see there for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::other_decoders_bear_witness(input));
