//! What must hold of the topic tree.

use std::collections::{BTreeMap, BTreeSet};

use super::{NODE_COST, NONE, ROOT, SUBSCRIBER_COST, Share, Subscriptions, level_cost};
use crate::engine::edges::NodeKey;
use crate::engine::session::SessionKey;

impl Subscriptions {
    /// Panics where something does not hold; `held` tells where a Session believes its subscriptions. Returns what the
    /// tree is charged for.
    pub(crate) fn check<'a>(&self, held: impl Fn(SessionKey) -> Option<&'a [NodeKey]>) -> usize {
        let mut found: BTreeMap<SessionKey, Vec<NodeKey>> = BTreeMap::new();
        let mut children: BTreeMap<NodeKey, u32> = BTreeMap::new();
        let (mut count, mut named, mut charged) = (0, 0, 0);
        let (mut shared, mut shares) = (0, BTreeSet::new());
        for (key, node) in &self.nodes {
            let key = key as NodeKey;
            for group in &node.groups {
                assert!(!group.members.is_empty(), "a group without members");
                assert_eq!(group.share.node, key, "the place of a group");
                assert!(shares.insert(group.share.number), "the number of a group");
                shared += group.members.len();
            }
            let members = node.groups.iter().flat_map(|group| &group.members);
            for subscriber in node.subscribers.iter().chain(members) {
                count += 1;
                found.entry(subscriber.session).or_default().push(key);
            }
            if key == ROOT {
                continue;
            }
            assert!(!node.is_idle(), "node {key} serves nothing");
            charged += NODE_COST + level_cost(&node.level);
            let parent = &self.nodes[node.parent as usize];
            match &*node.level {
                "+" => assert_eq!(parent.plus, key, "plus of {}", node.parent),
                "#" => assert_eq!(parent.hash, key, "hash of {}", node.parent),
                level => {
                    named += 1;
                    *children.entry(node.parent).or_default() += 1;
                    assert_eq!(self.named(node.parent, level), Some(key), "edge to {key}");
                }
            }
        }
        for (key, node) in &self.nodes {
            let counted = children.get(&(key as NodeKey)).copied().unwrap_or(0);
            assert_eq!(node.children, counted, "children of {key}");
            for link in [node.plus, node.hash] {
                assert!(
                    link == NONE || self.nodes.contains(link as usize),
                    "link of {key}"
                );
            }
        }
        assert_eq!(self.edges.len(), named, "edges of the topic tree");
        assert_eq!(self.count, count, "subscriptions counted");
        assert_eq!(self.shared, shared, "shared subscriptions counted");
        for (session, mut nodes) in found {
            let held = held(session).expect("the session of a subscription is there");
            let mut held = held.to_vec();
            held.sort_unstable();
            nodes.sort_unstable();
            assert_eq!(nodes, held, "subscriptions of session {session}");
        }
        assert!(self.walk.is_empty(), "a walk is not over");
        charged += count * SUBSCRIBER_COST;
        assert_eq!(self.charge.bytes(), charged, "charge of the topic tree");
        charged
    }

    /// The whole filter of a Shared Subscription, unless all its members have gone.
    pub(crate) fn filter_of(&self, share: &Share) -> Option<String> {
        let group = self.group(share)?;
        let filter = self.filter_at(share.node)?;
        Some(format!("$share/{}/{filter}", group.name))
    }

    /// The filter that ends at a node, if that is there.
    pub(crate) fn filter_at(&self, mut key: NodeKey) -> Option<String> {
        let mut levels = Vec::new();
        while key != ROOT {
            let node = self.nodes.get(key as usize)?;
            levels.push(&*node.level);
            key = node.parent;
        }
        levels.reverse();
        Some(levels.join("/"))
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}
