//! What the model keeps, and how time and the ends of connections change it.

use std::rc::Rc;

use reference_broker::codec::{
    Disconnect, Packet, Property, PropertyId, Publish, QoS, ReasonCode, Text,
};
use reference_broker::core::{Config, ConnectionId, Redirection};

use super::connecting::Stranger;
use super::will::StoredWill;

use super::delivery::{Channel, Delivery, Expected, Message, Outbound};
use super::subscription::Subscription;

/// A Session Expiry Interval without an end (section 3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// Properties that go with a message unaltered (section 3.3.2.3).
const CARRIED: [PropertyId; 5] = [
    PropertyId::PayloadFormatIndicator,
    PropertyId::ContentType,
    PropertyId::ResponseTopic,
    PropertyId::CorrelationData,
    PropertyId::UserProperty,
];

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
    pub(crate) will: Option<StoredWill>,
    /// Whose it is.
    pub(crate) user: Option<Text>,
}

/// The Network Connection of a session.
#[derive(Clone, Debug)]
pub(crate) struct Online {
    pub(crate) channel: Channel,
    pub(crate) keep_alive: u64,
    pub(crate) last_received: u64,
    /// The Session Expiry Interval that CONNECT asked for.
    pub(crate) requested_expiry: u32,
    /// The Topic Aliases that the client has set, with their topics.
    pub(crate) aliases: Vec<(u32, String)>,
    /// The Authentication Method, and where a re-authentication has got to.
    pub(crate) method: Option<Text>,
    pub(crate) turn: Turn,
    /// Packet Identifiers of QoS 2 messages that came over this connection and are not released.
    pub(crate) unreleased: Vec<u16>,
}

/// Whose turn it is in an exchange of enhanced authentication (section 4.12).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turn {
    /// There is none.
    Nobody,
    /// The server looks at what the client has sent.
    Server,
    /// The client has got AUTH 0x18.
    Client,
}

/// A broker as a reader of the standard would tell it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) now: u64,
    /// Connections without a client.
    pub(crate) strangers: Vec<Stranger>,
    /// Where clients are sent instead (section 4.11).
    pub(crate) redirection: Option<Redirection>,
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
    /// How many messages were dropped as too many waited.
    pub(crate) overflows: usize,
}

impl Model {
    pub(crate) fn new(config: Config) -> Model {
        Model {
            redirection: config.redirection.clone(),
            config,
            now: 0,
            strangers: Vec::new(),
            sessions: Vec::new(),
            retained: Vec::new(),
            expected: Vec::new(),
            serial: 0,
            turns: Vec::new(),
            detours: Vec::new(),
            choices: Vec::new(),
            overflows: 0,
        }
    }

    pub(crate) fn session(&mut self, client: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.client == client)
    }

    pub(crate) fn channel(&mut self, client: &str) -> Option<Channel> {
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
        let strangers = self.strangers.iter().map(|it| self.patience_ends(it));
        moments.flatten().chain(strangers).min()
    }

    /// Time has come to `now`: whatever was due happens, the earliest first. At the same moment silence
    /// ends connections first, the oldest before others, and Wills go before the sessions that they belong to.
    pub(crate) fn pass_to(&mut self, now: u64) {
        self.now = now;
        self.send_late_strangers_away();
        while self.next_deadline().is_some_and(|due| due <= now) {
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

    /// Section 3.14.4.
    pub(crate) fn receive_disconnect(&mut self, client: &str, disconnect: &Disconnect) {
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
    pub(crate) fn end_session(&mut self, client: &str) {
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

    /// Takes over a message, which lives from now on.
    pub(crate) fn message(&self, client: &str, publish: &Publish) -> Rc<Message> {
        let is_carried = |it: &&Property| CARRIED.contains(&it.id);
        let carried = publish.properties.iter().filter(is_carried).cloned();
        Rc::new(Message {
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos: publish.qos,
            retain: publish.retain,
            expiry: publish.properties.number(PropertyId::MessageExpiryInterval),
            carried: carried.collect(),
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
        let dropped = self.session(client).map(|session| session.outbound.trim(now, limit));
        self.overflows += dropped.unwrap_or(0);
    }

    pub(crate) fn send(&mut self, client: &str) {
        let Some(channel) = self.channel(client) else { return };
        let (now, mut serial) = (self.now, self.serial);
        let Some(session) = self.session(client) else { return };
        let sent = session.outbound.send(now, client, channel, &mut serial);
        self.expected.extend(sent);
        self.serial = serial;
    }
}

impl Session {
    pub(crate) fn new(client: &str) -> Session {
        Session {
            client: client.to_string(),
            online: None,
            expiry: 0,
            ends: None,
            subscriptions: Vec::new(),
            received: Vec::new(),
            outbound: Outbound::default(),
            will: None,
            user: None,
        }
    }
}

impl Online {
    /// One and a half times the Keep Alive after the last packet (section 3.1.2.10).
    fn silence_ends(&self) -> Option<u64> {
        (self.keep_alive > 0).then(|| self.last_received + self.keep_alive * 1500)
    }
}
