use std::time::Duration;

use crate::codec::{ConnAck, Connect, Disconnect, PropertyId, QoS, ReasonCode, Text};
use crate::topic::TopicName;

use super::access::{Credentials, ReAuthentication};
use super::connection::State;
use super::session::{NEVER, Session};
use super::will::StoredWill;
use super::{Broker, ConnectionId, Moment, Timer};

impl Broker {
    /// Checks a CONNECT, and refuses it or goes on to find out whose it is (section 3.1.4).
    pub(super) fn connect(&mut self, id: ConnectionId, connect: Connect) {
        self.note_limits(id, &connect);
        if let Some(redirection) = self.redirection.clone() {
            return self.refuse_elsewhere(id, redirection);
        }
        match self.check_connect(&connect) {
            Ok(will) => self.identify(id, connect, will),
            Err((reason, why)) => self.refuse_connect(id, reason, why),
        }
    }

    /// Accepts the CONNECT of a client that is known for what it is.
    pub(super) fn accept_connect(
        &mut self,
        id: ConnectionId,
        connect: &Connect,
        will: Option<StoredWill>,
        credentials: Credentials,
    ) {
        if let Some(redirection) = self.redirection.clone() {
            return self.refuse_elsewhere(id, redirection); // It may have begun meanwhile.
        }
        let assigned = connect.client_id.is_empty();
        let client = match assigned {
            true => self.assign_id(), // MQTT-3.1.3-6
            false => connect.client_id.clone(),
        };
        self.catch_up(&client);
        if let Err(why) = self.authorize(&client, will.as_ref(), credentials.user.as_ref()) {
            return self.refuse_connect(id, ReasonCode::NotAuthorized, why); // MQTT-3.1.4-2
        }
        let room = self.check_will_room(&client, &will).and_then(|()| self.check_room(&client));
        if let Err((reason, why)) = room {
            return self.refuse_connect(id, reason, why);
        }
        let connack = self.connack(connect, assigned.then_some(&client));
        let mut connack = self.add_response_information(id, connect, &client, connack);
        // MQTT-4.12.0-6
        if let Some(method) = &credentials.method {
            connack.properties.push(PropertyId::AuthenticationMethod, method.clone()); // MQTT-4.12.0-5
            if let Some(data) = credentials.data {
                connack.properties.push(PropertyId::AuthenticationData, data);
            }
        }
        if !self.can_send(id, &connack.clone().into()) {
            return self.close(id); // Before it could disturb a session or leave a Will.
        }
        self.take_over(&client, connect.clean_start); // MQTT-3.1.4-4
        connack.session_present = self.open_session(id, &client, connect, will); // MQTT-3.2.2-2, MQTT-3.2.2-3
        if let Some(session) = self.sessions.get_mut(&client) {
            session.user = credentials.user;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.re_authentication = credentials.method.map(ReAuthentication::new);
        }
        self.send(id, connack.into()); // MQTT-3.2.0-1
        self.resume_outbound(&client);
    }

    /// Whether this user may connect as this client, and with this Will.
    fn authorize(
        &self,
        client: &Text,
        will: Option<&StoredWill>,
        user: Option<&Text>,
    ) -> Result<(), &'static str> {
        // What a session holds was had with the rights of its user. While it lasts nobody else gets
        // that, or ends it, by the mere name of the client.
        if self.sessions.get(client).is_some_and(|session| session.user.as_ref() != user) {
            return Err("client identifier of another user");
        }
        let topic = will.map(|will| &will.message().topic);
        match topic.is_none_or(|topic| self.config.access.may_publish(user, client, topic)) {
            true => Ok(()),
            false => Err("will topic not authorized"), // U-3.2.2.2-10
        }
    }

    /// Checks beyond what the packet's bytes show; gives the Will as it is to be kept.
    fn check_connect(
        &self,
        connect: &Connect,
    ) -> Result<Option<StoredWill>, (ReasonCode, &'static str)> {
        let method = connect.properties.text(PropertyId::AuthenticationMethod);
        if method.is_some_and(|method| !self.config.access.methods.contains(method)) {
            let reason = ReasonCode::BadAuthenticationMethod;
            return Err((reason, "authentication method not supported")); // MQTT-4.12.0-1
        }
        self.check_client_id(&connect.client_id)?;
        let Some(will) = &connect.will else { return Ok(None) };
        if will.qos > self.config.maximum_qos {
            return Err((ReasonCode::QoSNotSupported, "will qos not supported")); // MQTT-3.2.2-12
        }
        if will.retain && !self.config.features.retain {
            return Err((ReasonCode::RetainNotSupported, "will retain not supported")); // MQTT-3.2.2-13
        }
        let refused = (ReasonCode::TopicNameInvalid, "will topic not accepted"); // U-3.2.2.2-13
        match TopicName::parse(&will.topic) {
            Ok(topic) if topic.starts_with_dollar() && !self.hands_on_dollar_topics() => {
                Err(refused)
            }
            Ok(topic) if !self.has_levels_for(&topic) => Err(refused),
            Ok(topic) => self.check_will_size(StoredWill::new(topic, will)).map(Some),
            Err(_) => Err(refused),
        }
    }

    fn assign_id(&mut self) -> Text {
        loop {
            self.assigned_ids += 1;
            let id = Text::from(format!("assigned{}", self.assigned_ids));
            if !self.sessions.contains_key(&id) {
                return id; // MQTT-3.2.2-16
            }
        }
    }

    /// Lets happen what is due for a client that comes back, if the timers, looked at now and then only,
    /// have not seen to it yet: this connection must not undo it, nor be refused for what is over.
    fn catch_up(&mut self, client: &Text) {
        let Some(session) = self.sessions.get(client) else { return };
        let will = session.will.as_ref().and_then(StoredWill::due);
        let is_over = |due: &Moment| *due <= self.now;
        let (will, end) = (will.filter(is_over), session.expires_at.filter(is_over));
        if let Some(due) = will {
            self.will_due(client, due); // MQTT-3.1.2-8
        }
        if let Some(due) = end {
            self.session_due(client, due); // MQTT-4.1.0-2
        }
    }

    /// Ends the connection that this client already has, and its session if so asked.
    fn take_over(&mut self, client: &Text, clean_start: bool) {
        let Some(session) = self.sessions.get(client) else { return };
        let resumes = !clean_start && session.expiry > 0;
        let handling = &self.config.handling;
        let at_takeover = handling.takeover_deletes_will && session.connection.is_some();
        let deletes = resumes || clean_start && handling.clean_start_deletes_will || at_takeover;
        let is_delayed = session.will.as_ref().is_some_and(StoredWill::is_delayed);
        if deletes && is_delayed || resumes && at_takeover {
            self.take_will(client); // MQTT-3.1.3-9, U-3.1.3.2.2-4
        }
        if let Some(old) = self.sessions.get(client).and_then(|session| session.connection) {
            let reason = ReasonCode::SessionTakenOver;
            self.send(old, Disconnect::because(reason).into()); // MQTT-3.1.4-3, U-3.14.2.1-10
            self.close(old); // U-3.1.4-5
        }
        if clean_start {
            self.end_session(client); // MQTT-3.1.2-4, U-3.1.2.4-1
        }
    }

    /// Binds the connection to the client's session, new or found. Says whether it was found.
    fn open_session(
        &mut self,
        id: ConnectionId,
        client: &Text,
        connect: &Connect,
        will: Option<StoredWill>,
    ) -> bool {
        let number = |property| connect.properties.number(property);
        let requested = number(PropertyId::SessionExpiryInterval).unwrap_or(0); // U-3.1.2.11.2-2
        let found = self.sessions.contains_key(client); // MQTT-3.1.2-5, MQTT-3.1.2-6
        self.take_will(client); // MQTT-3.1.3-9
        self.note_not_absent(client);
        let session = self.sessions.entry(client.clone()).or_default();
        session.connection = Some(id);
        self.connected += 1;
        self.totals.accepted += 1;
        session.expiry = self.config.expiry(requested); // U-3.2.2.3.2-2
        if let Some(due) = session.expires_at.take() {
            self.timers.remove(due, Timer::Session(client.clone())); // MQTT-4.1.0-1
        }
        self.will_bytes += will.as_ref().map_or(0, StoredWill::size);
        session.will = will; // MQTT-3.1.2-7, MQTT-3.1.2-10

        if let Some(connection) = self.connections.get_mut(&id) {
            let window = number(PropertyId::ReceiveMaximum).unwrap_or(u32::from(u16::MAX));
            let window = u16::try_from(window).unwrap_or(u16::MAX); // U-3.1.2.11.3-4
            connection.state = State::Connected(client.clone()); // MQTT-3.2.0-2
            connection.last_received = self.now; // Its CONNECT may have come long ago: U-3.1.4-6
            connection.keep_alive = self.config.server_keep_alive.unwrap_or(connect.keep_alive); // MQTT-3.2.2-22
            connection.requested_expiry = requested;
            connection.quota = window.min(self.config.send_window); // MQTT-4.9.0-1, U-3.1.2.11.3-3
            let deadline = connection.keep_alive_deadline();
            self.set_timer(id, deadline.map(|deadline| (deadline, Timer::KeepAlive(id)))); // U-3.1.4-6
        }
        found
    }

    /// The CONNACK that accepts, for a client whose identifier was assigned or is its own.
    fn connack(&self, connect: &Connect, assigned: Option<&Text>) -> ConnAck {
        let config = &self.config;
        let mut connack = ConnAck::new(false, ReasonCode::Success); // MQTT-3.1.4-5, U-3.2.2.2-2
        let receive_maximum = Some(config.receive_maximum).filter(|most| *most < u16::MAX);
        let packet_size = Some(config.maximum_packet_size).filter(|most| *most < u32::MAX);
        let alias_maximum = Some(config.topic_alias_maximum).filter(|most| *most > 0);
        let requested = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        let expiry = Some(config.expiry(requested)).filter(|expiry| *expiry != requested);
        let qos = Some(config.maximum_qos).filter(|qos| *qos < QoS::ExactlyOnce);
        let features = config.features;
        for (id, value) in [
            (PropertyId::ReceiveMaximum, receive_maximum.map(u32::from)), // U-3.2.2.3.3-2
            (PropertyId::MaximumPacketSize, packet_size),                 // U-3.2.2.3.6-3
            (PropertyId::TopicAliasMaximum, alias_maximum.map(u32::from)),
            (PropertyId::SessionExpiryInterval, expiry), // U-3.2.2.3.2-2
            (PropertyId::ServerKeepAlive, config.server_keep_alive.map(u32::from)),
            (PropertyId::MaximumQoS, qos.map(|qos| u32::from(qos.value()))), // MQTT-3.2.2-9
            (PropertyId::RetainAvailable, (!features.retain).then_some(0)),
            (PropertyId::WildcardSubscriptionAvailable, (!features.wildcards).then_some(0)),
            (
                PropertyId::SubscriptionIdentifierAvailable,
                (!features.subscription_identifiers).then_some(0),
            ),
            (
                PropertyId::SharedSubscriptionAvailable,
                (!features.shared_subscriptions).then_some(0),
            ),
        ] {
            if let Some(value) = value {
                connack.properties.push(id, value);
            }
        }
        match assigned {
            Some(client) => connack.with(PropertyId::AssignedClientIdentifier, client.clone()), // MQTT-3.1.3-7, U-3.2.2.3.7-2
            None => connack,
        }
    }

    /// Ends a session for good: its subscriptions, its messages. Its Will is published now at the
    /// latest, and what it had of a Shared Subscription goes to the other members. What it has had
    /// retained stays (U-4.1-10).
    pub(super) fn end_session(&mut self, client: &Text) {
        let will = self.take_will(client);
        self.note_not_absent(client);
        let Some(mut session) = self.sessions.remove(client) else { return };
        self.unreleased -= session.inbound.len();
        self.filter_bytes -= session.filter_bytes;
        session.outbound.settle_end(&mut self.held);
        for filter in session.subscriptions.values() {
            self.drop_subscription(client, filter); // U-3.8.4-8
        }
        let mut unreleased: Vec<_> = session.inbound.into_values().collect();
        unreleased.sort_unstable_by_key(|it| it.order); // MQTT-4.6.0-6
        // They are a part of the session (U-4.1-8), but PUBREC has made the broker their owner: U-4.3.3-3
        let handed_on = unreleased.into_iter().filter(|_| !self.config.handling.drops_unreleased);
        for message in handed_on.filter_map(|it| it.message).collect::<Vec<_>>() {
            self.publish_message(message);
        }
        if let Some(due) = session.expires_at {
            self.timers.remove(due, Timer::Session(client.clone()));
        }
        let mut dropped = session.outbound.message_count();
        for (share, message) in session.outbound.into_shared() {
            dropped -= usize::from(self.deliver_shared(&share, message)); // U-4.8.2-9
        }
        self.totals.dropped.session_ended += dropped as u64;
        if let Some(will) = will {
            self.publish_will(client, will); // U-3.1.3.2.2-3
        }
    }

    /// Lets a session without a connection wait for its expiry.
    pub(super) fn park_session(&mut self, client: &Text) {
        let now = self.now;
        let Some(Session { expiry, expires_at, connection, .. }) = self.sessions.get_mut(client)
        else {
            return;
        };
        *connection = None;
        match *expiry {
            0 => self.end_session(client),      // U-3.1.2.11.2-2
            NEVER => self.trigger_will(client), // U-3.1.2.11.2-3
            seconds => {
                let due = now.after(Duration::from_secs(u64::from(seconds)));
                *expires_at = Some(due);
                self.timers.add(due, Timer::Session(client.clone())); // MQTT-3.1.2-23
                self.trigger_will(client);
            }
        }
        self.note_absent(client);
        if self.config.handling.shares_again_at_loss {
            self.share_again(client);
        }
    }

    pub(super) fn session_due(&mut self, client: &Text, due: Moment) {
        if self.sessions.get(client).is_some_and(|session| session.expires_at == Some(due)) {
            self.end_session(client); // MQTT-4.1.0-2
        }
    }
}
