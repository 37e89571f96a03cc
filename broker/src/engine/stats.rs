//! Counters of what passed through the engine. Plain integers: the engine lives on one thread.

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Packets of any type received.
    pub(crate) packets_received: u64,
    /// CONNECT packets received, those that were refused included.
    pub(crate) connects: u64,
    /// PUBLISH packets received.
    pub(crate) messages_received: u64,
    /// PUBLISH packets sent.
    pub(crate) messages_sent: u64,
    /// Packets sent that are no PUBLISH.
    pub(crate) answers_sent: u64,
    /// Bytes of payload in PUBLISH packets received.
    pub(crate) payload_bytes_received: u64,
    /// Bytes of payload in PUBLISH packets sent.
    pub(crate) payload_bytes_sent: u64,
    /// Bytes received from clients.
    pub(crate) bytes_received: u64,
    /// Bytes written to clients.
    pub(crate) bytes_sent: u64,
    /// Messages dropped.
    pub(crate) dropped: Dropped,
    /// The most clients that were connected at a time.
    pub(crate) max_clients: u32,
    /// Sessions that ended because their Session Expiry Interval had passed.
    pub(crate) sessions_expired: u64,
}

impl Stats {
    /// Counts a PUBLISH packet received, by the length of its payload.
    pub(crate) fn count_received(&mut self, payload: usize) {
        self.messages_received += 1;
        self.payload_bytes_received += payload as u64;
    }

    /// Counts a PUBLISH packet sent, by the length of its payload.
    pub(crate) fn count_sent(&mut self, payload: usize) {
        self.messages_sent += 1;
        self.payload_bytes_sent += payload as u64;
    }

    /// Packets of any type sent.
    pub(crate) fn packets_sent(&self) -> u64 {
        self.messages_sent + self.answers_sent
    }
}

/// Messages that somebody did not get, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The queue of a client had reached its limit.
    pub(crate) queue_full: u64,
    /// Longer than the client's Maximum Packet Size [MQTT-3.1.2-25].
    pub(crate) too_large: u64,
    /// The Message Expiry Interval passed while it waited for a client [MQTT-3.3.2-5].
    pub(crate) expired: u64,
    /// Delivered, but not kept as a Retained Message, since no more may be.
    pub(crate) not_retained: u64,
    /// It waited for a member of a Shared Subscription, and the last one has gone.
    pub(crate) no_subscriber: u64,
    /// All messages together had reached their part of MAX_MEMORY.
    pub(crate) memory: u64,
}

impl Dropped {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.queue_full
            + self.too_large
            + self.expired
            + self.not_retained
            + self.no_subscriber
            + self.memory
    }
}
