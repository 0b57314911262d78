//! A broker as a reader of the standard would tell it: plain lists, looked through from the front.
//!
//! It takes the same inputs as the core, and says what is expected of it.

use std::rc::Rc;

use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Packet, Properties, PropertyId, Publish, PublishAck, QoS,
    ReasonCode, Will,
};
use reference_broker::core::{Config, ConnectionId};

use super::delivery::{Channel, Delivery, Expected, Message, Outbound};
use super::subscription::Subscription;

/// A Session Expiry Interval without an end (section 3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// Session State (section 4.1).
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: String,
    pub(crate) online: Option<Online>,
    /// Session Expiry Interval in force.
    pub(crate) expiry: u32,
    /// When it ends, if nobody connects.
    pub(crate) ends: Option<u64>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Packet Identifiers of QoS 2 messages that came in and are not released.
    pub(crate) received: Vec<u16>,
    pub(crate) outbound: Outbound,
    will: Option<StoredWill>,
}

/// The Network Connection of a session.
#[derive(Clone, Debug)]
pub(crate) struct Online {
    pub(crate) channel: Channel,
    keep_alive: u64,
    last_received: u64,
    /// The Session Expiry Interval that CONNECT asked for.
    requested_expiry: u32,
    /// Packet Identifiers of QoS 2 messages that came over this connection and are not released.
    pub(crate) unreleased: Vec<u16>,
}

#[derive(Clone, Debug)]
struct StoredWill {
    will: Will,
    /// Will Delay Interval.
    delay: u32,
    /// When it is published, once the connection is gone.
    due: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) now: u64,
    pub(crate) sessions: Vec<Session>,
    /// Retained messages, in the order of their topics.
    pub(crate) retained: Vec<Rc<Message>>,
    pub(crate) expected: Vec<Expected>,
    serial: u64,
    /// Who of each Shared Subscription got the last message, by its filter.
    pub(crate) turns: Vec<(String, String)>,
    /// How far from the one whose turn it is the broker went, for each shared message of this input.
    pub(crate) detours: Vec<usize>,
    /// How many it had to choose from each time.
    pub(crate) choices: Vec<usize>,
}

impl Model {
    pub(crate) fn new(config: Config) -> Model {
        Model {
            config,
            now: 0,
            sessions: Vec::new(),
            retained: Vec::new(),
            expected: Vec::new(),
            serial: 0,
            turns: Vec::new(),
            detours: Vec::new(),
            choices: Vec::new(),
        }
    }

    pub(crate) fn session(&mut self, client: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.client == client)
    }

    fn channel(&mut self, client: &str) -> Option<Channel> {
        Some(self.session(client)?.online.as_ref()?.channel)
    }

    pub(crate) fn reply(&mut self, id: ConnectionId, packet: impl Into<Packet>) {
        self.expected.push(Expected::Packet(id, packet.into()));
    }

    /// When something has to happen by itself.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let moments = self.sessions.iter().flat_map(|session| {
            let will = session.will.as_ref().and_then(|will| will.due);
            [session.ends, will, session.online.as_ref().and_then(Online::silence_ends)]
        });
        moments.flatten().min()
    }

    /// Time has come to `now`: whatever was due happens, the earliest first. At the same moment silence
    /// ends connections first, the oldest before others, and Wills go before the sessions that they belong to.
    pub(crate) fn pass_to(&mut self, now: u64) {
        self.now = now;
        loop {
            let mut due: Vec<(u64, u8, Option<ConnectionId>, String)> = Vec::new();
            for session in &self.sessions {
                let silence = session.online.as_ref().and_then(Online::silence_ends);
                let will = session.will.as_ref().and_then(|will| will.due);
                for (moment, what) in [(silence, 0), (will, 1), (session.ends, 2)] {
                    let id = session.online.as_ref().map(|online| online.channel.id);
                    due.extend(moment.map(|moment| (moment, what, id, session.client.clone())));
                }
            }
            due.sort();
            let Some((_, what, _, client)) = due.into_iter().find(|(moment, ..)| *moment <= now)
            else {
                break;
            };
            match what {
                0 => self.refuse(&client, ReasonCode::KeepAliveTimeout),
                1 => self.publish_will(&client),
                _ => self.end_session(&client),
            }
        }
        self.retained.retain(|message| !message.is_over(now)); // Section 3.3.1.3.
    }

    /// A packet came in from a client that is connected.
    pub(crate) fn receive(&mut self, client: &str, packet: &Packet) {
        let now = self.now;
        let Some(online) = self.session(client).and_then(|session| session.online.as_mut()) else {
            return;
        };
        online.last_received = now;
        let id = online.channel.id;
        match packet {
            Packet::Publish(publish) => self.receive_publish(client, id, publish),
            Packet::PubRel(ack) => self.receive_pubrel(client, id, ack.packet_id),
            Packet::PubAck(ack) => self.finish(client, ack.packet_id),
            Packet::PubRec(ack) => self.receive_pubrec(client, id, ack),
            Packet::PubComp(ack) => self.finish(client, ack.packet_id),
            Packet::Subscribe(subscribe) => self.subscribe(client, id, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(client, id, unsubscribe),
            Packet::PingReq => self.reply(id, Packet::PingResp),
            Packet::Disconnect(disconnect) => self.receive_disconnect(client, disconnect),
            other => panic!("no client of the model sends {other:?}"),
        }
    }

    /// Section 3.1.4.
    pub(crate) fn connect(&mut self, id: ConnectionId, connect: &Connect) {
        let client = &*connect.client_id;
        if let Some(session) = self.session(client) {
            let goes_on = !connect.clean_start && session.expiry > 0;
            // Before the delay has passed a new connection keeps the Will from being published, if
            // the session goes on: section 3.1.3.2.2.
            if goes_on && session.will.as_ref().is_some_and(|will| will.delay > 0) {
                session.will = None;
            }
            if session.online.is_some() {
                self.refuse(client, ReasonCode::SessionTakenOver);
            }
            if connect.clean_start {
                self.end_session(client);
            }
        }
        let is_present = self.session(client).is_some();
        let requested = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        let expiry = requested.min(self.config.session_expiry.1);
        let mut connack = ConnAck::new(is_present, ReasonCode::Success);
        if expiry != requested {
            connack.properties.push(PropertyId::SessionExpiryInterval, expiry);
        }
        self.reply(id, connack);
        let online = self.online(id, connect, requested);
        let channel = online.channel;
        if !is_present {
            self.sessions.push(Session::new(client));
        }
        let Some(session) = self.session(client) else { return };
        session.online = Some(online);
        session.expiry = expiry;
        session.ends = None;
        session.will = connect.will.as_ref().map(StoredWill::new);
        for packet in session.outbound.begin_again() {
            self.expected.push(Expected::Packet(channel.id, packet));
        }
        self.send(client);
    }

    fn online(&self, id: ConnectionId, connect: &Connect, requested_expiry: u32) -> Online {
        let number = |property| connect.properties.number(property);
        let window = number(PropertyId::ReceiveMaximum).unwrap_or(65_535) as usize;
        let window = window.min(usize::from(self.config.send_window));
        let packet_size = number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX) as usize;
        Online {
            channel: Channel { id, window, packet_size },
            keep_alive: u64::from(connect.keep_alive),
            last_received: self.now,
            requested_expiry,
            unreleased: Vec::new(),
        }
    }

    /// Section 3.14.4.
    fn receive_disconnect(&mut self, client: &str, disconnect: &Disconnect) {
        let most = self.config.session_expiry.1;
        let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
        let Some(session) = self.session(client) else { return };
        let Some(online) = &session.online else { return };
        let id = online.channel.id;
        if online.requested_expiry == 0 && expiry.is_some_and(|expiry| expiry > 0) {
            return self.refuse(client, ReasonCode::ProtocolError);
        }
        session.expiry = expiry.map_or(session.expiry, |expiry| expiry.min(most));
        if disconnect.reason == ReasonCode::Success {
            session.will = None;
        }
        self.expected.push(Expected::Close(id));
        self.lose(client);
    }

    /// Ends a connection with a DISCONNECT.
    pub(crate) fn refuse(&mut self, client: &str, reason: ReasonCode) {
        if let Some(channel) = self.channel(client) {
            self.reply(channel.id, Disconnect::because(reason));
            self.expected.push(Expected::Close(channel.id));
            self.lose(client);
        }
    }

    /// The connection is gone: the Session Expiry Interval and the Will Delay Interval begin.
    pub(crate) fn lose(&mut self, client: &str) {
        let now = self.now;
        let Some(session) = self.session(client) else { return };
        session.online = None;
        if session.expiry == 0 {
            return self.end_session(client);
        }
        if session.expiry != NEVER {
            session.ends = Some(now + u64::from(session.expiry) * 1000);
        }
        match &mut session.will {
            Some(will) if will.delay > 0 => will.due = Some(now + u64::from(will.delay) * 1000),
            Some(_) => self.publish_will(client),
            None => {}
        }
    }

    /// A session ends: its Will is published now at the latest, and what it had of Shared
    /// Subscriptions and had not begun at QoS 2 goes to other members (section 4.8.2).
    fn end_session(&mut self, client: &str) {
        let Some(place) = self.sessions.iter().position(|session| session.client == client) else {
            return;
        };
        let session = self.sessions.remove(place);
        self.forget_empty_groups();
        let sent = session.outbound.sent.into_iter();
        let sent = sent.filter(|it| !it.is_released && it.delivery.qos < QoS::ExactlyOnce);
        let open = sent.map(|exchange| exchange.delivery).chain(session.outbound.waiting);
        for Delivery { message, share, .. } in open {
            if let Some(share) = share {
                self.deliver_to_one(&share, &message);
            }
        }
        if let Some(StoredWill { will, .. }) = session.will {
            self.publish_last_words(client, &will);
        }
    }

    fn publish_will(&mut self, client: &str) {
        let will = self.session(client).and_then(|session| session.will.take());
        if let Some(StoredWill { will, .. }) = will {
            self.publish_last_words(client, &will);
        }
    }

    fn publish_last_words(&mut self, client: &str, will: &Will) {
        let mut publish = Publish::new(will.topic.clone(), will.payload.clone());
        (publish.qos, publish.retain) = (will.qos, will.retain);
        publish.properties = will.properties.clone();
        self.publish(client, &publish);
    }

    /// Takes over a message, which lives from now on.
    pub(crate) fn message(&self, client: &str, publish: &Publish) -> Rc<Message> {
        Rc::new(Message {
            topic: publish.topic.to_string(),
            payload: publish.payload.clone(),
            qos: publish.qos,
            retain: publish.retain,
            expiry: expiry(&publish.properties),
            received: self.now,
            publisher: client.to_string(),
        })
    }

    /// Gives a message to a session: at QoS 0 now or never, else now or later.
    pub(crate) fn deliver(&mut self, client: &str, delivery: Delivery) {
        let now = self.now;
        let limit = self.config.queue_limit;
        if delivery.message.is_over(now) {
            return; // It was for a member of a Shared Subscription who did not have it in time.
        }
        if delivery.qos == QoS::AtMostOnce {
            let Some(channel) = self.channel(client) else { return };
            let publish = delivery.packet(now, 0, false);
            if channel.takes(publish.clone()) {
                self.reply(channel.id, publish);
            }
            return;
        }
        let Some(session) = self.session(client) else { return };
        session.outbound.waiting.push(delivery);
        self.send(client);
        if let Some(session) = self.session(client) {
            session.outbound.trim(now, limit);
        }
    }

    fn send(&mut self, client: &str) {
        let Some(channel) = self.channel(client) else { return };
        let (now, mut serial) = (self.now, self.serial);
        let Some(session) = self.session(client) else { return };
        let sent = session.outbound.send(now, client, channel, &mut serial);
        self.expected.extend(sent);
        self.serial = serial;
    }

    /// PUBACK, PUBCOMP, or a PUBREC with an error: the exchange is over (sections 4.3.2 and 4.3.3).
    fn finish(&mut self, client: &str, packet_id: u16) {
        if let Some(session) = self.session(client) {
            session.outbound.finish(packet_id);
        }
        self.send(client);
    }

    fn receive_pubrec(&mut self, client: &str, id: ConnectionId, ack: &PublishAck) {
        if ack.reason.is_error() {
            return self.finish(client, ack.packet_id);
        }
        let exchange =
            self.session(client).and_then(|session| session.outbound.find(ack.packet_id));
        let reason = match exchange {
            Some(exchange) => {
                exchange.is_released = true;
                exchange.is_to_repeat = false;
                ReasonCode::Success
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.reply(id, Packet::PubRel(PublishAck::because(ack.packet_id, reason)));
    }
}

impl Session {
    fn new(client: &str) -> Session {
        Session {
            client: client.to_string(),
            online: None,
            expiry: 0,
            ends: None,
            subscriptions: Vec::new(),
            received: Vec::new(),
            outbound: Outbound::default(),
            will: None,
        }
    }
}

impl Online {
    /// One and a half times the Keep Alive after the last packet (section 3.1.2.10).
    fn silence_ends(&self) -> Option<u64> {
        (self.keep_alive > 0).then(|| self.last_received + self.keep_alive * 1500)
    }
}

impl StoredWill {
    fn new(will: &Will) -> StoredWill {
        let delay = will.properties.number(PropertyId::WillDelayInterval).unwrap_or(0);
        StoredWill { will: will.clone(), delay, due: None }
    }
}

fn expiry(properties: &Properties) -> Option<u32> {
    properties.number(PropertyId::MessageExpiryInterval)
}
