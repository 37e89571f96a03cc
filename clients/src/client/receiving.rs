//! What comes from the Server, and what the Client answers by itself.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, AckType, ConnAck, DecodeError, Packet, PacketIdentifier, Publish, QoS, ReasonCode,
    TopicName, Version, decode,
};

use super::in_flight::Stage;
use super::{Client, Limits, State};
use crate::exit::Refusal;

/// What a packet means for the tool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Nothing.
    None,
    /// The Server has accepted the connection.
    Connected,
    /// The Server has refused it.
    Refused(Refusal),
    /// An Application Message, to be acknowledged with [`Client::acknowledge`].
    Message(Received<'a>),
    /// A message of ours is delivered, or is not and will not be.
    Published {
        /// Its Packet Identifier.
        identifier: u16,
        /// What the Server says; `Success` in 3.x.
        reason: ReasonCode,
        /// The same in the Server's words.
        text: Option<&'a str>,
    },
    /// The answer to SUBSCRIBE.
    Subscribed {
        /// The Packet Identifier.
        identifier: PacketIdentifier,
        /// A code for each filter: the QoS, or an error from 0x80 on.
        codes: &'a [u8],
    },
    /// The answer to UNSUBSCRIBE.
    Unsubscribed(PacketIdentifier),
    /// The Server has sent DISCONNECT.
    Disconnected(ReasonCode),
}

/// An Application Message from the Server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    packet: Publish<'a>,
    /// The Topic Name, whatever Topic Alias stood for it.
    topic: Cow<'a, str>,
}

impl Received<'_> {
    /// The message, with its Topic Name in any case.
    pub(crate) fn message(&self) -> Publish<'_> {
        Publish {
            topic: Some(TopicName::from_valid(&self.topic)),
            ..self.packet
        }
    }

    /// The Topic Name.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }
}

/// The Server sent what no Server may send; the Reason Code tells it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) ReasonCode);

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Violation {
        Violation(error.reason_code())
    }
}

/// A packet that is legal in itself, but not here.
const OUT_OF_PLACE: Violation = Violation(ReasonCode::ProtocolError);

impl Client {
    /// Takes the packet at the start of `input`, and tells how many bytes it has and what it means. None: there is no
    /// whole packet. After the end nothing that comes means anything.
    ///
    /// # Errors
    /// No Server may send this; the connection is to be closed when the outbox is sent.
    pub(crate) fn receive<'a>(
        &mut self,
        input: &'a [u8],
        now: Instant,
    ) -> Result<Option<(usize, Event<'a>)>, Violation> {
        if self.state == State::Ended {
            return Ok((!input.is_empty()).then_some((input.len(), Event::None)));
        }
        let result = self.take(input, now);
        if let Err(error) = result {
            // A 3.x Client closes without a word, and one that has not heard CONNACK too.
            match self.state {
                State::Online if self.start.version == Version::V5 => {
                    self.disconnect(error.0);
                }
                _ => self.state = State::Ended,
            }
        }
        result
    }

    fn take<'a>(
        &mut self,
        input: &'a [u8],
        now: Instant,
    ) -> Result<Option<(usize, Event<'a>)>, Violation> {
        let version = self.start.version;
        let decoded = decode(input, version, self.start.maximum_packet_size);
        let (packet, len) = match decoded {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return Ok(None),
            // A code that the version does not have is a refusal nevertheless.
            Err(DecodeError::ReasonCode(code)) if self.state == State::Connecting => {
                return Ok(Some((input.len(), self.refused(code))));
            }
            Err(error) => return Err(error.into()),
        };
        self.last_received = now;
        let event = match (self.state, packet) {
            (State::Connecting, Packet::ConnAck(packet)) => self.connack(&packet, now),
            (State::Connecting | State::Online, Packet::Disconnect(packet))
                if version == Version::V5 =>
            {
                self.trace.remark(format_args!(
                    "Received DISCONNECT ({})",
                    packet.reason as u8
                ));
                self.state = State::Ended;
                Event::Disconnected(packet.reason)
            }
            (State::Online, Packet::Publish(packet)) => self.message(&packet)?,
            (State::Online, Packet::PubAck(packet)) => self.puback(&packet)?,
            (State::Online, Packet::PubRec(packet)) => self.pubrec(&packet)?,
            (State::Online, Packet::PubRel(packet)) => self.pubrel(&packet),
            (State::Online, Packet::PubComp(packet)) => self.pubcomp(&packet)?,
            (State::Online, Packet::SubAck(packet)) => {
                self.trace.note(format_args!("received SUBACK"));
                Event::Subscribed {
                    identifier: packet.packet_identifier,
                    codes: packet.codes,
                }
            }
            (State::Online, Packet::UnsubAck(packet)) => {
                self.trace.note(format_args!("received UNSUBACK"));
                Event::Unsubscribed(packet.packet_identifier)
            }
            (State::Online, Packet::PingResp) => {
                self.trace.note(format_args!("received PINGRESP"));
                self.pinged = None;
                Event::None
            }
            (_, Packet::Auth(_)) => {
                // Nothing here can answer it.
                self.trace.note(format_args!("received AUTH"));
                return Err(OUT_OF_PLACE);
            }
            _ => return Err(OUT_OF_PLACE),
        };
        Ok(Some((len, event)))
    }

    fn connack<'a>(&mut self, packet: &ConnAck<'a>, now: Instant) -> Event<'a> {
        let properties = packet.properties;
        if let Some(assigned) = properties.assigned_client_identifier() {
            self.trace.name(assigned);
        }
        if packet.code != 0 {
            return self.refused(packet.code);
        }
        self.trace.note(format_args!("received CONNACK (0)"));
        self.limits = Limits::of(properties);
        if let Some(seconds) = properties.server_keep_alive() {
            self.keep_alive = Duration::from_secs(seconds.into());
        }
        self.state = State::Online;
        self.was_online = true;
        self.last_received = now;
        // 3.1 does not tell whether the Server had a Session.
        let has_session = packet.session_present || self.start.version == Version::V31;
        if self.start.clean_start || !has_session {
            self.unreleased.clear();
        }
        self.send_again();
        Event::Connected
    }

    fn refused(&mut self, code: u8) -> Event<'static> {
        self.trace.note(format_args!("received CONNACK ({code})"));
        self.state = State::Ended;
        Event::Refused(match self.start.version {
            // In its own way, by a broker of 3.x.
            Version::V5 if code == 1 => {
                Refusal::ReasonCode(ReasonCode::UnsupportedProtocolVersion as u8)
            }
            Version::V5 => Refusal::ReasonCode(code),
            Version::V31 | Version::V311 => Refusal::ReturnCode(code),
        })
    }

    /// Sends again what no acknowledgement came for [MQTT-4.4.0-1], whether or not the Server kept the Session: if it did
    /// not, the messages are new to it.
    fn send_again(&mut self) {
        let again: Vec<_> = self
            .in_flight
            .sent()
            .map(|delivery| {
                let (message, payload) = (delivery.message.clone(), delivery.payload.clone());
                (delivery.identifier, message, payload, delivery.stage)
            })
            .collect();
        for (identifier, message, payload, stage) in again {
            let sent = match stage {
                Stage::Released => {
                    self.send_ack(AckType::PubRel, identifier, ReasonCode::Success);
                    Ok(())
                }
                _ => self.send_publish(&message, &payload, identifier, true),
            };
            if sent.is_err() {
                // The Server takes less than it did before.
                self.in_flight.remove(identifier);
            }
        }
        self.send_waiting();
    }

    /// Sends the messages that waited for room in the window.
    fn send_waiting(&mut self) {
        let window = self.window();
        while let Some(delivery) = self.in_flight.next(window) {
            let identifier = delivery.identifier;
            let (message, payload) = (delivery.message.clone(), delivery.payload.clone());
            if self
                .send_publish(&message, &payload, identifier, false)
                .is_err()
            {
                self.in_flight.remove(identifier);
            }
        }
    }

    // --- messages from the Server

    fn message<'a>(&mut self, packet: &Publish<'a>) -> Result<Event<'a>, Violation> {
        let identifier = packet.packet_identifier.map_or(0, PacketIdentifier::get);
        self.trace
            .publish("received", packet, identifier, packet.payload.len());
        let topic = self.topic(packet)?;
        if let (QoS::ExactlyOnce, Some(identifier)) = (packet.qos, packet.packet_identifier)
            && self.unreleased.contains(&identifier)
        {
            // It is known already [MQTT-4.3.3-10].
            self.send_ack(AckType::PubRec, identifier, ReasonCode::Success);
            return Ok(Event::None);
        }
        Ok(Event::Message(Received {
            packet: *packet,
            topic,
        }))
    }

    /// The Topic Name, by its alias if need be (MQTT 5.0 section 3.3.2.3.4).
    fn topic<'a>(&mut self, packet: &Publish<'a>) -> Result<Cow<'a, str>, Violation> {
        let Some(alias) = packet.properties.topic_alias() else {
            let topic = packet.topic.ok_or(OUT_OF_PLACE)?;
            return Ok(Cow::Borrowed(topic.as_str()));
        };
        if alias > self.start.topic_alias_maximum {
            return Err(Violation(ReasonCode::TopicAliasInvalid));
        }
        let at = usize::from(alias - 1);
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        match packet.topic {
            Some(topic) => {
                self.aliases[at] = Some(topic.as_str().to_string());
                Ok(Cow::Borrowed(topic.as_str()))
            }
            None => {
                let topic = self.aliases[at].clone();
                topic.map(Cow::Owned).ok_or(OUT_OF_PLACE)
            }
        }
    }

    /// Acknowledges a message: it is printed.
    pub(crate) fn acknowledge(&mut self, message: &Received<'_>) {
        let Some(identifier) = message.packet.packet_identifier else {
            return;
        };
        if message.packet.qos == QoS::ExactlyOnce {
            self.unreleased.push(identifier);
            self.send_ack(AckType::PubRec, identifier, ReasonCode::Success);
        } else {
            self.send_ack(AckType::PubAck, identifier, ReasonCode::Success);
        }
    }

    fn pubrel(&mut self, packet: &Ack<'_>) -> Event<'static> {
        let identifier = packet.packet_identifier;
        self.trace
            .note(format_args!("received PUBREL (Mid: {identifier})"));
        let known = self
            .unreleased
            .iter()
            .position(|unreleased| *unreleased == identifier);
        let reason = match known {
            Some(at) => {
                self.unreleased.swap_remove(at);
                ReasonCode::Success
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.send_ack(AckType::PubComp, identifier, reason);
        Event::None
    }

    // --- acknowledgements of our messages

    fn puback<'a>(&mut self, packet: &Ack<'a>) -> Result<Event<'a>, Violation> {
        self.note_ack("PUBACK", packet);
        self.finish(packet, QoS::AtLeastOnce, Stage::Published)
    }

    fn pubrec<'a>(&mut self, packet: &Ack<'a>) -> Result<Event<'a>, Violation> {
        let identifier = packet.packet_identifier;
        self.trace
            .note(format_args!("received PUBREC (Mid: {identifier})"));
        if packet.reason.is_error() {
            return self.finish(packet, QoS::ExactlyOnce, Stage::Published);
        }
        let reason = match self.in_flight.get(identifier) {
            Some(delivery) if delivery.message.qos == QoS::ExactlyOnce => {
                delivery.stage = Stage::Released;
                // It is the Server's from here on [MQTT-4.3.3-4].
                delivery.payload = crate::outbox::Payload::empty();
                ReasonCode::Success
            }
            Some(_) => return Err(OUT_OF_PLACE),
            None => {
                let client = self.trace.name_of_client();
                self.trace.remark(format_args!(
                    "Warning: Received PUBREC from {client} for an unknown packet identifier {identifier}."
                ));
                ReasonCode::PacketIdentifierNotFound
            }
        };
        self.send_ack(AckType::PubRel, identifier, reason);
        Ok(Event::None)
    }

    fn pubcomp<'a>(&mut self, packet: &Ack<'a>) -> Result<Event<'a>, Violation> {
        self.note_ack("PUBCOMP", packet);
        self.finish(packet, QoS::ExactlyOnce, Stage::Released)
    }

    fn note_ack(&mut self, name: &str, packet: &Ack<'_>) {
        self.trace.note(format_args!(
            "received {name} (Mid: {}, RC:{})",
            packet.packet_identifier, packet.reason as u8
        ));
    }

    /// The end of a delivery, unless it is none of ours. Another answer than its QoS has is an error.
    fn finish<'a>(
        &mut self,
        packet: &Ack<'a>,
        qos: QoS,
        stage: Stage,
    ) -> Result<Event<'a>, Violation> {
        let identifier = packet.packet_identifier;
        match self.in_flight.get(identifier) {
            None => return Ok(Event::None),
            Some(delivery) if delivery.message.qos != qos => {
                return Err(OUT_OF_PLACE);
            }
            // A late answer to what was sent before the connection broke.
            Some(delivery) if delivery.stage != stage => return Ok(Event::None),
            Some(_) => {}
        }
        self.in_flight.remove(identifier);
        self.send_waiting();
        Ok(Event::Published {
            identifier: identifier.get(),
            reason: packet.reason,
            text: packet.properties.reason_string(),
        })
    }

    fn send_ack(&mut self, ack: AckType, identifier: PacketIdentifier, reason: ReasonCode) {
        let code = reason as u8;
        match ack {
            AckType::PubAck => self
                .trace
                .note(format_args!("sending PUBACK (m{identifier}, rc{code})")),
            AckType::PubRec => self
                .trace
                .note(format_args!("sending PUBREC (m{identifier}, rc{code})")),
            AckType::PubRel => self
                .trace
                .note(format_args!("sending PUBREL (m{identifier})")),
            AckType::PubComp => self
                .trace
                .note(format_args!("sending PUBCOMP (m{identifier})")),
        }
        let packet = Ack {
            reason,
            ..Ack::new(identifier)
        };
        // A code of the packet's own list, and no properties: it cannot fail.
        let _ = packet.encode(ack, self.start.version, self.outbox.bytes());
    }
}
