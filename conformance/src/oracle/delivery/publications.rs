//! What the clients of a trace published, or had published for them as Wills.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Packet, PacketType, Properties, PropertyId, Publish, QoS, Text, Will,
};

use super::super::connections::{Connection, Sent};

/// The properties of a message that are forwarded unaltered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Forwarded {
    /// Whether the payload is text. To say that it is not means the same as to say nothing.
    pub(super) is_text: bool,
    pub(super) content_type: Option<Text>,
    pub(super) response_topic: Option<Text>,
    pub(super) correlation_data: Option<Bytes>,
    pub(super) user_properties: Vec<(Text, Text)>,
}

impl Forwarded {
    pub(super) fn of(properties: &Properties) -> Forwarded {
        let text = |id| properties.text(id).cloned();
        let users = properties.user_properties();
        Forwarded {
            is_text: properties.number(PropertyId::PayloadFormatIndicator) == Some(1),
            content_type: text(PropertyId::ContentType),
            response_topic: text(PropertyId::ResponseTopic),
            correlation_data: properties.binary(PropertyId::CorrelationData).cloned(),
            user_properties: users.map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// Whether these are the same properties, with further User Properties among or around them.
    fn is_with_more(&self, more: &Forwarded) -> bool {
        let Forwarded { is_text, content_type, response_topic, correlation_data, user_properties } =
            self;
        *is_text == more.is_text
            && *content_type == more.content_type
            && *response_topic == more.response_topic
            && *correlation_data == more.correlation_data
            && user_properties.len() < more.user_properties.len()
            && self.keeps_users(more)
    }

    /// Whether all these User Properties are there in this order, whatever else is.
    pub(super) fn keeps_users(&self, found: &Forwarded) -> bool {
        let mut others = found.user_properties.iter();
        self.user_properties.iter().all(|own| others.any(|other| own == other))
    }

    /// Whether all these User Properties are there in whatever order.
    pub(super) fn keeps_all_users(&self, found: &Forwarded) -> bool {
        let mut others: Vec<_> = found.user_properties.iter().collect();
        self.user_properties.iter().all(|own| {
            let place = others.iter().position(|other| *other == own);
            place.map(|place| others.swap_remove(place)).is_some()
        })
    }
}

/// Who published a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Publisher {
    Client(Text),
    /// Several, one that is not known, or a Will.
    Other,
}

/// All publications of equal messages: what any of them has, a delivery may have.
#[derive(Debug)]
pub(super) struct Publication {
    /// The first event, and the last one so far.
    pub(super) first: usize,
    pub(super) last: usize,
    /// How often it was published so far.
    pub(super) count: usize,
    pub(super) levels: Vec<QoS>,
    /// Whether RETAIN was 0, and whether it was 1.
    pub(super) unretained: bool,
    pub(super) retained: bool,
    pub(super) publisher: Publisher,
    /// Whether one never expires.
    pub(super) lasts: bool,
    /// The longest Message Expiry Interval, and the shortest.
    pub(super) expiry: Option<(u32, u32)>,
    /// The first time at which one of them expires.
    pub(super) expires: Option<Duration>,
}

/// A payload that is found by its length, its beginning and its end: to go through all the bytes of
/// a large one takes longer than to compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload(Bytes);

impl Hash for Payload {
    fn hash<H: Hasher>(&self, state: &mut H) {
        const EDGE: usize = 64;
        let Payload(bytes) = self;
        let edge = bytes.len().min(EDGE);
        bytes.len().hash(state);
        bytes[..edge].hash(state);
        bytes[bytes.len() - edge..].hash(state);
    }
}

/// The publications of a trace up to some event.
#[derive(Debug, Default)]
pub(super) struct Publications {
    messages: HashMap<(Text, Payload, Forwarded), Publication>,
    /// The properties that came with a payload, some of them.
    variants: HashMap<(Text, Payload), Vec<Forwarded>>,
    /// By topic: whether only probes of this trace use it.
    topics: BTreeMap<Text, bool>,
    /// By connection: its aliases, and whether they have had one topic only.
    aliases: BTreeMap<usize, BTreeMap<u32, (Text, bool)>>,
    /// Whether something may have been published that cannot be told.
    pub(super) is_unclear: bool,
}

/// More variants of one message are not compared when it comes with other properties.
const VARIANTS: usize = 16;

impl Publications {
    /// Whether probes of this trace publish to this topic, and nobody else does.
    pub(super) fn are_on(&self, topic: &Text) -> bool {
        !topic.starts_with('$') && self.topics.get(topic).copied().unwrap_or_default()
    }

    /// The publication of this message.
    pub(super) fn find(&self, topic: &Text, publish: &Publish) -> Option<&Publication> {
        let forwarded = Forwarded::of(&publish.properties);
        self.messages.get(&(topic.clone(), Payload(publish.payload.clone()), forwarded))
    }

    /// As [`Publications::find`], where the broker may have added User Properties.
    pub(super) fn find_with_more(&self, topic: &Text, publish: &Publish) -> Option<&Publication> {
        let found = Forwarded::of(&publish.properties);
        let variants = self.variants(topic, &publish.payload).iter();
        let has_more = |variant: &&Forwarded| variant.is_with_more(&found);
        // The one that has least added to it.
        let variant = variants.filter(has_more).max_by_key(|it| it.user_properties.len())?;
        self.messages.get(&(topic.clone(), Payload(publish.payload.clone()), variant.clone()))
    }

    /// The properties that came with this payload on this topic.
    pub(super) fn variants(&self, topic: &Text, payload: &Bytes) -> &[Forwarded] {
        self.variants.get(&(topic.clone(), Payload(payload.clone()))).map_or(&[], Vec::as_slice)
    }

    /// Takes note of what a client sent.
    pub(super) fn note(
        &mut self,
        (event, at): (usize, Duration),
        place: usize,
        connection: &Connection<'_>,
        sent: &Sent<'_>,
    ) {
        match sent {
            Sent::Packet(packet) => match &**packet {
                Packet::Publish(publish) => {
                    let Some(topic) = self.topic(place, publish) else {
                        self.is_unclear = true;
                        return;
                    };
                    let client = connection.client_id();
                    let publisher =
                        client.map_or(Publisher::Other, |id| Publisher::Client(id.into()));
                    let Publish { qos, retain, payload, properties, .. } = publish;
                    let one = Publication::new((event, at), *qos, *retain, publisher, properties);
                    self.add(topic, payload, properties, one, sent.is_own());
                }
                Packet::Connect(connect) => {
                    let Some(will) = &connect.will else { return };
                    let Will { qos, retain, topic, payload, properties } = will;
                    let other = Publisher::Other;
                    let one = Publication::new((event, at), *qos, *retain, other, properties);
                    self.add(topic.clone(), payload, properties, one, sent.is_own());
                }
                _ => {}
            },
            Sent::Broken(PacketType::Publish | PacketType::Connect, _) | Sent::Noise(_) => {
                self.is_unclear = true;
            }
            Sent::Broken(..) => {}
        }
    }

    /// The topic of a client's PUBLISH. None if that is uncertain: it is not said whether an alias
    /// is set by a message that is refused.
    fn topic(&mut self, place: usize, publish: &Publish) -> Option<Text> {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let aliases = self.aliases.entry(place).or_default();
        match (alias, publish.topic.is_empty()) {
            (_, true) => {
                let (topic, is_only) = aliases.get(&alias?)?;
                is_only.then(|| topic.clone())
            }
            (None, false) => Some(publish.topic.clone()),
            (Some(alias), false) => {
                let topic = publish.topic.clone();
                let entry = aliases.entry(alias).or_insert_with(|| (topic.clone(), true));
                *entry = (topic.clone(), entry.1 && entry.0 == topic);
                Some(topic)
            }
        }
    }

    fn add(
        &mut self,
        topic: Text,
        payload: &Bytes,
        properties: &Properties,
        one: Publication,
        is_own: bool,
    ) {
        // Who sends bytes may have them from elsewhere, and so may others.
        let only = self.topics.entry(topic.clone()).or_insert(true);
        *only &= is_own;
        let forwarded = Forwarded::of(properties);
        match self.messages.entry((topic, Payload(payload.clone()), forwarded)) {
            Entry::Occupied(mut known) => known.get_mut().join(one),
            Entry::Vacant(entry) => {
                let (topic, payload, forwarded) = entry.key();
                let variants = self.variants.entry((topic.clone(), payload.clone())).or_default();
                if variants.len() < VARIANTS {
                    variants.push(forwarded.clone());
                }
                entry.insert(one);
            }
        }
    }
}

impl Publication {
    fn new(
        (event, at): (usize, Duration),
        qos: QoS,
        retain: bool,
        publisher: Publisher,
        properties: &Properties,
    ) -> Publication {
        let expiry = properties.number(PropertyId::MessageExpiryInterval);
        Publication {
            first: event,
            last: event,
            count: 1,
            levels: vec![qos],
            unretained: !retain,
            retained: retain,
            publisher,
            lasts: expiry.is_none(),
            expiry: expiry.map(|expiry| (expiry, expiry)),
            expires: expiry.map(|expiry| at.saturating_add(Duration::from_secs(expiry.into()))),
        }
    }

    /// Adds another publication of an equal message.
    fn join(&mut self, later: Publication) {
        self.last = later.last;
        self.count += later.count;
        for level in later.levels {
            if !self.levels.contains(&level) {
                self.levels.push(level);
            }
        }
        self.unretained |= later.unretained;
        self.retained |= later.retained;
        if self.publisher != later.publisher {
            self.publisher = Publisher::Other;
        }
        self.lasts |= later.lasts;
        self.expiry = match (self.expiry, later.expiry) {
            (Some((longest, shortest)), Some((other, _))) => {
                Some((longest.max(other), shortest.min(other)))
            }
            (one, other) => one.or(other),
        };
        self.expires = match (self.expires, later.expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
