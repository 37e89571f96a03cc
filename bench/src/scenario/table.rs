//! All scenarios, each with what our broker is to reach.

use mqtt::QoS;

use super::Target::{Most, Ratio};
use super::figure::*;
use super::{Overload, Scenario, Shape, Stream, Work};
use crate::secret::Transport;

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

const fn stream(
    name: &'static str,
    words: &'static str,
    stream: Stream,
    targets: &'static [(&'static str, super::Target)],
) -> Scenario {
    Scenario {
        name,
        words,
        work: Work::Stream(stream),
        targets,
    }
}

const fn other(
    name: &'static str,
    words: &'static str,
    work: Work,
    targets: &'static [(&'static str, super::Target)],
) -> Scenario {
    Scenario {
        name,
        words,
        work,
        targets,
    }
}

/// Latency at a paced rate is not to be above that of the other broker.
macro_rules! paced {
    ($cost:expr) => {
        &[
            (COST, Ratio($cost)),
            (P50, Ratio(1.0)),
            (P99, Ratio(1.0)),
            (P999, Ratio(1.0)),
        ]
    };
}

/// Under saturation a quarter of it is enough, if as much goes through.
macro_rules! full {
    ($cost:expr) => {
        &[(COST, Ratio($cost)), (P99, Ratio(0.25))]
    };
}

/// Nothing is lost to those who read, and memory stays within bounds.
const BOUNDED: &[(&str, super::Target)] = &[(LOST, Most(0.0)), (PEAK, Most(16.0))];

/// In the order in which they are run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    stream(
        "pair_q0",
        "1 publisher to 1 subscriber, QoS 0, 100 B",
        Stream::new(Shape::Pairs(1), Q0, 1000),
        full!(0.055),
    ),
    stream(
        "pair_q1",
        "1 publisher to 1 subscriber, QoS 1, 100 B",
        Stream::new(Shape::Pairs(1), Q1, 1000),
        full!(0.125),
    ),
    stream(
        "pair_q2",
        "1 publisher to 1 subscriber, QoS 2, 100 B",
        Stream::new(Shape::Pairs(1), Q2, 1000),
        full!(0.08),
    ),
    stream(
        "pairs_q0",
        "50 publishers, each to a subscriber of its own, QoS 0, 100 B",
        Stream::new(Shape::Pairs(50), Q0, 100),
        full!(0.13),
    ),
    stream(
        "pairs_q1",
        "50 publishers, each to a subscriber of its own, QoS 1, 100 B",
        Stream::new(Shape::Pairs(50), Q1, 100),
        full!(0.125),
    ),
    stream(
        "pairs_q2",
        "50 publishers, each to a subscriber of its own, QoS 2, 100 B",
        Stream::new(Shape::Pairs(50), Q2, 100),
        full!(0.08),
    ),
    stream(
        "pairs_v5_q0",
        "50 publishers, each to a subscriber of its own, QoS 0, 100 B, MQTT 5.0",
        Stream::new(Shape::Pairs(50), Q0, 100).v5(),
        full!(0.13),
    ),
    stream(
        "pairs_v5_q1",
        "50 publishers, each to a subscriber of its own, QoS 1, 100 B, MQTT 5.0",
        Stream::new(Shape::Pairs(50), Q1, 100).v5(),
        full!(0.125),
    ),
    stream(
        "fan_in_q0",
        "50 publishers to 1 subscriber, QoS 0, 100 B",
        Stream::new(Shape::FanIn(50), Q0, 100),
        full!(0.15),
    ),
    stream(
        "fan_in_q1",
        "50 publishers to 1 subscriber, QoS 1, 100 B",
        Stream::new(Shape::FanIn(50), Q1, 100),
        full!(0.10),
    ),
    stream(
        "fan_in_q2",
        "50 publishers to 1 subscriber, QoS 2, 100 B",
        Stream::new(Shape::FanIn(50), Q2, 100),
        full!(0.08),
    ),
    stream(
        "fan_out_q0",
        "1 publisher to 50 subscribers, QoS 0, 100 B",
        Stream::new(Shape::FanOut(50), Q0, 100),
        full!(0.037),
    ),
    stream(
        "fan_out_q1",
        "1 publisher to 50 subscribers, QoS 1, 100 B",
        Stream::new(Shape::FanOut(50), Q1, 100),
        full!(0.10),
    ),
    stream(
        "fan_out_q2",
        "1 publisher to 50 subscribers, QoS 2, 100 B",
        Stream::new(Shape::FanOut(50), Q2, 100),
        full!(0.07),
    ),
    stream(
        "pairs_1k",
        "10 publishers, each to a subscriber of its own, QoS 0, 1,000 B",
        Stream::new(Shape::Pairs(10), Q0, 64).of(1000),
        full!(0.14),
    ),
    stream(
        "pairs_16k",
        "10 publishers, each to a subscriber of its own, QoS 0, 16,000 B",
        Stream::new(Shape::Pairs(10), Q0, 16).of(16_000),
        full!(0.44),
    ),
    stream(
        "pairs_64k",
        "10 publishers, each to a subscriber of its own, QoS 0, 64,000 B",
        Stream::new(Shape::Pairs(10), Q0, 8).of(64_000),
        &[],
    ),
    stream(
        "single_q0",
        "10 publishers, one message of each at a time, each to a subscriber of its own, QoS 0, 100 B",
        Stream::single(Q0),
        &[(COST, Ratio(0.9))],
    ),
    stream(
        "single_q1",
        "10 publishers, one message of each at a time, each to a subscriber of its own, QoS 1, 100 B",
        Stream::single(Q1),
        &[(COST, Ratio(0.58))],
    ),
    stream(
        "paced_2k_q0",
        "2,000 messages/s from 50 publishers, QoS 0, 100 B",
        Stream::paced(Q0, 2000),
        paced!(0.95),
    ),
    stream(
        "paced_2k_q1",
        "2,000 messages/s from 50 publishers, QoS 1, 100 B",
        Stream::paced(Q1, 2000),
        paced!(0.95),
    ),
    stream(
        "paced_20k_q0",
        "20,000 messages/s from 50 publishers, QoS 0, 100 B",
        Stream::paced(Q0, 20_000),
        paced!(0.95),
    ),
    stream(
        "tls_certificate",
        "10 publishers, each to a subscriber of its own, QoS 0, 100 B, TLS with a certificate",
        Stream::new(Shape::Pairs(10), Q0, 100).through(Transport::Certificate),
        full!(0.15),
    ),
    stream(
        "tls_psk",
        "10 publishers, each to a subscriber of its own, QoS 0, 100 B, TLS with a pre-shared key",
        Stream::new(Shape::Pairs(10), Q0, 100).through(Transport::Psk),
        full!(0.15),
    ),
    other(
        "connections",
        "10,000 clients that do nothing, then subscribe to 2 topics each, then leave",
        Work::Connections,
        &[
            (BEFORE, Most(5.0)),
            (CONNECTION, Most(700.0)),
            (SUBSCRIBED, Most(1000.0)),
            (WAKE_UPS, Most(0.0)),
            (AFTER, Most(1.5)),
        ],
    ),
    other(
        "filters",
        "100,000 filters with wildcards, of 100 clients; QoS 1, 100 B",
        Work::Filters,
        &[
            (SUBSCRIPTION, Most(200.0)),
            (MISS_RATIO, Most(1.1)),
            (HIT_RATIO, Most(1.1)),
        ],
    ),
    other(
        "retained",
        "100,000 retained messages, 100 B, and two that come late and subscribe to #",
        Work::Retained,
        &[
            (RETAINED, Most(400.0)),
            (FIRST, Most(1.0)),
            (AFTER, Most(1.5)),
        ],
    ),
    other(
        "queue",
        "100,000 messages of QoS 1, 100 B, for a client that is away, and its return",
        Work::Queue,
        &[(QUEUED, Most(300.0)), (DRAIN_COST, Most(1.0))],
    ),
    other(
        "queue_wide",
        "the same, with as many in flight at a time as there are Packet Identifiers",
        Work::WideQueue,
        &[(DRAIN_COST, Most(1.0))],
    ),
    other(
        "references",
        "10 messages of QoS 1, 100 B, for 5,000 clients that are away, and their return",
        Work::References,
        &[(QUEUED, Most(36.0))],
    ),
    other(
        "slow_reader",
        "2,000 messages/s of 1,000 B, QoS 0, to 10 that keep up and one that reads 100 kB/s",
        Work::Overload(Overload::slow()),
        &[(LOST, Most(0.0)), (PEAK, Most(16.0)), (P99, Ratio(1.0))],
    ),
    other(
        "stalled_q0",
        "200,000 messages of QoS 0, 1,000 B, to one that reads and 3 that never do",
        Work::Overload(Overload::stalled(Q0, 200_000)),
        BOUNDED,
    ),
    other(
        "stalled_q1",
        "50,000 messages of QoS 1, 1,000 B, to one that reads and 3 that never do",
        Work::Overload(Overload::stalled(Q1, 50_000)),
        BOUNDED,
    ),
    other(
        "stalled_q2",
        "20,000 messages of QoS 2, 1,000 B, to one that reads and 3 that never do",
        Work::Overload(Overload::stalled(Q2, 20_000)),
        BOUNDED,
    ),
    other(
        "flood_q0",
        "20 publishers of 20,000 messages each to one subscriber, QoS 0, as fast as they go",
        Work::Overload(Overload::flood(Shape::FanIn(20), Q0, 20_000)),
        BOUNDED,
    ),
    other(
        "flood_mesh_q0",
        "5 publishers of 10,000 messages each to 20 subscribers, QoS 0, as fast as they go",
        Work::Overload(Overload::flood(Shape::Mesh(5, 20), Q0, 10_000)),
        BOUNDED,
    ),
    other(
        "flood_q1",
        "5 publishers of 2,000 messages each to 20 subscribers, QoS 1, 1,000 in flight",
        Work::Overload(Overload::flood(Shape::Mesh(5, 20), Q1, 2000)),
        BOUNDED,
    ),
    other(
        "flood_q2",
        "5 publishers of 2,000 messages each to 20 subscribers, QoS 2, 1,000 in flight",
        Work::Overload(Overload::flood(Shape::Mesh(5, 20), Q2, 2000)),
        BOUNDED,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = SCENARIOS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
