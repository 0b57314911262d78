//! `mqttspec`: tells whether an MQTT 5.0 broker keeps the standard, and shows it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
