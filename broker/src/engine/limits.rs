//! What clients may use, taken from the settings.

use std::time::Duration;

use mqtt::QoS;
use settings::{Drops, Settings};

use super::connection::Promise;

/// The limits in force; `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_clients: Option<u32>,
    /// Receive Maximum, both ways.
    pub(crate) max_inflight: u16,
    pub(crate) max_queued_messages: Option<u32>,
    pub(crate) max_queued_bytes: Option<u64>,
    pub(crate) full_queue_drops: Drops,
    /// Bytes of all queued and retained messages together.
    pub(crate) max_memory: u64,
    pub(crate) max_packet_size: u32,
    /// Seconds.
    pub(crate) max_keep_alive: u16,
    pub(crate) max_qos: QoS,
    pub(crate) retain_available: bool,
    pub(crate) max_topic_alias: u16,
    pub(crate) max_retained: Option<u32>,
    /// Bytes of all retained messages.
    pub(crate) max_retained_bytes: u64,
    pub(crate) max_subscriptions: Option<u32>,
    pub(crate) max_topic_levels: Option<u32>,
    /// Bytes.
    pub(crate) max_topic_length: u16,
    /// Seconds.
    pub(crate) max_session_expiry: Option<u32>,
    /// Seconds.
    pub(crate) max_will_delay: Option<u32>,
    pub(crate) allow_empty_client_id: bool,
    /// From connection to CONNECT, a TLS handshake included.
    pub(crate) connect_timeout: Duration,
    /// From one update of the `$SYS` topics to the next; `None`: there are none.
    pub(crate) sys_interval: Option<Duration>,
}

impl Limits {
    /// Bytes waiting to be written to one client beyond which messages go to its queue instead.
    pub(crate) const OUTBOX_HIGH: usize = 64 * 1024;
    /// The largest packet MQTT knows: 256 MiB and its header.
    pub(crate) const LARGEST_PACKET: u32 = 268_435_460;

    /// How much of `max_memory` messages may take.
    pub(crate) fn max_message_memory(&self) -> u64 {
        self.max_memory / 4 * 3
    }

    /// Whether a Topic Name or Topic Filter is short and shallow enough.
    pub(crate) fn allow_topic(&self, topic: &str) -> bool {
        // A topic has no more levels than bytes and one.
        topic.len() <= usize::from(self.max_topic_length)
            && self.max_topic_levels.is_none_or(|max| {
                topic.len() < max as usize
                    || topic.bytes().filter(|&byte| byte == b'/').count() < max as usize
            })
    }

    /// How long after its connection a Will Message is published that asks for a delay of `wanted` seconds.
    pub(crate) fn will_delay(&self, wanted: u32) -> Duration {
        let seconds = self.max_will_delay.map_or(wanted, |max| wanted.min(max));
        Duration::from_secs(seconds.into())
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
        let max_memory = settings.max_memory.unwrap_or(memory_total / 8);
        Limits {
            max_clients: settings.max_clients,
            max_inflight: match settings.max_inflight {
                0 => u16::MAX,
                max => max,
            },
            max_queued_messages: settings.max_queued_messages,
            max_queued_bytes: settings.max_queued_bytes,
            full_queue_drops: settings.full_queue_drops,
            max_memory,
            max_packet_size: settings.max_packet_size,
            max_keep_alive: settings.max_keep_alive,
            max_qos: QoS::try_from(settings.max_qos).unwrap_or(QoS::ExactlyOnce),
            retain_available: settings.retain_available,
            max_topic_alias: settings.max_topic_alias,
            max_retained: settings.max_retained,
            max_retained_bytes: settings.max_retained_bytes.unwrap_or(max_memory / 2),
            max_subscriptions: settings.max_subscriptions,
            max_topic_levels: settings.max_topic_levels,
            max_topic_length: settings.max_topic_length,
            max_session_expiry: settings.max_session_expiry,
            max_will_delay: settings.max_will_delay,
            allow_empty_client_id: settings.allow_empty_client_id,
            connect_timeout: settings.connect_timeout,
            sys_interval: match settings.sys_interval {
                0 => None,
                seconds => Some(Duration::from_secs(seconds.into())),
            },
        }
    }
}
