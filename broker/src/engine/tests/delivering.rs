//! From publisher to subscriber.

use super::*;

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
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    let cases: [(QoS, &[AckType]); 6] = [
        (Q1, &[AckType::PubRec]),
        (Q1, &[AckType::PubComp]),
        (Q2, &[AckType::PubAck]),
        (Q2, &[AckType::PubComp]),
        (Q2, &[AckType::PubRec, AckType::PubAck]),
        // None is wrong for an identifier that is not in use.
        (Q0, &[AckType::PubAck, AckType::PubComp]),
    ];
    for (qos, acks) in cases {
        let mut house = House::new();
        let client = house.client("a", &V5());
        house.subscribe(client, &[("t", options(qos))], &[]);
        house.publish(client, "t", b"x", qos, 1);
        let (last, before) = acks.split_last().unwrap();
        for &ack in before {
            house.ack(client, ack, 1);
        }
        let expected = match qos {
            QoS::AtMostOnce => "",
            _ => "DISCONNECT 82\nCLOSED",
        };
        assert_eq!(house.ack(client, *last, 1), expected, "{qos:?} {acks:?}");
    }
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
    assert_eq!(house.publish(publisher, "t", b"", Q2, 1), "PUBREC #1 00");
    assert_eq!(house.publish(publisher, "t", b"", Q2, 2), "PUBREC #2 00");
    assert_eq!(house.publish(publisher, "t", b"", Q2, 2), "PUBREC #2 00");
    assert_eq!(
        house.publish(publisher, "t", b"", Q2, 3),
        "DISCONNECT 93\nCLOSED"
    );
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
    // A subscription matches all the same.
    assert_eq!(house.publish(one, "t", b"mine", Q1, 1), "PUBACK #1 00");
    assert_eq!(house.publish(one, "u", b"mine", Q1, 2), "PUBACK #2 10");
    house.publish(other, "t", b"theirs", Q0, 0);
    assert_eq!(house.read(one), "PUBLISH t \"theirs\" q0");
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
    let before = house.engine.account.bytes();
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
    assert_eq!(house.engine.account.bytes(), before);
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
fn the_brokers_own_topics_are_not_for_clients() {
    let mut house = House::new();
    let (client, old) = (house.client("a", &V5()), house.client("b", &V3()));
    let said = house.publish(client, "$SYS/broker/uptime", b"0", Q1, 1);
    assert!(said.starts_with("PUBACK #1 87 "), "{said}");
    let said = house.publish(client, "$SYS/broker/uptime", b"0", Q2, 1);
    assert!(said.starts_with("PUBREC #1 87 "), "{said}");
    assert_eq!(house.publish(client, "t", b"0", Q2, 1), "PUBREC #1 00");
    assert_eq!(
        house.publish(old, "$SYS/broker/uptime", b"0", Q1, 1),
        "PUBACK #1 00"
    );
}

#[test]
fn qos_0_does_not_overtake_qos_0() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(1)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &terms));
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.publish(publisher, "t", &[b'x'; 40_000], Q0, 0);
    house.publish(publisher, "t", &[b'x'; 40_000], Q0, 0);
    for qos in [Q1, Q1, Q0] {
        house.publish(publisher, "t", b"first", qos, 1);
    }
    // There is room now, but the window is full.
    assert_eq!(house.read(subscriber).lines().count(), 3);
    house.publish(publisher, "t", b"second", Q0, 0);
    assert_eq!(house.read(subscriber), "");
    let rest = house.ack(subscriber, AckType::PubAck, 1);
    let rest: Vec<_> = rest.lines().collect();
    assert_eq!(
        rest,
        [
            "PUBLISH t \"first\" q1 #2",
            "PUBLISH t \"first\" q0",
            "PUBLISH t \"second\" q0"
        ]
    );
}

#[test]
fn large_payloads_are_held_once() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let subscribers: Vec<_> = (0..50)
        .map(|number| {
            let terms = if number % 2 == 0 { V3() } else { V5() };
            let key = house.client(&format!("s{number}"), &terms);
            house.subscribe(key, &[("t", options(Q1))], &[]);
            key
        })
        .collect();
    let before = house.engine.account.bytes();
    let payload: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    house.publish(publisher, "t", &payload, Q1, 1);
    assert!(house.engine.account.bytes() - before < 1_001_000);
    for (number, key) in subscribers.into_iter().enumerate() {
        let mut received = Vec::new();
        while !house.engine.outbox(key).is_empty() {
            let part = house.engine.outbox(key).to_vec();
            received.extend_from_slice(&part);
            house.engine.written(house.now, key, part.len());
        }
        let version = if number % 2 == 0 {
            Version::V311
        } else {
            Version::V5
        };
        let (packet, used) = mqtt::decode(&received, version, u32::MAX).unwrap().unwrap();
        assert_eq!(used, received.len());
        assert!(matches!(packet, Packet::Publish(it) if it.payload == payload));
    }
    assert_eq!(house.engine.account.bytes(), before);
}

#[test]
fn a_client_of_version_3_may_have_every_identifier_under_way() {
    let mut house = House::new();
    let client = house.client("a", &V3());
    for id in 1..=u16::MAX {
        assert_eq!(
            house.publish(client, "t", b"", Q2, id),
            format!("PUBREC #{id} 00")
        );
    }
    assert_eq!(house.publish(client, "t", b"", Q2, 1), "PUBREC #1 00");
    assert_eq!(house.ack(client, AckType::PubRel, 9), "PUBCOMP #9 00");
}
