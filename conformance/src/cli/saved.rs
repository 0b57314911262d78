//! Findings in a folder, a script each.

use std::io;
use std::path::{Path, PathBuf};

use conformance::exit::Exit;

use super::Failure;

/// How many letters of a name are in that of its file.
const LETTERS: usize = 60;

/// A folder that is there; made, if it was not.
pub(super) fn folder(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))
}

/// Writes a script by the number and the name of what it shows; gives where it is.
pub(super) fn script(
    folder: &Path,
    number: usize,
    name: &str,
    text: &str,
) -> Result<PathBuf, Failure> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-.+".contains(letter);
    let word = name.chars().map(|it| if is_plain(it) { it } else { '-' });
    let word: String = word.take(LETTERS).collect();
    let path = folder.join(format!("{number:03}-{word}.script"));
    write(&path, text)?;
    Ok(path)
}

/// Writes a file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    (Exit::Trouble, format!("{}: {error}", path.display()))
}
