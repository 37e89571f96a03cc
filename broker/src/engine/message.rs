//! The Application Message as it is kept: once, however many queues refer to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{Properties, QoS};
use triomphe::ThinArc;

use super::outbox::Outbox;

/// Bytes held for clients by one engine, counted as they come and go: messages, queues, sessions, subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Rc<Held>);

#[derive(Debug, Default)]
struct Held {
    bytes: Cell<usize>,
    most_bytes: Cell<usize>,
    messages: Cell<usize>,
    payload_bytes: Cell<usize>,
    /// Where the parts of a message are put together.
    scratch: RefCell<Vec<u8>>,
}

impl Account {
    /// Bytes of everything that is charged now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// The most bytes there were at a time.
    pub(crate) fn most_bytes(&self) -> usize {
        self.0.most_bytes.get()
    }

    /// How many messages are stored, each once.
    pub(crate) fn messages(&self) -> usize {
        self.0.messages.get()
    }

    /// Bytes of their payloads.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.0.payload_bytes.get()
    }

    /// Counts a message of this cost that was stored.
    fn note_message(&self, cost: usize, payload: usize) {
        let held = &self.0;
        held.bytes.set(held.bytes.get() + cost);
        held.most_bytes
            .set(held.most_bytes.get().max(held.bytes.get()));
        held.messages.set(held.messages.get() + 1);
        held.payload_bytes.set(held.payload_bytes.get() + payload);
    }

    /// An owner's part of it, empty at first.
    pub(crate) fn open(&self) -> Charge {
        Charge {
            account: self.clone(),
            bytes: 0,
        }
    }
}

/// What one owner holds; it goes back to the account with its owner.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Account,
    bytes: usize,
}

impl Charge {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        let held = &self.account.0;
        held.bytes.set(held.bytes.get() + bytes);
        held.most_bytes
            .set(held.most_bytes.get().max(held.bytes.get()));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        let held = &self.account.0;
        held.bytes.set(held.bytes.get() - bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.remove(self.bytes);
    }
}

/// A message on its way through the broker, borrowed from the packet that brought it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passing<'a> {
    /// Where it was published.
    pub(crate) topic: &'a str,
    /// What was published.
    pub(crate) payload: &'a [u8],
    /// The properties to pass on: no Topic Alias, Message Expiry Interval or Subscription Identifier.
    pub(crate) properties: Properties<'a>,
    /// The publisher's QoS.
    pub(crate) qos: QoS,
    /// The RETAIN flag as received.
    pub(crate) retain: bool,
    /// Message Expiry Interval as received [MQTT-3.3.2-5].
    pub(crate) lifetime: Option<Duration>,
}

/// A stored Application Message: one allocation, and a pointer for each who refers to it. What follows its head is the topic,
/// the properties and, unless it is large, the payload.
#[derive(Clone, Debug)]
pub(crate) struct Message(ThinArc<Head, u8>);

#[derive(Debug)]
struct Head {
    /// Gets the bytes back when the last reference goes.
    account: Account,
    rare: Option<Box<Rare>>,
    payload_len: u32,
    properties_len: u32,
    topic_len: u16,
    qos: QoS,
    retain: bool,
}

/// What few messages have.
#[derive(Debug, Default)]
struct Rare {
    expires_at: Option<Instant>,
    /// A large one is copied once, and not first to where small messages are put together.
    payload: Option<Box<[u8]>>,
}

impl Head {
    fn cost(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |_| Message::OVERHEAD_OF_RARE);
        let [topic, properties] = [self.topic_len as usize, self.properties_len as usize];
        Message::OVERHEAD + rare + topic + properties + self.payload_len as usize
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let held = &self.account.0;
        held.bytes.set(held.bytes.get() - self.cost());
        held.messages.set(held.messages.get() - 1);
        let payload_bytes = held.payload_bytes.get() - self.payload_len as usize;
        held.payload_bytes.set(payload_bytes);
    }
}

impl Message {
    /// What one stored message costs beside its bytes: the head, the count of references, the length, the allocator's own.
    const OVERHEAD: usize = size_of::<Head>() + 3 * size_of::<usize>();
    /// What the little that few messages have costs them.
    const OVERHEAD_OF_RARE: usize = size_of::<Rare>() + size_of::<usize>();

    /// Payloads from this length on lie apart.
    const LARGE_FROM: usize = Outbox::SHARED_FROM;

    /// Copies a passing message into the store.
    pub(crate) fn store(passing: &Passing<'_>, now: Instant, account: &Account) -> Message {
        let properties = passing.properties.bytes();
        let expires_at = passing
            .lifetime
            .and_then(|lifetime| now.checked_add(lifetime));
        let is_large = passing.payload.len() >= Self::LARGE_FROM;
        let payload = is_large.then(|| passing.payload.into());
        let inline = match payload {
            Some(_) => &[],
            None => passing.payload,
        };
        let is_rare = expires_at.is_some() || payload.is_some();
        let head = Head {
            account: account.clone(),
            rare: is_rare.then(|| {
                Box::new(Rare {
                    expires_at,
                    payload,
                })
            }),
            // No packet has more bytes than a u32 tells, no topic more than a u16.
            payload_len: passing.payload.len() as u32,
            properties_len: properties.len() as u32,
            topic_len: passing.topic.len() as u16,
            qos: passing.qos,
            retain: passing.retain,
        };
        account.note_message(head.cost(), passing.payload.len());
        let scratch = &mut *account.0.scratch.borrow_mut();
        scratch.clear();
        for part in [passing.topic.as_bytes(), properties, inline] {
            scratch.extend_from_slice(part);
        }
        let message = Message(ThinArc::from_header_and_slice(head, scratch));
        scratch.shrink_to(Self::LARGE_FROM);
        message
    }

    /// What storing a passing message will cost, in bytes.
    pub(crate) fn cost_of(passing: &Passing<'_>) -> usize {
        let is_rare = passing.lifetime.is_some() || passing.payload.len() >= Self::LARGE_FROM;
        passing.topic.len()
            + passing.properties.bytes().len()
            + passing.payload.len()
            + Message::OVERHEAD
            + if is_rare { Self::OVERHEAD_OF_RARE } else { 0 }
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    fn rare(&self) -> Option<&Rare> {
        self.head().rare.as_deref()
    }

    /// The payload alone.
    pub(crate) fn payload(&self) -> &[u8] {
        let head = self.head();
        match self.rare().and_then(|rare| rare.payload.as_ref()) {
            Some(payload) => payload,
            None => &self.0.slice[head.topic_len as usize + head.properties_len as usize..],
        }
    }

    /// The Topic Name.
    pub(crate) fn topic(&self) -> &str {
        std::str::from_utf8(&self.0.slice[..self.head().topic_len as usize])
            .expect("a stored topic was a str when it was stored")
    }

    /// The publisher's QoS.
    pub(crate) fn qos(&self) -> QoS {
        self.head().qos
    }

    /// The RETAIN flag as received.
    pub(crate) fn retain(&self) -> bool {
        self.head().retain
    }

    /// Memory held by this message, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.head().cost()
    }

    /// A part of the account that this message is charged to.
    pub(crate) fn open_charge(&self) -> Charge {
        self.head().account.open()
    }

    /// When its Message Expiry Interval ends.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.rare()?.expires_at
    }

    /// Whether its Message Expiry Interval has passed [MQTT-3.3.2-5].
    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// The message on its way again, with what is left of its lifetime [MQTT-3.3.2-6].
    pub(crate) fn passing(&self, now: Instant) -> Passing<'_> {
        let head = self.head();
        let topic_end = head.topic_len as usize;
        let properties_end = topic_end + head.properties_len as usize;
        Passing {
            topic: self.topic(),
            payload: self.payload(),
            properties: Properties::from_valid(&self.0.slice[topic_end..properties_end]),
            qos: head.qos,
            retain: head.retain,
            lifetime: self
                .expires_at()
                .map(|at| at.saturating_duration_since(now)),
        }
    }

    /// Where it lies, which tells it from others that are equal.
    #[cfg(test)]
    pub(crate) fn address(&self) -> usize {
        ThinArc::as_ptr(&self.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(topic: &str) -> Passing<'_> {
        Passing {
            topic,
            payload: b"21.5",
            properties: Properties::EMPTY,
            qos: QoS::AtLeastOnce,
            retain: false,
            lifetime: Some(Duration::from_secs(10)),
        }
    }

    #[test]
    fn bytes_are_accounted_until_the_last_reference_goes() {
        let (account, now) = (Account::default(), Instant::now());
        let message = Message::store(&passing("a/b"), now, &account);
        let again = message.clone();
        assert_eq!(account.bytes(), message.cost());
        drop(message);
        assert_eq!(account.bytes(), again.cost());
        assert_eq!((account.messages(), account.payload_bytes()), (1, 4));
        drop(again);
        assert_eq!(account.bytes(), 0);
        assert_eq!((account.messages(), account.payload_bytes()), (0, 0));
        assert!(account.most_bytes() > 4);
    }

    #[test]
    fn a_large_message_lies_apart_and_is_the_same() {
        let (account, now) = (Account::default(), Instant::now());
        for len in [0, 10, Message::LARGE_FROM - 1, Message::LARGE_FROM, 100_000] {
            let payload = vec![7; len];
            let passing = Passing {
                payload: &payload,
                ..passing("a/b")
            };
            let message = Message::store(&passing, now, &account);
            assert_eq!((message.topic(), message.payload()), ("a/b", &*payload));
            assert_eq!(message.cost(), Message::cost_of(&passing));
            let apart = message.rare().and_then(|rare| rare.payload.as_ref());
            assert_eq!(apart.is_some(), len >= Message::LARGE_FROM);
        }
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn lifetime_runs_down() {
        let (account, now) = (Account::default(), Instant::now());
        let message = Message::store(&passing("a/b"), now, &account);
        let later = now + Duration::from_secs(4);
        assert_eq!(
            message.passing(later).lifetime,
            Some(Duration::from_secs(6))
        );
        assert_eq!(message.passing(later).topic, "a/b");
        assert_eq!(message.passing(later).payload, b"21.5");
        assert!(!message.expired(later));
        assert!(message.expired(now + Duration::from_secs(10)));
    }
}
