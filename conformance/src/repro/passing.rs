//! The trace of a scenario that passes.

use crate::runner::{Ground, Options, Performance, paused_runtime};
use crate::scenario::Scenario;
use crate::target::Variant;
use crate::trace::Event;

/// The trace of a scenario on the reference broker in memory.
pub(super) fn trace(scenario: &'static Scenario) -> Option<Vec<Event>> {
    // Whoever asks may have a runtime of its own, in which no other can be.
    let thread = std::thread::spawn(move || {
        let runtime = paused_runtime().ok()?;
        let ground = runtime.block_on(Ground::plain(&Options::default())).ok()?;
        Some(Performance::new(scenario, ground.with(Variant::default())).in_memory().trace)
    });
    thread.join().ok().flatten()
}
