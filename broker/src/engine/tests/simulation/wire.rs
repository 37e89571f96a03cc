//! A Network Connection as bytes under way: they arrive late and in any portions, and a broken link delivers a prefix.

use super::super::ConnectionKey;
use super::random::Random;

/// One direction or the other may be slow; whoever is faster on another link overtakes it.
#[derive(Debug)]
pub(super) struct Link {
    /// Which client made it.
    pub(super) client: usize,
    /// The broker's side, while it is there.
    pub(super) key: Option<ConnectionKey>,
    /// The Session that it has or had.
    pub(super) epoch: Option<u32>,
    /// From client to broker.
    pub(super) up: Vec<u8>,
    /// How many bytes of `up` have arrived; the broker had no use for them yet.
    pub(super) arrived: usize,
    /// How many bytes at the end of `up` break the rules; the engine gets them in a call of their own.
    pub(super) wrong: usize,
    /// The client sends nothing more: the end follows the last byte.
    pub(super) up_ends: bool,
    /// From broker to client.
    pub(super) down: Vec<u8>,
    /// The broker sends nothing more.
    pub(super) down_ends: bool,
    /// Bytes that the way down holds before the broker can't write more.
    pub(super) capacity: usize,
    /// The client reads nothing for now.
    pub(super) is_unread: bool,
    /// Bytes that are sent from now on get lost, both ways.
    pub(super) is_cut: bool,
    /// The broker is not told that the link is broken.
    pub(super) is_silent: bool,
    /// The broker could not write all and waits for room.
    pub(super) is_blocked: bool,
    /// The broker has more to write, but let the others go first.
    pub(super) again: bool,
    /// The engine is ready for what has arrived.
    pub(super) resumed: bool,
    /// Everything is written and the client was told that nothing follows.
    pub(super) finished: bool,
}

impl Link {
    pub(super) fn new(client: usize, key: ConnectionKey, capacity: usize) -> Self {
        Link {
            client,
            key: Some(key),
            epoch: None,
            up: Vec::new(),
            arrived: 0,
            wrong: 0,
            up_ends: false,
            down: Vec::new(),
            down_ends: false,
            capacity,
            is_unread: false,
            is_cut: false,
            is_silent: false,
            is_blocked: false,
            again: false,
            resumed: false,
            finished: false,
        }
    }

    /// The client sends.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if !self.is_cut && !self.up_ends {
            self.up.extend_from_slice(bytes);
        }
    }

    /// How many bytes the broker could write now.
    pub(super) fn room(&self) -> usize {
        match self.is_cut {
            // They go nowhere, but nobody has said so.
            true => usize::MAX,
            false => self.capacity.saturating_sub(self.down.len()),
        }
    }

    /// The broker sends.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.is_cut {
            self.down.extend_from_slice(bytes);
        }
    }

    /// The network fails: what is under way arrives up to some byte, later or never.
    pub(super) fn cut(&mut self, random: &mut Random) {
        if self.is_cut {
            return;
        }
        let under_way = self.up.len() - self.arrived;
        let arrives = self.arrived + random.below(under_way + 1);
        self.wrong = self.wrong.saturating_sub(self.up.len() - arrives);
        self.up.truncate(arrives);
        let arrives = random.below(self.down.len() + 1);
        self.down.truncate(arrives);
        self.is_cut = true;
        self.up_ends = true;
        self.is_silent = random.one_in(4);
        // The client's side fails at once or when it has read the rest.
        self.down_ends = true;
    }

    /// Whether bytes are on their way to the broker.
    pub(super) fn has_under_way(&self) -> bool {
        self.arrived < self.up.len()
    }

    /// Whether the broker sees the end of the stream now.
    pub(super) fn is_at_end(&self) -> bool {
        self.up_ends && !self.is_silent && !self.has_under_way()
    }
}
