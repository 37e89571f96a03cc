//! Limits, and what happens at them.

use settings::Drops;

use super::super::replay::STEPS_A_SLICE;
use super::*;

fn with(change: impl FnOnce(&mut Limits)) -> House {
    let mut limits = limits();
    change(&mut limits);
    House::with(limits, Authentication::None)
}

/// A client that is away and has subscribed to everything.
fn absent(house: &mut House, name: &str) {
    let key = house.client(name, &KEPT());
    house.subscribe(key, &[("#", options(Q1))], &[]);
    house.lose(key);
}

fn waiting(house: &mut House, name: &str) -> Vec<String> {
    let (key, answer) = house.connect(name, &KEPT());
    let mut text = answer;
    let mut payloads = Vec::new();
    loop {
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("PUBLISH"))
            .collect();
        if lines.is_empty() {
            return payloads;
        }
        let mut ids = Vec::new();
        for line in lines {
            payloads.push(line.split('"').nth(1).unwrap().to_owned());
            let id = line.split('#').nth(1).unwrap();
            ids.push(id.split(' ').next().unwrap().parse().unwrap());
        }
        text = ids
            .into_iter()
            .map(|id| house.ack(key, AckType::PubAck, id) + "\n")
            .collect();
    }
}

#[test]
fn a_full_queue_drops_its_oldest_or_its_newest_as_the_settings_say() {
    for (drops, kept) in [(Drops::Oldest, ["2", "3"]), (Drops::Newest, ["1", "2"])] {
        let mut house = with(|limits| {
            limits.max_queued_messages = Some(2);
            limits.full_queue_drops = drops;
        });
        absent(&mut house, "a");
        let writer = house.client("w", &V5());
        for (id, payload) in [b"1", b"2", b"3"].into_iter().enumerate() {
            let answer = house.publish(writer, "t", payload, Q1, id as u16 + 1);
            assert!(answer.ends_with(" 00"), "{answer}");
        }
        assert_eq!(waiting(&mut house, "a"), kept);
        assert_eq!(house.engine.stats().dropped.total(), 1);
    }
}

#[test]
fn topics_have_a_longest_and_a_deepest() {
    let mut house = with(|limits| {
        limits.max_topic_levels = Some(3);
        limits.max_topic_length = 10;
    });
    let client = house.client("a", &V5());
    assert_eq!(
        house.subscribe(
            client,
            &[("a/b/c", options(Q0)), ("a/b/c/d", options(Q0))],
            &[]
        ),
        "SUBACK [00, 8f]"
    );
    assert_eq!(
        house.subscribe(
            client,
            &[("0123456789", options(Q0)), ("0123456789a", options(Q0))],
            &[]
        ),
        "SUBACK [00, 8f]"
    );
    assert_eq!(house.publish(client, "x/y/z", b"", Q1, 1), "PUBACK #1 10");
    assert_eq!(
        house.publish(client, "x/y/z/", b"", Q1, 1),
        "DISCONNECT 90\nCLOSED"
    );
    let client = house.client("a", &V5());
    assert_eq!(
        house.publish(client, "0123456789a", b"", Q0, 1),
        "DISCONNECT 90\nCLOSED"
    );
    let will = Terms {
        will: Some(("a/b/c/d", b"", Q0, false)),
        ..V5()
    };
    assert!(house.connect("b", &will).1.starts_with("CONNACK 90"));
}

#[test]
fn a_message_that_is_too_large_for_its_client_leaves_no_buffer_behind() {
    let mut house = House::new();
    let small = Terms {
        properties: vec![Property::MaximumPacketSize(100)],
        ..V5()
    };
    let (reader, writer) = (house.client("r", &small), house.client("w", &V5()));
    house.subscribe(reader, &[("#", options(Q0))], &[]);
    // The first is too large whatever stands before its payload.
    for (topic, len) in [("t", 10_000), (&*"t".repeat(100), 1)] {
        house.publish(writer, topic, &vec![b'x'; len], Q0, 0);
        house.engine.check();
    }
    assert_eq!(house.engine.stats().dropped.too_large, 2);
}

/// What lies in an outbox is charged to nobody.
#[test]
fn a_very_large_payload_for_one_that_does_not_read_is_charged() {
    let mut house = House::new();
    let (reader, writer) = (house.client("r", &V3()), house.client("w", &V3()));
    house.subscribe(reader, &[("t", options(Q0))], &[]);
    let before = house.engine.account.bytes();
    house.publish(writer, "t", &[b'x'; 200_000], Q0, 0);
    assert!(house.engine.account.bytes() > before + 200_000);
    assert_eq!(house.read(reader), "PUBLISH t \"xxxxxxxxxxxxxxxxxxxx\" q0");
    assert_eq!(house.engine.account.bytes(), before);
}

#[test]
fn wills_are_not_delayed_for_longer_than_allowed() {
    let mut house = with(|limits| limits.max_will_delay = Some(10));
    let reader = house.client("r", &V5());
    house.subscribe(reader, &[("w", options(Q0))], &[]);
    let will = Terms {
        will: Some(("w", b"gone", Q0, false)),
        will_properties: vec![Property::WillDelayInterval(1000)],
        ..KEPT()
    };
    let client = house.client("a", &will);
    house.lose(client);
    house.wait(9);
    assert_eq!(house.read(reader), "");
    house.wait(1);
    assert_eq!(house.read(reader), "PUBLISH w \"gone\" q0");
}

#[test]
fn retained_messages_have_their_part_of_the_memory() {
    let mut house = with(|limits| limits.max_retained_bytes = 10_000);
    let client = house.client("a", &V5());
    let mut refused = 0;
    for number in 0..100 {
        let answer = house.retain(client, &format!("t/{number}"), &[0; 500]);
        assert!(house.engine.retained.bytes() <= 10_000 + 1000);
        refused += usize::from(answer.starts_with("PUBACK #77 97 "));
    }
    assert_eq!(house.engine.retained(), 100 - refused);
    assert!((50..95).contains(&refused), "{refused}");
    assert_eq!(house.engine.stats().dropped.total(), refused as u64);
    // Removing one makes room for another.
    house.retain(client, "t/0", b"");
    assert_eq!(house.retain(client, "t/99", &[0; 500]), "PUBACK #77 10");
    for number in 0..100 {
        house.retain(client, &format!("t/{number}"), b"");
    }
    assert_eq!(
        (house.engine.retained(), house.engine.retained.bytes()),
        (0, 0)
    );
}

const KIB: [u8; 1024] = [b'x'; 1024];

#[test]
fn at_the_total_limit_the_largest_queue_of_those_away_makes_room() {
    let mut house = with(|limits| {
        limits.max_memory = 100_000;
        limits.max_queued_bytes = None;
    });
    let large = house.client("large", &KEPT());
    house.subscribe(large, &[("t", options(Q1))], &[]);
    house.lose(large);
    let writer = house.client("w", &V5());
    for id in 1..=200 {
        let answer = house.publish(writer, "t", &KIB, Q1, id);
        assert!(answer.ends_with(" 00"), "{answer}");
    }
    let small = house.client("small", &KEPT());
    house.subscribe(small, &[("u", options(Q1))], &[]);
    house.lose(small);
    let waiting = |house: &House, name| {
        let key = house.engine.find_session(name).unwrap();
        let session = &house.engine.sessions[key as usize];
        (session.queue.iter().count() as u64, session.dropped)
    };
    let (before, dropped) = waiting(&house, "large");
    // Its own queue is empty, and yet it is not the one that loses.
    assert_eq!(house.publish(writer, "u", &KIB, Q1, 1), "PUBACK #1 00");
    assert!(house.engine.account.bytes() <= 100_000);
    assert_eq!(waiting(&house, "small"), (1, 0));
    let (after, more) = waiting(&house, "large");
    assert!(after < before && after + more == before + dropped);
}

#[test]
fn with_nothing_to_drop_a_message_is_refused() {
    let mut house = with(|limits| {
        limits.max_memory = 100_000;
        limits.max_retained_bytes = u64::MAX;
    });
    absent(&mut house, "a");
    let session = house.engine.find_session("a").unwrap();
    let writer = house.client("w", &V5());
    let old = house.client("old", &V3());
    // All there is goes to retained messages, which nobody drops.
    for number in 0..200 {
        house.retain(writer, &format!("r/{number}"), &KIB);
    }
    while house.engine.sessions[session as usize].queue.drop_for(Q2) {}
    for number in 0..200 {
        house.retain(writer, &format!("r/{number}"), &KIB);
        while house.engine.sessions[session as usize].queue.drop_for(Q2) {}
    }
    let answer = house.publish(writer, "t", &KIB, Q1, 1);
    assert!(answer.starts_with("PUBACK #1 97 ReasonString"), "{answer}");
    let answer = house.publish(writer, "t", &KIB, Q2, 2);
    assert!(answer.starts_with("PUBREC #2 97 ReasonString"), "{answer}");
    assert_eq!(house.publish(writer, "t", &KIB, Q0, 0), "");
    // One of 3.1.1 is not acknowledged, and closed.
    assert_eq!(house.publish(old, "t", &KIB, Q1, 1), "CLOSED");
    assert_eq!(
        house.engine.sessions[session as usize].queue.iter().count(),
        0
    );
}

/// Many filters that all match the same topics.
fn overlapping() -> Vec<String> {
    let level = |number: usize, bit: usize| if (number >> bit) & 1 == 0 { "+" } else { "a" };
    let filter = |number| (0..10).map(|bit| level(number, bit)).collect::<Vec<_>>();
    (0..1000)
        .map(|number| filter(number).join("/") + "/#")
        .collect()
}

#[test]
fn many_filters_for_many_retained_messages_cost_a_turn_little_and_no_queue_of_others() {
    let mut house = with(|limits| limits.max_memory = 2 << 20);
    let writer = house.client("w", &V3());
    for number in 0..1000 {
        house.retain(writer, &format!("a/a/a/a/a/a/a/a/a/a/{number}"), b"x");
    }
    absent(&mut house, "other");
    for number in 0..500 {
        house.publish(writer, "t", format!("{number}").as_bytes(), Q1, 1);
    }
    let reader = house.client("r", &V5());
    let filters = overlapping();
    let filters: Vec<_> = filters.iter().map(|one| (&**one, options(Q1))).collect();
    let before = house.engine.account.bytes();
    let answer = house.subscribe(reader, &filters, &[]);
    assert!(house.engine.steps <= 1000 + STEPS_A_SLICE);
    assert!(house.engine.account.bytes() - before < 700_000);
    let codes = answer.lines().next().unwrap();
    assert_eq!(codes.matches("01").count(), 1000, "{codes}");
    assert_eq!(answer.matches("PUBLISH").count(), 20);
    // Its own replay is among them.
    assert_eq!(waiting(&mut house, "other").len(), 1500);
    let mut count = 20;
    for id in 1..=3980 {
        let answer = house.ack(reader, AckType::PubAck, id);
        count += answer.matches("PUBLISH").count();
    }
    // Each message for each filter.
    assert_eq!(count, 4000);
    house.lose(reader);
    assert!(house.engine.retained.pinned().is_empty());
    house.engine.check();
}

#[test]
fn whoever_sends_much_at_a_time_lets_others_go_first() {
    let mut house = House::new();
    let writer = house.client("w", &V3());
    let bytes = b"\x30\x03\x00\x01t".repeat(90_000);
    let (mut at, mut turns) = (0, 0);
    while at < bytes.len() {
        at += house.engine.receive(house.now, writer, &bytes[at..]);
        assert_eq!(house.engine.is_tired(), at < bytes.len());
        turns += 1;
    }
    // Each costs two steps: the packet and the root of the tree.
    assert_eq!(turns, 2);
    // Two hundred readers, and a turn is over that much earlier.
    for number in 0..200 {
        let reader = house.client(&number.to_string(), &V3());
        house.subscribe(reader, &[("t", options(Q0))], &[]);
    }
    let used = house.engine.receive(house.now, writer, &bytes);
    assert!((1000..4000).contains(&used), "{used}");
    assert!(house.engine.is_tired());
}

#[test]
fn what_a_dropped_message_held_up_goes_on() {
    let mut house = with(|limits| limits.max_queued_messages = Some(1));
    let terms = Terms {
        properties: vec![Property::ReceiveMaximum(1)],
        ..V5()
    };
    let (writer, reader) = (house.client("w", &V3()), house.client("r", &terms));
    house.retain(writer, "kept", b"0");
    house.subscribe(reader, &[("t", options(Q1))], &[]);
    for (id, payload) in [b"1", b"2"].into_iter().enumerate() {
        house.publish(writer, "t", payload, Q1, id as u16 + 1);
    }
    assert_eq!(house.read(reader), "PUBLISH t \"1\" q1 #1");
    // The window is full: this waits behind the second one.
    assert_eq!(
        house.subscribe(reader, &[("kept", options(Q0))], &[]),
        "SUBACK [00]"
    );
    house.publish(writer, "t", b"3", Q1, 3);
    assert_eq!(house.read(reader), "PUBLISH kept \"0\" q0 retain");
    assert_eq!(
        house.ack(reader, AckType::PubAck, 1),
        "PUBLISH t \"3\" q1 #2"
    );
}

#[test]
fn all_that_a_full_queue_drops_is_counted() {
    let mut house = with(|limits| limits.max_queued_bytes = Some(1000));
    let (writer, reader) = (house.client("w", &V3()), house.client("r", &V3()));
    house.subscribe(reader, &[("t", options(Q1))], &[]);
    // More than its outbox takes.
    house.publish(writer, "t", &[0; 70_000], Q0, 0);
    house.publish(writer, "t", &[b'x'; 300], Q1, 2);
    house.publish(writer, "t", &[b'y'; 100], Q0, 0);
    // Too large beside the one of QoS 1, and the other one went in vain.
    house.publish(writer, "t", &[b'z'; 700], Q0, 0);
    assert_eq!(house.engine.stats().dropped.queue_full, 2);
    assert_eq!(house.read(reader).lines().count(), 2);
}

#[test]
fn exactly_once_holds_for_a_message_that_was_not_retained() {
    let mut house = with(|limits| limits.max_retained = Some(1));
    let reader = house.client("r", &V3());
    house.subscribe(reader, &[("#", options(Q2))], &[]);
    let kept = Terms {
        clean: false,
        ..V3()
    };
    let writer = house.client("w", &kept);
    let retained = (Q2, 1, true);
    house.publish_with(writer, "a", b"1", retained, &[]);
    house.ack(writer, AckType::PubRel, 1);
    assert_eq!(
        house.publish_with(writer, "b", b"2", retained, &[]),
        "PUBREC #1 00"
    );
    assert_eq!(house.read(reader).lines().count(), 2);
    // A 3.x client knows of no failure. Without PUBREC it sends again.
    house.lose(writer);
    let writer = house.client("w", &kept);
    assert_eq!(
        house.publish_with(writer, "b", b"2", retained, &[]),
        "PUBREC #1 00"
    );
    assert_eq!(house.read(reader), "");
}
