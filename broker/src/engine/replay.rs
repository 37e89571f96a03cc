//! The Retained Messages for a new Subscription [MQTT-3.3.1-9], sent as the client takes them and a slice at a time.
//!
//! A replay is a search that goes on where it stood. It sends what was retained when the Subscription was made: what was
//! stored later came to the client as a message of that Subscription, so nothing comes twice, and nothing that is out of date
//! comes at all. Replays and the messages that came after them take turns; only what would overtake an older message of its
//! own topic waits, and in the queue what is behind it. Whoever could take more when a slice is over goes on with the
//! next turn of the loop, others before it.

#[cfg(test)]
pub(super) mod check;

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use mqtt::{QoS, TopicFilter};
use thin_vec::ThinVec;

use super::Engine;
use super::edges::NodeKey;
use super::message::Message;
use super::queue::{Delivery, Envelope, Queue};
use super::retained::{Cursor, Found, Retained};
use super::session::SessionKey;
use super::sys;

/// Nodes of the tree that one Session's search looks at in a slice. That many, or the messages of a full outbox, are some
/// hundred microseconds' work, a few milliseconds' on a slow processor.
pub(super) const STEPS_A_SLICE: usize = 2000;
/// When so many steps are taken in a turn of the loop, whoever else waits for a slice has it next turn.
const STEPS_A_TURN: usize = 2 * STEPS_A_SLICE;
/// A message that is sent takes as long as so many nodes more.
const STEPS_A_MESSAGE: usize = 3;

/// What is still to be sent of the Retained Messages for one Subscription.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Where the Subscription lies.
    node: NodeKey,
    /// Its Subscription Identifier, 0 for none.
    identifier: u32,
    /// How many of the messages that wait came before it.
    pub(crate) ahead: u32,
    /// The granted QoS.
    qos: QoS,
    cursor: Cursor,
    /// The number of the last message that was stored before.
    last: u64,
    filter: Box<str>,
    /// The broker's own values, the first one last. They come before all others.
    told: ThinVec<Message>,
}

impl Replay {
    /// A replay that begins, of what was retained up to the message with the number `last`.
    pub(crate) fn new(
        node: NodeKey,
        filter: Box<str>,
        qos: QoS,
        identifier: u32,
        last: u64,
    ) -> Self {
        Replay {
            node,
            identifier,
            ahead: 0,
            qos,
            cursor: Cursor::default(),
            last,
            filter,
            told: ThinVec::new(),
        }
    }

    /// Memory that it takes in a queue, in bytes, messages apart: itself, its filter and the pin of its cursor.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Replay>() + self.filter.len() + 4 * size_of::<usize>()
    }

    /// Where the Subscription lies.
    pub(crate) fn node(&self) -> NodeKey {
        self.node
    }

    /// The granted QoS.
    pub(crate) fn qos(&self) -> QoS {
        self.qos
    }

    #[cfg(test)]
    pub(crate) fn told(&self) -> &[Message] {
        &self.told
    }

    /// The next message; it is found again until [`Replay::pass`].
    fn next<'a>(&'a mut self, retained: &'a Retained, steps: &mut usize) -> Found<'a> {
        match self.told.last() {
            Some(told) => Found::Message(told),
            None => retained.search(&self.filter, &mut self.cursor, self.last, steps),
        }
    }

    /// The message that is next is dealt with.
    fn pass(&mut self) {
        if self.told.pop().is_none() {
            self.cursor.pass();
        }
    }
}

/// Whether a message on this topic would overtake an older one if it was sent before the replay.
fn would_overtake(replay: &Replay, retained: &Retained, topic: &str) -> bool {
    sys::is_own(topic) || retained.has_until(topic, replay.last)
}

/// Whether a message on this topic must wait for the replays of a queue.
pub(super) fn must_wait(queue: &Queue, retained: &Retained, topic: &str) -> bool {
    let last = queue.last_replay();
    last.is_some_and(|replay| would_overtake(replay, retained, topic))
}

/// Sessions in the order of their turns, each once, whatever becomes of its replays meanwhile. Some may have ended.
#[derive(Debug, Default)]
pub(super) struct Replaying {
    order: VecDeque<SessionKey>,
    members: HashSet<SessionKey>,
}

impl Replaying {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    #[cfg(test)]
    pub(super) fn contains(&self, key: SessionKey) -> bool {
        self.members.contains(&key)
    }

    /// Appends a Session. Returns false if it is there already.
    fn push(&mut self, key: SessionKey) -> bool {
        let is_new = self.members.insert(key);
        if is_new {
            self.order.push_back(key);
        }
        is_new
    }

    fn pop(&mut self) -> Option<SessionKey> {
        let key = self.order.pop_front()?;
        self.members.remove(&key);
        if self.order.is_empty() {
            // Memory goes back after a peak.
            *self = Replaying::default();
        }
        Some(key)
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn {
    /// A Retained Message is sent.
    Retained(Delivery),
    /// The first message of the queue is.
    Message,
    /// A replay is over, so decide again.
    Over,
    /// The steps are used up.
    Later,
    /// There is nothing, or it has to wait for the client.
    Nobody,
}

impl Engine {
    /// Decides what a Session is sent next; a search for it takes from `steps`.
    pub(super) fn next_turn(&mut self, now: Instant, key: SessionKey, steps: &mut usize) -> Turn {
        let session = &mut self.sessions[key as usize];
        let (queue, has_room) = (&mut session.queue, session.window.has_room());
        let may_go = |qos| has_room || qos == QoS::AtMostOnce;
        let front = queue.front().filter(|next| may_go(next.qos));
        let message_may_go = front.is_some_and(|next| {
            let before = queue.replay_before();
            let topic = || next.message.topic();
            !before.is_some_and(|replay| would_overtake(replay, &self.retained, topic()))
        });
        let mut is_tired = false;
        if queue.is_replays_turn() || !message_may_go {
            while let Some(replay) = queue.next_replay() {
                let (granted, identifiers) = (replay.qos, [replay.identifier]);
                match replay.next(&self.retained, steps) {
                    Found::Message(message) if message.expired(now) => replay.pass(),
                    Found::Message(message) => {
                        let qos = message.qos().min(granted);
                        if !may_go(qos) {
                            break;
                        }
                        let message = message.clone();
                        replay.pass();
                        queue.set_replays_turn(false);
                        *steps = steps.saturating_sub(STEPS_A_MESSAGE);
                        let count = usize::from(identifiers != [0]);
                        let envelope = Envelope {
                            message,
                            qos,
                            retain: true, // [MQTT-3.3.1-8] of 3.1.1
                        };
                        let identifiers = &identifiers[..count];
                        return Turn::Retained(Delivery::new(envelope, identifiers, None));
                    }
                    Found::Nothing => {
                        is_tired = true;
                        break;
                    }
                    Found::End => {
                        let ended = queue.pop_replay();
                        forget(&mut self.retained, ended);
                        // It may have been what the message had to wait for.
                        return Turn::Over;
                    }
                }
            }
        }
        match message_may_go {
            true => {
                queue.set_replays_turn(true);
                Turn::Message
            }
            false if is_tired => Turn::Later,
            false => Turn::Nobody,
        }
    }

    /// Queues the replays for new Subscriptions, each in the place of what waits of an earlier one: all is sent again
    /// [MQTT-3.8.4-4].
    pub(super) fn begin_replays(&mut self, now: Instant, key: SessionKey, replays: Vec<Replay>) {
        if replays.is_empty() {
            return;
        }
        let nodes: HashSet<_> = replays.iter().map(Replay::node).collect();
        self.end_replays(key, |earlier| nodes.contains(&earlier.node));
        for mut replay in replays {
            // These are few.
            if self.has_memory_for(0) {
                replay.told = self.told(now, TopicFilter::from_valid(&replay.filter));
                self.steps += replay.told.len();
            }
            if self.retained.len() > 0 || !replay.told.is_empty() {
                let queue = &mut self.sessions[key as usize].queue;
                queue.push_replay(replay, self.account.open());
            }
        }
    }

    /// Ends the replays of a Session for which `is_over` is true.
    pub(super) fn end_replays(&mut self, key: SessionKey, is_over: impl Fn(&Replay) -> bool) {
        let queue = &mut self.sessions[key as usize].queue;
        // Each is looked at, whether there is one to end or not.
        self.steps += queue.replays().count();
        let ended = queue.take_replays(is_over);
        forget(&mut self.retained, ended);
    }

    /// A Session with replays may be able to take more: it goes on next turn.
    pub(super) fn list(&mut self, now: Instant, key: SessionKey) {
        if self.replaying.push(key) {
            self.replaying_since = now;
        }
    }

    /// Sends a slice of what waits for a Session. Returns how many steps that took.
    pub(super) fn send_slice(&mut self, now: Instant, key: SessionKey) -> usize {
        let mut left = self.steps_a_slice;
        self.send_some(now, key, &mut left);
        // No other has moved.
        if let Some(first) = self.sessions[key as usize].queue.first_replay() {
            self.retained.pin(&mut first.cursor);
        }
        self.steps_a_slice - left
    }

    /// Goes on with the replays of those who could take more, each for a slice, until the turn is over.
    pub(super) fn go_on_with_replays(&mut self, now: Instant) {
        let mut steps = 0;
        for _ in 0..self.replaying.len() {
            if steps >= STEPS_A_TURN {
                return;
            }
            let Some(key) = self.replaying.pop() else {
                return;
            };
            // Another Session may have its place, and nothing to send.
            if self.sessions.contains(key as usize) {
                steps += self.send_slice(now, key);
                self.relieve(now, key);
            }
        }
    }
}

/// Nobody goes on with these replays: the tree need not keep their places.
fn forget(retained: &mut Retained, ended: impl IntoIterator<Item = Replay>) {
    for replay in ended {
        retained.unpin(&replay.cursor);
    }
}
