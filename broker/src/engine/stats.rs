//! Counters of what passed through the engine. Plain integers: the engine lives on one thread.

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// PUBLISH packets received.
    pub(crate) messages_received: u64,
    /// PUBLISH packets sent.
    pub(crate) messages_sent: u64,
    /// Bytes received from clients.
    pub(crate) bytes_received: u64,
    /// Bytes written to clients.
    pub(crate) bytes_sent: u64,
    /// Messages dropped for a client: queue full, too large for it, or expired.
    pub(crate) dropped: u64,
}
