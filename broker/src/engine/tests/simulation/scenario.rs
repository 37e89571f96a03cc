//! What differs from run to run: the limits of the broker, and the temper of its clients and of the network.

use mqtt::{QoS, Version};
use settings::Drops;

use super::super::super::Limits;
use super::client::Terms;
use super::message::Message;
use super::random::Random;

/// Kinds of runs; the seed of a run, divided by their number, leaves its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Queues without limits: nothing may be lost.
    Plain,
    /// The terms that CONNACK tells are tight: still nothing may be lost.
    Terms,
    /// Short queues: what is lost is counted, and publishers are made to wait.
    Queues,
    /// Little memory: sessions are ended and packets refused.
    Memory,
}

impl Family {
    pub(super) const ALL: [Family; 4] =
        [Family::Plain, Family::Terms, Family::Queues, Family::Memory];

    pub(super) fn of(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }
}

/// Chances of one action each, out of their sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    pub(super) up: usize,
    pub(super) down: usize,
    pub(super) acknowledge: usize,
    pub(super) publish: usize,
    pub(super) subscribe: usize,
    pub(super) connect: usize,
    pub(super) disconnect: usize,
    pub(super) lose: usize,
    pub(super) time: usize,
    pub(super) odd: usize,
}

#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) limits: Limits,
    pub(super) temper: Temper,
    pub(super) clients: usize,
    pub(super) steps: usize,
    /// One in so many clients reads slowly.
    pub(super) slow: usize,
    /// The largest payload.
    pub(super) large: usize,
    /// One packet a call: what it leads to depends on memory.
    pub(super) is_single: bool,
}

impl Scenario {
    pub(super) fn random(random: &mut Random, family: Family) -> Self {
        let mut limits = Limits {
            max_queued_messages: None,
            max_queued_bytes: None,
            max_memory: u64::MAX,
            max_retained_bytes: u64::MAX,
            max_inflight: random.pick(&[1, 2, 5, 20, u16::MAX]),
            max_session_expiry: random.pick(&[None, Some(1_209_600)]),
            ..super::super::limits()
        };
        match family {
            Family::Plain => {}
            Family::Terms => {
                limits.max_qos =
                    random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
                limits.retain_available = !random.one_in(4);
                limits.max_keep_alive = random.pick(&[3, 20, u16::MAX]);
                limits.max_topic_alias = random.pick(&[0, 1, 3]);
                limits.max_packet_size = random.pick(&[400, 5000, 1 << 20]);
                limits.max_subscriptions = random.pick(&[None, Some(1), Some(3)]);
                limits.max_clients = random.pick(&[None, Some(2), Some(4)]);
                limits.max_session_expiry = random.pick(&[None, Some(5), Some(100)]);
                limits.max_retained = random.pick(&[None, Some(1), Some(3)]);
                limits.allow_empty_client_id = random.one_in(2);
                limits.max_will_delay = random.pick(&[None, Some(2)]);
            }
            Family::Queues => {
                limits.max_queued_messages = random.pick(&[None, Some(1), Some(4), Some(12)]);
                limits.max_queued_bytes = random.pick(&[None, Some(600), Some(3000), Some(40_000)]);
                limits.full_queue_drops = random.pick(&[Drops::Oldest, Drops::Newest]);
            }
            Family::Memory => {
                limits.max_memory = random.pick(&[6000, 15_000, 40_000, 150_000]);
                limits.max_retained_bytes = limits.max_memory / 2;
                limits.max_queued_messages = random.pick(&[None, Some(10)]);
            }
        }
        Scenario {
            limits,
            temper: Temper {
                up: random.between(20, 50),
                down: random.between(20, 50),
                acknowledge: random.between(5, 30),
                publish: random.between(10, 40),
                subscribe: random.between(2, 10),
                connect: random.between(2, 10),
                disconnect: random.between(0, 3),
                lose: random.between(0, 4),
                time: random.between(1, 10),
                odd: random.between(0, 2),
            },
            clients: random.between(3, 10),
            steps: random.pick(&[60, 120, 240]),
            slow: random.pick(&[2, 4, 100]),
            large: if family == Family::Memory {
                6000
            } else {
                40_000
            },
            is_single: family == Family::Memory,
        }
    }

    /// What a client asks for next.
    pub(super) fn terms(&self, random: &mut Random, usual: Version, number: u32) -> Terms {
        let version = match random.one_in(8) {
            true => random.pick(&[Version::V31, Version::V311, Version::V5]),
            false => usual,
        };
        let is_new = version == Version::V5;
        let tiny = random.one_in(60);
        let will = random.one_in(3).then(|| {
            let mut will = Message::random(random, number, self.large);
            if !random.one_in(10) {
                self.tame(&mut will);
            }
            will
        });
        let expiries = [None, Some(0), Some(3), Some(30), Some(3600), Some(u32::MAX)];
        let delays = [None, Some(0), Some(1), Some(5), Some(60)];
        Terms {
            version,
            clean_start: random.one_in(5),
            keep_alive: random.pick(&[0, 0, 4, 10, 60]),
            session_expiry: random.pick(&expiries).filter(|_| is_new),
            receive_maximum: random
                .pick(&[None, Some(1), Some(2), Some(7)])
                .filter(|_| is_new),
            max_packet: match random.below(8) {
                _ if !is_new => None,
                0 if tiny => Some(random.between(2, 60) as u32),
                0 => Some(random.between(60, 500) as u32),
                _ => None,
            },
            max_alias: if is_new {
                random.pick(&[0, 0, 1, 3])
            } else {
                0
            },
            will_delay: random.pick(&delays).filter(|_| is_new && will.is_some()),
            will: will.filter(|will| self.fits(will)),
        }
    }

    /// Terms under which everything is delivered that waits.
    pub(super) fn generous(&self, version: Version) -> Terms {
        Terms {
            version,
            clean_start: false,
            // One of 3.x that wants a longer one is refused.
            keep_alive: match self.limits.max_keep_alive {
                u16::MAX => 0,
                max => max,
            },
            session_expiry: (version == Version::V5).then_some(7200),
            receive_maximum: None,
            max_packet: None,
            max_alias: 0,
            will: None,
            will_delay: None,
        }
    }

    /// Makes a message such as the broker allows.
    pub(super) fn tame(&self, message: &mut Message) {
        message.qos = message.qos.min(self.limits.max_qos);
        message.retain &= self.limits.retain_available;
        if message.len == 0 && !message.retain {
            message.len = 8;
        }
    }

    /// Whether a message is no larger than the broker allows, with all that is around it.
    pub(super) fn fits(&self, message: &Message) -> bool {
        message.len + 200 < self.limits.max_packet_size as usize
    }
}
