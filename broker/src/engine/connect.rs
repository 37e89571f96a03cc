//! CONNECT: who is it, may it, and which Session is its own.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mqtt::{
    ConnAck, Connect, ConnectReturnCode, DecodeError, Packet, Properties, PropertiesBuffer,
    Property, QoS, ReasonCode, TopicName, Version,
};

use super::access::Credentials;
use super::aliases::SentAliases;
use super::connection::{ConnectionKey, Phase};
use super::deadlines::Due;
use super::frame::put;
use super::limits::Limits;
use super::message::{Message, Passing};
use super::session::{Session, SessionKey, Will};
use super::{End, Engine, Outcome};

/// Why CONNECT is refused: for a 5.0 client, for a 3.x client, and in words.
struct Refused(ReasonCode, ConnectReturnCode, Cow<'static, str>);

impl Engine {
    pub(super) fn connect(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        connect: &Connect<'_>,
    ) -> Outcome {
        self.stats.connects += 1;
        let connection = &mut self.connections[key as usize];
        connection.version = connect.version;
        connection.max_packet_size = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        // Whoever asks for nothing may have one too; it gets none, as Mosquitto sends none: there are clients and tests that
        // compare bytes.
        connection.problem_information =
            connect.properties.request_problem_information() == Some(true);
        if connect.will.is_some() {
            let address = self.connections[key as usize].address;
            self.make_room(now, address);
        }
        let assigned = match self.admit(key, connect) {
            Ok(assigned) => assigned,
            Err(Refused(reason, code, words)) => {
                let code = if connect.version == Version::V5 {
                    reason as u8
                } else {
                    code as u8
                };
                let bare = Packet::ConnAck(refusal(code)).encoded_len(connect.version);
                let properties = self.reason(key, bare, &words);
                let properties = properties.as_properties();
                // One that can't be told is refused for the same reason.
                let _ = self.reply(
                    key,
                    &Packet::ConnAck(ConnAck {
                        properties,
                        ..refusal(code)
                    }),
                );
                return Err(End::silent(words));
            }
        };
        let client_identifier = assigned.as_deref().unwrap_or(connect.client_identifier);
        let address = self.connections[key as usize].address;
        let (session, session_present) =
            self.take_session(now, client_identifier, address, connect);
        let keep_alive = self.start(now, key, session, connect);
        self.acknowledge(
            key,
            session,
            session_present,
            connect,
            keep_alive,
            assigned.as_deref(),
        )?;
        let client_identifier = &self.sessions[session as usize].client_identifier;
        let address = self.connections[key as usize].address;
        log::info!(
            "client {client_identifier:?} connected from {address} ({})",
            connect.version
        );
        self.pump(now, session);
        Ok(())
    }

    /// Whether the client may connect; a Client Identifier for one that has none.
    fn admit(&self, key: ConnectionKey, connect: &Connect<'_>) -> Result<Option<String>, Refused> {
        use ConnectReturnCode as V3;
        use ReasonCode as V5;
        if connect.properties.authentication_method().is_some() {
            // [MQTT-4.12.0-1]
            let words = "it asks for enhanced authentication, which this broker does not offer";
            return Err(Refused(
                V5::BadAuthenticationMethod,
                V3::NotAuthorized,
                words.into(),
            ));
        }
        let empty = connect.client_identifier.is_empty();
        // [MQTT-3.1.3-8] of 3.1.1; 3.1 knows no empty identifier at all.
        if empty
            && (connect.version == Version::V31
                || (connect.version == Version::V311 && !connect.clean_start))
        {
            let words = "empty client identifier without a clean session";
            return Err(Refused(
                V5::ClientIdentifierNotValid,
                V3::IdentifierRejected,
                words.into(),
            ));
        }
        if empty && !self.limits.allow_empty_client_id {
            let words = "empty client identifier, which the settings forbid";
            return Err(Refused(
                V5::ClientIdentifierNotValid,
                V3::IdentifierRejected,
                words.into(),
            ));
        }
        let max_keep_alive = self.limits.max_keep_alive;
        if connect.version != Version::V5
            && max_keep_alive < u16::MAX
            && (connect.keep_alive == 0 || connect.keep_alive > max_keep_alive)
        {
            // It can't be told of another one; Mosquitto answers so.
            let words = "its Keep Alive is longer than MAX_KEEP_ALIVE";
            return Err(Refused(
                V5::ImplementationSpecificError,
                V3::IdentifierRejected,
                words.into(),
            ));
        }
        let connection = &self.connections[key as usize];
        let credentials = Credentials {
            username: connect.username,
            password: connect.password,
            common_name: connection.common_name.as_deref(),
        };
        if let Err(denied) = self.access.admit(&credentials) {
            // Mosquitto answers 5, not 4, to wrong credentials; clients know it so.
            return Err(Refused(
                V5::NotAuthorized,
                V3::NotAuthorized,
                denied.to_string().into(),
            ));
        }
        if let Some(will) = &connect.will {
            if will.qos > self.limits.max_qos {
                let words = "its Will Message has a QoS above MAX_QOS"; // [MQTT-3.2.2-12]
                return Err(Refused(
                    V5::QoSNotSupported,
                    V3::NotAuthorized,
                    words.into(),
                ));
            }
            if will.retain && !self.limits.retain_available {
                let words = "its Will Message is to be retained, which the settings forbid"; // [MQTT-3.2.2-13]
                return Err(Refused(
                    V5::RetainNotSupported,
                    V3::NotAuthorized,
                    words.into(),
                ));
            }
            if !self.limits.allow_topic(will.topic.as_str()) {
                let words = "the topic of its Will Message is too long or too deep (MAX_TOPIC_LENGTH, MAX_TOPIC_LEVELS)";
                return Err(Refused(
                    V5::TopicNameInvalid,
                    V3::NotAuthorized,
                    words.into(),
                ));
            }
            if claims_text(&will.properties) && std::str::from_utf8(will.payload).is_err() {
                let words = "its Will Message is not the UTF-8 text that it says it is";
                return Err(Refused(
                    V5::PayloadFormatInvalid,
                    V3::NotAuthorized,
                    words.into(),
                ));
            }
            if !self.has_memory_for(will.payload.len() + will.properties.bytes().len()) {
                let words = "no memory for its Will Message (MAX_MEMORY)";
                return Err(Refused(
                    V5::QuotaExceeded,
                    V3::ServerUnavailable,
                    words.into(),
                ));
            }
        }
        let replaces = self
            .find_session(connect.client_identifier)
            .is_some_and(|session| self.sessions[session as usize].connection.is_some());
        if !replaces
            && self
                .limits
                .max_clients
                .is_some_and(|max| self.clients >= max)
        {
            let words = "no more clients may be connected at a time (MAX_CLIENTS)";
            return Err(Refused(
                V5::QuotaExceeded,
                V3::ServerUnavailable,
                words.into(),
            ));
        }
        if !empty {
            return Ok(None);
        }
        // [MQTT-3.2.2-16]: one that no session uses; 128 random bits do not meet twice.
        let mut random = [0; 16];
        if getrandom::fill(&mut random).is_err() {
            let words = "no random numbers from the system for a client identifier";
            return Err(Refused(
                V5::ServerUnavailable,
                V3::ServerUnavailable,
                words.into(),
            ));
        }
        // Of the same form as Mosquitto's.
        let hex = format!("{:032X}", u128::from_be_bytes(random));
        let (a, b, c, d, e) = (
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        );
        Ok(Some(format!("auto-{a}-{b}-{c}-{d}-{e}")))
    }

    /// Resumes or makes the Session [MQTT-3.1.2-4] to [MQTT-3.1.2-6]. A connection that has it loses it
    /// [MQTT-3.1.4-3].
    fn take_session(
        &mut self,
        now: Instant,
        client_identifier: &str,
        address: IpAddr,
        connect: &Connect<'_>,
    ) -> (SessionKey, bool) {
        if let Some(key) = self.find_session(client_identifier) {
            let session = &mut self.sessions[key as usize];
            if let Some(other) = session.connection {
                if connect.clean_start {
                    // The old session ends now, and its Will Message is not delayed.
                    session.expiry = 0;
                }
                self.end(
                    now,
                    other,
                    End::told(
                        ReasonCode::SessionTakenOver,
                        "another client took over its session",
                    ),
                );
            } else if connect.clean_start {
                self.end_session(now, key);
            }
        }
        if let Some(key) = self.find_session(client_identifier) {
            return (key, true);
        }
        self.make_room(now, address);
        let session = Session::new(client_identifier, &self.account);
        let key = self.sessions.insert(session) as SessionKey;
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        self.identifiers
            .insert_unique(hasher.hash_one(client_identifier), key, |&key| {
                hasher.hash_one(&*sessions[key as usize].client_identifier)
            });
        (key, false)
    }

    /// Ends sessions without a connection while there are too many, or no memory is left: empty ones first, then those
    /// that were last used from the address of the newcomer, then those that would end first.
    fn make_room(&mut self, now: Instant, address: IpAddr) {
        while self
            .limits
            .max_sessions()
            .is_some_and(|max| self.sessions.len() >= max)
            || !self.has_memory_for(0)
        {
            let absent = self
                .sessions
                .iter()
                .filter(|(_, session)| session.connection.is_none());
            let first = absent.min_by_key(|(_, session)| {
                let holds_something =
                    !session.subscriptions.is_empty() || !session.queue.is_empty();
                let absence = session.absence.as_deref();
                let ends_at = absence.and_then(|absence| absence.ends_at);
                (
                    holds_something,
                    absence.is_none_or(|absence| absence.address != address),
                    ends_at.is_none(),
                    ends_at,
                )
            });
            let Some(key) = first.map(|(key, _)| key as SessionKey) else {
                return;
            };
            self.evicted += 1;
            // A line when it begins, and whenever the number has doubled.
            if self.evicted.is_power_of_two() {
                log::warn!(
                    "{} sessions ended early so far to make room, the last of client {:?}",
                    self.evicted,
                    self.sessions[key as usize].client_identifier,
                );
            }
            self.end_session(now, key);
        }
    }

    /// Joins connection and session under the terms of this CONNECT. Returns the Keep Alive in force, in seconds.
    fn start(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session_key: SessionKey,
        connect: &Connect<'_>,
    ) -> u16 {
        let properties = connect.properties;
        let keep_alive = match (
            connect.version,
            connect.keep_alive,
            self.limits.max_keep_alive,
        ) {
            // Only a 5.0 client can be told of another one [MQTT-3.1.2-21].
            (Version::V5, 0, max) if max < u16::MAX => max,
            (Version::V5, wanted, max) => wanted.min(max),
            (_, wanted, _) => wanted,
        };
        let connection = &mut self.connections[key as usize];
        connection.phase = Phase::Connected;
        connection.promise = self.limits.promise();
        connection.session = Some(session_key);
        connection.keep_alive = keep_alive;
        connection.sent_aliases = SentAliases::new(
            properties
                .topic_alias_maximum()
                .unwrap_or(0)
                .min(connection.promise.max_topic_alias),
        );
        let at = connection.silent_until();
        self.deadlines
            .set(Due::Connection(key), &mut connection.deadline, at);
        self.clients += 1;
        self.stats.max_clients = self.stats.max_clients.max(self.clients);

        let expiry = match connect.version {
            Version::V5 => properties.session_expiry_interval().unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        let will = connect.will.as_ref().map(|will| {
            let mut passed_on = PropertiesBuffer::new();
            for property in will.properties.iter() {
                match property {
                    Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_) => {}
                    property => put(&mut passed_on, property),
                }
            }
            let lifetime = will.properties.message_expiry_interval();
            let passing = Passing {
                topic: will.topic.as_str(),
                payload: will.payload,
                properties: passed_on.as_properties(),
                qos: will.qos,
                retain: will.retain,
                lifetime: None,
            };
            Box::new(Will {
                message: Message::store(&passing, now, &self.account),
                delay: self
                    .limits
                    .will_delay(will.properties.will_delay_interval().unwrap_or(0)),
                lifetime: lifetime.map(|seconds| Duration::from_secs(seconds.into())),
            })
        });
        self.come_back(session_key); // [MQTT-3.1.3-9]
        let session = &mut self.sessions[session_key as usize];
        session.connection = Some(key);
        session.expiry = self.limits.session_expiry(expiry);
        session.will = will;
        let window = properties.receive_maximum().unwrap_or(u16::MAX);
        session.window.resume(self.limits.max_inflight.min(window));
        self.note_arrival(now, session_key);
        keep_alive
    }

    fn acknowledge(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        session_present: bool,
        connect: &Connect<'_>,
        keep_alive: u16,
        assigned: Option<&str>,
    ) -> Outcome {
        let mut properties = PropertiesBuffer::new();
        if connect.version == Version::V5 {
            let limits = &self.limits;
            // In the order in which Mosquitto sends them: there are clients and tests that compare bytes.
            if keep_alive != connect.keep_alive {
                put(&mut properties, Property::ServerKeepAlive(keep_alive));
            }
            if limits.max_topic_alias > 0 {
                put(
                    &mut properties,
                    Property::TopicAliasMaximum(limits.max_topic_alias),
                );
            }
            if let Some(assigned) = assigned {
                put(
                    &mut properties,
                    Property::AssignedClientIdentifier(assigned),
                );
            }
            if !limits.retain_available {
                put(&mut properties, Property::RetainAvailable(false));
            }
            if limits.max_packet_size < Limits::LARGEST_PACKET {
                put(
                    &mut properties,
                    Property::MaximumPacketSize(limits.max_packet_size),
                );
            }
            if limits.max_inflight < u16::MAX {
                put(
                    &mut properties,
                    Property::ReceiveMaximum(limits.max_inflight),
                );
            }
            if limits.max_qos < QoS::ExactlyOnce {
                put(&mut properties, Property::MaximumQoS(limits.max_qos as u8));
            }
            let expiry = self.sessions[session as usize].expiry;
            if connect.properties.session_expiry_interval().unwrap_or(0) != expiry {
                put(&mut properties, Property::SessionExpiryInterval(expiry));
            }
            if connect.properties.request_response_information() == Some(true) {
                // A part of the topic tree for answers to this client; none where its identifier can't be in a topic.
                let client_identifier = &self.sessions[session as usize].client_identifier;
                let topic = format!("response/{client_identifier}");
                if TopicName::new(&topic).is_ok() {
                    put(&mut properties, Property::ResponseInformation(&topic));
                }
            }
        }
        let properties = properties.as_properties();
        self.reply(
            key,
            &Packet::ConnAck(ConnAck {
                session_present,
                code: 0,
                properties,
            }),
        )
    }

    /// A first packet that is no CONNECT the broker can read. A client of another version is told so
    /// [MQTT-3.1.2-2], and a 5.0 client what is wrong [MQTT-3.1.4-1]; the rest is closed without a word, as the same
    /// statement of 3.1.1 asks.
    pub(super) fn refuse_malformed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        error: &DecodeError,
        input: &[u8],
    ) {
        let words = format!("no valid CONNECT: {error}");
        if Connect::claimed_version(input) == Some(Version::V5) {
            self.connections[key as usize].version = Version::V5;
            let code = error.reason_code() as u8;
            let _ = self.reply(key, &Packet::ConnAck(refusal(code)));
        } else if matches!(error, DecodeError::UnsupportedProtocolVersion(_)) {
            // The level is unknown, so is the form of the answer: return code 1 is what every version can read.
            let code = ConnectReturnCode::UnacceptableProtocolVersion as u8;
            // Nothing is known that could stand against it.
            let _ = self.reply(key, &Packet::ConnAck(refusal(code)));
        }
        self.end(now, key, End::silent(words));
    }
}

/// [MQTT-3.2.2-6]
fn refusal(code: u8) -> ConnAck<'static> {
    ConnAck {
        session_present: false,
        code,
        properties: Properties::EMPTY,
    }
}

/// Whether a message says of itself that it is UTF-8 text [MQTT 5.0, 3.3.2.3.2].
pub(super) fn claims_text(properties: &Properties<'_>) -> bool {
    properties.payload_format_indicator() == Some(1)
}

/// `$SYS` is the broker's own, but for what the bridge of a Mosquitto tells of itself there, by its will too; a share
/// name is no topic.
pub(super) fn may_publish_to(topic: &str) -> bool {
    if !topic.starts_with('$') {
        return true;
    }
    let mut levels = topic.split('/');
    match levels.next() {
        Some("$SYS") => {
            let bridge = [levels.next(), levels.next(), levels.nth(1), levels.next()];
            bridge == [Some("broker"), Some("connection"), Some("state"), None]
        }
        first => first != Some("$share"),
    }
}
