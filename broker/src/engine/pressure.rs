//! Back-pressure: a subscriber that is slower than its publishers slows them down before anything is lost.
//!
//! When a message must wait for a connected subscriber whose queue is half full, nothing more is read from the publisher
//! until the queue has drained to a quarter, for at most five seconds and less than half of the publisher's Keep Alive.
//! Where other subscribers of the message keep up, they are not made to wait so long for a slow one: half a second, and
//! with QoS 0, which promises nothing, the fiftieth of one. A subscriber that has not caught up by then counts as stalled: its
//! own queue drops its oldest messages, and nobody waits for it until it has.

use std::time::{Duration, Instant};

use mqtt::QoS;
use thin_vec::ThinVec;

use super::Engine;
use super::connection::{ConnectionKey, Identity, Phase};
use super::deadlines::Due;
use super::session::SessionKey;

/// The longest time a publisher waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest time where others who get the message would wait with it.
const PATIENCE_OF_OTHERS: Duration = Duration::from_millis(500);
/// The same for a message of QoS 0: enough for one that is fast and was not heard for a moment.
const PATIENCE_AT_MOST_ONCE: Duration = Duration::from_millis(20);
/// A publisher that has waited in vain does not wait again for so many times as long: one that never reads must not brake it
/// for good.
const EXCUSED: u32 = 12;
/// A queue that holds more than this part (one half) of its limit makes publishers wait.
const HIGH: u32 = 2;
/// A queue that holds no more than this part (a quarter) lets them go on.
const LOW: u32 = 4;

impl Engine {
    /// Whether publishers to this session should wait for its connection to catch up.
    pub(super) fn is_behind(&self, key: SessionKey) -> bool {
        let session = &self.sessions[key as usize];
        let limits = &self.limits;
        session
            .connection
            .is_some_and(|connection| !self.connections[connection as usize].stalled)
            && session
                .queue
                .has_reached(HIGH, limits.max_queued_messages, limits.max_queued_bytes)
    }

    /// Stops reading from a publisher until the subscribers that are behind have caught up.
    pub(super) fn hold(&mut self, now: Instant, publisher: ConnectionKey) {
        let mut until = None;
        for (subscriber, qos) in std::mem::take(&mut self.router.behind) {
            // Who waits for itself waits in vain: its acknowledgements would not be read.
            if !self.may_be_held(now, publisher) || subscriber == publisher {
                continue;
            }
            let waiting = self.identity(publisher);
            let awaited = self.identity(subscriber);
            let connection = &mut self.connections[publisher as usize];
            if !connection.held_by.contains(&awaited) {
                connection.held_by.push(awaited);
                // Less than half of Keep Alive, which is two thirds of it.
                let part = connection.patience().map(|patience| patience / 4);
                let patience = match qos {
                    _ if !self.router.keeping_up => PATIENCE,
                    QoS::AtMostOnce => PATIENCE_AT_MOST_ONCE,
                    _ => PATIENCE_OF_OTHERS,
                };
                until = until.max(Some(part.map_or(patience, |part| patience.min(part))));
                self.connections[subscriber as usize].holds.push(waiting);
                // Whoever is waited for must be heard.
                self.let_go(now, subscriber);
            }
        }
        if let Some(patience) = until {
            let connection = &mut self.connections[publisher as usize];
            let slot = &mut connection.deadline;
            self.deadlines
                .set(Due::Connection(publisher), slot, Some(now + patience));
            connection.excused_until = Some(now + patience * (1 + EXCUSED));
        }
    }

    /// Whether a publisher may be made to wait. One that has deliveries of its own to acknowledge, or is waited for, may
    /// not: its acknowledgements would not be read, and two such clients would wait for each other. Nor one that has
    /// waited in vain of late.
    fn may_be_held(&self, now: Instant, publisher: ConnectionKey) -> bool {
        let connection = &self.connections[publisher as usize];
        let session = connection.session.map(|key| &self.sessions[key as usize]);
        connection.phase == Phase::Connected
            && connection.holds.is_empty()
            && connection.excused_until.is_none_or(|until| until <= now)
            && session.is_some_and(|session| session.window.is_empty() && session.queue.is_idle())
    }

    /// Ends the waiting of a connection, if it waits.
    pub(super) fn let_go(&mut self, now: Instant, publisher: ConnectionKey) {
        if !self.wait_no_more(publisher).is_empty() {
            self.connections[publisher as usize].excused_until = None;
            self.go_on(now, publisher);
        }
    }

    /// A publisher waits for nobody any longer, and nobody thinks that it does. Returns for whom it did.
    pub(super) fn wait_no_more(&mut self, publisher: ConnectionKey) -> ThinVec<Identity> {
        let waiting = self.identity(publisher);
        let awaited = std::mem::take(&mut self.connections[publisher as usize].held_by);
        for one in &awaited {
            let connection = self.connections.get_mut(one.key as usize);
            if let Some(connection) =
                connection.filter(|connection| connection.serial == one.serial)
            {
                connection.holds.retain(|&other| other != waiting);
            }
        }
        awaited
    }

    /// Whether nothing is to be read from this connection for now.
    pub(crate) fn is_held(&self, key: ConnectionKey) -> bool {
        self.connections
            .get(key as usize)
            .is_some_and(|connection| {
                !connection.held_by.is_empty()
                    || (connection.outbox.is_choked() && connection.phase == Phase::Connected)
            })
    }

    /// Lets publishers go on if this session has caught up.
    pub(super) fn relieve(&mut self, now: Instant, key: SessionKey) {
        let session = &self.sessions[key as usize];
        let Some(subscriber) = session.connection else {
            return;
        };
        let connection = &self.connections[subscriber as usize];
        let limits = &self.limits;
        if (connection.holds.is_empty() && !connection.stalled)
            || session
                .queue
                .has_reached(LOW, limits.max_queued_messages, limits.max_queued_bytes)
        {
            return;
        }
        self.connections[subscriber as usize].stalled = false;
        self.release(now, subscriber);
    }

    /// Nobody waits for this connection any longer.
    pub(super) fn release(&mut self, now: Instant, subscriber: ConnectionKey) {
        let released = self.identity(subscriber);
        for waiting in std::mem::take(&mut self.connections[subscriber as usize].holds) {
            let connection = self.connections.get_mut(waiting.key as usize);
            let Some(connection) = connection.filter(|one| one.serial == waiting.serial) else {
                continue;
            };
            let before = connection.held_by.len();
            connection.held_by.retain(|&awaited| awaited != released);
            if before > 0 && connection.held_by.is_empty() {
                connection.excused_until = None;
                self.go_on(now, waiting.key);
            }
        }
    }

    /// The time to wait is over: whoever was waited for is stalled.
    pub(super) fn give_up(&mut self, now: Instant, publisher: ConnectionKey) {
        for awaited in self.wait_no_more(publisher) {
            let connection = self.connections.get_mut(awaited.key as usize);
            if let Some(connection) = connection.filter(|one| one.serial == awaited.serial) {
                connection.stalled = true;
            }
        }
        self.go_on(now, publisher);
    }

    /// A publisher is read again. Its Keep Alive was suspended while it waited.
    fn go_on(&mut self, now: Instant, publisher: ConnectionKey) {
        let connection = &mut self.connections[publisher as usize];
        if connection.phase != Phase::Connected {
            return;
        }
        connection.last_received = now;
        let at = connection.silent_until();
        self.deadlines
            .set(Due::Connection(publisher), &mut connection.deadline, at);
        self.resumed.push(publisher);
    }

    /// Connections that are to be read again, with what was left unused of their bytes.
    pub(crate) fn take_resumed(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.resumed)
    }

    fn identity(&self, key: ConnectionKey) -> Identity {
        Identity {
            key,
            serial: self.connections[key as usize].serial,
        }
    }
}
