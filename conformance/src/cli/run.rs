use std::io::{self, Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use conformance::deviation::KnownDeviations;
use conformance::differential::name_look_alikes;
use conformance::exit::Exit;
use conformance::report::Report;
use conformance::report::progress::Progress;
use conformance::report::terminal::{Terminal, columns, wants_colour};
use conformance::requirement;
use conformance::runner::{Interrupts, News, Options, Repeat, RunError, Selection, run_watched};
use conformance::scenario::Scenario;
use conformance::target::{Started, Target};
use reference_broker::command::Interruptions;
use reference_broker::transport::url::Endpoint;

use super::files::{raised_limit, scenarios_within};
use super::lists::{known_deviations, lists, new_list, write_list};
use super::reach::ReachArguments;
use super::reports::{Destination, Matrices, Reports, summarise};
use super::target::{TargetArguments, Tested};
use super::{Failure, repeat, several};

/// How many scenarios run at once on a broker that is reached over a network: most of their time
/// is waiting.
const JOBS: usize = 32;

/// There is to be room for more behind it.
const LONGEST_PREFIX: usize = 64;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct RunArguments {
    /// The broker, if not the embedded one: mqtt://host:port (mqtts, ws, wss; user:password@),
    /// embedded:, embedded+tcp: or container:image (Mosquitto in a container). Then what to run:
    /// sections (3.1), ids, globs of ids (*/malformed/*) or requirements (MQTT-3.1.0-2); everything if
    /// nothing is named
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
    /// Write a report: html=FILE, json=FILE, junit=FILE, markdown=FILE, pcapng=FILE (the traces as packets, for
    /// Wireshark), badge=FILE (.json for shields.io, or .svg) or matrix=FILE (a page with all targets side by side),
    /// with - for standard output; repro=FOLDER, a Python program for each cause of a failure, which needs nothing
    /// else; or issue=FOLDER, the text of an issue for each; may be repeated
    #[arg(long = "report", value_name = "KIND=FILE")]
    pub(super) reports: Vec<Destination>,
    /// A TOML list of what this broker is known to get wrong
    #[arg(long, value_name = "FILE")]
    pub(super) known_deviations: Option<PathBuf>,
    /// Write the list with which this run would have been as expected, its reasons to be filled in
    #[arg(long, value_name = "FILE")]
    pub(super) write_known_deviations: Option<PathBuf>,
    /// Leave out what this selects, as SELECTION does; may be repeated
    #[arg(long, value_name = "SELECTION")]
    exclude: Vec<String>,
    /// What all topics of the suite begin with, for brokers that give rights by topic
    #[arg(long, value_name = "TOPIC", value_parser = prefix)]
    topic_prefix: Option<String>,
    /// Tell every cause with its whole trace, and list advisories and known deviations too
    #[arg(long, short)]
    verbose: bool,
    /// Show the bytes of each packet of a trace in hex
    #[arg(long)]
    bytes: bool,
    #[command(flatten)]
    pub(super) target: TargetArguments,
    #[command(flatten)]
    reach: ReachArguments,
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|jobs| *jobs > 0).ok_or_else(|| "not a number from 1 on".to_owned())
}

pub(super) fn prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_end_matches('/');
    match prefix {
        "" => Err("not a topic".to_owned()),
        _ if prefix.starts_with('$') => Err("such topics are the broker's own".to_owned()),
        _ if prefix.contains(['+', '#', '\0']) => Err("has what no topic may have".to_owned()),
        _ if prefix.len() > LONGEST_PREFIX => Err(format!("has more than {LONGEST_PREFIX} bytes")),
        _ => Ok(prefix.to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| (0.01..=1000.0).contains(factor));
    factor.ok_or_else(|| "not a number from 0.01 to 1000".to_owned())
}

/// Runs the suite and reports, on one target or on several, one after another.
pub(super) fn run(arguments: &RunArguments) -> Result<Exit, Failure> {
    let (matrices, others): (Vec<_>, Vec<_>) =
        arguments.reports.iter().cloned().partition(Destination::is_matrix);
    let matrices = Matrices::prepare(&matrices)?;
    let arguments = RunArguments { reports: others, ..arguments.clone() };
    let (exit, reports) = match arguments.target.files() {
        [] | [_] => {
            let (exit, report) = run_one(&arguments)?;
            (exit, vec![report])
        }
        files => several::run(&arguments, files)?,
    };
    matrices.write(&reports)?;
    Ok(exit)
}

/// Runs the suite on one target.
pub(super) fn run_one(arguments: &RunArguments) -> Result<(Exit, Report), Failure> {
    let (first, selection) = split(&arguments.arguments);
    let tested = arguments.target.tested(first, &arguments.reach)?;
    let (name, rerun, endpoint) = (tested.name.clone(), tested.rerun.clone(), tested.endpoint());
    let selected = selection
        .without(arguments.exclude.clone())
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let deviations = known_deviations(arguments)?;
    let list = new_list(arguments)?;
    let reports = Reports::prepare(&arguments.reports, &lists(arguments))?;
    match run_all(arguments, tested, selected, &deviations, &reports) {
        Ok((mut ran, stopped)) => {
            (ran.last.target, ran.last.rerun) = (name, rerun);
            if let Some(list) = list {
                write_list(&list, &ran.last, &deviations)?;
            }
            let exit = conclude(arguments, &ran, stopped, &reports, &endpoint)?;
            Ok((exit, ran.last))
        }
        // There is nothing to report but why, and whoever reads a report is to find that there.
        Err((exit, why)) => {
            let nothing =
                Report { target: name, rerun, trouble: Some(why.clone()), ..Report::default() };
            reports.write(&nothing, None, &endpoint)?;
            summarise(&nothing)?;
            Err((exit, why))
        }
    }
}

/// Makes the runs; gives what they came to, and whether the target was stopped in order.
fn run_all(
    arguments: &RunArguments,
    tested: Tested,
    selected: Vec<(usize, &'static Scenario)>,
    deviations: &KnownDeviations,
    reports: &Reports,
) -> Result<(Ran, Result<(), String>), Failure> {
    let at_most = scenarios_within(raised_limit(), files_a_connection(&tested.target))
        .map_err(|error| (Exit::Trouble, error))?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    let ran = runtime.block_on(async {
        let interrupts = interrupts().map_err(|error| (Exit::Trouble, error.to_string()))?;
        let topic_prefix = tested.topic_prefix(arguments.topic_prefix.as_deref());
        let started = tested.start(interrupts.reach(1)).await?;
        let runs = Runs {
            arguments,
            started: &started,
            topic_prefix,
            selected,
            deviations,
            reports,
            interrupts,
            at_most,
        };
        let ran = runs.make().await;
        // Before the report, which a slow reader may hold up.
        Ok((ran, started.stop().await))
    });
    // A scenario that spins cannot be stopped; it must not keep us from reporting either.
    runtime.shutdown_background();
    let (ran, stopped) = ran?;
    Ok((ran?, stopped))
}

/// Writes the reports and prints what a person is to see.
fn conclude(
    arguments: &RunArguments,
    ran: &Ran,
    stopped: Result<(), String>,
    reports: &Reports,
    endpoint: &Endpoint,
) -> Result<Exit, Failure> {
    let repeat = arguments.repeat.map(|_| &ran.repeat);
    reports.write(&ran.last, repeat, endpoint)?;
    summarise(&ran.last)?;
    let trouble = ran.failure.clone().or(stopped.err());
    let exit = match ran.repeat.exit() {
        // It was seen, whatever went wrong besides.
        Exit::Unexpected => Exit::Unexpected,
        _ if trouble.is_some() => Exit::Trouble,
        exit => exit,
    };
    print(&ran.last, repeat, exit, arguments, reports)?;
    trouble.map_or(Ok(exit), |trouble| Err((exit, trouble)))
}

/// What is run, as often as asked.
struct Runs<'a> {
    arguments: &'a RunArguments,
    started: &'a Started,
    topic_prefix: String,
    selected: Vec<(usize, &'static Scenario)>,
    deviations: &'a KnownDeviations,
    reports: &'a Reports,
    interrupts: Interrupts,
    /// How many scenarios may run at once, for want of files.
    at_most: Option<usize>,
}

/// What the runs came to, and why there were not more of them.
struct Ran {
    last: Report,
    repeat: Repeat,
    failure: Option<String>,
}

impl Runs<'_> {
    async fn make(&self) -> Result<Ran, Failure> {
        let times = self.arguments.repeat.unwrap_or(1);
        let last = self.one(1).await?;
        let mut ran = Ran { last, repeat: Repeat::default(), failure: None };
        ran.repeat.add(&ran.last);
        for run in 2..=times {
            if ran.last.interrupted || ran.last.trouble.is_some() {
                break;
            }
            match self.one(run).await {
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

    async fn one(&self, run: usize) -> Result<Report, Failure> {
        let target = self.started.target();
        let options = Options {
            jobs: self.arguments.jobs.unwrap_or_else(|| default_jobs(target)),
            timeout_scale: self.arguments.timeout_scale.unwrap_or(1.0),
            token: token(target),
            topic_prefix: self.topic_prefix.clone(),
            at_most: self.at_most,
            known: Arc::new(self.deviations.clone()),
            may_add_jobs: self.arguments.jobs.is_none() && !target.is_in_memory(),
            keeper: self.started.keeper(),
        };
        let mut progress = Progress::new(self.selected.len());
        let on_news = |news: News<'_>| progress.notice(&news);
        let (selected, interrupts) = (self.selected.clone(), self.interrupts.clone());
        let ran = run_watched(target, selected, &options, interrupts, on_news).await;
        progress.done();
        let mut report = ran.map_err(|error| (Exit::Trouble, trouble(target, error)))?;
        report.notes.extend(self.few_files(&options));
        self.deviations.apply(&mut report);
        name_look_alikes(&mut report);
        if let Some(runs) = self.arguments.repeat {
            say(&repeat::run_line(run, runs, &report), self.reports)?;
        }
        Ok(report)
    }

    /// What to say where the limit of files, and nothing else, has set the pace.
    fn few_files(&self, options: &Options) -> Option<String> {
        let at_most = self.at_most.filter(|at_most| *at_most < 2 * options.jobs)?;
        let files = "the system lets this process open few files (`ulimit -n` raises that)";
        Some(format!("no more than {at_most} scenarios ran at once: {files}"))
    }
}

/// Counts the signals that ask for an end.
fn interrupts() -> io::Result<Interrupts> {
    let (count, interrupts) = Interrupts::counted();
    let mut interruptions = Interruptions::new()?;
    tokio::spawn(async move {
        loop {
            interruptions.next().await;
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(interrupts)
}

/// A broker in this process has its end of each connection open as well.
fn files_a_connection(target: &Target) -> u64 {
    match target {
        Target::EmbeddedTcp(_) => 2,
        _ => 1,
    }
}

/// The first argument is the target if it has a colon, as no selection has.
fn split(arguments: &[String]) -> (Option<&str>, Selection) {
    match arguments.split_first() {
        Some((first, rest)) if first.contains(':') => (Some(first), Selection::new(rest.to_vec())),
        _ => (None, Selection::new(arguments.to_vec())),
    }
}

fn print(
    report: &Report,
    repeat: Option<&Repeat>,
    exit: Exit,
    arguments: &RunArguments,
    reports: &Reports,
) -> Result<(), Failure> {
    let (to_stderr, colour, width) = match reports.take_standard_output() {
        true => (true, wants_colour(&stderr()), columns(&stderr())),
        false => (false, wants_colour(&stdout()), columns(&stdout())),
    };
    let terminal = Terminal {
        colour,
        verbose: arguments.verbose,
        bytes: arguments.bytes,
        width,
        requirement_text: &|id| requirement::find(id).map(|requirement| requirement.text),
    };
    let mut text = Vec::new();
    let written = match repeat {
        Some(repeat) => repeat::write(&terminal, repeat, report, exit, &mut text),
        None => repeat::write_last(&terminal, report, exit, &mut text),
    };
    written.map_err(|error| (Exit::Trouble, error.to_string()))?;
    say_on(to_stderr, &text)
}

/// Tells a person, where no report is in the way.
fn say(text: &str, reports: &Reports) -> Result<(), Failure> {
    say_on(reports.take_standard_output(), text.as_bytes())
}

/// Writes to standard error or output. A reader that has seen enough, such as `head`, is no error.
fn say_on(to_stderr: bool, text: &[u8]) -> Result<(), Failure> {
    let (name, written) = match to_stderr {
        true => ("error", stderr().write_all(text)),
        false => ("output", stdout().write_all(text).and_then(|()| stdout().flush())),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err((Exit::Trouble, format!("standard {name}: {error}")))
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
pub(super) fn token(target: &Target) -> String {
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
