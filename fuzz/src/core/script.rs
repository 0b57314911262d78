//! What the clients do, as an input chooses it.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Disconnect, Packet, Property, PropertyId, Publish, PublishAck, QoS, ReasonCode, Side,
    Subscribe, Text, Unsubscribe, Will,
};
use reference_broker::core::{ConnectionId, Moment};

use super::choice::config;
use super::client::Step;
use super::world::World;
use crate::choices::Choices;
use crate::packet::{options, packet, qos};

/// No input is played for longer.
const MOST_ACTS: usize = 400;
/// No more connections are open at once.
const MOST_WIRES: usize = 8;

/// The acts that seeds begin with.
pub(super) const CONNECT: u8 = 0;
pub(super) const OPEN: u8 = 1;
pub(super) const RAW: u8 = 2;
/// In place of the length of raw bytes: two bytes with the length follow.
pub(super) const LONG: u8 = 255;
const ACTS: u8 = 32;

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", ""];
const TOPICS: [&str; 8] = ["a", "a/b", "b", "a/b/c", "", "a", "a/b", "$a/b"];
const FILTERS: [&str; 16] = [
    "a",
    "#",
    "a/#",
    "+/b",
    "a/b",
    "+",
    "a/+/c",
    "$share/g/#",
    "$share/g/a/#",
    "$share/h/a/b",
    "$share/g/+",
    "b",
    "$a/#",
    "a#",
    "",
    "$share/g",
];
const SECONDS: [u32; 8] = [3_600, 0, 1, 10, 60, 86_400, u32::MAX, 7_200];

/// A world, and the choices that move it.
#[derive(Debug)]
pub(super) struct Script<'a> {
    choices: Choices<'a>,
    pub(super) world: World,
    /// Whether clients keep the rules: those who do get further.
    is_polite: bool,
    messages: u32,
}

impl<'a> Script<'a> {
    pub(super) fn new(mut choices: Choices<'a>) -> Script<'a> {
        let config = config(&mut choices);
        let is_polite = choices.below(3) > 0;
        Script { choices, world: World::new(config, is_polite), is_polite, messages: 0 }
    }

    /// Plays the input.
    pub(super) fn run(&mut self) {
        for _ in 0..MOST_ACTS {
            if self.choices.is_empty() {
                return;
            }
            let act = self.choices.byte() % ACTS;
            match act {
                CONNECT => self.connect(),
                OPEN => {
                    self.open();
                }
                3 | 4 => self.pass_time(),
                5 => self.leap(),
                _ => self.act_on_wire(act),
            }
        }
    }

    fn act_on_wire(&mut self, act: u8) {
        let Some(id) = self.wire() else { return self.connect() };
        match act {
            RAW | 25 | 28 | 29 if self.is_polite => {
                self.answer(id);
            }
            RAW => {
                let len = match self.choices.byte() {
                    LONG => self.choices.two(),
                    len => u16::from(len % 32),
                };
                let bytes = self.choices.take(usize::from(len));
                self.world.send_bytes(id, bytes);
            }
            6..=12 => self.publish(id),
            13..=16 => self.subscribe(id),
            17 => self.unsubscribe(id),
            18..=21 => {
                self.answer(id);
            }
            22 => self.answer_all(id),
            23 | 24 => self.release(id),
            25 => self.answer_wrongly(id),
            26 => self.disconnect(id),
            27 => self.world.drop_wire(id),
            28 => {
                let packet = packet(&mut self.choices, Side::Client);
                self.world.send(id, packet);
            }
            29 => self.publish_wildly(id),
            30 => self.world.send(id, Packet::PingReq),
            _ => self.resume(id),
        }
    }

    /// One of the open connections.
    fn wire(&mut self) -> Option<ConnectionId> {
        let ids: Vec<ConnectionId> = self.world.wires.keys().copied().collect();
        self.choices.of(&ids)
    }

    fn open(&mut self) -> Option<ConnectionId> {
        (self.world.wires.len() < MOST_WIRES).then(|| self.world.open())
    }

    fn connect(&mut self) {
        let name = self.choices.of(&NAMES).unwrap_or_default();
        let Some(id) = self.open() else { return };
        let mut connect = Connect::new(name);
        if self.choices.flag() {
            self.choose_options(&mut connect);
        }
        self.world.send(id, connect);
    }

    /// Cuts a connection, or takes it over, and goes on with its session on a new one.
    fn resume(&mut self, id: ConnectionId) {
        let client = self.world.wires.get(&id).map(|wire| &wire.client);
        let Some((mut connect, name)) =
            client.and_then(|client| Some((client.connect.clone()?, client.id()?)))
        else {
            return;
        };
        if !self.choices.rarely(4) {
            self.world.drop_wire(id);
        }
        if let (Some(will), true) = (&mut connect.will, self.is_polite) {
            will.payload = self.will_payload();
        }
        connect.client_id = name;
        connect.clean_start = false;
        if let Some(id) = self.open() {
            self.world.send(id, connect);
        }
    }

    fn choose_options(&mut self, connect: &mut Connect) {
        connect.clean_start = self.choices.rarely(4);
        connect.keep_alive = self.choices.of(&[0, 0, 0, 60, 0, 0, 0, 1]).unwrap_or_default();
        if self.choices.rarely(8) {
            let size = self.choices.of(&[1 << 20, 100, 30, 5]).unwrap_or(100);
            connect.properties.push(PropertyId::MaximumPacketSize, size);
        }
        if !self.choices.rarely(4) {
            let seconds = self.choices.of(&SECONDS).unwrap_or_default();
            connect.properties.push(PropertyId::SessionExpiryInterval, seconds);
        }
        let lists: [(PropertyId, &[u32]); 3] = [
            (PropertyId::ReceiveMaximum, &[1, 2, 10, 65_535]),
            (PropertyId::TopicAliasMaximum, &[0, 1, 5]),
            (PropertyId::RequestProblemInformation, &[0, 1]),
        ];
        for (id, list) in lists {
            if let (true, Some(number)) = (self.choices.flag(), self.choices.of(list)) {
                connect.properties.push(id, number);
            }
        }
        if self.choices.rarely(32) {
            connect.properties.push(PropertyId::AuthenticationMethod, "m");
        }
        connect.will = self.choices.flag().then(|| self.will());
    }

    fn will(&mut self) -> Will {
        let topic = Some(self.topic()).filter(|topic| !topic.is_empty() || !self.is_polite);
        let topic = topic.unwrap_or_else(|| Text::from("b"));
        let payload = match self.is_polite {
            true => self.will_payload(),
            false => self.payload().into(),
        };
        let mut will = Will::new(topic, payload).qos(qos(&mut self.choices));
        will.retain = self.choices.flag();
        for id in [PropertyId::WillDelayInterval, PropertyId::MessageExpiryInterval] {
            if self.choices.flag() {
                will.properties.push(id, self.choices.of(&SECONDS).unwrap_or_default());
            }
        }
        will
    }

    /// A topic; now and then none, and from the impolite one that is the broker's own.
    fn topic(&mut self) -> Text {
        let topics = if self.is_polite { &TOPICS[..7] } else { &TOPICS };
        Text::from(self.choices.of(topics).unwrap_or_default())
    }

    /// A payload that nobody else has, or none.
    fn payload(&mut self) -> String {
        self.messages += 1;
        let number = self.messages;
        match self.choices.byte() {
            0..200 => format!("m{number}"),
            200..230 => String::new(),
            _ => format!("m{number:0300}"),
        }
    }

    /// A payload that no other message has.
    fn will_payload(&mut self) -> Bytes {
        self.messages += 1;
        format!("will {}", self.messages).into()
    }

    fn publish(&mut self, id: ConnectionId) {
        let mut publish = Publish::new(self.topic(), self.payload());
        let qos = qos(&mut self.choices);
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let packet_id = match qos {
            QoS::AtMostOnce => 0,
            _ => wire.client.fresh_id(),
        };
        publish = publish.qos(qos, packet_id);
        publish.retain = self.choices.flag();
        if publish.topic.is_empty() {
            match wire.client.aliases.keys().next() {
                None if self.is_polite => publish.topic = Text::from("a"),
                known => {
                    let alias = known.copied().unwrap_or(1);
                    publish.properties.push(PropertyId::TopicAlias, u32::from(alias));
                }
            }
        } else if self.choices.rarely(4) {
            let known = if self.is_polite { &[1][..] } else { &[1, 2, 100, 101] };
            let alias = self.choices.of(known).unwrap_or(1);
            publish.properties.push(PropertyId::TopicAlias, alias);
        }
        if self.choices.rarely(4) {
            let seconds = self.choices.of(&SECONDS).unwrap_or_default();
            publish.properties.push(PropertyId::MessageExpiryInterval, seconds);
        }
        if self.choices.rarely(4) {
            publish.properties.push(PropertyId::UserProperty, ("k", "v"));
            publish.properties.push(PropertyId::CorrelationData, &b"c"[..]);
        }
        self.world.send(id, publish);
    }

    /// A PUBLISH as it should not be: its Packet Identifier, its flags, its properties.
    fn publish_wildly(&mut self, id: ConnectionId) {
        let mut publish = crate::packet::publish(&mut self.choices, Side::Client);
        publish.topic = self.topic();
        if self.choices.flag() {
            publish.packet_id = 1 + publish.packet_id % 4;
        }
        self.world.send(id, publish);
    }

    fn subscribe(&mut self, id: ConnectionId) {
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let mut subscribe = Subscribe {
            packet_id: wire.client.fresh_id(),
            properties: Default::default(),
            subscriptions: Vec::new(),
        };
        for _ in 0..=self.choices.below(3) {
            let filter = self.choices.of(&FILTERS).unwrap_or("#");
            let mut options = options(&mut self.choices);
            options.no_local &= !filter.starts_with("$share/") || self.choices.rarely(16);
            subscribe = subscribe.and(filter, options);
        }
        if self.choices.flag() {
            let identifier = 1 + u32::from(self.choices.byte() % 4);
            subscribe.properties.push(PropertyId::SubscriptionIdentifier, identifier);
        }
        self.world.send(id, subscribe);
    }

    fn unsubscribe(&mut self, id: ConnectionId) {
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let filter = self.choices.of(&FILTERS).unwrap_or("#");
        let packet_id = wire.client.fresh_id();
        let mut unsubscribe = Unsubscribe::new(packet_id, filter);
        if self.choices.flag() {
            unsubscribe = unsubscribe.and(self.choices.of(&FILTERS).unwrap_or("#"));
        }
        self.world.send(id, unsubscribe);
    }

    /// Takes the next step that a delivery waits for.
    pub(super) fn answer(&mut self, id: ConnectionId) -> bool {
        let wire = self.world.wires.get(&id).filter(|wire| !wire.is_amid_packet());
        let Some(step) = wire.and_then(|wire| wire.client.steps.front()).copied() else {
            return false;
        };
        let failed = !self.choices.is_empty() && self.choices.rarely(8);
        let reason = if failed { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
        self.world.send(
            id,
            match step {
                Step::Acknowledge(id) => Packet::PubAck(PublishAck::because(id, reason)),
                Step::Receive(id) => Packet::PubRec(PublishAck::because(id, reason)),
                Step::Complete(id) => Packet::PubComp(PublishAck::new(id)),
            },
        );
        true
    }

    fn answer_all(&mut self, id: ConnectionId) {
        for _ in 0..MOST_ACTS {
            if !self.answer(id) {
                return;
            }
        }
    }

    /// Goes on with a QoS 2 message of the client's own.
    fn release(&mut self, id: ConnectionId) {
        let open = self.world.wires.get(&id).map(|wire| &wire.client.open);
        let first = open.and_then(|open| open.iter().find(|(_, qos)| **qos == QoS::ExactlyOnce));
        let Some((packet_id, _)) = first else { return };
        self.world.send(id, Packet::PubRel(PublishAck::new(*packet_id)));
    }

    fn answer_wrongly(&mut self, id: ConnectionId) {
        let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubRel, Packet::PubComp];
        let kind = kinds[self.choices.below(kinds.len())];
        let packet_id = 1 + u16::from(self.choices.byte() % 4);
        let reasons = [
            ReasonCode::Success,
            ReasonCode::UnspecifiedError,
            ReasonCode::PacketIdentifierNotFound,
        ];
        let reason = self.choices.of(&reasons).unwrap_or(ReasonCode::Success);
        self.world.send(id, kind(PublishAck::because(packet_id, reason)));
    }

    fn disconnect(&mut self, id: ConnectionId) {
        let reasons =
            [ReasonCode::Success, ReasonCode::DisconnectWithWill, ReasonCode::ProtocolError];
        let reason = self.choices.of(&reasons).unwrap_or(ReasonCode::Success);
        let mut disconnect = Disconnect::because(reason);
        if self.choices.rarely(4) {
            let value = self.choices.of(&SECONDS).unwrap_or_default().into();
            let property = Property { id: PropertyId::SessionExpiryInterval, value };
            disconnect.properties = [property].into_iter().collect();
        }
        self.world.send(id, disconnect);
    }

    /// Lets time pass, often to where something is due or to the millisecond before or after.
    fn pass_time(&mut self) {
        let to = self.moment();
        self.world.pass_time(to);
    }

    /// Lets time pass and tells the broker nothing, as a busy machine may.
    fn leap(&mut self) {
        self.world.now = self.world.now.max(self.moment());
    }

    fn moment(&mut self) -> Moment {
        let now = self.world.now;
        let due = self.world.broker.next_deadline().unwrap_or(now).0;
        let seconds = |seconds| now.after(Duration::from_secs(seconds));
        match self.choices.below(16) {
            0 => now.after(Duration::from_millis(1)),
            1 => Moment(due),
            2 => Moment(due.saturating_sub(1)),
            3 => Moment(due.saturating_add(1)),
            4 => seconds(1),
            5 => seconds(59),
            6 => seconds(3_600),
            7 => seconds(5 * 3_600),
            _ => now.after(Duration::from_millis(u64::from(self.choices.two()))),
        }
    }
}
