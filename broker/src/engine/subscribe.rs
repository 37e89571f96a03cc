//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use mqtt::{
    Packet, Properties, PropertiesBuffer, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscriptionOptions, TopicFilter, UnsubAck, Unsubscribe, Version,
};

use super::connection::ConnectionKey;
use super::edges::NodeKey;
use super::session::{Delivery, Extra, SessionKey};
use super::subscriptions::Subscriber;
use super::{Engine, Outcome};

/// The settings by which a subscription may be refused.
const REFUSED_BY: &str = "MAX_SUBSCRIPTIONS, MAX_MEMORY, MAX_TOPIC_LEVELS, MAX_TOPIC_LENGTH";

impl Engine {
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        subscribe: &Subscribe<'_>,
    ) -> Outcome {
        let version = self.connections[key as usize].version;
        let identifier = subscribe.properties.subscription_identifier().unwrap_or(0);
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut replays = Vec::new();
        let mut refused = 0;
        let mut seen = HashSet::new();
        let mut listens = false;
        for (filter, mut options) in subscribe.filters.iter() {
            options.qos = options.qos.min(self.limits.max_qos); // [MQTT-3.2.2-10]
            match self.subscribe_one(session, filter, options, identifier) {
                Ok((node, new)) => {
                    codes.push(options.qos as u8);
                    listens |= new && self.note_subscription(now, session, filter);
                    let wanted = match options.retain_handling {
                        RetainHandling::Send => true,       // [MQTT-3.3.1-9]
                        RetainHandling::SendIfNew => new,   // [MQTT-3.3.1-10]
                        RetainHandling::DoNotSend => false, // [MQTT-3.3.1-11]
                    };
                    // The same filter twice in one packet is one subscription.
                    if wanted && filter.share().is_none() && seen.insert(node) {
                        replays.push((node, filter, options));
                    }
                }
                Err(reason) => {
                    refused += 1;
                    // [MQTT-3.9.3-2] of 3.1.1
                    codes.push(if version == Version::V5 {
                        reason as u8
                    } else {
                        0x80
                    });
                }
            }
        }
        if listens {
            self.begin_telling(now);
        }
        if refused > 0 {
            log::warn!(
                "{refused} subscriptions of client {:?} were refused ({REFUSED_BY})",
                self.sessions[session as usize].client_identifier,
            );
        }
        let bare = SubAck {
            packet_identifier: subscribe.packet_identifier,
            properties: Properties::EMPTY,
            codes: &codes,
        };
        let mut properties = PropertiesBuffer::new();
        if refused > 0 {
            let words = format!("{refused} of these subscriptions were refused ({REFUSED_BY})");
            let len = Packet::SubAck(bare).encoded_len(version);
            properties = self.reason(key, len, &words);
        }
        let properties = properties.as_properties();
        self.reply(key, &Packet::SubAck(SubAck { properties, ..bare }))?;
        for (node, filter, options) in replays {
            self.sessions[session as usize].begin_replay(node);
            self.replay(now, session, (node, filter), options, identifier);
        }
        self.pump(now, session);
        Ok(())
    }

    /// Returns where the subscription lies, and whether it is new.
    fn subscribe_one(
        &mut self,
        key: SessionKey,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Result<(NodeKey, bool), ReasonCode> {
        if !self.limits.allow_topic(filter.as_str()) {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let subscriber = Subscriber::new(key, options, identifier);
        let (node, new) = self.subscriptions.insert(filter, subscriber);
        if new {
            let held = self.sessions[key as usize].subscriptions.len();
            let full = self
                .limits
                .max_subscriptions
                .is_some_and(|max| held >= max as usize);
            if full || !self.has_memory_for(0) {
                self.subscriptions.remove(filter, key);
                return Err(ReasonCode::QuotaExceeded);
            }
            self.sessions[key as usize].subscriptions.push(node);
        }
        Ok((node, new))
    }

    /// Queues the Retained Messages of a new subscription [MQTT-3.3.1-9].
    fn replay(
        &mut self,
        now: Instant,
        key: SessionKey,
        (node, filter): (NodeKey, TopicFilter<'_>),
        options: SubscriptionOptions,
        identifier: u32,
    ) {
        let mut found = self.told(now, filter);
        self.retained.matches(filter.as_str(), |message| {
            if !message.expired(now) {
                found.push(Rc::clone(message));
            }
        });
        for message in found {
            let delivery = Delivery {
                qos: message.qos().min(options.qos),
                message,
                retain: true, // [MQTT-3.3.1-8] of 3.1.1
                replay: node,
                extra: match identifier {
                    0 => None,
                    identifier => Extra::new(&[identifier], None),
                },
            };
            self.enqueue(key, delivery);
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        key: ConnectionKey,
        session_key: SessionKey,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Outcome {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let reason = match self.subscriptions.remove(filter, session_key) {
                Some(node) => {
                    let subscriptions = &mut self.sessions[session_key as usize].subscriptions;
                    if let Some(index) = subscriptions.iter().position(|&one| one == node) {
                        subscriptions.swap_remove(index);
                    }
                    self.note_unsubscription(session_key, filter);
                    ReasonCode::Success
                }
                None => ReasonCode::NoSubscriptionExisted,
            };
            codes.push(reason as u8);
        }
        let (packet_identifier, properties) = (unsubscribe.packet_identifier, Properties::EMPTY);
        let codes = &codes;
        self.reply(
            key,
            &Packet::UnsubAck(UnsubAck {
                packet_identifier,
                properties,
                codes,
            }),
        )
    }
}
