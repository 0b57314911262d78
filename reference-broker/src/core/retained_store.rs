//! The retained messages, and how much of them there is, of all and of each who published them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::Text;
use crate::topic::{NameTree, TopicName};

use super::Bounds;
use super::route::Message;

/// Retained messages by their topics.
#[derive(Debug)]
pub(super) struct RetainedStore {
    messages: NameTree<Arc<Message>>,
    bytes: usize,
    by_publisher: BTreeMap<Text, Kept>,
}

/// What one client has published of them.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    messages: usize,
    bytes: usize,
}

impl RetainedStore {
    pub(super) fn new() -> RetainedStore {
        RetainedStore { messages: NameTree::new(), bytes: 0, by_publisher: BTreeMap::new() }
    }

    /// The messages.
    pub(super) fn messages(&self) -> &NameTree<Arc<Message>> {
        &self.messages
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a message in the place of the one that its topic has, which is given back.
    pub(super) fn insert(&mut self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let replaced = self.messages.insert(&message.topic, Arc::clone(message));
        self.bytes += message.retained_size();
        let kept = self.by_publisher.entry(message.publisher.clone()).or_default();
        kept.messages += 1;
        kept.bytes += message.retained_size();
        self.gone(replaced)
    }

    /// Takes the message of a topic away.
    pub(super) fn remove(&mut self, topic: &TopicName) -> Option<Arc<Message>> {
        let removed = self.messages.remove(topic);
        self.gone(removed)
    }

    fn gone(&mut self, message: Option<Arc<Message>>) -> Option<Arc<Message>> {
        let message = message?;
        self.bytes -= message.retained_size();
        if let Some(kept) = self.by_publisher.get_mut(&message.publisher) {
            kept.messages -= 1;
            kept.bytes -= message.retained_size();
            if kept.messages == 0 {
                self.by_publisher.remove(&message.publisher);
            }
        }
        Some(message)
    }

    /// Whether the message can be in the place of the one that its topic has.
    pub(super) fn has_room(&self, message: &Message, bounds: &Bounds) -> bool {
        let mut own = self.by_publisher.get(&message.publisher).copied().unwrap_or_default();
        let (mut messages, mut bytes) = (self.messages.len(), self.bytes);
        if let Some(replaced) = self.messages.get(&message.topic) {
            let size = replaced.retained_size();
            (messages, bytes) = (messages - 1, bytes - size);
            if replaced.publisher == message.publisher {
                own = Kept { messages: own.messages - 1, bytes: own.bytes - size };
            }
        }
        Bounds::allow(own.messages, messages, 1, bounds.retained_messages)
            && Bounds::allow(own.bytes, bytes, message.retained_size(), bounds.retained_bytes)
    }
}
