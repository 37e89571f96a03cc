//! The broker as the standard describes it: what each packet that the engine has taken must lead to. It sends nothing; it
//! notes which Session is owed which message, and which answers must follow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode, TopicName, Version};

use super::super::super::{ConnectionKey, Limits};
use super::answer::Answer;
use super::record::{Owed, Record};
use super::state::{Choice, Connection, Distributed, Phase, Session, Subscription};

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) limits: Limits,
    pub(super) connections: BTreeMap<ConnectionKey, Connection>,
    pub(super) sessions: BTreeMap<u32, Session>,
    pub(super) retained: BTreeMap<Rc<str>, Rc<Record>>,
    /// How many Retained Messages found no room.
    pub(super) unretained: u64,
    /// PUBLISH packets that came and that left.
    pub(super) messages: (u64, u64),
    pub(super) tick: u64,
    epochs: u32,
    /// How many Shared Subscriptions of each name there were: one begins when another has no members any more.
    pub(super) shares: BTreeMap<Rc<str>, u32>,
    // What belongs to the step under way.
    /// Sessions that have ended in it: what was sent to them before may still be seen.
    pub(super) gone: BTreeMap<u32, Session>,
    pub(super) choices: Vec<Choice>,
    /// What may be retained now, the likeliest last.
    pub(super) touched: Vec<(Rc<str>, Option<Rc<Record>>)>,
    /// Sessions that end or lose their connection in it, before or after what else happens.
    pub(super) uncertain: BTreeSet<u32>,
    /// Messages of Shared Subscriptions that nobody is left for.
    pub(super) orphans: u64,
    /// How many messages were distributed in it.
    pub(super) distributed: u64,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Ledger {
            limits,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            unretained: 0,
            messages: (0, 0),
            tick: 0,
            epochs: 0,
            shares: BTreeMap::new(),
            gone: BTreeMap::new(),
            choices: Vec::new(),
            touched: Vec::new(),
            uncertain: BTreeSet::new(),
            orphans: 0,
            distributed: 0,
        }
    }

    pub(super) fn opened(&mut self, now: Instant, key: ConnectionKey) {
        let connection = Connection {
            version: Version::V311,
            phase: Phase::Connecting,
            session: None,
            answers: VecDeque::new(),
            is_mute: false,
            is_speechless: false,
            max_packet: u32::MAX,
            opened_at: now,
            patience: Duration::ZERO,
            last_received: now,
            last_sign: now,
            aliases: BTreeMap::new(),
            broker_aliases: BTreeMap::new(),
            max_alias: 0,
            observed: 0,
            held_since: None,
        };
        assert!(
            self.connections.insert(key, connection).is_none(),
            "a key twice"
        );
    }

    pub(super) fn clients(&self) -> usize {
        let connected = |connection: &&Connection| connection.phase == Phase::Connected;
        self.connections.values().filter(connected).count()
    }

    pub(super) fn connection(&mut self, key: ConnectionKey) -> &mut Connection {
        self.connections
            .get_mut(&key)
            .expect("a connection that is there")
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let mut sessions = self.sessions.iter();
        sessions
            .find(|(_, session)| *session.name == *name)
            .map(|(&epoch, _)| epoch)
    }

    /// A Session that is there, or was when the step began.
    pub(super) fn session(&mut self, epoch: u32) -> &mut Session {
        let session = self.sessions.get_mut(&epoch);
        session
            .or_else(|| self.gone.get_mut(&epoch))
            .expect("a session that is there")
    }

    pub(super) fn make_session(&mut self, name: &str) -> u32 {
        self.epochs += 1;
        let session = Session {
            name: name.into(),
            connection: None,
            expiry: 0,
            ends_at: None,
            will: None,
            will_at: None,
            subscriptions: Vec::new(),
            owed: Vec::new(),
            flights: Vec::new(),
            keeps_retained: false,
            received: BTreeSet::new(),
            window: 0,
            left: BTreeMap::new(),
            given_up: BTreeSet::new(),
        };
        self.sessions.insert(self.epochs, session);
        self.epochs
    }

    /// A connection ends; a client of 5.0 is told so where the broker speaks last.
    pub(super) fn end(&mut self, now: Instant, key: ConnectionKey, told: Option<ReasonCode>) {
        let connection = self.connection(key);
        let phase = std::mem::replace(&mut connection.phase, Phase::Ended);
        if phase != Phase::Connected {
            return;
        }
        if let Some(reason) = told
            && connection.version == Version::V5
        {
            connection.answers.push_back(Answer::Disconnect(reason));
        }
        self.detach(now, key);
    }

    /// The socket of a connection is gone.
    pub(super) fn closed(&mut self, now: Instant, key: ConnectionKey) {
        self.end(now, key, None);
        self.connections.remove(&key);
    }

    fn detach(&mut self, now: Instant, key: ConnectionKey) {
        let epoch = self.connections[&key].session.expect("a session");
        let session = self.session(epoch);
        session.connection = None;
        if session.expiry == 0 {
            self.end_session(now, epoch);
            return;
        }
        session.end_replays_of_qos_0();
        let is_sure =
            |owed: &Owed| owed.replay.is_some() && !owed.perhaps && !owed.record.expired(now);
        session.keeps_retained = session.owed.iter().any(is_sure);
        for owed in &mut session.owed {
            // What of QoS 0 has not left yet does not leave any more, but for replays and what they leave out.
            let is_kept = owed.replay.is_some()
                || (session.keeps_retained && owed.record.retain && owed.share.is_none());
            owed.perhaps |= owed.qos == QoS::AtMostOnce && !is_kept;
        }
        for flight in &mut session.flights {
            flight.again = true;
        }
        self.pass_on(epoch);
        let session = self.session(epoch);
        session.ends_at = match session.expiry {
            u32::MAX => None,
            seconds => Some(now + Duration::from_secs(seconds.into())),
        };
        session.will_at = session.will.as_ref().map(|will| now + will.delay);
        if session.will_at == Some(now) {
            self.publish_will(now, epoch);
        }
    }

    pub(super) fn end_session(&mut self, now: Instant, epoch: u32) {
        let session = self.sessions.remove(&epoch).expect("a session");
        self.gone.insert(epoch, session);
        self.publish_will(now, epoch);
        self.bequeath(epoch);
    }

    fn publish_will(&mut self, now: Instant, epoch: u32) {
        let session = self.session(epoch);
        session.will_at = None;
        if let Some(will) = session.will.take() {
            let expires_at = super::record::end_of_life(now, will.expiry);
            let record = Record {
                at: now,
                expires_at,
                ..will.record
            };
            self.distribute(now, &Rc::new(record));
        }
    }

    /// Time has passed: `ended` are the connections that the engine has ended meanwhile.
    pub(super) fn expire(&mut self, now: Instant, ended: &[ConnectionKey]) {
        // In which order things happened is not known where they were due at different times or at the same.
        for key in ended {
            self.uncertain.extend(self.connections[key].session);
        }
        for (&epoch, session) in &self.sessions {
            if session.ends_at.is_some_and(|at| at <= now) {
                self.uncertain.insert(epoch);
            }
        }
        for &key in ended {
            let connection = &self.connections[&key];
            let (due, what) = match connection.phase {
                Phase::Connecting => (
                    connection.opened_at + self.limits.connect_timeout,
                    "time to connect",
                ),
                _ => (connection.last_received + connection.patience, "Keep Alive"),
            };
            assert!(
                due <= now,
                "connection {key} was ended before its {what} was over"
            );
            self.end(now, key, Some(ReasonCode::KeepAliveTimeout));
        }
        loop {
            let due = |(&epoch, session): (&u32, &Session)| {
                let at = [session.ends_at, session.will_at]
                    .into_iter()
                    .flatten()
                    .min();
                at.filter(|&at| at <= now).map(|at| (at, epoch))
            };
            let Some((_, epoch)) = self.sessions.iter().filter_map(due).min() else {
                return;
            };
            match self.sessions[&epoch].ends_at {
                Some(at) if at <= now => self.end_session(now, epoch),
                _ => self.publish_will(now, epoch),
            }
        }
    }

    /// The broker has ended these connections, one after the other.
    pub(super) fn end_all(&mut self, now: Instant, ended: &[ConnectionKey], told: ReasonCode) {
        for key in ended {
            self.uncertain.extend(self.connections[key].session);
        }
        for &key in ended {
            self.end(now, key, Some(told));
        }
    }

    /// Gives a message to all who are to have it. Returns whether there is one.
    pub(super) fn distribute(&mut self, now: Instant, record: &Rc<Record>) -> Distributed {
        self.distributed += 1;
        let unretained = record.retain && !self.retain(now, record);
        let tick = self.tick;
        let topic = TopicName::from_valid(&record.topic);
        let mut matched = false;
        let mut groups = BTreeSet::new();
        let uncertain = &self.uncertain;
        let gone = self
            .gone
            .iter_mut()
            .filter(|(epoch, _)| uncertain.contains(epoch));
        for (&epoch, session) in self.sessions.iter_mut().chain(gone) {
            let is_uncertain = uncertain.contains(&epoch);
            let mut owed: Option<Owed> = None;
            for one in session
                .subscriptions
                .iter()
                .filter(|one| one.filter().matches(topic))
            {
                if one.filter().share().is_some() {
                    groups.insert(Rc::clone(&one.filter));
                    continue;
                }
                if one.options.no_local && session.name == record.publisher {
                    matched = true;
                    continue;
                }
                let new = one.owed(record, tick);
                match &mut owed {
                    None => owed = Some(new),
                    Some(owed) => owed.merge(new),
                }
            }
            if let Some(mut owed) = owed {
                matched = true;
                owed.perhaps = is_uncertain;
                let is_sure = owed.qos > QoS::AtMostOnce || session.connection.is_some();
                if is_uncertain || is_sure {
                    session.owed.push(owed);
                } else if record.retain {
                    // The engine may have a replay that finds nothing any more.
                    owed.perhaps = !session.keeps_retained;
                    session.owed.push(owed);
                }
            }
        }
        matched |= !groups.is_empty();
        for filter in groups {
            self.share(record, &filter, |_, _| true);
        }
        Distributed {
            matched,
            unretained,
        }
    }

    /// Adds a subscription of a Session, or replaces one. Returns whether it is new.
    pub(super) fn add_subscription(&mut self, epoch: u32, new: Subscription) -> bool {
        let filter = Rc::clone(&new.filter);
        let has = |session: &Session| session.subscriptions.iter().any(|one| one.filter == filter);
        if !self.sessions.values().any(has) {
            *self.shares.entry(Rc::clone(&filter)).or_default() += 1;
        }
        let subscriptions = &mut self.session(epoch).subscriptions;
        match subscriptions.iter().position(|one| one.filter == filter) {
            Some(index) => {
                subscriptions[index] = new;
                false
            }
            None => {
                subscriptions.push(new);
                true
            }
        }
    }

    /// Returns whether there was room.
    fn retain(&mut self, now: Instant, record: &Rc<Record>) -> bool {
        let topic = &record.topic;
        let is_full = self.limits.max_retained.is_some_and(|max| {
            let lives = |other: &&Rc<Record>| !other.expired(now);
            let is_there = self.retained.get(topic).as_ref().is_some_and(lives);
            !is_there && self.retained.values().filter(lives).count() >= max as usize
        });
        let new = (!record.payload.is_empty() && !is_full).then(|| Rc::clone(record));
        self.unretained += u64::from(is_full && !record.payload.is_empty());
        // No replay sends what was retained there before.
        let sessions = self.sessions.values_mut().chain(self.gone.values_mut());
        for session in sessions {
            let is_old = |owed: &Owed| owed.replay.is_some() && owed.record.topic == *topic;
            session.owed.retain(|owed| !is_old(owed));
        }
        match &new {
            Some(record) => self.retained.insert(Rc::clone(topic), Rc::clone(record)),
            None => self.retained.remove(topic),
        };
        let stays = new.is_some();
        self.touched.push((Rc::clone(topic), new));
        stays || record.payload.is_empty()
    }

    /// Forgets what belongs to one step alone.
    pub(super) fn end_step(&mut self) {
        self.tick += 1;
        (self.orphans, self.distributed) = (0, 0);
        self.gone.clear();
        self.choices.clear();
        self.touched.clear();
        self.uncertain.clear();
    }
}
