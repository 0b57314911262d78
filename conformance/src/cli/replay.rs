use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use conformance::exit::Exit;
use conformance::script::{Place, Script, audit, clear, play, play_live, read};
use conformance::target::{Connector, Target, Variant};
use conformance::trace::{normalise, to_text};
use conformance::{oracle, requirement};
use reference_broker::core::Config;

use super::reach::ReachArguments;
use super::run::token;
use super::target::{TargetArguments, Tested};
use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ReplayArguments {
    /// The script: a file of its own, or any trace
    file: PathBuf,
    /// The broker, as with `run`; the embedded one if nothing is named
    #[arg(value_name = "TARGET")]
    broker: Option<String>,
    /// End with an audit: each client comes back once, retained messages are read, and a message on
    /// each topic shows who is subscribed
    #[arg(long)]
    audit: bool,
    /// How long to wait for what comes of a step on the embedded broker, such as 500ms or 2s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Begin topics with this in the place of ~ [default: mqttspec, or what the target file says]
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
    /// Write the trace to this file as well
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    reach: ReachArguments,
}

/// Plays a script on a broker, prints the trace, and has the oracles judge it.
pub(super) fn replay(arguments: &ReplayArguments) -> Result<Exit, Failure> {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file)
        .map_err(|error| (Exit::Usage, format!("{path}: {error}")))?;
    let mut script = read(&text).map_err(|error| (Exit::Usage, format!("{path}: {error}")))?;
    if arguments.audit {
        script.steps.extend(audit(&script));
    }
    let tested = arguments.target.tested(arguments.broker.as_deref(), &arguments.reach)?;
    let trace = match &tested.target {
        Target::Embedded(variant) => play(&script, variant, &Config::default()).trace,
        _ => live(arguments, &script, tested)?,
    };
    let text = to_text(&trace);
    if let Some(path) = &arguments.save {
        std::fs::write(path, &text)
            .map_err(|error| (Exit::Trouble, format!("{}: {error}", path.display())))?;
    }
    let mut told = text;
    let mut exit = Exit::AsExpected;
    for finding in oracle::judge(&trace) {
        let id = finding.requirement.unwrap_or_default();
        let requirement = requirement::find(id);
        if finding.is_failure() {
            exit = Exit::Unexpected;
        }
        let says = requirement.map_or("", |requirement| requirement.text);
        let _ = write!(told, "\n{id}  {says}\n");
        let _ =
            writeln!(told, "  expected  {}\n  observed  {}", finding.expected, finding.observed);
    }
    print(&told)?;
    Ok(exit)
}

fn live(
    arguments: &ReplayArguments,
    script: &Script,
    tested: Tested,
) -> Result<Vec<conformance::trace::Event>, Failure> {
    let trouble = |what: String| (Exit::Trouble, what);
    let prefix = tested.topic_prefix(arguments.topic_prefix.as_deref());
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| trouble(format!("cannot start: {error}")))?;
    runtime.block_on(tested.with_started(async |target: &Target| {
        let token = token(target);
        let place = Place { topics: format!("{prefix}/{token}"), clients: token };
        let placed = place.script(script);
        let expected = play(&placed, &Variant::default(), &Config::default());
        let playing = async {
            let connector = Connector::new(target).await?;
            let played =
                play_live(&placed, None, &expected, &connector, arguments.patience).await?;
            clear(&placed, &connector).await?;
            Ok::<_, std::io::Error>(played)
        };
        let played = playing.await.map_err(|error| trouble(format!("{target}: {error}")))?;
        Ok(normalise(&played.trace, &place.replacements()))
    }))
}
