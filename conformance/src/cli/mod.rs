//! The command line: reads arguments, calls the library, prints. Nothing else of the project does
//! either.

mod broker;
mod chameleon;
mod choices;
mod compare;
mod coverage;
mod diff;
#[cfg(test)]
mod documented;
mod explain;
mod files;
mod fuzz;
mod list;
mod lists;
mod matrix;
mod mutants;
mod reach;
mod repeat;
mod replay;
mod reports;
mod repro;
mod run;
mod saved;
mod secret;
mod several;
mod shell;
mod target;
mod wait;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand, ValueEnum};
use conformance::exit::Exit;
use conformance::runner::Options;
use tokio::runtime::Runtime;

#[derive(Debug, Parser)]
#[command(
    name = "mqttspec",
    version,
    max_term_width = 100,
    about = "Tells whether an MQTT 5.0 broker keeps the standard, and shows it.",
    long_about = "Tells whether an MQTT 5.0 broker keeps the standard, and shows it.\n\n\
        Without a command it runs the whole suite against the reference broker in this process."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios against a broker.
    Run(Box<run::RunArguments>),
    /// Wait until a broker answers, before something else is begun.
    Wait(wait::WaitArguments),
    /// Prove the suite: try it on brokers that are broken on purpose.
    Mutants(mutants::MutantsArguments),
    /// Prove the suite: try it on brokers that take other choices that the standard allows.
    Chameleon(chameleon::ChameleonArguments),
    /// Play the same scripts on two brokers, and tell where they part ways and why.
    Diff(Box<diff::DiffArguments>),
    /// Send hostile traffic to a broker that runs, and tell what breaks it.
    Fuzz(Box<fuzz::FuzzArguments>),
    /// Print what a broker does wherever the standard leaves it open, or where two part ways in that.
    Choices(choices::ChoicesArguments),
    /// Tell what got worse from one JSON report to another, and what got better.
    Compare(compare::CompareArguments),
    /// Show several brokers side by side, as a page, from their JSON reports.
    Matrix(matrix::MatrixArguments),
    /// Play a script, or the clients of any trace, on a broker.
    Replay(replay::ReplayArguments),
    /// Print a Python program, or an issue, that shows how a scenario fails on a broker.
    Repro(Box<repro::ReproArguments>),
    /// List scenarios, oracles or switches.
    List(list::ListArguments),
    /// Show what of the standard's requirements is covered, and by what.
    Coverage(coverage::CoverageArguments),
    /// Serve the reference broker, whole or broken on purpose.
    Broker(broker::AnyBrokerArguments),
    /// Explain whatever has a name here: sections, scenarios, requirements, causes, mutants, switches and so on.
    Explain(explain::ExplainArguments),
    /// Print a script by which a shell completes commands.
    Completions(shell::CompletionsArguments),
    /// Print the manual page.
    Man(shell::ManArguments),
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Why a command ended early: what to say, and the exit code.
type Failure = (Exit, String);

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse_from(secret::arguments());
    let command = arguments.command.unwrap_or_else(|| Command::Run(Box::default()));
    let done = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Wait(arguments) => wait::wait(arguments),
        Command::Mutants(arguments) => mutants::mutants(&arguments),
        Command::Chameleon(arguments) => chameleon::chameleon(&arguments),
        Command::Diff(arguments) => diff::diff(&arguments),
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Command::Choices(arguments) => choices::choices(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Matrix(arguments) => matrix::matrix(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Repro(arguments) => repro::repro(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Coverage(arguments) => coverage::coverage(&arguments),
        Command::Broker(arguments) => broker::broker(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
    };
    let exit = done.unwrap_or_else(|(exit, message)| {
        // When even standard error is gone, the exit code still tells.
        let _ = writeln!(io::stderr(), "mqttspec: {message}");
        exit
    });
    exit.into()
}

/// What runs on embedded brokers in memory need.
fn in_memory() -> Result<(Runtime, Options), Failure> {
    let runtime =
        Runtime::new().map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    // Each scenario keeps a processor busy; none waits.
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    Ok((
        runtime,
        Options { jobs, timeout_scale: 1.0, token: "memory".to_owned(), ..Options::default() },
    ))
}

/// A seed that nobody chose.
fn by_chance() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    u64::try_from(since % 1_000_000).unwrap_or(0)
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(Exit::AsExpected),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::AsExpected),
        Err(error) => Err((Exit::Trouble, format!("standard output: {error}"))),
    }
}
