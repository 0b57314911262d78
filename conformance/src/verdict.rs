//! What a scenario comes to.

use std::fmt;

use crate::requirement;

/// What a scenario says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It did what the scenario expects.
    Pass,
    /// It broke a MUST or MUST NOT.
    Fail,
    /// It conforms, but does not follow a SHOULD.
    Advisory,
    /// Something else that it stands on is broken, and is named.
    Blocked,
    /// It declares that it does not have what the scenario needs.
    NotApplicable,
    /// The tester or the network failed; says nothing for or against the target.
    Inconclusive,
    /// It failed once, and not again in the same way; says nothing for or against the target.
    Unsteady,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Verdict; 7] = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Advisory,
        Verdict::Blocked,
        Verdict::NotApplicable,
        Verdict::Inconclusive,
        Verdict::Unsteady,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Advisory => "advisory",
            Verdict::Blocked => "blocked",
            Verdict::NotApplicable => "not-applicable",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Unsteady => "unsteady",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An expectation against what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The requirement it concerns, as an id of the register; none where the tester itself failed.
    pub requirement: Option<&'static str>,
    /// The [oracle](crate::oracle) that found it, or `liveness` where the target served nobody
    /// afterwards; none where a step of the scenario did.
    pub oracle: Option<&'static str>,
    /// The kind of step that it was found in, such as `subscribe`.
    pub step: &'static str,
    /// What was expected, as a fragment such as `a SUBACK for packet 7`.
    pub expected: String,
    /// What was observed, as a fragment.
    pub observed: String,
    /// What kind of thing was observed, without what differs from run to run, such as `nothing`.
    pub seen: String,
    /// The event of the trace that shows it.
    pub event: Option<usize>,
    /// The known deviation that it is, if a list says so.
    pub known: Option<Box<Known>>,
}

/// What a list of known deviations says of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// Why it deviates.
    pub reason: String,
    /// Where more is said of that.
    pub link: Option<String>,
    /// Whether it is absent at times.
    pub unsteady: bool,
}

/// What the register holds for a MUST of the server's, though the text only tells what it does: that it
/// sends a Server Reference with 0x9C and 0x9D. Nothing forbids one with another code.
const TOLD: [&str; 2] = ["U-3.2.2.3.16-2", "U-3.14.2.2.5-2"];

/// What findings have in common that are one fault of the target's: the requirement, the kind of
/// step, what was expected and what was seen in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cause {
    /// The requirement.
    pub requirement: &'static str,
    /// The kind of step.
    pub step: &'static str,
    /// What was expected, without what differs from scenario to scenario.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => write!(f, "{} ({link})", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl Cause {
    /// Its id, such as `MQTT-3.14.4-2/close/still-open`: the same from run to run.
    pub fn id(&self) -> String {
        let words = if self.seen.is_empty() { &self.expected } else { &self.seen };
        let (slug, is_whole) = slug(words);
        let is_plain = is_whole && (self.expected.is_empty() || self.seen.is_empty());
        let Cause { requirement, step, .. } = self;
        let start = format!("{requirement}/{}", self::slug(step).0);
        match (slug.as_str(), is_plain) {
            (slug, true) => format!("{start}/{slug}"),
            ("", false) => format!("{start}/{:04x}", self.mark()),
            (slug, false) => format!("{start}/{slug}-{:04x}", self.mark()),
        }
    }

    /// Tells causes apart that the words of an id do not (FNV-1a, folded).
    fn mark(&self) -> u16 {
        let bytes = self.expected.bytes().chain([0]).chain(self.seen.bytes());
        let hash = bytes
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let [a, b, c, d] = hash.to_be_bytes();
        u16::from_be_bytes([a ^ c, b ^ d])
    }
}

/// The letters and digits of a text, joined by `-`, and whether that is all of it.
fn slug(text: &str) -> (String, bool) {
    const LONGEST: usize = 32;
    let mut slug = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let dash = usize::from(!slug.is_empty());
        if slug.len() + dash + word.len() > LONGEST {
            return (slug, false);
        }
        if dash > 0 {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    let is_whole = !slug.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    (slug, is_whole)
}

impl Finding {
    /// What was seen, in the words that lists of known deviations use: none of what differs from run
    /// to run.
    pub fn looks(&self) -> String {
        match self.seen.is_empty() {
            true => general(&self.observed),
            false => self.seen.clone(),
        }
    }

    /// The rule of an oracle that it breaks, such as `oracle/delivery/MQTT-3.3.2-6`.
    pub fn rule(&self) -> Option<String> {
        Some(crate::oracle::rule(self.oracle?, self.requirement?))
    }

    /// What it has in common with others; none where it says nothing of the target.
    pub fn cause(&self) -> Option<Cause> {
        let requirement = self.requirement?;
        // A step expects one thing, whatever the scenario: only checks and oracles have many.
        let expected = match self.step {
            step::CHECK | step::ADVICE | step::ORACLE => without_numbers(&general(&self.expected)),
            _ => String::new(),
        };
        Some(Cause { requirement, step: self.step, expected, seen: self.seen.clone() })
    }

    /// Whether what it breaks is a MUST or MUST NOT, and clearly so.
    pub fn is_failure(&self) -> bool {
        if self.step == step::ADVICE {
            return false;
        }
        let row = self.requirement.and_then(requirement::find);
        row.is_none_or(|row| row.level.starts_with("MUST") && !TOLD.contains(&row.id))
    }
}

/// A text without what differs from run to run and from scenario to scenario: what stands in quotation
/// marks, and numbers that are no codes.
pub fn general(text: &str) -> String {
    let mut general = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                skip_quoted(&mut chars);
                // A list of texts is as long as it happens to be.
                match general.strip_suffix("\"..\", ").map(str::len) {
                    Some(length) => general.truncate(length + "\"..\"".len()),
                    None => general.push_str("\"..\""),
                }
            }
            '0'..='9' if before == '=' => {
                general.push_str("..");
                while chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {
                }
            }
            // Those of one digit are levels, flags and the like.
            '1'..='9' if before == ' ' && chars.peek().is_some_and(char::is_ascii_digit) => {
                general.push_str("..");
                while chars.next_if(char::is_ascii_digit).is_some() {}
            }
            c => general.push(c),
        }
        before = c;
    }
    general
}

/// Skips what is left of a text in quotation marks, with how often it is repeated.
fn skip_quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut escaped = false;
    for inner in chars.by_ref() {
        match inner {
            '"' if !escaped => break,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    if chars.next_if_eq(&'*').is_some() {
        while chars.next_if(char::is_ascii_digit).is_some() {}
    }
}

/// A text without any number but codes.
fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = text.split(' ').map(|word| if is_number(word) { ".." } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// The kinds of steps. Each stands on a requirement of its own, so that a scenario which needs it is
/// blocked by that, and does not fail over it.
pub mod step {
    /// A kind of step, and the requirement that it stands on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Step {
        /// Its name in reports.
        pub name: &'static str,
        /// The requirement.
        pub requirement: &'static str,
    }

    /// What a scenario checks itself.
    pub const CHECK: &str = "check";
    /// What a scenario notes and goes on: never a failure.
    pub const ADVICE: &str = "advice";
    /// What an oracle checks.
    pub const ORACLE: &str = "oracle";
    /// What a broker does not want, or not now, for reasons of its own: never a failure.
    pub const POLICY: &str = "policy";

    const fn step(name: &'static str, requirement: &'static str) -> Step {
        Step { name, requirement }
    }

    /// A client is accepted.
    pub const CONNECT: Step = step("connect", "MQTT-3.1.4-5");
    /// A client is asked to prove itself, and let in.
    pub const AUTHENTICATE: Step = step("authenticate", "U-4.12-2");
    /// A client is asked to prove itself anew.
    pub const AUTHENTICATE_ANEW: Step = step("authenticate anew", "U-4.12.1-1");
    /// A session that was left is there again.
    pub const RESUME: Step = step("resume", "MQTT-3.2.2-3");
    /// A SUBSCRIBE is answered.
    pub const SUBSCRIBE: Step = step("subscribe", "MQTT-3.8.4-1");
    /// An UNSUBSCRIBE is answered.
    pub const UNSUBSCRIBE: Step = step("unsubscribe", "MQTT-3.10.4-4");
    /// A QoS 1 PUBLISH is acknowledged.
    pub const PUBACK: Step = step("publish at QoS 1", "MQTT-4.3.2-4");
    /// A QoS 2 PUBLISH is acknowledged.
    pub const PUBREC: Step = step("publish at QoS 2", "MQTT-4.3.3-8");
    /// A QoS 2 PUBLISH from a client is completed.
    pub const PUBCOMP: Step = step("release", "MQTT-4.3.3-11");
    /// A QoS 2 PUBLISH to a client is released.
    pub const PUBREL: Step = step("receive at QoS 2", "MQTT-4.3.3-4");
    /// A message is delivered.
    pub const DELIVER: Step = step("receive", "MQTT-4.5.0-1");
    /// A message is delivered to a session that was gone on with.
    pub const DELIVER_KEPT: Step = step("receive on resume", "U-4.1-6");
    /// A message is delivered to a member of a Shared Subscription.
    pub const DELIVER_SHARED: Step = step("receive as a member", "U-4.8.2-4");
    /// A message that is published once its session goes on is delivered by a subscription of that.
    pub const DELIVER_RESUMED: Step = step("receive after resume", "U-4.1-4");
    /// A QoS 0 message is delivered, which the network may lose.
    pub const DELIVER_ONCE: Step = step("receive at QoS 0", "U-4.3.1-1");
    /// The Will of a connection that is gone is delivered.
    pub const WILL: Step = step("receive a Will", "MQTT-3.1.2-8");
    /// PINGREQ is answered.
    pub const PING: Step = step("ping", "MQTT-3.12.4-1");
    /// The broker closes a connection that it has said goodbye on.
    pub const CLOSE: Step = step("close", "MQTT-3.14.4-2");
    /// Bytes are a packet.
    pub const READ: Step = step("read", "U-1.2-1");
    /// Whatever else comes, or does not.
    pub const OTHER: Step = step("other", "U-1.2-2");
}

/// Why a scenario ended before its last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The target broke a requirement that the scenario is about.
    Fail(Finding),
    /// The target broke a requirement that the scenario stands on.
    Blocked(Finding),
    /// The target does not have what the scenario needs.
    NotApplicable(String),
    /// The tester or the network failed.
    Inconclusive(Finding),
}

/// How a scenario, or a step of it, ends.
pub type Outcome<T = ()> = Result<T, Stop>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_short_ids_of_their_own() {
        let cause = |step, expected: &str, seen: &str| Cause {
            requirement: "MQTT-3.14.4-2",
            step,
            expected: expected.to_owned(),
            seen: seen.to_owned(),
        };
        let still_open = cause(step::CLOSE.name, "", "still open");
        assert_eq!(still_open.id(), "MQTT-3.14.4-2/close/still-open");
        let ids = [
            cause(step::CHECK, "QoS 1", "QoS 0").id(),
            cause(step::CHECK, "QoS 2", "QoS 0").id(),
            cause(step::CHECK, "", "QoS_0").id(),
            cause(step::CHECK, "", &"a word ".repeat(100)).id(),
            cause(step::CHECK, "", "\u{1b}[31m").id(),
            cause(step::CHECK, "", "\u{202e}").id(),
            cause(step::CHECK, "", "").id(),
        ];
        for (place, id) in ids.iter().enumerate() {
            assert!(id.is_ascii() && !id.contains(' ') && id.len() < 80, "{id}");
            assert!(!ids[..place].contains(id), "{id}");
        }
    }

    #[test]
    fn what_differs_from_scenario_to_scenario_is_left_out() {
        for (text, expected) in [
            ("PUBLISH \"a/b\" payload=\"x\\\"y\" id=7", "PUBLISH \"..\" payload=\"..\" id=.."),
            ("SUBACK id=12 0x02 (granted QoS 2)", "SUBACK id=.. 0x02 (granted QoS 2)"),
            ("an \"open end", "an \"..\""),
            ("\"x\"*300 and \"a\", \"b\", \"c\"", "\"..\" and \"..\""),
            ("one of 131 bytes", "one of .. bytes"),
            ("session_present 1, QoS 2, 0x80", "session_present 1, QoS 2, 0x80"),
            ("", ""),
        ] {
            assert_eq!(general(text), expected);
        }
    }
}
