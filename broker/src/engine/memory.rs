//! MAX_MEMORY: what clients make the broker hold stays below it, whatever they do.
//!
//! Messages may take three quarters of it: full queues are nothing unusual, so they leave the rest to Sessions and
//! Subscriptions. Where a message finds no room, the queue it goes to drops its oldest; where that is empty, the largest queue
//! of a client that is away or stalled does. Only when none is left is the message refused.

use super::Engine;
use super::session::SessionKey;
use mqtt::QoS;

impl Engine {
    /// Whether so many bytes more stay within MAX_MEMORY.
    pub(super) fn has_memory_for(&self, bytes: usize) -> bool {
        (self.account.bytes() + bytes) as u64 <= self.limits.max_memory
    }

    /// Whether a message of so many bytes may be kept.
    pub(super) fn has_memory_for_message(&self, bytes: usize) -> bool {
        (self.account.bytes() + bytes) as u64 <= self.limits.max_message_memory()
    }

    /// Whether connections hold less than MAX_MEMORY.
    pub(super) fn has_connection_memory(&self) -> bool {
        self.connection_account.bytes() as u64 <= self.limits.max_memory
    }

    /// Makes room for a message that is stored already and is to be kept for `key`. Returns whether there is room now.
    pub(super) fn free_memory(&mut self, key: SessionKey, qos: QoS) -> bool {
        let mut dropped = 0;
        while !self.has_memory_for_message(0) && self.sessions[key as usize].queue.drop_for(qos) {
            dropped += 1;
        }
        self.stats.dropped.memory += u64::from(dropped);
        self.note_dropped(key, dropped);
        while !self.has_memory_for_message(0) {
            let Some(largest) = self.largest_idle_queue() else {
                return false;
            };
            // Enough of them for the search to be worth it.
            let mut dropped = 0;
            while dropped < 16
                && !self.has_memory_for_message(0)
                && self.sessions[largest as usize]
                    .queue
                    .drop_for(QoS::ExactlyOnce)
            {
                dropped += 1;
            }
            self.stats.dropped.memory += u64::from(dropped);
            self.note_dropped(largest, dropped);
        }
        true
    }

    /// The Session with the most bytes in its queue whose client is away or makes no progress.
    fn largest_idle_queue(&self) -> Option<SessionKey> {
        let idle = self.sessions.iter().filter(|(_, session)| {
            !session.queue.is_empty()
                && session
                    .connection
                    .is_none_or(|connection| self.connections[connection as usize].stalled)
        });
        let largest = idle.max_by_key(|(_, session)| session.queue.bytes());
        largest.map(|(key, _)| key as SessionKey)
    }

    /// Notes messages that the queue of a Session has lost, beside the reason; says so in the log when it begins, and
    /// whenever the number has doubled.
    pub(super) fn note_dropped(&mut self, key: SessionKey, count: u32) {
        if count == 0 {
            return;
        }
        let session = &mut self.sessions[key as usize];
        let before = session.dropped;
        session.dropped += u64::from(count);
        if before.checked_ilog2() != session.dropped.checked_ilog2() {
            log::warn!(
                "queue of client {:?} is full: {} messages dropped so far",
                session.client_identifier,
                session.dropped,
            );
        }
    }
}
