//! The tokio shell around the [core](crate::core).
//!
//! Three kinds of task, all owned by one supervisor: the *broker* owns the core and takes one
//! message after another, so it needs no lock; a *connection* owns the write side of a socket, and
//! a reader beside it turns bytes into messages; a *listener* accepts. Every inbox is bounded.
//! Waiting goes one way: readers wait for the broker, which is how a client is slowed down; the
//! broker waits for nobody. When a connection's outbox is full the broker drops a QoS 0 message or
//! closes the connection, and says so in the log.

use crate::core::{Broker, Input, Moment, Output};

mod asker;
mod broker;
mod connection;
mod server;

pub use server::Server;

/// What the shell drives: the [core](crate::core), or something that stands in its place, such as a
/// core whose inputs and outputs are rewritten on their way.
pub trait Engine: Send + 'static {
    /// Takes in what happened at `now`.
    fn handle(&mut self, now: Moment, input: Input);

    /// The next thing to be done, in order; drained after each input.
    fn next_output(&mut self) -> Option<Output>;

    /// When [`Input::Tick`] is due at the latest.
    fn next_deadline(&self) -> Option<Moment>;
}

impl Engine for Broker {
    fn handle(&mut self, now: Moment, input: Input) {
        Broker::handle(self, now, input);
    }

    fn next_output(&mut self) -> Option<Output> {
        Broker::next_output(self)
    }

    fn next_deadline(&self) -> Option<Moment> {
        Broker::next_deadline(self)
    }
}
