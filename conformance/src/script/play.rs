//! Plays scripts on a broker in memory: without sockets, tasks or waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use reference_broker::actor::Engine;
use reference_broker::authentication::Exchange;
use reference_broker::codec::{Framer, Packet, PacketType, Side};
use reference_broker::core::{Config, ConnectionId, Input, Moment, Output};

use crate::boundary::segments::Pieces;
use crate::target::{Embedded, Variant};
use crate::trace::Ending;

use super::clients::{Clients, Doing, parts};
use super::conditions::{Conditions, announce};
use super::{Played, Script, Step};

/// How much later each step is than the one before it.
const STEP: Duration = Duration::from_millis(1);

/// Plays a script on the embedded broker.
pub fn play(script: &Script, variant: &Variant, config: &Config) -> Played {
    let mut bench = Bench::new(variant, config, &Conditions::of(&script.steps));
    script.steps.iter().for_each(|step| bench.perform(step));
    bench.finish()
}

/// A broker in memory and the clients of a script.
pub(crate) struct Bench {
    engine: Box<dyn Engine>,
    variant: Variant,
    /// Who knows its users.
    embedded: Embedded,
    now: Moment,
    /// The largest packet that is read, in bytes.
    limit: u32,
    lines: BTreeMap<String, Line>,
    names: BTreeMap<ConnectionId, String>,
    pub(crate) clients: Clients,
}

/// The broker's side of a connection.
struct Line {
    id: ConnectionId,
    framer: Framer,
    exchange: Exchange,
    /// Whether bytes came that are no packet: after them nothing is read.
    is_lost: bool,
    /// Of what comes, what is read.
    pieces: Option<Pieces>,
}

impl Bench {
    /// With a new broker that takes the choices of a variant and meets these conditions.
    pub(crate) fn new(variant: &Variant, config: &Config, conditions: &Conditions) -> Bench {
        let mut config = config.clone();
        announce(&conditions.announced, &mut config);
        variant.configure(&mut config);
        let embedded = Embedded::with(&conditions.needs).for_scripts();
        embedded.configure(&mut config);
        Bench {
            engine: variant.engine(&config),
            variant: variant.clone(),
            now: Moment::default(),
            limit: config.maximum_packet_size,
            lines: BTreeMap::new(),
            names: BTreeMap::new(),
            clients: Clients::of(embedded.logins()),
            embedded,
        }
    }

    /// Does one step, and all that comes of it at once.
    pub(crate) fn perform(&mut self, step: &Step) {
        self.pass(STEP);
        let name = step.connection.as_str();
        match self.clients.begin(step, self.at()) {
            Doing::Nothing => {}
            Doing::Wait(time) => self.pass(time),
            Doing::Open => self.open(name),
            Doing::Send(packets) => self.send(name, &packets),
            Doing::SendCut(packet, cuts) => {
                parts(&packet, &cuts).iter().for_each(|part| self.bytes(name, part));
            }
            Doing::SendBytes(bytes) => self.bytes(name, &bytes),
            Doing::HalfClose => {
                self.lose(name);
                self.clients.end(name, self.at(), Ending::EndOfStream);
            }
            Doing::Close => self.lose(name),
        }
    }

    /// What came of it all.
    pub(crate) fn finish(self) -> Played {
        self.clients.into_played()
    }

    fn at(&self) -> Duration {
        Duration::from_millis(self.now.0)
    }

    fn open(&mut self, name: &str) {
        let id = ConnectionId(self.names.len() as u64 + 1);
        self.names.insert(id, name.to_owned());
        let exchange = Exchange::new(true);
        let framer = Framer::new(self.limit);
        let line = Line { id, framer, exchange, is_lost: false, pieces: self.variant.pieces() };
        self.lines.insert(name.to_owned(), line);
        self.handle(Input::Opened(id));
    }

    fn lose(&mut self, name: &str) {
        if let Some(line) = self.lines.remove(name) {
            self.handle(Input::Closed(line.id));
        }
    }

    fn send(&mut self, name: &str, packets: &[Packet]) {
        let mut bytes = BytesMut::new();
        for packet in packets {
            // What cannot be written is not sent.
            let _ = packet.encode(&mut bytes);
        }
        self.bytes(name, &bytes);
    }

    /// Lets bytes arrive at the broker.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let Some(line) = self.lines.get_mut(name) else { return };
        match &mut line.pieces {
            Some(pieces) => line.framer.buffer().extend_from_slice(&pieces.read(bytes)),
            None => line.framer.buffer().extend_from_slice(bytes),
        }
        if let Some(input) = line.next() {
            self.handle(input);
        }
    }

    /// Lets time pass, stopping wherever something is due.
    fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= until) {
            let before = self.now;
            self.now = due.max(self.now);
            self.handle(Input::Tick);
            if self.now == before && self.engine.next_deadline() == Some(due) {
                break;
            }
        }
        self.now = until;
    }

    /// Has the broker take an input, and all that clients say at once to what comes of it.
    fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.engine.handle(self.now, input);
            self.drain();
            next = self.lines.values_mut().find_map(Line::next);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.next_output() {
            match output {
                Output::Send(id, packet) => {
                    let Some(name) = self.names.get(&id).cloned() else { continue };
                    if !self.clients.is_open(&name) {
                        continue;
                    }
                    let answers = self.clients.receive(&name, self.at(), packet);
                    if let Some(line) = self.lines.get_mut(&name) {
                        for answer in answers {
                            let _ = answer.encode(line.framer.buffer());
                        }
                    }
                }
                Output::Close(id) => {
                    let Some(name) = self.names.get(&id).cloned() else { continue };
                    self.lines.remove(&name);
                    self.clients.end(&name, self.at(), Ending::EndOfStream);
                }
                Output::Ask(id, question) => {
                    let name = self.names.get(&id);
                    let line = name.and_then(|name| self.lines.get_mut(name));
                    let Some(line) = line else { continue };
                    let answer = self.embedded.answer(&mut line.exchange, question);
                    self.engine.handle(self.now, Input::Answered(id, answer));
                }
                Output::Published(_) => {}
            }
        }
    }
}

impl Line {
    /// What the broker reads next.
    fn next(&mut self) -> Option<Input> {
        if self.is_lost {
            return None;
        }
        let first = self.framer.pending_bytes().first().copied();
        let packet_type = first.and_then(|first| PacketType::from_value(first >> 4));
        let packet = self
            .framer
            .next_frame()
            .and_then(|frame| frame.map(|frame| Packet::decode(&frame, Side::Client)).transpose());
        match packet {
            Ok(packet) => packet.map(|packet| Input::Received(self.id, packet)),
            Err(error) => {
                self.is_lost = true;
                Some(Input::Malformed(self.id, packet_type, error))
            }
        }
    }
}
