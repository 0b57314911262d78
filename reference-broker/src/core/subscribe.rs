//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).

use crate::codec::{
    Packet, PropertyId, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeAck, Subscription,
    Text, Unsubscribe,
};
use crate::topic::SubscriptionFilter;

use super::route::Subscriber;
use super::{Broker, ConnectionId};

impl Broker {
    pub(super) fn subscribe(&mut self, id: ConnectionId, client: &Text, subscribe: &Subscribe) {
        if !self.can_answer(id, subscribe.subscriptions.len()) {
            return self.refuse(id, ReasonCode::PacketTooLarge, "SUBACK too large for the client");
        }
        let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut retained = Vec::new();
        for Subscription { filter, options } in &subscribe.subscriptions {
            let Ok(filter) = SubscriptionFilter::parse(filter) else {
                reasons.push(ReasonCode::TopicFilterInvalid); // MQTT-4.7.1-1, MQTT-4.7.1-2
                continue;
            };
            let subscriber = Subscriber { options: *options, identifier }; // U-3.8.2.1.2-4
            let is_new = self.add_subscription(client, &filter, subscriber);
            let wants_retained = match options.retain_handling {
                RetainHandling::Send => true,        // MQTT-3.3.1-9
                RetainHandling::SendIfNew => is_new, // MQTT-3.3.1-10
                RetainHandling::DoNotSend => false,  // MQTT-3.3.1-11
            };
            if wants_retained && !filter.is_shared() {
                retained.push((filter, subscriber)); // U-3.8.4-3
            }
            reasons.push(match options.maximum_qos {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
        }
        let suback = SubscribeAck::new(subscribe.packet_id, reasons); // MQTT-3.8.4-6, MQTT-3.9.3-1
        self.send(id, Packet::SubAck(suback)); // MQTT-3.8.4-1
        for (filter, subscriber) in retained {
            self.deliver_retained(client, &filter, subscriber);
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: ConnectionId,
        client: &Text,
        unsubscribe: &Unsubscribe,
    ) {
        if !self.can_answer(id, unsubscribe.filters.len()) {
            return self.refuse(
                id,
                ReasonCode::PacketTooLarge,
                "UNSUBACK too large for the client",
            );
        }
        let reasons = unsubscribe.filters.iter().map(|filter| {
            let session = self.sessions.get_mut(client);
            match session.and_then(|session| session.subscriptions.remove(filter)) {
                Some(filter) => {
                    self.drop_subscription(client, &filter); // MQTT-3.10.4-1
                    ReasonCode::Success
                }
                None => ReasonCode::NoSubscriptionExisted, // U-3.11.3-2
            }
        });
        let unsuback = SubscribeAck::new(unsubscribe.packet_id, reasons.collect()); // MQTT-3.10.4-6
        self.send(id, Packet::UnsubAck(unsuback)); // MQTT-3.10.4-4
    }

    /// Whether the client can take an answer with so many codes. If it cannot, its request is better
    /// not carried out at all.
    fn can_answer(&self, id: ConnectionId, filters: usize) -> bool {
        let reasons = vec![ReasonCode::Success; filters];
        self.can_send(id, &Packet::SubAck(SubscribeAck::new(u16::MAX, reasons))) // MQTT-3.1.2-24
    }

    /// Adds a subscription, or puts it in place of the one with the same filter. Says whether it
    /// is new.
    fn add_subscription(
        &mut self,
        client: &Text,
        filter: &SubscriptionFilter,
        subscriber: Subscriber,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(client) else { return false };
        let text = Text::from(filter.as_str());
        let is_new = session.subscriptions.insert(text, filter.clone()).is_none();
        match filter.is_shared() {
            true => self.groups.join(filter, client.clone(), subscriber), // U-4.8.2-10
            false => {
                self.subscriptions.insert(filter.filter(), client.clone(), subscriber); // MQTT-3.8.4-3
            }
        }
        is_new
    }

    /// Takes a subscription out of the trees.
    pub(super) fn drop_subscription(&mut self, client: &Text, filter: &SubscriptionFilter) {
        match filter.is_shared() {
            true => self.groups.leave(filter, client), // U-4.8.2-5
            false => {
                self.subscriptions.remove(filter.filter(), client); // MQTT-3.10.4-2
            }
        }
    }
}
