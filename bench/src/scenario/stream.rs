//! Messages from publishers to subscribers that keep up.

use std::ops::Range;

use mqtt::{QoS, Version};

use super::{Figure, Place, figure, megabytes};
use crate::candidate::Running;
use crate::failure::Result;
use crate::load::{Load, Outcome, Plan, Reading};
use crate::secret::Transport;
use crate::wire::{Address, Wire};

/// Who sends to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// So many publishers, each to a subscriber of its own.
    Pairs(usize),
    /// So many publishers to one subscriber.
    FanIn(usize),
    /// One publisher to so many subscribers.
    FanOut(usize),
    /// So many publishers, each to all of so many subscribers.
    Mesh(usize, usize),
}

impl Shape {
    pub(crate) fn publishers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanIn(count) | Shape::Mesh(count, _) => count,
            Shape::FanOut(_) => 1,
        }
    }

    pub(crate) fn subscribers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanOut(count) | Shape::Mesh(_, count) => count,
            Shape::FanIn(_) => 1,
        }
    }

    /// Whose messages a subscriber gets.
    fn publishers_of(self, subscriber: usize) -> Range<usize> {
        match self {
            Shape::Pairs(_) => subscriber..subscriber + 1,
            Shape::FanIn(count) | Shape::Mesh(count, _) => 0..count,
            Shape::FanOut(_) => 0..1,
        }
    }

    /// Who gets the messages of a publisher.
    fn subscribers_of(self, publisher: usize) -> Range<usize> {
        match self {
            Shape::Pairs(_) => publisher..publisher + 1,
            Shape::FanIn(_) => 0..1,
            Shape::FanOut(count) | Shape::Mesh(_, count) => 0..count,
        }
    }

    /// Connects everybody.
    pub(crate) fn connect<'a>(
        self,
        plan: Plan,
        place: &'a Place,
        address: Address<'_>,
    ) -> Result<Load<'a>> {
        let mut load = Load::new(plan, &place.pattern)?;
        for number in 0..self.subscribers() {
            let mut wire = Wire::connect(address, &format!("subscriber-{number}"), true)?;
            let publishers = self.publishers_of(number);
            let topics: Vec<_> = publishers.clone().map(topic).collect();
            wire.subscribe(&topics, plan.qos)?;
            load.subscribe(wire, &publishers, Reading::Eager)?;
        }
        for number in 0..self.publishers() {
            let wire = Wire::connect(address, &format!("publisher-{number}"), true)?;
            load.publish(wire, &topic(number), self.subscribers_of(number))?;
        }
        Ok(load)
    }
}

/// What a publisher publishes to.
pub(crate) fn topic(publisher: usize) -> String {
    format!("plant/line/{publisher}/state")
}

/// A load and how it is carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) shape: Shape,
    pub(crate) plan: Plan,
    pub(crate) transport: Transport,
}

impl Stream {
    /// A QoS, and the default plan beside it.
    pub(crate) const fn new(shape: Shape, qos: QoS, window: u64) -> Stream {
        Stream {
            shape,
            plan: Plan {
                qos,
                window: Some(window),
                ..Plan::DEFAULT
            },
            transport: Transport::Plain,
        }
    }

    /// One message at a time, of each of ten publishers.
    pub(crate) const fn single(qos: QoS) -> Stream {
        let mut stream = Stream::new(Shape::Pairs(10), qos, 1);
        stream.plan.batch = 1;
        stream.plan.in_flight = 1;
        stream
    }

    /// So many messages a second.
    pub(crate) const fn paced(qos: QoS, rate: u64) -> Stream {
        let mut stream = Stream::new(Shape::Pairs(50), qos, 64);
        stream.plan.batch = 1;
        stream.plan.rate = Some(rate);
        stream
    }

    /// Payloads of another length.
    pub(crate) const fn of(mut self, payload: usize) -> Stream {
        self.plan.payload = payload;
        self
    }

    /// In version 5.0.
    pub(crate) const fn v5(mut self) -> Stream {
        self.plan.version = Version::V5;
        self
    }

    /// Through TLS.
    pub(crate) const fn through(mut self, transport: Transport) -> Stream {
        self.transport = transport;
        self
    }

    pub(super) fn run(
        self,
        place: &Place,
        running: &Running,
        address: Address<'_>,
    ) -> Result<Vec<Figure>> {
        let processes = running.processes()?;
        let address = Address {
            version: self.plan.version,
            ..address
        };
        let outcome = self
            .shape
            .connect(self.plan, place, address)?
            .run(&processes)?;
        if outcome.lost > 0 {
            return Err(format!(
                "{} of {} messages were lost",
                outcome.lost, outcome.expected
            )
            .into());
        }
        let mut figures = figures(&outcome);
        figures.push((figure::PEAK, megabytes(processes.memory()?.peak)));
        Ok(figures)
    }
}

/// What every load shows.
pub(super) fn figures(outcome: &Outcome) -> Vec<Figure> {
    let (broker, generator) = outcome.shares();
    vec![
        (figure::COST, outcome.cost()),
        (figure::RATE, outcome.rate()),
        (figure::P50, outcome.latency(0.5)),
        (figure::P99, outcome.latency(0.99)),
        (figure::P999, outcome.latency(0.999)),
        (figure::BROKER_BUSY, 100.0 * broker),
        (figure::GENERATOR_BUSY, 100.0 * generator),
    ]
}
