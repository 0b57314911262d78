//! Rules for messages: PUBLISH packets in either direction, and why they go out.

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};
use reference_broker::core::ConnectionId;

use super::{Act, At, outward, reads, through, writes};
use crate::boundary::Rule;

/// Why a message goes out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was published, or one before it was acknowledged.
    Publish,
    /// A SUBSCRIBE brings it; it was retained.
    Subscribe,
    /// The session was resumed; it waited, or is sent again.
    Resume,
}

/// What tells messages apart for rules that remember them: topic and payload.
pub type Key = (Text, Bytes);

/// The key of a message.
pub fn key(publish: &Publish) -> Key {
    (publish.topic.clone(), publish.payload.clone())
}

impl Act<'_, '_> {
    /// The broker finds a message acknowledged, whether or not the client has seen it.
    pub fn settle(&mut self, publish: &Publish) {
        let id = publish.packet_id;
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.receive(Packet::PubAck(PublishAck::new(id))),
            // An error ends the exchange without a PUBREL.
            QoS::ExactlyOnce => {
                let error = ReasonCode::UnspecifiedError;
                self.receive(Packet::PubRec(PublishAck::because(id, error)));
            }
        }
    }
}

/// Alters messages that clients publish.
pub fn published(mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Alters messages on their way to clients.
pub fn delivered(mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Loses messages on their way to clients; the broker takes them for acknowledged.
pub fn loses(mut which: impl FnMut(&Publish, At<'_>) -> bool + Send + 'static) -> Box<dyn Rule> {
    outward(move |packet, at, act| match packet {
        Packet::Publish(publish) if which(&publish, at) => act.settle(&publish),
        packet => act.send(packet),
    })
}

/// Alters messages that go out for this cause.
pub fn delivered_for(
    cause: Cause,
    mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    remembers(
        (),
        |(), _, _| (),
        move |(), mut publish, now, at, act| {
            if now == cause {
                alter(&mut publish, at);
            }
            act.send(publish);
        },
    )
}

/// Goes through messages on their way to clients, with their cause and a memory that packets from
/// clients fill; what it does not [`Act::send`] is lost.
pub fn remembers<S: Send + 'static>(
    memory: S,
    mut inward: impl FnMut(&mut S, &mut Packet, At<'_>) + Send + 'static,
    mut outward: impl FnMut(&mut S, Publish, Cause, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    through(
        (memory, None::<(ConnectionId, Cause)>),
        move |(memory, going), mut packet, at, act| {
            *going = None;
            inward(memory, &mut packet, at);
            act.receive(packet);
        },
        move |(memory, going), packet, at, act| {
            let connection = at.connection;
            match packet {
                Packet::SubAck(_) => *going = Some((connection, Cause::Subscribe)),
                Packet::ConnAck(ref connack) if connack.session_present => {
                    *going = Some((connection, Cause::Resume));
                }
                Packet::Publish(publish) => {
                    let cause = going.filter(|(to, _)| *to == connection).map(|(_, cause)| cause);
                    let cause = cause.unwrap_or(Cause::Publish);
                    return outward(memory, publish, cause, at, act);
                }
                _ => {}
            }
            act.send(packet);
        },
    )
}

/// Removes retained messages behind the clients' backs: those of the topics that `which` names at
/// a packet from a client, once the core has taken that in.
pub fn removes_retained(
    mut which: impl FnMut(&Packet, At<'_>) -> Vec<Text> + Send + 'static,
) -> Box<dyn Rule> {
    const SECRET: (&str, &str) = ("of", "the boundary");
    let secret = |publish: &Publish| publish.properties.user_properties().any(|it| it == SECRET);
    through(
        (),
        move |(), packet, at, act| {
            let topics = which(&packet, at);
            let removals = topics.into_iter().map(|topic| {
                Publish::new(topic, "").retain().with(PropertyId::UserProperty, SECRET)
            });
            act.receive_with(packet, removals);
        },
        move |(), packet, _, act| match packet {
            Packet::Publish(publish) if secret(&publish) => {}
            packet => act.send(packet),
        },
    )
}
