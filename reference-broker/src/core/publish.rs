//! PUBLISH from clients, and the exchanges it opens (sections 3.3.4 and 4.3).

use std::sync::Arc;

use crate::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};
use crate::topic::TopicName;

use super::route::Message;
use super::session::Unreleased;
use super::will::StoredWill;
use super::{Broker, ConnectionId, DollarTopics};

/// Why a PUBLISH ends its connection.
type Refusal = (ReasonCode, &'static str);

impl Broker {
    pub(super) fn receive_publish(&mut self, id: ConnectionId, client: &Text, publish: Publish) {
        self.totals.note_received(publish.qos, publish.payload.len());
        let topic = match self.resolve_topic(id, &publish) {
            Ok(topic) => topic,
            Err((reason, why)) => return self.refuse(id, reason, why),
        };
        if let Err((reason, why)) = self.check_available(&publish) {
            return self.refuse(id, reason, why);
        }
        if publish.qos > QoS::AtMostOnce && !self.is_within_quota(id, publish.packet_id) {
            let reason = ReasonCode::ReceiveMaximumExceeded;
            return self.refuse(id, reason, "receive maximum exceeded"); // U-3.3.4-9
        }
        match publish.qos {
            // MQTT-3.3.4-1
            QoS::AtMostOnce => {
                let reason = self.accept(client, topic, publish); // U-4.3.1-1
                let closes = self.config.access.disconnects_at_qos0;
                if closes && reason == ReasonCode::NotAuthorized {
                    self.refuse(id, reason, "topic not authorized"); // U-3.14.2.1-7
                }
            }
            QoS::AtLeastOnce => {
                let packet_id = publish.packet_id;
                let reason = self.accept(client, topic, publish); // MQTT-4.3.2-5
                self.send(id, Packet::PubAck(self.acknowledgement(packet_id, reason))); // MQTT-4.3.2-4
            }
            QoS::ExactlyOnce => self.receive_qos2(id, client, topic, publish),
        }
    }

    /// Checks that the message asks for nothing that the broker has not.
    fn check_available(&self, publish: &Publish) -> Result<(), Refusal> {
        if publish.qos > self.config.maximum_qos {
            return Err((ReasonCode::QoSNotSupported, "qos not supported")); // U-3.2.2.3.4-2, U-3.3.1.2-1
        }
        match publish.retain && !self.config.features.retain {
            true => Err((ReasonCode::RetainNotSupported, "retain not supported")), // U-3.2.2.3.5-3, U-3.3.1.3-1
            false => Ok(()),
        }
    }

    /// Whether the client may send a message at QoS 1 or 2 now. One at QoS 1 is acknowledged at
    /// once, but for that moment it counts as well.
    fn is_within_quota(&self, id: ConnectionId, packet_id: u16) -> bool {
        let maximum = usize::from(self.config.receive_maximum);
        let open = self.connections.get(&id).map(|connection| &connection.open_inbound);
        open.is_some_and(|open| open.len() < maximum || open.contains(&packet_id))
    }

    fn receive_qos2(
        &mut self,
        id: ConnectionId,
        client: &Text,
        topic: TopicName,
        publish: Publish,
    ) {
        let packet_id = publish.packet_id;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open_inbound.insert(packet_id);
        }
        let Some(session) = self.sessions.get(client) else { return };
        let known = session.inbound.contains_key(&packet_id);
        let is_full = session.inbound.len() >= self.config.bounds.unreleased_per_session;
        let (reason, message) = match (known, is_full) {
            (true, _) => (ReasonCode::Success, None), // MQTT-4.3.3-10
            (false, true) => (self.refused(ReasonCode::QuotaExceeded), None),
            (false, false) => self.accept_qos2(client, topic, publish),
        };
        if reason.is_error() {
            self.close_inbound(id, client, packet_id); // MQTT-4.3.3-9
        } else if let (false, Some(session)) = (known, self.sessions.get_mut(client)) {
            session.inbound_bytes += message.as_ref().map_or(0, |message| message.size());
            session.received += 1;
            session.inbound.insert(packet_id, Unreleased { order: session.received, message }); // U-4.1-8
            self.unreleased += 1;
        }
        self.send(id, Packet::PubRec(self.acknowledgement(packet_id, reason))); // MQTT-4.3.3-8
    }

    /// The answer to a PUBLISH.
    fn acknowledgement(&self, packet_id: u16, reason: ReasonCode) -> PublishAck {
        let mut ack = PublishAck::because(packet_id, reason); // MQTT-2.2.1-5
        if reason == ReasonCode::QuotaExceeded {
            self.explain(&mut ack.properties, "no room for the message, or for all copies of it");
        }
        ack
    }

    pub(super) fn receive_pubrel(&mut self, id: ConnectionId, client: &Text, ack: &PublishAck) {
        // MQTT-4.3.3-13
        let reason = match self.close_inbound(id, client, ack.packet_id) {
            Some(message) => {
                if let Some(message) = message {
                    self.publish_message(message); // U-4.3.3-3
                }
                ReasonCode::Success // MQTT-4.3.3-12
            }
            None => ReasonCode::PacketIdentifierNotFound, // U-3.7.2.1-3
        };
        self.send(id, Packet::PubComp(PublishAck::because(ack.packet_id, reason))); // MQTT-4.3.3-11
    }

    /// Forgets a Packet Identifier of the client, if it was open, and gives the message that is to be
    /// handed on now, if there is one.
    fn close_inbound(
        &mut self,
        id: ConnectionId,
        client: &Text,
        packet_id: u16,
    ) -> Option<Option<Arc<Message>>> {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open_inbound.remove(&packet_id);
        }
        let session = self.sessions.get_mut(client)?;
        let Unreleased { message, .. } = session.inbound.remove(&packet_id)?;
        session.inbound_bytes -= message.as_ref().map_or(0, |message| message.size());
        self.unreleased -= 1;
        Some(message)
    }

    /// The topic a PUBLISH names, by itself or by an alias (section 3.3.2.3.4).
    fn resolve_topic(&mut self, id: ConnectionId, publish: &Publish) -> Result<TopicName, Refusal> {
        let invalid: Refusal = (ReasonCode::TopicNameInvalid, "topic name not accepted");
        let named = match publish.topic.is_empty() {
            true => None,
            false => Some(TopicName::parse(&publish.topic).map_err(|_| invalid)?),
        };
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let alias = alias.and_then(|alias| u16::try_from(alias).ok());
        let bounds = &self.config.bounds;
        let aliases = self.connections.get_mut(&id).map(|connection| &mut connection.aliases);
        match (named, alias, aliases) {
            (_, Some(alias), _) if alias > self.config.topic_alias_maximum => {
                Err((ReasonCode::TopicAliasInvalid, "topic alias above the maximum")) // MQTT-3.3.2-9, U-3.3.4-6
            }
            (Some(topic), Some(alias), Some(aliases)) => {
                let others = self.alias_bytes - aliases.bytes();
                let left = bounds.all_alias_bytes.saturating_sub(others);
                let is_set = aliases.set(alias, topic.clone(), bounds.alias_bytes.min(left));
                self.alias_bytes = others + aliases.bytes();
                match is_set {
                    true => Ok(topic), // MQTT-3.3.2-12
                    false => Err((ReasonCode::QuotaExceeded, "topic aliases too long")), // U-3.14.2.1-16
                }
            }
            (Some(topic), _, _) => Ok(topic),
            (None, Some(alias), Some(aliases)) => aliases
                .get(alias)
                .cloned()
                .ok_or((ReasonCode::ProtocolError, "topic alias not known")), // U-3.3.4-8
            (None, _, _) => Err((ReasonCode::ProtocolError, "no topic name")), // U-3.3.2.1-2
        }
    }

    /// Takes over a message and hands it on. Gives the code that tells the client how that went.
    fn accept(&mut self, client: &Text, topic: TopicName, publish: Publish) -> ReasonCode {
        match self.take(client, topic, publish) {
            Ok(message) => self.hand_on(message),
            Err(reason) => reason,
        }
    }

    /// As [`Broker::accept`], for a message that may have to wait for its PUBREL; then it is given
    /// back.
    fn accept_qos2(
        &mut self,
        client: &Text,
        topic: TopicName,
        publish: Publish,
    ) -> (ReasonCode, Option<Arc<Message>>) {
        match self.take(client, topic, publish) {
            Ok(message) if self.config.handling.hands_on_at_release => {
                let held = self.sessions.get(client).map_or(0, |session| session.inbound_bytes);
                let limit = self.config.bounds.unreleased_bytes_per_session;
                match held.saturating_add(message.size()) <= limit {
                    true => (ReasonCode::Success, Some(message)),
                    false => (self.refused(ReasonCode::QuotaExceeded), None),
                }
            }
            Ok(message) => (self.hand_on(message), None),
            Err(reason) => (reason, None),
        }
    }

    /// Takes over a message, or says what its acknowledgement is to tell without more ado.
    fn take(
        &mut self,
        client: &Text,
        topic: TopicName,
        publish: Publish,
    ) -> Result<Arc<Message>, ReasonCode> {
        if !self.may_publish(client, &topic) {
            return Err(ReasonCode::NotAuthorized); // U-3.4.2.1-7, U-3.5.2.1-7
        }
        if topic.starts_with_dollar() {
            match self.config.handling.dollar_topics {
                DollarTopics::Refused => return Err(self.refused(ReasonCode::TopicNameInvalid)), // U-4.7.2-1
                DollarTopics::Dropped => return Err(ReasonCode::Success),
                DollarTopics::HandedOn => {}
            }
        }
        if !self.has_levels_for(&topic) {
            return Err(self.refused(ReasonCode::TopicNameInvalid)); // U-3.4.2.1-8
        }
        if publish.properties.iter().count() > self.config.bounds.properties {
            return Err(self.refused(ReasonCode::QuotaExceeded)); // U-3.4.2.1-10
        }
        let message =
            Message::new(topic, publish.qos, publish.retain, &publish.payload, &publish.properties)
                .from(client.clone(), self.now);
        // What it asks for cannot be done then, unless it is at QoS 0: MQTT-3.3.1-5, U-3.3.1.3-3
        let must_be_kept = message.retain && message.qos > QoS::AtMostOnce;
        if must_be_kept && !self.has_room_to_retain(&message) {
            return Err(self.refused(ReasonCode::QuotaExceeded)); // U-3.4.2.1-10
        }
        Ok(Arc::new(message))
    }

    /// Counts a message that its publisher is told is not accepted, at QoS 0 by nothing at all.
    fn refused(&mut self, reason: ReasonCode) -> ReasonCode {
        self.totals.dropped.refused += 1;
        reason
    }

    pub(super) fn has_levels_for(&self, topic: &TopicName) -> bool {
        topic.levels().count() <= self.config.bounds.topic_levels
    }

    /// Checks a Will against the bounds.
    pub(super) fn check_will_size(
        &self,
        will: StoredWill,
    ) -> Result<StoredWill, (ReasonCode, &'static str)> {
        let bounds = &self.config.bounds;
        let message = will.message();
        let is_within = message.size() <= bounds.will_bytes
            && message.properties.iter().count() <= bounds.properties;
        match is_within {
            true => Ok(will),
            false => Err((ReasonCode::QuotaExceeded, "will too large")),
        }
    }

    fn hand_on(&mut self, message: Arc<Message>) -> ReasonCode {
        let before = self.totals.dropped.for_want_of_room();
        let matched = self.publish_message(message);
        let all_have_it = self.totals.dropped.for_want_of_room() == before;
        if !all_have_it && self.config.handling.tells_full_queues {
            return ReasonCode::QuotaExceeded; // U-3.4.2.1-10
        }
        match matched {
            true => ReasonCode::Success, // U-3.4.2.1-2
            false if self.config.tells_no_subscribers => ReasonCode::NoMatchingSubscribers, // U-3.4.2.1-3
            false => ReasonCode::Success,
        }
    }

    pub(super) fn hands_on_dollar_topics(&self) -> bool {
        self.config.handling.dollar_topics == DollarTopics::HandedOn
    }
}
