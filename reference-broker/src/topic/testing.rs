//! What the tests of this module share: the table of section 4.7, a naive matcher, and random
//! names and filters.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::{TopicFilter, TopicName};

/// Filters, names that they match, names that they do not match.
pub(super) const MATCHES: [(&str, &[&str], &[&str]); 22] = [
    ("a/b", &["a/b"], &["a", "a/", "a/b/", "/a/b", "a//b", "A/b", "a/B", "a/b/c"]),
    ("a/+", &["a/b", "a/", "a/$b"], &["a", "a/b/c", "a//", "/a", "b/a"]),
    ("+/b", &["a/b", "/b"], &["b", "a/b/c", "/a/b", "$a/b"]),
    ("+", &["a", "a b"], &["a/", "/a", "/", "$a"]),
    ("+/+", &["a/b", "/a", "a/", "/"], &["a", "a/b/c", "$a/b"]),
    ("/+", &["/a", "/"], &["a", "//", "/a/b"]),
    ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
    ("+/+/+", &["//", "a/b/c", "/a/"], &["/", "a/b", "$a/b/c"]),
    ("#", &["a", "/", "a/", "/a", "a/b/c"], &["$a", "$a/b", "$SYS/x"]),
    ("a/#", &["a", "a/", "a/b", "a/b/c", "a//b"], &["/a", "ab", "A", "b/a"]),
    ("/#", &["/", "/a", "//", "/a/b"], &["a", "a/"]),
    ("+/#", &["a", "a/b", "/", "/a"], &["$a", "$a/b"]),
    ("a/+/#", &["a/b", "a/", "a/b/c", "a//c"], &["a", "b/a/b"]),
    ("+/a/#", &["b/a", "/a", "b/a/c"], &["a/b", "a", "$x/a"]),
    ("/", &["/"], &["a", "//", "/a"]),
    ("//", &["//"], &["/", "/a/", "///"]),
    ("$SYS/#", &["$SYS", "$SYS/a", "$SYS/a/b"], &["SYS/a", "/$SYS/a", "$sys/a"]),
    ("$SYS/+", &["$SYS/a", "$SYS/"], &["$SYS", "$SYS/a/b"]),
    ("a/$b/c", &["a/$b/c"], &["a/b/c"]),
    ("a b", &["a b"], &["a", "a  b", " a b"]),
    ("\u{e9}", &["\u{e9}"], &["e\u{301}"]),
    ("\u{feff}a", &["\u{feff}a"], &["a"]),
];

/// Few, so that names and filters meet often; some sort before `#`, between `#` and `+`, or share
/// a prefix with another.
const LEVELS: [&str; 9] = ["", " ", "$", "$a", "a", "a ", "é", "e\u{301}", "日本"];

/// A name that is known to be one.
pub(super) fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

/// A filter that is known to be one.
pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

/// The levels of a name or filter, which compare as the trees order them.
pub(super) fn levels(text: &str) -> Vec<String> {
    text.split('/').map(String::from).collect()
}

/// How many nodes a tree of these texts has: the root and one for each distinct beginning.
pub(super) fn nodes_for<'a>(texts: impl Iterator<Item = &'a Vec<String>>) -> usize {
    let beginnings = texts.flat_map(|text| (1..=text.len()).map(|n| &text[..n]));
    1 + beginnings.collect::<BTreeSet<_>>().len()
}

/// A name of one to five levels.
pub(super) fn any_name() -> impl Strategy<Value = TopicName> {
    prop::collection::vec(select(&LEVELS[..]), 1..=5)
        .prop_filter_map("an empty name", |levels| TopicName::parse(&levels.join("/")).ok())
}

/// A filter of one to six levels, often with wildcards.
pub(super) fn any_filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![3 => select(&LEVELS[..]), 2 => Just("+")];
    (prop::collection::vec(level, 0..=5), any::<bool>()).prop_filter_map(
        "an empty filter",
        |(mut levels, multi_level)| {
            levels.extend(multi_level.then_some("#"));
            TopicFilter::parse(&levels.join("/")).ok()
        },
    )
}

/// Section 4.7 by the letter, without a thought for cost.
pub(super) fn naive_match(filter: &TopicFilter, name: &TopicName) -> bool {
    let (filter, name) = (filter.as_str(), name.as_str());
    if (filter.starts_with('+') || filter.starts_with('#')) && name.starts_with('$') {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    naive_levels(&filter, &name)
}

fn naive_levels(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        ([], []) | (["#"], _) => true,
        (["+", filter @ ..], [_, name @ ..]) => naive_levels(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => {
            wanted == level && naive_levels(filter, name)
        }
        _ => false,
    }
}
