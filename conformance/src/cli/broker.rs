use clap::Args;
use conformance::exit::Exit;
use conformance::flaw;
use conformance::target::{Target, Variant};
use reference_broker::command::{self, Variation};

use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct AnyBrokerArguments {
    #[command(flatten)]
    broker: command::BrokerArguments,
    /// Break it in this way: an id of `mqttspec mutants --list`
    #[arg(long, value_name = "ID")]
    mutant: Option<String>,
    /// Take another choice that the standard leaves open; may be repeated
    #[arg(long = "switch", value_name = "NAME")]
    switches: Vec<String>,
    /// Break it so that it crashes, hangs, leaks or starves others when it meets something that `mqttspec
    /// fuzz` sends; an unknown name lists them all
    #[arg(long, value_name = "NAME")]
    flaw: Option<String>,
}

/// Serves the reference broker until it is interrupted.
pub(super) fn broker(arguments: &AnyBrokerArguments) -> Result<Exit, Failure> {
    let variant = variant(arguments).map_err(|error| (Exit::Usage, error))?;
    if variant != Variant::default() {
        print(&format!("{}\n", Target::Embedded(variant.clone())))?;
    }
    let flaw = arguments.flaw.as_deref().map(flaw::find).transpose();
    let flaw = flaw.map_err(|error| (Exit::Usage, error))?;
    let chosen = variant.clone();
    let variation = Variation {
        configure: Box::new(move |config| chosen.configure(config)),
        engine: Box::new(move |config| match flaw {
            Some(flaw) => flaw.engine(variant.engine(config)),
            None => variant.engine(config),
        }),
    };
    match command::start(&arguments.broker, variation) {
        Ok(()) => Ok(Exit::AsExpected),
        Err(command::Failure::Usage(what)) => Err((Exit::Usage, what)),
        Err(command::Failure::Trouble(what)) => Err((Exit::Trouble, what)),
    }
}

fn variant(arguments: &AnyBrokerArguments) -> Result<Variant, String> {
    let mutant = arguments.mutant.iter().map(|id| format!("mutant={id}"));
    let words: Vec<_> = mutant.chain(arguments.switches.iter().cloned()).collect();
    if words.is_empty() {
        return Ok(Variant::default());
    }
    let variant: Variant = format!("?{}", words.join("&")).parse()?;
    variant.served()?;
    Ok(variant)
}
