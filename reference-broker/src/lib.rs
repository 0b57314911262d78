//! A minimal, spec-faithful MQTT 5.0 broker.
//!
//! Bottom up: [`topic`] (names, filters and trees of them). Each module says what it is for.

pub mod codec;
pub mod topic;
