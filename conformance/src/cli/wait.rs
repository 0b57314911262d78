use std::time::{Duration, Instant};

use clap::Args;
use conformance::exit::Exit;
use conformance::target::{Connector, Target, answers};

use super::reach::ReachArguments;
use super::{Failure, print};

/// How long a single answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a broker that is not there yet is left alone.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub(super) struct WaitArguments {
    /// Where the broker is: mqtt://host:port, wss://user:password@host/path and the like
    url: String,
    /// How long to wait, such as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    reach: ReachArguments,
}

/// Waits until a broker answers a CONNECT.
pub(super) fn wait(arguments: WaitArguments) -> Result<Exit, Failure> {
    let trouble = |what: String| (Exit::Trouble, what);
    let WaitArguments { url, timeout, reach } = arguments;
    let target: Target = url.parse().map_err(|error| (Exit::Usage, error))?;
    let (target, _) = reach.apply(target)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| trouble(format!("cannot start: {error}")))?;
    let begun = Instant::now();
    runtime.block_on(async {
        let connector = Connector::new(&target)
            .await
            .map_err(|error| trouble(format!("cannot wait for {target}: {error}")))?;
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let why = match answers(&connector, PATIENCE.min(left)).await {
                Ok(()) => break,
                Err(why) => why,
            };
            if why.is_final() {
                return Err(trouble(format!("{target} {why}")));
            }
            if begun.elapsed() + PAUSE >= timeout {
                let within = humantime::format_duration(timeout);
                return Err(trouble(format!("not ready within {within}: {target} {why}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    })?;
    print(&format!("{target} answers (after {:.1} s)\n", begun.elapsed().as_secs_f64()))
}
