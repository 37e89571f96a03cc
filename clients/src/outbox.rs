//! What waits to be sent: packets, and payloads that are sent from where they lie.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Bytes handed out at a time.
const CHUNK: usize = 64 * 1024;
/// A payload up to this size is copied behind its header, so that one write takes both.
const COPIED: usize = 16 * 1024;

/// The payload of an Application Message, however often that is sent.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// In memory.
    Bytes(Rc<Vec<u8>>),
    /// In a regular file, which is read as it is sent: this many bytes from the beginning.
    File(Rc<File>, usize),
}

impl Payload {
    /// One without bytes.
    pub(crate) fn empty() -> Payload {
        Payload::Bytes(Rc::default())
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::File(_, len) => *len,
        }
    }

    /// The bytes, if there are so few that a packet is to hold a copy.
    pub(crate) fn copied(&self) -> Option<&[u8]> {
        match self {
            Payload::Bytes(bytes) if bytes.len() <= COPIED => Some(bytes),
            _ => None,
        }
    }
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<Part>,
    /// Bytes of the first part that are sent.
    sent: usize,
    /// A piece of a file, which begins at `sent`.
    piece: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Payload(Payload),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Payload(payload) => payload.len(),
        }
    }
}

impl Outbox {
    /// Where packets are appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if !matches!(self.parts.back(), Some(Part::Bytes(_))) {
            self.parts.push_back(Part::Bytes(Vec::new()));
        }
        match self.parts.back_mut() {
            Some(Part::Bytes(bytes)) => bytes,
            _ => unreachable!("it was put there"),
        }
    }

    /// Appends the payload of the packet whose header was appended last.
    pub(crate) fn append(&mut self, payload: Payload) {
        self.parts.push_back(Part::Payload(payload));
    }

    /// Whether all is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.len() == 0)
    }

    /// Whether so much waits that no more should be added without need.
    pub(crate) fn is_full(&self) -> bool {
        let waiting = self.parts.iter().map(Part::len).sum::<usize>();
        waiting.saturating_sub(self.sent) >= CHUNK
    }

    /// Forgets all: the connection is gone.
    pub(crate) fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// The bytes to be sent next; there are none if all is sent.
    ///
    /// # Errors
    /// A file cannot be read, or is shorter than it was.
    pub(crate) fn next(&mut self) -> io::Result<&[u8]> {
        while self.parts.len() > 1 && self.parts[0].len() == self.sent {
            self.advance();
        }
        match self.parts.front() {
            None => Ok(&[]),
            Some(Part::Bytes(bytes)) => Ok(&bytes[self.sent..]),
            Some(Part::Payload(Payload::Bytes(bytes))) => {
                let end = bytes.len().min(self.sent + CHUNK);
                Ok(&bytes[self.sent..end])
            }
            Some(Part::Payload(Payload::File(file, len))) => {
                if self.piece.is_empty() {
                    self.piece.resize(CHUNK.min(len - self.sent), 0);
                    file.read_exact_at(&mut self.piece, self.sent as u64)?;
                }
                Ok(&self.piece)
            }
        }
    }

    /// So many bytes of what [`next`](Self::next) gave are sent.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.sent += count;
        self.piece.drain(..count.min(self.piece.len()));
        let is_last = self.parts.len() == 1;
        match self.parts.front_mut() {
            Some(part) if self.sent >= part.len() => match part {
                // The memory serves again, unless it is much.
                Part::Bytes(bytes) if is_last && bytes.capacity() <= 2 * CHUNK => {
                    bytes.clear();
                    self.sent = 0;
                }
                _ => self.advance(),
            },
            _ => {}
        }
    }

    fn advance(&mut self) {
        self.parts.pop_front();
        self.sent = 0;
        self.piece = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// All that waits, taken in pieces of at most this many bytes.
    fn drained(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let next = outbox.next().unwrap();
            if next.is_empty() {
                return all;
            }
            let count = next.len().min(step);
            all.extend_from_slice(&next[..count]);
            outbox.wrote(count);
        }
    }

    fn file(content: &[u8]) -> Payload {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Payload::File(Rc::new(file), content.len())
    }

    #[test]
    fn everything_goes_in_its_order() {
        let long: Vec<u8> = (0..3 * CHUNK + 5).map(|number| number as u8).collect();
        for step in [1000, CHUNK, usize::MAX] {
            let mut outbox = Outbox::default();
            assert!(outbox.is_empty());
            outbox.bytes().extend_from_slice(b"first");
            outbox.append(Payload::Bytes(Rc::new(long.clone())));
            outbox.append(Payload::empty());
            outbox.bytes().extend_from_slice(b"second");
            outbox.append(file(&long));
            outbox.bytes().extend_from_slice(b"third");
            assert!(outbox.is_full());
            let expected = [b"first", &*long, b"second", &long, b"third"].concat();
            assert!(drained(&mut outbox, step) == expected);
            assert!(outbox.is_empty() && !outbox.is_full());
            outbox.bytes().extend_from_slice(b"more");
            assert_eq!(drained(&mut outbox, step), b"more");
        }
    }

    #[test]
    fn a_file_is_never_all_in_memory() {
        let mut outbox = Outbox::default();
        outbox.append(file(&vec![7; 10 * CHUNK]));
        assert_eq!(outbox.next().unwrap().len(), CHUNK);
        outbox.wrote(10);
        assert_eq!(outbox.next().unwrap().len(), CHUNK - 10);
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let Payload::File(file, _) = file(b"short") else {
            unreachable!()
        };
        let mut outbox = Outbox::default();
        outbox.append(Payload::File(file, 6));
        let error = outbox.next().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
