//! Instructions of the broker per message, counted by valgrind: the same on a busy machine as on an idle one.
//!
//! Every batch is sent in one write once all of the last one has arrived, so that each run is like the other; the difference of
//! a longer and a shorter run leaves start and end out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mqtt::QoS;

use crate::candidate::{Candidate, Demand};
use crate::failure::{Failure, Result};
use crate::load::Plan;
use crate::payload::VERSION;
use crate::scenario::{Place, Shape};
use crate::wire::Address;

/// One load to count.
struct Case {
    name: &'static str,
    shape: Shape,
    qos: QoS,
    /// Messages sent at a time.
    batch: u64,
}

const CASES: &[Case] = &[
    case("pair_q0", Shape::Pairs(1), QoS::AtMostOnce, 20),
    case("pair_q1", Shape::Pairs(1), QoS::AtLeastOnce, 20),
    case("pair_q2", Shape::Pairs(1), QoS::ExactlyOnce, 20),
    case("single_q0", Shape::Pairs(1), QoS::AtMostOnce, 1),
    case("single_q1", Shape::Pairs(1), QoS::AtLeastOnce, 1),
    case("fan_out_q0", Shape::FanOut(50), QoS::AtMostOnce, 20),
    case("fan_out_q1", Shape::FanOut(50), QoS::AtLeastOnce, 20),
];

const fn case(name: &'static str, shape: Shape, qos: QoS, batch: u64) -> Case {
    Case {
        name,
        shape,
        qos,
        batch,
    }
}

/// Deliveries of the shorter and of the longer run.
const SHORT: u64 = 2000;
const LONG: u64 = 12_000;
/// The broker starts itself anew to set its allocator, and is followed.
const VALGRIND: &str =
    "valgrind --trace-children=yes --tool=callgrind --callgrind-out-file=/dev/null";
/// Valgrind is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts all cases and prints them beside those in `known`, which is written anew if `accept` says so.
pub(crate) fn run(place: &Place, ours: &Candidate, known: &Path, accept: bool) -> Result<()> {
    if std::process::Command::new("valgrind")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("instructions: valgrind is not installed, nothing is counted");
        return Ok(());
    }
    let before = fs::read_to_string(known).unwrap_or_default();
    let mut after = String::new();
    println!("instructions a delivered message, outside the kernel");
    println!("  {:<44}{:>12}{:>12}", "", "now", "committed");
    for case in CASES {
        let ours = ours.below(VALGRIND);
        let short = count(place, &ours, case, SHORT)?;
        let long = count(place, &ours, case, LONG)?;
        let each = long.saturating_sub(short) as f64 / (LONG - SHORT) as f64;
        let _ = writeln!(after, "{} {each:.0}", case.name);
        let (last, change) = match committed(&before, case.name) {
            None => ("none".to_owned(), String::new()),
            Some(last) => (
                format!("{last:.0}"),
                format!("{:+.1} %", 100.0 * (each / last - 1.0)),
            ),
        };
        println!("  {:<44}{each:>12.0}{last:>12}{change:>12}", case.name);
    }
    if accept {
        fs::write(known, after)?;
    }
    println!();
    Ok(())
}

fn committed(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line?.parse().ok()
}

/// All instructions of a broker that delivers so many messages.
fn count(place: &Place, ours: &Candidate, case: &Case, deliveries: u64) -> Result<u64> {
    let demand = Demand::default();
    let mut running = ours.start(demand, &place.secrets, place.cores)?;
    let address = Address {
        port: running.port,
        transport: demand.transport,
        version: VERSION,
        secrets: &place.secrets,
    };
    let plan = Plan {
        qos: case.qos,
        window: Some(case.batch),
        batch: case.batch,
        in_flight: case.batch,
        count: Some(deliveries / case.shape.subscribers() as u64),
        patience: PATIENCE,
        ..Plan::DEFAULT
    };
    let outcome = case
        .shape
        .connect(plan, place, address)?
        .run(&running.processes()?)?;
    if outcome.lost > 0 || outcome.messages != deliveries {
        return Err("messages were lost".into());
    }
    running.end()?;
    let log = running.log();
    collected(&log).ok_or_else(|| Failure::from(format!("valgrind counts nothing: {log}")))
}

/// What valgrind says in its last lines.
fn collected(log: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        assert_eq!(collected("==7== Collected : 12345\n==7==\n"), Some(12_345));
        assert_eq!(collected("==7== nothing"), None);
        let text = "pair_q0 100\npair_q01 7\n";
        assert_eq!(committed(text, "pair_q01"), Some(7.0));
        assert_eq!(committed(text, "pair_q0"), Some(100.0));
        assert_eq!(committed(text, "pair"), None);
    }

    #[test]
    fn deliveries_are_whole_batches() {
        for case in CASES {
            for deliveries in [SHORT, LONG] {
                let batch = case.batch * case.shape.subscribers() as u64;
                assert_eq!(deliveries % batch, 0, "{}", case.name);
            }
        }
    }
}
