//! Holds the kept inputs to what they are kept for.

use std::fs;
use std::panic::catch_unwind;

use fuzz::{PROPERTIES, corpus};

#[test]
fn properties_hold_for_every_kept_input() {
    for property in PROPERTIES {
        let kept = corpus::kept(property.name).unwrap();
        assert!(!kept.is_empty(), "{}: nothing is kept", property.name);
        for seed in kept {
            let broken = catch_unwind(|| (property.check)(&seed.input));
            assert!(broken.is_ok(), "{} is broken by {}", property.name, seed.name);
        }
    }
}

#[test]
fn what_is_kept_is_small_and_of_targets_that_there_are() {
    let folder = corpus::file("any");
    let mut size = 0;
    for entry in fs::read_dir(folder.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        size += fs::metadata(&path).unwrap().len();
        let known = PROPERTIES.iter().any(|property| corpus::file(property.name) == path);
        assert!(known, "{} is of no target", path.display());
    }
    assert!(size <= corpus::LIMIT, "{size} bytes are kept, of at most {}", corpus::LIMIT);
}
