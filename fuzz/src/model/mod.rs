//! A second, naive statement of the standard: plain lists, looked through from the front. It shares no code
//! with the core. A [`Follower`] gives it what the core is given, and compares what the core does with what
//! is expected of it, so that what is missing is seen as well as what is wrong.
//!
//! A file a concern: `connecting` (CONNECT, takeover, enhanced authentication), `access`, `broker` (what is kept,
//! time, the ends of connections), `will`, `subscription` (messages and who subscribes to them), `delivery` and
//! `acknowledging` (their way), `filter`, `compare`.

mod access;
mod acknowledging;
mod broker;
mod compare;
mod connecting;
mod delivery;
mod filter;
mod subscription;
#[cfg(test)]
mod tests;
mod will;

use reference_broker::codec::{Disconnect, Packet, PropertyId, QoS, ReasonCode};
use reference_broker::core::{Config, ConnectionId, Handling, Input, Moment, Output, Redirection};

use broker::Model;
use compare::follow;
use connecting::elsewhere;
use delivery::Expected;

/// A client that takes less than this in a packet may not be able to take even a CONNACK.
const SMALL: u32 = 40;

/// Follows a core with a model of the standard.
#[derive(Clone, Debug)]
pub struct Follower {
    model: Model,
    /// Whether something happened that the model has no words for.
    is_lost: bool,
}

/// A message on its way from the broker to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnTheWay {
    /// Its Packet Identifier.
    pub packet_id: u16,
    /// Its QoS.
    pub qos: QoS,
    /// Whether PUBREC has been received for it.
    pub is_released: bool,
}

impl Follower {
    /// Follows a core that has just been made with `config`, if it makes only such choices as the model knows.
    pub fn new(config: &Config) -> Option<Follower> {
        let handling = Handling {
            lowest_packet_id_first: config.handling.lowest_packet_id_first,
            retains_qos0: config.handling.retains_qos0,
            dollar_topics: config.handling.dollar_topics,
            ..Handling::default()
        };
        let default = Config::default();
        let known = Config {
            handling,
            bounds: default.bounds,
            timer_grain: default.timer_grain,
            assigns_client_ids: default.assigns_client_ids,
            outbound_alias_maximum: default.outbound_alias_maximum,
            ..config.clone()
        };
        (known == *config).then(|| Follower { model: Model::new(known), is_lost: false })
    }

    /// Takes one input that the core has been given, and compares what it did with what is expected. `due` is
    /// when the core wants to be woken.
    ///
    /// # Errors
    ///
    /// What is different.
    pub fn step(
        &mut self,
        now: Moment,
        input: &Input,
        outputs: &[Output],
        due: Option<Moment>,
    ) -> Result<(), String> {
        if self.is_lost {
            return Ok(());
        }
        self.model.now = self.model.now.max(now.0);
        let result = match self.model.has_groups() {
            // Then there is nothing that the core may choose.
            false => tell(&mut self.model, input, outputs).map_err(|(difference, _)| difference),
            true => self.step_with_choices(input, outputs),
        };
        let is_known = result
            .map_err(|difference| format!("at {} after {input:?}\n{difference}", self.model.now))?;
        self.is_lost = !is_known;
        let expected = self.model.next_deadline();
        match due.map(|due| due.0) {
            due if is_known && expected.is_some_and(|it| due.is_none_or(|due| due > it)) => {
                Err(format!("deadline at {due:?} where {expected:?} is expected"))
            }
            _ => Ok(()),
        }
    }

    /// Where the core may choose, the model goes its way, if it is one.
    fn step_with_choices(&mut self, input: &Input, outputs: &[Output]) -> Result<bool, String> {
        let before = self.model.clone();
        let mut detours = Vec::new();
        let mut first = None;
        loop {
            let mut model = before.clone();
            model.detours.clone_from(&detours);
            match tell(&mut model, input, outputs) {
                Ok(is_known) => {
                    self.model = model;
                    return Ok(is_known);
                }
                Err((difference, choices)) => {
                    let first = first.get_or_insert(difference);
                    detours.resize(choices.len(), 0);
                    if !next_detour(&mut detours, &choices) {
                        return Err(first.clone());
                    }
                }
            }
        }
    }

    /// Whether the model still follows, and so judges.
    pub fn follows(&self) -> bool {
        !self.is_lost
    }

    /// The time, in milliseconds.
    pub fn now(&self) -> u64 {
        self.model.now
    }

    /// When something has to happen by itself.
    pub fn next_deadline(&self) -> Option<u64> {
        self.model.next_deadline()
    }

    /// The clients that are connected, in the order of their names.
    pub fn online(&self) -> Vec<String> {
        let online = self.model.sessions.iter().filter(|session| session.online.is_some());
        let mut online: Vec<_> = online.map(|session| session.client.clone()).collect();
        online.sort();
        online
    }

    /// The connection of a client.
    pub fn connection(&self, client: &str) -> Option<ConnectionId> {
        let session = self.model.sessions.iter().find(|session| session.client == client)?;
        session.online.as_ref().map(|online| online.channel.id)
    }

    /// The Packet Identifiers of the messages at QoS 2 from a client that it has not released.
    pub fn unreleased(&self, client: &str) -> &[u16] {
        let session = self.model.sessions.iter().find(|session| session.client == client);
        session.map_or(&[], |session| &session.received)
    }

    /// The messages on their way to a client, in the order in which they were sent first.
    pub fn on_the_way(&self, client: &str) -> Vec<OnTheWay> {
        let session = self.model.sessions.iter().find(|session| session.client == client);
        let sent = session.map_or(&[][..], |session| &session.outbound.sent);
        let on_the_way = |it: &delivery::Exchange| OnTheWay {
            packet_id: it.id,
            qos: it.delivery.qos,
            is_released: it.is_released,
        };
        sent.iter().map(on_the_way).collect()
    }
}

/// Tells the model of an input and compares. Says whether the model knows such an input, or what is different
/// and among how many the core could choose each time.
fn tell(
    model: &mut Model,
    input: &Input,
    outputs: &[Output],
) -> Result<bool, (String, Vec<usize>)> {
    model.choices.clear();
    model.expected.clear();
    model.pass_to(model.now);
    if !model.hear(input, outputs) {
        return Ok(false);
    }
    follow(model, outputs).map(|()| true).map_err(|it| (it, model.choices.clone()))
}

impl Model {
    /// Takes an input; not one that it does not know.
    fn hear(&mut self, input: &Input, outputs: &[Output]) -> bool {
        match input {
            Input::Opened(id) => self.open(*id),
            Input::Received(id, _) | Input::Malformed(id, ..) if self.holds_much(*id) => {
                return false;
            }
            Input::Received(id, packet) if self.is_stranger(*id) => {
                if let Packet::Connect(connect) = packet
                    && connect
                        .properties
                        .number(PropertyId::MaximumPacketSize)
                        .is_some_and(is_small)
                {
                    return false;
                }
                self.receive_stranger(*id, packet, assigned(outputs));
            }
            Input::Received(id, packet) => self.receive(*id, packet),
            Input::Malformed(id, ..) => self.receive_bytes(*id),
            Input::Closed(id) => match self.client_of(*id) {
                Some(client) => self.lose(&client),
                None => self.forget_stranger(*id),
            },
            Input::Answered(id, _) if self.holds_acknowledgement(*id) => return false,
            Input::Answered(id, answer) => self.answered(*id, answer, assigned(outputs)),
            Input::Redirect(redirection) => self.redirect(redirection),
            Input::Stop => return false,
            Input::Tick => {}
        }
        true
    }

    /// A packet came in from a client that is connected; or late, from one that is not.
    pub(crate) fn receive(&mut self, id: ConnectionId, packet: &Packet) {
        let Some(client) = &self.client_of(id) else { return };
        let now = self.now;
        if let Some(online) = self.session(client).and_then(|session| session.online.as_mut()) {
            online.last_received = now;
        }
        match packet {
            Packet::Publish(publish) => self.receive_publish(client, id, publish),
            Packet::PubRel(ack) => self.receive_pubrel(client, id, ack.packet_id),
            Packet::PubAck(ack) => self.receive_puback(client, ack.packet_id),
            Packet::PubRec(ack) => self.receive_pubrec(client, id, ack),
            Packet::PubComp(ack) => self.receive_pubcomp(client, ack.packet_id),
            Packet::Subscribe(subscribe) => self.subscribe(client, id, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(client, id, unsubscribe),
            Packet::PingReq => self.reply(id, Packet::PingResp),
            Packet::Disconnect(disconnect) => self.receive_disconnect(client, disconnect),
            Packet::Auth(auth) => self.receive_auth(client, id, auth),
            _ => self.refuse(client, ReasonCode::ProtocolError),
        }
    }

    /// All clients are to go elsewhere, or none any more (section 4.11).
    fn redirect(&mut self, redirection: &Option<Redirection>) {
        self.redirection.clone_from(redirection);
        let Some(redirection) = redirection else { return };
        let online = self.sessions.iter().filter_map(|it| Some((it.online.as_ref()?, &it.client)));
        let mut online: Vec<_> =
            online.map(|(online, client)| (online.channel.id, client.clone())).collect();
        online.sort();
        for (id, client) in online {
            self.reply(id, Disconnect::because(elsewhere(redirection.is_permanent)));
            self.expected.push(Expected::Close(id));
            self.lose(&client);
        }
    }

    /// Whether there are Shared Subscriptions.
    fn has_groups(&self) -> bool {
        let mut all = self.sessions.iter().flat_map(|session| &session.subscriptions);
        all.any(|subscription| filter::shared(&subscription.filter).is_some())
    }
}

fn is_small(size: u32) -> bool {
    size < SMALL
}

/// The Client Identifier that the broker has chosen for a client.
fn assigned(outputs: &[Output]) -> &str {
    let assigned = outputs.iter().find_map(|output| match output {
        Output::Send(_, Packet::ConnAck(connack)) => {
            connack.properties.text(PropertyId::AssignedClientIdentifier)
        }
        _ => None,
    });
    assigned.map_or("", |assigned| &**assigned)
}

/// Counts up to the next way to choose; not beyond what can be tried in a moment.
fn next_detour(detours: &mut [usize], choices: &[usize]) -> bool {
    for (detour, choices) in detours.iter_mut().zip(choices).take(6) {
        *detour += 1;
        if *detour < *choices {
            return true;
        }
        *detour = 0;
    }
    false
}
