//! Rules in one line each: what they do, and a closure that says to which packets.
//!
//! A closure is given the packet and [`At`]: where it is. It may keep state of its own; [`after`]
//! and [`only`] count for it.

mod forged;
pub mod messages;
pub mod subscriptions;
mod typed;

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{
    Connect, DecodeError, Packet, PacketType, Publish, PublishAck, Text,
};
use reference_broker::core::{ConnectionId, Input, Moment, Output};

use super::{Boundary, Client, Clients, Rule};

pub use forged::{FORGED, NOWHERE, answers_forged, forges, published, session_expiry, will_delay};
pub use typed::{
    accepts, both, connects, delivers, each_property, inputs, leaves, outputs, publishes, refuses,
};

/// Where a packet is seen.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its connection.
    pub connection: ConnectionId,
    /// Who is connected.
    pub clients: &'a Clients,
    /// The time.
    pub now: Moment,
}

impl<'a> At<'a> {
    /// The client of the connection; none before its CONNECT.
    pub fn client(&self) -> Option<&'a Client> {
        self.clients.get(self.connection)
    }

    /// The Client Identifier of the connection; empty before its CONNECT.
    pub fn id(&self) -> Text {
        self.client().map(|client| client.id.clone()).unwrap_or_default()
    }

    /// Whether the client has asked for a clean start.
    pub fn is_clean_start(&self) -> bool {
        self.client().is_some_and(|client| client.connect.clean_start)
    }

    /// Whether the client has another connection, which this one has just taken the place of.
    pub fn is_takeover(&self) -> bool {
        let id = self.id();
        self.clients.iter().any(|(connection, other)| {
            connection != self.connection && other.id == id && other.accepted
        })
    }
}

/// A rule for packets on their way in: given what was received and where, it says what happens.
struct Inward<F>(F);

/// A rule for packets on their way out.
struct Outward<F>(F);

impl<F: FnMut(Packet, At<'_>, &mut Act<'_, '_>) + Send> Rule for Inward<F> {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        let Input::Received(connection, packet) = input else { return boundary.pass(input) };
        let at = At { connection, clients: boundary.clients, now: boundary.now };
        (self.0)(packet, at, &mut Act { connection, boundary });
    }
}

impl<F: FnMut(Packet, At<'_>, &mut Act<'_, '_>) + Send> Rule for Outward<F> {
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        let Output::Send(connection, packet) = output else { return boundary.emit(output) };
        let at = At { connection, clients: boundary.clients, now: boundary.now };
        (self.0)(packet, at, &mut Act { connection, boundary });
    }
}

/// What a rule of several steps can do about a packet's connection.
#[derive(Debug)]
pub struct Act<'a, 'b> {
    connection: ConnectionId,
    /// For what concerns other connections.
    pub boundary: &'a mut Boundary<'b>,
}

impl Act<'_, '_> {
    /// The broker receives a packet.
    pub fn receive(&mut self, packet: impl Into<Packet>) {
        self.boundary.pass(Input::Received(self.connection, packet.into()));
    }

    /// The client is sent a packet.
    pub fn send(&mut self, packet: impl Into<Packet>) {
        self.boundary.emit(Output::Send(self.connection, packet.into()));
    }

    /// The connection is closed, and the broker finds it closed.
    pub fn close(&mut self) {
        self.boundary.emit(Output::Close(self.connection));
        self.boundary.pass(Input::Closed(self.connection));
    }
}

/// Goes through packets from clients in steps of its own; what it does not [`Act::receive`] is lost.
pub fn inward(
    rule: impl FnMut(Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    Box::new(Inward(rule))
}

/// Goes through packets to clients in steps of its own; what it does not [`Act::send`] is lost.
pub fn outward(
    rule: impl FnMut(Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    Box::new(Outward(rule))
}

/// Goes through packets from clients and to them, with a state that both steps share.
pub fn through<S: Send + 'static>(
    state: S,
    inward: impl FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
    outward: impl FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    struct Through<S, I, O>(S, I, O);
    impl<S, I, O> Rule for Through<S, I, O>
    where
        S: Send,
        I: FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send,
        O: FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send,
    {
        fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
            let Input::Received(connection, packet) = input else { return boundary.pass(input) };
            let at = At { connection, clients: boundary.clients, now: boundary.now };
            (self.1)(&mut self.0, packet, at, &mut Act { connection, boundary });
        }

        fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
            let Output::Send(connection, packet) = output else { return boundary.emit(output) };
            let at = At { connection, clients: boundary.clients, now: boundary.now };
            (self.2)(&mut self.0, packet, at, &mut Act { connection, boundary });
        }
    }
    Box::new(Through(state, inward, outward))
}

/// Goes through all inputs and outputs, with a state that both steps share.
pub fn crossing<S: Send + 'static>(
    state: S,
    inward: impl FnMut(&mut S, Input, &mut Boundary<'_>) + Send + 'static,
    outward: impl FnMut(&mut S, Output, &mut Boundary<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    struct Crossing<S, I, O>(S, I, O);
    impl<S, I, O> Rule for Crossing<S, I, O>
    where
        S: Send,
        I: FnMut(&mut S, Input, &mut Boundary<'_>) + Send,
        O: FnMut(&mut S, Output, &mut Boundary<'_>) + Send,
    {
        fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
            (self.1)(&mut self.0, input, boundary);
        }

        fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
            (self.2)(&mut self.0, output, boundary);
        }
    }
    Box::new(Crossing(state, inward, outward))
}

/// Alters every CONNECT.
pub fn reads_connect(
    mut alter: impl FnMut(&mut Connect, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Connect(connect) = packet {
            alter(connect, at);
        }
    })
}

/// Alters every PUBLISH from clients.
pub fn reads_publish(
    mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Alters every PUBLISH to clients.
pub fn writes_publish(
    mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    writes(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Loses messages to clients.
pub fn loses_publish(
    mut which: impl FnMut(&Publish, At<'_>) -> bool + Send + 'static,
) -> Box<dyn Rule> {
    swallows(move |packet, at| matches!(packet, Packet::Publish(publish) if which(publish, at)))
}

/// Loses acknowledgements, and steps, of clients of the one kind that `of` knows.
pub fn ignores_step(
    of: fn(&Packet) -> Option<&PublishAck>,
    mut which: impl FnMut(&PublishAck, At<'_>) -> bool + Send + 'static,
) -> Box<dyn Rule> {
    ignores(move |packet, at| of(packet).is_some_and(|ack| which(ack, at)))
}

/// Alters packets from clients.
pub fn reads(mut alter: impl FnMut(&mut Packet, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    inward(move |mut packet, at, act| {
        alter(&mut packet, at);
        act.receive(packet);
    })
}

/// Overhears packets from clients.
pub fn ignores(mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    inward(move |packet, at, act| {
        if !which(&packet, at) {
            act.receive(packet);
        }
    })
}

/// Answers packets from clients in the place of the core, which does not get them.
pub fn answers(
    mut answer: impl FnMut(&Packet, At<'_>) -> Option<Vec<Packet>> + Send + 'static,
) -> Box<dyn Rule> {
    inward(move |packet, at, act| match answer(&packet, at) {
        Some(answers) => answers.into_iter().for_each(|packet| act.send(packet)),
        None => act.receive(packet),
    })
}

/// Like [`answers`], but the core knows that its client has sent something: it gets a PINGREQ, whose
/// answer nobody sees.
pub fn answers_and_counts(
    mut answer: impl FnMut(&Packet, At<'_>) -> Option<Vec<Packet>> + Send + 'static,
) -> Box<dyn Rule> {
    through(
        BTreeMap::<ConnectionId, u32>::new(),
        move |hidden, packet, at, act| match answer(&packet, at) {
            Some(answers) => {
                *hidden.entry(at.connection).or_default() += 1;
                act.receive(Packet::PingReq);
                answers.into_iter().for_each(|packet| act.send(packet));
            }
            None => act.receive(packet),
        },
        |hidden, packet, at, act| match hidden.get_mut(&at.connection) {
            Some(count) if packet == Packet::PingResp => {
                *count -= 1;
                if *count == 0 {
                    hidden.remove(&at.connection);
                }
            }
            _ => act.send(packet),
        },
    )
}

/// Closes the connection at packets from clients, which the core does not get.
pub fn closes(mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    inward(move |packet, at, act| match which(&packet, at) {
        true => act.close(),
        false => act.receive(packet),
    })
}

/// Alters packets to clients.
pub fn writes(mut alter: impl FnMut(&mut Packet, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    outward(move |mut packet, at, act| {
        alter(&mut packet, at);
        act.send(packet);
    })
}

/// Loses packets to clients.
pub fn swallows(mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    outward(move |packet, at, act| {
        if !which(&packet, at) {
            act.send(packet);
        }
    })
}

/// Sends packets to clients twice.
pub fn repeats(mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    outward(move |packet, at, act| {
        if which(&packet, at) {
            act.send(packet.clone());
        }
        act.send(packet);
    })
}

/// Sends more packets after one that goes to a client.
pub fn adds(
    mut more: impl FnMut(&Packet, At<'_>) -> Vec<Packet> + Send + 'static,
) -> Box<dyn Rule> {
    outward(move |packet, at, act| {
        let more = more(&packet, at);
        act.send(packet);
        more.into_iter().for_each(|packet| act.send(packet));
    })
}

/// Holds packets to clients back.
pub fn delays(
    by: Duration,
    mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static,
) -> Box<dyn Rule> {
    outward(move |packet, at, act| match which(&packet, at) {
        true => act.boundary.emit_after(by, Output::Send(at.connection, packet)),
        false => act.send(packet),
    })
}

/// Does not close connections that the core closes.
pub fn keeps_open(mut which: impl FnMut(At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    struct KeepsOpen<F>(F);
    impl<F: FnMut(At<'_>) -> bool + Send> Rule for KeepsOpen<F> {
        fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
            let kept = match output {
                Output::Close(connection) => {
                    (self.0)(At { connection, clients: boundary.clients, now: boundary.now })
                }
                _ => false,
            };
            if !kept {
                boundary.emit(output);
            }
        }
    }
    Box::new(KeepsOpen(move |at: At<'_>| which(at)))
}

/// Overlooks bytes that are no valid packet.
pub fn endures(
    mut which: impl FnMut(Option<PacketType>, &DecodeError) -> bool + Send + 'static,
) -> Box<dyn Rule> {
    struct Endures<F>(F);
    impl<F: FnMut(Option<PacketType>, &DecodeError) -> bool + Send> Rule for Endures<F> {
        fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
            match &input {
                Input::Malformed(_, kind, error) if (self.0)(*kind, error) => {}
                _ => boundary.pass(input),
            }
        }
    }
    Box::new(Endures(move |kind: Option<PacketType>, error: &DecodeError| which(kind, error)))
}

/// Holds for what `which` is true of, from the time after the first `count` of them on.
pub fn after(
    count: u32,
    mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static,
) -> impl FnMut(&Packet, At<'_>) -> bool + Send + 'static {
    let mut seen = 0;
    move |packet, at| {
        let holds = which(packet, at);
        seen += u32::from(holds);
        holds && seen > count
    }
}

/// Holds for what `which` is true of, the `nth` time only, counted from 1.
pub fn only(
    nth: u32,
    mut which: impl FnMut(&Packet, At<'_>) -> bool + Send + 'static,
) -> impl FnMut(&Packet, At<'_>) -> bool + Send + 'static {
    let mut seen = 0;
    move |packet, at| {
        let holds = which(packet, at);
        seen += u32::from(holds);
        holds && seen == nth
    }
}
