//! One script on the broker, in a place of its own, and what is wrong in what came of it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reference_broker::codec::{ConnAck, Packet, ReasonCode, Subscription};
use reference_broker::core::Config;

use crate::differential::violations;
use crate::oracle;
use crate::script::{Act, Place, Played, Script, clear, from_trace, play, play_live};
use crate::target::{Connector, Variant};
use crate::trace::{Event, What, normalise};

use crate::verdict::Finding;

use super::Symptom;

/// Plays scripts on the broker.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) connector: Connector,
    /// What the broker announces.
    pub(super) config: Config,
    /// The levels below which all of it is.
    pub(super) topic_prefix: String,
    /// What sets this run apart from others.
    pub(super) token: String,
    /// How long is waited for what comes of a step on the embedded broker.
    pub(super) patience: Duration,
    pub(super) plays: AtomicU64,
}

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// As if it had been played in no place.
    pub(super) played: Played,
    /// As it was sent.
    pub(super) sent: Vec<Event>,
    pub(super) symptoms: Vec<Symptom>,
    /// How many connections were accepted.
    pub(super) accepted: usize,
}

impl Player {
    /// Plays a script.
    ///
    /// # Errors
    ///
    /// When a connection cannot be opened.
    pub(super) async fn play(&self, script: &Script) -> io::Result<Outcome> {
        self.play_within(script, self.patience).await
    }

    /// Plays a script with another patience.
    ///
    /// # Errors
    ///
    /// When a connection cannot be opened.
    pub(super) async fn play_within(
        &self,
        script: &Script,
        patience: Duration,
    ) -> io::Result<Outcome> {
        let place = self.place();
        let placed = place.script(script);
        let expected = play(&placed, &Variant::default(), &self.config);
        let live = play_live(&placed, Some(&place), &expected, &self.connector, patience).await?;
        // Of what was altered, only the trace tells what it came to.
        clear(&from_trace(&live.trace), &self.connector).await?;
        let without_place = |played: &Played| Played {
            trace: normalise(&played.trace, &place.replacements()),
            steps: played.steps.clone(),
        };
        let (played, expected) = (without_place(&live), without_place(&expected));
        let mut symptoms = symptoms(script, &played, &expected);
        // Where one packet ends and the next begins depends on how long names are there.
        symptoms.extend(served(&placed, &live));
        Ok(Outcome {
            symptoms,
            accepted: played.trace.iter().filter(|event| accepts(event)).count(),
            played,
            sent: live.trace,
        })
    }

    /// What a script sends, as far as that can be told without the broker: for one that did not live to be told of.
    pub(super) fn rehearsed(&self, script: &Script) -> Vec<Event> {
        play(&self.place().script(script), &Variant::default(), &self.config).trace
    }

    /// Where no other script is played.
    fn place(&self) -> Place {
        let number = self.plays.fetch_add(1, Ordering::Relaxed);
        Place::numbered(&self.topic_prefix, &self.token, number)
    }
}

/// What is wrong in a trace, besides what is told of the embedded broker on this script too.
fn symptoms(script: &Script, played: &Played, expected: &Played) -> Vec<Symptom> {
    let mut broken = Vec::new();
    // What others do may be met, or what bytes stand for that are no packet to us and one to the broker: then nothing
    // follows from what comes.
    if is_for_itself(script) && !serves_bytes(&played.trace) {
        let own: BTreeSet<_> =
            oracle::judge(&expected.trace).into_iter().map(|it| it.requirement).collect();
        broken = oracle::judge(&played.trace);
        broken.retain(|finding| !own.contains(&finding.requirement));
    }
    broken.retain(Finding::is_failure);
    let mut symptoms: Vec<_> =
        broken.into_iter().map(|finding| Symptom::Violation(Box::new(finding))).collect();
    symptoms.extend(unanswered(played, expected));
    symptoms
}

/// The malformed packets that were served and must not be, in a script as it was sent.
fn served(placed: &Script, live: &Played) -> impl Iterator<Item = Symptom> {
    let found = violations(placed, live).into_iter().filter(Finding::is_failure);
    found.map(|finding| Symptom::Violation(Box::new(finding)))
}

/// Whether a script stays in its place, so that it meets nothing of what others do: its subscriptions and its clients
/// are its own.
fn is_for_itself(script: &Script) -> bool {
    let is_own = |it: &Subscription| it.filter.contains('~');
    script.steps.iter().all(|step| match &step.act {
        Act::Send(Packet::Subscribe(it)) => it.subscriptions.iter().all(is_own),
        Act::Alters(it) => {
            !["Topic Filter", "Client Identifier"].iter().any(|name| it.field.ends_with(name))
        }
        // A SUBSCRIBE.
        Act::SendBytes(bytes) => !matches!(bytes.first(), Some(0x80..=0x8F)),
        _ => true,
    })
}

/// Whether a connection goes on after bytes that are no packet.
fn serves_bytes(trace: &[Event]) -> bool {
    let mut sent = BTreeSet::new();
    trace.iter().any(|event| match &event.what {
        What::SentBytes(_) => {
            sent.insert(&event.probe);
            false
        }
        What::Received(Packet::Disconnect(_)) => false,
        What::Received(_) => sent.contains(&event.probe),
        _ => false,
    })
}

fn accepts(event: &Event) -> bool {
    matches!(
        &event.what,
        What::Received(Packet::ConnAck(ConnAck { reason: ReasonCode::Success, .. }))
    )
}

/// The connections whose last PINGREQ the embedded broker answers and this one does not, though they are
/// accepted and open.
fn unanswered(played: &Played, expected: &Played) -> Vec<Symptom> {
    let last_is = |trace: &[Event], name: &str, what: &What| {
        trace.iter().rfind(|event| event.probe == name).is_some_and(|event| event.what == *what)
    };
    let (asked, answered) = (What::Sent(Packet::PingReq), What::Received(Packet::PingResp));
    let names: BTreeSet<_> =
        played.trace.iter().filter(|it| accepts(it)).map(|it| &it.probe).collect();
    let is_open = |name: &str| {
        let ended = |event: &Event| {
            matches!(event.what, What::ClosedByBroker(_) | What::ClosedByProbe | What::HalfClosed)
                || matches!(&event.what, What::Sent(Packet::Disconnect(_)))
        };
        !played.trace.iter().any(|event| event.probe == name && ended(event))
    };
    let is_unanswered = |name: &str| {
        let here = played.trace.iter().filter(|event| event.probe == name);
        let count = |what: &What| here.clone().filter(|event| event.what == *what).count();
        count(&answered) < count(&asked)
    };
    names
        .into_iter()
        .filter(|name| {
            is_open(name) && last_is(&expected.trace, name, &answered) && is_unanswered(name)
        })
        .map(|name| Symptom::Unanswered(name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::parse;

    /// What is told of a broker that is broken in this way.
    fn told(mutant: &str, script: &str) -> Vec<String> {
        let script = parse(script).unwrap();
        let config = Config::default();
        let variant = format!("?mutant={mutant}").parse().unwrap();
        let expected = play(&script, &Variant::default(), &config);
        assert!(symptoms(&script, &expected, &expected).is_empty());
        let played = play(&script, &variant, &config);
        symptoms(&script, &played, &expected).iter().map(|it| it.cause()).collect()
    }

    #[test]
    fn a_script_that_may_meet_others_is_told_from_one_that_does_not() {
        for (step, is) in [
            ("a -> SUBSCRIBE id=1 \"~/a/#\" qos=0", true),
            ("a -> SUBSCRIBE id=1 \"~/a\" qos=0 \"+/a\" qos=0", false),
            ("a || alters \"Topic Filter\" \"#\"", false),
            ("a || alters \"length of Client Identifier\" -1", false),
            ("a || alters \"Topic Name\" \"#\"", true),
            ("a -> BYTES 82 08 00 01 00 00 03 7e 2f 61 00", false),
            ("a -> BYTES 62 02 00 01", true),
        ] {
            assert_eq!(is_for_itself(&parse(step).unwrap()), is, "{step}");
        }
    }

    #[test]
    fn bytes_after_which_a_broker_goes_on_may_mean_anything_to_it() {
        let bytes = "a || opened\na -> CONNECT client_id=\"a\"\na -> BYTES 42 02 00 01\n";
        let played = play(&parse(bytes).unwrap(), &Variant::default(), &Config::default());
        assert!(!serves_bytes(&played.trace));
        let mut trace = played.trace;
        let what = What::Received(Packet::PingResp);
        trace.push(Event { at: Duration::ZERO, probe: "b".to_owned(), what: what.clone() });
        assert!(!serves_bytes(&trace), "another connection");
        trace.push(Event { at: Duration::ZERO, probe: "a".to_owned(), what });
        assert!(serves_bytes(&trace));
    }

    #[test]
    fn what_oracles_find_and_a_ping_without_answer_are_told() {
        let session = "a || opened\na -> CONNECT client_id=\"a\" clean_start\n\
                       a -> PUBLISH \"t\" qos=2 id=1 payload=\"m\"\na -> PINGREQ\n";
        assert_eq!(told("3.12/pingresp-lost", session), ["unanswered"]);
        let told = told("3.12/pingresp-twice", session);
        assert!(!told.is_empty() && told.iter().all(|it| it.starts_with("violation")), "{told:?}");
    }
}
