//! Feeds a property of the library; see there for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::topics_match_as_a_list_would(input));
