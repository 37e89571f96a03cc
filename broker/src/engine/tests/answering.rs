//! What the broker tells its 5.0 clients beside the bare answer: reasons, aliases, where answers may go.

use super::*;

const LONG: &str = "building/floor7/room42/temperature";

#[test]
fn reasons_are_given_to_whoever_wants_them() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    let answer = house.publish(client, "$SYS/x", b"", Q1, 1);
    assert!(answer.starts_with("PUBACK #1 87 ReasonString("), "{answer}");
    let quiet = Terms {
        properties: vec![Property::RequestProblemInformation(false)],
        ..V5()
    };
    let client = house.client("b", &quiet);
    assert_eq!(house.publish(client, "$SYS/x", b"", Q1, 1), "PUBACK #1 87");
    // Who does not say whether it wants any gets none, as with Mosquitto.
    let client = house.call();
    let connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d";
    house.engine.receive(house.now, client, connect);
    house.read(client);
    assert_eq!(
        house.publish(client, "$SYS/x", b"", Q1, 1),
        "PUBACK #1 87" // [MQTT-3.1.2-29]
    );
    // [MQTT-3.4.2-2]: the reason would make it too large.
    let small = Terms {
        properties: vec![Property::MaximumPacketSize(50)],
        ..V5()
    };
    let client = house.client("c", &small);
    assert_eq!(house.publish(client, "$SYS/x", b"", Q1, 1), "PUBACK #1 87");
}

#[test]
fn a_client_that_can_not_take_its_answers_is_ended_in_order() {
    let mut house = House::new();
    let tiny = Terms {
        properties: vec![
            Property::MaximumPacketSize(30),
            Property::SessionExpiryInterval(60),
        ],
        clean: false,
        ..V5()
    };
    let client = house.client("a", &tiny);
    let filters: Vec<String> = (0..30).map(|number| format!("t/{number}")).collect();
    let filters: Vec<_> = filters
        .iter()
        .map(|filter| (&**filter, options(Q1)))
        .collect();
    assert_eq!(house.subscribe(client, &filters, &[]), "CLOSED");
    assert_eq!((house.engine.clients(), house.engine.sessions()), (0, 1));
    // Its session is as any other that waits for its client.
    let other = house.client("b", &V5());
    assert_eq!(house.publish(other, "t/7", b"x", Q1, 1), "PUBACK #1 00");
    let client = house.client("a", &tiny);
    let hundred = Terms {
        properties: vec![Property::MaximumPacketSize(3)],
        ..V5()
    };
    assert_eq!(house.connect("a", &hundred).1, "CLOSED");
    assert!(house.read(client).starts_with("DISCONNECT 8e"));
    assert_eq!(house.engine.clients(), 1);
}

#[test]
fn text_is_text() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    house.subscribe(client, &[("t", options(Q0))], &[]);
    let text = [Property::PayloadFormatIndicator(1)];
    let mut says = |payload: &[u8], qos, properties: &[Property<'_>]| {
        house.publish_with(client, "t", payload, (qos, 7, false), properties)
    };
    assert!(says("Wärme".as_bytes(), Q1, &text).contains("PUBACK #7 00"));
    assert!(says(b"\xff", Q1, &[Property::PayloadFormatIndicator(0)]).contains("PUBACK #7 00"));
    assert!(says(b"\xff", Q1, &text).starts_with("PUBACK #7 99 "));
    assert!(says(b"\xff", Q2, &text).starts_with("PUBREC #7 99 "));
    // The refused one is no duplicate of the next [MQTT-4.3.3-9].
    assert!(says(b"ok", Q2, &text).contains("PUBREC #7 00"));
    assert_eq!(says(b"\xff", Q0, &text), "DISCONNECT 99\nCLOSED");
    let will = Terms {
        will: Some(("w", b"\xff", Q0, false)),
        will_properties: text.to_vec(),
        ..V5()
    };
    let answer = house.connect("b", &will).1;
    assert!(answer.starts_with("CONNACK 99 "), "{answer}");
}

#[test]
fn response_information_is_there_when_asked_for() {
    let mut house = House::new();
    let asks = |wanted| Terms {
        properties: vec![Property::RequestResponseInformation(wanted)],
        ..V5()
    };
    let (_, answer) = house.connect("meter", &asks(true));
    assert!(
        answer.contains("ResponseInformation(\"response/meter\")"),
        "{answer}"
    );
    let (_, answer) = house.connect("meter", &asks(false));
    assert!(!answer.contains("ResponseInformation"), "{answer}"); // [MQTT-3.1.2-28]
    let (_, answer) = house.connect("a+b", &asks(true));
    assert!(!answer.contains("ResponseInformation"), "{answer}");
}

#[test]
fn topics_that_come_again_travel_as_numbers() {
    let mut house = House::new();
    let takes = Terms {
        properties: vec![Property::TopicAliasMaximum(1)],
        ..V5()
    };
    let reader = house.client("r", &takes);
    house.subscribe(reader, &[("#", options(Q1))], &[]);
    let plain = house.client("p", &V5());
    house.subscribe(plain, &[("#", options(Q1))], &[]);
    let writer = house.client("w", &V5());
    let mut reads = |topic: &str| {
        house.publish(writer, topic, b"21", Q0, 0);
        (house.read(reader), house.read(plain))
    };
    let full = format!("PUBLISH {LONG} \"21\" q0");
    let first = format!("{full} TopicAlias(1)");
    assert_eq!(reads(LONG), (first, full.clone()));
    assert_eq!(
        reads(LONG),
        ("PUBLISH - \"21\" q0 TopicAlias(1)".into(), full)
    );
    // The number is taken, and a short topic would not gain by one.
    let other = "PUBLISH other/topic \"21\" q0";
    assert_eq!(reads("other/topic"), (other.into(), other.into()));
    assert_eq!(reads("abc").0, "PUBLISH abc \"21\" q0");
}

#[test]
fn aliases_end_with_their_connection() {
    let mut house = House::new();
    let takes = Terms {
        properties: vec![
            Property::TopicAliasMaximum(5),
            Property::SessionExpiryInterval(60),
        ],
        clean: false,
        ..V5()
    };
    let reader = house.client("r", &takes);
    house.subscribe(reader, &[(LONG, options(Q1))], &[]);
    let writer = house.client("w", &V5());
    house.publish(writer, LONG, b"1", Q1, 1);
    let held = house.engine.connection_account.bytes();
    assert!(held > LONG.len());
    assert!(house.read(reader).ends_with("TopicAlias(1)"));
    house.lose(reader);
    assert_eq!(house.engine.connection_account.bytes(), 0);
    // Sent again without its number, and the next one sets the number anew.
    let reader = house.client("r", &takes);
    assert_eq!(house.read(reader), "");
    house.publish(writer, LONG, b"2", Q1, 2);
    let read = house.read(reader);
    assert_eq!(read, format!("PUBLISH {LONG} \"2\" q1 #2 TopicAlias(1)"));
}

#[test]
fn a_packet_that_was_too_large_sets_no_alias() {
    let mut house = House::new();
    let takes = Terms {
        properties: vec![
            Property::TopicAliasMaximum(5),
            Property::MaximumPacketSize(100),
        ],
        ..V5()
    };
    // Two bytes of header, the topic and its length, the length of the properties: so much payload fits without an alias.
    let room = 100 - 2 - 2 - LONG.len() - 1;
    let reader = house.client("r", &takes);
    house.subscribe(reader, &[(LONG, options(Q0))], &[]);
    let writer = house.client("w", &V5());
    house.publish(writer, LONG, &vec![b'x'; room + 1], Q0, 0);
    assert_eq!(house.read(reader), "");
    house.publish(writer, LONG, &vec![b'x'; room], Q0, 0);
    let read = house.read(reader);
    assert!(
        read.starts_with(&format!("PUBLISH {LONG} \"xxx")) && !read.contains("TopicAlias"),
        "{read}"
    );
    house.publish(writer, LONG, b"x", Q0, 0);
    assert_eq!(
        house.read(reader),
        format!("PUBLISH {LONG} \"x\" q0 TopicAlias(1)")
    );
}
