//! Conversations: what clients send, and what each of them reads in answer, with a clock that the test turns.

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
        House {
            engine: Engine::new(limits, Access::new(authentication)),
            now: Instant::now(),
        }
    }

    /// Opens a connection without a word.
    fn call(&mut self) -> ConnectionKey {
        self.engine.open(self.now, Ipv4Addr::LOCALHOST.into(), None)
    }

    /// Connects and returns the connection with the answer.
    fn connect(&mut self, client: &str, terms: &Terms) -> (ConnectionKey, String) {
        let key = self.call();
        let will_properties = buffer(&terms.will_properties);
        let properties = buffer(&terms.properties);
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

    /// What waits for a client, one line per packet.
    fn read(&mut self, key: ConnectionKey) -> String {
        let mut text = String::new();
        loop {
            let bytes = self.engine.outbox(key).to_vec();
            if bytes.is_empty() {
                break;
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
            self.engine.written(self.now, key, bytes.len());
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
        self.send(key, version, &packet)
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
        self.now += Duration::from_secs(seconds);
        self.engine.expire(self.now);
    }
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
        Packet::PubAck(it) => format!("PUBACK #{} {:02x}", it.packet_identifier, it.reason as u8),
        Packet::PubRec(it) => format!("PUBREC #{} {:02x}", it.packet_identifier, it.reason as u8),
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

#[test]
fn every_version_is_welcome() {
    let mut house = House::new();
    let v31 = Terms {
        version: Version::V31,
        ..V3()
    };
    assert_eq!(house.connect("a", &v31).1, "CONNACK 00");
    assert_eq!(house.connect("b", &V3()).1, "CONNACK 00");
    let (_, answer) = house.connect("c", &V5());
    assert_eq!(
        answer,
        "CONNACK 00 ReceiveMaximum(20) MaximumPacketSize(1048576) TopicAliasMaximum(10)"
    );
}

#[test]
fn the_first_packet_is_connect() {
    let mut house = House::new();
    let key = house.call();
    house.engine.receive(house.now, key, &[0xc0, 0x00]);
    assert_eq!(house.read(key), "CLOSED");
    // Half a packet of another kind is enough to see it.
    let key = house.call();
    house.engine.receive(house.now, key, b"GET / HTTP/1.1\r\n");
    assert_eq!(house.read(key), "CLOSED");
    assert_eq!(house.engine.connections(), 0);
}

#[test]
fn an_unknown_version_is_told_so() {
    let mut house = House::new();
    let key = house.call();
    let connect = b"\x10\x0d\x00\x04MQTT\x07\x02\x00\x00\x00\x01a";
    house.engine.receive(house.now, key, connect);
    assert_eq!(house.read(key), "CONNACK 01\nCLOSED");
}

#[test]
fn a_second_connect_ends_the_connection() {
    let mut house = House::new();
    let key = house.client("a", &V5());
    let connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a";
    house.engine.receive(house.now, key, connect);
    assert_eq!(house.read(key), "DISCONNECT 82\nCLOSED");
}

#[test]
fn silence_after_the_call_is_not_waited_for() {
    let mut house = House::new();
    let key = house.call();
    house.wait(9);
    assert_eq!(house.engine.verdict(key), Verdict::Keep);
    house.wait(1);
    assert_eq!(house.engine.verdict(key), Verdict::CloseNow);
    house.lose(key);
    assert_eq!(house.engine.refusals.iter().count(), 1);
    assert_eq!(house.engine.deadline(), None);
}

#[test]
fn credentials_are_asked_for() {
    let authentication = Authentication::Password {
        username: "house".into(),
        password: Secret::new(b"12345".to_vec()),
    };
    let mut house = House::with(limits(), authentication);
    let right = Terms {
        username: Some("house"),
        password: Some(b"12345"),
        ..V3()
    };
    let wrong = Terms {
        username: Some("house"),
        password: Some(b"54321"),
        ..V3()
    };
    assert_eq!(house.connect("a", &right).1, "CONNACK 00");
    assert_eq!(house.connect("b", &wrong).1, "CONNACK 05\nCLOSED");
    assert_eq!(house.connect("b", &V3()).1, "CONNACK 05\nCLOSED");
    assert_eq!(house.connect("b", &V5()).1, "CONNACK 87\nCLOSED");
    let reasons: Vec<_> = house
        .engine
        .refusals
        .iter()
        .map(|one| &*one.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "no user name and password given",
            "wrong user name or password"
        ]
    );
}

#[test]
fn an_empty_identifier_is_replaced_where_that_is_allowed() {
    let mut house = House::new();
    let (_, answer) = house.connect("", &V5());
    assert!(
        answer.contains("AssignedClientIdentifier(\"auto-"),
        "{answer}"
    );
    assert_eq!(house.connect("", &V3()).1, "CONNACK 00");
    let persistent = Terms {
        clean: false,
        ..V3()
    };
    assert_eq!(house.connect("", &persistent).1, "CONNACK 02\nCLOSED");
    let limits = Limits {
        allow_empty_client_id: false,
        ..limits()
    };
    let mut strict = House::with(limits, Authentication::None);
    assert_eq!(strict.connect("", &V3()).1, "CONNACK 02\nCLOSED");
    assert_eq!(strict.connect("", &V5()).1, "CONNACK 85\nCLOSED");
}

#[test]
fn enhanced_authentication_is_refused_politely() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::AuthenticationMethod("SCRAM")],
        ..V5()
    };
    assert_eq!(house.connect("a", &terms).1, "CONNACK 8c\nCLOSED");
}

#[test]
fn no_more_clients_than_allowed_but_one_may_return() {
    let mut house = House::with(
        Limits {
            max_clients: Some(1),
            ..limits()
        },
        Authentication::None,
    );
    let first = house.client("a", &V5());
    assert_eq!(house.connect("b", &V5()).1, "CONNACK 97\nCLOSED");
    assert_eq!(house.connect("b", &V3()).1, "CONNACK 03\nCLOSED");
    let second = house.client("a", &V5());
    assert_eq!(house.read(first), "DISCONNECT 8e\nCLOSED");
    house.lose(second);
    house.client("b", &V5());
}

#[test]
fn every_pair_of_qos_meets_at_the_lower() {
    for (published, granted) in [Q0, Q1, Q2]
        .into_iter()
        .flat_map(|one| [Q0, Q1, Q2].map(|two| (one, two)))
    {
        let mut house = House::new();
        let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &V5()));
        let code = granted as u8;
        assert_eq!(
            house.subscribe(subscriber, &[("a/+", options(granted))], &[]),
            format!("SUBACK [{code:02x}]")
        );
        let answer = house.publish(publisher, "a/b", b"x", published, 5);
        assert_eq!(
            answer,
            ["", "PUBACK #5 00", "PUBREC #5 00"][published as usize]
        );
        let expected = match published.min(granted) {
            Q0 => "PUBLISH a/b \"x\" q0",
            Q1 => "PUBLISH a/b \"x\" q1 #1",
            Q2 => "PUBLISH a/b \"x\" q2 #1",
        };
        assert_eq!(house.read(subscriber), expected);
    }
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V5()), house.client("s", &V3()));
    house.subscribe(subscriber, &[("t", options(Q2))], &[]);
    assert_eq!(house.publish(publisher, "t", b"x", Q2, 5), "PUBREC #5 00");
    assert_eq!(house.publish(publisher, "t", b"x", Q2, 5), "PUBREC #5 00");
    assert_eq!(house.read(subscriber), "PUBLISH t \"x\" q2 #1");
    assert_eq!(house.ack(publisher, AckType::PubRel, 5), "PUBCOMP #5 00");
    assert_eq!(house.ack(publisher, AckType::PubRel, 5), "PUBCOMP #5 92");
    assert_eq!(house.ack(subscriber, AckType::PubRec, 1), "PUBREL #1 00");
    assert_eq!(house.ack(subscriber, AckType::PubRec, 1), "PUBREL #1 00");
    assert_eq!(house.ack(subscriber, AckType::PubComp, 1), "");
    assert_eq!(house.publish(publisher, "t", b"y", Q2, 5), "PUBREC #5 00");
    assert_eq!(house.read(subscriber), "PUBLISH t \"y\" q2 #2");
}

#[test]
fn a_window_is_kept_and_refilled_in_order() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(2)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &terms));
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    for payload in [b"1", b"2", b"3", b"4"] {
        house.publish(publisher, "t", payload, Q1, 9);
    }
    assert_eq!(
        house.read(subscriber),
        "PUBLISH t \"1\" q1 #1\nPUBLISH t \"2\" q1 #2"
    );
    // QoS 0 goes on meanwhile.
    house.publish(publisher, "t", b"0", Q0, 0);
    assert_eq!(house.read(subscriber), "PUBLISH t \"0\" q0");
    assert_eq!(
        house.ack(subscriber, AckType::PubAck, 2),
        "PUBLISH t \"3\" q1 #3"
    );
    assert_eq!(
        house.ack(subscriber, AckType::PubAck, 1),
        "PUBLISH t \"4\" q1 #4"
    );
    assert_eq!(house.ack(subscriber, AckType::PubAck, 1), "");
}

#[test]
fn a_negative_pubrec_frees_the_window() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(1)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &terms));
    house.subscribe(subscriber, &[("t", options(Q2))], &[]);
    house.publish(publisher, "t", b"1", Q2, 1);
    house.publish(publisher, "t", b"2", Q2, 2);
    assert_eq!(house.read(subscriber), "PUBLISH t \"1\" q2 #1");
    let refused = ReasonCode::QuotaExceeded;
    let answer = house.ack_with(subscriber, AckType::PubRec, 1, refused);
    assert_eq!(answer, "PUBLISH t \"2\" q2 #2");
}

#[test]
fn more_qos_2_at_a_time_than_announced_ends_the_connection() {
    let mut house = House::with(
        Limits {
            max_inflight: 2,
            ..limits()
        },
        Authentication::None,
    );
    let publisher = house.client("p", &V5());
    assert_eq!(house.publish(publisher, "t", b"", Q2, 1), "PUBREC #1 10");
    assert_eq!(house.publish(publisher, "t", b"", Q2, 2), "PUBREC #2 10");
    assert_eq!(house.publish(publisher, "t", b"", Q2, 2), "PUBREC #2 00");
    assert_eq!(
        house.publish(publisher, "t", b"", Q2, 3),
        "DISCONNECT 93\nCLOSED"
    );
}

#[test]
fn retained_messages_wait_for_subscribers() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V5()), house.client("s", &V5()));
    assert_eq!(house.retain(publisher, "a/b", b"old"), "PUBACK #77 10");
    house.retain(publisher, "a/b", b"new");
    house.retain(publisher, "a", b"parent");
    house.retain(publisher, "a/c", b"gone");
    house.retain(publisher, "a/c", b"");
    assert_eq!(
        house.subscribe(subscriber, &[("a/#", options(Q1))], &[]),
        "SUBACK [01]\nPUBLISH a \"parent\" q1 #1 retain\nPUBLISH a/b \"new\" q1 #2 retain"
    );
    house.retain(publisher, "a/b", b"live");
    assert_eq!(house.read(subscriber), "PUBLISH a/b \"live\" q1 #3");
    assert_eq!(house.engine.retained(), 2);
}

#[test]
fn retain_handling_and_retain_as_published() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V5()), house.client("s", &V5()));
    house.retain(publisher, "a", b"1");
    let never = SubscriptionOptions {
        retain_handling: RetainHandling::DoNotSend,
        ..options(Q0)
    };
    let if_new = SubscriptionOptions {
        retain_handling: RetainHandling::SendIfNew,
        ..options(Q0)
    };
    let kept = SubscriptionOptions {
        retain_as_published: true,
        ..options(Q0)
    };
    assert_eq!(
        house.subscribe(subscriber, &[("a", never)], &[]),
        "SUBACK [00]"
    );
    assert_eq!(
        house.subscribe(subscriber, &[("a", if_new)], &[]),
        "SUBACK [00]"
    );
    assert_eq!(house.unsubscribe(subscriber, "a"), "UNSUBACK [00]");
    assert_eq!(house.unsubscribe(subscriber, "a"), "UNSUBACK [11]");
    let answer = house.subscribe(subscriber, &[("a", if_new)], &[]);
    assert_eq!(answer, "SUBACK [00]\nPUBLISH a \"1\" q0 retain");
    let answer = house.subscribe(subscriber, &[("a", kept)], &[]);
    assert_eq!(answer, "SUBACK [00]\nPUBLISH a \"1\" q0 retain");
    house.retain(publisher, "a", b"2");
    assert_eq!(house.read(subscriber), "PUBLISH a \"2\" q0 retain");
}

#[test]
fn overlapping_subscriptions_give_one_message_with_all_identifiers() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &V5()));
    house.subscribe(
        subscriber,
        &[("a/#", options(Q0))],
        &[Property::SubscriptionIdentifier(7)],
    );
    house.subscribe(
        subscriber,
        &[("a/+", options(Q1))],
        &[Property::SubscriptionIdentifier(300)],
    );
    house.subscribe(subscriber, &[("a/b", options(Q0))], &[]);
    house.publish(publisher, "a/b", b"x", Q2, 1);
    let read = house.read(subscriber);
    assert!(
        read.starts_with("PUBLISH a/b \"x\" q1 #1 SubscriptionIdentifier("),
        "{read}"
    );
    assert!(read.contains("SubscriptionIdentifier(7)"), "{read}");
    assert!(read.contains("SubscriptionIdentifier(300)"), "{read}");
    assert_eq!(read.lines().count(), 1);
}

#[test]
fn no_local_keeps_the_echo_away() {
    let mut house = House::new();
    let (one, other) = (house.client("one", &V5()), house.client("other", &V5()));
    let quiet = SubscriptionOptions {
        no_local: true,
        ..options(Q0)
    };
    house.subscribe(one, &[("t", quiet)], &[]);
    assert_eq!(house.publish(one, "t", b"mine", Q0, 0), "");
    house.publish(other, "t", b"theirs", Q0, 0);
    assert_eq!(house.read(one), "PUBLISH t \"theirs\" q0");
}

#[test]
fn a_session_is_kept_and_resumed() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let subscriber = house.client("s", &KEPT());
    house.subscribe(subscriber, &[("t", options(Q2))], &[]);
    house.publish(publisher, "t", b"1", Q1, 1);
    house.publish(publisher, "t", b"2", Q2, 2);
    assert_eq!(
        house.read(subscriber),
        "PUBLISH t \"1\" q1 #1\nPUBLISH t \"2\" q2 #2"
    );
    assert_eq!(house.ack(subscriber, AckType::PubRec, 2), "PUBREL #2 00");
    house.lose(subscriber);
    house.publish(publisher, "t", b"3", Q1, 3);
    house.publish(publisher, "t", b"lost", Q0, 0);
    house.wait(3599);
    let (subscriber, answer) = house.connect("s", &KEPT());
    assert!(answer.starts_with("CONNACK 00 present"), "{answer}");
    let rest: Vec<_> = answer.lines().skip(1).collect();
    // In the original order, with the original identifiers [MQTT-4.4.0-1], [MQTT-4.6.0-1].
    assert_eq!(
        rest,
        [
            "PUBLISH t \"1\" q1 #1 dup",
            "PUBREL #2 00",
            "PUBLISH t \"3\" q1 #3"
        ]
    );
    assert_eq!(house.ack(subscriber, AckType::PubComp, 2), "");
    house.lose(subscriber);
    house.wait(3600);
    assert_eq!(house.engine.sessions(), 1);
    assert_eq!(house.engine.subscriptions(), 0);
    let (_, answer) = house.connect("s", &KEPT());
    assert!(
        answer.starts_with("CONNACK 00 S") || answer.starts_with("CONNACK 00 R"),
        "{answer}"
    );
}

#[test]
fn a_duplicate_across_a_reconnection_is_still_one_message() {
    let mut house = House::new();
    let subscriber = house.client("s", &V3());
    house.subscribe(subscriber, &[("t", options(Q2))], &[]);
    let kept = Terms {
        clean: false,
        ..V3()
    };
    let publisher = house.client("p", &kept);
    house.publish(publisher, "t", b"x", Q2, 5);
    house.lose(publisher);
    let (publisher, answer) = house.connect("p", &kept);
    assert_eq!(answer, "CONNACK 00 present");
    assert_eq!(house.publish(publisher, "t", b"x", Q2, 5), "PUBREC #5 00");
    assert_eq!(house.ack(publisher, AckType::PubRel, 5), "PUBCOMP #5 00");
    assert_eq!(house.read(subscriber), "PUBLISH t \"x\" q2 #1");
}

#[test]
fn a_clean_start_forgets() {
    let mut house = House::new();
    let subscriber = house.client("s", &KEPT());
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.lose(subscriber);
    assert_eq!(house.connect("s", &V3()).1, "CONNACK 00");
    assert_eq!(house.engine.subscriptions(), 0);
}

#[test]
fn a_session_is_taken_over() {
    let mut house = House::new();
    let first = house.client("s", &KEPT());
    house.subscribe(first, &[("t", options(Q1))], &[]);
    let (second, answer) = house.connect("s", &KEPT());
    assert!(answer.starts_with("CONNACK 00 present"), "{answer}");
    assert_eq!(house.read(first), "DISCONNECT 8e\nCLOSED");
    let publisher = house.client("p", &V3());
    house.publish(publisher, "t", b"x", Q1, 1);
    assert_eq!(house.read(second), "PUBLISH t \"x\" q1 #1");
    assert_eq!(house.engine.clients(), 2);
}

#[test]
fn the_offline_queue_is_bounded_and_drops_its_oldest() {
    let limits = Limits {
        max_queued_messages: Some(3),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let publisher = house.client("p", &V3());
    let subscriber = house.client("s", &KEPT());
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.lose(subscriber);
    for number in 1..=5_u8 {
        house.publish(publisher, "t", &[b'0' + number], Q1, number.into());
    }
    let (_, answer) = house.connect("s", &KEPT());
    let payloads: Vec<_> = answer.lines().skip(1).map(|line| &line[..13]).collect();
    assert_eq!(
        payloads,
        ["PUBLISH t \"3\"", "PUBLISH t \"4\"", "PUBLISH t \"5\""]
    );
    assert_eq!(house.engine.stats().dropped, 2);
}

#[test]
fn memory_in_total_is_bounded() {
    let limits = Limits {
        max_memory: 100_000,
        max_queued_messages: None,
        max_queued_bytes: None,
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let publisher = house.client("p", &V3());
    for name in ["a", "b", "c"] {
        let subscriber = house.client(name, &KEPT());
        house.subscribe(subscriber, &[(name, options(Q1))], &[]);
        house.lose(subscriber);
    }
    for _ in 0..100 {
        for name in ["a", "b", "c"] {
            house.publish(publisher, name, &[0; 1000], Q1, 1);
            house.retain(publisher, &format!("r/{name}"), &[0; 1000]);
        }
    }
    assert!(
        house.engine.account.bytes() <= 103_000,
        "{}",
        house.engine.account.bytes()
    );
    assert!(house.engine.stats().dropped > 100);
}

#[test]
fn a_slow_reader_costs_a_bounded_outbox_and_loses_nothing_that_fits() {
    let limits = Limits {
        max_queued_messages: None,
        max_queued_bytes: None,
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &V3()));
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    for number in 0..500_u16 {
        let mut payload = format!("{number:04}").into_bytes();
        payload.resize(1000, b' ');
        house.publish(publisher, "t", &payload, Q0, 0);
        assert!(house.engine.outbox(subscriber).len() < Limits::OUTBOX_HIGH + 1100);
    }
    let numbers: Vec<u16> = house
        .read(subscriber)
        .lines()
        .map(|line| line["PUBLISH t \"".len()..][..4].parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    assert_eq!(house.engine.account.bytes(), 0);
}

#[test]
fn messages_expire_while_they_wait() {
    let mut house = House::new();
    let publisher = house.client("p", &V5());
    let subscriber = house.client("s", &KEPT());
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.lose(subscriber);
    let lifetime = |seconds| [Property::MessageExpiryInterval(seconds)];
    house.publish_with(publisher, "t", b"short", (Q1, 1, false), &lifetime(5));
    house.publish_with(publisher, "t", b"long", (Q1, 2, true), &lifetime(60));
    house.wait(10);
    let (_, answer) = house.connect("s", &KEPT());
    let rest: Vec<_> = answer.lines().skip(1).collect();
    assert_eq!(rest, ["PUBLISH t \"long\" q1 #1 MessageExpiryInterval(50)"]);
    house.wait(50);
    let late = house.client("late", &V3());
    assert_eq!(
        house.subscribe(late, &[("t", options(Q1))], &[]),
        "SUBACK [01]"
    );
}

#[test]
fn a_message_too_large_for_the_client_counts_as_sent() {
    let mut house = House::new();
    let small = Terms {
        properties: vec![Property::MaximumPacketSize(30)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &small));
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.publish(publisher, "t", &[b'x'; 23], Q1, 1); // 2 + 3 + 2 + 1 + 23: one too many
    house.publish(publisher, "t", &[b'y'; 22], Q1, 2);
    assert_eq!(
        house.read(subscriber),
        "PUBLISH t \"yyyyyyyyyyyyyyyyyyyy\" q1 #2"
    );
}

#[test]
fn the_will_follows_a_lost_connection_only() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will/#", options(Q1))], &[]);
    let terms = || Terms {
        will: Some(("will/a", b"gone", Q1, true)),
        ..V3()
    };
    let client = house.client("a", &terms());
    house.disconnect(client, ReasonCode::Success, &[]);
    assert_eq!(house.read(watcher), "");
    let client = house.client("a", &terms());
    house.lose(client);
    assert_eq!(house.read(watcher), "PUBLISH will/a \"gone\" q1 #1");
    assert_eq!(house.engine.retained(), 1);
    let client = house.client(
        "a",
        &Terms {
            version: Version::V5,
            ..terms()
        },
    );
    house.disconnect(client, ReasonCode::DisconnectWithWillMessage, &[]);
    assert_eq!(house.read(watcher), "PUBLISH will/a \"gone\" q1 #2");
}

#[test]
fn the_will_follows_keep_alive() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will", options(Q0))], &[]);
    let terms = Terms {
        keep_alive: 10,
        will: Some(("will", b"dead", Q0, false)),
        ..V5()
    };
    let client = house.client("a", &terms);
    house.wait(14);
    assert_eq!(
        house.send(client, Version::V5, &Packet::PingReq),
        "PINGRESP"
    );
    house.wait(14);
    assert_eq!(house.read(watcher), "");
    house.wait(1);
    assert_eq!(house.read(client), "DISCONNECT 8d\nCLOSED");
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
}

#[test]
fn a_delayed_will_waits_and_is_cancelled_by_a_return() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will", options(Q0))], &[]);
    let terms = |delay| Terms {
        will: Some(("will", b"dead", Q0, false)),
        will_properties: vec![Property::WillDelayInterval(delay)],
        ..KEPT()
    };
    let client = house.client("a", &terms(30));
    house.lose(client);
    house.wait(29);
    let client = house.client("a", &terms(30));
    house.wait(100);
    assert_eq!(house.read(watcher), "");
    house.lose(client);
    house.wait(30);
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
    // The end of the session does not wait for the delay.
    let client = house.client("a", &terms(100_000));
    house.lose(client);
    house.wait(3600);
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
    // Nor does a clean start by another connection.
    let client = house.client("a", &terms(100));
    let _successor = house.client("a", &V5());
    assert_eq!(house.read(client), "DISCONNECT 8e\nCLOSED");
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
}

#[test]
fn session_expiry_can_change_at_disconnect_but_not_come_from_nothing() {
    let mut house = House::new();
    let expiry = [Property::SessionExpiryInterval(10)];
    let client = house.client("a", &KEPT());
    house.disconnect(client, ReasonCode::Success, &expiry);
    house.wait(10);
    assert_eq!(house.engine.sessions(), 0);
    let client = house.client("a", &V5());
    let properties = buffer(&expiry);
    let packet = Packet::Disconnect(mqtt::Disconnect {
        reason: ReasonCode::Success,
        properties: properties.as_properties(),
    });
    assert_eq!(
        house.send(client, Version::V5, &packet),
        "DISCONNECT 82\nCLOSED"
    );
}

#[test]
fn session_expiry_is_capped_and_said() {
    let limits = Limits {
        max_session_expiry: Some(100),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let (key, answer) = house.connect("a", &KEPT());
    assert!(answer.contains("SessionExpiryInterval(100)"), "{answer}");
    house.lose(key);
    let key = house.client(
        "b",
        &Terms {
            clean: false,
            ..V3()
        },
    );
    house.lose(key);
    house.wait(100);
    assert_eq!(house.engine.sessions(), 0);
}

#[test]
fn topic_aliases_stand_for_topics() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V5()), house.client("s", &V3()));
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let alias = [Property::TopicAlias(10)];
    house.publish_with(publisher, "t", b"1", (Q0, 0, false), &alias);
    house.publish_with(publisher, "", b"2", (Q0, 0, false), &alias);
    assert_eq!(
        house.read(subscriber),
        "PUBLISH t \"1\" q0\nPUBLISH t \"2\" q0"
    );
    let unknown = [Property::TopicAlias(9)];
    let answer = house.publish_with(publisher, "", b"3", (Q0, 0, false), &unknown);
    assert_eq!(answer, "DISCONNECT 82\nCLOSED");
    let publisher = house.client("p", &V5());
    let large = [Property::TopicAlias(11)];
    let answer = house.publish_with(publisher, "t", b"3", (Q0, 0, false), &large);
    assert_eq!(answer, "DISCONNECT 94\nCLOSED");
}

#[test]
fn properties_are_passed_on_in_their_order() {
    let mut house = House::new();
    let (publisher, subscriber) = (house.client("p", &V5()), house.client("s", &V5()));
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let sent = [
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("b", "2"),
        Property::TopicAlias(1),
        Property::ResponseTopic("answer"),
        Property::CorrelationData(b"\x00\xff"),
        Property::UserProperty("a", "1"),
        Property::ContentType("text"),
    ];
    house.publish_with(publisher, "t", b"x", (Q0, 0, false), &sent);
    assert_eq!(
        house.read(subscriber),
        "PUBLISH t \"x\" q0 PayloadFormatIndicator(1) UserProperty(\"b\", \"2\") \
         ResponseTopic(\"answer\") CorrelationData([0, 255]) UserProperty(\"a\", \"1\") \
         ContentType(\"text\")"
    );
}

#[test]
fn a_shared_subscription_takes_turns_and_skips_the_absent() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let members = ["a", "b", "c"].map(|name| {
        let key = house.client(name, &KEPT());
        house.subscribe(key, &[("$share/g/t", options(Q1))], &[]);
        key
    });
    for number in 0..6 {
        house.publish(publisher, "t", &[b'0' + number], Q1, 1);
    }
    for &member in &members {
        assert_eq!(house.read(member).lines().count(), 2);
    }
    house.lose(members[1]);
    for number in 0..6 {
        house.publish(publisher, "t", &[b'0' + number], Q1, 1);
    }
    assert_eq!(
        house.read(members[0]).lines().count() + house.read(members[2]).lines().count(),
        6
    );
}

#[test]
fn what_the_settings_forbid_is_told() {
    let limits = Limits {
        max_qos: Q1,
        retain_available: false,
        max_keep_alive: 100,
        max_subscriptions: Some(1),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let (client, answer) = house.connect("a", &V5());
    for said in [
        "MaximumQoS(1)",
        "RetainAvailable(false)",
        "ServerKeepAlive(100)",
    ] {
        assert!(answer.contains(said), "{answer}");
    }
    assert_eq!(
        house.subscribe(client, &[("t", options(Q2))], &[]),
        "SUBACK [01]"
    );
    assert_eq!(
        house.subscribe(client, &[("u", options(Q2))], &[]),
        "SUBACK [97]"
    );
    assert_eq!(
        house.subscribe(client, &[("t", options(Q0))], &[]),
        "SUBACK [00]"
    );
    assert_eq!(
        house.publish(client, "t", b"", Q2, 1),
        "DISCONNECT 9b\nCLOSED"
    );
    let client = house.client("a", &V5());
    assert_eq!(house.retain(client, "t", b"x"), "DISCONNECT 9a\nCLOSED");
    let will = Terms {
        will: Some(("w", b"", Q2, false)),
        ..V5()
    };
    assert_eq!(house.connect("a", &will).1, "CONNACK 9b\nCLOSED");
    let will = Terms {
        will: Some(("w", b"", Q0, true)),
        ..V5()
    };
    assert_eq!(house.connect("a", &will).1, "CONNACK 9a\nCLOSED");
}

#[test]
fn the_brokers_own_topics_are_not_for_clients() {
    let mut house = House::new();
    let (client, old) = (house.client("a", &V5()), house.client("b", &V3()));
    assert_eq!(
        house.publish(client, "$SYS/broker/uptime", b"0", Q1, 1),
        "PUBACK #1 87"
    );
    assert_eq!(
        house.publish(client, "$SYS/broker/uptime", b"0", Q2, 1),
        "PUBREC #1 87"
    );
    assert_eq!(house.publish(client, "t", b"0", Q2, 1), "PUBREC #1 10");
    assert_eq!(
        house.publish(old, "$SYS/broker/uptime", b"0", Q1, 1),
        "PUBACK #1 00"
    );
}

#[test]
fn malformed_bytes_end_the_connection_with_their_reason() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    house
        .engine
        .receive(house.now, client, b"\x36\x05\x00\x01t\x00\x01");
    assert_eq!(house.read(client), "DISCONNECT 81\nCLOSED");
    let client = house.client("a", &V5());
    house
        .engine
        .receive(house.now, client, b"\x30\xff\xff\xff\x7f");
    assert_eq!(house.read(client), "DISCONNECT 95\nCLOSED");
    let client = house.client("a", &V3());
    house.engine.receive(house.now, client, b"\x60\x02\x00\x01");
    assert_eq!(house.read(client), "CLOSED");
}

#[test]
fn half_packets_wait_for_the_rest() {
    let mut house = House::new();
    let subscriber = house.client("s", &V3());
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let publisher = house.client("p", &V3());
    let bytes = b"\x30\x04\x00\x01tx\xc0\x00\x30\x04\x00\x01ty";
    for split in 0..bytes.len() {
        let used = house.engine.receive(house.now, publisher, &bytes[..split]);
        let rest = house.engine.receive(house.now, publisher, &bytes[used..]);
        assert_eq!(used + rest, bytes.len());
        assert_eq!(house.read(publisher), "PINGRESP");
        assert_eq!(
            house.read(subscriber),
            "PUBLISH t \"x\" q0\nPUBLISH t \"y\" q0"
        );
    }
}

#[test]
fn other_rules_end_those_they_forbid_and_nobody_else() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    let tighter = Limits {
        max_queued_messages: Some(1),
        ..limits()
    };
    house.engine.apply(
        house.now,
        tighter.clone(),
        Access::new(Authentication::None),
    );
    assert_eq!(house.read(client), "");
    let authentication = || Authentication::Password {
        username: "u".into(),
        password: Secret::new(b"p".to_vec()),
    };
    house
        .engine
        .apply(house.now, tighter.clone(), Access::new(authentication()));
    assert_eq!(house.read(client), "DISCONNECT 98\nCLOSED");
    let terms = Terms {
        username: Some("u"),
        password: Some(b"p"),
        ..V3()
    };
    let client = house.client("a", &terms);
    house
        .engine
        .apply(house.now, tighter.clone(), Access::new(authentication()));
    house
        .engine
        .apply(house.now, tighter, Access::new(Authentication::None));
    assert_eq!(house.read(client), "");
}

#[test]
fn everything_ends_in_order() {
    let mut house = House::new();
    let (modern, old) = (house.client("a", &V5()), house.client("b", &V3()));
    house
        .engine
        .end_all(house.now, ReasonCode::ServerShuttingDown, "the end");
    assert_eq!(house.read(modern), "DISCONNECT 8b\nCLOSED");
    assert_eq!(house.read(old), "CLOSED");
    assert_eq!((house.engine.connections(), house.engine.clients()), (0, 0));
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let keys: Vec<_> = (0..50)
        .map(|number| {
            let terms = if number % 2 == 0 { KEPT() } else { V3() };
            let key = house.client(&format!("c{number}"), &terms);
            house.subscribe(
                key,
                &[("a/+/b", options(Q1)), ("$share/g/a/#", options(Q2))],
                &[],
            );
            key
        })
        .collect();
    for number in 0..50 {
        house.publish(publisher, "a/x/b", b"payload", Q2, number + 1);
    }
    for key in keys {
        house.lose(key);
    }
    house.lose(publisher);
    house.wait(4000);
    let engine = &house.engine;
    assert_eq!(
        (engine.sessions(), engine.subscriptions(), engine.clients()),
        (0, 0, 0)
    );
    assert_eq!((engine.account.bytes(), engine.connections()), (0, 0));
    assert_eq!((engine.deadline(), engine.identifiers.len()), (None, 0));
}
