//! What a broker is asked: a script for each choice that the standard leaves open.

use std::sync::OnceLock;

use crate::chameleon::{self, Switch};
use crate::requirement;
use crate::scenario::section_order;
use crate::script::{Script, parse};

/// What is asked of a broker, and how.
#[derive(Clone, Debug)]
pub struct Question {
    /// The choice it is about.
    pub switch: &'static Switch,
    /// The section of the standard that leaves it open.
    pub section: &'static str,
    /// What is left open. Several choices may be answers to the same question.
    pub asks: &'static str,
    /// What a broker does that does not take the choice.
    pub otherwise: &'static str,
    /// What clients do to see it. Without the choice something else is seen of it than with it.
    pub script: Script,
}

impl Question {
    /// The other answers to the same question, of which a broker gives one.
    pub fn alternatives(&self) -> impl Iterator<Item = &'static Switch> {
        let is_same =
            |other: &&Question| other.asks == self.asks && other.switch.excludes(self.switch);
        questions().iter().filter(is_same).map(|other| other.switch)
    }
}

/// Begins the line of a script that says what is left open.
const ASKS: &str = "# asks ";

/// Begins the line that says what a broker does that does not take the choice.
const OTHERWISE: &str = "# else ";

macro_rules! scripts {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../fixtures/choices/", $name, ".script")))),*]
    };
}

/// The scripts, each under the name of its switch.
const SCRIPTS: &[(&str, &str)] = scripts! {
    "accepts-wills-that-are-not-allowed"
    "acknowledges-what-is-not-allowed"
    "adds-user-properties"
    "all-topic-aliases"
    "always-says-no-matching-subscribers"
    "answers-a-first-packet-that-is-no-connect"
    "assigns-long-client-identifiers"
    "checks-payload-formats"
    "clean-start-deletes-will"
    "closes-at-every-tenth-request"
    "closes-for-a-connect-of-100-bytes"
    "closes-for-bad-filters"
    "closes-for-filters-of-everything"
    "closes-for-refused-topics"
    "closes-for-releases-out-of-order"
    "closes-for-repeated-messages"
    "closes-for-unknown-acknowledgements"
    "closes-for-what-is-not-allowed"
    "closes-very-late"
    "closes-without-disconnect"
    "copies-for-each-subscription"
    "counts-begun-seconds"
    "counts-packet-identifiers-down"
    "counts-wrong-acknowledgements"
    "deletes-sessions-late"
    "discards-large-connacks"
    "drops-dollar-topics"
    "drops-messages-without-lifetime"
    "drops-qos-0-of-users"
    "few-filters-at-once"
    "few-response-topic-levels"
    "few-subscriptions"
    "few-topic-levels"
    "forgets-retained-qos-0"
    "gives-no-reason-strings"
    "gives-response-information"
    "grants-qos-0"
    "grants-qos-1"
    "hands-dollar-topics-on"
    "hands-on-at-release"
    "hands-on-at-release-or-never"
    "hides-reasons"
    "holds-all-back-during-an-exchange"
    "ignores-wrong-acknowledgements"
    "is-talkative"
    "keep-alive-of-3-seconds"
    "keep-alive-of-5-seconds"
    "keep-alive-of-a-minute"
    "keep-alive-of-a-second"
    "keep-alive-off"
    "keeps-no-session-under-assigned-identifiers"
    "keeps-no-sessions"
    "keeps-sessions-for-a-minute"
    "keeps-sessions-for-a-second"
    "keeps-sessions-for-an-hour-at-least"
    "keeps-sessions-for-five-seconds-at-least"
    "keeps-sessions-for-half-a-minute-at-least"
    "keeps-sessions-for-ten-seconds"
    "leaves-closing-to-the-client"
    "lets-nobody-authenticate-anew"
    "looks-at-timers-now-and-then"
    "maximum-qos-0"
    "maximum-qos-1"
    "moves-topic-aliases"
    "names-another-server"
    "names-errors-generally"
    "never-says-no-matching-subscribers"
    "never-says-packet-identifier-not-found"
    "no-retained-messages"
    "no-shared-subscriptions"
    "no-subscription-identifiers"
    "no-topic-aliases"
    "no-wildcards"
    "one-message-at-a-time"
    "one-retained-copy-for-a-subscribe"
    "one-retained-message"
    "one-topic-tree"
    "packet-limit-unsaid"
    "packet-size-unsaid"
    "packets-of-100-bytes"
    "packets-of-300-bytes"
    "packets-of-64-bytes"
    "publishes-wills-late"
    "pubrel-takes-the-window"
    "queues-of-few-bytes"
    "queues-of-few-messages"
    "queues-qos-0"
    "receive-maximum-1"
    "receive-maximum-not-enforced"
    "receive-maximum-unsaid"
    "refuses-clients-that-take-little"
    "refuses-disallowed-code-points"
    "refuses-empty-client-identifiers"
    "refuses-every-fourth-subscribe"
    "refuses-every-second-unsubscribe"
    "refuses-long-client-identifiers"
    "refuses-unavailable-subscriptions-in-suback"
    "refuses-unexplained"
    "refuses-unusual-client-identifiers"
    "refuses-without-connack"
    "repeats-downgraded-messages"
    "repeats-publish-before-pubrel"
    "repeats-pubrec-on-resume"
    "retain-if-all-ask-for-it"
    "reverses-properties"
    "says-not-authorized-to-strangers"
    "scatters-packet-identifiers"
    "sends-last-data-in-an-auth"
    "sends-own-retained-despite-no-local"
    "serves-other-versions"
    "shares-again-at-a-loss"
    "shares-with-absent-members"
    "shares-with-the-same-member"
    "spells-defaults-out"
    "takeover-deletes-will"
    "uses-the-lowest-packet-identifier"
    "uses-topic-aliases"
    "waits-two-seconds-for-connect"
    "welcomes"
    "welcomes-on-a-dollar-topic"
};

/// Switches without a script, and why.
const UNASKED: &[(&str, &str)] = &[
    ("closes-late", "a second is too little to tell from a slow network"),
    ("acknowledges-subscriptions-late", "a second is too little to tell from a slow network"),
    ("acknowledges-messages-late", "a second is too little to tell from a slow network"),
    (
        "messages-to-the-impatient-lag",
        "a second and a half is too little to tell from a slow network",
    ),
    ("every-second-connection-is-slow", "milliseconds are not looked at"),
    ("reads-every-second-connection-late", "milliseconds are not looked at"),
    ("takes-qos-0-in-late", "milliseconds are not looked at"),
    ("notices-losses-late", "milliseconds are not looked at"),
    ("acknowledges-out-of-order", "milliseconds are not looked at"),
    ("suback-after-messages", "milliseconds are not looked at"),
    ("messages-lag", "milliseconds are not looked at"),
    ("mixes-topics", "the order of messages on several topics is not looked at"),
    ("mixes-topics-the-other-way", "the order of messages on several topics is not looked at"),
    ("resets", "it is made in the byte stream, of which scripts in memory have nothing"),
    (
        "resets-lose-what-is-unread",
        "it is made in the byte stream, of which scripts in memory have nothing",
    ),
    (
        "sends-byte-by-byte",
        "it is made in the byte stream, of which scripts in memory have nothing",
    ),
    ("gathers-packets", "it is made in the byte stream, of which scripts in memory have nothing"),
    (
        "writes-reason-codes-out",
        "it is made in the byte stream, of which scripts in memory have nothing",
    ),
    (
        "writes-property-lengths-out",
        "it is made in the byte stream, of which scripts in memory have nothing",
    ),
    ("gives-each-client-response-information", "what Response Information says is not compared"),
    ("waits-long-for-connect", "it would take an hour"),
];

/// All questions, in the order of the standard.
pub fn questions() -> &'static [Question] {
    static ALL: OnceLock<Vec<Question>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<_> =
            SCRIPTS.iter().filter_map(|(name, text)| question(name, text)).collect();
        // All answers to a question stand where the first of them does.
        let sections = all.iter().map(|one: &Question| {
            let same = all.iter().filter(|other| other.asks == one.asks);
            same.map(|other| section(other.switch)).min_by_key(|it| section_order(it))
        });
        let sections: Vec<_> = sections.collect();
        for (question, first) in all.iter_mut().zip(sections) {
            question.section = first.unwrap_or_default();
        }
        all.sort_by_key(|question| section_order(question.section));
        all
    })
}

/// The switches that no script shows yet, and why.
pub fn unasked() -> impl Iterator<Item = (&'static Switch, &'static str)> {
    UNASKED.iter().filter_map(|(name, why)| Some((chameleon::find(name)?, *why)))
}

/// The section of the standard that leaves a choice open.
pub(super) fn section(switch: &Switch) -> &'static str {
    let first = switch.allowed_by.first().copied().unwrap_or_default();
    requirement::find(first).map_or(first, |requirement| requirement.section)
}

fn question(name: &str, text: &'static str) -> Option<Question> {
    let after = |mark| text.lines().find_map(|line| line.strip_prefix(mark)).unwrap_or_default();
    let switch = chameleon::find(name)?;
    Some(Question {
        switch,
        section: section(switch),
        asks: after(ASKS),
        otherwise: after(OTHERWISE),
        script: parse(text).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_switch_has_a_script_or_a_reason_why_not() {
        let asked: Vec<_> = SCRIPTS.iter().map(|(name, _)| *name).collect();
        let unasked: Vec<_> = UNASKED.iter().map(|(name, _)| *name).collect();
        let named: BTreeSet<_> = asked.iter().chain(&unasked).copied().collect();
        let all: BTreeSet<_> = chameleon::all().iter().map(|switch| switch.name).collect();
        let missing: Vec<_> = all.difference(&named).collect();
        let gone: Vec<_> = named.difference(&all).collect();
        assert!(missing.is_empty() && gone.is_empty(), "missing {missing:?}, gone {gone:?}");
        assert_eq!(asked.len() + unasked.len(), named.len(), "one is named twice");
        assert_eq!(questions().len(), SCRIPTS.len());
    }

    #[test]
    fn every_script_is_listed_and_says_what_it_asks() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/choices");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let files = files.filter_map(|path| {
            Some(path.file_name()?.to_str()?.strip_suffix(".script")?.to_owned())
        });
        let listed: BTreeSet<_> = SCRIPTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), listed);
        for question in questions() {
            assert!(!question.asks.is_empty(), "{:?}", question.switch);
            assert!(!question.otherwise.is_empty(), "{:?}", question.switch);
            assert!(!question.script.steps.is_empty(), "{:?}", question.switch);
            for other in questions().iter().filter(|other| other.asks == question.asks) {
                assert_eq!(other.otherwise, question.otherwise, "{:?}", other.switch);
            }
        }
    }
}
