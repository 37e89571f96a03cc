//! What is measured, and what our broker is to reach. The targets are those of the best broker of the field.

mod connections;
mod filters;
mod overload;
mod queue;
mod retained;
mod stream;
mod table;

use crate::candidate::{Candidate, Demand, Running};
use crate::failure::Result;
use crate::machine::{self, Cores};
use crate::payload::{Pattern, VERSION};
use crate::secret::Secrets;
use crate::wire::Address;

pub(crate) use overload::Overload;
pub(crate) use stream::{Shape, Stream};
pub(crate) use table::SCENARIOS;

/// A value of a scenario and what it is.
pub(crate) type Figure = (&'static str, f64);

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) work: Work,
    pub(crate) targets: &'static [(&'static str, Target)],
}

/// What our broker is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this part of what the first other broker has.
    Ratio(f64),
    /// At most this.
    Most(f64),
}

/// What is done in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Messages from publishers to subscribers.
    Stream(Stream),
    /// Ten thousand clients that do nothing.
    Connections,
    /// A hundred thousand filters with wildcards.
    Filters,
    /// A hundred thousand retained messages.
    Retained,
    /// A hundred thousand messages for a client that is away.
    Queue,
    /// The same, and no limit of messages in flight.
    WideQueue,
    /// The same messages for many clients that are away.
    References,
    /// Readers that are slow or have stalled, and floods.
    Overload(Overload),
}

/// What a scenario needs beside the broker.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) cores: Cores,
    pub(crate) secrets: Secrets,
    pub(crate) pattern: Pattern,
}

impl Place {
    fn start(&self, candidate: &Candidate, demand: Demand) -> Result<Running> {
        candidate.start(demand, &self.secrets, self.cores)
    }

    fn address(&self, running: &Running, demand: Demand) -> Address<'_> {
        Address {
            port: running.port,
            transport: demand.transport,
            version: VERSION,
            secrets: &self.secrets,
        }
    }
}

impl Scenario {
    /// What it asks of a broker.
    pub(crate) fn demand(&self) -> Demand {
        match self.work {
            Work::Stream(stream) => Demand {
                transport: stream.transport,
                ..Demand::default()
            },
            Work::WideQueue => Demand {
                wide: true,
                ..Demand::default()
            },
            Work::Overload(_) => Demand {
                default_limits: true,
                ..Demand::default()
            },
            _ => Demand::default(),
        }
    }

    /// Measures one broker once.
    pub(crate) fn run(&self, place: &Place, candidate: &Candidate) -> Result<Vec<Figure>> {
        let realtime = self.is_paced() && machine::set_realtime(true);
        let figures = self.measure(place, candidate);
        if realtime {
            machine::set_realtime(false);
        }
        figures
    }

    fn is_paced(&self) -> bool {
        match self.work {
            Work::Stream(stream) => stream.plan.rate.is_some(),
            Work::Overload(overload) => overload.is_paced(),
            _ => false,
        }
    }

    fn measure(&self, place: &Place, candidate: &Candidate) -> Result<Vec<Figure>> {
        let demand = self.demand();
        let running = place.start(candidate, demand)?;
        let address = place.address(&running, demand);
        match self.work {
            Work::Stream(stream) => stream.run(place, &running, address),
            Work::Connections => connections::run(&running, address),
            Work::Filters => filters::run(place, &running, address),
            Work::Retained => retained::run(place, &running, address),
            Work::Queue | Work::WideQueue => queue::run(place, &running, address, queue::ONE),
            Work::References => queue::run(place, &running, address, queue::MANY),
            Work::Overload(overload) => overload.run(place, &running, address),
        }
    }
}

/// Names of figures.
pub(crate) mod figure {
    pub(crate) const COST: &str = "broker CPU, us a message";
    pub(crate) const RATE: &str = "messages/s";
    pub(crate) const P50: &str = "latency p50, us";
    pub(crate) const P99: &str = "latency p99, us";
    pub(crate) const P999: &str = "latency p99.9, us";
    pub(crate) const PEAK: &str = "peak memory, MB";
    pub(crate) const LOST: &str = "lost, %";
    pub(crate) const BROKER_BUSY: &str = "broker busy, %";
    pub(crate) const GENERATOR_BUSY: &str = "generator busy, %";
    pub(crate) const BEFORE: &str = "memory at the start, MB";
    pub(crate) const CONNECTS: &str = "connections/s";
    pub(crate) const CONNECT_COST: &str = "broker CPU, us a connection";
    pub(crate) const CONNECTION: &str = "bytes a connection";
    pub(crate) const SUBSCRIBED: &str = "bytes a connection with 2 subscriptions";
    pub(crate) const WAKE_UPS: &str = "wake-ups/s, idle";
    pub(crate) const AFTER: &str = "memory afterwards, of that before";
    pub(crate) const SUBSCRIPTION: &str = "bytes a subscription";
    pub(crate) const SUBSCRIBE_COST: &str = "broker CPU, us a subscription";
    pub(crate) const MISS: &str = "broker CPU of a miss, us";
    pub(crate) const MISS_RATIO: &str = "a miss, of one among 10 filters";
    pub(crate) const HIT: &str = "broker CPU of a hit, us";
    pub(crate) const HIT_RATIO: &str = "a hit, of one among 10 filters";
    pub(crate) const RETAINED: &str = "bytes a retained message";
    pub(crate) const STORE_COST: &str = "broker CPU, us a message stored";
    pub(crate) const FIRST: &str = "first message after, ms";
    pub(crate) const REPLAY_COST: &str = "broker CPU, us a message sent";
    pub(crate) const ALL: &str = "all messages after, ms";
    pub(crate) const PAUSE: &str = "another client's ping meanwhile, ms";
    pub(crate) const WALK: &str = "a ping behind a topic that 16,384 filters almost match, ms";
    pub(crate) const QUEUED: &str = "bytes a queued message";
    pub(crate) const ENQUEUE_COST: &str = "broker CPU, us a message queued";
    pub(crate) const DRAINED: &str = "drained messages/s";
    pub(crate) const DRAIN_COST: &str = "broker CPU, us a message drained";
}

/// Bytes as megabytes.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// How much more the second is, for each of `count`.
fn each(before: u64, after: u64, count: usize) -> f64 {
    after.saturating_sub(before) as f64 / count as f64
}
