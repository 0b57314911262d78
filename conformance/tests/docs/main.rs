//! The documentation is held to the truth: where it leads is there, and what it names exists. That the command
//! lines it shows are accepted is tested beside the command line (`src/cli/documented.rs`).

mod links;
mod names;
// Tests of command lines have use for the rest of it.
#[allow(dead_code)]
mod page;
mod reports;
