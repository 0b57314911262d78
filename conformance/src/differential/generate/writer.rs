//! Writes a script while it is played.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, Publish, QoS, Subscribe, SubscriptionOptions,
    Unsubscribe, Will,
};
use reference_broker::core::Config;

use crate::script::{Act, Bench, Conditions, Place, Script, Step};
use crate::target::Variant;

use super::acknowledging::{add_users, stray};
use super::broken::broken;
use super::moves::{CLIENTS, ConnectWith, Cut, Deed, Many, Move};
use super::proof::of_user;

/// What a client has done, and may do again.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    connections: u32,
    last_id: u16,
    pub(super) sent: Vec<Publish>,
    filters: Vec<&'static str>,
    pub(super) aliases: BTreeMap<u16, Cow<'static, str>>,
    /// Those of its connection before.
    pub(super) old_aliases: BTreeMap<u16, Cow<'static, str>>,
}

pub(super) struct Writer {
    pub(super) bench: Bench,
    script: Script,
    pub(super) clients: Vec<Client>,
    pub(super) published: u32,
    /// Where the next packet is cut.
    cut_next: Option<Cut>,
    /// The largest packet that the broker says it takes.
    pub(super) size_limit: Option<usize>,
    /// The largest packet that it takes, whether it has to say so or not.
    pub(super) largest: usize,
    /// Where the script is to be played, if that is known.
    pub(super) place: Option<Place>,
}

impl Writer {
    /// For a broker that meets these conditions.
    pub(super) fn new(config: &Config, conditions: &Conditions, place: Option<Place>) -> Writer {
        let needs = conditions.needs.iter().map(|need| Act::Needs(*need));
        let announced = Some(&conditions.announced).filter(|it| it.iter().next().is_some());
        let limit = conditions.announced.number(PropertyId::MaximumPacketSize);
        let size_limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let largest = usize::try_from(config.maximum_packet_size).unwrap_or(usize::MAX);
        let acts = needs.chain(announced.cloned().map(Act::Announces));
        Writer {
            bench: Bench::new(&Variant::default(), config, conditions),
            script: Script { steps: acts.map(|act| Step::new("broker", act)).collect() },
            clients: vec![Client::default(); CLIENTS],
            published: 0,
            cut_next: None,
            size_limit,
            largest: size_limit.unwrap_or(largest).min(largest),
            place,
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
                for _ in 0..if message.payload.is_large() { 1 } else { *count } {
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
            Deed::ConnectAgain { as_client, wills } => {
                let mut connect =
                    Connect::new(format!("~{}", name(*as_client))).session_expiry(600);
                connect.will = wills.then(|| Will::new("~/a", "of another connect"));
                self.send(client, connect);
            }
            Deed::Release { which, twice, said } => self.release(client, *which, *twice, *said),
            Deed::Subscribe { filters, id, many, of_message } => {
                let packet_id = match self.clients[client].sent.last() {
                    Some(publish) if *of_message => publish.packet_id,
                    _ => self.next_id(client),
                };
                self.subscribe(client, packet_id, filters, *id, *many);
            }
            Deed::Unsubscribe { filters, own, many } => {
                self.unsubscribe(client, filters, *own, *many);
            }
            Deed::Cuts(cut) => self.cut_next = Some(*cut),
            Deed::Joins(count) => self.act(client, Act::Joins(*count)),
            Deed::Acknowledges(yes) => {
                self.act(client, if *yes { Act::Acknowledges } else { Act::Withholds });
            }
            Deed::Acknowledge { which, said, wrong, twice } => {
                self.acknowledge(client, *which, *said, *wrong, *twice);
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

    pub(super) fn act(&mut self, client: usize, act: Act) {
        let name = self.connection(client);
        self.add(&name, act);
    }

    pub(super) fn send(&mut self, client: usize, packet: impl Into<Packet>) {
        let packet = packet.into();
        if let Some(cut) = self.cut_next.take() {
            let len = packet.encoded_len().unwrap_or(0);
            let places = match cut {
                Cut::Behind(place) => vec![place],
                Cut::BeforeLast => vec![len.saturating_sub(1)],
                Cut::Everywhere => (1..len.min(200)).collect(),
                Cut::Around(place) => vec![place, place + 1],
            };
            self.act(client, Act::Cuts(places));
        }
        self.act(client, Act::Send(packet));
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

    pub(super) fn next_id(&mut self, client: usize) -> u16 {
        let client = &mut self.clients[client];
        client.last_id = client.last_id.checked_add(1).unwrap_or(1);
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
        if let Some(first) = with.first_id {
            self.clients[client].last_id = first;
        }
        if with.early > 0 {
            self.act(client, Act::Joins(1 + with.early));
        }
        match with.authentication {
            Some(authentication) => self.authenticate(client, connect, authentication),
            None => self.send(client, connect),
        }
        for _ in 0..with.early {
            let packet_id = self.next_id(client);
            self.published += 1;
            let payload = format!("m{}", self.published);
            self.send(client, Publish::new("~/a", payload).qos(QoS::AtLeastOnce, packet_id));
        }
    }

    fn subscribe(
        &mut self,
        client: usize,
        packet_id: u16,
        filters: &[(&'static str, SubscriptionOptions)],
        id: Option<u32>,
        many: Many,
    ) {
        let empty = Subscribe::new(packet_id, "", QoS::AtMostOnce);
        let mut packet = Subscribe { subscriptions: Vec::new(), ..empty };
        for (filter, options) in filters {
            let mut options = *options;
            options.no_local &= !filter.starts_with("$share/");
            packet = packet.and(*filter, options);
            self.clients[client].filters.push(filter);
        }
        let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
        for number in 0..many.filters {
            let options = SubscriptionOptions::at(levels[number * number % 3]);
            packet = packet.and(&*format!("~/many/{number}"), options);
        }
        if let Some(id) = id {
            packet.properties.push(PropertyId::SubscriptionIdentifier, id);
        }
        add_users(&mut packet.properties, many.users, false);
        self.send(client, packet);
    }

    fn unsubscribe(&mut self, client: usize, filters: &[&'static str], own: bool, many: Many) {
        let has = &self.clients[client].filters;
        let pick = |(place, filter): (usize, &&'static str)| match has.len() {
            0 => *filter,
            _ if !own => *filter,
            len => has[(filter.len() * 7 + place) % len],
        };
        let filters: Vec<_> = filters.iter().enumerate().map(pick).collect();
        let packet = Unsubscribe::new(self.next_id(client), filters[0]);
        let packet = filters[1..].iter().fold(packet, |packet, filter| packet.and(*filter));
        let numbered = (0..many.filters).map(|number| format!("~/many/{number}"));
        let mut packet = numbered.fold(packet, |packet, filter| packet.and(&*filter));
        add_users(&mut packet.properties, many.users, false);
        self.send(client, packet);
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
        match (kind, self.online(client)) {
            (0, _) => {
                self.opens(client);
                self.send(client, Publish::new("~/a", format!("early {seed}")));
            }
            (1..=3, _) => {
                self.opens(client);
                let behind = Packet::from(Publish::new("~/a", "behind")).to_bytes();
                let behind = behind.ok().filter(|_| kind == 3).unwrap_or_default();
                let bytes = [&broken(seed, true)[..], &behind].concat();
                self.act(client, Act::SendBytes(bytes.into()));
            }
            (_, Some(client)) => self.act(client, Act::SendBytes(broken(seed, false))),
            (_, None) => {
                self.opens(client);
                self.send(client, Connect::new(format!("~{}", name(client))).session_expiry(600));
                self.act(client, Act::SendBytes(broken(seed, false)));
            }
        }
    }
}

pub(super) fn name(client: usize) -> &'static str {
    ["alice", "bob", "carol", "dave", "erin"][client % CLIENTS]
}
