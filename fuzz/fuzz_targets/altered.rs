//! Feeds a property of the library; see there for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::an_altered_packet_is_judged_by_the_standard(
    input
));
