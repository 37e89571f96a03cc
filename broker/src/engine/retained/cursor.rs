//! Where a search for Retained Messages stands: it goes through the tree a few steps at a time, parents before children, and
//! the tree may change in between.
//!
//! The node where it stands is pinned and stays. A message that is stored goes where its topic has been or, with a new topic,
//! to the end of its parent's children: what lay before the cursor never comes to lie behind it, so none is missed and none
//! is found twice. What was stored later than a given message is passed over.

use super::super::edges::{NodeKey, ROOT};
use super::super::message::Message;
use super::{NONE, Retained};

/// A place in the tree, and in a Topic Filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    node: NodeKey,
    /// Where the level of the filter begins that the children of the node are to match; behind the end if there is none.
    at: u32,
    /// How many levels the node lies below the one that `#` stands behind.
    below: u32,
    /// Whether the message of the node was dealt with.
    is_passed: bool,
    /// The node that stays for the sake of this cursor; the root stays in any case.
    pin: NodeKey,
}

/// What a search has come to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A message that matches; it is found again until the cursor passes it.
    Message(&'a Message),
    /// Nothing yet, and the steps are used up.
    Nothing,
    /// There is none any more: the search is over.
    End,
}

impl Cursor {
    /// The message that was found is dealt with.
    pub(crate) fn pass(&mut self) {
        self.is_passed = true;
    }

    /// The level of the filter that the children are to match.
    fn level<'a>(&self, filter: &'a str) -> Option<&'a str> {
        let rest = filter.get(self.at as usize..)?;
        rest.split('/').next()
    }

    /// Whether the filter matches the topic of the node; `#` stands for the parent too [MQTT-4.7.1-2].
    fn matches(&self, filter: &str) -> bool {
        filter
            .get(self.at as usize..)
            .is_none_or(|rest| rest == "#")
    }

    fn go_down(&mut self, filter: &str, child: NodeKey) {
        match self.level(filter) {
            Some("#") => self.below += 1,
            // No filter has more bytes than a u16 tells.
            level => self.at += level.map_or(0, |level| level.len() as u32 + 1),
        }
        (self.node, self.is_passed) = (child, false);
    }

    fn go_up(&mut self, filter: &str, parent: NodeKey) {
        if self.below > 0 {
            self.below -= 1;
        } else {
            let before = &filter[..(self.at as usize).saturating_sub(1)];
            self.at = before.rfind('/').map_or(0, |slash| slash as u32 + 1);
        }
        (self.node, self.is_passed) = (parent, true);
    }
}

impl Retained {
    /// Goes on to the next message that the filter (without a share name) matches, of those with a number up to `last`. Each
    /// node that is looked at takes one from `steps`. Until [`Retained::pin`] the tree must not change.
    pub(crate) fn search(
        &self,
        filter: &str,
        cursor: &mut Cursor,
        last: u64,
        steps: &mut usize,
    ) -> Found<'_> {
        loop {
            if !cursor.is_passed {
                let Some(left) = steps.checked_sub(1) else {
                    return Found::Nothing;
                };
                *steps = left;
                let node = &self.nodes[cursor.node as usize];
                if let Some(message) = &node.message
                    && node.number <= last
                    && cursor.matches(filter)
                    && !self.is_hidden(filter, cursor)
                {
                    return Found::Message(message);
                }
                cursor.pass();
            }
            if !self.advance(filter, cursor) {
                return Found::End;
            }
        }
    }

    /// Moves to the next node that may lead to a match: down, else to the next one beside it or beside a node above.
    fn advance(&self, filter: &str, cursor: &mut Cursor) -> bool {
        if let Some(child) = self.first_below(filter, cursor) {
            cursor.go_down(filter, child);
            return true;
        }
        while cursor.node != ROOT {
            let key = cursor.node;
            let node = &self.nodes[key as usize];
            cursor.go_up(filter, node.parent);
            let is_last = self.nodes[node.parent as usize].last_child == key;
            if !is_last && matches!(cursor.level(filter), Some("#" | "+")) {
                cursor.go_down(filter, node.next);
                return true;
            }
        }
        false
    }

    fn first_below(&self, filter: &str, cursor: &Cursor) -> Option<NodeKey> {
        match cursor.level(filter)? {
            "#" | "+" => match self.nodes[cursor.node as usize].last_child {
                NONE => None,
                _ if self.is_hidden(filter, cursor) => None,
                last => Some(self.nodes[last as usize].next),
            },
            level => match self.is_hidden(filter, cursor) {
                true => None,
                false => self.child(cursor.node, level),
            },
        }
    }

    /// Topics that begin with `$` are out of reach for a wildcard at the root [MQTT-4.7.2-1].
    fn is_hidden(&self, filter: &str, cursor: &Cursor) -> bool {
        let node = &self.nodes[cursor.node as usize];
        node.parent == ROOT && node.level.starts_with('$') && filter.starts_with(['#', '+'])
    }

    /// The node where a cursor stands stays until it stands elsewhere.
    pub(crate) fn pin(&mut self, cursor: &mut Cursor) {
        if cursor.node != cursor.pin {
            if cursor.node != ROOT {
                *self.pinned.entry(cursor.node).or_default() += 1;
            }
            self.unpin(cursor);
            cursor.pin = cursor.node;
        }
    }

    /// A cursor is needed no more, or stands elsewhere.
    pub(crate) fn unpin(&mut self, cursor: &Cursor) {
        if let Some(count) = self.pinned.get_mut(&cursor.pin) {
            *count -= 1;
            if *count == 0 {
                self.pinned.remove(&cursor.pin);
                self.prune(cursor.pin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use mqtt::{TopicFilter, TopicName};
    use proptest::prelude::*;

    use super::super::super::check::Messages;
    use super::super::super::message::Account;
    use super::super::tests::{message, store};
    use super::*;

    #[test]
    fn filters_find_topics_parents_first() {
        let store = store(&["a/b/c", "a/b", "a", "$SYS/x", "a/d", "/a", "b", "a/b/c/d"]);
        let matching = |filter| {
            let topic = |message: Message| message.topic().to_owned();
            store
                .matching(filter)
                .into_iter()
                .map(topic)
                .collect::<Vec<_>>()
        };
        let all = ["a", "a/b", "a/b/c", "a/b/c/d", "a/d"];
        assert_eq!(matching("a/#"), all);
        assert_eq!(matching("a/+"), ["a/b", "a/d"]);
        assert_eq!(matching("+"), ["a", "b"]);
        assert_eq!(matching("/+"), ["/a"]);
        assert_eq!(matching("a/b"), ["a/b"]);
        assert_eq!(matching("+/+/c/#"), ["a/b/c", "a/b/c/d"]);
        assert_eq!(matching("#"), [&all[..], &["/a", "b"]].concat());
        assert_eq!(matching("$SYS/#"), ["$SYS/x"]);
        assert_eq!(matching("a/x/c"), [""; 0]);
        assert_eq!(matching("+/x"), [""; 0]);
    }

    #[test]
    fn a_search_goes_as_far_as_its_steps() {
        let store = store(&["a/b", "a/c", "a/d"]);
        let (mut cursor, mut count, mut is_over) = (Cursor::default(), 0, false);
        // The root, `a` and its three children.
        for steps in [1, 0, 2, 2] {
            let mut left = steps;
            loop {
                match store.search("a/#", &mut cursor, u64::MAX, &mut left) {
                    Found::Message(_) => count += 1,
                    Found::Nothing => break,
                    Found::End => {
                        is_over = true;
                        break;
                    }
                }
                cursor.pass();
            }
            assert_eq!(left, 0);
        }
        assert_eq!((count, is_over), (3, true));
    }

    #[test]
    fn a_node_stays_for_as_long_as_searches_stand_there() {
        let mut store = store(&["a/b", "a/c"]);
        let mut cursors = [Cursor::default(), Cursor::default()];
        for cursor in &mut cursors {
            let found = store.search("a/b", cursor, u64::MAX, &mut 10);
            assert!(matches!(found, Found::Message(_)));
            store.pin(cursor);
        }
        store.remove("a/b");
        store.remove("a/c");
        assert_eq!((store.nodes(), store.pinned().len()), (3, 1));
        let [one, mut other] = cursors;
        store.unpin(&one);
        assert_eq!(store.nodes(), 3);
        let end = store.search("a/b", &mut other, u64::MAX, &mut 10);
        assert!(matches!(end, Found::End));
        store.pin(&mut other);
        assert_eq!((store.nodes(), store.pinned().len()), (1, 0));
    }

    /// What happens between two slices.
    #[derive(Clone, Debug)]
    enum Change {
        Store(String),
        Remove(String),
        /// A slice of so many steps.
        Search(usize),
    }

    fn topic() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "c", "", "$x"]);
        prop::collection::vec(level, 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a topic has a byte at least", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "+", "+", "", "$x"]);
        (prop::collection::vec(level, 0..5), any::<bool>())
            .prop_map(|(mut levels, is_open)| {
                levels.extend(is_open.then_some("#"));
                levels.join("/")
            })
            .prop_filter("a filter has a byte at least", |filter| !filter.is_empty())
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            2 => topic().prop_map(Change::Store),
            2 => topic().prop_map(Change::Remove),
            3 => (0_usize..6).prop_map(Change::Search),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..ProptestConfig::default() })]

        /// What matched at the beginning and stays is found once, parents first; what is stored later is not.
        #[test]
        fn a_search_finds_what_was_there_and_is_still(
            topics in prop::collection::vec(topic(), 0..30),
            filter in filter(),
            changes in prop::collection::vec(change(), 0..60),
        ) {
            let mut store = Retained::new(&Account::default());
            for topic in &topics {
                store.insert(message(topic, "old"));
            }
            let topic_filter = TopicFilter::new(&filter).unwrap();
            let matching = topics.iter().filter(|topic| topic_filter.matches(TopicName::new(topic).unwrap()));
            // Still to be found.
            let mut expected: BTreeSet<&str> = matching.map(String::as_str).collect();
            let mut present: BTreeMap<String, &str> = topics.iter().map(|topic| (topic.clone(), "old")).collect();
            let last = store.stored();
            let mut cursor = Cursor::default();
            let mut found: Vec<String> = Vec::new();
            let mut is_over = false;
            for change in changes.iter().chain([&Change::Search(10_000)]) {
                match change {
                    Change::Store(topic) => {
                        expected.remove(&**topic);
                        present.insert(topic.clone(), "new");
                        store.insert(message(topic, "new"));
                    }
                    Change::Remove(topic) => {
                        expected.remove(&**topic);
                        present.remove(topic);
                        store.remove(topic);
                    }
                    Change::Search(steps) => {
                        let mut steps = *steps;
                        while !is_over {
                            match store.search(&filter, &mut cursor, last, &mut steps) {
                                Found::Message(message) => {
                                    let topic = message.topic().to_owned();
                                    prop_assert!(expected.remove(&*topic), "{topic} is found");
                                    let below = format!("{topic}/");
                                    prop_assert!(found.iter().all(|one| !one.starts_with(&below)));
                                    found.push(topic);
                                    cursor.pass();
                                }
                                Found::Nothing => break,
                                Found::End => is_over = true,
                            }
                        }
                        store.pin(&mut cursor);
                    }
                }
                store.check(&mut Messages::default());
            }
            prop_assert!(is_over && expected.is_empty(), "{expected:?} were not found");
            store.unpin(&cursor);
            prop_assert!(store.pinned().is_empty());
            for topic in present.keys() {
                store.remove(topic);
            }
            prop_assert_eq!(store.nodes(), 1);
        }
    }
}
