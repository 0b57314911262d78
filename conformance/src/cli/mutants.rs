use std::fmt::Write as _;
use std::io::{BufWriter, Write as _, stdout};
use std::path::PathBuf;

use clap::Args;
use conformance::exit::Exit;
use conformance::mutant::{self, Collateral, Fate, Matrix, Mutant, Reach, Trial, Tries};
use conformance::report::matrix;
use conformance::report::progress::Steps;
use conformance::report::terminal::{Terminal, columns, wants_colour};
use conformance::requirement;
use conformance::runner::{RunError, Selection, matches};
use conformance::scenario::Scenario;
use reference_broker::command::interrupt;

use super::{Failure, by_chance, in_memory, print};

#[derive(Args, Debug)]
pub(super) struct MutantsArguments {
    /// Sections, ids, globs of ids or requirements of mutants; all of them if nothing is named
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// Try them against these scenarios only (as with `run`); may be repeated
    #[arg(long = "against", value_name = "SELECTION")]
    scenarios: Vec<String>,
    /// Try every mutant against every scenario, and not only against those that cite what it breaks
    #[arg(long)]
    all: bool,
    /// How many of the scenarios that cite nothing of what a mutant breaks it is tried against, once it is caught
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "all")]
    sample: usize,
    /// Choose the sample of this number again; by chance if left out
    #[arg(long, value_name = "N", conflicts_with = "all")]
    seed: Option<u64>,
    /// List the mutants and try none
    #[arg(long)]
    list: bool,
    /// Show for each mutant how it was noticed, with the packets
    #[arg(long)]
    trace: bool,
    /// Write the kill matrix as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the kill matrix as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Tries mutants against the suite.
pub(super) fn mutants(arguments: &MutantsArguments) -> Result<Exit, Failure> {
    let mutants = selected(&arguments.selection)?;
    if arguments.list {
        return print(&list(&mutants));
    }
    let scenarios = Selection::new(arguments.scenarios.clone())
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let scenarios: Vec<_> = scenarios.into_iter().map(|(_, scenario)| scenario).collect();
    let reach = match arguments.all {
        true => Reach::Everything,
        false => Reach::Citing {
            sample: arguments.sample,
            seed: arguments.seed.unwrap_or_else(by_chance),
        },
    };
    let matrix = try_all(&mutants, &scenarios, reach, arguments.trace)?;
    let everything = arguments.selection.is_empty() && arguments.scenarios.is_empty();
    for (path, text) in [
        (&arguments.json, matrix::json as fn(&Matrix, Reach, &[&'static Scenario]) -> String),
        (&arguments.markdown, matrix::markdown),
    ] {
        if let Some(path) = path {
            std::fs::write(path, text(&matrix, reach, &scenarios))
                .map_err(|error| (Exit::Trouble, format!("{}: {error}", path.display())))?;
        }
    }
    summary(&matrix, reach, everything.then_some(&scenarios))
}

fn selected(selection: &[String]) -> Result<Vec<&'static Mutant>, Failure> {
    for argument in selection {
        if !mutant::all().iter().any(|it| matches(argument, it.id, it.requirements)) {
            return Err((
                Exit::NothingSelected,
                format!("'{argument}' matches no mutant: `mqttspec mutants --list` lists them"),
            ));
        }
    }
    let is_selected = |it: &&Mutant| {
        selection.is_empty() || selection.iter().any(|word| matches(word, it.id, it.requirements))
    };
    Ok(mutant::all().iter().filter(is_selected).collect())
}

fn list(mutants: &[&Mutant]) -> String {
    let width = mutants.iter().map(|mutant| mutant.id.len()).max().unwrap_or(0).min(60);
    mutants.iter().fold(String::new(), |mut text, mutant| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", mutant.id, mutant.breaks);
        text
    })
}

fn try_all(
    mutants: &[&'static Mutant],
    scenarios: &[&'static Scenario],
    reach: Reach,
    trace: bool,
) -> Result<Matrix, Failure> {
    let (runtime, options) = in_memory()?;
    let matrix = runtime.block_on(async {
        let failed =
            |error: RunError| (Exit::Trouble, format!("no mutant can be tried: {error:?}"));
        let interrupt = interrupt().map_err(|error| failed(RunError::Trouble(error)))?;
        tokio::pin!(interrupt);
        let mut tries = Tries::begin(mutants, scenarios, reach, &options).await.map_err(failed)?;
        let mut matrix = Matrix::default();
        let mut steps = Steps::new(mutants.len(), "mutants tried");
        loop {
            let trial = tokio::select! {
                biased;
                () = &mut interrupt => return Err((Exit::Trouble, "interrupted".to_owned())),
                trial = tries.next() => trial.map_err(failed)?,
            };
            let Some(mut trial) = trial else {
                steps.done();
                return Ok(matrix);
            };
            steps.next(|| tell(&trial, trace))?;
            // Hundreds of traces would fill the memory.
            trial.witness = None;
            matrix.trials.push(trial);
        }
    });
    runtime.shutdown_background();
    matrix
}

/// Prints what became of a mutant.
fn tell(trial: &Trial, trace: bool) -> Result<(), Failure> {
    let (kills, cited) = (trial.kills.len(), trial.kills.iter().filter(|kill| kill.cites).count());
    let oracles: Vec<_> = trial.tripped.keys().copied().collect();
    let also = match oracles.is_empty() {
        true => String::new(),
        false => format!(", oracles: {}", oracles.join(" ")),
    };
    let fate = trial.fate().name();
    let id = trial.mutant.id;
    let collateral = trial.collateral.len();
    print(&format!(
        "{fate:9}  {id}  {kills} scenarios, {cited} of them citing{also}; collateral {collateral}\n"
    ))?;
    let Some(witness) = trial.witness.as_deref().filter(|_| trace) else { return Ok(()) };
    print(&format!("           {}\n", trial.mutant.breaks))?;
    let terminal = Terminal {
        bytes: false,
        colour: wants_colour(&stdout()),
        verbose: false,
        width: columns(&stdout()),
        requirement_text: &|id| requirement::find(id).map(|requirement| requirement.text),
    };
    let rerun = format!("mqttspec run 'embedded:?mutant={id}' {}", witness.id);
    let mut out = BufWriter::new(stdout().lock());
    let written = terminal.block(witness, &rerun, &mut out).and_then(|()| writeln!(out));
    written.map_err(|error| (Exit::Trouble, format!("standard output: {error}")))
}

/// Prints what it all comes to. Holes show only where everything was tried.
fn summary(
    matrix: &Matrix,
    reach: Reach,
    everything: Option<&Vec<&'static Scenario>>,
) -> Result<Exit, Failure> {
    let mut text = format!("\n{}\n", matrix::headline(matrix));
    text.push_str(&matrix::collateral(matrix, reach));
    let holes = everything.map(|scenarios| matrix.holes(scenarios)).unwrap_or_default();
    for id in &holes.scenarios {
        let _ = writeln!(text, "hole: scenario {id} notices no mutant that breaks what it cites");
    }
    for name in &holes.oracles {
        let _ = writeln!(text, "hole: oracle {name} is tripped by no mutant");
    }
    if everything.is_some() {
        let _ = writeln!(
            text,
            "{} holes in scenarios, {} in oracles; {} scenarios only seen advisory",
            holes.scenarios.len(),
            holes.oracles.len(),
            matrix.advisory_only().len()
        );
    }
    if everything.is_some() && !matrix.collateral().is_small() {
        let (most, maximum) = Collateral::BOUNDS;
        let _ = writeln!(
            text,
            "too much collateral: at most {most} is allowed for 99 of 100 mutants, and {maximum} for any"
        );
    }
    print(&text)?;
    let is_whole = holes.scenarios.is_empty()
        && holes.oracles.is_empty()
        && matrix.count(Fate::ByChance) == 0
        && matrix.collateral().is_small();
    match matrix.count(Fate::Alive) == 0 && (everything.is_none() || is_whole) {
        true => Ok(Exit::AsExpected),
        false => Ok(Exit::Unexpected),
    }
}
