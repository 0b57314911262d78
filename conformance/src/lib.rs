//! Conformance suite for MQTT 5.0 brokers: what it asks, how it asks, and what it says of the
//! answers.
//!
//! [`scenario`] holds what is asked; a scenario speaks through [`probe`]s. [`runner`] runs
//! scenarios against a [`target`] and ends with a [`report`]; every run is kept as a [`trace`], and
//! every [`verdict`] cites a row of the register of [`requirement`]s.

pub mod boundary;
pub mod chameleon;
mod chance;
pub mod coverage;
pub mod deviation;
pub mod differential;
pub mod exit;
pub mod flaw;
pub mod fuzzing;
pub mod mutant;
pub mod oracle;
pub mod probe;
mod program;
pub mod report;
pub mod repro;
pub mod requirement;
pub mod runner;
pub mod scenario;
pub mod script;
pub mod target;
pub mod trace;
pub mod verdict;
pub mod websocket;
