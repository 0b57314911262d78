//! Whether the broker has room for a client, or sends it elsewhere (section 4.11).

use crate::codec::{ConnAck, Connect, Disconnect, Packet, PropertyId, ReasonCode, Text};

use super::connection::State;
use super::session::Session;
use super::will::StoredWill;
use super::{Broker, ConnectionId, Redirection};

impl Broker {
    /// Takes note of what a client can be sent, which holds for a refusal too.
    pub(super) fn note_limits(&mut self, id: ConnectionId, connect: &Connect) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let number = |id| connect.properties.number(id);
        if let Some(limit) = number(PropertyId::MaximumPacketSize) {
            connection.packet_limit = limit; // MQTT-3.1.2-24
        }
        let wants_problems = number(PropertyId::RequestProblemInformation) != Some(0);
        connection.wants_problems = wants_problems; // MQTT-3.1.2-29
        let maximum =
            number(PropertyId::TopicAliasMaximum).and_then(|most| u16::try_from(most).ok());
        let maximum = maximum.unwrap_or(0).min(self.config.outbound_alias_maximum);
        connection.outbound_aliases.maximum = maximum; // MQTT-3.1.2-26, MQTT-3.1.2-27
    }

    /// Whether a new network connection has to be closed at once.
    pub(super) fn is_full_of_strangers(&self) -> bool {
        let unaccepted = self.connections.len() - self.connected;
        self.is_stopped || unaccepted >= self.config.bounds.unaccepted_connections
    }

    /// Checks whether the client may come under the name it has given.
    pub(super) fn check_client_id(&self, client: &Text) -> Result<(), (ReasonCode, &'static str)> {
        let reason = ReasonCode::ClientIdentifierNotValid;
        if client.is_empty() && !self.config.assigns_client_ids {
            return Err((reason, "no client identifier is assigned")); // MQTT-3.1.3-8
        }
        match client.len() > self.config.bounds.client_id_bytes {
            true => Err((reason, "client identifier too long")), // MQTT-3.1.3-8
            false => Ok(()),
        }
    }

    /// Checks whether there is room for the client, or can be made.
    pub(super) fn check_room(&mut self, client: &Text) -> Result<(), (ReasonCode, &'static str)> {
        let is_full = |this: &Broker| this.sessions.len() >= this.config.bounds.sessions;
        if !self.sessions.contains_key(client) && is_full(self) {
            self.make_room_for_session();
            if is_full(self) {
                return Err((ReasonCode::QuotaExceeded, "too many sessions"));
            }
        }
        let (bounds, session) = (&self.config.bounds, self.sessions.get(client));
        let takes_over = session.is_some_and(Session::is_connected);
        match self.connected - usize::from(takes_over) >= bounds.connections {
            true => Err((ReasonCode::ServerBusy, "too many clients")),
            false => Ok(()),
        }
    }

    /// Checks whether there is room for the client's Will, in the place of the one that it has.
    pub(super) fn check_will_room(
        &self,
        client: &Text,
        will: &Option<StoredWill>,
    ) -> Result<(), (ReasonCode, &'static str)> {
        let Some(will) = will else { return Ok(()) };
        let session = self.sessions.get(client);
        let replaced =
            session.and_then(|session| session.will.as_ref()).map_or(0, StoredWill::size);
        match self.will_bytes - replaced + will.size() > self.config.bounds.all_will_bytes {
            true => Err((ReasonCode::QuotaExceeded, "too many wills")),
            false => Ok(()),
        }
    }

    /// Adds Response Information, if the client asks for it and can take it.
    pub(super) fn add_response_information(
        &self,
        id: ConnectionId,
        connect: &Connect,
        client: &Text,
        connack: ConnAck,
    ) -> ConnAck {
        let asks = connect.properties.number(PropertyId::RequestResponseInformation) == Some(1);
        let Some(information) = self.config.response_information.as_ref().filter(|_| asks) else {
            return connack; // MQTT-3.1.2-28
        };
        let Some(text) = information.text_for(client) else { return connack };
        let informed = connack.clone().with(PropertyId::ResponseInformation, text); // U-3.1.2.11.6-3
        match self.can_send(id, &informed.clone().into()) {
            true => informed,
            false => connack, // MQTT-3.1.2-24
        }
    }

    /// Sends all clients elsewhere, and those who come later too; or takes them again.
    pub(super) fn redirect(&mut self, redirection: Option<Redirection>) {
        let clients: Vec<_> = match &redirection {
            Some(_) => self.connections.iter().filter_map(connected).collect(),
            None => Vec::new(),
        };
        self.redirection = redirection.clone();
        for (id, redirection) in clients.into_iter().zip(std::iter::repeat(redirection).flatten()) {
            let mut disconnect = Disconnect::because(redirection.reason());
            let reference = redirection.reference.into_iter();
            reference.for_each(|it| disconnect.properties.push(PropertyId::ServerReference, it)); // U-3.14.2.2.5-2
            self.send(id, Packet::Disconnect(disconnect)); // U-4.11-1
            self.close(id); // MQTT-4.13.2-1
        }
    }

    /// Sends a client elsewhere that has come with a CONNECT.
    pub(super) fn refuse_elsewhere(&mut self, id: ConnectionId, redirection: Redirection) {
        let mut connack = ConnAck::new(false, redirection.reason()); // MQTT-3.2.2-6
        let reference = redirection.reference.into_iter();
        reference.for_each(|it| connack.properties.push(PropertyId::ServerReference, it)); // U-3.2.2.3.16-2
        self.send(id, Packet::ConnAck(connack)); // U-4.11-1
        self.close(id); // MQTT-3.2.2-7
    }
}

fn connected(entry: (&ConnectionId, &super::Connection)) -> Option<ConnectionId> {
    let (id, connection) = entry;
    matches!(connection.state, State::Connected(_)).then_some(*id)
}
