//! Messages that no scenario has anything to do with: a broker may subscribe a client by itself
//! (section 4.5), to a topic with a welcome, say, or with its own state.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS};
use reference_broker::topic::{SubscriptionFilter, TopicFilter, TopicName};

use crate::trace::{Event, What};

use super::Probe;

impl Probe {
    /// Whether a packet is a message that nobody here has asked for, or belongs to one. It is
    /// acknowledged, and no step is to see it.
    pub(super) async fn pass_over(&mut self, packet: &Packet) -> bool {
        let answer = match packet {
            Packet::Publish(publish) if self.is_of_strange_topic(publish) => {
                let ack = PublishAck::new(publish.packet_id);
                match publish.qos {
                    QoS::AtMostOnce => return true,
                    QoS::AtLeastOnce => Packet::PubAck(ack),
                    QoS::ExactlyOnce => {
                        self.passed_over.insert(publish.packet_id);
                        Packet::PubRec(ack)
                    }
                }
            }
            Packet::PubRel(ack) if self.passed_over.remove(&ack.packet_id) => {
                Packet::PubComp(PublishAck::new(ack.packet_id))
            }
            _ => return false,
        };
        // A connection that takes nothing more is for the next step to see.
        let _ = self.send(answer).await;
        true
    }

    /// Whether a message is on such a topic, by its name or by a Topic Alias that stands for one.
    fn is_of_strange_topic(&mut self, publish: &Publish) -> bool {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        if publish.topic.is_empty() {
            return alias.is_some_and(|alias| self.strange_aliases.contains(&alias));
        }
        let is_strange = self.is_strange(publish);
        if let Some(alias) = alias {
            match is_strange {
                true => self.strange_aliases.insert(alias),
                false => self.strange_aliases.remove(&alias),
            };
        }
        is_strange
    }

    /// Whether a message is on a topic that nothing in this trace is about: not one of the suite's
    /// own, be it with `$` before it, none that anybody named, and if it begins with `$` none that
    /// this client has asked for.
    fn is_strange(&self, publish: &Publish) -> bool {
        let topic = &*publish.topic;
        let plain = topic.strip_prefix('$').unwrap_or(topic);
        self.is_served
            && !self.context.is_own(plain)
            && !self.context.any(|event| {
                names(&event.what, topic) || self.is_own(event) && asks_for(&event.what, topic)
            })
    }

    /// Whether an event is of this client, on this connection or another.
    fn is_own(&self, event: &Event) -> bool {
        let client =
            |name: &str| name.split_once('.').map_or(name, |(client, _)| client).to_owned();
        client(&event.probe) == client(&self.name)
    }
}

/// Whether something that was sent is a SUBSCRIBE that may bring this topic, which begins with `$`. That
/// wildcards must not (section 4.7.2) is for scenarios to look at.
fn asks_for(what: &What, topic: &str) -> bool {
    let Some(topic) = undollared(topic) else { return false };
    let Ok(name) = TopicName::parse(&topic) else { return false };
    let brings = |filter: &str| {
        let Ok(filter) = SubscriptionFilter::parse(filter) else { return false };
        let filter = filter.filter().as_str();
        let plain = undollared(filter).unwrap_or_else(|| filter.to_owned());
        TopicFilter::parse(&plain).is_ok_and(|filter| filter.matches(&name))
    };
    match what {
        What::Sent(Packet::Subscribe(subscribe)) => {
            subscribe.subscriptions.iter().any(|subscription| brings(&subscription.filter))
        }
        What::SentBytes(bytes) if bytes.first() == Some(&SUBSCRIBE) => {
            (0..bytes.len()).filter_map(|at| text_at(bytes, at)).any(brings)
        }
        _ => false,
    }
}

/// The first byte of a SUBSCRIBE.
const SUBSCRIBE: u8 = 0x82;

/// What stands there as a string, if it is short: its length comes before it.
fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let [0, length, rest @ ..] = bytes.get(at..)? else { return None };
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

/// The text with another character in the place of the `$` that it begins with.
fn undollared(text: &str) -> Option<String> {
    text.strip_prefix('$').map(|rest| format!("_{rest}"))
}

/// Whether something that was sent is about a topic.
fn names(what: &What, topic: &str) -> bool {
    let is_meant = |name: &str| name == topic;
    match what {
        What::Sent(Packet::Publish(publish)) => is_meant(&publish.topic),
        What::Sent(Packet::Subscribe(subscribe)) => {
            subscribe.subscriptions.iter().any(|subscription| is_meant(&subscription.filter))
        }
        What::Sent(Packet::Connect(connect)) => {
            connect.will.as_ref().is_some_and(|will| is_meant(&will.topic))
        }
        What::SentBytes(bytes) => {
            bytes.windows(topic.len()).any(|window| window == topic.as_bytes())
        }
        _ => false,
    }
}
