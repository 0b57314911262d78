//! What clients publish, and who subscribes to it (sections 3.3.4, 3.8.4, 3.10.4 and 4.8).

use std::collections::BTreeSet;
use std::rc::Rc;

use reference_broker::codec::{
    Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, RetainHandling, Subscribe,
    SubscribeAck, SubscriptionOptions, Unsubscribe,
};
use reference_broker::core::ConnectionId;

use super::broker::Model;
use super::delivery::{Delivery, Message};
use super::filter::{matches, shared};

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// With `$share/NAME/` if it is a shared one.
    pub(crate) filter: String,
    options: SubscriptionOptions,
    identifier: Option<u32>,
}

impl Subscription {
    fn delivery(&self, message: &Rc<Message>) -> Delivery {
        Delivery {
            message: Rc::clone(message),
            qos: message.qos.min(self.options.maximum_qos),
            retain: message.retain && self.options.retain_as_published,
            identifiers: self.identifier.into_iter().collect(),
            share: shared(&self.filter).map(|_| self.filter.clone()),
        }
    }
}

impl Model {
    /// Sections 3.3.4 and 4.3.
    pub(crate) fn receive_publish(&mut self, client: &str, id: ConnectionId, publish: &Publish) {
        let packet_id = publish.packet_id;
        let most = usize::from(self.config.receive_maximum);
        let Some(session) = self.session(client) else { return };
        let is_known = session.received.contains(&packet_id);
        let Some(online) = &mut session.online else { return };
        let is_open = online.unreleased.contains(&packet_id);
        if publish.qos > QoS::AtMostOnce && !is_open && online.unreleased.len() >= most {
            return self.refuse(client, ReasonCode::ReceiveMaximumExceeded);
        }
        let answer = |reason| PublishAck::because(packet_id, reason);
        match publish.qos {
            QoS::AtMostOnce => {
                self.take(client, publish);
            }
            QoS::AtLeastOnce => {
                let reason = self.take(client, publish);
                self.reply(id, Packet::PubAck(answer(reason)));
            }
            QoS::ExactlyOnce => {
                if !is_open {
                    online.unreleased.push(packet_id);
                }
                let reason = match is_known {
                    true => ReasonCode::Success,
                    false => self.take(client, publish),
                };
                if let Some(session) = self.session(client) {
                    match reason.is_error() {
                        true => session.release(packet_id),
                        false if is_known => {}
                        false => session.received.push(packet_id),
                    }
                }
                self.reply(id, Packet::PubRec(answer(reason)));
            }
        }
    }

    pub(crate) fn receive_pubrel(&mut self, client: &str, id: ConnectionId, packet_id: u16) {
        let Some(session) = self.session(client) else { return };
        let reason = match session.received.contains(&packet_id) {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        session.release(packet_id);
        self.reply(id, Packet::PubComp(PublishAck::because(packet_id, reason)));
    }

    /// The code that the acknowledgement of a message has.
    fn take(&mut self, client: &str, publish: &Publish) -> ReasonCode {
        if publish.topic.starts_with('$') {
            return ReasonCode::TopicNameInvalid; // Section 4.7.2: such topics are the server's.
        }
        match self.publish(client, publish) {
            true => ReasonCode::Success,
            false => ReasonCode::NoMatchingSubscribers,
        }
    }

    /// Retains a message, and gives it to all who subscribe to its topic. Says whether there is anyone.
    pub(crate) fn publish(&mut self, client: &str, publish: &Publish) -> bool {
        let message = self.message(client, publish);
        if message.retain {
            self.retained.retain(|old| old.topic != message.topic);
            if !message.payload.is_empty() {
                self.retained.push(Rc::clone(&message));
                self.retained.sort_by(|one, other| one.topic.cmp(&other.topic));
            }
        }
        let clients: Vec<_> = self.sessions.iter().map(|it| it.client.clone()).collect();
        let mut is_wanted = false;
        for receiver in clients {
            if let Some(delivery) = self.one_copy(&receiver, &message) {
                is_wanted = true;
                self.deliver(&receiver, delivery);
            }
        }
        for group in self.groups(&message.topic) {
            is_wanted |= self.deliver_to_one(&group, &message);
        }
        is_wanted
    }

    /// One copy for all the subscriptions of a client that match: at the highest QoS, with all
    /// identifiers (section 3.3.4).
    fn one_copy(&mut self, receiver: &str, message: &Rc<Message>) -> Option<Delivery> {
        let session = self.session(receiver)?;
        let mut copy: Option<Delivery> = None;
        for subscription in &session.subscriptions {
            let is_own = subscription.options.no_local && message.publisher == receiver;
            let is_shared = shared(&subscription.filter).is_some();
            if is_shared || is_own || !matches(&subscription.filter, &message.topic) {
                continue;
            }
            let delivery = subscription.delivery(message);
            copy = match copy {
                None => Some(delivery),
                Some(mut copy) => {
                    copy.qos = copy.qos.max(delivery.qos);
                    copy.retain |= delivery.retain;
                    copy.identifiers.extend(delivery.identifiers);
                    Some(copy)
                }
            };
        }
        copy
    }

    /// The filters of Shared Subscriptions that match, each once.
    fn groups(&self, topic: &str) -> Vec<String> {
        let all = self.sessions.iter().flat_map(|session| &session.subscriptions);
        let fitting = all.filter(|it| shared(&it.filter).is_some_and(|it| matches(it, topic)));
        let mut filters: Vec<_> = fitting.map(|it| it.filter.clone()).collect();
        filters.sort();
        filters.dedup();
        filters
    }

    /// Gives a message to one member of a Shared Subscription (section 4.8.2). Who that is is for the
    /// broker to choose: first it is taken to be the one whose turn it is, as
    /// [`Sharing::InTurn`](reference_broker::core::Sharing) says; `detours` has other choices.
    pub(crate) fn deliver_to_one(&mut self, group: &str, message: &Rc<Message>) -> bool {
        let mut members: Vec<(bool, String, Delivery)> = Vec::new();
        for session in &self.sessions {
            for subscription in session.subscriptions.iter().filter(|it| it.filter == group) {
                let delivery = subscription.delivery(message);
                members.push((session.online.is_none(), session.client.clone(), delivery));
            }
        }
        if members.is_empty() {
            return false;
        }
        let turn = self.turns.iter().position(|(filter, _)| filter == group);
        let last = turn.map_or(String::new(), |place| self.turns.remove(place).1);
        members.sort_by_key(|(is_absent, client, _)| (*is_absent, *client <= last, client.clone()));
        let detour = self.detours.get(self.choices.len()).copied().unwrap_or(0);
        self.choices.push(members.len());
        let (_, client, delivery) = members.remove(detour);
        self.turns.push((group.to_string(), client.clone()));
        self.deliver(&client, delivery);
        true
    }

    /// A Shared Subscription without a session has ended (section 4.8.2): what it has brought to those
    /// who have left it goes to no later one with the same filter.
    pub(crate) fn forget_empty_groups(&mut self) {
        let all = self.sessions.iter().flat_map(|session| &session.subscriptions);
        let filters: BTreeSet<String> =
            all.map(|subscription| subscription.filter.clone()).collect();
        self.turns.retain(|(filter, _)| filters.contains(filter));
        for session in &mut self.sessions {
            let sent = session.outbound.sent.iter_mut().map(|exchange| &mut exchange.delivery);
            for delivery in sent.chain(&mut session.outbound.waiting) {
                delivery.share.take_if(|share| !filters.contains(share));
            }
        }
    }

    /// Section 3.8.4.
    pub(crate) fn subscribe(&mut self, client: &str, id: ConnectionId, subscribe: &Subscribe) {
        let granted = self.config.granted_qos;
        let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
        let Some(session) = self.session(client) else { return };
        let (mut reasons, mut new) = (Vec::new(), Vec::new());
        for asked in &subscribe.subscriptions {
            let filter = asked.filter.to_string();
            let mut options = asked.options;
            options.maximum_qos = options.maximum_qos.min(granted);
            let subscription = Subscription { filter, options, identifier };
            let place = session.subscriptions.iter().position(|it| it.filter == *asked.filter);
            match place {
                Some(place) => session.subscriptions[place] = subscription.clone(),
                None => session.subscriptions.push(subscription.clone()),
            }
            let brings_retained = match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => place.is_none(),
                RetainHandling::DoNotSend => false,
            };
            if brings_retained && shared(&subscription.filter).is_none() {
                new.push(subscription);
            }
            reasons.push(match options.maximum_qos {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
        }
        self.reply(id, Packet::SubAck(SubscribeAck::new(subscribe.packet_id, reasons)));
        for subscription in new {
            for message in self.retained.clone() {
                let is_own = subscription.options.no_local && message.publisher == client;
                if !is_own && matches(&subscription.filter, &message.topic) {
                    let delivery = Delivery { retain: true, ..subscription.delivery(&message) };
                    self.deliver(client, delivery);
                }
            }
        }
    }

    /// Section 3.10.4.
    pub(crate) fn unsubscribe(
        &mut self,
        client: &str,
        id: ConnectionId,
        unsubscribe: &Unsubscribe,
    ) {
        let Some(session) = self.session(client) else { return };
        let mut reasons = Vec::new();
        for filter in &unsubscribe.filters {
            let place = session.subscriptions.iter().position(|it| it.filter == **filter);
            reasons.push(match place {
                Some(place) => {
                    session.subscriptions.remove(place);
                    ReasonCode::Success
                }
                None => ReasonCode::NoSubscriptionExisted,
            });
        }
        self.forget_empty_groups();
        self.reply(id, Packet::UnsubAck(SubscribeAck::new(unsubscribe.packet_id, reasons)));
    }
}

impl super::broker::Session {
    /// A Packet Identifier of the client's is free again.
    fn release(&mut self, packet_id: u16) {
        self.received.retain(|id| *id != packet_id);
        if let Some(online) = &mut self.online {
            online.unreleased.retain(|id| *id != packet_id);
        }
    }
}
