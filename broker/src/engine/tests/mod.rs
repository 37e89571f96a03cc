//! Conversations: what clients send, and what each of them reads in answer, with a clock that the test turns.

mod answering;
mod bounds;
mod connecting;
mod delivering;
mod hostile;
mod keeping;
mod pressure;
mod replaying;
mod sharing;
mod simulation;
mod sys;
mod wills;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, AckType, Connect, FiltersBuffer, Packet, Properties, PropertiesBuffer, Property, Publish,
    QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions, TopicFilter, TopicName,
    Unsubscribe, UnsubscribeFiltersBuffer, Version, Will,
};
use settings::{Authentication, Secret, Settings, Values};

use super::{Access, ConnectionKey, Engine, Limits, Verdict};

struct House {
    engine: Engine,
    now: Instant,
}

/// What a client asks for in CONNECT.
struct Terms {
    version: Version,
    clean: bool,
    keep_alive: u16,
    will: Option<(&'static str, &'static [u8], QoS, bool)>,
    will_properties: Vec<Property<'static>>,
    username: Option<&'static str>,
    password: Option<&'static [u8]>,
    properties: Vec<Property<'static>>,
}

const V3: fn() -> Terms = || Terms {
    version: Version::V311,
    clean: true,
    keep_alive: 0,
    will: None,
    will_properties: vec![],
    username: None,
    password: None,
    properties: vec![],
};

const V5: fn() -> Terms = || Terms {
    version: Version::V5,
    ..V3()
};

/// A persistent 5.0 client.
const KEPT: fn() -> Terms = || Terms {
    clean: false,
    properties: vec![Property::SessionExpiryInterval(3600)],
    ..V5()
};

fn limits() -> Limits {
    let settings = Settings::from_values(&Values::defaults()).unwrap();
    Limits::new(&settings, 512 << 20)
}

fn buffer(properties: &[Property<'_>]) -> PropertiesBuffer {
    let mut buffer = PropertiesBuffer::new();
    properties
        .iter()
        .for_each(|property| buffer.push(*property).unwrap());
    buffer
}

fn identifier(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

impl House {
    fn new() -> Self {
        Self::with(limits(), Authentication::None)
    }

    fn with(limits: Limits, authentication: Authentication) -> Self {
        let now = Instant::now();
        House {
            engine: Engine::new(now, limits, Access::new(authentication)),
            now,
        }
    }

    /// Opens a connection without a word.
    fn call(&mut self) -> ConnectionKey {
        self.engine.open(self.now, Ipv4Addr::LOCALHOST.into())
    }

    /// Connects and returns the connection with the answer.
    fn connect(&mut self, client: &str, terms: &Terms) -> (ConnectionKey, String) {
        let key = self.call();
        let will_properties = buffer(&terms.will_properties);
        let mut properties = terms.properties.clone();
        let says = |one: &Property<'_>| matches!(one, Property::RequestProblemInformation(_));
        if terms.version == Version::V5 && !properties.iter().any(says) {
            properties.push(Property::RequestProblemInformation(true));
        }
        let properties = buffer(&properties);
        let connect = Packet::Connect(Connect {
            version: terms.version,
            clean_start: terms.clean,
            keep_alive: terms.keep_alive,
            client_identifier: client,
            will: terms.will.map(|(topic, payload, qos, retain)| Will {
                topic: TopicName::new(topic).unwrap(),
                payload,
                qos,
                retain,
                properties: will_properties.as_properties(),
            }),
            username: terms.username,
            password: terms.password,
            properties: properties.as_properties(),
        });
        let answer = self.send(key, terms.version, &connect);
        (key, answer)
    }

    /// A client that is connected; its CONNACK is read.
    fn client(&mut self, name: &str, terms: &Terms) -> ConnectionKey {
        let (key, answer) = self.connect(name, terms);
        assert!(
            answer.starts_with("CONNACK") && answer.contains(" 00"),
            "{answer}"
        );
        key
    }

    /// Sends a packet and returns what the client reads then.
    fn send(&mut self, key: ConnectionKey, version: Version, packet: &Packet<'_>) -> String {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        assert_eq!(self.engine.receive(self.now, key, &bytes), bytes.len());
        self.read(key)
    }

    /// What waits for a client, one line per packet; replays are gone on with until they are over or have to wait.
    fn read(&mut self, key: ConnectionKey) -> String {
        let mut text = self.read_turn(key);
        while !self.engine.replaying.is_empty() {
            self.engine.go_on_with_replays(self.now);
            let more = self.read_turn(key);
            let joint = if text.is_empty() || more.is_empty() {
                ""
            } else {
                "\n"
            };
            text = text + joint + &more;
        }
        text
    }

    /// What waits for a client now.
    fn read_turn(&mut self, key: ConnectionKey) -> String {
        let (mut text, mut bytes) = (String::new(), Vec::new());
        while !self.engine.outbox(key).is_empty() {
            let count = self.engine.outbox(key).len();
            bytes.extend_from_slice(self.engine.outbox(key));
            self.engine.written(self.now, key, count);
        }
        let version = self.engine.connections[key as usize].version;
        let mut at = 0;
        while at < bytes.len() {
            let (packet, used) = mqtt::decode(&bytes[at..], version, u32::MAX)
                .unwrap()
                .unwrap();
            at += used;
            writeln!(text, "{}", describe(&packet)).unwrap();
        }
        let mut dirty = Vec::new();
        self.engine.take_dirty(&mut dirty);
        if self.engine.verdict(key) != Verdict::Keep {
            self.engine.closed(self.now, key, "closed by the test");
            text.push_str("CLOSED\n");
        }
        text.trim_end().to_owned()
    }

    fn subscribe(
        &mut self,
        key: ConnectionKey,
        filters: &[(&str, SubscriptionOptions)],
        properties: &[Property<'_>],
    ) -> String {
        self.request(key, filters, properties);
        self.read(key)
    }

    /// Sends SUBSCRIBE and reads nothing yet.
    fn request(
        &mut self,
        key: ConnectionKey,
        filters: &[(&str, SubscriptionOptions)],
        properties: &[Property<'_>],
    ) {
        let mut list = FiltersBuffer::default();
        for &(filter, options) in filters {
            list.push(TopicFilter::new(filter).unwrap(), options)
                .unwrap();
        }
        let properties = buffer(properties);
        let packet = Packet::Subscribe(Subscribe {
            packet_identifier: identifier(1),
            properties: properties.as_properties(),
            filters: list.as_filters(),
        });
        let version = self.engine.connections[key as usize].version;
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        assert_eq!(self.engine.receive(self.now, key, &bytes), bytes.len());
    }

    fn unsubscribe(&mut self, key: ConnectionKey, filter: &str) -> String {
        let mut list = UnsubscribeFiltersBuffer::default();
        list.push(TopicFilter::new(filter).unwrap()).unwrap();
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_identifier: identifier(9),
            properties: Properties::EMPTY,
            filters: list.as_filters(),
        });
        let version = self.engine.connections[key as usize].version;
        self.send(key, version, &packet)
    }

    /// Publishes; the identifier counts for QoS 1 and 2.
    fn publish(
        &mut self,
        key: ConnectionKey,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        id: u16,
    ) -> String {
        self.publish_with(key, topic, payload, (qos, id, false), &[])
    }

    fn retain(&mut self, key: ConnectionKey, topic: &str, payload: &[u8]) -> String {
        self.publish_with(key, topic, payload, (QoS::AtLeastOnce, 77, true), &[])
    }

    fn publish_with(
        &mut self,
        key: ConnectionKey,
        topic: &str,
        payload: &[u8],
        (qos, id, retain): (QoS, u16, bool),
        properties: &[Property<'_>],
    ) -> String {
        let properties = buffer(properties);
        let packet = Packet::Publish(Publish {
            dup: false,
            qos,
            retain,
            topic: TopicName::new(topic).ok(),
            packet_identifier: (qos > QoS::AtMostOnce).then(|| identifier(id)),
            properties: properties.as_properties(),
            payload,
        });
        let version = self.engine.connections[key as usize].version;
        self.send(key, version, &packet)
    }

    fn ack(&mut self, key: ConnectionKey, kind: AckType, id: u16) -> String {
        self.ack_with(key, kind, id, ReasonCode::Success)
    }

    fn ack_with(
        &mut self,
        key: ConnectionKey,
        kind: AckType,
        id: u16,
        reason: ReasonCode,
    ) -> String {
        let ack = Ack {
            packet_identifier: identifier(id),
            reason,
            properties: Properties::EMPTY,
        };
        let packet = match kind {
            AckType::PubAck => Packet::PubAck(ack),
            AckType::PubRec => Packet::PubRec(ack),
            AckType::PubRel => Packet::PubRel(ack),
            AckType::PubComp => Packet::PubComp(ack),
        };
        let version = self.engine.connections[key as usize].version;
        self.send(key, version, &packet)
    }

    fn disconnect(&mut self, key: ConnectionKey, reason: ReasonCode, properties: &[Property<'_>]) {
        let version = self.engine.connections[key as usize].version;
        let properties = buffer(properties);
        let properties = properties.as_properties();
        let disconnect = Packet::Disconnect(mqtt::Disconnect { reason, properties });
        self.send(key, version, &disconnect);
    }

    /// The network fails.
    fn lose(&mut self, key: ConnectionKey) {
        self.engine.closed(self.now, key, "lost by the test");
    }

    fn wait(&mut self, seconds: u64) {
        self.wait_for(Duration::from_secs(seconds));
    }

    fn wait_for(&mut self, time: Duration) {
        self.now += time;
        self.engine.expire(self.now);
    }
}

/// A CONNACK that refuses a 5.0 client.
fn refused(code: &str, words: &str) -> String {
    format!("CONNACK {code} ReasonString({words:?})\nCLOSED")
}

fn describe(packet: &Packet<'_>) -> String {
    let properties = |properties: Properties<'_>| {
        properties.iter().fold(String::new(), |mut text, property| {
            write!(text, " {property:?}").unwrap();
            text
        })
    };
    match packet {
        Packet::ConnAck(it) => format!(
            "CONNACK {:02x}{}{}",
            it.code,
            if it.session_present { " present" } else { "" },
            properties(it.properties)
        ),
        Packet::Publish(it) => format!(
            "PUBLISH {} {:?} q{}{}{}{}{}",
            it.topic.map_or("-", TopicName::as_str),
            String::from_utf8_lossy(&it.payload[..it.payload.len().min(20)]),
            it.qos as u8,
            it.packet_identifier
                .map_or(String::new(), |id| format!(" #{id}")),
            if it.dup { " dup" } else { "" },
            if it.retain { " retain" } else { "" },
            properties(it.properties),
        ),
        Packet::PubAck(it) => format!(
            "PUBACK #{} {:02x}{}",
            it.packet_identifier,
            it.reason as u8,
            properties(it.properties)
        ),
        Packet::PubRec(it) => format!(
            "PUBREC #{} {:02x}{}",
            it.packet_identifier,
            it.reason as u8,
            properties(it.properties)
        ),
        Packet::PubRel(it) => format!("PUBREL #{} {:02x}", it.packet_identifier, it.reason as u8),
        Packet::PubComp(it) => {
            format!("PUBCOMP #{} {:02x}", it.packet_identifier, it.reason as u8)
        }
        Packet::SubAck(it) => format!("SUBACK {:02x?}", it.codes),
        Packet::UnsubAck(it) => format!("UNSUBACK {:02x?}", it.codes),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(it) => format!("DISCONNECT {:02x}", it.reason as u8),
        other => format!("{other:?}"),
    }
}

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;
