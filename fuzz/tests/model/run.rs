//! A core and a model side by side.

use fuzz::model::Follower;
use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, Unsubscribe, Will,
};
use reference_broker::core::{Broker, Config, ConnectionId, Input, Moment};

use super::bench::{Rules, step};
use super::operation::{CLIENTS, ConnectWith, Message, Operation, Payload};

/// A Packet Identifier that no client of these uses for anything else.
const STRAY: u16 = 60_000;

pub(crate) struct Run {
    broker: Broker,
    rules: Rules,
    model: Follower,
    now: u64,
    last_id: u64,
    published: u64,
    /// The messages at QoS 2 that each client has sent, to repeat them.
    sent: Vec<(String, Publish)>,
    /// Operations that did something.
    pub(crate) performed: u64,
}

impl Run {
    pub(crate) fn new(config: Config) -> Run {
        Run {
            broker: Broker::new(config.clone()),
            rules: Rules::default(),
            model: Follower::new(&config).expect("only choices that the model knows"),
            now: 0,
            last_id: 0,
            published: 0,
            sent: Vec::new(),
            performed: 0,
        }
    }

    pub(crate) fn perform(&mut self, operation: &Operation) -> Result<(), String> {
        let done = match operation {
            Operation::Connect { client, with } => Some(self.connect(&name(*client), with)),
            Operation::Pass(milliseconds) => Some(self.pass_to(self.now + milliseconds)),
            Operation::Deadline(more) => self.model.next_deadline().map(|due| {
                let moment = due.saturating_add_signed(*more);
                self.pass_to(moment.max(self.now))
            }),
            other => self.online(other).map(|client| self.perform_for(&client, other)),
        };
        self.performed += u64::from(done.is_some());
        done.unwrap_or(Ok(()))
    }

    /// At the end all is told: each client comes back and takes what there is for it, and one more asks
    /// for all that is retained.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        let with = ConnectWith { expiry: Some(100), ..ConnectWith::default() };
        for client in 0..=CLIENTS {
            self.connect(&name(client), &with)?;
            self.acknowledge_all(&name(client))?;
        }
        let all = Subscribe::new(1, "#", QoS::ExactlyOnce)
            .and("$a", SubscriptionOptions::at(QoS::ExactlyOnce));
        self.send(&name(CLIENTS), all)?;
        self.acknowledge_all(&name(CLIENTS))?;
        self.pass_to(self.now + 200_000)
    }

    /// The client that an operation is for: one of those that are connected.
    fn online(&self, operation: &Operation) -> Option<String> {
        let mut online = self.model.online();
        let wanted = operation.client()?;
        let place = wanted.checked_rem(online.len())?;
        Some(online.swap_remove(place))
    }

    fn perform_for(&mut self, client: &str, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Disconnect { with_will, expiry, .. } => {
                let reason = match with_will {
                    true => ReasonCode::DisconnectWithWill,
                    false => ReasonCode::Success,
                };
                let mut packet = Disconnect::because(reason);
                if let Some(seconds) = expiry {
                    packet.properties.push(PropertyId::SessionExpiryInterval, *seconds);
                }
                self.send(client, packet)
            }
            Operation::Cut { .. } => {
                let id = self.connection(client)?;
                self.input(Input::Closed(id))
            }
            Operation::Publish { message, released, .. } => {
                self.publish(client, message, *released)
            }
            Operation::Repeat { which, .. } => self.repeat(client, *which),
            Operation::Release { which, twice, .. } => self.release(client, *which, *twice),
            Operation::Subscribe { filters, identifier, .. } => {
                self.subscribe(client, filters, *identifier)
            }
            Operation::Unsubscribe { filters, .. } => {
                let mut packet = Unsubscribe::new(8, filters[0]);
                packet = filters[1..].iter().fold(packet, |packet, filter| packet.and(*filter));
                self.send(client, packet)
            }
            Operation::Acknowledge { which, refused, .. } => {
                self.acknowledge(client, *which, *refused)
            }
            Operation::AcknowledgeAll { .. } => self.acknowledge_all(client),
            Operation::Stray { kind, .. } => {
                let ack = PublishAck::new(STRAY);
                let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubComp, Packet::PubRel];
                self.send(client, kinds[*kind](ack))
            }
            _ => self.send(client, Packet::PingReq),
        }
    }

    fn connect(&mut self, client: &str, with: &ConnectWith) -> Result<(), String> {
        let mut connect = Connect::new(client).keep_alive(with.keep_alive);
        connect.clean_start = with.clean_start;
        for (property, value) in [
            (PropertyId::SessionExpiryInterval, with.expiry),
            (PropertyId::ReceiveMaximum, with.receive_maximum),
            (PropertyId::MaximumPacketSize, with.packet_size),
        ] {
            if let Some(value) = value {
                connect.properties.push(property, value);
            }
        }
        if let Some((message, delay)) = &with.will {
            let publish = self.message(message);
            // Section 4.7.2: topics with a dollar sign are not for clients, and refuse the CONNECT.
            let topic = message.topic.trim_start_matches('$');
            let mut will = Will::new(topic, publish.payload).qos(message.qos);
            will.retain = message.retain;
            will.properties = publish.properties;
            will.properties.push(PropertyId::WillDelayInterval, *delay);
            connect.will = Some(will);
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        self.input(Input::Opened(id))?;
        self.input(Input::Received(id, connect.into()))
    }

    fn message(&mut self, message: &Message) -> Publish {
        self.published += 1;
        let payload = match message.payload {
            Payload::Short => self.published.to_string(),
            Payload::None => String::new(),
            Payload::Long => format!("{:_>60}", self.published),
        };
        let mut publish = Publish::new(message.topic, payload);
        publish.retain = message.retain;
        if let Some(seconds) = message.expiry {
            publish.properties.push(PropertyId::MessageExpiryInterval, seconds);
        }
        publish
    }

    fn publish(&mut self, client: &str, message: &Message, released: bool) -> Result<(), String> {
        let known = self.model.unreleased(client);
        let packet_id = (1..STRAY).find(|id| !known.contains(id)).unwrap_or(STRAY);
        let publish = self.message(message).qos(message.qos, packet_id);
        if message.qos == QoS::ExactlyOnce {
            self.sent.retain(|(by, old)| !(by == client && old.packet_id == packet_id));
            self.sent.push((client.to_string(), publish.clone()));
        }
        self.send(client, publish)?;
        match self.open_inbound(client).contains(&packet_id) && released {
            true => self.send(client, Packet::PubRel(PublishAck::new(packet_id))),
            false => Ok(()),
        }
    }

    /// What the client has sent at QoS 2 and not released.
    fn open_inbound(&self, client: &str) -> Vec<u16> {
        match self.model.connection(client) {
            Some(_) => self.model.unreleased(client).to_vec(),
            None => Vec::new(),
        }
    }

    fn repeat(&mut self, client: &str, which: usize) -> Result<(), String> {
        let open = self.open_inbound(client);
        let Some(place) = which.checked_rem(open.len()) else { return Ok(()) };
        let is_it = |(by, old): &&(String, Publish)| by == client && old.packet_id == open[place];
        match self.sent.iter().find(is_it).map(|(_, publish)| publish.clone().dup()) {
            Some(publish) => self.send(client, publish),
            None => Ok(()),
        }
    }

    fn release(&mut self, client: &str, which: usize, twice: bool) -> Result<(), String> {
        let open = self.open_inbound(client);
        let Some(place) = which.checked_rem(open.len()) else { return Ok(()) };
        for _ in 0..=usize::from(twice) {
            self.send(client, Packet::PubRel(PublishAck::new(open[place])))?;
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        client: &str,
        filters: &[(&'static str, SubscriptionOptions)],
        identifier: Option<u32>,
    ) -> Result<(), String> {
        let mut packet =
            Subscribe { subscriptions: Vec::new(), ..Subscribe::new(7, "", QoS::AtMostOnce) };
        for (filter, options) in filters {
            let mut options = *options;
            options.no_local &= !filter.starts_with("$share/"); // Section 3.8.3.1.
            packet = packet.and(*filter, options);
        }
        if let Some(identifier) = identifier {
            packet.properties.push(PropertyId::SubscriptionIdentifier, identifier);
        }
        self.send(client, packet)
    }

    /// The next step with one of the messages on their way to a client. Messages that are still to be
    /// repeated are among them: the client may have had them over the last connection.
    fn acknowledge(&mut self, client: &str, which: usize, refused: bool) -> Result<(), String> {
        let sent = self.model.on_the_way(client);
        let Some(place) = which.checked_rem(sent.len()) else { return Ok(()) };
        let exchange = sent[place];
        let reason = match refused {
            true => ReasonCode::UnspecifiedError,
            false => ReasonCode::Success,
        };
        let ack = PublishAck::because(exchange.packet_id, reason);
        let packet = match exchange.qos {
            _ if exchange.is_released => Packet::PubComp(PublishAck::new(exchange.packet_id)),
            QoS::ExactlyOnce => Packet::PubRec(ack),
            _ => Packet::PubAck(ack),
        };
        self.send(client, packet)
    }

    fn acknowledge_all(&mut self, client: &str) -> Result<(), String> {
        while !self.model.on_the_way(client).is_empty() {
            self.acknowledge(client, 0, false)?;
        }
        Ok(())
    }

    /// Moves the clock, stopping wherever the core asks for it.
    fn pass_to(&mut self, moment: u64) -> Result<(), String> {
        loop {
            let due = self.broker.next_deadline().map(|due| due.0);
            let next = due.filter(|due| *due < moment).unwrap_or(moment);
            self.now = next;
            self.input(Input::Tick)?;
            if next == moment && due.is_none_or(|due| due >= moment) {
                return Ok(());
            }
        }
    }

    fn connection(&mut self, client: &str) -> Result<ConnectionId, String> {
        self.model.connection(client).ok_or(format!("{client} is not connected"))
    }

    fn send(&mut self, client: &str, packet: impl Into<Packet>) -> Result<(), String> {
        let id = self.connection(client)?;
        self.input(Input::Received(id, packet.into()))
    }

    /// Gives both the same input, and compares.
    fn input(&mut self, input: Input) -> Result<(), String> {
        let now = Moment(self.now);
        let outputs = step(&mut self.broker, &mut self.rules, now, input.clone());
        let result = self.model.step(now, &input, &outputs, self.broker.next_deadline());
        assert!(self.model.follows(), "the model does not know {input:?}");
        result
    }
}

fn name(client: usize) -> String {
    format!("c{client}")
}

impl Operation {
    fn client(&self) -> Option<usize> {
        match self {
            Operation::Connect { client, .. }
            | Operation::Disconnect { client, .. }
            | Operation::Cut { client }
            | Operation::Publish { client, .. }
            | Operation::Repeat { client, .. }
            | Operation::Release { client, .. }
            | Operation::Subscribe { client, .. }
            | Operation::Unsubscribe { client, .. }
            | Operation::Acknowledge { client, .. }
            | Operation::AcknowledgeAll { client }
            | Operation::Stray { client, .. }
            | Operation::Ping { client } => Some(*client),
            Operation::Pass(_) | Operation::Deadline(_) => None,
        }
    }
}
