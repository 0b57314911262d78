//! Values by Topic Name, found by Topic Filter (section 4.7).

use super::arena::{LevelTree, ROOT, Slot};
use super::{TopicFilter, TopicName};

impl<V> Slot for Option<(TopicName, V)> {
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

/// Retained messages: values by Topic Name (section 3.3.1.3).
///
/// A name that loses its value leaves nothing behind but room that other names use.
#[derive(Clone, Debug)]
pub struct NameTree<V> {
    tree: LevelTree<Option<(TopicName, V)>>,
    len: usize,
}

impl<V> Default for NameTree<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> NameTree<V> {
    /// A tree with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { tree: LevelTree::new(), len: 0 }
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a value under a name; returns the one that was there.
    pub fn insert(&mut self, name: &TopicName, value: V) -> Option<V> {
        let replaced = self.tree.grow(name.as_str()).replace((name.clone(), value));
        self.len += usize::from(replaced.is_none());
        replaced.map(|(_, value)| value)
    }

    /// Takes away the value under a name.
    pub fn remove(&mut self, name: &TopicName) -> Option<V> {
        let (_, removed) = self.tree.take(name.as_str(), Option::take)?;
        self.len -= 1;
        Some(removed)
    }

    /// The value under a name.
    #[must_use]
    pub fn get(&self, name: &TopicName) -> Option<&V> {
        let (_, value) = self.tree.get(name.as_str())?.as_ref()?;
        Some(value)
    }

    /// Every name, with its value, that `filter` matches (sections 4.7.1 to 4.7.3), in the order of
    /// the levels.
    pub fn matching<'a>(
        &'a self,
        filter: &TopicFilter,
    ) -> impl Iterator<Item = (&'a TopicName, &'a V)> + use<'a, V> {
        let mut steps = usize::MAX;
        self.matching_within(filter, &mut steps).into_iter()
    }

    /// As [`NameTree::matching`], but ends when it has looked at so many places of the tree, of which
    /// it leaves those that are still to be had.
    pub fn matching_within<'a>(
        &'a self,
        filter: &TopicFilter,
        steps: &mut usize,
    ) -> Vec<(&'a TopicName, &'a V)> {
        let wanted: Vec<&str> = filter.levels().collect();
        self.find(&wanted, steps)
    }

    /// Every name, with its value, in the order of the levels.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &V)> {
        let mut pending = vec![ROOT];
        std::iter::from_fn(move || {
            loop {
                let node = pending.pop()?;
                pending.extend(self.tree.children(node).rev().map(|(_, child)| child));
                if let Some((name, value)) = self.tree.slot(node) {
                    return Some((name, value));
                }
            }
        })
    }

    fn find(&self, wanted: &[&str], steps: &mut usize) -> Vec<(&TopicName, &V)> {
        let mut found = Vec::new();
        let mut pending = vec![(ROOT, 0)];
        while let Some((node, depth)) = pending.pop() {
            let Some(left) = steps.checked_sub(1) else { return found };
            *steps = left;
            let level = wanted.get(depth).copied();
            if let (None | Some("#"), Some((name, value))) = (level, self.tree.slot(node)) {
                found.push((name, value));
            }
            let below = match level {
                None => continue,
                Some("#") => depth,     // U-4.7.1.2-1
                Some("+") => depth + 1, // U-4.7.1.3-1
                Some(level) => {
                    pending.extend(self.tree.child(node, level).map(|child| (child, depth + 1)));
                    continue;
                }
            };
            let barred = |level: &str| node == ROOT && level.starts_with('$');
            let children = self.tree.children(node).rev();
            let children = children.filter(|(level, _)| !barred(level)); // MQTT-4.7.2-1
            pending.extend(children.map(|(_, child)| (child, below)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::topic::testing::{self, MATCHES, filter, levels, naive_match, name, nodes_for};

    #[test]
    fn a_tree_matches_as_the_table_says() {
        let mut tree = NameTree::new();
        for (_, matching, others) in MATCHES {
            for text in matching.iter().chain(others) {
                tree.insert(&name(text), ());
            }
        }
        for (text, matching, others) in MATCHES {
            let found: Vec<&str> = tree.matching(&filter(text)).map(|(n, ())| n.as_str()).collect();
            assert!(matching.iter().all(|name| found.contains(name)), "{text} {found:?}");
            assert!(!others.iter().any(|name| found.contains(name)), "{text} {found:?}");
        }
    }

    #[test]
    fn a_tree_keeps_one_value_for_a_name() {
        let mut tree = NameTree::default();
        assert_eq!(tree.insert(&name("a"), 1), None);
        assert_eq!(tree.insert(&name("a"), 2), Some(1));
        assert_eq!(tree.insert(&name("a/b"), 3), None);
        assert_eq!(tree.insert(&name("$a"), 4), None);
        assert_eq!(tree.len(), 3);
        assert_eq!(tree.get(&name("a")), Some(&2));
        assert_eq!(tree.get(&name("a/")), None);
        let all: Vec<_> = tree.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(all, [("$a", 4), ("a", 2), ("a/b", 3)]);
        assert_eq!(tree.remove(&name("a")), Some(2));
        assert_eq!(tree.remove(&name("a")), None);
        assert_eq!(tree.get(&name("a/b")), Some(&3));
        assert_eq!(tree.len(), 2);
        assert!(!tree.is_empty());
    }

    #[test]
    fn a_search_may_end_early() {
        let mut tree = NameTree::new();
        for text in ["a/x", "b/x", "c/x"] {
            tree.insert(&name(text), ());
        }
        let found = |text: &str, mut steps: usize| {
            let found = tree.matching_within(&filter(text), &mut steps);
            (found.iter().map(|(name, ())| name.to_string()).collect::<Vec<_>>().join(" "), steps)
        };
        // The root, and two places for each name.
        assert_eq!(found("#", 7), ("a/x b/x c/x".to_string(), 0));
        assert_eq!(found("#", 9), ("a/x b/x c/x".to_string(), 2));
        assert_eq!(found("#", 6), ("a/x b/x".to_string(), 0));
        assert_eq!(found("+/y", 4), (String::new(), 0));
        assert_eq!(found("b/x", 9), ("b/x".to_string(), 6));
        assert_eq!(found("#", 0), (String::new(), 0));
    }

    #[test]
    fn depth_is_no_danger() {
        let separators = "/".repeat(32_767);
        let longest = "/".repeat(65_535);
        let singles = "+/".repeat(32_767);
        let mut tree = NameTree::new();
        tree.insert(&name(&separators), 1);
        tree.insert(&name(&longest), 2);
        let found = |text: &str| tree.matching(&filter(text)).map(|(_, v)| *v).collect::<Vec<_>>();
        assert_eq!(found("#"), [1, 2]);
        assert_eq!(found(&(singles.clone() + "+")), [1]);
        assert_eq!(found(&(singles + "#")), [1, 2]);
        assert_eq!(found(&longest), [2]);
        let copy = tree.clone();
        assert_eq!(tree.remove(&name(&longest)), Some(2));
        assert_eq!(tree.tree.node_count(), (32_769, 65_537));
        assert_eq!(tree.remove(&name(&separators)), Some(1));
        assert_eq!(tree.tree.node_count(), (1, 1));
        drop(copy);
    }

    proptest! {
        #[test]
        fn a_tree_does_what_a_list_would(
            steps in prop::collection::vec((any::<Option<Index>>(), testing::any_name()), 1..60),
            filters in prop::collection::vec(testing::any_filter(), 1..8),
        ) {
            let mut tree = NameTree::new();
            let mut list = BTreeMap::new();
            for (value, (earlier, name)) in steps.iter().enumerate() {
                // Removes what this or an earlier step named, or inserts.
                let removal = earlier.map(|earlier| &steps[earlier.index(value + 1)]);
                let name = removal.map_or(name, |(_, name)| name);
                let place = levels(name.as_str());
                if removal.is_none() {
                    let replaced = list.insert(place, (name, value)).map(|(_, value)| value);
                    prop_assert_eq!(tree.insert(name, value), replaced);
                } else {
                    let removed = list.remove(&place).map(|(_, value)| value);
                    prop_assert_eq!(tree.remove(name), removed);
                }
                prop_assert_eq!(tree.len(), list.len());
                prop_assert_eq!(tree.is_empty(), list.is_empty());
            }
            prop_assert_eq!(tree.tree.node_count().0, nodes_for(list.keys()));
            prop_assert!(tree.iter().eq(list.values().map(|(name, value)| (*name, value))));
            for filter in &filters {
                let found: Vec<_> = tree.matching(filter).collect();
                let expected = list.values().filter(|(name, _)| naive_match(filter, name));
                let expected: Vec<_> = expected.map(|(name, value)| (*name, value)).collect();
                prop_assert_eq!(found, expected);
            }
            for (name, value) in list.values() {
                prop_assert_eq!(tree.get(name), Some(value));
                prop_assert_eq!(tree.remove(name), Some(*value));
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(tree.tree.node_count(), (1, 1));
        }
    }
}
