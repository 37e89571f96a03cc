//! The retained store: the last Retained Message of each topic, found by Topic Filter, parents before children.

#[cfg(test)]
mod check;

use std::rc::Rc;
use std::time::Instant;

use slab::Slab;

use super::edges::{Edges, Level, NodeKey, Nodes, ROOT, level_cost};
use super::message::{Account, Charge, Message};

/// No such node: the root is nobody's child or sibling.
const NONE: NodeKey = ROOT;

/// Bytes of a node, a long level apart: its slot and its edge.
const NODE_COST: usize = size_of::<Node>() + 2 * size_of::<usize>();

#[derive(Debug, Default)]
struct Node {
    parent: NodeKey,
    first_child: NodeKey,
    last_child: NodeKey,
    next: NodeKey,
    previous: NodeKey,
    level: Level,
    message: Option<Rc<Message>>,
}

/// Retained Messages by topic.
#[derive(Debug)]
pub(crate) struct Retained {
    nodes: Slab<Node>,
    edges: Edges,
    count: usize,
    /// Bytes of all messages.
    bytes: usize,
    /// No message expires before.
    next_expiry: Option<Instant>,
    charge: Charge,
}

impl Retained {
    pub(crate) fn new(account: &Account) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Retained {
            nodes,
            edges: Edges::default(),
            count: 0,
            bytes: 0,
            next_expiry: None,
            charge: account.open(),
        }
    }

    /// How many topics have a Retained Message.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that they take, the tree included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.charge.bytes()
    }

    /// Steps that a search takes at most.
    pub(crate) fn steps(&self) -> usize {
        self.nodes.len()
    }

    /// Whether this very topic has one.
    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.find(topic)
            .is_some_and(|key| self.nodes[key as usize].message.is_some())
    }

    /// Stores or replaces the message of its topic [MQTT-3.3.1-5].
    pub(crate) fn insert(&mut self, message: Rc<Message>) {
        let mut key = ROOT;
        for level in message.topic().split('/') {
            key = match self.child(key, level) {
                Some(child) => child,
                None => self.add_child(key, level),
            };
        }
        self.bytes += message.cost();
        if let Some(at) = message.expires_at() {
            self.next_expiry = Some(self.next_expiry.map_or(at, |other| other.min(at)));
        }
        match self.nodes[key as usize].message.replace(message) {
            None => self.count += 1,
            Some(old) => self.bytes -= old.cost(),
        }
    }

    /// Removes the message of a topic [MQTT-3.3.1-6].
    pub(crate) fn remove(&mut self, topic: &str) {
        let Some(key) = self.find(topic) else { return };
        if let Some(old) = self.nodes[key as usize].message.take() {
            self.bytes -= old.cost();
            self.count -= 1;
            self.prune(key);
        }
    }

    /// Whether a message may have expired by now.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.next_expiry.is_some_and(|at| at <= now)
    }

    /// Removes what has expired. Returns when the next one will [MQTT-3.3.2-5].
    pub(crate) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let messages = || {
            self.nodes
                .iter()
                .filter_map(|(_, node)| node.message.as_ref())
        };
        let expired: Vec<_> = messages()
            .filter(|message| message.expired(now))
            .cloned()
            .collect();
        for message in expired {
            self.remove(message.topic());
        }
        let messages = self
            .nodes
            .iter()
            .filter_map(|(_, node)| node.message.as_ref());
        self.next_expiry = messages.filter_map(|message| message.expires_at()).min();
        self.next_expiry
    }

    /// Calls `found` with every message whose topic the filter (without a share name) matches, parents first. Each topic
    /// and part of one that is looked at takes one from `steps`; returns false where that was not enough.
    pub(crate) fn matches(
        &self,
        filter: &str,
        steps: &mut usize,
        mut found: impl FnMut(&Rc<Message>),
    ) -> bool {
        let levels: Vec<&str> = filter.split('/').collect();
        // Nodes still to visit and how many levels of the filter lead there, the next one last.
        let mut walk = vec![(ROOT, 0)];
        while let Some((key, depth)) = walk.pop() {
            let Some(left) = steps.checked_sub(1) else {
                return false;
            };
            *steps = left;
            let node = &self.nodes[key as usize];
            match levels.get(depth) {
                None => {
                    if let Some(message) = &node.message {
                        found(message);
                    }
                }
                Some(&"#") => {
                    // `#` stands for the parent and all below [MQTT-4.7.1-2].
                    if let Some(message) = &node.message {
                        found(message);
                    }
                    self.push_children(key, depth, &mut walk);
                }
                Some(&"+") => self.push_children(key, depth + 1, &mut walk),
                Some(level) => walk.extend(self.child(key, level).map(|key| (key, depth + 1))),
            }
        }
        true
    }

    /// Pushes the children of a node, first on top; `$` topics stay out of a wildcard's reach at the root
    /// [MQTT-4.7.2-1].
    fn push_children(&self, key: NodeKey, depth: usize, walk: &mut Vec<(NodeKey, usize)>) {
        let mut child = self.nodes[key as usize].last_child;
        while child != NONE {
            let node = &self.nodes[child as usize];
            if key != ROOT || !node.level.starts_with('$') {
                walk.push((child, depth));
            }
            child = node.previous;
        }
    }

    fn find(&self, topic: &str) -> Option<NodeKey> {
        topic
            .split('/')
            .try_fold(ROOT, |key, level| self.child(key, level))
    }

    fn child(&self, parent: NodeKey, level: &str) -> Option<NodeKey> {
        self.edges.find(&self.nodes, parent, level)
    }

    fn add_child(&mut self, parent: NodeKey, level: &str) -> NodeKey {
        let previous = self.nodes[parent as usize].last_child;
        let node = Node {
            parent,
            previous,
            level: level.into(),
            ..Node::default()
        };
        let key = self.nodes.insert(node) as NodeKey;
        self.charge.add(NODE_COST + level_cost(level));
        match previous {
            NONE => self.nodes[parent as usize].first_child = key,
            previous => self.nodes[previous as usize].next = key,
        }
        self.nodes[parent as usize].last_child = key;
        self.edges.insert(&self.nodes, key);
        key
    }

    fn prune(&mut self, mut key: NodeKey) {
        while key != ROOT
            && self.nodes[key as usize].message.is_none()
            && self.nodes[key as usize].first_child == NONE
        {
            self.edges.remove(&self.nodes, key);
            let node = self.nodes.remove(key as usize);
            self.charge.remove(NODE_COST + level_cost(&node.level));
            match node.previous {
                NONE => self.nodes[node.parent as usize].first_child = node.next,
                previous => self.nodes[previous as usize].next = node.next,
            }
            match node.next {
                NONE => self.nodes[node.parent as usize].last_child = node.previous,
                next => self.nodes[next as usize].previous = node.previous,
            }
            key = node.parent;
        }
        if self.nodes.len() == 1 {
            // Memory goes back after a peak.
            self.nodes.shrink_to_fit();
        }
    }
}

impl Nodes for Slab<Node> {
    fn place(&self, key: NodeKey) -> (NodeKey, &str) {
        let node = &self[key as usize];
        (node.parent, &node.level)
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{Properties, QoS};

    use super::super::message::Passing;
    use super::*;

    fn message(topic: &str) -> Rc<Message> {
        let passing = Passing {
            topic,
            payload: b"x",
            properties: Properties::EMPTY,
            qos: QoS::AtMostOnce,
            retain: true,
            lifetime: None,
        };
        Message::store(&passing, Instant::now(), &Account::default())
    }

    fn store(topics: &[&str]) -> Retained {
        let mut store = Retained::new(&Account::default());
        topics.iter().for_each(|topic| store.insert(message(topic)));
        store
    }

    fn matching(store: &Retained, filter: &str) -> Vec<String> {
        let mut topics = Vec::new();
        let topic = |message: &Rc<Message>| message.topic().to_owned();
        assert!(store.matches(filter, &mut 100, |message| topics.push(topic(message))));
        topics
    }

    #[test]
    fn filters_find_topics_parents_first() {
        let store = store(&["a/b/c", "a/b", "a", "$SYS/x", "a/d", "/a", "b"]);
        assert_eq!(matching(&store, "a/#"), ["a", "a/b", "a/b/c", "a/d"]);
        assert_eq!(matching(&store, "a/+"), ["a/b", "a/d"]);
        assert_eq!(matching(&store, "+"), ["a", "b"]);
        assert_eq!(matching(&store, "/+"), ["/a"]);
        assert_eq!(matching(&store, "a/b"), ["a/b"]);
        assert_eq!(matching(&store, "#").len(), 6);
        assert_eq!(matching(&store, "$SYS/#"), ["$SYS/x"]);
        assert_eq!(matching(&store, "a/x/c"), [""; 0]);
    }

    #[test]
    fn a_search_goes_as_far_as_its_steps() {
        let store = store(&["a/b", "a/c", "a/d"]);
        let mut count = 0;
        // The root, `a` and its three children.
        let mut steps = 5;
        assert!(store.matches("a/#", &mut steps, |_| count += 1));
        assert_eq!((steps, count), (0, 3));
        assert!(!store.matches("a/#", &mut 4, |_| count += 1));
        assert_eq!(count, 5);
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let topics = ["a/b/c", "a/b", "a", "a/d", "/a", "b"];
        let mut store = store(&topics);
        store.insert(message("a/b"));
        assert_eq!(store.len(), 6);
        assert!(store.contains("a/b"));
        for topic in topics {
            store.remove(topic);
            store.remove(topic);
            assert!(!store.contains(topic));
        }
        assert_eq!(
            (store.len(), store.nodes.len(), store.edges.len()),
            (0, 1, 0)
        );
        assert_eq!(matching(&store, "#"), [""; 0]);
    }
}
