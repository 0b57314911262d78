use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use conformance::exit::Exit;
use conformance::report::compare::compare as compared;
use conformance::report::read::Reread;

use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct CompareArguments {
    /// The earlier report (JSON)
    #[arg(value_name = "OLD.json")]
    earlier: PathBuf,
    /// The later report
    #[arg(value_name = "NEW.json")]
    later: PathBuf,
    /// In which form it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Text,
    Markdown,
}

/// Prints what got worse from one report to another, and what got better.
pub(super) fn compare(arguments: &CompareArguments) -> Result<Exit, Failure> {
    let comparison = compared(&read(&arguments.earlier)?, &read(&arguments.later)?);
    print(&match arguments.format {
        Form::Text => comparison.text(),
        Form::Markdown => comparison.markdown(),
    })?;
    Ok(match comparison.is_worse() {
        true => Exit::Unexpected,
        false if comparison.is_whole() => Exit::AsExpected,
        false => Exit::Trouble,
    })
}

pub(super) fn read(path: &Path) -> Result<Reread, Failure> {
    let usage = |what: String| (Exit::Usage, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    Reread::parse(&text).map_err(usage)
}
