use std::sync::Arc;
use std::time::Duration;

use crate::codec::{PropertyId, Text, Will};
use crate::topic::TopicName;

use super::route::Message;
use super::{Broker, Moment, Timer};

/// A Will as the session keeps it until it is published or deleted (section 3.1.2.5).
#[derive(Debug)]
pub(super) struct StoredWill {
    message: Message,
    /// Will Delay Interval, in seconds.
    delay: u32,
    /// When it is published, once its connection is gone.
    due: Option<Moment>,
}

impl StoredWill {
    pub(super) fn new(topic: TopicName, will: &Will) -> StoredWill {
        let delay = will.properties.number(PropertyId::WillDelayInterval).unwrap_or(0); // U-3.1.3.2.2-2
        // MQTT-3.1.2-14, MQTT-3.1.2-15, MQTT-3.1.3-10, U-3.1.3.2.7-2, U-3.1.3.4-1
        let message = Message::new(topic, will.qos, will.retain, &will.payload, &will.properties);
        StoredWill { message, delay, due: None }
    }

    /// Its message.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// What it counts towards the bounds of what is kept.
    pub(super) fn size(&self) -> usize {
        self.message.size()
    }

    /// When it is published, if its connection is gone.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Whether its publication waits when the connection has ended.
    pub(super) fn is_delayed(&self) -> bool {
        self.delay > 0
    }
}

impl Broker {
    /// Publishes the Will of a session whose connection has ended, now or after its delay.
    pub(super) fn trigger_will(&mut self, client: &Text) {
        let now = self.now;
        let will = self.sessions.get_mut(client).and_then(|session| session.will.as_mut());
        let Some(will) = will else { return };
        match will.delay {
            0 => self.take_and_publish_will(client), // U-3.1.3.2.2-2
            seconds => {
                let due = now.after(Duration::from_secs(u64::from(seconds)));
                will.due = Some(due);
                self.timers.add(due, Timer::Will(client.clone())); // MQTT-3.1.2-8
            }
        }
    }

    pub(super) fn will_due(&mut self, client: &Text, due: Moment) {
        let will = self.sessions.get(client).and_then(|session| session.will.as_ref());
        if will.is_some_and(|will| will.due == Some(due)) {
            self.take_and_publish_will(client);
        }
    }

    fn take_and_publish_will(&mut self, client: &Text) {
        if let Some(will) = self.take_will(client) {
            self.publish_will(client, will); // MQTT-3.1.2-10
        }
    }

    /// Publishes a Will that its session no longer has.
    pub(super) fn publish_will(&mut self, client: &Text, will: StoredWill) {
        let message = will.message.from(client.clone(), self.now); // U-3.1.3.2.4-2
        self.publish_message(Arc::new(message));
    }

    /// Takes the Will out of a session, and stops its timer.
    pub(super) fn take_will(&mut self, client: &Text) -> Option<StoredWill> {
        let will = self.sessions.get_mut(client)?.will.take()?;
        self.will_bytes -= will.size();
        if let Some(due) = will.due {
            self.timers.remove(due, Timer::Will(client.clone()));
        }
        Some(will)
    }
}
