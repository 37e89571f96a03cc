//! An Application Message that the broker has accepted, and what a Session is owed because of it.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{
    PacketIdentifier, Properties, PropertiesBuffer, Property, Publish, QoS, TopicName, Version,
};

use super::super::super::Engine;
use super::super::super::message::Message;
use super::super::super::queue::Delivery;
use super::message;

/// An accepted Application Message.
#[derive(PartialEq, Eq)]
pub(super) struct Record {
    /// Whose message it is.
    pub(super) publisher: Rc<str>,
    pub(super) topic: Rc<str>,
    pub(super) payload: Vec<u8>,
    /// Those that every receiver of version 5.0 gets.
    pub(super) properties: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) at: Instant,
    pub(super) expires_at: Option<Instant>,
}

impl Record {
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Seconds that are left, rounded up [MQTT-3.3.2-6].
    pub(super) fn seconds_left(&self, now: Instant) -> Option<u32> {
        seconds_left(self.expires_at, now)
    }

    /// What to call it in a report.
    pub(super) fn name(&self) -> String {
        match message::number(&self.payload) {
            Some(number) => format!("message {number} on {}", self.topic),
            None => format!("an empty message on {}", self.topic),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} with QoS {}",
            self.name(),
            self.publisher,
            self.qos as u8
        )
    }
}

/// The properties to pass on.
pub(super) fn passed_on(properties: Properties<'_>) -> Vec<u8> {
    let mut buffer = PropertiesBuffer::new();
    for property in properties.iter() {
        match property {
            Property::TopicAlias(_)
            | Property::MessageExpiryInterval(_)
            | Property::WillDelayInterval(_)
            | Property::SubscriptionIdentifier(_) => {}
            property => buffer.push(property).unwrap(),
        }
    }
    buffer.as_properties().bytes().to_vec()
}

/// A message as a subscriber is to see it.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) record: Rc<Record>,
    /// The lower of published and granted.
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Subscription Identifiers, in order of value.
    pub(super) identifiers: Vec<u32>,
    /// The Shared Subscription that it comes from, and which of that name.
    pub(super) share: Option<(Rc<str>, u32)>,
    /// The filter whose SUBSCRIBE has asked for this Retained Message.
    pub(super) replay: Option<Rc<str>>,
    /// The QoS that was granted, whatever that of the message is.
    pub(super) granted: QoS,
    /// When it came to be owed; what came at the same time has no order, except of one publisher.
    pub(super) tick: u64,
    /// The engine's own message, once it was seen in a queue: of two that look alike it tells which is which.
    pub(super) stored: Option<usize>,
    /// It may come, but need not.
    pub(super) perhaps: bool,
    /// A later one has left before it.
    pub(super) overtaken: bool,
    /// It was in a queue at the end of a step.
    pub(super) has_waited: bool,
}

/// Which subscription a message comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Unknown,
    /// No Shared Subscription.
    Own,
    /// The Shared Subscription with this filter.
    Shared(String),
}

impl Origin {
    pub(super) fn of(delivery: Option<&Delivery>, engine: &Engine) -> Self {
        match delivery.and_then(Delivery::share) {
            None => Origin::Own,
            Some(share) => match engine.subscriptions.filter_of(share) {
                Some(filter) => Origin::Shared(filter),
                None => Origin::Unknown,
            },
        }
    }
}

/// A PUBLISH that left the broker, or a delivery that waits in it.
#[derive(Clone)]
pub(super) struct Seen<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) payload: Cow<'a, [u8]>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// In order of value; unknown where the client can't be told.
    pub(super) identifiers: Option<Vec<u32>>,
    /// The Shared Subscription that it comes from, if that is known: no client is told.
    pub(super) origin: Origin,
    pub(super) described: Option<Description>,
    /// The engine's own message, if that is known.
    pub(super) stored: Option<usize>,
}

impl Seen<'_> {
    /// The same, kept beyond the packet that it was seen in.
    pub(super) fn keep(&self) -> Seen<'static> {
        Seen {
            topic: Cow::Owned(self.topic.clone().into_owned()),
            payload: Cow::Owned(self.payload.clone().into_owned()),
            identifiers: self.identifiers.clone(),
            origin: self.origin.clone(),
            described: self.described.clone(),
            ..*self
        }
    }
}

/// What else there is to tell of a message; a client of 5.0 is told.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) at: Instant,
    /// Message Expiry Interval.
    pub(super) lifetime: Option<u32>,
    /// The properties that are passed on.
    pub(super) properties: Vec<u8>,
}

impl Description {
    /// What the engine keeps of a message.
    pub(super) fn of(message: &Message, now: Instant) -> Self {
        let passing = message.passing(now);
        Description {
            at: now,
            lifetime: seconds_left(message.expires_at(), now),
            properties: passed_on(passing.properties),
        }
    }
}

impl fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("message", &message::number(&self.payload))
            .field("topic", &self.topic)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("identifiers", &self.identifiers)
            .field("origin", &self.origin)
            .field("described", &self.described)
            .finish()
    }
}

impl Owed {
    pub(super) fn is(&self, seen: &Seen<'_>) -> bool {
        self.is_message(seen)
            && self.qos == seen.qos
            && self.retain == seen.retain
            && seen
                .identifiers
                .as_ref()
                .is_none_or(|identifiers| *identifiers == self.identifiers)
            && self.comes_from(&seen.origin)
            && (self.stored.is_none() || seen.stored.is_none() || self.stored == seen.stored)
            && seen.described.as_ref().is_none_or(|description| {
                description.lifetime == self.record.seconds_left(description.at)
                    && description.properties == self.record.properties
            })
    }

    /// Whether it may come from there.
    pub(super) fn comes_from(&self, origin: &Origin) -> bool {
        match (origin, &self.share) {
            (Origin::Unknown, _) => true,
            (Origin::Own, share) => share.is_none(),
            (Origin::Shared(filter), share) => {
                share.as_ref().is_some_and(|(name, _)| **name == **filter)
            }
        }
    }

    /// Another subscription of the same Session asks for the same message.
    pub(super) fn merge(&mut self, other: Owed) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        self.identifiers.extend(other.identifiers);
        self.identifiers.sort_unstable();
    }

    /// Whether it is the same message, be it under other terms.
    pub(super) fn is_message(&self, seen: &Seen<'_>) -> bool {
        self.record.payload.len() == seen.payload.len()
            && *self.record.topic == *seen.topic
            && self.record.payload == *seen.payload
    }

    /// Whether the broker must not send it: its time is over, or the client takes no packet so large.
    pub(super) fn is_void(&self, now: Instant, version: Version, max_packet: u32) -> bool {
        self.record.expired(now) || self.len(now, version) > max_packet as usize
    }

    /// Whether it may be sent for the first time: a message that lives no time may leave in the moment it comes, unless it
    /// has waited.
    pub(super) fn may_leave(&self, now: Instant) -> bool {
        let record = &self.record;
        let comes_now = record.at == now && record.expires_at == Some(now);
        !record.expired(now) || (comes_now && !self.has_waited)
    }

    /// The length of its PUBLISH without a Topic Alias.
    pub(super) fn len(&self, now: Instant, version: Version) -> usize {
        let record = &self.record;
        let mut buffer = PropertiesBuffer::new();
        for property in Properties::from_valid(&record.properties).iter() {
            buffer.push(property).unwrap();
        }
        if let Some(seconds) = record.seconds_left(now) {
            let property = Property::MessageExpiryInterval(seconds);
            buffer.push(property).unwrap();
        }
        for &identifier in &self.identifiers {
            let property = Property::SubscriptionIdentifier(identifier);
            buffer.push(property).unwrap();
        }
        let publish = Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: TopicName::new(&record.topic).ok(),
            packet_identifier: (self.qos > QoS::AtMostOnce).then_some(PacketIdentifier::MIN),
            properties: buffer.as_properties(),
            payload: &record.payload,
        };
        publish.encoded_len(version)
    }
}

/// Seconds until then, rounded up.
fn seconds_left(expires_at: Option<Instant>, now: Instant) -> Option<u32> {
    let left = expires_at?.saturating_duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Some(u32::try_from(seconds).unwrap())
}

/// When a message of this lifetime dies.
pub(super) fn end_of_life(now: Instant, seconds: Option<u32>) -> Option<Instant> {
    seconds.map(|seconds| now + Duration::from_secs(seconds.into()))
}
