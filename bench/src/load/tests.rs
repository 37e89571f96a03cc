use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;
use crate::payload::VERSION;
use crate::secret::{Secrets, Transport};
use crate::wire::Address;

const COUNT: u64 = 10;

/// Runs ten messages through something that does this to the packets between publisher and subscriber.
fn through(tamper: fn(&mut Vec<Vec<u8>>)) -> Result<Outcome> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let secrets = Secrets::new().unwrap();
    let address = Address {
        port: listener.local_addr().unwrap().port(),
        transport: Transport::Plain,
        version: VERSION,
        secrets: &secrets,
    };
    let pattern = Pattern::new();
    let plan = Plan {
        count: Some(COUNT),
        batch: COUNT,
        patience: Duration::from_millis(200),
        ..Plan::DEFAULT
    };
    let mut load = Load::new(plan, &pattern).unwrap();
    load.subscribe(Wire::open(address).unwrap(), &(0..1), Reading::Eager)
        .unwrap();
    load.publish(Wire::open(address).unwrap(), "a/b", 0..1)
        .unwrap();
    let (mut subscriber, _) = listener.accept().unwrap();
    let (mut publisher, _) = listener.accept().unwrap();
    let broker = thread::spawn(move || {
        let mut packet = vec![0; 2 + 2 + 3 + plan.payload];
        let packets = (0..COUNT).map(|_| {
            publisher.read_exact(&mut packet).unwrap();
            packet.clone()
        });
        let mut packets: Vec<_> = packets.collect();
        tamper(&mut packets);
        // Fails where the load has found enough.
        let _ = subscriber.write_all(&packets.concat());
        (subscriber, publisher)
    });
    let outcome = load.run(&Processes::of(std::process::id()).unwrap());
    broker.join().unwrap();
    outcome
}

fn failure(tamper: fn(&mut Vec<Vec<u8>>)) -> String {
    through(tamper).unwrap_err().to_string()
}

#[test]
fn what_comes_as_it_was_sent_counts() {
    let outcome = through(|_| {}).unwrap();
    assert_eq!(
        (outcome.messages, outcome.expected, outcome.lost),
        (10, 10, 0)
    );
    assert!(outcome.latency(0.5) > 0.0);
}

#[test]
fn lost_messages_are_counted() {
    let outcome = through(|packets| drop(packets.drain(3..5))).unwrap();
    assert_eq!((outcome.messages, outcome.lost), (8, 2));
    let outcome = through(|packets| packets.truncate(7)).unwrap();
    assert_eq!((outcome.messages, outcome.lost), (7, 3));
}

#[test]
fn a_doubled_or_reordered_message_is_a_failure() {
    let twice = failure(|packets| packets.insert(4, packets[2].clone()));
    assert_eq!(twice, "message 2 of publisher 0 came twice");
    let late = failure(|packets| packets.swap(2, 6));
    assert_eq!(late, "message 3 of publisher 0 came after a later one");
}

#[test]
fn a_changed_message_is_a_failure() {
    let payload = failure(|packets| packets[5][70] ^= 1);
    assert_eq!(payload, "a message was changed");
    let topic = failure(|packets| packets[5][4] = b'x');
    assert_eq!(topic, "a message under another topic");
    let retain = failure(|packets| packets[5][0] |= 1);
    assert_eq!(retain, "a subscriber was sent something else than messages");
}
