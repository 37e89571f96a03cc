//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use mqtt::{
    Packet, Properties, PropertiesBuffer, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscriptionOptions, TopicFilter, UnsubAck, Unsubscribe, Version,
};

use super::connection::ConnectionKey;
use super::edges::NodeKey;
use super::message::Message;
use super::queue::{Delivery, Extra};
use super::session::SessionKey;
use super::subscriptions::Subscriber;
use super::{Engine, Outcome};

/// The settings by which a subscription may be refused.
const REFUSED_BY: &str = "MAX_SUBSCRIPTIONS, MAX_MEMORY, MAX_TOPIC_LEVELS, MAX_TOPIC_LENGTH, or many filters for many \
                          retained messages in one packet";
/// How often each Retained Message may wait for one Session, since several of its new subscriptions may match it.
const REPLAYS: usize = 4;
/// So many Retained Messages may wait for a Session where there are fewer.
const REPLAYED_ALWAYS: usize = 1000;
/// Topics, and parts of them, that one SUBSCRIBE may make the broker look at in search of Retained Messages: less than a
/// second on a slow processor. That is a hundred filters for all of the 10,000 that the defaults allow; where there are far
/// more, each filter of a few may still match all.
const REPLAY_STEPS: usize = 1_000_000;

/// A new subscription, and the Retained Messages for it.
struct Replay<'a> {
    node: NodeKey,
    filter: TopicFilter<'a>,
    qos: QoS,
    found: Vec<Rc<Message>>,
}

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
        let all_steps = REPLAY_STEPS.max(REPLAYS * self.retained.steps());
        let mut steps = all_steps;
        let mut replayed = 0;
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
                    match self.find_retained(now, session, filter, &mut steps, replayed) {
                        Some(found) => {
                            replayed += found.len();
                            replays.push(Replay {
                                node,
                                filter,
                                qos: options.qos,
                                found,
                            });
                        }
                        None if new => {
                            self.subscriptions.remove(filter, session);
                            self.sessions[session as usize].subscriptions.pop();
                            // Another may get its place in the tree.
                            seen.remove(&node);
                            return Err(ReasonCode::QuotaExceeded);
                        }
                        // It stays, and has had its Retained Messages once.
                        None => {}
                    }
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
        self.steps += codes.len() + replayed + (all_steps - steps);
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
        for replay in replays {
            self.replay(now, session, replay, identifier);
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

    /// The Retained Messages for a new subscription, beside those `replayed` for others in the same packet; none if these
    /// would be too many, or the search too long.
    fn find_retained(
        &self,
        now: Instant,
        key: SessionKey,
        filter: TopicFilter<'_>,
        steps: &mut usize,
        replayed: usize,
    ) -> Option<Vec<Rc<Message>>> {
        let mut found = Vec::new();
        let searched = self.retained.matches(filter.as_str(), steps, |message| {
            if !message.expired(now) {
                found.push(Rc::clone(message));
            }
        });
        let replayed = replayed + found.len();
        let waiting = self.sessions[key as usize].queue.replayed() + replayed;
        let fits = waiting <= REPLAYED_ALWAYS.max(REPLAYS * self.retained.len())
            && self.has_memory_for(replayed * size_of::<Delivery>());
        (searched && fits).then_some(found)
    }

    /// Queues the Retained Messages of a new subscription [MQTT-3.3.1-9].
    fn replay(&mut self, now: Instant, key: SessionKey, replay: Replay<'_>, identifier: u32) {
        // These are few.
        let told = match self.has_memory_for(0) {
            true => self.told(now, replay.filter),
            false => Vec::new(),
        };
        let session = &mut self.sessions[key as usize];
        session.queue.begin_replay(replay.node);
        for message in told.into_iter().chain(replay.found) {
            session.queue.replay(Delivery {
                qos: message.qos().min(replay.qos),
                message,
                retain: true, // [MQTT-3.3.1-8] of 3.1.1
                replay: replay.node,
                extra: match identifier {
                    0 => None,
                    identifier => Extra::new(&[identifier], None),
                },
            });
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
