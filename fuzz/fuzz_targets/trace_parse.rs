//! Feeds a property of the library; see there for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::a_trace_is_written_as_it_is_read(input));
