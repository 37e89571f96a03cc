//! The broker as a plain state machine: bytes from clients in, bytes to clients and deadlines out.
//!
//! It has no sockets, no files and no clock: every call says what time it is. Nothing in it blocks, so a whole
//! conversation of many clients is a test that runs in a millisecond.

mod access;
mod connect;
mod connection;
mod deadlines;
mod delivery;
mod frame;
mod limits;
mod message;
mod pressure;
mod publish;
mod retained;
mod session;
mod stats;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use mqtt::{Disconnect, Packet, Properties, PropertiesBuffer, Property, ReasonCode, Version};
use slab::Slab;

pub(crate) use access::Access;
pub(crate) use connection::ConnectionKey;
pub(crate) use limits::Limits;
pub(crate) use stats::Stats;

use connection::{Connection, Identity, Phase};
use deadlines::{Deadlines, Due};
use delivery::Router;
use frame::put;
use message::{Account, Passing};
use retained::Retained;
use session::{Session, SessionKey};
use subscriptions::Subscriptions;

use crate::refusals::Refusals;

/// What the core is to do with a connection after its outbox was offered to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Keep,
    /// Close as soon as the outbox is empty.
    CloseWhenWritten,
    /// Close now.
    CloseNow,
}

/// Why a connection ends.
#[derive(Debug)]
struct End {
    /// What DISCONNECT tells a 5.0 client, if the broker speaks last.
    code: Option<ReasonCode>,
    /// For the log and the Reason String.
    reason: Cow<'static, str>,
    /// Whether the Will Message is dropped [MQTT-3.14.4-3].
    forget_will: bool,
}

impl End {
    fn told(code: ReasonCode, reason: impl Into<Cow<'static, str>>) -> Self {
        End {
            code: Some(code),
            reason: reason.into(),
            forget_will: false,
        }
    }

    fn silent(reason: impl Into<Cow<'static, str>>) -> Self {
        End {
            code: None,
            reason: reason.into(),
            forget_will: false,
        }
    }
}

/// What a `Result` of a packet carries when the connection is to end.
type Outcome = Result<(), End>;

/// The state of the whole broker.
#[derive(Debug)]
pub(crate) struct Engine {
    limits: Limits,
    access: Access,
    connections: Slab<Connection>,
    sessions: Slab<Session>,
    /// Sessions by Client Identifier.
    identifiers: HashTable<SessionKey>,
    hasher: ahash::RandomState,
    subscriptions: Subscriptions,
    retained: Retained,
    account: Account,
    /// Bytes that go with their connections: topic aliases, incomplete packets. MAX_MEMORY bounds these by themselves, so
    /// that queues that are full take no client's place.
    connection_account: Account,
    deadlines: Deadlines,
    router: Router,
    /// Connections to look at before the end of the turn.
    dirty: Vec<ConnectionKey>,
    /// Connections that were held and are to be read again.
    resumed: Vec<ConnectionKey>,
    /// How many connections there were.
    serial: u64,
    /// Clients that have had a CONNACK with success and are still there.
    clients: u32,
    stats: Stats,
    /// Messages that were to be retained but found no room.
    unretained: u64,
    /// Sessions that were ended because there were too many.
    evicted: u64,
    /// What `deadlines` holds for Retained Messages that expire.
    sweep_at: Option<Instant>,
    /// Connections without CONNECT yet, oldest first; those that have gone since are still named.
    connecting: VecDeque<Identity>,
    /// Who was refused lately.
    pub(crate) refusals: Refusals,
}

impl Engine {
    pub(crate) fn new(limits: Limits, access: Access) -> Self {
        let account = Account::default();
        Engine {
            limits,
            access,
            connections: Slab::new(),
            sessions: Slab::new(),
            identifiers: HashTable::new(),
            hasher: ahash::RandomState::new(),
            subscriptions: Subscriptions::new(&account),
            retained: Retained::new(&account),
            account,
            connection_account: Account::default(),
            deadlines: Deadlines::default(),
            router: Router::default(),
            dirty: Vec::new(),
            resumed: Vec::new(),
            serial: 0,
            clients: 0,
            stats: Stats::default(),
            unretained: 0,
            evicted: 0,
            sweep_at: None,
            connecting: VecDeque::new(),
            refusals: Refusals::default(),
        }
    }

    /// A Network Connection was accepted; CONNECT must follow in time.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        address: IpAddr,
        common_name: Option<Box<str>>,
    ) -> ConnectionKey {
        self.serial += 1;
        let promise = self.limits.promise();
        let charge = self.connection_account.open();
        let connection = Connection::new(self.serial, address, common_name, promise, charge, now);
        let key = self.connections.insert(connection) as ConnectionKey;
        while let Some(&first) = self.connecting.front()
            && !self.is_connecting(first)
        {
            self.connecting.pop_front();
        }
        self.connecting.push_back(Identity {
            key,
            serial: self.serial,
        });
        let slot = &mut self.connections[key as usize].deadline;
        self.deadlines.set(
            Due::Connection(key),
            slot,
            Some(now + Limits::CONNECT_TIMEOUT),
        );
        key
    }

    /// Takes what a client sent. Returns how many bytes made whole packets; the rest is to be given again with what
    /// follows it.
    pub(crate) fn receive(&mut self, now: Instant, key: ConnectionKey, input: &[u8]) -> usize {
        let mut used = 0;
        while used < input.len() {
            let Some(connection) = self.connections.get_mut(key as usize) else {
                return input.len();
            };
            let limit = match connection.phase {
                Phase::Connecting => connection.promise.max_packet_size.min(Limits::MAX_CONNECT),
                Phase::Connected => connection.promise.max_packet_size,
                Phase::Draining | Phase::Dead => {
                    self.waste(key, input.len());
                    return input.len();
                }
            };
            let (packet, len) = match mqtt::decode(&input[used..], connection.version, limit) {
                Ok(Some(decoded)) => decoded,
                Ok(None) => {
                    // Whoever has not yet said CONNECT may only send that [MQTT-3.1.0-1].
                    if connection.phase == Phase::Connecting && input[used] != 0x10 {
                        self.end(now, key, End::silent("the first packet is not CONNECT"));
                        return input.len();
                    }
                    if let Err(end) = self.note_incomplete(now, key, input.len() - used) {
                        self.end(now, key, end);
                        return input.len();
                    }
                    return used;
                }
                Err(error) => {
                    self.malformed(now, key, &error);
                    return input.len();
                }
            };
            // Keep Alive counts packets [MQTT-3.1.2-22].
            connection.last_received = now;
            used += len;
            self.stats.bytes_received += len as u64;
            if let Err(end) = self.packet(now, key, &packet) {
                self.end(now, key, end);
                return input.len();
            }
            if self.is_held(key) {
                break;
            }
        }
        // Nothing is left, or it waits.
        let _ = self.note_incomplete(now, key, 0);
        used
    }

    /// Notes how much of a packet has come without being whole. Large packets may take longer than Keep Alive, so every
    /// thousand bytes count as a sign of life.
    fn note_incomplete(&mut self, now: Instant, key: ConnectionKey, len: usize) -> Outcome {
        let has_memory = self.has_connection_memory();
        let connection = &mut self.connections[key as usize];
        if len == 0 {
            connection
                .charge
                .remove(std::mem::take(&mut connection.incomplete));
        } else if len >= connection.incomplete + 1000 {
            connection.charge.add(len - connection.incomplete);
            connection.incomplete = len;
            connection.last_received = now;
            if !has_memory && len > Self::INCOMPLETE_ALLOWED {
                return Err(End::told(
                    ReasonCode::QuotaExceeded,
                    "no memory for a large packet (MAX_MEMORY)",
                ));
            }
        }
        Ok(())
    }

    /// Whether connections hold less than MAX_MEMORY.
    fn has_connection_memory(&self) -> bool {
        self.connection_account.bytes() as u64 <= self.limits.max_memory
    }

    /// Bytes of an incomplete packet that are kept even where memory is short.
    const INCOMPLETE_ALLOWED: usize = 4 * 1024;

    /// Notes bytes that came after the end; nobody listens to them for ever.
    fn waste(&mut self, key: ConnectionKey, len: usize) {
        let connection = &mut self.connections[key as usize];
        connection.wasted += len;
        if connection.wasted > Self::WASTE_ALLOWED {
            connection.phase = Phase::Dead;
            self.touch(key);
        }
    }

    /// Enough for what a client had sent before it could know of the end.
    const WASTE_ALLOWED: usize = 256 * 1024;

    fn is_connecting(&self, identity: Identity) -> bool {
        let connection = self.connections.get(identity.key as usize);
        connection
            .is_some_and(|one| one.serial == identity.serial && one.phase == Phase::Connecting)
    }

    /// Makes room for a connection by ending the one that has waited longest with its CONNECT. Returns whether there was
    /// one.
    pub(crate) fn end_oldest_connecting(&mut self, now: Instant) -> bool {
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

    fn packet(&mut self, now: Instant, key: ConnectionKey, packet: &Packet<'_>) -> Outcome {
        if self.connections[key as usize].phase == Phase::Connecting {
            return match packet {
                Packet::Connect(connect) => self.connect(now, key, connect),
                // [MQTT-3.1.0-1]
                _ => Err(End::silent("the first packet is not CONNECT")),
            };
        }
        let session = self.connections[key as usize]
            .session
            .expect("a connection that is connected has a session");
        match packet {
            Packet::Publish(publish) => self.publish(now, key, session, publish),
            Packet::PubAck(ack) => self.puback(now, session, ack),
            Packet::PubRec(ack) => self.pubrec(now, key, session, ack),
            Packet::PubRel(ack) => self.pubrel(key, session, ack),
            Packet::PubComp(ack) => self.pubcomp(now, session, ack),
            Packet::Subscribe(subscribe) => self.subscribe(now, key, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(key, session, unsubscribe),
            Packet::PingReq => {
                self.reply(key, &Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.disconnect(session, disconnect)),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(End::told(
                ReasonCode::ProtocolError,
                "a second CONNECT on one connection",
            )),
            // [MQTT-4.12.0-7]
            Packet::Auth(_) => Err(End::told(
                ReasonCode::ProtocolError,
                "AUTH without an authentication method in CONNECT",
            )),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(End::told(
                    ReasonCode::ProtocolError,
                    "a packet that only a server may send",
                ))
            }
        }
    }

    /// The client says goodbye [MQTT 5.0, 3.14].
    fn disconnect(&mut self, session: SessionKey, disconnect: &Disconnect<'_>) -> End {
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

    /// Bytes that are no MQTT.
    fn malformed(&mut self, now: Instant, key: ConnectionKey, error: &mqtt::DecodeError) {
        let connection = &self.connections[key as usize];
        if connection.phase == Phase::Connecting {
            self.refuse_malformed(now, key, error);
        } else {
            let reason = format!("{error} [{}]", error.statement());
            self.end(now, key, End::told(error.reason_code(), reason));
        }
    }

    /// Ends a connection from this side: the client is told why where its version knows how, its session is left in
    /// the state it is to have, and the core closes the socket once the outbox is written.
    fn end(&mut self, now: Instant, key: ConnectionKey, end: End) {
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
                put(&mut properties, Property::ReasonString(&end.reason));
            }
            let mut disconnect = Disconnect {
                reason,
                properties: properties.as_properties(),
            };
            if Packet::Disconnect(disconnect).encoded_len(Version::V5)
                > connection.max_packet_size as usize
            {
                disconnect.properties = Properties::EMPTY; // [MQTT-3.14.2-3]
            }
            self.reply(key, &Packet::Disconnect(disconnect));
        }
        let connection = &mut self.connections[key as usize];
        connection.phase = Phase::Draining;
        connection.held_by = Vec::new();
        // A peer that does not read must not keep the connection.
        let slot = &mut connection.deadline;
        self.deadlines
            .set(Due::Connection(key), slot, Some(now + Self::DRAIN_TIMEOUT));
        let address = connection.address;
        self.touch(key);
        self.release(now, key);
        if connected {
            self.detach(now, key, &end);
        } else {
            self.refusals.note(now, address, end.reason);
        }
    }

    /// How long the last bytes to a client may take.
    const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

    /// Parts a session from its connection and says so in the log.
    fn detach(&mut self, now: Instant, key: ConnectionKey, end: &End) {
        let Some(session_key) = self.connections[key as usize].session.take() else {
            return;
        };
        self.clients -= 1;
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
        session.forget_at_most_once();
        session.sent = 0;
        session.ends_at = match session.expiry {
            u32::MAX => None,
            seconds => Some(now + Duration::from_secs(seconds.into())),
        };
        session.will_at = session.will.as_ref().map(|will| now + will.delay);
        self.set_session_deadline(session_key);
        if self.sessions[session_key as usize].will_at == Some(now) {
            self.publish_will(now, session_key);
        }
    }

    /// The Session ends: its Will Message is published, its subscriptions and messages go [MQTT-4.1.0-2].
    fn end_session(&mut self, now: Instant, key: SessionKey) {
        self.publish_will(now, key);
        let slot = &mut self.sessions[key as usize].deadline;
        self.deadlines.set(Due::Session(key), slot, None);
        let session = &mut self.sessions[key as usize];
        for node in std::mem::take(&mut session.subscriptions) {
            self.subscriptions.remove_session(node, key);
        }
        let hash = self.hasher.hash_one(&*session.client_identifier);
        if let Ok(entry) = self.identifiers.find_entry(hash, |&entry| entry == key) {
            entry.remove();
        }
        self.sessions.remove(key as usize);
        if self.sessions.is_empty() {
            // Memory goes back after a peak.
            self.sessions.shrink_to_fit();
            self.identifiers.shrink_to(0, |_| 0);
        }
    }

    /// Publishes the Will Message, once [MQTT-3.1.2-10].
    fn publish_will(&mut self, now: Instant, key: SessionKey) {
        let session = &mut self.sessions[key as usize];
        session.will_at = None;
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
            self.distribute(now, Some(key), &passing);
        }
    }

    fn set_session_deadline(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key as usize];
        let at = [session.ends_at, session.will_at]
            .into_iter()
            .flatten()
            .min();
        self.deadlines
            .set(Due::Session(key), &mut session.deadline, at);
    }

    /// The socket of a connection is gone; `reason` says how, should the engine not know better.
    pub(crate) fn closed(&mut self, now: Instant, key: ConnectionKey, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        self.deadlines
            .set(Due::Connection(key), &mut connection.deadline, None);
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

    /// When [`Engine::expire`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.pop(now) {
            match due {
                Due::Retained => {
                    self.sweep_at = None;
                    self.sweep(now);
                }
                Due::Connection(key) => self.expire_connection(now, key),
                Due::Session(key) => {
                    let session = &mut self.sessions[key as usize];
                    session.deadline = None;
                    if session.ends_at.is_some_and(|at| at <= now) {
                        log::info!("session of client {:?} expired", session.client_identifier);
                        self.end_session(now, key);
                        continue;
                    }
                    if session.will_at.is_some_and(|at| at <= now) {
                        self.publish_will(now, key);
                    }
                    self.set_session_deadline(key);
                }
            }
        }
    }

    fn expire_connection(&mut self, now: Instant, key: ConnectionKey) {
        let connection = &mut self.connections[key as usize];
        connection.deadline = None;
        match connection.phase {
            Phase::Connecting => {
                self.end(now, key, End::silent("no CONNECT within 10 seconds"));
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

    /// Connections that have something to write or are to be closed, each once.
    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnectionKey>) {
        into.clear();
        std::mem::swap(&mut self.dirty, into);
        for &key in &*into {
            if let Some(connection) = self.connections.get_mut(key as usize) {
                connection.dirty = false;
            }
        }
    }

    /// Bytes to write to a client.
    pub(crate) fn outbox(&self, key: ConnectionKey) -> &[u8] {
        self.connections
            .get(key as usize)
            .map_or(&[], |connection| connection.outbox.pending())
    }

    /// The first `count` bytes of the outbox are on their way; what waited for room follows.
    pub(crate) fn written(&mut self, now: Instant, key: ConnectionKey, count: usize) {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        self.stats.bytes_sent += count as u64;
        let choked = connection.outbox.is_choked();
        connection.outbox.advance(count);
        if choked && !connection.outbox.is_choked() {
            self.resumed.push(key);
        }
        if let Some(session) = connection.session {
            self.pump(now, session);
        }
    }

    /// What is to be done with a connection.
    pub(crate) fn verdict(&self, key: ConnectionKey) -> Verdict {
        match self
            .connections
            .get(key as usize)
            .map(|connection| connection.phase)
        {
            Some(Phase::Connecting | Phase::Connected) => Verdict::Keep,
            Some(Phase::Draining) => Verdict::CloseWhenWritten,
            Some(Phase::Dead) | None => Verdict::CloseNow,
        }
    }

    /// Puts other rules in force. Clients that these forbid are ended, the others notice nothing.
    pub(crate) fn apply(&mut self, now: Instant, limits: Limits, access: Access) {
        let keep = access.keeps_clients_of(&self.access);
        (self.limits, self.access) = (limits, access);
        if !keep {
            self.end_all(
                now,
                ReasonCode::AdministrativeAction,
                "who may connect has changed",
            );
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

    /// Appends a packet to the outbox of a connection.
    fn reply(&mut self, key: ConnectionKey, packet: &Packet<'_>) {
        let connection = &mut self.connections[key as usize];
        let out = connection.outbox.append();
        let start = out.len();
        let encoded = packet.encode(connection.version, out);
        let len = out.len() - start;
        // [MQTT-3.1.2-24]: a client that can't take its answers can't be served.
        if encoded.is_err() || len > connection.max_packet_size as usize {
            out.truncate(start);
            connection.phase = Phase::Dead;
        }
        connection.outbox.note_answer(len);
        self.touch(key);
    }

    /// Puts a connection on the list of those to be written this turn, once.
    fn touch(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key as usize];
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    fn find_session(&self, client_identifier: &str) -> Option<SessionKey> {
        self.identifiers
            .find(self.hasher.hash_one(client_identifier), |&key| {
                &*self.sessions[key as usize].client_identifier == client_identifier
            })
            .copied()
    }

    /// Clients that are connected.
    pub(crate) fn clients(&self) -> u32 {
        self.clients
    }

    /// Network Connections, those before CONNECT and those being closed included.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Sessions, connected or not.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Subscriptions of all sessions.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Topics with a Retained Message.
    pub(crate) fn retained(&self) -> usize {
        self.retained.len()
    }

    /// Totals since the start.
    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}
