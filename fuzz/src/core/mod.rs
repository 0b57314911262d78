//! Anything that a few clients may do to a broker, well-behaved or not, while time moves.
//!
//! `acts` reads an input, `choice` makes the broker, `script` and `messages` do what is chosen and `client` knows
//! what it may say; `world` is the shell around the core: it turns bytes into the core's inputs, answers its
//! `questions`, compares each step with the [model](crate::model) where that knows what the broker chooses,
//! holds every output to what must always hold (some of it is in `rules`), and writes the trace; `ending` lets
//! all that was begun come to its end, has each client come back once and reads what is retained. Then every
//! oracle judges the trace.

mod act;
mod acts;
mod census;
mod choice;
mod client;
mod ending;
mod messages;
mod questions;
mod rules;
mod script;
mod seed;
mod world;

use conformance::oracle;
use conformance::trace::{Event, event_line, name_width};
use conformance::verdict::Finding;

use script::Script;

pub(crate) use seed::{for_core, scripts};

/// The longest field of a packet, in bytes: the core does not look at long ones otherwise, and each
/// copy of a long one costs.
const LONGEST: usize = 400;

/// A broker keeps the standard whatever its clients do, serves those who keep it too, and forgets
/// what is over.
///
/// # Panics
///
/// When it does not.
pub fn a_broker_keeps_the_standard(input: &[u8]) {
    let trace = play(input);
    let found = oracle::judge(&trace);
    assert!(found.is_empty(), "{}", report(&trace, &found));
}

/// The trace, with each finding below its event.
fn report(trace: &[Event], found: &[Finding]) -> String {
    let width = name_width(trace);
    let mut text = String::new();
    for (number, event) in trace.iter().enumerate() {
        text += &event_line(event, width);
        for Finding { oracle, requirement, expected, observed, .. } in
            found.iter().filter(|finding| finding.event == Some(number))
        {
            let by = (oracle.unwrap_or_default(), requirement.unwrap_or_default());
            text += &format!("\n!!!! {} {}: expected {expected}, observed {observed}", by.0, by.1);
        }
        text.push('\n');
    }
    let elsewhere = found.iter().filter(|finding| finding.event.is_none());
    elsewhere.for_each(|finding| text += &format!("!!!! {finding:?}\n"));
    format!("{} findings\n{text}", found.len())
}

/// What happened when this input was played.
///
/// # Panics
///
/// When the broker did what it never may.
pub fn play(input: &[u8]) -> Vec<Event> {
    let mut script = Script::new(input);
    script.run();
    ending::end(script)
}
