//! The inputs that are kept because each of them reaches what no other does: `fixtures/corpus`, a file a
//! target, in which a line is an input in Base64. So they are in few files, and what changes is seen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::seed::{ROOT, Seed, invalid};

/// What all files may have together, in bytes.
pub const LIMIT: u64 = 5 << 20;

/// The file of a target.
pub fn file(target: &str) -> PathBuf {
    Path::new(ROOT).join("fixtures/corpus").join(format!("{target}.txt"))
}

/// The inputs that are kept for a target.
///
/// # Errors
///
/// When its file cannot be read, or a line of it is no Base64.
pub fn kept(target: &str) -> io::Result<Vec<Seed>> {
    let file = file(target);
    let text = fs::read_to_string(&file).map_err(|error| invalid(&file, &error.to_string()))?;
    let input = |(index, line): (usize, &str)| {
        let name = format!("{}:{}", file.display(), index + 1);
        let input = STANDARD.decode(line).map_err(|error| invalid(&file, &error.to_string()))?;
        Ok(Seed { name, input })
    };
    text.lines().enumerate().map(input).collect()
}

/// Keeps these inputs for a target, in the place of those that are kept.
///
/// # Errors
///
/// When its file cannot be written.
pub fn keep(target: &str, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.sort_by_key(|input| (input.len(), input.clone()));
    inputs.dedup();
    let lines: Vec<String> = inputs.iter().map(|input| STANDARD.encode(input) + "\n").collect();
    fs::write(file(target), lines.concat())
}
