//! A tree of levels, kept flat: nodes in one vector that name each other by index.
//!
//! So neither walking nor dropping a tree needs a stack as deep as the tree. The place of a node that
//! goes is used by the next that comes; the vector itself shrinks when the last node has gone.

use std::collections::BTreeMap;

/// Where a node stands in the vector.
pub(super) type NodeId = usize;

/// The node above all first levels. It is always there and no text leads to it.
pub(super) const ROOT: NodeId = 0;

/// What a node holds.
pub(super) trait Slot: Default {
    /// Whether there is nothing in it, so that a node without children may go.
    fn is_vacant(&self) -> bool;
}

/// A tree in which every text is a path, level by level.
#[derive(Clone, Debug)]
pub(super) struct LevelTree<S> {
    /// A node that is reachable from the root, or one whose index is in `free`.
    nodes: Vec<Node<S>>,
    free: Vec<NodeId>,
}

/// A node is vacant if it has neither children nor anything in its slot. Between operations no
/// reachable node but the root is vacant.
#[derive(Clone, Debug, Default)]
struct Node<S> {
    children: Children,
    slot: S,
}

/// The children of a node by their level. Most nodes have one at most, which takes no map.
#[derive(Clone, Debug, Default)]
enum Children {
    #[default]
    None,
    One(Box<str>, NodeId),
    /// Two or more.
    Many(BTreeMap<Box<str>, NodeId>),
}

impl<S: Slot> LevelTree<S> {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }

    /// What a node holds.
    pub(super) fn slot(&self, node: NodeId) -> &S {
        &self.nodes[node].slot
    }

    /// The child of a node that has exactly this level.
    pub(super) fn child(&self, node: NodeId, level: &str) -> Option<NodeId> {
        self.nodes[node].children.get(level)
    }

    /// All children of a node, by level in ascending order of bytes.
    pub(super) fn children(&self, node: NodeId) -> impl DoubleEndedIterator<Item = (&str, NodeId)> {
        self.nodes[node].children.iter()
    }

    /// What the node at the end of a path holds, if there is such a node.
    pub(super) fn get(&self, path: &str) -> Option<&S> {
        let node = path.split('/').try_fold(ROOT, |node, level| self.child(node, level))?;
        Some(self.slot(node))
    }

    /// What the node at the end of a path holds; the path is made where it is missing. The caller
    /// leaves something in the slot.
    pub(super) fn grow(&mut self, path: &str) -> &mut S {
        let mut node = ROOT;
        for level in path.split('/') {
            node = match self.child(node, level) {
                Some(child) => child,
                None => {
                    let child = self.allocate();
                    self.nodes[node].children.insert(level, child);
                    child
                }
            };
        }
        &mut self.nodes[node].slot
    }

    /// Takes something out of the slot at the end of a path and, with it, every node of the path
    /// that is then of no use.
    pub(super) fn take<R>(
        &mut self,
        path: &str,
        take: impl FnOnce(&mut S) -> Option<R>,
    ) -> Option<R> {
        let mut node = ROOT;
        let mut steps = Vec::new();
        for level in path.split('/') {
            steps.push((node, level));
            node = self.child(node, level)?;
        }
        let taken = take(&mut self.nodes[node].slot)?;
        while let Some((parent, level)) = steps.pop()
            && self.nodes[node].is_vacant()
        {
            self.nodes[parent].children.remove(level);
            self.release(node);
            node = parent;
        }
        if self.nodes[ROOT].is_vacant() {
            *self = Self::new();
        }
        Some(taken)
    }

    fn allocate(&mut self) -> NodeId {
        self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        })
    }

    fn release(&mut self, node: NodeId) {
        // Nothing is in it, but an empty map may still have memory.
        self.nodes[node] = Node::default();
        self.free.push(node);
    }

    /// How many nodes are in use, the root among them, and how many there is room for.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> (usize, usize) {
        (self.nodes.len() - self.free.len(), self.nodes.len())
    }
}

impl<S: Slot> Node<S> {
    fn is_vacant(&self) -> bool {
        matches!(self.children, Children::None) && self.slot.is_vacant()
    }
}

impl Children {
    fn get(&self, level: &str) -> Option<NodeId> {
        match self {
            Self::None => None,
            Self::One(only, node) => (**only == *level).then_some(*node), // MQTT-4.7.3-4
            Self::Many(map) => map.get(level).copied(),                   // MQTT-4.7.3-4
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, NodeId)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(level, node) => (Some((level, node)), None),
            Self::Many(map) => (None, Some(map)),
        };
        let all = one.into_iter().chain(many.into_iter().flatten());
        all.map(|(level, node)| (&**level, *node))
    }

    /// Adds a child of a level that no other child has.
    fn insert(&mut self, level: &str, node: NodeId) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(level.into(), node),
            Self::One(other, sibling) => {
                Self::Many(BTreeMap::from([(other, sibling), (level.into(), node)]))
            }
            Self::Many(mut map) => {
                map.insert(level.into(), node);
                Self::Many(map)
            }
        };
    }

    /// Drops the child of a level.
    fn remove(&mut self, level: &str) {
        match self {
            Self::None => {}
            Self::One(only, _) => {
                if **only == *level {
                    *self = Self::None;
                }
            }
            Self::Many(map) => {
                map.remove(level);
                if map.len() == 1
                    && let Some((only, node)) = map.pop_first()
                {
                    *self = Self::One(only, node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Slot for u8 {
        fn is_vacant(&self) -> bool {
            *self == 0
        }
    }

    fn clear(slot: &mut u8) -> Option<u8> {
        Some(std::mem::take(slot)).filter(|taken| *taken != 0)
    }

    fn levels(tree: &LevelTree<u8>, node: NodeId) -> Vec<&str> {
        tree.children(node).map(|(level, _)| level).collect()
    }

    #[test]
    fn children_come_and_go_in_order() {
        let mut tree = LevelTree::new();
        for (path, value) in [("b", 1), ("a", 2), ("c", 3), ("", 4)] {
            *tree.grow(path) = value;
        }
        assert_eq!(levels(&tree, ROOT), ["", "a", "b", "c"]);
        let backwards: Vec<&str> = tree.children(ROOT).rev().map(|(level, _)| level).collect();
        assert_eq!(backwards, ["c", "b", "a", ""]);
        assert_eq!(tree.take("a", clear), Some(2));
        assert_eq!(tree.take("a", clear), None);
        assert_eq!(tree.take("c", clear), Some(3));
        assert_eq!(tree.take("", clear), Some(4));
        assert_eq!(levels(&tree, ROOT), ["b"]);
        assert_eq!(tree.get("b"), Some(&1));
        assert_eq!(tree.get("c"), None);
        assert_eq!(tree.take("b", clear), Some(1));
        assert_eq!(levels(&tree, ROOT), [""; 0]);
    }

    #[test]
    fn nodes_go_when_nothing_needs_them_and_their_room_is_used_again() {
        let mut tree = LevelTree::new();
        *tree.grow("a/b/c/d") = 1;
        *tree.grow("a/b") = 2;
        assert_eq!(tree.node_count(), (5, 5));
        assert_eq!(tree.take("a/b/c", clear), None);
        assert_eq!(tree.take("a/b/c/d/e", clear), None);
        assert_eq!(tree.node_count(), (5, 5));
        assert_eq!(tree.take("a/b/c/d", clear), Some(1));
        assert_eq!(tree.node_count(), (3, 5));
        *tree.grow("x/y") = 3;
        assert_eq!(tree.node_count(), (5, 5));
        assert_eq!(tree.take("a/b", clear), Some(2));
        assert_eq!(tree.node_count(), (3, 5));
        assert_eq!(tree.take("x/y", clear), Some(3));
        assert_eq!(tree.node_count(), (1, 1));
    }

    #[test]
    fn a_node_with_children_outlives_what_it_held() {
        let mut tree = LevelTree::new();
        *tree.grow("a") = 1;
        *tree.grow("a/b") = 2;
        assert_eq!(tree.take("a", clear), Some(1));
        assert_eq!(tree.get("a"), Some(&0));
        assert_eq!(tree.get("a/b"), Some(&2));
        assert_eq!(tree.take("a", clear), None);
        assert_eq!(tree.take("a/b", clear), Some(2));
        assert_eq!(tree.node_count(), (1, 1));
    }
}
