//! Wills (section 3.1.2.5).

use reference_broker::codec::{PropertyId, Publish, Will};

use super::broker::Model;

/// A Will that may be published yet.
#[derive(Clone, Debug)]
pub(crate) struct StoredWill {
    pub(crate) will: Will,
    /// Will Delay Interval.
    pub(crate) delay: u32,
    /// When it is published, once the connection is gone.
    pub(crate) due: Option<u64>,
}

impl StoredWill {
    pub(crate) fn new(will: &Will) -> StoredWill {
        let delay = will.properties.number(PropertyId::WillDelayInterval).unwrap_or(0);
        StoredWill { will: will.clone(), delay, due: None }
    }
}

impl Model {
    pub(crate) fn publish_will(&mut self, client: &str) {
        let will = self.session(client).and_then(|session| session.will.take());
        if let Some(StoredWill { will, .. }) = will {
            self.publish_last_words(client, &will);
        }
    }

    pub(crate) fn publish_last_words(&mut self, client: &str, will: &Will) {
        let mut publish = Publish::new(will.topic.clone(), will.payload.clone());
        (publish.qos, publish.retain) = (will.qos, will.retain);
        publish.properties = will.properties.clone();
        self.publish(client, &publish);
    }
}
