use clap::Args;
use conformance::coverage::{rows, selected, with_mutants};
use conformance::exit::Exit;
use conformance::report::coverage;
use conformance::runner::RunError;

use super::{Failure, in_memory, print};

#[derive(Args, Debug)]
pub(super) struct CoverageArguments {
    /// Only of these sections or requirements, which may be globs
    names: Vec<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
    /// List the requirements that nothing covers
    #[arg(long)]
    open: bool,
}

/// Says what of the register is covered. Tries every mutant of it.
pub(super) fn coverage(arguments: &CoverageArguments) -> Result<Exit, Failure> {
    let rows = selected(rows(), &arguments.names)
        .map_err(|name| (Exit::Usage, format!("'{name}' is no section and no requirement")))?;
    let (runtime, options) = in_memory()?;
    let rows = runtime.block_on(with_mutants(rows, &options)).map_err(|error| match error {
        RunError::Unusable(why) => (Exit::Trouble, format!("the embedded broker {why}")),
        RunError::Trouble(error) => (Exit::Trouble, format!("cannot run: {error}")),
    })?;
    runtime.shutdown_background();
    match (arguments.json, arguments.markdown) {
        (true, _) => print(&coverage::json(&rows)),
        (_, true) => print(&coverage::markdown(&rows)),
        _ => print(&coverage::text(&rows, arguments.open)),
    }
}
