//! PUBLISH: its flags, its topic and its answers.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Fault, Packet, PropertyId, Publish, PublishAck, QoS, Subscribe, Text,
};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Mutant;
use super::s3_08_options::is_plain;
use crate::boundary::rules::messages::{Cause, Key, delivered, delivered_for, key, remembers};
use crate::boundary::rules::{answers, inward, reads, through, writes};
use crate::boundary::{Boundary, Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    [answered(), flags(), topics()].into_iter().flatten().collect()
}

fn answered() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/puback-at-qos-0",
            "A message at QoS 0 is answered by PUBACK",
            &["MQTT-3.3.4-1", "U-4.3.1-1"],
            || {
                vec![inward(|packet, _, act| {
                    let at_0 = |publish: &Publish| publish.qos == QoS::AtMostOnce;
                    let is_answered = matches!(&packet, Packet::Publish(it) if at_0(it));
                    act.receive(packet);
                    if is_answered {
                        act.send(Packet::PubAck(PublishAck::new(1)));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/puback-for-qos-2-too",
            "A message at QoS 2 from who has sent one at QoS 0 is answered by PUBREC and PUBACK",
            &["MQTT-3.3.4-1"],
            || {
                vec![through(
                    BTreeSet::<ConnectionId>::new(),
                    |at_0, packet, at, act| {
                        let is_at_0 = |it: &Publish| it.qos == QoS::AtMostOnce;
                        if matches!(&packet, Packet::Publish(it) if is_at_0(it)) {
                            at_0.insert(at.connection);
                        }
                        act.receive(packet);
                    },
                    |at_0, packet, at, act| {
                        let more = match &packet {
                            Packet::PubRec(ack) if at_0.contains(&at.connection) => {
                                Some(PublishAck::new(ack.packet_id))
                            }
                            _ => None,
                        };
                        act.send(packet);
                        more.into_iter().for_each(|ack| act.send(Packet::PubAck(ack)));
                    },
                )]
            },
        ),
        Mutant::new(
            "3.3/answers-with-15-bits",
            "Answers carry the lower 15 bits of the Packet Identifier",
            &["MQTT-2.2.1-5"],
            || {
                vec![writes(|packet, _| {
                    if let Packet::PubAck(ack) = packet
                        && ack.packet_id > 0x8000
                    {
                        ack.packet_id &= 0x7FFF;
                    }
                })]
            },
        ),
    ]
}

/// Alters messages that are at QoS 0, or that are not, if they came with DUP 1.
fn came_with_dup(alter: fn(&mut Publish)) -> Rules {
    vec![remembers(
        BTreeSet::<Key>::new(),
        |came, packet, _| {
            if let Packet::Publish(publish) = packet
                && publish.dup
            {
                came.insert(key(publish));
            }
        },
        move |came, mut publish, _, _, act| {
            if came.contains(&key(&publish)) {
                alter(&mut publish);
            }
            act.send(publish);
        },
    )]
}

fn flags() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/dup-passed-on",
            "DUP of a message at QoS 1 or 2 is passed on to subscribers",
            &["MQTT-3.3.1-3"],
            || came_with_dup(|publish| publish.dup |= publish.qos > QoS::AtMostOnce),
        ),
        Mutant::new(
            "3.3/dup-passed-on-at-qos-0",
            "DUP of a message at QoS 0 is passed on to subscribers",
            &["MQTT-3.3.1-2"],
            || came_with_dup(|publish| publish.dup |= publish.qos == QoS::AtMostOnce),
        ),
        Mutant::new(
            "3.3/dup-taken-for-known",
            "A QoS 1 message with DUP 1 is acknowledged and not delivered",
            &["U-3.3.1.1-1"],
            || {
                vec![answers(|packet, _| match packet {
                    Packet::Publish(publish) if publish.dup && publish.qos == QoS::AtLeastOnce => {
                        Some(vec![Packet::PubAck(PublishAck::new(publish.packet_id))])
                    }
                    _ => None,
                })]
            },
        ),
        Mutant::new(
            "3.3/dup-lost-at-qos-2",
            "QoS 2 messages that are sent again have DUP 0",
            &["MQTT-3.3.1-1"],
            || vec![delivered(|publish, _| publish.dup &= publish.qos < QoS::ExactlyOnce)],
        ),
        Mutant::new(
            "3.3/dup-from-queue",
            "The first copies of messages that waited have DUP 1",
            &["MQTT-3.3.1-3"],
            || {
                vec![delivered_for(Cause::Resume, |publish, _| {
                    publish.dup = publish.qos > QoS::AtMostOnce;
                })]
            },
        ),
    ]
}

fn topics() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.3/plus-takes-all-below",
            "A filter such as a/b/+/c matches whatever its last level is",
            &["MQTT-3.3.2-3"],
            || {
                vec![reads(|packet, _| {
                    let Packet::Subscribe(Subscribe { subscriptions, .. }) = packet else { return };
                    for subscription in subscriptions {
                        if let Some((above, last)) = subscription.filter.split_once("/+/")
                            && is_plain(above)
                            && above.contains('/')
                            && !last.contains(['/', '+', '#'])
                        {
                            subscription.filter = Text::from(format!("{above}/+/+"));
                        }
                    }
                })]
            },
        ),
        Mutant::new(
            "3.3/wildcard-topic-passed-on",
            "A message to a topic with a wildcard in it is passed on",
            &["MQTT-3.3.2-2", "MQTT-4.7.0-1"],
            || {
                passes_on(Fault::WildcardInTopicName, After::Goes, |publish| {
                    let above = publish.topic.rsplit_once('/').map_or("", |(above, _)| above);
                    publish.topic = Text::from(format!("{above}/+"));
                })
            },
        ),
        Mutant::new(
            "3.3/dup-kept-at-qos-0",
            "A QoS 0 message with DUP 1 is passed on with it before its sender is cut off",
            &["MQTT-3.3.1-2"],
            || passes_on(Fault::DupOnQoS0, After::Closes, |publish| publish.dup = true),
        ),
        Mutant::new(
            "3.3/response-topic-with-wildcard-dropped",
            "A message is passed on without its Response Topic if that has a wildcard",
            &["MQTT-3.3.2-15"],
            || passes_on(Fault::ResponseTopicInvalid, After::Closes, |_| ()),
        ),
        Mutant::new(
            "3.3/response-topic-with-wildcard-kept",
            "A message is passed on with a Response Topic that has a wildcard",
            &["MQTT-3.3.2-14"],
            || {
                passes_on(Fault::ResponseTopicInvalid, After::Closes, |publish| {
                    publish.properties.push(PropertyId::ResponseTopic, "answers/+");
                })
            },
        ),
    ]
}

/// What becomes of a connection after bytes that should end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Goes,
    Closes,
}

/// Passes a message on that the decoder refuses for this fault. What it was is not known behind the
/// decoder: it is taken to be on the topic of its sender's message before, and put to rights, or
/// wrongs, for its receivers.
struct PassesOn {
    fault: Fault,
    after: After,
    as_if: fn(&mut Publish),
    topics: BTreeMap<ConnectionId, Text>,
}

fn passes_on(fault: Fault, after: After, as_if: fn(&mut Publish)) -> Rules {
    vec![Box::new(PassesOn { fault, after, as_if, topics: BTreeMap::new() })]
}

const PASSED_ON: (&str, &str) = ("passed on", "by the boundary");

impl Rule for PassesOn {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        match &input {
            Input::Malformed(connection, _, error) if error.fault == self.fault => {
                if let Some(topic) = self.topics.get(connection) {
                    let publish = Publish::new(topic.clone(), "passed on");
                    let publish = publish.with(PropertyId::UserProperty, PASSED_ON);
                    boundary.pass(Input::Received(*connection, publish.into()));
                }
                if self.after == After::Goes {
                    return;
                }
            }
            Input::Received(connection, Packet::Publish(publish)) => {
                self.topics.insert(*connection, publish.topic.clone());
            }
            _ => {}
        }
        boundary.pass(input);
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        let output = match output {
            Output::Send(connection, Packet::Publish(mut publish))
                if publish.properties.user_properties().any(|pair| pair == PASSED_ON) =>
            {
                publish.properties.retain(|property| property.id != PropertyId::UserProperty);
                (self.as_if)(&mut publish);
                Output::Send(connection, publish.into())
            }
            output => output,
        };
        boundary.emit(output);
    }
}
