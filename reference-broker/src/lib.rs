//! A minimal, spec-faithful MQTT 5.0 broker.
//!
//! Bottom up: [`codec`] (bytes and packets), [`topic`] (names, filters and trees of them),
//! [`core`] (the broker as a pure state machine), [`transport`] (byte streams), [`authentication`]
//! (users and what proves who one is), [`actor`] (the tasks that connect all that to the core),
//! [`status`] (what goes on, over HTTP), [`settings`] (the configuration) and [`command`] (all of it as
//! a command). The first three depend on nothing but `bytes`: without the feature `server` they are all
//! there is.

#[cfg(feature = "server")]
pub mod actor;
#[cfg(feature = "server")]
pub mod authentication;
pub mod codec;
#[cfg(feature = "server")]
pub mod command;
pub mod core;
#[cfg(feature = "server")]
pub mod settings;
#[cfg(feature = "server")]
pub mod status;
pub mod topic;
#[cfg(feature = "server")]
pub mod transport;
