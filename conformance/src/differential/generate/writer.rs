//! Writes a script while it is played.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Disconnect, Packet, PacketType, Properties, PropertyId, Publish, PublishAck, QoS,
    ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, Will,
};
use reference_broker::core::Config;

use crate::script::{Acknowledgement, Act, Bench, Conditions, Script, Step};
use crate::target::Variant;

use super::broken::broken;
use super::moves::{CLIENTS, ConnectWith, Deed, Extra, Message, Move, Payload};
use super::proof::of_user;

/// A Packet Identifier that no client of these uses for anything else.
const STRAY: u16 = 60_000;

/// What a client has done, and may do again.
#[derive(Clone, Debug, Default)]
struct Client {
    connections: u32,
    last_id: u16,
    sent: Vec<Publish>,
    filters: Vec<&'static str>,
    aliases: BTreeMap<u16, Cow<'static, str>>,
    /// Those of its connection before.
    old_aliases: BTreeMap<u16, Cow<'static, str>>,
}

pub(super) struct Writer {
    bench: Bench,
    script: Script,
    clients: Vec<Client>,
    published: u32,
}

impl Writer {
    /// For a broker that meets these conditions.
    pub(super) fn new(config: &Config, conditions: &Conditions) -> Writer {
        let needs = conditions.needs.iter().map(|need| Act::Needs(*need));
        let announced = Some(&conditions.announced).filter(|it| it.iter().next().is_some());
        let acts = needs.chain(announced.cloned().map(Act::Announces));
        Writer {
            bench: Bench::new(&Variant::default(), config, conditions),
            script: Script { steps: acts.map(|act| Step::new("broker", act)).collect() },
            clients: vec![Client::default(); CLIENTS],
            published: 0,
        }
    }

    pub(super) fn into_script(self) -> Script {
        self.script
    }

    pub(super) fn write(&mut self, one: &Move) {
        match one {
            Move::Connect(client, with) => self.connect(*client, with),
            Move::Wait(milliseconds) => self.wait(*milliseconds),
            Move::DropAll => {
                for client in
                    (0..CLIENTS).filter(|client| self.is_online(*client)).collect::<Vec<_>>()
                {
                    self.act(client, Act::Close);
                }
            }
            Move::Broken(client, seed) => self.broken(*client, *seed),
            Move::Do(client, deed) => {
                if let Some(client) = self.online(*client) {
                    self.perform(client, deed);
                }
            }
        }
    }

    fn perform(&mut self, client: usize, deed: &Deed) {
        match deed {
            Deed::Disconnect { reason, expiry, explained } => {
                let mut packet = Disconnect::because(*reason);
                if let Some(seconds) = expiry {
                    packet.properties.push(PropertyId::SessionExpiryInterval, *seconds);
                }
                if *explained {
                    packet.properties.push(PropertyId::ReasonString, "because");
                }
                self.send(client, packet);
            }
            Deed::Drop { half } => {
                self.act(client, if *half { Act::HalfClose } else { Act::Close });
            }
            Deed::Publish { message, released, count } => {
                for _ in 0..*count {
                    self.publish(client, message, *released);
                }
            }
            Deed::Repeat { which, times, otherwise } => {
                let sent = &self.clients[client].sent;
                let Some(place) = which.checked_rem(sent.len()) else { return };
                let mut publish = sent[place].clone().dup();
                if *otherwise {
                    publish.payload = "said otherwise".into();
                }
                for _ in 0..*times {
                    self.send(client, publish.clone());
                }
            }
            Deed::ConnectAgain { as_client } => {
                let connect = Connect::new(format!("~{}", name(*as_client))).session_expiry(600);
                self.send(client, connect);
            }
            Deed::Release { which, twice } => self.release(client, *which, *twice),
            Deed::Subscribe { filters, id } => self.subscribe(client, filters, *id),
            Deed::Unsubscribe { filters, own } => self.unsubscribe(client, filters, *own),
            Deed::Acknowledges(yes) => {
                self.act(client, if *yes { Act::Acknowledges } else { Act::Withholds });
            }
            Deed::Acknowledge { which, reason, wrong } => {
                self.acknowledge(client, *which, *reason, *wrong);
            }
            Deed::Stray { kind } => self.send(client, stray(*kind)),
            Deed::Beat { kind } => {
                for _ in 0..4 {
                    self.beat(client, *kind);
                    self.wait(900);
                }
            }
            Deed::Ping => self.send(client, Packet::PingReq),
            Deed::Authenticate(authentication) => self.authenticate_again(client, *authentication),
        }
    }

    fn add(&mut self, connection: &str, act: Act) {
        let step = Step::new(connection, act);
        self.bench.perform(&step);
        self.script.steps.push(step);
    }

    fn wait(&mut self, milliseconds: u64) {
        self.add("all", Act::Wait(Duration::from_millis(milliseconds)));
    }

    fn act(&mut self, client: usize, act: Act) {
        let name = self.connection(client);
        self.add(&name, act);
    }

    pub(super) fn send(&mut self, client: usize, packet: impl Into<Packet>) {
        self.act(client, Act::Send(packet.into()));
    }

    /// The name of a client's last connection.
    fn connection(&self, client: usize) -> String {
        match self.clients[client].connections {
            0 | 1 => name(client).to_owned(),
            more => format!("{}.{more}", name(client)),
        }
    }

    fn is_online(&self, client: usize) -> bool {
        self.bench.clients.is_open(&self.connection(client))
    }

    /// The client that a move is for: one of those that are connected.
    fn online(&self, wanted: usize) -> Option<usize> {
        let online: Vec<_> = (0..CLIENTS).filter(|client| self.is_online(*client)).collect();
        online.get(wanted.checked_rem(online.len())?).copied()
    }

    fn next_id(&mut self, client: usize) -> u16 {
        let client = &mut self.clients[client];
        client.last_id = client.last_id % 50_000 + 1;
        client.last_id
    }

    fn opens(&mut self, client: usize) {
        let it = &mut self.clients[client];
        it.connections += 1;
        it.old_aliases = std::mem::take(&mut it.aliases);
        self.act(client, Act::Open);
    }

    fn connect(&mut self, client: usize, with: &ConnectWith) {
        let client_id = match with.client_id {
            Some(other) => other.to_owned(),
            None => format!("~{}", name(client)),
        };
        let mut connect = Connect::new(client_id).keep_alive(with.keep_alive);
        connect.clean_start = with.clean_start;
        if with.user_property == Some(true) {
            connect.properties.push(PropertyId::UserProperty, ("before", "them"));
        }
        for (id, value) in [
            PropertyId::SessionExpiryInterval,
            PropertyId::ReceiveMaximum,
            PropertyId::MaximumPacketSize,
            PropertyId::TopicAliasMaximum,
            PropertyId::RequestProblemInformation,
            PropertyId::RequestResponseInformation,
        ]
        .into_iter()
        .zip(with.numbers)
        {
            if let Some(value) = value {
                connect.properties.push(id, value);
            }
        }
        if with.user_property == Some(false) {
            connect.properties.push(PropertyId::UserProperty, ("after", "them"));
        }
        if let Some((message, delay)) = &with.will {
            connect.will = Some(self.will(message, *delay));
        }
        (connect.user_name, connect.password) = of_user(with.who);
        self.opens(client);
        if with.acknowledges {
            self.act(client, Act::Acknowledges);
        }
        match with.authentication {
            Some(authentication) => self.authenticate(client, connect, authentication),
            None => self.send(client, connect),
        }
    }

    fn will(&mut self, message: &Message, delay: u32) -> Will {
        let mut will = Will::new(&*message.topic, self.payload(message)).qos(message.qos);
        // A Will has no more than this.
        will.payload.truncate(usize::from(u16::MAX));
        will.retain = message.retain;
        will.properties = properties(message);
        if delay > 0 {
            will.properties.push(PropertyId::WillDelayInterval, delay);
        }
        will
    }

    fn payload(&mut self, message: &Message) -> Bytes {
        self.published += 1;
        let name = format!("m{}", self.published);
        match message.payload {
            Payload::None => Bytes::new(),
            Payload::Short => name.into(),
            Payload::Binary => [name.as_bytes(), b"\xFF\xC0\x00"].concat().into(),
            Payload::Padded(by) => format!("{name}{}", "_".repeat(by)).into(),
        }
    }

    fn publish(&mut self, client: usize, message: &Message, released: bool) {
        let packet_id = match message.qos {
            QoS::AtMostOnce => 0,
            _ => self.next_id(client),
        };
        let payload = self.payload(message);
        let mut publish = Publish::new(&*message.topic, payload).qos(message.qos, packet_id);
        publish.retain = message.retain;
        publish.properties = properties(message);
        if let Some(alias) = message.alias {
            publish.properties.push(PropertyId::TopicAlias, u32::from(alias));
            let Client { aliases, old_aliases, .. } = &mut self.clients[client];
            let is_old = old_aliases.get(&alias) == Some(&message.topic);
            if aliases.get(&alias) == Some(&message.topic) || is_old {
                publish.topic = "".into();
            } else {
                aliases.insert(alias, message.topic.clone());
            }
        }
        if message.qos > QoS::AtMostOnce {
            self.clients[client].sent.push(publish.clone());
        }
        self.send(client, publish);
        if message.qos == QoS::ExactlyOnce && released {
            self.send(client, Packet::PubRel(PublishAck::new(packet_id)));
        }
    }

    /// Releases a message that may have been released before.
    fn release(&mut self, client: usize, which: usize, twice: bool) {
        let sent = &self.clients[client].sent;
        let open: Vec<_> = sent.iter().filter(|publish| publish.qos == QoS::ExactlyOnce).collect();
        let Some(place) = which.checked_rem(open.len()) else { return };
        let packet_id = open[open.len() - 1 - place].packet_id;
        for _ in 0..=usize::from(twice) {
            self.send(client, Packet::PubRel(PublishAck::new(packet_id)));
        }
    }

    fn subscribe(
        &mut self,
        client: usize,
        filters: &[(&'static str, SubscriptionOptions)],
        id: Option<u32>,
    ) {
        let packet_id = self.next_id(client);
        let empty = Subscribe::new(packet_id, "", QoS::AtMostOnce);
        let mut packet = Subscribe { subscriptions: Vec::new(), ..empty };
        for (filter, options) in filters {
            let mut options = *options;
            options.no_local &= !filter.starts_with("$share/");
            packet = packet.and(*filter, options);
            self.clients[client].filters.push(filter);
        }
        if let Some(id) = id {
            packet.properties.push(PropertyId::SubscriptionIdentifier, id);
        }
        self.send(client, packet);
    }

    fn unsubscribe(&mut self, client: usize, filters: &[&'static str], own: bool) {
        let has = &self.clients[client].filters;
        let pick = |(place, filter): (usize, &&'static str)| match has.len() {
            0 => *filter,
            _ if !own => *filter,
            len => has[(filter.len() * 7 + place) % len],
        };
        let filters: Vec<_> = filters.iter().enumerate().map(pick).collect();
        let packet = Unsubscribe::new(self.next_id(client), filters[0]);
        let packet = filters[1..].iter().fold(packet, |packet, filter| packet.and(*filter));
        self.send(client, packet);
    }

    fn acknowledge(&mut self, client: usize, which: usize, reason: ReasonCode, wrong: bool) {
        let held = self.bench.clients.held(name(client));
        let held: Vec<_> = held.map(|(payload, packet)| (payload.clone(), packet)).collect();
        let Some(place) = which.checked_rem(held.len()) else { return };
        let (payload, packet) = held[place].clone();
        let packet = match packet {
            PacketType::PubAck if wrong => PacketType::PubRec,
            PacketType::PubRec if wrong => PacketType::PubAck,
            packet => packet,
        };
        // PUBCOMP has other codes.
        let reason = if packet == PacketType::PubComp { ReasonCode::Success } else { reason };
        let properties = Properties::default();
        self.act(client, Act::Acknowledge(Acknowledgement { packet, payload, reason, properties }));
    }

    fn beat(&mut self, client: usize, kind: usize) {
        let packet = match kind {
            0 => Packet::PingReq,
            1 => Publish::new("~/beat", "").into(),
            2 => Unsubscribe::new(self.next_id(client), "~/beat").into(),
            3 => Subscribe::new(self.next_id(client), "~/beat", QoS::AtMostOnce).into(),
            kind => stray(kind),
        };
        self.send(client, packet);
    }

    fn broken(&mut self, client: usize, seed: u64) {
        let (seed, kind) = (seed / 16, seed % 16);
        match self.online(client).filter(|_| kind > 3) {
            Some(client) => self.act(client, Act::SendBytes(broken(seed, false))),
            None => {
                self.opens(client);
                let act = match kind {
                    0 => Act::Send(Publish::new("~/a", format!("early {seed}")).into()),
                    _ => Act::SendBytes(broken(seed, true)),
                };
                self.act(client, act);
            }
        }
    }
}

fn name(client: usize) -> &'static str {
    ["alice", "bob", "carol", "dave", "erin"][client % CLIENTS]
}

fn stray(kind: usize) -> Packet {
    let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubComp, Packet::PubRel];
    kinds[kind % kinds.len()](PublishAck::new(STRAY))
}

fn properties(message: &Message) -> Properties {
    use PropertyId::{
        ContentType, CorrelationData, MessageExpiryInterval, PayloadFormatIndicator, ResponseTopic,
        UserProperty,
    };

    let mut properties = Properties::default();
    if let Some(seconds) = message.expiry {
        properties.push(MessageExpiryInterval, seconds);
    }
    for extra in &message.properties {
        match *extra {
            Extra::Format(format) => properties.set(PayloadFormatIndicator, u32::from(format)),
            Extra::ContentType(text) => properties.set(ContentType, text),
            Extra::ResponseTopic(topic) => properties.set(ResponseTopic, topic),
            Extra::CorrelationData(data) => {
                properties.set(CorrelationData, Bytes::from_static(data));
            }
            Extra::Users(count, name, alike) => {
                for number in 0..count {
                    let value = if alike { 0 } else { number };
                    properties.push(UserProperty, (name, &*format!("value {value}")));
                }
            }
            Extra::LongUser(len) => properties.push(UserProperty, ("long", &*"v".repeat(len))),
        }
    }
    properties
}
