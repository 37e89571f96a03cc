//! What must hold of the retained store.

use std::collections::BTreeMap;

use super::{Cursor, Found, NODE_COST, NONE, ROOT, Retained, level_cost};
use crate::engine::check::Messages;
use crate::engine::edges::NodeKey;
use crate::engine::message::Message;

impl Retained {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, messages: &mut Messages) -> usize {
        let (mut count, mut bytes, mut linked, mut charged) = (0, 0, 0, 0);
        for (key, node) in &self.nodes {
            let key = key as NodeKey;
            if let Some(message) = &node.message {
                count += 1;
                bytes += message.cost();
                messages.meet(message);
                assert_eq!(
                    self.find(message.topic()),
                    Some(key),
                    "a topic and its node"
                );
            }
            let mut previous = node.last_child;
            while previous != NONE {
                let child = self.nodes[previous as usize].next;
                let entry = &self.nodes[child as usize];
                assert_eq!(
                    (entry.parent, entry.previous),
                    (key, previous),
                    "links of {child}"
                );
                linked += 1;
                if child == node.last_child {
                    break;
                }
                previous = child;
            }
            if key != ROOT {
                let serves = node.message.is_some()
                    || node.last_child != NONE
                    || self.pinned.contains_key(&key);
                assert!(serves, "node {key} serves nothing");
                charged += NODE_COST + level_cost(&node.level);
            }
        }
        assert_eq!(
            linked,
            self.nodes.len() - 1,
            "children of the retained store"
        );
        assert_eq!(self.edges.len(), linked, "edges of the retained store");
        assert_eq!(self.count, count, "retained messages counted");
        assert_eq!(self.bytes, bytes, "bytes of retained messages");
        assert_eq!(self.charge.bytes(), charged, "charge of the retained store");
        charged
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Where searches stand, and how many.
    pub(crate) fn pinned(&self) -> &BTreeMap<NodeKey, u32> {
        &self.pinned
    }

    /// All messages that the filter matches, parents first.
    pub(crate) fn matching(&self, filter: &str) -> Vec<Message> {
        let (mut cursor, mut found) = (Cursor::default(), Vec::new());
        while let Found::Message(message) =
            self.search(filter, &mut cursor, u64::MAX, &mut { usize::MAX })
        {
            found.push(message.clone());
            cursor.pass();
        }
        found
    }
}
