//! What clients may use, taken from the settings.

use std::time::Duration;

use mqtt::QoS;
use settings::Settings;

use super::connection::Promise;

/// The limits in force; `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_clients: Option<u32>,
    /// Receive Maximum, both ways.
    pub(crate) max_inflight: u16,
    pub(crate) max_queued_messages: Option<u32>,
    pub(crate) max_queued_bytes: Option<u64>,
    /// Bytes of all queued and retained messages together.
    pub(crate) max_memory: u64,
    pub(crate) max_packet_size: u32,
    /// Seconds.
    pub(crate) max_keep_alive: u16,
    pub(crate) max_qos: QoS,
    pub(crate) retain_available: bool,
    pub(crate) max_topic_alias: u16,
    pub(crate) max_retained: Option<u32>,
    pub(crate) max_subscriptions: Option<u32>,
    /// Seconds.
    pub(crate) max_session_expiry: Option<u32>,
    pub(crate) allow_empty_client_id: bool,
}

impl Limits {
    /// From connection to CONNECT, a TLS handshake included.
    pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Bytes waiting to be written to one client beyond which messages go to its queue instead.
    pub(crate) const OUTBOX_HIGH: usize = 64 * 1024;
    /// Slashes in a Topic Name or Topic Filter, as many as Mosquitto takes.
    const MAX_TOPIC_SLASHES: usize = 200;

    /// The largest packet MQTT knows: 256 MiB and its header.
    pub(crate) const LARGEST_PACKET: u32 = 268_435_460;

    /// How much of `max_memory` messages may take.
    pub(crate) fn max_message_memory(&self) -> u64 {
        self.max_memory / 4 * 3
    }

    /// Whether a Topic Name or Topic Filter is shallow enough.
    pub(crate) fn allow_levels(topic: &str) -> bool {
        topic.bytes().filter(|&byte| byte == b'/').count() <= Self::MAX_TOPIC_SLASHES
    }

    /// The largest CONNECT: one that has everything but no user properties fits, with room to spare.
    pub(crate) const MAX_CONNECT: u32 = 384 * 1024;

    /// What CONNACK promises under these limits.
    pub(crate) fn promise(&self) -> Promise {
        Promise {
            max_packet_size: self.max_packet_size,
            receive_maximum: self.max_inflight,
            max_topic_alias: self.max_topic_alias,
            max_qos: self.max_qos,
            retain_available: self.retain_available,
        }
    }

    /// How many Sessions are kept, connected or not: with a new name for each connection a stranger could leave any
    /// number of them behind.
    pub(crate) fn max_sessions(&self) -> Option<usize> {
        self.max_clients
            .map(|max| (max as usize).saturating_mul(4).max(1024))
    }

    /// The Session Expiry Interval granted to a client that asks for `wanted` seconds.
    pub(crate) fn session_expiry(&self, wanted: u32) -> u32 {
        self.max_session_expiry
            .map_or(wanted, |max| wanted.min(max))
    }

    /// The limits that `settings` ask for on a machine with `memory_total` bytes of RAM.
    pub(crate) fn new(settings: &Settings, memory_total: u64) -> Self {
        Limits {
            max_clients: settings.max_clients,
            max_inflight: match settings.max_inflight {
                0 => u16::MAX,
                max => max,
            },
            max_queued_messages: settings.max_queued_messages,
            max_queued_bytes: settings.max_queued_bytes,
            max_memory: settings.max_memory.unwrap_or(memory_total / 8),
            max_packet_size: settings.max_packet_size,
            max_keep_alive: settings.max_keep_alive,
            max_qos: QoS::try_from(settings.max_qos).unwrap_or(QoS::ExactlyOnce),
            retain_available: settings.retain_available,
            max_topic_alias: settings.max_topic_alias,
            max_retained: settings.max_retained,
            max_subscriptions: settings.max_subscriptions,
            max_session_expiry: settings.max_session_expiry,
            allow_empty_client_id: settings.allow_empty_client_id,
        }
    }
}
