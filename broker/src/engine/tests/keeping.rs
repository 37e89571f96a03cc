//! What is kept: Retained Messages, Sessions, queues.

use super::*;

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
        answer.starts_with("CONNACK 00 ") && !answer.contains("present"),
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
    assert_eq!(house.engine.stats().dropped.total(), 2);
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
    assert!(house.engine.stats().dropped.total() > 100);
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
    assert_eq!(rest, ["PUBLISH t \"long\" q1 #2 MessageExpiryInterval(50)"]);
    house.wait(50);
    let late = house.client("late", &V3());
    assert_eq!(
        house.subscribe(late, &[("t", options(Q1))], &[]),
        "SUBACK [01]"
    );
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

#[test]
fn sessions_left_behind_are_bounded_and_connected_ones_are_safe() {
    for expiry in [3600, u32::MAX] {
        let mut house = House::with(
            Limits {
                max_session_expiry: None,
                ..limits()
            },
            Authentication::None,
        );
        let terms = Terms {
            properties: vec![Property::SessionExpiryInterval(expiry)],
            ..KEPT()
        };
        let first = house.client("first", &terms);
        for number in 0..3000 {
            let key = house.client(&format!("c{number}"), &terms);
            house.subscribe(key, &[("t/+", options(Q1))], &[]);
            house.lose(key);
        }
        assert_eq!(house.engine.sessions(), 1024);
        assert_eq!(house.engine.subscriptions(), 1023);
        assert_eq!(house.send(first, Version::V5, &Packet::PingReq), "PINGRESP");
    }
}

#[test]
fn a_live_message_does_not_overtake_the_retained_one() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(1)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &terms));
    house.retain(publisher, "a", b"a");
    house.retain(publisher, "b", b"old");
    house.subscribe(subscriber, &[("#", options(Q1))], &[]);
    house.publish(publisher, "b", b"new", Q0, 0);
    assert_eq!(house.read(subscriber), "");
    let answer = house.ack(subscriber, AckType::PubAck, 1);
    assert_eq!(
        answer,
        "PUBLISH b \"old\" q1 #2 retain\nPUBLISH b \"new\" q0"
    );
}

#[test]
fn a_replay_takes_the_place_of_what_waits_of_an_earlier_one() {
    let mut house = House::new();
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(1)],
        ..V5()
    };
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &terms));
    for number in 0..10 {
        house.retain(publisher, &format!("t/{number}"), b"x");
    }
    for _ in 0..10 {
        house.subscribe(
            subscriber,
            &[("t/#", options(Q1)), ("t/#", options(Q1))],
            &[],
        );
    }
    let session = &house.engine.sessions[house.engine.find_session("s").unwrap() as usize];
    // All of them wait once [MQTT-3.8.4-4], behind the one that was on its way at the first time.
    assert_eq!(
        (session.queue.replays().count(), session.window.len()),
        (1, 1)
    );
    for id in 1..=10 {
        let answer = house.ack(subscriber, AckType::PubAck, id);
        let topic = format!("t/{}", id - 1);
        let expected = format!("PUBLISH {topic} \"x\" q1 #{} retain", id + 1);
        assert_eq!(answer, expected);
    }
    assert_eq!(house.ack(subscriber, AckType::PubAck, 11), "");
}

#[test]
fn no_window_holds_back_what_is_to_be_released() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let subscriber = house.client("s", &KEPT());
    house.subscribe(subscriber, &[("t", options(Q2))], &[]);
    for id in 1..=5 {
        house.publish(publisher, "t", &[b'0' + id], Q2, id.into());
        house.ack(publisher, AckType::PubRel, id.into());
    }
    house.read(subscriber);
    for id in [2, 4, 5] {
        house.ack(subscriber, AckType::PubRec, id);
    }
    house.lose(subscriber);
    let narrow = Terms {
        properties: vec![
            Property::ReceiveMaximum(1),
            Property::SessionExpiryInterval(3600),
        ],
        ..KEPT()
    };
    let (subscriber, answer) = house.connect("s", &narrow);
    let lines: Vec<_> = answer.lines().skip(1).collect();
    let one = "PUBLISH t \"1\" q2 #1 dup";
    assert_eq!(lines, [one, "PUBREL #2 00", "PUBREL #4 00", "PUBREL #5 00"]);
    for id in [2, 4, 5] {
        assert_eq!(house.ack(subscriber, AckType::PubComp, id), "");
    }
    assert_eq!(house.ack(subscriber, AckType::PubRec, 1), "PUBREL #1 00");
    assert_eq!(
        house.ack(subscriber, AckType::PubComp, 1),
        "PUBLISH t \"3\" q2 #3 dup"
    );
}

#[test]
fn expired_retained_messages_make_room() {
    let limits = Limits {
        max_retained: Some(2),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let publisher = house.client("p", &V5());
    let lifetime = [Property::MessageExpiryInterval(5)];
    for topic in ["a", "b"] {
        house.publish_with(publisher, topic, b"x", (Q0, 0, true), &lifetime);
    }
    house.retain(publisher, "c", b"no room");
    assert_eq!(house.engine.retained(), 2);
    house.wait(5);
    house.retain(publisher, "c", b"room");
    assert_eq!(house.engine.retained(), 1);
    house.publish_with(publisher, "d", b"x", (Q0, 0, true), &lifetime);
    house.wait(60);
    assert_eq!(house.engine.retained(), 1);
}

#[test]
fn strangers_push_out_empty_sessions_before_those_that_hold_something() {
    let mut house = House::new();
    let honest = house.client("honest", &KEPT());
    house.subscribe(honest, &[("alarm", options(Q1))], &[]);
    house.lose(honest);
    for number in 0..2000 {
        let key = house.client(&format!("made up {number}"), &KEPT());
        house.lose(key);
    }
    assert!(
        house
            .connect("honest", &KEPT())
            .1
            .starts_with("CONNACK 00 present")
    );
}

#[test]
fn whatever_clients_leave_behind_memory_stays_bounded() {
    let limits = Limits {
        max_memory: 2_000_000,
        max_subscriptions: None,
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let long = "x/".repeat(200) + &"y".repeat(30_000);
    for round in 0..200 {
        let terms = Terms {
            will: Some(("will", &[0; 60_000], Q1, true)),
            will_properties: vec![Property::WillDelayInterval(100_000)],
            ..KEPT()
        };
        let (key, answer) = house.connect(&format!("{round}{long}"), &terms);
        if answer.contains("CLOSED") {
            continue;
        }
        house.subscribe(key, &[(&format!("{round}/{long}"), options(Q1))], &[]);
        house.retain(key, &format!("{round}/{long}"), &[0; 1000]);
        if house.engine.verdict(key) == Verdict::Keep {
            let alias = [Property::TopicAlias(1)];
            house.publish_with(key, &format!("{round}{long}"), b"", (Q0, 0, false), &alias);
        }
        let _ = house.engine.receive(
            house.now,
            key,
            &[&[0x30, 0xff, 0xff, 0x3f][..], &[0; 20_000]].concat(),
        );
        if round % 2 == 0 && house.engine.connections.contains(key as usize) {
            house.lose(key);
        }
        assert!(
            house.engine.account.bytes() < 2_300_000,
            "{}",
            house.engine.account.bytes()
        );
    }
}
