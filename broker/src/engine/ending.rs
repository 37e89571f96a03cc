//! How connections and sessions end, by their own will or when their time is over.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use mqtt::{Disconnect, Packet, Properties, PropertiesBuffer, QoS, ReasonCode, Version};
use thin_vec::ThinVec;

use super::aliases::SentAliases;
use super::connection::{ConnectionKey, Identity, Phase};
use super::deadlines::Due;
use super::message::Passing;
use super::session::{Absence, SessionKey};
use super::{End, Engine, connect};

impl Engine {
    /// Notes bytes that came after the end; nobody listens to them for ever.
    pub(super) fn waste(&mut self, key: ConnectionKey, len: usize) {
        let connection = &mut self.connections[key as usize];
        connection.wasted = connection
            .wasted
            .saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        if connection.wasted > Self::WASTE_ALLOWED {
            connection.phase = Phase::Dead;
            self.touch(key);
        }
    }

    /// Enough for what a client had sent before it could know of the end.
    const WASTE_ALLOWED: u32 = 256 * 1024;

    pub(super) fn is_connecting(&self, identity: Identity) -> bool {
        let connection = self.connections.get(identity.key as usize);
        connection
            .is_some_and(|one| one.serial == identity.serial && one.phase == Phase::Connecting)
    }

    /// Makes room for a connection: one that was ended and whose client does not go is closed, or the one that has waited
    /// longest with its CONNECT ended. Returns whether there was one.
    pub(crate) fn make_place(&mut self, now: Instant) -> bool {
        while let Some(identity) = self.draining.pop_front() {
            let connection = self.connections.get_mut(identity.key as usize);
            if let Some(connection) = connection
                && connection.serial == identity.serial
                && connection.phase == Phase::Draining
            {
                connection.phase = Phase::Dead;
                self.touch(identity.key);
                return true;
            }
        }
        while let Some(identity) = self.connecting.pop_front() {
            if self.is_connecting(identity) {
                let words = "too many connections at once, and no CONNECT on this one";
                self.end(now, identity.key, End::silent(words));
                self.connections[identity.key as usize].phase = Phase::Dead;
                return true;
            }
        }
        false
    }

    /// The client says goodbye [MQTT 5.0, 3.14].
    pub(super) fn disconnect(&mut self, session: SessionKey, disconnect: &Disconnect<'_>) -> End {
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            let session = &mut self.sessions[session as usize];
            if session.expiry == 0 && expiry != 0 {
                return End::told(
                    ReasonCode::ProtocolError,
                    "DISCONNECT asks to keep a session that CONNECT did not ask to keep",
                );
            }
            session.expiry = self.limits.session_expiry(expiry);
        }
        End {
            code: None,
            reason: match disconnect.reason {
                ReasonCode::Success => "the client disconnected".into(),
                reason => format!("the client disconnected: {reason}").into(),
            },
            forget_will: disconnect.reason == ReasonCode::Success,
        }
    }

    /// Ends a connection from this side: the client is told why where its version knows how, its session is left in
    /// the state it is to have, and the core closes the socket once the outbox is written.
    pub(super) fn end(&mut self, now: Instant, key: ConnectionKey, end: End) {
        let connection = &mut self.connections[key as usize];
        if matches!(connection.phase, Phase::Draining | Phase::Dead) {
            return;
        }
        let connected = connection.phase == Phase::Connected;
        // [MQTT-3.14.0-1]: no DISCONNECT before CONNACK.
        if let Some(reason) = end.code
            && connected
            && connection.version == Version::V5
        {
            let mut properties = PropertiesBuffer::new();
            if reason.is_error() {
                let bare = Packet::Disconnect(Disconnect {
                    reason,
                    properties: Properties::EMPTY,
                });
                properties = self.reason(key, bare.encoded_len(Version::V5), &end.reason);
            }
            let properties = properties.as_properties();
            // A client that could not take it goes without.
            let _ = self.reply(key, &Packet::Disconnect(Disconnect { reason, properties }));
        }
        let connection = &mut self.connections[key as usize];
        connection.phase = Phase::Draining;
        // Nothing more is taken from it.
        connection.aliases = ThinVec::new();
        connection.sent_aliases = SentAliases::default();
        connection.incomplete = 0;
        connection.charge = self.connection_account.open();
        let serial = connection.serial;
        while let Some(first) = self.draining.front()
            && self
                .connections
                .get(first.key as usize)
                .is_none_or(|one| one.serial != first.serial)
        {
            self.draining.pop_front();
        }
        self.draining.push_back(Identity { key, serial });
        let connection = &mut self.connections[key as usize];
        // A peer that does not read must not keep the connection.
        let slot = &mut connection.deadline;
        self.deadlines
            .set(Due::Connection(key), slot, Some(now + Self::DRAIN_TIMEOUT));
        let address = connection.address;
        self.touch(key);
        self.wait_no_more(key);
        self.release(now, key);
        if connected {
            self.detach(now, key, &end);
        } else {
            self.refusals.note(now, address, end.reason);
        }
    }

    /// Ends a connection for something that is no MQTT: what carries its packets is refused or broken.
    pub(crate) fn fail(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.end(now, key, End::silent(reason));
    }

    /// How long the last bytes to a client may take.
    const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

    /// Parts a session from its connection and says so in the log.
    pub(super) fn detach(&mut self, now: Instant, key: ConnectionKey, end: &End) {
        let connection = &mut self.connections[key as usize];
        let address = connection.address;
        let Some(session_key) = connection.session.take() else {
            return;
        };
        self.clients -= 1;
        self.note_departure(session_key);
        let session = &mut self.sessions[session_key as usize];
        session.connection = None;
        let client = &session.client_identifier;
        match end.code {
            Some(code) if code.is_error() => log::warn!("client {client:?} ended: {}", end.reason),
            _ => log::info!("client {client:?} ended: {}", end.reason),
        }
        if end.forget_will {
            session.will = None;
        }
        if !session.is_persistent() {
            self.end_session(now, session_key);
            return;
        }
        // They are not kept for an absent client, but for what a replay that goes on leaves to them.
        self.end_replays(session_key, |replay| replay.qos() == QoS::AtMostOnce);
        let queue = &mut self.sessions[session_key as usize].queue;
        let has_replays = queue.has_replays();
        queue.take(|waiting| {
            let is_left = has_replays && waiting.message.retain() && waiting.share().is_none();
            waiting.qos == QoS::AtMostOnce && !is_left
        });
        self.pass_on_queued(now, session_key);
        let session = &mut self.sessions[session_key as usize];
        session.window.part();
        let ends_at = match session.expiry {
            u32::MAX => None,
            seconds => Some(now + Duration::from_secs(seconds.into())),
        };
        let will_at = session.will.as_ref().map(|will| now + will.delay);
        session.absence = Some(Box::new(Absence {
            address,
            ends_at,
            will_at,
            deadline: None,
        }));
        if will_at == Some(now) {
            self.publish_will(now, session_key);
        }
        self.set_session_deadline(session_key);
    }

    /// The Session ends: its Will Message is published, its subscriptions and messages go [MQTT-4.1.0-2].
    pub(super) fn end_session(&mut self, now: Instant, key: SessionKey) {
        self.publish_will(now, key);
        self.come_back(key);
        self.end_replays(key, |_| true);
        let session = &mut self.sessions[key as usize];
        for node in std::mem::take(&mut session.subscriptions) {
            self.subscriptions.remove_session(node, key);
        }
        let hash = self.hasher.hash_one(&*session.client_identifier);
        if let Ok(entry) = self.identifiers.find_entry(hash, |&entry| entry == key) {
            entry.remove();
        }
        let left = self.sessions.remove(key as usize).take_shared();
        if self.sessions.is_empty() {
            // Memory goes back after a peak.
            self.sessions.shrink_to_fit();
            self.identifiers.shrink_to(0, |_| 0);
        }
        self.distribute_again(now, left);
    }

    /// Publishes the Will Message, once [MQTT-3.1.2-10].
    pub(super) fn publish_will(&mut self, now: Instant, key: SessionKey) {
        let session = &mut self.sessions[key as usize];
        if let Some(absence) = &mut session.absence {
            absence.will_at = None;
        }
        // A will on a topic of the broker's own is dropped, as a message would be.
        if let Some(will) = session.will.take()
            && connect::may_publish_to(will.message.topic())
        {
            let passing = Passing {
                lifetime: will.lifetime,
                ..will.message.passing(now)
            };
            log::debug!(
                "will of client {:?} on {:?}",
                session.client_identifier,
                passing.topic
            );
            self.distribute(now, key, &passing);
        }
    }

    /// Notes when something is to happen to the Session of an absent client.
    fn set_session_deadline(&mut self, key: SessionKey) {
        if let Some(absence) = &mut self.sessions[key as usize].absence {
            let at = [absence.ends_at, absence.will_at]
                .into_iter()
                .flatten()
                .min();
            self.deadlines
                .set(Due::Session(key), &mut absence.deadline, at);
        }
    }

    /// Nothing happens to a Session any more for want of its client.
    pub(super) fn come_back(&mut self, key: SessionKey) {
        if let Some(mut absence) = self.sessions[key as usize].absence.take() {
            self.deadlines
                .set(Due::Session(key), &mut absence.deadline, None);
        }
    }

    /// The socket of a connection is gone; `reason` says how, should the engine not know better.
    pub(crate) fn closed(&mut self, now: Instant, key: ConnectionKey, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        self.deadlines
            .set(Due::Connection(key), &mut connection.deadline, None);
        self.wait_no_more(key);
        self.release(now, key);
        let connection = &mut self.connections[key as usize];
        match connection.phase {
            Phase::Connected => self.detach(now, key, &End::silent(reason)),
            // Port scanners and health checks come and go without a word.
            Phase::Connecting => {
                log::debug!("{} left before CONNECT: {reason}", connection.address);
            }
            Phase::Draining | Phase::Dead => {}
        }
        self.connections.remove(key as usize);
        if self.connections.is_empty() {
            self.connections.shrink_to_fit();
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.pop(now) {
            match due {
                Due::Retained => {
                    self.sweep_at = None;
                    self.sweep(now);
                }
                Due::Sys => self.tell_changes(now),
                Due::Connection(key) => self.expire_connection(now, key),
                Due::Session(key) => {
                    let session = &mut self.sessions[key as usize];
                    let Some(absence) = &mut session.absence else {
                        continue;
                    };
                    absence.deadline = None;
                    let (ends_at, will_at) = (absence.ends_at, absence.will_at);
                    if ends_at.is_some_and(|at| at <= now) {
                        log::info!("session of client {:?} expired", session.client_identifier);
                        self.stats.sessions_expired += 1;
                        self.end_session(now, key);
                        continue;
                    }
                    if will_at.is_some_and(|at| at <= now) {
                        self.publish_will(now, key);
                    }
                    self.set_session_deadline(key);
                }
            }
        }
        self.go_on_with_replays(now);
    }

    fn expire_connection(&mut self, now: Instant, key: ConnectionKey) {
        let connection = &mut self.connections[key as usize];
        connection.deadline = None;
        match connection.phase {
            Phase::Connecting => {
                let seconds = self.limits.connect_timeout.as_secs();
                let words = format!("no CONNECT within {seconds} seconds (CONNECT_TIMEOUT)");
                self.end(now, key, End::silent(words));
                self.connections[key as usize].phase = Phase::Dead;
            }
            Phase::Connected if !connection.held_by.is_empty() => self.give_up(now, key),
            Phase::Connected => match connection.silent_until() {
                Some(at) if at <= now => {
                    // [MQTT-3.1.2-22]
                    self.end(
                        now,
                        key,
                        End::told(ReasonCode::KeepAliveTimeout, "Keep Alive timeout"),
                    );
                }
                at => self
                    .deadlines
                    .set(Due::Connection(key), &mut connection.deadline, at),
            },
            Phase::Draining | Phase::Dead => {
                connection.phase = Phase::Dead;
                self.touch(key);
            }
        }
    }

    /// Ends every client, in order.
    pub(crate) fn end_all(&mut self, now: Instant, code: ReasonCode, reason: &'static str) {
        let keys: Vec<_> = self
            .connections
            .iter()
            .map(|(key, _)| key as ConnectionKey)
            .collect();
        for key in keys {
            self.end(now, key, End::told(code, reason));
        }
    }
}
