//! The BrokerActor: owns the engine, and takes one message after another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::codec::{Packet, QoS, Text};
use crate::core::{Broker, ConnectionId, Input, Moment, Output};

use super::Engine;
use super::asker::Asker;
use super::counts::count;
use super::inbox::{Look, Message, Next, Order, Outbox, Pending};
use super::log;
use super::panic::caught_call;
use super::pressure::Pressure;
use super::queue::{Refused, Room};
use super::supervisor::Shared;
use super::takeover::Takeovers;
use super::tap_actor::Taps;

/// Runs until it is told to end. A panic of the engine is a panic of this.
pub(super) async fn run(
    engine: Box<dyn Engine>,
    asker: Asker,
    pending: Pending,
    shared: Arc<Shared>,
    taps: Taps,
) {
    let mut actor = BrokerActor {
        engine,
        asker,
        pending,
        connections: BTreeMap::new(),
        origin: Instant::now(),
        shared,
        taps,
        takeovers: Takeovers::default(),
        pressure: Pressure::default(),
        ended: Vec::new(),
        stopping: false,
    };
    loop {
        let deadline = actor.next_deadline();
        match actor.pending.next(deadline).await {
            Next::Message(id, message, room) => actor.turn(id, message, room),
            Next::Order(Order::Inspect(look)) => actor.inspect(look),
            Next::Order(Order::Stop) => {
                actor.stopping = true;
                actor.handle(Input::Stop);
            }
            Next::Late => actor.handle(Input::Tick),
            Next::Order(Order::End) | Next::End => return,
        }
        actor.settle();
        actor.taps.call_inline().await;
    }
}

struct BrokerActor {
    engine: Box<dyn Engine>,
    asker: Asker,
    pending: Pending,
    connections: BTreeMap<ConnectionId, Outbox>,
    /// When the engine's clock began.
    origin: Instant,
    shared: Arc<Shared>,
    taps: Taps,
    /// Who waits until what it did over its old connection is handled.
    takeovers: Takeovers,
    /// Who waits until a subscriber has caught up.
    pressure: Pressure,
    /// The connections that nobody need wait for any more.
    ended: Vec<ConnectionId>,
    /// Whether it has taken leave.
    stopping: bool,
}

impl BrokerActor {
    /// Deals with a message, and charges that to a connection.
    fn turn(&mut self, id: ConnectionId, message: Message, room: Room) {
        let waiting = self.pending.turns.len() + 1;
        self.shared.counters.inbox_high_water.fetch_max(waiting, Ordering::Relaxed);
        let before = self.effort();
        let publishes = matches!(
            &message,
            Message::Happened(Input::Received(_, Packet::Publish(_) | Packet::PubRel(_)))
        );
        match message {
            // To drop its outbox closes it.
            Message::Opened(..) if self.stopping => {}
            Message::Opened(id, outbox) => {
                self.connections.insert(id, outbox);
                self.handle(Input::Opened(id));
            }
            Message::Happened(input) => self.happened(input, room),
            Message::Settled(id) => self.ended.push(id),
        }
        let cost = self.effort().saturating_sub(before).max(1);
        let is_open = self.connections.contains_key(&id);
        self.pending.turns.charge(id, cost, is_open);
        if publishes
            && let Some(broker) = self.engine.broker()
            && self.pressure.note(id, broker)
        {
            self.pending.turns.pause(id);
        }
    }

    fn effort(&self) -> u64 {
        self.engine.broker().map_or(0, Broker::effort)
    }

    fn inspect(&self, look: Look) {
        // It cannot change the engine, so nothing is half done after a panic.
        if let Err(panic) = caught_call(|| look(self.engine.broker())) {
            tracing::error!(panic, "a look at the core panicked");
        }
    }

    /// Handles what happened, unless that is a CONNECT of a client whose old connection may have something to hand on.
    fn happened(&mut self, input: Input, room: Room) {
        match &input {
            Input::Received(id, packet) => {
                if let Packet::Connect(connect) = packet
                    && let Some(old) = self.connection_of(&connect.client_id)
                    && old != *id
                    && let Some(outbox) = self.connections.get(&old)
                    && self.takeovers.begin(*id, old)
                {
                    outbox.question.ask();
                    return self.pending.turns.hold(Message::Happened(input), room);
                }
                log::received(*id, packet);
            }
            Input::Closed(id) => drop(self.forget(*id)),
            _ => {}
        }
        drop(room);
        self.handle(input);
    }

    fn connection_of(&self, client: &Text) -> Option<ConnectionId> {
        self.engine.broker()?.connection_of(client)
    }

    /// Goes on with those whose old connection has handed on all or has ended, with those whose subscribers have caught
    /// up, and with those who have waited long enough.
    fn settle(&mut self) {
        for id in self.pressure.release(self.engine.broker()) {
            self.pending.turns.let_go(id);
        }
        while let Some(old) = self.ended.pop().or_else(|| self.takeovers.overdue()) {
            for new in self.takeovers.release(old) {
                self.pending.turns.let_go(new);
            }
        }
    }

    fn forget(&mut self, id: ConnectionId) -> Option<Outbox> {
        self.asker.forget(id);
        self.takeovers.forget(id);
        self.pending.turns.closed(id);
        self.ended.push(id);
        self.connections.remove(&id)
    }

    fn handle(&mut self, input: Input) {
        // Whoever is cut off is an input in turn, which may bring outputs of its own, such as a
        // Will, and so cut off others.
        let mut next = Some(input);
        let mut inputs = VecDeque::new();
        while let Some(input) = next {
            let now = Moment(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX));
            self.engine.handle(now, input);
            while let Some(output) = self.engine.next_output() {
                inputs.extend(self.carry_out(output));
            }
            next = inputs.pop_front();
        }
    }

    /// Does what the engine wants done. Gives back what happened at that, such as that the
    /// connection had to be cut off.
    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(id, packet) => {
                log::sent(id, &packet);
                self.send(id, packet)
            }
            Output::Close(id) => {
                self.forget(id);
                None
            }
            Output::Ask(id, question) => {
                // Cut off meanwhile, it is forgotten already.
                let is_local = self.connections.get(&id)?.is_local;
                self.asker.ask(id, is_local, question)
            }
            Output::Published(message) => {
                self.taps.publish(message);
                None
            }
        }
    }

    /// Puts a packet into the outbox of its connection. If that is full, it is a decision and not a
    /// reason to wait: a QoS 0 message is dropped, and for anything else the connection cut off.
    fn send(&mut self, id: ConnectionId, packet: Packet) -> Option<Input> {
        let outbox = self.connections.get(&id)?;
        let (size, counted, expendable) = weigh(&packet);
        // Of retained messages there may be many more than fit, and the client has asked for all of them at once.
        let sent = match expendable && is_retained(&packet) {
            true => outbox.packets.try_send_beyond(packet, counted),
            false => outbox.packets.try_send_counted(packet, size, counted),
        };
        match sent {
            Ok(()) => None,
            // It has ended and says so behind what its client sent before, a DISCONNECT perhaps.
            // That counts, so it is not taken for closed before.
            Err(Refused::Closed) => None,
            Err(Refused::Full) if expendable => {
                if let Some(total) = self.shared.counters.dropped.add() {
                    tracing::warn!(connection = id.0, total, "QoS 0 message dropped: outbox full");
                }
                None
            }
            Err(Refused::Full) => {
                let outbox = self.forget(id)?;
                tracing::warn!(connection = id.0, "connection cut off: it takes nothing more");
                count(&self.shared.counters.cut_off);
                let _ = outbox.cut.send(()); // An error means that it has ended.
                Some(Input::Closed(id))
            }
        }
    }

    /// When something is due.
    fn next_deadline(&self) -> Option<Instant> {
        let of_engine = self.engine.next_deadline().map(|moment| self.instant(moment));
        let of_waiting = [self.takeovers.next_deadline(), self.pressure.next_deadline()];
        of_engine.into_iter().chain(of_waiting.into_iter().flatten()).min()
    }

    fn instant(&self, moment: Moment) -> Instant {
        // A moment too far for the clock is never reached; a year is as good.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        self.origin + Duration::from_millis(moment.0).min(self.origin.elapsed() + year)
    }
}

fn is_retained(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(publish) if publish.retain)
}

/// How many bytes a packet takes up in an outbox, how many of those in all outboxes together, and whether it
/// may be dropped. The payload of a QoS 1 or 2 message is the core's until it is acknowledged, and shared
/// with it; that of any message is shared by all who get it.
fn weigh(packet: &Packet) -> (usize, usize, bool) {
    let size = packet.encoded_len().unwrap_or(usize::MAX);
    match packet {
        Packet::Publish(publish) => {
            let header = size.saturating_sub(publish.payload.len());
            match publish.qos {
                QoS::AtMostOnce => (size, header, true),
                _ => (header, header, false),
            }
        }
        _ => (size, size, false),
    }
}

impl Drop for BrokerActor {
    fn drop(&mut self) {
        if let Some(total) = self.shared.counters.dropped.settle() {
            tracing::warn!(total, "QoS 0 messages dropped before: outbox full");
        }
    }
}
