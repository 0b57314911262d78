//! Holds the kept dictionary to the codec's tables.

use std::{env, fs};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dict/mqtt.dict");

#[test]
fn the_dictionary_is_what_the_tables_say() {
    let made = fuzz::dictionary::text();
    if env::var_os("FUZZ_ACCEPT").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    let kept = fs::read_to_string(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    let changed = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert_eq!(changed, None, "the tables say the first; FUZZ_ACCEPT=1 writes it to {FILE}");
    assert_eq!(made, kept, "the tables say the first; FUZZ_ACCEPT=1 writes it to {FILE}");
}
