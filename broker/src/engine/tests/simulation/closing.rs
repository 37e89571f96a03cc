//! The end of a run: everything that is owed arrives, then everybody leaves and nothing is left.

use std::time::Duration;

use mqtt::{QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};

use super::client::{Client, Terms};
use super::message::{Message, TOPICS};
use super::schedule::World;

impl World {
    /// The network heals, and all clients come back and take what waits for them.
    pub(super) fn settle(&mut self) {
        self.tell(|_| "all is to settle".into());
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            link.is_silent = false;
            link.capacity = 1 << 20;
            link.is_unread = false;
            let who = link.client;
            let is_current = who < self.clients.len() && self.clients[who].link == Some(index);
            link.up_ends |= !is_current || link.is_cut || self.clients[who].is_done;
        }
        for round in 0..100 {
            self.gather();
            self.drain();
            for who in 0..self.clients.len() {
                self.give_up(who);
            }
            let mut clients = self.clients.iter();
            let is_settled = clients.all(|client| match client.link {
                Some(_) => client.is_settled() && client.is_connected,
                None => self.is_full(),
            });
            if is_settled
                && self
                    .links
                    .iter()
                    .all(|link| link.key.is_none() || link.up.is_empty())
            {
                break;
            }
            if round > 20 && self.ledger.is_poor() {
                // A 3.x publisher is not let in with a message that there is no memory for.
                return;
            }
            let open: Vec<_> = self.clients.iter().map(Client::open).collect();
            assert!(round < 99, "nothing settles: {open:#?}");
            self.advance(Duration::from_secs(1));
        }
        for client in &self.clients {
            self.compare(client);
        }
    }

    /// Whether no more clients may connect.
    fn is_full(&self) -> bool {
        let max = self.scenario.limits.max_clients;
        max.is_some_and(|max| self.ledger.clients() >= max as usize)
    }

    fn gather(&mut self) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if client.link.is_some() || self.is_full() {
                continue;
            }
            let mut terms = self.scenario.generous(client.terms.version);
            if client.name.is_empty() {
                terms.version = Version::V5;
                if !self.scenario.limits.allow_empty_client_id {
                    self.clients[index].name = format!("named{index}");
                }
            }
            self.connect_well(index, terms);
        }
    }

    /// Connects on a link without faults.
    fn connect_well(&mut self, index: usize, terms: Terms) {
        self.connect_with(index, terms);
        self.links.last_mut().expect("a new link").capacity = 1 << 20;
        self.drain();
    }

    /// Everything under way arrives.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            self.catch_up();
            self.flush();
            let mut moved = false;
            for index in 0..self.links.len() {
                let link = &self.links[index];
                let has_end = link.key.is_some() && link.is_at_end();
                if link.key.is_some() && (link.has_under_way() || has_end) {
                    let count = link.up.len() - link.arrived;
                    let before = (link.arrived, link.up.len());
                    self.deliver_up(index, count);
                    let link = &self.links[index];
                    moved |= before != (link.arrived, link.up.len()) || link.key.is_none();
                }
                let link = &self.links[index];
                let who = link.client;
                let is_current = who < self.clients.len() && self.clients[who].link == Some(index);
                if !is_current {
                    self.links[index].down.clear();
                } else if !link.down.is_empty() || link.down_ends {
                    let count = link.down.len();
                    self.deliver_down(index, count);
                    moved = true;
                }
            }
            for index in 0..self.clients.len() {
                while let Some(bytes) = self.clients[index].acknowledge() {
                    self.send(index, &bytes);
                    moved = true;
                }
            }
            self.flush();
            let waits = |link: &super::wire::Link| link.again || link.resumed;
            let is_quiet = !moved && self.engine.replaying.is_empty();
            if is_quiet && !self.links.iter().any(waits) {
                return;
            }
        }
        panic!("bytes move for ever");
    }

    /// What a client got is what the broker has sent it: of QoS 2 exactly, of QoS 1 at least, of QoS 0 at most.
    fn compare(&self, client: &Client) {
        let Some(epoch) = client.epoch else { return };
        if !client.is_connected || client.terms.clean_start || client.is_forgetful {
            return;
        }
        let Some(session) = self.ledger.sessions.get(&epoch) else {
            return;
        };
        assert!(
            session.owed.is_empty(),
            "still owed to {:?}: {:?}",
            session.name,
            session.owed
        );
        assert!(
            session.flights.is_empty(),
            "still under way to {:?}",
            session.name
        );
        for (number, left) in &session.left {
            let none = [0; 3];
            let delivered = client.delivered.get(number).unwrap_or(&none);
            if client.refused.contains(number) || session.given_up.contains(number) {
                continue;
            }
            assert!(
                delivered[0] <= left[0] && delivered[1] >= left[1] && delivered[2] == left[2],
                "message {number} left {left:?} times for {:?}, which got it {delivered:?} times",
                session.name
            );
        }
    }

    /// Somebody new sees what is retained.
    pub(super) fn watch(&mut self) {
        if self.is_full() {
            return;
        }
        let terms = self.scenario.generous(Version::V5);
        let watcher = self.clients.len();
        let name = "watcher".to_owned();
        let client = self.client(name, terms.clone());
        self.clients.push(client);
        self.connect_well(watcher, terms);
        if !self.clients[watcher].is_connected {
            return;
        }
        let options = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        for filter in ["#", "$own/#"] {
            self.subscribe(watcher, &[filter], Some(options), None);
        }
        self.drain();
        let client = &self.clients[watcher];
        assert!(client.is_settled(), "the watcher: {}", client.open());
        if self.scenario.limits.max_subscriptions.is_some() || self.ledger.is_poor() {
            return;
        }
        let mut retained: Vec<_> = self
            .ledger
            .retained
            .values()
            .filter(|record| !record.expired(self.now))
            .filter_map(|record| super::message::number(&record.payload))
            .collect();
        retained.sort_unstable();
        let seen: Vec<_> = client.delivered.keys().copied().collect();
        assert_eq!(
            seen, retained,
            "what a new subscriber sees is what is retained"
        );
    }

    /// Everybody leaves and nothing is left.
    pub(super) fn part(&mut self) {
        self.tell(|_| "everybody leaves".into());
        match self.random.below(3) {
            0 => {
                let reason = ReasonCode::ServerShuttingDown;
                self.engine
                    .end_all(self.now, reason, "the simulation is over");
                let ended = self.ended();
                self.ledger.end_all(self.now, &ended, reason);
                self.judge();
                self.flush();
            }
            1 => {
                for link in &mut self.links {
                    link.cut(&mut self.random);
                }
            }
            _ => {
                for index in 0..self.clients.len() {
                    if self.clients[index].is_connected && !self.clients[index].is_done {
                        self.disconnect_with(index, ReasonCode::Success, None);
                    }
                }
            }
        }
        for index in 0..self.clients.len() {
            self.hang_up(index);
        }
        for link in &mut self.links {
            (link.up_ends, link.is_silent) = (true, false);
            link.down.clear();
            link.capacity = 1 << 20;
        }
        for _ in 0..20 {
            self.drain();
            self.advance(Duration::from_secs(1));
        }
        assert_eq!(self.engine.connections(), 0, "connections at the end");
        // What lasts for ever ends by a clean start.
        let names: Vec<_> = self
            .ledger
            .sessions
            .values()
            .map(|one| one.name.to_string())
            .collect();
        for name in names {
            self.clean_up(name, false);
        }
        self.clean_up("cleaner".to_owned(), self.scenario.limits.retain_available);
        for _ in 0..3 {
            self.now += Duration::from_secs(100);
            self.expire();
        }
        self.engine.check_empty();
    }

    /// Connects with this name, leaves nothing of its Session, and removes what is retained if asked to.
    fn clean_up(&mut self, name: String, retained: bool) {
        let mut terms = self.scenario.generous(Version::V5);
        terms.clean_start = true;
        terms.session_expiry = None;
        let index = self.clients.len();
        let client = self.client(name, terms.clone());
        self.clients.push(client);
        self.connect_well(index, terms);
        assert!(
            self.clients[index].is_connected,
            "the cleaner is not let in"
        );
        for topic in TOPICS {
            let message = Message {
                number: self.number(),
                topic,
                qos: QoS::AtMostOnce,
                retain: true,
                len: 0,
                expiry: None,
                is_described: false,
            };
            if retained {
                self.publish_as(index, message);
            }
        }
        self.drain();
        self.disconnect_with(index, ReasonCode::Success, None);
        self.drain();
    }
}
