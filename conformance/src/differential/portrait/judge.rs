//! What the embedded broker shows of a choice, with and without it, and which of both another one does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use reference_broker::core::Config;

use crate::chameleon::Switch;
use crate::script::{Act, Place, Played, Script, Step, play, to_text};
use crate::target::Variant;
use crate::trace::normalise;

use super::super::observed::TAKEN_OVER;
use super::super::{Difference, Observed, differences};
use super::{Answer, Question};

/// Longer than any switch holds back what a script of a question brings.
const LONGEST: Duration = Duration::from_secs(5);

/// The embedded broker as it is asked: what it takes over of another one's announcements, and where.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) config: Config,
    pub(super) place: Place,
    /// How much longer is waited than the embedded broker needs.
    pub(super) margin: Duration,
    memory: Memory,
}

/// What has been seen of scripts, by their text and that of the variant.
type Memory = RefCell<HashMap<(String, String), Observed>>;

/// What is seen without a choice, and with it.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) without: Observed,
    pub(super) with: Observed,
}

/// The variants without a choice, and with it: what else is chosen stays, but for what it excludes.
pub(super) fn variants(base: &Variant, switch: &'static Switch) -> (Variant, Variant) {
    let rest = base.switches().iter().copied().filter(|it| *it != switch);
    let compatible = rest.clone().filter(|it| !it.excludes(switch)).chain([switch]);
    let choosing = |switches: Vec<_>| Variant::choosing(switches).unwrap_or_default();
    (choosing(rest.collect()), choosing(compatible.collect()))
}

impl Reference {
    pub(super) fn new(config: Config, place: Place, margin: Duration) -> Reference {
        Reference { config, place, margin, memory: Memory::default() }
    }

    /// What comes of a script that is placed.
    pub(super) fn plays(&self, placed: &Script, variant: &Variant) -> Played {
        play(placed, variant, &self.config)
    }

    /// What is seen of it.
    pub(super) fn seen(&self, script: &Script, variant: &Variant) -> Observed {
        let key = (to_text(script), variant.to_string());
        if let Some(seen) = self.memory.borrow().get(&key) {
            return seen.clone();
        }
        let seen = observed(&self.place, self.plays(&self.place.script(script), variant));
        self.memory.borrow_mut().insert(key, seen.clone());
        seen
    }

    /// What is seen without a choice and with it.
    pub(super) fn pair(&self, script: &Script, base: &Variant, switch: &'static Switch) -> Pair {
        let (without, with) = variants(base, switch);
        Pair { without: self.seen(script, &without), with: self.seen(script, &with) }
    }

    /// The same for a broker that announces nothing but what the choice is about.
    fn announcing(&self, script: &Script, switch: &'static Switch) -> Pair {
        let plain = Reference::new(Config::default(), self.place.clone(), self.margin);
        plain.pair(script, &Variant::default(), switch)
    }

    /// The script with as long a rest at its end as there is something to come, with and without the
    /// choice.
    pub(super) fn rested(
        &self,
        script: &Script,
        base: &Variant,
        switch: &'static Switch,
    ) -> Script {
        let rest = |time| {
            let mut script = script.clone();
            script.steps.push(Step::new("all", Act::Wait(time)));
            script
        };
        let long = rest(LONGEST);
        let (without, with) = variants(base, switch);
        let last = [without, with].into_iter().map(|variant| {
            let end = self.plays(script, &variant).trace.last().map_or(Duration::ZERO, |it| it.at);
            let begun = end.max(script.waits());
            let played = self.plays(&long, &variant);
            played.trace.last().map_or(Duration::ZERO, |it| it.at.saturating_sub(begun))
        });
        rest(last.max().unwrap_or_default() + self.margin)
    }

    /// What is seen without the choice and with it, and in which parts what is seen with it is its own.
    pub(super) fn parts(
        &self,
        question: &Question,
        script: &Script,
        base: &Variant,
    ) -> (Pair, Parts) {
        let pair = self.pair(script, base, question.switch);
        let mut parts = pair.parts();
        if !parts.is_empty() {
            for other in question.alternatives() {
                let (_, variant) = variants(base, other);
                let (without, with) = (pair.with.clone(), self.seen(script, &variant));
                parts.extend(Pair { without, with }.parts());
            }
        }
        (pair, parts)
    }

    /// Which of both a broker does.
    pub(super) fn answer(
        &self,
        question: &Question,
        script: &Script,
        base: &Variant,
        seen: &Observed,
    ) -> Answer {
        let switch = question.switch;
        if let Some(other) = base.switches().iter().find(|it| it.excludes(switch))
            && self.pair(script, base, switch).parts().is_empty()
        {
            return Answer::RuledOut(format!("it {}, which looks the same", other.does));
        }
        let (pair, parts) = self.parts(question, script, base);
        if !parts.is_empty() {
            return pair.answer(&parts, seen);
        }
        // What it announces is what the choice is about.
        let pair = self.announcing(script, switch);
        let parts = differences(&pair.without, &pair.with).into_iter();
        let is_told = standing(&pair.without) == standing(&pair.with);
        let announced = parts.filter(|it| is_told && is_announced(&it.part));
        let announced: Parts = announced.map(|it| (it.connection, it.part)).collect();
        if !announced.is_empty() {
            return pair.answer(&announced, seen);
        }
        let plain = self.pair(script, &Variant::default(), switch);
        Answer::RuledOut(match plain.parts().is_empty() {
            true => "what it announces leaves no room for it".to_owned(),
            false => "what else it chooses leaves no room for it".to_owned(),
        })
    }
}

/// Whether a part is what a broker says of its own limits and features.
fn is_announced(part: &str) -> bool {
    part.strip_prefix("CONNACK ").is_some_and(|key| TAKEN_OVER.iter().any(|id| id.row().key == key))
}

fn is_name(part: &str) -> bool {
    part == "CONNACK assigned_client_identifier"
}

fn is_for_people(part: &str) -> bool {
    part.ends_with("reason string")
}

fn is_order(part: &str) -> bool {
    part.ends_with("order of properties")
}

/// Connections, and parts of what they see.
pub(super) type Parts = BTreeSet<(String, String)>;

impl Pair {
    /// In what both differ: without what is announced, the form of names, texts for people and the
    /// order of properties, where there is more than that.
    pub(super) fn parts(&self) -> Parts {
        let parts = differences(&self.without, &self.with).into_iter();
        let mut parts: Parts =
            parts.map(|Difference { connection, part, .. }| (connection, part)).collect();
        for is_lesser in [is_order, is_for_people, is_name, is_announced] {
            if !parts.iter().all(|(_, part)| is_lesser(part)) {
                parts.retain(|(_, part)| !is_lesser(part));
            }
        }
        parts
    }

    /// Which of both is seen, as far as these parts go, and where connections stand.
    fn answer(&self, parts: &Parts, seen: &Observed) -> Answer {
        if !differs(parts, &self.with, seen) {
            Answer::Takes
        } else if !differs(parts, &self.without, seen) {
            Answer::Not
        } else {
            let differing = differences(&self.without, seen);
            let of_parts = |it: &Difference| {
                parts.contains(&(it.connection.clone(), it.part.clone()))
                    || ["end", "CONNACK", "no packet"].contains(&it.part.as_str())
            };
            Answer::Otherwise(differing.into_iter().filter(of_parts).collect())
        }
    }

    /// Whether what is seen of a broker differs from what is seen without the choice in these parts.
    pub(super) fn touches(&self, parts: &Parts, seen: &Observed) -> bool {
        differs(parts, &self.without, seen)
    }
}

/// Whether two differ in these parts, or in which connections stand.
fn differs(parts: &Parts, one: &Observed, other: &Observed) -> bool {
    let is_other =
        |(name, part): &(String, String)| seen_of(one, name, part) != seen_of(other, name, part);
    parts.iter().any(is_other) || standing(one) != standing(other)
}

fn seen_of<'a>(of: &'a Observed, connection: &str, part: &str) -> &'a str {
    of.connections.get(connection).and_then(|parts| parts.get(part)).map_or("", String::as_str)
}

/// Which connections were accepted, which refused, and which have ended.
fn standing(of: &Observed) -> BTreeMap<&str, (Option<bool>, bool)> {
    let standing = |name: &str| {
        let connack = seen_of(of, name, "CONNACK");
        let accepted = (!connack.is_empty()).then(|| connack.contains("0x00"));
        (accepted, !seen_of(of, name, "end").is_empty())
    };
    of.connections.keys().map(|name| (name.as_str(), standing(name))).collect()
}

/// What is seen of a script that was played there.
pub(super) fn observed(place: &Place, mut played: Played) -> Observed {
    played.trace = normalise(&played.trace, &place.replacements());
    Observed::in_detail(&played)
}
