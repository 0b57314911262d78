//! Clients that nobody sees, and answers that no client gave.

use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, Packet, PropertyId, Publish, Text, Will};
use reference_broker::core::{ConnectionId, Input};

use super::{Act, At, Boundary, Rule, through};

/// The Packet Identifier of requests that rules forge: no client can use it.
pub const FORGED: u16 = 0;

/// The connection of a client that nobody sees: what it is sent goes nowhere.
const HIDDEN: ConnectionId = ConnectionId(u64::MAX);

/// A topic that nobody subscribes to.
pub const NOWHERE: &str = "nowhere";

impl<'a> At<'a> {
    /// Another accepted connection of this client.
    pub fn other_of(&self, client: &str) -> Option<ConnectionId> {
        let is_other = |(connection, other): &(ConnectionId, &super::Client)| {
            *connection != self.connection && other.accepted && *other.id == *client
        };
        self.clients.iter().find(is_other).map(|(connection, _)| connection)
    }
}

impl Boundary<'_> {
    /// A client that nobody sees connects, sends this, and is lost unless it has disconnected.
    pub fn visit(&mut self, packets: impl IntoIterator<Item = Packet>) {
        self.visit_after(Duration::ZERO, packets);
    }

    /// As [`Boundary::visit`], after a time.
    pub fn visit_after(&mut self, delay: Duration, packets: impl IntoIterator<Item = Packet>) {
        self.pass_after(delay, Input::Opened(HIDDEN));
        for packet in packets {
            self.pass_after(delay, Input::Received(HIDDEN, packet));
        }
        self.pass_after(delay, Input::Closed(HIDDEN));
    }

    /// A client that nobody sees publishes a message.
    pub fn publish_after(&mut self, delay: Duration, publish: Publish) {
        let publish = Publish { packet_id: 1, ..publish };
        self.visit_after(delay, [Connect::new("hidden").into(), publish.into()]);
    }

    /// The core forgets the session of a client; a connection of it is closed.
    pub fn forget_session(&mut self, client: &Text) {
        let connect = Connect::new(client.clone());
        self.visit([connect.into(), Disconnect::default().into()]);
    }
}

impl Act<'_, '_> {
    /// The broker receives a packet, and with it others: after it, except that nothing is received
    /// after a DISCONNECT.
    pub fn receive_with<P: Into<Packet>>(
        &mut self,
        packet: Packet,
        others: impl IntoIterator<Item = P>,
    ) {
        let mut packets: Vec<Packet> = others.into_iter().map(Into::into).collect();
        let place = if matches!(packet, Packet::Disconnect(_)) { packets.len() } else { 0 };
        packets.insert(place, packet);
        packets.into_iter().for_each(|packet| self.receive(packet));
    }
}

/// Whether a packet answers a [`FORGED`] request.
pub fn answers_forged(packet: &Packet) -> bool {
    match packet {
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.packet_id == FORGED,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => ack.packet_id == FORGED,
        _ => false,
    }
}

/// Goes through packets from clients in steps of its own; what it does not [`Act::receive`] is
/// lost. No client sees what answers [`FORGED`] requests.
pub fn forges(
    mut rule: impl FnMut(Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    through(
        (),
        move |(), packet, at, act| rule(packet, at, act),
        |(), packet, _, act| {
            if !answers_forged(&packet) {
                act.send(packet);
            }
        },
    )
}

/// A Will as the message that is published.
pub fn published(will: &Will) -> Publish {
    let mut properties = will.properties.clone();
    properties.retain(|property| property.id != PropertyId::WillDelayInterval);
    let publish = Publish::new(will.topic.clone(), will.payload.clone()).qos(will.qos, 1);
    Publish { properties, retain: will.retain, ..publish }
}

/// The Will Delay Interval of a CONNECT with a Will.
pub fn will_delay(connect: &Connect) -> Option<u32> {
    let will = connect.will.as_ref()?;
    Some(will.properties.number(PropertyId::WillDelayInterval).unwrap_or(0))
}

/// The Session Expiry Interval of a CONNECT.
pub fn session_expiry(connect: &Connect) -> u32 {
    connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0)
}
