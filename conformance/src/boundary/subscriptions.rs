//! What clients have subscribed to, as seen from outside.

use std::collections::BTreeMap;

use reference_broker::codec::{
    Packet, Properties, PropertyId, RetainHandling, Subscribe, Subscription, SubscriptionOptions,
    Text,
};
use reference_broker::topic::{SubscriptionFilter, TopicName};

use super::rules::{At, FORGED};
use super::{Client, Clients};

/// A subscription as its client asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its options.
    pub options: SubscriptionOptions,
    /// Its Subscription Identifier.
    pub identifier: Option<u32>,
}

impl Held {
    /// A [`FORGED`] SUBSCRIBE that makes it without asking for retained messages.
    pub fn request(self, filter: Text) -> Subscribe {
        let retain_handling = RetainHandling::DoNotSend;
        let options = SubscriptionOptions { retain_handling, ..self.options };
        let subscriptions = vec![Subscription { filter, options }];
        let properties = Properties::default();
        let request = Subscribe { packet_id: FORGED, properties, subscriptions };
        match self.identifier {
            Some(identifier) => request.with(PropertyId::SubscriptionIdentifier, identifier),
            None => request,
        }
    }
}

/// The subscriptions of one client, by their filters.
pub type Own = BTreeMap<Text, Held>;

/// Who is subscribed to what, by Client Identifier. Sessions that expire unseen leave theirs
/// behind.
#[derive(Debug, Default)]
pub struct Subscriptions(BTreeMap<Text, Own>);

static NONE: Own = BTreeMap::new();

impl Subscriptions {
    /// Takes note of a packet from a client.
    pub fn note(&mut self, packet: &Packet, at: At<'_>) {
        let Some(Client { id, .. }) = at.client() else { return };
        match packet {
            Packet::Connect(connect) if connect.clean_start => {
                self.0.remove(id);
            }
            Packet::Subscribe(subscribe) => {
                let own = self.0.entry(id.clone()).or_default();
                let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
                for Subscription { filter, options } in &subscribe.subscriptions {
                    own.insert(filter.clone(), Held { options: *options, identifier });
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                if let Some(own) = self.0.get_mut(id) {
                    own.retain(|filter, _| !unsubscribe.filters.contains(filter));
                }
            }
            _ => {}
        }
    }

    /// The subscriptions of the client of a connection.
    pub fn of(&self, at: At<'_>) -> &Own {
        at.client().and_then(|client| self.0.get(&client.id)).unwrap_or(&NONE)
    }

    /// What a client has by this very filter.
    pub fn held(&self, client: &Text, filter: &Text) -> Option<Held> {
        self.0.get(client)?.get(filter).copied()
    }

    /// The shared filters of a client that match a topic.
    pub fn shared(&self, client: &Text, topic: &str) -> Vec<SubscriptionFilter> {
        let Ok(topic) = TopicName::parse(topic) else { return Vec::new() };
        let own = self.0.get(client).unwrap_or(&NONE).keys();
        let filters = own.filter_map(|text| SubscriptionFilter::parse(text).ok());
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
        let has = move |own: &Own| own.keys().any(|text| **text == *filter);
        self.0.iter().filter(move |(_, own)| has(own)).map(|(client, _)| client)
    }
}

/// Whether a filter, not a shared one, matches a topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    match (SubscriptionFilter::parse(filter), TopicName::parse(topic)) {
        (Ok(filter), Ok(topic)) => !filter.is_shared() && filter.filter().matches(&topic),
        _ => false,
    }
}

/// Whether there is a topic that both filters match.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            _ => return false,
        }
    }
}
