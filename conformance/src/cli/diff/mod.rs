mod told;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use conformance::differential::{
    Asking, Beside, Divergence, Divergences, Drawn, Explanation, KnownDivergences, Mixed, Observed,
    cases, config_of, drawn, first_difference, mixed, paint,
};
use conformance::exit::Exit;
use conformance::script::{Script, read};
use conformance::target::{Connector, Target, Variant, announced};
use reference_broker::command::interrupt;
use reference_broker::core::Config;
use tokio::sync::watch;

use super::files::raised_limit;
use super::reach::ReachArguments;
use super::run::token;
use super::target::{TargetArguments, Tested};
use super::{Failure, Format, by_chance, print, saved};

use told::{EMBEDDED, OTHER, a_second, as_json, names, of_divergences, of_found};

/// So many questions are asked of a broker at once.
const ASKED_AT_ONCE: usize = 16;

#[derive(Args, Debug)]
pub(super) struct DiffArguments {
    /// The broker to compare with the embedded one; of two, those to compare with each other
    #[arg(value_name = "TARGET", num_args = 0..=2)]
    targets: Vec<String>,
    /// The number of scripts to generate
    #[arg(long, value_name = "N", default_value_t = 300)]
    cases: usize,
    /// The seed of the generated scripts; a random one if left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play these scripts or traces too: a file, or all *.script, *.trace and *.snap files below a folder
    #[arg(long, value_name = "PATH")]
    scripts: Vec<PathBuf>,
    /// The number of scripts to play at once on a broker at an address
    #[arg(long, value_name = "N", default_value_t = 32)]
    jobs: usize,
    /// Start no more scripts after this time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Explain no more differences after this time; the others are passed over
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "20m")]
    explaining: Duration,
    /// The longest wait there for what a step is expected to bring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The prefix of all topics [default: mqttspec, or what the target file says]
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
    /// A list of known divergences (TOML); a violation that is listed does not fail the comparison
    #[arg(long, value_name = "FILE")]
    known_divergences: Option<PathBuf>,
    /// The format of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write each difference to this folder, as a script to replay
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// Draw this many mutants by the seed, and report how many are found and explained
    #[arg(long, value_name = "N", conflicts_with = "targets")]
    mutants: Option<usize>,
    /// Draw this many mixtures of choices by the seed, and report whether any is taken for a violation
    #[arg(long, value_name = "N", conflicts_with_all = ["targets", "mutants"])]
    mixtures: Option<usize>,
    #[command(flatten)]
    reach: ReachArguments,
    #[command(flatten)]
    started: TargetArguments,
}

/// Plays scripts on two brokers, and tells where they part ways and why.
pub(super) fn diff(arguments: &DiffArguments) -> Result<Exit, Failure> {
    let seed = arguments.seed.unwrap_or_else(by_chance);
    if let Some(count) = arguments.mutants {
        return print(&of_drawn(&drawn(seed, count, arguments.cases), seed));
    }
    if let Some(count) = arguments.mixtures {
        let mixed = mixed(seed, count, arguments.cases);
        print(&of_mixed(&mixed, seed))?;
        let is_fault = |it: &Mixed| it.found.as_ref().is_some_and(|it| is_fault(&it.explanation));
        return Ok(if mixed.iter().any(is_fault) { Exit::Unexpected } else { Exit::AsExpected });
    }
    let wrong = |error: String| (Exit::Usage, error);
    let targets = arguments.targets.iter().map(|text| text.parse::<Target>());
    let targets = targets.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let first = arguments.targets.first().map(String::as_str);
    match &targets[..] {
        [] if !arguments.started.names_one() => {
            Err(wrong("name a broker to compare: an address, --target or --start".to_owned()))
        }
        [Target::Embedded(second)] => in_memory(arguments, &Variant::default(), second, seed),
        [Target::Embedded(first), Target::Embedded(second)] => {
            in_memory(arguments, first, second, seed)
        }
        [Target::Embedded(_), other] | [other, Target::Embedded(_)] => Err(wrong(format!(
            "{other} is compared with the embedded broker in any case: name it alone"
        ))),
        [] | [_] => one(arguments, arguments.started.tested(first, &arguments.reach)?, seed),
        [_, _] => two(arguments, seed),
        _ => Err(wrong("at most two brokers can be compared".to_owned())),
    }
}

fn in_memory(
    arguments: &DiffArguments,
    first: &Variant,
    second: &Variant,
    seed: u64,
) -> Result<Exit, Failure> {
    let (config, begun) = (Config::default(), Instant::now());
    let cases = cases(seed, arguments.cases, first, &config);
    let Some(found) = first_difference(&cases, first, second, &config) else {
        let rate = a_second(cases.len(), begun.elapsed());
        return print(&format!("{} scripts, no difference; {rate}; seed {seed}\n", cases.len()));
    };
    let mut text = of_found(&found, ("first", "second"), Observed::of);
    let _ = writeln!(text, "\nscript {} of {}; seed {seed}", found.case, cases.len());
    print(&text)?;
    Ok(if is_fault(&found.explanation) { Exit::Unexpected } else { Exit::AsExpected })
}

/// One broker beside the embedded one.
fn one(arguments: &DiffArguments, tested: Tested, seed: u64) -> Result<Exit, Failure> {
    let known = known(arguments)?;
    let target = tested.name.clone();
    let report = beside(arguments, tested, seed)?;
    if let Some(folder) = &arguments.save {
        save(&report, folder)?;
    }
    match arguments.format {
        Format::Text => print(&of_divergences(&report, &known, &target, seed))?,
        Format::Json => print(&format!("{:#}\n", as_json(&report, &known, &target, seed)))?,
    };
    Ok(exit(&report, &known))
}

/// How a comparison that came to this ends.
fn exit(report: &Divergences, known: &KnownDivergences) -> Exit {
    let is_unknown = |it: &Divergence| it.is_violation() && known.find(&it.names()).is_none();
    match report.found.iter().any(is_unknown) {
        true => Exit::Unexpected,
        false if report.is_interrupted => Exit::Trouble,
        false => Exit::AsExpected,
    }
}

/// Two brokers, each beside the embedded one: what only one of them does is where they part ways.
fn two(arguments: &DiffArguments, seed: u64) -> Result<Exit, Failure> {
    let known = known(arguments)?;
    let mut reports = Vec::new();
    for target in &arguments.targets {
        let tested = TargetArguments::default().tested(Some(target), &arguments.reach)?;
        let name = tested.name.clone();
        let report = beside(arguments, tested, seed)?;
        if report.is_interrupted {
            // Where two part ways is not known by one of them.
            return Err((Exit::Trouble, "interrupted".to_owned()));
        }
        reports.push((name, report));
    }
    let all: Vec<_> = reports.iter().map(|(_, report)| names(report)).collect();
    let (mut text, mut ended, mut objects) = (String::new(), Exit::AsExpected, Vec::new());
    for (place, (target, mut report)) in reports.into_iter().enumerate() {
        report.found.retain(|it| !all[1 - place].contains(&it.name()));
        let _ = writeln!(text, "# only {target}:\n");
        text.push_str(&of_divergences(&report, &known, &target, seed));
        objects.push(as_json(&report, &known, &target, seed));
        if ended != Exit::Unexpected && exit(&report, &known) != Exit::AsExpected {
            ended = exit(&report, &known);
        }
        if let Some(folder) = &arguments.save {
            save(&report, &folder.join(if place == 0 { "first" } else { "second" }))?;
        }
    }
    match arguments.format {
        Format::Text => print(&text)?,
        Format::Json => print(&format!("{:#}\n", serde_json::Value::from(objects)))?,
    };
    Ok(ended)
}

fn beside(arguments: &DiffArguments, tested: Tested, seed: u64) -> Result<Divergences, Failure> {
    let scripts = scripts(&arguments.scripts)?;
    let trouble = |what: String| (Exit::Trouble, what);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| trouble(format!("cannot start: {error}")))?;
    raised_limit();
    let (name, prefix) =
        (tested.name.clone(), tested.topic_prefix(arguments.topic_prefix.as_deref()));
    let compared = runtime.block_on(tested.with_started(async |target| {
        compare(arguments, target, &name, prefix, scripts, seed).await
    }));
    runtime.shutdown_background();
    compared
}

async fn compare(
    arguments: &DiffArguments,
    target: &Target,
    name: &str,
    topic_prefix: String,
    scripts: Vec<(String, Script)>,
    seed: u64,
) -> Result<Divergences, Failure> {
    let trouble = |what: String| (Exit::Trouble, what);
    let cannot = |error: std::io::Error| trouble(format!("{name}: {error}"));
    let connector = Connector::new(target).await.map_err(cannot)?;
    let connack = announced(&connector, arguments.patience.max(Duration::from_secs(5))).await;
    let connack = connack.map_err(|why| trouble(format!("{name} {why}")))?;
    let token = token(target);
    let asking = Asking {
        topic_prefix: topic_prefix.clone(),
        token: format!("{token}p"),
        patience: arguments.patience,
        // What a busy broker answers late would not be known of it.
        jobs: arguments.jobs.min(ASKED_AT_ONCE),
    };
    let mut tell = teller(name);
    tell("asking for its choices");
    let portrait = paint(target, &asking).await.map_err(|why| trouble(format!("{name} {why}")))?;
    let beside = Beside {
        taken: portrait.taken(),
        open: portrait.open(),
        connector,
        config: config_of(&connack),
        topic_prefix,
        token,
        patience: arguments.patience,
        jobs: arguments.jobs,
        scripts,
        seed,
        cases: arguments.cases,
        time: arguments.time,
        explaining: arguments.explaining,
    };
    let interrupted = interrupt().map_err(cannot)?;
    let (so_far, until_now) = watch::channel(Divergences::default());
    // In a task of its own, since it computes for long.
    let name = name.to_owned();
    let comparing = tokio::spawn(async move {
        let mut tell = teller(&name);
        beside.compare(&so_far, &mut tell).await.map_err(|error| format!("{name}: {error}"))
    });
    tokio::select! {
        compared = comparing => {
            compared.map_err(|error| trouble(error.to_string()))?.map_err(trouble)
        }
        () = interrupted => {
            tell("interrupted: this is what was found until then");
            Ok(Divergences { is_interrupted: true, ..until_now.borrow().clone() })
        }
    }
}

/// Tells how far it has come.
fn teller(name: &str) -> impl FnMut(&str) + Send {
    let name = name.to_owned();
    move |what| drop(writeln!(std::io::stderr(), "{name}: {what}"))
}

fn known(arguments: &DiffArguments) -> Result<KnownDivergences, Failure> {
    let Some(path) = &arguments.known_divergences else { return Ok(KnownDivergences::default()) };
    let usage = |what: String| (Exit::Usage, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    KnownDivergences::parse(&text).map_err(usage)
}

/// The scripts in these files and folders, each by its path.
fn scripts(paths: &[PathBuf]) -> Result<Vec<(String, Script)>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let usage = |what: String| (Exit::Usage, format!("{}: {what}", path.display()));
        let mut files = Vec::new();
        files_below(path, &mut files).map_err(|error| usage(error.to_string()))?;
        files.sort();
        for file in files {
            let cannot = |what: String| (Exit::Usage, format!("{}: {what}", file.display()));
            let text = std::fs::read_to_string(&file).map_err(|error| cannot(error.to_string()))?;
            let script = read(&text).map_err(|error| cannot(error.to_string()))?;
            found.push((file.display().to_string(), script));
        }
    }
    Ok(found)
}

fn files_below(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_script = path
            .extension()
            .is_some_and(|it| ["script", "trace", "snap"].iter().any(|is| it == *is));
        if path.is_dir() || is_script {
            files_below(&path, files)?;
        }
    }
    Ok(())
}

fn save(report: &Divergences, folder: &Path) -> Result<(), Failure> {
    saved::folder(folder)?;
    for (number, divergence) in (1..).zip(&report.found) {
        let text = of_found(&divergence.found, (EMBEDDED, OTHER), Observed::by_class);
        saved::script(folder, number, &divergence.name(), &text)?;
    }
    Ok(())
}

fn is_fault(explanation: &Explanation) -> bool {
    matches!(explanation, Explanation::Violation(_))
}

/// What was found of mixtures of choices.
fn of_mixed(mixed: &[Mixed], seed: u64) -> String {
    let mut text = String::new();
    let why = |it: &Mixed| it.found.as_ref().map(|found| found.explanation.clone());
    for it in mixed.iter().filter(|it| !matches!(why(it), None | Some(Explanation::Choice(_)))) {
        let why = why(it).map(|it| it.to_string()).unwrap_or_default();
        let _ = writeln!(text, "embedded:{}  besides {}: {why}", it.variant, it.taken);
    }
    let count = |is: fn(&Explanation) -> bool| {
        mixed.iter().filter(|it| why(it).as_ref().is_some_and(is)).count()
    };
    let is_taken = |it: &&Mixed| it.found.is_none() && it.taken != Variant::default();
    let choices =
        count(|it| matches!(it, Explanation::Choice(_))) + mixed.iter().filter(is_taken).count();
    let (violations, open) = (count(is_fault), count(|it| matches!(it, Explanation::Open(_))));
    let all = mixed.len();
    let _ = writeln!(
        text,
        "{all} mixtures: {choices} choices, {violations} violations, {open} open, {} alike; seed {seed}",
        all - choices - violations - open
    );
    text
}

/// What became of mutants, and how many of them were found and explained.
fn of_drawn(drawn: &[Drawn], seed: u64) -> String {
    let (mut text, mut steps) = (String::new(), Vec::new());
    for it in drawn {
        let mutant = it.mutant;
        let _ = match &it.found {
            None => writeln!(text, "missed     {}  {}", mutant.id, mutant.breaks),
            Some(found) => {
                steps.push(found.script.steps.len());
                let word = if it.is_explained() { "explained" } else { "found    " };
                let (case, steps, why) =
                    (&found.case, found.script.steps.len(), &found.explanation);
                writeln!(text, "{word}  {}  by script {case}, {steps} steps: {why}", mutant.id)
            }
        };
    }
    steps.sort_unstable();
    let median = steps.get(steps.len() / 2).copied().unwrap_or(0);
    let (all, found) = (drawn.len(), steps.len());
    let explained = drawn.iter().filter(|it| it.is_explained()).count();
    let _ = writeln!(
        text,
        "\n{all} mutants: {found} found, {explained} explained; {median} steps in the median; seed {seed}"
    );
    text
}
