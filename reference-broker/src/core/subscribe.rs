//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).

use crate::codec::{
    Packet, PropertyId, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeAck, Subscription,
    SubscriptionOptions, Text, Unsubscribe,
};
use crate::topic::SubscriptionFilter;

use super::route::Subscriber;
use super::{Bounds, Broker, ConnectionId};

impl Broker {
    pub(super) fn subscribe(&mut self, id: ConnectionId, client: &Text, subscribe: &Subscribe) {
        if !self.can_answer(id, subscribe.subscriptions.len()) {
            return self.refuse(id, ReasonCode::PacketTooLarge, "SUBACK too large for the client");
        }
        let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
        if let Some(reason) = self.first_unavailable(subscribe, identifier) {
            let why = "subscription of a kind that is not available";
            return self.refuse(id, reason, why);
        }
        self.effort += subscribe.subscriptions.len() as u64;
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len()); // MQTT-3.8.4-5
        let mut retained = Vec::new();
        for (place, Subscription { filter, options }) in subscribe.subscriptions.iter().enumerate()
        {
            let filter = match self.acceptable(client, place, filter, identifier) {
                Ok(filter) => filter,
                Err(reason) => {
                    reasons.push(reason);
                    continue;
                }
            };
            let granted = options.maximum_qos.min(self.config.granted_qos); // U-3.8.4-5, MQTT-3.2.2-10
            let options = SubscriptionOptions { maximum_qos: granted, ..*options };
            let subscriber = Subscriber { options, identifier }; // U-3.8.2.1.2-4, U-3.8.2.1.2-5
            let is_new = self.add_subscription(client, &filter, subscriber);
            let wants_retained = match options.retain_handling {
                RetainHandling::Send => true,        // MQTT-3.3.1-9, MQTT-3.8.4-4
                RetainHandling::SendIfNew => is_new, // MQTT-3.3.1-10, U-3.8.4-2
                RetainHandling::DoNotSend => false,  // MQTT-3.3.1-11
            };
            if wants_retained && !filter.is_shared() {
                retained.push((filter, subscriber)); // U-3.8.4-3
            }
            // MQTT-3.8.4-7, U-3.9.3-1, U-3.9.3-2
            reasons.push(match granted {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
        }
        let is_bounded = reasons.contains(&ReasonCode::QuotaExceeded);
        let mut suback = SubscribeAck::new(subscribe.packet_id, reasons); // MQTT-2.2.1-6, MQTT-3.8.4-2, MQTT-3.8.4-6, MQTT-3.9.3-1
        if is_bounded {
            self.explain(&mut suback.properties, "too many filters or subscriptions");
        }
        self.send(id, Packet::SubAck(suback)); // MQTT-3.8.4-1
        self.deliver_retained(client, &retained);
    }

    /// The filter at this place of a SUBSCRIBE, or why the client cannot have it.
    fn acceptable(
        &self,
        client: &Text,
        place: usize,
        filter: &Text,
        identifier: Option<u32>,
    ) -> Result<SubscriptionFilter, ReasonCode> {
        if place >= self.config.bounds.filters {
            return Err(ReasonCode::QuotaExceeded); // U-3.9.3-8
        }
        let filter =
            SubscriptionFilter::parse(filter).map_err(|_| ReasonCode::TopicFilterInvalid)?; // MQTT-4.7.1-1, MQTT-4.7.1-2
        if filter.filter().levels().count() > self.config.bounds.topic_levels {
            return Err(ReasonCode::TopicFilterInvalid); // U-3.9.3-6
        }
        if let Some(reason) = self.unavailable(&filter, identifier) {
            return Err(reason); // U-3.9.3-9
        }
        if !self.may_subscribe(client, &filter) {
            return Err(ReasonCode::NotAuthorized); // U-3.9.3-5
        }
        match self.has_room_to_subscribe(client, &filter) {
            true => Ok(filter),
            false => Err(ReasonCode::QuotaExceeded), // U-3.9.3-8
        }
    }

    /// Whether there is room for a subscription, or one in whose place it comes.
    fn has_room_to_subscribe(&self, client: &Text, filter: &SubscriptionFilter) -> bool {
        let bounds = &self.config.bounds;
        let Some(session) = self.sessions.get(client) else { return false };
        let all = self.subscriptions.len() + self.groups.len().1;
        let (own, size) = (session.subscriptions.len(), Bounds::size_of(filter));
        let has_room = own < bounds.subscriptions_per_session
            && Bounds::allow(own, all, 1, bounds.subscriptions)
            && session.filter_bytes + size <= bounds.filter_bytes_per_session
            && Bounds::allow(session.filter_bytes, self.filter_bytes, size, bounds.filter_bytes);
        has_room || session.subscriptions.contains_key(&Text::from(filter.as_str()))
    }

    /// Why the first of the filters that the broker cannot have ends the connection, if it does not
    /// rather say so in SUBACK.
    fn first_unavailable(
        &self,
        subscribe: &Subscribe,
        identifier: Option<u32>,
    ) -> Option<ReasonCode> {
        if self.config.features.refused_in_suback {
            return None;
        }
        let filters = subscribe.subscriptions.iter();
        let mut filters = filters.filter_map(|it| SubscriptionFilter::parse(&it.filter).ok());
        filters.find_map(|filter| self.unavailable(&filter, identifier))
    }

    /// What a subscription asks for that the broker does not have.
    fn unavailable(
        &self,
        filter: &SubscriptionFilter,
        identifier: Option<u32>,
    ) -> Option<ReasonCode> {
        let has = self.config.features;
        let (has_wildcard, is_shared) = (filter.filter().has_wildcard(), filter.is_shared());
        if has_wildcard && !has.wildcards {
            Some(ReasonCode::WildcardSubscriptionsNotSupported) // U-3.2.2.3.11-2
        } else if identifier.is_some() && !has.subscription_identifiers {
            Some(ReasonCode::SubscriptionIdentifiersNotSupported) // U-3.2.2.3.12-2
        } else if is_shared && !has.shared_subscriptions {
            Some(ReasonCode::SharedSubscriptionsNotSupported) // U-3.2.2.3.13-2
        } else {
            None
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
        self.effort += unsubscribe.filters.len() as u64;
        let limit = self.config.bounds.filters;
        let within = unsubscribe.filters.iter().take(limit);
        let mut reasons: Vec<_> =
            within.map(|filter| self.unsubscribe_one(client, filter)).collect(); // MQTT-3.11.3-1
        let is_bounded = reasons.len() < unsubscribe.filters.len();
        reasons.resize(unsubscribe.filters.len(), ReasonCode::ImplementationSpecificError); // U-3.11.3-3
        let mut unsuback = SubscribeAck::new(unsubscribe.packet_id, reasons); // MQTT-2.2.1-6, MQTT-3.10.4-6
        if is_bounded {
            self.explain(&mut unsuback.properties, "too many filters");
        }
        self.send(id, Packet::UnsubAck(unsuback)); // MQTT-3.10.4-4, MQTT-3.10.4-5
    }

    fn unsubscribe_one(&mut self, client: &Text, filter: &Text) -> ReasonCode {
        let Some(session) = self.sessions.get_mut(client) else {
            return ReasonCode::NoSubscriptionExisted;
        };
        match session.subscriptions.remove(filter) {
            Some(removed) => {
                session.filter_bytes -= Bounds::size_of(&removed);
                self.filter_bytes -= Bounds::size_of(&removed);
                // What is on its way, or waits, is still sent (MQTT-3.10.4-3, U-3.10.4-1), also what a
                // Shared Subscription has brought that ends with this: it is the session's by now, and
                // goes to nobody else (U-4.8.2-6).
                self.drop_subscription(client, &removed); // MQTT-3.10.4-1
                ReasonCode::Success // U-3.11.3-1
            }
            None if SubscriptionFilter::parse(filter).is_err() => ReasonCode::TopicFilterInvalid, // U-3.11.3-3
            None => ReasonCode::NoSubscriptionExisted, // U-3.11.3-2
        }
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
        let bytes = if is_new { Bounds::size_of(filter) } else { 0 };
        session.filter_bytes += bytes;
        self.filter_bytes += bytes;
        match filter.is_shared() {
            true => self.groups.join(filter, client.clone(), subscriber), // U-4.8.2-10
            false => {
                self.subscriptions.insert(filter.filter(), client.clone(), subscriber); // MQTT-3.8.4-3, U-4.8.1-2
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
