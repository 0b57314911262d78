//! Where on a broker a script is played.

use reference_broker::codec::{Packet, Properties, PropertyId, Text, Value};

use super::{Act, Script};

/// What stands for `~`, so that one playing keeps clear of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In topics: the levels below which all of it is.
    pub topics: String,
    /// In Client Identifiers: what they begin with. It has no more bytes than those need.
    pub clients: String,
}

impl Place {
    /// The script as it is sent there. Bytes that are no packet stay as they are.
    pub fn script(&self, script: &Script) -> Script {
        let mut script = script.clone();
        for step in &mut script.steps {
            if let Act::Send(packet) = &mut step.act {
                self.packet(packet);
            }
        }
        script
    }

    /// What is to be replaced in a trace from there so that it is as if played in no place; see
    /// [`normalise`](crate::trace::normalise).
    pub fn replacements(&self) -> Vec<(String, &'static str)> {
        vec![(self.topics.clone(), "~"), (self.clients.clone(), "~")]
    }

    fn packet(&self, packet: &mut Packet) {
        match packet {
            Packet::Connect(connect) => {
                connect.client_id = replaced(&connect.client_id, &self.clients);
                if let Some(will) = &mut connect.will {
                    will.topic = replaced(&will.topic, &self.topics);
                    self.properties(&mut will.properties);
                }
            }
            Packet::Publish(publish) => {
                publish.topic = replaced(&publish.topic, &self.topics);
                self.properties(&mut publish.properties);
            }
            Packet::Subscribe(subscribe) => {
                for subscription in &mut subscribe.subscriptions {
                    subscription.filter = replaced(&subscription.filter, &self.topics);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &mut unsubscribe.filters {
                    *filter = replaced(filter, &self.topics);
                }
            }
            _ => {}
        }
    }

    fn properties(&self, properties: &mut Properties) {
        let Some(topic) = properties.text(PropertyId::ResponseTopic) else { return };
        let topic = Value::String(replaced(topic, &self.topics));
        properties.set(PropertyId::ResponseTopic, topic);
    }
}

fn replaced(text: &Text, by: &str) -> Text {
    match text.contains('~') {
        true => text.replace('~', by).into(),
        false => text.clone(),
    }
}
