//! The topic tree: which Sessions have Subscriptions that match a Topic Name.
//!
//! A node is one level of a Topic Filter. The edges of all nodes lie in one hash table keyed by (parent, level), so
//! that a match costs one look-up per level of the topic, however many filters there are; `+` and `#` are direct links.

#[cfg(test)]
mod check;

use std::cell::Cell;

use mqtt::{QoS, SubscriptionOptions, TopicFilter};
use slab::Slab;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::edges::{Edges, Level, NodeKey, Nodes, ROOT, level_cost};
use super::message::{Account, Charge};
use super::session::SessionKey;

/// No such child: the root is nobody's.
const NONE: NodeKey = ROOT;

/// Bytes of a node, a long level apart: its slot and its edge.
const NODE_COST: usize = size_of::<Node>() + 2 * size_of::<usize>();
/// Bytes of a subscription: here and in its Session.
const SUBSCRIBER_COST: usize = size_of::<Subscriber>() + size_of::<NodeKey>();

/// One Session's interest in one Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// Whose subscription it is.
    pub(crate) session: SessionKey,
    /// Subscription Identifier, 0 for none.
    pub(crate) identifier: u32,
    /// The granted QoS.
    pub(crate) qos: QoS,
    /// Nothing back to its own publisher [MQTT-3.8.3-3].
    pub(crate) no_local: bool,
    /// Keep the RETAIN flag when forwarding [MQTT-3.3.1-13].
    pub(crate) retain_as_published: bool,
}

impl Subscriber {
    /// The subscription that `session` asked for with `options`.
    pub(crate) fn new(session: SessionKey, options: SubscriptionOptions, identifier: u32) -> Self {
        Subscriber {
            session,
            identifier,
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
        }
    }
}

/// Names a Shared Subscription for as long as it has members; keys of nodes are used again, numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    node: NodeKey,
    number: u64,
}

/// Most filters have one subscriber.
type Subscribers = SmallVec<[Subscriber; 1]>;

/// The members of one Shared Subscription.
#[derive(Debug)]
pub(crate) struct Group {
    name: Box<str>,
    share: Share,
    members: Subscribers,
    /// Whose turn it is; moved on by matching, which only reads the tree.
    next: Cell<usize>,
}

impl Group {
    pub(crate) fn share(&self) -> Share {
        self.share
    }

    pub(crate) fn members(&self) -> &[Subscriber] {
        &self.members
    }

    /// The members from the one whose turn it is.
    pub(crate) fn turn(&self) -> impl Iterator<Item = &Subscriber> + Clone {
        let start = self.next.get() % self.members.len().max(1);
        self.members[start..].iter().chain(&self.members[..start])
    }

    /// The member that is so many places behind the one whose turn it is was chosen: the next one is behind it.
    pub(crate) fn took(&self, place: usize) {
        self.next
            .set((self.next.get() % self.members.len().max(1)) + place + 1);
    }
}

#[derive(Debug, Default)]
struct Node {
    parent: NodeKey,
    /// Children by name, `+` and `#` not counted.
    children: u32,
    plus: NodeKey,
    hash: NodeKey,
    level: Level,
    subscribers: Subscribers,
    groups: ThinVec<Group>,
}

impl Node {
    fn is_idle(&self) -> bool {
        self.children == 0
            && self.plus == NONE
            && self.hash == NONE
            && self.subscribers.is_empty()
            && self.groups.is_empty()
    }
}

/// What a matching node holds.
pub(crate) enum Match<'a> {
    /// Subscriptions of their own.
    Each(&'a [Subscriber]),
    /// A Shared Subscription: one member gets the message.
    OneOf(&'a Group),
}

/// The Subscriptions of all Sessions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    nodes: Slab<Node>,
    edges: Edges,
    count: usize,
    /// Numbers the Shared Subscriptions.
    shares: u64,
    /// How many subscriptions are shared.
    shared: usize,
    /// Nodes still to visit and what is left of the topic there; kept for its capacity.
    walk: Vec<(NodeKey, u32)>,
    charge: Charge,
}

impl Subscriptions {
    pub(crate) fn new(account: &Account) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Subscriptions {
            nodes,
            edges: Edges::default(),
            count: 0,
            shares: 0,
            shared: 0,
            walk: Vec::new(),
            charge: account.open(),
        }
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many of them are shared.
    pub(crate) fn shared(&self) -> usize {
        self.shared
    }

    /// Adds or replaces a subscription [MQTT-3.8.4-3]. Returns the node, and whether it is new.
    pub(crate) fn insert(
        &mut self,
        filter: TopicFilter<'_>,
        subscriber: Subscriber,
    ) -> (NodeKey, bool) {
        let (share, filter) = split(filter);
        let mut key = ROOT;
        for level in filter.split('/') {
            key = self.child_or_new(key, level);
        }
        let node = &mut self.nodes[key as usize];
        let members = match share {
            None => &mut node.subscribers,
            Some(name) => {
                let groups = &mut node.groups;
                let index = groups.iter().position(|group| &*group.name == name);
                let index = index.unwrap_or_else(|| {
                    self.shares += 1;
                    groups.push(Group {
                        name: name.into(),
                        share: Share {
                            node: key,
                            number: self.shares,
                        },
                        members: Subscribers::new(),
                        next: Cell::new(0),
                    });
                    groups.len() - 1
                });
                &mut groups[index].members
            }
        };
        let old = members
            .iter_mut()
            .find(|member| member.session == subscriber.session);
        if let Some(old) = old {
            *old = subscriber;
            return (key, false);
        }
        members.push(subscriber);
        self.charge.add(SUBSCRIBER_COST);
        self.count += 1;
        self.shared += usize::from(share.is_some());
        (key, true)
    }

    /// Removes the subscription of `session` with exactly this filter [MQTT-3.10.4-1]. Returns its node.
    pub(crate) fn remove(
        &mut self,
        filter: TopicFilter<'_>,
        session: SessionKey,
    ) -> Option<NodeKey> {
        let (share, filter) = split(filter);
        let mut key = ROOT;
        for level in filter.split('/') {
            key = self.child(key, level)?;
        }
        let node = &mut self.nodes[key as usize];
        let removed = match share {
            None => take(&mut node.subscribers, session),
            Some(name) => {
                let groups = &mut node.groups;
                let index = groups.iter().position(|group| &*group.name == name)?;
                let removed = take(&mut groups[index].members, session);
                if groups[index].members.is_empty() {
                    groups.swap_remove(index);
                }
                removed
            }
        };
        if node.groups.is_empty() {
            node.groups = ThinVec::new();
        }
        self.charge.remove(SUBSCRIBER_COST * usize::from(removed));
        self.count -= usize::from(removed);
        self.shared -= usize::from(removed && share.is_some());
        self.prune(key);
        removed.then_some(key)
    }

    /// Removes every subscription that `session` has at `node`.
    pub(crate) fn remove_session(&mut self, node: NodeKey, session: SessionKey) {
        let Some(entry) = self.nodes.get_mut(node as usize) else {
            return;
        };
        let mut shared = 0;
        entry.groups.retain_mut(|group| {
            shared += usize::from(take(&mut group.members, session));
            !group.members.is_empty()
        });
        let removed = shared + usize::from(take(&mut entry.subscribers, session));
        if entry.groups.is_empty() {
            entry.groups = ThinVec::new();
        }
        self.charge.remove(SUBSCRIBER_COST * removed);
        self.count -= removed;
        self.shared -= shared;
        self.prune(node);
    }

    /// The members of a Shared Subscription, unless all have gone.
    pub(crate) fn group(&self, share: &Share) -> Option<&Group> {
        let node = self.nodes.get(share.node as usize)?;
        node.groups.iter().find(|group| group.share == *share)
    }

    /// Calls `found` for every node whose filter matches the Topic Name; a wildcard at the start does not match a
    /// topic that begins with `$` [MQTT-4.7.2-1]. Returns how many nodes were looked at.
    pub(crate) fn matches(&mut self, topic: &str, mut found: impl FnMut(Match<'_>)) -> usize {
        const END: u32 = u32::MAX;
        let mut walk = std::mem::take(&mut self.walk);
        walk.push((ROOT, 0));
        let mut steps = 0;
        while let Some((key, at)) = walk.pop() {
            steps += 1;
            let node = &self.nodes[key as usize];
            let wild = key != ROOT || !topic.starts_with('$');
            if node.hash != NONE && wild {
                self.report(node.hash, &mut found);
            }
            if at == END {
                self.report(key, &mut found);
                continue;
            }
            let rest = &topic[at as usize..];
            let (level, next) = match rest.as_bytes().iter().position(|&byte| byte == b'/') {
                Some(slash) => (&rest[..slash], at + slash as u32 + 1),
                None => (rest, END),
            };
            if node.plus != NONE && wild {
                walk.push((node.plus, next));
            }
            if node.children > 0
                && let Some(child) = self.named(key, level)
            {
                walk.push((child, next));
            }
        }
        self.walk = walk;
        steps
    }

    fn report(&self, key: NodeKey, found: &mut impl FnMut(Match<'_>)) {
        let node = &self.nodes[key as usize];
        if !node.subscribers.is_empty() {
            found(Match::Each(&node.subscribers));
        }
        for group in &node.groups {
            found(Match::OneOf(group));
        }
    }

    fn child(&self, parent: NodeKey, level: &str) -> Option<NodeKey> {
        let node = &self.nodes[parent as usize];
        match level {
            "+" => (node.plus != NONE).then_some(node.plus),
            "#" => (node.hash != NONE).then_some(node.hash),
            _ => self.named(parent, level),
        }
    }

    fn named(&self, parent: NodeKey, level: &str) -> Option<NodeKey> {
        self.edges.find(&self.nodes, parent, level)
    }

    fn child_or_new(&mut self, parent: NodeKey, level: &str) -> NodeKey {
        if let Some(child) = self.child(parent, level) {
            return child;
        }
        let child = self.nodes.insert(Node {
            parent,
            level: level.into(),
            ..Node::default()
        }) as NodeKey;
        self.charge.add(NODE_COST + level_cost(level));
        match level {
            "+" => self.nodes[parent as usize].plus = child,
            "#" => self.nodes[parent as usize].hash = child,
            _ => {
                self.nodes[parent as usize].children += 1;
                self.edges.insert(&self.nodes, child);
            }
        }
        child
    }

    /// Removes a node that serves nothing any more, and its parents likewise.
    fn prune(&mut self, mut key: NodeKey) {
        while key != ROOT && self.nodes[key as usize].is_idle() {
            let Node {
                parent, ref level, ..
            } = self.nodes[key as usize];
            self.charge.remove(NODE_COST + level_cost(level));
            match &**level {
                "+" => self.nodes[parent as usize].plus = NONE,
                "#" => self.nodes[parent as usize].hash = NONE,
                _ => {
                    self.edges.remove(&self.nodes, key);
                    self.nodes[parent as usize].children -= 1;
                }
            }
            self.nodes.remove(key as usize);
            key = parent;
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

/// The share name, if any, and the filter below it [MQTT-4.8.2-1].
fn split(filter: TopicFilter<'_>) -> (Option<&str>, &str) {
    match filter.share() {
        Some((name, filter)) => (Some(name), filter.as_str()),
        None => (None, filter.as_str()),
    }
}

fn take(members: &mut Subscribers, session: SessionKey) -> bool {
    match members.iter().position(|member| member.session == session) {
        Some(index) => {
            members.remove(index);
            if members.is_empty() {
                *members = Subscribers::new();
            }
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(session: SessionKey) -> Subscriber {
        Subscriber {
            session,
            identifier: 0,
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
        }
    }

    fn tree(filters: &[&str]) -> Subscriptions {
        let mut tree = Subscriptions::new(&Account::default());
        for (index, filter) in filters.iter().enumerate() {
            tree.insert(
                TopicFilter::new(filter).unwrap(),
                subscriber(index as SessionKey),
            );
        }
        tree
    }

    fn matching(tree: &mut Subscriptions, topic: &str) -> Vec<SessionKey> {
        let mut sessions = Vec::new();
        tree.matches(topic, |found| match found {
            Match::Each(each) => sessions.extend(each.iter().map(|one| one.session)),
            Match::OneOf(group) => {
                sessions.extend(group.turn().next().map(|one| one.session));
                group.took(0);
            }
        });
        sessions.sort_unstable();
        sessions
    }

    #[test]
    fn wildcards_match_as_the_standard_says() {
        let mut tree = tree(&[
            "sport/#",
            "sport/+",
            "sport/tennis",
            "+/+",
            "#",
            "/+",
            "+",
            "sport/+/x",
        ]);
        assert_eq!(matching(&mut tree, "sport"), [0, 4, 6]);
        assert_eq!(matching(&mut tree, "sport/tennis"), [0, 1, 2, 3, 4]);
        assert_eq!(matching(&mut tree, "sport/"), [0, 1, 3, 4]);
        assert_eq!(matching(&mut tree, "/finance"), [3, 4, 5]);
        assert_eq!(matching(&mut tree, "sport/a/x"), [0, 4, 7]);
        assert_eq!(matching(&mut tree, "none/of/these"), [4]);
    }

    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        let mut tree = tree(&["#", "+/monitor/Clients", "$SYS/#", "$SYS/monitor/+"]);
        assert_eq!(matching(&mut tree, "$SYS/monitor/Clients"), [2, 3]);
        assert_eq!(matching(&mut tree, "$SYS"), [2]);
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let filters = ["a/b/c", "a/b/+", "a/#", "$share/g/a/b/c", "+", "#"];
        let mut tree = tree(&filters);
        assert_eq!((tree.len(), tree.shared()), (6, 1));
        for (index, filter) in filters.iter().enumerate() {
            let filter = TopicFilter::new(filter).unwrap();
            assert_eq!(tree.remove(filter, 99), None);
            assert!(tree.remove(filter, index as SessionKey).is_some());
            assert_eq!(tree.remove(filter, index as SessionKey), None);
        }
        assert_eq!((tree.len(), tree.nodes.len(), tree.edges.len()), (0, 1, 0));
        assert_eq!(tree.shared(), 0);
    }

    #[test]
    fn the_same_filter_again_replaces() {
        let mut tree = Subscriptions::new(&Account::default());
        let filter = TopicFilter::new("a/b").unwrap();
        let (node, new) = tree.insert(filter, subscriber(7));
        assert!(new);
        let better = Subscriber {
            qos: QoS::ExactlyOnce,
            ..subscriber(7)
        };
        assert_eq!(tree.insert(filter, better), (node, false));
        assert_eq!(tree.len(), 1);
        tree.remove_session(node, 7);
        assert_eq!(
            (tree.len(), tree.nodes.len(), tree.charge.bytes()),
            (0, 1, 0)
        );
    }

    #[test]
    fn a_group_takes_turns() {
        let mut tree = tree(&["$share/g/t", "$share/g/t", "$share/h/t"]);
        assert_eq!(matching(&mut tree, "t"), [0, 2]);
        assert_eq!(matching(&mut tree, "t"), [1, 2]);
        assert_eq!(matching(&mut tree, "t"), [0, 2]);
    }
}
