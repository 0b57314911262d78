//! What a session holds for its client, and what of it may be on its way (sections 4.1, 4.4, 4.9).

use std::rc::Rc;

use bytes::Bytes;
use reference_broker::codec::{Packet, Properties, PropertyId, Publish, PublishAck, QoS, Text};
use reference_broker::core::ConnectionId;

/// An application message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Text,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Message Expiry Interval in seconds, from `received`.
    pub(crate) expiry: Option<u32>,
    /// What goes with it unaltered.
    pub(crate) carried: Properties,
    pub(crate) received: u64,
    pub(crate) publisher: String,
}

impl Message {
    /// Section 3.3.2.3.3. A lifetime of 0 is over as soon as the message has to wait.
    pub(crate) fn ends(&self) -> Option<u64> {
        self.expiry.map(|seconds| self.received + (u64::from(seconds) * 1000).max(1))
    }

    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.ends().is_some_and(|end| end <= now)
    }
}

/// A message as one client is to get it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Rc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<u32>,
    /// The Shared Subscription that brings it.
    pub(crate) share: Option<String>,
}

impl Delivery {
    pub(crate) fn packet(&self, now: u64, packet_id: u16, dup: bool) -> Publish {
        let message = &self.message;
        let publish = Publish::new(message.topic.clone(), message.payload.clone());
        let mut publish = publish.qos(self.qos, packet_id);
        (publish.dup, publish.retain) = (dup, self.retain);
        publish.properties = message.carried.clone();
        if let Some(seconds) = message.expiry {
            let waited = u32::try_from((now - message.received) / 1000).unwrap_or(u32::MAX);
            let left = seconds.saturating_sub(waited);
            publish.properties.push(PropertyId::MessageExpiryInterval, left);
        }
        for identifier in &self.identifiers {
            publish.properties.push(PropertyId::SubscriptionIdentifier, *identifier);
        }
        publish
    }
}

/// A message at QoS 1 or 2 that has been sent and not fully acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Tells exchanges apart before their Packet Identifier has been seen.
    pub(crate) serial: u64,
    /// The Packet Identifier that the broker chose.
    pub(crate) id: u16,
    pub(crate) delivery: Delivery,
    /// Whether PUBREC has been received, so that only PUBREL is left to send.
    pub(crate) is_released: bool,
    /// Whether its PUBLISH went over the present connection, so that it takes part of its quota.
    pub(crate) takes_quota: bool,
    /// Whether its PUBLISH is still to be repeated on this connection.
    pub(crate) is_to_repeat: bool,
}

/// What the broker is expected to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Sends this packet.
    Packet(ConnectionId, Packet),
    /// Sends this message for the first time, under a Packet Identifier of its choice.
    First { connection: ConnectionId, client: String, serial: u64, publish: Publish },
    /// Asks who the client is.
    Question(ConnectionId),
    /// Refuses the connection, with a CONNACK or DISCONNECT that says why or without, and closes it.
    Refusal(ConnectionId),
    /// Closes the connection.
    Close(ConnectionId),
}

impl Expected {
    pub(crate) fn connection(&self) -> ConnectionId {
        match self {
            Expected::Packet(id, _)
            | Expected::Question(id)
            | Expected::Refusal(id)
            | Expected::Close(id) => *id,
            Expected::First { connection, .. } => *connection,
        }
    }
}

/// Messages for one client: those that wait, those that were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbound {
    pub(crate) waiting: Vec<Delivery>,
    /// In the order of their first sending.
    pub(crate) sent: Vec<Exchange>,
}

/// The connection that messages are sent over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) id: ConnectionId,
    pub(crate) window: usize,
    pub(crate) packet_size: usize,
}

impl Channel {
    pub(crate) fn takes(&self, packet: impl Into<Packet>) -> bool {
        packet.into().encoded_len().is_ok_and(|size| size <= self.packet_size)
    }
}

impl Outbound {
    /// A new connection: nothing counts yet, and all is to be repeated (section 4.4). Gives the PUBREL
    /// packets, which need no quota.
    pub(crate) fn begin_again(&mut self) -> Vec<Packet> {
        for exchange in &mut self.sent {
            exchange.takes_quota = false;
            exchange.is_to_repeat = !exchange.is_released;
        }
        let released = self.sent.iter().filter(|exchange| exchange.is_released);
        released.map(|exchange| Packet::PubRel(PublishAck::new(exchange.id))).collect()
    }

    /// What goes out now: repetitions first, then what waits, as long as the quota lasts (section 4.9).
    /// What has expired, or is too large for the client, is as good as sent.
    pub(crate) fn send(
        &mut self,
        now: u64,
        client: &str,
        channel: Channel,
        serial: &mut u64,
    ) -> Vec<Expected> {
        let mut expected = Vec::new();
        while self.sent.iter().filter(|exchange| exchange.takes_quota).count() < channel.window {
            if let Some(place) = self.sent.iter().position(|exchange| exchange.is_to_repeat) {
                let exchange = &mut self.sent[place];
                exchange.is_to_repeat = false;
                let publish = exchange.delivery.packet(now, exchange.id, true);
                if channel.takes(publish.clone()) {
                    exchange.takes_quota = true;
                    expected.push(Expected::Packet(channel.id, publish.into()));
                } else {
                    self.sent.remove(place);
                }
                continue;
            }
            if self.waiting.is_empty() {
                break;
            }
            let delivery = self.waiting.remove(0);
            let publish = delivery.packet(now, 1, false);
            if delivery.message.is_over(now) || !channel.takes(publish.clone()) {
                continue;
            }
            *serial += 1;
            self.sent.push(Exchange {
                serial: *serial,
                id: 0,
                delivery,
                is_released: false,
                takes_quota: true,
                is_to_repeat: false,
            });
            let (connection, client) = (channel.id, client.to_string());
            expected.push(Expected::First { connection, client, serial: *serial, publish });
        }
        expected
    }

    /// Holds what waits to the broker's bound: what is over goes first, then the newest.
    /// Gives how many are dropped for want of room.
    pub(crate) fn trim(&mut self, now: u64, limit: usize) -> usize {
        if self.waiting.len() > limit {
            self.waiting.retain(|delivery| !delivery.message.is_over(now));
        }
        let dropped = self.waiting.len().saturating_sub(limit);
        self.waiting.truncate(limit);
        dropped
    }

    pub(crate) fn find(&mut self, id: u16) -> Option<&mut Exchange> {
        self.sent.iter_mut().find(|exchange| exchange.id == id)
    }

    pub(crate) fn finish(&mut self, id: u16) {
        self.sent.retain(|exchange| exchange.id != id);
    }
}
