//! A Client as the standard demands it: it keeps its Session State, sends again what was not acknowledged, and answers in
//! order. It trusts the broker in nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, AckType, ConnAck, Connect, Disconnect, Packet, PacketIdentifier, Properties,
    PropertiesBuffer, Property, Publish, QoS, ReasonCode, TopicName, Version, Will,
};

use super::message::{self, Message};

/// What a client asks for in CONNECT.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) clean_start: bool,
    pub(super) keep_alive: u16,
    pub(super) session_expiry: Option<u32>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) max_packet: Option<u32>,
    pub(super) max_alias: u16,
    pub(super) will: Option<Message>,
    pub(super) will_delay: Option<u32>,
}

/// A message of QoS 1 or 2 that the broker has not acknowledged in whole.
#[derive(Debug)]
struct Sent {
    identifier: PacketIdentifier,
    message: Message,
    awaiting: AckType,
}

/// What CONNACK has promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promised {
    pub(super) max_alias: u16,
    pub(super) keep_alive: u16,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    /// The link that it reads and writes.
    pub(super) link: Option<usize>,
    /// CONNACK has come on it.
    pub(super) is_connected: bool,
    /// It sends nothing more on it.
    pub(super) is_done: bool,
    pub(super) terms: Terms,
    pub(super) promised: Promised,
    pub(super) last_sent: Instant,
    /// Which Session of the broker its state belongs to.
    pub(super) epoch: Option<u32>,
    /// Sessions of the broker that it has had.
    epochs: BTreeSet<u32>,
    /// It is back in a Session that it had forgotten: a clean start of its own has not arrived.
    pub(super) is_forgetful: bool,
    /// Its Session State.
    sent: VecDeque<Sent>,
    pub(super) received: BTreeSet<PacketIdentifier>,
    last_identifier: u16,
    /// How many it lets be under way, whatever the version lets the broker say: a later connection may be of 5.0.
    window: u16,
    /// How often its application got each message in this Session, by QoS.
    pub(super) delivered: BTreeMap<u32, [u32; 3]>,
    /// Messages that it has refused.
    pub(super) refused: BTreeSet<u32>,
    /// Of this connection: SUBSCRIBE and UNSUBSCRIBE without an answer.
    requests: BTreeSet<PacketIdentifier>,
    /// Acknowledgements that it will send, in this order.
    owes: VecDeque<(AckType, PacketIdentifier, ReasonCode)>,
    /// Deliveries that it has not acknowledged in whole.
    unacknowledged: BTreeSet<PacketIdentifier>,
    /// Topic Aliases that it has set, by number less one, and those of the broker.
    aliases: Vec<Option<&'static str>>,
    broker_aliases: BTreeMap<u16, String>,
    /// What has come of a packet.
    pub(super) partial: Vec<u8>,
    pings: u32,
}

impl Client {
    pub(super) fn new(name: String, terms: Terms, window: u16, now: Instant) -> Self {
        Client {
            name,
            link: None,
            is_connected: false,
            is_done: false,
            terms,
            promised: Promised {
                max_alias: 0,
                keep_alive: 0,
            },
            last_sent: now,
            epoch: None,
            epochs: BTreeSet::new(),
            is_forgetful: false,
            sent: VecDeque::new(),
            received: BTreeSet::new(),
            last_identifier: 0,
            window,
            delivered: BTreeMap::new(),
            refused: BTreeSet::new(),
            requests: BTreeSet::new(),
            owes: VecDeque::new(),
            unacknowledged: BTreeSet::new(),
            aliases: Vec::new(),
            broker_aliases: BTreeMap::new(),
            partial: Vec::new(),
            pings: 0,
        }
    }

    /// Begins on a new link. Returns its CONNECT.
    pub(super) fn connect(&mut self, link: usize, terms: Terms) -> Vec<u8> {
        self.leave();
        self.link = Some(link);
        if terms.clean_start {
            self.forget();
        }
        self.terms = terms;
        let terms = &self.terms;
        let mut properties = PropertiesBuffer::new();
        let mut will_properties = PropertiesBuffer::new();
        if terms.version == Version::V5 {
            let alias = (terms.max_alias > 0).then_some(terms.max_alias);
            let wanted = [
                terms.session_expiry.map(Property::SessionExpiryInterval),
                terms.receive_maximum.map(Property::ReceiveMaximum),
                terms.max_packet.map(Property::MaximumPacketSize),
                alias.map(Property::TopicAliasMaximum),
            ];
            let mut wanted = wanted.into_iter().flatten();
            wanted.try_for_each(|one| properties.push(one)).unwrap();
            let delay = terms.will_delay.map(Property::WillDelayInterval);
            if let (Some(will), delay) = (&terms.will, delay) {
                let mut delay = delay.into_iter();
                delay.try_for_each(|one| will_properties.push(one)).unwrap();
                will.properties(&mut will_properties);
            }
        }
        let payload = terms
            .will
            .as_ref()
            .map(Message::payload)
            .unwrap_or_default();
        let connect = Connect {
            version: terms.version,
            clean_start: terms.clean_start,
            keep_alive: terms.keep_alive,
            client_identifier: &self.name,
            will: terms.will.as_ref().map(|will| Will {
                topic: TopicName::from_valid(will.topic),
                payload: &payload,
                qos: will.qos,
                retain: will.retain,
                properties: will_properties.as_properties(),
            }),
            username: None,
            password: None,
            properties: properties.as_properties(),
        };
        self.encode(&Packet::Connect(connect))
    }

    /// Turns away from its link: what belongs to the connection is forgotten.
    pub(super) fn leave(&mut self) {
        self.link = None;
        self.is_connected = false;
        self.is_done = false;
        self.requests.clear();
        self.owes.clear();
        self.unacknowledged.clear();
        self.aliases.clear();
        self.broker_aliases.clear();
        self.partial.clear();
        self.pings = 0;
    }

    /// Its Session State is gone.
    fn forget(&mut self) {
        self.epoch = None;
        self.sent.clear();
        self.received.clear();
        self.delivered.clear();
        self.refused.clear();
    }

    fn encode(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(self.terms.version, &mut bytes).unwrap();
        bytes
    }

    /// A Packet Identifier that is not in use.
    pub(super) fn next_identifier(&mut self) -> PacketIdentifier {
        loop {
            self.last_identifier = self.last_identifier.wrapping_add(1);
            if let Some(identifier) = NonZeroU16::new(self.last_identifier)
                && !self.requests.contains(&identifier)
                && self.sent.iter().all(|sent| sent.identifier != identifier)
            {
                return identifier;
            }
        }
    }

    /// An identifier for SUBSCRIBE or UNSUBSCRIBE.
    pub(super) fn request(&mut self) -> PacketIdentifier {
        let identifier = self.next_identifier();
        self.requests.insert(identifier);
        identifier
    }

    /// Whether it may publish with QoS 1 or 2 now.
    pub(super) fn may_send(&self) -> bool {
        self.sent.len() < usize::from(self.window.min(30))
    }

    /// Whether the broker owes it nothing and it owes the broker nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.sent.is_empty()
            && self.owes.is_empty()
            && self.requests.is_empty()
            && self.unacknowledged.is_empty()
            && self.received.is_empty()
            && self.partial.is_empty()
            && self.pings == 0
    }

    /// What is still open, for a report.
    pub(super) fn open(&self) -> String {
        format!(
            "sent {:?}, owes {:?}, requests {:?}, unacknowledged {:?}, received {:?}, {} bytes, {} pings",
            self.sent,
            self.owes,
            self.requests,
            self.unacknowledged,
            self.received,
            self.partial.len(),
            self.pings
        )
    }

    /// Publishes; with `alias` under a Topic Alias, and without the topic where that is known.
    pub(super) fn publish(&mut self, message: Message, alias: Option<u16>) -> Vec<u8> {
        let identifier = (message.qos > QoS::AtMostOnce).then(|| self.next_identifier());
        let mut known = false;
        if let Some(alias) = alias {
            let index = usize::from(alias) - 1;
            if self.aliases.len() <= index {
                self.aliases.resize(index + 1, None);
            }
            known = self.aliases[index] == Some(message.topic);
            self.aliases[index] = Some(message.topic);
        }
        let bytes = self.encode_publish(&message, identifier, false, alias, known);
        if let Some(identifier) = identifier {
            let awaiting = match message.qos {
                QoS::ExactlyOnce => AckType::PubRec,
                _ => AckType::PubAck,
            };
            self.sent.push_back(Sent {
                identifier,
                message,
                awaiting,
            });
        }
        bytes
    }

    fn encode_publish(
        &self,
        message: &Message,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        alias: Option<u16>,
        is_known: bool,
    ) -> Vec<u8> {
        let mut properties = PropertiesBuffer::new();
        if self.terms.version == Version::V5 {
            message.properties(&mut properties);
            let mut alias = alias.map(Property::TopicAlias).into_iter();
            alias.try_for_each(|one| properties.push(one)).unwrap();
        }
        let payload = message.payload();
        self.encode(&Packet::Publish(Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: (!is_known).then_some(TopicName::from_valid(message.topic)),
            packet_identifier,
            properties: properties.as_properties(),
            payload: &payload,
        }))
    }

    pub(super) fn ping(&mut self) -> Vec<u8> {
        self.pings += 1;
        self.encode(&Packet::PingReq)
    }

    pub(super) fn disconnect(&self, reason: ReasonCode, expiry: Option<u32>) -> Vec<u8> {
        let mut properties = PropertiesBuffer::new();
        if self.terms.version == Version::V5 {
            let mut expiry = expiry.map(Property::SessionExpiryInterval).into_iter();
            expiry.try_for_each(|one| properties.push(one)).unwrap();
        }
        let properties = properties.as_properties();
        self.encode(&Packet::Disconnect(Disconnect { reason, properties }))
    }

    /// The next acknowledgement that it owes.
    pub(super) fn acknowledge(&mut self) -> Option<Vec<u8>> {
        let (kind, identifier, reason) = self.owes.pop_front()?;
        if kind == AckType::PubAck || kind == AckType::PubComp || reason.is_error() {
            self.unacknowledged.remove(&identifier);
        }
        Some(self.encode_ack(kind, identifier, reason))
    }

    fn encode_ack(
        &self,
        kind: AckType,
        identifier: PacketIdentifier,
        reason: ReasonCode,
    ) -> Vec<u8> {
        let ack = Ack {
            reason,
            ..Ack::new(identifier)
        };
        self.encode(&match kind {
            AckType::PubAck => Packet::PubAck(ack),
            AckType::PubRec => Packet::PubRec(ack),
            AckType::PubRel => Packet::PubRel(ack),
            AckType::PubComp => Packet::PubComp(ack),
        })
    }

    /// Takes a packet from the broker; `refuses` says whether it acknowledges with an error where it can. Returns what it
    /// sends at once.
    pub(super) fn take(&mut self, packet: &Packet<'_>, refuses: bool) -> Vec<u8> {
        assert!(
            self.is_connected || matches!(packet, Packet::ConnAck(_)),
            "{packet:?} before CONNACK"
        );
        match packet {
            Packet::Publish(publish) => self.take_publish(publish, refuses),
            Packet::PubAck(ack) => self.take_last(ack, AckType::PubAck),
            Packet::PubComp(ack) => self.take_last(ack, AckType::PubComp),
            Packet::PubRec(ack) => {
                let index = self.position(ack.packet_identifier);
                assert!(
                    index.is_some() || self.terms.version < Version::V5,
                    "a stray {ack:?}"
                );
                let Some(index) = index else {
                    return Vec::new();
                };
                let sent = &mut self.sent[index];
                assert_eq!(sent.awaiting, AckType::PubRec, "{ack:?}");
                if ack.reason.is_error() {
                    self.sent.remove(index);
                    return Vec::new();
                }
                sent.awaiting = AckType::PubComp;
                return self.encode_ack(
                    AckType::PubRel,
                    ack.packet_identifier,
                    ReasonCode::Success,
                );
            }
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_identifier);
                let owed = (AckType::PubComp, ack.packet_identifier, ReasonCode::Success);
                self.owes.push_back(owed);
            }
            Packet::SubAck(it) => assert!(self.requests.remove(&it.packet_identifier), "{it:?}"),
            Packet::UnsubAck(it) => assert!(self.requests.remove(&it.packet_identifier), "{it:?}"),
            Packet::PingResp => {
                assert!(self.pings > 0, "PINGRESP without PINGREQ");
                self.pings -= 1;
            }
            Packet::Disconnect(_) => assert_eq!(self.terms.version, Version::V5, "{packet:?}"),
            _ => panic!("{packet:?} to a client"),
        }
        Vec::new()
    }

    /// CONNACK has come; `epoch` is the Session that it is about, and `is_same` whether the client's state belongs to it.
    /// Returns what is sent again.
    pub(super) fn take_connack(&mut self, connack: &ConnAck<'_>, epoch: u32) -> Vec<Vec<u8>> {
        assert!(!self.is_connected, "CONNACK twice");
        let properties = connack.properties;
        self.is_connected = true;
        self.promised = Promised {
            max_alias: properties.topic_alias_maximum().unwrap_or(0),
            keep_alive: properties
                .server_keep_alive()
                .unwrap_or(self.terms.keep_alive),
        };
        if let Some(assigned) = properties.assigned_client_identifier() {
            self.name = assigned.to_owned();
        }
        if self.epoch != Some(epoch) {
            // A CONNACK that got lost may have begun a Session that this one resumes.
            self.forget();
            self.epoch = Some(epoch);
            self.is_forgetful = !self.epochs.insert(epoch);
        }
        let again = self.sent.iter().map(|sent| match sent.awaiting {
            AckType::PubComp => {
                self.encode_ack(AckType::PubRel, sent.identifier, ReasonCode::Success)
            }
            _ => self.encode_publish(&sent.message, Some(sent.identifier), true, None, false),
        });
        again.collect()
    }

    fn position(&self, identifier: PacketIdentifier) -> Option<usize> {
        self.sent
            .iter()
            .position(|sent| sent.identifier == identifier)
    }

    fn take_last(&mut self, ack: &Ack<'_>, kind: AckType) {
        let index = self.position(ack.packet_identifier);
        let index = index.unwrap_or_else(|| panic!("a stray {kind:?} {ack:?}"));
        assert_eq!(self.sent[index].awaiting, kind, "{ack:?}");
        self.sent.remove(index);
    }

    fn take_publish(&mut self, publish: &Publish<'_>, refuses: bool) {
        let topic = match (publish.topic, publish.properties.topic_alias()) {
            (topic, None) => topic.map(TopicName::as_str).expect("a topic").to_owned(),
            (topic, Some(alias)) => {
                assert!(alias <= self.terms.max_alias, "Topic Alias {alias}");
                if let Some(topic) = topic {
                    self.broker_aliases.insert(alias, topic.as_str().to_owned());
                }
                let topic = self.broker_aliases.get(&alias);
                topic.expect("a Topic Alias that was set").clone()
            }
        };
        let number = message::number(publish.payload);
        assert!(
            number.is_some() || publish.payload.is_empty(),
            "a torn payload on {topic}"
        );
        let mut is_new = true;
        if let Some(identifier) = publish.packet_identifier {
            let is_duplicate = publish.qos == QoS::ExactlyOnce && !self.received.insert(identifier);
            assert!(
                publish.dup || !is_duplicate,
                "{identifier} came again as something new"
            );
            is_new = !is_duplicate;
            let under_way = self.unacknowledged.insert(identifier);
            assert!(under_way, "{identifier} came twice on one connection");
            let maximum = self.terms.receive_maximum.unwrap_or(u16::MAX);
            assert!(
                self.unacknowledged.len() <= usize::from(maximum),
                "more than Receive Maximum {maximum} under way"
            );
            let reason = match refuses && self.terms.version == Version::V5 && is_new {
                true => ReasonCode::UnspecifiedError,
                false => ReasonCode::Success,
            };
            let kind = match publish.qos {
                QoS::ExactlyOnce => AckType::PubRec,
                _ => AckType::PubAck,
            };
            if reason.is_error() {
                self.received.remove(&identifier);
                self.refused.extend(number);
            }
            self.owes.push_back((kind, identifier, reason));
        } else {
            assert!(!publish.dup, "DUP with QoS 0");
        }
        if let Some(number) = number
            && is_new
        {
            let delivered = self.delivered.entry(number).or_default();
            delivered[publish.qos as usize] += 1;
        }
    }
}

/// How long a client is silent before it pings.
pub(super) fn patience(promised: Promised) -> Option<Duration> {
    let seconds = u64::from(promised.keep_alive);
    (seconds > 0).then(|| Duration::from_millis(seconds * 800))
}

/// Properties of nothing.
pub(super) const NONE: Properties<'static> = Properties::EMPTY;
