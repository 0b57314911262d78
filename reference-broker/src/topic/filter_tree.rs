//! Subscriptions by Topic Filter (sections 4.7 and 4.8).

use std::collections::BTreeMap;

use super::arena::{LevelTree, NodeId, ROOT, Slot};
use super::{TopicFilter, TopicName};

impl<K, V> Slot for BTreeMap<K, V> {
    fn is_vacant(&self) -> bool {
        self.is_empty()
    }
}

/// Subscriptions: values by Topic Filter and, under each filter, by key (section 4.8).
///
/// A filter that loses its last key leaves nothing behind but room that other filters use.
#[derive(Clone, Debug)]
pub struct FilterTree<K, V> {
    tree: LevelTree<BTreeMap<K, V>>,
    len: usize,
}

impl<K, V> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> FilterTree<K, V> {
    /// A tree with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { tree: LevelTree::new(), len: 0 }
    }

    /// How many pairs of a filter and a key there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no filter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every key, with its value, of every filter that matches `name` (sections 4.7.1 to 4.7.3),
    /// by filter in the order of the levels, then by key.
    pub fn matches<'a>(
        &'a self,
        name: &TopicName,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let levels: Vec<&str> = name.levels().collect();
        let mut found = Vec::new();
        let mut pending = vec![(ROOT, 0)];
        while let Some((node, depth)) = pending.pop() {
            if depth == levels.len() && !self.tree.slot(node).is_empty() {
                found.push(self.tree.slot(node));
            }
            let barred = node == ROOT && name.starts_with_dollar();
            self.push_steps(&mut pending, node, &levels, depth, barred);
        }
        found.into_iter().flatten() // U-4.7.3-5
    }

    /// Pushes the children of `node` that let the levels from `depth` on match, last one first.
    fn push_steps(
        &self,
        pending: &mut Vec<(NodeId, usize)>,
        node: NodeId,
        levels: &[&str],
        depth: usize,
        wildcards_barred: bool,
    ) {
        // What a child is called, and how many levels have been matched when it is reached.
        let multi_level = ("#", levels.len()); // U-4.7.1.2-1
        let single_level = ("+", depth + 1); // U-4.7.1.3-1
        let mut push = |steps: &[(&str, usize)]| {
            let children = steps.iter().filter_map(|(level, matched)| {
                self.tree.child(node, level).map(|child| (child, *matched))
            });
            pending.extend(children);
        };
        match levels.get(depth) {
            None => push(&[multi_level]),
            Some(level) if wildcards_barred => push(&[(level, depth + 1)]), // MQTT-4.7.2-1
            Some(level) => {
                let mut steps = [multi_level, single_level, (level, depth + 1)];
                steps.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
                push(&steps);
            }
        }
    }
}

impl<K: Ord, V> FilterTree<K, V> {
    /// Puts a value under a filter and a key; returns the one that was there.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let replaced = self.tree.grow(filter.as_str()).insert(key, value);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Takes away the value under a filter, compared as text, and a key.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let removed = self.tree.take(filter.as_str(), |keys| keys.remove(key))?;
        self.len -= 1;
        Some(removed)
    }

    /// The value under a filter, compared as text, and a key.
    #[must_use]
    pub fn get(&self, filter: &TopicFilter, key: &K) -> Option<&V> {
        self.tree.get(filter.as_str())?.get(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::topic::testing::{self, MATCHES, filter, levels, naive_match, name, nodes_for};

    #[test]
    fn a_tree_matches_as_the_table_says() {
        let mut tree = FilterTree::new();
        for (text, _, _) in MATCHES {
            tree.insert(&filter(text), text, ());
        }
        for (text, matching, others) in MATCHES {
            for other in matching.iter().copied() {
                assert!(tree.matches(&name(other)).any(|(f, ())| *f == text), "{text} {other}");
            }
            for other in others.iter().copied() {
                assert!(tree.matches(&name(other)).all(|(f, ())| *f != text), "{text} {other}");
            }
        }
    }

    #[test]
    fn a_tree_keeps_one_value_for_a_filter_and_a_key() {
        let mut tree = FilterTree::default();
        assert_eq!(tree.insert(&filter("a/+"), "x", 1), None);
        assert_eq!(tree.insert(&filter("a/+"), "y", 2), None);
        assert_eq!(tree.insert(&filter("a/+"), "x", 3), Some(1));
        assert_eq!(tree.insert(&filter("a/b"), "x", 4), None);
        assert_eq!(tree.len(), 3);
        assert_eq!(tree.get(&filter("a/+"), &"x"), Some(&3));
        assert_eq!(tree.get(&filter("a/+"), &"z"), None);
        assert_eq!(tree.get(&filter("a"), &"x"), None);
        let found: Vec<_> = tree.matches(&name("a/b")).collect();
        assert_eq!(found, [(&"x", &3), (&"y", &2), (&"x", &4)]);
        // Removal compares filters as text: none of these is there.
        for other in ["#", "a/#", "+/+", "a", "a/+/c"] {
            assert_eq!(tree.remove(&filter(other), &"x"), None, "{other}");
        }
        assert_eq!(tree.remove(&filter("a/+"), &"x"), Some(3));
        assert_eq!(tree.remove(&filter("a/+"), &"x"), None);
        assert_eq!(tree.len(), 2);
        assert!(!tree.is_empty());
    }

    #[test]
    fn answers_come_in_the_order_of_the_levels() {
        let mut tree = FilterTree::new();
        for text in ["a b/+", "+/+", "#", " /x", "+/#", "a b", "a b/x", "a b/#", "a b/x/#"] {
            tree.insert(&filter(text), 0, text);
        }
        let matches = |text| tree.matches(&name(text)).map(|(_, f)| *f).collect::<Vec<_>>();
        let found = ["#", "+/#", "+/+", "a b/#", "a b/+", "a b/x", "a b/x/#"];
        assert_eq!(matches("a b/x"), found);
        assert_eq!(matches(" /x"), [" /x", "#", "+/#", "+/+"]);
    }

    #[test]
    fn depth_is_no_danger() {
        let separators = "/".repeat(32_767);
        let longest = "/".repeat(65_535);
        let singles = "+/".repeat(32_767);
        let deep = [separators.clone(), longest.clone(), singles.clone() + "#", singles + "+"];
        let mut tree = FilterTree::new();
        for (i, text) in deep.iter().enumerate() {
            tree.insert(&filter(text), (), i);
        }
        let found = |text: &str| tree.matches(&name(text)).map(|(_, i)| *i).collect::<Vec<_>>();
        assert_eq!(found(&separators), [0, 2, 3]);
        assert_eq!(found(&longest), [1, 2]);
        assert_eq!(found(&longest[1..]), [2]);
        assert_eq!(found(&separators[1..]), [2]);
        let copy = tree.clone();
        for (i, text) in deep.iter().enumerate() {
            assert_eq!(tree.remove(&filter(text), &()), Some(i));
        }
        assert_eq!(tree.tree.node_count(), (1, 1));
        drop(copy);
    }

    #[test]
    fn every_mixture_of_wildcards_is_found_once() {
        let mut tree = FilterTree::new();
        for bits in 0..1 << 10 {
            let level = |n| if bits >> n & 1 == 0 { "+" } else { "a" };
            let text = (0..10).map(level).collect::<Vec<_>>().join("/");
            tree.insert(&filter(&text), (), bits);
        }
        let mut found: Vec<_> =
            tree.matches(&name(&["a"; 10].join("/"))).map(|(_, v)| *v).collect();
        found.sort_unstable();
        assert_eq!(found, (0..1 << 10).collect::<Vec<_>>());
        assert_eq!(tree.matches(&name(&["b"; 10].join("/"))).count(), 1);
    }

    proptest! {
        #[test]
        fn a_tree_does_what_a_list_would(
            steps in prop::collection::vec((any::<Option<Index>>(), testing::any_filter(), 0..3u8), 1..60),
            names in prop::collection::vec(testing::any_name(), 1..8),
        ) {
            let mut tree = FilterTree::new();
            let mut list = BTreeMap::new();
            for (value, (earlier, filter, key)) in steps.iter().enumerate() {
                // Removes what this or an earlier step named, or inserts.
                let removal = earlier.map(|earlier| &steps[earlier.index(value + 1)]);
                let (filter, key) = removal.map_or((filter, key), |(_, filter, key)| (filter, key));
                let place = (levels(filter.as_str()), *key);
                if removal.is_none() {
                    let replaced = list.insert(place, (filter, value)).map(|(_, value)| value);
                    prop_assert_eq!(tree.insert(filter, *key, value), replaced);
                } else {
                    let removed = list.remove(&place).map(|(_, value)| value);
                    prop_assert_eq!(tree.remove(filter, key), removed);
                }
                prop_assert_eq!(tree.len(), list.len());
                prop_assert_eq!(tree.is_empty(), list.is_empty());
            }
            let nodes = nodes_for(list.keys().map(|(levels, _)| levels));
            prop_assert_eq!(tree.tree.node_count().0, nodes);
            for name in &names {
                let found: Vec<_> = tree.matches(name).collect();
                let expected = list.iter().filter(|(_, (filter, _))| naive_match(filter, name));
                let expected: Vec<_> = expected.map(|((_, key), (_, value))| (key, value)).collect();
                prop_assert_eq!(found, expected);
            }
            for ((_, key), (filter, value)) in &list {
                prop_assert_eq!(tree.get(filter, key), Some(value));
                prop_assert_eq!(tree.remove(filter, key), Some(*value));
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(tree.tree.node_count(), (1, 1));
        }
    }
}
