use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use conformance::differential::config_of;
use conformance::exit::Exit;
use conformance::fuzzing::{Campaign, Cause, Report, standalone};
use conformance::report::counted;
use conformance::requirement;
use conformance::script::{Script, read, to_text};
use conformance::target::{Connector, Started, Target, announced};
use reference_broker::command::interrupt;
use reference_broker::transport::url::Endpoint;
use serde_json::{Value, json};

use super::files::raised_limit;
use super::reach::ReachArguments;
use super::run::token;
use super::target::TargetArguments;
use super::{Failure, Format, by_chance, print, saved};

#[derive(Args, Debug)]
pub(super) struct FuzzArguments {
    /// The broker: mqtt://host:port, wss://user:password@host/path, embedded+tcp: and the like
    #[arg(value_name = "TARGET")]
    broker: Option<String>,
    /// Begin no more cases after this time [default: 60s, unless --cases is given]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// The number of cases
    #[arg(long, value_name = "N")]
    cases: Option<usize>,
    /// The seed of all that is sent; a random one if left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Begin no more cases in a second than this
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// The number of cases to play at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    jobs: usize,
    /// A folder of scripts: those in it are altered too, and those that reach new states are written to it
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    /// End after this number of findings
    #[arg(long, value_name = "N")]
    findings: Option<usize>,
    /// How long an innocent client may have to wait for a message
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    bound: Duration,
    /// The longest wait for what a step is expected to bring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The process of a broker that is not started here: its memory and its end are watched
    #[arg(long, value_name = "PID", conflicts_with_all = ["start", "target"])]
    pid: Option<u32>,
    /// The prefix of all topics [default: mqttspec, or what the target file says]
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
    /// The format of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write each finding to this folder, as a script to replay and as a program in Python
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    #[command(flatten)]
    reach: ReachArguments,
    #[command(flatten)]
    started: TargetArguments,
}

/// How long a campaign takes, if nothing is said.
const TIME: Duration = Duration::from_secs(60);

/// Sends hostile traffic to a broker that runs, and tells what it did to it.
pub(super) fn fuzz(arguments: &FuzzArguments) -> Result<Exit, Failure> {
    let seed = arguments.seed.unwrap_or_else(by_chance);
    let first = arguments.broker.as_deref();
    if first.is_none() && !arguments.started.names_one() {
        let wrong = "name a broker that runs: an address, embedded+tcp:, --target or --start";
        return Err((Exit::Usage, wrong.to_owned()));
    }
    let tested = arguments.started.tested(first, &arguments.reach)?;
    if tested.target.is_in_memory() {
        let wrong = format!("{} serves this process only: use embedded+tcp:", tested.target);
        return Err((Exit::Usage, wrong));
    }
    let trouble = |what: String| (Exit::Trouble, what);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| trouble(format!("cannot start: {error}")))?;
    raised_limit();
    let (name, prefix) =
        (tested.name.clone(), tested.topic_prefix(arguments.topic_prefix.as_deref()));
    let done = runtime.block_on(async {
        let interrupted = || interrupt().map_err(|error| trouble(error.to_string()));
        let started = tested.start(interrupted()?).await?;
        let campaign = campaign(arguments, &started, &name, prefix, seed).await;
        let done = match campaign {
            Ok((campaign, endpoint)) => {
                let mut tell = |what: &str| drop(writeln!(std::io::stderr(), "{name}: {what}"));
                Ok((campaign.run(&mut tell, interrupted()?).await, endpoint))
            }
            Err(failure) => Err(failure),
        };
        // A broker that hangs is killed in the end; what was found counts.
        let stopped = started.stop().await;
        done.map(|(report, endpoint)| (report, endpoint, stopped))
    });
    runtime.shutdown_background();
    let (mut report, endpoint, stopped) = done?;
    report.notes.extend(stopped.err());
    if let (Some(folder), Some(endpoint)) = (&arguments.save, &endpoint) {
        save(&report, folder, endpoint)?;
    }
    match arguments.format {
        Format::Text => print(&of_report(&report, &name, seed))?,
        Format::Json => print(&format!("{:#}\n", as_json(&report, &name, seed)))?,
    };
    Ok(match &report {
        Report { causes, .. } if !causes.is_empty() => Exit::Unexpected,
        Report { accepted: 0, .. } | Report { trouble: Some(_), .. } => Exit::Trouble,
        _ => Exit::AsExpected,
    })
}

async fn campaign(
    arguments: &FuzzArguments,
    started: &Started,
    name: &str,
    prefix: String,
    seed: u64,
) -> Result<(Campaign, Option<Endpoint>), Failure> {
    let trouble = |what: String| (Exit::Trouble, what);
    let target = started.target();
    let connector = Connector::new(target).await;
    let connector = connector.map_err(|error| trouble(format!("{name}: {error}")))?;
    let connack = announced(&connector, arguments.bound).await;
    let connack = connack.map_err(|why| trouble(format!("{name} {why}")))?;
    let kept = match &arguments.corpus {
        Some(folder) => corpus(folder)?,
        None => Vec::new(),
    };
    let endpoint = match target {
        Target::Address(address) => Some(address.endpoint().clone()),
        Target::Container(container) => container.address().map(|it| it.endpoint().clone()),
        _ => None,
    };
    let time = match (arguments.time, arguments.cases) {
        (None, None) => Some(TIME),
        (time, _) => time,
    };
    let campaign = Campaign {
        connector,
        keeper: started.keeper(),
        pid: arguments.pid,
        config: config_of(&connack),
        topic_prefix: prefix,
        token: token(target),
        seed,
        cases: arguments.cases,
        time,
        rate: arguments.rate,
        jobs: arguments.jobs.max(1),
        patience: arguments.patience,
        bound: arguments.bound,
        most_findings: arguments.findings,
        kept,
        corpus: arguments.corpus.clone(),
    };
    Ok((campaign, endpoint))
}

/// The scripts of a corpus; the folder is made if it is not there.
fn corpus(folder: &Path) -> Result<Vec<Script>, Failure> {
    let usage =
        |path: &Path, what: String| (Exit::Usage, format!("--corpus {}: {what}", path.display()));
    std::fs::create_dir_all(folder).map_err(|error| usage(folder, error.to_string()))?;
    let entries = std::fs::read_dir(folder).map_err(|error| usage(folder, error.to_string()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "script"));
    paths.sort();
    let script = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| usage(path, error.to_string()))?;
        read(&text).map_err(|error| usage(path, error.to_string()))
    };
    paths.iter().map(script).collect()
}

fn save(report: &Report, folder: &Path, endpoint: &Endpoint) -> Result<(), Failure> {
    saved::folder(folder)?;
    for (number, cause) in (1..).zip(&report.causes) {
        let path = saved::script(folder, number, &cause.name, &of_cause(cause))?;
        let program = standalone(&cause.name, &cause.symptom.to_string(), endpoint, &cause.sent);
        saved::write(&path.with_extension("py"), &program)?;
    }
    Ok(())
}

/// A finding, so that it can be pasted and replayed as it stands.
fn of_cause(cause: &Cause) -> String {
    let Cause { name, symptom, input, reproduced, times, looks_like, after, .. } = cause;
    let mut text = format!("# {name}\n# {symptom}\n");
    if let Some(row) = symptom.requirement().and_then(requirement::find) {
        let _ = writeln!(text, "# {}: {}", row.id, row.text);
    }
    if !looks_like.is_empty() {
        let _ = writeln!(text, "# looks like {}", looks_like.join(", "));
    }
    let again = match reproduced {
        true => "this script alone shows it again",
        false => "this script alone does not show it again",
    };
    let (kind, number) = (input.kind.name(), input.number);
    let met = counted(*times, "time", "times");
    let _ = writeln!(text, "# case {number} ({kind}), after {after:.1} s, met {met}; {again}");
    text + &to_text(&cause.script)
}

fn of_report(report: &Report, name: &str, seed: u64) -> String {
    let mut text = String::new();
    for cause in &report.causes {
        let _ = writeln!(text, "{}", of_cause(cause));
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if let Some(trouble) = &report.trouble {
        let _ = writeln!(text, "ended early: {trouble}");
    }
    if report.accepted == 0 {
        let _ = writeln!(text, "no connection was accepted: nothing is known of this broker");
    }
    let Report { cases, accepted, seconds, states, innocent, causes, left_out, .. } = report;
    let (messages, worst) = innocent;
    let _ = writeln!(
        text,
        "{name}: {} in {cases} cases, {seconds:.1} s ({:.1}/s); {accepted} connections accepted, {states} \
         states reached, {left_out} cases left out; {messages} messages of innocent clients, {:.0} ms at most; \
         seed {seed}",
        counted(causes.len(), "finding", "findings"),
        *cases as f64 / seconds.max(0.001),
        worst.as_secs_f64() * 1e3,
    );
    text
}

fn as_json(report: &Report, name: &str, seed: u64) -> Value {
    let causes = report.causes.iter().map(|cause| {
        json!({
            "name": cause.name,
            "kind": cause.symptom.word(),
            "observed": cause.symptom.to_string(),
            "requirement": cause.symptom.requirement(),
            "looks_like": cause.looks_like,
            "case": cause.input.number,
            "input": cause.input.kind.name(),
            "after_seconds": cause.after,
            "times": cause.times,
            "reproduced": cause.reproduced,
            "script": to_text(&cause.script),
        })
    });
    let (messages, worst) = &report.innocent;
    json!({
        "schema": 1,
        "target": name,
        "seed": seed,
        "cases": report.cases,
        "seconds": report.seconds,
        "connections_accepted": report.accepted,
        "states": report.states,
        "left_out": report.left_out,
        "innocent_messages": messages,
        "innocent_longest_ms": worst.as_secs_f64() * 1e3,
        "findings": causes.collect::<Vec<_>>(),
        "notes": report.notes,
        "trouble": report.trouble,
    })
}
