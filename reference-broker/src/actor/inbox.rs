//! What the broker is told: orders, which go first, and what clients did, by [turns](super::turns).

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::codec::Packet;
use crate::core::{Broker, ConnectionId, Input};

use super::Bound;
use super::queue::{Receiver, Room, Sender, queue};
use super::takeover::Question;
use super::turns::Turns;

/// How many orders may wait.
const ORDERS: Bound = Bound { items: 64, bytes: 64 };

/// What the broker is told of a connection.
pub(super) enum Message {
    /// It was opened, and how to reach it.
    Opened(ConnectionId, Outbox),
    /// Anything else that happened.
    Happened(Input),
    /// It has handed on all that had come when it was asked.
    Settled(ConnectionId),
}

/// What the broker is told by those who run it.
pub(super) enum Order {
    /// Somebody wants to look at the core.
    Inspect(Look),
    /// Take leave of all clients, and open nothing more.
    Stop,
    /// All connections are gone: end.
    End,
}

/// A look at the core, if the engine has one.
pub(super) type Look = Box<dyn FnOnce(Option<&Broker>) + Send>;

/// How the broker reaches a connection. To drop this is to close it after all that was sent.
pub(super) struct Outbox {
    /// What is to be written.
    pub(super) packets: Sender<Packet>,
    /// Ends the connection at once.
    pub(super) cut: oneshot::Sender<()>,
    /// Whether its client is on this machine for sure.
    pub(super) is_local: bool,
    /// By which its reader is asked whether all has been handed on.
    pub(super) question: Arc<Question>,
}

/// The way to the broker.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) messages: Sender<Message>,
    pub(super) orders: Sender<Order>,
}

/// All that waits for the broker.
pub(super) struct Pending {
    messages: Receiver<Message>,
    orders: Receiver<Order>,
    pub(super) turns: Turns,
}

/// What the broker is to do next.
pub(super) enum Next {
    Order(Order),
    /// Deal with a message, whose turn is charged to a connection.
    Message(ConnectionId, Message, Room),
    /// Nothing has come before the deadline.
    Late,
    /// Nobody is there any more.
    End,
}

/// An inbox of this size for messages.
pub(super) fn inbox(bound: Bound) -> (Inbox, Pending) {
    let (messages, incoming) = queue(bound);
    let (orders, ordered) = queue(ORDERS);
    let pending = Pending { messages: incoming, orders: ordered, turns: Turns::default() };
    (Inbox { messages, orders }, pending)
}

impl Pending {
    /// What is next, or that nothing has come by then.
    pub(super) async fn next(&mut self, deadline: Option<Instant>) -> Next {
        // Others are to run as well, however much waits.
        consume_budget().await;
        loop {
            while let Some((message, room)) = self.messages.try_recv() {
                self.turns.push(message, room);
            }
            if let Some((order, _)) = self.orders.try_recv() {
                return Next::Order(order);
            }
            if let Some((id, message, room)) = self.turns.next() {
                return Next::Message(id, message, room);
            }
            tokio::select! {
                biased;
                Some((order, _)) = self.orders.recv() => return Next::Order(order),
                message = self.messages.recv() => match message {
                    Some((message, room)) => self.turns.push(message, room),
                    None => return Next::End,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Next::Late;
                }
            }
        }
    }
}
