use std::path::{Path, PathBuf};

use clap::Args;
use conformance::exit::Exit;
use conformance::report::html::write_side_by_side;

use super::Failure;
use super::compare::read;
use super::reports::Place;

#[derive(Args, Debug)]
pub(super) struct MatrixArguments {
    /// The reports to show side by side (JSON), each under its address or under a name
    #[arg(value_name = "[NAME=]FILE.json", num_args = 1.., required = true)]
    reports: Vec<String>,
    /// The page to write
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

/// Writes a page with several brokers side by side.
pub(super) fn matrix(arguments: &MatrixArguments) -> Result<Exit, Failure> {
    let reports = arguments.reports.iter().map(|text| match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => {
            read(Path::new(path)).map(|report| report.named(name))
        }
        _ => read(Path::new(text)),
    });
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    let path = &arguments.html;
    let told = |exit, error: std::io::Error| (exit, format!("{}: {error}", path.display()));
    let place = Place::at(path).map_err(|error| told(Exit::Usage, error))?;
    place
        .write(|out| write_side_by_side(&reports, out))
        .map_err(|error| told(Exit::Trouble, error))?;
    Ok(Exit::AsExpected)
}
