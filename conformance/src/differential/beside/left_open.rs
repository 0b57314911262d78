//! What is left to a broker though no switch has it: to close on a client that breaks a rule, and to refuse
//! what it does not want.

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, PacketType, Publish};
use reference_broker::topic::is_shared;

use crate::oracle::tester;
use crate::probe::policies_of;
use crate::script::{Act, Played, Script, client_of};
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
    let choice = parting.closes_on_a_breach().or_else(|| parting.refuses());
    choice.or_else(|| parting.shares_otherwise(script)).or_else(|| parting.delivers_at_the_end())
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
        let own = self.messages(self.own);
        let is_own = |(to, publish): &(&str, &Publish)| {
            own.iter().any(|(own_to, it)| own_to == to && it.payload == publish.payload)
        };
        self.messages(self.other).into_iter().find(|it| !is_own(it))
    }

    /// A message for a Shared Subscription goes to another of its members.
    fn shares_otherwise(&self, script: &Script) -> Option<FreeChoice> {
        let (to, publish) = self.only_there()?;
        let there = self.messages(self.other);
        let (instead, _) = self.messages(self.own).into_iter().find(|(own_to, own)| {
            own.payload == publish.payload
                && !there.iter().any(|(to, it)| to == own_to && it.payload == own.payload)
        })?;
        let shared = |connection: &str| {
            let steps = script.steps.iter().take(self.step);
            let steps = steps.filter(|it| client_of(&it.connection) == client_of(connection));
            let filters = steps.filter_map(|it| match &it.act {
                Act::Send(Packet::Subscribe(it)) => Some(it.subscriptions.iter()),
                _ => None,
            });
            filters
                .flatten()
                .map(|it| &*it.filter)
                .filter(|filter| is_shared(filter))
                .collect::<BTreeSet<_>>()
        };
        let is_of_both = shared(to).intersection(&shared(instead)).next().is_some();
        (client_of(to) != client_of(instead) && is_of_both).then(|| FreeChoice {
            name: "shares-with-another-member".to_owned(),
            does: "gives a message of a Shared Subscription to another of its members".to_owned(),
            allowed_by: "U-4.8.2-7",
            overlooked: None,
        })
    }

    /// A connection that both brokers close gets a message before, such as the Will of the client itself.
    fn delivers_at_the_end(&self) -> Option<FreeChoice> {
        let (to, _) = self.only_there()?;
        let is_ended = self.closes(self.own, to) && self.closes(self.other, to);
        is_ended.then(|| FreeChoice {
            name: "delivers-before-it-closes".to_owned(),
            does: "sends a connection that it is about to close a message of that moment"
                .to_owned(),
            allowed_by: "3.1.4",
            overlooked: None,
        })
    }

    fn closes(&self, played: &'a Played, connection: &str) -> bool {
        let is_closed = |event: &Event| matches!(event.what, What::ClosedByBroker(_));
        self.at_step(played).any(|(_, event)| event.probe == connection && is_closed(event))
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

#[cfg(test)]
mod tests {
    use reference_broker::codec::{PublishAck, ReasonCode};
    use reference_broker::core::Config;

    use super::super::super::Observed;
    use super::*;
    use crate::script::parse;
    use crate::trace::Ending;

    const SCRIPT: &str = r#"a || opened
a -> CONNECT client_id="a" clean_start
a -> PUBLISH "t" qos=2 id=1 payload="m1"
a -> PUBLISH "t" qos=2 id=1 dup payload="m1"
"#;

    /// What is told of a broker that is seen to do otherwise than the embedded one as `change` has it.
    fn told(change: impl Fn(&mut Played)) -> Option<String> {
        let script = parse(SCRIPT).unwrap();
        let (config, whole) = (Config::default(), Variant::default());
        let seeing = Seeing { config: &config, view: Observed::by_class, place: None };
        let mut other = seeing.played(&script, &whole);
        change(&mut other);
        left_open(&script, &whole, seeing, &other).map(|it| it.name)
    }

    fn ends(played: &mut Played, step: usize) {
        let keep = played.steps.iter().take_while(|at| **at < step).count() + 1;
        played.trace.truncate(keep);
        played.steps.truncate(keep);
        let mut event = played.trace[keep - 1].clone();
        event.what = What::ClosedByBroker(Ending::EndOfStream);
        played.trace.push(event);
        played.steps.push(step);
    }

    #[test]
    fn who_breaks_a_rule_may_be_closed_upon_and_who_breaks_none_may_not() {
        assert_eq!(told(|_| ()), None);
        assert_eq!(told(|played| ends(played, 4)).as_deref(), Some("closes-for-MQTT-4.4.0-1"));
        assert_eq!(told(|played| ends(played, 3)), None);
    }

    #[test]
    fn a_refusal_is_left_to_the_broker_if_its_code_says_so() {
        let refused = |reason| {
            told(move |played| {
                let acks = played.trace.iter_mut().filter_map(|event| match &mut event.what {
                    What::Received(Packet::PubRec(ack)) => Some(ack),
                    _ => None,
                });
                acks.for_each(|ack| *ack = PublishAck { reason, ..PublishAck::new(1) });
            })
        };
        assert_eq!(refused(ReasonCode::NotAuthorized).as_deref(), Some("refuses-by-PUBREC"));
        assert_eq!(refused(ReasonCode::PacketIdentifierInUse), None);
    }
}
