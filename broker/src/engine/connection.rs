//! What the engine knows of one Network Connection.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mqtt::Version;

use super::limits::Limits;
use super::session::SessionKey;

/// Where a connection lies in the engine; the core's sockets carry the same number.
pub(crate) type ConnectionKey = u32;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT has not come yet.
    Connecting,
    /// CONNACK was sent.
    Connected,
    /// What is in the outbox is still to be written, then the connection is closed.
    Draining,
    /// To be closed at once.
    Dead,
}

/// Bytes on their way to a client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// Capacity that is kept for the next message; what is larger goes back to the system.
    const KEEP: usize = 1024;

    /// What is still to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Where to append.
    pub(crate) fn append(&mut self) -> &mut Vec<u8> {
        if self.written > 0 && self.written >= self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }

    /// Notes that the first `count` pending bytes are on their way.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        debug_assert!(self.written <= self.bytes.len());
        if self.written == self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            if self.bytes.capacity() > Self::KEEP {
                self.bytes = Vec::new();
            }
        }
    }

    /// Whether more messages may be appended; beyond that they wait in the queue.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() - self.written < Limits::OUTBOX_HIGH
    }
}

/// One Network Connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) serial: u64,
    pub(crate) address: IpAddr,
    pub(crate) version: Version,
    pub(crate) phase: Phase,
    pub(crate) session: Option<SessionKey>,
    pub(crate) outbox: Outbox,
    /// Whether it is on the list of those to be written this turn.
    pub(crate) dirty: bool,
    pub(crate) last_received: Instant,
    /// One and a half times Keep Alive, zero for none [MQTT-3.1.2-22].
    pub(crate) patience: Duration,
    /// What `deadlines` holds for this connection.
    pub(crate) deadline: Option<Instant>,
    /// The client's Maximum Packet Size [MQTT-3.1.2-24].
    pub(crate) max_packet_size: u32,
    /// Whether reason strings are wanted [MQTT-3.1.2-29].
    pub(crate) problem_information: bool,
    /// Topic Aliases that the client has set [MQTT-3.3.2-12], by number less one.
    pub(crate) aliases: Vec<Option<Box<str>>>,
    /// Common Name of the client certificate.
    pub(crate) common_name: Option<Box<str>>,
    /// Subscribers that this publisher waits for; nothing is read from it until they have caught up.
    pub(crate) held_by: Vec<Identity>,
    /// Publishers that wait for this subscriber.
    pub(crate) holds: Vec<Identity>,
    /// A publisher has waited in vain: until this subscriber has caught up, its queue drops instead.
    pub(crate) stalled: bool,
}

/// A connection that may have gone: keys are used again, serial numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) key: ConnectionKey,
    pub(crate) serial: u64,
}

impl Connection {
    pub(crate) fn new(
        serial: u64,
        address: IpAddr,
        common_name: Option<Box<str>>,
        now: Instant,
    ) -> Self {
        Connection {
            serial,
            address,
            version: Version::V311,
            phase: Phase::Connecting,
            session: None,
            outbox: Outbox::default(),
            dirty: false,
            last_received: now,
            patience: Duration::ZERO,
            deadline: None,
            max_packet_size: u32::MAX,
            problem_information: true,
            aliases: Vec::new(),
            common_name,
            held_by: Vec::new(),
            holds: Vec::new(),
            stalled: false,
        }
    }

    /// When the client must have been heard of next.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        (!self.patience.is_zero()).then(|| self.last_received + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_keeps_what_is_not_written_and_gives_memory_back() {
        let mut outbox = Outbox::default();
        outbox.append().extend_from_slice(&[7; 100_000]);
        assert!(!outbox.has_room());
        outbox.advance(60_000);
        assert!(outbox.has_room());
        outbox.append().extend_from_slice(b"end");
        assert_eq!(outbox.pending().len(), 40_003);
        assert!(outbox.pending().ends_with(b"\x07end"));
        outbox.advance(40_003);
        assert_eq!(outbox.pending(), b"");
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}
