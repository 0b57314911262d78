//! Conformance suite for MQTT 5.0 brokers.

pub mod deviation;
pub mod exit;
pub mod report;
pub mod trace;
pub mod verdict;
