//! The documentation is held to the truth.

#[allow(dead_code)]
mod page;
mod reports;
