//! What must hold of a Network Connection by itself.

use super::super::check::Messages;
use super::{Connection, Outbox};

impl Connection {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, messages: &mut Messages) -> usize {
        self.outbox.check(messages);
        let aliases: usize = self.aliases.iter().flatten().map(|topic| topic.len()).sum();
        let charged = aliases + self.sent_aliases.cost() + self.incomplete;
        assert_eq!(self.charge.bytes(), charged, "charge of a connection");
        charged
    }
}

impl Outbox {
    fn check(&self, messages: &mut Messages) {
        assert!(self.written <= self.bytes.len(), "outbox: written");
        let mut last = self.written;
        let mut bytes = 0;
        for (at, body) in &self.bodies {
            assert!(
                (last..=self.bytes.len()).contains(at),
                "outbox: place of a body"
            );
            last = *at;
            bytes += body.payload().len();
            messages.meet(body);
        }
        assert_eq!(self.body_bytes, bytes, "outbox: bytes of bodies");
        assert!(self.answers <= self.bytes.len(), "outbox: answers");
    }

    /// How many bytes are still to be written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written + self.body_bytes - self.body_written
    }

    /// All bytes still to be written, without the first `skip`.
    pub(crate) fn unwritten(&self, skip: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut from = self.written;
        let mut body_from = self.body_written;
        for (at, body) in &self.bodies {
            all.extend_from_slice(&self.bytes[from..*at]);
            all.extend_from_slice(&body.payload()[body_from..]);
            (from, body_from) = (*at, 0);
        }
        all.extend_from_slice(&self.bytes[from..]);
        all.drain(..skip);
        all
    }
}
