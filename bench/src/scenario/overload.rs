//! More than can be delivered: readers that are slow or have stalled, and floods. With the limits that brokers come with.

use std::time::Duration;

use mqtt::QoS;

use super::stream::{Shape, figures, topic};
use super::{Figure, Place, figure, megabytes};
use crate::candidate::Running;
use crate::failure::Result;
use crate::load::{Plan, Reading};
use crate::wire::{Address, Wire};

/// A load, and further subscribers of the first publisher that do not keep up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overload {
    shape: Shape,
    plan: Plan,
    laggards: usize,
    reading: Reading,
}

impl Overload {
    /// A reader of 100 kB/s behind a publisher of 2 MB/s, beside ten that keep up.
    pub(crate) const fn slow() -> Overload {
        Overload {
            shape: Shape::FanOut(10),
            plan: Plan {
                payload: 1000,
                window: None,
                batch: 1,
                rate: Some(2000),
                measure: Duration::from_secs(6),
                ..Plan::DEFAULT
            },
            laggards: 1,
            reading: Reading::Slow(Duration::from_millis(40)),
        }
    }

    /// Three that never read, beside one that does.
    pub(crate) const fn stalled(qos: QoS, count: u64) -> Overload {
        Overload {
            shape: Shape::FanOut(1),
            plan: Plan {
                qos,
                payload: 1000,
                // With QoS 0 nobody but the live subscriber could slow the publisher down.
                window: Some(1000),
                count: Some(count),
                ..Plan::DEFAULT
            },
            laggards: 3,
            reading: Reading::Stalled,
        }
    }

    /// Publishers that do not look at their subscribers.
    pub(crate) const fn flood(shape: Shape, qos: QoS, count: u64) -> Overload {
        Overload {
            shape,
            plan: Plan {
                qos,
                window: None,
                batch: 50,
                in_flight: 1000,
                count: Some(count),
                ..Plan::DEFAULT
            },
            laggards: 0,
            reading: Reading::Stalled,
        }
    }

    pub(super) fn is_paced(&self) -> bool {
        self.plan.rate.is_some()
    }

    pub(super) fn run(
        self,
        place: &Place,
        running: &Running,
        address: Address<'_>,
    ) -> Result<Vec<Figure>> {
        let processes = running.processes()?;
        let mut load = self.shape.connect(self.plan, place, address)?;
        for number in 0..self.laggards {
            let mut wire = Wire::connect(address, &format!("laggard-{number}"), true)?;
            wire.subscribe(&[topic(0)], self.plan.qos)?;
            load.subscribe(wire, &(0..1), self.reading)?;
        }
        let outcome = load.run(&processes)?;
        let lost = 100.0 * outcome.lost as f64 / outcome.expected.max(1) as f64;
        let paced = self.is_paced();
        let mut found = vec![
            (figure::LOST, lost),
            (figure::PEAK, megabytes(processes.memory()?.peak)),
        ];
        // Where messages are counted, the time includes waiting for those that never come.
        let keep = |(name, _): &Figure| paced || *name == figure::COST;
        found.extend(figures(&outcome).into_iter().filter(keep));
        Ok(found)
    }
}
