//! What the engine knows of one Network Connection.

#[cfg(test)]
mod check;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{QoS, Version};
use thin_vec::ThinVec;

use super::aliases::SentAliases;
use super::limits::Limits;
use super::message::{Charge, Message};
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

/// Bytes on their way to a client. Small messages are copied; of a large one the body stays where it is stored, since a
/// fan-out would else copy it for every client that does not read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// Bodies, each with its place: before this byte of `bytes`.
    bodies: VecDeque<(usize, Rc<Message>)>,
    /// How much of the first body is written.
    body_written: usize,
    /// Bytes of all bodies.
    body_bytes: usize,
    /// Bytes of answers, which no window holds back.
    answers: usize,
}

impl Outbox {
    /// Capacity that is kept for the next message; what is larger goes back to the system.
    const KEEP: usize = 1024;
    /// Payloads from this length on are not copied.
    pub(crate) const SHARED_FROM: usize = 16 * 1024;
    /// Bytes of answers that a client may leave unread before nothing more is read from it.
    const MAX_ANSWERS: usize = 32 * 1024;

    /// What is to be written next; there may be more behind it.
    pub(crate) fn pending(&self) -> &[u8] {
        match self.bodies.front() {
            Some((at, body)) if *at == self.written => &body.payload()[self.body_written..],
            Some((at, _)) => &self.bytes[self.written..*at],
            None => &self.bytes[self.written..],
        }
    }

    /// Where to append.
    pub(crate) fn append(&mut self) -> &mut Vec<u8> {
        if self.written > 0 && self.written >= self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            for (at, _) in &mut self.bodies {
                *at -= self.written;
            }
            self.written = 0;
        }
        &mut self.bytes
    }

    /// Appends the payload of a message without copying it.
    pub(crate) fn append_body(&mut self, message: Rc<Message>) {
        self.body_bytes += message.payload().len();
        self.bodies.push_back((self.bytes.len(), message));
    }

    /// Notes bytes of an answer that were appended.
    pub(crate) fn note_answer(&mut self, len: usize) {
        self.answers += len;
    }

    /// Whether the client leaves too many answers unread.
    pub(crate) fn is_choked(&self) -> bool {
        self.answers > Self::MAX_ANSWERS
    }

    /// Notes that the first `count` pending bytes are on their way.
    pub(crate) fn advance(&mut self, count: usize) {
        self.answers = self.answers.saturating_sub(count);
        if let Some((at, body)) = self.bodies.front()
            && *at == self.written
        {
            self.body_written += count;
            debug_assert!(self.body_written <= body.payload().len());
            if self.body_written == body.payload().len() {
                self.body_bytes -= self.body_written;
                self.body_written = 0;
                self.bodies.pop_front();
            }
        } else {
            self.written += count;
        }
        debug_assert!(self.written <= self.bytes.len());
        if self.written == self.bytes.len() && self.bodies.is_empty() {
            self.written = 0;
            self.bytes.clear();
            self.answers = 0;
            if self.bytes.capacity() > Self::KEEP {
                self.bytes = Vec::new();
            }
            self.bodies = VecDeque::new();
        }
    }

    /// Whether more messages may be appended; beyond that they wait in the queue.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() - self.written + self.body_bytes < Limits::OUTBOX_HIGH
    }
}

/// What CONNACK promised; later settings count for later clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) max_packet_size: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) max_topic_alias: u16,
    pub(crate) max_qos: QoS,
    pub(crate) retain_available: bool,
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
    pub(crate) aliases: ThinVec<Option<Rc<str>>>,
    /// Topic Aliases that the broker has set.
    pub(crate) sent_aliases: SentAliases,
    pub(crate) promise: Promise,
    /// Bytes of a packet that has not come whole yet, as far as they were noted.
    pub(crate) incomplete: usize,
    /// Bytes that came after the end.
    pub(crate) wasted: usize,
    /// Until when this publisher is not held again, since it has waited in vain.
    pub(crate) excused_until: Option<Instant>,
    /// Aliases and incomplete packets.
    pub(crate) charge: Charge,
    /// Common Name of the client certificate.
    pub(crate) common_name: Option<Box<str>>,
    /// Subscribers that this publisher waits for; nothing is read from it until they have caught up.
    pub(crate) held_by: ThinVec<Identity>,
    /// Publishers that wait for this subscriber.
    pub(crate) holds: ThinVec<Identity>,
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
        promise: Promise,
        charge: Charge,
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
            problem_information: false,
            aliases: ThinVec::new(),
            sent_aliases: SentAliases::default(),
            promise,
            incomplete: 0,
            wasted: 0,
            excused_until: None,
            charge,
            common_name: None,
            held_by: ThinVec::new(),
            holds: ThinVec::new(),
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
    use mqtt::Properties;

    use super::*;

    use super::super::message::{Account, Passing};

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut drained = Vec::new();
        while !outbox.pending().is_empty() {
            let count = outbox.pending().len().min(step);
            drained.extend_from_slice(&outbox.pending()[..count]);
            outbox.advance(count);
        }
        drained
    }

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

    #[test]
    fn bodies_stand_where_they_were_appended() {
        let account = Account::default();
        let body = |byte: u8, len| {
            let passing = Passing {
                topic: "t",
                payload: &vec![byte; len],
                properties: Properties::EMPTY,
                qos: QoS::AtMostOnce,
                retain: false,
                lifetime: None,
            };
            Message::store(&passing, Instant::now(), &account)
        };
        for step in [1, 3, 7, 1000] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for round in 0..20_u8 {
                outbox.append().extend_from_slice(&[round; 5]);
                expected.extend_from_slice(&[round; 5]);
                outbox.append_body(body(round + 100, 11));
                expected.extend_from_slice(&[round + 100; 11]);
                // Some is written in between.
                let count = outbox.pending().len().min(2);
                assert_eq!(outbox.pending()[..count], expected[..count]);
                outbox.advance(count);
                expected.drain(..count);
            }
            outbox.append().extend_from_slice(b"end");
            expected.extend_from_slice(b"end");
            assert_eq!(drain(&mut outbox, step), expected);
            assert_eq!((account.bytes(), outbox.body_bytes), (0, 0));
            assert!(outbox.has_room());
        }
    }

    #[test]
    fn answers_that_are_not_read_choke() {
        let mut outbox = Outbox::default();
        outbox.append().extend_from_slice(&[0; 40_000]);
        outbox.note_answer(40_000);
        assert!(outbox.is_choked());
        outbox.advance(10_000);
        assert!(!outbox.is_choked());
    }
}
