//! What the engine knows of one Network Connection.

#[cfg(test)]
mod check;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{QoS, Version};
use thin_vec::ThinVec;

use super::aliases::SentAliases;
use super::message::Charge;
use super::outbox::Outbox;
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
    /// Keep Alive in seconds, 0 for none (section 3.1.2.10).
    pub(crate) keep_alive: u16,
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
    pub(crate) incomplete: u32,
    /// Bytes that came after the end.
    pub(crate) wasted: u32,
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
            keep_alive: 0,
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

    /// How long the client may be silent: one and a half times Keep Alive [MQTT-3.1.2-22].
    pub(crate) fn patience(&self) -> Option<Duration> {
        let patience = Duration::from_millis(u64::from(self.keep_alive) * 1500);
        (!patience.is_zero()).then_some(patience)
    }

    /// When the client must have been heard of next.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        self.patience()
            .map(|patience| self.last_received + patience)
    }
}
