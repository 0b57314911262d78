use std::time::Duration;

use clap::{Args, ValueEnum};
use conformance::differential::{Asking, Portrait, paint};
use conformance::exit::Exit;
use conformance::report::portrait;

use super::reach::ReachArguments;
use super::run::{at_least_one, prefix, token};
use super::target::{TargetArguments, Tested};
use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ChoicesArguments {
    /// The broker whose portrait is made; of two, only where they part ways is told
    #[arg(value_name = "TARGET", num_args = 0..=2)]
    targets: Vec<String>,
    /// In which form it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How many scripts are played at once on a broker at an address
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    jobs: usize,
    /// How long to wait there for what comes of a step on the embedded broker
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The prefix of all topics [default: mqttspec, or what the target file says]
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    topic_prefix: Option<String>,
    #[command(flatten)]
    reach: ReachArguments,
    #[command(flatten)]
    started: TargetArguments,
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
    let tested = match &arguments.targets[..] {
        [one, two] if !arguments.started.names_one() => {
            let tested = |target| TargetArguments::default().tested(Some(target), &arguments.reach);
            vec![tested(one)?, tested(two)?]
        }
        [_, _] => {
            let wrong = "two brokers are named by their addresses, without --target or --start";
            return Err((Exit::Usage, wrong.to_owned()));
        }
        targets => {
            let first = targets.first().map(String::as_str);
            vec![arguments.started.tested(first, &arguments.reach)?]
        }
    };
    let portraits = tested.into_iter().map(|tested| runtime.block_on(painted(arguments, tested)));
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

/// The portrait of a broker, which is started for it if need be.
async fn painted(arguments: &ChoicesArguments, tested: Tested) -> Result<Portrait, Failure> {
    let name = tested.name.clone();
    let asking = Asking {
        topic_prefix: tested.topic_prefix(arguments.topic_prefix.as_deref()),
        token: token(&tested.target),
        patience: arguments.patience,
        jobs: arguments.jobs,
    };
    let painted = tested.with_started(async |target| {
        paint(target, &asking).await.map_err(|why| (Exit::Trouble, format!("{name} {why}")))
    });
    let portrait = painted.await?;
    Ok(Portrait { target: name, ..portrait })
}
