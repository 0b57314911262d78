use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use conformance::differential::{
    Beside, Difference, Divergences, Drawn, Explanation, Found, cases, config_of, drawn,
    first_difference,
};
use conformance::exit::Exit;
use conformance::script::{Script, to_text};
use conformance::target::{Connector, Target, Variant, announced};
use reference_broker::core::Config;

use super::reach::ReachArguments;
use super::run::token;
use super::{Failure, by_chance, print};

#[derive(Args, Debug)]
pub(super) struct DiffArguments {
    /// The broker to compare; of two, the first, which is embedded, is compared with the second
    #[arg(value_name = "TARGET", num_args = 0..=2)]
    targets: Vec<Target>,
    /// How many scripts are played
    #[arg(long, value_name = "N", default_value_t = 300)]
    cases: usize,
    /// Play the scripts of this number again; by chance if left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many scripts are played at once on a broker at an address
    #[arg(long, value_name = "N", default_value_t = 16)]
    jobs: usize,
    /// How long to wait there for what comes of a step on the embedded broker
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Begin all topics with this
    #[arg(long, value_name = "PREFIX", default_value = "mqttspec")]
    topic_prefix: String,
    /// Prove it: tell how many of so many mutants, drawn by the seed, are found and explained
    #[arg(long, value_name = "N", conflicts_with = "targets")]
    mutants: Option<usize>,
    #[command(flatten)]
    reach: ReachArguments,
}

/// Plays scripts on two brokers, and tells where they part ways and why.
pub(super) fn diff(arguments: &DiffArguments) -> Result<Exit, Failure> {
    let seed = arguments.seed.unwrap_or_else(by_chance);
    if let Some(count) = arguments.mutants {
        return print(&of_drawn(&drawn(seed, count, arguments.cases), seed));
    }
    match &arguments.targets[..] {
        [Target::Embedded(second)] => in_memory(arguments, &Variant::default(), second, seed),
        [Target::Embedded(first), Target::Embedded(second)] => {
            in_memory(arguments, first, second, seed)
        }
        [other] => beside(arguments, other, seed),
        [_, _] => Err((Exit::Usage, "of two brokers both have to be embedded ones".to_owned())),
        _ => Err((Exit::Usage, "name a broker to compare with the embedded one".to_owned())),
    }
}

fn in_memory(
    arguments: &DiffArguments,
    first: &Variant,
    second: &Variant,
    seed: u64,
) -> Result<Exit, Failure> {
    let config = Config::default();
    let cases = cases(seed, arguments.cases, first, &config);
    let Some(found) = first_difference(&cases, first, second, &config) else {
        return print(&format!("{} scripts, no difference; seed {seed}\n", cases.len()));
    };
    let mut text = shown(&found.script, &found.differences, &found.explanation);
    let _ = writeln!(text, "\nscript {} of {}; seed {seed}", found.case, cases.len());
    print(&text)?;
    Ok(exit_of([&found.explanation]))
}

fn beside(arguments: &DiffArguments, target: &Target, seed: u64) -> Result<Exit, Failure> {
    let (target, _) = arguments.reach.apply(target.clone())?;
    let trouble = |what: String| (Exit::Trouble, what);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| trouble(format!("cannot start: {error}")))?;
    let report = runtime.block_on(async {
        let cannot = |error: std::io::Error| trouble(format!("{target}: {error}"));
        let connector = Connector::new(&target).await.map_err(cannot)?;
        let connack = announced(&connector, arguments.patience.max(Duration::from_secs(5))).await;
        let connack = connack.map_err(|why| trouble(format!("{target} {why}")))?;
        let beside = Beside {
            connector,
            config: config_of(&connack),
            topic_prefix: arguments.topic_prefix.clone(),
            token: token(&target),
            patience: arguments.patience,
            jobs: arguments.jobs,
            seed,
            cases: arguments.cases,
        };
        beside.compare().await.map_err(cannot)
    })?;
    print(&of_divergences(&report, &target, seed))?;
    Ok(exit_of(report.found.iter().map(|(divergence, _)| &divergence.explanation)))
}

fn exit_of<'a>(explanations: impl IntoIterator<Item = &'a Explanation>) -> Exit {
    let is_violation = |it: &Explanation| matches!(it, Explanation::Violation(..));
    match explanations.into_iter().any(is_violation) {
        true => Exit::Unexpected,
        false => Exit::AsExpected,
    }
}

fn of_divergences(report: &Divergences, target: &Target, seed: u64) -> String {
    let mut text = String::new();
    for (divergence, scripts) in &report.found {
        let Found { case, script, differences, explanation } = divergence;
        text.push_str(&shown(script, differences, explanation));
        let _ = writeln!(text, "  first in script {case}, in {scripts} of all\n");
    }
    let Divergences { played, alike, unsteady, passed_over, found } = report;
    let count = |is: fn(&Explanation) -> bool| {
        found.iter().filter(|(divergence, _)| is(&divergence.explanation)).count()
    };
    let choices = count(|it| matches!(it, Explanation::Choice(_)));
    let violations = count(|it| matches!(it, Explanation::Violation(..)));
    let open = count(|it| *it == Explanation::Open);
    let _ = writeln!(
        text,
        "{target}: {played} scripts, {alike} alike, {unsteady} unsteady, {passed_over} passed over; \
         {choices} choices, {violations} violations, {open} open; seed {seed}"
    );
    text
}

/// A script, what differs on it, and why.
fn shown(script: &Script, differences: &[Difference], explanation: &Explanation) -> String {
    let mut text = format!("{explanation}\n");
    for line in to_text(script).lines() {
        let _ = writeln!(text, "    {line}");
    }
    for Difference { connection, part, first, second } in differences {
        let or_nothing = |seen: &str| if seen.is_empty() { "nothing" } else { seen }.to_owned();
        let _ = writeln!(text, "  {connection}: {part}");
        let _ = writeln!(text, "    first   {}", or_nothing(first));
        let _ = writeln!(text, "    second  {}", or_nothing(second));
    }
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
                let (case, steps, why) = (found.case, found.script.steps.len(), &found.explanation);
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
