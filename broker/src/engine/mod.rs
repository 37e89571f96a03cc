//! The broker as a plain state machine: bytes from clients in, bytes to clients and deadlines out.
//!
//! It has no sockets, no files and no clock: every call says what time it is. Nothing in it blocks, so a whole
//! conversation of many clients is a test that runs in a millisecond.

mod access;
mod aliases;
#[cfg(test)]
mod check;
mod connect;
mod connection;
mod deadlines;
mod delivery;
mod edges;
mod ending;
mod frame;
mod limits;
mod load;
mod memory;
mod message;
mod outbox;
mod pressure;
mod publish;
mod queue;
mod received;
mod replay;
mod retained;
mod session;
mod sharing;
mod stats;
mod subscribe;
mod subscriptions;
mod sys;
#[cfg(test)]
mod tests;
mod window;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use hashbrown::HashTable;
use mqtt::{Packet, PacketType, PropertiesBuffer, Property, ReasonCode, Version};
use slab::Slab;

pub(crate) use access::Access;
pub(crate) use connection::ConnectionKey;
pub(crate) use limits::Limits;
pub(crate) use outbox::Spare;
pub(crate) use stats::Stats;

use connection::{Connection, Identity, Phase};
use deadlines::{Deadlines, Due};
use delivery::Router;
use frame::put;
use message::Account;
use replay::Replaying;
use retained::Retained;
use session::{Session, SessionKey};
use subscriptions::Subscriptions;
use sys::Sys;

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
    /// What the packets of the last [`Engine::receive`] have cost: nodes of topic trees looked at, deliveries, and the packets
    /// themselves.
    steps: usize,
    /// Connections to look at before the end of the turn.
    dirty: Vec<ConnectionKey>,
    /// Connections that were held and are to be read again.
    resumed: Vec<ConnectionKey>,
    /// Sessions that could take more of their replays, and when the last one came to be here.
    replaying: Replaying,
    replaying_since: Instant,
    /// Nodes that one Session's search looks at in a turn.
    steps_a_slice: usize,
    /// How many connections there were.
    serial: u64,
    /// Clients that have had a CONNACK with success and are still there.
    clients: u32,
    stats: Stats,
    sys: Sys,
    /// Sessions that were ended because there were too many.
    evicted: u64,
    /// What `deadlines` holds for Retained Messages that expire.
    sweep_at: Option<Instant>,
    /// Connections without CONNECT yet, oldest first; those that have gone since are still named.
    connecting: VecDeque<Identity>,
    /// Connections that were ended and wait for their clients to go, likewise.
    draining: VecDeque<Identity>,
    /// Who was refused lately.
    pub(crate) refusals: Refusals,
}

impl Engine {
    /// A broker without clients that starts `now`.
    pub(crate) fn new(now: Instant, limits: Limits, access: Access) -> Self {
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
            steps: 0,
            dirty: Vec::new(),
            resumed: Vec::new(),
            replaying: Replaying::default(),
            replaying_since: now,
            steps_a_slice: replay::STEPS_A_SLICE,
            serial: 0,
            clients: 0,
            stats: Stats::default(),
            sys: Sys::new(now),
            evicted: 0,
            sweep_at: None,
            connecting: VecDeque::new(),
            draining: VecDeque::new(),
            refusals: Refusals::default(),
        }
    }

    /// A Network Connection was accepted; CONNECT must follow in time.
    pub(crate) fn open(&mut self, now: Instant, address: IpAddr) -> ConnectionKey {
        self.serial += 1;
        let promise = self.limits.promise();
        let charge = self.connection_account.open();
        let connection = Connection::new(self.serial, address, promise, charge, now);
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
            Some(now + self.limits.connect_timeout),
        );
        key
    }

    /// TLS has checked the certificate of a client, which has this Common Name.
    pub(crate) fn identify(&mut self, key: ConnectionKey, common_name: &str) {
        if let Some(connection) = self.connections.get_mut(key as usize) {
            connection.common_name = Some(common_name.into());
        }
    }

    /// Takes what a client sent. Returns how many bytes made whole packets; the rest is to be given again with what
    /// follows it, or next turn if [`Engine::is_tired`].
    pub(crate) fn receive(&mut self, now: Instant, key: ConnectionKey, input: &[u8]) -> usize {
        let mut used = 0;
        self.steps = 0;
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
            if connection.phase == Phase::Connecting && input[used] == Self::TLS_HANDSHAKE {
                let words = "it speaks TLS, which this port does not (TLS Support is None)";
                self.end(now, key, End::silent(words));
                return input.len();
            }
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
                    self.malformed(now, key, &error, &input[used..]);
                    return input.len();
                }
            };
            // Keep Alive counts packets [MQTT-3.1.2-22].
            connection.last_received = now;
            used += len;
            self.stats.packets_received += 1;
            self.stats.bytes_received += len as u64;
            if let Err(end) = self.packet(now, key, &packet) {
                self.end(now, key, end);
                return input.len();
            }
            self.steps += 1;
            if self.is_held(key) || self.is_tired() {
                break;
            }
        }
        // Nothing is left, or it waits.
        let _ = self.note_incomplete(now, key, 0);
        used
    }

    /// Steps after which the packets of one client that are left wait for the next turn, so that the others are heard: some
    /// milliseconds' work.
    const STEPS_A_TURN: usize = 100_000;

    /// Whether the last [`Engine::receive`] has done so much that the packets it left are for the next turn.
    pub(crate) fn is_tired(&self) -> bool {
        self.steps >= Self::STEPS_A_TURN
    }

    /// Notes how much of a packet has come without being whole. Large packets may take longer than Keep Alive, so every
    /// thousand bytes count as a sign of life.
    fn note_incomplete(&mut self, now: Instant, key: ConnectionKey, len: usize) -> Outcome {
        let has_memory = self.has_connection_memory();
        let connection = &mut self.connections[key as usize];
        if len == 0 {
            let noted = std::mem::take(&mut connection.incomplete);
            connection.charge.remove(noted as usize);
        } else if len >= connection.incomplete as usize + 1000 {
            connection.charge.add(len - connection.incomplete as usize);
            // No packet has more bytes than a u32 tells.
            connection.incomplete = len as u32;
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

    /// The first byte of a client that begins with a handshake of TLS (RFC 8446, section 5.1).
    const TLS_HANDSHAKE: u8 = 22;

    /// Bytes of an incomplete packet that are kept even where memory is short.
    const INCOMPLETE_ALLOWED: usize = 4 * 1024;

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
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(now, key, session, unsubscribe),
            Packet::PingReq => self.reply(key, &Packet::PingResp),
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

    /// Bytes that are no MQTT.
    fn malformed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        error: &mqtt::DecodeError,
        input: &[u8],
    ) {
        let connection = &self.connections[key as usize];
        if connection.phase == Phase::Connecting {
            self.refuse_malformed(now, key, error, input);
        } else {
            let reason = format!("{error} [{}]", error.statement());
            // What is wrong with the version of a second CONNECT, only CONNACK could say [MQTT-3.1.0-2].
            let code = match reason_code(error, input) {
                code if code.is_allowed_in(PacketType::Disconnect) => code,
                _ => ReasonCode::ProtocolError,
            };
            self.end(now, key, End::told(code, reason));
        }
    }

    /// When [`Engine::expire`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.replaying.is_empty() {
            true => self.deadlines.first(),
            false => Some(self.replaying_since),
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

    /// Bytes to write to a client, in one piece; there may be more behind it.
    pub(crate) fn outbox(&self, key: ConnectionKey) -> &[u8] {
        self.connections
            .get(key as usize)
            .map_or(&[], |connection| connection.outbox.pending())
    }

    /// All bytes to write to a client, if they lie in several pieces.
    pub(crate) fn pieces(&self, key: ConnectionKey) -> Option<impl Iterator<Item = &[u8]>> {
        let connection = self.connections.get(key as usize)?;
        let outbox = &connection.outbox;
        outbox.is_in_pieces().then(|| outbox.pieces())
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
            self.pump_later(now, session);
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
        let interval = self.limits.sys_interval;
        (self.limits, self.access) = (limits, access);
        if self.limits.sys_interval != interval {
            self.change_sys_interval(now);
        }
        if !keep {
            self.end_all(
                now,
                ReasonCode::AdministrativeAction,
                "who may connect has changed",
            );
        }
    }

    /// Appends a packet to the outbox of a connection. A client that can't take its answers can't be served
    /// [MQTT-3.1.2-24].
    fn reply(&mut self, key: ConnectionKey, packet: &Packet<'_>) -> Outcome {
        let connection = &mut self.connections[key as usize];
        let out = connection.outbox.append();
        let start = out.len();
        let encoded = packet.encode(connection.version, out);
        let len = out.len() - start;
        if encoded.is_err() || len > connection.max_packet_size as usize {
            connection.outbox.take_back(start);
            return Err(End::silent(
                "its Maximum Packet Size is too small for the answer",
            ));
        }
        connection.outbox.note_answer(len);
        self.stats.answers_sent += 1;
        self.touch(key);
        Ok(())
    }

    /// The properties of an answer that says why: a Reason String, unless the client wants none [MQTT-3.1.2-29] or the
    /// answer, which has `bare` bytes without properties, would become too large for it.
    fn reason(&self, key: ConnectionKey, bare: usize, words: &str) -> PropertiesBuffer {
        // Identifier and length of the string, and what the lengths of properties and packet may grow by.
        const AROUND: usize = 3 + 6;
        let connection = &self.connections[key as usize];
        let mut properties = PropertiesBuffer::new();
        if connection.version == Version::V5
            && connection.problem_information
            && bare + AROUND + words.len() <= connection.max_packet_size as usize
        {
            put(&mut properties, Property::ReasonString(words));
        }
        properties
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

/// The Reason Code for bytes that are no packet. What a client may never send is a Protocol Error whatever else is wrong
/// with it, flags apart; where the standard names no code, it is Mosquitto's.
fn reason_code(error: &mqtt::DecodeError, input: &[u8]) -> ReasonCode {
    match (input[0] >> 4, error) {
        (_, mqtt::DecodeError::FixedHeaderFlags(_)) => error.reason_code(), // [MQTT-2.1.3-1]
        // The answers of a server, and AUTH, which only one who has named a method may send.
        (2 | 9 | 11 | 13 | 15, _) => ReasonCode::ProtocolError,
        // PUBLISH and its acknowledgements.
        (3..=7, mqtt::DecodeError::PacketIdentifierZero) => ReasonCode::ProtocolError,
        _ => error.reason_code(),
    }
}
