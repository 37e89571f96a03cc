//! Will Messages.

use super::*;

#[test]
fn the_will_follows_a_lost_connection_only() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will/#", options(Q1))], &[]);
    let terms = || Terms {
        will: Some(("will/a", b"gone", Q1, true)),
        ..V3()
    };
    let client = house.client("a", &terms());
    house.disconnect(client, ReasonCode::Success, &[]);
    assert_eq!(house.read(watcher), "");
    let client = house.client("a", &terms());
    house.lose(client);
    assert_eq!(house.read(watcher), "PUBLISH will/a \"gone\" q1 #1");
    assert_eq!(house.engine.retained(), 1);
    let client = house.client(
        "a",
        &Terms {
            version: Version::V5,
            ..terms()
        },
    );
    house.disconnect(client, ReasonCode::DisconnectWithWillMessage, &[]);
    assert_eq!(house.read(watcher), "PUBLISH will/a \"gone\" q1 #2");
}

#[test]
fn the_will_follows_keep_alive() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will", options(Q0))], &[]);
    let terms = Terms {
        keep_alive: 10,
        will: Some(("will", b"dead", Q0, false)),
        ..V5()
    };
    let client = house.client("a", &terms);
    house.wait(14);
    assert_eq!(
        house.send(client, Version::V5, &Packet::PingReq),
        "PINGRESP"
    );
    house.wait(14);
    assert_eq!(house.read(watcher), "");
    house.wait(1);
    assert_eq!(house.read(client), "DISCONNECT 8d\nCLOSED");
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
}

#[test]
fn a_delayed_will_waits_and_is_cancelled_by_a_return() {
    let mut house = House::new();
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("will", options(Q0))], &[]);
    let terms = |delay| Terms {
        will: Some(("will", b"dead", Q0, false)),
        will_properties: vec![Property::WillDelayInterval(delay)],
        ..KEPT()
    };
    let client = house.client("a", &terms(30));
    house.lose(client);
    house.wait(29);
    let client = house.client("a", &terms(30));
    house.wait(100);
    assert_eq!(house.read(watcher), "");
    house.lose(client);
    house.wait(30);
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
    // The end of the session does not wait for the delay.
    let client = house.client("a", &terms(100_000));
    house.lose(client);
    house.wait(3600);
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
    // Nor does a clean start by another connection.
    let client = house.client("a", &terms(100));
    let _successor = house.client("a", &V5());
    assert_eq!(house.read(client), "DISCONNECT 8e\nCLOSED");
    assert_eq!(house.read(watcher), "PUBLISH will \"dead\" q0");
}

#[test]
fn nobody_waits_for_one_that_a_will_found_behind() {
    let mut house = House::new();
    let subscriber = house.client("s", &V3());
    house.subscribe(subscriber, &[("t", options(Q0))], &[]);
    let (publisher, other) = (house.client("p", &V3()), house.client("o", &V5()));
    while !house.engine.is_held(publisher) {
        house.publish(publisher, "t", &[b'x'; 500], Q0, 0);
    }
    let terms = Terms {
        will: Some(("t", b"dead", Q0, false)),
        ..V3()
    };
    let client = house.client("a", &terms);
    house.lose(client);
    house.lose(subscriber);
    // Refused, so that nobody is looked for anew.
    let answer = house.publish(other, "$SYS/x", b"", Q1, 1);
    assert!(answer.starts_with("PUBACK #1 87"), "{answer}");
    assert!(!house.engine.is_held(other));
}

#[test]
fn a_bridge_tells_of_itself_below_sys() {
    let mut house = House::new();
    let topic = "$SYS/broker/connection/yard.house/state";
    let terms = Terms {
        will: Some((topic, b"0", Q1, true)),
        ..V3()
    };
    let (bridge, watcher) = (house.client("yard", &terms), house.client("w", &V3()));
    assert_eq!(house.retain(bridge, topic, b"1"), "PUBACK #77 00");
    let answer = house.subscribe(watcher, &[("$SYS/broker/connection/#", options(Q0))], &[]);
    assert_eq!(
        answer,
        format!("SUBACK [00]\nPUBLISH {topic} \"1\" q0 retain")
    );
    house.lose(bridge);
    assert_eq!(house.read(watcher), format!("PUBLISH {topic} \"0\" q0"));
    let client = house.client("c", &V5());
    for own in [
        "$SYS/broker/connection/state",
        "$SYS/broker/connection/a/b/state",
        "$SYS/broker/connection/a/state/b",
        "$SYS/broker/uptime",
        "$SYS",
    ] {
        let answer = house.publish(client, own, b"1", Q1, 1);
        assert!(answer.starts_with("PUBACK #1 87"), "{own} {answer}");
    }
}

#[test]
fn a_will_that_is_published_at_once_leaves_nothing_due() {
    let mut house = House::new();
    let terms = Terms {
        will: Some(("will", b"dead", Q0, false)),
        ..KEPT()
    };
    let client = house.client("a", &terms);
    house.lose(client);
    let end = house.now + Duration::from_secs(3600);
    assert_eq!(house.engine.deadline(), Some(end));
}
