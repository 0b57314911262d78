//! Rules that know the subscriptions of every client, as SUBSCRIBE and UNSUBSCRIBE say.

use std::collections::BTreeMap;

use reference_broker::codec::{
    Packet, PropertyId, RetainHandling, Subscribe, Subscription, SubscriptionOptions, Text,
};
use reference_broker::topic::{SubscriptionFilter, TopicName};

use super::{At, through};
use crate::boundary::Rule;

/// A subscription as its client asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its options.
    pub options: SubscriptionOptions,
    /// Its Subscription Identifier.
    pub identifier: Option<u32>,
}

/// The subscriptions of one client, by their filters.
pub type Subscriptions = BTreeMap<Text, Held>;

/// Who is subscribed to what. Sessions that expire unseen leave theirs behind.
#[derive(Debug, Default)]
pub struct Book(BTreeMap<Text, Subscriptions>);

static NONE: Subscriptions = BTreeMap::new();

impl Book {
    /// The subscriptions of the client of a connection.
    pub fn of(&self, at: At<'_>) -> &Subscriptions {
        at.client().and_then(|client| self.0.get(&client.id)).unwrap_or(&NONE)
    }

    /// Those of them that match a topic.
    pub fn matching<'a>(&'a self, at: At<'_>, topic: &'a str) -> impl Iterator<Item = &'a Held> {
        let of_client = self.of(at).iter();
        of_client.filter(move |(filter, _)| matches(filter, topic)).map(|(_, held)| held)
    }

    /// Takes in what a client has sent.
    pub fn note(&mut self, packet: &Packet, at: At<'_>) {
        let Some(client) = at.client() else { return };
        match packet {
            Packet::Connect(connect) if connect.clean_start => {
                self.0.remove(&client.id);
            }
            Packet::Subscribe(subscribe) => {
                let own = self.0.entry(client.id.clone()).or_default();
                let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
                for Subscription { filter, options } in &subscribe.subscriptions {
                    own.insert(filter.clone(), Held { options: *options, identifier });
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                if let Some(own) = self.0.get_mut(&client.id) {
                    own.retain(|filter, _| !unsubscribe.filters.contains(filter));
                }
            }
            _ => {}
        }
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

/// Alters each filter's options in SUBSCRIBE, given what the client has of this filter.
pub fn subscribes(
    mut alter: impl FnMut(&mut SubscriptionOptions, &Text, Option<&Held>, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    with_book(move |packet, book, at| {
        if let Packet::Subscribe(subscribe) = packet {
            for Subscription { filter, options } in &mut subscribe.subscriptions {
                alter(options, filter, book.of(at).get(filter), at);
            }
        }
        Vec::new()
    })
}

/// Alters packets from clients, given all subscriptions before them, and makes subscriptions of
/// the same client anew behind its back: those that it gives.
pub fn with_book(
    mut rule: impl FnMut(&mut Packet, &Book, At<'_>) -> Vec<(Text, Held)> + Send + 'static,
) -> Box<dyn Rule> {
    /// No client can use it, so its SUBACK is not for the client.
    const SECRET: u16 = 0;
    through(
        Book::default(),
        move |book, mut packet, at, act| {
            let heard = packet.clone();
            let mut anew = rule(&mut packet, book, at).into_iter().map(|(filter, held)| {
                let Held { options, identifier } = held;
                let quiet =
                    SubscriptionOptions { retain_handling: RetainHandling::DoNotSend, ..options };
                let mut subscribe = Subscribe::new(SECRET, "", options.maximum_qos);
                subscribe.subscriptions = vec![Subscription { filter, options: quiet }];
                if let Some(identifier) = identifier {
                    subscribe.properties.push(PropertyId::SubscriptionIdentifier, identifier);
                }
                subscribe
            });
            book.note(&heard, at);
            match packet {
                // Nothing can be done after it.
                Packet::Disconnect(_) => {
                    anew.for_each(|subscribe| act.receive(subscribe));
                    act.receive(packet);
                }
                packet => {
                    act.receive(packet);
                    anew.by_ref().for_each(|subscribe| act.receive(subscribe));
                }
            }
        },
        |_, packet, _, act| match packet {
            Packet::SubAck(ref suback) if suback.packet_id == SECRET => {}
            packet => act.send(packet),
        },
    )
}
