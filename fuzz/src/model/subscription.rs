//! What clients publish, and who subscribes to it (sections 3.3.4, 3.8.4, 3.10.4 and 4.8).

use std::collections::BTreeSet;
use std::rc::Rc;

use reference_broker::codec::{
    Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, RetainHandling, Subscribe,
    SubscribeAck, SubscriptionOptions, Unsubscribe,
};
use reference_broker::core::{ConnectionId, DollarTopics};

use super::broker::{Model, Online, Session};
use super::delivery::{Delivery, Message};
use super::filter::{is_valid, matches, shared};

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
        let publish = &match self.with_topic(client, publish) {
            Ok(publish) => publish,
            Err(reason) => return self.refuse(client, reason),
        };
        if self.is_too_high(publish.qos) {
            return self.refuse(client, ReasonCode::QoSNotSupported);
        }
        if publish.retain && !self.config.features.retain {
            return self.refuse(client, ReasonCode::RetainNotSupported);
        }
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
                let reason = self.take(client, publish);
                let closes = self.config.access.disconnects_at_qos0;
                if closes && reason == ReasonCode::NotAuthorized {
                    self.refuse(client, reason);
                }
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

    /// The message with the topic that its Topic Alias stands for (section 3.3.2.3.4).
    fn with_topic(&mut self, client: &str, publish: &Publish) -> Result<Publish, ReasonCode> {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let most = u32::from(self.config.topic_alias_maximum);
        if alias.is_some_and(|alias| alias > most) {
            return Err(ReasonCode::TopicAliasInvalid);
        }
        let mut publish = publish.clone();
        let online = self.session(client).and_then(|session| session.online.as_mut());
        let Some(Online { aliases, .. }) = online else { return Ok(publish) };
        let known = aliases.iter().position(|(number, _)| Some(*number) == alias);
        match (publish.topic.is_empty(), alias, known) {
            (true, _, Some(place)) => publish.topic = aliases[place].1.as_str().into(),
            (true, _, None) => return Err(ReasonCode::ProtocolError),
            (false, Some(_), Some(place)) => aliases[place].1 = publish.topic.to_string(),
            (false, Some(alias), None) => aliases.push((alias, publish.topic.to_string())),
            (false, None, _) => {}
        }
        Ok(publish)
    }

    /// The code that the acknowledgement of a message has.
    fn take(&mut self, client: &str, publish: &Publish) -> ReasonCode {
        let user = self.session(client).and_then(|session| session.user.clone());
        if !self.may_publish(user.as_deref(), client, &publish.topic) {
            return ReasonCode::NotAuthorized;
        }
        // Section 4.7.2: such topics are the server's.
        if publish.topic.starts_with('$') {
            match self.config.handling.dollar_topics {
                DollarTopics::Refused => return ReasonCode::TopicNameInvalid,
                DollarTopics::Dropped => return ReasonCode::Success,
                DollarTopics::HandedOn => {}
            }
        }
        let before = self.overflows;
        match self.publish(client, publish) {
            // Not all who are to have it will.
            _ if self.overflows > before && self.config.handling.tells_full_queues => {
                ReasonCode::QuotaExceeded
            }
            false if self.config.tells_no_subscribers => ReasonCode::NoMatchingSubscribers,
            _ => ReasonCode::Success,
        }
    }

    /// Retains a message, and gives it to all who subscribe to its topic. Says whether there is anyone.
    pub(crate) fn publish(&mut self, client: &str, publish: &Publish) -> bool {
        let message = self.message(client, publish);
        let is_kept = message.qos > QoS::AtMostOnce || self.config.handling.retains_qos0;
        if message.retain {
            self.retained.retain(|old| old.topic != message.topic);
            if is_kept && !message.payload.is_empty() {
                self.retained.push(Rc::clone(&message));
                // No order is asked for between topics: this is that of their levels.
                self.retained
                    .sort_by(|one, other| one.topic.split('/').cmp(other.topic.split('/')));
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
        let mut groups = self.groups(&message.topic);
        while !groups.is_empty() {
            let first = if self.has_common_member(&groups) { self.choose(groups.len()) } else { 0 };
            is_wanted |= self.deliver_to_one(&groups.remove(first), &message);
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

    /// The filters of Shared Subscriptions that match, each once, in the order of their levels: that of the core,
    /// where nobody can tell yet.
    fn groups(&self, topic: &str) -> Vec<String> {
        let all = self.sessions.iter().flat_map(|session| &session.subscriptions);
        let fitting = all.filter(|it| shared(&it.filter).is_some_and(|it| matches(it, topic)));
        let mut filters: Vec<_> = fitting.map(|it| it.filter.clone()).collect();
        let levels = |filter: &String| {
            let levels = shared(filter).unwrap_or_default().split('/');
            (levels.map(str::to_owned).collect::<Vec<_>>(), filter.clone())
        };
        filters.sort_by_key(levels);
        filters.dedup();
        filters
    }

    /// Whether a client is in more than one of these Shared Subscriptions, so that it can tell which of them brings
    /// a message first. The standard leaves that open.
    fn has_common_member(&self, groups: &[String]) -> bool {
        let of = |session: &Session| {
            session.subscriptions.iter().filter(|it| groups.contains(&it.filter)).count()
        };
        groups.len() > 1 && self.sessions.iter().any(|session| of(session) > 1)
    }

    /// One of so many things that the broker may do: the first, or what `detours` has in its place.
    fn choose(&mut self, count: usize) -> usize {
        let detour = self.detours.get(self.choices.len()).copied().unwrap_or(0);
        self.choices.push(count);
        detour.min(count - 1)
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
        let chosen = self.choose(members.len());
        let (_, client, delivery) = members.remove(chosen);
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
        let filters: Vec<_> = subscribe.subscriptions.iter().map(|it| &*it.filter).collect();
        let faults: Vec<_> =
            filters.iter().map(|filter| self.fault_of(client, filter, identifier)).collect();
        if !self.config.features.refused_in_suback
            && let Some(fault) = faults.iter().flatten().find(|fault| is_of_feature(**fault))
        {
            return self.refuse(client, *fault);
        }
        let Some(session) = self.session(client) else { return };
        let (mut reasons, mut new) = (Vec::new(), Vec::new());
        for (asked, fault) in subscribe.subscriptions.iter().zip(faults) {
            if let Some(fault) = fault {
                reasons.push(fault);
                continue;
            }
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

    /// Why a client cannot have a subscription (sections 3.2.2.3.11 to 13, 3.9.3).
    fn fault_of(
        &mut self,
        client: &str,
        filter: &str,
        identifier: Option<u32>,
    ) -> Option<ReasonCode> {
        let has = self.config.features;
        let own = shared(filter).unwrap_or(filter);
        if !is_valid(filter) {
            return Some(ReasonCode::TopicFilterInvalid);
        }
        if own.contains(['+', '#']) && !has.wildcards {
            return Some(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        if identifier.is_some() && !has.subscription_identifiers {
            return Some(ReasonCode::SubscriptionIdentifiersNotSupported);
        }
        if shared(filter).is_some() && !has.shared_subscriptions {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        let user = self.session(client).and_then(|session| session.user.clone());
        let may = self.may_subscribe(user.as_deref(), client, own);
        (!may).then_some(ReasonCode::NotAuthorized)
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
                None if !is_valid(filter) => ReasonCode::TopicFilterInvalid,
                None => ReasonCode::NoSubscriptionExisted,
            });
        }
        self.forget_empty_groups();
        self.reply(id, Packet::UnsubAck(SubscribeAck::new(unsubscribe.packet_id, reasons)));
    }
}

/// Whether this says that the broker has no subscriptions of a kind.
fn is_of_feature(fault: ReasonCode) -> bool {
    matches!(
        fault,
        ReasonCode::WildcardSubscriptionsNotSupported
            | ReasonCode::SubscriptionIdentifiersNotSupported
            | ReasonCode::SharedSubscriptionsNotSupported
    )
}

impl Session {
    /// A Packet Identifier of the client's is free again.
    fn release(&mut self, packet_id: u16) {
        self.received.retain(|id| *id != packet_id);
        if let Some(online) = &mut self.online {
            online.unreleased.retain(|id| *id != packet_id);
        }
    }
}
