use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use conformance::chameleon::{self, Baseline, Mixtures, Switch, Trial, Wrong, try_switches};
use conformance::exit::Exit;
use conformance::report::counted;
use conformance::report::progress::Steps;
use conformance::runner::{Options, RunError, Selection};
use conformance::scenario::Scenario;
use conformance::target::{Target, Variant};
use reference_broker::command::interrupt;

use super::{Failure, by_chance, in_memory, print};

#[derive(Args, Debug)]
pub(super) struct ChameleonArguments {
    /// What to run (as with `run`); everything if nothing is named
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// How many mixtures of switches to try, after each switch alone
    #[arg(long, value_name = "N", default_value_t = 200)]
    mixtures: usize,
    /// Try the mixtures of this number again; by chance if left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Try only these switches alone; may be repeated
    #[arg(long = "switch", value_name = "NAME")]
    switches: Vec<String>,
}

/// Tries the suite on brokers that take other choices that the standard allows.
pub(super) fn chameleon(arguments: &ChameleonArguments) -> Result<Exit, Failure> {
    let started = Instant::now();
    let scenarios = Selection::new(arguments.selection.clone())
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let alone = alone(&arguments.switches)?;
    let seed = arguments.seed.unwrap_or_else(by_chance);
    let mixtures = Mixtures::new(seed).take(arguments.mixtures).map(Variant::choosing);
    let mixtures = mixtures.collect::<Result<Vec<_>, _>>().map_err(|error| (Exit::Usage, error))?;
    let (runtime, options) = in_memory()?;
    let everything = async {
        let interrupt = interrupt().map_err(RunError::Trouble)?;
        tokio::select! {
            tried = try_all(alone, mixtures, &scenarios, &options) => tried.map(Some),
            () = interrupt => Ok(None),
        }
    };
    let tried = runtime.block_on(everything).map_err(|error| (Exit::Trouble, format!("{error:?}")));
    runtime.shutdown_background();
    let Some(Tried { brokers, served, wrong }) = tried? else {
        return Err((Exit::Trouble, "interrupted".to_owned()));
    };
    let verdicts = match wrong {
        0 => "no wrong verdict".to_owned(),
        count => counted(count, "wrong verdict", "wrong verdicts"),
    };
    let brokers = counted(brokers, "broker", "brokers");
    let seconds = started.elapsed().as_secs_f64();
    print(&format!(
        "\n{brokers}, {served} scenarios served: {verdicts}; seed {seed}  ({seconds:.1} s)\n"
    ))?;
    Ok(if wrong == 0 { Exit::AsExpected } else { Exit::Unexpected })
}

/// Each switch as a broker of its own.
fn alone(names: &[String]) -> Result<Vec<Variant>, Failure> {
    let parse = |name: &str| format!("?{name}").parse().map_err(|error| (Exit::Usage, error));
    match names.is_empty() {
        true => chameleon::all().iter().map(|switch| parse(switch.name)).collect(),
        false => names.iter().map(|name| parse(name)).collect(),
    }
}

/// What was tried, and how many verdicts were wrong.
#[derive(Debug, Default)]
struct Tried {
    brokers: usize,
    /// Scenarios that were served.
    served: usize,
    wrong: usize,
}

/// Tries all, telling of each.
async fn try_all(
    alone: Vec<Variant>,
    mixtures: Vec<Variant>,
    scenarios: &[(usize, &'static Scenario)],
    options: &Options,
) -> Result<Tried, RunError> {
    let baseline = Baseline::new(scenarios, options).await?;
    let mut tried = Tried::default();
    let mut steps = Steps::new(alone.len() + mixtures.len(), "brokers tried");
    for variant in alone.into_iter().chain(mixtures) {
        let mut trial = try_switches(variant, scenarios, &baseline, options).await?;
        let wrong = std::mem::take(&mut trial.wrong);
        tried.brokers += 1;
        tried.served += trial.served;
        tried.wrong += wrong.len();
        let mut text = line(&trial, wrong.len());
        for wrong in wrong {
            block(&wrong.shrunk(&baseline, options).await?, &mut text);
        }
        let printed = steps.next(|| print(&text));
        printed.map_err(|(_, error)| RunError::Trouble(std::io::Error::other(error)))?;
    }
    steps.done();
    Ok(tried)
}

fn line(trial: &Trial, wrong: usize) -> String {
    let names: Vec<_> = trial.variant.switches().iter().map(|switch| switch.name).collect();
    let verdict = if wrong == 0 { "right" } else { "WRONG" };
    let Trial { served, not_applicable, inconclusive, differing, .. } = trial;
    format!(
        "{verdict}  {:44}  {served:4} served, {not_applicable:3} not applicable, \
         {inconclusive:3} inconclusive, {differing:4} differing\n",
        names.join("&")
    )
}

fn block(wrong: &Wrong, text: &mut String) {
    // Writing to a string cannot fail.
    let Wrong { scenario, verdict, finding, reason, .. } = wrong;
    let _ = writeln!(
        text,
        "  {} {verdict} under {}",
        scenario.id,
        Target::Embedded(wrong.variant.clone())
    );
    if let Some(finding) = finding {
        let oracle = finding.oracle.map_or(String::new(), |name| format!(" (oracle {name})"));
        let requirement = finding.requirement.unwrap_or("no requirement");
        let _ = writeln!(text, "    {requirement}{oracle}");
        let _ = writeln!(text, "    expected  {}", finding.expected);
        let _ = writeln!(text, "    observed  {}", finding.observed);
    }
    if let Some(reason) = reason {
        let _ = writeln!(text, "    {reason}");
    }
    let _ = writeln!(text, "    mqttspec {}", wrong.rerun());
}

/// The switches, for `mqttspec list`.
pub(super) fn list() -> String {
    let switches: &[Switch] = chameleon::all();
    let width = switches.iter().map(|switch| switch.name.len()).max().unwrap_or(0);
    switches.iter().fold(String::new(), |mut text, switch| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", switch.name, switch.does);
        text
    })
}
