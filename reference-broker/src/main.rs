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
    match command::start(&arguments.broker, Variation::none()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => told(&what, 2),
        Err(Failure::Trouble(what)) => told(&what, 3),
    }
}

fn told(what: &str, code: u8) -> ExitCode {
    eprintln!("reference-broker: {what}");
    ExitCode::from(code)
}
