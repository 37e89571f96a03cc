//! The broker's state as the ledger holds it: Network Connections, Sessions, what they are owed and what is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{PacketIdentifier, QoS, SubscriptionOptions, TopicFilter, Version};

use super::super::super::ConnectionKey;
use super::answer::Answer;
use super::record::{Owed, Record, Seen};

/// How far a Network Connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Connected,
    Ended,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) phase: Phase,
    /// The Session it has or had.
    pub(super) session: Option<u32>,
    pub(super) answers: VecDeque<Answer>,
    /// The broker has said DISCONNECT.
    pub(super) is_mute: bool,
    /// An answer was due that is too large for the client.
    pub(super) is_speechless: bool,
    pub(super) max_packet: u32,
    pub(super) opened_at: Instant,
    /// One and a half times Keep Alive.
    pub(super) patience: Duration,
    pub(super) last_received: Instant,
    /// When something last came of it, be it a part of a packet, or it was held.
    pub(super) last_sign: Instant,
    /// Topic Aliases of the client.
    pub(super) aliases: BTreeMap<u16, Rc<str>>,
    /// Topic Aliases of the broker, and how many it may have.
    pub(super) broker_aliases: BTreeMap<u16, Rc<str>>,
    pub(super) max_alias: u16,
    /// Bytes in the engine's outbox that were looked at already.
    pub(super) observed: usize,
    /// Since when it is held for the sake of a slow subscriber.
    pub(super) held_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Rc<str>,
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: u32,
}

impl Subscription {
    pub(super) fn filter(&self) -> TopicFilter<'_> {
        TopicFilter::from_valid(&self.filter)
    }

    /// What it asks for of a message.
    pub(super) fn owed(&self, record: &Rc<Record>, tick: u64) -> Owed {
        Owed {
            record: Rc::clone(record),
            qos: record.qos.min(self.options.qos),
            retain: record.retain && self.options.retain_as_published,
            identifiers: (self.identifier > 0)
                .then_some(self.identifier)
                .into_iter()
                .collect(),
            share: None,
            replay: None,
            granted: self.options.qos,
            tick,
            stored: None,
            perhaps: false,
            overtaken: false,
            has_waited: false,
        }
    }
}

/// How far a delivery of QoS 1 or 2 has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Ack,
    Rec,
    Comp,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) identifier: PacketIdentifier,
    pub(super) owed: Owed,
    pub(super) stage: Stage,
    /// It is still to be sent again on this connection.
    pub(super) again: bool,
}

impl Flight {
    /// Whether it is to be sent again, but is too large for the client now.
    pub(super) fn is_void(&self, now: Instant, version: Version, max_packet: u32) -> bool {
        self.again && self.stage != Stage::Comp && self.owed.len(now, version) > max_packet as usize
    }
}

#[derive(Debug)]
pub(super) struct Will {
    pub(super) record: Record,
    pub(super) delay: Duration,
    pub(super) expiry: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Rc<str>,
    pub(super) connection: Option<ConnectionKey>,
    pub(super) expiry: u32,
    pub(super) ends_at: Option<Instant>,
    pub(super) will: Option<Will>,
    pub(super) will_at: Option<Instant>,
    pub(super) subscriptions: Vec<Subscription>,
    /// What was not sent yet, in the order in which it came.
    pub(super) owed: Vec<Owed>,
    pub(super) flights: Vec<Flight>,
    /// While its client is away: what is published with RETAIN is kept at QoS 0 too, since there is a replay that goes on
    /// later, and leaves it out.
    pub(super) keeps_retained: bool,
    /// QoS 2 messages of the client that are not released.
    pub(super) received: BTreeSet<PacketIdentifier>,
    pub(super) window: usize,
    /// How often each message left for the first time, by number and QoS.
    pub(super) left: BTreeMap<u32, [u32; 3]>,
    /// What was given up since it became too large for the client: perhaps it has come, perhaps not.
    pub(super) given_up: BTreeSet<u32>,
}

/// A message for one member of a Shared Subscription; which one is the engine's choice.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) members: Vec<(u32, Owed)>,
    /// Who has got it, as far as that is known.
    pub(super) taker: Option<Taker>,
    /// Nobody need get it.
    pub(super) may_fail: bool,
}

impl Session {
    /// The client is back with this window: all under way is sent again in its order; what the window does not hold waits,
    /// but for PUBREL, which comes before.
    pub(super) fn resume(&mut self, window: u16) {
        self.window = window.into();
        let held = self.flights.len().min(self.window);
        self.flights[held..].sort_by_key(|flight| flight.stage != Stage::Comp);
    }

    /// The client has gone: replays of Subscriptions with QoS 0 do not go on.
    pub(super) fn end_replays_of_qos_0(&mut self) {
        self.owed
            .retain(|owed| owed.replay.is_none() || owed.granted > QoS::AtMostOnce);
    }
}

/// The member that was chosen.
#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) epoch: u32,
    /// What it has got.
    pub(super) seen: Seen<'static>,
    /// It was not another choice that gave it the same message.
    pub(super) is_sure: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distributed {
    pub(super) matched: bool,
    pub(super) unretained: bool,
}
