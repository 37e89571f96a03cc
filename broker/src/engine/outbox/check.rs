//! What must hold of an outbox.

use super::super::check::Messages;
use super::Outbox;
use crate::engine::message::Message;

impl Outbox {
    /// Panics where something does not hold; notes its messages.
    pub(crate) fn check(&self, messages: &mut Messages) {
        assert!(self.written <= self.bytes.len(), "outbox: written");
        let mut last = self.written;
        let mut bytes = 0;
        for (at, body) in self.bodies() {
            assert!(
                (last..=self.bytes.len()).contains(at),
                "outbox: place of a body"
            );
            last = *at;
            bytes += body.payload().len();
            messages.meet(body);
        }
        let counted = self.bodies.as_ref().map_or(0, |bodies| bodies.bytes);
        assert_eq!(counted, bytes, "outbox: bytes of bodies");
        let is_bare = self.bodies().next().is_none();
        assert_eq!(is_bare, self.bodies.is_none(), "outbox: memory for nothing");
        let holds_nothing = self.len() == 0 && self.bytes.capacity() > 0;
        assert!(!holds_nothing, "outbox: a buffer for nothing");
        assert!(self.answers <= self.bytes.len(), "outbox: answers");
    }

    fn bodies(&self) -> impl Iterator<Item = &(usize, Message)> {
        self.bodies.iter().flat_map(|bodies| &bodies.waiting)
    }

    /// How many bytes are still to be written.
    pub(crate) fn len(&self) -> usize {
        let bodies = self.bodies.as_ref();
        let bodies = bodies.map_or(0, |bodies| bodies.bytes - bodies.written);
        self.bytes.len() - self.written + bodies
    }

    /// All bytes still to be written, without the first `skip`.
    pub(crate) fn unwritten(&self, skip: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut from = self.written;
        let mut body_from = self.bodies.as_ref().map_or(0, |bodies| bodies.written);
        for (at, body) in self.bodies() {
            all.extend_from_slice(&self.bytes[from..*at]);
            all.extend_from_slice(&body.payload()[body_from..]);
            (from, body_from) = (*at, 0);
        }
        all.extend_from_slice(&self.bytes[from..]);
        all.drain(..skip);
        all
    }
}
