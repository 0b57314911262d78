//! What is left to a broker though no switch has it: to close on a client that breaks a rule, and to refuse
//! what it does not want.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, PacketType, PropertyId, Publish};
use reference_broker::topic::is_shared;

use crate::boundary::subscriptions::matches;
use crate::mutant::{self, Mutant};
use crate::oracle::tester;
use crate::probe::policies_of;
use crate::script::{Act, Played, Script, Step, client_of};
use crate::target::Variant;
use crate::trace::{Event, What, packet_text};

use super::super::FreeChoice;
use super::super::seeing::Seeing;
use super::super::side_by_side::parting;

/// The choice, if the step by which the two part ways shows one: nothing else differs before it, and what
/// comes behind it follows from it.
pub(super) fn left_open(
    script: &Script,
    base: &Variant,
    seeing: Seeing<'_>,
    other: &Played,
) -> Option<FreeChoice> {
    let own = seeing.played(script, base);
    let step = parting(script, &own, other, seeing.view)?;
    let parting = Parting { own: &own, other, step };
    parting
        .closes_on_a_breach()
        .or_else(|| parting.refuses())
        .or_else(|| parting.shares_otherwise(script))
        .or_else(|| parting.keeps_what_a_member_had(script))
        .or_else(|| parting.takes_the_later_message(script))
        .or_else(|| parting.hands_on_without_lifetime(script))
        .or_else(|| parting.leaves_out_no_lifetime(script))
        .or_else(|| parting.takes_what_came_before(script))
        .or_else(|| parting.delivers_at_the_end())
        .or_else(|| parting.limits_levels(script))
        .or_else(|| parting.has_too_much_to_say(script))
        .or_else(|| parting.keeps_its_own_topics())
}

/// The fault that the step looks like by which the two part ways, if it is one that comes with others that hide it: a
/// Will with a delay that waits though its session has ended.
pub(super) fn hidden(
    script: &Script,
    base: &Variant,
    seeing: Seeing<'_>,
    other: &Played,
) -> Option<&'static Mutant> {
    let own = seeing.played(script, base);
    let step = parting(script, &own, other, seeing.view)?;
    let waits = Parting { own: &own, other, step }.waits_with_a_will(script);
    waits.then(|| mutant::find("3.1/will-waits-though-session-ends")).flatten()
}

/// A CONNACK of a broker that has much to say may have so many bytes.
const LONG_CONNACK: u32 = 80;

/// Of topics with more levels than this a broker may want none.
const MANY_LEVELS: usize = 100;

/// A choice that no switch has.
fn free(name: &str, does: &str, allowed_by: &'static str) -> FreeChoice {
    FreeChoice { name: name.to_owned(), does: does.to_owned(), allowed_by, overlooked: None }
}

/// The messages that clients publish in these steps, each with the connection.
fn published(steps: &[Step]) -> impl Iterator<Item = (&str, &Publish)> {
    steps.iter().filter_map(|step| match &step.act {
        Act::Send(Packet::Publish(publish)) => Some((&*step.connection, publish)),
        _ => None,
    })
}

/// The filters of the Shared Subscriptions that a client makes in these steps.
fn shared_of<'a>(client: &str, steps: &'a [Step]) -> BTreeSet<&'a str> {
    let steps = steps.iter().filter(|it| client_of(&it.connection) == client);
    let filters = steps.filter_map(|it| match &it.act {
        Act::Send(Packet::Subscribe(it)) => Some(it.subscriptions.iter()),
        _ => None,
    });
    filters.flatten().map(|it| &*it.filter).filter(|filter| is_shared(filter)).collect()
}

/// The first message in one of these that is not in the other, and whom it goes to.
fn only<'a>(
    one: &[(&'a str, &'a Publish)],
    other: &[(&'a str, &'a Publish)],
) -> Option<(&'a str, &'a Publish)> {
    let is_in = |(to, publish): &(&str, &Publish)| {
        other.iter().any(|(other_to, it)| other_to == to && it.payload == publish.payload)
    };
    one.iter().find(|it| !is_in(it)).copied()
}

/// The step by which two brokers part ways.
struct Parting<'a> {
    own: &'a Played,
    other: &'a Played,
    step: usize,
}

impl<'a> Parting<'a> {
    fn at_step(&self, played: &'a Played) -> impl Iterator<Item = (usize, &'a Event)> {
        let step = self.step;
        let events = played.trace.iter().enumerate().zip(&played.steps);
        events.filter(move |(_, at)| **at == step).map(|(event, _)| event)
    }

    /// The messages that come in this step, each with the connection.
    fn messages(&self, played: &'a Played) -> Vec<(&'a str, &'a Publish)> {
        let messages = self.at_step(played).filter_map(|(_, event)| match &event.what {
            What::Received(Packet::Publish(publish)) => Some((event.probe.as_str(), publish)),
            _ => None,
        });
        messages.collect()
    }

    /// The message that only the other broker sends, and whom it goes to.
    fn only_there(&self) -> Option<(&'a str, &'a Publish)> {
        only(&self.messages(self.other), &self.messages(self.own))
    }

    /// The message that only the embedded broker sends, and whom it goes to.
    fn only_here(&self) -> Option<(&'a str, &'a Publish)> {
        only(&self.messages(self.own), &self.messages(self.other))
    }

    /// A message for a Shared Subscription goes to another of its members.
    fn shares_otherwise(&self, script: &Script) -> Option<FreeChoice> {
        let (to, publish) = self.only_there()?;
        let there = self.messages(self.other);
        let (instead, _) = self.messages(self.own).into_iter().find(|(own_to, own)| {
            own.payload == publish.payload
                && !there.iter().any(|(to, it)| to == own_to && it.payload == own.payload)
        })?;
        let (to, instead) = (client_of(to), client_of(instead));
        let steps = &script.steps[..self.step.min(script.steps.len())];
        let is_of_both = !shared_of(to, steps).is_disjoint(&shared_of(instead, steps));
        (to != instead && is_of_both).then(|| {
            free(
                "shares-with-another-member",
                "gives a message of a Shared Subscription to another of its members",
                "U-4.8.2-7",
            )
        })
    }

    /// What a member of a Shared Subscription had not acknowledged when its session ended goes to no other.
    fn keeps_what_a_member_had(&self, script: &Script) -> Option<FreeChoice> {
        let (to, publish) = self.only_here()?;
        let steps = &script.steps[..self.step.min(script.steps.len())];
        let before = self.other.trace.iter().zip(&self.other.steps);
        let had = before.take_while(|(_, at)| **at < self.step).find_map(|(event, _)| {
            let What::Received(Packet::Publish(it)) = &event.what else { return None };
            (it.payload == publish.payload).then_some(client_of(&event.probe))
        })?;
        let is_of_both = !shared_of(had, steps).is_disjoint(&shared_of(client_of(to), steps));
        (had != client_of(to) && is_of_both).then(|| {
            free(
                "keeps-what-a-lost-member-had",
                "gives a message that a member of a Shared Subscription had and did not acknowledge to no other \
                 when the member is gone",
                "U-4.8.2-9",
            )
        })
    }

    /// Of two messages under one Packet Identifier, the second of which its client was not to send, the later one
    /// is taken.
    fn takes_the_later_message(&self, script: &Script) -> Option<FreeChoice> {
        let ((to, there), (own_to, here)) = (self.only_there()?, self.only_here()?);
        let steps = &script.steps[..self.step.min(script.steps.len())];
        let under = |publish: &Publish| {
            published(steps)
                .filter(|(_, it)| it.payload == publish.payload)
                .map(|(from, it)| (client_of(from), it.packet_id))
                .collect::<BTreeSet<_>>()
        };
        let is_one = to == own_to && !under(here).is_disjoint(&under(there));
        is_one.then(|| {
            free(
                "takes-the-later-message",
                "takes the later one of two messages that a client sends under one Packet Identifier before PUBREL",
                "MQTT-2.2.1-3",
            )
        })
    }

    /// Of a SUBSCRIBE for which both close, the filters before the one that is wrong are taken, for a session that
    /// lasts.
    fn takes_what_came_before(&self, script: &Script) -> Option<FreeChoice> {
        let (to, publish) = self.only_there()?;
        let is_for_it = |step: &Step| match &step.act {
            Act::Send(Packet::Subscribe(it)) => {
                it.subscriptions.iter().any(|it| matches(&it.filter, &publish.topic))
            }
            _ => false,
        };
        let steps = (1..).zip(&script.steps).take_while(|(number, _)| *number < self.step);
        let refused = steps.filter(|(_, it)| client_of(&it.connection) == client_of(to)).any(
            |(number, step)| {
                let at = Parting { step: number, ..*self };
                let closes = |played| at.closes(played, &step.connection);
                is_for_it(step) && closes(self.own) && closes(self.other)
            },
        );
        refused.then(|| {
            free(
                "takes-what-came-before",
                "takes the filters of a SUBSCRIBE that stand before the one for which it closes",
                "4.13.1",
            )
        })
    }

    /// The Will of a connection that has ended on both, and its session with it, comes from the embedded broker only,
    /// and had a delay.
    fn waits_with_a_will(&self, script: &Script) -> bool {
        let Some((_, publish)) = self.only_here() else { return false };
        let steps = &script.steps[..self.step.min(script.steps.len())];
        let connects = steps.iter().filter_map(|step| match &step.act {
            Act::Send(Packet::Connect(connect)) => Some((&*step.connection, connect)),
            _ => None,
        });
        let mut waiting = connects.filter(|(_, connect)| {
            let lasts = connect.properties.number(PropertyId::SessionExpiryInterval);
            connect.will.as_ref().is_some_and(|will| {
                let delay = will.properties.number(PropertyId::WillDelayInterval);
                will.payload == publish.payload && delay.is_some_and(|it| it > 0)
            }) && lasts.unwrap_or_default() == 0
        });
        let ended = |played: &Played, connection: &str| {
            let events = played.trace.iter().zip(&played.steps).filter(|(_, at)| **at <= self.step);
            events.filter(|(event, _)| event.probe == connection).any(|(event, _)| {
                matches!(
                    event.what,
                    What::ClosedByBroker(_) | What::ClosedByProbe | What::HalfClosed
                )
            })
        };
        waiting.any(|(connection, _)| ended(self.own, connection) && ended(self.other, connection))
    }

    /// A message with a Message Expiry Interval of 0 is handed on by one of both.
    fn hands_on_without_lifetime(&self, script: &Script) -> Option<FreeChoice> {
        let (_, publish) = self.only_there().or_else(|| self.only_here())?;
        let mut all = published(&script.steps);
        let (_, original) = all.find(|(_, it)| it.payload == publish.payload)?;
        let lifetime = original.properties.number(PropertyId::MessageExpiryInterval);
        (lifetime == Some(0)).then(|| {
            free(
                "hands-on-without-lifetime",
                "hands on messages with a Message Expiry Interval of 0, or does not",
                "3.3.2.3.3",
            )
        })
    }

    /// A message with a Message Expiry Interval of 0 comes without it.
    fn leaves_out_no_lifetime(&self, script: &Script) -> Option<FreeChoice> {
        let lifetime = |it: &Publish| it.properties.number(PropertyId::MessageExpiryInterval);
        let there = self.messages(self.other);
        let is_left_out = self.messages(self.own).into_iter().any(|(to, own)| {
            let had_none = published(&script.steps)
                .any(|(_, it)| it.payload == own.payload && lifetime(it) == Some(0));
            had_none
                && there.iter().any(|(other_to, other)| {
                    *other_to == to && other.payload == own.payload && lifetime(other).is_none()
                })
        });
        is_left_out.then(|| {
            free(
                "leaves-out-no-lifetime",
                "sends messages with a Message Expiry Interval of 0 on without it",
                "3.3.2.3.3",
            )
        })
    }

    /// A connection that both brokers close gets a message before, such as the Will of the client itself.
    fn delivers_at_the_end(&self) -> Option<FreeChoice> {
        let (to, _) = self.only_there()?;
        let is_ended = self.closes(self.own, to) && self.closes(self.other, to);
        is_ended.then(|| {
            free(
                "delivers-before-it-closes",
                "sends a connection that it is about to close a message of that moment",
                "3.1.4",
            )
        })
    }

    /// Only the other broker closes on a client that names a topic of very many levels.
    fn limits_levels(&self, script: &Script) -> Option<FreeChoice> {
        let step = script.steps.get(self.step.checked_sub(1)?)?;
        let names = match &step.act {
            Act::Send(Packet::Publish(publish)) => vec![&*publish.topic],
            Act::Send(Packet::Subscribe(it)) => {
                it.subscriptions.iter().map(|it| &*it.filter).collect()
            }
            _ => Vec::new(),
        };
        let is_deep = names.iter().any(|it| it.matches('/').count() >= MANY_LEVELS);
        let closes = |played| self.closes(played, &step.connection);
        (is_deep && closes(self.other) && !closes(self.own)).then(|| {
            free("limits-levels", "closes on a client that names a topic with very many levels, which `run` reports as an advisory", "U-4.7.3-4")
        })
    }

    /// A client that takes small packets only is not accepted, as its CONNACK would be larger: an identifier that is
    /// assigned may be long.
    fn has_too_much_to_say(&self, script: &Script) -> Option<FreeChoice> {
        let step = script.steps.get(self.step.checked_sub(1)?)?;
        let Act::Send(Packet::Connect(connect)) = &step.act else { return None };
        let limit = connect.properties.number(PropertyId::MaximumPacketSize)?;
        let says_nothing = !self.at_step(self.other).any(|(_, event)| {
            event.probe == step.connection && matches!(event.what, What::Received(_))
        });
        let closes = |played| self.closes(played, &step.connection);
        let is_only_there = says_nothing && closes(self.other) && !closes(self.own);
        (limit <= LONG_CONNACK && is_only_there).then(|| {
            free(
                "closes-where-connack-is-too-large",
                "closes on a client that would have to be sent a CONNACK larger than it takes",
                "MQTT-3.1.2-24",
            )
        })
    }

    /// A message of a client under a topic that begins with `$` is not handed on: such topics are the broker's.
    fn keeps_its_own_topics(&self) -> Option<FreeChoice> {
        let (_, publish) = self.only_here()?;
        publish.topic.starts_with('$').then(|| {
            free(
                "keeps-dollar-topics-to-itself",
                "hands on no message that a client publishes under a topic that begins with $, or under some of these",
                "4.7.2",
            )
        })
    }

    /// Whether a connection is closed in this step, or later with nothing between but a DISCONNECT.
    fn closes(&self, played: &'a Played, connection: &str) -> bool {
        let events = played.trace.iter().zip(&played.steps);
        let mut events =
            events.filter(|(event, at)| event.probe == connection && **at >= self.step);
        events.find_map(|(event, at)| match &event.what {
            What::ClosedByBroker(_) => Some(true),
            What::Received(Packet::Disconnect(_)) => None,
            _ if *at == self.step => None,
            _ => Some(false),
        }) == Some(true)
    }

    /// The client breaks a rule in this step, and only the other broker ends its connection.
    fn closes_on_a_breach(&self) -> Option<FreeChoice> {
        let rules = tester::judge(&self.other.trace);
        self.at_step(self.other).find_map(|(index, event)| {
            let broken = rules.iter().find(|rule| rule.event == Some(index))?;
            let requirement = broken.requirement?;
            let is_only_there =
                self.closes(self.other, &event.probe) && !self.closes(self.own, &event.probe);
            is_only_there.then(|| FreeChoice {
                name: format!("closes-for-{requirement}"),
                does: format!("closes on a client that breaks {requirement} ({})", broken.expected),
                allowed_by: "4.13.1",
                overlooked: None,
            })
        })
    }

    /// Only the other broker refuses, with a code that leaves the reason to it.
    fn refuses(&self) -> Option<FreeChoice> {
        self.at_step(self.other).find_map(|(_, event)| {
            let What::Received(packet) = &event.what else { return None };
            let allowed_by = table_of(packet.packet_type())?;
            let refuses_too = self.at_step(self.own).any(|(_, own)| {
                own.probe == event.probe
                    && matches!(&own.what, What::Received(own) if policies_of(own).next().is_some())
            });
            let is_unwilling = policies_of(packet).next().is_some() && !refuses_too;
            is_unwilling.then(|| FreeChoice {
                name: format!("refuses-by-{}", packet.packet_type().name()),
                does: format!("refuses a request by policy: {}", packet_text(packet)),
                allowed_by,
                overlooked: None,
            })
        })
    }
}

/// Where the Reason Codes of a packet stand.
fn table_of(packet: PacketType) -> Option<&'static str> {
    match packet {
        PacketType::ConnAck => Some("3.2.2.2"),
        PacketType::PubAck => Some("3.4.2.1"),
        PacketType::PubRec => Some("3.5.2.1"),
        PacketType::SubAck => Some("3.9.3"),
        PacketType::UnsubAck => Some("3.11.3"),
        PacketType::Disconnect => Some("3.14.2.1"),
        _ => None,
    }
}
