use std::time::Duration;

use crate::codec::{ConnAck, Connect, Disconnect, Packet, PropertyId, ReasonCode, Text};
use crate::topic::TopicName;

use super::connection::State;
use super::session::{NEVER, Session};
use super::will::StoredWill;
use super::{Broker, ConnectionId, Timer};

impl Broker {
    /// Accepts a CONNECT, or refuses it (section 3.1.4).
    pub(super) fn connect(&mut self, id: ConnectionId, mut connect: Connect) {
        if let Some(connection) = self.connections.get_mut(&id) {
            // A refusal keeps it, too.
            connection.packet_limit = connect.properties.number(PropertyId::MaximumPacketSize); // MQTT-3.2.2-19
        }
        let will = match self.check_connect(&mut connect) {
            Ok(will) => will,
            Err((reason, why)) => return self.refuse_connect(id, reason, why),
        };
        let assigned = connect.client_id.is_empty();
        let client = match assigned {
            true => self.assign_id(), // MQTT-3.1.3-6
            false => connect.client_id.clone(),
        };
        self.take_over(&client, connect.clean_start);
        let session_present = self.open_session(id, &client, &connect, will);
        self.send_connack(id, session_present, assigned.then_some(&client));
        if session_present {
            self.resume_outbound(&client);
        }
    }

    /// Checks beyond what the packet's bytes show; gives the Will as it is to be kept.
    fn check_connect(
        &self,
        connect: &mut Connect,
    ) -> Result<Option<StoredWill>, (ReasonCode, &'static str)> {
        if connect.properties.contains(PropertyId::AuthenticationMethod) {
            let reason = ReasonCode::BadAuthenticationMethod;
            return Err((reason, "no authentication method is supported")); // MQTT-4.12.0-1
        }
        let Some(will) = connect.will.take() else { return Ok(None) };
        let refused = (ReasonCode::TopicNameInvalid, "will topic not accepted"); // U-3.2.2.2-13
        match TopicName::parse(&will.topic) {
            Ok(topic) if !topic.starts_with_dollar() => Ok(Some(StoredWill::new(topic, will))),
            _ => Err(refused),
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

    /// Ends the connection that this client already has, and its session if so asked.
    fn take_over(&mut self, client: &Text, clean_start: bool) {
        let Some(session) = self.sessions.get(client) else { return };
        let resumes = !clean_start && session.expiry > 0;
        if resumes && session.will.as_ref().is_some_and(|will| will.delay() > 0) {
            self.take_will(client); // MQTT-3.1.3-9
        }
        if let Some(old) = self.sessions.get(client).and_then(|session| session.connection) {
            let reason = ReasonCode::SessionTakenOver;
            self.send(old, Disconnect::because(reason).into()); // MQTT-3.1.4-3
            self.close(old);
        }
        if clean_start {
            self.end_session(client); // MQTT-3.1.2-4
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
        let expiry = number(PropertyId::SessionExpiryInterval).unwrap_or(0); // U-3.1.2.11.2-2
        let found = self.sessions.contains_key(client); // MQTT-3.1.2-5, MQTT-3.1.2-6
        self.take_will(client); // MQTT-3.1.3-9
        let session = self.sessions.entry(client.clone()).or_default();
        session.connection = Some(id);
        session.expiry = expiry;
        if let Some(due) = session.expires_at.take() {
            self.timers.remove(due, Timer::Session(client.clone())); // MQTT-4.1.0-1
        }
        session.will = will; // MQTT-3.1.2-7, MQTT-3.1.2-10

        if let Some(connection) = self.connections.get_mut(&id) {
            let window = number(PropertyId::ReceiveMaximum).unwrap_or(u32::from(u16::MAX));
            let window = u16::try_from(window).unwrap_or(u16::MAX); // U-3.1.2.11.3-4
            connection.state = State::Connected(client.clone());
            connection.keep_alive = connect.keep_alive;
            connection.requested_expiry = expiry;
            connection.quota = window.min(self.config.send_window); // MQTT-4.9.0-1
            let deadline = connection.keep_alive_deadline();
            self.set_timer(id, deadline.map(|deadline| (deadline, Timer::KeepAlive(id)))); // U-3.1.4-6
        }
        found
    }

    fn send_connack(&mut self, id: ConnectionId, session_present: bool, assigned: Option<&Text>) {
        let mut connack = ConnAck::new(session_present, ReasonCode::Success) // MQTT-3.1.4-5
            .with(PropertyId::ReceiveMaximum, u32::from(self.config.receive_maximum))
            .with(PropertyId::MaximumPacketSize, self.config.maximum_packet_size)
            .with(PropertyId::TopicAliasMaximum, u32::from(self.config.topic_alias_maximum));
        if let Some(client) = assigned {
            connack = connack.with(PropertyId::AssignedClientIdentifier, client.clone()); // MQTT-3.1.3-7
        }
        self.send(id, Packet::ConnAck(connack)); // MQTT-3.2.0-1
    }

    /// Ends a session for good: its subscriptions, its messages, its Will if that still waits.
    pub(super) fn end_session(&mut self, client: &Text) {
        self.publish_will(client); // U-3.1.3.2.2-3
        let Some(session) = self.sessions.remove(client) else { return };
        for filter in session.subscriptions.values() {
            self.drop_subscription(client, filter); // U-3.8.4-8
        }
        if let Some(due) = session.expires_at {
            self.timers.remove(due, Timer::Session(client.clone()));
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
    }

    pub(super) fn session_due(&mut self, client: &Text, due: super::Moment) {
        if self.sessions.get(client).is_some_and(|session| session.expires_at == Some(due)) {
            self.end_session(client); // MQTT-4.1.0-2
        }
    }
}
