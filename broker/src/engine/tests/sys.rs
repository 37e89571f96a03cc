//! What the broker says of itself below `$SYS`.

use super::*;

/// Every topic. Up to `version` they are those of Mosquitto 2.0, the rest is our own.
const TOPICS: [&str; 61] = [
    "$SYS/broker/bytes/received",
    "$SYS/broker/bytes/sent",
    "$SYS/broker/clients/active",
    "$SYS/broker/clients/connected",
    "$SYS/broker/clients/disconnected",
    "$SYS/broker/clients/expired",
    "$SYS/broker/clients/inactive",
    "$SYS/broker/clients/maximum",
    "$SYS/broker/clients/total",
    "$SYS/broker/heap/current",
    "$SYS/broker/heap/maximum",
    "$SYS/broker/load/bytes/received/15min",
    "$SYS/broker/load/bytes/received/1min",
    "$SYS/broker/load/bytes/received/5min",
    "$SYS/broker/load/bytes/sent/15min",
    "$SYS/broker/load/bytes/sent/1min",
    "$SYS/broker/load/bytes/sent/5min",
    "$SYS/broker/load/connections/15min",
    "$SYS/broker/load/connections/1min",
    "$SYS/broker/load/connections/5min",
    "$SYS/broker/load/messages/received/15min",
    "$SYS/broker/load/messages/received/1min",
    "$SYS/broker/load/messages/received/5min",
    "$SYS/broker/load/messages/sent/15min",
    "$SYS/broker/load/messages/sent/1min",
    "$SYS/broker/load/messages/sent/5min",
    "$SYS/broker/load/publish/dropped/15min",
    "$SYS/broker/load/publish/dropped/1min",
    "$SYS/broker/load/publish/dropped/5min",
    "$SYS/broker/load/publish/received/15min",
    "$SYS/broker/load/publish/received/1min",
    "$SYS/broker/load/publish/received/5min",
    "$SYS/broker/load/publish/sent/15min",
    "$SYS/broker/load/publish/sent/1min",
    "$SYS/broker/load/publish/sent/5min",
    "$SYS/broker/load/sockets/15min",
    "$SYS/broker/load/sockets/1min",
    "$SYS/broker/load/sockets/5min",
    "$SYS/broker/messages/received",
    "$SYS/broker/messages/sent",
    "$SYS/broker/messages/stored",
    "$SYS/broker/publish/bytes/received",
    "$SYS/broker/publish/bytes/sent",
    "$SYS/broker/publish/messages/dropped",
    "$SYS/broker/publish/messages/received",
    "$SYS/broker/publish/messages/sent",
    "$SYS/broker/retained messages/count",
    "$SYS/broker/shared_subscriptions/count",
    "$SYS/broker/store/messages/bytes",
    "$SYS/broker/store/messages/count",
    "$SYS/broker/subscriptions/count",
    "$SYS/broker/uptime",
    "$SYS/broker/version",
    "$SYS/broker/clients/refused",
    "$SYS/broker/messages/dropped/expired",
    "$SYS/broker/messages/dropped/memory",
    "$SYS/broker/messages/dropped/no_subscriber",
    "$SYS/broker/messages/dropped/not_retained",
    "$SYS/broker/messages/dropped/queue_full",
    "$SYS/broker/messages/dropped/too_large",
    "$SYS/broker/sessions/evicted",
];

const UPTIME: &str = "$SYS/broker/uptime";

/// Topic, payload and what follows of each PUBLISH in what a client has read.
fn published(text: &str) -> Vec<(String, String, String)> {
    let line = |line: &str| {
        let (topic, rest) = line.strip_prefix("PUBLISH ")?.split_once(" \"")?;
        let (payload, rest) = rest.split_once("\" ")?;
        Some((topic.to_owned(), payload.to_owned(), rest.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// What a new client is told on one topic.
fn value(house: &mut House, topic: &str) -> String {
    let client = house.client("asks", &V3());
    let answer = house.subscribe(client, &[(topic, options(Q0))], &[]);
    house.lose(client);
    let [(of, text, _)] = &published(&answer)[..] else {
        panic!("{answer}");
    };
    assert_eq!(of, topic);
    text.clone()
}

#[test]
fn every_topic_is_told_at_once_as_retained() {
    let mut house = House::new();
    house.wait(7);
    let client = house.client("c", &V5());
    let answer = house.subscribe(client, &[("$SYS/#", options(Q0))], &[]);
    let told = published(&answer);
    assert!(answer.starts_with("SUBACK [00]\n"));
    assert_eq!(told.len() + 1, answer.lines().count());
    let mut topics: Vec<_> = told.iter().map(|(topic, ..)| &**topic).collect();
    let mut expected = TOPICS.to_vec();
    topics.sort_unstable();
    expected.sort_unstable();
    assert_eq!(topics, expected);
    for (topic, payload, flags) in &told {
        assert_eq!(flags, "q0 retain");
        let is_number = match payload.split_once('.') {
            _ if topic == UPTIME => payload == "7 seconds",
            // Cut at twenty characters by these tests.
            _ if topic.ends_with("/version") => payload == "mqtt_broker version ",
            Some((whole, cents)) => {
                topic.contains("/load/") && cents.len() == 2 && whole.parse::<u64>().is_ok()
            }
            None => !topic.contains("/load/") && payload.parse::<u64>().is_ok(),
        };
        assert!(is_number, "{topic} {payload}");
    }
}

#[test]
fn the_version_is_named_like_mosquittos() {
    let mut house = House::new();
    let client = house.client("c", &V3());
    let mut list = FiltersBuffer::default();
    let filter = TopicFilter::new("$SYS/broker/version").unwrap();
    list.push(filter, options(Q0)).unwrap();
    let subscribe = Packet::Subscribe(Subscribe {
        packet_identifier: identifier(1),
        properties: Properties::EMPTY,
        filters: list.as_filters(),
    });
    let mut bytes = Vec::new();
    subscribe.encode(Version::V311, &mut bytes).unwrap();
    house.engine.receive(house.now, client, &bytes);
    let version = concat!("mqtt_broker version ", env!("CARGO_PKG_VERSION"));
    assert!(house.engine.outbox(client).ends_with(version.as_bytes()));
}

#[test]
fn changes_follow_in_intervals() {
    let mut house = House::new();
    let client = house.client("c", &V3());
    let clients = "$SYS/broker/clients/connected";
    house.subscribe(
        client,
        &[
            (UPTIME, options(Q0)),
            ("$SYS/broker/version", options(Q0)),
            (clients, options(Q2)),
        ],
        &[],
    );
    house.wait(9);
    assert_eq!(house.read(client), "");
    house.wait(1);
    assert_eq!(
        house.read(client),
        format!("PUBLISH {UPTIME} \"10 seconds\" q0")
    );
    let other = house.client("o", &V3());
    house.wait(10);
    let expected = format!("PUBLISH {UPTIME} \"20 seconds\" q0\nPUBLISH {clients} \"2\" q2 #2");
    assert_eq!(house.read(client), expected);
    // Whoever comes later is told what the others know.
    house.wait(3);
    let answer = house.subscribe(other, &[(UPTIME, options(Q0))], &[]);
    let expected = format!("SUBACK [00]\nPUBLISH {UPTIME} \"20 seconds\" q0 retain");
    assert_eq!(answer, expected);
    house.wait(7);
    for client in [client, other] {
        let expected = format!("PUBLISH {UPTIME} \"30 seconds\" q0");
        assert_eq!(house.read(client), expected);
    }
}

#[test]
fn options_of_the_subscription_are_honoured() {
    let mut house = House::new();
    let client = house.client("c", &V5());
    let never = SubscriptionOptions {
        retain_handling: RetainHandling::DoNotSend,
        retain_as_published: true,
        no_local: true,
        ..options(Q1)
    };
    let if_new = SubscriptionOptions {
        retain_handling: RetainHandling::SendIfNew,
        ..never
    };
    let identified = [Property::SubscriptionIdentifier(5)];
    let answer = house.subscribe(client, &[(UPTIME, never)], &identified);
    assert_eq!(answer, "SUBACK [01]");
    let answer = house.subscribe(client, &[(UPTIME, if_new)], &identified);
    assert_eq!(answer, "SUBACK [01]");
    house.wait(10);
    let identified = "SubscriptionIdentifier(5)";
    assert_eq!(
        house.read(client),
        format!("PUBLISH {UPTIME} \"10 seconds\" q1 #1 retain {identified}")
    );
    house.unsubscribe(client, UPTIME);
    let answer = house.subscribe(client, &[(UPTIME, if_new)], &[]);
    assert_eq!(
        answer,
        format!("SUBACK [01]\nPUBLISH {UPTIME} \"10 seconds\" q1 #2 retain")
    );
}

#[test]
fn leading_wildcards_bring_nothing() {
    let mut house = House::new();
    let client = house.client("c", &V3());
    let filters = ["#", "+/broker/uptime", "+/#"].map(|filter| (filter, options(Q0)));
    assert_eq!(
        house.subscribe(client, &filters, &[]),
        "SUBACK [00, 00, 00]"
    );
    assert_eq!(house.engine.deadline(), None);
    let watcher = house.client("w", &V3());
    house.subscribe(watcher, &[("$SYS/#", options(Q0))], &[]);
    house.wait(10);
    assert!(house.read(watcher).contains(UPTIME));
    assert_eq!(house.read(client), "");
}

#[test]
fn a_shared_subscription_gets_changes_only() {
    let mut house = House::new();
    let clients = ["a", "b"].map(|name| {
        let client = house.client(name, &V5());
        let shared = format!("$share/g/{UPTIME}");
        let answer = house.subscribe(client, &[(&shared, options(Q0))], &[]);
        assert_eq!(answer, "SUBACK [00]");
        client
    });
    house.wait(10);
    house.wait(10);
    let mut read = clients.map(|client| house.read(client));
    read.sort_unstable();
    let expected = [10, 20].map(|seconds| format!("PUBLISH {UPTIME} \"{seconds} seconds\" q0"));
    assert_eq!(read, expected);
    // One that is away is passed over.
    house.lose(clients[0]);
    house.wait(10);
    let expected = format!("PUBLISH {UPTIME} \"30 seconds\" q0");
    assert_eq!(house.read(clients[1]), expected);
    house.lose(clients[1]);
    assert_eq!(house.engine.deadline(), None);
}

#[test]
fn nothing_is_due_or_kept_while_nobody_listens() {
    let mut house = House::new();
    let idle = |house: &House| {
        assert_eq!(house.engine.deadline(), None);
        house.engine.account.messages() == 0
    };
    let (a, b) = (house.client("a", &V3()), house.client("b", &V3()));
    assert!(idle(&house));
    house.subscribe(a, &[(UPTIME, options(Q0)), ("$SYS/x", options(Q0))], &[]);
    house.subscribe(b, &[("$share/g/$SYS/#", options(Q0))], &[]);
    let due = Some(house.now + Duration::from_secs(10));
    assert_eq!(house.engine.deadline(), due);
    // The same filter again is the same subscription.
    house.subscribe(a, &[(UPTIME, options(Q1))], &[]);
    house.unsubscribe(a, UPTIME);
    house.unsubscribe(a, UPTIME);
    house.unsubscribe(b, "$share/g/$SYS/#");
    assert_eq!(house.engine.deadline(), due);
    house.unsubscribe(a, "$SYS/x");
    assert!(idle(&house));
    // The end of a connection counts, however it comes.
    house.subscribe(a, &[(UPTIME, options(Q0))], &[]);
    house.lose(a);
    assert!(idle(&house));
    house.subscribe(b, &[(UPTIME, options(Q0))], &[]);
    let old = b;
    let b = house.client("b", &V3());
    assert_eq!(house.read(old), "CLOSED");
    assert!(idle(&house));
    house.subscribe(b, &[(UPTIME, options(Q0))], &[]);
    house.disconnect(b, ReasonCode::Success, &[]);
    assert_eq!((house.engine.clients(), idle(&house)), (0, true));
}

#[test]
fn an_absent_session_keeps_nothing_and_is_told_all_when_it_is_back() {
    let limits = Limits {
        max_session_expiry: None,
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let kept = || Terms {
        clean: false,
        ..V3()
    };
    let filters = [
        ("$SYS/broker/clients/expired", options(Q1)),
        (UPTIME, options(Q1)),
    ];
    let client = house.client("c", &kept());
    house.subscribe(client, &filters, &[]);
    house.ack(client, AckType::PubAck, 1);
    house.ack(client, AckType::PubAck, 2);
    house.lose(client);
    assert_eq!(house.engine.deadline(), None);
    // Others listen meanwhile, so there is something to miss.
    let other = house.client("o", &V3());
    house.subscribe(other, &[("$SYS/#", options(Q0))], &[]);
    house.wait(10);
    assert!(house.read(other).contains("\"10 seconds\" q0"));
    assert_eq!(house.engine.account.messages(), 0);
    house.lose(other);
    let (client, answer) = house.connect("c", &kept());
    assert_eq!(answer, "CONNACK 00 present");
    // Though somebody else has been told already.
    value(&mut house, UPTIME);
    house.wait(10);
    let answer = house.read(client);
    let mut lines: Vec<_> = answer.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "PUBLISH $SYS/broker/clients/expired \"0\" q1 #4",
            "PUBLISH $SYS/broker/uptime \"20 seconds\" q1 #3"
        ]
    );
    // What was on its way is sent again, as everything is [MQTT-4.4.0-1].
    house.lose(client);
    let (_, answer) = house.connect("c", &kept());
    assert_eq!(published(&answer).len(), 2, "{answer}");
}

#[test]
fn the_interval_is_a_setting_in_force_at_once() {
    let with = |seconds: u64| Limits {
        sys_interval: (seconds > 0).then(|| Duration::from_secs(seconds)),
        ..limits()
    };
    let mut house = House::with(with(0), Authentication::None);
    let apply = |house: &mut House, seconds| {
        let access = Access::new(Authentication::None);
        house.engine.apply(house.now, with(seconds), access);
    };
    let client = house.client("c", &V3());
    let answer = house.subscribe(client, &[(UPTIME, options(Q0))], &[]);
    assert_eq!((&*answer, house.engine.deadline()), ("SUBACK [00]", None));
    let version = "$SYS/broker/version";
    house.subscribe(client, &[(version, options(Q0))], &[]);
    apply(&mut house, 5);
    // Who listened in vain until now is told all, even if somebody else has been told already.
    value(&mut house, UPTIME);
    house.wait(5);
    assert_eq!(
        house.read(client),
        format!("PUBLISH {version} \"mqtt_broker version \" q0\nPUBLISH {UPTIME} \"5 seconds\" q0")
    );
    house.wait(4);
    apply(&mut house, 2);
    house.wait(2);
    let expected = format!("PUBLISH {UPTIME} \"11 seconds\" q0");
    assert_eq!(house.read(client), expected);
    apply(&mut house, 0);
    assert_eq!(house.engine.deadline(), None);
    let answer = house.subscribe(client, &[(UPTIME, options(Q0))], &[]);
    assert_eq!(answer, "SUBACK [00]");
}

#[test]
fn clients_and_subscriptions_are_counted() {
    let mut house = House::new();
    let ask = |house: &mut House, name: &str| value(house, &format!("$SYS/broker/{name}"));
    let kept = house.client("kept", &KEPT());
    let shared = ("$share/g/a", options(Q0));
    house.subscribe(kept, &[("a", options(Q1)), ("b", options(Q1)), shared], &[]);
    // All subscriptions of a packet count, whatever their order.
    let other = house.client("o", &V3());
    let filters = [
        ("$SYS/broker/subscriptions/count", options(Q0)),
        ("c", options(Q0)),
    ];
    let answer = house.subscribe(other, &filters, &[]);
    assert!(answer.ends_with("\"4\" q0 retain"), "{answer}");
    house.lose(other);
    assert_eq!(ask(&mut house, "subscriptions/count"), "3");
    assert_eq!(ask(&mut house, "shared_subscriptions/count"), "1");
    house.lose(kept);
    let stranger = house.call();
    house.send(stranger, Version::V311, &Packet::PingReq);
    // With the one that asks.
    for (name, count) in [
        ("total", "2"),
        ("connected", "1"),
        ("active", "1"),
        ("disconnected", "1"),
        ("inactive", "1"),
        ("maximum", "2"),
        ("expired", "0"),
        ("refused", "1"),
    ] {
        assert_eq!(ask(&mut house, &format!("clients/{name}")), count, "{name}");
    }
    house.wait(3600);
    assert_eq!(ask(&mut house, "clients/expired"), "1");
    assert_eq!(ask(&mut house, "clients/total"), "1");
    assert_eq!(ask(&mut house, "subscriptions/count"), "1");
}

#[test]
fn messages_and_bytes_are_counted() {
    let mut house = House::new();
    let ask = |house: &mut House, name: &str| value(house, &format!("$SYS/broker/{name}"));
    let (publisher, subscriber) = (house.client("p", &V3()), house.client("s", &KEPT()));
    house.subscribe(subscriber, &[("t", options(Q1))], &[]);
    house.publish(publisher, "t", b"12345", Q1, 1);
    house.read(subscriber);
    let stats = house.engine.stats();
    // Two of CONNECT, and SUBSCRIBE and PUBLISH; an answer to each, and a PUBLISH.
    assert_eq!((stats.packets_received, stats.packets_sent()), (4, 5));
    assert_eq!((stats.messages_received, stats.messages_sent), (1, 1));
    assert_eq!(stats.payload_bytes_received, 5);
    assert_eq!(stats.payload_bytes_sent, 5);
    assert_eq!(stats.connects, 2);
    // Who asks adds CONNECT and SUBSCRIBE, before it is told.
    assert_eq!(ask(&mut house, "messages/received"), "6");
    assert_eq!(ask(&mut house, "publish/messages/received"), "1");
    assert_eq!(ask(&mut house, "publish/bytes/received"), "5");
    house.lose(subscriber);
    house.retain(publisher, "r", b"1234567");
    assert_eq!(ask(&mut house, "retained messages/count"), "1");
    // That, and the one to send again.
    for name in ["messages/stored", "store/messages/count"] {
        assert_eq!(ask(&mut house, name), "2");
    }
    assert_eq!(ask(&mut house, "store/messages/bytes"), "12");
    let heap: usize = ask(&mut house, "heap/current").parse().unwrap();
    let maximum: usize = ask(&mut house, "heap/maximum").parse().unwrap();
    assert!(heap > 12 && maximum >= heap, "{heap} {maximum}");
    let (_, answer) = house.connect("s", &KEPT());
    assert!(answer.ends_with("q1 #1 dup"), "{answer}");
    // Its PUBLISH, and the answers to those who asked.
    assert_eq!(house.engine.stats().payload_bytes_received, 12);
}

#[test]
fn drops_are_counted_by_their_reason() {
    let limits = Limits {
        max_queued_messages: Some(3),
        max_retained: Some(1),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let publisher = house.client("p", &V5());
    let kept = house.client("k", &KEPT());
    house.subscribe(kept, &[("t", options(Q1))], &[]);
    house.lose(kept);
    for _ in 0..5 {
        house.publish(publisher, "t", b"x", Q1, 1);
    }
    let brief = [Property::MessageExpiryInterval(1)];
    house.publish_with(publisher, "t", b"x", (Q1, 1, false), &brief);
    house.wait(2);
    let kept = house.client("k", &KEPT());
    house.disconnect(kept, ReasonCode::Success, &[]);
    house.retain(publisher, "a", b"x");
    house.retain(publisher, "b", b"x");
    let narrow = Terms {
        properties: vec![Property::MaximumPacketSize(20)],
        ..V5()
    };
    let narrow = house.client("n", &narrow);
    house.subscribe(narrow, &[("u", options(Q0))], &[]);
    house.publish(publisher, "u", &[b'x'; 20], Q0, 0);
    let dropped = house.engine.stats().dropped;
    assert_eq!((dropped.queue_full, dropped.expired), (3, 1));
    assert_eq!((dropped.not_retained, dropped.too_large), (1, 1));
    assert_eq!((dropped.memory, dropped.total()), (0, 6));
    let told = |house: &mut House, name| value(house, &format!("$SYS/broker/{name}"));
    assert_eq!(told(&mut house, "publish/messages/dropped"), "6");
    assert_eq!(told(&mut house, "messages/dropped/queue_full"), "3");
    assert_eq!(told(&mut house, "messages/dropped/expired"), "1");
    assert_eq!(told(&mut house, "messages/dropped/not_retained"), "1");
    assert_eq!(told(&mut house, "messages/dropped/too_large"), "1");
    assert_eq!(told(&mut house, "messages/dropped/memory"), "0");
}

#[test]
fn loads_are_per_minute() {
    let mut house = House::new();
    let publisher = house.client("p", &V3());
    for _ in 0..30 {
        house.wait(2);
        house.publish(publisher, "t", b"x", Q0, 0);
    }
    // 30 in the first minute: 1 - 1/e of it.
    assert_eq!(
        value(&mut house, "$SYS/broker/load/publish/received/1min"),
        "18.96"
    );
    assert_eq!(
        value(&mut house, "$SYS/broker/load/publish/received/5min"),
        "5.44"
    );
    house.wait(300);
    assert_eq!(
        value(&mut house, "$SYS/broker/load/publish/received/1min"),
        "0.13"
    );
}

#[test]
fn a_listener_that_does_not_read_is_dropped_for_and_holds_nobody_up() {
    let limits = Limits {
        max_queued_messages: Some(20),
        ..limits()
    };
    let mut house = House::with(limits, Authentication::None);
    let deaf = house.client("d", &V5());
    house.subscribe(deaf, &[("$SYS/#", options(Q2))], &[]);
    let publisher = house.client("p", &V5());
    let mut before = 0;
    for round in 0..100 {
        house.wait(10);
        // Refused, so that nobody is looked for whom it should wait for.
        house.publish(publisher, UPTIME, b"x", Q1, 1);
        assert!(!house.engine.is_held(publisher));
        house.publish(publisher, "t", b"x", Q1, 1);
        assert!(!house.engine.is_held(publisher));
        let bytes = house.engine.account.bytes();
        assert!(round < 10 || bytes <= before + 100, "{bytes} {before}");
        before = bytes;
    }
    assert!(house.engine.stats().dropped.queue_full > 1000);
    assert!(house.engine.outbox(deaf).len() < 100_000);
}
