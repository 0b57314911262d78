//! What the broker was ever told: a bound of what it may answer, and what there is to forget at the end.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, Text};

/// What the broker was ever told.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Client Identifiers, with the users that their sessions were last for.
    pub(super) clients: BTreeMap<Text, Option<Text>>,
    /// Topics that may have a retained message.
    pub(super) topics: BTreeSet<Text>,
    pub(super) filters: BTreeSet<Text>,
    pub(super) messages: usize,
}

impl Census {
    pub(super) fn note(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) => {
                if let Some(will) = &connect.will {
                    self.messages += 1;
                    if will.retain {
                        self.topics.insert(will.topic.clone());
                    }
                }
            }
            Packet::Publish(publish) => {
                self.messages += 1;
                let has_alias = publish.properties.contains(PropertyId::TopicAlias);
                if (publish.retain || has_alias) && !publish.topic.is_empty() {
                    self.topics.insert(publish.topic.clone());
                }
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.subscriptions.iter().map(|each| &each.filter);
                self.filters.extend(filters.cloned());
            }
            _ => {}
        }
    }
}
