//! Conformance suite for MQTT 5.0 brokers.

pub mod probe;
pub mod report;
pub mod requirement;
pub mod runner;
pub mod scenario;
pub mod target;
pub mod trace;
pub mod verdict;
