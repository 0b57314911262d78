//! The tokio shell around the [core](crate::core).
//!
//! Three kinds of task, all owned by one supervisor: the *broker* owns the core and takes one
//! message after another, so it needs no lock; a *connection* owns the write side of a socket, and
//! a reader beside it turns bytes into messages; a *listener* accepts. Every inbox is bounded.
//! Waiting goes one way: readers wait for the broker, which is how a client is slowed down; the
//! broker waits for nobody. When a connection's outbox is full the broker drops a QoS 0 message or
//! closes the connection, and says so in the log.

mod broker;
mod connection;
mod server;

pub use server::Server;
