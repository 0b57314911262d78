//! Hostile traffic at a broker that runs, beside clients that keep the standard.
//!
//! All that is sent is a [script](crate::script): valid sessions as [`diff`](crate::differential) plays them,
//! sessions in which one field of one packet is altered, and raw bytes (`inputs`). Many are played at once, each in
//! a place of its own (`playing`). Innocent clients have messages passed on throughout (`observer`), the process is
//! watched where it is ours to watch (`health`, `memory`), and oracles judge every trace. What is found is found again
//! on a fresh start, by one script alone, and made small (`suspects`); what has the same cause is told once
//! (`cause`).

mod altering;
mod campaign;
mod cause;
mod health;
mod inputs;
mod memory;
mod observer;
mod playing;
mod run;
mod standalone;
mod states;
mod suspects;

pub use campaign::{Campaign, Report};
pub use cause::{Cause, Symptom};
pub use inputs::{Input, Inputs, Kind};
pub use standalone::standalone;
