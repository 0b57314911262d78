//! Feeds a property of the library; see there for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::a_stream_is_read_alike_however_it_is_split(input));
