//! The command line: reads arguments, calls the library, prints. Nothing else of the project does
//! either.

mod explain;
mod list;
mod repeat;
mod run;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conformance::exit::Exit;

#[derive(Debug, Parser)]
#[command(
    name = "mqttspec",
    version,
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
    Run(run::RunArguments),
    /// List scenarios.
    List(list::ListArguments),
    /// Explain a scenario, a requirement, a property or a reason code.
    Explain(explain::ExplainArguments),
}

/// Why a command ended early: what to say, and the exit code.
type Failure = (Exit, String);

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or_else(|| Command::Run(run::RunArguments::default()));
    let done = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
    };
    let exit = done.unwrap_or_else(|(exit, message)| {
        // When even standard error is gone, the exit code still tells.
        let _ = writeln!(io::stderr(), "mqttspec: {message}");
        exit
    });
    exit.into()
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(Exit::AsExpected),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::AsExpected),
        Err(error) => Err((Exit::Trouble, format!("standard output: {error}"))),
    }
}
