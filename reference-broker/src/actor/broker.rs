use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::codec::{Packet, QoS};
use crate::core::{Broker, Config, ConnectionId, Input, Moment, Output};

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

/// Owns the core; runs until nobody can send to it any more.
pub(super) async fn run(config: Config, mut inbox: mpsc::Receiver<Message>) {
    let mut actor = BrokerActor {
        core: Broker::new(config),
        connections: BTreeMap::new(),
        origin: Instant::now(),
        dropped: 0,
    };
    loop {
        let deadline = actor.core.next_deadline();
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
    core: Broker,
    connections: BTreeMap<ConnectionId, Outbox>,
    /// When the core's clock began.
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
                Input::Closed(id)
            }
            Message::Happened(input) => input,
        };
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let now = Moment(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX));
            self.core.handle(now, next);
            let mut lost = Vec::new();
            while let Some(output) = self.core.next_output() {
                lost.extend(self.carry_out(output));
            }
            // One at a time: each may bring outputs of its own, such as a Will.
            for id in lost {
                self.handle(Input::Closed(id));
            }
        }
    }

    /// Hands an output to its connection. Gives back the connection if that had to be cut off.
    fn carry_out(&mut self, output: Output) -> Option<ConnectionId> {
        match output {
            Output::Send(id, packet) => {
                let outbox = self.connections.get(&id)?;
                let expendable =
                    matches!(&packet, Packet::Publish(publish) if publish.qos == QoS::AtMostOnce);
                match outbox.sender.try_send(Outgoing::Packet(packet)) {
                    Ok(()) => None,
                    Err(mpsc::error::TrySendError::Full(_)) if expendable => {
                        self.dropped += 1;
                        tracing::warn!(
                            connection = id.0,
                            total = self.dropped,
                            "QoS 0 message dropped: outbox full"
                        );
                        None
                    }
                    // The connection has ended; what it read before is still on its way here, and
                    // so is the news of its end.
                    Err(mpsc::error::TrySendError::Closed(_)) => None,
                    Err(mpsc::error::TrySendError::Full(_)) => self.cut_off(id),
                }
            }
            Output::Close(id) => {
                let outbox = self.connections.remove(&id)?;
                if outbox.sender.try_send(Outgoing::Close).is_err() {
                    outbox.connection.abort();
                }
                None
            }
        }
    }

    fn cut_off(&mut self, id: ConnectionId) -> Option<ConnectionId> {
        let outbox = self.connections.remove(&id)?;
        tracing::warn!(connection = id.0, "connection cut off: it takes nothing more");
        outbox.connection.abort();
        Some(id)
    }

    fn instant(&self, moment: Moment) -> Instant {
        // A moment too far for the clock is never reached; a year is as good.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        self.origin + Duration::from_millis(moment.0).min(self.origin.elapsed() + year)
    }
}
