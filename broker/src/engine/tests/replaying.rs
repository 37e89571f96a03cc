//! Retained Messages for new Subscriptions, sent as the client takes them while other things happen.

use super::super::replay::STEPS_A_SLICE;
use super::*;

/// A persistent 5.0 client that takes one message of QoS 1 at a time.
const NARROW: fn() -> Terms = || Terms {
    properties: vec![
        Property::SessionExpiryInterval(3600),
        Property::ReceiveMaximum(1),
    ],
    ..KEPT()
};

/// A house with retained messages on `topics`, who has published them, and a narrow client that has subscribed to all of them
/// with QoS 1 and has got the first one.
fn begun(topics: &[&str]) -> (House, ConnectionKey, ConnectionKey) {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V5()), house.client("r", &NARROW()));
    for topic in topics {
        house.retain(publisher, topic, b"old");
    }
    let answer = house.subscribe(reader, &[("#", options(Q1))], &[]);
    let first = topics[0];
    assert_eq!(
        answer,
        format!("SUBACK [01]\nPUBLISH {first} \"old\" q1 #1 retain")
    );
    (house, publisher, reader)
}

/// Acknowledges what is under way to a client until nothing comes any more. Returns what came, without Packet Identifiers.
fn take_all(house: &mut House, reader: ConnectionKey, mut text: String) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut answers = String::new();
        for line in text.lines().filter(|line| line.starts_with("PUBLISH")) {
            let words: Vec<_> = line.split(' ').collect();
            let (id, words): (Vec<_>, Vec<_>) =
                words.into_iter().partition(|word| word.starts_with('#'));
            all.push(words[1..].join(" "));
            if let Some(id) = id.first() {
                let id = id[1..].parse().unwrap();
                answers += &(house.ack(reader, AckType::PubAck, id) + "\n");
            }
        }
        if answers.trim().is_empty() {
            return all;
        }
        text = answers;
    }
}

/// What still comes after the message with Packet Identifier 1.
fn rest(house: &mut House, reader: ConnectionKey) -> Vec<String> {
    let text = house.ack(reader, AckType::PubAck, 1);
    take_all(house, reader, text)
}

#[test]
fn others_are_served_between_two_slices() {
    let mut house = House::new();
    let (publisher, other) = (house.client("p", &V3()), house.client("o", &V3()));
    for number in 0..3000 {
        house.retain(publisher, &format!("t/{number}"), &[b'x'; 100]);
    }
    let readers = ["a", "b"].map(|name| house.client(name, &V3()));
    for reader in readers {
        house.request(reader, &[("t/#", options(Q0))], &[]);
        assert!((1000..=STEPS_A_SLICE + 2).contains(&house.engine.steps));
    }
    let mut received = [0, 0];
    let mut turns = 0;
    loop {
        turns += 1;
        for (reader, received) in readers.into_iter().zip(&mut received) {
            let count = house.engine.outbox(reader).len();
            assert!(count < 80_000, "{count}");
            house.engine.written(house.now, reader, count);
            assert_eq!(house.engine.outbox(reader).len(), 0);
            *received += count;
        }
        // Neither gets far ahead of the other.
        assert!(received[0].abs_diff(received[1]) < 80_000, "{received:?}");
        house.engine.receive(house.now, other, b"\xc0\x00");
        assert_eq!(house.read_turn(other), "PINGRESP");
        if house.engine.deadline().is_none() {
            break;
        }
        assert_eq!(house.engine.deadline(), Some(house.now));
        house.engine.expire(house.now);
    }
    let topics = (0..3000).map(|number| format!("t/{number}").len());
    let all = 5 + topics.map(|len| 2 + 2 + len + 100).sum::<usize>();
    assert_eq!(received, [all, all]);
    assert!((5..12).contains(&turns), "{turns}");
    house.engine.check();
}

#[test]
fn a_search_that_finds_little_takes_its_turns() {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V3()), house.client("r", &V3()));
    for number in 0..5000 {
        house.retain(publisher, &format!("{number}/a"), b"x");
    }
    house.retain(publisher, "last/b", b"found");
    house.request(reader, &[("+/b", options(Q0)), ("+/c", options(Q0))], &[]);
    let mut text = house.read_turn(reader);
    let mut turns = 0;
    while !house.engine.replaying.is_empty() {
        house.engine.go_on_with_replays(house.now);
        text += &house.read_turn(reader);
        turns += 1;
    }
    assert_eq!(text, "SUBACK [00, 00]PUBLISH last/b \"found\" q0 retain");
    assert!((4..8).contains(&turns), "{turns}");
    assert_eq!(house.engine.deadline(), None);
}

/// Each SUBSCRIBE looks for those that it begins anew.
#[test]
fn many_replays_that_wait_do_not_make_one_turn_long() {
    let (mut house, _, reader) = begun(&["a", "b"]);
    let names: Vec<_> = (0..500).map(|number| format!("x/{number}")).collect();
    let filters: Vec<_> = names.iter().map(|name| (&**name, options(Q1))).collect();
    house.subscribe(reader, &filters, &[]);
    // Topic Filter `x/0` with QoS 1, a thousand times.
    let packets = b"\x82\x09\x00\x01\x00\x00\x03x/0\x01".repeat(1000);
    let used = house.engine.receive(house.now, reader, &packets);
    assert!(house.engine.is_tired());
    assert!((1..packets.len() / 2).contains(&used), "{used}");
}

#[test]
fn a_session_has_one_place_among_those_that_go_on() {
    let mut house = House::new();
    house.engine.steps_a_slice = 2;
    let (publisher, reader) = (house.client("p", &V3()), house.client("r", &V3()));
    for topic in ["a", "b", "c"] {
        house.retain(publisher, topic, b"x");
    }
    let subscribe = b"\x82\x08\x00\x01\x00\x03+/x\x00".as_slice();
    let unsubscribe = b"\xa2\x07\x00\x02\x00\x03+/x";
    let packets = [subscribe, unsubscribe, subscribe].concat().repeat(10);
    let used = house.engine.receive(house.now, reader, &packets);
    assert_eq!(used, packets.len());
    assert_eq!(house.engine.replaying.len(), 1);
    house.read(reader);
    assert_eq!(house.engine.deadline(), None);
}

#[test]
fn what_was_replaced_or_removed_meanwhile_comes_once_and_new() {
    let (mut house, publisher, reader) = begun(&["a", "b", "c", "d"]);
    house.retain(publisher, "c", b"new");
    house.retain(publisher, "d", b"");
    house.retain(publisher, "e", b"new");
    // Live messages and the rest of the replay in turns.
    let expected = [
        "c \"new\" q1",
        "b \"old\" q1 retain",
        "d \"\" q1",
        "e \"new\" q1",
    ];
    let mut found = rest(&mut house, reader);
    found.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn live_messages_and_a_replay_take_turns() {
    let (mut house, publisher, reader) = begun(&["a", "b", "c", "d", "e"]);
    for payload in [b"1", b"2", b"3"] {
        house.publish(publisher, "live", payload, Q1, 1);
    }
    let topics: Vec<_> = rest(&mut house, reader)
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(topics, ["live", "b", "live", "c", "live", "d", "e"]);
}

#[test]
fn only_what_would_overtake_its_own_topic_waits() {
    let (mut house, publisher, reader) = begun(&["a", "b", "c"]);
    house.publish(publisher, "c", b"later", Q0, 0);
    assert_eq!(house.read(reader), "");
    house.publish(publisher, "c", b"last", Q1, 1);
    house.publish(publisher, "other", b"x", Q1, 1);
    assert_eq!(
        rest(&mut house, reader),
        [
            "b \"old\" q1 retain",
            "c \"old\" q1 retain",
            "c \"later\" q0",
            "c \"last\" q1",
            "other \"x\" q1"
        ]
    );
    let (mut house, publisher, reader) = begun(&["a", "b"]);
    house.publish(publisher, "other", b"x", Q0, 0);
    assert_eq!(house.read(reader), "PUBLISH other \"x\" q0");
}

#[test]
fn what_waited_before_the_subscription_goes_before_its_replay() {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V5()), house.client("r", &NARROW()));
    house.subscribe(reader, &[("t", options(Q1))], &[]);
    for payload in [b"1", b"2", b"3"] {
        house.retain(publisher, "t", payload);
    }
    house.subscribe(reader, &[("+", options(Q1))], &[]);
    let found = rest(&mut house, reader);
    // The first one was on its way, and is read with the answer to SUBSCRIBE.
    assert_eq!(found, ["t \"2\" q1", "t \"3\" q1", "t \"3\" q1 retain"]);
}

#[test]
fn a_replay_goes_on_when_the_session_is_resumed() {
    for is_taken_over in [false, true] {
        let (mut house, publisher, reader) = begun(&["a", "b", "c", "d"]);
        if !is_taken_over {
            house.lose(reader);
            house.publish_with(publisher, "b", b"missed", (Q0, 0, false), &[]);
            // In the place of what the replay would have sent: these are kept, for else they would be missed.
            house.publish_with(publisher, "c", b"new", (Q0, 0, true), &[]);
            house.publish_with(publisher, "c", b"newest", (Q0, 0, true), &[]);
        }
        let (reader, answer) = house.connect("r", &NARROW());
        let found = take_all(&mut house, reader, answer);
        let again = "a \"old\" q1 dup retain";
        let expected: &[&str] = match is_taken_over {
            true => &[
                again,
                "b \"old\" q1 retain",
                "c \"old\" q1 retain",
                "d \"old\" q1 retain",
            ],
            false => &[
                again,
                "c \"new\" q0",
                "c \"newest\" q0",
                "b \"old\" q1 retain",
                "d \"old\" q1 retain",
            ],
        };
        assert_eq!(found, expected);
        house.engine.check();
    }
}

#[test]
fn without_a_replay_nothing_of_qos_0_is_kept_for_who_is_away() {
    let (mut house, publisher, reader) = begun(&["a"]);
    assert_eq!(rest(&mut house, reader), [""; 0]);
    house.lose(reader);
    house.publish_with(publisher, "a", b"missed", (Q0, 0, true), &[]);
    let (reader, answer) = house.connect("r", &NARROW());
    assert_eq!(take_all(&mut house, reader, answer), [""; 0]);
}

#[test]
fn what_took_the_place_of_a_retained_message_outlives_the_connection() {
    let (mut house, publisher, reader) = begun(&["a", "b", "c"]);
    // It fills the outbox, so that what follows waits in the queue.
    house.publish(publisher, "large", &[b'x'; 70_000], Q0, 0);
    house.publish_with(publisher, "b", b"new", (Q0, 0, true), &[]);
    house.publish_with(publisher, "b", b"gone", (Q0, 0, false), &[]);
    house.lose(reader);
    let (reader, answer) = house.connect("r", &NARROW());
    let found = take_all(&mut house, reader, answer);
    let again = "a \"old\" q1 dup retain";
    assert_eq!(found, [again, "b \"new\" q0", "c \"old\" q1 retain"]);
}

#[test]
fn a_replay_of_qos_0_ends_with_its_connection() {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V3()), house.client("r", &KEPT()));
    for number in 0..2000 {
        house.retain(publisher, &format!("t/{number}"), &[b'x'; 100]);
    }
    house.request(reader, &[("#", options(Q0))], &[]);
    assert_eq!(house.engine.retained.pinned().len(), 1);
    house.lose(reader);
    assert!(house.engine.retained.pinned().is_empty());
    let (_, answer) = house.connect("r", &KEPT());
    assert_eq!(answer.lines().count(), 1, "CONNACK alone");
    house.engine.check();
}

#[test]
fn unsubscribe_ends_a_replay_and_what_waited_for_it_goes_on() {
    let (mut house, publisher, reader) = begun(&["a", "b", "c"]);
    house.subscribe(reader, &[("c", options(Q0))], &[]);
    house.publish(publisher, "c", b"later", Q0, 0);
    assert_eq!(house.read(reader), "");
    assert_eq!(
        house.unsubscribe(reader, "#"),
        "UNSUBACK [00]\nPUBLISH c \"old\" q0 retain\nPUBLISH c \"later\" q0"
    );
    assert_eq!(rest(&mut house, reader), [""; 0]);
    assert!(house.engine.retained.pinned().is_empty());
    house.engine.check();
}

#[test]
fn a_session_that_ends_leaves_no_replay_behind() {
    let (mut house, publisher, reader) = begun(&["a/b", "a/c"]);
    assert_eq!(house.engine.retained.pinned().len(), 1);
    house.lose(reader);
    // The place of the cursor stays, though its message goes.
    house.retain(publisher, "a/b", b"");
    house.retain(publisher, "a/c", b"");
    assert!(house.engine.retained.nodes() > 1);
    house.client("r", &V5());
    assert_eq!(house.engine.retained.nodes(), 1);
    house.engine.check();
}

#[test]
fn what_expires_or_is_too_large_meanwhile_is_passed_over() {
    let mut house = House::new();
    let small = Terms {
        properties: vec![Property::ReceiveMaximum(1), Property::MaximumPacketSize(60)],
        ..V5()
    };
    let (publisher, reader) = (house.client("p", &V5()), house.client("r", &small));
    let lifetime = [Property::MessageExpiryInterval(5)];
    house.retain(publisher, "a", b"1");
    house.publish_with(publisher, "b", b"2", (Q1, 1, true), &lifetime);
    house.retain(publisher, "c", &[b'3'; 100]);
    house.retain(publisher, "d", b"4");
    house.subscribe(reader, &[("+", options(Q1))], &[]);
    house.wait(5);
    assert_eq!(rest(&mut house, reader), ["d \"4\" q1 retain"]);
    let dropped = house.engine.stats().dropped;
    assert_eq!((dropped.expired, dropped.too_large), (0, 1));
}

#[test]
fn what_a_client_replaces_itself_it_does_not_get_where_it_wants_nothing_of_its_own() {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V5()), house.client("r", &NARROW()));
    house.retain(publisher, "a", b"old");
    house.retain(publisher, "b", b"old");
    let options = SubscriptionOptions {
        no_local: true,
        ..options(Q1)
    };
    house.subscribe(reader, &[("#", options)], &[]);
    house.retain(reader, "b", b"own");
    assert_eq!(rest(&mut house, reader), [""; 0]);
}

#[test]
fn a_new_subscription_without_memory_for_its_replay_is_refused() {
    let mut house = House::new();
    let (publisher, reader) = (house.client("p", &V5()), house.client("r", &V5()));
    house.retain(publisher, "a", b"old");
    let first = house.subscribe(reader, &[("a", options(Q0))], &[]);
    // For the Subscription, but not for what is to follow.
    house.engine.limits.max_memory = house.engine.account.bytes() as u64 + 250;
    let answer = house.subscribe(reader, &[("a", options(Q0)), ("+", options(Q0))], &[]);
    assert!(answer.starts_with("SUBACK [00, 97]"), "{answer}");
    assert_eq!(house.engine.subscriptions(), 1);
    house.engine.limits.max_memory += 1000;
    assert_eq!(house.subscribe(reader, &[("a", options(Q0))], &[]), first);
    house.engine.check();
}

#[test]
fn values_of_the_broker_are_not_overtaken_by_newer_ones() {
    let mut house = House::new();
    let reader = house.client("r", &NARROW());
    let filters = [("$SYS/broker/+", options(Q1))];
    let mut text = house.subscribe(reader, &filters, &[]);
    house.wait(10);
    text += &house.read(reader);
    let found = take_all(&mut house, reader, text);
    let uptime = |line: &&String| line.starts_with("$SYS/broker/uptime");
    let told: Vec<_> = found.iter().filter(uptime).collect();
    assert_eq!(
        told,
        [
            "$SYS/broker/uptime \"0 seconds\" q1 retain",
            "$SYS/broker/uptime \"10 seconds\" q1"
        ]
    );
}
