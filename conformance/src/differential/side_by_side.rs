//! A script with what two brokers did on it.

use std::fmt::Write as _;

use crate::script::{Played, Script, to_text};
use crate::trace::{What, event_line};

use super::Observed;

/// The script as text, which can be replayed, with what each of the two brokers did behind each step as
/// comments; the step is marked by which what was seen of them first differs.
pub fn side_by_side(
    script: &Script,
    (first_name, first): (&str, &Played),
    (second_name, second): (&str, &Played),
    view: fn(&Played) -> Observed,
) -> String {
    let parting = parting(script, first, second, view);
    let width = first_name.chars().count().max(second_name.chars().count());
    let mut text = String::new();
    for (number, line) in (1..).zip(to_text(script).lines()) {
        let _ = writeln!(text, "{line}");
        if parting == Some(number) {
            let _ = writeln!(text, "# >>> here they part ways");
        }
        let (one, other) = (done_at(first, number), done_at(second, number));
        if one == other {
            for line in one {
                let _ = writeln!(text, "#   both{:width$}  {line}", "");
            }
            continue;
        }
        for (name, lines) in [(first_name, one), (second_name, other)] {
            let lines = if lines.is_empty() { vec!["nothing".to_owned()] } else { lines };
            for line in lines {
                let _ = writeln!(text, "#   {name:width$}      {line}");
            }
        }
    }
    text
}

/// The number of the step, from 1, by which what was seen of the two first differs.
pub(super) fn parting(
    script: &Script,
    first: &Played,
    second: &Played,
    view: fn(&Played) -> Observed,
) -> Option<usize> {
    (1..=script.steps.len()).find(|step| view(&until(first, *step)) != view(&until(second, *step)))
}

/// What a broker did at a step, in no order between connections.
fn done_at(played: &Played, step: usize) -> Vec<String> {
    let events = played.trace.iter().zip(&played.steps).filter(|(_, at)| **at == step);
    let done = events.filter(|(event, _)| {
        matches!(event.what, What::Received(_) | What::ReceivedBroken(..) | What::ClosedByBroker(_))
    });
    let mut lines: Vec<_> = done
        .map(|(event, _)| (event.probe.clone(), event_line(event, 1)))
        .map(|(probe, line)| (probe, line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")))
        .collect();
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What had come of a script by a step.
fn until(played: &Played, step: usize) -> Played {
    let count = played.steps.iter().take_while(|at| **at <= step).count();
    Played { trace: played.trace[..count].to_vec(), steps: played.steps[..count].to_vec() }
}
