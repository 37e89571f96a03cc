//! The messages of QoS 1 and 2 on their way to the Server (MQTT 5.0 section 4.3), in the order in which they were published.

use std::collections::VecDeque;
use std::rc::Rc;

use mqtt::{PacketIdentifier, PropertiesBuffer, QoS};

use crate::outbox::Payload;

/// An Application Message without its payload: what all messages of one `mosquitto_pub` have in common.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// A Topic Name.
    pub(crate) topic: String,
    /// The QoS.
    pub(crate) qos: QoS,
    /// The RETAIN flag.
    pub(crate) retain: bool,
    /// The properties.
    pub(crate) properties: PropertiesBuffer,
    /// The Topic Alias among them.
    pub(crate) alias: Option<u16>,
    /// The others.
    pub(crate) without_alias: PropertiesBuffer,
}

impl Message {
    /// A message for this topic; `properties` are those of PUBLISH.
    pub(crate) fn new(
        topic: String,
        qos: QoS,
        retain: bool,
        properties: PropertiesBuffer,
    ) -> Message {
        let alias = properties.as_properties().topic_alias();
        let mut without_alias = PropertiesBuffer::new();
        for property in properties.as_properties().iter() {
            if !matches!(property, mqtt::Property::TopicAlias(_)) {
                // It was written like this before.
                let _ = without_alias.push(property);
            }
        }
        Message {
            topic,
            qos,
            retain,
            properties,
            alias,
            without_alias,
        }
    }
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not sent yet.
    Waiting,
    /// PUBLISH is sent.
    Published,
    /// PUBREL is sent.
    Released,
}

/// A message and how far it has come.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) identifier: PacketIdentifier,
    pub(super) message: Rc<Message>,
    pub(super) payload: Payload,
    pub(super) stage: Stage,
}

/// The messages that are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    deliveries: VecDeque<Delivery>,
    /// Those beyond `Waiting`; they stand before all others.
    sent: usize,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether the next message may be sent at once; none overtakes another [MQTT-4.6.0-1].
    pub(super) fn has_room(&self, window: usize) -> bool {
        self.sent == self.deliveries.len() && self.sent < window
    }

    pub(super) fn contains(&self, identifier: PacketIdentifier) -> bool {
        self.deliveries
            .iter()
            .any(|delivery| delivery.identifier == identifier)
    }

    pub(super) fn push(
        &mut self,
        identifier: PacketIdentifier,
        message: Rc<Message>,
        payload: Payload,
        is_sent: bool,
    ) {
        let stage = match is_sent {
            true => Stage::Published,
            false => Stage::Waiting,
        };
        self.sent += usize::from(is_sent);
        self.deliveries.push_back(Delivery {
            identifier,
            message,
            payload,
            stage,
        });
    }

    /// The message with this identifier, if it was sent.
    pub(super) fn get(&mut self, identifier: PacketIdentifier) -> Option<&mut Delivery> {
        self.deliveries
            .iter_mut()
            .take(self.sent)
            .find(|delivery| delivery.identifier == identifier)
    }

    /// Forgets a message that was sent.
    pub(super) fn remove(&mut self, identifier: PacketIdentifier) {
        let found = self
            .deliveries
            .iter()
            .take(self.sent)
            .position(|delivery| delivery.identifier == identifier);
        if let Some(at) = found {
            self.deliveries.remove(at);
            self.sent -= 1;
        }
    }

    /// The first message that waits, if there is room for it in the window; it counts as sent from here on.
    pub(super) fn next(&mut self, window: usize) -> Option<&Delivery> {
        if self.sent >= window {
            return None;
        }
        let delivery = self.deliveries.get_mut(self.sent)?;
        delivery.stage = Stage::Published;
        self.sent += 1;
        Some(delivery)
    }

    /// What is to be sent again in a new Network Connection, in its order [MQTT-4.4.0-1].
    pub(super) fn sent(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().take(self.sent)
    }
}
