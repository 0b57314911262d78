//! Topic Aliases of one connection, in both directions (section 3.3.2.3.4). They end with it.

use std::collections::BTreeMap;

use crate::codec::{Packet, PropertyId, Publish, QoS, Text};
use crate::topic::TopicName;

/// Topics not longer than this have no alias from the broker: the property takes as much.
const NOT_WORTH_IT: usize = 3;

/// Aliases that the client has set.
#[derive(Debug, Default)]
pub(super) struct InboundAliases {
    topics: BTreeMap<u16, TopicName>,
    /// Of all the topics.
    bytes: usize,
}

impl InboundAliases {
    /// Sets an alias, unless all topics together would have more bytes than `limit`. Says whether it
    /// is set.
    pub(super) fn set(&mut self, alias: u16, topic: TopicName, limit: usize) -> bool {
        let replaced = self.topics.get(&alias).map_or(0, |topic| topic.as_str().len());
        let bytes = self.bytes - replaced + topic.as_str().len();
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        self.topics.insert(alias, topic); // U-3.3.2.3.4-3
        true
    }

    /// Bytes of all the topics.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The topic an alias stands for.
    pub(super) fn get(&self, alias: u16) -> Option<&TopicName> {
        self.topics.get(&alias) // U-3.3.2.3.4-2
    }
}

/// Aliases that the broker has set: the first topics sent over a connection keep theirs.
#[derive(Debug, Default)]
pub(super) struct OutboundAliases {
    /// The highest one that both sides allow.
    pub(super) maximum: u16,
    aliases: BTreeMap<Text, u16>,
}

impl OutboundAliases {
    /// The message as it is to be sent, if `takes` says that it can be. An alias is set by a packet
    /// that does go out, and only by one at QoS 1 or 2: one at QoS 0 may be dropped behind our back.
    pub(super) fn apply(
        &mut self,
        publish: Publish,
        takes: impl Fn(&Packet) -> bool,
    ) -> Option<Packet> {
        let known = self.aliases.get(&publish.topic).copied();
        if let Some(alias) = known {
            let mut publish = publish;
            publish.topic = Text::default();
            publish.properties.push(PropertyId::TopicAlias, u32::from(alias));
            return Some(Packet::from(publish)).filter(takes); // MQTT-3.1.2-25
        }
        let next = u16::try_from(self.aliases.len() + 1).ok();
        let next = next.filter(|alias| *alias <= self.maximum); // MQTT-3.1.2-26, MQTT-3.1.2-27, MQTT-3.3.2-11
        let is_worth_it = publish.topic.len() > NOT_WORTH_IT && publish.qos > QoS::AtMostOnce;
        if let (Some(alias), true) = (next, is_worth_it) {
            let mut setting = publish.clone();
            setting.properties.push(PropertyId::TopicAlias, u32::from(alias)); // MQTT-3.3.2-8
            let setting = Packet::from(setting);
            if takes(&setting) {
                self.aliases.insert(publish.topic, alias);
                return Some(setting);
            }
        }
        Some(Packet::from(publish)).filter(takes) // MQTT-3.1.2-25
    }
}
