//! Subscriptions and retained messages by topic, against a list that is searched by the letter of
//! sections 4.7 and 4.8.
//!
//! `naive` reads and matches texts without a thought for cost; here the trees do the same beside it.

mod naive;

use std::collections::BTreeMap;

use reference_broker::topic::{FilterTree, NameTree, SubscriptionFilter, TopicFilter, TopicName};

use crate::choices::Choices;

/// How many steps an input has at the most: what takes more is no other case.
const STEPS: usize = 200;

/// Few levels, so that names and filters meet often: some sort before `#`, between `#` and `+`, or
/// share a beginning with another.
const LEVELS: [&str; 16] = [
    "a", "", "+", "b", "#", "$", "$a", "a ", " ", "é", "e\u{301}", "$share", "a+", "#b", "\0", "g",
];

/// Whatever is subscribed, retained and taken away again, in any order: a text is taken or refused, a
/// message finds the subscriptions and a filter the retained messages that sections 4.7 and 4.8 say,
/// each once and in the order of their levels.
///
/// # Panics
///
/// When it does not.
pub fn topics_match_as_a_list_would(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut world = World::default();
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
    }
    world.empty();
}

/// Subscriptions and retained messages, in trees and in lists.
#[derive(Default)]
struct World {
    filters: FilterTree<u8, usize>,
    /// By levels and key, which is the order that answers have.
    listed: BTreeMap<(Vec<String>, u8), usize>,
    names: NameTree<usize>,
    retained: BTreeMap<Vec<String>, usize>,
    /// Every value is another one.
    count: usize,
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        self.count += 1;
        let step = choices.byte();
        let text = text(choices);
        match step % 8 {
            0 | 1 => self.subscribe(&text, step >> 6),
            2 => self.unsubscribe(&text, step >> 6),
            3 => self.publish(&text),
            4 => self.retain(&text),
            5 => self.forget(&text),
            6 => self.look_up(&text, choices.byte()),
            _ => relate(&text, &self::text(choices)),
        }
    }

    fn subscribe(&mut self, text: &str, key: u8) {
        let Some((_, filter)) = subscription(text) else { return };
        let replaced = self.listed.insert((levels(filter.as_str()), key), self.count);
        assert_eq!(self.filters.insert(&filter, key, self.count), replaced, "{text:?}");
        self.check_sizes();
    }

    fn unsubscribe(&mut self, text: &str, key: u8) {
        let Some((_, filter)) = subscription(text) else { return };
        let removed = self.listed.remove(&(levels(filter.as_str()), key));
        assert_eq!(self.filters.get(&filter, &key).copied(), removed, "{text:?}");
        assert_eq!(self.filters.remove(&filter, &key), removed, "{text:?}");
        self.check_sizes();
    }

    fn publish(&self, text: &str) {
        let Some(name) = name(text) else { return };
        let found: Vec<(u8, usize)> = self.filters.matches(&name).map(|(k, v)| (*k, *v)).collect();
        let listed = self.listed.iter();
        let listed = listed.filter(|((filter, _), _)| naive::matches(&filter.join("/"), text));
        let listed: Vec<(u8, usize)> = listed.map(|((_, key), value)| (*key, *value)).collect();
        assert_eq!(found, listed, "subscriptions for {text:?} among {:?}", self.listed);
    }

    fn retain(&mut self, text: &str) {
        let Some(name) = name(text) else { return };
        let replaced = self.retained.insert(levels(text), self.count);
        assert_eq!(self.names.insert(&name, self.count), replaced, "{text:?}");
        self.check_sizes();
    }

    fn forget(&mut self, text: &str) {
        let Some(name) = name(text) else { return };
        let removed = self.retained.remove(&levels(text));
        assert_eq!(self.names.get(&name).copied(), removed, "{text:?}");
        assert_eq!(self.names.remove(&name), removed, "{text:?}");
        self.check_sizes();
    }

    /// Retained messages for a filter, all of them and as many as some steps find.
    fn look_up(&self, text: &str, steps: u8) {
        let Some((_, filter)) = subscription(text) else { return };
        let of = |(name, value): (&TopicName, &usize)| (name.to_string(), *value);
        let found: Vec<_> = self.names.matching(&filter).map(of).collect();
        let listed = self.retained.iter().map(|(levels, value)| (levels.join("/"), *value));
        let listed = listed.filter(|(name, _)| naive::matches(filter.as_str(), name));
        assert_eq!(found, listed.collect::<Vec<_>>(), "retained for {text:?}");
        let mut left = usize::from(steps);
        let some: Vec<_> =
            self.names.matching_within(&filter, &mut left).into_iter().map(of).collect();
        assert!(found.starts_with(&some), "{some:?} in {steps} steps for {text:?} of {found:?}");
        assert!(left == 0 || some.len() == found.len(), "steps were left, and names too");
    }

    fn check_sizes(&self) {
        assert_eq!(self.filters.len(), self.listed.len());
        assert_eq!(self.filters.is_empty(), self.listed.is_empty());
        assert_eq!(self.names.len(), self.retained.len());
        let all = self.names.iter().map(|(name, value)| (levels(name.as_str()), *value));
        assert!(self.names.len() > 16 || all.eq(self.retained.clone()), "all that is retained");
    }

    /// All that was kept can be taken away.
    fn empty(mut self) {
        for ((levels, key), value) in std::mem::take(&mut self.listed) {
            let filter = TopicFilter::parse(&levels.join("/")).expect("it was one");
            assert_eq!(self.filters.remove(&filter, &key), Some(value), "{filter}");
        }
        for (levels, value) in std::mem::take(&mut self.retained) {
            let name = TopicName::parse(&levels.join("/")).expect("it was one");
            assert_eq!(self.names.remove(&name), Some(value), "{name}");
        }
        self.check_sizes();
    }
}

/// How two filters stand to each other agrees with what each of them matches: tried with names made of
/// their own levels.
fn relate(one: &str, other: &str) {
    let (Some((_, own)), Some((_, their))) = (subscription(one), subscription(other)) else {
        return;
    };
    let (covers, overlaps) = (own.covers(&their), own.overlaps(&their));
    assert_eq!(overlaps, their.overlaps(&own), "{own} and {their}");
    assert!(own.covers(&own), "{own} covers itself");
    for model in [&own, &their] {
        for fill in ["a", "", "$"] {
            let Some(name) = filled(model, fill) else { continue };
            let (mine, others) = (own.matches(&name), their.matches(&name));
            assert_eq!(mine, naive::matches(own.as_str(), name.as_str()), "{own} and {name}");
            assert!(
                !covers || mine || !others,
                "{own} is to cover {their}, and {name} shows it does not"
            );
            assert!(overlaps || !mine || !others, "{own} and {their} have {name} in common");
        }
    }
}

/// A name that has this in the place of wildcards.
fn filled(filter: &TopicFilter, fill: &str) -> Option<TopicName> {
    let levels = filter.levels().map(|level| if matches!(level, "+" | "#") { fill } else { level });
    TopicName::parse(&levels.collect::<Vec<_>>().join("/")).ok()
}

/// A text as a Topic Name, if both say that it is one.
fn name(text: &str) -> Option<TopicName> {
    let name = TopicName::parse(text);
    assert_eq!(name.is_ok(), naive::is_name(text), "{text:?} as a Topic Name: {name:?}");
    if let Ok(name) = &name {
        assert!(name.as_str() == text && name.levels().eq(levels(text)));
        assert_eq!(name.starts_with_dollar(), text.starts_with('$'));
    }
    name.ok()
}

/// A text as what SUBSCRIBE has, if both say that it is that: the name of its group, and its filter.
fn subscription(text: &str) -> Option<(Option<String>, TopicFilter)> {
    let plain = TopicFilter::parse(text);
    assert_eq!(plain.is_ok(), naive::is_filter(text), "{text:?} as a Topic Filter: {plain:?}");
    let read = SubscriptionFilter::parse(text);
    let expected = naive::subscription(text);
    let parts =
        read.as_ref().ok().map(|it| (it.share().map(|share| share.as_str()), it.filter().as_str()));
    assert_eq!(parts, expected, "{text:?} as a subscription");
    let read = read.ok()?;
    assert_eq!((read.as_str(), read.is_shared()), (text, expected?.0.is_some()));
    Some((read.share().map(ToString::to_string), read.filter().clone()))
}

/// A text of chosen levels. The first byte says how many, the others which; one of them now and then
/// many times over, or letters of the input.
fn text(choices: &mut Choices<'_>) -> String {
    let count = 1 + choices.below(6);
    let mut levels: Vec<String> = Vec::new();
    for _ in 0..count {
        match choices.byte() {
            level @ 0..224 => levels.push(LEVELS[usize::from(level) % LEVELS.len()].to_owned()),
            224..248 => levels.push(String::from_utf8_lossy(choices.take(3)).into_owned()),
            _ => {
                let level = LEVELS[choices.below(LEVELS.len())];
                let times = choices.of(&[2, 9, 70, 300, 65_536]).unwrap_or_default();
                let joint = if times > 300 { "" } else { "/" };
                levels.push(vec![level; times].join(joint));
            }
        }
    }
    levels.join("/")
}

fn levels(text: &str) -> Vec<String> {
    text.split('/').map(str::to_owned).collect()
}

/// Inputs to begin with: subscriptions of every kind, and names that match them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Step, how many levels follow, which levels.
    let group = [0, 3, 11, 15, 2, 1];
    let subscribe =
        [&[0, 1, 0, 2][..], &[64, 1, 0, 4], &group, &[1, 0, 4], &[1, 1, 5, 4], &[1, 2, 1, 2, 0]];
    let retain = [&[4, 1, 0, 3][..], &[4, 0, 0], &[4, 1, 6, 3], &[4, 1, 1, 1]];
    let publish =
        [&[3, 1, 0, 3][..], &[3, 0, 0], &[3, 1, 6, 3], &[3, 2, 1, 1, 0], &[3, 0, 248, 0, 3]];
    let look_up = [&[6, 1, 0, 2, 0][..], &[6, 0, 4, 9], &[6, 1, 1, 2, 200], &[6, 1, 2, 2, 3]];
    let forget = [&[5, 1, 0, 3][..], &[2, 1, 0, 2], &[2, 3, 11, 15, 2, 1]];
    let relate = [&[7, 1, 0, 2, 1, 0, 4][..], &[7, 0, 4, 1, 5, 4], &[7, 1, 2, 3, 1, 0, 2]];
    let all = [&subscribe[..], &retain, &publish, &look_up, &forget, &publish, &look_up, &relate];
    let single = all.iter().flat_map(|steps| steps.iter().map(|step| step.to_vec()));
    single.chain([all.concat().concat()]).collect()
}
