use std::sync::Arc;

use crate::codec::{PropertyId, Publish, QoS};

use super::route::{Message, Share, Subscriber};
use super::{Bounds, Handling, Moment};

/// A message for one client. There may be millions, so what few have is kept apart.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: QoS,
    retain: bool,
    extra: Option<Box<Extra>>,
}

#[derive(Clone, Debug, Default)]
struct Extra {
    identifiers: Vec<u32>,
    /// The Shared Subscription that brought it.
    share: Option<Share>,
}

impl Delivery {
    /// The message as a subscription asks for it.
    pub(super) fn new(message: Arc<Message>, subscriber: Subscriber) -> Delivery {
        let options = subscriber.options;
        Delivery {
            qos: message.qos.min(options.maximum_qos), // MQTT-3.8.4-8
            retain: message.retain && options.retain_as_published, // MQTT-3.3.1-12, MQTT-3.3.1-13
            extra: subscriber.identifier.map(|identifier| {
                Box::new(Extra { identifiers: vec![identifier], share: None }) // MQTT-3.3.4-3
            }),
            message,
        }
    }

    /// The message as a new subscription brings it from the retained ones.
    pub(super) fn retained(message: Arc<Message>, subscriber: Subscriber) -> Delivery {
        Delivery { retain: true, ..Delivery::new(message, subscriber) } // U-3.3.1.3-2
    }

    /// Notes that it comes by a Shared Subscription.
    pub(super) fn shared(mut self, share: Share) -> Delivery {
        self.extra.get_or_insert_default().share = Some(share);
        self
    }

    /// The Shared Subscription that brought it.
    pub(super) fn share(&self) -> Option<&Share> {
        self.extra.as_ref()?.share.as_ref()
    }

    /// The message, and the Shared Subscription that brought it.
    pub(super) fn into_shared(self) -> Option<(Share, Arc<Message>)> {
        Some((self.extra?.share?, self.message))
    }

    fn identifiers(&self) -> &[u32] {
        self.extra.as_ref().map_or(&[], |extra| &extra.identifiers)
    }

    /// Makes one copy of two for the same client.
    pub(super) fn merge(&mut self, other: Delivery, handling: Handling) {
        self.qos = self.qos.max(other.qos); // MQTT-3.3.4-2
        self.retain = match handling.retain_if_all {
            true => self.retain && other.retain,
            false => self.retain || other.retain,
        };
        if let Some(other) = other.extra {
            // MQTT-3.3.4-4, U-3.3.4-3
            self.extra.get_or_insert_default().identifiers.extend(other.identifiers);
        }
    }

    /// What it counts towards the bounds of what is kept.
    pub(super) fn size(&self) -> usize {
        Bounds::DELIVERY + self.message.size() + size_of_val(self.identifiers())
    }

    /// The PUBLISH that brings it.
    pub(super) fn to_publish(&self, now: Moment, packet_id: u16, dup: bool) -> Publish {
        let message = &self.message;
        let mut publish =
            Publish::new(message.topic.as_str(), message.payload.clone()).qos(self.qos, packet_id);
        publish.dup = dup; // MQTT-3.3.1-3
        publish.retain = self.retain;
        publish.properties = message.properties.clone();
        if let Some(seconds) = message.remaining_expiry(now) {
            publish.properties.push(PropertyId::MessageExpiryInterval, seconds); // MQTT-3.3.2-6
        }
        for identifier in self.identifiers() {
            publish.properties.push(PropertyId::SubscriptionIdentifier, *identifier);
        }
        publish
    }
}
