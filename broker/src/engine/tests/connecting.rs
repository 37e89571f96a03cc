//! CONNECT, its refusals, and the end of connections.

use super::*;

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
        "CONNACK 00 TopicAliasMaximum(10) MaximumPacketSize(1048576) ReceiveMaximum(20)"
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
fn reason_codes_for_what_is_no_packet() {
    let mut house = House::new();
    let cases: [(&[u8], u8); 13] = [
        // Never a client's, whatever follows.
        (&[0x20, 0x02, 0x09, 0x00], 0x82),
        (&[0x90, 0x00], 0x82),
        (&[0xb0, 0x00], 0x82),
        (&[0xf0, 0x01, 0x00], 0x82),
        // But for these.
        (&[0x00, 0x00], 0x81),
        (&[0xf1, 0x00], 0x81),
        // A Packet Identifier of 0.
        (b"\x32\x06\x00\x01t\x00\x00\x00", 0x82),
        (b"\x62\x02\x00\x00", 0x82),
        (b"\x82\x07\x00\x00\x00\x00\x01t\x00", 0x81),
        // Topics that are none, and a Shared Subscription to nothing.
        (b"\x30\x04\x00\x01#\x00", 0x81),
        (b"\x82\x08\x00\x01\x00\x00\x02#+\x00", 0x81),
        (b"\xa2\x05\x00\x01\x00\x00\x00", 0x81),
        (b"\x82\x0e\x00\x01\x00\x00\x08$share/g\x00", 0x82),
    ];
    for (bytes, code) in cases {
        let client = house.client("a", &V5());
        house.engine.receive(house.now, client, bytes);
        let expected = format!("DISCONNECT {code:02x}\nCLOSED");
        assert_eq!(house.read(client), expected, "{bytes:02x?}");
    }
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
    assert_eq!(
        house.connect("b", &V5()).1,
        refused("87", "no user name and password given")
    );
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
    assert_eq!(
        strict.connect("", &V5()).1,
        refused("85", "empty client identifier, which the settings forbid")
    );
}

#[test]
fn connack_names_its_properties_in_the_order_of_mosquitto() {
    let limits = Limits {
        max_keep_alive: 60,
        max_qos: Q1,
        retain_available: false,
        max_session_expiry: Some(50),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let terms = Terms {
        properties: vec![Property::SessionExpiryInterval(100)],
        ..V5()
    };
    let (_, answer) = house.connect("", &terms);
    let (before, rest) = answer.split_once(" AssignedClientIdentifier(\"").unwrap();
    let (assigned, after) = rest.split_once("\")").unwrap();
    assert_eq!(
        before,
        "CONNACK 00 ServerKeepAlive(60) TopicAliasMaximum(10)"
    );
    let groups: Vec<_> = assigned.split('-').map(str::len).collect();
    assert_eq!(groups, [4, 8, 4, 4, 4, 12], "{assigned}");
    assert_eq!(
        after,
        " RetainAvailable(false) MaximumPacketSize(1048576) ReceiveMaximum(20) MaximumQoS(1) \
         SessionExpiryInterval(50)"
    );
}

#[test]
fn enhanced_authentication_is_refused_politely() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::AuthenticationMethod("SCRAM")],
        ..V5()
    };
    let words = "it asks for enhanced authentication, which this broker does not offer";
    assert_eq!(house.connect("a", &terms).1, refused("8c", words));
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
    let words = "no more clients may be connected at a time (MAX_CLIENTS)";
    assert_eq!(house.connect("b", &V5()).1, refused("97", words));
    assert_eq!(house.connect("b", &V3()).1, "CONNACK 03\nCLOSED");
    let second = house.client("a", &V5());
    assert_eq!(house.read(first), "DISCONNECT 8e\nCLOSED");
    house.lose(second);
    house.client("b", &V5());
}

#[test]
fn a_3_x_client_is_refused_for_a_keep_alive_that_the_settings_forbid() {
    let limits = Limits {
        max_keep_alive: 100,
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let asking_for = |version, keep_alive| Terms {
        version,
        keep_alive,
        ..V3()
    };
    for version in [Version::V31, Version::V311] {
        let answer = |house: &mut House, seconds| {
            let (_, answer) = house.connect("a", &asking_for(version, seconds));
            answer
        };
        assert_eq!(answer(&mut house, 100), "CONNACK 00");
        assert_eq!(answer(&mut house, 101), "CONNACK 02\nCLOSED");
        assert_eq!(answer(&mut house, 0), "CONNACK 02\nCLOSED");
    }
    let (_, answer) = house.connect("b", &asking_for(Version::V5, 0));
    assert!(answer.contains("ServerKeepAlive(100)"), "{answer}");
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
    assert_eq!(
        house.connect("a", &will).1,
        refused("9b", "its Will Message has a QoS above MAX_QOS")
    );
    let will = Terms {
        will: Some(("w", b"", Q0, true)),
        ..V5()
    };
    let words = "its Will Message is to be retained, which the settings forbid";
    assert_eq!(house.connect("a", &will).1, refused("9a", words));
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
fn a_connect_that_is_none_is_explained_to_a_client_of_5_0() {
    let mut house = House::new();
    let mut said = |bytes: &[u8]| {
        let key = house.call();
        house.engine.receive(house.now, key, bytes);
        house.read(key)
    };
    let reserved_flag = b"\x10\x0e\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01a";
    assert_eq!(said(reserved_flag), "CONNACK 81\nCLOSED");
    let too_large = b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05";
    assert_eq!(said(too_large), "CONNACK 95\nCLOSED");
    // A client of 3.1.1 is closed without a word [MQTT-3.1.4-1].
    assert_eq!(
        said(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01a"),
        "CLOSED"
    );
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
fn what_was_promised_stays_so_under_other_settings() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    for id in 1..=3 {
        house.publish(client, "t", b"", Q2, id);
    }
    let tighter = Limits {
        max_inflight: 2,
        max_qos: Q0,
        retain_available: false,
        ..limits()
    };
    house
        .engine
        .apply(house.now, tighter, Access::new(Authentication::None));
    assert_eq!(house.publish(client, "t", b"", Q2, 4), "PUBREC #4 00");
    assert_eq!(house.retain(client, "t", b"x"), "PUBACK #77 10");
    assert!(house.connect("b", &V5()).1.contains("MaximumQoS(0)"));
}

#[test]
fn single_bytes_are_no_sign_of_life() {
    let mut house = House::new();
    let client = house.client(
        "a",
        &Terms {
            keep_alive: 2,
            ..V5()
        },
    );
    let packet = [&[0x30, 100, 0, 1, b't'][..], &[0; 98]].concat();
    for sent in 1..5 {
        house.engine.receive(house.now, client, &packet[..sent]);
        house.wait(1);
    }
    assert_eq!(house.read(client), "DISCONNECT 8d\nCLOSED");
    // A large packet may take its time.
    let client = house.client(
        "a",
        &Terms {
            keep_alive: 2,
            ..V5()
        },
    );
    let packet = [&[0x30, 0x80, 0x80, 0x02, 0, 1, b't'][..], &[0; 20_000]].concat();
    for sent in 1..20 {
        house
            .engine
            .receive(house.now, client, &packet[..sent * 1000 + 10]);
        house.wait(2);
    }
    assert_eq!(house.engine.verdict(client), Verdict::Keep);
}

#[test]
fn idle_strangers_make_room() {
    let mut house = House::new();
    let (old, client, young) = (house.call(), house.client("a", &V3()), house.call());
    assert!(house.engine.make_place(house.now));
    assert_eq!(house.engine.verdict(old), Verdict::CloseNow);
    assert_eq!(house.engine.verdict(young), Verdict::Keep);
    house.lose(old);
    assert!(house.engine.make_place(house.now));
    assert!(!house.engine.make_place(house.now));
    assert_eq!(house.engine.verdict(client), Verdict::Keep);
}

#[test]
fn who_was_ended_and_stays_makes_room_first() {
    let mut house = House::new();
    let (stranger, young) = (house.call(), house.call());
    let half = [&[0x10, 0xff, 0x7f, 0, 4][..], b"MQTT", &[7; 5000]].concat();
    house.engine.receive(house.now, stranger, &half[..9]);
    assert_eq!(house.engine.receive(house.now, stranger, &half), 0);
    assert!(house.engine.connection_account.bytes() > 5000);
    house
        .engine
        .receive(house.now, stranger, b"\x10\xff\xff\xff\xff");
    assert_eq!(house.engine.verdict(stranger), Verdict::CloseWhenWritten);
    // It holds nothing any more, and its place is the first to go.
    assert_eq!(house.engine.connection_account.bytes(), 0);
    assert!(house.engine.make_place(house.now));
    assert_eq!(house.engine.verdict(stranger), Verdict::CloseNow);
    assert_eq!(house.engine.verdict(young), Verdict::Keep);
}

#[test]
fn answers_too_large_for_the_client_end_the_connection() {
    let mut house = House::new();
    let tiny = Terms {
        properties: vec![Property::MaximumPacketSize(8)],
        ..V5()
    };
    assert_eq!(house.connect("a", &tiny).1, "CLOSED");
    // Nothing of it is left for the next one to stumble over.
    assert_eq!((house.engine.clients(), house.engine.sessions()), (0, 0));
    let small = Terms {
        properties: vec![
            Property::MaximumPacketSize(30),
            Property::SessionExpiryInterval(10),
        ],
        ..KEPT()
    };
    let client = house.client("a", &small);
    let many: Vec<_> = ["t"; 30].map(|filter| (filter, options(Q1))).to_vec();
    assert_eq!(house.subscribe(client, &many, &[]), "CLOSED");
    assert_eq!((house.engine.clients(), house.engine.sessions()), (0, 1));
    let other = house.client("b", &V5());
    house.publish(other, "t", b"x", Q1, 1);
    let (_, answer) = house.connect("a", &KEPT());
    assert!(answer.ends_with("PUBLISH t \"x\" q1 #1"), "{answer}");
}

#[test]
fn nobody_listens_for_ever_after_the_end() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    house.engine.receive(house.now, client, &[0; 2]);
    assert_eq!(house.engine.verdict(client), Verdict::CloseWhenWritten);
    for _ in 0..10 {
        house.engine.receive(house.now, client, &[0; 30_000]);
    }
    assert_eq!(house.engine.verdict(client), Verdict::CloseNow);
}
