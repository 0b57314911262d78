//! What clients have subscribed to, as seen from outside, and rules that rest on it.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, Text, Unsubscribe,
};
use reference_broker::core::ConnectionId;
use reference_broker::topic::{SubscriptionFilter, TopicName};

use super::rules::{At, reads, through};
use super::{Clients, Rule};

/// The Packet Identifier of requests that rules forge: no client can use it.
pub const FORGED: u16 = 0;

/// The subscriptions of each Client Identifier, by their filters; each as a SUBSCRIBE of its own.
#[derive(Debug, Default)]
pub struct Subscriptions(BTreeMap<Text, BTreeMap<Text, Subscribe>>);

impl Subscriptions {
    /// Takes note of a packet from a client.
    pub fn note(&mut self, packet: &Packet, at: At<'_>) {
        match packet {
            Packet::Connect(connect) if connect.clean_start => {
                self.0.remove(&connect.client_id);
            }
            Packet::Subscribe(subscribe) => {
                let own = self.0.entry(at.id()).or_default();
                for subscription in &subscribe.subscriptions {
                    let single = Subscribe {
                        packet_id: FORGED,
                        properties: subscribe.properties.clone(),
                        subscriptions: vec![subscription.clone()],
                    };
                    own.insert(subscription.filter.clone(), single);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                if let Some(own) = self.0.get_mut(&at.id()) {
                    unsubscribe.filters.iter().for_each(|filter| drop(own.remove(filter)));
                }
            }
            _ => {}
        }
    }

    /// The subscriptions of a client, each in a SUBSCRIBE of its own that asks for no retained
    /// messages and whose identifier is [`FORGED`].
    pub fn of(&self, client: &Text) -> Vec<Subscribe> {
        let own = self.0.get(client).into_iter().flat_map(BTreeMap::values);
        own.cloned()
            .map(|mut subscribe| {
                for subscription in &mut subscribe.subscriptions {
                    subscription.options.retain_handling = RetainHandling::DoNotSend;
                }
                subscribe
            })
            .collect()
    }

    /// The filters of a client.
    pub fn filters(&self, client: &Text) -> impl Iterator<Item = &Text> {
        self.0.get(client).into_iter().flat_map(BTreeMap::keys)
    }

    /// The shared filters of a client that match a topic.
    pub fn shared(&self, client: &Text, topic: &str) -> Vec<SubscriptionFilter> {
        let Ok(topic) = TopicName::parse(topic) else { return Vec::new() };
        let filters = self.filters(client).filter_map(|text| SubscriptionFilter::parse(text).ok());
        filters.filter(|filter| filter.is_shared() && filter.filter().matches(&topic)).collect()
    }

    /// Whether somebody gets messages on a topic by shared filters alone, and nobody who does so is
    /// connected.
    pub fn is_only_for_absent_members(&self, topic: &str, clients: &Clients) -> bool {
        let Ok(topic) = TopicName::parse(topic) else { return false };
        let mut concerned = false;
        for (client, own) in &self.0 {
            let filters = own.keys().filter_map(|text| SubscriptionFilter::parse(text).ok());
            for filter in filters.filter(|filter| filter.filter().matches(&topic)) {
                concerned = true;
                if !filter.is_shared() || clients.iter().any(|(_, it)| it.id == *client) {
                    return false;
                }
            }
        }
        concerned
    }

    /// Who is subscribed with this very filter.
    pub fn members<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = &'a Text> {
        let has = move |own: &BTreeMap<Text, Subscribe>| own.keys().any(|text| **text == *filter);
        self.0.iter().filter(move |(_, own)| has(own)).map(|(client, _)| client)
    }
}

/// Whether a packet answers a [`FORGED`] request.
pub fn answers_forged(packet: &Packet) -> bool {
    match packet {
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.packet_id == FORGED,
        _ => false,
    }
}

/// Alters the subscriptions of a client when it gets a CONNACK: those that it has now, or had
/// before a clean start. Gives `None` for one that is to be dropped.
pub fn resubscribes(
    when: fn(At<'_>, bool) -> bool,
    alter: fn(Subscribe) -> Option<Subscribe>,
) -> Box<dyn Rule> {
    through(
        Subscriptions::default(),
        |known, packet, at, act| {
            if !matches!(packet, Packet::Connect(_)) {
                known.note(&packet, at);
            }
            act.receive(packet);
        },
        move |known, packet, at, act| match &packet {
            Packet::ConnAck(connack) => {
                let applies = !connack.reason.is_error() && when(at, connack.session_present);
                act.send(packet);
                for old in known.of(&at.id()).into_iter().filter(|_| applies) {
                    let filter = old.subscriptions.first().map(|it| it.filter.clone());
                    match (alter(old), filter) {
                        (Some(new), _) => act.receive(Packet::Subscribe(new)),
                        (None, Some(filter)) => act.receive(Unsubscribe::new(FORGED, filter)),
                        (None, None) => {}
                    }
                }
            }
            _ if answers_forged(&packet) => {}
            _ => act.send(packet),
        },
    )
}

/// Takes each filter of SUBSCRIBE and UNSUBSCRIBE for another, where `rename` gives one.
pub fn takes_filters_for(
    mut rename: impl FnMut(&Subscription, At<'_>) -> Option<String> + Send + 'static,
) -> Box<dyn Rule> {
    let mut renamed: BTreeMap<(Text, Text), Text> = BTreeMap::new();
    reads(move |packet, at| match packet {
        Packet::Subscribe(subscribe) => {
            for subscription in &mut subscribe.subscriptions {
                if let Some(other) = rename(subscription, at) {
                    let was = std::mem::replace(&mut subscription.filter, other.into());
                    renamed.insert((at.id(), was), subscription.filter.clone());
                }
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            for filter in &mut unsubscribe.filters {
                if let Some(other) = renamed.get(&(at.id(), filter.clone())) {
                    *filter = other.clone();
                }
            }
        }
        _ => {}
    })
}

/// Takes filters for wider ones where `widen` gives one, and of the messages that these bring lets
/// only those through whose topics `matches`.
pub fn matches_by(
    widen: fn(&str) -> Option<String>,
    matches: impl Fn(&str, &str) -> bool + Send + 'static,
) -> Vec<Box<dyn Rule>> {
    let narrowed = through(
        Subscriptions::default(),
        |known, packet, at, act| {
            known.note(&packet, at);
            act.receive(packet);
        },
        move |known, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                let id = at.id();
                let mut wide = known.filters(&id).filter(|filter| widen(filter).is_some());
                let mut own = known.filters(&id).peekable();
                let concerned = own.peek().is_some() && own.all(|filter| widen(filter).is_some());
                if concerned && !wide.any(|filter| matches(filter, &publish.topic)) {
                    return;
                }
            }
            act.send(packet);
        },
    );
    vec![narrowed, takes_filters_for(move |subscription, _| widen(&subscription.filter))]
}

/// Alters what a client asks for with a filter; what it is told was granted is what it asked for.
pub fn grants_secretly(
    mut alter: impl FnMut(&mut Subscription, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    let granted = |qos: QoS| match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    };
    through(
        BTreeMap::<(ConnectionId, u16), Vec<ReasonCode>>::new(),
        move |asked, mut packet, at, act| {
            if let Packet::Subscribe(subscribe) = &mut packet {
                let reasons = subscribe.subscriptions.iter();
                let reasons = reasons.map(|it| granted(it.options.maximum_qos)).collect();
                asked.insert((at.connection, subscribe.packet_id), reasons);
                subscribe.subscriptions.iter_mut().for_each(|it| alter(it, at));
            }
            act.receive(packet);
        },
        |asked, mut packet, at, act| {
            if let Packet::SubAck(suback) = &mut packet
                && let Some(reasons) = asked.remove(&(at.connection, suback.packet_id))
            {
                suback.reasons = reasons;
            }
            act.send(packet);
        },
    )
}

/// Tells clients that it has granted a filter that it has refused.
pub fn claims_to_grant(which: fn(&str) -> bool) -> Box<dyn Rule> {
    through(
        BTreeSet::<(ConnectionId, u16)>::new(),
        move |wrong, packet, at, act| {
            if let Packet::Subscribe(subscribe) = &packet
                && subscribe.subscriptions.iter().any(|it| which(&it.filter))
            {
                wrong.insert((at.connection, subscribe.packet_id));
            }
            act.receive(packet);
        },
        |wrong, mut packet, at, act| {
            if let Packet::SubAck(suback) = &mut packet
                && wrong.remove(&(at.connection, suback.packet_id))
            {
                let reasons = suback.reasons.iter_mut().filter(|reason| reason.is_error());
                reasons.for_each(|reason| *reason = ReasonCode::GrantedQoS1);
            }
            act.send(packet);
        },
    )
}
