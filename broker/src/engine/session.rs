//! Session State: what the broker remembers of a Client Identifier, connected or not.

#[cfg(test)]
mod check;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::QoS;
use settings::Drops;

use super::connection::ConnectionKey;
use super::edges::{NodeKey, ROOT};
use super::message::{Account, Charge, Message};
use super::received::Received;
use super::subscriptions::Share;
use super::window::{Awaiting, Window};

/// Where a Session lies in the engine.
pub(crate) type SessionKey = u32;

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

/// A Will Message and when to publish it.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) message: Rc<Message>,
    pub(crate) delay: Duration,
    /// Its Message Expiry Interval, which begins when it is published.
    pub(crate) lifetime: Option<Duration>,
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

/// The Session State of one Client Identifier.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_identifier: Box<str>,
    pub(crate) connection: Option<ConnectionKey>,
    /// Session Expiry Interval in seconds; `u32::MAX` never ends [MQTT 5.0, 3.1.2.11.2].
    pub(crate) expiry: u32,
    /// When the Session ends, while there is no connection.
    pub(crate) ends_at: Option<Instant>,
    /// When the Will Message is due, while there is no connection.
    pub(crate) will_at: Option<Instant>,
    /// What `deadlines` holds for this Session.
    pub(crate) deadline: Option<Instant>,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) subscriptions: Vec<NodeKey>,
    /// How many of them are below `$SYS`.
    pub(crate) sys_subscriptions: u32,
    /// Subscriptions whose Retained Messages wait in the queue.
    replaying: Vec<NodeKey>,
    /// How many in `queue` are replayed.
    replayed: u32,
    /// Packet Identifiers of QoS 2 messages received and not yet released.
    pub(crate) received: Received,
    pub(crate) window: Window,
    queue: VecDeque<Delivery>,
    /// How many in `queue` are of QoS 0 or replayed: a later QoS 0 message may not overtake them [MQTT-4.6.0-5].
    unordered: u32,
    /// Messages and bytes in `queue` that count against its limits.
    queued: u32,
    queued_bytes: u64,
    /// Messages dropped because the queue was full.
    pub(crate) dropped: u64,
    /// Which PUBLISH this Session was last matched for, and where it stands among the targets.
    pub(crate) matched: (u64, u32),
    /// Where its client was last.
    pub(crate) address: IpAddr,
    /// What it holds beside messages.
    charge: Charge,
}

impl Session {
    pub(crate) fn new(client_identifier: &str, address: IpAddr, account: &Account) -> Self {
        let mut charge = account.open();
        charge.add(size_of::<Session>() + client_identifier.len());
        Session {
            client_identifier: client_identifier.into(),
            connection: None,
            expiry: 0,
            ends_at: None,
            will_at: None,
            deadline: None,
            will: None,
            subscriptions: Vec::new(),
            sys_subscriptions: 0,
            replaying: Vec::new(),
            replayed: 0,
            received: Received::default(),
            window: Window::new(),
            queue: VecDeque::new(),
            unordered: 0,
            queued: 0,
            queued_bytes: 0,
            dropped: 0,
            matched: (0, 0),
            address,
            charge,
        }
    }

    /// Whether the Session outlives its connection [MQTT-3.1.2-23].
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry > 0
    }

    /// Appends a Retained Message for a new subscription to the queue, where it does not count against the limits.
    pub(crate) fn replay(&mut self, delivery: Delivery) {
        debug_assert!(delivery.is_replayed());
        self.push(delivery);
    }

    /// Appends to the queue. Where a limit would be passed, the oldest messages that count go, or the new one if `drops` says
    /// so; a replay of Retained Messages at the front is not cut: then the new one goes too.
    pub(crate) fn enqueue(
        &mut self,
        delivery: Delivery,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
        drops: Drops,
    ) -> Queued {
        let cost = delivery.message.cost() as u64;
        let mut dropped = 0;
        while max_messages.is_some_and(|max| self.queued >= max)
            || max_bytes.is_some_and(|max| self.queued > 0 && self.queued_bytes + cost > max)
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

    /// Whether the queue has reached this part (1/`part`) of one of its limits.
    pub(crate) fn has_queued(
        &self,
        part: u32,
        max_messages: Option<u32>,
        max_bytes: Option<u64>,
    ) -> bool {
        max_messages.is_some_and(|max| self.queued > max / part)
            || max_bytes.is_some_and(|max| self.queued_bytes > max / u64::from(part))
    }

    fn push(&mut self, delivery: Delivery) {
        self.charge.add(delivery.cost());
        self.unordered += u32::from(delivery.is_unordered());
        if delivery.is_replayed() {
            self.replayed += 1;
        } else {
            self.queued += 1;
            self.queued_bytes += delivery.message.cost() as u64;
        }
        self.queue.push_back(delivery);
    }

    /// How many Retained Messages wait for new subscriptions.
    pub(crate) fn replayed(&self) -> usize {
        self.replayed as usize
    }

    /// Notes that the Retained Messages of a subscription are about to be queued. What still waits of an earlier time goes,
    /// since all are sent again [MQTT-3.8.4-4].
    pub(crate) fn begin_replay(&mut self, node: NodeKey) {
        if self.replayed == 0 {
            self.replaying = Vec::new();
        }
        if self.replaying.contains(&node) {
            let taken: Vec<_> = self.queue.iter().map(|one| one.replay == node).collect();
            self.take_queued(&taken);
        } else {
            self.replaying.push(node);
        }
    }

    fn account_for_removal(&mut self, delivery: &Delivery) {
        self.charge.remove(delivery.cost());
        self.unordered -= u32::from(delivery.is_unordered());
        if delivery.is_replayed() {
            self.replayed -= 1;
        } else {
            self.queued -= 1;
            self.queued_bytes -= delivery.message.cost() as u64;
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Makes room for a message of this QoS: the oldest goes, but what was acknowledged to its publisher does not go
    /// for one of QoS 0, nor while there is one of QoS 0. Returns whether one went.
    pub(crate) fn drop_for(&mut self, qos: QoS) -> bool {
        let droppable =
            |delivery: &Delivery| !delivery.is_replayed() && delivery.qos == QoS::AtMostOnce;
        let position = match self.queue.front() {
            Some(oldest) if droppable(oldest) => Some(0),
            // A replay, which may be long, has none.
            _ if self.unordered > self.replayed => self.queue.iter().position(droppable),
            _ => None,
        };
        let oldest = || {
            self.queue
                .front()
                .is_some_and(|oldest| !oldest.is_replayed())
                .then_some(0)
        };
        let position = position.or_else(|| (qos > QoS::AtMostOnce).then(oldest).flatten());
        match position.and_then(|position| self.queue.remove(position)) {
            Some(dropped) => {
                self.account_for_removal(&dropped);
                true
            }
            None => false,
        }
    }

    /// Whether a QoS 0 message must wait its turn.
    pub(crate) fn has_unordered(&self) -> bool {
        self.unordered > 0
    }

    /// The delivery that is next.
    pub(crate) fn next_queued(&self) -> Option<&Delivery> {
        self.queue.front()
    }

    /// Takes the next delivery out of the queue.
    pub(crate) fn dequeue(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop_front()?;
        self.account_for_removal(&delivery);
        Some(delivery)
    }

    /// Whether [`Session::drop_for`] may find something.
    pub(crate) fn has_droppable(&self) -> bool {
        self.queued > 0
            && self
                .queue
                .front()
                .is_some_and(|oldest| !oldest.is_replayed())
    }

    /// Bytes of messages that wait, as far as they count.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// What waits, oldest first.
    pub(crate) fn queue(&self) -> impl Iterator<Item = &Delivery> {
        self.queue.iter()
    }

    /// Takes those out of the queue for which `taken` is true at their place.
    pub(crate) fn take_queued(&mut self, taken: &[bool]) -> Vec<Delivery> {
        let mut left = Vec::new();
        for (delivery, &taken) in std::mem::take(&mut self.queue).into_iter().zip(taken) {
            if taken {
                self.account_for_removal(&delivery);
                left.push(delivery);
            } else {
                self.queue.push_back(delivery);
            }
        }
        left
    }

    /// At the end: what came from Shared Subscriptions and was not begun, or is of QoS 1 and was not acknowledged, oldest
    /// first.
    pub(crate) fn take_shared(&mut self) -> Vec<Delivery> {
        let in_flight = self.window.take().into_iter();
        let unacknowledged = in_flight
            .filter(|sent| sent.awaiting == Awaiting::Ack)
            .filter_map(|sent| sent.delivery);
        let mut left: Vec<_> = unacknowledged
            .filter(|delivery| delivery.share().is_some())
            .collect();
        let shared: Vec<_> = self
            .queue
            .iter()
            .map(|delivery| delivery.share().is_some())
            .collect();
        left.extend(self.take_queued(&shared));
        left
    }

    /// How many deliveries wait.
    #[cfg(test)]
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Forgets QoS 0 messages that wait: they are not kept for an absent client.
    pub(crate) fn forget_at_most_once(&mut self) {
        for delivery in std::mem::take(&mut self.queue) {
            if delivery.qos == QoS::AtMostOnce {
                self.account_for_removal(&delivery);
            } else {
                self.queue.push_back(delivery);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mqtt::Properties;

    use super::super::message::Passing;
    use super::*;

    fn session() -> Session {
        Session::new("c", Ipv4Addr::LOCALHOST.into(), &Account::default())
    }

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
    fn a_full_queue_drops_its_oldest() {
        let mut session = session();
        assert_eq!(
            session.enqueue(delivery(b"1"), Some(2), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            session.enqueue(delivery(b"2"), Some(2), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            session.enqueue(delivery(b"3"), Some(2), None, Drops::Oldest),
            Queued::DroppedOldest(1)
        );
        let oldest = session.dequeue().unwrap();
        assert_eq!(oldest.message.passing(Instant::now()).payload, b"2");
    }

    #[test]
    fn a_queue_is_bounded_in_bytes_but_takes_one_message_of_any_size() {
        let mut session = session();
        let cost = delivery(&[0; 100]).message.cost() as u64;
        assert_eq!(
            session.enqueue(delivery(&[0; 100]), None, Some(10), Drops::Oldest),
            Queued::Kept
        );
        session.dequeue();
        for _ in 0..3 {
            session.enqueue(delivery(&[0; 100]), None, Some(3 * cost), Drops::Oldest);
        }
        let queued = session.enqueue(delivery(&[0; 150]), None, Some(3 * cost), Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(2));
        assert_eq!(session.queue_len(), 2);
    }

    #[test]
    fn qos_0_goes_before_what_was_acknowledged() {
        let of = |qos, payload| Delivery {
            qos,
            ..delivery(payload)
        };
        let mut session = session();
        session.enqueue(of(QoS::AtLeastOnce, b"alarm"), Some(2), None, Drops::Oldest);
        session.enqueue(of(QoS::AtMostOnce, b"old"), Some(2), None, Drops::Oldest);
        let queued = session.enqueue(of(QoS::AtMostOnce, b"new"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        let queued = session.enqueue(of(QoS::ExactlyOnce, b"late"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedOldest(1));
        assert!(!session.has_unordered());
        let queued = session.enqueue(of(QoS::AtMostOnce, b"none"), Some(2), None, Drops::Oldest);
        assert_eq!(queued, Queued::DroppedNewest(0));
        assert_eq!(session.dequeue().unwrap().message.payload(), b"alarm");
        assert_eq!(session.dequeue().unwrap().message.payload(), b"late");
    }

    #[test]
    fn a_replay_is_not_cut() {
        let mut session = session();
        session.replay(Delivery {
            replay: 1,
            ..delivery(b"r")
        });
        assert_eq!(
            session.enqueue(delivery(b"1"), Some(1), None, Drops::Oldest),
            Queued::Kept
        );
        assert_eq!(
            session.enqueue(delivery(b"2"), Some(1), None, Drops::Oldest),
            Queued::DroppedNewest(0)
        );
        assert_eq!(session.queue_len(), 2);
    }
}
