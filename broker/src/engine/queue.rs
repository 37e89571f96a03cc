//! The messages that wait for a Session: since its client is away, its window is full or its connection takes no more.

#[cfg(test)]
mod check;

use std::collections::VecDeque;
use std::rc::Rc;

use mqtt::QoS;
use settings::Drops;

use super::edges::{NodeKey, ROOT};
use super::message::{Charge, Message};
use super::subscriptions::Share;

/// One message for one Session.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Rc<Message>,
    /// The lower of published and granted [MQTT-3.8.4-8].
    pub(crate) qos: QoS,
    /// The RETAIN flag to send.
    pub(crate) retain: bool,
    /// The node of the new subscription that it is sent for, [`ROOT`] for none: a replay does not count against the limits of
    /// the queue.
    pub(crate) replay: NodeKey,
    pub(crate) extra: Option<Box<Extra>>,
}

/// What few deliveries have.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    /// Subscription Identifiers [MQTT-3.3.4-3].
    identifiers: Box<[u32]>,
    /// The Shared Subscription that this Session was chosen from.
    share: Option<Share>,
}

impl Extra {
    /// For a delivery that has any of it.
    pub(crate) fn new(identifiers: &[u32], share: Option<Share>) -> Option<Box<Extra>> {
        (!identifiers.is_empty() || share.is_some()).then(|| {
            Box::new(Extra {
                identifiers: identifiers.into(),
                share,
            })
        })
    }
}

impl Delivery {
    pub(crate) fn identifiers(&self) -> &[u32] {
        self.extra.as_ref().map_or(&[], |extra| &extra.identifiers)
    }

    pub(crate) fn share(&self) -> Option<&Share> {
        self.extra.as_ref()?.share.as_ref()
    }

    /// Memory that it takes in a queue, in bytes, the message apart.
    fn cost(&self) -> usize {
        let extra = |extra: &Extra| size_of::<Extra>() + size_of_val(&*extra.identifiers);
        size_of::<Delivery>() + self.extra.as_deref().map_or(0, extra)
    }

    /// Whether it is sent because of a new subscription.
    pub(crate) fn is_replayed(&self) -> bool {
        self.replay != ROOT
    }

    fn is_unordered(&self) -> bool {
        self.is_replayed() || self.qos == QoS::AtMostOnce
    }
}

/// What happened to a message that was put in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits.
    Kept,
    /// It waits, and older ones were dropped for it.
    DroppedOldest(u32),
    /// It was dropped itself, and so many older ones in vain.
    DroppedNewest(u32),
}

/// The queue of one Session. While nothing waits it has no memory.
#[derive(Debug, Default)]
pub(crate) struct Queue(Option<Box<Waiting>>);

#[derive(Debug)]
struct Waiting {
    deliveries: VecDeque<Delivery>,
    /// Subscriptions whose Retained Messages are among them.
    replaying: Vec<NodeKey>,
    /// How many are replayed.
    replayed: u32,
    /// How many are of QoS 0 or replayed: a later QoS 0 message may not overtake them [MQTT-4.6.0-5].
    unordered: u32,
    /// Messages and bytes that count against the limits.
    counted: u32,
    counted_bytes: u64,
    /// What is held beside the messages.
    charge: Charge,
}

impl Queue {
    /// For so many more messages there is room at least when a queue grows.
    const ROOM: usize = 4;

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What waits, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.0.iter().flat_map(|waiting| &waiting.deliveries)
    }

    /// The delivery that is next.
    pub(crate) fn front(&self) -> Option<&Delivery> {
        self.0.as_ref()?.deliveries.front()
    }

    /// Takes the next delivery out of the queue.
    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        self.remove(0)
    }

    /// Appends a Retained Message for a new subscription, where it does not count against the limits.
    pub(crate) fn replay(&mut self, delivery: Delivery) {
        debug_assert!(delivery.is_replayed());
        self.push(delivery);
    }

    /// Appends a message. Where a limit would be passed, the oldest messages that count go, or the new one if `drops` says so;
    /// a replay of Retained Messages at the front is not cut: then the new one goes too.
    pub(crate) fn enqueue(
        &mut self,
        delivery: Delivery,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
        drops: Drops,
    ) -> Queued {
        let cost = delivery.message.cost() as u64;
        let mut dropped = 0;
        while max_messages.is_some_and(|max| self.counted() >= max)
            || max_bytes.is_some_and(|max| self.counted() > 0 && self.counted_bytes() + cost > max)
        {
            if drops == Drops::Newest || !self.drop_for(delivery.qos) {
                return Queued::DroppedNewest(dropped);
            }
            dropped += 1;
        }
        self.push(delivery);
        if dropped == 0 {
            Queued::Kept
        } else {
            Queued::DroppedOldest(dropped)
        }
    }

    /// Whether it has reached this part (1/`part`) of one of its limits.
    pub(crate) fn has_reached(
        &self,
        part: u32,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
    ) -> bool {
        max_messages.is_some_and(|max| self.counted() > max / part)
            || max_bytes.is_some_and(|max| self.counted_bytes() > max / u64::from(part))
    }

    /// Makes room for a message of this QoS: the oldest goes, but what was acknowledged to its publisher does not go
    /// for one of QoS 0, nor while there is one of QoS 0. Returns whether one went.
    pub(crate) fn drop_for(&mut self, qos: QoS) -> bool {
        let Some(waiting) = &self.0 else { return false };
        let droppable = |one: &Delivery| !one.is_replayed() && one.qos == QoS::AtMostOnce;
        let oldest = waiting.deliveries.front();
        let position = if oldest.is_some_and(droppable) {
            Some(0)
        } else if waiting.unordered > waiting.replayed {
            // A replay, which may be long, has none.
            waiting.deliveries.iter().position(droppable)
        } else {
            None
        };
        let may_go = qos > QoS::AtMostOnce && self.has_droppable();
        match position.or(may_go.then_some(0)) {
            Some(position) => self.remove(position).is_some(),
            None => false,
        }
    }

    /// Whether [`Queue::drop_for`] may find something.
    pub(crate) fn has_droppable(&self) -> bool {
        self.counted() > 0 && self.front().is_some_and(|oldest| !oldest.is_replayed())
    }

    /// Whether a QoS 0 message must wait its turn.
    pub(crate) fn has_unordered(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.unordered > 0)
    }

    /// How many Retained Messages wait for new subscriptions.
    pub(crate) fn replayed(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |waiting| waiting.replayed as usize)
    }

    /// The Retained Messages of a subscription are about to be queued. What still waits of an earlier time goes, since all
    /// are sent again [MQTT-3.8.4-4].
    pub(crate) fn begin_replay(&mut self, node: NodeKey) {
        let waiting = self.0.as_ref();
        if waiting.is_some_and(|waiting| waiting.replaying.contains(&node)) {
            self.take(|delivery| delivery.replay == node);
        }
    }

    /// Bytes of messages that wait, as far as they count.
    pub(crate) fn counted_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |waiting| waiting.counted_bytes)
    }

    /// Takes out those for which `is_taken` is true, oldest first.
    pub(crate) fn take(&mut self, is_taken: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let mut taken = Vec::new();
        if !self.iter().any(&is_taken) {
            return taken;
        }
        let Some(waiting) = self.0.take() else {
            return taken;
        };
        let Waiting {
            deliveries, charge, ..
        } = *waiting;
        // Those that stay are charged anew.
        drop(charge);
        for delivery in deliveries {
            match is_taken(&delivery) {
                true => taken.push(delivery),
                false => self.push(delivery),
            }
        }
        taken
    }

    fn counted(&self) -> u32 {
        self.0.as_ref().map_or(0, |waiting| waiting.counted)
    }

    fn push(&mut self, delivery: Delivery) {
        let waiting = self.0.get_or_insert_with(|| {
            let mut charge = delivery.message.open_charge();
            charge.add(size_of::<Waiting>());
            Box::new(Waiting {
                deliveries: VecDeque::new(),
                replaying: Vec::new(),
                replayed: 0,
                unordered: 0,
                counted: 0,
                counted_bytes: 0,
                charge,
            })
        });
        waiting.charge.add(delivery.cost());
        waiting.unordered += u32::from(delivery.is_unordered());
        if delivery.is_replayed() {
            waiting.replayed += 1;
            let node = delivery.replay;
            if waiting.replaying.last() != Some(&node) && !waiting.replaying.contains(&node) {
                waiting.replaying.push(node);
            }
        } else {
            waiting.counted += 1;
            waiting.counted_bytes += delivery.message.cost() as u64;
        }
        let deliveries = &mut waiting.deliveries;
        if deliveries.len() == deliveries.capacity() {
            // By a half and not to the double: there are many queues.
            deliveries.reserve_exact((deliveries.len() / 2).max(Self::ROOM));
        }
        deliveries.push_back(delivery);
    }

    fn remove(&mut self, position: usize) -> Option<Delivery> {
        let waiting = self.0.as_mut()?;
        let delivery = waiting.deliveries.remove(position)?;
        waiting.charge.remove(delivery.cost());
        waiting.unordered -= u32::from(delivery.is_unordered());
        if delivery.is_replayed() {
            waiting.replayed -= 1;
            if waiting.replayed == 0 {
                waiting.replaying = Vec::new();
            }
        } else {
            waiting.counted -= 1;
            waiting.counted_bytes -= delivery.message.cost() as u64;
        }
        let (len, capacity) = (waiting.deliveries.len(), waiting.deliveries.capacity());
        if len == 0 {
            self.0 = None;
        } else if capacity > 16 * Self::ROOM && len < capacity / 4 {
            waiting.deliveries.shrink_to(capacity / 2);
        }
        Some(delivery)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mqtt::Properties;

    use super::super::message::{Account, Passing};
    use super::*;

    fn delivery(payload: &[u8]) -> Delivery {
        let passing = Passing {
            topic: "t",
            payload,
            properties: Properties::EMPTY,
            qos: QoS::AtLeastOnce,
            retain: false,
            lifetime: None,
        };
        let message = Message::store(&passing, Instant::now(), &Account::default());
        let qos = QoS::AtLeastOnce;
        Delivery {
            message,
            qos,
            retain: false,
            replay: ROOT,
            extra: None,
        }
    }

    #[test]
    fn memory_follows_what_waits() {
        let capacity = |queue: &Queue| queue.0.as_ref().map_or(0, |one| one.deliveries.capacity());
        let mut queue = Queue::default();
        for count in 1..=1000 {
            queue.push(delivery(b"x"));
            let most = count + (count / 2).max(Queue::ROOM);
            assert!((count..=most).contains(&capacity(&queue)), "{count}");
        }
        for count in (1..1000).rev() {
            assert!(queue.pop().is_some());
            assert!(
                capacity(&queue) <= (4 * count + 3).max(16 * Queue::ROOM),
                "{count}"
            );
        }
        assert!(queue.pop().is_some() && queue.0.is_none());
    }

    #[test]
    fn a_full_queue_drops_its_oldest() {
        let mut queue = Queue::default();
        assert_eq!(
            queue.enqueue(delivery(b"1"), Some(2), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            queue.enqueue(delivery(b"2"), Some(2), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            queue.enqueue(delivery(b"3"), Some(2), None, Drops::Oldest),
            Queued::DroppedOldest(1)
        );
        let oldest = queue.pop().unwrap();
        assert_eq!(oldest.message.passing(Instant::now()).payload, b"2");
    }

    #[test]
    fn a_queue_is_bounded_in_bytes_but_takes_one_message_of_any_size() {
        let mut queue = Queue::default();
        let cost = delivery(&[0; 100]).message.cost() as u64;
        assert_eq!(
            queue.enqueue(delivery(&[0; 100]), None, Some(10), Drops::Oldest),
            Queued::Kept
        );
        queue.pop();
        for _ in 0..3 {
            queue.enqueue(delivery(&[0; 100]), None, Some(3 * cost), Drops::Oldest);
        }
        let queued = queue.enqueue(delivery(&[0; 150]), None, Some(3 * cost), Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(2));
        assert_eq!(queue.iter().count(), 2);
    }

    #[test]
    fn qos_0_goes_before_what_was_acknowledged() {
        let of = |qos, payload| Delivery {
            qos,
            ..delivery(payload)
        };
        let mut queue = Queue::default();
        queue.enqueue(of(QoS::AtLeastOnce, b"alarm"), Some(2), None, Drops::Oldest);
        queue.enqueue(of(QoS::AtMostOnce, b"old"), Some(2), None, Drops::Oldest);
        let queued = queue.enqueue(of(QoS::AtMostOnce, b"new"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        let queued = queue.enqueue(of(QoS::ExactlyOnce, b"late"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        assert!(!queue.has_unordered());
        let queued = queue.enqueue(of(QoS::AtMostOnce, b"none"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedNewest(0));
        assert_eq!(queue.pop().unwrap().message.payload(), b"alarm");
        assert_eq!(queue.pop().unwrap().message.payload(), b"late");
    }

    #[test]
    fn what_is_taken_out_is_charged_no_more_and_never_twice() {
        let account = Account::default();
        let of = |topic, qos| Delivery {
            message: Message::store(
                &Passing {
                    topic,
                    payload: b"x",
                    properties: Properties::EMPTY,
                    qos,
                    retain: false,
                    lifetime: None,
                },
                Instant::now(),
                &account,
            ),
            qos,
            ..delivery(b"")
        };
        let mut queue = Queue::default();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
            queue.enqueue(of("t", qos), None, None, Drops::Oldest);
        }
        let most = account.most_bytes();
        assert!(queue.take(|one| one.qos == QoS::ExactlyOnce).is_empty());
        assert_eq!(queue.take(|one| one.qos == QoS::AtMostOnce).len(), 2);
        assert_eq!((queue.iter().count(), account.most_bytes()), (1, most));
        assert_eq!(queue.take(|_| true).len(), 1);
        assert_eq!((queue.is_empty(), account.bytes()), (true, 0));
    }

    #[test]
    fn a_replay_is_not_cut() {
        let mut queue = Queue::default();
        queue.replay(Delivery {
            replay: 1,
            ..delivery(b"r")
        });
        assert_eq!(
            queue.enqueue(delivery(b"1"), Some(1), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            queue.enqueue(delivery(b"2"), Some(1), None, Drops::Oldest),
            Queued::DroppedNewest(0)
        );
        assert_eq!(queue.iter().count(), 2);
    }
}
