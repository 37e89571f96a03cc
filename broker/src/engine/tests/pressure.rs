//! Back-pressure.

use super::*;

/// A publisher and a subscriber that reads nothing, after as many messages as it takes to make the publisher wait.
fn held() -> (House, ConnectionKey, ConnectionKey, u32) {
    let mut house = House::new();
    let publisher = house.client(
        "p",
        &Terms {
            keep_alive: 60,
            ..V5()
        },
    );
    let subscriber = house.client("s", &V3());
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let mut sent = 0;
    while !house.engine.is_held(publisher) {
        sent += 1;
        house.publish(publisher, "t", &[b'x'; 500], Q0, 0);
        assert!(sent < 2000, "nobody waits");
    }
    (house, publisher, subscriber, sent)
}

#[test]
fn a_publisher_waits_for_a_subscriber_that_catches_up_and_nothing_is_lost() {
    let (mut house, publisher, subscriber, sent) = held();
    // What it sends now stays where it is.
    assert!(house.engine.take_resumed().is_empty());
    house.wait(4);
    let read = house.read(subscriber).lines().count();
    assert_eq!(read, sent as usize);
    assert_eq!(house.engine.take_resumed(), [publisher]);
    assert!(!house.engine.is_held(publisher));
    assert_eq!(house.engine.stats().dropped.total(), 0);
    // Keep Alive begins anew.
    house.wait(89);
    assert_eq!(house.engine.verdict(publisher), Verdict::Keep);
    house.wait(1);
    assert_eq!(house.engine.verdict(publisher), Verdict::CloseWhenWritten);
}

#[test]
fn nobody_waits_longer_than_five_seconds_for_one_that_is_stalled() {
    let (mut house, publisher, subscriber, _) = held();
    house.wait(5);
    assert_eq!(house.engine.take_resumed(), [publisher]);
    for _ in 0..1000 {
        house.publish(publisher, "t", &[b'x'; 500], Q0, 0);
        assert!(!house.engine.is_held(publisher));
    }
    assert!(house.engine.stats().dropped.total() > 0);
    // Once it has caught up it is waited for again, but not at once.
    house.read(subscriber);
    for _ in 0..1000 {
        house.publish(publisher, "t", &[b'x'; 500], Q0, 0);
        assert!(!house.engine.is_held(publisher));
    }
    house.read(subscriber);
    house.wait(60);
    for _ in 0..1000 {
        house.publish(publisher, "t", &[b'x'; 500], Q0, 0);
    }
    assert!(house.engine.is_held(publisher));
}

#[test]
fn a_subscriber_that_leaves_is_not_waited_for() {
    let (mut house, publisher, subscriber, _) = held();
    house.lose(subscriber);
    assert_eq!(house.engine.take_resumed(), [publisher]);
    // Another client gets its key.
    let other = house.client("o", &V3());
    assert_eq!(other, subscriber);
    assert!(!house.engine.is_held(publisher));
}

#[test]
fn a_publisher_that_leaves_while_it_waits_holds_nobody_up() {
    let (mut house, publisher, subscriber, sent) = held();
    assert_eq!(house.engine.connections[subscriber as usize].holds.len(), 1);
    house.lose(publisher);
    assert!(
        house.engine.connections[subscriber as usize]
            .holds
            .is_empty()
    );
    let other = house.client("o", &V3());
    assert_eq!(other, publisher);
    assert_eq!(house.read(subscriber).lines().count(), sent as usize);
    assert!(house.engine.take_resumed().is_empty());
}

#[test]
fn nobody_waits_for_itself() {
    let mut house = House::new();
    let client = house.client("c", &V3());
    house.subscribe(client, &[("t", options(Q1))], &[]);
    for id in 1..3000 {
        house.publish_with(client, "t", b"x", (Q1, id, false), &[]);
        assert!(!house.engine.is_held(client));
    }
}

#[test]
fn answers_that_are_not_read_stop_the_reading() {
    let mut house = House::new();
    let client = house.client("c", &V3());
    let pings = [0xc0, 0x00].repeat(100_000);
    let used = house.engine.receive(house.now, client, &pings);
    assert!(used < 40_000, "{used}");
    assert!(house.engine.is_held(client));
    assert!(house.engine.outbox(client).len() < 40_000);
    assert_eq!(house.read(client).lines().count(), used / 2);
    assert_eq!(house.engine.take_resumed(), [client]);
    assert_eq!(
        house
            .engine
            .receive(house.now, client, &pings[used..used + 10]),
        10
    );
}

#[test]
fn two_that_publish_to_each_other_do_not_wait_for_each_other() {
    let mut house = House::new();
    let clients = [("a", "b"), ("b", "a")].map(|(name, topic)| {
        let client = house.client(name, &V3());
        house.subscribe(client, &[(topic, options(Q1))], &[]);
        client
    });
    for _ in 0..700 {
        house.publish(clients[0], "a", b"x", Q1, 1);
        house.publish(clients[1], "b", b"x", Q1, 1);
    }
    assert!(!house.engine.is_held(clients[0]) && !house.engine.is_held(clients[1]));
    // One that only publishes waits, until somebody waits for it.
    let publisher = house.client("p", &V3());
    house.publish(publisher, "a", b"x", Q1, 1);
    assert!(house.engine.is_held(publisher));
    house.subscribe(publisher, &[("c", options(Q1))], &[]);
    house.publish(clients[0], "c", b"x", Q1, 1);
    assert!(!house.engine.is_held(publisher));
}

/// A publisher, a subscriber that reads all and one that reads nothing, after as many messages as it takes to make the
/// publisher wait.
fn held_by_one_of_two(qos: QoS) -> (House, ConnectionKey, [ConnectionKey; 2]) {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let subscribers = ["fast", "slow"].map(|name| {
        let subscriber = house.client(name, &V3());
        house.subscribe(subscriber, &[("t", options(qos))], &[]);
        subscriber
    });
    publish_until_held(&mut house, publisher, subscribers[0], qos);
    (house, publisher, subscribers)
}

fn publish_until_held(house: &mut House, publisher: ConnectionKey, fast: ConnectionKey, qos: QoS) {
    for sent in 0.. {
        house.publish(publisher, "t", &[b'x'; 500], qos, 1);
        if house.engine.is_held(publisher) {
            return;
        }
        read_and_acknowledge(house, fast);
        assert!(sent < 3000, "nobody waits");
    }
}

fn read_and_acknowledge(house: &mut House, subscriber: ConnectionKey) {
    let mut read = house.read(subscriber);
    while !read.is_empty() {
        let identifiers = read.lines().filter_map(|line| line.split_once('#'));
        let identifiers: Vec<u16> = identifiers.map(|(_, id)| id.parse().unwrap()).collect();
        let answers = identifiers
            .into_iter()
            .map(|id| house.ack(subscriber, AckType::PubAck, id) + "\n");
        read = answers.collect::<String>().trim().to_owned();
    }
}

#[test]
fn where_others_keep_up_nobody_waits_long_for_a_slow_one() {
    for (qos, milliseconds) in [(Q0, 20), (Q1, 500)] {
        let (mut house, publisher, [fast, slow]) = held_by_one_of_two(qos);
        house.wait_for(Duration::from_millis(milliseconds - 1));
        assert!(house.engine.is_held(publisher));
        house.wait_for(Duration::from_millis(1));
        assert_eq!(house.engine.take_resumed(), [publisher]);
        // Now its own queue drops, and whoever keeps up gets all.
        let dropped = house.engine.stats().dropped.total();
        for _ in 0..2000 {
            house.publish(publisher, "t", &[b'x'; 500], qos, 1);
            assert!(!house.engine.is_held(publisher), "{qos:?}");
            read_and_acknowledge(&mut house, fast);
        }
        assert!(house.engine.stats().dropped.total() > dropped);
        assert!(house.engine.sessions[key_of(&house, fast)].queue.is_empty());
        // It has caught up: soon it is waited for again, but twelve times as long not.
        read_and_acknowledge(&mut house, slow);
        for _ in 0..1000 {
            house.publish(publisher, "t", &[b'x'; 500], qos, 1);
            assert!(!house.engine.is_held(publisher), "{qos:?}");
            read_and_acknowledge(&mut house, fast);
        }
        read_and_acknowledge(&mut house, slow);
        house.wait_for(Duration::from_millis(12 * milliseconds));
        publish_until_held(&mut house, publisher, fast, qos);
    }
}

#[test]
fn one_that_catches_up_in_time_is_waited_for_again_at_once() {
    let (mut house, publisher, [fast, slow]) = held_by_one_of_two(Q0);
    for _ in 0..5 {
        house.wait_for(Duration::from_millis(19));
        house.read(slow);
        assert_eq!(house.engine.take_resumed(), [publisher]);
        publish_until_held(&mut house, publisher, fast, Q0);
    }
    assert_eq!(house.engine.stats().dropped.total(), 0);
}

#[test]
fn where_all_are_behind_they_have_more_time() {
    let (mut house, publisher, [fast, slow]) = held_by_one_of_two(Q0);
    house.wait_for(Duration::from_millis(20));
    assert_eq!(house.engine.take_resumed(), [publisher]);
    house.wait_for(Duration::from_millis(240));
    // The fast one reads nothing either, and the slow one counts no more.
    while !house.engine.is_held(publisher) {
        house.publish(publisher, "t", &[b'x'; 500], Q0, 1);
    }
    house.wait_for(Duration::from_millis(4999));
    assert!(house.engine.is_held(publisher));
    house.read(fast);
    assert_eq!(house.engine.take_resumed(), [publisher]);
    house.read(slow);
}

fn key_of(house: &House, client: ConnectionKey) -> usize {
    let session = house.engine.connections[client as usize].session;
    session.expect("it is connected") as usize
}

#[test]
fn a_publisher_does_not_count_as_one_that_keeps_up() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    let slow = house.client("s", &V3());
    for client in [publisher, slow] {
        house.subscribe(client, &[("t", options(Q0))], &[]);
    }
    publish_until_held(&mut house, publisher, publisher, Q0);
    house.wait_for(Duration::from_millis(4999));
    assert!(house.engine.is_held(publisher));
    house.wait_for(Duration::from_millis(1));
    assert_eq!(house.engine.take_resumed(), [publisher]);
}

#[test]
fn without_limits_a_queue_still_makes_publishers_wait() {
    let mut limits = limits();
    (limits.max_queued_messages, limits.max_queued_bytes) = (None, None);
    let mut house = House::with(limits, Authentication::None);
    let publisher = house.client("p", &V3());
    let subscriber = house.client("s", &V3());
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let mut sent = 0;
    while !house.engine.is_held(publisher) {
        house.publish(publisher, "t", &[b'x'; 1000], Q0, 0);
        sent += 1;
        assert!(sent < 2000, "nobody waits");
    }
    assert!(sent > 1000, "{sent}");
    assert_eq!(house.read(subscriber).lines().count(), sent);
    assert_eq!(house.engine.take_resumed(), [publisher]);
}
