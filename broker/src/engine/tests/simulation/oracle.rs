//! What must hold after every step: what the engine has sent and what it keeps is what the ledger says, no more and no less.

use std::time::{Duration, Instant};

use mqtt::QoS;

use super::super::super::{ConnectionKey, Engine, Verdict};
use super::ledger::Ledger;
use super::state::Phase;

/// What the engine had counted before a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    dropped: u64,
    unretained: u64,
    pub(super) evicted: u64,
}

impl Counted {
    pub(super) fn by(engine: &Engine) -> Self {
        Counted {
            dropped: engine.stats().dropped.total(),
            unretained: engine.stats().dropped.not_retained,
            evicted: engine.evicted,
        }
    }
}

impl Ledger {
    /// Compares the engine with the ledger at the end of a step.
    pub(super) fn judge(&mut self, now: Instant, engine: &Engine, before: Counted, thorough: bool) {
        let keys: Vec<_> = self.connections.keys().copied().collect();
        for &key in &keys {
            self.look_at_outbox(now, engine, key);
        }
        let mut missing = Vec::new();
        self.look_at_flights(now, engine, &mut missing);
        let mut doubtful = 0;
        self.look_at_queues(now, engine, thorough, &mut missing, &mut doubtful);
        self.look_at_choices(now, &mut missing, &mut doubtful);
        self.look_at_retained(now, engine, thorough);
        let after = Counted::by(engine);
        let unretained = after.unretained - before.unretained;
        let counted = after.dropped - before.dropped - unretained;
        if self.distributed > 0 {
            // A Session that ends meanwhile may have been given its own will by each of its subscriptions, and others of
            // its messages may have gone for that.
            let uncertain = self
                .uncertain
                .iter()
                .filter_map(|epoch| self.sessions.get(epoch));
            for ends in self.gone.values().chain(uncertain) {
                let given = ends.subscriptions.len() as u64 * self.distributed;
                doubtful += ends.owed.len() as u64 + given;
            }
        }
        let dropped = self.orphans + missing.len() as u64;
        assert!(
            (dropped..=dropped + doubtful).contains(&counted),
            "{counted} messages are counted as dropped, but {dropped} are missing, and perhaps {doubtful} more: {missing:?}"
        );
        for &key in &keys {
            self.look_at_connection(now, engine, key);
        }
        self.look_at_numbers(engine);
        if thorough {
            engine.check();
        }
        self.end_step();
    }

    pub(super) fn look_at_connection(&mut self, now: Instant, engine: &Engine, key: ConnectionKey) {
        let phase = self.connections[&key].phase;
        let verdict = engine.verdict(key);
        assert_eq!(
            verdict == Verdict::Keep,
            phase != Phase::Ended,
            "the engine says {verdict:?} of connection {key}, the ledger says {phase:?}"
        );
        let theirs = &engine.connections[key as usize];
        let is_held = !theirs.held_by.is_empty();
        let connection = self.connection(key);
        if is_held || connection.held_since.is_some() {
            connection.last_sign = now;
        }
        connection.held_since = match (is_held, connection.held_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
        if phase != Phase::Connected || !theirs.outbox.has_room() {
            return;
        }
        // Nothing waits that could go.
        let session = &engine.sessions[theirs.session.expect("a session") as usize];
        if theirs
            .session
            .is_some_and(|key| engine.replaying.contains(key))
        {
            return;
        }
        if session.window.waits() {
            let next = session.window.next_again();
            assert!(next.is_none(), "what could be sent again to {key} waits");
            return;
        }
        let full = |qos| qos > QoS::AtMostOnce && !session.window.has_room();
        let mut replays = session.queue.replays();
        if replays.next().is_some_and(|replay| replay.ahead == 0) {
            // What it had found may have gone since, but it goes on with the next acknowledgement.
            assert!(!session.window.has_room(), "the replay to {key} waits");
        } else if let Some(next) = session.queue.front() {
            assert!(full(next.qos), "what could be sent to {key} waits");
        }
    }

    pub(super) fn look_at_numbers(&mut self, engine: &Engine) {
        let stats = engine.stats();
        assert_eq!(
            self.messages,
            (stats.messages_received, stats.messages_sent),
            "messages"
        );
        assert_eq!(self.clients(), engine.clients() as usize, "clients");
        assert_eq!(self.connections.len(), engine.connections(), "connections");
        assert_eq!(self.sessions.len(), engine.sessions(), "sessions");
        let subscriptions = self
            .sessions
            .values()
            .map(|session| session.subscriptions.len());
        assert_eq!(
            subscriptions.sum::<usize>(),
            engine.subscriptions(),
            "subscriptions"
        );
        if !self.is_poor() {
            assert_eq!(self.unretained, stats.dropped.not_retained, "not retained");
        }
    }

    /// Whoever has been silent for too long is ended, and what is due is done: what must hold after time has passed.
    pub(super) fn judge_time(&self, now: Instant, engine: &Engine) {
        if engine.replaying.is_empty()
            && let Some(deadline) = engine.deadline()
        {
            assert!(deadline > now, "a deadline is left in the past");
        }
        for (key, connection) in &self.connections {
            if let Some(since) = connection.held_since {
                let held = now.duration_since(since);
                assert!(
                    held < Duration::from_secs(5),
                    "connection {key} is held for {held:?}"
                );
            }
            match connection.phase {
                Phase::Connecting => {
                    let until = connection.opened_at + self.limits.connect_timeout;
                    assert!(now < until, "connection {key} has not connected in time");
                }
                Phase::Connected if !connection.patience.is_zero() => assert!(
                    now < connection.last_sign + connection.patience,
                    "connection {key} is silent for too long"
                ),
                _ => {}
            }
        }
    }
}
