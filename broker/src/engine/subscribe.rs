//! SUBSCRIBE and UNSUBSCRIBE.

use std::rc::Rc;
use std::time::Instant;

use mqtt::{
    Packet, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    TopicFilter, UnsubAck, Unsubscribe, Version,
};

use super::connection::ConnectionKey;
use super::limits::Limits;
use super::session::{Delivery, SessionKey};
use super::subscriptions::Subscriber;
use super::{Engine, Outcome};

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
        for (filter, mut options) in subscribe.filters.iter() {
            options.qos = options.qos.min(self.limits.max_qos); // [MQTT-3.2.2-10]
            match self.subscribe_one(session, filter, options, identifier) {
                Ok(new) => {
                    codes.push(options.qos as u8);
                    let wanted = match options.retain_handling {
                        RetainHandling::Send => true,       // [MQTT-3.3.1-9]
                        RetainHandling::SendIfNew => new,   // [MQTT-3.3.1-10]
                        RetainHandling::DoNotSend => false, // [MQTT-3.3.1-11]
                    };
                    if wanted && filter.share().is_none() {
                        replays.push((filter, options));
                    }
                }
                Err(reason) if version == Version::V5 => codes.push(reason as u8),
                Err(_) => codes.push(0x80), // [MQTT-3.9.3-2] of 3.1.1
            }
        }
        let (packet_identifier, properties) = (subscribe.packet_identifier, Properties::EMPTY);
        let codes = &codes;
        self.reply(
            key,
            &Packet::SubAck(SubAck {
                packet_identifier,
                properties,
                codes,
            }),
        );
        for (filter, options) in replays {
            self.replay(session, filter, options, identifier);
        }
        self.pump(now, session);
        Ok(())
    }

    /// Returns whether the subscription is new.
    fn subscribe_one(
        &mut self,
        key: SessionKey,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Result<bool, ReasonCode> {
        if filter.as_str().bytes().filter(|&byte| byte == b'/').count() >= Limits::MAX_TOPIC_LEVELS
        {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let session = &mut self.sessions[key as usize];
        let subscriber = Subscriber::new(key, options, identifier);
        let (node, new) = self.subscriptions.insert(filter, subscriber);
        if !new {
            return Ok(false);
        }
        let full = self.limits.max_subscriptions;
        if full.is_some_and(|max| session.subscriptions.len() >= max as usize) {
            self.subscriptions.remove(filter, key);
            log::warn!(
                "client {:?} has {} subscriptions, no more may be (MAX_SUBSCRIPTIONS)",
                session.client_identifier,
                session.subscriptions.len(),
            );
            return Err(ReasonCode::QuotaExceeded);
        }
        session.subscriptions.push(node);
        Ok(true)
    }

    /// Queues the Retained Messages of a new subscription [MQTT-3.3.1-9].
    fn replay(
        &mut self,
        key: SessionKey,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
        identifier: u32,
    ) {
        let mut found = Vec::new();
        self.retained
            .matches(filter.as_str(), |message| found.push(Rc::clone(message)));
        for message in found {
            let delivery = Delivery {
                qos: message.qos().min(options.qos),
                message,
                retain: true, // [MQTT-3.3.1-8] of 3.1.1
                replayed: true,
                identifiers: (identifier > 0).then(|| [identifier].into()),
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
        );
        Ok(())
    }
}
