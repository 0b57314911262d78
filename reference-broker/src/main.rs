//! The reference broker on its own.

use std::process::ExitCode;

use clap::Parser;
use reference_broker::command::{self, BrokerArguments, Failure, Variation};

/// An MQTT 5.0 broker to measure other brokers against
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    broker: BrokerArguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(&arguments.broker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => told(&what, 2),
        Err(Failure::Trouble(what)) => told(&what, 3),
    }
}

fn serve(arguments: &BrokerArguments) -> Result<(), Failure> {
    command::log();
    let trouble = |error: std::io::Error| Failure::Trouble(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Runtime::new().map_err(trouble)?;
    runtime.block_on(async {
        let interrupt = command::interrupt().map_err(trouble)?;
        command::run(arguments, Variation::none(), interrupt).await
    })
}

fn told(what: &str, code: u8) -> ExitCode {
    eprintln!("reference-broker: {what}");
    ExitCode::from(code)
}
