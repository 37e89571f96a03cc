//! What the packets that the engine has taken from a client must lead to.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, AckType, Connect, DecodeError, Disconnect, Packet, PacketType, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, Unsubscribe, Version,
};

use super::super::super::{self as engine, ConnectionKey};
use super::answer::{self, Answer};
use super::ledger::Ledger;
use super::record::{Owed, Record, end_of_life, passed_on};
use super::state::{Phase, Stage, Subscription, Will};

/// What only the engine knows of a step: its answers where memory is short, and the names it gives.
#[derive(Debug, Default)]
pub(super) struct Hint {
    /// Code of CONNACK, and Session Present.
    pub(super) connack: Option<(u8, bool)>,
    pub(super) suback: Vec<u8>,
    /// The message could not be kept for all, or not be retained.
    pub(super) is_refused: bool,
    /// The Client Identifier of this connection's Session.
    pub(super) name: Option<String>,
    /// Sessions that were ended to make room.
    pub(super) evicted: Vec<u32>,
}

impl Ledger {
    /// The engine has taken this packet.
    pub(super) fn take(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        packet: &Packet<'_>,
        hint: &Hint,
    ) {
        let connection = self.connection(key);
        if connection.phase == Phase::Ended {
            return;
        }
        connection.last_received = now;
        if connection.phase == Phase::Connecting {
            match packet {
                Packet::Connect(connect) => self.take_connect(now, key, connect, hint),
                _ => self.end(now, key, None),
            }
            return;
        }
        let epoch = connection.session.expect("a session");
        match packet {
            Packet::Publish(publish) => self.take_publish(now, key, epoch, publish, hint),
            Packet::PubAck(ack) => self.complete(now, key, epoch, ack, Stage::Ack),
            Packet::PubComp(ack) => self.complete(now, key, epoch, ack, Stage::Comp),
            Packet::PubRec(ack) => self.take_pubrec(now, key, epoch, ack),
            Packet::PubRel(ack) => {
                let known = self.session(epoch).received.remove(&ack.packet_identifier);
                self.acknowledge(key, AckType::PubComp, ack, known);
            }
            Packet::Subscribe(subscribe) => self.take_subscribe(now, key, epoch, subscribe, hint),
            Packet::Unsubscribe(unsubscribe) => {
                self.take_unsubscribe(now, key, epoch, unsubscribe);
            }
            Packet::PingReq => self.connection(key).answers.push_back(Answer::PingResp),
            Packet::Disconnect(disconnect) => self.take_disconnect(now, key, epoch, disconnect),
            _ => self.end(now, key, Some(ReasonCode::ProtocolError)),
        }
    }

    /// The engine has taken bytes that are no packet.
    pub(super) fn take_malformed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        error: &DecodeError,
        bytes: &[u8],
    ) {
        let told = match engine::reason_code(error, bytes) {
            // What is wrong with the version of a second CONNECT, only CONNACK could say.
            code if !code.is_allowed_in(PacketType::Disconnect) => ReasonCode::ProtocolError,
            code => code,
        };
        self.end(now, key, Some(told));
    }

    fn take_connect(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        connect: &Connect<'_>,
        hint: &Hint,
    ) {
        self.connection(key).version = connect.version;
        let mut evicted = hint.evicted.clone();
        let present = self.find(connect.client_identifier);
        let is_refused = hint.connack.is_some_and(|(code, _)| code != 0);
        if let Some(own) = present
            && evicted.contains(&own)
            && ((connect.clean_start && !is_refused)
                || hint.connack.is_some_and(|(_, present)| present))
        {
            // It ended because of Clean Start, or it did not end.
            evicted.retain(|&one| one != own);
        }
        for epoch in evicted {
            self.end_session(now, epoch);
        }
        let max_packet = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        self.connection(key).max_packet = max_packet;
        if let Some(code) = self.refusal(connect, hint) {
            self.connection(key)
                .answers
                .push_back(Answer::Refusal(code));
            self.close_if_speechless(now, key, 5);
            self.end(now, key, None);
            return;
        }
        let assigned = connect.client_identifier.is_empty();
        let name = match assigned {
            true => hint.name.clone().unwrap_or_default(),
            false => connect.client_identifier.to_owned(),
        };
        if let Some(epoch) = self.find(&name) {
            let session = self.session(epoch);
            if let Some(other) = session.connection {
                if connect.clean_start {
                    session.expiry = 0;
                }
                self.end(now, other, Some(ReasonCode::SessionTakenOver));
            } else if connect.clean_start {
                self.end_session(now, epoch);
            }
        }
        let (epoch, session_present) = match self.find(&name) {
            Some(epoch) => (epoch, true),
            None => (self.make_session(&name), false),
        };
        self.start(now, key, epoch, connect, session_present);
        // How long CONNACK would have been is not known here: with all that may be in it, less than this.
        if hint.connack.is_none() {
            self.close_if_speechless(now, key, 80);
        }
    }

    /// The code of CONNACK if this client is not let in.
    fn refusal(&self, connect: &Connect<'_>, hint: &Hint) -> Option<u8> {
        let version = connect.version;
        let empty = connect.client_identifier.is_empty();
        let forbidden = match version {
            Version::V31 => true,
            Version::V311 => !connect.clean_start,
            Version::V5 => false,
        };
        if empty && (forbidden || !self.limits.allow_empty_client_id) {
            return Some(answer::code(
                version,
                ReasonCode::ClientIdentifierNotValid,
                2,
            ));
        }
        let max = self.limits.max_keep_alive;
        if version < Version::V5
            && max < u16::MAX
            && (connect.keep_alive == 0 || connect.keep_alive > max)
        {
            return Some(2);
        }
        if let Some(will) = &connect.will {
            if will.qos > self.limits.max_qos {
                return Some(answer::code(version, ReasonCode::QoSNotSupported, 5));
            }
            if will.retain && !self.limits.retain_available {
                return Some(answer::code(version, ReasonCode::RetainNotSupported, 5));
            }
        }
        let replaces = self.find(connect.client_identifier);
        let replaces = replaces.is_some_and(|epoch| self.sessions[&epoch].connection.is_some());
        let full = self
            .limits
            .max_clients
            .is_some_and(|max| self.clients() >= max as usize);
        let no_memory = answer::code(version, ReasonCode::QuotaExceeded, 3);
        let is_poor = self.is_poor() && connect.will.is_some();
        let refused = is_poor && hint.connack.is_some_and(|(code, _)| code == no_memory);
        ((full && !replaces) || refused).then_some(no_memory)
    }

    /// Whether memory may be too short for anything.
    pub(super) fn is_poor(&self) -> bool {
        self.limits.max_memory < u64::from(u32::MAX)
    }

    fn start(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        connect: &Connect<'_>,
        session_present: bool,
    ) {
        let properties = connect.properties;
        let keep_alive = match (
            connect.version,
            connect.keep_alive,
            self.limits.max_keep_alive,
        ) {
            (Version::V5, 0, max) if max < u16::MAX => max,
            (Version::V5, wanted, max) => wanted.min(max),
            (_, wanted, _) => wanted,
        };
        let wanted = properties.session_expiry_interval().unwrap_or(0);
        let expiry = match connect.version {
            Version::V5 => wanted,
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        let expiry = self
            .limits
            .max_session_expiry
            .map_or(expiry, |max| expiry.min(max));
        let (max_inflight, max_delay) = (self.limits.max_inflight, self.limits.max_will_delay);
        let session = self.session(epoch);
        let publisher = Rc::clone(&session.name);
        session.connection = Some(key);
        session.expiry = expiry;
        (session.ends_at, session.will_at) = (None, None);
        session.resume(max_inflight.min(properties.receive_maximum().unwrap_or(u16::MAX)));
        session.will = connect.will.map(|will| Will {
            record: Record {
                publisher,
                topic: will.topic.as_str().into(),
                payload: will.payload.to_vec(),
                properties: passed_on(will.properties),
                qos: will.qos,
                retain: will.retain,
                at: now,
                expires_at: None,
            },
            delay: {
                let wanted = will.properties.will_delay_interval().unwrap_or(0);
                Duration::from_secs(max_delay.map_or(wanted, |max| wanted.min(max)).into())
            },
            expiry: will.properties.message_expiry_interval(),
        });
        let connection = self.connection(key);
        connection.phase = Phase::Connected;
        connection.session = Some(epoch);
        connection.patience = Duration::from_millis(u64::from(keep_alive) * 1500);
        connection.max_alias = properties.topic_alias_maximum().unwrap_or(0);
        connection.answers.push_back(Answer::ConnAck {
            session_present,
            expiry: (wanted, expiry),
            keep_alive: (connect.keep_alive, keep_alive),
            assigned: connect.client_identifier.is_empty(),
        });
    }

    fn take_publish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        publish: &Publish<'_>,
        hint: &Hint,
    ) {
        self.messages.0 += 1;
        let (max_qos, retain_available) = (self.limits.max_qos, self.limits.retain_available);
        let max_alias = self.limits.max_topic_alias;
        let connection = self.connection(key);
        let alias = publish.properties.topic_alias();
        let wrong = if publish.qos > max_qos {
            Some(ReasonCode::QoSNotSupported)
        } else if publish.retain && !retain_available {
            Some(ReasonCode::RetainNotSupported)
        } else if publish.properties.subscription_identifier().is_some() {
            Some(ReasonCode::ProtocolError)
        } else if alias.is_some_and(|alias| alias > max_alias) {
            Some(ReasonCode::TopicAliasInvalid)
        } else {
            None
        };
        if let Some(reason) = wrong {
            self.end(now, key, Some(reason));
            return;
        }
        let topic: Option<Rc<str>> = match (publish.topic, alias) {
            (Some(topic), None) => Some(topic.as_str().into()),
            (Some(topic), Some(alias)) => {
                let topic: Rc<str> = topic.as_str().into();
                connection.aliases.insert(alias, Rc::clone(&topic));
                Some(topic)
            }
            (None, alias) => alias.and_then(|alias| connection.aliases.get(&alias).cloned()),
        };
        let Some(topic) = topic else {
            self.end(now, key, Some(ReasonCode::ProtocolError));
            return;
        };
        let version = connection.version;
        let limit = match version {
            Version::V5 => usize::from(self.limits.max_inflight),
            _ => usize::MAX,
        };
        let received = &self.session(epoch).received;
        if publish.qos == QoS::ExactlyOnce
            && received.len() >= limit
            && publish
                .packet_identifier
                .is_none_or(|identifier| !received.contains(&identifier))
        {
            // So it goes where a client has forgotten what it had sent.
            self.end(now, key, Some(ReasonCode::ReceiveMaximumExceeded));
            return;
        }
        let session = self.session(epoch);
        if publish.qos == QoS::ExactlyOnce
            && let Some(identifier) = publish.packet_identifier
            && !session.received.insert(identifier)
        {
            let answer = Answer::Ack(AckType::PubRec, identifier, ReasonCode::Success);
            self.connection(key).answers.push_back(answer);
            return;
        }
        let record = Record {
            publisher: Rc::clone(&session.name),
            payload: publish.payload.to_vec(),
            properties: passed_on(publish.properties),
            qos: publish.qos,
            retain: publish.retain,
            at: now,
            expires_at: end_of_life(now, publish.properties.message_expiry_interval()),
            topic,
        };
        let reason = if record.topic.starts_with("$SYS/") {
            ReasonCode::NotAuthorized
        } else {
            let distributed = self.distribute(now, &Rc::new(record));
            match distributed.matched {
                _ if distributed.unretained || hint.is_refused => ReasonCode::QuotaExceeded,
                true => ReasonCode::Success,
                false => ReasonCode::NoMatchingSubscribers,
            }
        };
        let Some(identifier) = publish.packet_identifier else {
            return;
        };
        if version < Version::V5 && hint.is_refused {
            // It is told by the end of the connection.
            self.session(epoch).received.remove(&identifier);
            self.end(now, key, Some(reason));
            return;
        }
        // What a client of 3.x takes for success is not released.
        if reason.is_error() && (version == Version::V5 || reason == ReasonCode::NotAuthorized) {
            self.session(epoch).received.remove(&identifier);
        }
        let (kind, reason) = match (publish.qos, reason) {
            (QoS::ExactlyOnce, ReasonCode::NoMatchingSubscribers) => {
                (AckType::PubRec, ReasonCode::Success)
            }
            (QoS::ExactlyOnce, reason) => (AckType::PubRec, reason),
            (_, reason) => (AckType::PubAck, reason),
        };
        let answer = Answer::Ack(kind, identifier, reason);
        self.connection(key).answers.push_back(answer);
    }

    fn complete(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        ack: &Ack<'_>,
        stage: Stage,
    ) {
        let flights = &mut self.session(epoch).flights;
        let position = flights
            .iter()
            .position(|flight| flight.identifier == ack.packet_identifier);
        let Some(position) = position else { return };
        if flights[position].stage == stage {
            flights.remove(position);
        } else {
            // Of another kind than the message waits for.
            self.end(now, key, Some(ReasonCode::ProtocolError));
        }
    }

    fn take_pubrec(&mut self, now: Instant, key: ConnectionKey, epoch: u32, ack: &Ack<'_>) {
        if ack.reason.is_error() {
            self.complete(now, key, epoch, ack, Stage::Rec);
            return;
        }
        let mut flights = self.session(epoch).flights.iter_mut();
        let flight = flights.find(|flight| flight.identifier == ack.packet_identifier);
        let known = flight.is_some();
        if let Some(flight) = flight {
            if flight.stage == Stage::Ack {
                self.end(now, key, Some(ReasonCode::ProtocolError));
                return;
            }
            flight.stage = Stage::Comp;
        }
        self.acknowledge(key, AckType::PubRel, ack, known);
    }

    fn acknowledge(&mut self, key: ConnectionKey, kind: AckType, ack: &Ack<'_>, known: bool) {
        let reason = match known {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        let answer = Answer::Ack(kind, ack.packet_identifier, reason);
        self.connection(key).answers.push_back(answer);
    }

    fn take_subscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        subscribe: &Subscribe<'_>,
        hint: &Hint,
    ) {
        let version = self.connection(key).version;
        let identifier = subscribe.properties.subscription_identifier().unwrap_or(0);
        let (max_subscriptions, is_poor) = (self.limits.max_subscriptions, self.is_poor());
        let refusal = answer::code(version, ReasonCode::QuotaExceeded, 0x80);
        let (mut codes, mut replayed) = (Vec::new(), Vec::new());
        for (index, (filter, mut options)) in subscribe.filters.iter().enumerate() {
            options.qos = answer::granted(options.qos, &self.limits);
            let filter: Rc<str> = filter.as_str().into();
            let session = self.session(epoch);
            let is_there = session.subscriptions.iter().any(|one| one.filter == filter);
            let full = max_subscriptions
                .is_some_and(|max| session.subscriptions.len() >= max as usize)
                || (is_poor && hint.suback.get(index) == Some(&refusal));
            if !is_there && full {
                codes.push(refusal);
                continue;
            }
            codes.push(options.qos as u8);
            let new = Subscription {
                filter: Rc::clone(&filter),
                options,
                identifier,
            };
            let is_new = self.add_subscription(epoch, new);
            let wanted = match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            // The same filter twice in one packet is one subscription.
            if wanted && !filter.starts_with("$share/") && !replayed.contains(&filter) {
                // Where memory is short, what was there before may have to do.
                let perhaps = is_poor && !is_new;
                self.replay(now, epoch, &filter, (options.qos, identifier), perhaps);
                replayed.push(filter);
            }
        }
        let answer = Answer::SubAck(subscribe.packet_identifier, codes);
        self.connection(key).answers.push_back(answer);
        self.close_if_speechless(now, key, 5 + subscribe.filters.len());
    }

    /// Owes the Retained Messages of a subscription. They take the place of those that an earlier SUBSCRIBE to the same filter
    /// still waits for; where there is nothing and no memory either, they may not come.
    fn replay(
        &mut self,
        now: Instant,
        epoch: u32,
        filter: &Rc<str>,
        (qos, identifier): (QoS, u32),
        perhaps: bool,
    ) {
        let topic_filter = mqtt::TopicFilter::from_valid(filter);
        let tick = self.tick;
        let session = self.session(epoch);
        let before = session.owed.len();
        session
            .owed
            .retain(|owed| owed.replay.as_ref() != Some(filter));
        let perhaps = perhaps && session.owed.len() == before;
        let matching = self.retained.values().filter(|record| {
            let topic = mqtt::TopicName::from_valid(&record.topic);
            !record.expired(now) && topic_filter.matches(topic)
        });
        let new: Vec<_> = matching
            .map(|record| Owed {
                record: Rc::clone(record),
                qos: record.qos.min(qos),
                retain: true,
                identifiers: (identifier > 0).then_some(identifier).into_iter().collect(),
                share: None,
                replay: Some(Rc::clone(filter)),
                granted: qos,
                tick,
                stored: None,
                perhaps,
                overtaken: false,
                has_waited: false,
            })
            .collect();
        self.session(epoch).owed.extend(new);
    }

    fn take_unsubscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        unsubscribe: &Unsubscribe<'_>,
    ) {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let session = self.session(epoch);
            let mut subscriptions = session.subscriptions.iter();
            let known = subscriptions.position(|one| *one.filter == *filter.as_str());
            codes.push(match known {
                Some(index) => {
                    session.subscriptions.remove(index);
                    ReasonCode::Success as u8
                }
                None => ReasonCode::NoSubscriptionExisted as u8,
            });
            session
                .owed
                .retain(|owed| owed.replay.as_deref() != Some(filter.as_str()));
        }
        let len = 5 + codes.len();
        let answer = Answer::UnsubAck(unsubscribe.packet_identifier, codes);
        self.connection(key).answers.push_back(answer);
        self.close_if_speechless(now, key, len);
    }

    /// An answer that the client can't take ends the connection [MQTT-3.1.2-24].
    fn close_if_speechless(&mut self, now: Instant, key: ConnectionKey, len: usize) {
        let connection = self.connection(key);
        if len > connection.max_packet as usize {
            connection.is_speechless = true;
            self.end(now, key, None);
        }
    }

    fn take_disconnect(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        disconnect: &Disconnect<'_>,
    ) {
        let max = self.limits.max_session_expiry;
        let session = self.session(epoch);
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            if session.expiry == 0 && expiry != 0 {
                self.end(now, key, Some(ReasonCode::ProtocolError));
                return;
            }
            session.expiry = max.map_or(expiry, |max| expiry.min(max));
        }
        if disconnect.reason == ReasonCode::Success {
            session.will = None;
        }
        self.end(now, key, None);
    }
}
