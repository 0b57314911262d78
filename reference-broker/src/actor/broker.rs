use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::codec::{Packet, QoS};
use crate::core::{ConnectionId, Input, Moment, Output};

use super::Engine;
use super::asker::Asker;

/// How many messages wait for the broker before readers wait for it.
const INBOX: usize = 1024;

/// What the broker is told.
pub(super) enum Message {
    /// A connection was opened; how to write to it, and how to cut it off.
    Opened(ConnectionId, mpsc::Sender<Outgoing>, AbortHandle),
    /// Anything else that happened.
    Happened(Input),
}

/// What a connection is told.
pub(super) enum Outgoing {
    /// Write this packet.
    Packet(Packet),
    /// Close after all that was told before.
    Close,
}

/// Creates the broker's inbox.
pub(super) fn inbox() -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
    mpsc::channel(INBOX)
}

/// Owns the engine; runs until nobody can send to it any more.
pub(super) async fn run(engine: Box<dyn Engine>, asker: Asker, mut inbox: mpsc::Receiver<Message>) {
    let connections = BTreeMap::new();
    let mut actor = BrokerActor { engine, asker, connections, origin: Instant::now(), dropped: 0 };
    loop {
        let deadline = actor.engine.next_deadline();
        let wake = actor.instant(deadline.unwrap_or_default());
        let message = tokio::select! {
            biased;
            message = inbox.recv() => message,
            () = sleep_until(wake), if deadline.is_some() => Some(Message::Happened(Input::Tick)),
        };
        match message {
            Some(message) => actor.take(message),
            None => return,
        }
    }
}

struct BrokerActor {
    engine: Box<dyn Engine>,
    asker: Asker,
    connections: BTreeMap<ConnectionId, Outbox>,
    /// When the engine's clock began.
    origin: Instant,
    /// QoS 0 messages dropped because an outbox was full.
    dropped: u64,
}

struct Outbox {
    sender: mpsc::Sender<Outgoing>,
    connection: AbortHandle,
}

impl BrokerActor {
    fn take(&mut self, message: Message) {
        let input = match message {
            Message::Opened(id, sender, connection) => {
                self.connections.insert(id, Outbox { sender, connection });
                Input::Opened(id)
            }
            Message::Happened(Input::Closed(id)) => {
                self.connections.remove(&id);
                self.asker.forget(id);
                Input::Closed(id)
            }
            Message::Happened(input) => input,
        };
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        // Whoever is cut off is an input in turn, which may bring outputs of its own, such as a
        // Will, and so cut off others.
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Moment(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX));
            self.engine.handle(now, input);
            while let Some(output) = self.engine.next_output() {
                inputs.extend(self.carry_out(output));
            }
        }
    }

    /// Hands an output to its connection. Gives back what happened at that, such as that the
    /// connection had to be cut off.
    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(id, packet) => {
                let outbox = self.connections.get(&id)?;
                let expendable =
                    matches!(&packet, Packet::Publish(publish) if publish.qos == QoS::AtMostOnce);
                match outbox.sender.try_send(Outgoing::Packet(packet)) {
                    Ok(()) => None,
                    // It has ended and says so behind what its client sent before, a DISCONNECT
                    // perhaps. That counts, so it is not taken for closed before.
                    Err(mpsc::error::TrySendError::Closed(_)) => None,
                    Err(mpsc::error::TrySendError::Full(_)) if expendable => {
                        self.dropped += 1;
                        tracing::warn!(
                            connection = id.0,
                            total = self.dropped,
                            "QoS 0 message dropped: outbox full"
                        );
                        None
                    }
                    Err(mpsc::error::TrySendError::Full(_)) => self.cut_off(id),
                }
            }
            Output::Close(id) => {
                self.asker.forget(id);
                let outbox = self.connections.remove(&id)?;
                if outbox.sender.try_send(Outgoing::Close).is_err() {
                    outbox.connection.abort();
                }
                None
            }
            Output::Ask(id, question) => {
                self.connections.get(&id)?; // Cut off meanwhile, it is forgotten already.
                self.asker.ask(id, question)
            }
            // Nothing in the configuration brings this yet.
            Output::Published(_) => None,
        }
    }

    fn cut_off(&mut self, id: ConnectionId) -> Option<Input> {
        self.asker.forget(id);
        let outbox = self.connections.remove(&id)?;
        tracing::warn!(connection = id.0, "connection cut off: it takes nothing more");
        outbox.connection.abort();
        Some(Input::Closed(id))
    }

    fn instant(&self, moment: Moment) -> Instant {
        // A moment too far for the clock is never reached; a year is as good.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        self.origin + Duration::from_millis(moment.0).min(self.origin.elapsed() + year)
    }
}
