//! The Application Message as it is kept: once, however many queues refer to it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{Properties, QoS};

/// Bytes held for clients by one engine, counted as they come and go: messages, queues, sessions, subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Rc<Held>);

#[derive(Debug, Default)]
struct Held {
    bytes: Cell<usize>,
    most_bytes: Cell<usize>,
    messages: Cell<usize>,
    payload_bytes: Cell<usize>,
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

/// A stored Application Message.
#[derive(Debug)]
pub(crate) struct Message {
    /// Topic, properties and payload in one allocation.
    bytes: Box<[u8]>,
    topic_len: u32,
    properties_len: u32,
    expires_at: Option<Instant>,
    qos: QoS,
    retain: bool,
    /// Returns the bytes when the last reference goes.
    charge: Charge,
}

impl Drop for Message {
    fn drop(&mut self) {
        let held = &self.charge.account.0;
        held.messages.set(held.messages.get() - 1);
        held.payload_bytes
            .set(held.payload_bytes.get() - self.payload().len());
    }
}

impl Message {
    /// What one stored message costs beside its bytes: this struct, the counts of its `Rc`, the allocators' own.
    const OVERHEAD: usize = size_of::<Message>() + 4 * size_of::<usize>();

    /// Copies a passing message into the store.
    pub(crate) fn store(passing: &Passing<'_>, now: Instant, account: &Account) -> Rc<Message> {
        let properties = passing.properties.bytes();
        let mut bytes =
            Vec::with_capacity(passing.topic.len() + properties.len() + passing.payload.len());
        bytes.extend_from_slice(passing.topic.as_bytes());
        bytes.extend_from_slice(properties);
        bytes.extend_from_slice(passing.payload);
        let cost = bytes.len() + Message::OVERHEAD;
        let mut charge = account.open();
        charge.add(cost);
        let held = &account.0;
        held.messages.set(held.messages.get() + 1);
        held.payload_bytes
            .set(held.payload_bytes.get() + passing.payload.len());
        Rc::new(Message {
            topic_len: passing.topic.len() as u32,
            properties_len: properties.len() as u32,
            bytes: bytes.into_boxed_slice(),
            expires_at: passing
                .lifetime
                .and_then(|lifetime| now.checked_add(lifetime)),
            qos: passing.qos,
            retain: passing.retain,
            charge,
        })
    }

    /// What storing a passing message will cost, in bytes.
    pub(crate) fn cost_of(passing: &Passing<'_>) -> usize {
        passing.topic.len()
            + passing.properties.bytes().len()
            + passing.payload.len()
            + Message::OVERHEAD
    }

    /// The payload alone.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[(self.topic_len + self.properties_len) as usize..]
    }

    /// The Topic Name.
    pub(crate) fn topic(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.topic_len as usize])
            .expect("a stored topic was a str when it was stored")
    }

    /// The publisher's QoS.
    pub(crate) fn qos(&self) -> QoS {
        self.qos
    }

    /// The RETAIN flag as received.
    pub(crate) fn retain(&self) -> bool {
        self.retain
    }

    /// Memory held by this message, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + Message::OVERHEAD
    }

    /// A part of the account that this message is charged to.
    pub(crate) fn open_charge(&self) -> Charge {
        self.charge.account.open()
    }

    /// When its Message Expiry Interval ends.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Whether its Message Expiry Interval has passed [MQTT-3.3.2-5].
    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The message on its way again, with what is left of its lifetime [MQTT-3.3.2-6].
    pub(crate) fn passing(&self, now: Instant) -> Passing<'_> {
        let topic_end = self.topic_len as usize;
        let payload_start = topic_end + self.properties_len as usize;
        Passing {
            topic: self.topic(),
            payload: &self.bytes[payload_start..],
            properties: Properties::from_valid(&self.bytes[topic_end..payload_start]),
            qos: self.qos,
            retain: self.retain,
            lifetime: self.expires_at.map(|at| at.saturating_duration_since(now)),
        }
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
        let again = Rc::clone(&message);
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
