use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write, stdout};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use conformance::deviation::{self, KnownDeviations};
use conformance::exit::Exit;
use conformance::report::progress::Progress;
use conformance::report::terminal::{Terminal, wants_colour};
use conformance::report::{Report, ScenarioResult, json, junit};
use conformance::requirement;
use conformance::runner::{Options, Repeat, RunError, Selection, run as run_scenarios};
use conformance::scenario::{self, Scenario};
use conformance::target::{Started, Target};
use reference_broker::command::interrupt;

use super::{Failure, repeat};

/// How many scenarios run at once on a broker that is reached over a network: most of their time
/// is waiting.
const JOBS: usize = 32;

#[derive(Args, Debug, Default)]
pub(super) struct RunArguments {
    /// The broker, if not the embedded one: mqtt://host:port, embedded:, embedded+tcp: or
    /// container:image (Mosquitto in a container). Then what to run: sections (3.1), ids, globs of ids (*/malformed/*) or requirements
    /// (MQTT-3.1.0-2); everything if nothing is named
    #[arg(value_name = "URL | SELECTION")]
    arguments: Vec<String>,
    /// How many scenarios run at once; those that let time pass come on top
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    /// Run the selection this often and name every scenario whose verdict changed
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    repeat: Option<usize>,
    /// Multiply every time the target is given, for slow machines
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    timeout_scale: Option<f64>,
    /// Write a report: json=FILE or junit=FILE; may be repeated
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<Destination>,
    /// A TOML list of what this broker is known to get wrong
    #[arg(long, value_name = "FILE")]
    known_deviations: Option<PathBuf>,
    /// Write the list with which this run would have been as expected, its reasons to be filled in
    #[arg(long, value_name = "FILE")]
    write_known_deviations: Option<PathBuf>,
    /// Leave out what this selects, as SELECTION does; may be repeated
    #[arg(long, value_name = "SELECTION")]
    exclude: Vec<String>,
    /// Tell every cause with its whole trace, and list advisories and known deviations too
    #[arg(long, short)]
    verbose: bool,
    /// Show the bytes of each packet of a trace in hex
    #[arg(long)]
    bytes: bool,
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
    let selected = selection
        .without(arguments.exclude.clone())
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let deviations = known_deviations(arguments)?;
    let list = new_list(arguments)?;
    let files = open(&arguments.reports)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    let ran = runtime.block_on(async {
        let mut interrupt = pin!(interrupt().map_err(|error| (Exit::Trouble, error.to_string()))?);
        let started = start(target, interrupt.as_mut()).await?;
        let runs = Runs { arguments, target: started.target(), selected, deviations: &deviations };
        let ran = runs.make(interrupt).await;
        Ok((ran, started))
    });
    // A scenario that spins cannot be stopped; it must not keep us from reporting either.
    runtime.shutdown_background();
    let (ran, started) = ran?;
    // Before the report, which a slow reader may hold up.
    let stopped = started.stop();
    let ran = ran?;
    let repeat = arguments.repeat.map(|_| &ran.repeat);
    for (destination, file) in arguments.reports.iter().zip(files) {
        write(destination, file, &ran.last, repeat)?;
    }
    if let (Some(file), Some(path)) = (list, &arguments.write_known_deviations) {
        write_list(file, &ran.last, &deviations)
            .map_err(|error| (Exit::Trouble, format!("{}: {error}", path.display())))?;
    }
    let trouble = ran.failure.or(stopped.err());
    let exit = match ran.repeat.exit() {
        // It was seen, whatever went wrong besides.
        Exit::Unexpected => Exit::Unexpected,
        _ if trouble.is_some() => Exit::Trouble,
        exit => exit,
    };
    print(&ran.last, repeat, exit, arguments)?;
    trouble.map_or(Ok(exit), |trouble| Err((exit, trouble)))
}

/// Starts what has to be started for the target, unless interrupted.
async fn start(target: Target, interrupt: impl Future<Output = ()>) -> Result<Started, Failure> {
    tokio::select! {
        biased;
        () = interrupt => Err((Exit::Trouble, format!("{target} was interrupted before it had started"))),
        started = target.clone().start() => started.map_err(|error| (Exit::Trouble, error)),
    }
}

/// What is run, as often as asked.
struct Runs<'a> {
    arguments: &'a RunArguments,
    target: &'a Target,
    selected: Vec<(usize, &'static Scenario)>,
    deviations: &'a KnownDeviations,
}

/// What the runs came to, and why there were not more of them.
struct Ran {
    last: Report,
    repeat: Repeat,
    failure: Option<String>,
}

impl Runs<'_> {
    async fn make(
        &self,
        mut interrupt: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ran, Failure> {
        let times = self.arguments.repeat.unwrap_or(1);
        let last = self.one(1, interrupt.as_mut()).await?;
        let mut ran = Ran { last, repeat: Repeat::default(), failure: None };
        ran.repeat.add(&ran.last);
        for run in 2..=times {
            if ran.last.interrupted {
                break;
            }
            match self.one(run, interrupt.as_mut()).await {
                Ok(report) => ran.last = report,
                Err((_, message)) => {
                    ran.failure = Some(format!("run {run}: {message}"));
                    break;
                }
            }
            ran.repeat.add(&ran.last);
        }
        Ok(ran)
    }

    async fn one(
        &self,
        run: usize,
        interrupt: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Report, Failure> {
        let options = Options {
            jobs: self.arguments.jobs.unwrap_or_else(|| default_jobs(self.target)),
            timeout_scale: self.arguments.timeout_scale.unwrap_or(1.0),
            token: token(self.target),
        };
        let mut progress = Progress::new(self.selected.len());
        let on_result = |result: &ScenarioResult| progress.finished(result);
        let selected = self.selected.clone();
        let ran = run_scenarios(self.target, selected, &options, interrupt, on_result).await;
        progress.done();
        let mut report = ran.map_err(|error| (Exit::Trouble, trouble(self.target, error)))?;
        self.deviations.apply(&mut report);
        if let Some(runs) = self.arguments.repeat {
            super::print(&repeat::run_line(run, runs, &report))?;
        }
        Ok(report)
    }
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

/// Opens the list that is to be written, which may be the one that was read.
fn new_list(arguments: &RunArguments) -> Result<Option<File>, Failure> {
    let Some(path) = &arguments.write_known_deviations else { return Ok(None) };
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map(Some).map_err(|error| (Exit::Usage, format!("{}: {error}", path.display())))
}

fn write_list(file: File, report: &Report, old: &KnownDeviations) -> io::Result<()> {
    file.set_len(0)?;
    let mut out = BufWriter::new(file);
    deviation::write(report, old, &mut out)?;
    out.flush()
}

/// Opens the files before the run, so that a wrong path does not cost one.
fn open(destinations: &[Destination]) -> Result<Vec<File>, Failure> {
    let open = |destination: &Destination| {
        let file = OpenOptions::new().create(true).append(true).open(&destination.path);
        file.map_err(|error| (Exit::Usage, format!("{}: {error}", destination.path.display())))
    };
    destinations.iter().map(open).collect()
}

fn write(
    destination: &Destination,
    file: File,
    report: &Report,
    repeat: Option<&Repeat>,
) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        file.set_len(0)?;
        let mut out = BufWriter::new(file);
        match destination.kind {
            Kind::Json => match repeat {
                Some(repeat) => {
                    json::write_repeat(report, repeat.runs(), &repeat.changed(), &mut out)?;
                }
                None => json::write(report, &mut out)?,
            },
            Kind::JUnit => junit::write(report, &mut out)?,
        }
        out.flush()
    };
    written().map_err(|error| (Exit::Trouble, format!("{}: {error}", destination.path.display())))
}

fn print(
    report: &Report,
    repeat: Option<&Repeat>,
    exit: Exit,
    arguments: &RunArguments,
) -> Result<(), Failure> {
    let terminal = Terminal {
        colour: wants_colour(&stdout()),
        verbose: arguments.verbose,
        bytes: arguments.bytes,
        requirement_text: &|id| requirement::find(id).map(|requirement| requirement.text),
    };
    let mut out = BufWriter::new(stdout().lock());
    let written = match repeat {
        Some(repeat) => repeat::write(&terminal, repeat, report, exit, &mut out),
        None => repeat::write_last(&terminal, report, exit, &mut out),
    };
    match written.and_then(|()| out.flush()) {
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
        return "memory".to_owned();
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
