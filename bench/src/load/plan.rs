//! What a load is to do, and what came of it.

use std::time::Duration;

use mqtt::{QoS, Version};

use crate::histogram::Histogram;
use crate::payload::VERSION;

/// How the publishers go about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    /// Bytes of a payload.
    pub(crate) payload: usize,
    /// How many messages a publisher may be ahead of the slowest of its subscribers; none: it does not look at them.
    pub(crate) window: Option<u64>,
    /// How many it sends at least in one write.
    pub(crate) batch: u64,
    /// How many may be without their last acknowledgement.
    pub(crate) in_flight: u64,
    /// Messages per second of all publishers, instead of as many as go.
    pub(crate) rate: Option<u64>,
    /// How many each publisher sends in all, instead of going on for a time.
    pub(crate) count: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    /// How long nothing may happen before the run counts as over.
    pub(crate) patience: Duration,
}

impl Plan {
    pub(crate) const DEFAULT: Plan = Plan {
        version: VERSION,
        qos: QoS::AtMostOnce,
        payload: 100,
        window: Some(100),
        batch: 8,
        in_flight: 20,
        rate: None,
        count: None,
        warm_up: Duration::from_millis(300),
        measure: Duration::from_millis(1000),
        patience: Duration::from_secs(8),
    };
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Messages delivered to all subscribers while it was measured, or acknowledged where there are none.
    pub(crate) messages: u64,
    pub(crate) time: Duration,
    /// The broker's processor time.
    pub(crate) broker: Duration,
    /// The generator's.
    pub(crate) generator: Duration,
    /// Nanoseconds from the time of sending, or from the time when it was due.
    pub(crate) latency: Histogram,
    /// Messages sent to each subscriber in all, and how many of these never came.
    pub(crate) expected: u64,
    pub(crate) lost: u64,
}

impl Outcome {
    /// Processor time per message in microseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.broker.as_secs_f64() * 1e6 / self.messages.max(1) as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }

    /// How busy each was, of 1.
    pub(crate) fn shares(&self) -> (f64, f64) {
        let share = |used: Duration| used.as_secs_f64() / self.time.as_secs_f64();
        (share(self.broker), share(self.generator))
    }

    /// A latency in microseconds.
    pub(crate) fn latency(&self, part: f64) -> f64 {
        self.latency.percentile(part).unwrap_or_default() as f64 / 1000.0
    }
}
