use clap::Args;
use conformance::exit::Exit;
use conformance::target::{Target, Variant};

use super::{Failure, interrupt, print};

#[derive(Args, Debug)]
pub(super) struct BrokerArguments {
    /// Where to listen for MQTT over TCP; port 0 for any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    listen: String,
    /// Break it in this way: an id of `mqttspec mutants --list`
    #[arg(long, value_name = "ID")]
    mutant: Option<String>,
    /// Take another choice that the standard leaves open; may be repeated
    #[arg(long = "switch", value_name = "NAME")]
    switches: Vec<String>,
}

/// Serves the reference broker until it is interrupted.
pub(super) fn broker(arguments: &BrokerArguments) -> Result<Exit, Failure> {
    let variant = variant(arguments).map_err(|error| (Exit::Usage, error))?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let fail = |error| (Exit::Trouble, format!("{}: {error}", arguments.listen));
        let interrupt = interrupt().map_err(fail)?;
        let server = variant.start();
        let address = server.listen(arguments.listen.as_str()).await.map_err(fail)?;
        let target = Target::Embedded(variant.clone());
        print(&format!("{target} at mqtt://{address}; Ctrl-C ends it\n"))?;
        interrupt.await;
        server.stop().await;
        Ok(Exit::AsExpected)
    })
}

fn variant(arguments: &BrokerArguments) -> Result<Variant, String> {
    let mutant = arguments.mutant.iter().map(|id| format!("mutant={id}"));
    let words: Vec<_> = mutant.chain(arguments.switches.iter().cloned()).collect();
    match words.is_empty() {
        true => Ok(Variant::default()),
        false => format!("?{}", words.join("&")).parse(),
    }
}
