//! The edges of a tree of topic levels: which node lies below which, by the name of its level. All edges of a tree are in
//! one table, so a step down costs one look-up however many children a node has.

use ahash::RandomState;
use compact_str::CompactString;
use hashbrown::HashTable;

/// A node of a tree of topic levels.
pub(crate) type NodeKey = u32;

/// The root; it is no child, so its key also serves as "no such node".
pub(crate) const ROOT: NodeKey = 0;

/// The name of a level. A short one takes no allocation, and is compared where the node lies.
pub(crate) type Level = CompactString;

/// Bytes that the name of a level takes outside its node.
pub(crate) fn level_cost(level: &str) -> usize {
    if level.len() > size_of::<Level>() {
        level.len()
    } else {
        0
    }
}

/// The nodes that the keys stand for.
pub(crate) trait Nodes {
    /// Where a node hangs: its parent, and the name of its level.
    fn place(&self, key: NodeKey) -> (NodeKey, &str);
}

/// The edges of one tree. The hasher is seeded at random, so that strangers can't make names collide.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    table: HashTable<NodeKey>,
    hasher: RandomState,
}

impl Edges {
    /// The child of `parent` with this name.
    #[inline]
    pub(crate) fn find(&self, nodes: &impl Nodes, parent: NodeKey, level: &str) -> Option<NodeKey> {
        let hash = self.hasher.hash_one((parent, level));
        self.table
            .find(hash, |&key| nodes.place(key) == (parent, level))
            .copied()
    }

    /// Adds a node that has none of its name beside it.
    pub(crate) fn insert(&mut self, nodes: &impl Nodes, key: NodeKey) {
        let hasher = &self.hasher;
        let hash = |&key: &NodeKey| hasher.hash_one(nodes.place(key));
        self.table.insert_unique(hash(&key), key, hash);
    }

    /// Removes a node, which is in `nodes` still; the table's memory goes back after a peak.
    pub(crate) fn remove(&mut self, nodes: &impl Nodes, key: NodeKey) {
        let hasher = &self.hasher;
        let hash = |&key: &NodeKey| hasher.hash_one(nodes.place(key));
        if let Ok(edge) = self.table.find_entry(hash(&key), |&edge| edge == key) {
            edge.remove();
        }
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, hash);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
