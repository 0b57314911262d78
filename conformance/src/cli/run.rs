use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write, stdout};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use conformance::deviation::KnownDeviations;
use conformance::exit::Exit;
use conformance::report::progress::Progress;
use conformance::report::terminal::{Terminal, wants_colour};
use conformance::report::{Report, ScenarioResult, json, junit};
use conformance::requirement;
use conformance::runner::{Options, RunError, Selection, run as run_scenarios};
use conformance::scenario;
use conformance::target::Target;

use super::{Failure, interrupt};

/// How many scenarios run at once on a broker that is reached over a network: most of their time
/// is waiting.
const JOBS: usize = 32;

#[derive(Args, Debug, Default)]
pub(super) struct RunArguments {
    /// The broker, if not the embedded one: mqtt://host:port, embedded: or embedded+tcp:. Then
    /// what to run: sections (3.1), ids, globs of ids (*/malformed/*) or requirements
    /// (MQTT-3.1.0-2); everything if nothing is named
    #[arg(value_name = "URL | SELECTION")]
    arguments: Vec<String>,
    /// How many scenarios run at once; those that let time pass come on top
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    /// Multiply every time the target is given, for slow machines
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    timeout_scale: Option<f64>,
    /// Write a report: json=FILE or junit=FILE; may be repeated
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<Destination>,
    /// A TOML list of scenarios that this broker is known not to pass
    #[arg(long, value_name = "FILE")]
    known_deviations: Option<PathBuf>,
    /// List advisories and known deviations too, and show traces whole
    #[arg(long, short)]
    verbose: bool,
}

/// Where a report goes.
#[derive(Clone, Debug)]
struct Destination {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Json,
    JUnit,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Destination, String> {
        let (kind, path) = text.split_once('=').unwrap_or((text, ""));
        let kind = match kind {
            "json" => Kind::Json,
            "junit" => Kind::JUnit,
            other => return Err(format!("no report '{other}': use json=FILE or junit=FILE")),
        };
        match path {
            "" => Err("no file after '='".to_owned()),
            path => Ok(Destination { kind, path: path.into() }),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|jobs| *jobs > 0).ok_or_else(|| "not a number from 1 on".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| (0.01..=1000.0).contains(factor));
    factor.ok_or_else(|| "not a number from 0.01 to 1000".to_owned())
}

/// Runs the suite and reports.
pub(super) fn run(arguments: &RunArguments) -> Result<Exit, Failure> {
    let (target, selection) = split(&arguments.arguments)?;
    let selected =
        selection.scenarios().map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let deviations = known_deviations(arguments)?;
    let files = open(&arguments.reports)?;
    let options = Options {
        jobs: arguments.jobs.unwrap_or_else(|| default_jobs(&target)),
        timeout_scale: arguments.timeout_scale.unwrap_or(1.0),
        token: token(&target),
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    let mut progress = Progress::new(selected.len());
    let ran = runtime.block_on(async {
        let interrupt = interrupt().map_err(RunError::Trouble)?;
        let on_result = |result: &ScenarioResult| progress.finished(result);
        run_scenarios(&target, selected, &options, interrupt, on_result).await
    });
    // A scenario that spins cannot be stopped; it must not keep us from reporting either.
    runtime.shutdown_background();
    progress.done();
    let mut report = ran.map_err(|error| (Exit::Trouble, trouble(&target, error)))?;
    deviations.apply(&mut report);
    for (destination, file) in arguments.reports.iter().zip(files) {
        write(destination, file, &report)?;
    }
    print(&report, arguments.verbose)?;
    Ok(Exit::of(&report))
}

/// The first argument is the target if it has a colon, as no selection has.
fn split(arguments: &[String]) -> Result<(Target, Selection), Failure> {
    match arguments.split_first() {
        Some((first, rest)) if first.contains(':') => {
            let target = first.parse().map_err(|error| (Exit::Usage, error))?;
            Ok((target, Selection::new(rest.to_vec())))
        }
        _ => Ok((Target::default(), Selection::new(arguments.to_vec()))),
    }
}

fn known_deviations(arguments: &RunArguments) -> Result<KnownDeviations, Failure> {
    let Some(path) = &arguments.known_deviations else { return Ok(KnownDeviations::default()) };
    let fail = |error: String| (Exit::Usage, format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let ids: Vec<_> = scenario::all().iter().map(|scenario| scenario.id).collect();
    KnownDeviations::parse(&text, &ids).map_err(|error| fail(error.to_string()))
}

/// Opens the files before the run, so that a wrong path does not cost one.
fn open(destinations: &[Destination]) -> Result<Vec<File>, Failure> {
    let open = |destination: &Destination| {
        let file = OpenOptions::new().create(true).append(true).open(&destination.path);
        file.map_err(|error| (Exit::Usage, format!("{}: {error}", destination.path.display())))
    };
    destinations.iter().map(open).collect()
}

fn write(destination: &Destination, file: File, report: &Report) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        file.set_len(0)?;
        let mut out = BufWriter::new(file);
        match destination.kind {
            Kind::Json => json::write(report, &mut out)?,
            Kind::JUnit => junit::write(report, &mut out)?,
        }
        out.flush()
    };
    written().map_err(|error| (Exit::Trouble, format!("{}: {error}", destination.path.display())))
}

fn print(report: &Report, verbose: bool) -> Result<(), Failure> {
    let terminal = Terminal {
        colour: wants_colour(&stdout()),
        verbose,
        requirement_text: &|id| requirement::find(id).map(|requirement| requirement.text),
    };
    match terminal.write(report, &mut BufWriter::new(stdout().lock())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err((Exit::Trouble, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn default_jobs(target: &Target) -> usize {
    match target.is_in_memory() {
        // Each scenario keeps a processor busy; none waits.
        true => std::thread::available_parallelism().map_or(2, usize::from),
        false => JOBS,
    }
}

/// Sets the names of this run apart on a broker that others use, or that kept those of another run.
fn token(target: &Target) -> String {
    if target.is_in_memory() {
        return "run".to_owned();
    }
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut number = nanos ^ u128::from(std::process::id()).rotate_left(20);
    let mut token = String::from("m");
    for _ in 0..5 {
        let digit = u32::try_from(number % 36).unwrap_or(0);
        token.extend(char::from_digit(digit, 36));
        number /= 36;
    }
    token
}

fn trouble(target: &Target, error: RunError) -> String {
    match error {
        RunError::Unusable(why) => format!("{target} {why}"),
        RunError::Trouble(error) => format!("cannot run: {error}"),
    }
}
