//! The lists of known deviations that a run reads and writes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use conformance::deviation::{self, KnownDeviations};
use conformance::exit::Exit;
use conformance::report::Report;
use conformance::scenario;

use super::Failure;
use super::reports::Place;
use super::run::RunArguments;

/// No list of known deviations has more bytes.
const LONGEST_LIST: u64 = 1 << 20;

pub(super) fn known_deviations(arguments: &RunArguments) -> Result<KnownDeviations, Failure> {
    let Some(path) = &arguments.known_deviations else { return Ok(KnownDeviations::default()) };
    let fail = |error: String| (Exit::Usage, format!("{}: {error}", path.display()));
    let text = read_list(path).map_err(|error| fail(error.to_string()))?;
    let ids: Vec<_> = scenario::all().iter().map(|scenario| scenario.id).collect();
    KnownDeviations::parse(&text, &ids).map_err(|error| fail(error.to_string()))
}

/// The place for the list that is to be written, which may be that of the one that was read.
pub(super) fn new_list(arguments: &RunArguments) -> Result<Option<Place>, Failure> {
    let Some(path) = &arguments.write_known_deviations else { return Ok(None) };
    let place = Place::at(path);
    place.map(Some).map_err(|error| (Exit::Usage, format!("{}: {error}", path.display())))
}

pub(super) fn write_list(
    place: &Place,
    report: &Report,
    old: &KnownDeviations,
) -> Result<(), Failure> {
    let written = place.write(|mut out| deviation::write(report, old, &mut out));
    written.map_err(|error| (Exit::Trouble, format!("{place}: {error}")))
}

/// Files that no report may take the place of.
pub(super) fn lists(arguments: &RunArguments) -> Vec<&Path> {
    let lists = [&arguments.known_deviations, &arguments.write_known_deviations];
    lists.into_iter().flatten().map(PathBuf::as_path).collect()
}

/// Reads a list of deviations, which is written by hand: what is longer than any hand writes is
/// refused before it fills memory.
fn read_list(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LONGEST_LIST + 1).read_to_string(&mut text)?;
    match u64::try_from(read) {
        Ok(..=LONGEST_LIST) => Ok(text),
        _ => {
            Err(io::Error::other(format!("more than {LONGEST_LIST} bytes: no list of deviations")))
        }
    }
}
