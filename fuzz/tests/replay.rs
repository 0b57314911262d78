//! Replays every property over the packet vectors and over the inputs that once broke it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use fuzz::{PROPERTIES, replay};
use reference_broker::codec::vector;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn properties_hold_for_every_packet_vector() {
    for folder in ["valid", "malformed"] {
        let files = files(&Path::new(ROOT).join("fixtures/packets").join(folder));
        assert!(!files.is_empty(), "no vectors in {folder}");
        for (name, text) in files {
            let text = String::from_utf8(text.to_vec()).unwrap();
            for vector in vector::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}")) {
                for (_, property) in PROPERTIES {
                    replay(property, &vector.name, &vector.bytes);
                }
            }
        }
    }
}

#[test]
fn properties_hold_for_what_once_broke_them() {
    for (target, property) in PROPERTIES {
        // A folder that is missing would make this test pass for nothing.
        let folder = Path::new(ROOT).join("fuzz/regressions").join(target);
        for (name, input) in files(&folder) {
            replay(property, &name, &input);
        }
    }
}

fn files(folder: &Path) -> Vec<(String, Bytes)> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap().into())).collect()
}
