use clap::Args;
use conformance::exit::Exit;
use conformance::report::{Report, causes};
use conformance::repro::Failure as Shown;
use conformance::runner::{Options, RunError, Selection, run};
use conformance::target::Target;
use conformance::verdict::Verdict;
use reference_broker::command::interrupt;

use super::reach::ReachArguments;
use super::run::token;
use super::target::TargetArguments;
use super::{Failure, print};

/// How many scenarios run at once, where more than one is selected.
const JOBS: usize = 8;

#[derive(Args, Debug)]
pub(super) struct ReproArguments {
    /// The scenario that fails, or several of which one does, as `run` selects them
    #[arg(value_name = "SELECTION")]
    id: String,
    /// The broker, as with `run`; the embedded one if nothing is named
    #[arg(value_name = "URL")]
    broker: Option<String>,
    /// Print the text of an issue, with the program in it
    #[arg(long)]
    issue: bool,
    /// Multiply every time the target is given, for slow machines
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    timeout_scale: f64,
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    reach: ReachArguments,
}

/// Runs a scenario, and prints what reproduces its failure.
pub(super) fn repro(arguments: &ReproArguments) -> Result<Exit, Failure> {
    let selected = Selection::new(vec![arguments.id.clone()])
        .scenarios()
        .map_err(|error| (Exit::NothingSelected, error.to_string()))?;
    let tested = arguments.target.tested(arguments.broker.as_deref(), &arguments.reach)?;
    let (name, rerun) = (tested.name.clone(), tested.rerun.clone());
    let (prefix, endpoint) = (tested.topic_prefix(None), tested.endpoint());
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| (Exit::Trouble, format!("cannot start: {error}")))?;
    let report = runtime.block_on(tested.with_started(async |target: &Target| {
        let options = Options {
            jobs: JOBS,
            timeout_scale: arguments.timeout_scale,
            token: token(target),
            topic_prefix: prefix,
            ..Options::default()
        };
        let interrupt = interrupt().map_err(|error| (Exit::Trouble, error.to_string()))?;
        let mut report = run(target, selected, &options, interrupt, |_| ()).await.map_err(
            |error| match error {
                RunError::Unusable(why) => (Exit::Trouble, format!("{target} {why}")),
                RunError::Trouble(error) => (Exit::Trouble, format!("cannot run: {error}")),
            },
        )?;
        (report.target, report.rerun) = (name, rerun);
        Ok(report)
    }))?;
    let causes = causes(&report);
    let fails = causes.iter().find(|cause| cause.verdict == Verdict::Fail);
    let Some(cause) = fails.or(causes.first()) else {
        return Err((Exit::NothingSelected, nothing_fails(&report)));
    };
    let shown = Shown { report: &report, cause, endpoint: &endpoint };
    if arguments.issue {
        return print(&shown.issue());
    }
    let program = shown.program().map_err(|why| {
        let id = cause.witness.0.id;
        (Exit::Trouble, format!("there is no program that shows {id}: {why}"))
    })?;
    print(&program.text)
}

fn nothing_fails(report: &Report) -> String {
    let mut counts: Vec<_> = report.scenarios.iter().map(|it| it.verdict.name()).collect();
    counts.sort_unstable();
    counts.dedup();
    format!("nothing to reproduce on {}: {}", report.target, counts.join(", "))
}
