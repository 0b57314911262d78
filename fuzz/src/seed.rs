//! Inputs to begin with: the packet vectors of `fixtures/packets`, in the form each target reads, and what
//! targets have of their own that are about something else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reference_broker::codec::Side;
use reference_broker::codec::vector::{self, Vector};

use crate::{Property, authentication, core, settings, texts, topics, url, websocket};

/// The folder of this project.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A vector as an input of one target.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The name of the vector.
    pub name: String,
    /// The input.
    pub input: Vec<u8>,
}

/// All packet vectors, valid and malformed.
///
/// # Errors
///
/// When a folder or a file cannot be read, has no vectors, or is not of their form.
pub fn vectors() -> io::Result<Vec<Vector>> {
    let mut vectors = Vec::new();
    for folder in ["valid", "malformed"] {
        let folder = Path::new(ROOT).join("fixtures/packets").join(folder);
        let before = vectors.len();
        for file in files(&folder)? {
            let of_file = vector::parse(&fs::read_to_string(&file)?);
            let named = |error| invalid(&file, &format!("{error}"));
            vectors.extend(of_file.map_err(named)?);
        }
        if vectors.len() == before {
            return Err(invalid(&folder, "no vectors"));
        }
    }
    Ok(vectors)
}

/// The inputs that once broke the property of this name.
///
/// # Errors
///
/// When their folder or a file of it cannot be read.
pub fn regressions(target: &str) -> io::Result<Vec<Seed>> {
    let folder = Path::new(ROOT).join("fuzz/regressions").join(target);
    let named =
        |file: PathBuf| Ok(Seed { input: fs::read(&file)?, name: file.display().to_string() });
    files(&folder)?.into_iter().map(named).collect()
}

/// A vector as the bytes of `decode`.
pub(crate) fn for_decode(vector: &Vector) -> Option<Vec<u8>> {
    Some(vector.bytes.to_vec())
}

/// A vector as an input of `stream`: twice over, in pieces of three and of five bytes, with a limit that
/// does not matter.
pub(crate) fn for_stream(vector: &Vector) -> Option<Vec<u8>> {
    Some([&[32, 1, 3, 5][..], &vector.bytes, &vector.bytes].concat())
}

/// A vector as choices for `round_trip`, which take any bytes: who sends it, and what it has.
pub(crate) fn for_round_trip(vector: &Vector) -> Option<Vec<u8>> {
    let from = u8::from(vector.from() == Ok(Side::Server));
    Some([&[from][..], &vector.bytes].concat())
}

/// A vector as choices for `altered`, without an alteration.
pub(crate) fn for_altered(vector: &Vector) -> Option<Vec<u8>> {
    let from = u8::from(vector.from() == Ok(Side::Server));
    Some([&[from, 0][..], &vector.bytes].concat())
}

/// No vector is of use.
pub(crate) fn none(_: &Vector) -> Option<Vec<u8>> {
    None
}

/// What the target of this name has to begin with besides vectors.
///
/// # Errors
///
/// When a file that is to begin with cannot be read.
pub fn others(target: &str) -> io::Result<Vec<Vec<u8>>> {
    Ok(match target {
        "core" => core::scripts()?,
        "topic_match" => topics::seeds(),
        "websocket" => websocket::seeds(),
        "trace_parse" => texts::traces()?,
        "script_parse" => texts::scripts()?,
        "register" => texts::registers()?,
        "settings" => settings::seeds(),
        "url" => url::seeds(),
        "scram" => authentication::scram_seeds(),
        "challenge" => authentication::challenge_seeds(),
        _ => Vec::new(),
    })
}

/// All that fuzzing of a target begins with, but for what once broke it.
///
/// # Errors
///
/// As [`vectors`] and [`others`].
pub fn all(property: &Property) -> io::Result<Vec<Vec<u8>>> {
    let of_vectors: Vec<Vec<u8>> = vectors()?.iter().filter_map(property.seed).collect();
    Ok(of_vectors.into_iter().chain(others(property.name)?).collect())
}

pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| invalid(folder, &error.to_string()))?;
    let paths: io::Result<Vec<PathBuf>> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files: Vec<PathBuf> = paths?.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

pub(crate) fn invalid(path: &Path, problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", path.display()))
}
