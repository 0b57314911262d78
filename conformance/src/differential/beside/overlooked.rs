//! Packets that are malformed or break the protocol, and that the other broker served all the same.
//!
//! The decoder says what is wrong with what a client sent, and a PINGRESP behind it that the broker went on
//! with it. That needs no mutant, so it is found for every packet that can be told to be wrong by itself.

use std::collections::BTreeMap;
use std::fmt;

use reference_broker::codec::{DecodeError, Framer, Packet, ReasonCode, Side, SubscribeAck};
use reference_broker::topic::{SubscriptionFilter, TopicError, is_shared};

use crate::scenario::{RIGOUR, has_to_be_noticed};
use crate::script::{Act, Alteration, Played, Script, Step};
use crate::trace::{Event, What};
use crate::verdict::{Finding, step};

use super::super::{Explanation, FreeChoice, Observed};

/// Larger than any packet.
const LIMIT: u32 = 1 << 28;

/// No Local on a Shared Subscription, and names of shares that are none: whoever refuses that filter alone has noticed.
const REFUSED_ALONE: [&str; 3] = ["MQTT-3.8.3-4", "MQTT-4.8.2-1", "MQTT-4.8.2-2"];

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is malformed, or breaks the protocol; with its first byte.
    Packet(DecodeError, u8),
    /// It names a Shared Subscription that is none, and whether that is to be made.
    Filter(TopicError, bool),
}

impl Fault {
    /// That of a whole packet: a filter, if it has one that is wrong.
    fn of(packet: &Packet) -> Option<Fault> {
        let (filters, is_made): (Vec<&str>, _) = match packet {
            Packet::Subscribe(it) => {
                (it.subscriptions.iter().map(|it| &*it.filter).collect(), true)
            }
            Packet::Unsubscribe(it) => (it.filters.iter().map(|it| &**it).collect(), false),
            _ => return None,
        };
        let mut shared = filters.into_iter().filter(|filter| is_shared(filter));
        shared.find_map(|filter| {
            let error = SubscriptionFilter::parse(filter).err()?;
            REFUSED_ALONE.contains(&error.requirement()).then_some(Fault::Filter(error, is_made))
        })
    }

    fn requirement(&self) -> &'static str {
        match self {
            Fault::Packet(error, _) => error.fault.requirement(Side::Client),
            Fault::Filter(error, _) => error.requirement(),
        }
    }

    /// Whether the standard demands that it is noticed, as far as that is known.
    fn has_to_be_noticed(&self) -> Option<bool> {
        match self {
            Fault::Packet(error, first) => has_to_be_noticed(*first, error.fault),
            Fault::Filter(_, is_made) => Some(*is_made),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Packet(error, _) => error.fmt(f),
            Fault::Filter(error, _) => error.fmt(f),
        }
    }
}

/// A step by which a client sent what no client may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong<'a> {
    /// The number of the step, from 0.
    step: usize,
    connection: &'a str,
    fault: Fault,
    /// Whether it is in what has to be a CONNECT.
    is_connect: bool,
}

impl Wrong<'_> {
    pub(super) fn requirement(&self) -> &'static str {
        self.fault.requirement()
    }
}

/// The first of these in a script on which the embedded broker ended the connection and the other one did
/// not.
pub(super) fn overlooked<'a>(
    script: &'a Script,
    own: &Observed,
    other: &Observed,
) -> Option<Wrong<'a>> {
    // The embedded broker closes; the other one may close too, but for another reason and later.
    let is_served = |wrong: &Wrong<'_>| {
        let own = own.connections.get(wrong.connection);
        own.is_some_and(|parts| parts.contains_key("end"))
            && own != other.connections.get(wrong.connection)
    };
    wrongs(script).into_iter().find(is_served)
}

/// The script up to there, and a packet that has to stay without an answer.
pub(super) fn proof(script: &Script, wrong: &Wrong<'_>) -> Script {
    let mut steps = script.steps[..=wrong.step].to_vec();
    if !wrong.is_connect {
        steps.push(Step::new(wrong.connection, Act::Send(Packet::PingReq)));
    }
    Script { steps }
}

/// Whether it was seen on such a script that a packet that breaks the requirement was overlooked, and what
/// follows from that.
pub(super) fn shown(
    script: &Script,
    played: &Played,
    requirement: &'static str,
) -> Option<Explanation> {
    let wrongs = wrongs(script);
    let wrong = wrongs.iter().find(|wrong| wrong.requirement() == requirement)?;
    let here =
        || played.trace.iter().enumerate().filter(|(_, event)| event.probe == wrong.connection);
    let (event, observed) = match wrong.is_connect {
        true => {
            let (index, _) = here().find(|(_, event)| accepts(event))?;
            (index, "CONNACK 0x00")
        }
        false => {
            // Each PINGREQ has an answer, that to one sent behind the packet too. Steps count from 1.
            let is_request = |event: &Event| event.what == What::Sent(Packet::PingReq);
            let is_answer = |event: &Event| event.what == What::Received(Packet::PingResp);
            let behind = |at: &usize| played.steps.get(*at).is_some_and(|it| *it > wrong.step + 1);
            let mut requests = here().filter(|(_, it)| is_request(it));
            let (asked, _) = requests.rfind(|(at, _)| behind(at))?;
            let sent = here().filter(|(_, it)| is_request(it)).count();
            // A wrong PINGREQ may have one too.
            let answers: Vec<_> = here().filter(|(_, it)| is_answer(it)).collect();
            let (index, _) = *answers.get(sent.checked_sub(1)?..)?.last()?;
            if index <= asked {
                return None;
            }
            (index, "the packet accepted, and a later PINGREQ answered")
        }
    };
    let is_refused =
        REFUSED_ALONE.contains(&requirement) && here().any(|(_, event)| refuses(event));
    let finding = Finding {
        requirement: Some(requirement),
        oracle: None,
        step: step::CHECK,
        expected: format!("the connection closed: {}", wrong.fault),
        observed: observed.to_owned(),
        seen: String::new(),
        event: Some(event),
        known: None,
    };
    match wrong.fault.has_to_be_noticed()? && !is_refused && finding.is_failure() {
        true => Some(Explanation::Told(Box::new(finding))),
        false => Some(Explanation::Free(Box::new(FreeChoice {
            name: format!("overlooks-{requirement}"),
            does: format!("accepts a packet that is wrong ({})", wrong.fault),
            allowed_by: RIGOUR,
            overlooked: Some(requirement),
        }))),
    }
}

/// The packets of a script that break a requirement by themselves and that the broker served all the same.
pub(crate) fn violations(script: &Script, played: &Played) -> Vec<Finding> {
    let told = wrongs(script).into_iter().filter_map(|wrong| {
        match shown(script, played, wrong.requirement()) {
            Some(Explanation::Told(finding)) => Some(*finding),
            _ => None,
        }
    });
    told.collect()
}

fn accepts(event: &Event) -> bool {
    matches!(&event.what, What::Received(Packet::ConnAck(it)) if it.reason == ReasonCode::Success)
}

fn refuses(event: &Event) -> bool {
    let refuses = |it: &SubscribeAck| it.reasons.iter().any(|code| code.is_error());
    matches!(&event.what, What::Received(Packet::SubAck(it)) if refuses(it))
}

/// On each connection the first step that completes a packet which is wrong by itself.
fn wrongs(script: &Script) -> Vec<Wrong<'_>> {
    let mut lines = BTreeMap::<&str, Line<'_>>::new();
    let mut wrongs = Vec::new();
    for (number, step) in script.steps.iter().enumerate() {
        let connection = step.connection.as_str();
        let line = lines.entry(connection).or_default();
        let fault = match &step.act {
            Act::SendBytes(bytes) => line.take(bytes),
            Act::Alters(alteration) => {
                line.alters = Some(alteration);
                None
            }
            Act::Send(packet) => match line.alters.take() {
                Some(alteration) => line.take(&alteration.of(packet)),
                None => packet.to_bytes().ok().and_then(|bytes| line.take(&bytes)),
            },
            Act::Acknowledge(_) => match line.alters.take() {
                // Which identifier it has is not known; what is altered may be that.
                Some(_) => {
                    line.is_over = true;
                    None
                }
                None => None,
            },
            _ => None,
        };
        if let Some(fault) = fault {
            let is_connect = line.is_first;
            wrongs.push(Wrong { step: number, connection, fault, is_connect });
        }
    }
    wrongs
}

/// What a broker reads of a connection.
struct Line<'a> {
    framer: Framer,
    /// How the next packet is altered.
    alters: Option<&'a Alteration>,
    /// Whether no packet has been read yet.
    is_first: bool,
    is_over: bool,
}

impl Default for Line<'_> {
    fn default() -> Self {
        Line { framer: Framer::new(LIMIT), alters: None, is_first: true, is_over: false }
    }
}

impl Line<'_> {
    /// The first fault in what has come by now; after it nothing more is read.
    fn take(&mut self, bytes: &[u8]) -> Option<Fault> {
        if self.is_over {
            return None;
        }
        self.framer.buffer().extend_from_slice(bytes);
        loop {
            let first = *self.framer.pending_bytes().first()?;
            let fault = match self.framer.next_frame() {
                Ok(None) => return None,
                Ok(Some(frame)) => match Packet::decode(&frame, Side::Client) {
                    Ok(packet) => match Fault::of(&packet) {
                        Some(fault) => fault,
                        None => {
                            self.is_first = false;
                            continue;
                        }
                    },
                    Err(error) => Fault::Packet(error, first),
                },
                Err(error) => Fault::Packet(error, first),
            };
            self.is_over = true;
            return Some(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reference_broker::core::Config;

    use super::*;
    use crate::mutant;
    use crate::script::{parse, play};
    use crate::target::Variant;

    /// What is told of a broker that overlooks what breaks the requirement, if clients send these bytes.
    fn told(bytes: &str, requirement: &'static str) -> Option<Explanation> {
        let text = format!(
            "a || opened\na -> CONNECT client_id=\"a\" clean_start\na -> BYTES {bytes}\n\
             a -> SUBSCRIBE id=7 \"t\" qos=0\n"
        );
        let script = parse(&text).unwrap();
        let config = Config::default();
        let id = format!("overlooks-{requirement}");
        let mutant = mutant::all().iter().find(|it| it.id.ends_with(&id)).unwrap();
        let seen = |script: &Script, variant: &Variant| play(script, variant, &config);
        let own = Observed::by_class(&seen(&script, &Variant::default()));
        let other = Observed::by_class(&seen(&script, &Variant::broken(mutant)));
        assert_eq!(overlooked(&script, &own, &own), None);
        let wrong = overlooked(&script, &own, &other)?;
        assert_eq!(wrong.requirement(), requirement);
        let proof = proof(&script, &wrong);
        assert_eq!(proof.steps.len(), 4);
        let whole = seen(&proof, &Variant::default());
        assert_eq!(shown(&proof, &whole, requirement), None, "what is closed was not overlooked");
        // The embedded broker reads nothing behind it; others do.
        let mut played = seen(&proof, &Variant::broken(mutant));
        let answer = What::Received(Packet::PingResp);
        played.trace.push(Event { at: Duration::ZERO, probe: "a".to_owned(), what: answer });
        played.steps.push(proof.steps.len());
        shown(&proof, &played, requirement)
    }

    #[test]
    fn an_answer_to_what_was_asked_before_shows_nothing() {
        let text = "a || opened\na -> CONNECT client_id=\"a\" clean_start\na -> PINGREQ\n\
                    a -> BYTES 41 02 00 01\na -> PINGREQ\n";
        let script = parse(text).unwrap();
        let played = play(&script, &Variant::default(), &Config::default());
        let is_answer = |it: &Event| it.what == What::Received(Packet::PingResp);
        assert_eq!(played.trace.iter().filter(|it| is_answer(it)).count(), 1);
        assert_eq!(shown(&script, &played, "U-2.1.3-1"), None);
    }

    #[test]
    fn a_wrong_request_that_is_answered_itself_is_overlooked_too() {
        let text = "a || opened\na -> CONNECT client_id=\"a\" clean_start\na -> BYTES c1 00\n\
                    a -> PINGREQ\n";
        let script = parse(text).unwrap();
        let is_it = |it: &&mutant::Mutant| it.id.ends_with("overlooks-U-2.1.3-1");
        let mutant = mutant::all().iter().find(is_it).unwrap();
        let mut played = play(&script, &Variant::broken(mutant), &Config::default());
        // Nothing behind it is read: both are answered by others.
        let is_behind = played.steps.iter().position(|step| *step == 4).unwrap();
        for (at, step) in [(is_behind, 3), (played.trace.len() + 1, 4)] {
            let what = What::Received(Packet::PingResp);
            let event = Event { at: Duration::ZERO, probe: "a".to_owned(), what };
            played.trace.insert(at, event);
            played.steps.insert(at, step);
        }
        assert!(shown(&script, &played, "U-2.1.3-1").is_some());
    }

    #[test]
    fn a_share_without_a_name_that_is_granted_is_a_violation() {
        let text = "a || opened\na -> CONNECT client_id=\"a\" clean_start\n\
                    a -> SUBSCRIBE id=1 \"a\" qos=0 \"$share//t\" qos=1\n";
        let script = parse(text).unwrap();
        let strict: Variant = "?closes-for-bad-filters".parse().unwrap();
        let broken = strict.clone().and_broken(mutant::find("4.8/empty-name-works").unwrap());
        let seen = |script: &Script, variant: &Variant| play(script, variant, &Config::default());
        let own = Observed::by_class(&seen(&script, &strict));
        let wrong =
            overlooked(&script, &own, &Observed::by_class(&seen(&script, &broken))).unwrap();
        assert_eq!(wrong.requirement(), "MQTT-4.8.2-1");
        let proof = proof(&script, &wrong);
        assert_eq!(shown(&proof, &seen(&proof, &strict), "MQTT-4.8.2-1"), None);
        let refused = seen(&proof, &Variant::default());
        let is_free = |it| matches!(it, Some(Explanation::Free(_)));
        assert!(is_free(shown(&proof, &refused, "MQTT-4.8.2-1")), "refused alone, it was noticed");
        let granted = shown(&proof, &seen(&proof, &broken), "MQTT-4.8.2-1");
        assert!(matches!(granted, Some(Explanation::Told(_))), "{granted:?}");
    }

    #[test]
    fn what_has_to_be_noticed_is_a_violation_and_the_rest_a_choice() {
        // Reserved flags of PUBACK, a QoS of 3, a Retain Handling of 3.
        for (bytes, requirement) in [
            ("41 02 00 01", "U-2.1.3-1"),
            ("36 06 00 01 74 00 01 00", "MQTT-3.3.1-4"),
            ("82 07 00 01 00 00 01 74 30", "U-3.8.3.1-5"),
        ] {
            let Some(Explanation::Told(finding)) = told(bytes, requirement) else {
                panic!("{requirement} is not told");
            };
            assert_eq!(finding.requirement, Some(requirement));
        }
        for (bytes, requirement) in
            [("40 03 00 01 77", "MQTT-3.4.2-1"), ("82 07 00 00 00 00 01 74 00", "MQTT-2.2.1-3")]
        {
            let explanation = told(bytes, requirement);
            assert!(matches!(explanation, Some(Explanation::Free(_))), "{explanation:?}");
        }
    }
}
