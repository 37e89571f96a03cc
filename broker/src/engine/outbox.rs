//! Bytes on their way to a client.

#[cfg(test)]
mod check;

use std::cell::RefCell;
use std::collections::VecDeque;

use super::limits::Limits;
use super::message::Message;

/// What one client is still to be sent. Small messages are copied; of a large one the body stays where it is stored, since a
/// fan-out would else copy it for every client that does not read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes of answers, which no window holds back.
    answers: usize,
    bodies: Option<Box<Bodies>>,
}

/// Payloads that are not copied; there is at least one.
#[derive(Debug, Default)]
struct Bodies {
    /// Each with its place: before this byte of the outbox.
    waiting: VecDeque<(usize, Message)>,
    /// How much of the first is written.
    written: usize,
    /// Bytes of all.
    bytes: usize,
}

/// Buffers between two uses. An outbox has one while something is in it, and so has a large packet that is not yet whole:
/// whoever is idle holds none, and a message costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Their capacity together.
    bytes: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

impl Spare {
    /// Capacity that is kept of all; the rest goes back to the system.
    const MOST: usize = 256 * 1024;
    /// And how many are kept, for each may hold a page that else were empty.
    const MOST_BUFFERS: usize = 64;

    /// One that is empty, and has a capacity if the next one's is not above `most`.
    pub(crate) fn take(most: usize) -> Vec<u8> {
        SPARE.with_borrow_mut(|spare| {
            let fits = |buffer: &mut Vec<u8>| buffer.capacity() <= most;
            let buffer = spare.buffers.pop_if(fits).unwrap_or_default();
            spare.bytes -= buffer.capacity();
            buffer
        })
    }

    /// Keeps one, whatever is in it, for the next who needs one.
    pub(crate) fn give(mut buffer: Vec<u8>) {
        buffer.clear();
        SPARE.with_borrow_mut(|spare| {
            if buffer.capacity() > 0
                && spare.bytes + buffer.capacity() <= Self::MOST
                && spare.buffers.len() < Self::MOST_BUFFERS
            {
                spare.bytes += buffer.capacity();
                spare.buffers.push(buffer);
            }
        });
    }
}

impl Outbox {
    /// Payloads from this length on are not copied, but for one receiver alone.
    pub(crate) const SHARED_FROM: usize = 16 * 1024;
    /// From this length on they are not copied for one alone either: of MAX_MEMORY an outbox takes nothing, a message does.
    pub(crate) const APART_FROM: usize = 128 * 1024;
    /// Bytes of answers that a client may leave unread before nothing more is read from it.
    const MAX_ANSWERS: usize = 32 * 1024;

    /// What is to be written next, in one piece; there may be more behind it.
    pub(crate) fn pending(&self) -> &[u8] {
        match self.bodies {
            None => &self.bytes[self.written..],
            Some(_) => self.pieces().next().unwrap_or_default(),
        }
    }

    /// Whether there is more behind what is [`Outbox::pending`].
    pub(crate) fn is_in_pieces(&self) -> bool {
        self.bodies.is_some()
    }

    /// Everything that is to be written, in order: of what is copied what stands between bodies, and the bodies.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let bodies = self.bodies.as_deref();
        let mut waiting = bodies.into_iter().flat_map(|bodies| &bodies.waiting);
        let mut body_from = bodies.map_or(0, |bodies| bodies.written);
        let mut from = self.written;
        let mut body = None;
        let pieces = std::iter::from_fn(move || {
            if let Some(body) = body.take() {
                return Some(body);
            }
            let (until, next) = match waiting.next() {
                Some((at, message)) => (*at, Some(&message.payload()[body_from..])),
                None if from < self.bytes.len() => (self.bytes.len(), None),
                None => return None,
            };
            body_from = 0;
            body = next;
            let copied = &self.bytes[from..until];
            from = until;
            Some(copied)
        });
        pieces.filter(|piece| !piece.is_empty())
    }

    /// Where to append.
    pub(crate) fn append(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = Spare::take(usize::MAX);
        } else if self.written > 0 && self.written >= self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            for (at, _) in self
                .bodies
                .iter_mut()
                .flat_map(|bodies| &mut bodies.waiting)
            {
                *at -= self.written;
            }
            self.written = 0;
        }
        &mut self.bytes
    }

    /// Takes back what was appended from this byte on.
    pub(crate) fn take_back(&mut self, start: usize) {
        self.bytes.truncate(start);
        self.tidy();
    }

    /// Appends the payload of a message without copying it.
    pub(crate) fn append_body(&mut self, message: Message) {
        let bodies = self.bodies.get_or_insert_default();
        bodies.bytes += message.payload().len();
        bodies.waiting.push_back((self.bytes.len(), message));
    }

    /// Notes bytes of an answer that were appended.
    pub(crate) fn note_answer(&mut self, len: usize) {
        self.answers += len;
    }

    /// Whether the client leaves too many answers unread.
    pub(crate) fn is_choked(&self) -> bool {
        self.answers > Self::MAX_ANSWERS
    }

    /// Notes that the first `count` bytes are on their way.
    pub(crate) fn advance(&mut self, count: usize) {
        self.answers = self.answers.saturating_sub(count);
        let mut left = count;
        while let Some(bodies) = &mut self.bodies
            && let Some((at, _)) = bodies.waiting.front()
        {
            let copied = left.min(at - self.written);
            self.written += copied;
            left -= copied;
            if left == 0 {
                return;
            }
            left -= bodies.advance(left);
            if bodies.waiting.is_empty() {
                self.bodies = None;
            }
        }
        self.written += left;
        debug_assert!(self.written <= self.bytes.len());
        self.tidy();
    }

    /// Gives the buffer back if nothing is left in it.
    fn tidy(&mut self) {
        if self.written == self.bytes.len() && self.bodies.is_none() {
            self.written = 0;
            self.answers = 0;
            Spare::give(std::mem::take(&mut self.bytes));
        }
    }

    /// Whether more messages may be appended; beyond that they wait in the queue.
    pub(crate) fn has_room(&self) -> bool {
        let bodies = self.bodies.as_ref().map_or(0, |bodies| bodies.bytes);
        self.bytes.len() - self.written + bodies < Limits::OUTBOX_HIGH
    }
}

impl Bodies {
    /// Notes that so many bytes are written, or as many of them as the first has left. Returns how many these are.
    fn advance(&mut self, count: usize) -> usize {
        let Some((_, body)) = self.waiting.front() else {
            return 0;
        };
        let len = body.payload().len();
        let count = count.min(len - self.written);
        self.written += count;
        if self.written == len {
            self.bytes -= len;
            self.written = 0;
            self.waiting.pop_front();
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mqtt::{Properties, QoS};

    use super::super::message::{Account, Passing};
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut drained = Vec::new();
        while !outbox.pending().is_empty() {
            let all = outbox.pieces().collect::<Vec<_>>().concat();
            let count = all.len().min(step);
            drained.extend_from_slice(&all[..count]);
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
    fn buffers_are_used_again_but_not_all_are_kept() {
        let mut outboxes: Vec<_> = (0..10).map(|_| Outbox::default()).collect();
        for outbox in &mut outboxes {
            outbox.append().extend_from_slice(&[7; 50_000]);
        }
        for outbox in &mut outboxes {
            outbox.advance(50_000);
        }
        let (count, bytes) = SPARE.with_borrow(|spare| (spare.buffers.len(), spare.bytes));
        assert!(bytes <= Spare::MOST && count < 10, "{count} of {bytes}");
        assert!(outboxes[0].append().capacity() >= 50_000);
        assert!(SPARE.with_borrow(|spare| spare.buffers.len()) == count - 1);
        assert_eq!(Spare::take(49_999).capacity(), 0);
        assert!(Spare::take(100_000).capacity() >= 50_000);
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
        for step in [1, 3, 7, 20, 1000] {
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
            assert_eq!(account.bytes(), 0);
            assert!(outbox.bodies.is_none());
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
