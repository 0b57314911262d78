//! The boundary of the broker's core: rules that rewrite what goes in and what comes out.
//!
//! A [`Layer`] stands in the place of the core. Inputs pass its rules in order on their way in,
//! outputs pass them in reverse on their way out; a rule may pass on, alter, swallow, forge, repeat
//! or hold back. The core knows nothing of it. [Mutants](crate::mutant) break the broker this way,
//! [switches](crate::chameleon) make it take other choices that the standard allows.

pub mod restart;
pub mod resume;
pub mod rules;
pub mod segments;
pub mod subscriptions;
#[cfg(test)]
mod tests;
pub mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use reference_broker::actor::Engine;
use reference_broker::codec::{Connect, Packet, PropertyId, Text};
use reference_broker::core::{Broker, Config, ConnectionId, Input, Moment, Output};

/// Rewrites what crosses the boundary. What it does not pass on does not go on.
pub trait Rule: Send {
    /// An input on its way to the core.
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        boundary.pass(input);
    }

    /// An output on its way to the clients.
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        boundary.emit(output);
    }
}

/// Rules in their order, the first nearest to the clients.
pub type Rules = Vec<Box<dyn Rule>>;

/// Something that crosses the boundary.
#[derive(Clone, Debug)]
enum Flow {
    In(Input),
    Out(Output),
}

/// What a rule acts through, and what it knows.
#[derive(Debug)]
pub struct Boundary<'a> {
    /// The time.
    pub now: Moment,
    /// Who is connected.
    pub clients: &'a Clients,
    /// What goes on from this rule, and after how long.
    flows: Vec<(Duration, Flow)>,
}

impl Boundary<'_> {
    /// Lets an input go on towards the core.
    pub fn pass(&mut self, input: Input) {
        self.flows.push((Duration::ZERO, Flow::In(input)));
    }

    /// Lets an output go on towards the clients.
    pub fn emit(&mut self, output: Output) {
        self.flows.push((Duration::ZERO, Flow::Out(output)));
    }

    /// As [`Boundary::pass`], after a time.
    pub fn pass_after(&mut self, delay: Duration, input: Input) {
        self.flows.push((delay, Flow::In(input)));
    }

    /// As [`Boundary::emit`], after a time.
    pub fn emit_after(&mut self, delay: Duration, output: Output) {
        self.flows.push((delay, Flow::Out(output)));
    }
}

/// What is known of those who are connected, as seen from outside.
#[derive(Debug, Default)]
pub struct Clients(BTreeMap<ConnectionId, Client>);

/// One connection after its CONNECT.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its Client Identifier; an assigned one from CONNACK on.
    pub id: Text,
    /// Its CONNECT, as it was sent.
    pub connect: Connect,
    /// Whether it got a CONNACK that accepts.
    pub accepted: bool,
    /// Whether that said that its session was present.
    pub resumed: bool,
}

impl Clients {
    /// The client of a connection.
    pub fn get(&self, connection: ConnectionId) -> Option<&Client> {
        self.0.get(&connection)
    }

    /// All of them, in the order of their connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Client)> {
        self.0.iter().map(|(connection, client)| (*connection, client))
    }

    /// Another connection than this one that was accepted.
    pub fn other_than(&self, connection: ConnectionId) -> Option<ConnectionId> {
        self.iter().find(|(id, client)| *id != connection && client.accepted).map(|(id, _)| id)
    }

    fn came(&mut self, input: &Input) {
        if let Input::Received(id, Packet::Connect(connect)) = input {
            let client = Client {
                id: connect.client_id.clone(),
                connect: (**connect).clone(),
                accepted: false,
                resumed: false,
            };
            self.0.entry(*id).or_insert(client);
        }
    }

    fn left(&mut self, output: &Output) {
        let Output::Send(id, Packet::ConnAck(connack)) = output else { return };
        let Some(client) = self.0.get_mut(id) else { return };
        client.accepted = !connack.reason.is_error();
        client.resumed = connack.session_present;
        if let Some(assigned) = connack.properties.text(PropertyId::AssignedClientIdentifier) {
            client.id = assigned.clone();
        }
    }
}

/// A core with rules around it.
pub struct Layer {
    core: Broker,
    rules: Rules,
    clients: Clients,
    now: Moment,
    /// What is held back, by when it goes on and in the order it came; with its place among the
    /// rules.
    held: BTreeMap<(Moment, u64), (usize, Flow)>,
    holds: u64,
    outputs: VecDeque<Output>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Layer {
    /// Puts rules around a new core.
    pub fn new(config: Config, rules: Rules) -> Layer {
        Layer {
            core: Broker::new(config),
            rules,
            clients: Clients::default(),
            now: Moment::default(),
            held: BTreeMap::new(),
            holds: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Lets a flow, and all that comes of it, run as far as it goes now. `place` counts the rules
    /// that lie between it and the clients.
    fn run(&mut self, place: usize, flow: Flow) {
        let mut flows = VecDeque::from([(place, flow)]);
        while let Some((place, flow)) = flows.pop_front() {
            let (rule, next) = match flow {
                Flow::In(input) if place == self.rules.len() => {
                    self.core.handle(self.now, input);
                    let outputs = std::iter::from_fn(|| self.core.next_output());
                    let outputs = outputs.map(|output| (Duration::ZERO, Flow::Out(output)));
                    (place, outputs.collect())
                }
                Flow::Out(output) if place == 0 => {
                    self.clients.left(&output);
                    self.outputs.push_back(output);
                    continue;
                }
                Flow::In(input) => (place, self.ask(place, |rule, at| rule.inward(input, at))),
                Flow::Out(output) => {
                    (place - 1, self.ask(place - 1, |rule, at| rule.outward(output, at)))
                }
            };
            let place_of = |flow: &Flow| match flow {
                Flow::In(_) => rule + 1,
                Flow::Out(_) => rule,
            };
            let (now, later): (Vec<_>, Vec<_>) =
                next.into_iter().partition(|(delay, _)| *delay == Duration::ZERO);
            for (delay, flow) in later {
                self.hold(delay, place_of(&flow), flow);
            }
            // What came of it goes on before what came after it.
            for (_, flow) in now.into_iter().rev() {
                flows.push_front((place_of(&flow), flow));
            }
        }
    }

    fn ask(
        &mut self,
        rule: usize,
        ask: impl FnOnce(&mut dyn Rule, &mut Boundary<'_>),
    ) -> Vec<(Duration, Flow)> {
        let mut boundary = Boundary { now: self.now, clients: &self.clients, flows: Vec::new() };
        ask(&mut *self.rules[rule], &mut boundary);
        boundary.flows
    }

    fn hold(&mut self, delay: Duration, place: usize, flow: Flow) {
        self.holds += 1;
        self.held.insert((self.now.after(delay), self.holds), (place, flow));
    }

    /// Lets go on what was held back until now, each at its own time.
    fn release(&mut self, now: Moment) {
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= now) {
            self.now = self.now.max(entry.key().0);
            let (place, flow) = entry.remove();
            self.run(place, flow);
        }
        self.now = self.now.max(now);
    }
}

impl Engine for Layer {
    fn handle(&mut self, now: Moment, input: Input) {
        self.release(now);
        self.clients.came(&input);
        let closed = match input {
            Input::Closed(id) => Some(id),
            _ => None,
        };
        self.run(0, Flow::In(input));
        if let Some(id) = closed {
            self.clients.0.remove(&id);
        }
    }

    fn next_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if let Some(Output::Close(id)) = &output {
            self.clients.0.remove(id);
        }
        output
    }

    fn broker(&self) -> Option<&Broker> {
        Some(&self.core)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let held = self.held.first_key_value().map(|((due, _), _)| *due);
        held.into_iter().chain(self.core.next_deadline()).min()
    }
}
