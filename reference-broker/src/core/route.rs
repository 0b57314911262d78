use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Properties, Property, PropertyId, QoS, SubscriptionOptions, Text, Value};
use crate::topic::{FilterTree, SubscriptionFilter, TopicName};

use super::delivery::Delivery;
use super::session::Session;
use super::{Bounds, Broker, Moment, Output, Sharing};

/// An application message as the broker holds it: shared by all who are to get it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: TopicName,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) payload: Bytes,
    /// The properties that go with the message unaltered.
    pub(super) properties: Properties,
    /// Message Expiry Interval, in seconds from `received`.
    expiry: Option<u32>,
    received: Moment,
    /// The client that published it.
    pub(super) publisher: Text,
    size: usize,
}

impl Message {
    pub(super) fn new(
        topic: TopicName,
        qos: QoS,
        retain: bool,
        payload: &Bytes,
        properties: &Properties,
    ) -> Message {
        let expiry = properties.number(PropertyId::MessageExpiryInterval);
        let properties = properties.iter().filter(|property| {
            matches!(
                property.id,
                PropertyId::PayloadFormatIndicator // MQTT-3.3.2-4
                    | PropertyId::ContentType // MQTT-3.3.2-20
                    | PropertyId::ResponseTopic // MQTT-3.3.2-15
                    | PropertyId::CorrelationData // MQTT-3.3.2-16
                    | PropertyId::UserProperty // MQTT-3.3.2-17, MQTT-3.3.2-18
            )
        });
        let properties = properties.map(own_property).collect::<Properties>().into_shared();
        let payload = own(payload);
        let size = topic.as_str().len() + payload.len() + size_of_properties(&properties);
        let (received, publisher) = (Moment::default(), Text::default());
        Message { topic, qos, retain, payload, properties, expiry, received, publisher, size }
    }

    /// Its bytes, as [`Bounds`] counts them.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The same, as long as it is retained.
    pub(super) fn retained_size(&self) -> usize {
        self.size + (self.topic.levels().count() - 1) * Bounds::LEVEL
    }

    /// Says who published it, and when it came in.
    pub(super) fn from(mut self, publisher: Text, received: Moment) -> Message {
        self.publisher = publisher;
        self.received = received;
        self
    }

    fn report(&self) -> Published {
        Published {
            topic: self.topic.clone(),
            qos: self.qos,
            retain: self.retain,
            payload: self.payload.clone(),
            properties: self.properties.clone(),
            publisher: self.publisher.clone(),
        }
    }

    /// When its lifetime ends.
    pub(super) fn expires_at(&self) -> Option<Moment> {
        // Whoever is there at once gets the message, however short its lifetime.
        let lifetime = Duration::from_secs(u64::from(self.expiry?)).max(Duration::from_millis(1));
        Some(self.received.after(lifetime))
    }

    /// Whether its lifetime is over as soon as it begins.
    fn has_no_lifetime(&self) -> bool {
        self.expiry == Some(0)
    }

    /// Whether its lifetime has passed.
    pub(super) fn is_expired(&self, now: Moment) -> bool {
        self.expires_at().is_some_and(|end| end <= now) // MQTT-3.3.2-5, U-3.3.2.3.3-1
    }

    /// What is left of its lifetime, in seconds.
    pub(super) fn remaining_expiry(&self, now: Moment) -> Option<u32> {
        let waited = u32::try_from(now.seconds_since(self.received)).unwrap_or(u32::MAX);
        self.expiry.map(|expiry| expiry.saturating_sub(waited)) // MQTT-3.3.2-6, U-3.1.3.2.4-3
    }
}

/// A message that was published, as those in the process are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Its Topic Name.
    pub topic: TopicName,
    /// The QoS it was published at.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Its payload.
    pub payload: Bytes,
    /// The properties that go with it to subscribers, but its lifetime.
    pub properties: Properties,
    /// The client that published it.
    pub publisher: Text,
}

/// The bytes in memory of their own. As they come they are part of the buffer they were read into,
/// and a message may be kept for long where that buffer should not.
pub(super) fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The property in memory of its own.
pub(super) fn own_property(Property { id, value }: &Property) -> Property {
    let value = match value {
        Value::Binary(bytes) => Value::Binary(own(bytes)),
        value => value.clone(),
    };
    Property { id: *id, value }
}

/// What properties count, as [`Bounds`] has it.
pub(super) fn size_of_properties(properties: &Properties) -> usize {
    let sizes = properties.iter().map(|property| {
        let value = match &property.value {
            Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            Value::Pair(name, value) => name.len() + value.len(),
        };
        Bounds::PROPERTY + value
    });
    sizes.sum()
}

/// A subscription as the trees keep it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
}

/// A Shared Subscription, as the messages know it that it has brought. When its last session leaves it
/// ends, and a later one with the same filter is another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    /// The full text of its filter.
    filter: Text,
    number: u64,
}

/// Shared Subscriptions (section 4.8.2): which filters there are, and who is in them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The full text of a shared filter, found by its Topic Filter.
    filters: FilterTree<Text, ()>,
    /// Members by the full text.
    groups: BTreeMap<Text, Group>,
    /// How many members all of them have together.
    members: usize,
    /// How many there have been.
    begun: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// Tells it from others with the same filter.
    number: u64,
    members: BTreeMap<Text, Subscriber>,
    /// Who got the last message.
    last: Text,
}

impl Groups {
    pub(super) fn join(&mut self, filter: &SubscriptionFilter, client: Text, member: Subscriber) {
        let text = Text::from(filter.as_str());
        self.filters.insert(filter.filter(), text.clone(), ());
        let group = self.groups.entry(text).or_insert_with(|| {
            self.begun += 1;
            Group { number: self.begun, ..Group::default() }
        });
        let replaced = group.members.insert(client, member); // U-3.8.4-4
        self.members += usize::from(replaced.is_none());
    }

    /// How many there are, and how many members they have together.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.groups.len(), self.members)
    }

    /// Each with its members, by the full text of the filter.
    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&Text, impl ExactSizeIterator<Item = &Text>)> {
        self.groups.iter().map(|(text, group)| (text, group.members.keys()))
    }

    /// What a client's membership is like.
    pub(super) fn get(&self, filter: &SubscriptionFilter, client: &Text) -> Option<&Subscriber> {
        self.groups.get(&Text::from(filter.as_str()))?.members.get(client)
    }

    pub(super) fn leave(&mut self, filter: &SubscriptionFilter, client: &Text) {
        let text = Text::from(filter.as_str());
        if let Some(group) = self.groups.get_mut(&text) {
            self.members -= usize::from(group.members.remove(client).is_some()); // U-3.10.4-2
            if group.members.is_empty() {
                self.groups.remove(&text); // U-4.8.2-6
                self.filters.remove(filter.filter(), &text);
            }
        }
    }

    /// The groups that the topic concerns.
    fn concerned(&self, topic: &TopicName) -> Vec<Share> {
        let shares = self.filters.matches(topic).filter_map(|(filter, ())| {
            let number = self.groups.get(filter)?.number;
            Some(Share { filter: filter.clone(), number })
        });
        shares.collect() // U-4.8.2-3
    }

    /// Whether a member of the group is connected.
    pub(super) fn is_served(&self, share: &Share, is_connected: impl Fn(&Text) -> bool) -> bool {
        let group = self.groups.get(&share.filter).filter(|it| it.number == share.number);
        group.is_some_and(|group| group.members.keys().any(is_connected))
    }

    /// The member of a group whose turn it is, connected ones first; none if that group has ended.
    fn choose(
        &mut self,
        share: &Share,
        sharing: Sharing,
        is_connected: impl Fn(&Text) -> bool,
    ) -> Option<(Text, Subscriber)> {
        let group = self.groups.get_mut(&share.filter).filter(|it| it.number == share.number)?; // U-4.8.2-6
        group.next(sharing, is_connected)
    }
}

impl Group {
    /// The member after the last one served, or that one itself; connected ones first.
    fn next(
        &mut self,
        sharing: Sharing,
        is_connected: impl Fn(&Text) -> bool,
    ) -> Option<(Text, Subscriber)> {
        let last = match sharing {
            Sharing::InTurn | Sharing::InTurnAbsentToo => Bound::Excluded(&self.last),
            Sharing::TheSame => Bound::Included(&self.last),
        };
        let mut turn = self.members.range((last, Bound::Unbounded)).chain(self.members.iter());
        let is_wanted = |client: &Text| sharing == Sharing::InTurnAbsentToo || is_connected(client);
        let (client, member) = turn
            .clone()
            .find(|(client, _)| is_wanted(client))
            .or_else(|| turn.next())
            .map(|(client, member)| (client.clone(), *member))?;
        self.last = client.clone();
        Some((client, member)) // U-4.8.2-7
    }
}

impl Broker {
    /// Retains the message if it asks for that, and hands it to all subscriptions it matches.
    /// Says whether there may have been one.
    pub(super) fn publish_message(&mut self, message: Arc<Message>) -> bool {
        if self.config.reports_published {
            self.outputs.push_back(Output::Published(message.report()));
        }
        if message.retain {
            self.retain(&message); // MQTT-3.3.1-8
        }
        let drops_it = self.config.handling.drops_lifetime_0 && message.has_no_lifetime();
        if drops_it || message.is_expired(self.now) {
            return true; // It may have waited for PUBREL for too long: MQTT-3.3.2-5
        }
        let mut matched = false;
        for (client, delivery) in self.individual_deliveries(&message) {
            matched = true;
            self.deliver(&client, delivery); // MQTT-4.5.0-1
        }
        // U-4.8.2-11
        for share in self.groups.concerned(&message.topic) {
            matched |= self.deliver_shared(&share, Arc::clone(&message));
        }
        matched
    }

    /// Hands the message to one member of a Shared Subscription. Says whether there was one.
    pub(super) fn deliver_shared(&mut self, share: &Share, message: Arc<Message>) -> bool {
        self.deliver_shared_by(self.config.handling.sharing, share, message)
    }

    /// As [`Broker::deliver_shared`], with a rule of its own for who gets it.
    pub(super) fn deliver_shared_by(
        &mut self,
        sharing: Sharing,
        share: &Share,
        message: Arc<Message>,
    ) -> bool {
        let sessions = &self.sessions;
        let is_connected = |client: &Text| sessions.get(client).is_some_and(Session::is_connected);
        let chosen = self.groups.choose(share, sharing, is_connected); // U-4.8.2-1
        let Some((client, member)) = chosen else { return false };
        let delivery = Delivery::new(message, member).shared(share.clone());
        self.deliver(&client, delivery); // MQTT-4.8.2-3
        true
    }

    /// One copy for each client with a matching subscription of its own, at the highest QoS of
    /// those that match and with all their identifiers; or one for each such subscription.
    fn individual_deliveries(&mut self, message: &Arc<Message>) -> Vec<(Text, Delivery)> {
        let mut deliveries: Vec<(Text, Delivery)> = Vec::new();
        let handling = self.config.handling;
        // Where the copy is that further subscriptions of a client go into.
        let mut merged: BTreeMap<Text, usize> = BTreeMap::new();
        // MQTT-3.3.2-3
        for (client, subscriber) in self.subscriptions.matches(&message.topic) {
            self.effort += 1;
            if subscriber.options.no_local && *client == message.publisher {
                continue; // MQTT-3.8.3-3
            }
            let delivery = Delivery::new(Arc::clone(message), *subscriber);
            match merged.get(client).and_then(|place| deliveries.get_mut(*place)) {
                Some((_, merged)) => merged.merge(delivery, handling), // MQTT-3.3.4-2, MQTT-3.3.4-4
                None => {
                    if !handling.copy_for_each_subscription {
                        merged.insert(client.clone(), deliveries.len());
                    }
                    deliveries.push((client.clone(), delivery)); // MQTT-3.3.4-5, U-4.8.1-1
                }
            }
        }
        // Whatever order the tree has: by client, as before.
        deliveries.sort_by(|(one, _), (other, _)| one.cmp(other));
        deliveries
    }
}
