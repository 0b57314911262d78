//! What a client knows of its connection, and what it still has to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, Text,
};
use reference_broker::core::Moment;

/// A step that a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// PUBACK.
    Acknowledge(u16),
    /// PUBREC.
    Receive(u16),
    /// PUBCOMP.
    Complete(u16),
}

/// What is said to whoever asks about a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is who it says.
    #[default]
    Accepted,
    /// It has to say more first.
    GoesOn,
    /// It is turned away.
    Refused,
    /// Nothing, until the script says something.
    Later,
}

/// Who a client is, and how that is found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) user: Option<Text>,
    /// What is said next, and after that that it is who it says.
    pub(super) verdict: Verdict,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Client {
    /// Whether all that it sent keeps the standard and the broker's limits.
    pub(super) is_honest: bool,
    /// Its CONNECT.
    pub(super) connect: Option<Connect>,
    /// What the broker answered.
    pub(super) connack: Option<ConnAck>,
    /// When it was opened.
    pub(super) opened: Moment,
    /// When it was opened, or sent its last packet.
    pub(super) last_sent: Moment,
    /// What it has to answer, oldest first.
    pub(super) steps: VecDeque<Step>,
    /// Its QoS 1 and 2 messages that wait for an answer, by their Packet Identifiers.
    pub(super) open: BTreeMap<u16, Publish>,
    /// Whether it acknowledges at once what comes.
    pub(super) acknowledges: bool,
    /// Who it is, and how that is found out.
    pub(super) identity: Identity,
    /// Who it has been found to be, if that was asked.
    pub(super) user: Option<Text>,
    /// The topics that its aliases stand for.
    pub(super) aliases: BTreeMap<u16, Text>,
    /// PUBLISH packets at QoS 1 and 2 that it has and did not answer for good.
    unanswered: BTreeSet<u16>,
    next_id: u16,
}

impl Client {
    pub(super) fn new(now: Moment) -> Client {
        Client {
            is_honest: true,
            connect: None,
            connack: None,
            opened: now,
            last_sent: now,
            steps: VecDeque::new(),
            open: BTreeMap::new(),
            acknowledges: false,
            identity: Identity::default(),
            user: None,
            aliases: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            next_id: 1,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connack.as_ref().is_some_and(|connack| connack.reason == ReasonCode::Success)
    }

    /// The Client Identifier it goes by, its own or the broker's choice.
    pub(super) fn id(&self) -> Option<Text> {
        let assigned = |connack: &ConnAck| {
            connack.properties.text(PropertyId::AssignedClientIdentifier).cloned()
        };
        let own = self.connect.as_ref().map(|connect| connect.client_id.clone());
        self.connack.as_ref().and_then(assigned).or(own)
    }

    /// The payload of its Will.
    pub(super) fn will(&self) -> Option<&Bytes> {
        self.connect.as_ref()?.will.as_ref().map(|will| &will.payload)
    }

    fn asked(&self, id: PropertyId) -> Option<u32> {
        self.connect.as_ref()?.properties.number(id)
    }

    /// What the broker said in its CONNACK, or what its silence stands for.
    pub(super) fn granted(&self, id: PropertyId, default: u32) -> u32 {
        let connack = self.connack.as_ref();
        connack.and_then(|connack| connack.properties.number(id)).unwrap_or(default)
    }

    /// The largest packet it takes.
    pub(super) fn packet_limit(&self) -> usize {
        self.asked(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX) as usize
    }

    /// How many QoS 1 and 2 messages it takes at once.
    fn receive_maximum(&self) -> usize {
        self.asked(PropertyId::ReceiveMaximum).unwrap_or(65_535) as usize
    }

    /// A Packet Identifier that is in use nowhere.
    pub(super) fn fresh_id(&mut self) -> u16 {
        while self.open.contains_key(&self.next_id) || self.next_id == 0 {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// Notes what it is about to send, and where that does not keep the rules.
    pub(super) fn sends(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) if self.connect.is_none() => {
                self.connect = Some((**connect).clone());
            }
            Packet::Publish(publish) => self.sends_publish(publish),
            Packet::PubRel(ack) => self.is_honest &= self.open.contains_key(&ack.packet_id),
            Packet::PubAck(ack) => self.answers(Step::Acknowledge(ack.packet_id), ack),
            Packet::PubRec(ack) => self.answers(Step::Receive(ack.packet_id), ack),
            Packet::PubComp(ack) => self.answers(Step::Complete(ack.packet_id), ack),
            Packet::Disconnect(disconnect) => {
                let raised = disconnect.properties.number(PropertyId::SessionExpiryInterval);
                let had_none = self.asked(PropertyId::SessionExpiryInterval).unwrap_or(0) == 0;
                self.is_honest &= !(had_none && raised.is_some_and(|expiry| expiry > 0));
            }
            Packet::Subscribe(subscribe) => self.sends_subscribe(subscribe),
            Packet::Unsubscribe(_) | Packet::PingReq | Packet::Auth(_) => {}
            _ => self.is_honest = false,
        }
        self.is_honest &= self.connect.is_some();
    }

    fn sends_publish(&mut self, publish: &Publish) {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        if let Some(alias) = alias.and_then(|alias| u16::try_from(alias).ok()) {
            self.is_honest &= u32::from(alias) <= self.granted(PropertyId::TopicAliasMaximum, 0);
            self.is_honest &= !publish.topic.is_empty() || self.aliases.contains_key(&alias);
            if !publish.topic.is_empty() {
                self.aliases.insert(alias, publish.topic.clone());
            }
        }
        // A wildcard in it is a fault of the bytes; a `$` may be refused, with a close or without.
        self.is_honest &= !publish.topic.starts_with('$');
        let highest = self.granted(PropertyId::MaximumQoS, 2);
        self.is_honest &= u32::from(publish.qos.value()) <= highest;
        self.is_honest &= !publish.retain || self.has(PropertyId::RetainAvailable);
        let quota = self.granted(PropertyId::ReceiveMaximum, 65_535) as usize;
        if publish.qos > QoS::AtMostOnce {
            self.is_honest &= self.open.len() < quota;
            self.is_honest &= !publish.dup && !self.open.contains_key(&publish.packet_id);
            self.open.insert(publish.packet_id, publish.clone());
        }
    }

    fn sends_subscribe(&mut self, subscribe: &Subscribe) {
        let mut filters = subscribe.subscriptions.iter().map(|each| &*each.filter);
        self.is_honest &= filters.all(|filter| {
            let is_shared = filter.starts_with("$share/");
            let has_wildcard = filter.contains(['+', '#']);
            (!is_shared || self.has(PropertyId::SharedSubscriptionAvailable))
                && (!has_wildcard || self.has(PropertyId::WildcardSubscriptionAvailable))
        });
        self.is_honest &= !subscribe.properties.contains(PropertyId::SubscriptionIdentifier)
            || self.has(PropertyId::SubscriptionIdentifierAvailable);
    }

    /// Whether the broker has a feature.
    fn has(&self, id: PropertyId) -> bool {
        self.granted(id, 1) == 1
    }

    fn answers(&mut self, step: Step, ack: &PublishAck) {
        self.is_honest &= self.steps.front() == Some(&step);
        self.steps.retain(|other| *other != step);
        if !matches!(step, Step::Receive(_)) || ack.reason.is_error() {
            self.unanswered.remove(&ack.packet_id);
        }
    }

    /// Notes what came.
    ///
    /// # Panics
    ///
    /// When it is more than the client takes.
    pub(super) fn receives(&mut self, packet: &Packet) {
        match packet {
            Packet::ConnAck(connack) => self.connack = Some(connack.clone()),
            Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
                let id = publish.packet_id;
                self.unanswered.insert(id);
                let (count, maximum) = (self.unanswered.len(), self.receive_maximum());
                assert!(!self.is_honest || count <= maximum, "{count} of {maximum} at once");
                self.steps.push_back(match publish.qos {
                    QoS::AtLeastOnce => Step::Acknowledge(id),
                    _ => Step::Receive(id),
                });
            }
            Packet::PubRel(PublishAck { packet_id, .. }) => {
                self.steps.push_back(Step::Complete(*packet_id));
            }
            Packet::PubAck(PublishAck { packet_id, .. })
            | Packet::PubComp(PublishAck { packet_id, .. }) => {
                self.open.remove(packet_id);
            }
            Packet::PubRec(ack) if ack.reason.is_error() => {
                self.open.remove(&ack.packet_id);
            }
            _ => {}
        }
    }
}
