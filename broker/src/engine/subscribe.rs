//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashSet;
use std::time::Instant;

use mqtt::{
    Packet, Properties, PropertiesBuffer, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscriptionOptions, TopicFilter, UnsubAck, Unsubscribe, Version,
};

use super::connection::ConnectionKey;
use super::edges::NodeKey;
use super::replay::Replay;
use super::session::SessionKey;
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
        let (mut replays_cost, mut earlier) = (0, None);
        let last = self.retained.stored();
        let mut refused = 0;
        let mut seen = HashSet::new();
        let mut listens = false;
        for (filter, mut options) in subscribe.filters.iter() {
            options.qos = options.qos.min(self.limits.max_qos); // [MQTT-3.2.2-10]
            let made = self.subscribe_one(session, filter, options, identifier);
            let made = made.and_then(|(node, new)| {
                let wanted = match options.retain_handling {
                    RetainHandling::Send => true,       // [MQTT-3.3.1-9]
                    RetainHandling::SendIfNew => new,   // [MQTT-3.3.1-10]
                    RetainHandling::DoNotSend => false, // [MQTT-3.3.1-11]
                };
                // The same filter twice in one packet is one subscription.
                if wanted && filter.share().is_none() && seen.insert(node) {
                    let replay =
                        Replay::new(node, filter.as_str().into(), options.qos, identifier, last);
                    let cost = replay.cost();
                    let has_memory = self.has_memory_for(replays_cost + cost);
                    let mut has_earlier = || {
                        let replays = self.sessions[session as usize].queue.replays();
                        let nodes = || replays.map(Replay::node).collect::<HashSet<_>>();
                        earlier.get_or_insert_with(nodes).contains(&node)
                    };
                    if has_memory || (!new && has_earlier()) {
                        replays_cost += cost;
                        replays.push(replay);
                    } else if new {
                        self.subscriptions.remove(filter, session);
                        self.sessions[session as usize].subscriptions.pop();
                        // Another may get its place in the tree.
                        seen.remove(&node);
                        return Err(ReasonCode::QuotaExceeded);
                    }
                    // Else it stays, and has had its Retained Messages once.
                }
                Ok(new)
            });
            match made {
                Ok(new) => {
                    codes.push(options.qos as u8);
                    listens |= new && self.note_subscription(now, session, filter);
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
        self.steps += codes.len();
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
        self.begin_replays(now, session, replays);
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

    pub(super) fn unsubscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session_key: SessionKey,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Outcome {
        let mut codes = Vec::new();
        let mut ended = HashSet::new();
        for filter in unsubscribe.filters.iter() {
            let reason = match self.subscriptions.remove(filter, session_key) {
                Some(node) => {
                    let subscriptions = &mut self.sessions[session_key as usize].subscriptions;
                    if let Some(index) = subscriptions.iter().position(|&one| one == node) {
                        subscriptions.swap_remove(index);
                    }
                    self.note_unsubscription(session_key, filter);
                    if filter.share().is_none() {
                        ended.insert(node);
                    }
                    ReasonCode::Success
                }
                None => ReasonCode::NoSubscriptionExisted,
            };
            codes.push(reason as u8);
        }
        // [MQTT 5.0, 3.10.4]: what has not begun to be sent need not be.
        self.end_replays(session_key, |replay| ended.contains(&replay.node()));
        let (packet_identifier, properties) = (unsubscribe.packet_identifier, Properties::EMPTY);
        let codes = &codes;
        self.reply(
            key,
            &Packet::UnsubAck(UnsubAck {
                packet_identifier,
                properties,
                codes,
            }),
        )?;
        // Messages may have waited for a replay that has ended.
        self.pump(now, session_key);
        Ok(())
    }
}
