//! Whole conversations of a Client with a Server that is a few bytes.

use std::rc::Rc;

use mqtt::{
    Ack, AckType, ConnAck, Connect, MAX_PACKET_SIZE, Packet, Property, PropertyIdentifier, Publish,
    QoS, SubAck, TopicName, decode,
};

use super::*;
use crate::exit::Refusal;

const V311: Version = Version::V311;
const V5: Version = Version::V5;

struct Talk {
    client: Client,
    version: Version,
    now: Instant,
}

/// Changes a start.
type Change = fn(&mut Start);

impl Talk {
    /// A Client that has sent CONNECT.
    fn new(version: Version, change: Change) -> Talk {
        let packet = Connect {
            version,
            clean_start: true,
            keep_alive: 10,
            client_identifier: "",
            will: None,
            username: None,
            password: None,
            properties: Properties::EMPTY,
        };
        let mut connect = Vec::new();
        packet.encode(&mut connect).unwrap();
        let mut start = Start {
            version,
            connect,
            clean_start: true,
            client_identifier: String::new(),
            keep_alive: Duration::from_secs(10),
            max_in_flight: NonZeroU16::new(20).unwrap(),
            maximum_packet_size: MAX_PACKET_SIZE,
            topic_alias_maximum: 0,
            disconnect: PropertiesBuffer::new(),
            traces: true,
        };
        change(&mut start);
        let now = Instant::now();
        let mut client = Client::new(start, now);
        client.connect(now);
        let mut talk = Talk {
            client,
            version,
            now,
        };
        assert_eq!(talk.sent(), ["CONNECT"]);
        talk
    }

    /// One that is connected.
    fn online(version: Version) -> Talk {
        Talk::online_with(version, |_| {}, &[])
    }

    fn online_with(version: Version, change: Change, properties: &[Property<'_>]) -> Talk {
        let mut talk = Talk::new(version, change);
        talk.accept(false, properties);
        talk
    }

    fn accept(&mut self, session_present: bool, properties: &[Property<'_>]) {
        let mut buffer = PropertiesBuffer::new();
        for property in properties {
            buffer.push(*property).unwrap();
        }
        let connack = Packet::ConnAck(ConnAck {
            session_present,
            code: 0,
            properties: buffer.as_properties(),
        });
        assert_eq!(self.hear(connack), "Ok(Connected)");
    }

    /// The Network Connection breaks, and there is another one.
    fn reconnect(&mut self, session_present: bool) {
        self.client.lost();
        self.client.connect(self.now);
        assert_eq!(self.sent(), ["CONNECT"]);
        self.accept(session_present, &[]);
    }

    /// What the Client makes of a packet.
    fn hear(&mut self, packet: Packet<'_>) -> String {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.hear_bytes(&bytes)
    }

    fn hear_bytes(&mut self, bytes: &[u8]) -> String {
        match self.client.receive(bytes, self.now) {
            Ok(Some((len, event))) => {
                assert_eq!(len, bytes.len());
                format!("{:?}", Ok::<_, ()>(event))
            }
            Ok(None) => "incomplete".to_string(),
            Err(violation) => format!("{violation:?}"),
        }
    }

    fn ack(&mut self, ack: AckType, identifier: u16, reason: ReasonCode) -> String {
        let mut bytes = Vec::new();
        let packet = Ack {
            reason,
            ..Ack::new(PacketIdentifier::new(identifier).unwrap())
        };
        packet.encode(ack, self.version, &mut bytes).unwrap();
        self.hear_bytes(&bytes)
    }

    /// A message from the Server, acknowledged if it is one.
    fn message(&mut self, publish: Publish<'_>) -> Option<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        publish.encode(self.version, &mut bytes).unwrap();
        let received = self.client.receive(&bytes, self.now);
        let Ok(Some((_, Event::Message(message)))) = received else {
            assert!(
                matches!(received, Ok(Some((_, Event::None)))),
                "{received:?}"
            );
            return None;
        };
        self.client.acknowledge(&message);
        Some((
            message.topic().to_string(),
            message.message().payload.to_vec(),
        ))
    }

    /// All that the Client has sent since the last call, in short.
    fn sent(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        loop {
            let next = self.client.outbox().next().unwrap();
            if next.is_empty() {
                break;
            }
            bytes.extend_from_slice(next);
            let count = next.len();
            self.client.outbox().wrote(count);
        }
        let mut packets = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((packet, len)) = decode(rest, self.version, MAX_PACKET_SIZE).unwrap() {
            packets.push(short(&packet));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        packets
    }

    fn publish(&mut self, qos: QoS, payload: &str) -> Result<u16, Unsendable> {
        let message = Message::new("t".into(), qos, false, PropertiesBuffer::new());
        let payload = Payload::Bytes(Rc::new(payload.as_bytes().to_vec()));
        self.client.publish(&Rc::new(message), payload)
    }

    fn wait(&mut self, seconds: u64) -> Result<(), Silent> {
        self.now += Duration::from_secs(seconds);
        self.client.tick(self.now)
    }
}

fn short(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &Ack<'_>| match ack.reason as u8 {
        0 => format!("{name} {}", ack.packet_identifier),
        code => format!("{name} {} {code:#x}", ack.packet_identifier),
    };
    match packet {
        Packet::Connect(_) => "CONNECT".into(),
        Packet::Publish(publish) => {
            let identifier = publish.packet_identifier.map_or(0, PacketIdentifier::get);
            let topic = publish.topic.map_or("-", TopicName::as_str);
            let payload = String::from_utf8_lossy(publish.payload);
            let flags = format!(
                "{}{}{}",
                if publish.dup { "d" } else { "" },
                publish.qos as u8,
                if publish.retain { "r" } else { "" }
            );
            let alias = publish.properties.get(PropertyIdentifier::TopicAlias);
            let alias = alias.map_or("", |_| "+");
            format!("PUBLISH {identifier} {flags} {topic}{alias} {payload}")
        }
        Packet::PubAck(packet) => ack("PUBACK", packet),
        Packet::PubRec(packet) => ack("PUBREC", packet),
        Packet::PubRel(packet) => ack("PUBREL", packet),
        Packet::PubComp(packet) => ack("PUBCOMP", packet),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {:#x}", disconnect.reason as u8),
        packet => format!("{:?}", packet.packet_type()),
    }
}

fn from_server<'a>(qos: QoS, identifier: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: (!topic.is_empty()).then(|| TopicName::new(topic).unwrap()),
        packet_identifier: PacketIdentifier::new(identifier),
        properties: Properties::EMPTY,
        payload: payload.as_bytes(),
    }
}

const ONE: QoS = QoS::AtLeastOnce;
const TWO: QoS = QoS::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

#[test]
fn acknowledgements_of_each_qos() {
    for version in [Version::V31, V311, V5] {
        let mut talk = Talk::online(version);
        assert_eq!(talk.publish(QoS::AtMostOnce, "a"), Ok(1));
        assert_eq!(talk.sent(), ["PUBLISH 0 0 t a"]);
        assert!(talk.client.is_acknowledged());

        assert_eq!(talk.publish(ONE, "b"), Ok(2));
        assert_eq!(talk.sent(), ["PUBLISH 2 1 t b"]);
        assert!(!talk.client.is_acknowledged());
        let published = talk.ack(AckType::PubAck, 2, OK);
        assert_eq!(
            published,
            "Ok(Published { identifier: 2, reason: Success, text: None })"
        );
        assert!(talk.client.is_acknowledged());

        assert_eq!(talk.publish(TWO, "c"), Ok(3));
        assert_eq!(talk.ack(AckType::PubRec, 3, OK), "Ok(None)");
        assert_eq!(talk.sent(), ["PUBLISH 3 2 t c", "PUBREL 3"]);
        let published = talk.ack(AckType::PubComp, 3, OK);
        assert!(
            published.starts_with("Ok(Published { identifier: 3"),
            "{published}"
        );
        assert!(talk.client.is_acknowledged() && talk.sent().is_empty());
    }
}

#[test]
fn an_error_in_pubrec_is_the_end_of_the_message() {
    let mut talk = Talk::online(V5);
    talk.publish(TWO, "a").unwrap();
    let published = talk.ack(AckType::PubRec, 1, ReasonCode::NotAuthorized);
    assert!(
        published.contains("identifier: 1, reason: NotAuthorized"),
        "{published}"
    );
    assert!(talk.client.is_acknowledged());
    assert_eq!(talk.sent(), ["PUBLISH 1 2 t a"]);
}

#[test]
fn answers_to_nothing_change_nothing() {
    let mut talk = Talk::online(V5);
    talk.publish(TWO, "a").unwrap();
    talk.sent();
    assert_eq!(talk.ack(AckType::PubAck, 9, OK), "Ok(None)");
    assert_eq!(talk.ack(AckType::PubComp, 9, OK), "Ok(None)");
    assert_eq!(
        talk.ack(AckType::PubComp, 1, OK),
        "Ok(None)",
        "before PUBREC"
    );
    assert_eq!(talk.ack(AckType::PubRec, 9, OK), "Ok(None)");
    assert_eq!(talk.sent(), ["PUBREL 9 0x92"]);
    assert!(!talk.client.is_acknowledged());
    // PUBACK is not the answer to QoS 2.
    assert_eq!(talk.ack(AckType::PubAck, 1, OK), "Violation(ProtocolError)");
    assert_eq!(talk.sent(), ["DISCONNECT 0x82"]);
}

#[test]
fn the_window_holds_messages_back_in_their_order() {
    let mut talk = Talk::online_with(
        V5,
        |start| start.max_in_flight = NonZeroU16::new(5).unwrap(),
        &[Property::ReceiveMaximum(2)],
    );
    for payload in ["a", "b", "c", "d"] {
        talk.publish(ONE, payload).unwrap();
    }
    assert_eq!(talk.sent(), ["PUBLISH 1 1 t a", "PUBLISH 2 1 t b"]);
    assert!(!talk.client.has_room());
    talk.ack(AckType::PubAck, 2, OK);
    assert_eq!(talk.sent(), ["PUBLISH 3 1 t c"]);
    talk.ack(AckType::PubAck, 1, OK);
    assert_eq!(talk.sent(), ["PUBLISH 4 1 t d"]);
    assert!(!talk.client.has_room());
    talk.ack(AckType::PubAck, 3, OK);
    assert!(talk.client.has_room());
}

#[test]
fn what_was_not_acknowledged_is_sent_again_as_far_as_it_had_come() {
    for session_present in [false, true] {
        let mut talk = Talk::online_with(
            V311,
            |start| {
                start.max_in_flight = NonZeroU16::new(3).unwrap();
                start.clean_start = false;
            },
            &[],
        );
        for (qos, payload) in [(ONE, "a"), (TWO, "b"), (TWO, "c"), (ONE, "d")] {
            talk.publish(qos, payload).unwrap();
        }
        talk.ack(AckType::PubRec, 2, OK);
        assert_eq!(talk.sent().len(), 4);
        talk.reconnect(session_present);
        assert_eq!(
            talk.sent(),
            ["PUBLISH 1 d1 t a", "PUBREL 2", "PUBLISH 3 d2 t c"]
        );
        talk.ack(AckType::PubAck, 1, OK);
        assert_eq!(talk.sent(), ["PUBLISH 4 1 t d"]);
    }
}

#[test]
fn a_message_published_without_connection_waits() {
    let mut talk = Talk::online(V311);
    talk.client.lost();
    talk.publish(ONE, "a").unwrap();
    assert!(talk.client.outbox().is_empty());
    talk.reconnect(false);
    assert_eq!(talk.sent(), ["PUBLISH 1 1 t a"]);
}

#[test]
fn identifiers_in_use_are_passed_over() {
    let mut talk = Talk::online_with(
        V311,
        |start| start.max_in_flight = NonZeroU16::new(2).unwrap(),
        &[],
    );
    talk.publish(ONE, "a").unwrap();
    for _ in 2..=u16::MAX {
        talk.publish(QoS::AtMostOnce, "").unwrap();
    }
    assert_eq!(talk.publish(ONE, "b"), Ok(2), "neither 0 nor 1");
}

#[test]
fn what_the_server_does_not_take_is_not_sent() {
    let limits = [Property::MaximumQoS(1), Property::MaximumPacketSize(10)];
    let mut talk = Talk::online_with(V5, |_| {}, &limits);
    assert_eq!(talk.publish(TWO, "a"), Err(Unsendable::QoS));
    // Two bytes of header, three of the topic, one of the properties, and two of the identifier.
    assert_eq!(talk.publish(QoS::AtMostOnce, "1234"), Ok(1));
    assert_eq!(
        talk.publish(QoS::AtMostOnce, "12345"),
        Err(Unsendable::Size)
    );
    assert_eq!(talk.publish(ONE, "12"), Ok(3));
    assert_eq!(talk.publish(ONE, "123"), Err(Unsendable::Size));
    assert_eq!(talk.sent().len(), 2);

    let mut talk = Talk::online_with(V5, |_| {}, &[Property::RetainAvailable(false)]);
    let message = Message::new("t".into(), ONE, true, PropertiesBuffer::new());
    talk.client
        .publish(&Rc::new(message), Payload::empty())
        .unwrap();
    assert_eq!(talk.sent(), ["PUBLISH 1 1 t "]);
}

#[test]
fn a_topic_alias_replaces_the_topic_once_it_is_known() {
    let mut properties = PropertiesBuffer::new();
    properties.push(Property::TopicAlias(3)).unwrap();
    properties.push(Property::UserProperty("a", "b")).unwrap();
    let message = Rc::new(Message::new("t".into(), ONE, false, properties));
    let publish = |talk: &mut Talk| {
        talk.client.publish(&message, Payload::empty()).unwrap();
        talk.sent()
    };
    let mut talk = Talk::online_with(V5, |_| {}, &[Property::TopicAliasMaximum(3)]);
    assert_eq!(publish(&mut talk), ["PUBLISH 1 1 t+ "]);
    assert_eq!(publish(&mut talk), ["PUBLISH 2 1 -+ "]);
    // Aliases end with the Network Connection [MQTT-3.3.2-7]; this Server has none for the next one.
    talk.reconnect(true);
    assert_eq!(talk.sent(), ["PUBLISH 1 d1 t ", "PUBLISH 2 d1 t "]);
    let mut talk = Talk::online_with(V5, |_| {}, &[Property::TopicAliasMaximum(2)]);
    assert_eq!(publish(&mut talk), ["PUBLISH 1 1 t "]);
    assert_eq!(publish(&mut talk), ["PUBLISH 2 1 t "]);
}

#[test]
fn messages_of_the_server_are_acknowledged_once_they_are_printed() {
    let mut talk = Talk::online(V311);
    let message = from_server(QoS::AtMostOnce, 0, "a", "0");
    assert_eq!(talk.message(message), Some(("a".into(), b"0".to_vec())));
    assert!(talk.sent().is_empty());
    talk.message(from_server(ONE, 5, "a", "1")).unwrap();
    assert_eq!(talk.sent(), ["PUBACK 5"]);
    talk.message(from_server(TWO, 6, "a", "2")).unwrap();
    assert_eq!(talk.sent(), ["PUBREC 6"]);
    assert!(!talk.client.is_released());
    assert_eq!(talk.message(from_server(TWO, 6, "a", "2")), None, "again");
    assert_eq!(talk.sent(), ["PUBREC 6"]);
    assert_eq!(talk.ack(AckType::PubRel, 6, OK), "Ok(None)");
    assert_eq!(talk.sent(), ["PUBCOMP 6"]);
    assert!(talk.client.is_released());
    talk.message(from_server(TWO, 6, "a", "3"))
        .expect("the identifier is free");
}

#[test]
fn an_unknown_pubrel_is_answered() {
    for (version, answer) in [(V311, "PUBCOMP 4"), (V5, "PUBCOMP 4 0x92")] {
        let mut talk = Talk::online(version);
        talk.ack(AckType::PubRel, 4, OK);
        assert_eq!(talk.sent(), [answer]);
    }
}

#[test]
fn what_the_server_has_not_released_outlives_a_connection_with_its_session() {
    let not_clean = |start: &mut Start| start.clean_start = false;
    for (session_present, change, is_known) in [
        (true, not_clean as Change, true),
        (false, not_clean, false),
        (true, |_| {}, false),
    ] {
        let mut talk = Talk::online_with(V5, change, &[]);
        talk.message(from_server(TWO, 6, "a", "2")).unwrap();
        talk.sent();
        talk.reconnect(session_present);
        let again = talk.message(from_server(TWO, 6, "a", "2"));
        assert_eq!(again.is_none(), is_known);
        assert_eq!(talk.sent(), ["PUBREC 6"]);
    }
}

#[test]
fn aliases_of_the_server() {
    let mut talk = Talk::online_with(V5, |start| start.topic_alias_maximum = 2, &[]);
    let alias = |number| {
        let mut properties = PropertiesBuffer::new();
        properties.push(Property::TopicAlias(number)).unwrap();
        properties
    };
    let second = alias(2);
    let publish = |topic| Publish {
        properties: second.as_properties(),
        ..from_server(QoS::AtMostOnce, 0, topic, "x")
    };
    let named = talk.message(publish("a/b"));
    assert_eq!(talk.message(publish("")), named);
    assert_eq!(named.unwrap().0, "a/b");
    let third = alias(3);
    let publish = Publish {
        properties: third.as_properties(),
        ..from_server(QoS::AtMostOnce, 0, "a", "x")
    };
    assert_eq!(
        talk.hear(Packet::Publish(publish)),
        "Violation(TopicAliasInvalid)"
    );
    assert_eq!(talk.sent(), ["DISCONNECT 0x94"]);
}

#[test]
fn refusals() {
    let mut talk = Talk::new(V311, |_| {});
    let refused = |code| format!("Ok(Refused({:?}))", Refusal::ReturnCode(code));
    assert_eq!(talk.hear_bytes(&[0x20, 2, 0, 5]), refused(5));
    assert!(!talk.client.is_online() && !talk.client.was_online());
    // Even with a code that there is not.
    assert_eq!(
        Talk::new(V311, |_| {}).hear_bytes(&[0x20, 2, 0, 7]),
        refused(7)
    );
    let refused = |code| format!("Ok(Refused({:?}))", Refusal::ReasonCode(code));
    let heard = Talk::new(V5, |_| {}).hear_bytes(&[0x20, 3, 0, 0x87, 0]);
    assert_eq!(heard, refused(0x87));
    // A Server of 3.x to a Client of 5.0.
    let heard = Talk::new(V5, |_| {}).hear_bytes(&[0x20, 2, 0, 1]);
    assert_eq!(heard, refused(0x84));
}

#[test]
fn packets_out_of_place() {
    let cases: [(Version, bool, &[u8]); 7] = [
        (V311, false, &[0x30, 4, 0, 1, b'a', b'x']),
        (V311, false, &[0xD0, 0]),
        (V311, true, &[0x20, 2, 0, 0]),
        (V311, true, &[0xE0, 0]),
        (V311, true, &[0xC0, 0]),
        (V5, true, &[0xF0, 0]),
        (V5, true, &[0x20, 3, 0, 0, 0]),
    ];
    for (version, is_online, bytes) in cases {
        let mut talk = match is_online {
            true => Talk::online(version),
            false => Talk::new(version, |_| {}),
        };
        let heard = talk.hear_bytes(bytes);
        assert!(heard.starts_with("Violation"), "{bytes:?}: {heard}");
        let farewell = talk.sent();
        assert_eq!(farewell.len(), usize::from(version == V5), "{farewell:?}");
        assert_eq!(talk.hear_bytes(&[0xFF]), "Ok(None)", "nobody listens");
    }
}

#[test]
fn the_server_disconnects() {
    let mut talk = Talk::online(V5);
    let packet = Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver));
    assert_eq!(talk.hear(packet), "Ok(Disconnected(SessionTakenOver))");
    talk.client.disconnect(OK);
    assert!(talk.sent().is_empty(), "there is nobody to be told");
}

#[test]
fn subscriptions_in_one_packet_and_each_unsubscription_in_its_own() {
    let mut talk = Talk::online(V5);
    let filters = ["a/+".to_string(), "b".to_string()];
    let options = SubscriptionOptions {
        qos: ONE,
        retain_as_published: true,
        ..SubscriptionOptions::default()
    };
    let none = PropertiesBuffer::new();
    let identifier = talk.client.subscribe(&filters, options, &none).unwrap();
    talk.client.unsubscribe("c", &none).unwrap();
    assert_eq!(talk.sent(), ["Subscribe", "Unsubscribe"]);
    let suback = Packet::SubAck(SubAck {
        packet_identifier: identifier,
        properties: Properties::EMPTY,
        codes: &[1, 0x87],
    });
    assert_eq!(
        talk.hear(suback),
        "Ok(Subscribed { identifier: 1, codes: [1, 135] })"
    );
    let trace = talk.client.take_trace();
    let lines = "\
Client null sending CONNECT
Client null received CONNACK (0)
Client null sending SUBSCRIBE (Mid: 1, Topic: a/+, QoS: 1, Options: 0x08)
Client null sending SUBSCRIBE (Mid: 1, Topic: b, QoS: 1, Options: 0x08)
Client null sending UNSUBSCRIBE (Mid: 2, Topic: c)
Client null received SUBACK
";
    assert_eq!(trace, lines);
}

#[test]
fn the_trace_names_the_client_as_soon_as_it_has_a_name() {
    let mut talk = Talk::new(V5, |_| {});
    talk.accept(false, &[Property::AssignedClientIdentifier("me")]);
    talk.publish(TWO, "abc").unwrap();
    talk.client.disconnect(OK);
    let trace = talk.client.take_trace();
    let lines = "\
Client null sending CONNECT
Client me received CONNACK (0)
Client me sending PUBLISH (d0, q2, r0, m1, 't', ... (3 bytes))
Client me sending DISCONNECT
";
    assert_eq!(trace, lines);
    assert_eq!(talk.client.take_trace(), "");
}

#[test]
fn keep_alive() {
    let mut talk = Talk::online(V311);
    assert_eq!(talk.wait(9), Ok(()));
    assert!(talk.sent().is_empty());
    assert_eq!(talk.wait(1), Ok(()));
    assert_eq!(talk.sent(), ["PingReq"]);
    talk.client.sent(talk.now);
    assert_eq!(talk.hear(Packet::PingResp), "Ok(None)");
    // A Client that hears and says nothing itself has to.
    assert_eq!(talk.wait(5), Ok(()));
    talk.message(from_server(QoS::AtMostOnce, 0, "a", "x"));
    assert_eq!(talk.wait(5), Ok(()));
    assert_eq!(talk.sent(), ["PingReq"]);
    // A long message on its way is a sign of life, and then there is none any more.
    assert_eq!(talk.wait(9), Ok(()));
    talk.client.sent(talk.now);
    assert_eq!(talk.wait(9), Ok(()));
    assert!(talk.sent().is_empty());
    assert_eq!(talk.wait(1), Err(Silent));
}

#[test]
fn a_server_may_want_another_keep_alive_or_none() {
    let mut talk = Talk::online_with(V5, |_| {}, &[Property::ServerKeepAlive(3)]);
    assert_eq!(talk.wait(3), Ok(()));
    assert_eq!(talk.sent(), ["PingReq"]);
    let mut talk = Talk::online_with(V5, |_| {}, &[Property::ServerKeepAlive(0)]);
    assert_eq!(talk.client.deadline(), None);
    assert_eq!(talk.wait(100_000), Ok(()));
    assert!(talk.sent().is_empty());
}

#[test]
fn connack_is_not_waited_for_without_limit() {
    assert_eq!(Talk::new(V311, |_| {}).wait(10), Err(Silent));
    let mut talk = Talk::new(V311, |start| start.keep_alive = Duration::ZERO);
    assert_eq!(talk.wait(59), Ok(()));
    assert_eq!(talk.wait(1), Err(Silent));
}
