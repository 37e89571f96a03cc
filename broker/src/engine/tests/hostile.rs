//! Clients that send packets in any order, right ones and broken ones, read or do not read, come back or stay away.
//! Nobody panics, everybody reads whole packets, no limit is passed, and in the end nothing is left of them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::retained::Retained;
use super::*;

const TOPICS: &[&str] = &["a", "a/b", "a/b/c", "/", "$SYS/x", "$share/g/a"];
const FILTERS: &[&str] = &[
    "#",
    "+",
    "a/#",
    "a/+",
    "+/b/#",
    "a/b",
    "$SYS/#",
    "$share/g/#",
    "$share/g/a/b",
    "$share/h/+",
];
const CLIENTS: &[&str] = &["", "x", "y", "z"];

/// A packet that is encoded when the version of the connection is known.
#[derive(Clone, Debug)]
enum Draft {
    Publish {
        flags: u8,
        topic: Option<&'static str>,
        id: u16,
        alias: Option<u16>,
        lifetime: Option<u32>,
        payload: usize,
    },
    Ack(u8, u16, Option<u8>),
    Subscribe(u16, Vec<(&'static str, u8)>, Option<u8>),
    Unsubscribe(u16, Vec<&'static str>),
    Disconnect(u8, Option<u32>),
    /// A packet without a body.
    Bare(u8),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Hello {
    version: u8,
    client: &'static str,
    clean: bool,
    keep_alive: u16,
    /// QoS, RETAIN, delay, topic.
    will: Option<(u8, bool, u32, &'static str)>,
    expiry: Option<u32>,
    receive_maximum: Option<u16>,
    max_packet_size: Option<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Connect(usize, Hello),
    /// Several packets at once, of which some bytes are changed, cut somewhere.
    Send(usize, Vec<Draft>, Vec<(Index, u8)>, Option<Index>),
    Read(usize, usize),
    Lose(usize),
    Wait(u64),
}

/// A Packet Identifier, now and then the one that is none.
fn id() -> impl Strategy<Value = u16> {
    prop_oneof![20 => 1..5_u16, 1 => Just(0)]
}

fn draft() -> impl Strategy<Value = Draft> {
    let publish = (
        prop_oneof![20 => select(vec![0_u8, 1, 2, 3, 4, 5, 10, 12]), 1 => 0..16_u8],
        option::weighted(0.9, select(TOPICS)),
        id(),
        option::weighted(0.2, id()),
        option::weighted(0.2, 0..100_u32),
        prop_oneof![4 => 0..20_usize, 1 => 0..1200_usize],
    )
        .prop_map(
            |(flags, topic, id, alias, lifetime, payload)| Draft::Publish {
                flags,
                topic,
                id,
                alias,
                lifetime,
                payload,
            },
        );
    let reason = select(vec![0_u8, 0x10, 0x80, 0x92]);
    let ack = (4..8_u8, id(), option::weighted(0.1, reason));
    let options = prop_oneof![4 => 0..3_u8, 1 => 0..0x2F_u8];
    let subscribe = (
        id(),
        vec((select(FILTERS), options), 1..4),
        option::weighted(0.3, 1..4_u8),
    );
    let disconnect = (select(vec![0_u8, 4, 0x80, 0x8B]), option::of(0..50_u32));
    prop_oneof![
        8 => publish,
        6 => ack.prop_map(|(kind, id, reason)| Draft::Ack(kind, id, reason)),
        5 => subscribe.prop_map(|(id, filters, number)| Draft::Subscribe(id, filters, number)),
        2 => (id(), vec(select(FILTERS), 1..3)).prop_map(|(id, filters)| Draft::Unsubscribe(id, filters)),
        1 => disconnect.prop_map(|(reason, expiry)| Draft::Disconnect(reason, expiry)),
        2 => prop_oneof![9 => Just(0xC0_u8), 1 => any::<u8>()].prop_map(Draft::Bare),
        1 => vec(any::<u8>(), 0..40).prop_map(Draft::Bytes),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let will = (0..3_u8, any::<bool>(), 0..20_u32, select(TOPICS));
    (
        3..6_u8,
        select(CLIENTS),
        any::<bool>(),
        prop_oneof![Just(0_u16), 1..60_u16],
        option::of(will),
        option::of(prop_oneof![0..40_u32, Just(u32::MAX)]),
        option::of(1..4_u16),
        option::weighted(0.2, 1..200_u32),
    )
        .prop_map(
            |(version, client, clean, keep_alive, will, expiry, receive_maximum, size)| Hello {
                version,
                client,
                clean,
                keep_alive,
                will,
                expiry,
                receive_maximum,
                max_packet_size: size,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..4_usize;
    let changes = prop_oneof![
        8 => Just(vec![]),
        1 => vec((any::<Index>(), any::<u8>()), 1..3),
    ];
    let cut = option::weighted(0.15, any::<Index>());
    let send = (slot.clone(), vec(draft(), 1..4), changes, cut)
        .prop_map(|(slot, drafts, changes, cut)| Step::Send(slot, drafts, changes, cut));
    prop_oneof![
        3 => (slot.clone(), hello()).prop_map(|(slot, hello)| Step::Connect(slot, hello)),
        10 => send,
        4 => (slot.clone(), prop_oneof![1..40_usize, Just(usize::MAX)])
            .prop_map(|(slot, count)| Step::Read(slot, count)),
        1 => slot.prop_map(Step::Lose),
        1 => (0..30_u64).prop_map(Step::Wait),
    ]
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A packet of this first byte; the standard is not asked.
fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    let mut rest = body.len();
    while rest > 0x7F {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend_from_slice(body);
    out
}

/// The properties with their length, in 5.0 alone.
fn put_properties(out: &mut Vec<u8>, version: Version, properties: &[u8]) {
    if version == Version::V5 {
        out.push(u8::try_from(properties.len()).unwrap());
        out.extend_from_slice(properties);
    }
}

/// The identifier of a property and its value, if there is one.
fn property<const N: usize>(identifier: u8, value: Option<[u8; N]>) -> Vec<u8> {
    value.map_or(vec![], |value| [&[identifier], &value[..]].concat())
}

impl Draft {
    fn encode(&self, version: Version) -> Vec<u8> {
        let is_5 = version == Version::V5;
        let mut body = Vec::new();
        match self {
            Draft::Publish {
                flags,
                topic,
                id,
                alias,
                lifetime,
                payload,
            } => {
                put_string(&mut body, topic.unwrap_or_default().as_bytes());
                if flags & 6 != 0 {
                    body.extend_from_slice(&id.to_be_bytes());
                }
                let alias = property(0x23, alias.map(u16::to_be_bytes));
                let lifetime = property(0x02, lifetime.map(u32::to_be_bytes));
                put_properties(&mut body, version, &[alias, lifetime].concat());
                body.resize(body.len() + payload, b'p');
                framed(0x30 | flags, &body)
            }
            Draft::Ack(kind, id, reason) => {
                body.extend_from_slice(&id.to_be_bytes());
                body.extend(reason.filter(|_| is_5));
                framed(kind << 4 | u8::from(*kind == 6) << 1, &body)
            }
            Draft::Subscribe(id, filters, number) => {
                body.extend_from_slice(&id.to_be_bytes());
                let number = property(0x0B, number.map(u8::to_be_bytes));
                put_properties(&mut body, version, &number);
                for (filter, options) in filters {
                    put_string(&mut body, filter.as_bytes());
                    body.push(if is_5 { *options } else { options % 3 });
                }
                framed(0x82, &body)
            }
            Draft::Unsubscribe(id, filters) => {
                body.extend_from_slice(&id.to_be_bytes());
                put_properties(&mut body, version, &[]);
                for filter in filters {
                    put_string(&mut body, filter.as_bytes());
                }
                framed(0xA2, &body)
            }
            Draft::Disconnect(reason, expiry) => {
                if is_5 {
                    body.push(*reason);
                    let expiry = property(0x11, expiry.map(u32::to_be_bytes));
                    put_properties(&mut body, version, &expiry);
                }
                framed(0xE0, &body)
            }
            Draft::Bare(first_byte) => framed(*first_byte, &[]),
            Draft::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Hello {
    fn version(&self) -> Version {
        [Version::V31, Version::V311, Version::V5][usize::from(self.version) - 3]
    }

    fn encode(&self) -> Vec<u8> {
        let version = self.version();
        let mut body = Vec::new();
        put_string(&mut body, version.protocol_name().as_bytes());
        let will = self.will.map_or(0, |(qos, retain, ..)| {
            0x04 | qos << 3 | u8::from(retain) << 5
        });
        body.extend_from_slice(&[self.version, u8::from(self.clean) << 1 | will]);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        let properties = [
            property(0x11, self.expiry.map(u32::to_be_bytes)),
            property(0x21, self.receive_maximum.map(u16::to_be_bytes)),
            property(0x27, self.max_packet_size.map(u32::to_be_bytes)),
        ];
        put_properties(&mut body, version, &properties.concat());
        put_string(&mut body, self.client.as_bytes());
        if let Some((_, _, delay, topic)) = self.will {
            put_properties(
                &mut body,
                version,
                &property(0x18, Some(delay.to_be_bytes())),
            );
            put_string(&mut body, topic.as_bytes());
            put_string(&mut body, b"will");
        }
        framed(0x10, &body)
    }
}

/// A socket: what the engine has not used yet, and what the client has read.
struct Line {
    key: ConnectionKey,
    version: Version,
    max_packet_size: Option<u32>,
    unused: Vec<u8>,
    read: Vec<u8>,
}

/// The engine with four sockets.
struct Street {
    house: House,
    lines: [Option<Line>; 4],
}

impl Street {
    /// Limits that are reached soon.
    fn new() -> Self {
        let limits = Limits {
            max_clients: Some(3),
            max_inflight: 2,
            max_queued_messages: Some(4),
            max_queued_bytes: Some(3000),
            max_memory: 24_000,
            max_packet_size: 1000,
            max_topic_alias: 3,
            max_retained: Some(2),
            max_subscriptions: Some(4),
            max_session_expiry: Some(3600),
            ..limits()
        };
        Street {
            house: House::with(limits, Authentication::None),
            lines: [const { None }; 4],
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Connect(slot, hello) => {
                self.lose(*slot);
                self.lines[*slot] = Some(Line {
                    key: self.house.call(),
                    version: hello.version(),
                    max_packet_size: hello.max_packet_size,
                    unused: hello.encode(),
                    read: Vec::new(),
                });
                self.feed(*slot);
            }
            Step::Send(slot, drafts, changes, cut) => {
                let Some(line) = &mut self.lines[*slot] else {
                    return;
                };
                let packets = drafts.iter().map(|draft| draft.encode(line.version));
                let mut bytes = packets.collect::<Vec<_>>().concat();
                if bytes.is_empty() {
                    return;
                }
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                // What is cut off comes with the next packet, or never.
                let end = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
                line.unused.extend_from_slice(&bytes[..end]);
                self.feed(*slot);
                if let Some(line) = &mut self.lines[*slot] {
                    line.unused.extend_from_slice(&bytes[end..]);
                }
            }
            Step::Read(slot, count) => self.read(*slot, *count),
            Step::Lose(slot) => self.lose(*slot),
            Step::Wait(seconds) => self.house.wait(*seconds),
        }
        self.settle();
    }

    /// Gives the engine what came, as far as it is ready for it.
    fn feed(&mut self, slot: usize) {
        let Some(line) = &mut self.lines[slot] else {
            return;
        };
        if self.house.engine.is_held(line.key) {
            return;
        }
        let used = self
            .house
            .engine
            .receive(self.house.now, line.key, &line.unused);
        line.unused.drain(..used);
        // Whatever waits is one incomplete packet, or the engine is not ready.
        assert!(line.unused.len() <= 1005 || self.house.engine.is_held(line.key));
    }

    /// The client reads so many bytes at most.
    fn read(&mut self, slot: usize, count: usize) {
        let Some(line) = &mut self.lines[slot] else {
            return;
        };
        let engine = &mut self.house.engine;
        let mut left = count;
        while left > 0 && !engine.outbox(line.key).is_empty() {
            let pending = engine.outbox(line.key);
            let count = pending.len().min(left);
            line.read.extend_from_slice(&pending[..count]);
            engine.written(self.house.now, line.key, count);
            left -= count;
        }
        let mut used = 0;
        while let Some((packet, len)) =
            mqtt::decode(&line.read[used..], line.version, mqtt::MAX_PACKET_SIZE).unwrap()
        {
            assert!(!matches!(
                packet,
                Packet::Connect(_)
                    | Packet::Subscribe(_)
                    | Packet::Unsubscribe(_)
                    | Packet::PingReq
                    | Packet::Auth(_)
            ));
            if line.version == Version::V5
                && let Some(max) = line.max_packet_size
            {
                assert!(len <= max as usize, "[MQTT-3.1.2-24]");
            }
            used += len;
        }
        line.read.drain(..used);
    }

    fn lose(&mut self, slot: usize) {
        if let Some(line) = self.lines[slot].take() {
            self.house
                .engine
                .closed(self.house.now, line.key, "lost by the test");
        }
    }

    /// Does what the core does at the end of a turn, and checks the limits.
    fn settle(&mut self) {
        let mut dirty = Vec::new();
        self.house.engine.take_dirty(&mut dirty);
        for slot in 0..self.lines.len() {
            let Some(line) = &self.lines[slot] else {
                continue;
            };
            let (key, engine) = (line.key, &self.house.engine);
            match engine.verdict(key) {
                Verdict::Keep => {}
                Verdict::CloseWhenWritten if !engine.outbox(key).is_empty() => {}
                Verdict::CloseWhenWritten | Verdict::CloseNow => self.lose(slot),
            }
        }
        while let resumed = self.house.engine.take_resumed()
            && !resumed.is_empty()
        {
            for slot in 0..self.lines.len() {
                if self.lines[slot]
                    .as_ref()
                    .is_some_and(|line| resumed.contains(&line.key))
                {
                    self.feed(slot);
                }
            }
        }
        self.house.wait(0);
        let engine = &self.house.engine;
        assert!(engine.deadline().is_none_or(|at| at > self.house.now));
        assert!(engine.clients() <= 3);
        assert!(engine.retained() <= 2);
        assert!(engine.subscriptions() <= 4 * engine.sessions());
        assert!(engine.sessions() <= 1024);
        assert_eq!(engine.connections(), self.lines.iter().flatten().count());
        assert!(engine.connection_account.bytes() <= 24_000 + 4 * 1005);
    }

    /// All go, and nobody comes back: nothing may be left of them.
    fn end(mut self) {
        for slot in 0..self.lines.len() {
            self.read(slot, usize::MAX);
            self.lose(slot);
        }
        self.settle();
        self.house.wait(3600);
        let engine = &mut self.house.engine;
        assert_eq!((engine.connections(), engine.clients()), (0, 0));
        assert_eq!((engine.sessions(), engine.subscriptions()), (0, 0));
        assert_eq!(engine.connection_account.bytes(), 0);
        engine.retained = Retained::new(&engine.account);
        assert_eq!(engine.account.bytes(), 0);
        engine.sweep(self.house.now);
        assert_eq!(engine.deadline(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_of_hostile_clients(steps in vec(step(), 1..80)) {
        let mut street = Street::new();
        for step in &steps {
            street.step(step);
        }
        street.end();
    }
}

/// A second CONNECT is a Protocol Error whatever is in it [MQTT-3.1.0-2]; 0x84 stands in CONNACK alone.
#[test]
fn a_second_connect_of_an_unknown_version() {
    let mut house = House::new();
    let client = house.client("a", &V5());
    let connect = b"\x10\x0d\x00\x04MQTT\x07\x02\x00\x00\x00\x01a";
    house.engine.receive(house.now, client, connect);
    assert_eq!(house.read(client), "DISCONNECT 82\nCLOSED");
}

/// Even CONNACK is too long for such a client, which then counts as one that was there and went.
#[test]
fn a_client_that_can_take_no_answer_leaves_nothing_behind() {
    let mut house = House::new();
    let deaf = Terms {
        properties: vec![
            Property::MaximumPacketSize(1),
            Property::SessionExpiryInterval(60),
        ],
        clean: false,
        ..V5()
    };
    let (first, answer) = house.connect("a", &deaf);
    assert_eq!(answer, "CLOSED");
    assert_eq!((house.engine.clients(), house.engine.sessions()), (0, 1));
    // Its session can be taken up again.
    let (second, answer) = house.connect("a", &KEPT());
    assert!(answer.starts_with("CONNACK 00 present"), "{answer}");
    assert_eq!((first, house.engine.clients()), (second, 1));
    assert_eq!(
        house.send(second, Version::V5, &Packet::PingReq),
        "PINGRESP"
    );
}

/// It is refused without a word, but not unseen.
#[test]
fn a_refusal_is_not_longer_than_the_client_takes() {
    let mut house = House::new();
    for (size, answer) in [(4, "CLOSED"), (5, "CONNACK 8c\nCLOSED")] {
        let terms = Terms {
            properties: vec![
                Property::MaximumPacketSize(size),
                Property::AuthenticationMethod("M"),
            ],
            ..V5()
        };
        assert_eq!(house.connect("a", &terms).1, answer);
    }
    let refusal = house.engine.refusals.iter().next();
    assert_eq!(refusal.map(|refusal| refusal.count), Some(2));
}

#[test]
fn a_client_that_could_take_no_answer_is_taken_over_at_once() {
    let mut house = House::new();
    let client = house.client(
        "a",
        &Terms {
            properties: vec![Property::MaximumPacketSize(30)],
            ..V5()
        },
    );
    // Forty filters, forty Reason Codes; the core has not closed the connection yet.
    let filters = vec![(FILTERS[0], 0); 40];
    let bytes = Draft::Subscribe(1, filters, None).encode(Version::V5);
    house.engine.receive(house.now, client, &bytes);
    assert_ne!(house.engine.verdict(client), Verdict::Keep);
    let other = house.client("a", &V5());
    house.lose(client);
    assert_eq!(house.engine.clients(), 1);
    assert_eq!(house.send(other, Version::V5, &Packet::PingReq), "PINGRESP");
    house.lose(other);
    assert_eq!((house.engine.clients(), house.engine.sessions()), (0, 0));
}
