use clap::Args;
use conformance::coverage::{rows, selected, with_mutants};
use conformance::exit::Exit;
use conformance::report::coverage;
use conformance::report::progress::Steps;
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
    let mut steps = None;
    let on_trial = |all| steps.get_or_insert_with(|| Steps::new(all, "mutants tried")).pass();
    let tried = runtime.block_on(with_mutants(rows, &options, on_trial));
    if let Some(steps) = steps {
        steps.done();
    }
    let rows = tried.map_err(|error| match error {
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
