//! The random schedule: clients that act, links that deliver when they like, and time that passes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use mqtt::{
    FiltersBuffer, Packet, Property, QoS, ReasonCode, RetainHandling, Subscribe,
    SubscriptionOptions, TopicFilter, Unsubscribe, UnsubscribeFiltersBuffer, Version,
};
use settings::Authentication;

use super::super::super::{Access, ConnectionKey, Engine};
use super::client::{self, Client, NONE, Terms};
use super::ledger::Ledger;
use super::message::{FILTERS, Message};
use super::oracle::Counted;
use super::random::Random;
use super::scenario::{Family, Scenario};
use super::wire::Link;

/// Everything in one run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) scenario: Scenario,
    pub(super) engine: Engine,
    pub(super) ledger: Ledger,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) clients: Vec<Client>,
    pub(super) links: Vec<Link>,
    pub(super) by_key: BTreeMap<ConnectionKey, usize>,
    pub(super) counted: Counted,
    numbers: u32,
    calls: u64,
    /// How often everything is looked at.
    thoroughness: u64,
    /// The story of the run, for whoever wants it.
    pub(super) story: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::new(seed);
        let family = Family::of(seed);
        let scenario = Scenario::random(&mut random, family);
        let start = Instant::now();
        let access = Access::new(Authentication::None);
        let mut world = World {
            random,
            engine: Engine::new(start, scenario.limits.clone(), access),
            ledger: Ledger::new(scenario.limits.clone()),
            scenario,
            start,
            now: start,
            clients: Vec::new(),
            links: Vec::new(),
            by_key: BTreeMap::new(),
            counted: Counted::default(),
            numbers: 0,
            calls: 0,
            thoroughness: if is_told { 1 } else { 8 },
            story: is_told.then(Vec::new),
        };
        world.engine.steps_a_slice = world.random.pick(&[1, 2, 5, 2000]);
        for index in 0..world.scenario.clients {
            let usual = world
                .random
                .pick(&[Version::V31, Version::V311, Version::V5, Version::V5]);
            let terms = world.scenario.generous(usual);
            let name = match usual == Version::V5 && world.random.one_in(10) {
                true => String::new(),
                false => format!("c{index}"),
            };
            let client = world.client(name, terms);
            world.clients.push(client);
        }
        world.tell(|world| format!("{:?}", world.scenario));
        world
    }

    pub(super) fn client(&self, name: String, terms: Terms) -> Client {
        Client::new(name, terms, self.scenario.limits.max_inflight, self.now)
    }

    /// Adds a line to the story.
    pub(super) fn tell(&mut self, line: impl FnOnce(&World) -> String) {
        let Some(mut story) = self.story.take() else {
            return;
        };
        let at = self.now.duration_since(self.start).as_secs_f64();
        story.push(format!("{at:10.3} {}", line(self)));
        self.story = Some(story);
    }

    /// A number for the next message.
    pub(super) fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// Compares engine and ledger after a call.
    pub(super) fn judge(&mut self) {
        self.calls += 1;
        let thorough = self.calls.is_multiple_of(self.thoroughness);
        self.ledger
            .judge(self.now, &self.engine, self.counted, thorough);
        self.counted = Counted::by(&self.engine);
    }

    /// One turn of the loop: what was put off, one or two things that happen, and all that is to be written.
    pub(super) fn turn(&mut self) {
        self.catch_up();
        for _ in 0..self.random.between(1, 2) {
            self.happen();
        }
        self.flush();
    }

    /// What the broker does without being asked: reading on, writing on, and going on with replays.
    pub(super) fn catch_up(&mut self) {
        if !self.engine.replaying.is_empty() {
            self.expire();
        }
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            if link.key.is_none() {
                continue;
            }
            let writes = std::mem::take(&mut link.again) || (link.is_blocked && link.room() > 0);
            let reads = std::mem::take(&mut link.resumed);
            if writes {
                self.write(index);
            }
            if reads {
                self.offer(index);
            }
        }
    }

    fn happen(&mut self) {
        let temper = self.scenario.temper;
        type Chance = (usize, fn(&mut World));
        let chances: [Chance; 10] = [
            (temper.up, World::deliver_up_somewhere),
            (temper.down, World::deliver_down_somewhere),
            (temper.acknowledge, World::acknowledge),
            (temper.publish, World::publish),
            (temper.subscribe, World::subscribe_or_not),
            (temper.connect, World::connect),
            (temper.disconnect, World::disconnect),
            (temper.lose, World::lose),
            (temper.time, World::pass_time),
            (temper.odd, World::do_something_odd),
        ];
        let mut at = self
            .random
            .below(chances.iter().map(|(chance, _)| chance).sum());
        for (chance, action) in chances {
            if at < chance {
                action(self);
                return;
            }
            at -= chance;
        }
    }

    /// A client that is connected.
    fn somebody(&mut self) -> Option<usize> {
        let index = self.random.below(self.clients.len());
        let client = &self.clients[index];
        (client.is_connected && client.link.is_some() && !client.is_done).then_some(index)
    }

    /// A client sends.
    pub(super) fn send(&mut self, client: usize, bytes: &[u8]) {
        let now = self.now;
        let client = &mut self.clients[client];
        client.last_sent = now;
        if let Some(link) = client.link {
            self.links[link].send(bytes);
        }
    }

    fn connect(&mut self) {
        let index = self.random.below(self.clients.len());
        // While it is connected only if it believes that the old connection is dead.
        if self.clients[index].link.is_some() && !self.random.one_in(4) {
            return;
        }
        let usual = self.clients[index].terms.version;
        let number = self.number();
        let mut terms = self.scenario.terms(&mut self.random, usual, number);
        if self.clients[index].name.is_empty() {
            terms.version = Version::V5;
            terms.max_packet = None;
        }
        self.connect_with(index, terms);
    }

    pub(super) fn connect_with(&mut self, index: usize, terms: Terms) {
        if let Some(old) = self.clients[index].link {
            let link = &mut self.links[old];
            match self.random.below(3) {
                0 => link.up_ends = true,
                1 => link.cut(&mut self.random),
                _ => link.is_unread = true,
            }
        }
        let link = self.open(index);
        self.tell(|_| format!("client {index} connects on link {link}: {terms:?}"));
        let bytes = self.clients[index].connect(link, terms);
        self.clients[index].last_sent = self.now;
        self.links[link].send(&bytes);
    }

    /// A new link to the broker.
    pub(super) fn open(&mut self, client: usize) -> usize {
        let address = Ipv4Addr::new(192, 0, 2, self.random.below(3) as u8);
        let key = self.engine.open(self.now, IpAddr::V4(address));
        self.ledger.opened(self.now, key);
        self.judge();
        let slow = self.random.one_in(self.scenario.slow);
        let capacity = match slow {
            true => self.random.pick(&[1, 60, 500, 5000]),
            false => 1 << 20,
        };
        self.links.push(Link::new(client, key, capacity));
        self.by_key.insert(key, self.links.len() - 1);
        self.links.len() - 1
    }

    fn publish(&mut self) {
        let Some(index) = self.somebody() else { return };
        for _ in 0..self.random.pick(&[1, 1, 1, 4, 12]) {
            let number = self.number();
            let mut message = Message::random(&mut self.random, number, self.scenario.large);
            self.scenario.tame(&mut message);
            if message.qos > QoS::AtMostOnce && !self.clients[index].may_send() {
                message.qos = QoS::AtMostOnce;
            }
            if !self.scenario.fits(&message) {
                continue;
            }
            self.publish_as(index, message);
        }
    }

    pub(super) fn publish_as(&mut self, index: usize, message: Message) {
        let client = &mut self.clients[index];
        let may = client.terms.version == Version::V5 && client.promised.max_alias > 0;
        let alias = (may && self.random.one_in(3)).then(|| {
            let max = usize::from(client.promised.max_alias);
            self.random.between(1, max) as u16
        });
        self.tell(|_| format!("client {index} publishes {message:?}, alias {alias:?}"));
        let bytes = self.clients[index].publish(message, alias);
        self.send(index, &bytes);
    }

    fn subscribe_or_not(&mut self) {
        let Some(index) = self.somebody() else { return };
        if self.random.one_in(4) {
            self.unsubscribe(index);
            return;
        }
        let many = if self.random.one_in(30) { 40 } else { 3 };
        let count = self.random.between(1, many);
        let filters: Vec<_> = (0..count).map(|_| self.random.pick(&FILTERS)).collect();
        let identifier = self
            .random
            .one_in(3)
            .then(|| self.random.between(1, 5) as u32);
        self.subscribe(index, &filters, None, identifier);
    }

    /// Subscribes with these options or with random ones.
    pub(super) fn subscribe(
        &mut self,
        index: usize,
        filters: &[&str],
        options: Option<SubscriptionOptions>,
        identifier: Option<u32>,
    ) {
        let version = self.clients[index].terms.version;
        let mut list = FiltersBuffer::new();
        let mut told = Vec::new();
        for &filter in filters {
            let random = &mut self.random;
            let shared = filter.starts_with("$share/");
            let handling = [
                RetainHandling::Send,
                RetainHandling::Send,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ];
            let options = options.unwrap_or(SubscriptionOptions {
                qos: random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]),
                no_local: random.one_in(4) && !shared,
                retain_as_published: random.one_in(3),
                retain_handling: random.pick(&handling),
            });
            list.push(TopicFilter::from_valid(filter), options).unwrap();
            told.push((filter, options));
        }
        let identifier = identifier.filter(|_| version == Version::V5);
        let properties: Vec<_> = identifier
            .map(Property::SubscriptionIdentifier)
            .into_iter()
            .collect();
        let properties = super::super::buffer(&properties);
        let packet = Packet::Subscribe(Subscribe {
            packet_identifier: self.clients[index].request(),
            properties: properties.as_properties(),
            filters: list.as_filters(),
        });
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        self.tell(|_| format!("client {index} subscribes to {told:?}, identifier {identifier:?}"));
        self.send(index, &bytes);
    }

    fn unsubscribe(&mut self, index: usize) {
        let mut list = UnsubscribeFiltersBuffer::new();
        let count = self.random.between(1, 3);
        let filters: Vec<_> = (0..count).map(|_| self.random.pick(&FILTERS)).collect();
        for filter in &filters {
            list.push(TopicFilter::from_valid(filter)).unwrap();
        }
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_identifier: self.clients[index].request(),
            properties: NONE,
            filters: list.as_filters(),
        });
        let mut bytes = Vec::new();
        packet
            .encode(self.clients[index].terms.version, &mut bytes)
            .unwrap();
        self.tell(|_| format!("client {index} unsubscribes from {filters:?}"));
        self.send(index, &bytes);
    }

    /// A client sends some of the acknowledgements that it owes.
    fn acknowledge(&mut self) {
        let Some(index) = self.somebody() else { return };
        for _ in 0..self.random.pick(&[1, 2, 5, 100]) {
            let Some(bytes) = self.clients[index].acknowledge() else {
                return;
            };
            self.send(index, &bytes);
        }
    }

    fn disconnect(&mut self) {
        let Some(index) = self.somebody() else { return };
        let reason = self.random.pick(&[
            ReasonCode::Success,
            ReasonCode::Success,
            ReasonCode::DisconnectWithWillMessage,
            ReasonCode::UnspecifiedError,
        ]);
        let expiry = match self.random.below(3) {
            // From nothing it can't come, but few clients know.
            0 if self.clients[index].terms.session_expiry.unwrap_or(0) > 0
                || self.random.one_in(20) =>
            {
                Some(self.random.pick(&[0, 2, 100, u32::MAX]))
            }
            _ => None,
        };
        self.disconnect_with(index, reason, expiry);
    }

    pub(super) fn disconnect_with(
        &mut self,
        index: usize,
        reason: ReasonCode,
        expiry: Option<u32>,
    ) {
        self.tell(|_| format!("client {index} disconnects: {reason}, expiry {expiry:?}"));
        let bytes = self.clients[index].disconnect(reason, expiry);
        self.send(index, &bytes);
        self.hang_up(index);
    }

    /// A client closes its end after what it has sent.
    pub(super) fn hang_up(&mut self, index: usize) {
        if let Some(link) = self.clients[index].link {
            self.links[link].up_ends = true;
        }
        self.clients[index].leave();
    }

    /// The network of some link fails.
    fn lose(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let index = self.random.below(self.links.len());
        let link = &mut self.links[index];
        if link.key.is_none() || link.is_cut {
            return;
        }
        link.cut(&mut self.random);
        let (up, down, silent) = (link.up.len(), link.down.len(), link.is_silent);
        let way = if silent { "without a word" } else { "" };
        self.tell(|_| format!("link {index} breaks {way}: {up} bytes up and {down} down arrive"));
    }

    fn pass_time(&mut self) {
        let millis = match self.random.below(100) {
            0..50 => self.random.between(0, 900),
            50..85 => self.random.between(900, 6000),
            85..97 => self.random.between(6000, 100_000),
            97..99 => self.random.between(100_000, 4_000_000),
            _ => self.random.between(4_000_000, 2_000_000_000),
        };
        self.advance(Duration::from_millis(millis as u64));
    }

    /// Time passes: the broker wakes at each deadline, or too late for all of them.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        if by < Duration::from_secs(200) {
            self.ping(until);
        }
        if self.random.one_in(3) {
            self.now = until;
            self.tell(|_| format!("{by:?} pass at once"));
            if self.random.one_in(10) {
                return; // it comes even later
            }
            self.expire();
            return;
        }
        self.tell(|_| format!("{by:?} pass"));
        while let Some(deadline) = self.engine.deadline()
            && deadline <= until
        {
            self.now = self.now.max(deadline);
            self.expire();
        }
        self.now = until;
        self.expire();
    }

    /// Most clients mind their Keep Alive.
    fn ping(&mut self, until: Instant) {
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            let Some(patience) = client::patience(client.promised) else {
                continue;
            };
            let is_due = client.last_sent + patience <= until;
            if client.is_connected && !client.is_done && is_due && !self.random.one_in(5) {
                let bytes = client.ping();
                self.send(index, &bytes);
            }
        }
    }

    fn do_something_odd(&mut self) {
        match self.random.below(5) {
            // Somebody calls and says nothing, or nothing of sense.
            0 => {
                let link = self.open(usize::MAX);
                let bytes = self.random.pick(&[
                    &b""[..],
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"\xc0\x00",
                    b"\x10\x0d\x00\x04MQTT\x07\x02\x00\x00\x00\x01a",
                    b"\x10",
                ]);
                self.tell(|_| format!("a stranger says {bytes:02x?} on link {link}"));
                self.links[link].send(bytes);
                self.links[link].up_ends = self.random.one_in(2);
            }
            1 => {
                self.tell(|_| "somebody makes place".into());
                self.make_place();
            }
            2 => {
                let Some(index) = self.somebody() else { return };
                let number = self.number();
                let message = Message {
                    topic: "$SYS/a",
                    ..Message::random(&mut self.random, number, 100)
                };
                if message.qos == QoS::AtMostOnce || self.clients[index].may_send() {
                    let mut message = message;
                    self.scenario.tame(&mut message);
                    message.len = message.len.min(100);
                    self.publish_as(index, message);
                }
            }
            _ => self.misbehave(),
        }
    }

    /// A client sends what no client may send, and nothing after it.
    fn misbehave(&mut self) {
        let Some(index) = self.somebody() else { return };
        let is_new = self.clients[index].terms.version == Version::V5;
        let bytes = self.random.pick(&[
            &b"\x00\x00"[..],
            b"\x20\x02\x00\x00",
            b"\x36\x04\x00\x01a\x01",
            b"\x30\xff\xff\xff\xff\x01",
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a",
            // 5.0 only: a Topic Alias too large, one that was never set, and a Subscription Identifier.
            b"\x30\x07\x00\x01a\x03\x23\xff\xff",
            b"\x30\x06\x00\x00\x03\x23\x00\x0a",
            b"\x30\x06\x00\x01a\x02\x0b\x01",
        ]);
        if !is_new && bytes[0] == 0x30 && bytes[1] < 0x80 {
            return;
        }
        self.tell(|_| format!("client {index} misbehaves: {bytes:02x?}"));
        self.send(index, bytes);
        let link = self.clients[index].link.expect("a link");
        if !self.links[link].is_cut {
            self.links[link].wrong = bytes.len();
        }
        self.clients[index].is_done = true;
    }
}
