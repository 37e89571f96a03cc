//! The retained store: the last Retained Message of each topic, found by Topic Filter, parents before children.

#[cfg(test)]
mod check;
mod cursor;

use std::collections::BTreeMap;
use std::time::Instant;

use slab::Slab;

use super::edges::{Edges, Level, NodeKey, Nodes, ROOT, level_cost};
use super::message::{Account, Charge, Message};

pub(crate) use cursor::{Cursor, Found};

/// No such node: the root is nobody's child or sibling.
const NONE: NodeKey = ROOT;

/// Bytes of a node, a long level apart: its slot and its edge.
const NODE_COST: usize = size_of::<Node>() + 2 * size_of::<usize>();

#[derive(Debug, Default)]
struct Node {
    parent: NodeKey,
    last_child: NodeKey,
    /// Its neighbours among the children of its parent, in a ring: behind the last one comes the first.
    next: NodeKey,
    previous: NodeKey,
    /// Which of all messages ever stored its message is.
    number: u64,
    level: Level,
    message: Option<Message>,
}

/// Retained Messages by topic.
#[derive(Debug)]
pub(crate) struct Retained {
    nodes: Slab<Node>,
    edges: Edges,
    count: usize,
    /// How many messages were stored so far.
    stored: u64,
    /// Nodes that stay whether they serve anything or not, since searches stand there, and how many do.
    pinned: BTreeMap<NodeKey, u32>,
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
            stored: 0,
            pinned: BTreeMap::new(),
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

    /// How many messages were stored so far: those with a higher number come later.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether this very topic has one, and its number is not above `last`.
    pub(crate) fn has_until(&self, topic: &str, last: u64) -> bool {
        self.find(topic).is_some_and(|key| {
            let node = &self.nodes[key as usize];
            node.message.is_some() && node.number <= last
        })
    }

    /// Whether this very topic has one.
    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.find(topic)
            .is_some_and(|key| self.nodes[key as usize].message.is_some())
    }

    /// Stores or replaces the message of its topic [MQTT-3.3.1-5].
    pub(crate) fn insert(&mut self, message: Message) {
        let key = self.node_for(message.topic());
        self.bytes += message.cost();
        if let Some(at) = message.expires_at() {
            self.next_expiry = Some(self.next_expiry.map_or(at, |other| other.min(at)));
        }
        self.stored += 1;
        let node = &mut self.nodes[key as usize];
        node.number = self.stored;
        match node.message.replace(message) {
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
        self.next_expiry = messages.filter_map(Message::expires_at).min();
        self.next_expiry
    }

    fn find(&self, topic: &str) -> Option<NodeKey> {
        topic
            .split('/')
            .try_fold(ROOT, |key, level| self.child(key, level))
    }

    /// The node of a topic, made where there is none.
    fn node_for(&mut self, topic: &str) -> NodeKey {
        topic.split('/').fold(ROOT, |key, level| {
            let child = self.child(key, level);
            child.unwrap_or_else(|| self.add_child(key, level))
        })
    }

    fn child(&self, parent: NodeKey, level: &str) -> Option<NodeKey> {
        self.edges.find(&self.nodes, parent, level)
    }

    fn add_child(&mut self, parent: NodeKey, level: &str) -> NodeKey {
        let last = self.nodes[parent as usize].last_child;
        let node = Node {
            parent,
            previous: last,
            level: level.into(),
            ..Node::default()
        };
        let key = self.nodes.insert(node) as NodeKey;
        self.charge.add(NODE_COST + level_cost(level));
        let (previous, next) = match last {
            NONE => (key, key),
            last => (last, self.nodes[last as usize].next),
        };
        self.link(previous, key);
        self.link(key, next);
        self.nodes[parent as usize].last_child = key;
        self.edges.insert(&self.nodes, key);
        key
    }

    fn link(&mut self, previous: NodeKey, next: NodeKey) {
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
    }

    /// Removes a node that serves nothing, and those above that then serve nothing either.
    fn prune(&mut self, mut key: NodeKey) {
        while key != ROOT
            && self.nodes[key as usize].message.is_none()
            && self.nodes[key as usize].last_child == NONE
            && !self.pinned.contains_key(&key)
        {
            self.edges.remove(&self.nodes, key);
            let Node {
                parent,
                next,
                previous,
                level,
                ..
            } = self.nodes.remove(key as usize);
            self.charge.remove(NODE_COST + level_cost(&level));
            if next == key {
                self.nodes[parent as usize].last_child = NONE;
            } else {
                self.link(previous, next);
                let parent = &mut self.nodes[parent as usize];
                if parent.last_child == key {
                    parent.last_child = previous;
                }
            }
            key = parent;
        }
        if self.nodes.len() == 1 {
            // Memory goes back after a peak.
            self.nodes.shrink_to_fit();
        } else if self.nodes.capacity() >= Self::MANY
            && self.nodes.len() < self.nodes.capacity() / Self::PART
            && self.pinned.is_empty()
        {
            self.move_together();
        }
    }

    /// Room for so many nodes is worth having back where few are left.
    const MANY: usize = 4096;
    /// So few (one of this many) that moving them takes a moment.
    const PART: usize = 32;

    /// Moves what is left of many nodes together, for one that lies behind the others would hold the memory of all. Nobody may
    /// know a node by its key. Where nothing is pinned each serves a message.
    fn move_together(&mut self) {
        let mut left = Vec::new();
        let mut walk = vec![ROOT];
        while let Some(key) = walk.pop() {
            let node = &mut self.nodes[key as usize];
            left.extend(node.message.take().map(|message| (message, node.number)));
            // The first of its children on top.
            let last = node.last_child;
            let mut child = last;
            while child != NONE {
                walk.push(child);
                child = self.nodes[child as usize].previous;
                if child == last {
                    break;
                }
            }
        }
        self.charge.remove(self.charge.bytes());
        self.edges = Edges::default();
        self.nodes = Slab::with_capacity(self.nodes.len());
        self.nodes.insert(Node::default());
        for (message, number) in left {
            let key = self.node_for(message.topic());
            let node = &mut self.nodes[key as usize];
            (node.message, node.number) = (Some(message), number);
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

    use super::super::check::Messages;
    use super::super::message::Passing;
    use super::*;

    pub(super) fn message(topic: &str, payload: &str) -> Message {
        let passing = Passing {
            topic,
            payload: payload.as_bytes(),
            properties: Properties::EMPTY,
            qos: QoS::AtMostOnce,
            retain: true,
            lifetime: None,
        };
        Message::store(&passing, Instant::now(), &Account::default())
    }

    pub(super) fn store(topics: &[&str]) -> Retained {
        let mut store = Retained::new(&Account::default());
        for topic in topics {
            store.insert(message(topic, "x"));
        }
        store
    }

    #[test]
    fn messages_are_numbered_as_they_come() {
        let mut store = store(&["a", "a/b"]);
        let has_until = |store: &Retained, last| ["a", "a/b"].map(|it| store.has_until(it, last));
        assert_eq!(has_until(&store, 1), [true, false]);
        store.insert(message("a", "x"));
        assert_eq!((store.stored(), has_until(&store, 2)), (3, [false, true]));
        store.remove("a/b");
        assert_eq!(has_until(&store, 3), [true, false]);
    }

    #[test]
    fn one_that_stays_does_not_hold_the_memory_of_all() {
        let account = Account::default();
        let mut store = Retained::new(&account);
        store.insert(message("a", "x"));
        for number in 0..10_000 {
            store.insert(message(&format!("a/{number}/b"), "x"));
        }
        store.insert(message("a/c", "x"));
        let (numbers, most) = (store.stored(), store.nodes.capacity());
        for number in 0..9_990 {
            store.remove(&format!("a/{number}/b"));
            if number % 1000 == 0 {
                store.check(&mut Messages::default());
            }
        }
        store.check(&mut Messages::default());
        assert!(store.nodes.capacity() < most / 8, "{most}");
        assert_eq!((store.len(), store.stored()), (12, numbers));
        // In the order in which they came, with their numbers.
        assert!(store.has_until("a", 1) && !store.has_until("a/9990/b", 9991));
        assert!(store.has_until("a/9990/b", 9992) && store.has_until("a/c", numbers));
        let topics = store.matching("#");
        let topics: Vec<_> = topics.iter().map(Message::topic).collect();
        assert_eq!((topics[0], topics[1], topics[11]), ("a", "a/9990/b", "a/c"));
    }

    #[test]
    fn nothing_is_moved_while_a_search_stands_there() {
        let mut store = Retained::new(&Account::default());
        for number in 0..10_000 {
            store.insert(message(&format!("a/{number}"), "x"));
        }
        let (mut cursor, most) = (Cursor::default(), store.nodes.capacity());
        let found = store.search("#", &mut cursor, u64::MAX, &mut { usize::MAX });
        assert!(matches!(found, Found::Message(message) if message.topic() == "a/0"));
        store.pin(&mut cursor);
        for number in 0..9_990 {
            store.remove(&format!("a/{number}"));
        }
        assert_eq!(store.nodes.capacity(), most);
        let found = store.search("#", &mut cursor, u64::MAX, &mut { usize::MAX });
        assert!(matches!(found, Found::Message(message) if message.topic() == "a/9990"));
        store.unpin(&cursor);
        store.check(&mut Messages::default());
        assert!(store.nodes.capacity() < most / 8, "{most}");
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let topics = ["a/b/c", "a/b", "a", "a/d", "/a", "b"];
        let mut store = store(&topics);
        store.insert(message("a/b", "x"));
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
    }
}
