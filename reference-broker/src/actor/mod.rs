//! The tokio shell around the [core](crate::core).
//!
//! Who owns what:
//!
//! | task | count | owns | its inbox carries |
//! |---|---|---|---|
//! | supervisor | 1 | all other tasks, and so the listeners | orders of the [`Server`], accepted streams |
//! | BrokerActor | 1 | the engine: all sessions and messages; no lock is needed | orders, and what clients did |
//! | ConnectionActor | 1 a connection | the write side of its stream; beside it, a reader | packets to write |
//! | asker | 1 a client that is asked about | the exchange with it | questions of the core |
//! | TapActor | 1 | nothing | published messages, with the taps concerned |
//! | tap | 1 a tap | nothing | its messages |
//! | listener | 1 a socket | the socket that is listened on | |
//!
//! Every inbox is bounded, in items and bytes ([`ServerSettings`]). Waiting goes one way, so no two
//! can wait for each other:
//!
//! - a listener waits for the supervisor, and clients for it in the system's accept queue;
//! - the supervisor waits for nobody, but for tasks that it ends;
//! - a reader waits for the broker, which is how a client is slowed down;
//! - an asker waits for the broker with its answer, and for its turn to hash a password;
//! - the broker waits for nobody. A full outbox is a decision: a QoS 0 message is dropped, for
//!   anything else the connection is cut off. A full inbox of the taps drops the newest message;
//! - the TapActor waits for nobody: a full queue of a tap drops the newest message for that tap.
//!
//! The broker obeys orders first. What clients did waits by connection, and the one that has cost the least is next
//! (`turns`), so that nobody waits for long for what others want, however much that is. Two wait longer, and nobody for
//! them:
//!
//! - a CONNECT, for a second at the most, until the reader of the client's old connection has handed on all that had
//!   come by then: what was done over one connection is handled before what is done over the next (`takeover`);
//! - a publisher, for two seconds at the most, until a subscriber that has nearly as much waiting as may has caught up
//!   (`pressure`).
//!
//! Where there are as many connections as may be, the one that has been silent for the longest gives way to a new one
//! (`peers`).
//!
//! All that is dropped or cut off is counted ([`ShellCounts`]), wherever it is dropped. It is logged as
//! well: of many the first, then ever more seldom, and the rest when it is over, so that the log of a
//! server that was stopped has all of them.
//!
//! What ends what: a panic of a connection ends that connection, with its Will; a panic of a tap
//! ends one call of it; a panic of the engine ends the broker and its connections, and the
//! supervisor starts the next one, without sessions, on the same listeners. To drop the [`Server`]
//! ends the supervisor and all.

use crate::core::{Broker, Input, Moment, Output};

mod asker;
mod broker;
mod connection;
mod counts;
mod inbox;
mod listener;
mod log;
mod panic;
mod peers;
mod pressure;
mod queue;
mod reader;
mod server;
mod settings;
mod supervisor;
mod takeover;
mod tap;
mod tap_actor;
mod turns;

pub use counts::ShellCounts;
pub use listener::{Accept, Arrival, Arrived};
pub use server::Server;
pub use settings::{Bound, ServerSettings};
pub use tap::{TapCounts, TapError, TapHandle, TapMessage, TapMode, TapOptions};

/// What the shell drives: the [core](crate::core), or something that stands in its place, such as a
/// core whose inputs and outputs are rewritten on their way.
pub trait Engine: Send + 'static {
    /// Takes in what happened at `now`.
    fn handle(&mut self, now: Moment, input: Input);

    /// The next thing to be done, in order; drained after each input.
    fn next_output(&mut self) -> Option<Output>;

    /// When [`Input::Tick`] is due at the latest.
    fn next_deadline(&self) -> Option<Moment>;

    /// The core, for [`Server::inspect`]; none if it is not to be looked at.
    fn broker(&self) -> Option<&Broker> {
        None
    }
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

    fn broker(&self) -> Option<&Broker> {
        Some(self)
    }
}
