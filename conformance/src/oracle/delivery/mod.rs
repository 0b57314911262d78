//! Every delivery against what was published and what was subscribed to.

mod publications;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_broker::codec::{Packet, PropertyId, Publish, QoS, RetainHandling, Text};
use reference_broker::topic::TopicName;

use super::connections::{Connection, Passed, Reading, Received, Step};
use super::subscriptions::{self, Client, Subscription};
use super::{Findings, Oracle};
use crate::trace::packet_text;
use publications::{Forwarded, Publication, Publications, Publisher};

pub(super) const ORACLE: Oracle = Oracle {
    name: "delivery",
    holds: "What the broker delivers was published like this, and subscribed to",
    requirements: &[
        "MQTT-3.3.1-8",
        "MQTT-3.3.1-11",
        "MQTT-3.3.1-12",
        "MQTT-3.3.1-13",
        "MQTT-3.3.2-3",
        "MQTT-3.3.2-4",
        "MQTT-3.3.2-6",
        "MQTT-3.3.2-15",
        "MQTT-3.3.2-16",
        "MQTT-3.3.2-17",
        "MQTT-3.3.2-18",
        "MQTT-3.3.2-20",
        "MQTT-3.3.4-3",
        "MQTT-3.8.3-3",
        "MQTT-3.8.4-3",
        "MQTT-3.8.4-8",
        "MQTT-3.10.4-2",
        "U-3.3.2.3.3-1",
        "U-3.3.2.3.7-1",
        "U-3.3.3-1",
        "U-3.3.4-4",
        "U-3.8.4-3",
        "U-4.3.1-1",
    ],
    judge,
};

/// How much a Message Expiry Interval may be lower than the time since publication makes it, for
/// rounding on either side.
const ROUNDING: Duration = Duration::from_secs(2);

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let mut deliveries = Deliveries {
        clients: subscriptions::clients(&reading.connections),
        publications: Publications::default(),
        aliases: BTreeMap::new(),
        copies: BTreeMap::new(),
        stranger: reading.stranger_from(),
        has_retained: reading.connections.iter().all(has_retained_messages),
        has_addition: false,
        findings,
    };
    for Step { at: event, place, connection, passed } in reading.steps() {
        let at = reading.time(event);
        match passed {
            Passed::Sent(sent) => {
                deliveries.publications.note((event, at), place, connection, sent);
            }
            Passed::Received(Received::Packet(Packet::Publish(publish))) => {
                if let Some(topic) = deliveries.topic(place, publish) {
                    let delivery = Delivery { event, at, place, connection, topic, publish };
                    deliveries.judge(&delivery);
                }
            }
            // It may have set any alias.
            Passed::Received(Received::Broken(..)) => {
                deliveries.aliases.remove(&place);
            }
            Passed::Received(Received::Packet(_)) => {}
        }
    }
}

fn has_retained_messages(connection: &Connection<'_>) -> bool {
    connection.accepted().is_none_or(|(_, connack)| {
        connack.properties.number(PropertyId::RetainAvailable) != Some(0)
    })
}

/// A message that the broker delivered.
struct Delivery<'d> {
    event: usize,
    at: Duration,
    place: usize,
    connection: &'d Connection<'d>,
    topic: TopicName,
    publish: &'d Publish,
}

impl Delivery<'_> {
    /// Whether the session began with this connection.
    fn is_in_new_session(&self) -> bool {
        let starts_clean = self.connection.connect().is_some_and(|(_, it)| it.clean_start);
        let accepted = self.connection.accepted();
        starts_clean || accepted.is_some_and(|(_, connack)| !connack.session_present)
    }

    fn identifiers(&self) -> impl Iterator<Item = u32> {
        self.publish.properties.numbers(PropertyId::SubscriptionIdentifier)
    }
}

struct Deliveries<'t, 'f> {
    clients: BTreeMap<&'t str, Client>,
    publications: Publications,
    /// By connection: the aliases that the broker has set.
    aliases: BTreeMap<usize, BTreeMap<u32, Text>>,
    /// By connection and first event of a publication: how often it was delivered.
    copies: BTreeMap<(usize, usize), usize>,
    /// From where on any client may have any subscription.
    stranger: Option<usize>,
    /// Whether the broker says nowhere that it has no retained messages.
    has_retained: bool,
    /// Whether it was seen to add User Properties.
    has_addition: bool,
    findings: &'f mut Findings,
}

impl Deliveries<'_, '_> {
    /// The topic of a message, through aliases.
    fn topic(&mut self, place: usize, publish: &Publish) -> Option<TopicName> {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let topic = match (alias, publish.topic.is_empty()) {
            (Some(alias), true) => self.aliases.get(&place)?.get(&alias)?,
            (Some(alias), false) => {
                self.aliases.entry(place).or_default().insert(alias, publish.topic.clone());
                &publish.topic
            }
            (None, _) => &publish.topic,
        };
        TopicName::parse(topic).ok()
    }

    fn judge(&mut self, delivery: &Delivery<'_>) {
        if !delivery.connection.is_ours() {
            return;
        }
        let topic = Text::from(delivery.topic.as_str());
        let is_published = self.publications.are_on(&topic);
        // What cannot be told may have been published at any time.
        let is_clear = !self.publications.is_unclear && is_published;
        let publication = self.publications.find(&topic, delivery.publish);
        let with_more = || self.publications.find_with_more(&topic, delivery.publish);
        let (publication, is_added_to) = match publication {
            None if is_clear => with_more().map_or((None, false), |found| (Some(found), true)),
            found => (found.filter(|_| is_clear), false),
        };
        let client = delivery.connection.client_id().and_then(|id| self.clients.get(id));
        let client = client.filter(|client| self.is_clear(client, delivery));
        let mut add = |requirement, expected: &str| {
            let observed = packet_text(&Packet::Publish(delivery.publish.clone()));
            self.findings.add(requirement, delivery.event, expected, observed);
        };
        // Of what is added nothing is said, but that all of the publisher's own is there, in order.
        if is_added_to && !std::mem::replace(&mut self.has_addition, true) {
            add("U-3.3.2.3.7-1", "no User Property that nobody published"); // U-3.3.2.3.7-1
        }
        let published = publication.map_or(0, |publication| publication.first);
        let (mut matching, mut active) = (Vec::new(), Vec::new());
        if let Some(client) = client {
            matching = subscriptions(client, delivery);
            active.clone_from(&matching);
            active.retain(|subscription| subscription.may_bring(published));
            judge_subscriptions(&matching, &active, delivery, is_published, &mut add);
        }
        match publication {
            Some(publication) => {
                let copies = self.copies.entry((delivery.place, publication.first)).or_default();
                *copies += 1;
                judge_copies(publication, &matching, &active, *copies, &mut add);
                judge_expiry(publication, delivery, &mut add);
                judge_level(publication, &active, delivery.publish, &mut add);
                judge_retain(publication, &active, delivery.publish, self.has_retained, &mut add);
                judge_no_local(publication, &active, delivery, &mut add);
            }
            None if is_clear => {
                let payload = &delivery.publish.payload;
                let variants = self.publications.variants(&topic, payload);
                judge_content(variants, delivery.publish, &mut add);
            }
            None => {}
        }
    }

    /// Whether all subscriptions that may have brought a delivery are known.
    fn is_clear(&self, client: &Client, delivery: &Delivery<'_>) -> bool {
        let is_known = || {
            delivery.connection.is_own()
                && self.stranger.is_none_or(|stranger| stranger > delivery.event)
        };
        client.is_clear(delivery.event) && (delivery.is_in_new_session() || is_known())
    }
}

/// The subscriptions for which a message may have been delivered.
fn subscriptions<'c>(client: &'c Client, delivery: &Delivery<'_>) -> Vec<&'c Subscription> {
    let is_new = delivery.is_in_new_session();
    client
        .matching(&delivery.topic)
        .filter(|subscription| subscription.sent < delivery.event)
        .filter(|subscription| !is_new || subscription.connection == delivery.place)
        .collect()
}

/// `active` are those of the subscriptions that may bring what was published when this was.
fn judge_subscriptions(
    matching: &[&Subscription],
    active: &[&Subscription],
    delivery: &Delivery<'_>,
    is_published: bool,
    mut add: impl FnMut(&'static str, &str),
) {
    if matching.is_empty() {
        // A broker may subscribe a client to topics of its own.
        if is_published {
            add("MQTT-3.3.2-3", "no message without a subscription that matches it"); // MQTT-3.3.2-3
        }
        return;
    }
    if active.is_empty() {
        add("MQTT-3.10.4-2", "no message that was published after UNSUBACK"); // MQTT-3.10.4-2
        return;
    }
    let has = |identifier| active.iter().any(|one| one.identifier == Some(identifier));
    if delivery.identifiers().any(|identifier| !has(identifier)) {
        add("U-3.3.4-4", "only Subscription Identifiers of subscriptions that match"); // U-3.3.4-4
    }
    let accepted = delivery.connection.accepted();
    let has_identifiers = accepted.is_some_and(|(_, connack)| {
        connack.properties.number(PropertyId::SubscriptionIdentifierAvailable) != Some(0)
    });
    let all_have = active.iter().all(|one| one.identifier.is_some());
    if has_identifiers && all_have && delivery.identifiers().next().is_none() {
        add("MQTT-3.3.4-3", "the Subscription Identifier of a subscription that matches"); // MQTT-3.3.4-3
    }
}

fn judge_level(
    publication: &Publication,
    active: &[&Subscription],
    publish: &Publish,
    mut add: impl FnMut(&'static str, &str),
) {
    let granted: Vec<QoS> = match active {
        [] => QoS::ALL.to_vec(),
        _ => active.iter().flat_map(|one| &one.granted).copied().collect(),
    };
    let levels = &publication.levels;
    let fits = |level: &QoS| granted.iter().any(|granted| publish.qos == *level.min(granted));
    if !levels.iter().any(fits) {
        add("MQTT-3.8.4-8", "the lower one of the QoS published and the QoS granted"); // MQTT-3.8.4-8
    }
}

/// Of what may be retained there are copies for each SUBSCRIBE, and members share as they like.
fn judge_copies(
    publication: &Publication,
    matching: &[&Subscription],
    active: &[&Subscription],
    copies: usize,
    mut add: impl FnMut(&'static str, &str),
) {
    let is_shared = matching.iter().any(|one| one.filter.is_shared());
    let filters: BTreeSet<_> = active.iter().map(|one| one.filter.filter()).collect();
    let is_told = !filters.is_empty() && !is_shared && !publication.retained;
    if !is_told || copies <= publication.count * filters.len() {
        return;
    }
    if matching.len() > filters.len() {
        add("MQTT-3.8.4-3", "one copy by a filter that was subscribed to again"); // MQTT-3.8.4-3
    } else if publication.levels == [QoS::AtMostOnce] {
        add("U-4.3.1-1", "one copy at QoS 0 for each subscription that matches"); // U-4.3.1-1
    }
}

/// Whether a message can have come only because it was kept: all that match were subscribed to later.
fn is_kept(publication: &Publication, active: &[&Subscription]) -> bool {
    !active.is_empty() && active.iter().all(|one| one.sent > publication.last)
}

fn judge_retain(
    publication: &Publication,
    active: &[&Subscription],
    publish: &Publish,
    has_retained: bool,
    mut add: impl FnMut(&'static str, &str),
) {
    let keeps = |one: &&Subscription| one.options.retain_as_published;
    let any_keeps = active.iter().any(keeps);
    if !publish.retain {
        let all_keep = !active.is_empty() && active.iter().all(keeps);
        if all_keep && !publication.unretained && has_retained {
            add("MQTT-3.3.1-13", "RETAIN 1, as published"); // MQTT-3.3.1-13
        }
    } else if !publication.retained && is_kept(publication, active) {
        add("MQTT-3.3.1-8", "no retained message, as it was published with RETAIN 0"); // MQTT-3.3.1-8
    } else if !publication.retained {
        let requirement = if any_keeps { "MQTT-3.3.1-13" } else { "MQTT-3.3.1-12" };
        add(requirement, "RETAIN 0, as published"); // MQTT-3.3.1-12
    } else if !active.is_empty() && !any_keeps {
        // RETAIN 1 says that this was kept, and sent for a subscription that was new.
        let shared = |one: &&Subscription| one.filter.is_shared();
        let unasked =
            |one: &&Subscription| one.options.retain_handling == RetainHandling::DoNotSend;
        // Who was subscribed before it was published got it as a new message.
        let is_live = active.iter().all(|one| one.sent < publication.first);
        let is_unasked = active.iter().all(|one| shared(one) || unasked(one));
        if is_live && is_unasked {
            add("MQTT-3.3.1-12", "RETAIN 0 on a message that is new"); // MQTT-3.3.1-12
        } else if is_unasked {
            // Where there are both, its QoS may say for which of them it came.
            let gives = |one: &Subscription, level: QoS| {
                one.granted.iter().any(|granted| level.min(*granted) == publish.qos)
            };
            let fits =
                |one: &&&Subscription| publication.levels.iter().any(|level| gives(one, *level));
            let fitting = || active.iter().filter(fits);
            if fitting().all(shared) {
                add("U-3.8.4-3", "no retained message for a Shared Subscription"); // U-3.8.4-3
            } else if !fitting().any(shared) {
                add("MQTT-3.3.1-11", "no retained message with Retain Handling 2"); // MQTT-3.3.1-11
            }
        }
    }
}

/// A Will is left out, as is what was retained: whose they are is read in two ways.
fn judge_no_local(
    publication: &Publication,
    active: &[&Subscription],
    delivery: &Delivery<'_>,
    mut add: impl FnMut(&'static str, &str),
) {
    let Publisher::Client(publisher) = &publication.publisher else { return };
    let is_local = delivery.connection.client_id() == Some(&**publisher);
    let all_bar = !active.is_empty() && active.iter().all(|one| one.options.no_local);
    if is_local && all_bar && !delivery.publish.retain && !publication.retained {
        add("MQTT-3.8.3-3", "none of the client's own messages with No Local 1"); // MQTT-3.8.3-3
    }
}

fn judge_expiry(
    publication: &Publication,
    delivery: &Delivery<'_>,
    mut add: impl FnMut(&'static str, &str),
) {
    let left = delivery.publish.properties.number(PropertyId::MessageExpiryInterval);
    let (longest, shortest) = publication.expiry.unzip();
    if shortest == Some(0) {
        return; // Whether it may be delivered at all is open.
    }
    match left {
        None if publication.lasts => {}
        None => add("MQTT-3.3.2-6", "what is left of the Message Expiry Interval"), // MQTT-3.3.2-6
        Some(left) => {
            let expires = delivery.at + Duration::from_secs(left.into()) + ROUNDING;
            let Some(longest) = longest else {
                add("U-3.3.2.3.3-1", "no Message Expiry Interval, as none was published"); // U-3.3.2.3.3-1
                return;
            };
            if left > longest {
                add("MQTT-3.3.2-6", "no Message Expiry Interval above the one published"); // MQTT-3.3.2-6
            } else if publication.expires.is_some_and(|earliest| expires < earliest) {
                add("MQTT-3.3.2-6", "a Message Expiry Interval less only the time that passed"); // MQTT-3.3.2-6
            }
        }
    }
}

/// Says in what a message differs from all that was published to its topic.
fn judge_content(
    variants: &[Forwarded],
    publish: &Publish,
    mut add: impl FnMut(&'static str, &str),
) {
    let found = Forwarded::of(&publish.properties);
    let closest = variants.iter().map(|variant| differences(variant, &found));
    match closest.min_by_key(Vec::len) {
        None => add("U-3.3.3-1", "a payload that was published to this topic"), // U-3.3.3-1
        Some(differences) => {
            for (requirement, what) in differences {
                add(requirement, &format!("{what} as published"));
            }
        }
    }
}

fn differences(published: &Forwarded, found: &Forwarded) -> Vec<(&'static str, &'static str)> {
    let has_order = published.keeps_users(found);
    let has_all = has_order || published.keeps_all_users(found);
    [
        (published.is_text == found.is_text, "MQTT-3.3.2-4", "Payload Format Indicator"), // MQTT-3.3.2-4
        (published.response_topic == found.response_topic, "MQTT-3.3.2-15", "Response Topic"), // MQTT-3.3.2-15
        (published.correlation_data == found.correlation_data, "MQTT-3.3.2-16", "Correlation Data"), // MQTT-3.3.2-16
        (has_all, "MQTT-3.3.2-17", "User Properties"), // MQTT-3.3.2-17
        (!has_all || has_order, "MQTT-3.3.2-18", "the order of User Properties"), // MQTT-3.3.2-18
        (published.content_type == found.content_type, "MQTT-3.3.2-20", "Content Type"), // MQTT-3.3.2-20
    ]
    .into_iter()
    .filter(|(is_same, ..)| !is_same)
    .map(|(_, requirement, what)| (requirement, what))
    .collect()
}
