//! Retained messages (section 3.3.1.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{QoS, Text};
use crate::topic::{SubscriptionFilter, TopicName};

use super::delivery::Delivery;
use super::route::{Message, Subscriber};
use super::{Broker, Moment, Timer};

impl Broker {
    /// Puts the message in the place of the one that its topic has, or clears that.
    pub(super) fn retain(&mut self, message: &Arc<Message>) {
        let topic = &message.topic;
        let is_kept = message.qos > QoS::AtMostOnce || self.config.handling.retains_qos0;
        let is_kept = is_kept && !message.payload.is_empty() && !message.is_expired(self.now);
        let has_room = self.has_room_to_retain(message);
        self.totals.dropped.not_retained += u64::from(is_kept && !has_room);
        let is_kept = is_kept && has_room; // U-3.3.1.3-3
        let replaced = match is_kept {
            true => self.retained.insert(message), // MQTT-3.3.1-5
            false => self.retained.remove(topic),  // MQTT-3.3.1-6, MQTT-3.3.1-7
        };
        if let Some(due) = replaced.and_then(|replaced| replaced.expires_at()) {
            self.timers.remove(due, Timer::Retained(topic.clone()));
        }
        if let (true, Some(due)) = (is_kept, message.expires_at()) {
            self.timers.add(due, Timer::Retained(topic.clone()));
        }
    }

    pub(super) fn retained_due(&mut self, topic: &TopicName, due: Moment) {
        let retained = self.retained.messages().get(topic);
        if retained.is_some_and(|message| message.expires_at() == Some(due)) {
            self.retained.remove(topic); // U-3.3.1.3-4
        }
    }

    /// Whether the message can be in the place of the one that its topic has, or does not need one.
    pub(super) fn has_room_to_retain(&self, message: &Message) -> bool {
        message.payload.is_empty() || self.retained.has_room(message, &self.config.bounds)
    }

    /// Sends what new subscriptions of one SUBSCRIBE are to bring.
    pub(super) fn deliver_retained(
        &mut self,
        client: &Text,
        subscriptions: &[(SubscriptionFilter, Subscriber)],
    ) {
        let handling = self.config.handling;
        let mut deliveries: Vec<Delivery> = Vec::new();
        // Where the copy of a message is that further filters go into.
        let mut merged: BTreeMap<*const Message, usize> = BTreeMap::new();
        let limit = self.config.bounds.retained_per_subscribe;
        let mut steps = self.config.bounds.retained_search_per_subscribe;
        let mut found = 0;
        for (filter, subscriber) in subscriptions {
            for message in self.retained_for(client, filter, *subscriber, &mut steps) {
                found += 1;
                if found > limit {
                    self.totals.dropped.retained_per_subscribe += 1;
                    continue;
                }
                let key = Arc::as_ptr(&message);
                let delivery = Delivery::retained(message, *subscriber); // MQTT-3.3.1-9
                match merged.get(&key).and_then(|place| deliveries.get_mut(*place)) {
                    Some(first) => first.merge(delivery, handling),
                    None => {
                        if handling.retained_once_for_subscribe {
                            merged.insert(key, deliveries.len());
                        }
                        deliveries.push(delivery);
                    }
                }
            }
        }
        self.totals.retained_searches_cut_short += u64::from(steps == 0);
        let taken = self.config.bounds.retained_search_per_subscribe - steps;
        self.effort += (taken / 10 + deliveries.len()) as u64;
        for delivery in deliveries {
            self.deliver(client, delivery);
        }
    }

    /// The retained messages that a new subscription is to bring.
    fn retained_for(
        &self,
        client: &Text,
        filter: &SubscriptionFilter,
        subscriber: Subscriber,
        steps: &mut usize,
    ) -> Vec<Arc<Message>> {
        let despite = self.config.handling.retained_despite_no_local;
        let is_muted = subscriber.options.no_local && !despite;
        let found = self.retained.messages().matching_within(filter.filter(), steps);
        let messages = found.into_iter().map(|(_, message)| message);
        messages
            .filter(|message| !(is_muted && message.publisher == *client)) // MQTT-3.8.3-3
            .filter(|message| !message.is_expired(self.now)) // U-3.3.1.3-4
            .map(Arc::clone)
            .collect()
    }
}
