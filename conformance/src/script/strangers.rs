//! Messages of other places, which a script with a subscription to all topics gets too.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS};

use super::client_of;

/// Tells messages of others from those of the script, and acknowledges them, so that the broker goes on.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// What the script's own topics contain.
    own: String,
    /// Whether they stand for a topic of others: Topic Aliases, by connection.
    aliases: BTreeMap<(String, u16), bool>,
    /// Packet Identifiers of messages at QoS 2, by client. A PUBREL may come again on the next connection.
    ids: BTreeSet<(String, u16)>,
}

/// What comes of a packet.
#[derive(Debug, PartialEq)]
pub(super) enum Whose {
    /// It is the script's.
    Own,
    /// It has to do with a message of others, and is answered so.
    Others(Option<Packet>),
}

impl Strangers {
    pub(super) fn beside(own: &str) -> Strangers {
        Strangers { own: own.to_owned(), ..Strangers::default() }
    }

    /// Whose a packet is that comes over a connection.
    pub(super) fn tell(&mut self, connection: &str, packet: &Packet) -> Whose {
        let client = client_of(connection).to_owned();
        match packet {
            Packet::Publish(publish) if self.is_strange(connection, publish) => {
                let ack = PublishAck::new(publish.packet_id);
                Whose::Others(match publish.qos {
                    QoS::AtMostOnce => None,
                    QoS::AtLeastOnce => Some(Packet::PubAck(ack)),
                    QoS::ExactlyOnce => {
                        self.ids.insert((client, publish.packet_id));
                        Some(Packet::PubRec(ack))
                    }
                })
            }
            Packet::Publish(publish) => {
                self.ids.remove(&(client, publish.packet_id));
                Whose::Own
            }
            Packet::PubRel(ack) if self.ids.contains(&(client, ack.packet_id)) => {
                Whose::Others(Some(Packet::PubComp(PublishAck::new(ack.packet_id))))
            }
            _ => Whose::Own,
        }
    }

    fn is_strange(&mut self, connection: &str, publish: &Publish) -> bool {
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let alias = alias.and_then(|alias| u16::try_from(alias).ok());
        let aliased = |alias| (connection.to_owned(), alias);
        if publish.topic.is_empty() {
            return alias.is_some_and(|alias| self.aliases.get(&aliased(alias)) == Some(&true));
        }
        let strange = !self.is_own(&publish.topic);
        if let Some(alias) = alias {
            self.aliases.insert(aliased(alias), strange);
        }
        strange
    }

    fn is_own(&self, topic: &str) -> bool {
        // `place/1` is not part of `place/12`.
        let mut parts = topic.split(&self.own).skip(1);
        parts.any(|behind| !behind.starts_with(|c: char| c.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_others_are_acknowledged_and_those_of_the_script_are_left_to_it() {
        let mut strangers = Strangers::beside("t/1");
        let publish = |topic: &str, qos, id| Packet::from(Publish::new(topic, "x").qos(qos, id));
        let ack = |id| PublishAck::new(id);
        let told: Vec<_> = [
            ("a", publish("t/1/x", QoS::AtLeastOnce, 1)),
            ("a", publish("$t/1", QoS::AtLeastOnce, 2)),
            ("a", publish("t/12/x", QoS::AtMostOnce, 0)),
            ("a", publish("t/12/x", QoS::AtLeastOnce, 3)),
            ("a", publish("t/12/x", QoS::ExactlyOnce, 4)),
            ("b", Packet::PubRel(ack(4))),
            ("a.2", Packet::PubRel(ack(4))),
            ("a.3", Packet::PubRel(ack(4))),
            ("a.3", publish("t/1/x", QoS::ExactlyOnce, 4)),
            ("a.3", Packet::PubRel(ack(4))),
        ]
        .map(|(connection, packet)| strangers.tell(connection, &packet))
        .into();
        let others = |answer| Whose::Others(answer);
        let expected = vec![
            Whose::Own,
            Whose::Own,
            others(None),
            others(Some(Packet::PubAck(ack(3)))),
            others(Some(Packet::PubRec(ack(4)))),
            Whose::Own,
            others(Some(Packet::PubComp(ack(4)))),
            others(Some(Packet::PubComp(ack(4)))),
            Whose::Own,
            Whose::Own,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_alias_stands_for_what_it_was_given_for() {
        let mut strangers = Strangers::beside("t/1");
        let mut publish = Publish::new("u/x", "x");
        publish.properties.push(PropertyId::TopicAlias, 1_u32);
        assert_eq!(strangers.tell("a", &publish.clone().into()), Whose::Others(None));
        publish.topic = "".into();
        assert_eq!(strangers.tell("a", &publish.clone().into()), Whose::Others(None));
        assert_eq!(strangers.tell("a.2", &publish.into()), Whose::Own);
    }
}
