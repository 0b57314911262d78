//! Retained messages (section 3.3.1.3).

use std::sync::Arc;

use crate::codec::{QoS, Text};
use crate::topic::{SubscriptionFilter, TopicName};

use super::outbound::Delivery;
use super::route::{Message, Subscriber};
use super::{Broker, Moment, Timer};

impl Broker {
    /// Puts the message in the place of the one that its topic has, or clears that.
    pub(super) fn retain(&mut self, message: &Arc<Message>) {
        let topic = &message.topic;
        let is_kept = message.qos > QoS::AtMostOnce || self.config.handling.retains_qos0;
        let is_kept = is_kept && !message.payload.is_empty() && !message.is_expired(self.now);
        let replaced = match is_kept {
            true => self.retained.insert(topic, Arc::clone(message)), // MQTT-3.3.1-5
            false => self.retained.remove(topic),                     // MQTT-3.3.1-6, MQTT-3.3.1-7
        };
        if let Some(due) = replaced.and_then(|replaced| replaced.expires_at()) {
            self.timers.remove(due, Timer::Retained(topic.clone()));
        }
        if let (true, Some(due)) = (is_kept, message.expires_at()) {
            self.timers.add(due, Timer::Retained(topic.clone()));
        }
    }

    pub(super) fn retained_due(&mut self, topic: &TopicName, due: Moment) {
        if self.retained.get(topic).is_some_and(|message| message.expires_at() == Some(due)) {
            self.retained.remove(topic); // U-3.3.1.3-4
        }
    }

    /// Sends what a new subscription is to bring.
    pub(super) fn deliver_retained(
        &mut self,
        client: &Text,
        filter: &SubscriptionFilter,
        subscriber: Subscriber,
    ) {
        let (now, despite) = (self.now, self.config.handling.retained_despite_no_local);
        let is_muted = subscriber.options.no_local && !despite;
        let messages: Vec<_> = self
            .retained
            .matching(filter.filter())
            .map(|(_, message)| message)
            .filter(|message| !(is_muted && message.publisher == *client)) // MQTT-3.8.3-3
            .filter(|message| !message.is_expired(now)) // U-3.3.1.3-4
            .map(Arc::clone)
            .collect();
        for message in messages {
            self.deliver(client, Delivery::retained(message, subscriber)); // MQTT-3.3.1-9
        }
    }
}
