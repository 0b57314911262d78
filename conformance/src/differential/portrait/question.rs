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
            fixtures::CHOICES.iter().filter_map(|(name, text)| question(name, text)).collect();
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
        let asked: Vec<_> = fixtures::CHOICES.iter().map(|(name, _)| *name).collect();
        let unasked: Vec<_> = UNASKED.iter().map(|(name, _)| *name).collect();
        let named: BTreeSet<_> = asked.iter().chain(&unasked).copied().collect();
        let all: BTreeSet<_> = chameleon::all().iter().map(|switch| switch.name).collect();
        let missing: Vec<_> = all.difference(&named).collect();
        let gone: Vec<_> = named.difference(&all).collect();
        assert!(missing.is_empty() && gone.is_empty(), "missing {missing:?}, gone {gone:?}");
        assert_eq!(asked.len() + unasked.len(), named.len(), "one is named twice");
        assert_eq!(questions().len(), fixtures::CHOICES.len());
    }

    #[test]
    fn every_script_says_what_it_asks() {
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
