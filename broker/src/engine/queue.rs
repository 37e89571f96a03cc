//! What waits for a Session, since its client is away, its window is full or its connection takes no more: messages, and
//! among them the replays of Retained Messages.

#[cfg(test)]
mod check;
mod delivery;

use std::collections::VecDeque;

use mqtt::QoS;
use settings::Drops;

use super::message::Charge;
use super::replay::Replay;

pub(crate) use delivery::{Delivery, Envelope};

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
    /// How many are of QoS 0: a later one may not overtake them [MQTT-4.6.0-5].
    of_qos_0: u32,
    /// Bytes of all messages.
    bytes: u64,
    /// Replays that are not over, in the order in which they were asked for.
    replays: VecDeque<Replay>,
    /// Whether the next turn is the first replay's, and not the first message's.
    is_replays_turn: bool,
    /// What is held beside the messages.
    charge: Charge,
}

impl Waiting {
    fn new(mut charge: Charge) -> Box<Self> {
        charge.add(size_of::<Waiting>());
        Box::new(Waiting {
            deliveries: VecDeque::new(),
            of_qos_0: 0,
            bytes: 0,
            replays: VecDeque::new(),
            is_replays_turn: false,
            charge,
        })
    }

    /// Notes that a message is here no more.
    fn count_out(&mut self, delivery: &Delivery) {
        self.charge.remove(delivery.cost());
        self.of_qos_0 -= u32::from(delivery.qos == QoS::AtMostOnce);
        self.bytes -= delivery.message.cost() as u64;
    }

    /// The message at this position goes: replays behind it come nearer.
    fn draw_up(&mut self, position: usize) {
        let replays = self.replays.iter_mut().rev();
        for replay in replays.take_while(|replay| replay.ahead as usize > position) {
            replay.ahead -= 1;
        }
    }
}

impl Queue {
    /// For so many more messages there is room at least when a queue grows.
    const ROOM: usize = 12;
    /// And for one more for each so many that wait.
    const ROOM_FOR: usize = 8;
    /// Bytes of messages that are too many for a client that is there, whatever may wait for one that is away.
    const LONG: u64 = 2 << 20;

    /// Whether nothing waits, be it a message or a replay.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Whether no message waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front().is_none()
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

    /// Appends a message. Where a limit would be passed, the oldest messages go, or the new one if `drops` says so.
    pub(crate) fn enqueue(
        &mut self,
        delivery: Delivery,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
        drops: Drops,
    ) -> Queued {
        let cost = delivery.message.cost() as u64;
        let mut dropped = 0;
        while max_messages.is_some_and(|max| self.len() >= max as usize)
            || max_bytes.is_some_and(|max| !self.is_empty() && self.bytes() + cost > max)
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

    /// Whether it has reached this part (1/`part`) of one of its limits, or where it has none of [`Queue::LONG`].
    pub(crate) fn has_reached(
        &self,
        part: u32,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
    ) -> bool {
        let max_bytes = max_bytes.or(max_messages.is_none().then_some(Self::LONG));
        max_messages.is_some_and(|max| self.len() > (max / part) as usize)
            || max_bytes.is_some_and(|max| self.bytes() > max / u64::from(part))
    }

    /// Makes room for a message of this QoS: the oldest goes, but what was acknowledged to its publisher does not go
    /// for one of QoS 0, nor while there is one of QoS 0. Returns whether one went.
    pub(crate) fn drop_for(&mut self, qos: QoS) -> bool {
        let Some(waiting) = &self.0 else { return false };
        let position = match waiting.of_qos_0 {
            0 => None,
            _ => self.iter().position(|one| one.qos == QoS::AtMostOnce),
        };
        let may_go = qos > QoS::AtMostOnce;
        match position.or(may_go.then_some(0)) {
            Some(position) => self.remove(position).is_some(),
            None => false,
        }
    }

    /// Whether a later message of QoS 0 must wait its turn.
    pub(crate) fn has_qos_0(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.of_qos_0 > 0)
    }

    /// Bytes of messages that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Takes out those for which `is_taken` is true, oldest first.
    pub(crate) fn take(&mut self, is_taken: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let positions = self.iter().enumerate();
        let positions = positions.filter(|(_, one)| is_taken(one));
        let positions: Vec<_> = positions.map(|(position, _)| position).collect();
        let Some(waiting) = self.0.as_mut().filter(|_| !positions.is_empty()) else {
            return Vec::new();
        };
        for &position in positions.iter().rev() {
            waiting.draw_up(position);
        }
        let (mut taken, mut stay) = (Vec::with_capacity(positions.len()), VecDeque::new());
        let mut positions = positions.into_iter().peekable();
        for (position, delivery) in waiting.deliveries.drain(..).enumerate() {
            match positions.next_if_eq(&position) {
                Some(_) => taken.push(delivery),
                None => stay.push_back(delivery),
            }
        }
        waiting.deliveries = stay;
        for delivery in &taken {
            waiting.count_out(delivery);
        }
        self.tidy();
        taken
    }

    /// Appends a replay: what waits now goes before it.
    pub(crate) fn push_replay(&mut self, mut replay: Replay, charge: Charge) {
        let waiting = self.0.get_or_insert_with(|| Waiting::new(charge));
        waiting.charge.add(replay.cost());
        // Each takes more than a byte of memory.
        replay.ahead = waiting.deliveries.len() as u32;
        waiting.replays.push_back(replay);
    }

    /// Whether there are replays.
    #[inline]
    pub(crate) fn has_replays(&self) -> bool {
        self.0.as_ref().is_some_and(|one| !one.replays.is_empty())
    }

    /// All replays, in their order.
    pub(crate) fn replays(&self) -> impl Iterator<Item = &Replay> {
        self.0.iter().flat_map(|waiting| &waiting.replays)
    }

    /// The replay that was asked for last.
    pub(crate) fn last_replay(&self) -> Option<&Replay> {
        self.0.as_ref()?.replays.back()
    }

    /// The replay that is first among them.
    pub(crate) fn first_replay(&mut self) -> Option<&mut Replay> {
        self.0.as_mut()?.replays.front_mut()
    }

    /// The same, unless a message goes before it.
    pub(crate) fn next_replay(&mut self) -> Option<&mut Replay> {
        self.first_replay().filter(|first| first.ahead == 0)
    }

    /// Of the replays that the next message came after, the last one.
    pub(crate) fn replay_before(&self) -> Option<&Replay> {
        let replays = &self.0.as_ref()?.replays;
        let count = replays.partition_point(|replay| replay.ahead == 0);
        replays.get(count.checked_sub(1)?)
    }

    /// Takes out the replays for which `is_taken` is true.
    pub(crate) fn take_replays(&mut self, is_taken: impl Fn(&Replay) -> bool) -> Vec<Replay> {
        let Some(waiting) = &mut self.0 else {
            return Vec::new();
        };
        let (mut taken, mut stay) = (Vec::new(), VecDeque::new());
        for replay in std::mem::take(&mut waiting.replays) {
            match is_taken(&replay) {
                true => taken.push(replay),
                false => stay.push_back(replay),
            }
        }
        waiting.replays = stay;
        for replay in &taken {
            waiting.charge.remove(replay.cost());
        }
        self.tidy();
        taken
    }

    /// Takes out the first replay.
    pub(crate) fn pop_replay(&mut self) -> Option<Replay> {
        let waiting = self.0.as_mut()?;
        let replay = waiting.replays.pop_front()?;
        waiting.charge.remove(replay.cost());
        self.tidy();
        Some(replay)
    }

    /// Whether the next turn is the first replay's.
    pub(crate) fn is_replays_turn(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|waiting| waiting.is_replays_turn)
    }

    /// Notes whose turn is next.
    pub(crate) fn set_replays_turn(&mut self, is_replays_turn: bool) {
        if let Some(waiting) = &mut self.0 {
            waiting.is_replays_turn = is_replays_turn;
        }
    }

    fn len(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |waiting| waiting.deliveries.len())
    }

    fn push(&mut self, delivery: Delivery) {
        let message = &delivery.message;
        let waiting = self
            .0
            .get_or_insert_with(|| Waiting::new(message.open_charge()));
        waiting.charge.add(delivery.cost());
        waiting.of_qos_0 += u32::from(delivery.qos == QoS::AtMostOnce);
        waiting.bytes += message.cost() as u64;
        let deliveries = &mut waiting.deliveries;
        if deliveries.len() == deliveries.capacity() {
            // By a little and not to the double: there are many queues, and what is moved is small beside its message.
            deliveries.reserve_exact((deliveries.len() / Self::ROOM_FOR).max(Self::ROOM));
        }
        deliveries.push_back(delivery);
    }

    fn remove(&mut self, position: usize) -> Option<Delivery> {
        let waiting = self.0.as_mut()?;
        let delivery = waiting.deliveries.remove(position)?;
        waiting.count_out(&delivery);
        waiting.draw_up(position);
        self.tidy();
        Some(delivery)
    }

    /// Gives memory back that is not needed any more.
    fn tidy(&mut self) {
        let Some(waiting) = &mut self.0 else { return };
        let (len, capacity) = (waiting.deliveries.len(), waiting.deliveries.capacity());
        if len == 0 && waiting.replays.is_empty() {
            self.0 = None;
        } else if capacity > 4 * Self::ROOM && len < capacity / 4 {
            waiting.deliveries.shrink_to(capacity / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mqtt::Properties;

    use super::super::message::{Account, Message, Passing};
    use super::*;

    fn delivery(payload: &[u8]) -> Delivery {
        of(QoS::AtLeastOnce, payload)
    }

    fn of(qos: QoS, payload: &[u8]) -> Delivery {
        charged_to(&Account::default(), qos, payload)
    }

    fn charged_to(account: &Account, qos: QoS, payload: &[u8]) -> Delivery {
        let passing = Passing {
            topic: "t",
            payload,
            properties: Properties::EMPTY,
            qos,
            retain: false,
            lifetime: None,
        };
        let envelope = Envelope {
            message: Message::store(&passing, Instant::now(), account),
            qos,
            retain: false,
        };
        Delivery::new(envelope, &[], None)
    }

    #[test]
    fn memory_follows_what_waits() {
        let capacity = |queue: &Queue| queue.0.as_ref().map_or(0, |one| one.deliveries.capacity());
        let mut queue = Queue::default();
        for count in 1..=1000 {
            queue.push(delivery(b"x"));
            let most = count + (count / Queue::ROOM_FOR).max(Queue::ROOM);
            assert!((count..=most).contains(&capacity(&queue)), "{count}");
        }
        for count in (1..1000).rev() {
            assert!(queue.pop().is_some());
            assert!(
                capacity(&queue) <= (4 * count + 3).max(4 * Queue::ROOM),
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
        let mut queue = Queue::default();
        queue.enqueue(of(QoS::AtLeastOnce, b"alarm"), Some(2), None, Drops::Oldest);
        queue.enqueue(of(QoS::AtMostOnce, b"old"), Some(2), None, Drops::Oldest);
        let queued = queue.enqueue(of(QoS::AtMostOnce, b"new"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        let queued = queue.enqueue(of(QoS::ExactlyOnce, b"late"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        assert!(!queue.has_qos_0());
        let queued = queue.enqueue(of(QoS::AtMostOnce, b"none"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedNewest(0));
        assert_eq!(queue.pop().unwrap().message.payload(), b"alarm");
        assert_eq!(queue.pop().unwrap().message.payload(), b"late");
    }

    #[test]
    fn what_is_taken_out_is_charged_no_more_and_never_twice() {
        let account = Account::default();
        let mut queue = Queue::default();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
            queue.enqueue(charged_to(&account, qos, b"x"), None, None, Drops::Oldest);
        }
        let most = account.most_bytes();
        assert!(queue.take(|one| one.qos == QoS::ExactlyOnce).is_empty());
        assert_eq!(queue.take(|one| one.qos == QoS::AtMostOnce).len(), 2);
        assert_eq!((queue.iter().count(), account.most_bytes()), (1, most));
        assert_eq!(queue.take(|_| true).len(), 1);
        assert_eq!((queue.is_empty(), account.bytes()), (true, 0));
    }

    #[test]
    fn a_replay_stays_where_it_stands() {
        let account = Account::default();
        let replay = || Replay::new(1, "t".into(), QoS::AtLeastOnce, 0, 0);
        let ahead = |queue: &Queue| queue.replays().map(|one| one.ahead).collect::<Vec<_>>();
        let mut queue = Queue::default();
        queue.push_replay(replay(), account.open());
        for payload in [b"1", b"2", b"3"] {
            queue.push(of(QoS::AtLeastOnce, payload));
        }
        queue.push(of(QoS::AtMostOnce, b"0"));
        queue.push_replay(replay(), account.open());
        queue.push(of(QoS::AtMostOnce, b"0"));
        queue.push(of(QoS::AtLeastOnce, b"4"));
        queue.push_replay(replay(), account.open());
        assert_eq!(ahead(&queue), [0, 4, 6]);
        assert!(queue.next_replay().is_some() && queue.replay_before().is_some());
        // The oldest of QoS 0, which is not the first.
        assert!(queue.drop_for(QoS::AtMostOnce));
        assert_eq!(ahead(&queue), [0, 3, 5]);
        assert_eq!(queue.pop().unwrap().message.payload(), b"1");
        assert_eq!(ahead(&queue), [0, 2, 4]);
        assert_eq!(queue.take(|one| one.message.payload() != b"3").len(), 3);
        assert_eq!(ahead(&queue), [0, 1, 1]);
        assert!(queue.pop_replay().is_some() && queue.next_replay().is_none());
        assert!(queue.replay_before().is_none());
        assert_eq!(queue.pop().unwrap().message.payload(), b"3");
        assert!(queue.is_empty() && queue.next_replay().is_some());
        assert_eq!(queue.take_replays(|_| true).len(), 2);
        assert!(queue.0.is_none());
        assert_eq!(account.bytes(), 0);
    }
}
