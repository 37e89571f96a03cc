//! The Client of MQTT without I/O: bytes in, events out, and what is to be sent in the [`Outbox`].
//!
//! It holds the Session State of the Client's side (MQTT 5.0 section 4.1): the messages that are not acknowledged yet, and
//! the Packet Identifiers of received messages of QoS 2 that the Server has not released. Both outlive a Network
//! Connection; whether there is another one is its caller's to say.

mod in_flight;
mod receiving;
mod trace;

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use mqtt::{
    Disconnect, EncodeError, FiltersBuffer, Packet, PacketIdentifier, Properties, PropertiesBuffer,
    ReasonCode, SubscriptionOptions, TopicFilter, UnsubscribeFiltersBuffer, Version,
};

use crate::outbox::{Outbox, Payload};
use in_flight::InFlight;
pub(crate) use in_flight::Message;
pub(crate) use receiving::{Event, Received};
use trace::Trace;

/// How long CONNACK may take where Keep Alive does not say it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a Client is told before it connects.
#[derive(Debug)]
pub(crate) struct Start {
    /// The protocol version.
    pub(crate) version: Version,
    /// The packet CONNECT, encoded.
    pub(crate) connect: Vec<u8>,
    /// Whether that asks for a Session without past.
    pub(crate) clean_start: bool,
    /// The Client Identifier in it, as far as there is one.
    pub(crate) client_identifier: String,
    /// Keep Alive; zero is none.
    pub(crate) keep_alive: Duration,
    /// The most messages of QoS 1 and 2 that wait for an acknowledgement at a time.
    pub(crate) max_in_flight: NonZeroU16,
    /// The Maximum Packet Size that CONNECT states, in bytes.
    pub(crate) maximum_packet_size: u32,
    /// The Topic Alias Maximum that CONNECT states.
    pub(crate) topic_alias_maximum: u16,
    /// The properties of DISCONNECT.
    pub(crate) disconnect: PropertiesBuffer,
    /// Whether to write down every packet (`-d`).
    pub(crate) traces: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no Network Connection.
    Offline,
    /// CONNECT is sent.
    Connecting,
    /// CONNACK has come.
    Online,
    /// DISCONNECT is sent, or has come.
    Ended,
}

/// What the Server allows, as its CONNACK said (MQTT 5.0 section 3.2.2.3).
#[derive(Clone, Copy, Debug)]
struct Limits {
    receive_maximum: u16,
    maximum_qos: u8,
    retain_available: bool,
    maximum_packet_size: u32,
    topic_alias_maximum: u16,
}

impl Limits {
    /// Those of a Server that says nothing.
    const NONE: Limits = Limits {
        receive_maximum: u16::MAX,
        maximum_qos: 2,
        retain_available: true,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
    };

    fn of(properties: Properties<'_>) -> Limits {
        Limits {
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            maximum_qos: properties.maximum_qos().unwrap_or(2),
            retain_available: properties.retain_available().unwrap_or(true),
            maximum_packet_size: properties.maximum_packet_size().unwrap_or(u32::MAX),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
        }
    }
}

/// A Client.
#[derive(Debug)]
pub(crate) struct Client {
    start: Start,
    state: State,
    /// A CONNACK has come in this Network Connection or one before it.
    was_online: bool,
    limits: Limits,
    keep_alive: Duration,
    outbox: Outbox,
    trace: Trace,
    /// The last Packet Identifier given out.
    last_identifier: u16,
    in_flight: InFlight,
    /// Received of QoS 2, answered with PUBREC, and not released.
    unreleased: Vec<PacketIdentifier>,
    /// The Topic Names that the Server has given aliases, from alias 1 on.
    aliases: Vec<Option<String>>,
    /// The Topic Alias of ours that the Server knows.
    announced: Option<u16>,
    last_sent: Instant,
    last_received: Instant,
    pinged: Option<Instant>,
}

/// The Server did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent;

impl Client {
    /// A Client that has not connected yet.
    pub(crate) fn new(start: Start, now: Instant) -> Client {
        Client {
            state: State::Offline,
            was_online: false,
            limits: Limits::NONE,
            keep_alive: start.keep_alive,
            outbox: Outbox::default(),
            trace: Trace::new(start.traces, &start.client_identifier),
            last_identifier: 0,
            in_flight: InFlight::default(),
            unreleased: Vec::new(),
            aliases: Vec::new(),
            announced: None,
            last_sent: now,
            last_received: now,
            pinged: None,
            start,
        }
    }

    /// Begins a Network Connection: CONNECT is to be sent.
    pub(crate) fn connect(&mut self, now: Instant) {
        self.outbox.clear();
        self.aliases.clear();
        self.announced = None;
        self.limits = Limits::NONE;
        self.keep_alive = self.start.keep_alive;
        self.state = State::Connecting;
        (self.last_sent, self.last_received, self.pinged) = (now, now, None);
        self.trace.note(format_args!("sending CONNECT"));
        self.outbox.bytes().extend_from_slice(&self.start.connect);
    }

    /// The Network Connection has ended. What is not acknowledged is sent again in the next one.
    pub(crate) fn lost(&mut self) {
        self.state = State::Offline;
        self.outbox.clear();
    }

    /// What is to be sent.
    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// What was written down since the last call, in whole lines.
    pub(crate) fn take_trace(&mut self) -> String {
        self.trace.take()
    }

    /// Whether CONNACK has come and no DISCONNECT.
    pub(crate) fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// Whether a Server has ever accepted this Client.
    pub(crate) fn was_online(&self) -> bool {
        self.was_online
    }

    /// Whether the Server is asked to keep the Session beyond this Network Connection.
    pub(crate) fn keeps_session(&self) -> bool {
        !self.start.clean_start
    }

    /// Whether all messages are acknowledged.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether all received messages of QoS 2 that were acknowledged are released too.
    pub(crate) fn is_released(&self) -> bool {
        self.unreleased.is_empty()
    }

    /// Whether another message would be sent at once and not only be kept.
    pub(crate) fn has_room(&self) -> bool {
        self.is_online() && !self.outbox.is_full() && self.in_flight.has_room(self.window())
    }

    /// How many messages may wait for an acknowledgement [MQTT-3.3.4-7].
    fn window(&self) -> usize {
        let most = self.start.max_in_flight.get();
        usize::from(most.min(self.limits.receive_maximum))
    }

    /// Publishes a message, now or when there is room for it; returns its number, for messages of QoS 1 and 2 the Packet
    /// Identifier. An [`Event::Published`] of that number tells of its acknowledgement.
    ///
    /// # Errors
    /// The message is not one that this Server takes.
    pub(crate) fn publish(
        &mut self,
        message: &std::rc::Rc<Message>,
        payload: Payload,
    ) -> Result<u16, Unsendable> {
        if message.qos as u8 > self.limits.maximum_qos {
            return Err(Unsendable::QoS);
        }
        let identifier = self.next_identifier();
        if message.qos == mqtt::QoS::AtMostOnce {
            self.send_publish(message, &payload, identifier, false)?;
        } else {
            let window = self.window();
            let is_sent = self.is_online() && self.in_flight.has_room(window);
            if is_sent {
                self.send_publish(message, &payload, identifier, false)?;
            }
            self.in_flight
                .push(identifier, message.clone(), payload, is_sent);
        }
        Ok(identifier.get())
    }

    /// Appends a PUBLISH.
    fn send_publish(
        &mut self,
        message: &Message,
        payload: &Payload,
        identifier: PacketIdentifier,
        dup: bool,
    ) -> Result<(), Unsendable> {
        let alias = message
            .alias
            .filter(|alias| *alias <= self.limits.topic_alias_maximum);
        let is_known = alias.is_some() && self.announced == alias && !dup;
        let packet = mqtt::Publish {
            dup,
            qos: message.qos,
            // [MQTT-3.2.2-14]
            retain: message.retain && self.limits.retain_available,
            topic: match is_known {
                true => None,
                false => Some(mqtt::TopicName::from_valid(&message.topic)),
            },
            packet_identifier: (message.qos != mqtt::QoS::AtMostOnce).then_some(identifier),
            properties: match alias {
                Some(_) => message.properties.as_properties(),
                None => message.without_alias.as_properties(),
            },
            payload: payload.copied().unwrap_or_default(),
        };
        let version = self.start.version;
        let out = self.outbox.bytes();
        let before = out.len();
        let elsewhere = match payload.copied() {
            Some(_) => {
                packet.encode(version, out)?;
                0
            }
            None => {
                packet.encode_header(payload.len(), version, out)?;
                payload.len()
            }
        };
        if (out.len() - before + elsewhere) as u64 > u64::from(self.limits.maximum_packet_size) {
            out.truncate(before);
            return Err(Unsendable::Size);
        }
        if elsewhere > 0 {
            self.outbox.append(payload.clone());
        }
        self.trace
            .publish("sending", &packet, identifier.get(), payload.len());
        if let Some(alias) = alias {
            self.announced = Some(alias);
        }
        Ok(())
    }

    /// Subscribes, all filters in one packet.
    ///
    /// # Errors
    /// They are too many or too long for a packet.
    pub(crate) fn subscribe(
        &mut self,
        filters: &[String],
        options: SubscriptionOptions,
        properties: &PropertiesBuffer,
    ) -> Result<PacketIdentifier, EncodeError> {
        let identifier = self.next_identifier();
        let mut buffer = FiltersBuffer::new();
        for filter in filters {
            buffer.push(TopicFilter::from_valid(filter), options)?;
        }
        let packet = Packet::Subscribe(mqtt::Subscribe {
            packet_identifier: identifier,
            properties: properties.as_properties(),
            filters: buffer.as_filters(),
        });
        packet.encode(self.start.version, self.outbox.bytes())?;
        for filter in filters {
            self.trace
                .subscribe(identifier, filter, options, self.start.version);
        }
        Ok(identifier)
    }

    /// Unsubscribes.
    ///
    /// # Errors
    /// The filter is too long for a packet.
    pub(crate) fn unsubscribe(
        &mut self,
        filter: &str,
        properties: &PropertiesBuffer,
    ) -> Result<PacketIdentifier, EncodeError> {
        let identifier = self.next_identifier();
        let mut buffer = UnsubscribeFiltersBuffer::new();
        buffer.push(TopicFilter::from_valid(filter))?;
        let packet = Packet::Unsubscribe(mqtt::Unsubscribe {
            packet_identifier: identifier,
            properties: properties.as_properties(),
            filters: buffer.as_filters(),
        });
        packet.encode(self.start.version, self.outbox.bytes())?;
        self.trace.note(format_args!(
            "sending UNSUBSCRIBE (Mid: {identifier}, Topic: {filter})"
        ));
        Ok(identifier)
    }

    /// Ends the connection; nothing more is sent or looked at.
    pub(crate) fn disconnect(&mut self, reason: ReasonCode) {
        if !matches!(self.state, State::Online | State::Connecting) {
            return;
        }
        self.state = State::Ended;
        self.trace.note(format_args!("sending DISCONNECT"));
        let packet = Packet::Disconnect(Disconnect {
            reason,
            properties: self.start.disconnect.as_properties(),
        });
        // Its properties were checked with the options; without them it is legal in any case.
        let version = self.start.version;
        let out = self.outbox.bytes();
        if packet.encode(version, out).is_err() {
            let _ = Packet::Disconnect(Disconnect::new(reason)).encode(version, out);
        }
    }

    /// The next identifier that nothing uses.
    fn next_identifier(&mut self) -> PacketIdentifier {
        loop {
            self.last_identifier = self.last_identifier.wrapping_add(1);
            if let Some(identifier) = PacketIdentifier::new(self.last_identifier)
                && !self.in_flight.contains(identifier)
            {
                return identifier;
            }
        }
    }

    // --- time

    /// Bytes were sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive;
        match (self.state, self.pinged) {
            (State::Offline, _) => None,
            (State::Connecting | State::Ended, _) => Some(self.last_active() + self.patience()),
            (State::Online, _) if keep_alive.is_zero() => None,
            (State::Online, Some(_)) => Some(self.last_active() + keep_alive),
            (State::Online, None) => Some(self.last_sent.min(self.last_received) + keep_alive),
        }
    }

    /// The last sign of life in either direction. A long message on its way out is one.
    fn last_active(&self) -> Instant {
        self.pinged
            .into_iter()
            .fold(self.last_sent.max(self.last_received), Instant::max)
    }

    fn patience(&self) -> Duration {
        if self.keep_alive.is_zero() {
            PATIENCE
        } else {
            self.keep_alive
        }
    }

    /// Does what time demands: PINGREQ when nothing was sent or heard for the time of Keep Alive.
    ///
    /// # Errors
    /// The Server is silent: its answer is due, or it does not take the last bytes.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Silent> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        if self.state != State::Online || self.pinged.is_some() {
            return Err(Silent);
        }
        self.trace.note(format_args!("sending PINGREQ"));
        let packet = Packet::PingReq;
        // Two bytes.
        let _ = packet.encode(self.start.version, self.outbox.bytes());
        self.pinged = Some(now);
        Ok(())
    }
}

/// Why a message is not one for this Server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// Its QoS is higher than the Maximum QoS [MQTT-3.2.2-11].
    QoS,
    /// The packet would be larger than the Maximum Packet Size [MQTT-3.2.2-15].
    Size,
    /// It cannot be a packet.
    Packet(EncodeError),
}

impl From<EncodeError> for Unsendable {
    fn from(error: EncodeError) -> Unsendable {
        match error {
            EncodeError::PacketTooLarge => Unsendable::Size,
            error => Unsendable::Packet(error),
        }
    }
}

#[cfg(test)]
mod tests;
