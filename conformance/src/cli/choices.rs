use std::time::Duration;

use clap::{Args, ValueEnum};
use conformance::differential::{Asking, Portrait, paint};
use conformance::exit::Exit;
use conformance::report::portrait;
use conformance::target::Target;

use super::reach::ReachArguments;
use super::run::{at_least_one, prefix, token};
use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ChoicesArguments {
    /// The broker whose portrait is made; of two, only where they part ways is told
    #[arg(value_name = "TARGET", num_args = 0..=2, default_value = "embedded:")]
    targets: Vec<Target>,
    /// In which form it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How many scripts are played at once on a broker at an address
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    jobs: usize,
    /// How long to wait there for what comes of a step on the embedded broker
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Begin all topics with this
    #[arg(long, value_name = "PREFIX", default_value = "mqttspec", value_parser = prefix)]
    topic_prefix: String,
    #[command(flatten)]
    reach: ReachArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
}

/// Prints what a broker does wherever the standard leaves it open, or where two part ways in that.
pub(super) fn choices(arguments: &ChoicesArguments) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    let portraits = arguments.targets.iter().map(|target| {
        let (target, _) = arguments.reach.apply(target.clone())?;
        runtime.block_on(painted(arguments, &target))
    });
    let portraits = portraits.collect::<Result<Vec<_>, _>>()?;
    print(&match &portraits[..] {
        [one, two] => match arguments.format {
            Format::Text => portrait::partings_text(one, two),
            Format::Markdown => portrait::partings_markdown(one, two),
            Format::Json => format!("{:#}\n", portrait::partings_json(one, two)),
        },
        portraits => portraits.iter().fold(String::new(), |text, one| {
            text + &match arguments.format {
                Format::Text => portrait::text(one),
                Format::Markdown => portrait::markdown(one),
                Format::Json => format!("{:#}\n", portrait::json(one)),
            }
        }),
    })
}

async fn painted(arguments: &ChoicesArguments, target: &Target) -> Result<Portrait, Failure> {
    let asking = Asking {
        topic_prefix: arguments.topic_prefix.clone(),
        token: token(target),
        patience: arguments.patience,
        jobs: arguments.jobs,
    };
    let painted = paint(target, &asking).await;
    painted.map_err(|why| (Exit::Trouble, format!("{target} {why}")))
}
