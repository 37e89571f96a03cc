//! Shared Subscriptions.

use super::*;

const TOPIC: &str = "work";
const SHARED: &str = "$share/crew/work";

fn member(house: &mut House, name: &str, terms: &Terms) -> ConnectionKey {
    let key = house.client(name, terms);
    house.subscribe(key, &[(SHARED, options(Q2))], &[]);
    key
}

fn payloads(read: &str) -> Vec<&str> {
    read.lines()
        .filter(|line| line.starts_with("PUBLISH"))
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

#[test]
fn members_take_turns_and_who_is_away_or_full_is_left_out() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let one = member(&mut house, "one", &KEPT());
    let two = member(&mut house, "two", &KEPT());
    let three = member(&mut house, "three", &KEPT());
    for number in 0..6 {
        house.publish(writer, TOPIC, &[b'0' + number], Q0, 0);
    }
    for key in [one, two, three] {
        assert_eq!(payloads(&house.read(key)).len(), 2);
    }
    house.lose(two);
    // One that has acknowledged nothing gets no more than its window while others are free.
    let slow = Terms {
        properties: vec![
            Property::ReceiveMaximum(1),
            Property::SessionExpiryInterval(60),
        ],
        ..KEPT()
    };
    let two = house.client("two", &slow);
    let mut got = [0; 3];
    for number in 0..9 {
        house.publish(writer, TOPIC, &[b'0' + number], Q1, 1);
        for (index, key) in [one, two, three].into_iter().enumerate() {
            let read = house.read(key);
            got[index] += payloads(&read).len();
            if key != two && !read.is_empty() {
                let id = read.split('#').nth(1).unwrap();
                house.ack(key, AckType::PubAck, id.parse().unwrap());
            }
        }
    }
    assert_eq!(got, [4, 1, 4]);
}

#[test]
fn what_waits_for_a_member_that_leaves_goes_to_another() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let narrow = Terms {
        properties: vec![
            Property::ReceiveMaximum(1),
            Property::SessionExpiryInterval(60),
        ],
        ..KEPT()
    };
    let one = member(&mut house, "one", &narrow);
    for number in 0..3 {
        house.publish(writer, TOPIC, &[b'0' + number], Q1, 1);
    }
    assert_eq!(payloads(&house.read(one)), ["0"]);
    let two = member(&mut house, "two", &V5());
    // It has one in flight, which waits for it, and two in its queue, which do not.
    house.lose(one);
    assert_eq!(payloads(&house.read(two)), ["1", "2"]);
    let one = house.client("one", &narrow);
    assert_eq!(
        house.read(one),
        "",
        "the one in flight came with the CONNACK"
    );
    house.lose(one);
    // Its session ends: what it has not acknowledged goes to the other.
    house.wait(61);
    assert_eq!(payloads(&house.read(two)), ["0"]);
    assert_eq!(house.engine.sessions(), 2);
}

#[test]
fn a_qos_2_message_that_was_begun_goes_to_nobody_else() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let one = member(&mut house, "one", &V5());
    house.publish(writer, TOPIC, b"x", Q2, 1);
    house.ack(writer, AckType::PubRel, 1);
    assert_eq!(payloads(&house.read(one)), ["x"]);
    let two = member(&mut house, "two", &V5());
    house.lose(one); // its session ends with it
    assert_eq!(house.read(two), ""); // [MQTT-4.8.2-5]
    // The same at QoS 1 goes on, although the session of a clean client keeps nothing for itself.
    let one = member(&mut house, "one", &V5());
    for id in 1..3 {
        house.publish(writer, TOPIC, b"y", Q1, id);
    }
    assert_eq!(payloads(&house.read(one)), ["y"]);
    assert_eq!(payloads(&house.read(two)), ["y"]);
    house.lose(one);
    assert_eq!(payloads(&house.read(two)), ["y"]);
}

#[test]
fn a_refused_message_goes_to_nobody_else() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let one = member(&mut house, "one", &V5());
    house.publish(writer, TOPIC, b"x", Q1, 1);
    assert_eq!(payloads(&house.read(one)), ["x"]);
    let two = member(&mut house, "two", &V5());
    house.ack_with(
        one,
        AckType::PubAck,
        1,
        ReasonCode::ImplementationSpecificError,
    );
    house.lose(one);
    assert_eq!(house.read(two), ""); // [MQTT-4.8.2-6]
}

#[test]
fn when_all_are_away_one_keeps_it() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let zero = house.client("zero", &KEPT());
    house.subscribe(zero, &[(SHARED, options(Q0))], &[]);
    let one = member(&mut house, "one", &KEPT());
    house.lose(zero);
    house.lose(one);
    for id in 1..4 {
        house.publish(writer, TOPIC, b"x", Q1, id);
    }
    // The one that takes QoS 0 alone could not keep them.
    let (zero, answer) = house.connect("zero", &KEPT());
    assert_eq!(
        payloads(&answer).len() + payloads(&house.read(zero)).len(),
        0
    );
    let (_, answer) = house.connect("one", &KEPT());
    assert_eq!(payloads(&answer).len(), 3);
}

#[test]
fn nothing_is_left_of_a_crew_that_has_gone() {
    let mut house = House::new();
    let writer = house.client("w", &V5());
    let before = house.engine.account.bytes();
    let one = member(&mut house, "one", &KEPT());
    house.lose(one);
    house.publish(writer, TOPIC, b"x", Q1, 1);
    house.wait(3601);
    assert_eq!(house.engine.sessions(), 1);
    assert_eq!(house.engine.account.bytes(), before);
    assert_eq!(house.engine.stats().dropped.total(), 1);
}
